"""C evolved in a dream, and nowhere else: no real step is taken, and no candidate is chosen by anything but its dreamed return.

A generation dreams its whole population from the same few real starts with the same noise, the next generation from others. C is the
strategy's mean, or the mean of several searches' means. The loop is `control.evolve`'s. Built in chapter 6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.config import EvolveConfig
from wmlib.control.controller import REAL, Linear
from wmlib.control.evolve import Evolution, Fitness
from wmlib.dream.dream import Dream
from wmlib.errors import InputError
from wmlib.models.model import Model, Starts
from wmlib.real.body import Array
from wmlib.real.episodes import Episodes

EVERY = 10
"""Generations from one check of the mean, in the dream, to the next."""
APART = 100
"""Between the seeds of two searches whose mean is C."""
POOL, CHECK = 1024, 64
"""Real starts that generations draw from, and of a check."""


def linear_for(model: Model, features: str, data: Episodes | None = None) -> Linear:
    """The shape of a controller on what a model shows; physical features are standardised with these episodes.

    Raises:
        InputError: if there are no such features.
    """
    if features == "physics" and data is not None:
        return Linear(data.body, mean=data.physics.mean(axis=0), std=data.physics.std(axis=0))
    if features in REAL or features not in model.feature_sizes:
        shown = ", ".join(name for name in model.feature_sizes if name != "obs")
        raise InputError(
            f"There are no features '{features}' to evolve C on in this model; there are: {shown}. Physical ones need episodes that standardise them."
        )
    return Linear(model.body, features, model.feature_sizes[features])


class DreamFitness(Fitness):
    """Dreamed returns: every candidate dreams from the same starts, with the same noise."""

    checkpoint_every = EVERY

    def __init__(
        self,
        dreams: Dream,
        data: Episodes | Starts,
        config: EvolveConfig | None = None,
        params: Array | None = None,
    ) -> None:
        """Looks at the settings.

        Args:
            dreams: a model and a way to dream; `config.dream` is not used here.
            data: real episodes that dreams begin in, or starts made of them.
            config: what to do.
            params: where C begins; zero by default.

        Raises:
            InputError: if a number is not as it must be.
        """
        self.config: EvolveConfig = config or EvolveConfig()
        self.dreams, self.linear, self.data = dreams, dreams.linear, data
        self.params = np.zeros(self.linear.n_params) if params is None else params
        self.pool = data if isinstance(data, Starts) else self._pool(data)

    @classmethod
    def of(
        cls,
        model: Model,
        linear: Linear,
        data: Episodes,
        config: EvolveConfig,
        params: Array | None = None,
    ) -> DreamFitness:
        """In a model's dreams, dreamed as the configuration says."""
        return cls(Dream(model, linear, config.dream), data, config, params)

    def _pool(self, data: Episodes) -> Starts:
        return self.dreams.starts(data, POOL, seed=self.config.seed, latest=self.config.latest)

    @property
    def origin(self) -> str:
        """Fingerprint of model, starts and C."""
        arrays: storage.Arrays = {
            "params": self.params,
            "mean": self.linear.mean,
            "std": self.linear.std,
        }
        arrays |= {f"start {i}": part for i, part in enumerate(self.pool.state)}
        model = self.dreams.model.fingerprint
        return storage.fingerprint(arrays, [model, self.linear.features, self.linear.body.name])

    def searches(self) -> list[DreamFitness]:
        """One, or as many as there are searches, each with a seed of its own."""
        if self.config.searches == 1:
            return [self]
        seeds = [self.config.seed + APART * k for k in range(self.config.searches)]
        configs = [dataclasses.replace(self.config, searches=1, seed=seed) for seed in seeds]
        return [DreamFitness(self.dreams, self.data, config, self.params) for config in configs]

    def together(self, runs: list[Evolution]) -> Evolution:
        """The searches as one: C is the mean of theirs, the log goes through all of them and ends with C's own check."""
        made, spent = Evolution(self.linear, runs[-1].strategy), dict.fromkeys(storage.SPENT, 0.0)
        for k, run in enumerate(runs):
            for row in run.log:
                steps = made.steps + row["dreamed_steps"]
                whole = {name: round(spent[name] + row[name], 2) for name in spent}
                made.log.append({**row, "search": k, "dreamed_steps": steps, **whole})
            made.steps, spent = steps, whole
        params = np.mean([run.params for run in runs], axis=0)
        made.log[-1]["check"] = self.check(params)
        made.kept[0] = dataclasses.replace(made.now(made.log[-1]["check"]), params=params)
        return made

    def check(self, params: Array) -> float:
        """The dreamed return of C, on the same starts and noise each time."""
        seed = 1_000_000 * (self.config.seed + 1) - 1
        return float(self.dreams(params[None], self.pool.draw(CHECK, 0), seed).fitness[0])

    def finished(self, run: Evolution) -> bool:
        """After so many generations."""
        return run.strategy.generation >= self.config.generations

    def generation(self, run: Evolution) -> dict[str, Any]:
        """The population in its dreams, then perhaps a check of the mean."""
        number, row = run.strategy.generation, {}
        # Sums, because a seed is one number: generations are fewer than a million, and the check's is none of theirs.
        seed = 1_000_000 * (self.config.seed + 1) + number
        dreamed = self.dreams(run.strategy.ask(), self.pool.draw(self.config.episodes, seed), seed)
        run.strategy.tell(dreamed.fitness)
        run.steps += int(dreamed.lengths.sum())
        if self.finished(run) or (number + 1) % EVERY == 0:
            row["check"] = self.check(run.params)
        fitness = dreamed.fitness
        return {
            "search": 0, "generation": number, "best": float(fitness.max()), "mean": float(fitness.mean()), "steps": float(dreamed.lengths.mean()),
            "sigma": run.strategy.sigma, "dreamed_steps": run.steps, **row,
        }  # fmt: skip

    def line(self, row: Mapping[str, Any]) -> str:
        """A row of the log as a line."""
        return (
            f"generation {row['generation'] + 1:4} of {self.config.generations}  dreamed: population {row['mean']:7.1f}, best {row['best']:7.1f}, {row['steps']:5.1f} steps  "
            f"mean controller {row['check']:7.1f}  {row['dreamed_steps'] / max(row['seconds'], 0.01):,.0f} steps/s  {row['seconds']:.0f} s"
        )
