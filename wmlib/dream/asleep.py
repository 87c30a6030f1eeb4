"""C evolved in a dream, and nowhere else: no real step is taken, and no candidate is chosen by anything but its dreamed return.

A generation dreams its whole population from the same few real starts with the same noise, the next generation from others. What is
reported is the strategy's mean, or the mean over several nights. Kills change no bit. Built in chapter 6.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.config import EvolveConfig
from wmlib.control import evolution
from wmlib.control.controller import REAL, Linear
from wmlib.dream import waking
from wmlib.dream.dream import Dreams
from wmlib.errors import InputError
from wmlib.models.model import Model, Starts
from wmlib.real.body import Array
from wmlib.real.episodes import Episodes

CHECKPOINT = "checkpoint.safetensors"
EVERY = 10
"""Generations from one check of the mean, in the dream, to the next, and from checkpoint to checkpoint."""
APART = 100
"""Between the seeds of two nights."""
POOL, CHECK = 1024, 64
"""Real starts that generations draw from, and of a check."""


@dataclass
class Night:
    """A search in a dream, under way or done; of several nights, the last one's with the log of all.

    Attributes:
        strategy: where it stands; its mean is C, if it is the only night.
        log: one row a generation: `night` and `generation`, of the population `best` and `mean` dreamed return and mean `steps`, `sigma`, `dreamed_steps` so far,
            `seconds`; now and then `check`: the mean's dreamed return on the same starts and noise each time. The very last is of C itself.
        dreamed_steps: taken so far.
        together: the mean of all nights' means, if there are several.
    """

    strategy: evolution.Strategy
    log: list[dict[str, Any]] = field(default_factory=list)
    dreamed_steps: int = 0
    together: Array | None = None

    @property
    def params(self) -> Array:
        """C's weights, (n_params,)."""
        return self.strategy.mean if self.together is None else self.together


def linear_for(model: Model, data: Episodes, features: str) -> Linear:
    """The shape of a controller on what a model shows; physical features are standardised with these episodes.

    Raises:
        InputError: if there are no such features.
    """
    if features == "physics":
        return Linear(data.body, mean=data.physics.mean(axis=0), std=data.physics.std(axis=0))
    if features in REAL or features not in model.feature_sizes:
        shown = ", ".join(name for name in model.feature_sizes if name != "obs")
        raise InputError(
            f"There are no features '{features}' to evolve C on in this model; there are: {shown}."
        )
    return waking.linear(model, features)


def check(params: Array, dreams: Dreams, sleep: EvolveConfig, pool: Starts) -> float:
    """The dreamed return of C, on the same starts and noise each time."""
    return float(
        dreams(params[None], pool.draw(CHECK, 0), 1_000_000 * (sleep.seed + 1) - 1).fitness[0]
    )


def generation(
    night: Night, dreams: Dreams, sleep: EvolveConfig, pool: Starts, last: bool
) -> dict[str, Any]:
    """One generation: perhaps a check of the mean, then the population, then the strategy is told. Returns its row of the log."""
    number, row = night.strategy.generation, {}
    # Sums, because a seed is one number: generations are fewer than a million, and the check's is none of theirs.
    seed = 1_000_000 * (sleep.seed + 1) + number
    starts = pool.draw(sleep.episodes, seed)
    dreamed = dreams(night.strategy.ask(), starts, seed)
    night.strategy.tell(dreamed.fitness)
    night.dreamed_steps += int(dreamed.lengths.sum())
    if last or (number + 1) % EVERY == 0:
        row["check"] = check(night.params, dreams, sleep, pool)
    fitness = dreamed.fitness
    return {
        "generation": number, "best": float(fitness.max()), "mean": float(fitness.mean()), "steps": float(dreamed.lengths.mean()), "sigma": night.strategy.sigma,
        "dreamed_steps": night.dreamed_steps, **row,
    }  # fmt: skip


