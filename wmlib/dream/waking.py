"""Awake: C acts in the real simulator with the same eyes and the same memory as in the dream, and with noise on top when it gathers.

For a controller on a world's features V codes what the body sees and M remembers what was really done, by the same code as in the dream. Built
in chapter 5, where the report's controller wakes up to a memory that it never met; it gathers in chapter 8.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wmlib.control.controller import REAL, Controller, Linear
from wmlib.errors import InputError
from wmlib.models import nets
from wmlib.models.model import Model
from wmlib.real.body import Array


def _coded(model: Model) -> dict[str, int]:
    """The features that a model gives and a body does not, with how many numbers they are."""
    return {name: n for name, n in model.feature_sizes.items() if name not in REAL}


def _fits(model: Model, linear: Linear) -> bool:
    return model.body is linear.body and _coded(model).get(linear.features) == linear.n_features


def linear(model: Model, features: str = "zh") -> Linear:
    """The shape of a controller on this world's z, or z and h.

    Raises:
        InputError: if the features are neither.
    """
    if features not in _coded(model):
        raise InputError(
            f"A world gives the features {' and '.join(_coded(model))}; '{features}' was asked for."
        )
    return Linear(model.body, features, _coded(model)[features])


class Waking:
    """The policy of controllers, awake; with one row of parameters, of that one controller in every episode.

    The memory of an episode begins empty and follows what is seen and done; `frozen` holds it at zero, as the report did while it evolved.
    Codes are means, not samples. TensorFlow's rounding depends on the size of a batch, which `rollout` keeps the same for all its steps.
    """

    def __init__(
        self, world: Model | None, linear: Linear, params: Array, *, frozen: bool = False, param_noise: float = 0.0, action_noise: float = 0.0
    ) -> None:  # fmt: skip
        """Puts them together.

        Args:
            world: whose codes and memory C looks at; None for a C on the body's own features.
            linear: the shape of C.
            params: (R, n_params), one row for each episode in the order in which they begin, or (n_params,).
            frozen: whether the memory is held at zero.
            param_noise: spread of an episode's weights around its row's.
            action_noise: spread of noise on actions, in halves of the action box.

        Raises:
            InputError: if controller and world do not belong together, or noise is negative.
        """
        if (world is None) != (linear.features in REAL) or (
            world is not None and not _fits(world, linear)
        ):
            given = (
                "a body without a world"
                if world is None
                else "this world, which has "
                + " or ".join(f"{size} of '{name}'" for name, size in _coded(world).items())
            )
            raise InputError(
                f"A controller on {linear.n_features} features '{linear.features}' of {linear.body.name} does not fit {given}."
            )
        if not (param_noise >= 0 and action_noise >= 0):
            raise InputError(
                f"Noise of {param_noise} on weights and {action_noise} on actions was asked for; expected none negative."
            )
        self.world, self.linear, self.frozen, self.begun = world, linear, frozen, 0
        self.params = np.asarray(params, dtype=np.float64)
        linear.unpack(self.params)
        self.param_noise, self.action_noise = param_noise, action_noise
        self._step = None if world is None or frozen else nets.compiled(world.remember, jit=False)

    def reset(self, seeds: Any) -> tuple[Any, ...]:
        """Of the episodes that begin: parameters, random numbers, and an empty memory."""
        n = len(seeds)
        self.begun += n
        rows = (
            self.params[self.begun - n : self.begun]
            if self.params.ndim == 2
            else np.tile(self.params, (n, 1))
        )
        draws = np.empty(n, dtype=object)
        draws[:] = [np.random.default_rng([int(seed), 8]) for seed in seeds]
        if self.param_noise:
            rows = rows + self.param_noise * np.stack(
                [rng.standard_normal(rows.shape[1]) for rng in draws]
            )
        return (rows.copy(), draws, *(self.world.memory(n) if self.world else ()))

    def __call__(self, obs: Array, state: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...]]:
        """Actions (N, a_dim) chosen at (z, h), or at what the body shows, then the memory after them."""
        params, draws, *memory = state
        if self.world is None:
            features = self.linear.select(obs)
        else:
            now = (*self.world.see(obs), *memory)
            features = self.world.features(now, self.linear.features)
        action = self.linear.act(params, np.asarray(features, np.float64)[:, None])[:, 0]
        if self.action_noise:
            low, high = (
                self.linear.body.action_low.astype(float),
                self.linear.body.action_high.astype(float),
            )
            noise = np.stack([rng.standard_normal(len(low)) for rng in draws])
            action = np.clip(action + self.action_noise * (high - low) / 2 * noise, low, high)
        if self._step is not None:
            after = self._step(now, action.astype(np.float32))
            memory = [np.array(nets.ops.convert_to_numpy(part)) for part in after]
        return action, (params, draws, *memory)


def awake(made: Controller, world: Model | None = None) -> Waking:
    """A stored controller as a policy, in the world that it was evolved in.

    Raises:
        InputError: if it looks at a world's features, and this is not that world.
    """
    if made.linear.features in REAL:
        return Waking(None, made.linear, made.params)
    named = str(made.facts.get("world", ""))
    if world is None or named != world.fingerprint:
        raise InputError(
            f"This controller sees the features of the world {named[:12]}; {'no world' if world is None else world.fingerprint[:12]} is given. Give the world that it was evolved in."
        )
    return Waking(world, made.linear, made.params)
