"""The ensemble: M's honest competitor. Some small networks, each of which predicts the change of the physical state in one step.

No code and no memory: from the state (45 numbers for the humanoid) and the action, each member gives mean and spread of the change of
every number, and what is not known exactly of the reward (`Body.known_reward` is). Where the members disagree, they have not seen enough. Compared with M in chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.config import EnsembleConfig
from wmlib.models import mdn, nets
from wmlib.models.model import REWARD_CAP, NetworkModel, Predicted, State, upright
from wmlib.models.nets import Params, Tensor, ops
from wmlib.models.vae import STD_FLOOR
from wmlib.real.body import Array, Body
from wmlib.real.episodes import Episodes

Floats = NDArray[np.float32]
LOG_SIGMA = (-7.0, 1.5)
"""log sigma, in standard deviations of the change, is held in here."""
CLIP = 10.0
"""Inputs and targets are held within +- this, in standard deviations."""


def shapes(config: EnsembleConfig, x_dim: int, a_dim: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights; the first axis is the member."""
    e, h = config.members, config.hidden
    sizes = {"input": (x_dim + a_dim, h), "hidden": (h, h), "output": (h, 2 * x_dim + 1)}
    return {
        key: shape
        for name, (n, m) in sizes.items()
        for key, shape in ((f"{name}.kernel", (e, n, m)), (f"{name}.bias", (e, 1, m)))
    }


