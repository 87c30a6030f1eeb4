"""Geometry: what the library computes from joints and speeds is what MuJoCo computes."""

import pickle

import mujoco
import numpy as np
import pytest

from wmlib.errors import InputError
from wmlib.real import body as bodies
from wmlib.real.kinematics import Kinematics
from wmlib.real.policies import RandomActions
from wmlib.real.rollout import rollout

BODY = bodies.get("humanoid")
RNG = np.random.default_rng(0)


def states(n):
    """Poses and speeds far from the start, quaternions of length 1."""
    qpos = BODY.model.qpos0 + 0.4 * RNG.standard_normal((n, BODY.model.nq))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    return qpos, 2 * RNG.standard_normal((n, BODY.model.nv))


def by_mujoco(qpos, qvel):
    """What C sees of one state, by MuJoCo's own kinematics."""
    model, data = BODY.model, mujoco.MjData(BODY.model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_comVel(model, data)
    mujoco.mj_subtreeVel(model, data)
    turn = data.xmat[1].reshape(3, 3)
    center = data.subtree_com[1]
    feet = [data.geom(name).xpos for name in BODY.feet]
    radius = model.geom(BODY.feet[0]).size[0]
    return np.concatenate([
        qpos[2:3], turn[2], turn[0], qvel[:3] @ turn, qvel[3:6], qpos[7:], qvel[6:], (center - qpos[:3]) @ turn, data.subtree_linvel[1] @ turn,
        [foot[2] - radius for foot in feet], *((foot - center) @ turn for foot in feet),
    ])  # fmt: skip


def test_the_61_features_are_mujocos_own():
    qpos, qvel = states(20)
    seen = Kinematics(BODY).see(BODY.physics(qpos, qvel))
    assert seen.shape == (20, 61)
    np.testing.assert_allclose(seen, list(map(by_mujoco, qpos, qvel)), atol=1e-12)


def test_rows_do_not_depend_on_each_other_and_leading_axes_stay():
    obs = BODY.physics(*states(6)).reshape(2, 3, -1)
    kinematics = Kinematics(BODY)
    seen = kinematics.see(obs)
    assert seen.shape == (2, 3, 61)
    np.testing.assert_array_equal(seen[1, 2], kinematics.see(obs[1, 2]))


def test_speeds_of_limbs_are_the_change_of_their_places():
    (episode,) = rollout(BODY, RandomActions(BODY), [3], max_steps=1)
    physics = BODY.physics(episode.qpos, episode.qvel)[:1].T
    kinematics, small = Kinematics(BODY), 1e-6
    limbs = kinematics.limbs(physics)
    later = physics.copy()
    joints = slice(5, 5 + kinematics.n_joints)
    later[joints] += small * physics[5 + kinematics.n_joints + 6 :]
    moved = (kinematics.limbs(later) - limbs) / small
    np.testing.assert_allclose(limbs[3:6], moved[0:3], atol=1e-5)
    np.testing.assert_allclose(limbs[12:18], moved[6:12], atol=1e-5)


def test_a_worker_gets_the_body_and_reads_the_tree_itself():
    obs = BODY.physics(*states(2))
    again = pickle.loads(pickle.dumps(Kinematics(BODY)))
    np.testing.assert_array_equal(again.see(obs), Kinematics(BODY).see(obs))


def test_a_body_without_a_free_joint_is_refused_in_one_line():
    with pytest.raises(InputError, match="'hopper' cannot be computed here; expected a free joint"):
        Kinematics(bodies.get("hopper"))
