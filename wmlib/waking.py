"""A controller on a world's features, awake: V codes what the body sees, M remembers, C acts, and the real simulator answers.

The same z and h by the same code as in the dream. Built in chapter 5, where the report's controller wakes up to a memory that it never met.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wmlib import nets
from wmlib.body import Array
from wmlib.controller import Linear
from wmlib.runs import InputError
from wmlib.world import World

WIDTHS = ("z", "zh")


def linear(world: World, features: str = "zh") -> Linear:
    """The shape of a controller on this world's z, or z and h.

    Raises:
        InputError: if the features are neither.
    """
    if features not in WIDTHS:
        raise InputError(f"A world gives the features {' and '.join(WIDTHS)}; '{features}' was asked for.")
    return Linear(world.body, features, world.vae.z_dim + (world.mdnrnn.config.h_dim if features == "zh" else 0))


class Waking:
    """The policy of controllers on a world's features; with one row of parameters, of that one controller in every episode.

    The memory of an episode begins empty and follows what is seen and done; `frozen` holds it at zero, as the report did while it evolved.
    Codes are means, not samples. TensorFlow's rounding depends on the size of a batch, which `rollout` keeps the same for all its steps.
    """

    def __init__(self, world: World, linear: Linear, params: Array, *, frozen: bool = False) -> None:
        """Of params (R, n_params), one row for each episode in the order in which they begin, or (n_params,).

        Raises:
            InputError: if the shape of the controller is not one on this world's features.
        """
        expected = world.vae.z_dim + (world.mdnrnn.config.h_dim if linear.features == "zh" else 0)
        if linear.features not in WIDTHS or linear.n_features != expected or linear.body is not world.body:
            raise InputError(f"A controller on {linear.n_features} features '{linear.features}' of {linear.body.name} does not fit this world, which has {expected}.")
        self.world, self.linear, self.frozen, self.begun = world, linear, frozen, 0
        self.params = np.asarray(params, dtype=np.float64)
        m = world.mdnrnn
        self._step = nets.compiled(lambda z, action, h, c: m.step(z, action, (h, c))[1], jit=False)

    def start(self, seeds: Any) -> tuple[Array, Any, Any]:
        """Parameters and empty memory of the episodes that begin."""
        n = len(seeds)
        self.begun += n
        rows = self.params[self.begun - n : self.begun] if self.params.ndim == 2 else np.tile(self.params, (n, 1))
        h, c = self.world.mdnrnn.start(n)
        return rows.copy(), h.copy(), c.copy()

    def __call__(self, obs: Array, state: tuple[Array, Any, Any]) -> tuple[Array, tuple[Array, Any, Any]]:
        """Actions (N, a_dim) chosen at (z, h), then the memory after them."""
        params, h, c = state
        z = self.world.encode(obs)
        features = np.concatenate([z, h], axis=-1) if self.linear.features == "zh" else z
        action = self.linear.act(params, np.asarray(features, np.float64)[:, None])[:, 0]
        if not self.frozen:
            h, c = (np.array(nets.ops.convert_to_numpy(part)) for part in self._step(z, action.astype(np.float32), h, c))
        return action, (params, h, c)
