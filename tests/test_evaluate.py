"""Returns are added up as stated, intervals cover what they claim, and test seeds are opened once."""

import dataclasses

import numpy as np
import pytest

import wmlib as wm
from wmlib.errors import InputError
from wmlib.real import evaluate
from wmlib.real.evaluate import Score
from wmlib.show import palette, plots

BODY = wm.body.get("humanoid")


def fake(name, run, returns):
    returns = np.asarray(returns, dtype=float)
    return Score(
        name,
        run,
        returns,
        np.full(len(returns), 10.0),
        np.ones(len(returns), bool),
        {"alive": returns + 1, "control": -np.ones(len(returns))},
    )


def test_a_score_adds_up_the_episodes_of_its_own_seeds():
    made = evaluate.evaluate_policy(
        BODY, wm.policies.zero_action(BODY), name="zero", run=2, episodes=6
    )
    first = wm.seeds.SELECTION_SEEDS.start + 2 * wm.seeds.SEEDS_PER_RUN
    played = wm.rollout(BODY, wm.policies.zero_action(BODY), range(first, first + 6))
    assert made.returns.tolist() == [episode.episode_return for episode in played]
    assert made.lengths.tolist() == [len(episode) for episode in played]
    assert np.allclose(sum(made.terms.values()), made.returns)
    assert made.real_steps == sum(len(episode) for episode in played)
    assert made.fell.all()


def test_another_split_or_run_is_played_on_other_episodes():
    policy = wm.policies.zero_action(BODY)
    starts = [
        evaluate.evaluate_policy(
            BODY, policy, name=f"starts {run} {split}", run=run, split=split, episodes=3
        ).returns[0]
        for run in (0, 1)
        for split in evaluate.SPLITS
    ]
    assert len(set(starts)) == 4


def test_test_seeds_give_the_same_policy_the_same_answer_and_refuse_another():
    zero, held = wm.policies.zero_action(BODY), wm.policies.hold_pose(BODY)
    once = evaluate.evaluate_policy(BODY, zero, name="mine", split="test", episodes=4)
    assert np.array_equal(
        evaluate.evaluate_policy(BODY, zero, name="mine", split="test", episodes=4).returns,
        once.returns,
    )
    with pytest.raises(wm.InputError, match=r"test seeds of 'mine', run 0, were opened already"):
        evaluate.evaluate_policy(BODY, held, name="mine", split="test", episodes=4)
    evaluate.evaluate_policy(BODY, held, name="mine", split="selection", episodes=4)


def test_one_run_is_said_to_be_one():
    assert "(one run)" in str(evaluate.scorecard([fake("alone", 0, [1, 2])]))


def test_the_unit_is_the_run_episodes_are_averaged_first():
    card = evaluate.scorecard([fake("a", 0, [0, 2, 4]), fake("a", 1, [10, 12, 14])])
    assert card["a"].episode_return.middle == 7.0
    assert card["a"].episode_return.values == (2.0, 12.0)
    assert card["a"].runs == 2
    assert card["a"].reward_per_step == pytest.approx(0.7)


def test_the_scorecard_keeps_the_order_of_names_and_reads_as_text_and_as_an_escaped_table():
    card = evaluate.scorecard([fake("<b>", 0, [1]), fake("a", 0, [2])])
    assert [row.name for row in card.rows] == ["<b>", "a"]
    assert "&lt;b&gt;" in card._repr_html_()
    assert '<th scope="row">' in card._repr_html_()
    lines = str(card).splitlines()
    assert len(lines) == 3
    assert lines[0].split("  ")[0] == "policy"


MISTAKES = {
    "an unknown split": (
        lambda: evaluate.evaluate_policy(BODY, None, name="x", split="training"),
        r"no split 'training'.*selection, test",
    ),
    "no episodes": (
        lambda: evaluate.evaluate_policy(BODY, None, name="x", episodes=0),
        r"0 episodes were asked for",
    ),
    "an empty scorecard": (lambda: evaluate.scorecard([]), r"at least one score"),
    "a run counted twice": (
        lambda: evaluate.scorecard([fake("a", 0, [1]), fake("a", 0, [1])]),
        r"'a' has the same run twice",
    ),
    "a name that is not there": (
        lambda: evaluate.scorecard([fake("a", 0, [1])])["b"],
        r"no 'b' in this scorecard; there are: a",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line(mistake):
    act, message = MISTAKES[mistake]
    with pytest.raises(wm.InputError, match=message):
        act()


def test_survival_is_the_share_of_episodes_longer_than_each_step():
    assert evaluate.survival(np.array([1, 3, 3, 10]), 4).tolist() == [1.0, 0.75, 0.75, 0.25, 0.25]


# The palette. Simulated colour blindness after Machado, Oliveira & Fernandes (2009), severity 1.
SIMULATED = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of a linear sRGB colour."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(np.clip(to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089], 0.008856, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_every_colour_stands_out_from_a_white_page_as_wcag_asks_of_graphics():
    for name, colour in palette.COLOURS.items():
        luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour))
        assert 1.05 / (luminance + 0.05) >= 4.5, name


