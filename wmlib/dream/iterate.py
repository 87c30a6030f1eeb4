"""Dream, act, learn again: C gathers, the model learns from what it found, C is evolved in the better dream, and so on.

Every real step is counted, and none is taken but to gather: no candidate and no round is chosen by a real return. After each round
all that there is lies in `OUT.run/`; the same command goes on from there, to the same bits: after each round the new experience, C and the
model are written under the round's number, and last, in one atomic step, the word that they are there. The model goes on learning as experience
grows, with warm weights and the scales of the first experience (weights mean nothing under others). Sutton's Dyna (1991), with an
evolved C in place of a learned value. Built in chapter 8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.config import (
    MODELS,
    EnsembleConfig,
    LoopConfig,
    MDNRNNConfig,
    StudyConfig,
    TrainConfig,
    VAEConfig,
)
from wmlib.control.agent import Agent
from wmlib.control.controller import REAL, Controller, Linear
from wmlib.control.evolve import evolve
from wmlib.dream import rounds
from wmlib.dream.fitness import DreamFitness, linear_for
from wmlib.errors import InputError
from wmlib.models import mdnrnn, training
from wmlib.models.ensemble import Ensemble
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.training import M
from wmlib.models.vae import VAE
from wmlib.models.world import WorldModel
from wmlib.real import body as bodies
from wmlib.real import policies
from wmlib.real.body import Array
from wmlib.real.episodes import Episodes
from wmlib.seeds import spans

LENGTH = 32
"""Steps of a row of M's training data."""
LONGER = 1.7
"""Dreams may last this many times as long as four of five of the last real episodes did."""
LONG, FEW = 100, 50
"""Room that an episode of the first round gets at least, in steps; and a rest of real steps that is not worth an episode."""
ROOM = 1.2
"""Another round begins only if this many times its usual real steps are left."""


@dataclass
class Run(rounds.Gathered):
    """A loop under way, or done, after some rounds.

    Attributes:
        linear: the shape of C.
        params: C's weights.
        model: that it last dreamed in.
        experience: the episodes of each round.
        log: one row a round: `round`, `real_steps` so far, `gathered` and `gathered_steps`: mean return and length of its real episodes (with noise),
            `horizon`, the losses, `dreamed`: C's dreamed return, `dreamed_steps` in all.
    """

    linear: Linear
    params: Array
    model: WorldModel | Ensemble
    experience: list[Episodes]
    log: list[dict[str, Any]] = field(default_factory=list)


def keep(folder: Path, run: Run, loop: LoopConfig) -> None:
    """Writes what there is after a round."""
    c = {"params": run.params, "mean": run.linear.mean, "std": run.linear.std}
    files = {"c": storage.to_bytes(c), **run.model.files()}
    about = {"loop": loop.about(), "log": run.log}
    rounds.write(folder, len(run.log), run.experience[-1], files, about)


def resume(folder: Path, loop: LoopConfig) -> Run | None:
    """The loop that a folder holds, if any.

    Raises:
        InputError: if it is damaged, or another one.
    """
    body = bodies.get(loop.body)
    if (there := rounds.read(folder, body, "loop", loop.about())) is None:
        return None
    about, experience, read = there
    c = storage.from_bytes(*read("c"))
    kind: type[WorldModel] | type[Ensemble] = WorldModel if loop.model == "world" else Ensemble
    model = kind.from_files(body, read)
    linear = Linear(body, loop.features, c["mean"].size, c["mean"], c["std"])
    return Run(linear, c["params"], model, experience, about["log"])


# What the model learns in a round.


def new_model(
    kind: str, data: Episodes, size: int, seed: int, reward: str = "rest"
) -> WorldModel | Ensemble:
    """A model with random weights and the scales of these episodes; `size` is the width of an ensemble's layers, or M's h_dim; `reward` as in `MDNRNNConfig`.

    Raises:
        InputError: if there is no such kind of model.
    """
    if kind not in MODELS:
        raise InputError(f"There is no model '{kind}'; there are: {', '.join(MODELS)}.")
    if kind == "ensemble":
        return Ensemble.create(data.body, data, EnsembleConfig(hidden=size), seed=seed)
    v = VAE.create(data.body, data.physics, VAEConfig(), seed=seed)
    config = MDNRNNConfig(h_dim=size, reward=reward)
    rows = mdnrnn.sequences(v, data, LENGTH)
    return WorldModel(data.body, v, MDNRNN.create(data.body, rows, config, seed=seed))


