"""Rows: one training seed each, test seeds opened once, tables that say how many seeds stand behind a number."""

import dataclasses
import multiprocessing
import shlex

import numpy as np
import pytest

import wmlib as wm
from wmlib import results
from wmlib.cli import main
from wmlib.control.controller import Controller, Linear
from wmlib.errors import InputError
from wmlib.real import evaluate
from wmlib.results import Row

BODY = wm.body.get("humanoid")
ROW = Row(
    "humanoid",
    "openai-es",
    "physics",
    0,
    50_000,
    49_123,
    "test",
    100,
    400.125,
    88.5,
    61.5,
    "abc",
    'wmlib train-controller --out "a, b"',
)


def rows(method, budget, returns, split="test"):
    return [
        dataclasses.replace(
            ROW, method=method, budget=budget, seed=seed, mean_return=value, split=split
        )
        for seed, value in enumerate(returns)
    ]


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A controller of run seed 3, as a search saves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "_opened", {})
    made = Controller(Linear(BODY), 0.001 * np.random.default_rng(0).standard_normal(782))
    made.save(
        "c",
        seconds=12.5,
        seed=3,
        budget=50_000,
        real_steps=49_000,
        command="wmlib train-controller ...",
        search={"strategy": "openai-es"},
    )
    return made


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "real.csv"
    results.append(path, ROW)
    dreamer = dataclasses.replace(ROW, seed=1, dreamed=512.5)
    results.append(path, dreamer)
    assert results.read(path) == [ROW, dreamer]
    assert "dreamed" not in str(results.table([ROW])) and "512.5 (one run)" in str(
        results.table([ROW, dreamer])
    )
    assert path.read_text().startswith(
        "body,method,configuration,seed,budget,real_steps,split,episodes,mean_return,mean_steps,seconds,fingerprint,command,dreamed,cpu_seconds\n"
    )
    assert [each.name for each in path.parent.iterdir()] == ["real.csv"]


def test_the_same_row_is_there_once_and_another_controller_does_not_take_its_place(tmp_path):
    path = tmp_path / "real.csv"
    results.append(path, ROW)
    assert results.append(path, dataclasses.replace(ROW, mean_return=1.0)) == ROW
    with pytest.raises(
        InputError,
        match=r"test seeds were opened already for 'openai-es', configuration 'physics', seed 0, budget 50,000, with another",
    ):
        results.append(path, dataclasses.replace(ROW, fingerprint="def"))
    for changed in (
        {"seed": 1},
        {"budget": 1},
        {"method": "ppo"},
        {"configuration": "obs"},
        {"split": "selection"},
        {"body": "half_cheetah"},
    ):
        results.append(path, dataclasses.replace(ROW, fingerprint="def", **changed))
    assert len(results.read(path)) == 7


def add(path, seeds):
    for seed in seeds:
        results.append(path, dataclasses.replace(ROW, seed=seed))


def test_two_commands_write_into_one_file_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=add, args=(tmp_path / "real.csv", range(k, 40, 2))) for k in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(row.seed for row in results.read(tmp_path / "real.csv")) == list(range(40))


def test_a_controller_is_judged_on_the_test_seeds_of_its_run_once(saved, capsys):
    words = ["evaluate", "--controller", "c", "--row", "rows/real.csv", "--episodes", "5"]
    assert main(words) == 0
    (row,) = results.read("rows/real.csv")
    seeds = wm.seeds.run_seeds(wm.seeds.TEST_SEEDS, 3)[:5]
    played = wm.rollout(BODY, saved, seeds)
    assert row.mean_return == pytest.approx(
        np.mean([episode.episode_return for episode in played]), abs=1e-3
    )
    assert row.mean_steps == pytest.approx(np.mean([len(episode) for episode in played]), abs=1e-3)
    assert (row.method, row.configuration, row.seed, row.budget, row.real_steps, row.seconds) == (
        "openai-es",
        "physics",
        3,
        50_000,
        49_000,
        12.5,
    )
    assert row.command.startswith("wmlib train-controller ...; wmlib evaluate --controller c")
    assert "seed 3, 49,000 real steps: return" in capsys.readouterr().out
    assert main(words) == 0
    assert len(results.read("rows/real.csv")) == 1


def test_nothing_is_played_for_a_second_controller(saved, capsys, monkeypatch):
    assert main(["evaluate", "--controller", "c", "--row", "real.csv", "--episodes", "2"]) == 0
    Controller(Linear(BODY)).save(
        "other", seconds=1, seed=3, budget=50_000, real_steps=1, search={"strategy": "openai-es"}
    )
    monkeypatch.setattr(evaluate, "evaluate_policy", None)
    assert main(["evaluate", "--controller", "other", "--row", "real.csv", "--episodes", "2"]) == 2
    error = capsys.readouterr().err
    assert "with another controller. Name another configuration" in error and error.count("\n") == 1
    monkeypatch.undo()


