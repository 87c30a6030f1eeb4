"""The truth meter: at any dreamed state, what does MuJoCo say follows? It tells the step at which a dream stops being physics.

Every state of a dream is put into the simulator, the dreamed action is done, and where the body really goes is compared with where the dream
went. This asks about each step alone: errors made before do not count. It needs no learning and no seed. Built in chapter 7.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError
from wmlib.real.body import Array, Body, Bools
from wmlib.real.episodes import Episodes
from wmlib.real.rollout import n_cores

DEEP = 0.05
"""Metres that a body may be in the floor: MuJoCo's own soft contact gives way by about 0.02."""
STD_FLOOR = 1e-3
NEAR = 20_000
"""States of the data that distances are measured to; drawn evenly if there are more."""
CHUNK = 512


@dataclass(frozen=True, eq=False)
class Truth:
    """What MuJoCo says of N dreams of T steps. NaN after a dream's end.

    Attributes:
        error: (N, T); of the dreamed next state, root mean square over its numbers, in standard deviations of the data. Infinite where MuJoCo gives up.
        still: (N, T); the same of 'nothing changes': how far the body really goes in this step.
        height: (N, T); dreamed height of the next state less the true one, in metres.
        energy: (N, T); the same of the mechanical energy, in joules.
        depth: (N, T + 1); how deep the dreamed body is in the floor, in metres.
        distance: (N, T + 1); to the nearest state of the data, in the units of `error`.
        usual: how far a real body usually goes in a step: root mean square over the data, in the units of `error`.
    """

    error: Array
    still: Array
    height: Array
    energy: Array
    depth: Array
    distance: Array
    usual: float

    @property
    def physical(self) -> Bools:
        """Whether each step is physics (N, T): wrong by less than a body usually goes in a step, and not in the floor. Steps past the end are."""
        with np.errstate(invalid="ignore"):
            return ~((self.error > self.usual) | (self.depth[:, 1:] > DEEP))

    @property
    def holds(self) -> NDArray[np.int64]:
        """Steps of each dream before the first that is no physics, (N,); all its steps if there is none."""
        steps = np.isfinite(self.still).sum(axis=1)
        return np.asarray(
            np.where(self.physical.all(axis=1), steps, self.physical.argmin(axis=1)), dtype=np.int64
        )


def meter(
    body: Body,
    obs: NDArray[Any],
    action: NDArray[Any],
    lengths: NDArray[Any],
    data: Episodes,
    *,
    threads: int | None = None,
) -> Truth:
    """Asks MuJoCo about every step of some dreams.

    Args:
        body: the body.
        obs: dreamed states (N, T+1, D), D at least `physics_dim`, such as `Track.obs`.
        action: (N, T, a_dim).
        lengths: (N,); steps of each dream.
        data: what the model was trained on: gives the units, and what is near.
        threads: how many; every core by default. It changes no number.

    Raises:
        InputError: if shapes do not fit each other and the body.
    """
    n, steps = action.shape[:2]
    if (
        obs.shape[:2] != (n, steps + 1)
        or obs.shape[2] < body.physics_dim
        or action.shape[2:] != (body.a_dim,)
        or np.shape(lengths) != (n,)
    ):
        raise InputError(
            f"States {obs.shape}, actions {action.shape} and lengths {np.shape(lengths)} do not belong together, or not to '{body.name}'; expected (N, T+1, {body.physics_dim} or more), (N, T, {body.a_dim}) and (N,)."
        )
    states = obs[..., : body.physics_dim].astype(np.float64)
    std = np.maximum(data.physics.std(axis=0), STD_FLOOR)
    lived = np.arange(steps + 1) <= np.asarray(lengths)[:, None]
    acted = lived[:, 1:]
    after, found = np.full((n, steps, body.physics_dim), np.nan), np.full((n, steps + 1, 3), np.nan)
    given = np.concatenate([action, np.zeros((n, 1, body.a_dim))], axis=1)[lived]
    reached, measured = ask(body, states[lived], given, threads=threads)
    found[lived] = measured
    every = np.full((n, steps + 1, body.physics_dim), np.nan)
    every[lived] = reached
    after[acted] = every[:, :-1][acted]
    watch = body.healthy[0][0] if body.healthy else lambda obs: obs[..., 0]

    def rms(difference: Array) -> Array:
        error = np.sqrt(np.mean(np.square(difference / std), axis=-1))
        return np.where(acted & np.isnan(error), np.inf, error)

    height, energy = watch(states[:, 1:]) - watch(after), found[:, 1:, 0] - found[:, :-1, 1]
    distance = np.full((n, steps + 1), np.nan)
    distance[lived] = nearest(states[lived] / std, data.physics / std)
    ended = ~acted
    height[ended] = energy[ended] = np.nan
    error, still = rms(states[:, 1:] - after), rms(states[:, :-1] - after)
    change = np.delete(
        np.diff(data.physics, axis=0), (np.cumsum(data.lengths + 1) - 1)[:-1], axis=0
    )  # not from one episode to the next
    usual = float(np.sqrt(np.mean(np.square(change / std))))
    return Truth(
        error, np.where(np.isinf(still), 0.0, still), height, energy, found[..., 2], distance, usual
    )


