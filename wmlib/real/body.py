"""What is true of a MuJoCo body without any learning.

A `Body` knows its Gymnasium environment, the named parts of an observation, how observation and physical state
`(qpos, qvel)` map to each other, when an episode ends, and the terms of the reward: all exact, so that nothing of it
need ever be learned. Those of this book are in `wmlib.real.zoo`; how to add your own is a page of the book.

All functions take a leading batch axis `N` (or any leading axes, where the docstring says `...`). Lengths are in
metres, times in seconds, angles in radians.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError

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
        start: `(rng, init_qpos, init_qvel) -> (qpos, qvel)`, the random start of an episode.
        healthy: conditions (read, low, high): the body lives while each `read(obs (..., D)) -> (...)`, of an observation or its physics, is between
            low and high. `read` works on arrays and on tensors alike, so that dreams end by the same rule. Empty if it never dies.
        ended: `Frame -> bool (N,)`, the end as the simulator decides it, where an observation does not tell all of it; None where it does.
        position: `qpos (..., nq) -> its observed part`; all but the hidden entries by default.
        pose: the inverse of it, the hidden entries 0; exact for every qpos that `position` can give.
        max_speed: velocities are observed as clipped to this.
        alive_bonus: reward of a step after which it lives.
        control_cost: of a step, for each unit of squared action.
        max_steps: steps after which an episode is truncated.
        feet: names of the spheres that it stands on, if any; see `kinematics`.
        forward_weight: reward for each metre a second of the centre of mass along x, where that is what a body is paid for; else 0.
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
    start: Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]
    healthy: tuple[tuple[Callable[[Any], Any], float, float], ...] = ()
    ended: Callable[[Frame], Bools] | None = None
    position: Callable[[Array], Array] | None = None
    pose: Callable[[Array], Array] | None = None
    max_speed: float = np.inf
    alive_bonus: float = 0.0
    control_cost: float = 0.0
    max_steps: int = 1000
    feet: tuple[str, ...] = ()
    forward_weight: float = 0.0
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

    def __reduce__(self) -> tuple[Callable[[str], Body], tuple[str]]:
        """A worker gets the name, and makes the body itself."""
        return get, (self.name,)

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

    @property
    def box(self) -> tuple[Array, Array]:
        """Middle of the action box, and half its width, each (a_dim,)."""
        low, high = self.action_low.astype(float), self.action_high.astype(float)
        return (low + high) / 2, (high - low) / 2

    def driven_joints(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Of each actuator's joint: where an observation holds its angle and its speed, each (a_dim,), and its angle at rest, (a_dim,).

        Raises:
            InputError: if an actuator pulls at something else than a joint, such as a tendon.
        """
        if (self.model.actuator_trntype > 1).any():  # 0 and 1 are joints
            raise InputError(
                f"Some actuators of {self.name} do not move a joint of their own, so there is no pose to hold; expected another policy."
            )
        joints = self.model.actuator_trnid[:, 0]
        position = self.model.jnt_qposadr[joints]
        speed = self.obs_slices["qvel"].start + self.model.jnt_dofadr[joints]
        return position - self.hidden_qpos, speed, self.model.qpos0[position]

    def terminated(self, obs: Array) -> Bools:
        """Whether observations or physics (..., D) are the end of an episode (...,): the rule that dreams know."""
        living = [((value := read(obs)) > low) & (value < high) for read, low, high in self.healthy]
        return (
            np.asarray(~functools.reduce(np.logical_and, living))
            if living
            else np.zeros(obs.shape[:-1], dtype=np.bool_)
        )

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
            old = (
                f" {width} numbers is the v4 environment's observation; gather again with {self.env_id}."
                if width == 376
                else ""
            )
            raise InputError(
                f"An observation of {self.name} has {self.obs_dim} numbers (or {self.physics_dim}, its physical state); got {width}.{old}"
            )
        if not np.isfinite(obs).all():
            raise InputError(
                f"An observation of {self.name} holds NaN or infinity, first at {tuple(map(int, np.argwhere(~np.isfinite(obs))[0]))}; expected finite numbers."
            )
        return obs

    def physics(self, qpos: Array, qvel: Array) -> Array:
        """The physical part of an observation, (..., physics_dim), from `qpos` (..., nq) and `qvel` (..., nv). Exact."""
        seen = qpos[..., self.hidden_qpos :] if self.position is None else self.position(qpos)
        return np.concatenate(
            [
                seen,
                qvel
                if np.isinf(self.max_speed)
                else np.clip(qvel, -self.max_speed, self.max_speed),
            ],
            axis=-1,
        )

    def state(self, obs: Array) -> tuple[Array, Array]:
        """`qpos` (..., nq) and `qvel` (..., nv) from an observation (..., obs_dim) or its physics (..., physics_dim).

        Exact but for the horizontal position, which an observation leaves out and which is set to 0, and for velocities beyond `max_speed`.
        """
        obs = self.check_obs(obs)
        seen, qvel = obs[..., self.obs_slices["qpos"]], obs[..., self.obs_slices["qvel"]].copy()
        if self.pose is not None:
            return self.pose(seen), qvel
        return np.concatenate([np.zeros((*obs.shape[:-1], self.hidden_qpos)), seen], axis=-1), qvel

    def poses(self, obs: Array) -> Array:
        """`qpos` (T, nq) of a whole trajectory obs (T, ...), ready to be drawn.

        The horizontal position is the integral of the horizontal velocity (trapezoid rule, from 0), and a quaternion that
        a model has decoded is made a unit one again.
        """
        qpos, qvel = self.state(obs)
        hidden = self.hidden_qpos
        qpos[1:, :hidden] = np.cumsum(
            (qvel[:-1, :hidden] + qvel[1:, :hidden]) / 2 * self.dt, axis=0
        )
        if self.free_joint:
            norm = np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
            qpos[:, 3:7] = np.where(
                norm > 1e-9, qpos[:, 3:7] / np.maximum(norm, 1e-9), [1.0, 0.0, 0.0, 0.0]
            )
        return qpos


