"""Evolution strategies behind two methods: `ask() -> population (P, n)`, `tell(fitness (P,))`; higher is better, NaN is the worst.

None needs a gradient of what it climbs, and all see fitness through its order only. What generation number g draws comes from (seed, g)
alone, and the state between two generations is a few plain arrays: the same seed gives the same result, and a search that was stopped goes
on to the same bits. Built in chapter 5, from hill climbing to CMA-ES.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError

Array = NDArray[np.float64]
State = dict[str, NDArray[Any]]
BETAS, EPSILON = (0.9, 0.999), 1e-8


def checked(fitness: Any, popsize: int) -> Array:
    """Fitness as floats (P,), NaN as minus infinity.

    Raises:
        InputError: if its shape is not (P,).
    """
    values = np.array(fitness, dtype=np.float64)
    if values.shape != (popsize,):
        raise InputError(
            f"Fitness of shape {values.shape} was told to a strategy that asked for {popsize}; expected ({popsize},)."
        )
    values[np.isnan(values)] = -np.inf
    return values


def tells_nothing(fitness: Array) -> bool:
    """Whether all are equal, or none is finite: the order of a population is then no news, and to follow it is to walk off at random, with growing steps."""
    return fitness.min() == fitness.max() or not np.isfinite(fitness).any()


def best_first(fitness: Array) -> NDArray[np.int64]:
    """Who is best, second, ...; equals in the order of the population."""
    return np.argsort(-fitness, kind="stable")


def centred_ranks(fitness: Array) -> Array:
    """Fitness (P,) by its order alone: from -1/2 for the worst to 1/2 for the best; equals share their mean."""
    _, inverse, counts = np.unique(fitness, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[inverse] / (len(fitness) - 1) - 0.5)


def log_weights(mu: int) -> Array:
    """Weights of the mu best, falling with the logarithm of the rank; they add up to 1."""
    weights = math.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
    return np.asarray(weights / weights.sum())


@dataclass(eq=False, repr=False)
class Strategy:
    """What every strategy has: a mean, a spread, a seed, and a state that can be kept. Asks for N(mean, sigma^2).

    Attributes:
        params: (n,), where it begins.
        seed: of all that it draws.
        sigma: spread of a parameter around the mean, now (the root mean square over parameters, where they differ).
        popsize: P, even, at least 4.
        generation: how often it was told.
        mean: (n,), the point that it reports: never the luckiest of a population.
    """

    params: InitVar[Any]
    _: KW_ONLY
    seed: int = 0
    sigma: float = 0.1
    popsize: int = 64

    parts: ClassVar[tuple[str, ...]] = ()
    """What else belongs to the state."""

    def __post_init__(self, params: Any) -> None:
        """Looks at what was given.

        Raises:
            InputError: if a number is not as it must be.
        """
        self.mean: Array = np.array(params, dtype=np.float64)
        if self.mean.ndim != 1 or not self.mean.size or not np.isfinite(self.mean).all():
            raise InputError(
                f"The first parameters have shape {self.mean.shape}; expected one row of finite numbers."
            )
        if self.popsize < 4 or self.popsize % 2:
            raise InputError(
                f"A population of {self.popsize} was asked for; expected an even number of at least 4."
            )
        if not (math.isfinite(self.sigma) and self.sigma > 0) or not self.seed >= 0:
            raise InputError(
                f"sigma {self.sigma} and seed {self.seed} were given; expected a sigma above 0 and a seed of at least 0."
            )
        self.sigma, self.generation = float(self.sigma), 0

    def draw(self, rows: int) -> Array:
        """Standard normal numbers (rows, n) of this generation: the same, however often they are drawn."""
        return np.random.default_rng([self.seed, self.generation]).standard_normal(
            (rows, self.mean.size)
        )

    def ask(self) -> Array:
        """The population of this generation, (P, n); the same, however often it is asked for."""
        return self.mean + self.sigma * self.draw(self.popsize)

    def tell(self, fitness: Any) -> None:
        """Moves on, given the fitness (P,) of the population; stays where it is, with its spread, if that tells nothing: all are equal, or none is finite."""
        values = checked(fitness, self.popsize)
        if not tells_nothing(values):
            self._move(values)
        self.generation += 1

    def _move(self, fitness: Array) -> None:
        raise NotImplementedError

    def state(self) -> State:
        """All there is to it between two generations, as plain arrays."""
        return {
            name: np.array(getattr(self, name))
            for name in ("generation", "mean", "sigma", *self.parts)
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state of a strategy with the same settings.

        Raises:
            InputError: if it is of another strategy, or of another size.
        """
        wanted = self.state()
        for name, array in wanted.items():
            if name not in state or np.shape(state[name]) != array.shape:
                raise InputError(
                    f"This state has no '{name}' of shape {array.shape}: it is of another strategy, or of another size."
                )
        for name, array in wanted.items():
            value = np.array(state[name], dtype=array.dtype)
            setattr(self, name, value if value.ndim else value.item())


