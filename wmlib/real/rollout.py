"""Real steps: many episodes at once over threads, bit-identical to Gymnasium's own environment.

MuJoCo lets go of Python's lock while it steps, so threads use every core; what is left to Python (reading the numbers,
the reward, the policy) is done for the whole batch at once. Policies are those of `wmlib.real.policies`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError, whole
from wmlib.real.body import Actions, Array, Body
from wmlib.real.policies import Policy

BATCH = 64


@dataclass(frozen=True, eq=False)
class Episode:
    """One real episode of T steps, in the book's index convention.

    `action[t]` is chosen at `obs[t]`; the world answers `reward[t]` and `obs[t+1]`.

    Attributes:
        seed: the seed of `env.reset(seed=...)`.
        obs: (T+1, obs_dim), or None where it was not kept.
        action: (T, a_dim), float32.
        reward: (T,).
        qpos: (T+1, nq).
        qvel: (T+1, nv).
        terminated: the body's own end (a fall); never merged with
        truncated: the end by the limit of steps.
        terms: name of each reward term -> (T,), or None for episodes read from disk.
    """

    seed: int
    obs: Array | None
    action: Actions
    reward: Array
    qpos: Array
    qvel: Array
    terminated: bool
    truncated: bool
    terms: dict[str, Array] | None = None

    def __len__(self) -> int:
        """Number of steps T."""
        return len(self.reward)

    @property
    def episode_return(self) -> float:
        """Sum of the rewards."""
        return float(self.reward.sum())


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Simulators:
    """N copies of a body's physics that step and reset over threads, and the arrays that their numbers are read into."""

    def __init__(self, body: Body, n: int, pool: ThreadPoolExecutor, threads: int) -> None:
        self.body, self.pool, self.threads = body, pool, threads
        self.data = [mujoco.MjData(body.model) for _ in range(n)]
        self.frame = {
            name: np.zeros((n, *getattr(self.data[0], name).shape)) for name in body.readouts
        }
        self.before = {name: array.copy() for name, array in self.frame.items()}
        self.action = np.zeros((n, body.a_dim), dtype=np.float32)
        # Views made once: where each row's numbers are in MuJoCo's memory, and where they go.
        self._copies = [
            [(array[i], getattr(self.data[i], name)) for name, array in self.frame.items()]
            for i in range(n)
        ]
        self._commands = [(self.data[i].ctrl, self.action[i]) for i in range(n)]

    def _each(self, work: Callable[[int], None], rows: Iterable[int]) -> None:
        """Does the work for each row; a free thread takes the next row, so a slow one holds no other up."""
        waiting = iter(rows)

        def worker(_: int) -> None:
            for row in waiting:
                work(row)

        for _ in self.pool.map(worker, range(self.threads)):
            pass

    def _read(self, row: int) -> None:
        for array, field in self._copies[row]:
            array[...] = field

    def step(self, rows: list[int]) -> None:
        """One environment step of each row with its action: what `MujocoEnv.do_simulation` does."""
        for name, array in self.frame.items():
            np.copyto(self.before[name], array)
        model, skip = self.body.model, self.body.frame_skip

        def work(row: int) -> None:
            data, (ctrl, action) = self.data[row], self._commands[row]
            ctrl[...] = action
            mujoco.mj_step(model, data, skip)
            mujoco.mj_rnePostConstraint(model, data)
            self._read(row)

        self._each(work, rows)

    def reset(self, starts: dict[int, int]) -> None:
        """Begins an episode in each row: row -> seed, as `env.reset(seed=seed)` does."""
        model = self.body.model

        def work(row: int) -> None:
            data = self.data[row]
            mujoco.mj_resetData(model, data)
            rng = np.random.Generator(
                np.random.PCG64(np.random.SeedSequence(starts[row]))
            )  # gymnasium.utils.seeding
            data.qpos[:], data.qvel[:] = self.body.start(rng, model.qpos0, np.zeros(model.nv))
            mujoco.mj_forward(model, data)
            self._read(row)

        self._each(work, starts)


class _Recorder:
    """Collects the rows of one running episode."""

    def __init__(self, seed: int, keep_obs: bool) -> None:
        self.seed, self.keep_obs = seed, keep_obs
        self.rows: dict[str, list[Any]] = {
            "obs": [],
            "qpos": [],
            "qvel": [],
            "action": [],
            "reward": [],
        }
        self.terms: dict[str, list[float]] = {}

    def see(self, obs: Array, qpos: Array, qvel: Array) -> None:
        if self.keep_obs:
            self.rows["obs"].append(obs.copy())
        self.rows["qpos"].append(qpos.copy())
        self.rows["qvel"].append(qvel.copy())

    def close(self, terminated: bool) -> Episode:
        stacked: dict[str, Any] = {
            name: np.stack(rows) if rows else None for name, rows in self.rows.items()
        }
        terms = {name: np.array(values) for name, values in self.terms.items()}
        return Episode(
            self.seed, terminated=terminated, truncated=not terminated, terms=terms, **stacked
        )


def _put(state: Any, row: int, fresh: Any) -> None:
    """Writes the first row of a fresh policy state into row `row` of a state, in place."""
    if isinstance(state, tuple):
        for part, new in zip(state, fresh, strict=True):
            _put(part, row, new)
    elif state is not None:
        state[row] = fresh[0]


def _checked_seed(seed: int) -> int:
    return whole(seed, "The seed of an episode")


