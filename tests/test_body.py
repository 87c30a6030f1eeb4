"""What is true of a body without learning, held against Gymnasium and MuJoCo themselves."""

import gymnasium
import mujoco
import numpy as np
import pytest

import wmlib as wm


@pytest.fixture(scope="module")
def humanoid():
    return wm.body.get("humanoid")


@pytest.fixture(scope="module")
def fallen(humanoid):
    """A few episodes of random actions, to their ends."""
    return wm.rollout(humanoid, wm.policies.RandomActions(humanoid), range(8))


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


@pytest.mark.parametrize("name", wm.body.names())
def test_the_terms_of_the_reward_sum_to_the_reward(name):
    body = wm.body.get(name)
    for episode in wm.rollout(body, wm.policies.RandomActions(body), range(3), max_steps=50):
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
    episode = wm.rollout(humanoid, wm.policies.hold_pose(humanoid), [3])[0]
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


@pytest.mark.parametrize("name", wm.body.names())
def test_every_body_is_read_from_its_observations_as_far_as_they_tell(name):
    """All but the hidden position, and speeds beyond what is observed; the slices tile the observation in Gymnasium's order."""
    body = wm.body.get(name)
    episode = wm.rollout(body, wm.policies.RandomWeights(body), [4], max_steps=60)[0]
    qpos, qvel = body.state(episode.obs)
    seen = qpos[:, body.hidden_qpos :]
    assert np.allclose(
        np.sin(seen), np.sin(episode.qpos[:, body.hidden_qpos :]), atol=1e-12
    )  # angles but for whole turns
    assert np.array_equal(qvel, np.clip(episode.qvel, -body.max_speed, body.max_speed))
    assert np.array_equal(
        body.physics(episode.qpos, episode.qvel), episode.obs[:, : body.physics_dim]
    )
    assert np.array_equal(body.physics(qpos, qvel)[:, -qvel.shape[1] :], qvel)
    edges = [edge for part in body.obs_slices.values() for edge in (part.start, part.stop)]
    assert [0, *edges[2::2], body.obs_dim] == [
        0,
        *edges[1:-1:2],
        edges[-1],
    ] and body.obs_dim == gymnasium.make(body.env_id).observation_space.shape[0]
    assert body.poses(episode.obs).shape == episode.qpos.shape
    drifted = np.abs(
        np.diff(body.poses(episode.obs)[:, : body.hidden_qpos], axis=0)
        - np.diff(episode.qpos[:, : body.hidden_qpos], axis=0)
    )
    assert drifted.size == 0 or np.median(drifted) < 0.02


@pytest.mark.parametrize("name", wm.body.names())
def test_a_pose_from_an_observation_is_where_mujoco_has_every_geom(name):
    body = wm.body.get(name)
    true, read = mujoco.MjData(body.model), mujoco.MjData(body.model)
    for episode in wm.rollout(body, wm.policies.RandomWeights(body), range(70, 73), max_steps=60):
        qpos, _ = body.state(episode.obs)
        qpos[:, : body.hidden_qpos] = episode.qpos[:, : body.hidden_qpos]
        for seen, real in zip(qpos, episode.qpos, strict=True):
            read.qpos[:], true.qpos[:] = seen, real
            mujoco.mj_kinematics(body.model, read)
            mujoco.mj_kinematics(body.model, true)
            assert np.allclose(read.geom_xpos, true.geom_xpos, atol=1e-12) and np.allclose(
                read.geom_xmat, true.geom_xmat, atol=1e-12
            )


EDGES = {
    "humanoid": {2: (1.0, 2.0)}, "hopper": {1: (0.7,), 2: (-0.2, 0.2), 3: (-100.0, 100.0)}, "walker2d": {1: (0.8, 2.0), 2: (-1.0, 1.0)}, "ant": {2: (0.2, 1.0)},
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_on_the_very_edge_it_ends_as_gymnasium_ends_it(name):
    """The bound itself, and its neighbours on both sides."""
    body, env = wm.body.get(name), gymnasium.make(wm.body.get(name).env_id)
    env.reset(seed=0)
    simulator = env.unwrapped
    verdicts = set()
    for number, bounds in EDGES[name].items():
        for value in (
            near
            for edge in bounds
            for near in (np.nextafter(edge, -np.inf), edge, np.nextafter(edge, np.inf))
        ):
            qpos, qvel = simulator.init_qpos.copy(), np.zeros(body.model.nv)
            qpos[number] = value
            simulator.set_state(qpos, qvel)
            frame = {"qpos": qpos[None], "qvel": qvel[None]}
            ended = (
                body.terminated(body.physics(qpos, qvel)[None])
                if body.ended is None
                else body.ended(frame)
            )
            assert bool(ended[0]) == (not simulator.is_healthy), (number, value)
            verdicts.add(bool(ended[0]))
    assert verdicts == {True, False}
    env.close()


@pytest.mark.parametrize("name", ["hopper", "walker2d", "ant", "inverted_pendulum", "humanoid"])
def test_the_end_that_a_dream_knows_is_the_simulators(name):
    body = wm.body.get(name)
    for episode in wm.rollout(body, wm.policies.RandomActions(body), range(4), max_steps=150):
        assert body.terminated(episode.obs[:-1]).sum() == 0
        assert bool(body.terminated(episode.obs[-1])) == episode.terminated


def test_the_double_pendulums_end_is_known_to_a_dream_within_a_step():
    """The simulator looks at its tip one substep before the observation is taken."""
    body = wm.body.get("inverted_double_pendulum")
    for episode in wm.rollout(body, wm.policies.RandomActions(body), range(20)):
        first = int(np.argmax(np.append(body.terminated(episode.obs), True)))
        assert episode.terminated and len(episode) - 1 <= first <= len(episode) + 1


OWN = """
import dataclasses
import wmlib as wm

def box():
    return dataclasses.replace(wm.body.get("hopper"), name="box")

def thief():
    return dataclasses.replace(wm.body.get("hopper"), name="ant")

def nothing():
    return None
"""


def test_your_own_body_is_found_by_its_name_where_wm_bodies_lists_it(tmp_path, monkeypatch):
    (tmp_path / "my_bodies.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(wm.InputError, match="There is no body 'box'"):
        wm.body.get("box")
    monkeypatch.setenv("WM_BODIES", "my_bodies:box")
    try:
        assert wm.body.get("box").name == "box" and wm.body.get("box") is wm.body.get("box")
        assert "box" in wm.body.names()
    finally:
        wm.body._MADE.pop("box", None)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("my_bodies:thief", "has a body called 'ant' already"),
        ("my_bodies:nothing", "gives a NoneType"),
        ("my_bodies:none", "cannot be imported"),
        ("nowhere:f", "cannot be imported"),
        ("nonsense", "cannot be imported"),
    ],
)
def test_what_is_no_body_is_refused_in_one_line(tmp_path, monkeypatch, listed, message):
    (tmp_path / "my_bodies.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WM_BODIES", listed)
    with pytest.raises(wm.InputError, match=message) as caught:
        wm.body.get("box")
    assert "\n" not in str(caught.value)