_MADE: dict[str, Body] = {}


def names() -> list[str]:
    """The bodies of this book, and those added to them."""
    from wmlib.real import zoo

    return [*zoo.BODIES, *(name for name in _MADE if name not in zoo.BODIES)]


def add(make: Callable[[], Body]) -> Body:
    """Adds your own body under its name, for this process. Other processes, the command line and its workers read WM_BODIES (see `get`).

    Raises:
        InputError: if it is no body, its name belongs to one of the book's, or its environment is unknown or shows something else.
    """
    from wmlib.real import zoo

    called = f"{getattr(make, '__name__', make)}()"
    try:
        body = make()
    except gymnasium.error.Error as error:
        raise InputError(
            f"{called} asks for an environment that Gymnasium does not have: {error} Call gymnasium.register first."
        ) from None
    if not isinstance(body, Body):
        raise InputError(f"{called} gives a {type(body).__name__}; expected a wm.body.Body.")
    if body.name in zoo.BODIES:
        raise InputError(
            f"The book has a body called '{body.name}' already. Give yours another name."
        )
    _check_parts(body)
    _MADE[body.name] = body
    return body


def _check_parts(body: Body) -> None:
    """Raises InputError unless the named parts tile what the environment shows, the physical state first."""
    env = gymnasium.make(body.env_id)
    shown, parts = env.observation_space.shape, body.obs_slices.items()
    env.close()
    n_velocities = int(body.model.nv)
    n_positions = body.physics(body.model.qpos0, np.zeros(n_velocities)).size - n_velocities
    widths = [(name, part.stop - part.start) for name, part in parts]
    starts, stops = [part.start for _, part in parts], [part.stop for _, part in parts]
    if (
        widths[:2] != [("qpos", n_positions), ("qvel", n_velocities)]
        or starts != [0, *stops[:-1]]
        or shown != (stops[-1],)
    ):
        is_now = ", ".join(f"{name} {part.start}:{part.stop}" for name, part in parts)
        raise InputError(
            f"The parts of an observation of '{body.name}' are {is_now}; expected qpos with {n_positions} numbers, then qvel with {n_velocities}, then the rest "
            f"without a gap: in all the shape {shown} that {body.env_id} shows."
        )


def get(name: str = "humanoid") -> Body:
    """The body of that name; one object for each name.

    The environment variable WM_BODIES names your own, as `module:function`, several with commas: functions on Python's path that give a
    `Body`. What is stored names a body by its name only, so that no file can have code run that you did not list.

    Raises:
        InputError: if there is none, with the nearest name; or one that WM_BODIES lists cannot be made.
    """
    from wmlib.real import zoo

    if name not in _MADE and name in zoo.BODIES:
        _MADE[name] = zoo.BODIES[name]()
    for own in filter(
        None, os.environ.get("WM_BODIES", "").split(",") if name not in _MADE else ()
    ):
        _add_listed(own.strip())
    if name not in _MADE:
        near = difflib.get_close_matches(name.lower().replace("-v5", ""), names(), n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(f"There is no body '{name}'; there are: {', '.join(names())}.{hint}")
    return _MADE[name]


def _add_listed(own: str) -> None:
    module, _, function = own.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"WM_BODIES lists '{own}', which cannot be imported: {error}. Expected module:function, of a module on Python's path."
        ) from None
    add(make)
