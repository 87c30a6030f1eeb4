"""C on the real body: the same episodes for all, every step counted, and the same bits whatever the threads, the batch and the kills."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import wmlib as wm
from wmlib import storage
from wmlib.cli import main
from wmlib.config import SearchConfig
from wmlib.control import controller
from wmlib.control import evolve as loop
from wmlib.control import population as on_body
from wmlib.control.controller import Controller, Linear
from wmlib.control.evolve import CHECKPOINT, RealFitness
from wmlib.control.population import Moments, evaluate_population
from wmlib.errors import InputError
from wmlib.seeds import SELECTION_SEEDS, TRAINING_SEEDS, run_seeds

BODY = wm.body.get("humanoid")
POLE = wm.body.get("inverted_pendulum")
TINY = SearchConfig(
    steps=1_600, budgets=(700,), settings={"popsize": 6}, seed=3, check_every=2, check_episodes=3
)
RNG = np.random.default_rng(0)


def evolve(search, workers=None, **how):
    return loop.evolve(RealFitness(search, workers), **how)


@pytest.fixture(scope="module")
def tiny():
    """A whole search of a few generations."""
    return evolve(TINY, say=None)


def test_every_candidate_plays_every_seed_as_it_would_alone():
    """Common random numbers: the episodes of a population are those that each controller plays by itself."""
    linear = Linear(BODY)
    population = (0.02 * RNG.standard_normal((5, linear.n_params))).astype(np.float32).astype(float)
    played = evaluate_population(linear, population, [11, 12, 13], batch=4)
    for row, params in enumerate(population):
        alone = wm.rollout(BODY, Controller(linear, params), [11, 12, 13])
        assert played.returns[row].tolist() == [episode.episode_return for episode in alone]
        assert played.lengths[row].tolist() == [len(episode) for episode in alone]
        assert played.alive[row].tolist() == [episode.terms["alive"].sum() for episode in alone]
    assert played.real_steps == played.lengths.sum()
    assert np.allclose(played.fitness(), played.returns.mean(axis=1))
    assert np.allclose(
        played.fitness(healthy_weight=0), (played.returns - played.alive).mean(axis=1)
    )


def test_threads_batch_and_chunks_change_no_bit(monkeypatch):
    linear = Linear(BODY, "obs")
    population = 0.01 * RNG.standard_normal((6, linear.n_params))
    expected = evaluate_population(linear, population, range(3), workers=1, see=True)
    for threads, batch, chunk in [(2, 32, 256), (1, 5, 7), (2, 1, 4)]:
        monkeypatch.setattr(on_body, "CHUNK", chunk)
        again = evaluate_population(
            linear, population, range(3), workers=threads, batch=batch, see=True
        )
        assert np.array_equal(again.returns, expected.returns) and np.array_equal(
            again.lengths, expected.lengths
        )
        assert all(
            np.array_equal(a, b)
            for one, other in zip(expected.seen, again.seen, strict=True)
            for a, b in zip(one, other, strict=True)
        )


def test_moments_add_up_to_those_of_all_rows():
    rows = 1e3 + RNG.standard_normal((100, 4)) * [1, 1e-3, 10, 0]
    merged = Moments(0.0, np.zeros(4), np.zeros(4))
    assert merged.std.tolist() == [1] * 4
    for part in np.split(rows, [3, 4, 60]):
        merged = merged.merged(Moments.of(part))
    assert merged.n == 100
    assert np.allclose(merged.mean, rows.mean(axis=0)) and np.allclose(
        merged.std, rows.std(axis=0), atol=1e-9
    )


def test_what_c_sees_is_counted_once_for_each_action():
    linear = Linear(BODY, "obs")
    played = evaluate_population(linear, np.zeros(linear.n_params), [5], see=True)
    (episode,) = wm.rollout(BODY, wm.policies.zero_action(BODY), [5])
    assert played.seen[0].n == len(episode)
    assert np.allclose(played.seen[0].mean, episode.obs[:-1].mean(axis=0))


def test_every_real_step_counts_and_c_at_a_mark_was_made_within_it(tiny, monkeypatch):
    counted = []
    rollout = on_body.rollout
    monkeypatch.setattr(
        on_body,
        "rollout",
        lambda *given, **named: counted.append(rollout(*given, **named)) or counted[-1],
    )
    again = evolve(TINY, say=None)
    assert again.fingerprint == tiny.fingerprint
    assert tiny.steps == sum(len(episode) for episodes in counted for episode in episodes)
    assert sorted(tiny.kept) == [700, 1_600]
    for budget, kept in tiny.kept.items():
        assert 0 < kept.steps <= budget
    assert tiny.steps > 1_600 >= tiny.log[-2]["real_steps"]


def test_training_and_checks_play_their_own_seeds_fresh_in_each_generation(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(
        loop,
        "evaluate_population",
        lambda linear, population, seeds, **named: (
            asked.append(list(seeds)) or evaluate_population(linear, population, seeds, **named)
        ),
    )
    evolve(TINY, say=None)
    training = [seeds for seeds in asked if len(seeds) == 1]
    assert [seeds[0] for seeds in training] == list(run_seeds(TRAINING_SEEDS, 3))[: len(training)]
    checks = [seeds for seeds in asked if len(seeds) == 3]
    assert len(checks) == sum("check" in row for row in tiny.log)
    assert all(seeds == list(run_seeds(SELECTION_SEEDS, 3))[:3] for seeds in checks)


def test_what_is_reported_is_the_mean_with_the_best_check_never_the_best_of_a_population(tiny):
    checks = [row["check"] for row in tiny.log if "check" in row]
    kept = tiny.kept[1_600]
    assert kept.checked == max(checks)
    made = tiny.controller
    seeds = run_seeds(SELECTION_SEEDS, 3)[:3]
    assert evaluate_population(made.linear, kept.params, seeds).returns.mean() == pytest.approx(
        kept.checked
    )
    newest = evolve(dataclasses.replace(TINY, check_episodes=0), say=None)
    assert all("check" not in row for row in newest.log)
    assert newest.kept[1_600].generation == newest.strategy.generation - 1


def test_normalisation_is_that_of_the_episodes_before_this_generation(monkeypatch):
    used = []
    monkeypatch.setattr(
        loop,
        "evaluate_population",
        lambda linear, *given, **named: (
            used.append((linear, evaluate_population(linear, *given, **named))) or used[-1][1]
        ),
    )
    evolve(dataclasses.replace(TINY, check_episodes=0), say=None)
    seen = Moments(0.0, np.zeros(45), np.zeros(45))
    for linear, played in used:
        assert np.allclose(linear.mean, seen.mean, atol=1e-5) and np.allclose(
            linear.std, seen.std, atol=1e-5
        )
        for moments in played.seen:
            seen = seen.merged(moments)
    raw = evolve(dataclasses.replace(TINY, normalise=False), say=None)
    assert not raw.linear.mean.any() and (raw.linear.std == 1).all()


@pytest.mark.parametrize("strategy", ["openai-es", "cma-es", "cem"])
def test_a_search_that_was_stopped_ends_with_the_same_bits_on_other_threads(tmp_path, strategy):
    settings = {"popsize": 6}
    tiny = dataclasses.replace(TINY, strategy=strategy, settings=settings)
    whole, stops = evolve(tiny, 1, say=None), iter((1, 2, 100))

    class StopError(Exception):
        pass

    def stop_after(n):
        def say(line):
            nonlocal n
            n -= 1
            if n == 0:
                raise StopError

        return say

    for n in stops:
        try:
            again = evolve(tiny, 2, folder=tmp_path, checkpoint_every=1, say=stop_after(n))
        except StopError:
            continue
    assert again.fingerprint == whole.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_kills_change_no_bit(tmp_path):
    """The command, killed three times: when a save is done, and when one has just begun."""
    words = [
        "train-controller",
        "--steps",
        "4000",
        "--budgets",
        "1500",
        "--popsize",
        "6",
        "--strategy",
        "cma-es",
        "--seed",
        "2",
        "--check-episodes",
        "4",
        "--out",
    ]
    assert main([*words, str(tmp_path / "whole")]) == 0
    run = tmp_path / "killed.run"

    def saved():
        return (run / CHECKPOINT).stat().st_mtime_ns if (run / CHECKPOINT).exists() else 0

    for kill in range(3):
        before = saved()
        process = subprocess.Popen(
            [sys.executable, "-m", "wmlib", *words, str(tmp_path / "killed")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while (
            process.poll() is None
            and saved() == before
            and not (kill % 2 and any(run.glob(f".{CHECKPOINT}.*")))
        ):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert main([*words, str(tmp_path / "killed")]) == 0
    for name in ("", "-1500"):
        assert (tmp_path / f"killed{name}" / controller.FILE).read_bytes() == (
            tmp_path / f"whole{name}" / controller.FILE
        ).read_bytes()
        one, other = (wm.load(tmp_path / f"{run}{name}").facts for run in ("whole", "killed"))
        assert [{**row, "seconds": 0, "cpu_seconds": 0} for row in one["log"]] == [
            {**row, "seconds": 0, "cpu_seconds": 0} for row in other["log"]
        ]
    assert not run.exists()
    assert set(os.listdir(tmp_path)) == {"whole", "whole-1500", "killed", "killed-1500"}


def test_a_pole_is_balanced_in_a_few_thousand_steps():
    run = evolve(
        SearchConfig(
            body="inverted_pendulum",
            strategy="cma-es",
            settings={"popsize": 8, "sigma": 0.5},
            steps=20_000,
            check_every=2,
            check_episodes=4,
        ),
        say=None,
    )
    played = evaluate_population(run.controller.linear, run.controller.params, range(500, 510))
    assert played.returns.mean() > 900


def change(**changed):
    return lambda folder: dataclasses.replace(TINY, **changed)


def damage(folder):
    (folder / CHECKPOINT).write_bytes(b"half")
    return TINY


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (change(seed=4), "seed 3, not 4"), (change(steps=1_700), "steps 1600, not 1700"), (change(settings={"popsize": 8}), "settings .*6.*not .*8"),
        (change(strategy="cem"), "strategy openai-es, not cem"), (change(budgets=()), "budgets"), (damage, "cannot be read as safetensors"),
    ],
)  # fmt: skip
def test_another_search_in_the_same_folder_is_refused_in_one_line(tmp_path, tiny, act, message):
    arrays, about = tiny.state()
    about |= {"search": TINY.about(), "of": ""}
    storage.write_checkpoint(tmp_path / CHECKPOINT, arrays, about)
    assert evolve(TINY, folder=tmp_path, say=None).fingerprint == tiny.fingerprint
    with pytest.raises(InputError, match=message) as caught:
        evolve(act(tmp_path), folder=tmp_path, say=None)
    assert "\n" not in str(caught.value)


COMMANDS = {
    "an unknown body": (["--body", "humanid"], r"Did you mean 'humanoid'\?"),
    "unknown features": (["--features", "pixels"], r"no features 'pixels'"),
    "features of a world": (["--features", "z"], r"0 features 'z' .*at least 1"),
    "an unknown strategy": (["--strategy", "es"], r"no strategy 'es'; there are"),
    "a setting of another strategy": (
        ["--strategy", "cem", "--learning-rate", "1"],
        r"'cem' has no setting 'learning_rate'",
    ),
    "no steps": (["--steps", "0"], r"steps is 0"),
    "a budget past the end": (["--budgets", "5000"], r"no budget past the last step"),
    "a budget of nothing, in the words of an older release": (
        ["--marks", "0"],
        r"budgets is 0",
    ),
    "steps that are no number": (["--steps", "many"], r"invalid int value: 'many'"),
    "an odd population": (["--popsize", "7"], r"population of 7"),
    "no episodes": (["--episodes", "0"], r"episodes is 0"),
    "fewer than no checks": (["--check-episodes", "-1"], r"check_episodes is -1"),
    "episodes of no steps": (["--max-steps", "0"], r"max_steps is 0"),
    "a run seed out of range": (["--seed", "1000"], r"from 0 to 999"),
    "no workers": (["--workers", "0"], r"0 workers were asked for"),
    "a folder that exists": (["--out", "taken"], r"taken exists already. Nothing was overwritten"),
    "a budget's folder that exists": (
        ["--out", "new", "--budgets", "300"],
        r"new-300 exists already. Nothing was overwritten",
    ),
    "a folder inside a file": (["--out", "file/new"], r"Cannot write in file: it is no folder"),
}


@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_wrong_command_gets_one_line_and_leaves_no_file(mistake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "new-300").mkdir()
    (tmp_path / "file").write_text("not a folder")
    before = sorted(tmp_path.rglob("*"))
    words, message = COMMANDS[mistake]
    try:
        code = main(["train-controller", "--steps", "400", "--out", "out", *words])
    except SystemExit as left:
        code = left.code
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1 and error.startswith("wmlib")
    assert re.search(message, error), error
    assert sorted(tmp_path.rglob("*")) == before
