"""The bodies of this book: what Gymnasium's MuJoCo environments, version 5, say and do, entry by entry.

Everything here is bit for bit what the environment gives: observations, terms of the reward, endings, starts. What an observation does not
tell is stated with the body that hides it. Chapter 13 uses them all; the humanoid is the book's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.real.body import Actions, Array, Body, Bools, Frame

Start = Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]


def _slices(**widths: int) -> dict[str, slice]:
    """Consecutive slices of the given widths."""
    ends = np.cumsum(list(widths.values())).tolist()
    return {
        name: slice(end - width, end)
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }


def _flat(array: Array) -> Array:
    """All axes but the first in one."""
    return array.reshape(len(array), -1)


def _number(i: int) -> Callable[[Any], Any]:
    """Reads number i of an observation."""
    return lambda obs: obs[..., i]


def _just(low: float, high: float) -> tuple[float, float]:
    """Bounds for `<` that hold the two numbers themselves."""
    return float(np.nextafter(low, -np.inf)), float(np.nextafter(high, np.inf))


def _start(noise: float, normal: bool = False) -> Start:
    """A start within `noise` of the model's own pose, in position and velocity; or with velocities that are normal."""

    def start(rng: np.random.Generator, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        place = qpos + rng.uniform(-noise, noise, qpos.size)
        if normal:
            return place, qvel + noise * rng.standard_normal(qvel.size)
        return place, qvel + rng.uniform(-noise, noise, qvel.size)

    return start


def _position_and_velocity(hidden: int, clip: float = np.inf) -> Callable[[Frame], Array]:
    """An observation of `qpos` without its first entries, and `qvel`."""

    def observe(frame: Frame) -> Array:
        velocity = frame["qvel"] if np.isinf(clip) else np.clip(frame["qvel"], -clip, clip)
        return np.concatenate([frame["qpos"][:, hidden:], velocity], axis=1)

    return observe


def _speed_x(body: Body, before: Frame, after: Frame) -> Array:
    """Of the root joint, in metres a second."""
    return np.asarray((after["qpos"][:, 0] - before["qpos"][:, 0]) / body.dt)


def _control(weight: float, action: Actions) -> NDArray[Any]:
    """The cost of an action in single precision, as Gymnasium has it for these bodies."""
    return np.asarray(-(weight * np.sum(np.square(action), axis=1)))


def _squared(x: Array) -> Array:
    """Numbers (N,) squared one by one, by C's pow, which may round otherwise than a product."""
    return np.array([float(value) ** 2 for value in x])


def _humanoid() -> Body:
    """17 hinges, 24 numbers of position, 23 of velocity; falls below 1 m or rises above 2 m and the episode is over. x and y are hidden."""

    def observe(frame: Frame) -> Array:
        # The world body (row 0) and the free joint's forces carry no information: Gymnasium leaves them out.
        parts = [
            frame["qpos"][:, 2:],
            frame["qvel"],
            _flat(frame["cinert"][:, 1:]),
            _flat(frame["cvel"][:, 1:]),
            frame["qfrc_actuator"][:, 6:],
            _flat(frame["cfrc_ext"][:, 1:]),
        ]
        return np.concatenate(parts, axis=1)

    low, high, bonus, cost = 1.0, 2.0, 5.0, 0.1

    def mass_center_x(body: Body, frame: Frame) -> Array:
        mass = body.model.body_mass[:, None]
        return np.asarray((np.sum(mass * frame["xipos"], axis=1) / np.sum(mass))[:, 0])

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        speed = (mass_center_x(body, after) - mass_center_x(body, before)) / body.dt
        contact = 5e-7 * np.sum(np.square(_flat(after["cfrc_ext"])), axis=1)
        return {
            "forward": 1.25 * speed,
            "alive": bonus * ~body.terminated(after["qpos"][:, 2:]),
            "control": -cost
            * np.sum(
                np.square(action.astype(np.float64)), axis=1
            ),  # of the action as given, though MuJoCo clips the torque
            "contact": -np.minimum(contact, 10.0),
        }

    return Body(
        name="humanoid", env_id="Humanoid-v5", hidden_qpos=2, free_joint=True,
        obs_slices=_slices(qpos=22, qvel=23, cinert=130, cvel=78, qfrc_actuator=17, cfrc_ext=78),
        readouts=("qpos", "qvel", "cinert", "cvel", "qfrc_actuator", "cfrc_ext", "xipos"),
        observe=observe, terms=terms, costs=("control", "contact"), start=_start(0.01),
        healthy=((_number(0), low, high),), alive_bonus=bonus, control_cost=cost,
        feet=("right_foot", "left_foot"), forward_weight=1.25,
    )  # fmt: skip


def _half_cheetah() -> Body:
    """Six hinges in a vertical plane; never terminates, so every episode has 1,000 steps. x is hidden."""

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        return {"forward": 1.0 * _speed_x(body, before, after), "control": _control(0.1, action)}

    return Body(
        name="half_cheetah", env_id="HalfCheetah-v5", hidden_qpos=1, free_joint=False,
        obs_slices=_slices(qpos=8, qvel=9), readouts=("qpos", "qvel"), observe=_position_and_velocity(1),
        terms=terms, costs=("control",), start=_start(0.1, normal=True), control_cost=0.1,
    )  # fmt: skip


def _inverted_pendulum() -> Body:
    """A pole on a cart: one motor, four numbers, 1 for every step on which the pole stands within 0.2 rad. Full marks are 1,000."""
    observe = _position_and_velocity(0)

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        return {"alive": (~body.terminated(observe(after))).astype(np.float64)}

    return Body(
        name="inverted_pendulum", env_id="InvertedPendulum-v5", hidden_qpos=0, free_joint=False,
        obs_slices=_slices(qpos=2, qvel=2), readouts=("qpos", "qvel"), observe=observe,
        terms=terms, costs=(), start=_start(0.01), healthy=((_number(1), *_just(-0.2, 0.2)),), alive_bonus=1.0,
    )  # fmt: skip


def _inverted_double_pendulum() -> Body:
    """Two poles on a cart: one motor; 10 for every step on which the upper tip is above 1 m, less what it is away from the middle and moves.

    An observation has the sines and cosines of the two angles, from which the angles follow, velocities clipped at 10, and the force of the
    cart's rail. The simulator ends an episode by the tip's height as it was one substep before the observation; a dream, by the angles.
    """
    length = 0.6

    def observe(frame: Frame) -> Array:
        return np.concatenate(
            [
                position(frame["qpos"]),
                np.clip(frame["qvel"], -10, 10),
                np.clip(frame["qfrc_constraint"], -10, 10)[:, :1],
            ],
            axis=1,
        )

    def position(qpos: Array) -> Array:
        return np.concatenate(
            [qpos[..., :1], np.sin(qpos[..., 1:]), np.cos(qpos[..., 1:])], axis=-1
        )

    def pose(seen: Array) -> Array:
        return np.concatenate([seen[..., :1], np.arctan2(seen[..., 1:3], seen[..., 3:5])], axis=-1)

    def tip_height(obs: Any) -> Any:
        first, second, cos_first, cos_second = obs[..., 1], obs[..., 2], obs[..., 3], obs[..., 4]
        return length * (cos_first + cos_first * cos_second - first * second)

    def ended(frame: Frame) -> Bools:
        return np.asarray(frame["site_xpos"][:, 0, 2] <= 1)

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        x, y, v = after["site_xpos"][:, 0, 0], after["site_xpos"][:, 0, 2], after["qvel"]
        return {
            "alive": np.where(ended(after), 0.0, 10.0),
            "distance": -(0.01 * _squared(x) + _squared(y - 2)),
            "velocity": -(1e-3 * _squared(v[:, 1]) + 5e-3 * _squared(v[:, 2])),
        }

    return Body(
        name="inverted_double_pendulum", env_id="InvertedDoublePendulum-v5", hidden_qpos=0, free_joint=False,
        obs_slices=_slices(qpos=5, qvel=3, qfrc_constraint=1), readouts=("qpos", "qvel", "qfrc_constraint", "site_xpos"),
        observe=observe, terms=terms, costs=(), start=_start(0.1, normal=True), healthy=((tip_height, 1.0, np.inf),), ended=ended,
        position=position, pose=pose, max_speed=10.0, alive_bonus=10.0,
    )  # fmt: skip


def _swimmer() -> Body:
    """Three links in a thick fluid, two hinges; never terminates. x and y are hidden."""

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        return {"forward": 1.0 * _speed_x(body, before, after), "control": _control(1e-4, action)}

    return Body(
        name="swimmer", env_id="Swimmer-v5", hidden_qpos=2, free_joint=False,
        obs_slices=_slices(qpos=3, qvel=5), readouts=("qpos", "qvel"), observe=_position_and_velocity(2),
        terms=terms, costs=("control",), start=_start(0.1), control_cost=1e-4,
    )  # fmt: skip


def _walks_in_a_plane(
    name: str,
    env_id: str,
    n_hinges: int,
    healthy: tuple[tuple[Callable[[Any], Any], float, float], ...],
    ended: Callable[[Frame], Bools] | None = None,
) -> Body:
    """A body in a vertical plane with a bonus of 1 for every step on which it is up. x is hidden; velocities are clipped at 10."""

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        over = ended(after) if ended is not None else body.terminated(after["qpos"][:, 1:])
        return {
            "forward": 1.0 * _speed_x(body, before, after),
            "alive": 1.0 * ~over,
            "control": _control(1e-3, action),
        }

    return Body(
        name=name, env_id=env_id, hidden_qpos=1, free_joint=False, obs_slices=_slices(qpos=2 + n_hinges, qvel=3 + n_hinges),
        readouts=("qpos", "qvel"), observe=_position_and_velocity(1, 10.0), terms=terms, costs=("control",), start=_start(5e-3),
        healthy=healthy, ended=ended, max_speed=10.0, alive_bonus=1.0, control_cost=1e-3,
    )  # fmt: skip


def _hopper() -> Body:
    """One leg with three hinges: up while its torso is above 0.7 m and leans less than 0.2 rad.

    The simulator also ends an episode when an angle or a velocity passes 100, of which an observation shows 10 at most; no dream gets there.
    """
    healthy = ((_number(0), 0.7, np.inf), (_number(1), -0.2, 0.2))

    def ended(frame: Frame) -> Bools:
        state = np.concatenate([frame["qpos"][:, 2:], frame["qvel"]], axis=1)
        height, angle = frame["qpos"][:, 1], frame["qpos"][:, 2]
        return np.asarray(
            ~(
                np.all((state > -100) & (state < 100), axis=1)
                & (height > 0.7)
                & (angle > -0.2)
                & (angle < 0.2)
            )
        )

    return _walks_in_a_plane("hopper", "Hopper-v5", 3, healthy, ended)


def _walker2d() -> Body:
    """Two legs, six hinges: up while its torso is between 0.8 and 2 m high and leans less than 1 rad."""
    return _walks_in_a_plane(
        "walker2d", "Walker2d-v5", 6, ((_number(0), 0.8, 2.0), (_number(1), -1.0, 1.0))
    )


def _ant() -> Body:
    """Four legs, eight hinges: up while its torso is between 0.2 and 1 m high, on its back or not. x and y are hidden; contact forces are clipped at 1."""

    def observe(frame: Frame) -> Array:
        return np.concatenate(
            [
                frame["qpos"][:, 2:],
                frame["qvel"],
                _flat(np.clip(frame["cfrc_ext"][:, 1:], -1.0, 1.0)),
            ],
            axis=1,
        )

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        speed = (after["xpos"][:, 1, 0] - before["xpos"][:, 1, 0]) / body.dt
        forces = np.clip(after["cfrc_ext"], -1.0, 1.0)
        return {
            "forward": speed * 1.0,
            "alive": 1.0 * ~body.terminated(after["qpos"][:, 2:]),
            "control": _control(0.5, action),
            "contact": -(5e-4 * np.sum(np.square(_flat(forces)), axis=1)),
        }

    return Body(
        name="ant", env_id="Ant-v5", hidden_qpos=2, free_joint=True, obs_slices=_slices(qpos=13, qvel=14, cfrc_ext=78),
        readouts=("qpos", "qvel", "cfrc_ext", "xpos"), observe=observe, terms=terms, costs=("control", "contact"), start=_start(0.1, normal=True),
        healthy=((_number(0), *_just(0.2, 1.0)),), alive_bonus=1.0, control_cost=0.5,
    )  # fmt: skip


BODIES: dict[str, Callable[[], Body]] = {
    "humanoid": _humanoid, "half_cheetah": _half_cheetah, "inverted_pendulum": _inverted_pendulum, "inverted_double_pendulum": _inverted_double_pendulum,
    "swimmer": _swimmer, "hopper": _hopper, "walker2d": _walker2d, "ant": _ant,
}  # fmt: skip