def _checked(given: Any, body: Body, n: int) -> Actions:
    actions: NDArray[Any] = np.asarray(given)
    if actions.shape != (n, body.a_dim) or actions.dtype.kind not in "fiub":
        raise InputError(
            f"The policy gave actions of type {actions.dtype} and shape {actions.shape}; {body.name} needs ({n}, {body.a_dim}): one row for each row of obs, of numbers."
        )
    with np.errstate(over="ignore"):
        actions = np.asarray(actions, dtype=np.float32)
    if not np.isfinite(actions).all():
        raise InputError(
            f"The policy gave an action that is NaN or infinite, first in row {int(np.argwhere(~np.isfinite(actions))[0][0])} (as float32). MuJoCo would go on with wrong physics; mend the policy."
        )
    return actions


def rollout(
    body: Body,
    policy: Policy,
    seeds: Iterable[int],
    *,
    min_steps: int | None = None,
    max_steps: int | None = None,
    threads: int | None = None,
    batch: int = BATCH,
    keep_obs: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Episode]:
    """Runs one real episode for each seed, many at once.

    Observations, rewards and endings are bit-identical to `gymnasium.make(body.env_id)`, reset with the same seed and
    given the same float32 actions, whatever `threads` and `batch` are.

    Args:
        body: the body.
        policy: see the head of `wmlib.real.policies`. `reset` is called for episodes in the order of their seeds.
        seeds: the seed of each episode, none negative.
        min_steps: if given, begin no more episodes once this many steps are under way, and return the first episodes,
            in the order of `seeds`, that together have at least so many. Episodes are always whole.
        max_steps: truncate after so many steps instead of `body.max_steps`.
        threads: how many threads; every core of this process by default.
        batch: how many episodes run side by side.
        keep_obs: whether to keep observations; `qpos` and `qvel` are always kept.
        progress: called with the number of real steps so far, after every batch of steps.

    Returns:
        Episodes in the order of `seeds`.

    Raises:
        InputError: if a size is not positive, or the policy gives actions of a wrong shape, or NaN.
    """
    for name, value in {
        "min_steps": min_steps,
        "max_steps": max_steps,
        "threads": threads,
        "batch": batch,
    }.items():
        if value is not None:
            whole(value, name, 1)
    threads = threads or n_cores()
    waiting = enumerate(map(_checked_seed, seeds))
    first = list(itertools.islice(waiting, batch))
    if not first:
        return []
    with ThreadPoolExecutor(threads) as pool:
        simulators = _Simulators(body, len(first), pool, threads)
        episodes = _run(
            simulators,
            policy,
            first,
            waiting,
            min_steps,
            max_steps or body.max_steps,
            keep_obs,
            progress,
        )
    ordered = [episodes[place] for place in sorted(episodes)]
    if min_steps is not None:
        if sum(map(len, ordered)) < min_steps:
            raise InputError(
                f"The seeds ran out after {len(ordered)} episodes, before {min_steps} steps. Give more seeds or ask for fewer steps."
            )
        ordered = first_of(ordered, min_steps)
    return ordered


def first_of(episodes: list[Episode], steps: int) -> list[Episode]:
    """The first episodes that together have at least so many steps, of some that do."""
    so_far = np.cumsum([len(episode) for episode in episodes])
    return episodes[: int(np.searchsorted(so_far, steps)) + 1]


def _run(
    simulators: _Simulators,
    policy: Policy,
    first: list[tuple[int, int]],
    waiting: Iterator[tuple[int, int]],
    min_steps: int | None,
    max_steps: int,
    keep_obs: bool,
    progress: Callable[[int], None] | None,
) -> dict[int, Episode]:
    """Steps all rows together; a row whose episode has ended takes the next seed. Returns place in `seeds` -> episode."""
    body, frame = simulators.body, simulators.frame
    reset = getattr(policy, "reset", lambda seeds: None)
    state = reset(np.array([seed for _, seed in first], dtype=np.int64))
    places = [place for place, _ in first]
    recorders = [_Recorder(seed, keep_obs) for _, seed in first]
    episodes: dict[int, Episode] = {}
    total = 0

    def begin(starts: dict[int, int]) -> Array:
        simulators.reset(starts)
        obs = body.observe(frame)
        for row in starts:
            recorders[row].see(obs[row], frame["qpos"][row], frame["qvel"][row])
        return obs

    running = list(range(len(first)))
    obs = begin({row: recorders[row].seed for row in running})
    while running:
        actions, state = policy(obs.copy(), state)  # it may standardise in place
        simulators.action[:] = _checked(actions, body, len(first))
        simulators.step(running)
        obs = body.observe(frame)
        terms = body.terms(body, simulators.before, frame, simulators.action)
        rewards, terminated = (
            body.reward(terms),
            body.terminated(obs) if body.ended is None else body.ended(frame),
        )
        total += len(running)
        starts: dict[int, int] = {}
        for row in tuple(running):
            recorder = recorders[row]
            recorder.rows["action"].append(simulators.action[row].copy())
            recorder.rows["reward"].append(rewards[row])
            for name, values in terms.items():
                recorder.terms.setdefault(name, []).append(values[row])
            recorder.see(obs[row], frame["qpos"][row], frame["qvel"][row])
            if not terminated[row] and len(recorder.rows["reward"]) < max_steps:
                continue
            episodes[places[row]] = recorder.close(bool(terminated[row]))
            following = next(waiting, None) if min_steps is None or total < min_steps else None
            if following is None:
                running.remove(row)
                continue
            places[row], starts[row] = following
            recorders[row] = _Recorder(starts[row], keep_obs)
            _put(state, row, reset(np.array([starts[row]], dtype=np.int64)))
        if starts:
            obs = begin(starts)
        if progress is not None:
            progress(total)
    return episodes
