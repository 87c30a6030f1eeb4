"""How well does a world predict? Measured on real episodes that it never saw: through V, and k steps ahead through M.

Everything is in standard deviations of the body's numbers, as V's statistics have them, and beside what costs nothing: the
mean for V, 'nothing changes' (copy-last) for M. Built in chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError
from wmlib.models.vae import VAE
from wmlib.models.world import World
from wmlib.real.body import Array
from wmlib.real.episodes import Episodes

STILL = 1e-6
"""Variance, in V's units, below which a number counts as one that never moves: rounding leaves a constant some 1e-20."""
ACTIVE = 0.1
"""Nats of KL above which a number of z counts as active."""
Dreamer = Callable[[Array, NDArray[Any], NDArray[Any]], NDArray[Any]]
"""`(obs (B, T+1, ...), before (B, T, a_dim), action (B, k, a_dim)) -> what follows (B, k, D)`, D at least `physics_dim`."""


def r2(model: VAE, episodes: Episodes, rng: np.random.Generator | None = None) -> dict[str, Array]:
    """Share of the variance that survives V, for each number of each named part of its view: 1 - error / variance.

    Args:
        model: V.
        episodes: held-out episodes.
        rng: to sample the codes; their means if None.

    Returns:
        name of the part -> (its numbers,), on all states; NaN for a number that never moves. The variance is about the training mean,
        floored as V's statistics are.
    """
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
        with np.errstate(invalid="ignore"):
            return np.asarray(self.error(part) / self.copy_error(part))


def open_loop(
    model: VAE,
    episodes: Episodes,
    dream: Dreamer,
    *,
    horizon: int = 25,
    watched: int = 4,
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
    """
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
    episode = np.repeat(np.arange(len(episodes)), n_starts)
    first = (np.arange(len(episode)) - np.repeat(np.cumsum(n_starts) - n_starts, n_starts)) * stride
    offset = first[:, None] + np.arange(watched + horizon + 1)
    length = episodes.lengths[episode][:, None]
    state_from = (np.cumsum(episodes.lengths + 1) - episodes.lengths - 1)[episode][:, None]
    step_from = (np.cumsum(episodes.lengths) - episodes.lengths)[episode][:, None]
    action = episodes.action[step_from + np.minimum(offset[:, :-1], length - 1)]
    return states[state_from + np.minimum(offset, length)], action, offset[:, watched:-1] < length


def vae_report(model: VAE, episodes: Episodes, rng: np.random.Generator) -> str:
    """The held-out table of a V as text: R^2 of each part, codes sampled and not, and KL."""
    lines = [
        f"{len(episodes)} held-out episodes, {episodes.n_steps:,} steps; units: standard deviations of the training data",
        "",
        "V            R^2, z sampled   R^2, z = mu   worst number",
    ]
    sampled, mean = r2(model, episodes, rng), r2(model, episodes)
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


def report(world: World, episodes: Episodes, *, seed: int = 0, horizon: int = 25) -> str:
    """The held-out table of a world as text: R^2 of each part through V, KL, and errors k steps ahead beside copy-last."""
    body, v = world.body, world.vae
    rng = np.random.default_rng([seed, 3])
    lines = [vae_report(v, episodes, rng), ""]
    runs = {
        "M, sampled": open_loop(
            v, episodes, lambda *seen: world.dream(*seen, rng=rng), horizon=horizon
        ),
        "M, mean": open_loop(
            v, episodes, lambda *seen: world.dream(*seen, rng=rng, sample=False), horizon=horizon
        ),
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
