"""Dream, act, learn again: every real step is counted and kept, none chooses, and a kill changes no bit."""

import dataclasses
import json

import numpy as np
import pytest

import wmlib as wm
from wmlib import storage
from wmlib.cli import main
from wmlib.config import DreamConfig, EvolveConfig, LoopConfig, StudyConfig
from wmlib.dream import iterate, rounds
from wmlib.errors import InputError

BODY = wm.body.get("humanoid")
EVOLVE = EvolveConfig(
    DreamConfig(tau=0.8, horizon=15), settings={"popsize": 4}, generations=2, episodes=2
)
LOOP = LoopConfig(
    steps=750,
    first=220,
    episodes=4,
    size=8,
    study=StudyConfig(first=20, updates=10, batch_size=64),
    evolve=EVOLVE,
)
WORLD = dataclasses.replace(
    LOOP,
    model="world",
    features="zh",
    steps=340,
    study=dataclasses.replace(LOOP.study, own_steps=3),
)


@pytest.fixture(scope="module")
def whole():
    return iterate.until_done(LOOP, say=None)


def fingerprint(run):
    log = [{key: value for key, value in row.items()} for row in run.log]
    return storage.fingerprint(
        {"params": run.params, "qpos": run.data.qpos}, [run.model.fingerprint, log]
    )


def test_every_real_step_is_counted_and_none_is_spent_past_the_limit(whole):
    assert len(whole.log) >= 3
    assert [row["real_steps"] for row in whole.log] == np.cumsum(
        [part.n_steps for part in whole.experience]
    ).tolist()
    assert whole.real_steps == whole.data.n_steps <= LOOP.steps
    assert LOOP.first - iterate.FEW < whole.experience[0].n_steps <= LOOP.first
    assert whole.data.seeds.tolist() == list(range(len(whole.data))), (
        "each episode has a seed of its own, from the run's training seeds"
    )
    assert all(len(part) == LOOP.episodes for part in whole.experience[1:])


def test_the_lineage_begins_at_zero_and_no_real_return_chooses(monkeypatch):
    assert not iterate.begin(LOOP).params.any()
    short, looked = dataclasses.replace(LOOP, steps=420), []
    plain = iterate.until_done(short, say=None)
    monkeypatch.setattr(
        iterate.Episodes,
        "returns",
        property(lambda self: looked.append(1) or np.full(len(self), -1e9)),
    )
    lied = iterate.until_done(short, say=None)
    np.testing.assert_array_equal(plain.params, lied.params)
    assert len(looked) == len(lied.log), (
        "real returns are looked at for the log, and for nothing else"
    )


