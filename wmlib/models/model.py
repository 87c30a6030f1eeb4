"""What a model of the body offers so that one can dream in it, act by its features and measure it; and what follows from that for every model.

A model moves R rows at once from state to state. A state is a tuple of arrays (R, ...): first the view in the body's own units (R, D),
then what this model keeps besides: a code and a memory, or nothing. A class gives `step` and `noise`; if it codes what it sees also
`see`, `features` and `feature_sizes`; if it remembers also `memory` and `remember`. `WorldModel` has all of them, `Ensemble` none but the
first two. Whoever dreams (`dream`, `dreamenv`), acts (`control.agent`) or measures (`metrics`) uses only what is named here.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.errors import InputError, whole
from wmlib.models.nets import Network, Tensor, compiled, ops
from wmlib.real import body as bodies
from wmlib.real.body import Array, Body
from wmlib.real.episodes import Episodes

Floats = NDArray[np.float32]
State = tuple[Tensor, ...]
BEYOND = 15.0
"""Standard deviations beyond which no number of a dreamed state is believed."""
REWARD_CAP = 3.0
"""Learned rewards are held below mean + this many standard deviations of the real ones: more than was ever seen is a hole in the model."""


class Predicted(NamedTuple):
    """What a model says of one step, each (R,).

    Attributes:
        reward: the reward, if the body stays up.
        outlier: the largest number of the next state, in standard deviations.
        disagreement: of the members; None where it was not asked for.
        reward_head: the reward as a learned head gives it; None where there is none.
        done_logit: logit of the end as a learned head gives it; None where there is none.
    """

    reward: Tensor
    outlier: Tensor
    disagreement: Tensor = None
    reward_head: Tensor = None
    done_logit: Tensor = None


class Forecast(NamedTuple):
    """k steps that were dreamed, not observed.

    Attributes:
        states: each part (B, k, ...); what followed each action.
        reward: (B, k); by the learned head, if there is one.
        done: (B, k); the head's chance that the episode ended at this step; 0 without one.
    """

    states: tuple[Floats, ...]
    reward: Floats
    done: Floats

    @property
    def obs(self) -> Floats:
        """The view (B, k, D), in the body's units; `body.poses(obs[i])` draws one."""
        return self.states[0]


@dataclass(frozen=True, eq=False)
class Starts:
    """S real states that dreams can begin from, as one model sees them.

    Attributes:
        of: fingerprint of the model whose codes and memory they hold; empty where there are none.
        state: arrays (S, ...).
    """

    of: str
    state: tuple[Floats, ...]

    def __len__(self) -> int:
        """How many."""
        return len(self.state[0])

    def take(self, index: NDArray[np.int64]) -> Starts:
        """Those with these numbers."""
        return Starts(self.of, tuple(part[index] for part in self.state))

    def draw(self, n: int, seed: int) -> Starts:
        """n of them, drawn at random: all different, if there are as many."""
        rng = np.random.default_rng([whole(seed, "The seed of starts"), 5])
        return self.take(rng.choice(len(self), n, replace=n > len(self)))


