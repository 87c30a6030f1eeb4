"""What a dream runs on: a world (V + M) and an ensemble behind the same few methods, on tensors, for R rows at once.

The memory of a dream is a tuple of arrays: first the view in the body's own units (R, D), then what the model keeps besides: z, h and c for a
world, nothing for an ensemble. Used by `dream`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError
from wmlib.models import mdn
from wmlib.models.ensemble import CLIP, Ensemble
from wmlib.models.mdn import Noise
from wmlib.models.nets import Tensor, ops
from wmlib.models.world import World
from wmlib.real.body import Body
from wmlib.real.episodes import Episodes

Floats = NDArray[np.float32]
Memory = tuple[Tensor, ...]
BEYOND = 15.0
"""Standard deviations beyond which no number of a dreamed state is believed."""
REWARD_CAP = 3.0
"""Learned rewards are held below mean + this many standard deviations of the real ones: more than was ever seen is a hole in the model."""


class Predicted(NamedTuple):
    """What a model says of one step, each (R,).

    Attributes:
        reward_alive: the reward, if the body stays up.
        reward_head: the reward as M's head gives it.
        done_logit: logit of the end as M's head gives it.
        outlier: the largest number of the state, in standard deviations.
        doubt: disagreement of the members; 0 where nobody asked.
    """

    reward_alive: Tensor
    reward_head: Tensor
    done_logit: Tensor
    outlier: Tensor
    doubt: Tensor


def upright(body: Body, x: Tensor) -> Tensor:
    """A view x (R, D) whose quaternion, if it has one, is made a unit one again."""
    if not body.free_joint:
        return x
    first = 3 - body.hidden_qpos
    quaternion = x[:, first : first + 4]
    norm = ops.sqrt(ops.sum(ops.square(quaternion), axis=-1, keepdims=True))
    return ops.concatenate(
        [x[:, :first], quaternion / ops.maximum(norm, 1e-6), x[:, first + 4 :]], axis=-1
    )


@dataclass(frozen=True, eq=False)
class Starts:
    """S real states that dreams can begin from, as one model sees them.

    Attributes:
        of: fingerprint of that model's codes and memory; empty for one that has neither.
        memory: arrays (S, ...): the view in the body's units, then the code and M's memory, where there are any.
    """

    of: str
    memory: tuple[Floats, ...]

    def __len__(self) -> int:
        """How many."""
        return len(self.memory[0])

    def take(self, index: NDArray[np.int64]) -> Starts:
        """Those with these numbers."""
        return Starts(self.of, tuple(part[index] for part in self.memory))

    def draw(self, n: int, seed: int) -> Starts:
        """n of them, drawn at random: all different, if there are as many."""
        rng = np.random.default_rng([seed, 5])
        return self.take(rng.choice(len(self), n, replace=n > len(self)))


class WorldMind:
    """Dreams by V and M: M predicts the next code, V's decoder says what state that is."""

    def __init__(self, world: World, body: Body) -> None:
        """Reads the sizes."""
        self.world, self.body = world, body
        self.v, self.m = world.vae, world.mdnrnn
        self.mean, self.std = np.float32(self.v.mean), np.float32(self.v.std)
        self.shown = {
            "physics": body.physics_dim,
            "z": self.v.z_dim,
            "zh": self.v.z_dim + self.m.config.h_dim,
        }
        if self.v.x_dim == body.obs_dim:
            self.shown["obs"] = body.obs_dim
        self.fingerprint, self.members, self.parts = world.fingerprint, 1, 4

    def remember(
        self, episodes: Episodes, episode: NDArray[np.int64], step: NDArray[np.int64]
    ) -> tuple[Floats, ...]:
        """View, code and memory (h, c) at these steps of these episodes, after watching all steps before; codes are means.

        Raises:
            InputError: if V sees full observations and the episodes have none.
        """
        wide = self.v.x_dim > self.body.physics_dim
        if wide and episodes.obs is None:
            raise InputError(
                "This V sees full observations, and these episodes hold only the physical state. Give it episodes.replayed()."
            )
        seen = episodes.obs if wide and episodes.obs is not None else episodes.physics
        from_state = (np.cumsum(episodes.lengths + 1) - episodes.lengths - 1)[episode]
        from_step = (np.cumsum(episodes.lengths) - episodes.lengths)[episode]
        state: tuple[Tensor, Tensor] = self.m.start(len(episode))
        for t in range(int(step.max())):
            row = np.minimum(t, step)
            z = self.v.encode(seen[from_state + row])[0]
            _, after = self.m.step(z, episodes.action[from_step + row], state)
            watching = (t < step)[:, None]
            state = ops.where(watching, after[0], state[0]), ops.where(watching, after[1], state[1])
        obs = seen[from_state + step]
        h, c = (np.asarray(ops.convert_to_numpy(part), np.float32) for part in state)
        return obs.astype(np.float32), self.v.encode(obs)[0], h, c

    def show(self, memory: Memory, features: str) -> Tensor:
        """What C looks at, (R, F)."""
        obs, z, h, _ = memory
        return (
            {"physics": obs[:, : self.body.physics_dim], "obs": obs, "z": z}[features]
            if features != "zh"
            else ops.concatenate([z, h], axis=-1)
        )

    def noise(self, rng: np.random.Generator, *lead: int) -> tuple[Floats, ...]:
        """Noise with these leading axes."""
        return tuple(mdn.noise(rng, self.m.log_pi_shape(*lead), (*lead, self.v.z_dim)))

    def quiet(self) -> tuple[Floats, ...]:
        """No noise, for a row that nobody looks at."""
        return np.zeros(self.m.log_pi_shape(), np.float32), np.zeros(self.v.z_dim, np.float32)

    def step(
        self,
        memory: Memory,
        action: Tensor,
        noise: tuple[Tensor, ...],
        tau: Tensor,
        *,
        with_doubt: bool,
    ) -> tuple[Memory, Predicted]:
        """One step of R dreams; a world has no doubt."""
        _, z, h, c = memory
        predicted, (h, c) = self.m.step(z, action, (h, c), normalised=False)
        z = mdn.sample(predicted.mixture, tau, Noise(*noise))
        x = self.v.decoder(z)
        # The head has learned the whole reward, and so the alive bonus as often as it believed in it: the rest of the bonus makes it whole.
        reward = predicted.reward + self.body.alive_bonus * ops.sigmoid(predicted.done_logit)
        cap = self.m.reward_stats[0] + REWARD_CAP * self.m.reward_stats[1]
        outlier = ops.max(ops.abs(x[:, : self.body.physics_dim]), axis=-1)
        said = Predicted(
            ops.minimum(reward, cap),
            predicted.reward,
            predicted.done_logit,
            outlier,
            ops.zeros_like(reward),
        )
        return (upright(self.body, x * self.std + self.mean), z, h, c), said


