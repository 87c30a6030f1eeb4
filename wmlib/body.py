"""What is true of a MuJoCo body without any learning.

A `Body` knows its Gymnasium environment, the named parts of an observation, how observation and physical state
`(qpos, qvel)` map to each other, when an episode ends, and the terms of the reward: all exact, so that nothing of it
need ever be learned. Another body is one more function and one more entry in `BODIES`.

All functions take a leading batch axis `N` (or any leading axes, where the docstring says `...`). Lengths are in
metres, times in seconds, angles in radians.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from wmlib.runs import InputError

Array = NDArray[np.float64]
Actions = NDArray[np.float32]
Bools = NDArray[np.bool_]
Frame = Mapping[str, Array]
"""What is read from the simulator after a step, by the name of the `MjData` field, each (N, ...)."""


@dataclass(frozen=True, eq=False)
class Body:
    """A MuJoCo body as Gymnasium simulates it.

    Attributes:
        name: the name used in this book, such as `humanoid`.
        env_id: Gymnasium's id, such as `Humanoid-v5`.
        obs_slices: named parts of an observation, in order.
        hidden_qpos: how many leading entries of `qpos` an observation leaves out (the horizontal position).
        free_joint: whether `qpos[0:7]` is a free joint: position and unit quaternion.
        readouts: the `MjData` fields that observation and reward are functions of.
        observe: `Frame -> obs (N, obs_dim)`.
        terms: `(body, before, after, action (N, a_dim)) -> {name: (N,)}`, the signed terms of the reward.
        costs: names of the terms that are costs; Gymnasium adds gains and costs apart, and rounding keeps the order.
        terminated: `obs (..., obs_dim) -> bool (...)`, the exact end of an episode.
        start: `(rng, init_qpos, init_qvel) -> (qpos, qvel)`, the random start of an episode.
        healthy: (i, low, high): the body lives while number i of an observation is between these two; None if it never dies.
        alive_bonus: reward of a step after which it lives.
        control_cost: of a step, for each unit of squared action.
        max_steps: steps after which an episode is truncated.
    """

    name: str
    env_id: str
    obs_slices: Mapping[str, slice]
    hidden_qpos: int
    free_joint: bool
    readouts: tuple[str, ...]
    observe: Callable[[Frame], Array]
    terms: Callable[[Body, Frame, Frame, Actions], dict[str, Array]]
    costs: tuple[str, ...]
    terminated: Callable[[Array], Bools]
    start: Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]
    healthy: tuple[int, float, float] | None = None
    alive_bonus: float = 0.0
    control_cost: float = 0.0
    max_steps: int = 1000
    model: Any = field(init=False, repr=False)
    frame_skip: int = field(init=False)
    dt: float = field(init=False)

    def __post_init__(self) -> None:
        """Reads from Gymnasium what Gymnasium decides: the model, the frame skip and the time step."""
        env = gymnasium.make(self.env_id)
        simulator: Any = env.unwrapped
        object.__setattr__(self, "model", simulator.model)
        object.__setattr__(self, "frame_skip", simulator.frame_skip)
        object.__setattr__(self, "dt", float(simulator.dt))
        env.close()

    @property
    def obs_dim(self) -> int:
        """Length of an observation."""
        return int(max(part.stop for part in self.obs_slices.values()))

    @property
    def physics_dim(self) -> int:
        """Length of the part of an observation that is the physical state: observed `qpos`, then `qvel`."""
        return int(self.obs_slices["qvel"].stop)

    @property
    def a_dim(self) -> int:
        """Number of actuators."""
        return int(self.model.nu)

    @property
    def action_low(self) -> Actions:
        """Lower corner of the action box, (a_dim,)."""
        return self.model.actuator_ctrlrange[:, 0].astype(np.float32)  # type: ignore[no-any-return]

    @property
    def action_high(self) -> Actions:
        """Upper corner of the action box, (a_dim,)."""
        return self.model.actuator_ctrlrange[:, 1].astype(np.float32)  # type: ignore[no-any-return]

    def reward(self, terms: Mapping[str, Array]) -> Array:
        """The reward as the sum of its terms (N,), in Gymnasium's order of additions: gains, then costs, then both."""
        gains = [value for name, value in terms.items() if name not in self.costs]
        costs = [terms[name] for name in self.costs]
        total = functools.reduce(np.add, gains)
        return total + functools.reduce(np.add, costs) if costs else total

    def known_reward(self, obs_next: Array, action: NDArray[Any]) -> Array:
        """The part of the reward that needs no learning (...,): alive bonus and control cost, of the action and of what it led to."""
        cost = self.control_cost * np.sum(np.square(action.astype(np.float64)), axis=-1)
        return np.asarray(self.alive_bonus * ~self.terminated(obs_next) - cost)

    def check_obs(self, obs: Array) -> Array:
        """Returns observations (..., obs_dim) or physics (..., physics_dim) as float64, or says what is wrong with them.

        Raises:
            InputError: if the width is neither, or a number is NaN or infinite.
        """
        obs = np.asarray(obs, dtype=np.float64)
        if obs.ndim == 0 or obs.shape[-1] not in (self.obs_dim, self.physics_dim):
            width = obs.shape[-1] if obs.ndim else "no"
            old = f" {width} numbers is the v4 environment's observation; gather again with {self.env_id}." if width == 376 else ""
            raise InputError(f"An observation of {self.name} has {self.obs_dim} numbers (or {self.physics_dim}, its physical state); got {width}.{old}")
        if not np.isfinite(obs).all():
            raise InputError(f"An observation of {self.name} holds NaN or infinity, first at {tuple(map(int, np.argwhere(~np.isfinite(obs))[0]))}; expected finite numbers.")
        return obs

    def physics(self, qpos: Array, qvel: Array) -> Array:
        """The physical part of an observation, (..., physics_dim), from `qpos` (..., nq) and `qvel` (..., nv). Exact."""
        return np.concatenate([qpos[..., self.hidden_qpos :], qvel], axis=-1)

    def state(self, obs: Array) -> tuple[Array, Array]:
        """`qpos` (..., nq) and `qvel` (..., nv) from an observation (..., obs_dim) or its physics (..., physics_dim).

        Exact but for the horizontal position, which an observation leaves out and which is set to 0.
        """
        obs = self.check_obs(obs)
        hidden = np.zeros((*obs.shape[:-1], self.hidden_qpos))
        return np.concatenate([hidden, obs[..., self.obs_slices["qpos"]]], axis=-1), obs[..., self.obs_slices["qvel"]].copy()

    def poses(self, obs: Array) -> Array:
        """`qpos` (T, nq) of a whole trajectory obs (T, ...), ready to be drawn.

        The horizontal position is the integral of the horizontal velocity (trapezoid rule, from 0), and a quaternion that
        a model has decoded is made a unit one again.
        """
        qpos, qvel = self.state(obs)
        hidden = self.hidden_qpos
        qpos[1:, :hidden] = np.cumsum((qvel[:-1, :hidden] + qvel[1:, :hidden]) / 2 * self.dt, axis=0)
        if self.free_joint:
            norm = np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
            qpos[:, 3:7] = np.where(norm > 1e-9, qpos[:, 3:7] / np.maximum(norm, 1e-9), [1.0, 0.0, 0.0, 0.0])
        return qpos


