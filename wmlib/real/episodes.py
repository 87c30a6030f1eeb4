"""Stored experience: ragged episodes, on disk and in memory, and the windows that models are trained on.

An episode of T steps has T actions and rewards but T + 1 states. Episodes lie end to end in flat arrays, without
padding; a window is cut out of one episode only, so that none ever crosses a reset, and a mask says which of its steps
are real.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.errors import InputError, whole
from wmlib.real import body as bodies
from wmlib.real import policies
from wmlib.real import rollout as real
from wmlib.real.body import Actions, Array, Body, Bools
from wmlib.real.policies import Replay
from wmlib.real.rollout import Episode
from wmlib.real.workers import Workers
from wmlib.seeds import TRAINING_SEEDS, run_seeds

Ints = NDArray[np.int64]
FILE = "episodes.npz"
APART = 64
"""Episodes that a worker plays before it is asked again, at most."""
STORED = ("seeds", "lengths", "terminated", "truncated", "action", "reward", "qpos", "qvel")


@dataclass(frozen=True)
class Windows:
    """W windows of L steps, padded at the end of an episode; `mask` is 1 where a step is real.

    Attributes:
        states: (W, L+1, S); the state before each step, and the one after the last.
        action: (W, L, a_dim).
        reward: (W, L).
        terminated: (W, L); true at the step that ended an episode by a fall.
        mask: (W, L); 1.0 for real steps, 0.0 for padding (where all else is zero).
        episode: (W,); which episode the window is from.
        first: (W,); the step of that episode with which the window begins.
    """

    states: NDArray[Any]
    action: Actions
    reward: Array
    terminated: Bools
    mask: Array
    episode: Ints
    first: Ints


@dataclass(frozen=True, eq=False)
class Episodes(storage.Storable):
    """E episodes of one body, laid end to end. Episode e has `lengths[e]` steps and `lengths[e] + 1` states.

    Attributes:
        body: the body.
        seeds: (E,); the seed of each episode's start.
        lengths: (E,); steps of each episode, at least 1.
        terminated: (E,); whether the body ended it.
        truncated: (E,); whether the limit of steps ended it.
        action: (sum of lengths, a_dim), float32.
        reward: (sum of lengths,).
        qpos: (sum of lengths + E, nq).
        qvel: (sum of lengths + E, nv).
        obs: (sum of lengths + E, obs_dim), or None until `replayed()`.
    """

    body: Body
    seeds: Ints
    lengths: Ints
    terminated: Bools
    truncated: Bools
    action: Actions
    reward: Array
    qpos: Array
    qvel: Array
    obs: Array | None = None

    def __post_init__(self) -> None:
        """Checks shapes and numbers, so that a wrong array is named here and not met in training.

        Raises:
            InputError: if an array has a wrong shape, or holds NaN or infinity.
        """
        for name, kinds in {
            "lengths": "iu",
            "seeds": "iu",
            "terminated": "b",
            "truncated": "b",
        }.items():
            if (found := getattr(self, name)).dtype.kind not in kinds or found.ndim != 1:
                raise InputError(
                    f"'{name}' of these {self.body.name} episodes has type {found.dtype} and shape {found.shape}; expected one row of {'whole numbers' if kinds == 'iu' else 'truth values'}."
                )
        n_episodes, n_steps = len(self.lengths), int(self.lengths.sum())
        n_states = n_steps + n_episodes
        if n_episodes == 0 or self.lengths.min() < 1:
            raise InputError("Episodes need at least one episode, and each at least one step.")
        expected = {
            "seeds": (n_episodes,), "terminated": (n_episodes,), "truncated": (n_episodes,), "reward": (n_steps,),
            "action": (n_steps, self.body.a_dim), "qpos": (n_states, int(self.body.model.nq)),
            "qvel": (n_states, int(self.body.model.nv)), "obs": (n_states, self.body.obs_dim),
        }  # fmt: skip
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is None:
                continue
            if array.shape != shape:
                old = (
                    " 376 numbers is the v4 environment's observation: gather again with v5."
                    if array.shape[-1:] == (376,)
                    else ""
                )
                raise InputError(
                    f"'{name}' of these {self.body.name} episodes has shape {array.shape}; expected {shape}.{old}"
                )
            if array.dtype.kind not in "fiub":
                raise InputError(
                    f"'{name}' of these {self.body.name} episodes has type {array.dtype}; expected numbers."
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise InputError(
                    f"'{name}' of these {self.body.name} episodes holds NaN or infinity, first in row {row}; expected finite numbers. Gather them again."
                )

    @classmethod
    def of(cls, body: Body, episodes: Sequence[Episode]) -> Episodes:
        """Lays episodes from `rollout` end to end.

        Raises:
            InputError: if there are none.
        """
        if not episodes:
            raise InputError("There are no episodes to lay end to end; expected at least one.")

        def joined(name: str) -> Any:
            return np.concatenate([getattr(episode, name) for episode in episodes])

        return cls(
            body,
            seeds=np.array([episode.seed for episode in episodes], dtype=np.int64),
            lengths=np.array([len(episode) for episode in episodes], dtype=np.int64),
            terminated=np.array([episode.terminated for episode in episodes]),
            truncated=np.array([episode.truncated for episode in episodes]),
            action=joined("action"), reward=joined("reward"), qpos=joined("qpos"), qvel=joined("qvel"),
            obs=joined("obs") if all(episode.obs is not None for episode in episodes) else None,
        )  # fmt: skip

    def __len__(self) -> int:
        """Number of episodes E."""
        return len(self.lengths)

    @property
    def n_steps(self) -> int:
        """Real steps in all."""
        return int(self.lengths.sum())

    @property
    def physics(self) -> Array:
        """The physical part of every observation, (n_steps + E, physics_dim); exact, and needs no replay."""
        return self.body.physics(self.qpos, self.qvel)

    @property
    def returns(self) -> Array:
        """Episode returns, (E,)."""
        return np.add.reduceat(self.reward, self.first_step)

    @property
    def first_step(self) -> Ints:
        """Row of each episode's first step, (E,)."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def first_state(self) -> Ints:
        """Row of each episode's first state, (E,): an episode has one state more than steps."""
        return self.first_step + np.arange(len(self))

    @property
    def before(self) -> Ints:
        """Row of the state before each step, (n_steps,); the one after it is the next."""
        return np.arange(self.n_steps) + np.repeat(np.arange(len(self)), self.lengths)

    def __getitem__(self, index: int) -> Episode:
        """Episode number `index`, as views."""
        index = whole(index, "The number of an episode", -sys.maxsize)
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} episodes; there is none with number {index}.")
        index %= len(self)
        of = self.lengths, self.first_step, self.first_state
        length, step, state = (int(rows[index]) for rows in of)
        steps, states = slice(step, step + length), slice(state, state + length + 1)
        return Episode(
            int(self.seeds[index]), None if self.obs is None else self.obs[states], self.action[steps], self.reward[steps],
            self.qpos[states], self.qvel[states], bool(self.terminated[index]), bool(self.truncated[index]),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Episode]:
        """Every episode, as views."""
        return (self[index] for index in range(len(self)))

    def select(self, index: Sequence[int] | Ints | Bools) -> Episodes:
        """The episodes with these numbers, in this order; or those where a mask (E,) is true.

        Raises:
            InputError: if they are no whole numbers, a mask has another length, or nothing is left.
        """
        chosen = np.asarray(index)
        if chosen.dtype == bool and chosen.shape == (len(self),):
            chosen = np.flatnonzero(chosen)
        if chosen.size and (chosen.ndim != 1 or chosen.dtype.kind not in "iu"):
            raise InputError(
                f"Episodes were chosen by an array of shape {chosen.shape} and type {chosen.dtype}; expected whole numbers, or a mask of shape ({len(self)},)."
            )
        return Episodes.of(self.body, [self[i] for i in chosen.tolist()])

    def split(self, *fractions: float, seed: int = 0) -> tuple[Episodes, ...]:
        """Disjoint parts by whole episodes, at random: `train, test = episodes.split(0.8, 0.2)`.

        Raises:
            InputError: if the fractions do not add up to 1, or a part would be empty.
        """
        if not fractions or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
            raise InputError(
                f"The fractions of a split are {fractions}; expected positive numbers that add up to 1."
            )
        edges = np.round(np.cumsum((0.0, *fractions)) * len(self)).astype(int)
        if (np.diff(edges) < 1).any():
            raise InputError(
                f"{len(self)} episodes cannot be split into {len(fractions)} parts of {fractions}: one would be empty. Gather more."
            )
        order = np.random.default_rng(whole(seed, "The seed")).permutation(len(self))
        return tuple(self.select(np.sort(order[a:b])) for a, b in itertools.pairwise(edges))

    def windows(
        self, length: int, states: NDArray[Any] | None = None, stride: int | None = None
    ) -> Windows:
        """Windows of `length` steps that never cross a reset.

        With the default stride (`length`) every step is in exactly one window.

        Args:
            length: steps L of a window.
            states: what stands for the state, (n_steps + E, S); `physics` by default.
            stride: steps from one window's start to the next one's.

        Raises:
            InputError: if a size is not positive, or `states` does not have one row for each state.
        """
        stride = length if stride is None else stride
        if length < 1 or stride < 1:
            raise InputError(
                f"Windows of length {length} and stride {stride} were asked for; expected at least 1."
            )
        states = self.physics if states is None else states
        n_states = self.n_steps + len(self)
        if len(states) != n_states:
            raise InputError(
                f"'states' has {len(states)} rows; expected {n_states}: one more than steps for each episode."
            )
        n = np.maximum(1, -(-(self.lengths - max(0, length - stride)) // stride))
        episode, first = spaced(n, stride)
        offset = first[:, None] + np.arange(length + 1)  # (W, L+1), in steps of its episode
        is_state = offset <= self.lengths[episode][:, None]
        is_step = offset[:, :-1] < self.lengths[episode][:, None]
        state_row = np.where(is_state, self.first_state[episode, None] + offset, 0)
        step_row = np.where(is_step, self.first_step[episode, None] + offset[:, :-1], 0)
        last = offset[:, :-1] == self.lengths[episode][:, None] - 1
        return Windows(
            states=np.where(is_state[..., None], states[state_row], 0),
            action=np.where(is_step[..., None], self.action[step_row], np.float32(0)),
            reward=np.where(is_step, self.reward[step_row], 0.0),
            terminated=last & self.terminated[episode][:, None],
            mask=is_step.astype(np.float64),
            episode=episode,
            first=first,
        )

    def replayed(self, threads: int | None = None) -> Episodes:
        """The same episodes with their full observations, made again by the simulator from seeds and actions.

        Raises:
            InputError: if this MuJoCo does not give the stored states again (another version or processor).
        """
        actions = {episode.seed: episode.action for episode in self}
        if len(actions) < len(self):
            raise InputError(
                "Two of these episodes have the same seed; they cannot be told apart in a replay. Replay them one part at a time."
            )
        longest = int(self.lengths.max())
        played = real.rollout(
            self.body, Replay(actions), self.seeds.tolist(), max_steps=longest, threads=threads
        )
        again = Episodes.of(
            self.body,
            [
                _cut(episode, int(length))
                for episode, length in zip(played, self.lengths, strict=True)
            ],
        )
        if not (
            np.array_equal(again.lengths, self.lengths) and np.array_equal(again.qpos, self.qpos)
        ):
            version = storage.versions().get("mujoco")
            raise InputError(
                f"MuJoCo {version} does not give these episodes again: another version or processor made them. Use their qpos and qvel, or gather again."
            )
        return replace(self, obs=again.obs)

    kind = "episodes"

    def summary(self) -> dict[str, Any]:
        """Body and sizes."""
        body = {"body": self.body.name, "env_id": self.body.env_id}
        return {**body, "episodes": len(self), "real_steps": self.n_steps}

    def files(self) -> dict[str, bytes]:
        """One, with what cannot be derived."""
        return {FILE: storage.npz({name: getattr(self, name) for name in STORED})}

    @classmethod
    def from_artefact(cls, artefact: storage.Artefact) -> Episodes:
        """From its file; shapes and numbers are checked, and nothing pickled is read."""
        data, name = artefact.read(FILE)
        arrays = storage.from_npz(data, name)
        if missing := [name for name in STORED if name not in arrays]:
            raise InputError(
                f"{name} has no array '{missing[0]}'; expected {', '.join(STORED)}. Gather it again."
            )
        return cls(bodies.get(artefact.body), **{name: arrays[name] for name in STORED})


def spaced(n: Ints, stride: int) -> tuple[Ints, Ints]:
    """n (E,) places in each episode, a stride apart: the episode of each place, and its step there."""
    episode = np.repeat(np.arange(len(n)), n)
    return episode, (np.arange(len(episode)) - (np.cumsum(n) - n)[episode]) * stride


def _cut(episode: Episode, length: int) -> Episode:
    """The first steps of an episode (truncated there, if it went on)."""
    if len(episode) <= length:
        return episode
    return Episode(
        episode.seed, None if episode.obs is None else episode.obs[: length + 1], episode.action[:length], episode.reward[:length],
        episode.qpos[: length + 1], episode.qvel[: length + 1], terminated=False, truncated=True,
    )  # fmt: skip


def gather(
    body: Body,
    policy: str,
    steps: int,
    seed: int,
    out: str | Path | None = None,
    *,
    workers: Workers | int | None = None,
    progress: Callable[[int], None] | None = None,
    command: str = "",
) -> Episodes:
    """Gathers whole real episodes with at least `steps` steps in all, from run `seed`'s block of training seeds.

    Args:
        body: the body.
        policy: a name in `policies.POLICIES`.
        steps: real steps, at least 1.
        seed: the run's seed; see `run_seeds`.
        out: where to keep them, if anywhere. It is tried before anything is simulated.
        workers: who plays, or how many threads do, every core by default. It changes no number.
        progress: called with the number of real steps so far.
        command: the command line, for the manifest.

    Raises:
        InputError: if a size or a name is wrong, or `out` cannot be written.
    """
    act = policies.named(policy, body)
    if not steps >= 1:
        raise InputError(f"{steps} steps were asked for; expected a whole number of at least 1.")
    seeds = run_seeds(TRAINING_SEEDS, seed)

    def simulate() -> Episodes:
        if isinstance(workers, Workers):
            play = functools.partial(_play, body, policy, out is None)
            return Episodes.of(body, _play_apart(workers, play, steps, seeds, progress))
        how: Any = {"min_steps": steps, "threads": workers, "progress": progress}
        return Episodes.of(body, real.rollout(body, act, seeds, keep_obs=out is None, **how))

    if out is None:
        return simulate()
    clock = storage.Clock()
    with storage.new_artefact(out) as folder:
        gathered = simulate()
        gathered.write(
            folder, **clock.read(), policy=policy, seed=seed, budget=steps, command=command
        )
    return gathered


def _play(body: Body, policy: str, keep_obs: bool, seeds: range) -> list[Episode]:
    """What a worker does."""
    return real.rollout(body, policies.named(policy, body), seeds, threads=1, keep_obs=keep_obs)


def _play_apart(
    workers: Workers, play: Callable[..., Any], steps: int, seeds: range, progress: Callable[[int], None] | None
) -> list[Episode]:  # fmt: skip
    """The first episodes, in the order of their seeds, that together have enough steps: played by workers, in waves."""
    played: list[Episode] = []
    while (n := sum(map(len, played))) < steps:
        if len(played) == len(seeds):
            raise InputError(
                f"The seeds ran out after {len(played)} episodes, before {steps} steps. Ask for fewer steps."
            )
        usual = n / len(played) if played else 0.0
        # Episodes that a worker plays in a wave.
        size = int(np.clip((steps - n) / usual / workers.n, 1, APART)) if usual else 1
        ends = range(len(played), len(played) + size * workers.n, size)
        wave = [(part,) for at in ends if len(part := seeds[at : at + size])]
        played += itertools.chain.from_iterable(workers.map(play, wave))
        if progress is not None:
            progress(sum(map(len, played)))
    return real.first_of(played, steps)
