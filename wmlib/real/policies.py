"""What acts without having learned: random actions, random weights, zero action, a pose held by joint control, and a replay.

A *policy* is a callable `(obs (N, obs_dim), state) -> (actions (N, a_dim), state)`. The state is `None`, an array with
leading axis N, or a tuple of such arrays; a policy that needs one has a method `reset(seeds (N,)) -> state`, and the
row of an episode that begins is made afresh from that episode's seed. Actions are rounded to float32, as Gymnasium's
action space has them. N is always the batch size, so that a policy's own rounding never depends on the threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError
from wmlib.real.body import Array, Body

Policy = Callable[[Array, Any], tuple[NDArray[Any], Any]]


class RandomActions:
    """Uniform actions in the body's box; each episode draws from its own seed, so batches and threads change nothing."""

    def __init__(self, body: Body) -> None:
        """Reads the action box of the body."""
        self.low, self.high = body.action_low.astype(float), body.action_high.astype(float)

    def reset(self, seeds: NDArray[np.int64]) -> NDArray[np.object_]:
        """A random generator for each episode, apart from the one that draws the episode's start."""
        generators = np.empty(len(seeds), dtype=object)
        generators[:] = [np.random.default_rng([int(seed), 1]) for seed in seeds]
        return generators

    def __call__(self, obs: Array, state: NDArray[np.object_]) -> tuple[Array, NDArray[np.object_]]:
        """Draws one action a row."""
        uniform = np.array([rng.random(self.low.size) for rng in state])
        return self.low + (self.high - self.low) * uniform, state


class RandomWeights:
    """A linear controller with random weights, new in each episode: action = tanh(W [physics, 1]), in the action box.

    What the 2018 paper calls a random policy. Unlike random actions, which cancel out from step to step, it pushes one way
    for as long as the body stays where it is. The spread of the weights is drawn for each episode, log-uniform from
    `gentle` to `strong`. Compared with random actions in chapter 2.
    """

    def __init__(self, body: Body, gentle: float = 0.01, strong: float = 1.0) -> None:
        """Reads the action box and the sizes of the body."""
        self.low, self.high = body.action_low.astype(float), body.action_high.astype(float)
        self.physics_dim, self.spread = body.physics_dim, (gentle, strong)

    def reset(self, seeds: NDArray[np.int64]) -> Array:
        """Weights and bias of each episode, (N, a_dim, physics_dim + 1)."""
        weights = np.empty((len(seeds), self.low.size, self.physics_dim + 1))
        for row, seed in enumerate(seeds.tolist()):
            rng = np.random.default_rng([seed, 2])
            spread = np.exp(rng.uniform(*np.log(self.spread)))
            weights[row] = spread * rng.standard_normal(weights.shape[1:])
        return weights

    def __call__(self, obs: Array, state: Array) -> tuple[Array, Array]:
        """Each row's own controller on its own physics."""
        push = np.tanh(
            (state[..., :-1] * obs[:, None, : self.physics_dim]).sum(axis=-1) + state[..., -1]
        )
        return (self.high + self.low) / 2 + (self.high - self.low) / 2 * push, state


class Mixed:
    """Random actions in episodes with an even seed, random weights in those with an odd one: the book's own experience."""

    def __init__(self, body: Body) -> None:
        """Makes both policies."""
        self.actions, self.weights = RandomActions(body), RandomWeights(body)

    def reset(
        self, seeds: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.object_], Array]:
        """Which of the two each episode follows, and the states of both."""
        return seeds % 2 == 0, self.actions.reset(seeds), self.weights.reset(seeds)

    def __call__(self, obs: Array, state: Any) -> tuple[Array, Any]:
        """Each row's action by its own policy."""
        even, generators, weights = state
        return np.where(
            even[:, None], self.actions(obs, generators)[0], self.weights(obs, weights)[0]
        ), state


class Replay:
    """Plays recorded actions: `actions[seed]` is (T, a_dim); past its end, zero."""

    def __init__(self, actions: dict[int, NDArray[Any]]) -> None:
        """Keeps the recorded actions of each seed."""
        self.actions = actions
        self.a_dim = next(iter(actions.values())).shape[1]

    def reset(self, seeds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each episode's seed and its step."""
        return seeds, np.zeros(len(seeds), dtype=np.int64)

    def __call__(self, obs: Array, state: Any) -> tuple[NDArray[Any], Any]:
        """The recorded action of each row at its step."""
        seeds, steps = state
        actions = np.zeros((len(seeds), self.a_dim))
        for row, (seed, step) in enumerate(zip(seeds.tolist(), steps.tolist(), strict=True)):
            if step < len(self.actions[seed]):
                actions[row] = self.actions[seed][step]
        return actions, (seeds, steps + 1)


def zero_action(body: Body) -> Policy:
    """Does nothing, whatever it sees."""
    return lambda obs, state: (np.zeros((len(obs), body.a_dim)), state)


def hold_pose(body: Body, stiffness: float = 4.0, damping: float = 0.02) -> Policy:
    """Joint PD control that holds the model's own start pose: action = stiffness (q0 - q) - damping v, in the action box.

    No learning, and no eye for balance: the honest hand-made baseline. `stiffness` is in action units per radian,
    `damping` in action units per radian per second.

    Raises:
        InputError: if an actuator pulls at something else than a joint, such as a tendon.
    """
    q, v, rest = body.driven_joints()

    def policy(obs: Array, state: Any) -> tuple[Array, Any]:
        action = stiffness * (rest - obs[:, q]) - damping * obs[:, v]
        return np.clip(action, body.action_low, body.action_high), state

    return policy


POLICIES: dict[str, Callable[[Body], Policy]] = {
    "random": RandomActions, "weights": RandomWeights, "mixed": Mixed, "zero": zero_action, "hold": hold_pose,
}  # fmt: skip


def named(name: str, body: Body) -> Policy:
    """The policy of that name, on that body.

    Raises:
        InputError: if there is none.
    """
    if name not in POLICIES:
        raise InputError(f"There is no policy '{name}'; there are: {', '.join(POLICIES)}.")
    return POLICIES[name](body)
