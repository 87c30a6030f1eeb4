"""The report's agent with its mistakes as switches: V, M and a C on z and h, evolved on the real body, as in 2025. Built in chapter 10.

Nothing else in the library makes these mistakes; here each can be made or mended by itself, and all the rest stays as it is. The room is no part
of `wm`: `from wmlib import autopsy`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.config import MDNRNNConfig, TrainConfig, VAEConfig
from wmlib.control import strategies
from wmlib.errors import InputError
from wmlib.models import nets, training
from wmlib.models.mdnrnn import MDNRNN, sequences
from wmlib.models.vae import VAE
from wmlib.real.body import Array, Body
from wmlib.real.episodes import Episodes
from wmlib.real.rollout import Episode, rollout
from wmlib.seeds import SELECTION_SEEDS, TRAINING_SEEDS, run_seeds


@dataclass(frozen=True)
class Mistakes:
    """Which mistakes are made; all of them, as in the report.

    Attributes:
        box: actions of -1 to 1 are sent to motors whose box is narrower: the cost is charged on what was sent.
        frozen: C is evolved with h held at zero, and deployed with h alive.
        averaging: elites of a population of fixed spread are averaged, and each candidate plays one episode of its own.
        raw: V is trained on standardised numbers, and used on raw ones.
        spikes: V sees all numbers, each as important as the next, contact forces too.
        shifted: M gets the action of the step before, never the one that caused the change.
        crossing: M's training runs across the ends of episodes.
    """

    box: bool = True
    frozen: bool = True
    averaging: bool = True
    raw: bool = True
    spikes: bool = True
    shifted: bool = True
    crossing: bool = True

    def without(self, name: str) -> Mistakes:
        """The same with one of them mended.

        Raises:
            InputError: if there is no such mistake.
        """
        if name not in NAMES:
            raise InputError(f"There is no mistake '{name}'; there are: {', '.join(NAMES)}.")
        return dataclasses.replace(self, **{name: False})


NAMES = tuple(item.name for item in dataclasses.fields(Mistakes))
MENDED = Mistakes(**dict.fromkeys(NAMES, False))


@dataclass(frozen=True)
class Sizes:
    """Of a run: the report's small one by default, but for C's generations, of which it had 10, and 100 in its larger one."""

    vae_epochs: int = 20
    mdnrnn_epochs: int = 10
    generations: int = 20
    popsize: int = 64
    z_dim: int = 32
    h_dim: int = 256


@dataclass(frozen=True, eq=False)
class Agent:
    """V, M and C, and the mistakes with which they were made.

    Attributes:
        params: C: a matrix (a_dim, z_dim + h_dim) as one row, without a bias.
        log: of each generation: return, steps and reward per step of its population, each a mean.
    """

    body: Body
    v: VAE
    m: MDNRNN
    mistakes: Mistakes
    params: Array
    log: tuple[Mapping[str, float], ...] = ()


def learn(episodes: Episodes, mistakes: Mistakes, sizes: Sizes, seed: int) -> tuple[VAE, MDNRNN]:
    """V and M from real episodes, with the mistakes that concern them.

    Raises:
        InputError: if V is to see all numbers, and the episodes hold only the physical state.
    """
    if mistakes.spikes and episodes.obs is None:
        raise InputError(
            "This V sees full observations, and these episodes hold only the physical state. Give it episodes.replayed()."
        )
    seen = episodes.obs if mistakes.spikes and episodes.obs is not None else episodes.physics
    config = VAEConfig(
        view="full" if mistakes.spikes else "physics", z_dim=sizes.z_dim, hidden=(256, 128)
    )
    v = VAE.create(episodes.body, seen, config, seed=seed)
    v = dataclasses.replace(v, feature_weights=np.ones_like(v.feature_weights))
    recipe = TrainConfig(epochs=sizes.vae_epochs, batch_size=256, seed=seed, jit=False)
    v, _ = training.fit_model(
        v, {"x": v.standardize(seen)}, recipe, make_batch=v.make_batch, say=None
    )
    rows = sequences(v, episodes, 10, obs=seen)
    if mistakes.shifted:
        rows["action"] = _one_later(rows["action"]) * (1 - rows["reset"][..., None])
    if (
        mistakes.crossing
    ):  # the state after an episode's last is the next one's first, and memory goes on
        last = np.append(rows["reset"].reshape(-1)[1:], 0).reshape(rows["reset"].shape) > 0
        following = np.roll(rows["mu"].reshape(-1, v.z_dim), -1, axis=0).reshape(rows["mu"].shape)
        rows["next_mu"] = np.where(last[..., None], following, rows["next_mu"])
        rows["reset"] = np.zeros_like(rows["reset"])
    size = MDNRNNConfig(h_dim=sizes.h_dim, joint=True, reward="whole")
    m = MDNRNN.create(episodes.body, rows, size, seed=seed)
    recipe = dataclasses.replace(recipe, epochs=sizes.mdnrnn_epochs, batch_size=32)
    return v, training.fit_model(m, rows, recipe, make_batch=m.make_batch(), say=None)[0]


def _one_later(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows (N, T, D), end to end, each moved to the place of the one after it."""
    flat = rows.reshape(-1, rows.shape[-1])
    return np.concatenate([np.zeros_like(flat[:1]), flat[:-1]]).reshape(rows.shape)