class EnsembleMind:
    """Dreams by the ensemble: row i is moved by member i mod E, so that no dream changes its mind under way."""

    def __init__(self, ensemble: Ensemble, body: Body) -> None:
        """Reads the sizes."""
        self.ensemble, self.body, self.members = ensemble, body, ensemble.config.members
        self.shown = {"physics": body.physics_dim}
        self.fingerprint, self.parts = "", 1

    def remember(
        self, episodes: Episodes, episode: NDArray[np.int64], step: NDArray[np.int64]
    ) -> tuple[Floats, ...]:
        """The physical state at these steps of these episodes."""
        from_state = (np.cumsum(episodes.lengths + 1) - episodes.lengths - 1)[episode]
        return (episodes.physics[from_state + step].astype(np.float32),)

    def show(self, memory: Memory, features: str) -> Tensor:
        """What C looks at, (R, F): the physical state."""
        return memory[0]

    def noise(self, rng: np.random.Generator, *lead: int) -> tuple[Floats, ...]:
        """Noise with these leading axes."""
        return (rng.standard_normal((*lead, self.body.physics_dim), dtype=np.float32),)

    def quiet(self) -> tuple[Floats, ...]:
        """No noise, for a row that nobody looks at."""
        return (np.zeros(self.body.physics_dim, np.float32),)

    def step(
        self,
        memory: Memory,
        action: Tensor,
        noise: tuple[Tensor, ...],
        tau: Tensor,
        *,
        with_doubt: bool,
    ) -> tuple[Memory, Predicted]:
        """One step of R dreams; all members are asked where their disagreement is wanted, else each row's own."""
        e, (physics,) = self.ensemble, memory
        x = ops.concatenate(
            [
                ops.clip((physics - e.mean) / e.std, -CLIP, CLIP),
                (action - e.action_center) / e.action_scale,
            ],
            axis=-1,
        )
        mean, log_sigma, reward, doubt = self._all(x) if with_doubt else self._own(x)
        change = mean + ops.exp(log_sigma) * ops.sqrt(tau) * noise[0]
        physics = upright(self.body, physics + change * e.change_std)
        rest = ops.minimum(reward, REWARD_CAP) * e.reward_stats[1] + e.reward_stats[0]
        alive = (
            rest
            + self.body.alive_bonus
            - self.body.control_cost * ops.sum(ops.square(action), axis=-1)
        )
        outlier = ops.max(ops.abs((physics - e.mean) / e.std), axis=-1)
        return (physics,), Predicted(alive, alive, ops.zeros_like(rest), outlier, doubt)

    def _own(self, x: Tensor) -> tuple[Tensor, ...]:
        """Mean, log sigma and reward of each row's own member: x (R, D), R a multiple of E."""
        by_member = ops.swapaxes(
            ops.reshape(x, (-1, self.members, x.shape[-1])), 0, 1
        )  # (E, R / E, D)
        mean, log_sigma, reward = (
            ops.reshape(ops.swapaxes(part, 0, 1), (-1, *part.shape[2:]))
            for part in self.ensemble.forward(by_member)
        )
        return mean, log_sigma, reward, ops.zeros_like(reward)

    def _all(self, x: Tensor) -> tuple[Tensor, ...]:
        """The same, and the disagreement as `Ensemble.step` has it."""
        every = self.ensemble.forward(x)  # (E, R, ...)
        n = x.shape[0]
        own = ops.cast(
            ops.equal(ops.arange(self.members)[:, None], ops.arange(n)[None] % self.members),
            "float32",
        )
        mean, log_sigma, reward = (
            ops.sum(
                part * ops.reshape(own, (self.members, n, *[1] * (len(part.shape) - 2))), axis=0
            )
            for part in every
        )
        return mean, log_sigma, reward, ops.sqrt(ops.mean(ops.var(every[0], axis=0), axis=-1))


