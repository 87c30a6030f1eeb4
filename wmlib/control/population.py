"""Controllers on the real body: a whole population plays the same episodes at once, over threads.

Common random numbers: every candidate meets the same starts, so that luck does not choose between them. No bit depends on the threads, on the
batch, or on who else plays. Built in chapter 5.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from wmlib.control.agent import Agent
from wmlib.control.controller import Linear
from wmlib.real.body import Array
from wmlib.real.policies import Policy
from wmlib.real.rollout import Episode, rollout
from wmlib.real.workers import Workers

BATCH = 32
CHUNK = 256
"""Episodes whose states are in memory at once."""
PARTS = 2
"""Pieces of work for each worker, so that one who is done early takes another."""


class Moments(NamedTuple):
    """Number n, mean (F,) and sum of squared deviations (F,) of some rows; two of them add up without the rows."""

    n: float
    mean: Array
    squares: Array

    @classmethod
    def of(cls, rows: Array) -> Moments:
        """Of rows (N, F)."""
        mean = rows.mean(axis=0)
        return cls(float(len(rows)), mean, np.square(rows - mean).sum(axis=0))

    def merged(self, other: Moments) -> Moments:
        """Of the rows of both (Chan, Golub and LeVeque, 1979)."""
        n, apart = self.n + other.n, other.mean - self.mean
        share = other.n / n
        return Moments(
            n, self.mean + apart * share, self.squares + other.squares + apart**2 * (self.n * share)
        )

    @property
    def std(self) -> Array:
        """Standard deviations (F,); 1 as long as there are no rows."""
        return np.sqrt(self.squares / self.n) if self.n else np.ones_like(self.mean)


@dataclass(frozen=True, eq=False)
class Played:
    """P controllers on the same E episodes.

    Attributes:
        returns: (P, E).
        alive: (P, E), the part of the return that is the bonus for being alive.
        lengths: (P, E), in steps.
        seen: of each episode, in that order, the moments of the features on which C acted; empty where they were not asked for.
    """

    returns: Array
    alive: Array
    lengths: Array
    seen: tuple[Moments, ...] = ()

    @property
    def real_steps(self) -> int:
        """Real steps that this took."""
        return int(self.lengths.sum())

    def fitness(self, healthy_weight: float = 1.0) -> Array:
        """Mean over the episodes (P,), the alive bonus times `healthy_weight`: 1 is the return, 0 leaves the bonus out."""
        return np.asarray((self.returns - (1 - healthy_weight) * self.alive).mean(axis=1))


def evaluate_population(
    linear: Linear, population: Array, seeds: Sequence[int] | range, *, max_steps: int | None = None, batch: int = BATCH, see: bool = False,
    policy: Callable[[Linear, Array], Policy] = Agent, workers: Workers | int | None = None,
) -> Played:  # fmt: skip
    """Plays a population (P, n_params) on the real body, every controller on every seed (E). `workers` and `batch` change no bit.

    Args:
        linear: the shape of the controllers.
        population: their parameters; (n_params,) for one.
        seeds: of the episodes.
        max_steps: of an episode; the body's own limit by default.
        batch: episodes side by side.
        see: whether to take the moments of what was seen; for the body's own features.
        policy: makes the policy of (linear, rows of parameters), one row for each episode; such as `functools.partial(Agent, model=world)`.
        workers: who plays, or how many threads of this process do, every core by default. `Workers` play a plain `Agent` only; for another policy the threads do.

    Raises:
        InputError: if the features are not the body's own, or a size is wrong.
    """
    population = np.atleast_2d(population)
    linear.unpack(population)
    params, every = np.repeat(population, len(seeds), axis=0), list(seeds) * len(population)
    who = workers if isinstance(workers, Workers) and policy is Agent else None
    size = max(1, -(-len(every) // (PARTS * who.n))) if who else CHUNK
    threads = 1 if who else workers if isinstance(workers, int) else None
    play = functools.partial(_play, linear, policy, see, max_steps=max_steps, threads=threads, batch=batch)  # fmt: skip
    ends = range(0, len(every), size)
    calls = [(params[at : at + size], every[at : at + size]) for at in ends]
    played = who.map(play, calls) if who else [play(*call) for call in calls]
    rows = [row for some, _ in played for row in some]
    returns, alive, lengths = np.array(rows).T.reshape(3, len(population), len(seeds))
    return Played(returns, alive, lengths, tuple(moments for _, some in played for moments in some))


def _play(
    linear: Linear, policy: Callable[[Linear, Array], Policy], see: bool, params: Array, seeds: list[int], **how: Any
) -> tuple[list[tuple[float, float, float]], list[Moments]]:  # fmt: skip
    """Return, bonus and length of each episode, and the moments of what was seen; what a worker does. `how` is the rollout's."""
    rows, seen = [], []
    wide = see and linear.features == "obs"
    for episode in rollout(linear.body, policy(linear, params), seeds, keep_obs=wide, **how):
        bonus = episode.terms["alive"].sum() if episode.terms and "alive" in episode.terms else 0.0
        rows.append((episode.episode_return, float(bonus), float(len(episode))))
        if see:
            seen.append(Moments.of(_features(linear, episode)))
    return rows, seen


def _features(linear: Linear, episode: Episode) -> Array:
    """What C saw in an episode of T steps, (T, F)."""
    obs = linear.body.physics(episode.qpos, episode.qvel) if episode.obs is None else episode.obs
    return linear.select(obs[:-1])