def ask(
    body: Body, physics: Array, action: NDArray[Any], *, threads: int | None = None
) -> tuple[Array, Array]:
    """Puts MuJoCo into each state physics (M, S), does action (M, a_dim), and looks.

    Returns:
        the true next states (M, S), NaN where MuJoCo gives up; and of each (M, 3): energy now and after the step, in joules, and depth in the floor
        now, in metres.
    """
    qpos, qvel = body.state(physics)
    if body.free_joint:
        qpos[:, 3:7] /= np.maximum(np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True), 1e-9)
    after, found = np.full(physics.shape, np.nan), np.zeros((len(physics), 3))
    threads = threads or n_cores()

    def work(first: int) -> None:
        data = mujoco.MjData(body.model)
        for row in range(first, len(physics), threads):
            mujoco.mj_resetData(body.model, data)
            data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[row], qvel[row], action[row]
            found[row, 0], found[row, 2] = _look(body.model, data)
            mujoco.mj_step(body.model, data, body.frame_skip)
            if not any(warning.number for warning in data.warning):
                after[row] = body.physics(data.qpos[None], data.qvel[None])[0]
                found[row, 1] = _look(body.model, data)[0]

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(
        lambda message: None
    )  # a dreamed state may blow up: that is counted here, and needs no MUJOCO_LOG.TXT
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    finally:
        mujoco.set_mju_user_warning(before)
    return after, found


def _look(model: Any, data: Any) -> tuple[float, float]:
    """Mechanical energy, and how deep the body is in the floor."""
    mujoco.mj_forward(model, data)
    mujoco.mj_energyPos(model, data)
    mujoco.mj_energyVel(model, data)
    contact = data.contact
    floor = (model.geom_type[contact.geom] == mujoco.mjtGeom.mjGEOM_PLANE).any(axis=-1)
    return float(data.energy.sum()), float(max(0.0, -contact.dist[floor].min(initial=0.0)))


def nearest(states: Array, data: Array) -> Array:
    """Root mean square distance of each state (M, S) to the nearest of data (K, S), (M,)."""
    data = data[np.linspace(0, len(data) - 1, min(NEAR, len(data))).astype(int)]
    size, out = np.square(data).sum(axis=1), np.empty(len(states))
    for i in range(0, len(states), CHUNK):
        part = states[i : i + CHUNK]
        squared = np.square(part).sum(axis=1) + (size[None] - 2 * part @ data.T).min(axis=1)
        out[i : i + CHUNK] = np.sqrt(np.maximum(squared, 0.0) / states.shape[1])
    return out
