"""The dream as a VectorEnv does what Gymnasium's own SyncVectorEnv does with as many single dreams: resets, ends and rewards."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from test_dream import BODY, a_world, linear_on, population

import wmlib as wm
from wmlib.config import DreamConfig, EnsembleConfig
from wmlib.dream.dream import Dream
from wmlib.dream.dreamenv import DreamEnv
from wmlib.errors import InputError
from wmlib.models.ensemble import Ensemble

N = 5


@pytest.fixture(scope="module")
def real():
    return wm.gather(BODY, "mixed", 400, 0)


@pytest.fixture(scope="module", params=["world", "ensemble"])
def dreams(request, real):
    if request.param == "world":
        model, features = a_world(real), "zh"
    else:
        model, features = (
            Ensemble.create(BODY, real, EnsembleConfig(members=1, hidden=16)),
            "physics",
        )
    return Dream(model, linear_on(features, model, real), DreamConfig(horizon=9))


class OneDream(gymnasium.Env):
    """One dream as a plain environment that knows of no automatic reset."""

    def __init__(self, dreams, starts):
        self.rows = DreamEnv(dreams, starts, 1)
        self.observation_space, self.action_space = (
            self.rows.single_observation_space,
            self.rows.single_action_space,
        )

    def reset(self, *, seed=None, options=None):
        return self.rows.reset(seed=seed)[0][0], {}

    def step(self, action):
        obs, reward, terminated, truncated, _ = self.rows.step(action[None])
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}


def test_it_does_what_sync_vector_env_does(dreams, real):
    starts = dreams.starts(real, 20, latest=8)
    ours, theirs = (
        DreamEnv(dreams, starts, N),
        SyncVectorEnv([lambda: OneDream(dreams, starts)] * N),
    )
    assert (
        ours.metadata["autoreset_mode"]
        is theirs.metadata["autoreset_mode"]
        is AutoresetMode.NEXT_STEP
    )
    assert (
        ours.observation_space == theirs.observation_space
        and ours.action_space == theirs.action_space
    )
    rng, ends = np.random.default_rng(0), np.zeros(2, int)
    for seed in (11, None):
        np.testing.assert_allclose(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0], atol=1e-6)
        for _ in range(40):
            action = rng.uniform(-0.4, 0.4, (N, BODY.a_dim)).astype(np.float32)
            (obs, reward, terminated, truncated, info), expected = (
                ours.step(action),
                theirs.step(action),
            )
            np.testing.assert_allclose(obs, expected[0], atol=1e-3)
            np.testing.assert_allclose(reward, expected[1], atol=1e-3)
            np.testing.assert_array_equal(terminated, expected[2])
            np.testing.assert_array_equal(truncated, expected[3])
            assert obs.dtype == np.float32 and reward.dtype == np.float64 and info == {}
            ends += [terminated.sum(), truncated.sum()]
    assert (ends > 0).all(), "both kinds of end must have been seen"
    ours.close()


def test_a_seed_gives_the_same_dreams_again_and_observations_are_copies(dreams, real):
    env = DreamEnv(dreams, dreams.starts(real, 20), N)
    first, seen = [], None
    for _ in range(2):
        obs, _ = env.reset(seed=[3, 1, 4, 1, 5])
        np.testing.assert_array_equal(obs[1], obs[3])
        rows = [obs, *(env.step(np.zeros((N, BODY.a_dim)))[0] for _ in range(12))]
        seen = np.stack(rows)
        first.append(seen)
    np.testing.assert_array_equal(*first)
    assert not np.array_equal(seen[0], seen[1])


def test_an_agent_in_the_environment_earns_what_the_rollout_says_at_temperature_zero(real):
    model = a_world(real)
    dreams = Dream(model, linear_on("zh", model, real), DreamConfig(horizon=15, tau=0.0))
    starts, params = dreams.starts(real, 1), population(dreams.linear, 1)
    env, total = DreamEnv(dreams, starts, 2), np.zeros(2)
    obs, _ = env.reset(seed=0)
    going = np.ones(2, bool)
    while going.any():
        obs, reward, terminated, truncated, _ = env.step(dreams.linear.act(params, obs[None])[0])
        total += np.where(going, reward, 0)
        going &= ~(terminated | truncated)
    np.testing.assert_allclose(total, dreams(params, starts, 0).returns[0, 0], rtol=1e-4)


def test_members_share_rows_that_do_not_divide(real):
    e = Ensemble.create(BODY, real, EnsembleConfig(members=3, hidden=16))
    dreams = Dream(e, linear_on("physics", e, real), DreamConfig(tau=0.0))
    env = DreamEnv(dreams, dreams.starts(real, 1), 4)
    env.reset(seed=0)
    obs = env.step(np.zeros((4, BODY.a_dim)))[0]
    np.testing.assert_array_equal(obs[0], obs[3])
    assert not np.allclose(obs[0], obs[1])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda env, d, s: DreamEnv(d, s, 0), "number of environments is 0"),
        (lambda env, d, s: env.step(np.zeros((N, BODY.a_dim))), "after a reset"),
        (lambda env, d, s: (env.reset(seed=0), env.step(np.zeros((N, 3)))), r"shape \(5, 3\)"),
        (
            lambda env, d, s: (env.reset(seed=0), env.step(np.full((N, BODY.a_dim), np.nan))),
            "finite",
        ),
        (lambda env, d, s: env.reset(seed=[1, 2]), "expected 5"),
        (lambda env, d, s: DreamEnv(d, s.__class__("another", s.state), 2), "another model's"),
    ],
)
def test_wrong_input_is_refused_in_one_line(dreams, real, act, message):
    starts = dreams.starts(real, 4)
    with pytest.raises(InputError, match=message) as caught:
        act(DreamEnv(dreams, starts, N), dreams, starts)
    assert "\n" not in str(caught.value)


def test_seeds_are_what_gymnasium_names_them(dreams, real):
    """None leaves a row's numbers as they are; NumPy's integers are integers."""
    starts, quiet = dreams.starts(real, 40), np.zeros((3, BODY.a_dim))

    def after(env, **how):
        return env.reset(**how)[0], env.step(quiet)[0]

    one, two = DreamEnv(dreams, starts, 3), DreamEnv(dreams, starts, 3)
    for of in (one, two):
        of.reset(seed=np.int64(3))
    again = after(one, seed=[None, np.int32(1), 2])
    np.testing.assert_array_equal(again[1][0], after(two)[1][0])
    np.testing.assert_array_equal(again[1][1:], after(two, seed=[0, 1, 2])[1][1:])
    for bad in (-1, 1.5, "3", [0, 1, 1.5], True):
        with pytest.raises(InputError):
            one.reset(seed=bad)
    fresh = DreamEnv(dreams, starts, 3)
    fresh.reset(seed=[None, 1, 2])
    assert np.isfinite(fresh.step(quiet)[0]).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_and_a_pickle_go_on_as_the_original_does_and_leave_it_alone(copied, dreams, real):
    env = DreamEnv(dreams, dreams.starts(real, 20), N)
    env.reset(seed=3)
    action = np.full((N, BODY.a_dim), 0.1, np.float32)
    env.step(action)  # compiled by now
    other = copied(env)
    theirs, ours = ([one.step(action) for _ in range(12)] for one in (other, env))
    for one, same in zip(theirs, ours, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one[:4], same[:4], strict=True))
    assert np.array_equal(other.reset(seed=4)[0], env.reset(seed=4)[0])
