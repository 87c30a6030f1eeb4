"""A controller on z and h in the real simulator: the same z and h as everywhere, and a memory that begins empty with each episode."""

import functools

import numpy as np
import pytest

import wmlib as wm
from wmlib.control.awake import play
from wmlib.control.controller import Linear
from wmlib.dream import waking
from wmlib.dream.waking import Waking
from wmlib.errors import InputError

WORLD = wm.load("humanoid-world")
LINEAR = waking.linear(WORLD)
PARAMS = 0.05 * np.random.default_rng(0).standard_normal(LINEAR.n_params)


def test_the_action_is_that_of_the_code_and_the_memory_of_what_was_seen_and_done():
    (episode,) = wm.rollout.rollout(WORLD.body, Waking(WORLD, LINEAR, PARAMS), [4])
    for t in (0, 1, 12):
        _, z, h, _ = WORLD.watch(episode.obs[None, : t + 1], episode.action[None, :t])
        features = np.concatenate([np.asarray(z), np.asarray(h)], axis=-1).astype(float)
        assert np.allclose(
            LINEAR.act(PARAMS[None], features[None])[0, 0], episode.action[t], atol=1e-4
        )


def test_frozen_memory_is_no_memory():
    on_z = Linear(WORLD.body, "z", WORLD.vae.z_dim)
    W_c, b_c = LINEAR.unpack(PARAMS)
    without_h = np.concatenate([W_c[:, : on_z.n_features].ravel(), b_c])
    frozen, plain, live = (
        wm.rollout.rollout(WORLD.body, policy, [1, 2])
        for policy in (
            Waking(WORLD, LINEAR, PARAMS, frozen=True),
            Waking(WORLD, on_z, without_h),
            Waking(WORLD, LINEAR, PARAMS),
        )
    )
    for one, other, third in zip(frozen, plain, live, strict=True):
        assert np.allclose(one.action[:5], other.action[:5], atol=1e-6)
        assert not np.allclose(one.action[1:5], third.action[1:5], atol=1e-3)


def test_a_population_plays_and_a_new_episode_begins_with_an_empty_memory():
    population = np.stack([PARAMS, 0 * PARAMS])
    played = play(LINEAR, population, [1, 2], policy=functools.partial(Waking, WORLD), batch=3)
    alone = [
        play(LINEAR, row, [seed], policy=functools.partial(Waking, WORLD), batch=3).returns[0, 0]
        for row in population
        for seed in (1, 2)
    ]
    assert np.allclose(played.returns.ravel(), alone, rtol=0.02)
    zero = wm.rollout.rollout(WORLD.body, wm.policies.zero_action(WORLD.body), [1, 2])
    assert played.returns[1].tolist() == [episode.episode_return for episode in zero]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: Waking(WORLD, Linear(WORLD.body), np.zeros(782)),
            "45 features 'physics' of humanoid does not fit",
        ),
        (
            lambda: Waking(WORLD, Linear(WORLD.body, "zh", 7), np.zeros(136)),
            "7 features 'zh' of humanoid does not fit this world, which has",
        ),
        (lambda: waking.linear(WORLD, "obs"), "gives the features z and zh; 'obs' was asked for"),
    ],
)
def test_a_mistake_gets_one_line(act, message):
    with pytest.raises(InputError, match=message):
        act()
