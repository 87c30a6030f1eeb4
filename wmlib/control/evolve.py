"""One loop that evolves C, whatever says how good a candidate is: real episodes (`RealFitness`), or dreams (`wmlib.dream.fitness`).

A generation asks the strategy for a population, asks the fitness about it, and tells the strategy. What is reported is the strategy's
mean, never the luckiest of a population. The whole state of a search is one checkpoint; threads and kills change no bit. On the real body
every generation plays its whole population on the same few episodes, the next one on fresh ones; observations are standardised with what all
training episodes have shown so far, frozen within a generation (Mania et al., 2018); now and then the mean is checked on selection seeds, and
the mean of the best check is C. Every real step counts, those of the checks too. Built in chapter 5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.config import EvolveConfig, SearchConfig
from wmlib.control import strategies
from wmlib.control.controller import Controller, Linear
from wmlib.control.population import Moments, evaluate_population
from wmlib.errors import InputError
from wmlib.real import body as bodies
from wmlib.real.body import Array
from wmlib.real.workers import Workers
from wmlib.seeds import SELECTION_SEEDS, TRAINING_SEEDS, run_seeds

CHECKPOINT = "checkpoint.safetensors"
NEAR = 1.5
"""How much more than the last generation the next one may take."""
ARRAYS, PLAIN = ("params", "mean", "std"), ("steps", "generation", "checked")


@dataclass(frozen=True)
class Kept:
    """C as it would be reported at a budget: weights and normalisation, the steps spent by then, the return at its check."""

    params: Array
    mean: Array
    std: Array
    steps: int
    generation: int
    checked: float | None

    def controller(self, linear: Linear) -> Controller:
        """The controller itself."""
        return Controller(linear.normalised(self.mean, self.std), self.params)


@dataclass
class Evolution:
    """A search under way, or done.

    Attributes:
        linear: the shape of C.
        strategy: where the search stands.
        log: one row a generation: `generation`, `seconds`; of the population `best` and `mean` return and mean `steps`; `sigma`; steps so far
            (`real_steps` or `dreamed_steps`); `check`, the mean's return, where it was taken.
        steps: taken so far: real ones, or dreamed ones.
        moments: of the features of all training episodes, where they are counted.
        kept: budget -> C as it would be reported there; empty in a dream, where the mean is C.
        best: C of the best check so far, where checks choose.
    """

    linear: Linear
    strategy: strategies.Strategy
    log: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    moments: Moments = field(default_factory=lambda: Moments(0.0, np.zeros(0), np.zeros(0)))
    kept: dict[int, Kept] = field(default_factory=dict)
    best: Kept | None = None

    def now(self, checked: float | None = None) -> Kept:
        """C as the mean is now."""
        return Kept(
            self.strategy.mean.copy(),
            self.linear.mean,
            self.linear.std,
            self.steps,
            self.strategy.generation,
            checked,
        )

    @property
    def chosen(self) -> Kept:
        """C: at the last budget, or the mean."""
        return self.kept[max(self.kept)] if self.kept else self.now()

    @property
    def params(self) -> Array:
        """C's weights, (n_params,)."""
        return self.chosen.params

    @property
    def controller(self) -> Controller:
        """C."""
        return self.chosen.controller(self.linear)

    @property
    def fingerprint(self) -> str:
        """sha256 over all of it but the seconds."""
        arrays, about = self.state()
        log = [{k: v for k, v in row.items() if k not in storage.SPENT} for row in self.log]
        return storage.fingerprint(arrays, {**about, "log": log})

    def state(self) -> tuple[storage.Arrays, dict[str, Any]]:
        """Everything there is to a search, as arrays and plain values."""
        parts: dict[str, Mapping[str, Any]] = {
            "strategy": self.strategy.state(),
            "moments": self.moments._asdict(),
            "linear": {"mean": self.linear.mean, "std": self.linear.std},
        }
        kept = {str(budget): kept for budget, kept in self.kept.items()}
        if self.best is not None:
            kept["best"] = self.best
        for name, one in kept.items():
            parts[f"kept {name}"] = {key: getattr(one, key) for key in ARRAYS}
        about = {name: {key: getattr(one, key) for key in PLAIN} for name, one in kept.items()}
        arrays = {
            f"{part}/{key}": np.asarray(value)
            for part, values in parts.items()
            for key, value in values.items()
        }
        return arrays, {"steps": self.steps, "log": self.log, "kept": about}

    def restore(self, parts: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        self.strategy.restore(parts["strategy"])
        n, mean, squares = (parts["moments"][key] for key in Moments._fields)
        self.moments = Moments(float(n), mean, squares)
        self.linear = self.linear.normalised(**parts["linear"])
        self.log, self.steps = about["log"], about["steps"]
        kept = {
            name: Kept(**parts[f"kept {name}"], **values) for name, values in about["kept"].items()
        }
        self.best = kept.pop("best", None)
        self.kept = {int(budget): value for budget, value in kept.items()}


class Fitness(ABC):
    """What a search asks how good a population is, and when it is done. It keeps nothing of the search: that is in its `Evolution`.

    Attributes:
        config: what to do; names strategy, settings and seed.
        linear: the shape of C.
        params: where C begins.
        checkpoint_every: generations between checkpoints.
    """

    config: SearchConfig | EvolveConfig
    linear: Linear
    params: Array
    checkpoint_every: int

    def begin(self) -> Evolution:
        """A search that has not taken a step.

        Raises:
            InputError: if there is no such strategy, or a setting of it is wrong.
        """
        config = self.config
        settings = dict(config.settings)
        strategy = strategies.make(config.strategy, self.params, config.seed, **settings)
        zeros = np.zeros(self.linear.n_features)
        return Evolution(self.linear, strategy, moments=Moments(0.0, zeros, zeros))

    @property
    def origin(self) -> str:
        """Fingerprint of what a search starts from besides its settings."""
        return ""

    def searches(self) -> Sequence[Fitness]:
        """Independent searches whose mean is C: usually this one alone."""
        return [self]

    def together(self, runs: list[Evolution]) -> Evolution:
        """Those searches as one."""
        return runs[0]

    @abstractmethod
    def finished(self, run: Evolution) -> bool:
        """Whether the search is done."""

    @abstractmethod
    def generation(self, run: Evolution) -> dict[str, Any]:
        """One generation: asks, plays or dreams, tells. Returns its row of the log."""

    @abstractmethod
    def line(self, row: Mapping[str, Any]) -> str:
        """A row of the log as a line."""


def evolve(
    fitness: Fitness,
    *,
    folder: Path | None = None,
    checkpoint_every: int | None = None,
    say: Callable[[str], None] | None = print,
) -> Evolution:
    """Evolves C until its steps or generations are spent.

    Args:
        fitness: what is climbed, and by which strategy.
        folder: where to keep checkpoints; a search that is there already is gone on with, to the same bits.
        checkpoint_every: generations between them; by default the fitness says so.
        say: gets a line at each check; None for silence.

    Raises:
        InputError: if a number or a name is wrong, or the folder holds another search.
    """
    several = fitness.searches()
    if len(several) > 1:
        folders = [folder and folder / f"search-{k}" for k in range(len(several))]
        runs = [evolve(one, folder=at, say=say) for one, at in zip(several, folders, strict=True)]
        return fitness.together(runs)
    run, about = fitness.begin(), {"search": fitness.config.about(), "of": fitness.origin}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _resume(folder, about, run)
    every = checkpoint_every or fitness.checkpoint_every
    clock = storage.Clock(run.log[-1] if run.log else None)
    while not fitness.finished(run):
        row = fitness.generation(run)
        run.log.append({**row, **clock.read()})
        if folder is not None and (run.strategy.generation % every == 0 or fitness.finished(run)):
            arrays, state = run.state()
            storage.write_checkpoint(folder / CHECKPOINT, arrays, {**about, **state})
        if say is not None and "check" in row:
            say(fitness.line(run.log[-1]))
    return run


def _resume(folder: Path, about: Mapping[str, Any], run: Evolution) -> None:
    """Takes up the search that a folder holds, if any.

    Raises:
        InputError: if it is damaged, or another one.
    """
    if (there := storage.checkpoint(folder, CHECKPOINT)) is None:
        return
    found, parts = there
    if found.get("search") != about["search"]:
        raise InputError(
            f"{folder} holds a search with {storage.difference(found.get('search'), about['search'])}. Give the same settings to go on with it, or another --out."
        )
    if found.get("of") != about["of"]:
        raise InputError(
            f"{folder} holds a search in another model, from other data or another C. Give the same to go on with it, or another --out."
        )
    run.restore(parts, found)


class RealFitness(Fitness):
    """Real returns: every candidate plays the same fresh episodes. C is kept at each budget of real steps."""

    checkpoint_every = 5

    def __init__(self, search: SearchConfig, workers: Workers | int | None = None) -> None:
        """Looks at the settings.

        Args:
            search: what to do.
            workers: who plays, or how many threads do, every core by default; changes no number.

        Raises:
            InputError: if a number or a name is not as it must be.
        """
        self.config: SearchConfig = search
        self.workers = workers
        self.linear = Linear(bodies.get(search.body), search.features)
        self.linear.select(np.zeros(self.linear.body.obs_dim))
        self.params = np.zeros(self.linear.n_params)

    def finished(self, run: Evolution) -> bool:
        """When the last budget is passed."""
        return self.config.steps in run.kept

    def generation(self, run: Evolution) -> dict[str, Any]:
        """Perhaps a check, then the population on fresh seeds."""
        search, number, row = self.config, run.strategy.generation, {}
        if search.normalise and run.moments.n:
            run.linear = run.linear.normalised(run.moments.mean, run.moments.std)
        due = (number + 1) % search.check_every == 0 or self._near(run)
        if search.check_episodes and due:
            row["check"] = self._check(run)
        every = run_seeds(TRAINING_SEEDS, search.seed)
        seeds = [every[(number * search.episodes + k) % len(every)] for k in range(search.episodes)]
        played = evaluate_population(
            run.linear,
            run.strategy.ask(),
            seeds,
            max_steps=search.max_steps,
            see=search.normalise,
            workers=self.workers,
        )
        self._spend(run, played.real_steps)
        for moments in played.seen:
            run.moments = run.moments.merged(moments)
        run.strategy.tell(played.fitness(search.healthy_weight))
        returns = played.returns.mean(axis=1)
        return {
            "generation": number, "real_steps": run.steps, "spent": played.real_steps, "best": float(returns.max()), "mean": float(returns.mean()),
            "steps": float(played.lengths.mean()), "sigma": run.strategy.sigma, **row,
        }  # fmt: skip

    def _spend(self, run: Evolution, steps: int) -> None:
        """Counts real steps, before what they showed is used: at each budget that they cross, C is kept as it was."""
        for budget in self.config.all_budgets:
            if budget not in run.kept and run.steps + steps > budget:
                run.kept[budget] = run.best or run.now()
        run.steps += steps

    def _check(self, run: Evolution) -> float:
        """The mean's return on selection seeds; the best so far is kept."""
        seeds = run_seeds(SELECTION_SEEDS, self.config.seed)[: self.config.check_episodes]
        played = evaluate_population(run.linear, run.strategy.mean, seeds, workers=self.workers)
        self._spend(run, played.real_steps)
        value = float(played.returns.mean())
        if run.best is None or run.best.checked is None or value > run.best.checked:
            run.best = run.now(value)
        return value

    def _near(self, run: Evolution) -> bool:
        """Whether the next generation and a check after it may cross a budget."""
        last = run.log[-1] if run.log else {"spent": 0.0, "steps": 0.0}
        ahead = NEAR * (last["spent"] + self.config.check_episodes * last["steps"])
        left = [budget - run.steps for budget in self.config.all_budgets if budget not in run.kept]
        return any(steps <= ahead for steps in left)

    def line(self, row: Mapping[str, Any]) -> str:
        """A row of the log as a line."""
        return (
            f"generation {row['generation']:4}  {row['real_steps']:9,} of {self.config.steps:,} real steps  population: mean {row['mean']:7.1f}, best {row['best']:7.1f}, "
            f"{row['steps']:6.1f} steps  mean controller {row.get('check', float('nan')):7.1f}  {row['seconds']:.0f} s"
        )


def train(
    search: SearchConfig,
    out: str | Path,
    *,
    workers: Workers | int | None = None,
    command: str = "",
    say: Callable[[str], None] = print,
) -> Controller:
    """Evolves C on the real body in `OUT.run/`, resuming what is there, and writes it to `out`; C at an earlier budget goes to `OUT-BUDGET`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    fitness = RealFitness(search, workers)
    fitness.begin()
    places = {
        budget: storage.place(out, "" if budget == search.steps else f"-{budget}")
        for budget in search.all_budgets
    }
    if not (storage.place(out, ".run") / CHECKPOINT).exists():
        storage.refuse_taken(*places.values())
    with storage.run_folder(out) as folder:
        run = evolve(fitness, folder=folder, say=say)
        for budget, place in places.items():
            if place.exists():  # written before a kill
                continue
            kept = run.kept[budget]
            log = [row for row in run.log if row["real_steps"] <= budget]
            facts: dict[str, Any] = {
                "seed": search.seed,
                "budget": budget,
                "real_steps": kept.steps,
                "checked": kept.checked,
                "command": command,
                "search": search.about(),
            }
            kept.controller(run.linear).save(
                place,
                **{name: log[-1][name] if log else 0.0 for name in storage.SPENT},
                log=log,
                **facts,
            )
    return run.controller
