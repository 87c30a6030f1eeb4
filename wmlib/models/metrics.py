"""How well does a model predict? On real episodes that it never saw, through V and k steps ahead; and on its own dreams, where MuJoCo says what follows.

Everything is in standard deviations of the body's numbers, as V's statistics have them, and beside what costs nothing: the
mean for V, 'nothing changes' (copy-last) for M. Built in chapters 3 and 4.

`physics_error` puts every state of a dream into the simulator, does the dreamed action, and compares where the body really goes with where
the dream went: it tells the step at which a dream stops being physics. It asks about each step alone: errors made before do not count. It
needs no learning and no seed. Built in chapter 7.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError, whole
from wmlib.models.vae import STD_FLOOR, VAE
from wmlib.models.world import WorldModel
from wmlib.real.body import Array, Body, Bools
from wmlib.real.episodes import Episodes, spaced
from wmlib.real.rollout import n_cores
from wmlib.seeds import within

STILL = 1e-6
"""Variance, in V's units, below which a number counts as one that never moves: rounding leaves a constant some 1e-20."""
WATCHED = 4
"""Steps that a model watches before it foretells."""
ACTIVE = 0.1
"""Nats of KL above which a number of z counts as active."""
DEEP = 0.05
"""Metres that a body may be in the floor: MuJoCo's own soft contact gives way by about 0.02."""
NEAR = 20_000
"""States of the data that distances are measured to; drawn evenly if there are more."""
CHUNK = 512
Dreamer = Callable[[Array, NDArray[Any], NDArray[Any]], NDArray[Any]]
"""`(obs (B, T+1, ...), before (B, T, a_dim), action (B, k, a_dim)) -> what follows (B, k, D)`, D at least `physics_dim`."""


def refuse_seen(model: VAE, episodes: Episodes) -> None:
    """Raises InputError if some of these episodes have seeds that this V, or its world, was trained on, as far as it knows."""
    if seen := within(episodes.seeds, model.training_seeds):
        raise InputError(
            f"{len(seen)} of these {len(episodes)} episodes have seeds that the model was trained on, the first {seen[0]}; what it knows by heart measures nothing. Gather others: wm.gather(..., seed=1), or wmlib gather --seed 1."
        )


def reconstruction_r2(
    model: VAE, episodes: Episodes, rng: np.random.Generator | None = None
) -> dict[str, Array]:
    """Share of the variance that survives V, for each number of each named part of its view: 1 - error / variance.

    Args:
        model: V.
        episodes: held-out episodes.
        rng: to sample the codes; their means if None.

    Returns:
        name of the part -> (its numbers,), on all states; NaN for a number that never moves. The variance is about the training mean,
        floored as V's statistics are.

    Raises:
        InputError: if V was trained on some of these episodes.
    """
    refuse_seen(model, episodes)
    truth = model.view(episodes)[:, : model.x_dim]
    error = np.square((model.reconstruct(truth, rng) - truth) / model.std).mean(axis=0)
    variance = np.square((truth - model.mean) / model.std).mean(axis=0)
    values = np.where(variance > STILL, 1 - error / np.maximum(variance, STILL), np.nan)
    return {
        name: values[part]
        for name, part in episodes.body.obs_slices.items()
        if part.stop <= model.x_dim
    }


