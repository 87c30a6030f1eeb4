"""`python -m tools matters [FACTOR LEVEL SEED | --all | --list]`: the rows of chapter 14, one factor changed at a time.

A row is one level of one factor with one training seed, beside the reference that its line names; all rows of a seed share the real steps that nothing
in their settings forbids to share, and the episodes that they are judged on. Judged on selection episodes: these rows choose, they report nothing.
`--all` makes what is missing in one process; one row alone comes out the same. What a row needs is made anew from its settings: there is no cache on disk.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import stages, storage
from wmlib.config import (
    DreamConfig,
    EnsembleConfig,
    EvolveConfig,
    MDNRNNConfig,
    TrainConfig,
    VAEConfig,
)
from wmlib.control.agent import Agent
from wmlib.control.controller import Controller
from wmlib.control.evolve import evolve
from wmlib.dream.fitness import DreamFitness, linear_for
from wmlib.errors import InputError
from wmlib.models import metrics
from wmlib.models.ensemble import Ensemble
from wmlib.models.vae import VAE
from wmlib.models.world import WorldModel
from wmlib.real import body as bodies
from wmlib.real import evaluate
from wmlib.real.episodes import Episodes, gather
from wmlib.real.policies import POLICIES
from wmlib.real.rollout import rollout
from wmlib.seeds import SELECTION_SEEDS, run_seeds

RESULTS = Path(__file__).resolve().parent.parent / "data/results"
BODY = "humanoid"
SEEDS = (0, 1, 2, 3, 4)
JUDGED = 60
"""Selection episodes behind a real return."""
HELD, HELD_FROM = 64, 50_000
"""Episodes that models are measured on, from this place in the run's block of selection seeds."""
AHEAD = (1, 10, 25)
"""Steps ahead at which the error is kept."""


@dataclass(frozen=True)
class Setup:
    """Everything that a row depends on but its seed. The defaults are the reference."""

    # the real steps
    policy: str = "mixed"
    steps: int = 10_000
    # the model: an ensemble, or a world (V and M)
    model: str = "ensemble"
    members: int = 5
    hidden: int = 128
    epochs: int = 30
    # V
    view: str = "physics"
    z_dim: int = 32
    beta: float = 0.003
    kl_floor: float = 0.0
    v_epochs: int = 15
    # M
    h_dim: int = 64
    n_mix: int = 5
    joint: bool = False
    own_steps: int = 0
    m_epochs: int = 16
    learning_rate: float = 1e-3
    # the dream, and C
    tau: float = 0.8
    horizon: int = 100
    strategy: str = "openai-es"
    elite_rate: float | None = None
    sigma: float | None = None
    generations: int = 40
    popsize: int = 32
    episodes: int = 8
    judged: int = JUDGED

    def learned(self) -> Setup:
        """The same model with the dream and C as in the reference: what two rows must agree in to share it."""
        start = Setup()
        fields = (
            "tau",
            "horizon",
            "strategy",
            "elite_rate",
            "sigma",
            "generations",
            "popsize",
            "episodes",
            "judged",
        )
        return dataclasses.replace(self, **{name: getattr(start, name) for name in fields})

    def seen(self) -> Setup:
        """The same V, whatever M is."""
        start = Setup()
        fields = (
            "model",
            "members",
            "hidden",
            "epochs",
            "h_dim",
            "n_mix",
            "joint",
            "own_steps",
            "m_epochs",
        )
        return dataclasses.replace(
            self.learned(), **{name: getattr(start, name) for name in fields}
        )


@dataclass(frozen=True)
class Factor:
    """One thing that is changed.

    Attributes:
        against: the reference, a name in `REFERENCES`.
        was: its level there.
        levels: the other levels, and what they change.
    """

    against: str
    was: str
    levels: Mapping[str, Mapping[str, Any]]


