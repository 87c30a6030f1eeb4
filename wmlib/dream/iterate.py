"""Dream, act, learn again: C gathers, the model learns from what it found, C is evolved in the better dream, and so on.

Every real step is counted, and none is taken but to gather: no candidate and no round is chosen by a real return. After each round
all that there is lies in `OUT.run/`; the same command goes on from there, to the same bits. Built in chapter 8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.config import Loop
from wmlib.control.agent import Agent
from wmlib.control.controller import REAL, Controller
from wmlib.control.evolve import evolve
from wmlib.dream.fitness import DreamFitness, linear_for
from wmlib.dream.rounds import CHECKPOINT, Run, checked, joined, keep, resume
from wmlib.errors import InputError
from wmlib.models import refit
from wmlib.real import body as bodies
from wmlib.real.episodes import Episodes
from wmlib.real.policies import POLICIES, Policy
from wmlib.real.rollout import rollout
from wmlib.seeds import TRAINING_SEEDS, run_seeds

LONGER = 1.7
"""Dreams may last this many times as long as four of five of the last real episodes did."""
LONG, FEW = 100, 50
"""Room that an episode of the first round gets at least, in steps; and a rest of real steps that is not worth an episode."""
ROOM = 1.2
"""Another round begins only if this many times its usual real steps are left."""


def gather(
    loop: Loop, policy: Policy, begun: int, n: int, max_steps: int | None = None
) -> Episodes:
    """n real episodes on the run's next training seeds, after the `begun` that it has used; none of their steps is thrown away."""
    seeds = run_seeds(TRAINING_SEEDS, loop.seed)[begun : begun + n]
    body = bodies.get(loop.body)
    return Episodes.of(body, rollout(body, policy, seeds, max_steps=max_steps, keep_obs=False))


def begin(loop: Loop) -> Run:
    """The first experience, a model with random weights, and C, which is zero.

    Raises:
        InputError: if a number or a name is not as it must be.
    """
    checked(loop)
    act, left, begun = POLICIES[loop.policy](bodies.get(loop.body)), loop.first, 0
    parts: list[Episodes] = []
    while (
        not parts or left >= FEW
    ):  # so many episodes that they would have room even if each were long
        n = min(loop.episodes, max(1, left // LONG))
        parts.append(gather(loop, act, begun, n, left // n))
        left, begun = left - parts[-1].n_steps, begun + n
    data = joined(parts)
    model = refit.begin(loop.model, data, loop.size, loop.seed)
    linear = linear_for(model, loop.features, data)
    return Run(linear, np.zeros(linear.n_params), model, [data])


def one_round(run: Run, loop: Loop, folder: Path | None = None) -> dict[str, Any]:
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
        limit = min(
            run.linear.body.max_steps, max(1, (loop.steps - run.real_steps) // loop.episodes)
        )
        run.experience.append(
            gather(loop, awake, sum(map(len, run.experience)), loop.episodes, limit)
        )
    newest, seed = run.experience[-1], 1_000 * loop.seed + number
    run.model, losses = refit.fit(run.model, run.data, loop.study, first=not number, seed=seed)
    if loop.fresh:
        run.linear = linear_for(run.model, loop.features, run.data)
        run.params = np.zeros(run.linear.n_params)
    dream = loop.sleep.dream
    horizon = min(
        run.linear.body.max_steps,
        max(dream.horizon, int(LONGER * np.percentile(newest.lengths, 80)) if number else 0),
    )
    sleep = dataclasses.replace(
        loop.sleep, seed=seed, dream=dataclasses.replace(dream, horizon=horizon)
    )
    fitness = DreamFitness.of(run.model, run.linear, newest, sleep, run.params)
    found = evolve(fitness, folder=folder, say=None)
    run.params = found.params
    dreamed = found.steps + (run.log[-1]["dreamed_steps"] if run.log else 0)
    return {
        "round": number, "real_steps": run.real_steps, "gathered": float(newest.returns.mean()), "gathered_steps": float(newest.lengths.mean()),
        "horizon": horizon, **losses, "dreamed": found.log[-1]["check"], "dreamed_steps": dreamed,
    }  # fmt: skip


def done(run: Run, loop: Loop) -> bool:
    """Whether another round would not fit into the real steps that are left."""
    return (
        bool(run.log)
        and loop.steps - run.real_steps < ROOM * loop.episodes * run.log[-1]["gathered_steps"]
    )


def iterate(
    loop: Loop, *, folder: Path | None = None, say: Callable[[str], None] | None = print
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
    loop: Loop, out: str | Path, *, command: str = "", say: Callable[[str], None] = print
) -> Controller:
    """Goes round in `OUT.run/`, resuming what is there; then writes the model to `OUT-model`, the experience to `OUT-experience`, and C to `out`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    checked(loop)
    beside = {
        name: Path(out).with_name(f"{Path(out).name}-{name}") for name in ("model", "experience")
    }
    with storage.run_folder(out) as folder:
        if taken := [
            path for path in beside.values() if path.exists() and not (folder / CHECKPOINT).exists()
        ]:
            raise InputError(
                f"{taken[0]} exists already. Nothing was overwritten: remove it, or give another --out."
            )
        clock = storage.Clock(folder)
        run = iterate(loop, folder=folder, say=clock.say(say))
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
                seconds=clock.seconds,
                policy=f"{loop.policy}, then C with noise",
                seed=loop.seed,
                budget=loop.steps,
                command=command,
            )
        if not beside["model"].exists():
            run.model.save(beside["model"], seconds=clock.seconds, **facts)
        made.save(
            out,
            seconds=clock.seconds,
            log=run.log,
            world=run.model.fingerprint,
            **facts,
            dreamed=run.log[-1]["dreamed"],
            search={"strategy": how, **loop.about()},
        )
    return made