def _slices(**widths: int) -> dict[str, slice]:
    """Consecutive slices of the given widths."""
    ends = np.cumsum(list(widths.values())).tolist()
    return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}


def _flat(array: Array) -> Array:
    """All axes but the first in one."""
    return array.reshape(len(array), -1)


def _uniform_start(noise: float) -> Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]:
    """A start within `noise` of the model's own pose, in position and velocity."""

    def start(rng: np.random.Generator, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        return qpos + rng.uniform(-noise, noise, qpos.size), qvel + rng.uniform(-noise, noise, qvel.size)

    return start


def _humanoid() -> Body:
    """17 hinges, 24 numbers of position, 23 of velocity; falls below 1 m or rises above 2 m and the episode is over."""

    def observe(frame: Frame) -> Array:
        # The world body (row 0) and the free joint's forces carry no information: Gymnasium leaves them out.
        parts = [frame["qpos"][:, 2:], frame["qvel"], _flat(frame["cinert"][:, 1:]), _flat(frame["cvel"][:, 1:]),
                 frame["qfrc_actuator"][:, 6:], _flat(frame["cfrc_ext"][:, 1:])]
        return np.concatenate(parts, axis=1)

    low, high, bonus, cost = 1.0, 2.0, 5.0, 0.1

    def terminated(obs: Array) -> Bools:
        height = obs[..., 0]
        return np.asarray(~((height > low) & (height < high)))

    def mass_center_x(body: Body, frame: Frame) -> Array:
        mass = body.model.body_mass[:, None]
        return np.asarray((np.sum(mass * frame["xipos"], axis=1) / np.sum(mass))[:, 0])

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        speed = (mass_center_x(body, after) - mass_center_x(body, before)) / body.dt
        contact = 5e-7 * np.sum(np.square(_flat(after["cfrc_ext"])), axis=1)
        return {
            "forward": 1.25 * speed,
            "alive": bonus * ~terminated(after["qpos"][:, 2:]),
            "control": -cost * np.sum(np.square(action.astype(np.float64)), axis=1),  # of the action as given, though MuJoCo clips the torque
            "contact": -np.minimum(contact, 10.0),
        }

    return Body(
        name="humanoid", env_id="Humanoid-v5", hidden_qpos=2, free_joint=True,
        obs_slices=_slices(qpos=22, qvel=23, cinert=130, cvel=78, qfrc_actuator=17, cfrc_ext=78),
        readouts=("qpos", "qvel", "cinert", "cvel", "qfrc_actuator", "cfrc_ext", "xipos"),
        observe=observe, terms=terms, costs=("control", "contact"), terminated=terminated, start=_uniform_start(0.01),
        healthy=(0, low, high), alive_bonus=bonus, control_cost=cost,
    )  # fmt: skip


def _half_cheetah() -> Body:
    """Six hinges in a vertical plane; never terminates, so every episode has 1,000 steps."""

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        speed = (after["qpos"][:, 0] - before["qpos"][:, 0]) / body.dt
        return {"forward": 1.0 * speed, "control": -0.1 * np.sum(np.square(action), axis=1)}

    def start(rng: np.random.Generator, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        return qpos + rng.uniform(-0.1, 0.1, qpos.size), qvel + 0.1 * rng.standard_normal(qvel.size)

    return Body(
        name="half_cheetah", env_id="HalfCheetah-v5", hidden_qpos=1, free_joint=False,
        obs_slices=_slices(qpos=8, qvel=9), readouts=("qpos", "qvel"),
        observe=lambda frame: np.concatenate([frame["qpos"][:, 1:], frame["qvel"]], axis=1),
        terms=terms, costs=("control",), terminated=lambda obs: np.zeros(obs.shape[:-1], dtype=np.bool_), start=start,
        control_cost=0.1,
    )  # fmt: skip


def _inverted_pendulum() -> Body:
    """A pole on a cart: one motor, four numbers, 1 for every step on which the pole stands within 0.2 rad. Full marks are 1,000."""

    def terminated(obs: Array) -> Bools:
        return np.asarray(~(np.isfinite(obs).all(axis=-1) & (np.abs(obs[..., 1]) <= 0.2)))

    def observe(frame: Frame) -> Array:
        return np.concatenate([frame["qpos"], frame["qvel"]], axis=1)

    def terms(body: Body, before: Frame, after: Frame, action: Actions) -> dict[str, Array]:
        return {"alive": (~terminated(observe(after))).astype(np.float64)}

    return Body(
        name="inverted_pendulum", env_id="InvertedPendulum-v5", hidden_qpos=0, free_joint=False,
        obs_slices=_slices(qpos=2, qvel=2), readouts=("qpos", "qvel"), observe=observe,
        terms=terms, costs=(), terminated=terminated, start=_uniform_start(0.01), healthy=(1, -0.2, 0.2), alive_bonus=1.0,
    )  # fmt: skip


BODIES: dict[str, Callable[[], Body]] = {"humanoid": _humanoid, "half_cheetah": _half_cheetah, "inverted_pendulum": _inverted_pendulum}


@functools.cache
def get(name: str = "humanoid") -> Body:
    """The body of that name.

    Raises:
        InputError: if there is none, with the nearest name.
    """
    if name not in BODIES:
        near = difflib.get_close_matches(name.lower().replace("-v5", ""), BODIES, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(f"There is no body '{name}'; there are: {', '.join(BODIES)}.{hint}")
    return BODIES[name]()