def learn(
    model: WorldModel | Ensemble, data: Episodes, study: StudyConfig, *, first: bool, seed: int, newest: int | None = None
) -> tuple[WorldModel | Ensemble, dict[str, float]]:  # fmt: skip
    """The model after a round of learning from all episodes, and the mean losses of the round.

    Args:
        model: as it was.
        data: all episodes, oldest first.
        study: how to learn.
        first: whether this is the first round.
        seed: of the batches.
        newest: half of each batch is from this many last steps; every step is as likely as any other if None.

    Raises:
        InputError: if a loss was not finite.
    """
    share = 1.0 if newest is None else newest / data.n_steps
    updates, rate = (study.first, 1.0) if first else (study.updates, 0.5)
    rate *= study.learning_rate
    how = TrainConfig(1, study.batch_size, rate, rate / 10, seed=seed, jit=False)
    if isinstance(model, Ensemble):
        return _fit(model, model.data(data), model.make_batch, how, updates, share)
    table = {"x": model.vae.standardize(data.physics)}
    v, of_v = _fit(model.vae, table, model.vae.make_batch, how, updates, share)
    m, rows = model.mdnrnn, mdnrnn.sequences(v, data, LENGTH)
    if first:  # its scales are of V's codes, which mean something only now
        m = MDNRNN.create(data.body, rows, m.config, seed=seed)
    how = dataclasses.replace(how, batch_size=max(1, study.batch_size // LENGTH))
    m, of_m = _fit(m, rows, m.make_batch(study.own_steps), how, updates, share)
    return WorldModel(data.body, v, m), {**{f"v_{key}": of_v[key] for key in of_v}, **of_m}


def _fit(
    model: M, table: Mapping[str, NDArray[Any]], make_batch: Callable[..., Any], how: TrainConfig, updates: int, share: float
) -> tuple[M, dict[str, float]]:  # fmt: skip
    """Some gradient steps on rows of a table, half of them from its newest share: the model, and the mean losses."""
    n, count = len(next(iter(table.values()))), updates * how.batch_size
    recent = max(1, min(n, round(n * share)))
    rng = np.random.default_rng([how.seed, 9])
    row = np.where(
        np.arange(count) % 2 == 0,
        rng.integers(n, size=count),
        rng.integers(n - recent, n, size=count),
    )

    def batch(rows: dict[str, NDArray[Any]], rng: np.random.Generator) -> Any:
        return make_batch({name: array[rows["row"]] for name, array in table.items()}, rng)

    model, trained = training.fit_model(model, {"row": row}, how, make_batch=batch, say=None)
    if trained.stopped:
        raise InputError(trained.stopped)
    return model, {
        key: value for key, value in trained.log[-1].items() if key not in ("epoch", "gradient")
    }


# The rounds.


def begin(loop: LoopConfig) -> Run:
    """The first experience, a model with random weights, and C, which is zero.

    Raises:
        InputError: if a number or a name is not as it must be.
    """
    body, left = bodies.get(loop.body), loop.first
    act = policies.named(loop.policy, body)
    parts: list[Episodes] = []
    # So many episodes that they would have room even if each were long.
    while not parts or left >= FEW:
        n = min(loop.episodes, max(1, left // LONG))
        parts.append(rounds.gather(body, act, loop.seed, parts, n, left // n))
        left -= parts[-1].n_steps
    data = rounds.joined(parts)
    model = new_model(loop.model, data, loop.size, loop.seed, loop.study.reward)
    linear = linear_for(model, loop.features, data)
    return Run(linear, np.zeros(linear.n_params), model, [data])


def one_round(run: Run, loop: LoopConfig, folder: Path | None = None) -> dict[str, Any]:
    """One round: gather (the first one's experience is there already), learn, dream. Returns its row of the log."""
    number = len(run.log)
    if number:
        world = None if run.linear.features in REAL else run.model
        awake = Agent(
            run.linear,
            run.params,
            world,
            param_noise=loop.param_noise,
            action_noise=loop.action_noise,
        )
        body, n = run.linear.body, loop.episodes
        limit = min(body.max_steps, max(1, (loop.steps - run.real_steps) // n))
        run.experience.append(rounds.gather(body, awake, loop.seed, run.experience, n, limit))
    newest, seed = run.experience[-1], 1_000 * loop.seed + number
    run.model, losses = learn(
        run.model,
        run.data,
        loop.study,
        first=not number,
        seed=seed,
        newest=loop.study.recent or newest.n_steps,
    )
    if loop.fresh:
        run.linear = linear_for(run.model, loop.features, run.data)
        run.params = np.zeros(run.linear.n_params)
    dream = loop.evolve.dream
    horizon = min(
        run.linear.body.max_steps,
        max(dream.horizon, int(LONGER * np.percentile(newest.lengths, 80)) if number else 0),
    )
    how = dataclasses.replace(
        loop.evolve, seed=seed, dream=dataclasses.replace(dream, horizon=horizon)
    )
    fitness = DreamFitness.of(run.model, run.linear, newest, how, run.params)
    found = evolve(fitness, folder=folder, say=None)
    run.params = found.params
    dreamed = found.steps + (run.log[-1]["dreamed_steps"] if run.log else 0)
    return {
        **run.gathered(), "horizon": horizon, **losses, "dreamed": found.log[-1]["check"], "dreamed_steps": dreamed,
    }  # fmt: skip


def done(run: Run, loop: LoopConfig) -> bool:
    """Whether another round would not fit into the real steps that are left."""
    return (
        bool(run.log)
        and loop.steps - run.real_steps < ROOM * loop.episodes * run.log[-1]["gathered_steps"]
    )


def until_done(
    loop: LoopConfig, *, folder: Path | None = None, say: Callable[[str], None] | None = print
) -> Run:
    """Goes round until the real steps are spent.

    Args:
        loop: what to do.
        folder: where to keep what there is after each round; a loop that is there already is gone on with, to the same bits.
        say: gets a line a round; None for silence.

    Raises:
        InputError: if a number or a name is wrong, or the folder holds another loop.
    """
    run = (resume(folder, loop) if folder is not None else None) or begin(loop)
    while not done(run, loop):
        row = one_round(run, loop, None if folder is None else folder / f"{len(run.log):03}-search")
        run.log.append(row)
        if folder is not None:
            keep(folder, run, loop)
        if say is not None:
            say(line(row, loop.steps))
    return run


def line(row: Mapping[str, Any], steps: int) -> str:
    """A row of the log as a line."""
    return (
        f"round {row['round']:2}  {row['real_steps']:7,} of {steps:,} real steps  gathered: return {row['gathered']:6.1f}, {row['gathered_steps']:5.1f} steps  "
        f"dreamed: {row['dreamed']:6.1f} (horizon {row['horizon']})"
    )


def train(
    loop: LoopConfig, out: str | Path, *, command: str = "", say: Callable[[str], None] = print
) -> Controller:
    """Goes round in `OUT.run/`, resuming what is there; then writes the model to `OUT-model`, the experience to `OUT-experience`, and C to `out`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    beside = {name: storage.place(out, f"-{name}") for name in ("model", "experience")}
    with storage.run_folder(out) as folder:
        if not (folder / rounds.CHECKPOINT).exists():
            storage.refuse_taken(*beside.values())
        clock = storage.Clock.of(folder)
        run = until_done(loop, folder=folder, say=clock.say(say, folder))
        made = Controller(run.linear, run.params)
        facts: dict[str, Any] = {
            "seed": loop.seed,
            "real_steps": run.real_steps,
            "budget": loop.steps,
            "command": command,
        }
        how = f"{'iterated' if len(run.log) > 1 else 'one-shot'} {loop.model}"
        if not beside["experience"].exists():
            run.data.save(
                beside["experience"],
                **clock.read(),
                policy=f"{loop.policy}, then C with noise",
                seed=loop.seed,
                budget=loop.steps,
                command=command,
            )
        if not beside["model"].exists():
            known = spans(run.data.seeds)
            run.model.save(beside["model"], **clock.read(), **facts, training_seeds=known)
        made.save(
            out,
            **clock.read(),
            log=run.log,
            world=run.model.fingerprint,
            **facts,
            dreamed=run.log[-1]["dreamed"],
            search={"strategy": how, **loop.about()},
        )
    return made
