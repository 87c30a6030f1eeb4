"""C evolved in a dream: it climbs, resumes to the same bits, and when it wakes it sees and remembers what it did in the dream."""

import dataclasses

import numpy as np
import pytest
from test_dream import BODY, a_world

import wmlib as wm
from wmlib import storage
from wmlib.cli import main
from wmlib.config import DreamConfig, EnsembleConfig, EvolveConfig
from wmlib.control import controller
from wmlib.control import evolve as loop
from wmlib.control.agent import Agent
from wmlib.dream.fitness import APART, DreamFitness, linear_for
from wmlib.errors import InputError
from wmlib.models.ensemble import Ensemble

SLEEP = EvolveConfig(
    DreamConfig(tau=0.5, horizon=12), settings={"popsize": 8}, generations=21, episodes=3
)


def evolve(model, linear, data, config, **how):
    return loop.evolve(DreamFitness.of(model, linear, data, config), **how)


@pytest.fixture(scope="module")
def real():
    return wm.gather(BODY, "mixed", 400, 0)


@pytest.fixture(scope="module")
def small(real):
    return a_world(real)


@pytest.fixture(scope="module")
def whole(real, small):
    return evolve(small, linear_for(small, "zh", real), real, SLEEP, say=None)


def test_it_climbs_in_the_dream(whole, small, real):
    checks = [row["check"] for row in whole.log if "check" in row]
    assert len(checks) == 3 and checks[-1] > checks[0] - 1
    assert whole.steps == whole.log[-1]["dreamed_steps"] > 21 * 8 * 3
    long = dataclasses.replace(
        SLEEP, settings={"popsize": 16, "sigma": 0.1, "learning_rate": 0.1}, generations=40
    )
    climbed = evolve(small, linear_for(small, "zh", real), real, long, say=None).log
    checks = [row["check"] for row in climbed if "check" in row]
    assert checks[-1] > checks[0] + 0.5


def test_a_search_that_was_stopped_ends_with_the_same_bits(
    whole, real, small, tmp_path, monkeypatch
):
    linear, calls = linear_for(small, "zh", real), []
    generation = DreamFitness.generation

    def stopping(*arguments):
        calls.append(1)
        if len(calls) in (4, 17):
            raise KeyboardInterrupt
        return generation(*arguments)

    monkeypatch.setattr(DreamFitness, "generation", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evolve(small, linear, real, SLEEP, folder=tmp_path, say=None)
    again = evolve(small, linear, real, SLEEP, folder=tmp_path, say=None)
    np.testing.assert_array_equal(again.params, whole.params)
    assert [row["mean"] for row in again.log] == [row["mean"] for row in whole.log]
    with pytest.raises(InputError, match="generations 21, not 5"):
        evolve(
            small,
            linear,
            real,
            dataclasses.replace(SLEEP, generations=5),
            folder=tmp_path,
            say=None,
        )
    with pytest.raises(InputError, match="another model"):
        evolve(a_world(real, seed=1), linear, real, SLEEP, folder=tmp_path, say=None)


def test_several_nights_are_searches_of_their_own_and_c_is_their_mean(whole, real, small, tmp_path):
    linear, short = (
        linear_for(small, "zh", real),
        dataclasses.replace(SLEEP, generations=3, seed=1),
    )
    alone = [
        evolve(small, linear, real, dataclasses.replace(short, seed=1 + APART * k), say=None)
        for k in range(2)
    ]
    both = evolve(
        small, linear, real, dataclasses.replace(short, searches=2), folder=tmp_path, say=None
    )
    np.testing.assert_array_equal(both.params, np.mean([one.params for one in alone], axis=0))
    assert [row["mean"] for row in both.log] == [row["mean"] for one in alone for row in one.log]
    assert [(row["search"], row["generation"]) for row in both.log] == [
        (k, g) for k in range(2) for g in range(3)
    ]
    assert both.steps == both.log[-1]["dreamed_steps"] == sum(one.steps for one in alone)
    assert both.log[2]["check"] == alone[0].log[-1]["check"] and both.log[-1]["check"] not in (
        alone[1].log[-1]["check"],
        both.log[2]["check"],
    )
    again = evolve(
        small, linear, real, dataclasses.replace(short, searches=2), folder=tmp_path, say=None
    )
    np.testing.assert_array_equal(again.params, both.params)
    assert again.log[-1]["check"] == both.log[-1]["check"]


@pytest.mark.parametrize("features", ["z", "zh"])
def test_awake_it_sees_and_remembers_as_in_the_dream(real, small, features):
    linear = linear_for(small, features, real)
    params = 0.1 * np.random.default_rng(0).standard_normal(linear.n_params)
    episodes = wm.rollout(BODY, Agent(linear, params, small), range(5), max_steps=15, batch=3)
    for episode in episodes:
        state = small.mdnrnn.start(1)
        for t in range(len(episode)):
            z = small.vae.encode(episode.obs[t][None])[0]
            seen = np.concatenate([z, np.asarray(state[0])], axis=1) if features == "zh" else z
            np.testing.assert_allclose(
                episode.action[t], linear.act(params[None], seen[None])[0, 0], atol=1e-5
            )
            _, state = small.mdnrnn.step(z, episode.action[t][None], state)


def test_awake_without_noise_is_the_controller_and_with_noise_each_episode_explores_by_itself(real):
    linear = controller.Linear(BODY, mean=real.physics.mean(axis=0), std=real.physics.std(axis=0))
    params = 0.1 * np.random.default_rng(0).standard_normal(linear.n_params).astype(np.float32)
    plain, same = (
        wm.rollout(BODY, policy, range(4))
        for policy in (controller.Controller(linear, params), Agent(linear, params))
    )
    for one, other in zip(plain, same, strict=True):
        np.testing.assert_array_equal(one.action, other.action)
    noisy = Agent(linear, params, param_noise=0.02, action_noise=0.2)
    together, apart = (
        wm.rollout(BODY, noisy, range(4)),
        wm.rollout(BODY, noisy, range(4), batch=1, threads=1),
    )
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one.action, other.action)
    assert not np.array_equal(together[0].action[0], plain[0].action[0])
    assert np.abs(together[0].action).max() <= 0.4 + 1e-6


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda w, r: Agent(controller.Linear(BODY, "z", 6), np.zeros(119)),
            "does not fit a body without a world",
        ),
        (
            lambda w, r: Agent(controller.Linear(BODY, "z", 7), np.zeros(136), w),
            "this world, which has 6 of 'z'",
        ),
        (lambda w, r: Agent(controller.Linear(BODY), np.zeros(7)), "782 parameters"),
        (
            lambda w, r: Agent(controller.Linear(BODY), np.zeros(782), action_noise=-1),
            "none negative",
        ),
        (lambda w, r: linear_for(w, "obs", r), "there are: physics, z, zh"),
        (
            lambda w, r: linear_for(Ensemble.create(BODY, r, EnsembleConfig(hidden=4)), "z", r),
            "there are: physics",
        ),
        (
            lambda w, r: evolve(w, linear_for(w, "z", r), r, EvolveConfig(generations=0)),
            "generations is 0",
        ),
        (
            lambda w, r: evolve(w, linear_for(w, "z", r), r, EvolveConfig(strategy="luck")),
            "no strategy 'luck'",
        ),
    ],
)
def test_wrong_input_is_refused_in_one_line(small, real, act, message):
    with pytest.raises(InputError, match=message) as caught:
        act(small, real)
    assert "\n" not in str(caught.value)