class Model(storage.Storable, ABC):
    """A model of a body. The defaults are those of one that sees the physical state and remembers nothing.

    Attributes:
        body: the body.
        parts: names of the arrays of a state.
        learned_heads: whether there are learned heads for reward and end.
        disagrees: whether a step can give the members' disagreement.
        jit: whether dreams are compiled through XLA: slower to start, faster where a step is many small sums, and their order is certain.
    """

    body: Body
    parts: tuple[str, ...] = ("obs",)
    learned_heads = False
    disagrees = False
    jit = False

    # What a class gives.

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 of all weights, statistics and settings."""

    @abstractmethod
    def noise(self, rng: np.random.Generator, *lead: int) -> tuple[Floats, ...]:
        """What a step is sampled with, `(*lead, ...)` each."""

    @abstractmethod
    def step(
        self,
        state: State,
        action: Tensor,
        noise: tuple[Tensor, ...] | None,
        tau: Tensor | float = 1.0,
        *,
        disagreement: bool = False,
    ) -> tuple[State, Predicted]:
        """One step of R rows on tensors: what follows action (R, a_dim), in the body's units.

        Args:
            state: R rows.
            action: what is done.
            noise: what the next state is sampled with; None takes the mean of all that may follow.
            tau: temperature of the sample; 0 is the likeliest answer.
            disagreement: whether it must be known.
        """

    @property
    def members(self) -> int:
        """Networks that dream side by side: row i belongs to member i mod `members`, from its first step to its last."""
        return 1

    @property
    def feature_sizes(self) -> Mapping[str, int]:
        """What C can look at, and how many numbers it is."""
        return {"physics": self.body.physics_dim}

    def features(self, state: State, name: str) -> Tensor:
        """What C looks at, (R, F)."""
        return state[0][:, : self.body.physics_dim]

    def view(self, episodes: Episodes) -> Array:
        """What this model sees of every state of some episodes, (n_steps + E, ...)."""
        return episodes.physics

    def see(self, obs: Array, rng: np.random.Generator | None = None) -> tuple[Floats, ...]:
        """The parts of a state that come from one real observation (..., obs_dim or physics_dim); sampled, if there is anything to sample, if `rng` is given."""
        return (np.asarray(obs)[..., : self.body.physics_dim].astype(np.float32),)

    def memory(self, n: int) -> tuple[Floats, ...]:
        """The other parts, of n rows, before anything was seen: zeros."""
        return ()

    def remember(self, state: State, action: Tensor) -> State:
        """The memory after `action` was really done in a state."""
        return ()

    def weights(self) -> dict[str, Any]:
        """Arrays that `holding` takes, so that a model that has learned more need not be compiled again; none by default."""
        return {}

    def holding(self, weights: Mapping[str, Any]) -> Self:
        """The same model with other weights, as `weights` gives them."""
        return self

    # What follows.

    def init(self, obs: Array) -> tuple[Floats, ...]:
        """The state of R rows that begin at observations (R, ...), with an empty memory."""
        return (*self.see(obs), *self.memory(len(obs)))

    def done_really(self, state: State, action: Floats) -> tuple[Floats, ...]:
        """`remember`, as one compiled call on NumPy arrays: what an agent makes after each real step."""
        after = self._remember(state, action)
        return tuple(np.array(ops.convert_to_numpy(part)) for part in after)

    @functools.cached_property
    def _remember(self) -> Callable[..., State]:
        return compiled(self.remember, jit=False)

    def watch(
        self,
        obs: Array,
        action: NDArray[Any],
        rng: np.random.Generator | None = None,
        *,
        steps: NDArray[np.int64] | None = None,
    ) -> tuple[Floats, ...]:
        """The state after some real steps, from which a dream can begin.

        Args:
            obs: (B, T+1, ...), what was seen.
            action: (B, T, a_dim), what was done; T may be 0.
            rng: to sample codes; their means if None.
            steps: (B,); how many of the T steps each row watches; all by default.
        """
        seen, memory = self.see(obs, rng), self.memory(len(obs))
        steps = np.full(len(obs), action.shape[1]) if steps is None else steps
        for t in range(action.shape[1] if memory else 0):
            state = (*(part[:, t] for part in seen), *memory)
            after = self.remember(state, np.asarray(action[:, t], np.float32))
            going = (t < steps)[:, None]
            memory = tuple(
                np.where(going, ops.convert_to_numpy(new), old)
                for new, old in zip(after, memory, strict=True)
            )
        return (*(part[np.arange(len(obs)), steps] for part in seen), *memory)

    def open_loop(
        self,
        state: State,
        action: NDArray[Any],
        *,
        tau: float = 1.0,
        rng: np.random.Generator | None = None,
    ) -> Forecast:
        """Dreams k steps forward with given actions: each predicted state is where the next step begins.

        Args:
            state: of B rows, from `init` or `watch`.
            action: (B, k, a_dim), in the body's units.
            tau: temperature of sampling.
            rng: to sample; if None the mean is taken, and tau does nothing.
        """
        states, rewards, dones = [], [], []
        for t in range(action.shape[1]):
            noise = None if rng is None else self.noise(rng, len(action))
            state, said = self.step(state, np.asarray(action[:, t], np.float32), noise, tau)
            states.append(state)
            rewards.append(said.reward if said.reward_head is None else said.reward_head)
            dones.append(
                ops.zeros_like(said.reward)
                if said.done_logit is None
                else ops.sigmoid(said.done_logit)
            )

        def stacked(parts: Any) -> Floats:
            return np.asarray(ops.convert_to_numpy(ops.stack(parts, axis=1)))

        return Forecast(
            tuple(stacked(part) for part in zip(*states, strict=True)),
            stacked(rewards),
            stacked(dones),
        )

    def dream(
        self,
        obs: Array,
        before: NDArray[Any],
        action: NDArray[Any],
        *,
        tau: float = 1.0,
        rng: np.random.Generator | None = None,
        sample: bool = True,
    ) -> Floats:
        """Watches real steps obs (B, T+1, ...), before (B, T, a_dim), then dreams actions (B, k, a_dim): the view, (B, k, D).

        Codes are sampled if `rng` is given, and so are steps unless `sample` is false. What `metrics.open_loop_error` measures.
        """
        return self.open_loop(
            self.watch(obs, before, rng), action, tau=tau, rng=rng if sample else None
        ).obs

    def starts(self, episodes: Episodes, n: int, *, seed: int = 0, latest: int = 0) -> Starts:
        """n states of real episodes to dream from, with the memory of what went before them.

        Args:
            episodes: real episodes.
            n: how many.
            seed: of the choice.
            latest: a start is at step 0 to `latest` of its episode, before its end; 0 takes the episodes' own starts.

        Raises:
            InputError: if n or `latest` is out of range, or the view needs observations that these episodes lack.
        """
        self.check_body(episodes)
        whole(seed, "The seed of starts")
        if n < 1 or latest < 0:
            raise InputError(
                f"{n} starts at step {latest} or before were asked for; expected at least 1, and step 0 or later."
            )
        rng = np.random.default_rng([seed, 4])
        episode = rng.choice(len(episodes), n, replace=n > len(episodes))
        step = rng.integers(np.minimum(latest, episodes.lengths[episode] - 1) + 1)
        first_step, first_state = (first[episode, None] for first in (episodes.first_step, episodes.first_state))  # fmt: skip
        at = np.minimum(np.arange(step.max() + 1), step[:, None])  # (n, T+1)
        obs, action = (
            self.view(episodes)[first_state + at],
            episodes.action[first_step + at[:, :-1]],
        )
        return Starts(self._owner, self.watch(obs, action, steps=step))

    def check_body(self, episodes: Episodes) -> None:
        """Raises InputError if the episodes are another body's."""
        if episodes.body is not self.body:
            raise InputError(
                f"This model is of the body '{self.body.name}', and these episodes are of '{episodes.body.name}'; expected the same body."
            )

    def check_starts(self, starts: Starts) -> None:
        """Raises InputError if the starts are another model's."""
        if starts.of != self._owner or len(starts.state) != len(self.parts):
            raise InputError(
                "These starts were made with another model's codes and memory. Make them with `starts` of this model."
            )

    @classmethod
    def from_files(cls, body: Body, read: storage.Read) -> Self:
        """From the files that `files` gave, as `read` finds them; only a model that is kept on disk needs it.

        Raises:
            InputError: in one line, whatever is wrong with them.
        """
        raise NotImplementedError

    @classmethod
    def from_artefact(cls, artefact: storage.Artefact) -> Self:
        """From an artefact's files, for the body that its manifest names."""
        return cls.from_files(bodies.get(artefact.body), artefact.read)

    @property
    def _owner(self) -> str:
        """Of starts: they are the same for all models that keep nothing besides the view."""
        return self.fingerprint if len(self.parts) > 1 else ""


class NetworkModel(Network, Model):
    """A model that is one `Network`: on disk one file, named after its kind."""

    config: Any
    body: Body

    @property
    def members(self) -> int:
        """How many networks."""
        return int(self.config.members)

    @classmethod
    def from_arrays(cls, config: Any, arrays: Mapping[str, NDArray[Any]], *of: Any) -> Self:
        """From what `arrays` gave."""
        return cls(body=of[0], config=config, **cls.fields(arrays))  # type: ignore[call-arg]

    def summary(self) -> dict[str, Any]:
        """Body and fingerprint."""
        return {"body": self.body.name, "fingerprint": self.fingerprint}

    def files(self) -> dict[str, bytes]:
        """One."""
        return {f"{self.kind}.safetensors": self.to_bytes()}

    @classmethod
    def from_files(cls, body: Body, read: storage.Read) -> Self:
        """From its file."""
        return cls.from_bytes(*read(f"{cls.kind}.safetensors"), body)


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
