"""Dreaming: a whole population of controllers lives many episodes inside a model, in one compiled call. No simulator is asked.

A dream begins at real stored states (`starts`). In each step C acts on what the model shows it, the model answers with a sample at
temperature tau, and what is known exactly is not asked of it: when the body falls, what staying up is worth, what an action costs. Every candidate
of a population meets the same starts and the same noise, so that they are compared by nothing but their weights. Built in chapter 6.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wmlib.config import DreamConfig
from wmlib.control import controller
from wmlib.control.controller import Linear
from wmlib.dream import packing
from wmlib.dream.packing import Rows
from wmlib.errors import InputError, whole
from wmlib.models import nets
from wmlib.models.model import BEYOND, Model, Starts, State
from wmlib.models.nets import Tensor, ops
from wmlib.real.body import Array
from wmlib.real.episodes import Episodes

Floats = NDArray[np.float32]
BLOCK = 64
"""Noise is drawn for so many steps at once; a longer dream begins as a shorter one."""
ROWS, STEPS = 512, (8, 32)
"""So many dreams go through a compiled call at once, for a fifth of the last dreams' mean length, within these; see `packing`. It changes no bit."""


class Outcome(NamedTuple):
    """What one step of a dream led to, each (R,). `ended` is a fall, an end by M's own head, or a state or a disagreement beyond all limits."""

    reward: Tensor
    ended: Tensor
    disagreement: Tensor


class Held(NamedTuple):
    """What a compiled dream is given at each call, so that it need not be compiled again: a model's arrays, where it takes them, and C's normalisation."""

    model: dict[str, Tensor]
    mean: Tensor
    scale: Tensor