REFERENCES: dict[str, dict[str, Any]] = {
    "ensemble": {},
    "V and M": {"model": "world"},
    "elites": {"strategy": "elites"},
    "CEM": {"strategy": "cem"},
}
RETURN = {  # the most important first
    "strategy": Factor(
        "ensemble",
        "OpenAI-ES",
        {
            "CEM": {"strategy": "cem"},
            "elites": {"strategy": "elites"},
            "elites, as reported": {"strategy": "elites-reported"},
        },
    ),
    "model": Factor(
        "ensemble", "five networks", {"one network": {"members": 1}, "V and M": {"model": "world"}}
    ),
    "temperature": Factor(
        "ensemble", "0.8", {"0": {"tau": 0.0}, "0.4": {"tau": 0.4}, "1.3": {"tau": 1.3}}
    ),
    "gathering": Factor(
        "ensemble",
        "mixed",
        {"random actions": {"policy": "random"}, "random weights": {"policy": "weights"}},
    ),
    "horizon": Factor("ensemble", "100", {"50": {"horizon": 50}, "200": {"horizon": 200}}),
    "z_dim": Factor("V and M", "32", {"8": {"z_dim": 8}, "16": {"z_dim": 16}}),
    "elite rate": Factor("elites", "0.2", {"0.1": {"elite_rate": 0.1}, "0.5": {"elite_rate": 0.5}}),
    "step size, elites": Factor(
        "elites", "0.1", {"0.02": {"sigma": 0.02}}
    ),  # OpenAI-ES's own: to change the strategy is to change this too
    "step size, CEM": Factor("CEM", "0.1", {"0.02": {"sigma": 0.02}}),
}
MODEL = {
    "beta": Factor("V and M", "0.003", {"0.0003": {"beta": 0.0003}, "0.03": {"beta": 0.03}}),
    "z_dim, model": Factor("V and M", "32", {"8": {"z_dim": 8}, "16": {"z_dim": 16}}),
    "own steps": Factor("V and M", "0 (teacher forcing)", {"8": {"own_steps": 8}}),
    "mixture": Factor("V and M", "one for each number", {"joint": {"joint": True}}),
    "components": Factor("V and M", "5", {"1": {"n_mix": 1}, "10": {"n_mix": 10}}),
    "h_dim": Factor("V and M", "64", {"16": {"h_dim": 16}, "128": {"h_dim": 128}}),
    "epochs": Factor(
        "V and M",
        "15 and 16",
        {"5 and 5": {"v_epochs": 5, "m_epochs": 5}, "30 and 32": {"v_epochs": 30, "m_epochs": 32}},
    ),
    "learning rate": Factor(
        "V and M", "0.001", {"0.0003": {"learning_rate": 3e-4}, "0.003": {"learning_rate": 3e-3}}
    ),
    "data": Factor(
        "V and M",
        "10,000 steps",
        {"2,500 steps": {"steps": 2_500}, "20,000 steps": {"steps": 20_000}},
    ),
    "free bits": Factor("V and M", "0", {"0.5": {"kl_floor": 0.5}}),
    "view": Factor("V and M", "physics", {"full": {"view": "full"}}),
}
FILES = {
    "return": (RESULTS / "matters-return.csv", RETURN),
    "model": (RESULTS / "matters-model.csv", MODEL),
}
REFERENCE = "reference"
KEYS = ("factor", "level", "seed")
FIELDS = {
    "return": (
        *KEYS,
        "against",
        "was",
        "mean_return",
        "mean_steps",
        "dreamed",
        "real_steps",
        "episodes",
        "seconds",
        "command",
    ),
    "model": (
        *KEYS,
        "against",
        "was",
        "r2_qpos",
        "r2_qvel",
        "ahead_1",
        "ahead_10",
        "ahead_25",
        "real_steps",
        "episodes",
        "seconds",
        "command",
    ),
}


def plan(kind: str) -> dict[tuple[str, str], Setup]:
    """Of every row (factor, level) of a kind, its settings; the references come when they are first needed."""
    made: dict[tuple[str, str], Setup] = {}
    for name, factor in FILES[kind][1].items():
        reference = Setup(**REFERENCES[factor.against])
        made.setdefault((REFERENCE, factor.against), reference)
        for level, changes in factor.levels.items():
            made[name, level] = dataclasses.replace(reference, **changes)
    return made


