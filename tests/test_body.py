"""What is true of a body without learning, held against Gymnasium and MuJoCo themselves."""

import gymnasium
import numpy as np
import pytest

import wmlib as wm


@pytest.fixture(scope="module")
def humanoid():
    return wm.body.get("humanoid")


@pytest.fixture(scope="module")
def fallen(humanoid):
    """A few episodes of random actions, to their ends."""
    return wm.rollout.rollout(humanoid, wm.policies.RandomActions(humanoid), range(8))


def test_the_slices_of_the_humanoid_tile_its_348_numbers_in_gymnasiums_order(humanoid):
    structure = gymnasium.make("Humanoid-v5").unwrapped.observation_structure
    widths = {name: part.stop - part.start for name, part in humanoid.obs_slices.items()}
    assert widths == {name: width for name, width in structure.items() if name in widths}
    edges = [edge for part in humanoid.obs_slices.values() for edge in (part.start, part.stop)]
    assert edges[0] == 0
    assert edges[-1] == humanoid.obs_dim == 348
    assert edges[1:-1:2] == edges[2::2]


def test_the_physical_state_is_read_from_an_observation_exactly(humanoid, fallen):
    for episode in fallen:
        qpos, qvel = humanoid.state(episode.obs)
        assert np.array_equal(qpos[:, 2:], episode.qpos[:, 2:])
        assert np.array_equal(qvel, episode.qvel)
        assert np.array_equal(humanoid.physics(episode.qpos, episode.qvel), episode.obs[:, :45])
        assert np.array_equal(humanoid.state(episode.obs[:, :45])[0], qpos)


@pytest.mark.parametrize("name", list(wm.body.BODIES))
def test_the_terms_of_the_reward_sum_to_the_reward(name):
    body = wm.body.get(name)
    for episode in wm.rollout.rollout(body, wm.policies.RandomActions(body), range(3), max_steps=50):
        assert np.array_equal(body.reward(episode.terms), episode.reward)
        assert np.allclose(sum(episode.terms.values()), episode.reward, atol=1e-9)


def test_an_episode_ends_exactly_when_the_height_leaves_one_to_two_metres(humanoid, fallen):
    for episode in fallen:
        ended = humanoid.terminated(episode.obs)
        assert ended[-1]
        assert not ended[:-1].any()
    heights = np.zeros((4, 348))
    heights[:, 0] = [1.0, np.nextafter(1.0, 2.0), np.nextafter(2.0, 1.0), 2.0]
    assert humanoid.terminated(heights).tolist() == [True, False, False, True]


def test_the_action_box_is_gymnasiums(humanoid):
    space = gymnasium.make("Humanoid-v5").action_space
    assert np.array_equal(humanoid.action_low, space.low)
    assert np.array_equal(humanoid.action_high, space.high)


def test_a_pose_to_draw_follows_the_true_path_within_millimetres(humanoid):
    episode = wm.rollout.rollout(humanoid, wm.policies.hold_pose(humanoid), [3])[0]
    drawn = humanoid.poses(episode.obs)
    true = episode.qpos[:, :2] - episode.qpos[0, :2]
    assert np.abs(drawn[:, :2] - true).max() < 0.005
    assert np.array_equal(drawn[:, 7:], episode.qpos[:, 7:])
    assert np.allclose(np.linalg.norm(drawn[:, 3:7], axis=1), 1.0)


def test_a_decoded_quaternion_is_made_a_unit_one(humanoid, fallen):
    decoded = fallen[0].obs.copy()
    decoded[:, 1:5] *= 1.7
    decoded[0, 1:5] = 0.0
    drawn = humanoid.poses(decoded)[:, 3:7]
    assert np.allclose(np.linalg.norm(drawn, axis=1), 1.0)
    assert drawn[0].tolist() == [1.0, 0.0, 0.0, 0.0]