@dataclass(eq=False, repr=False, kw_only=True)
class HillClimber(Strategy):
    """Keeps the parent until a child is better on the same episodes; row 0 of the population is the parent itself.

    Attributes:
        adapt: whether sigma grows after a success and shrinks after a failure, so that about one generation in five succeeds.
    """

    adapt: bool = True

    def ask(self) -> Array:
        """The parent and its children, (P, n)."""
        return np.vstack([self.mean, self.mean + self.sigma * self.draw(self.popsize - 1)])

    def _move(self, fitness: Array) -> None:
        """Moves to the best child if it is better than the parent."""
        population, best = self.ask(), int(best_first(fitness)[0])
        if self.adapt:
            self.sigma *= math.exp(0.2 if best else -0.05)
        self.mean = population[best]


@dataclass(eq=False, repr=False, kw_only=True)
class _Best(Strategy):
    """What follows the best of a population: mu of them, a share `elite_rate`."""

    elite_rate: float = 0.2

    def __post_init__(self, params: Any) -> None:
        super().__post_init__(params)
        if not 0 < self.elite_rate <= 1:
            raise InputError(
                f"The elite_rate is {self.elite_rate}; expected a share above 0, at most 1."
            )
        self.mu = max(1, int(self.popsize * self.elite_rate))


@dataclass(eq=False, repr=False, kw_only=True)
class Elites(_Best):
    """The report's strategy: the mean of the best fifth of N(mean, sigma^2) is the next mean.

    As reported, sigma never changes and every elite counts the same. Repaired, the better count more, and sigma follows the path that the mean
    has gone: steps that point the same way lengthen the path and sigma, steps that cancel out shorten both. That is CMA-ES without its covariance.
    """

    parts = ("path",)
    as_reported: bool = False

    def __post_init__(self, params: Any) -> None:
        """Begins with no path."""
        super().__post_init__(params)
        self.path = np.zeros_like(self.mean)

    def _move(self, fitness: Array) -> None:
        """Averages the elites."""
        steps = self.draw(self.popsize)[best_first(fitness)[: self.mu]]
        weights = np.full(self.mu, 1 / self.mu) if self.as_reported else log_weights(self.mu)
        self.mean = self.mean + self.sigma * (weights @ steps)
        if not self.as_reported:
            self._adapt(weights @ steps, 1 / float(np.sum(weights**2)))

    def _adapt(self, step: Array, mueff: float) -> None:
        """Path and sigma after a step of the mean, (n,), in units of sigma: under no selection it is N(0, 1 / mueff)."""
        n = self.mean.size
        c = (mueff + 2) / (n + mueff + 5)
        damping = 1 + c + 2 * max(0.0, math.sqrt((mueff - 1) / (n + 1)) - 1)
        self.path = (1 - c) * self.path + math.sqrt(c * (2 - c) * mueff) * step
        expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
        self.sigma *= math.exp(c / damping * (float(np.linalg.norm(self.path)) / expected - 1))


@dataclass(eq=False, repr=False, kw_only=True)
class CEM(_Best):
    """The cross-entropy method: the next mean and standard deviations are those of the elites, with some extra spread that fades.

    Without the extra, the standard deviations die out long before the top is reached (Szita and Lorincz, 2006).

    Attributes:
        extra: spread that is added, given in units of sigma and kept in those of the parameters.
        fade: what is left of it from one generation to the next.
    """

    parts = ("std",)
    extra: float = 0.5
    fade: float = 0.98

    def __post_init__(self, params: Any) -> None:
        """Begins with the same spread for all."""
        super().__post_init__(params)
        if not self.extra >= 0 or not 0 <= self.fade <= 1:
            raise InputError(
                f"extra {self.extra} and fade {self.fade} were given; expected at least 0, and 0 to 1."
            )
        self.extra, self.std = self.extra * self.sigma, np.full_like(self.mean, self.sigma)

    def ask(self) -> Array:
        """The population, (P, n)."""
        return self.mean + self.std * self.draw(self.popsize)

    def _move(self, fitness: Array) -> None:
        """Mean and spread of the elites."""
        elites = self.ask()[best_first(fitness)[: self.mu]]
        self.mean = elites.mean(axis=0)
        self.std = np.sqrt(elites.var(axis=0) + (self.extra * self.fade**self.generation) ** 2)
        self.sigma = float(np.sqrt(np.mean(self.std**2)))


