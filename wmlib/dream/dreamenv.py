"""The dream as a Gymnasium environment: reset, step, reset. Any agent that learns from a `VectorEnv` can learn in it.

Every row is a dream of its own, with its own seed for starts and noise. As in Gymnasium 1.x, a row that has ended is reset by the step after:
that step's action is ignored, its reward is 0 (`AutoresetMode.NEXT_STEP`). Built in chapter 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from wmlib.dream.dream import Dream
from wmlib.errors import InputError, whole
from wmlib.models import nets
from wmlib.models.model import Starts
from wmlib.models.nets import ops
from wmlib.real.body import Array, Bools

Floats = NDArray[np.float32]
BLOCK = 32
"""Noise is drawn for so many steps of a row at once."""


class _Dreamer:
    """The random numbers of one row: which start comes next, and the noise of each step."""

    def __init__(self, dreams: Dream, n_starts: int, seed: int) -> None:
        self.dreams, self.n_starts = dreams, n_starts
        self.choice, self.rng = (np.random.default_rng([seed, 7, of]) for of in (0, 1))
        self.block: tuple[Floats, ...] = ()
        self.at = BLOCK

    def start(self) -> int:
        return int(self.choice.integers(self.n_starts))

    def noise(self) -> tuple[Floats, ...]:
        if self.at == BLOCK:
            self.block, self.at = self.dreams.model.noise(self.rng, BLOCK), 0
        self.at += 1
        return tuple(part[self.at - 1] for part in self.block)


class DreamEnv(VectorEnv):  # type: ignore[misc]
    """`num_envs` dreams side by side, as Gymnasium's `VectorEnv`.

    Actions are (num_envs, a_dim), held in the body's box; observations (num_envs, F) float32, the features that `dreams.linear` names, as the
    model gives them; the reward is as `Dream` adds it up. A row is `terminated` by a fall or by the end of what the model knows, `truncated` by
    the horizon. With an ensemble, row i is dreamed by member i mod E.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # Gymnasium's own name and type

    def __init__(self, dreams: Dream, starts: Starts, num_envs: int) -> None:
        """Makes an environment; `reset` begins it.

        Args:
            dreams: model, features and way to dream.
            starts: real states to begin from, made by `dreams.starts`.
            num_envs: rows.

        Raises:
            InputError: if `num_envs` is not positive, or the starts are another model's.
        """
        num_envs = whole(num_envs, "The number of environments", 1)
        dreams.model.check_starts(starts)
        self.dreams, self.starts, self.num_envs = dreams, starts, num_envs
        body, members = dreams.body, dreams.model.members
        self.single_observation_space = Box(
            -np.inf, np.inf, (dreams.linear.n_features,), np.float32
        )
        self.single_action_space = Box(body.action_low, body.action_high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rows = (
            np.arange(-(-num_envs // members) * members) % num_envs
        )  # filled up, until every member has as many
        self._step = nets.compiled(dreams.step, jit=False)
        self._quiet = tuple(map(np.zeros_like, dreams.model.noise(np.random.default_rng(0))))
        self._dreamers: list[_Dreamer] = []

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Floats, dict[str, Any]]:
        """Begins a dream in every row.

        Args:
            seed: row i is seeded with seed + i, or with its own of a list; a row without one goes on with the numbers that it has.
            options: none.

        Raises:
            InputError: if a seed is no whole number of at least 0, or there are not as many as rows.
        """
        given = list(seed) if isinstance(seed, Sequence | np.ndarray) else None
        if given is None:
            first = None if seed is None else whole(seed, "The seed")
            given = [None if first is None else first + i for i in range(self.num_envs)]
        if len(given) != self.num_envs:
            raise InputError(f"Seeds {given} were given; expected {self.num_envs}, or one.")
        seeds = [None if of is None else whole(of, "The seed of a row") for of in given]
        if not self._dreamers:
            fresh = int(np.random.default_rng().integers(2**31))
            seeds = [fresh + i if of is None else of for i, of in enumerate(seeds)]
            self._dreamers = [_Dreamer(self.dreams, len(self.starts), of or 0) for of in seeds]
        else:
            for row, of in enumerate(seeds):
                if of is not None:
                    self._dreamers[row] = _Dreamer(self.dreams, len(self.starts), of)
        self._memory = [
            np.zeros((self.num_envs, *part.shape[1:]), np.float32) for part in self.starts.state
        ]
        self._steps, self._over = np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs, bool)
        self._begin(np.arange(self.num_envs))
        return self._seen(), {}

    def step(self, actions: NDArray[Any]) -> tuple[Floats, Array, Bools, Bools, dict[str, Any]]:
        """One step of every dream that goes on; rows that ended in the step before are reset.

        Raises:
            InputError: if `reset` was never called, or the actions have a wrong shape, or are NaN.
        """
        with np.errstate(over="ignore"):
            actions = np.asarray(actions, dtype=np.float32)
        if (
            not self._dreamers
            or actions.shape != self.action_space.shape
            or not np.isfinite(actions).all()
        ):
            raise InputError(
                f"Actions of shape {actions.shape} were given; expected finite ones of shape {self.action_space.shape}, after a reset."
            )
        body, going = self.dreams.body, ~self._over
        held = np.clip(actions, body.action_low, body.action_high)
        drawn = [
            dreamer.noise() if on else self._quiet
            for dreamer, on in zip(self._dreamers, going, strict=True)
        ]
        noise = tuple(np.stack(part)[self._rows] for part in zip(*drawn, strict=True))
        memory, outcome = self._step(
            tuple(part[self._rows] for part in self._memory),
            held[self._rows],
            noise,
            np.float32(self.dreams.config.tau),
        )
        for kept, after in zip(self._memory, memory, strict=True):
            kept[going] = np.asarray(ops.convert_to_numpy(after))[: self.num_envs][going]
        reward, ended = (
            np.asarray(ops.convert_to_numpy(part))[: self.num_envs] for part in outcome[:2]
        )
        self._steps[going] += 1
        terminated = ended & going
        truncated = going & ~ended & (self._steps >= self.dreams.config.horizon)
        self._begin(np.flatnonzero(self._over))
        self._over = terminated | truncated
        return (
            self._seen(),
            np.where(going, reward, 0.0).astype(np.float64),
            terminated,
            truncated,
            {},
        )

    def _begin(self, rows: NDArray[np.int64]) -> None:
        """Puts these rows at starts of their own choice."""
        if len(rows):
            index = [self._dreamers[row].start() for row in rows]
            for kept, part in zip(self._memory, self.starts.state, strict=True):
                kept[rows] = part[index]
            self._steps[rows] = 0

    def _seen(self) -> Floats:
        """What C looks at, as a copy."""
        return np.array(
            self.dreams.model.features(tuple(self._memory), self.dreams.linear.features)
        )