def kind_of(factor: str, level: str) -> str:
    """Whether a row is one of `return` or of `model`; references stand in both, the ensembles' and the elites' in `return` alone."""
    for kind in FILES:
        if (factor, level) in plan(kind):
            return kind
    raise InputError(
        f"There is no level '{level}' of a factor '{factor}'. `python -m tools matters --list` names them."
    )


@functools.cache
def experience(policy: str, steps: int, seed: int) -> Episodes:
    """Real steps of a training seed: those of a smaller number are the first of a larger one."""
    return gather(bodies.get(BODY), policy, steps, seed)


@functools.cache
def held(seed: int) -> Episodes:
    """Episodes that nothing was trained on, with full observations."""
    body = bodies.get(BODY)
    seeds = run_seeds(SELECTION_SEEDS, seed)[HELD_FROM : HELD_FROM + HELD]
    return Episodes.of(body, rollout(body, POLICIES["mixed"](body), seeds))


@functools.cache
def seeing(setup: Setup, seed: int) -> VAE:
    """V."""
    recipe = TrainConfig(
        setup.v_epochs, 256, 2 * setup.learning_rate, setup.learning_rate / 10, seed=seed, jit=False
    )
    config = VAEConfig(setup.view, setup.z_dim, beta=setup.beta, kl_floor=setup.kl_floor)
    return stages.fit_vae(experience(setup.policy, setup.steps, seed), config, recipe, say=None)[0]


@functools.cache
def learned(setup: Setup, seed: int) -> WorldModel | Ensemble:
    """The model."""
    data = experience(setup.policy, setup.steps, seed)
    if setup.model == "ensemble":
        recipe = TrainConfig(
            setup.epochs, 256, setup.learning_rate, setup.learning_rate / 10, seed=seed, jit=False
        )
        return stages.fit_ensemble(
            data, EnsembleConfig(setup.members, setup.hidden), recipe, say=None
        )[0]
    recipe = TrainConfig(
        setup.m_epochs, 16, setup.learning_rate, setup.learning_rate / 10, seed=seed, jit=False
    )
    config = MDNRNNConfig(setup.h_dim, setup.n_mix, setup.joint)
    v = seeing(setup.seen(), seed)
    return WorldModel(
        data.body,
        v,
        stages.fit_mdnrnn(v, data, config, recipe, own_steps=setup.own_steps, say=None)[0],
    )


@functools.cache
def real_return(setup: Setup, seed: int) -> dict[str, Any]:
    """C is evolved in the model's dreams, and plays selection episodes."""
    data, model = experience(setup.policy, setup.steps, seed), learned(setup.learned(), seed)
    settings: dict[str, Any] = {"popsize": setup.popsize}
    if setup.strategy == "openai-es":
        settings["weight_decay"] = 0.001
    settings |= {
        name: getattr(setup, name)
        for name in ("elite_rate", "sigma")
        if getattr(setup, name) is not None
    }
    dream = DreamConfig(tau=setup.tau, horizon=setup.horizon)
    sleep = EvolveConfig(
        dream, setup.strategy, settings, setup.generations, setup.episodes, seed=seed
    )
    features = "physics" if setup.model == "ensemble" else "z"
    linear = linear_for(model, features, data)
    found = evolve(DreamFitness.of(model, linear, data, sleep), say=None)
    policy = (
        Controller(linear, found.params)
        if isinstance(model, Ensemble)
        else Agent(linear, found.params, model)
    )
    played = evaluate.evaluate_policy(
        data.body, policy, name="matters", run=seed, episodes=setup.judged
    )
    return {
        "mean_return": round(float(played.returns.mean()), 3), "mean_steps": round(float(played.lengths.mean()), 3),
        "dreamed": round(found.log[-1]["check"], 3), "real_steps": data.n_steps, "episodes": setup.judged,
    }  # fmt: skip


