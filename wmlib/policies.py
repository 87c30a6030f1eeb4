"""What acts without having learned: random and zero actions, a pose held by joint control, and a replay.

A *policy* is a callable `(obs (N, obs_dim), state) -> (actions (N, a_dim), state)`. The state is `None`, an array with
leading axis N, or a tuple of such arrays; a policy that needs one has a method `start(seeds (N,)) -> state`, and the
row of an episode that begins is made anew from that episode's seed. Actions are rounded to float32, as Gymnasium's
action space has them. N is always the batch size, so that a policy's own rounding never depends on the threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.body import Array, Body

Policy = Callable[[Array, Any], tuple[NDArray[Any], Any]]


class RandomActions:
    """Uniform actions in the body's box; each episode draws from its own seed, so batches and threads change nothing."""

    def __init__(self, body: Body) -> None:
        """Reads the action box of the body."""
        self.low, self.high = body.action_low.astype(float), body.action_high.astype(float)

    def start(self, seeds: NDArray[np.int64]) -> NDArray[np.object_]:
        """A random generator for each episode, apart from the one that draws the episode's start."""
        generators = np.empty(len(seeds), dtype=object)
        generators[:] = [np.random.default_rng([int(seed), 1]) for seed in seeds]
        return generators

    def __call__(self, obs: Array, state: NDArray[np.object_]) -> tuple[Array, NDArray[np.object_]]:
        """Draws one action a row."""
        uniform = np.array([rng.random(self.low.size) for rng in state])
        return self.low + (self.high - self.low) * uniform, state


class Replay:
    """Plays recorded actions: `actions[seed]` is (T, a_dim); past its end, zero."""

    def __init__(self, actions: dict[int, NDArray[Any]]) -> None:
        """Keeps the recorded actions of each seed."""
        self.actions = actions
        self.a_dim = next(iter(actions.values())).shape[1]

    def start(self, seeds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
    """
    joints = body.model.actuator_trnid[:, 0]
    position = body.model.jnt_qposadr[joints]
    rest = body.model.qpos0[position]
    q = position - body.hidden_qpos
    v = body.obs_slices["qvel"].start + body.model.jnt_dofadr[joints]

    def policy(obs: Array, state: Any) -> tuple[Array, Any]:
        action = stiffness * (rest - obs[:, q]) - damping * obs[:, v]
        return np.clip(action, body.action_low, body.action_high), state

    return policy


POLICIES: dict[str, Callable[[Body], Policy]] = {"random": RandomActions, "zero": zero_action, "hold": hold_pose}