@dataclass(eq=False, repr=False, kw_only=True)
class OpenAIES(Strategy):
    """Estimates the gradient of the mean fitness around the mean from antithetic pairs and centred ranks, and climbs it with Adam.

    Salimans et al. (2017): rows i and i + P/2 of the population are mean + sigma eps and mean - sigma eps. sigma stays.
    """

    parts = ("first", "second")
    sigma: float = 0.02
    learning_rate: float = 0.01
    weight_decay: float = 0.0

    def __post_init__(self, params: Any) -> None:
        """Begins with empty moments."""
        super().__post_init__(params)
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise InputError(
                f"learning_rate {self.learning_rate} and weight_decay {self.weight_decay} were given; expected above 0, and at least 0."
            )
        self.first, self.second = np.zeros_like(self.mean), np.zeros_like(self.mean)

    def ask(self) -> Array:
        """The population, (P, n): one half mirrored in the other."""
        step = self.sigma * self.draw(self.popsize // 2)
        return np.concatenate([self.mean + step, self.mean - step])

    def gradient(self, fitness: Any) -> Array:
        """The estimate (n,) of the gradient: the sum of centred rank times eps, over P sigma."""
        ranks, half = centred_ranks(checked(fitness, self.popsize)), self.popsize // 2
        return np.asarray(
            (ranks[:half] - ranks[half:]) @ self.draw(half) / (self.popsize * self.sigma)
        )

    def _move(self, fitness: Array) -> None:
        """One step of Adam up the gradient, less the weight decay."""
        up, n = self.gradient(fitness) - self.weight_decay * self.mean, self.generation + 1
        self.first = BETAS[0] * self.first + (1 - BETAS[0]) * up
        self.second = BETAS[1] * self.second + (1 - BETAS[1]) * up**2
        rate = self.learning_rate * math.sqrt(1 - BETAS[1] ** n) / (1 - BETAS[0] ** n)
        self.mean = self.mean + rate * self.first / (np.sqrt(self.second) + EPSILON)


@dataclass(eq=False, repr=False, kw_only=True)
class CMAES(Strategy):
    """CMA-ES as its inventor's `pycma` does it: full covariance, or its diagonal alone (`separable`) for thousands of parameters.

    pycma is told ranks, so that nothing but the order of fitness can matter, and draws from a generator made afresh for each generation. Its state
    is what it was told: to restore one is to tell it all again, which gives the same bits and takes as long as asking and telling did.
    """

    separable: bool = False

    def __post_init__(self, params: Any) -> None:
        """Begins a search of pycma's."""
        super().__post_init__(params)
        self._first = self.mean, self.sigma
        self._restart()

    def _restart(self) -> None:
        self.generation, self.told = 0, np.zeros((0, self.popsize))
        self._rng = np.random.default_rng([self.seed, 0])
        import cma  # brings matplotlib and SciPy along where they are installed: only who asks for CMA-ES waits for them

        options = {
            "popsize": self.popsize, "CMA_diagonal": self.separable, "seed": np.nan, "maxiter": np.inf,
            "randn": lambda *shape: self._rng.standard_normal(shape), "verbose": -10, "verb_log": 0, "verb_disp": 0,
        }  # fmt: skip
        self._search = cma.CMAEvolutionStrategy(*self._first, options)
        self._asked: Array | None = None
        self._read()

    def _read(self) -> None:
        self.mean = np.array(self._search.mean)
        self.sigma = float(np.sqrt(np.mean(np.square(self._search.stds))))

    def ask(self) -> Array:
        """The population, (P, n)."""
        if self._asked is None:
            self._rng = np.random.default_rng([self.seed, self.generation])
            self._asked = np.array(self._search.ask())
        return self._asked.copy()

    def tell(self, fitness: Any) -> None:
        """Mean, step size and covariance follow the ranks, where there are any."""
        values, population = checked(fitness, self.popsize), self.ask()
        ranks = np.zeros(self.popsize) if tells_nothing(values) else centred_ranks(values)
        if ranks.any():
            self._search.tell(list(population), (-ranks).tolist())  # it descends
        self.told, self._asked = np.vstack([self.told, ranks]), None
        self.generation += 1
        self._read()

    def state(self) -> State:
        """The ranks that it was told, (generations, P)."""
        return {"told": self.told.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Tells it all again.

        Raises:
            InputError: if it is of another strategy, or of another size.
        """
        told = np.asarray(state.get("told", 0.0), dtype=np.float64)
        if told.ndim != 2 or told.shape[1] != self.popsize:
            raise InputError(
                f"This state has no 'told' of shape (generations, {self.popsize}): it is of another strategy, or of another size."
            )
        self._restart()
        for ranks in told:
            self.tell(ranks)


STRATEGIES: dict[str, tuple[Callable[..., Strategy], dict[str, Any]]] = {
    "hill-climber": (HillClimber, {}), "elites-reported": (Elites, {"as_reported": True}), "elites": (Elites, {}), "cem": (CEM, {}),
    "openai-es": (OpenAIES, {}), "cma-es": (CMAES, {}), "sep-cma-es": (CMAES, {"separable": True}),
}  # fmt: skip


def make(name: str, params: Any, seed: int = 0, **settings: Any) -> Strategy:
    """The strategy of that name, beginning at params (n,).

    Raises:
        InputError: if there is none, or it has no such setting.
    """
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"There is no strategy '{name}'; there are: {', '.join(STRATEGIES)}.{hint}"
        )
    kind, fixed = STRATEGIES[name]
    known = [
        key for key in inspect.signature(kind).parameters if key not in ("params", "seed", *fixed)
    ]
    if unknown := [key for key in settings if key not in known]:
        raise InputError(
            f"The strategy '{name}' has no setting '{unknown[0]}'; it has: {', '.join(known)}."
        )
    return kind(params, seed=seed, **fixed, **settings)