@functools.cache
def prediction(setup: Setup, seed: int) -> dict[str, Any]:
    """R^2 of V on held-out episodes, and M's error some steps ahead over that of 'nothing changes'."""
    world, unseen = learned(setup.learned(), seed), held(seed)
    assert isinstance(world, WorldModel)
    rng = np.random.default_rng([seed, 13])
    seen = metrics.reconstruction_r2(world.vae, unseen)
    ahead = metrics.open_loop_error(
        world.vae,
        unseen,
        lambda *real: world.dream(*real, rng=rng, sample=False),
        horizon=max(AHEAD),
    ).ratio()
    return {
        **{f"r2_{part}": round(float(np.nanmean(seen[part])), 5) for part in ("qpos", "qvel")},
        **{f"ahead_{k}": round(float(ahead[k - 1]), 5) for k in AHEAD},
        "real_steps": experience(setup.policy, setup.steps, seed).n_steps, "episodes": len(unseen),
    }  # fmt: skip


MAKE: dict[str, Callable[[Setup, int], dict[str, Any]]] = {
    "return": real_return,
    "model": prediction,
}


def read(kind: str) -> list[dict[str, str]]:
    """The rows that are there."""
    return storage.read_csv(FILES[kind][0])


def row(kind: str, factor: str, level: str, seed: int) -> dict[str, Any]:
    """One row, and into its file with it. A row that is there is not made again."""
    for there in read(kind):
        if (there["factor"], there["level"], there["seed"]) == (factor, level, str(seed)):
            return there
    started = (
        time.process_time()
    )  # of the processor: these rows wait for other work, and that is not their price
    of = FILES[kind][1].get(factor)
    against, was = (of.against, of.was) if of else (level, level)
    found = MAKE[kind](plan(kind)[factor, level], seed)
    command = f"python -m tools matters {factor!r} {level!r} {seed}" + (
        " --model" if factor == REFERENCE and kind == "model" else ""
    )
    made = {
        "factor": factor,
        "level": level,
        "seed": seed,
        "against": against,
        "was": was,
        **found,
        "seconds": round(time.process_time() - started, 1),
        "command": command,
    }
    FILES[kind][0].parent.mkdir(parents=True, exist_ok=True)
    storage.write_csv(
        FILES[kind][0],
        FIELDS[kind],
        ([each[name] for name in FIELDS[kind]] for each in (*read(kind), made)),
    )
    return made


def every(seeds: tuple[int, ...]) -> list[tuple[str, str, str, int]]:
    """All rows in the order in which they are made: a factor with all its seeds, then the next; returns and models by turns."""
    queues = [[(kind, *key, seed) for key in plan(kind) for seed in seeds] for kind in FILES]
    n = len(seeds)
    turns = max(len(queue) for queue in queues)
    return [item for at in range(0, turns, n) for queue in queues for item in queue[at : at + n]]


def main(argv: list[str]) -> int:
    """Makes one row, or what is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m tools matters", description="The rows of chapter 14."
    )
    parser.add_argument("factor", nargs="?")
    parser.add_argument("level", nargs="?")
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument(
        "--model",
        action="store_true",
        help="of a reference that stands in both files: how well it predicts, not what it earns",
    )
    parser.add_argument("--all", action="store_true", help="every row that is missing")
    parser.add_argument(
        "--seeds",
        type=int,
        default=len(SEEDS),
        help="how many seeds with --all (default: %(default)s)",
    )
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args(argv)
    if options.list:
        print(
            "\n".join(
                f"{kind:7} {factor!r} {level!r}" for kind in FILES for factor, level in plan(kind)
            )
        )
        return 0
    if not options.all and options.level is None:
        parser.error("name a factor, a level and a seed, or give --all or --list")
    try:
        chosen = (
            every(tuple(range(options.seeds)))
            if options.all
            else [
                (
                    "model" if options.model else kind_of(options.factor, options.level),
                    options.factor,
                    options.level,
                    options.seed,
                )
            ]
        )
        for kind, factor, level, seed in chosen:
            made = row(kind, factor, level, seed)
            what = "mean_return" if kind == "return" else "ahead_10"
            print(
                f"{factor}, {level}, seed {seed}: {what} {made[what]} in {made['seconds']} s of the processor",
                flush=True,
            )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
