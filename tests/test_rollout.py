"""Real steps are Gymnasium's, to the last bit, whatever the threads and the batch."""

import gymnasium
import numpy as np
import pytest

import wmlib as wm
from wmlib.errors import InputError
from wmlib.real.rollout import rollout


def around_the_box(body, factor):
    """Random actions that reach `factor` times beyond the action box; each episode draws from its own seed."""
    policy = wm.policies.RandomActions(body)
    policy.low, policy.high = factor * policy.low, factor * policy.high
    return policy


def saturated(body):
    """+-1 in every actuator, changing sign at random: 2.5 times the box of the humanoid."""
    uniform = around_the_box(body, 1.0)

    class Saturated:
        reset = uniform.reset

        def __call__(self, obs, state):
            return np.sign(uniform(obs, state)[0]), state

    return Saturated()


POLICIES = {
    "random": lambda body: around_the_box(body, 1.0),
    "zero": wm.policies.zero_action,
    "hold": wm.policies.hold_pose,
    "saturated": saturated,
    "out of the box": lambda body: around_the_box(body, 10.0),
}


def same_as_gymnasium(body, episode):
    """Steps Gymnasium's own environment through an episode's actions and asserts that every bit agrees."""
    env = gymnasium.make(body.env_id)
    obs, _ = env.reset(seed=episode.seed)
    assert np.array_equal(obs, episode.obs[0])
    named = {
        "alive": "reward_survive",
        "control": "reward_ctrl",
        "distance": "distance_penalty",
        "velocity": "velocity_penalty",
    }
    for t, action in enumerate(episode.action):
        obs, reward, terminated, truncated, info = env.step(action)
        assert np.array_equal(obs, episode.obs[t + 1]), (
            f"observation {t + 1} of seed {episode.seed}"
        )
        assert reward == episode.reward[t], f"reward {t} of seed {episode.seed}"
        for name, values in episode.terms.items():
            assert info[named.get(name, f"reward_{name}")] == values[t], (
                f"{name} {t} of seed {episode.seed}"
            )
        last = t == len(episode) - 1
        assert (terminated, truncated) == (
            (episode.terminated, episode.truncated) if last else (False, False)
        )


@pytest.mark.parametrize("name", POLICIES)
def test_forty_whole_episodes_of_the_humanoid_equal_gymnasiums(name):
    body = wm.body.get("humanoid")
    for episode in rollout(body, POLICIES[name](body), range(1000, 1040)):
        same_as_gymnasium(body, episode)


@pytest.mark.parametrize("name", ["random", "zero", "saturated"])
def test_ten_episodes_of_the_inverted_pendulum_equal_gymnasiums(name):
    body = wm.body.get("inverted_pendulum")
    for episode in rollout(body, POLICIES[name](body), range(10)):
        same_as_gymnasium(body, episode)


@pytest.mark.parametrize("name", ["random", "zero", "out of the box"])
def test_episodes_of_1000_steps_of_a_body_that_does_not_terminate_equal_gymnasiums(name):
    body = wm.body.get("half_cheetah")
    for episode in rollout(body, POLICIES[name](body), range(3)):
        assert (len(episode), episode.terminated, episode.truncated) == (1000, False, True)
        same_as_gymnasium(body, episode)


@pytest.mark.parametrize("policy", ["random", "zero", "out of the box"])
@pytest.mark.parametrize(
    "name", ["inverted_double_pendulum", "swimmer", "hopper", "walker2d", "ant"]
)
def test_whole_episodes_of_the_other_bodies_equal_gymnasiums(name, policy):
    body = wm.body.get(name)
    for episode in rollout(body, POLICIES[policy](body), range(50, 52)):
        same_as_gymnasium(body, episode)


def test_threads_and_batch_change_no_bit():
    body = wm.body.get("humanoid")
    expected = rollout(body, POLICIES["random"](body), range(20), threads=1, batch=1)
    for threads, batch in [(1, 7), (2, 3), (2, 64), (5, 20)]:
        again = rollout(body, POLICIES["random"](body), range(20), threads=threads, batch=batch)
        for one, other in zip(expected, again, strict=True):
            assert one.seed == other.seed
            for name in ("obs", "action", "reward", "qpos", "qvel"):
                assert np.array_equal(getattr(one, name), getattr(other, name)), (
                    threads,
                    batch,
                    name,
                )


def test_at_least_so_many_steps_are_whole_episodes_and_the_same_for_any_batch():
    body = wm.body.get("humanoid")
    runs = [
        rollout(body, POLICIES["random"](body), range(500), min_steps=300, batch=batch)
        for batch in (1, 5, 64)
    ]
    lengths = [[len(episode) for episode in episodes] for episodes in runs]
    assert lengths[0] == lengths[1] == lengths[2]
    assert sum(lengths[0]) >= 300 > sum(lengths[0][:-1])


def test_a_limit_of_steps_truncates_and_is_never_called_a_fall():
    body = wm.body.get("humanoid")
    for episode in rollout(body, POLICIES["zero"](body), range(4), max_steps=10):
        assert (len(episode), episode.terminated, episode.truncated) == (10, False, True)


def test_a_row_whose_episode_ends_gets_a_fresh_policy_state():
    body = wm.body.get("humanoid")

    class Counting:
        """Pushes harder at each step, so that a state that is not made anew shows in the actions."""

        def reset(self, seeds):
            return (seeds * 0,)

        def __call__(self, obs, state):
            return np.repeat(state[0][:, None] * 0.01, body.a_dim, axis=1), (state[0] + 1,)

    for episode in rollout(body, Counting(), range(9), batch=2):
        assert np.allclose(episode.action[:, 0], 0.01 * np.arange(len(episode)))


def test_observations_can_be_left_out():
    body = wm.body.get("humanoid")
    episode = rollout(body, POLICIES["zero"](body), [0], keep_obs=False)[0]
    assert episode.obs is None
    assert len(episode.qpos) == len(episode) + 1


def test_the_pose_is_held_longer_than_nothing_is_done():
    body = wm.body.get("humanoid")
    held, zero = (
        np.mean([len(e) for e in rollout(body, POLICIES[name](body), range(20))])
        for name in ("hold", "zero")
    )
    assert held > 1.5 * zero


def test_a_policy_that_standardises_in_place_changes_nothing_that_is_stored():
    body = wm.body.get("humanoid")

    def in_place(obs, state):
        obs -= 1
        obs /= 2
        return np.zeros((len(obs), 17)), state

    changed, plain = (
        wm.rollout(body, policy, range(2), max_steps=10, batch=1)
        for policy in (in_place, wm.policies.zero_action(body))
    )
    for one, other in zip(changed, plain, strict=True):
        for name in ("obs", "qpos", "qvel", "reward", "action"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("action", [1e39, -1e300, np.nan, np.inf])
def test_an_action_is_checked_after_it_is_rounded(action):
    body = wm.body.get("humanoid")
    with pytest.raises(InputError, match=r"NaN or infinite, first in row 0 .as float32"):
        wm.rollout(
            body, lambda obs, state: (np.full((len(obs), 17), action), state), [0], max_steps=3
        )


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None, True])
def test_the_seed_of_an_episode_is_whole(seed):
    body = wm.body.get("humanoid")
    with pytest.raises(InputError, match="The seed of an episode is"):
        wm.rollout(body, wm.policies.zero_action(body), [seed], max_steps=3)
