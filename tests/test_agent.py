"""A controller on z and h in the real simulator: the same z and h as everywhere, and a memory that begins empty with each episode."""

import functools

import numpy as np
import pytest

import wmlib as wm
from wmlib.control.agent import Agent
from wmlib.control.controller import Linear
from wmlib.control.population import evaluate_population
from wmlib.dream.fitness import linear_for
from wmlib.errors import InputError

WORLD = wm.load("humanoid-world")
LINEAR = linear_for(WORLD, "zh")
PARAMS = 0.05 * np.random.default_rng(0).standard_normal(LINEAR.n_params)


def test_the_action_is_that_of_the_code_and_the_memory_of_what_was_seen_and_done():
    (episode,) = wm.rollout(WORLD.body, Agent(LINEAR, PARAMS, WORLD), [4])
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
        wm.rollout(WORLD.body, policy, [1, 2])
        for policy in (
            Agent(LINEAR, PARAMS, WORLD, frozen=True),
            Agent(on_z, without_h, WORLD),
            Agent(LINEAR, PARAMS, WORLD),
        )
    )
    for one, other, third in zip(frozen, plain, live, strict=True):
        assert np.allclose(one.action[:5], other.action[:5], atol=1e-6)
        assert not np.allclose(one.action[1:5], third.action[1:5], atol=1e-3)


def test_a_population_plays_and_a_new_episode_begins_with_an_empty_memory():
    population = np.stack([PARAMS, 0 * PARAMS])
    played = evaluate_population(
        LINEAR, population, [1, 2], policy=functools.partial(Agent, model=WORLD), batch=3
    )
    alone = [
        evaluate_population(
            LINEAR, row, [seed], policy=functools.partial(Agent, model=WORLD), batch=3
        ).returns[0, 0]
        for row in population
        for seed in (1, 2)
    ]
    assert np.allclose(played.returns.ravel(), alone, rtol=0.02)
    zero = wm.rollout(WORLD.body, wm.policies.zero_action(WORLD.body), [1, 2])
    assert played.returns[1].tolist() == [episode.episode_return for episode in zero]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: Agent(Linear(WORLD.body), np.zeros(782), WORLD),
            "45 features 'physics' of humanoid does not fit",
        ),
        (
            lambda: Agent(Linear(WORLD.body, "zh", 7), np.zeros(136), WORLD),
            "7 features 'zh' of humanoid does not fit this world, which has",
        ),
        (lambda: linear_for(WORLD, "obs"), "no features 'obs' .*there are: physics, z, zh"),
        (lambda: linear_for(WORLD, "physics"), "Physical ones need episodes"),
    ],
)
def test_a_mistake_gets_one_line(act, message):
    with pytest.raises(InputError, match=message):
        act()
