"""Gathering with C: awake in the real simulator, with the eyes and the memory that it had in the dream, and with noise to find what is new.

A controller on z or [z, h] carries its world with it, as in `waking`; M remembers what was really done, noise included. Built in chapter 8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib import nets
from wmlib.body import Array
from wmlib.controller import REAL, Controller, Linear
from wmlib.nets import ops
from wmlib.runs import InputError
from wmlib.world import World


class Explorer:
    """The policy of a controller on what it really sees, with noise: see the head of `wmlib.policies`.

    Each episode may have weights of its own, around C's, and each action noise of its own, from the episode's seed.
    """

    def __init__(self, linear: Linear, params: Array, world: World | None = None, *, param_noise: float = 0.0, action_noise: float = 0.0) -> None:
        """Puts them together.

        Args:
            linear: the shape of C.
            params: (n_params,), its weights.
            world: whose codes and memory it looks at; needed for `z` and `zh`.
            param_noise: spread of an episode's weights around C's.
            action_noise: spread of noise on actions, in halves of the action box.

        Raises:
            InputError: if C looks at a world's features and there is none, or it is of another size or body.
        """
        if linear.features not in REAL:
            if world is None:
                raise InputError(f"C looks at the features '{linear.features}' of a world; give that world.")
            n = world.vae.z_dim + (world.mdnrnn.config.h_dim if linear.features == "zh" else 0)
            if world.body is not linear.body or n != linear.n_features:
                raise InputError(f"C looks at {linear.n_features} numbers of '{linear.features}'; this world has {n}. They belong to different models.")
        if param_noise < 0 or action_noise < 0:
            raise InputError(f"Noise of {param_noise} on weights and {action_noise} on actions was asked for; expected none negative.")
        self.linear, self.params, self.world = linear, np.asarray(params, dtype=np.float64), world if linear.features not in REAL else None
        linear.unpack(self.params)
        self.param_noise, self.action_noise = param_noise, action_noise
        self._remember = nets.compiled(self.world.mdnrnn.step, jit=False) if self.world else None

    def start(self, seeds: NDArray[np.int64]) -> tuple[Any, ...]:
        """Of each episode: its weights, its random numbers, and an empty memory."""
        generators = np.empty(len(seeds), dtype=object)
        generators[:] = [np.random.default_rng([int(seed), 8]) for seed in seeds]
        noise = np.stack([rng.standard_normal(len(self.params)) for rng in generators]) if self.param_noise else 0.0
        params = np.broadcast_to(self.params, (len(seeds), len(self.params))) + self.param_noise * noise
        h_dim = self.world.mdnrnn.config.h_dim if self.world else 0
        return params, generators, np.zeros((len(seeds), h_dim), np.float32), np.zeros((len(seeds), h_dim), np.float32)

    def __call__(self, obs: Array, state: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...]]:
        """Each row's action, and what M remembers after it."""
        params, generators, h, c = state
        z = self.world.encode(obs) if self.world else h
        features: NDArray[Any] = self.linear.select(obs) if self.world is None else np.concatenate([z, h], axis=-1) if self.linear.features == "zh" else z
        action = self.linear.act(params, features[:, None])[:, 0]
        if self.action_noise:
            body = self.linear.body
            low, high = body.action_low.astype(float), body.action_high.astype(float)
            noise = np.stack([rng.standard_normal(body.a_dim) for rng in generators])
            action = np.clip(action + self.action_noise * (high - low) / 2 * noise, low, high)
        if self._remember is not None:
            _, after = self._remember(z, action.astype(np.float32), (h, c))
            h, c = (np.array(ops.convert_to_numpy(part)) for part in after)
        return action, (params, generators, h, c)


def awake(made: Controller, model: World | None = None) -> Explorer:
    """A stored controller as a policy, in the world that it was evolved in.

    Raises:
        InputError: if it looks at a world's features, and this is not that world.
    """
    named = str(made.facts.get("world", ""))
    if made.linear.features not in REAL and model is not None and named != model.fingerprint:
        raise InputError(f"This controller sees the features of the world {named[:12]}; the one given is {model.fingerprint[:12]}. Give the world that it was evolved in.")
    return Explorer(made.linear, made.params, model)