class Dreamed(NamedTuple):
    """What a population of P candidates dreamed in N episodes.

    Attributes:
        returns: (P, N); sums of dreamed rewards.
        lengths: (P, N); steps until the dream ended, or the horizon.
    """

    returns: Floats
    lengths: NDArray[np.int32]

    @property
    def fitness(self) -> Array:
        """Mean return of each candidate, (P,)."""
        return np.asarray(self.returns.mean(axis=1, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One candidate's dreams from N starts, step by step, for watching. Past `lengths[i]` row i only repeats itself.

    Attributes:
        obs: (N, T+1, D); the decoded view, in the body's units; `body.poses(track.obs[i, : track.lengths[i] + 1])` draws one.
        action: (N, T, a_dim).
        reward: (N, T); 0 after the end.
        disagreement: (N, T); of the members, 0 for a world.
        lengths: (N,).
        ended: (N,); false where only the horizon ended it.
    """

    obs: Floats
    action: Floats
    reward: Floats
    disagreement: Floats
    lengths: NDArray[np.int32]
    ended: NDArray[np.bool_]


class Dream:
    """A model, the shape of a controller and a way to dream, compiled: `dreams(population, starts, seed)`."""

    def __init__(self, model: Model, linear: Linear, config: DreamConfig | None = None) -> None:
        """Checks that they belong together; compiles at the first call.

        Raises:
            InputError: if the controller is of another body or asks for what the model does not show, or the model cannot dream so.
        """
        self.config = config or DreamConfig()
        self.linear, self.body, self.model = linear, linear.body, model
        if model.body is not linear.body:
            raise InputError(
                f"This model is of the body '{model.body.name}', and C of '{linear.body.name}'. They belong to different bodies."
            )
        shown = model.feature_sizes
        if linear.features not in shown:
            raise InputError(
                f"This model does not show the '{linear.features}' that C looks at; it shows: {', '.join(shown)}."
            )
        if linear.n_features != shown[linear.features]:
            raise InputError(
                f"C looks at {linear.n_features} numbers of '{linear.features}'; this model shows {shown[linear.features]}. They belong to different models."
            )
        _check(self.config, model)
        self.held, self.pace = self._held(model, linear), STEPS[0]
        self.center, self.half = (part.astype(np.float32) for part in self.body.box)
        if linear.targets:
            eye, zero = np.eye(self.body.physics_dim), np.zeros(self.body.physics_dim)
            rest = linear.reflex(zero)
            self._reflex = np.float32(rest - linear.reflex(eye)), np.float32(rest)
        self._run = nets.compiled(self._rollout, jit=model.jit)
        self._one = nets.compiled(self._watched_step, jit=model.jit)

    def _held(self, model: Model, linear: Linear) -> Held:
        """What may change without a new compilation."""
        constant = linear.std < controller.CONSTANT
        scale = np.where(constant, 0.0, 1 / np.where(constant, 1.0, linear.std))
        return Held(
            nets.to_tensors(model.weights()),
            ops.convert_to_tensor(linear.mean, "float32"),
            ops.convert_to_tensor(scale, "float32"),
        )

    def renewed(self, model: Model, linear: Linear) -> Dream:
        """The same dreams in a model that has learned more, of a C with another normalisation; nothing is compiled again."""
        other = copy.copy(self)
        other.linear, other.model, other.held = linear, model, self._held(model, linear)
        return other

    def starts(self, episodes: Episodes, n: int, *, seed: int = 0, latest: int = 0) -> Starts:
        """n real states to dream from, at step 0 to `latest` of their episodes; see `Model.starts`."""
        return self.model.starts(episodes, n, seed=seed, latest=latest)

    def __call__(
        self, population: NDArray[Any], starts: Starts, seed: int, *, horizon: int | None = None
    ) -> Dreamed:
        """Dreams of every candidate from every start, with the same noise for each candidate.

        Args:
            population: (P, n_params).
            starts: N of them; with an ensemble, episode i is dreamed by member i mod E.
            seed: of the noise; the same seed gives the same dream.
            horizon: another one than the configuration's, with no new compilation.

        Raises:
            InputError: if the starts are another model's, or the population has another shape.
        """
        population, memory = self._checked(population, starts)
        horizon = self.config.horizon if horizon is None else horizon
        # Noise for the longest dream: its shape, and so the compiled call, does not depend on the horizon.
        noise = tuple(
            ops.convert_to_tensor(part.reshape(-1, *part.shape[2:]))
            for part in self.noise(max(horizon, self.config.horizon), len(memory[0]), seed)
        )
        weights = tuple(
            ops.convert_to_tensor(part, "float32") for part in self.linear.unpack(population)
        )
        tau, n = np.float32(self.config.tau), len(memory[0])
        sizes = [np.int32(size) for size in (horizon, n, self.pace)]

        def advance(rows: Rows) -> Rows:
            return Rows(*self._run(self.held, weights, noise, tau, *sizes, tuple(rows)))

        returns, lengths = packing.run(
            advance,
            memory,
            len(population),
            members=self.model.members,
            rows=ROWS,
            few=ROWS // 2 if self.model.jit else packing.FEW,
        )
        self.pace = int(np.clip(lengths.mean() / 5, *STEPS))
        return Dreamed(returns[:, : len(starts)], lengths[:, : len(starts)])

    def noise(self, steps: int, n: int, seed: int) -> tuple[Floats, ...]:
        """The noise of n episodes for this many steps, rounded up to whole blocks: arrays (T, n, ...)."""
        if steps < 1:
            raise InputError(f"A horizon of {steps} steps was asked for; expected at least 1.")
        blocks = [
            self.model.noise(np.random.default_rng([whole(seed, "The seed"), 6, block]), BLOCK, n)
            for block in range(-(-steps // BLOCK))
        ]
        return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))

    def watch(
        self, params: NDArray[Any], starts: Starts, seed: int, *, horizon: int | None = None
    ) -> Trajectory:
        """The dreams of one candidate, params (n_params,), step by step: those that a call with the same starts and seed adds up."""
        population, memory = self._checked(params[None], starts)
        weights = tuple(
            np.repeat(np.float32(part), len(memory[0]), axis=0)
            for part in self.linear.unpack(population)
        )
        horizon = self.config.horizon if horizon is None else horizon
        noise = self.noise(horizon, len(memory[0]), seed)
        alive, rows = np.ones(len(memory[0]), bool), []
        for t in range(horizon):
            state = memory[0]
            memory, outcome, action = self._one(
                self.held,
                weights,
                memory,
                tuple(part[t] for part in noise),
                np.float32(self.config.tau),
            )
            reward, ended, apart = (np.asarray(ops.convert_to_numpy(part)) for part in outcome)
            rows.append(
                (state, action, np.where(alive, reward, 0), np.where(alive, apart, 0), alive)
            )
            alive = alive & ~ended
            if not alive[: len(starts)].any():
                break
        states, action, reward, apart, lived = (
            np.stack(part, axis=1)[: len(starts)] for part in zip(*rows, strict=True)
        )
        obs = np.concatenate([states, np.asarray(memory[0])[: len(starts), None]], axis=1)
        return Trajectory(
            obs, action, reward, apart, lived.sum(axis=1, dtype=np.int32), ~alive[: len(starts)]
        )

    def _checked(
        self, population: NDArray[Any], starts: Starts
    ) -> tuple[NDArray[Any], tuple[Floats, ...]]:
        """Both, once they are known to fit; starts repeated until every member has as many."""
        self.model.check_starts(starts)
        population = np.asarray(population)
        if (
            population.ndim != 2
            or population.shape[1] != self.linear.n_params
            or not len(population)
        ):
            raise InputError(
                f"A population of shape {population.shape} was given; expected (P, {self.linear.n_params})."
            )
        rows = np.arange(-(-len(starts) // self.model.members) * self.model.members) % len(starts)
        return population, starts.take(rows).state

    def act(self, held: Held, weights: tuple[Tensor, ...], memory: State) -> Tensor:
        """Actions (R, a_dim) by the parts of each row's own parameters, (R, ...): what `Linear.act` does."""
        W_c, b_c, *U_c = weights
        x = ops.clip(
            (self.model.features(memory, self.linear.features) - held.mean) * held.scale,
            -controller.CLIP,
            controller.CLIP,
        )
        push, a_dim = ops.matmul(W_c, x[:, :, None])[..., 0] + b_c, self.body.a_dim
        if U_c:
            units = ops.tanh(push[:, a_dim:])
            push = push[:, :a_dim] + ops.matmul(U_c[0], units[:, :, None])[..., 0]
        if self.linear.targets:
            push = push + self.reflex(memory[0])
        return self.center + self.half * ops.tanh(push)

    def reflex(self, physics: Tensor) -> Tensor:
        """What joint targets add, (R, a_dim), as `Linear.reflex`: a product with a matrix of constants."""
        pull, rest = self._reflex
        return rest - ops.matmul(physics[:, : self.body.physics_dim], pull)

    def step(
        self,
        memory: State,
        action: Tensor,
        noise: tuple[Tensor, ...],
        tau: Tensor,
        held: Held | None = None,
        *,
        disagreement: bool = False,
    ) -> tuple[State, Outcome]:
        """One step of R dreams: what action (R, a_dim) leads to; with `disagreement` also how far the members are apart, where there are any."""
        model = self.model.holding(held.model) if held else self.model
        memory, predicted = model.step(
            memory, action, noise, tau, disagreement=disagreement or self.needs_disagreement
        )
        apart = predicted.disagreement
        if apart is None:
            apart = ops.zeros_like(predicted.reward)
        beyond = ops.logical_not(predicted.outlier <= BEYOND)  # so that NaN is beyond
        if self.config.learned_heads:
            reward, ended = predicted.reward_head, ops.logical_or(beyond, predicted.done_logit > 0)
        else:
            fell = ops.zeros_like(beyond)
            for read, low, high in self.body.healthy:
                watched = read(memory[0])
                fell = ops.logical_or(
                    fell, ops.logical_not(ops.logical_and(watched > low, watched < high))
                )
            reward, ended = (
                predicted.reward - self.body.alive_bonus * ops.cast(fell, "float32"),
                ops.logical_or(beyond, fell),
            )
        reward = ops.where(beyond, 0.0, reward - self.config.disagreement_penalty * apart)
        return memory, Outcome(
            reward, ops.logical_or(ended, apart > self.config.max_disagreement), apart
        )

    @property
    def needs_disagreement(self) -> bool:
        """Whether the members' disagreement must be known."""
        return self.config.disagreement_penalty > 0 or self.config.max_disagreement < float("inf")

    def _watched_step(
        self,
        held: Held,
        weights: tuple[Tensor, ...],
        memory: State,
        noise: tuple[Tensor, ...],
        tau: Tensor,
    ) -> Any:
        action = self.act(held, weights, memory)
        apart = self.model.disagrees
        return *self.step(memory, action, noise, tau, held, disagreement=apart), action

    def _rollout(
        self,
        held: Held,
        weights: tuple[Tensor, ...],
        noise: tuple[Tensor, ...],
        tau: Tensor,
        horizon: Tensor,
        n: Tensor,
        pace: Tensor,
        rows: tuple[Any, ...],
    ) -> Any:
        """`pace` steps of R dreams: the parts of the parameters (P, ...), noise (T * n, ...), `rows` as in `packing.Rows`."""
        candidate, episode, t, alive, total, memory = rows
        weights = tuple(ops.take(part, candidate, axis=0) for part in weights)

        def going(step: Tensor, t: Tensor, alive: Tensor, *_: Tensor) -> Tensor:
            return ops.logical_and(step < pace, ops.any(alive))

        def live(step: Tensor, t: Tensor, alive: Tensor, total: Tensor, *memory: Tensor) -> Any:
            at = ops.minimum(t, horizon - 1) * n + episode
            after, outcome = self.step(
                memory,
                self.act(held, weights, memory),
                tuple(ops.take(part, at, axis=0) for part in noise),
                tau,
                held,
            )
            total, t = total + ops.where(alive, outcome.reward, 0.0), t + ops.cast(alive, "int32")
            return (
                step + 1,
                t,
                ops.logical_and(
                    alive, ops.logical_and(ops.logical_not(outcome.ended), t < horizon)
                ),
                total,
                *after,
            )

        begun = (
            ops.convert_to_tensor(0, "int32"),
            *(ops.convert_to_tensor(part) for part in (t, alive, total, *memory)),
        )
        _, t, alive, total, *memory = ops.while_loop(going, live, begun)
        return candidate, episode, t, alive, total, tuple(memory)


def _check(config: DreamConfig, model: Model) -> None:
    """Raises InputError for a setting that this model has nothing for."""
    if (
        config.disagreement_penalty > 0 or config.max_disagreement < float("inf")
    ) and not model.disagrees:
        raise InputError(
            "disagreement_penalty and max_disagreement need an ensemble: a world is one model, and has none to disagree with."
        )
    if config.learned_heads and not model.learned_heads:
        raise InputError(
            "An ensemble has no heads for reward and end; dream with learned_heads=False."
        )