def test_a_table_is_sums_over_training_seeds_by_budget():
    card = results.table(
        rows("b", 250_000, [500, 600])
        + rows("a", 50_000, [1, 2, 3, 4, 100, -100, 5, 6])
        + rows("b", 50_000, [7])
        + rows("a", 50_000, [9], "selection")
    )
    assert [(line.method, line.budget, line.seeds) for line in card.lines] == [
        ("a", 50_000, 8),
        ("b", 50_000, 1),
        ("b", 250_000, 2),
    ]
    assert card.lines[0].episode_return.middle == np.mean([1, 2, 3, 4, 100, -100, 5, 6])
    assert card.lines[0].episode_return.low < 0 < card.lines[0].episode_return.high
    assert card.lines[2].episode_return.values == (500, 600)
    text = str(card)
    assert "8 x 100" in text and "7.0 (one run)" in text and "250,000" in text
    assert (
        card._repr_html_().count("<tr>") == 4
        and "<script" not in results.table(rows("<script>", 1, [1]))._repr_html_()
    )


def test_the_table_on_the_command_line(tmp_path, capsys):
    add(tmp_path / "real.csv", range(3))
    assert main(["report", str(tmp_path / "real.csv")]) == 0
    assert "3 x 100" in capsys.readouterr().out


def written(text):
    def write(folder):
        (folder / "real.csv").write_text(text)

    return write