@pytest.mark.parametrize("loop", [LOOP, WORLD], ids=["ensemble", "world"])
def test_a_loop_that_was_stopped_ends_with_the_same_bits(loop, tmp_path, monkeypatch):
    monkeypatch.setattr(
        iterate, "LENGTH", 8
    )  # short rows: M's own rollouts are traced step by step
    expected = fingerprint(iterate.until_done(loop, say=None))
    calls, one_round = [], iterate.one_round

    def stopping(*arguments):
        calls.append(1)
        row = one_round(*arguments)
        if len(calls) in (1, 3):  # the round was made, but not yet kept
            raise KeyboardInterrupt
        return row

    monkeypatch.setattr(iterate, "one_round", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            iterate.until_done(loop, folder=tmp_path, say=None)
    again = iterate.until_done(loop, folder=tmp_path, say=None)
    assert fingerprint(again) == expected
    assert fingerprint(iterate.until_done(loop, folder=tmp_path, say=None)) == expected
    with pytest.raises(InputError, match=r"seed 0, not 5"):
        iterate.until_done(dataclasses.replace(loop, seed=5), folder=tmp_path, say=None)
    (tmp_path / rounds.CHECKPOINT).write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        iterate.until_done(loop, folder=tmp_path, say=None)


def test_a_model_learns_more_from_round_to_round(whole):
    e = iterate.new_model("ensemble", whole.data, 16, 0)
    study = StudyConfig(first=60, updates=60, batch_size=64)
    losses = []
    for seed in range(3):
        e, found = iterate.learn(e, whole.data, study, first=not seed, seed=seed)
        losses.append(found["nll"])
    assert losses[2] < losses[1] < losses[0]


@pytest.fixture
def rows_learned(monkeypatch):
    """The rows of all batches of each fit; nothing is learned from them."""
    seen = []

    def fit(loss, params, data, recipe, **_):
        seen.append(data["row"])
        return iterate.training.TrainState(params, [{"epoch": 1.0}])

    monkeypatch.setattr(iterate.training, "fit", fit)
    return seen


def test_half_of_what_is_learned_is_new(whole, rows_learned):
    study = StudyConfig(first=200, batch_size=64)
    model, n = iterate.new_model("ensemble", whole.data, 8, 0), whole.data.n_steps
    iterate.learn(model, whole.data, study, first=True, seed=0, newest=100)
    iterate.learn(model, whole.data, study, first=True, seed=0)
    half, even = rows_learned
    assert np.mean(half >= n - 100) == pytest.approx(0.5 + 50 / n, abs=0.02)
    assert np.mean(even >= n - 100) == pytest.approx(100 / n, abs=0.02)
    assert half.max() == even.max() == n - 1


@pytest.mark.parametrize("loop", [LOOP, WORLD], ids=["ensemble", "world"])
@pytest.mark.parametrize("steps", [8_000, 30_000])
def test_half_of_each_batch_is_from_the_newest_round(whole, monkeypatch, rows_learned, loop, steps):
    """Also at the sizes of chapter 8 and of its rows, where a fixed number of 'newest' steps was once all there are."""
    newest = whole.experience[0]
    study = dataclasses.replace(loop.study, updates=200, batch_size=1_024)
    loop, old = dataclasses.replace(loop, study=study), [newest] * (steps // newest.n_steps)
    run = dataclasses.replace(iterate.begin(loop), experience=old, log=[{}])
    monkeypatch.setattr(iterate.rounds, "gather", lambda *_: newest)
    monkeypatch.setattr(iterate, "evolve", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # the dream would begin here
        iterate.one_round(run, loop)
    assert len(rows_learned) == (2 if loop.model == "world" else 1), "of V and of M"
    for rows in rows_learned:
        share, n = 1 / (len(old) + 1), rows.max() + 1
        assert np.mean(rows >= n - round(n * share)) == pytest.approx(0.5 + share / 2, abs=0.03)


def test_on_the_command_line_c_model_and_experience_come_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        "iterate",
        "--steps",
        "300",
        "--first",
        "150",
        "--round-episodes",
        "4",
        "--size",
        "8",
        "--first-updates",
        "5",
        "--updates",
        "5",
        "--generations",
        "2",
        "--popsize",
        "4",
        "--episodes",
        "2",
        "--horizon",
        "9",
    ]
    assert main([*words, "--out", "c"]) == 0
    assert "round  0" in capsys.readouterr().out
    made, data = wm.load("c", "controller"), wm.load("c-experience")
    assert {path.name for path in tmp_path.iterdir()} == {"c", "c-model", "c-experience"}
    assert made.facts["real_steps"] == data.n_steps <= 300 == made.facts["budget"]
    assert made.facts["world"] == wm.load("c-model").fingerprint
    manifest = json.loads((tmp_path / "c-model" / "manifest.json").read_text())
    assert manifest["training_seeds"] == [[0, len(data) - 1]]
    assert (
        len(made.facts["log"])
        == json.loads((tmp_path / "c" / "manifest.json").read_text())["log"][-1]["round"] + 1
    )
    assert main([*words, "--out", "c"]) == 2
    assert "c exists already" in capsys.readouterr().err
    (tmp_path / "d-model").mkdir()
    assert main([*words, "--out", "d"]) == 2
    assert "d-model exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "crystal ball"], "no model 'crystal ball'; there are: ensemble, world"),
        (["--policy", "ppo"], "no policy 'ppo'"),
        (["--features", "z"], "no features 'z'"),
        (["--body", "humanid"], "Did you mean 'humanoid'"),
        (["--steps", "0"], "steps is 0"),
        (["--round-episodes", "0"], "episodes is 0"),
        (["--updates", "0"], "updates is 0"),
        (["--param-noise", "-1"], "noise -1.0"),
        (["--seed", "-1"], "seed is -1; expected a whole number of at least 0"),
        (["--generations", "0"], "generations is 0"),
        (["--strategy", "luck"], "no strategy 'luck'"),
        (["--heads"], "has no heads"),
    ],
)
def test_a_wrong_command_gets_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    small = ["--first", "60", "--steps", "60", "--size", "4", "--first-updates", "1"]
    assert main(["iterate", *small, "--out", "c", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