@dataclass(frozen=True, eq=False)
class Ensemble(NetworkModel):
    """An ensemble: configuration, statistics of state, change, action and reward, and weights.

    Attributes:
        body: the body.
        config: sizes.
        mean: (S,), of the physical state.
        std: (S,), of it.
        change_std: (S,), of its change in one step.
        action_center: (a_dim,).
        action_scale: (a_dim,).
        reward_stats: (2,), mean and standard deviation of the learned part of the reward.
        params: named weights, first axis the member.
    """

    body: Body
    config: EnsembleConfig
    mean: Floats
    std: Floats
    change_std: Floats
    action_center: Floats
    action_scale: Floats
    reward_stats: Floats
    params: Params

    CONFIG = EnsembleConfig
    STATS = ("mean", "std", "change_std", "action_center", "action_scale", "reward_stats")
    kind = "ensemble"
    disagrees = True

    @classmethod
    def create(
        cls, body: Body, episodes: Episodes, config: EnsembleConfig | None = None, *, seed: int = 0
    ) -> Ensemble:
        """An ensemble with random weights, and the statistics of these episodes."""
        config = config or EnsembleConfig()
        data, (center, half) = _transitions(episodes), body.box

        def std(values: Array) -> Floats:
            return np.asarray(np.maximum(values.std(axis=0), STD_FLOOR), dtype=np.float32)

        return cls(
            body, config, data["physics"].mean(axis=0).astype(np.float32), std(data["physics"]), std(data["change"]),
            center.astype(np.float32), half.astype(np.float32),
            np.array([data["reward"].mean(), max(data["reward"].std(), STD_FLOOR)], dtype=np.float32),
            nets.initial(shapes(config, body.physics_dim, body.a_dim), seed),
        )  # fmt: skip

    def data(self, episodes: Episodes) -> dict[str, Floats]:
        """Training data: every real step as standardised inputs `x` (N, S + a_dim), `change` (N, S) and `reward` (N,)."""
        steps = _transitions(episodes)
        change = np.clip(steps["change"] / self.change_std, -CLIP, CLIP)
        reward = (steps["reward"] - self.reward_stats[0]) / self.reward_stats[1]
        state = np.clip((steps["physics"] - self.mean) / self.std, -CLIP, CLIP)
        action = (steps["action"] - self.action_center) / self.action_scale
        return {
            "x": np.concatenate([state, action], axis=-1).astype(np.float32),
            "change": change.astype(np.float32),
            "reward": np.clip(reward, -CLIP, CLIP).astype(np.float32),
        }

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of standardised inputs (N, ...), or (E, N, ...) with rows for each member: mean and log sigma of the change (E, N, S), reward (E, N)."""

        def layer(name: str, x: Tensor) -> Tensor:
            return ops.matmul(x, self.params[f"{name}.kernel"]) + self.params[f"{name}.bias"]

        first = nets.silu(layer("input", x))
        out = layer("output", first + nets.silu(layer("hidden", first)))
        size = len(self.mean)
        return out[..., :size], ops.clip(out[..., size : 2 * size], *LOG_SIGMA), out[..., -1]

    def loss(self, params: Params, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over members of nll of the change (nats a step, in standard units) and half the squared error of the reward."""
        mean, log_sigma, reward = self.using(params).forward(batch["x"])
        nll = -ops.mean(ops.sum(mdn.gaussian_log_prob(batch["change"], mean, log_sigma), axis=-1))
        squared = 0.5 * ops.mean(ops.square(reward - batch["reward"]))
        return nll + squared, {"nll": nll, "reward": squared}

    def make_batch(
        self, rows: dict[str, NDArray[Any]], rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """For `training.fit`: each member gets rows of its own, drawn with replacement from the batch, so that members differ."""
        n = len(rows["x"])
        index = rng.integers(n, size=(self.config.members, n))
        return {name: array[index] for name, array in rows.items()}

    # What `Model` asks for.

    def noise(self, rng: np.random.Generator, *lead: int) -> tuple[Floats, ...]:
        """Standard normal, `(*lead, S)`."""
        return (rng.standard_normal((*lead, self.body.physics_dim), dtype=np.float32),)

    def step(
        self,
        state: State,
        action: Tensor,
        noise: tuple[Tensor, ...] | None,
        tau: Tensor | float = 1.0,
        *,
        disagreement: bool = False,
    ) -> tuple[State, Predicted]:
        """One step: row i is moved by member i mod E, so that no dream changes its model under way; without noise by the mean of all.

        The disagreement is the spread of the members' means, root mean square over the numbers of the state, in standard deviations of a change.
        """
        (physics,) = state
        x = ops.concatenate(
            [
                ops.clip((physics - self.mean) / self.std, -CLIP, CLIP),
                (action - self.action_center) / self.action_scale,
            ],
            axis=-1,
        )
        doubt = None
        if noise is not None and not disagreement and not x.shape[0] % self.members:
            mean, log_sigma, value = self._own(x)
        else:
            every = self.forward(x)  # (E, R, ...)
            doubt = ops.sqrt(ops.mean(ops.var(every[0], axis=0), axis=-1))
            mean, log_sigma, value = (
                ops.mean(part, axis=0) if noise is None else self._of_row(part) for part in every
            )
        change = mean if noise is None else mean + ops.exp(log_sigma) * ops.sqrt(tau) * noise[0]
        physics = upright(self.body, physics + change * self.change_std)
        rest = ops.minimum(value, REWARD_CAP) * self.reward_stats[1] + self.reward_stats[0]
        cost = self.body.control_cost * ops.sum(ops.square(action), axis=-1)
        outlier = ops.max(ops.abs((physics - self.mean) / self.std), axis=-1)
        return (physics,), Predicted(rest + self.body.alive_bonus - cost, outlier, doubt)

    def _own(self, x: Tensor) -> tuple[Tensor, ...]:
        """Mean, log sigma and reward of each row's own member, which alone is asked: x (R, D), R a multiple of E."""
        by_member = ops.swapaxes(
            ops.reshape(x, (-1, self.members, x.shape[-1])), 0, 1
        )  # (E, R / E, D)
        return tuple(
            ops.reshape(ops.swapaxes(part, 0, 1), (-1, *part.shape[2:]))
            for part in self.forward(by_member)
        )

    def _of_row(self, part: Tensor) -> Tensor:
        """Each row's own member's, of what all members say (E, R, ...)."""
        e, n = part.shape[:2]
        own = ops.cast(ops.equal(ops.arange(e)[:, None], ops.arange(n)[None] % e), "float32")
        return ops.sum(part * ops.reshape(own, (e, n, *[1] * (len(part.shape) - 2))), axis=0)

    # On disk.

    @classmethod
    def layout(cls, config: EnsembleConfig, *of: Any) -> dict[str, tuple[int, ...]]:
        """Of an ensemble of this body."""
        (body,) = of
        sizes = (body.physics_dim,) * 3 + (body.a_dim,) * 2 + (2,)
        stats = {f"stats.{name}": (size,) for name, size in zip(cls.STATS, sizes, strict=True)}
        return shapes(config, body.physics_dim, body.a_dim) | stats


def _transitions(episodes: Episodes) -> dict[str, Array]:
    """Every real step: physics (N, S), action (N, a_dim), change (N, S), and the part of the reward that must be learned (N,)."""
    physics, row = episodes.physics, episodes.before
    before, after = physics[row], physics[row + 1]
    return {
        "physics": before, "action": episodes.action.astype(np.float64), "change": after - before,
        "reward": episodes.reward - episodes.body.known_reward(after, episodes.action),
    }  # fmt: skip