HEAD = ",".join(results.FIELDS)
DAMAGES = {
    "no file": (lambda folder: None, r"There is no file .*real.csv"),
    "a folder": (lambda folder: (folder / "real.csv").mkdir(), r"There is no file"),
    "other columns": (written("a,b\n1,2\n"), r"has the columns a, b; expected body"),
    "an empty file": (written(""), r"has the columns ; expected"),
    "no number": (
        written(HEAD + "\nh,m,c,zero,1,1,test,1,1,1,1,f,c,,\n"),
        r"Line 2 of .* is no row of results \(invalid literal",
    ),
    "half a row": (written(HEAD + "\nh,m,c,0,1\n"), r"Line 2 .*another number of cells"),
    "no text": (
        lambda folder: (folder / "real.csv").write_bytes(b"\xff\xfe\x00"),
        r"cannot be read as CSV",
    ),
    "no rows of this split": (written(HEAD + "\n"), r"no rows of the split 'test'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, capsys, damage):
    change, message = DAMAGES[damage]
    change(tmp_path)
    assert main(["report", str(tmp_path / "real.csv")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(InputError, match=message):
        results.table(results.read(tmp_path / "real.csv"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--controller", "nowhere"], "There is no artefact 'nowhere'"),
        (["--controller", "c", "--split", "training"], "no split 'training'"),
        (["--controller", "c", "--episodes", "0"], "0 episodes were asked for"),
        (
            ["--controller", "c", "--episodes", "2", "--row", "c/manifest.json/x.csv"],
            "Cannot write",
        ),
        (["--controller", "c", "--episodes", "2", "--row", "c"], "There is no file c"),
        (["--row", "x.csv"], "either --controller or --policy"),
    ],
)
def test_a_wrong_command_gets_one_line(saved, tmp_path, capsys, words, message):
    before = sorted(tmp_path.rglob("*"))
    try:
        code = main(["evaluate", *words])
    except SystemExit as left:
        code = left.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert wm.load("c").fingerprint == saved.fingerprint


ALLOWED = {"gather", "train-vae", "train-mdnrnn", "train-ensemble", "dream", "iterate", "evaluate"}


@pytest.mark.parametrize("name", ["dream.csv", "tried-dream.csv"])
def test_every_row_from_a_dream_can_be_traced_to_actions_that_nobody_trained(name):
    """The commands of a row, in order: only random policies gather, and each file that one reads was made by one before it or belongs to the book's data."""
    for row in results.read(wm.storage.data_folder() / "results" / name):
        made = set()
        for words in map(shlex.split, row.command.split("; ")):
            assert words[0] == "wmlib" and words[1] in ALLOWED, words
            given = {
                words[k]: words[k + 1]
                for k in range(2, len(words) - 1)
                if words[k].startswith("--")
            }
            assert given.get("--policy", "mixed") in ("random", "weights", "mixed"), words
            assert not given.keys() & {"--controller", "--params"} or words[1] == "evaluate", words
            for key in ("--data", "--vae", "--world", "--controller"):
                assert given.get(key, "humanoid") in {"humanoid", "humanoid-mixed"} | made, (
                    key,
                    words,
                )
            if out := given.get("--out"):
                made |= {out, f"{out}-model", f"{out}-experience"}
        rest = (
            50 if "wmlib gather" in row.command else 0
        )  # `gather` plays its last episode to the end
        assert (
            words[1] == "evaluate"
            and row.real_steps <= row.budget + rest
            and np.isfinite(row.dreamed)
        )


def test_a_row_that_is_given_twice_counts_once():
    card = results.table(rows("a", 50_000, [1, 2]) * 2)
    assert [line.seeds for line in card.lines] == [2]
    assert str(card) == str(results.table(rows("a", 50_000, [1, 2])))


def test_the_same_file_twice_on_the_command_line_changes_nothing(tmp_path, capsys):
    path = str(tmp_path / "real.csv")
    add(tmp_path / "real.csv", range(2))
    assert main(["report", path]) == main(["report", path, path]) == 0
    assert "2 x 100" in (said := capsys.readouterr().out) and "4 x" not in said


@pytest.mark.parametrize("change", [{"fingerprint": "def"}, {"mean_return": 1.0}, {"episodes": 9}])
def test_two_results_for_one_place_are_refused_in_one_line(tmp_path, change):
    both = [ROW, dataclasses.replace(ROW, **change)]
    with pytest.raises(
        InputError, match=r"two rows of humanoid for 'openai-es'.*expected one"
    ) as caught:
        results.table(both)
    assert "\n" not in str(caught.value)
    wm.storage.write_csv(tmp_path / "a.csv", results.FIELDS, [vars(row).values() for row in both])
    with pytest.raises(InputError, match="two rows of humanoid"):
        results.read(tmp_path / "a.csv")


def test_bodies_and_budgets_are_never_pooled():
    other = [dataclasses.replace(row, body="hopper") for row in rows("a", 50_000, [3])]
    card = results.table([*rows("a", 50_000, [1, 2]), *other, *rows("a", 9, [4])])
    assert [(line.body, line.budget, line.seeds) for line in card.lines] == [
        ("humanoid", 9, 1),
        ("humanoid", 50_000, 2),
        ("hopper", 50_000, 1),
    ]
    assert str(card).startswith("body") and "hopper    a" in str(card)
    assert "body" not in str(results.table(rows("a", 1, [1])))


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("column", ["mean_return", "mean_steps", "seconds", "dreamed"])
def test_a_row_that_is_not_finite_is_refused_by_name(tmp_path, column, bad):
    path = tmp_path / "real.csv"
    row = dataclasses.replace(ROW, **{column: float(bad)})
    wm.storage.write_csv(path, results.FIELDS, [vars(row).values()])
    with pytest.raises(InputError, match=f"Line 2 .*{column} of 'openai-es', seed 0, is {bad}"):
        results.read(path)


def test_another_number_of_episodes_for_a_row_that_is_there_is_refused(saved, capsys):
    words = ["evaluate", "--controller", "c", "--row", "real.csv", "--episodes"]
    assert main([*words, "1"]) == 0
    assert main([*words, "2"]) == 2
    error = capsys.readouterr().err
    assert "judged already, over 1 test episodes; 2 were asked for" in error
    assert error.count("\n") == 1
    assert main([*words, "1"]) == 0


def test_the_box_shows_each_row_of_the_book_at_its_budget_and_says_how_many_seeds_it_has():
    box = results.box()
    assert list(box.cells) == list(results.WAYS)
    read = [
        row
        for name in ("baselines", "real", "dream")
        for row in results.read(f"data/results/{name}.csv")
    ]
    read += results.walks("data/results/walk.csv")
    for name, at in box.cells.items():
        assert at, f"{name} has no row"
        for budget, line in at.items():
            kin = [
                row for row in read
                if (row.body, row.method, row.configuration, row.budget, row.split) == ("humanoid", line.method, line.configuration, line.budget, "test")
            ]  # fmt: skip
            assert line.seeds == len({row.seed for row in kin}) == len(kin) > 0
            assert line.episode_return.middle == pytest.approx(
                np.mean([row.mean_return for row in kin])
            )
            cell = f"{line.episode_return.middle:,.0f} ({line.steps.middle:.0f} steps, {line.seeds} seed"
            assert line.budget in (0, budget)
            assert cell in str(box) and cell.replace(" (", "<br><small>(") in box._repr_html_()
