"""C in the real simulator, with the same eyes and the same memory as in a dream, and with noise on top when it gathers.

For a controller on a model's features the model codes what the body sees and remembers what was really done, by the same code as in the
dream. Many controllers act in one rollout: each episode has a row of parameters of its own. NumPy only where no model is needed, so that
workers start fast. Built in chapter 5, where the report's controller wakes up to a memory that it never met; it gathers in chapter 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from wmlib.control.controller import REAL, Controller, Linear
from wmlib.errors import InputError
from wmlib.real.body import Array, Body


class Eyes(Protocol):
    """What an agent asks of a model; see `models.model.Model`."""

    @property
    def body(self) -> Body:
        """The body."""

    @property
    def fingerprint(self) -> str:
        """By it a controller names the model whose features it sees."""

    @property
    def feature_sizes(self) -> Mapping[str, int]:
        """What C can look at, and how many numbers it is."""

    def see(self, obs: Array) -> tuple[Any, ...]:
        """The parts of a state that come from observations."""

    def memory(self, n: int) -> tuple[Any, ...]:
        """The other parts, of n rows, before anything was seen."""

    def features(self, state: tuple[Any, ...], name: str) -> Any:
        """What C looks at, (R, F)."""

    def done_really(self, state: tuple[Any, ...], action: Any) -> tuple[Any, ...]:
        """The memory after a real action."""


class Agent:
    """The policy of controllers on the real body; with one row of parameters, of that one controller in every episode.

    The memory of an episode begins empty and follows what is seen and done; `frozen` holds it at zero, as the report did while it evolved.
    Codes are means, not samples. TensorFlow's rounding depends on the size of a batch, which `rollout` keeps the same for all its steps.
    It counts the episodes that begin, to know which row is whose: with several rows it is good for one rollout.
    """

    def __init__(
        self, linear: Linear, params: Array, model: Eyes | None = None, *, frozen: bool = False, param_noise: float = 0.0, action_noise: float = 0.0
    ) -> None:  # fmt: skip
        """Puts them together.

        Args:
            linear: the shape of C.
            params: (R, n_params), one row for each episode in the order in which they begin, or (n_params,).
            model: whose codes and memory C looks at; None for a C on the body's own features.
            frozen: whether the memory is held at zero.
            param_noise: spread of an episode's weights around its row's.
            action_noise: spread of noise on actions, in halves of the action box.

        Raises:
            InputError: if controller and model do not belong together, or noise is negative.
        """
        if linear.features in REAL:
            fits = model is None
        else:
            fits = model is not None and model.body is linear.body
            fits = fits and model.feature_sizes.get(linear.features) == linear.n_features  # type: ignore[union-attr]
        if not fits:
            sizes = {} if model is None else model.feature_sizes
            coded = [f"{size} of '{name}'" for name, size in sizes.items() if name not in REAL]
            given = f"this world, which has {' or '.join(coded) or 'none'}"
            raise InputError(
                f"A controller on {linear.n_features} features '{linear.features}' of {linear.body.name} does not fit {given if model else 'a body without a world'}."
            )
        if not (param_noise >= 0 and action_noise >= 0):
            raise InputError(
                f"Noise of {param_noise} on weights and {action_noise} on actions was asked for; expected none negative."
            )
        self.model, self.linear, self.frozen, self.begun = model, linear, frozen, 0
        self.params = np.asarray(params, dtype=np.float64)
        linear.unpack(self.params)
        self.param_noise, self.action_noise = param_noise, action_noise

    @classmethod
    def of(cls, made: Controller, model: Eyes | None = None) -> Agent:
        """A stored controller, with the model that it was evolved in if it looks at its features.

        Raises:
            InputError: if it looks at a model's features, and this is not that model.
        """
        if made.linear.features in REAL:
            return cls(made.linear, made.params)
        named = str(made.facts.get("world", ""))
        if model is None or named != model.fingerprint:
            raise InputError(
                f"This controller sees the features of the world {named[:12]}; {'no world' if model is None else model.fingerprint[:12]} is given. Give the world that it was evolved in."
            )
        return cls(made.linear, made.params, model)

    def reset(self, seeds: Any) -> tuple[Any, ...]:
        """Of the episodes that begin: parameters, random numbers, and an empty memory."""
        n = len(seeds)
        self.begun += n
        several = self.params.ndim == 2
        rows = self.params[self.begun - n : self.begun] if several else np.tile(self.params, (n, 1))
        draws = np.empty(n, dtype=object)
        if self.param_noise or self.action_noise:
            draws[:] = [np.random.default_rng([int(seed), 8]) for seed in seeds]
        if self.param_noise:
            each = np.stack([rng.standard_normal(rows.shape[1]) for rng in draws])
            rows = rows + self.param_noise * each
        return (rows.copy(), draws, *(self.model.memory(n) if self.model else ()))

    def __call__(self, obs: Array, state: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...]]:
        """Actions (N, a_dim) chosen at what C sees, then the memory after them."""
        params, draws, *memory = state
        if self.model is None:
            features = self.linear.select(obs)
        else:
            now = (*self.model.see(obs), *memory)
            features = np.asarray(self.model.features(now, self.linear.features), np.float64)
        action = self.linear.act(params, features[:, None], obs[:, None])[:, 0]
        if self.action_noise:
            body = self.linear.body
            noise = np.stack([rng.standard_normal(body.a_dim) for rng in draws])
            action = action + self.action_noise * body.box[1] * noise
            action = np.clip(action, body.action_low, body.action_high)
        if self.model is not None and not self.frozen:
            memory = list(self.model.done_really(now, action.astype(np.float32)))
        return action, (params, draws, *memory)
