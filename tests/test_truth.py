"""The truth meter: reality is true to the last digit; what is wrong is found, where it is wrong and by as much."""

import numpy as np
import pytest

import wmlib as wm
from wmlib.errors import InputError
from wmlib.models import metrics

BODY = wm.body.get("humanoid")
N = 6


@pytest.fixture(scope="module")
def data():
    return wm.load("humanoid-mixed").select(range(60))


@pytest.fixture
def lived(data):
    """Six real episodes as if they were dreams, padded."""
    episodes = [data[i] for i in range(N)]
    lengths = np.array([len(episode) for episode in episodes])
    obs, action = (
        np.zeros((N, lengths.max() + 1, BODY.physics_dim)),
        np.zeros((N, lengths.max(), BODY.a_dim), np.float32),
    )
    for i, episode in enumerate(episodes):
        obs[i, : lengths[i] + 1] = BODY.physics(episode.qpos, episode.qvel)
        action[i, : lengths[i]] = episode.action
    return obs, action, lengths


def test_reality_is_true(lived, data):
    found = metrics.physics_error(BODY, *lived, data)
    lengths = lived[2]
    assert np.nanmax(found.error) < 1e-4
    assert np.nanmax(np.abs(found.height)) < 1e-5 and np.nanmax(np.abs(found.energy)) < 1e-2
    assert np.nanmax(found.distance) < 1e-5 and np.nanmin(found.depth) == 0
    np.testing.assert_array_equal(found.holds, lengths)
    for values, extra in (
        (found.error, 0),
        (found.still, 0),
        (found.height, 0),
        (found.energy, 0),
        (found.depth, 1),
        (found.distance, 1),
    ):
        np.testing.assert_array_equal(
            np.isfinite(values), np.arange(values.shape[1]) < (lengths + extra)[:, None]
        )
    std = data.physics.std(axis=0)
    np.testing.assert_allclose(
        found.still[0, 3],
        np.sqrt(np.square((lived[0][0, 4] - lived[0][0, 3]) / std).mean()),
        rtol=1e-4,
    )
    assert 0.1 < found.usual < 2


def test_threads_change_no_bit(lived, data):
    one, two = (metrics.physics_error(BODY, *lived, data, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.error, two.error)
    np.testing.assert_array_equal(one.energy, two.energy)


def test_a_jump_is_found_where_it_is(lived, data):
    obs, action, lengths = lived
    obs[2, 6, 0] += 0.1
    obs[3, 5, 22] += 30.0
    found = metrics.physics_error(BODY, obs, action, lengths, data)
    assert found.height[2, 5] == pytest.approx(0.1, abs=1e-4)
    weight = BODY.model.body_mass.sum() * 9.81
    assert found.energy[2, 5] == pytest.approx(0.1 * weight, abs=0.5)
    assert found.holds[3] == 4
    assert found.energy[3, 4] > 1_000
    assert found.distance[3, 5] > found.distance[3, 4] + 1
    assert found.holds[1] == lengths[1]


def test_a_body_in_the_floor_is_found(lived, data):
    obs, action, lengths = lived
    obs[0, 4:, 0] -= 0.4
    found = metrics.physics_error(BODY, obs, action, lengths, data)
    assert found.depth[0, 4] > 0.2
    assert found.holds[0] == 3
    assert found.depth[0, 3] < metrics.DEEP


def test_a_quaternion_is_made_a_unit_one_and_what_blows_up_is_infinitely_wrong(
    lived, data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    obs, action, lengths = lived
    obs[1, 2, 1:5] *= 3
    obs[4, 3, 22:45] = 1e9
    found = metrics.physics_error(BODY, obs, action, lengths, data)
    assert np.isfinite(found.error[1, 2])
    assert found.error[1, 2] == pytest.approx(0, abs=1e-4)
    assert np.isinf(found.error[4, 3]) and found.holds[4] <= 3
    assert not list(tmp_path.iterdir()), "MuJoCo left its log"


def test_the_nearest_state_is_found():
    rng = np.random.default_rng(0)
    states, data = rng.standard_normal((700, 5)), rng.standard_normal((300, 5))
    expected = np.sqrt(np.square(states[:, None] - data[None]).mean(axis=-1)).min(axis=1)
    np.testing.assert_allclose(metrics.nearest(states, data), expected, atol=1e-6)


def test_shapes_that_do_not_fit_are_refused(lived, data):
    obs, action, lengths = lived
    for wrong in (
        (obs[:, 1:], action, lengths),
        (obs, action[..., 1:], lengths),
        (obs[..., :9], action, lengths),
        (obs, action, lengths[1:]),
    ):
        with pytest.raises(InputError, match="do not belong together") as caught:
            metrics.physics_error(BODY, *wrong, data)
        assert "\n" not in str(caught.value)