def mind(model: World | Ensemble, body: Body) -> WorldMind | EnsembleMind:
    """A model as something to dream in.

    Raises:
        InputError: if it is of another body.
    """
    of = model.body.physics_dim if isinstance(model, World) else len(model.mean)
    if of != body.physics_dim or (isinstance(model, World) and model.body is not body):
        raise InputError(
            f"This model is of a body with {of} numbers of physical state; '{body.name}' has {body.physics_dim}. They belong to different bodies."
        )
    return WorldMind(model, body) if isinstance(model, World) else EnsembleMind(model, body)


def starts(
    mind: WorldMind | EnsembleMind, episodes: Episodes, n: int, *, seed: int = 0, latest: int = 0
) -> Starts:
    """n states of real episodes, and the model's memory of what went before them.

    Args:
        mind: the model that is to dream from them.
        episodes: real episodes.
        n: how many.
        seed: of the choice.
        latest: a start is at step 0 to `latest` of its episode, before its end; 0 takes the episodes' own starts.

    Raises:
        InputError: if n or `latest` is out of range, or the model's view needs observations that these episodes lack.
    """
    if n < 1 or latest < 0:
        raise InputError(
            f"{n} starts at step {latest} or before were asked for; expected at least 1, and step 0 or later."
        )
    rng = np.random.default_rng([seed, 4])
    episode = rng.choice(len(episodes), n, replace=n > len(episodes))
    step = rng.integers(np.minimum(latest, episodes.lengths[episode] - 1) + 1)
    return Starts(mind.fingerprint, mind.remember(episodes, episode, step))