@pytest.mark.parametrize("blindness", [None, *SIMULATED])
def test_the_four_main_colours_stay_apart_for_colour_blind_readers(blindness):
    matrix = np.eye(3) if blindness is None else np.array(SIMULATED[blindness])
    names = ["reality", "model", "dream", "random"]
    seen = {name: lab(matrix @ linear(palette.COLOURS[name])) for name in names}
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            apart = np.linalg.norm(seen[one] - seen[other])
            assert apart >= 15 or plots.STYLES[one] != plots.STYLES[other], (one, other, apart)


def test_every_plot_draws_something():
    scores = [fake("random", 0, [1, 2, 3]), fake("zero", 0, [4, 5, 6]), fake("zero", 1, [5, 6, 7])]
    card = evaluate.scorecard(scores)
    drawing, axes = plots.figure(2, 2)
    plots.plot_survival(axes[0, 0], scores)
    plots.plot_histograms(axes[0, 1], {"random": np.arange(9.0), "zero": np.arange(5.0)}, "number")
    plots.plot_intervals(axes[1, 0], {"random": (2.0, 1.0, "black"), "zero": (5.0, np.nan, "red")})
    plots.plot_terms(axes[1, 1], card)
    for each in (drawing, plots.plot_map("V")):
        each.canvas.draw()
        assert np.asarray(each.canvas.buffer_rgba())[..., :3].std() > 1
        plots.plt.close(each)


def test_a_number_among_named_curves_is_a_level_and_a_pair_brings_its_own_x():
    drawing, axes = plots.figure()
    curves = {"dream": [3, 1, 2], "reality": ([0, 10], [5, 6]), "zero": 4.0}
    plots.plot_lines(axes, curves, {"dream": "model s--"}, xlabel="step")
    dream, reality, level = axes.get_lines()
    assert list(dream.get_xdata()) == [1, 2, 3] and list(reality.get_xdata()) == [0, 10]
    assert list(level.get_ydata()) == [4.0, 4.0] and level.get_linestyle() == ":"
    looks = dream.get_color(), dream.get_linestyle(), dream.get_marker()
    assert looks == (palette.MODEL, "--", "s") and reality.get_color() == palette.REALITY
    assert axes.get_xlabel() == "step"
    plots.plt.close(drawing)


def test_bars_of_one_place_stand_side_by_side_around_it():
    drawing, axes = plots.figure()
    plots.plot_bars(axes, {"a": [1, 2], "b": [3, 4]}, ("#000000", "#ffffff"))
    middles = [[bar.get_x() + bar.get_width() / 2 for bar in bars] for bars in axes.containers]
    assert np.allclose(middles, [[-0.2, 0.8], [0.2, 1.2]])
    plots.plt.close(drawing)


def test_result_lines_of_one_method_and_configuration_are_joined_and_show_every_seed():
    drawing, axes = plots.figure()
    row = wm.results.read(wm.storage.data_folder() / "results" / "real.csv")[0]
    rows = [
        dataclasses.replace(row, budget=budget, seed=seed, mean_return=seed * 1.0, split="test")
        for budget in (1000, 2000)
        for seed in range(3)
    ]
    plots.plot_results(axes, wm.results.table(rows).lines, {row.method: "#123456"}, aside=1)
    joined = axes.get_lines()[-1]
    assert np.allclose(joined.get_xdata(), [1000, 2000]) and np.allclose(joined.get_ydata(), 1)
    seeds = [line for line in axes.get_lines() if line.get_marker() == "."]
    assert [len(line.get_ydata()) for line in seeds] == [3, 3]
    assert {line.get_color() for line in axes.get_lines()} == {"#123456"}
    plots.plt.close(drawing)


def test_names_that_the_palette_lacks_get_colours_of_their_own_in_one_picture():
    assert palette.colours(["reality", "z[1]"]) == {
        "reality": palette.REALITY,
        "z[1]": palette.colour("z[1]"),
    }
    for names in (
        ["z[1]", "z[31]", "z[10]", "z[30]"],
        ["reality", "0 epochs", "1 epoch", "5 epochs", "25 epochs"],
    ):
        assert len(set(palette.colours(names).values())) == len(names)
    assert len(palette.colours(map(str, range(9)))) == 9


def test_a_figures_numbers_are_a_table_with_headings_and_no_row_is_short(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    plots.table(("step", "a < b"), [("first", 1.23456), (2, 1234567.0), ("nothing", float("nan"))])
    page = shown[0].data
    assert page.count('<th scope="col">') == 2
    assert page.count('<th scope="row">') == 3
    for piece in ("a &lt; b", "<td>1.235</td>", "<td>1,234,567</td>", "<td>nan</td>", "<summary>"):
        assert piece in page
    with pytest.raises(ValueError, match=r"shorter|longer"):
        plots.table(("step", "return"), [("alone",)])


def test_a_scorecard_pools_no_bodies_and_names_a_run_that_is_not_finite():
    one = fake("a", 0, [1.0, 2.0])
    with pytest.raises(InputError, match="expected one body"):
        evaluate.scorecard(
            [dataclasses.replace(one, body="hopper"), dataclasses.replace(one, body="ant", run=1)]
        )
    with pytest.raises(InputError, match="A return of 'a', run 1, is not finite"):
        evaluate.scorecard([one, fake("a", 1, [1.0, np.nan])])