class Driver:
    """An agent as a policy, one row of parameters for each episode in the order in which they begin, or one for all."""

    def __init__(self, agent: Agent, params: Array | None = None, *, frozen: bool = False) -> None:
        """`frozen` holds h at zero."""
        self.agent, self.frozen, self.begun = agent, frozen, 0
        self.params = np.asarray(agent.params if params is None else params, np.float64)
        self._step = nets.compiled(agent.m.step, jit=False)

    def reset(self, seeds: Any) -> tuple[Array, NDArray[np.float32], NDArray[np.float32]]:
        """Parameters and an empty memory of the episodes that begin."""
        n, h_dim = len(seeds), self.agent.m.config.h_dim
        self.begun += n
        rows = (
            self.params[self.begun - n : self.begun]
            if self.params.ndim == 2
            else np.tile(self.params, (n, 1))
        )
        return rows.copy(), np.zeros((n, h_dim), np.float32), np.zeros((n, h_dim), np.float32)

    def code(self, obs: Array) -> NDArray[np.float32]:
        """What V says of observations (N, obs_dim): (N, z_dim)."""
        v = self.agent.v
        seen = obs[:, : v.x_dim]
        return v.encode(seen * v.std + v.mean if self.agent.mistakes.raw else seen)[
            0
        ]  # so that standardising gives the raw numbers back

    def __call__(self, obs: Array, state: Any) -> tuple[Array, Any]:
        """Actions tanh(W [z, h]), in the box or not, and the memory after them."""
        params, h, c = state
        z, body = self.code(obs), self.agent.body
        push = np.tanh(
            np.einsum(
                "nai,ni->na",
                params.reshape(len(params), body.a_dim, -1),
                np.concatenate([z, h], axis=1),
            )
        )
        if not self.agent.mistakes.box:
            center, half = body.box
            push = center + half * push
        if not self.frozen:
            _, after = self._step(z, push.astype(np.float32), (h, c))
            h, c = (np.array(nets.ops.convert_to_numpy(part)) for part in after)
        return push, (params, h, c)


def evolve(body: Body, v: VAE, m: MDNRNN, mistakes: Mistakes, sizes: Sizes, seed: int) -> Agent:
    """C, evolved on the real body; in the report's way each candidate has a start of its own, else all of a generation share two."""
    agent = Agent(body, v, m, mistakes, np.zeros(body.a_dim * (v.z_dim + m.config.h_dim)))
    strategy = strategies.make(
        "elites-reported" if mistakes.averaging else "openai-es",
        agent.params,
        seed,
        popsize=sizes.popsize,
    )
    block, log = run_seeds(TRAINING_SEEDS, seed), []
    for generation in range(sizes.generations):
        population = strategy.ask()
        at = 2 * len(population) * generation
        seeds = (
            list(block[at : at + len(population)])
            if mistakes.averaging
            else [s for s in block[at : at + 2] for _ in population]
        )
        params = population if mistakes.averaging else np.concatenate([population, population])
        played = rollout(
            body,
            Driver(agent, params, frozen=mistakes.frozen),
            seeds,
            batch=len(seeds),
            keep_obs=False,
        )
        returns = (
            np.array([episode.episode_return for episode in played])
            .reshape(-1, len(population))
            .mean(axis=0)
        )
        strategy.tell(returns)
        steps = np.array([len(episode) for episode in played])
        log.append(
            {
                "return": float(returns.mean()),
                "steps": float(steps.mean()),
                "per_step": float(returns.mean() / steps.mean()),
            }
        )
    return dataclasses.replace(agent, params=strategy.mean, log=tuple(log))


def deploy(agent: Agent, n: int, seed: int) -> list[Episode]:
    """n real episodes of the agent, awake, its memory alive, on selection seeds of this run."""
    return rollout(
        agent.body,
        Driver(agent),
        run_seeds(SELECTION_SEEDS, seed)[:n],
        batch=min(n, 64),
    )