def evolve(
    model: Model, linear: Linear, data: Episodes, sleep: EvolveConfig, *, params: Array | None = None, folder: Path | None = None,
    say: Callable[[str], None] | None = print,
) -> Night:  # fmt: skip
    """Evolves C in a model's dreams.

    Args:
        model: to dream in.
        linear: the shape of C.
        data: real episodes that dreams begin in.
        sleep: what to do.
        params: where to begin; zero by default.
        folder: where to keep checkpoints; a search that is there already is gone on with, to the same bits.
        say: gets a line at each check; None for silence.

    Raises:
        InputError: if a number or a name is wrong, parts do not belong together, or the folder holds another search.
    """
    sleep.check()
    dreams, params = (
        Dreams(model, linear, sleep.dream),
        np.zeros(linear.n_params) if params is None else params,
    )
    origin = _origin(model, linear, data, params)
    nights: list[Night] = []
    for k in range(sleep.nights):
        alone = dataclasses.replace(sleep, nights=1, seed=sleep.seed + APART * k)
        inner = folder if folder is None or sleep.nights == 1 else folder / f"night-{k}"
        nights.append(_search(dreams, data, alone, params, inner, origin, say))
    return nights[0] if sleep.nights == 1 else _together(nights, dreams, data, sleep)


def _together(nights: list[Night], dreams: Dreams, data: Episodes, sleep: EvolveConfig) -> Night:
    """The nights as one: C is the mean of theirs, the log goes through all of them and ends with C's own check."""
    made = Night(nights[-1].strategy, together=np.mean([night.params for night in nights], axis=0))
    seconds = 0.0
    for k, night in enumerate(nights):
        made.log += [
            {
                **row,
                "night": k,
                "dreamed_steps": made.dreamed_steps + row["dreamed_steps"],
                "seconds": round(seconds + row["seconds"], 2),
            }
            for row in night.log
        ]
        made.dreamed_steps, seconds = made.log[-1]["dreamed_steps"], made.log[-1]["seconds"]
    made.log[-1]["check"] = check(
        made.params, dreams, sleep, dreams.starts(data, POOL, seed=sleep.seed, latest=sleep.latest)
    )
    return made


def _search(
    dreams: Dreams, data: Episodes, sleep: EvolveConfig, params: Array, folder: Path | None, origin: str, say: Callable[[str], None] | None
) -> Night:  # fmt: skip
    """One night."""
    night = Night(evolution.make(sleep.strategy, params, sleep.seed, **sleep.settings))
    about = {"sleep": sleep.about(), "of": origin}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _resume(folder, about, night)
    pool = dreams.starts(data, POOL, seed=sleep.seed, latest=sleep.latest)
    started = time.monotonic() - (night.log[-1]["seconds"] if night.log else 0.0)
    while night.strategy.generation < sleep.generations:
        last = night.strategy.generation + 1 == sleep.generations
        row = generation(night, dreams, sleep, pool, last)
        night.log.append({"night": 0, **row, "seconds": round(time.monotonic() - started, 2)})
        if "check" not in row:
            continue
        if folder is not None:
            state = {name: np.asarray(value) for name, value in night.strategy.state().items()}
            storage.write_atomic(
                folder / CHECKPOINT,
                storage.to_bytes(
                    state, {**about, "log": night.log, "dreamed_steps": night.dreamed_steps}
                ),
            )
        if say is not None:
            say(line(night.log[-1], sleep.generations))
    return night


def line(row: Mapping[str, Any], generations: int) -> str:
    """A row of the log as a line."""
    return (
        f"generation {row['generation'] + 1:4} of {generations}  dreamed: population {row['mean']:7.1f}, best {row['best']:7.1f}, {row['steps']:5.1f} steps  "
        f"mean controller {row['check']:7.1f}  {row['dreamed_steps'] / max(row['seconds'], 0.01):,.0f} steps/s  {row['seconds']:.0f} s"
    )


def _origin(model: Model, linear: Linear, data: Episodes, params: Array) -> str:
    """A fingerprint of everything that a search starts from."""
    arrays: storage.Arrays = {
        "params": params,
        "mean": linear.mean,
        "std": linear.std,
        "qpos": data.qpos,
        "action": data.action,
    }
    return storage.fingerprint(arrays, [model.fingerprint, linear.features, linear.body.name])


def _resume(folder: Path, about: Mapping[str, Any], night: Night) -> None:
    """Takes up the search that a folder holds, if any.

    Raises:
        InputError: if it is damaged, or another one.
    """
    if (there := storage.checkpoint(folder, CHECKPOINT)) is None:
        return
    found, parts = there
    if found.get("sleep") != about["sleep"]:
        raise InputError(
            f"{folder} holds a search with {storage.difference(found.get('sleep'), about['sleep'])}. Give the same settings to go on with it, or another --out."
        )
    if found.get("of") != about["of"]:
        raise InputError(
            f"{folder} holds a search in another model, from other data or another C. Give the same to go on with it, or another --out."
        )
    night.strategy.restore(parts[""])
    night.log, night.dreamed_steps = found["log"], found["dreamed_steps"]