@pytest.fixture
def stored(small, real, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small.save("w", seconds=1)
    Ensemble.create(BODY, real, EnsembleConfig(members=2, hidden=8)).save("e", seconds=1)
    wm.gather(BODY, "mixed", 100, 0, "data")
    return tmp_path


def test_on_the_command_line_a_controller_comes_out_that_names_its_world(
    stored, small, real, capsys
):
    words = [
        "dream",
        "--data",
        "data",
        "--generations",
        "2",
        "--episodes",
        "2",
        "--popsize",
        "4",
        "--horizon",
        "9",
    ]
    assert main([*words, "--world", "w", "--features", "zh", "--out", "c"]) == 0
    assert main([*words, "--world", "e", "--penalty", "0.5", "--doubt", "3", "--out", "d"]) == 0
    assert "dreamed: population" in capsys.readouterr().out
    made = wm.load("c", "controller")
    assert made.linear.features == "zh" and made.facts["world"] == small.fingerprint
    assert made.facts["evolve"]["dream"]["horizon"] == 9 and "wmlib dream" in made.facts["command"]
    assert wm.load("d").facts["world"] == wm.load("e").fingerprint
    assert {path.name for path in stored.iterdir()} == {"w", "e", "data", "c", "d"}
    judged = ["evaluate", "--controller", "c", "--episodes", "2", "--split", "selection"]
    assert main([*judged, "--world", "w"]) == 0
    assert main(judged) == 2
    assert "no world is given" in capsys.readouterr().err
    a_world(real, seed=1).save("other", seconds=1)
    assert main([*judged, "--world", "other"]) == 2
    assert "Give the world that it was evolved in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--world", "nowhere"], "no artefact 'nowhere"),
        (["--world", "data"], "holds 'episodes'"),
        (["--data", "w"], "holds 'world'"),
        (["--features", "obs"], "no features 'obs'"),
        (["--tau", "-1"], "tau -1"),
        (["--horizon", "0"], "horizon is 0"),
        (["--generations", "0"], "generations is 0"),
        (["--strategy", "openai"], "Did you mean 'openai-es'"),
        (["--popsize", "3"], "population of 3"),
        (["--penalty", "1"], "need an ensemble"),
        (["--world", "e", "--heads"], "has no heads"),
        (["--out", "data"], "exists already"),
        (["--seed", "x"], "invalid int value"),
    ],
)
def test_a_wrong_command_gets_one_line(stored, capsys, words, message):
    before = {path.name for path in stored.iterdir()}
    every = {
        "--world": "w",
        "--data": "data",
        "--out": "c",
        "--features": "z",
        "--generations": "1",
    }
    given = (
        dict(zip(words[::2], [*words[1::2], None], strict=False))
        if len(words) % 2
        else dict(zip(words[::2], words[1::2], strict=True))
    )
    if given.get("--world") == "e":
        every["--features"] = "physics"
    line = [
        part
        for name, value in {**every, **given}.items()
        for part in (name, value)
        if part is not None
    ]
    try:
        code = main(["dream", *line])
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1
    assert {path.name for path in stored.iterdir()} - before <= {"c.run"}


def test_a_damaged_ensemble_is_refused(stored):
    manifest = storage.read_manifest(stored / "e")
    (stored / "e" / "ensemble.safetensors").write_bytes(b"x")
    assert manifest["kind"] == "ensemble"
    with pytest.raises(InputError, match="truncated or altered"):
        wm.load("e")