@dataclass(frozen=True, eq=False)
class OpenLoop:
    """Errors k steps ahead: row k - 1 is k steps after the last thing seen.

    Attributes:
        model: (K, S); mean squared error of each number of the physical state, in standard deviations.
        copy: (K, S); the same for 'nothing changes'.
        survivors: (K,); starts whose episode still went on.
    """

    model: Array
    copy: Array
    survivors: NDArray[np.int64]

    def error(self, part: slice = slice(None)) -> Array:
        """Root mean square error of the model over some numbers, (K,), in standard deviations."""
        return np.asarray(np.sqrt(self.model[:, part].mean(axis=1)))

    def copy_error(self, part: slice = slice(None)) -> Array:
        """The same of 'nothing changes', (K,)."""
        return np.asarray(np.sqrt(self.copy[:, part].mean(axis=1)))

    def ratio(self, part: slice = slice(None)) -> Array:
        """Error over that of 'nothing changes', (K,): below 1 the model knows something. NaN where no episode lasts so long."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.error(part) / self.copy_error(part))


def open_loop_error(
    model: VAE,
    episodes: Episodes,
    dream: Dreamer,
    *,
    horizon: int = 25,
    watched: int = WATCHED,
    stride: int = 4,
) -> OpenLoop:
    """Watches some real steps, then dreams on with the real actions, and compares with what really followed.

    Args:
        model: V, whose statistics are the unit, and whose view `dream` gets.
        episodes: held-out episodes.
        dream: such as `lambda *seen: world.dream(*seen, rng=rng)`.
        horizon: steps K to dream.
        watched: real steps before the dream, that M's memory is filled with.
        stride: steps from one start to the next in an episode.

    Raises:
        InputError: if V, or its world, was trained on some of these episodes, or none is long enough.
    """
    refuse_seen(model, episodes)
    states, action, alive = _starts(episodes, model.view(episodes), watched, horizon, stride)
    size = episodes.body.physics_dim
    truth, last = states[:, watched + 1 :, :size], states[:, watched : watched + 1, :size]
    dreamed = dream(states[:, : watched + 1], action[:, :watched], action[:, watched:])[..., :size]

    def mse(prediction: NDArray[Any]) -> Array:
        squared = np.square((prediction - truth) / model.std[:size])
        n = np.maximum(alive.sum(axis=0), 1)
        return np.asarray(np.where(alive[..., None], squared, 0.0).sum(axis=0) / n[:, None])

    return OpenLoop(mse(dreamed), mse(np.broadcast_to(last, truth.shape)), alive.sum(axis=0))


def _starts(
    episodes: Episodes, states: Array, watched: int, horizon: int, stride: int
) -> tuple[Array, NDArray[Any], NDArray[np.bool_]]:
    """Every start with `watched` steps before it and at least one after: states (W, watched + horizon + 1, D), actions, alive (W, horizon).

    Past an episode's end its last state stands still, and `alive` is false.

    Raises:
        InputError: if no episode is long enough.
    """
    n_starts = np.maximum(0, -(-(episodes.lengths - watched) // stride))
    if not n_starts.any():
        raise InputError(
            f"No episode has more than {watched} steps; give longer ones, or watch fewer."
        )
    episode, first = spaced(n_starts, stride)
    offset = first[:, None] + np.arange(watched + horizon + 1)
    length = episodes.lengths[episode][:, None]
    state_from, step_from = (first[episode, None] for first in (episodes.first_state, episodes.first_step))  # fmt: skip
    action = episodes.action[step_from + np.minimum(offset[:, :-1], length - 1)]
    return states[state_from + np.minimum(offset, length)], action, offset[:, watched:-1] < length


def vae_report(model: VAE, episodes: Episodes, rng: np.random.Generator) -> str:
    """The held-out table of a V as text: R^2 of each part, codes sampled and not, and KL."""
    lines = [
        f"{len(episodes)} held-out episodes, {episodes.n_steps:,} steps; units: standard deviations of the training data",
        "",
        "V            R^2, z sampled   R^2, z = mu   worst number",
    ]
    sampled, mean = reconstruction_r2(model, episodes, rng), reconstruction_r2(model, episodes)
    lines += [
        f"{name:12} {np.nanmean(sampled[name]):15.4f} {np.nanmean(mean[name]):13.4f} {np.nanmin(sampled[name]):14.4f}"
        for name in sampled
    ]
    kl = model.kl(model.view(episodes))
    return "\n".join(
        [
            *lines,
            f"KL {kl.sum():.1f} nats over {model.z_dim} numbers of z; {int((kl > ACTIVE).sum())} of them active (above {ACTIVE:g} nats)",
        ]
    )


def report(world: WorldModel, episodes: Episodes, *, seed: int = 0, horizon: int = 25) -> str:
    """The held-out table of a world as text: R^2 of each part through V, KL, and errors k steps ahead beside copy-last."""
    body, v = world.body, world.vae
    world.check_body(episodes)
    rng = np.random.default_rng([whole(seed, "The seed"), 3])
    lines = [vae_report(v, episodes, rng), ""]
    runs = {
        name: open_loop_error(
            v, episodes, functools.partial(world.dream, rng=rng, sample=sample), horizon=horizon
        )
        for name, sample in (("M, sampled", True), ("M, mean", False))
    }
    first = next(iter(runs.values()))
    parts = {
        "all": slice(0, body.physics_dim),
        "qpos": body.obs_slices["qpos"],
        "qvel": body.obs_slices["qvel"],
    }
    for part, numbers in parts.items():
        lines.append(
            f"{part:5}  k  survivors  copy-last"
            + "".join(f"{name:>14}{'ratio':>8}" for name in runs)
        )
        for k in [k for k in (1, 2, 3, 5, 10, 15, 20, 25, 50) if k <= horizon]:
            cells = "".join(
                f"{run.error(numbers)[k - 1]:14.3f}{run.ratio(numbers)[k - 1]:8.2f}"
                for run in runs.values()
            )
            lines.append(
                f"{'':5} {k:2} {first.survivors[k - 1]:10} {first.copy_error(numbers)[k - 1]:10.3f}{cells}"
            )
    for name, run in runs.items():
        below = int((run.ratio() < 1).sum())
        lines.append(
            f"{name}: below copy-last at {below} of {horizon} k"
            + (f"; at k = 10 {run.ratio()[9]:.2f} of it" if horizon >= 10 else "")
        )
    return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class PhysicsError:
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


def physics_error(
    body: Body,
    obs: NDArray[Any],
    action: NDArray[Any],
    lengths: NDArray[Any],
    data: Episodes,
    *,
    threads: int | None = None,
) -> PhysicsError:
    """Asks MuJoCo about every step of some dreams.

    Args:
        body: the body.
        obs: dreamed states (N, T+1, D), D at least `physics_dim`, such as `Trajectory.obs`.
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
    change = data.physics[data.before + 1] - data.physics[data.before]
    usual = float(np.sqrt(np.mean(np.square(change / std))))
    return PhysicsError(
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
