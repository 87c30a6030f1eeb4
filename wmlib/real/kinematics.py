"""What follows from joints and speeds by geometry alone: where the limbs are, how fast they move, what a body can feel of itself.

Nothing here is learned, so a model that is given it need not learn it: a small network that is told how high its feet are
and how far each joint is from its limit predicts the next instant far better than one that must find that out. Written once
for arrays and tensors: `xp` is NumPy, or a module with the same function names such as `keras.ops`.

Numbers come first here, rows last: physics is (S, R). For bodies with a free joint at the root and hinges elsewhere. Used by `models.structured`, and by C for what it sees.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import mujoco
import numpy as np

from wmlib.errors import InputError
from wmlib.real.body import Array, Body

Rows = Any
"""An array or tensor whose last axis is rows."""
GROUPS = {"place": 0, "quaternion": 1, "joints": 5}
"""Where the parts of the observed positions of a body with a free joint begin: height, quaternion, joints."""


Number = Any
"""A row of numbers (R,), or a constant that all rows share. A 0 or a 1 that is known beforehand costs nothing: most limbs lie along an axis."""
Vector = list[Number]
Matrix = list[Vector]
ZERO = [0.0, 0.0, 0.0]


def _known(value: Number, *constants: float) -> bool:
    return isinstance(value, float) and value in constants


def _mul(a: Number, b: Number) -> Number:
    if _known(a, 0.0) or _known(b, 0.0):
        return 0.0
    return b if _known(a, 1.0) else a if _known(b, 1.0) else a * b


def _sum(*values: Number) -> Number:
    total: Number = 0.0
    for value in values:
        total = total if _known(value, 0.0) else value if _known(total, 0.0) else total + value
    return total


def _less(a: Number, b: Number) -> Number:
    return a if _known(b, 0.0) else a - b


def plus(*vectors: Vector) -> Vector:
    """The sum of vectors."""
    return [_sum(*numbers) for numbers in zip(*vectors, strict=True)]


def scaled(vector: Vector, factor: Number) -> Vector:
    """A vector times a number."""
    return [_mul(number, factor) for number in vector]


def dot(a: Vector, b: Vector) -> Number:
    """The inner product."""
    return _sum(*(_mul(x, y) for x, y in zip(a, b, strict=True)))


def cross(a: Vector, b: Vector) -> Vector:
    """The cross product."""
    return [_less(_mul(a[i], b[j]), _mul(a[j], b[i])) for i, j in ((1, 2), (2, 0), (0, 1))]


def times(matrix: Matrix, vector: Vector) -> Vector:
    """A matrix times a vector."""
    return [dot(row, vector) for row in matrix]


def transposed(matrix: Matrix) -> Matrix:
    """Rows as columns: of a rotation, its inverse."""
    return [list(column) for column in zip(*matrix, strict=True)]


def product(a: Matrix, b: Matrix) -> Matrix:
    """A matrix times a matrix."""
    return [[dot(row, column) for column in transposed(b)] for row in a]


def turned(axis: Vector, sine: Number, cosine: Number) -> Matrix:
    """The rotation about a unit axis: I + sin K + (1 - cos) K K, as Rodrigues has it."""
    x, y, z = axis
    K = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]
    KK = product(K, K)
    return [
        [
            _sum(float(i == j), _mul(K[i][j], sine), _mul(KK[i][j], 1 - cosine))
            if KK[i][j] != -1.0 or i != j
            else cosine
            for j in range(3)
        ]
        for i in range(3)
    ]


class _Limb(NamedTuple):
    """A body of the tree: its parent, where and how it is fixed there, its joints (axis, anchor, number), its share of the mass, its centre, the feet on it."""

    parent: int
    place: Vector
    matrix: Matrix
    joints: list[tuple[Vector, Vector, int]]
    mass: float
    center: Vector
    feet: list[tuple[int, Vector]]


def _plain(values: Array) -> Vector:
    """Constants as floats, rounding noise as the 0 or 1 that it stands for."""
    return [
        float(np.round(value)) if abs(value - np.round(value)) < 1e-9 else float(value)
        for value in values
    ]


class Kinematics:
    """The tree of a body's limbs as constants, and the functions of its physical state.

    Attributes:
        body: the body.
        n_joints: J, hinges that are not part of the free joint.
        n_feet: how many spheres it stands on (`Body.feet`).
        n_limbs: length of what `limbs` gives.
        n_features: length of what `features` gives: for the humanoid 61.
        limits: (J, 2), the range of each joint.
    """

    def __init__(self, body: Body, xp: Any = np) -> None:
        """Reads the tree from the body's model.

        Raises:
            InputError: if the body has no free joint at its root, or joints other than hinges.
        """
        model = body.model
        kinds = [int(kind) for kind in model.jnt_type]
        hinge, free = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_FREE)
        if not kinds or kinds[0] != free or any(kind != hinge for kind in kinds[1:]):
            raise InputError(
                f"The limbs of '{body.name}' cannot be computed here; expected a free joint at the root and hinges elsewhere."
            )
        self.body, self.xp = body, xp
        self.n_joints, self.n_feet = len(kinds) - 1, len(body.feet)
        self.n_limbs = 6 + 6 * self.n_feet
        self.n_features = 13 + 2 * self.n_joints + 6 + 4 * self.n_feet
        self.limits: Array = model.jnt_range[1:].copy()
        feet = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in body.feet]
        self.radius = model.geom_size[feet, 0]
        share = model.body_mass / model.body_mass.sum()
        self._root = _plain(share[1] * model.body_ipos[1])
        self._tree = []
        for b in range(2, model.nbody):
            matrix = np.zeros(9)
            mujoco.mju_quat2Mat(matrix, model.body_quat[b])
            joints = range(model.body_jntadr[b], model.body_jntadr[b] + model.body_jntnum[b])
            self._tree.append(_Limb(
                int(model.body_parentid[b]), _plain(model.body_pos[b]), [_plain(row) for row in matrix.reshape(3, 3)],
                [(_plain(model.jnt_axis[j]), _plain(model.jnt_pos[j]), int(j) - 1) for j in joints],
                float(share[b]), _plain(model.body_ipos[b]),
                [(k, _plain(model.geom_pos[g])) for k, g in enumerate(feet) if model.geom_bodyid[g] == b],
            ))  # fmt: skip

    def __reduce__(self) -> tuple[type[Kinematics], tuple[Body]]:
        """A worker gets the body, and reads the tree itself."""
        return Kinematics, (self.body,)

    def constants(self) -> dict[str, Any]:
        """The tree as JSON-ready numbers, for a program that computes the same elsewhere: `root`, `limbsOf`, `limits` (as float32, which models use), `radius`."""
        limbs = [
            {**limb._asdict(), "matrix": [*itertools.chain(*limb.matrix)]} for limb in self._tree
        ]
        return {"root": self._root, "limbsOf": limbs, "limits": np.float32(self.limits).tolist(), "radius": self.radius.tolist()}  # fmt: skip

    def limbs(self, physics: Rows) -> Rows:
        """Of physics (S, R), in the torso's own frame, which stands still: centre of mass, its velocity, each foot, each foot's velocity; (n_limbs, R)."""
        xp, first = self.xp, GROUPS["joints"]
        angles = [physics[first + j] for j in range(self.n_joints)]
        rates = [physics[first + self.n_joints + 6 + j] for j in range(self.n_joints)]
        frames = {1: ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], ZERO, ZERO, ZERO)}
        center, center_velocity = self._root, ZERO
        feet, feet_velocity = [ZERO] * self.n_feet, [ZERO] * self.n_feet
        for body, limb in enumerate(self._tree, start=2):
            turn, place, velocity, spin = frames[limb.parent]
            arm = times(turn, limb.place)
            place, velocity = plus(place, arm), plus(velocity, cross(spin, arm))
            turn = product(turn, limb.matrix)
            for axis, anchor, j in limb.joints:
                arm = times(turn, anchor)
                hinge, hinge_velocity = plus(place, arm), plus(velocity, cross(spin, arm))
                spin = plus(spin, scaled(times(turn, axis), rates[j]))
                turn = product(turn, turned(axis, xp.sin(angles[j]), xp.cos(angles[j])))
                arm = scaled(times(turn, anchor), -1.0)
                place, velocity = plus(hinge, arm), plus(hinge_velocity, cross(spin, arm))
            frames[body] = turn, place, velocity, spin
            arm = times(turn, limb.center)
            center = plus(center, scaled(plus(place, arm), limb.mass))
            center_velocity = plus(
                center_velocity, scaled(plus(velocity, cross(spin, arm)), limb.mass)
            )
            for k, point in limb.feet:
                arm = times(turn, point)
                feet[k], feet_velocity[k] = plus(place, arm), plus(velocity, cross(spin, arm))
        numbers = itertools.chain(center, center_velocity, *feet, *feet_velocity)
        return xp.stack([number + 0 * physics[0] for number in numbers])

    def rotation(self, physics: Rows) -> Matrix:
        """The torso's matrix of physics (S, R): its columns are its axes in the world."""
        w, x, y, z = (physics[GROUPS["quaternion"] + i] for i in range(4))
        return [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]

    def frame(self, physics: Rows, limbs: Rows) -> dict[str, Vector]:
        """What a body can feel of itself, by name, each some rows (R,), vectors in the torso's frame.

        Args:
            physics: (S, R).
            limbs: what `limbs` gives for it.
        """
        first, joints = GROUPS["joints"], self.n_joints

        def three(rows: Rows, at: int) -> Vector:
            return [rows[at + i] for i in range(3)]

        turn = self.rotation(physics)
        velocity = times(transposed(turn), three(physics, first + joints))
        spin, center = three(physics, first + joints + 3), three(limbs, 0)
        feet = [three(limbs, 6 + 3 * k) for k in range(self.n_feet)]
        moving = [three(limbs, 6 + 3 * (self.n_feet + k)) for k in range(self.n_feet)]
        moving = [
            plus(velocity, cross(spin, foot), v) for foot, v in zip(feet, moving, strict=True)
        ]
        return {
            "height": [physics[0]], "up": turn[2], "ahead": turn[0], "velocity": velocity, "spin": spin,
            "joints": [physics[first + j] for j in range(joints)], "speeds": [physics[first + joints + 6 + j] for j in range(joints)],
            "center": center, "center_velocity": plus(velocity, cross(spin, center), three(limbs, 3)),
            "clearance": [physics[0] + dot(turn[2], foot) - float(r) for foot, r in zip(feet, self.radius, strict=True)],
            "feet": list(itertools.chain(*feet)), "feet_velocity": list(itertools.chain(*moving)), "falling": [dot(turn[2], v) for v in moving],
        }  # fmt: skip

    def features(self, physics: Rows, limbs: Rows) -> Rows:
        """What C sees, (n_features, R): height, up and ahead, the velocities, joints and their speeds, the centre of mass and the feet beside it."""
        seen = self.frame(physics, limbs)
        names = "height up ahead velocity spin joints speeds center center_velocity clearance"
        numbers = [number for name in names.split() for number in seen[name]]
        numbers += [foot - seen["center"][i % 3] for i, foot in enumerate(seen["feet"])]
        return self.xp.stack(numbers)

    def see(self, obs: Array) -> Array:
        """What C sees of observations or physics (..., D): (..., n_features). NumPy only."""
        rows = obs[..., : self.body.physics_dim].reshape(-1, self.body.physics_dim).T
        seen: Array = self.features(rows, self.limbs(rows))
        return seen.T.reshape(*obs.shape[:-1], self.n_features)
