"""C evolved on the real body: the baseline that every dream is held against.

A generation plays its whole population on the same few episodes, the next generation on fresh ones. Observations are standardised with what
all training episodes have shown so far, frozen within a generation (Mania et al., 2018). What is reported is the strategy's mean, never the
luckiest of a population: now and then it is checked on selection seeds, and the mean of the best check is C. Every real step counts, those of
the checks too. Threads and kills change no bit. Built in chapter 5.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.config import Search
from wmlib.control import evolution
from wmlib.control.awake import Moments, play
from wmlib.control.controller import Controller, Linear
from wmlib.errors import InputError
from wmlib.real import body as bodies
from wmlib.real.body import Array
from wmlib.real.workers import Workers
from wmlib.seeds import SELECTION_SEEDS, TRAINING_SEEDS, run_seeds

CHECKPOINT = "checkpoint.safetensors"
NEAR = 1.5
"""How much more than the last generation the next one may take."""


@dataclass(frozen=True)
class Kept:
    """C as it would be reported at a mark: weights and normalisation, the real steps spent by then, the return at its check."""

    params: Array
    mean: Array
    std: Array
    real_steps: int
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
        moments: of the features of all training episodes.
        log: one row a generation: `generation`, `real_steps`, `seconds`; of the population `best` and `mean` return and mean `steps`; `sigma`;
            `check`, the mean's return on selection seeds, where it was taken.
        real_steps: taken so far.
        kept: mark -> C as it would be reported there.
        best: C of the best check so far.
    """

    linear: Linear
    strategy: evolution.Strategy
    moments: Moments
    log: list[dict[str, Any]] = field(default_factory=list)
    real_steps: int = 0
    kept: dict[int, Kept] = field(default_factory=dict)
    best: Kept | None = None

    @property
    def controller(self) -> Controller:
        """C at the last mark."""
        return self.kept[max(self.kept)].controller(self.linear)

    @property
    def fingerprint(self) -> str:
        """sha256 over all of it but the seconds."""
        arrays, about = _state(self)
        return storage.fingerprint(
            arrays,
            {
                **about,
                "log": [{k: v for k, v in row.items() if k != "seconds"} for row in self.log],
            },
        )


def begin(search: Search) -> Evolution:
    """A search that has not taken a step: C is zero.

    Raises:
        InputError: if a number or a name is not as it must be.
    """
    search.check()
    linear = Linear(bodies.get(search.body), search.features)
    linear.select(np.zeros(linear.body.obs_dim))
    strategy = evolution.make(
        search.strategy, np.zeros(linear.n_params), search.seed, **search.settings
    )
    return Evolution(
        linear, strategy, Moments(0.0, np.zeros(linear.n_features), np.zeros(linear.n_features))
    )


def _now(run: Evolution, checked: float | None = None) -> Kept:
    """C as the mean is now."""
    return Kept(
        run.strategy.mean.copy(),
        run.linear.mean,
        run.linear.std,
        run.real_steps,
        run.strategy.generation,
        checked,
    )


def _spend(run: Evolution, search: Search, steps: int) -> None:
    """Counts real steps, before what they showed is used: at each mark that they cross, C is kept as it was."""
    for mark in search.all_marks:
        if mark not in run.kept and run.real_steps + steps > mark:
            run.kept[mark] = run.best or _now(run)
    run.real_steps += steps


def _check(run: Evolution, search: Search, workers: Workers | int | None) -> float:
    """The mean's return on selection seeds; the best so far is kept."""
    seeds = run_seeds(SELECTION_SEEDS, search.seed)[: search.check_episodes]
    played = play(run.linear, run.strategy.mean, seeds, workers=workers)
    _spend(run, search, played.real_steps)
    value = float(played.returns.mean())
    if run.best is None or run.best.checked is None or value > run.best.checked:
        run.best = _now(run, value)
    return value


def _near(run: Evolution, search: Search) -> bool:
    """Whether the next generation and a check after it may cross a mark."""
    ahead = run.log[-1]["spent"] + search.check_episodes * run.log[-1]["steps"] if run.log else 0.0
    return any(
        mark - run.real_steps <= NEAR * ahead for mark in search.all_marks if mark not in run.kept
    )


def generation(
    run: Evolution, search: Search, workers: Workers | int | None = None
) -> dict[str, Any]:
    """One generation: perhaps a check, then the population on fresh seeds, then the strategy is told. Returns its row of the log."""
    if search.normalise and run.moments.n:
        run.linear = run.linear.normalised(run.moments.mean, run.moments.std)
    number, row = run.strategy.generation, {}
    if search.check_episodes and ((number + 1) % search.check_every == 0 or _near(run, search)):
        row["check"] = _check(run, search, workers)
    every = run_seeds(TRAINING_SEEDS, search.seed)
    seeds = [every[(number * search.episodes + k) % len(every)] for k in range(search.episodes)]
    played = play(
        run.linear,
        run.strategy.ask(),
        seeds,
        max_steps=search.max_steps,
        see=search.normalise,
        workers=workers,
    )
    _spend(run, search, played.real_steps)
    for moments in played.seen:
        run.moments = run.moments.merged(moments)
    run.strategy.tell(played.fitness(search.alive))
    returns = played.returns.mean(axis=1)
    return {
        "generation": number, "real_steps": run.real_steps, "spent": played.real_steps, "best": float(returns.max()), "mean": float(returns.mean()),
        "steps": float(played.lengths.mean()), "sigma": run.strategy.sigma, **row,
    }  # fmt: skip


def evolve(
    search: Search,
    *,
    folder: Path | None = None,
    workers: Workers | int | None = None,
    checkpoint_every: int = 5,
    say: Callable[[str], None] | None = print,
) -> Evolution:
    """Evolves C on the real body until its real steps are spent.

    Args:
        search: what to do.
        folder: where to keep checkpoints; a search that is there already is gone on with, to the same bits.
        workers: who plays, or how many threads do, every core by default; changes no number.
        checkpoint_every: generations between checkpoints.
        say: gets a line at each check; None for silence.

    Raises:
        InputError: if a number or a name is wrong, or the folder holds another search.
    """
    run = _resume(folder, search) or begin(search)
    started = time.monotonic() - (run.log[-1]["seconds"] if run.log else 0.0)
    while search.steps not in run.kept:
        row = generation(run, search, workers)
        run.log.append({**row, "seconds": round(time.monotonic() - started, 2)})
        if say is not None and "check" in row:
            say(line(run.log[-1], search.steps))
        if folder is not None and (
            run.strategy.generation % checkpoint_every == 0 or search.steps in run.kept
        ):
            arrays, about = _state(run)
            storage.write_atomic(
                folder / CHECKPOINT, storage.to_bytes(arrays, {"search": search.about(), **about})
            )
    return run


def line(row: Mapping[str, Any], steps: int) -> str:
    """A row of the log as a line."""
    return (
        f"generation {row['generation']:4}  {row['real_steps']:9,} of {steps:,} real steps  population: mean {row['mean']:7.1f}, best {row['best']:7.1f}, "
        f"{row['steps']:6.1f} steps  mean controller {row.get('check', float('nan')):7.1f}  {row['seconds']:.0f} s"
    )


def _state(run: Evolution) -> tuple[storage.Arrays, dict[str, Any]]:
    """Everything there is to a search, as arrays and plain values."""
    arrays = {f"strategy/{name}": value for name, value in run.strategy.state().items()}
    arrays |= {
        f"moments/{name}": np.asarray(value) for name, value in run.moments._asdict().items()
    }
    arrays |= {"linear/mean": run.linear.mean, "linear/std": run.linear.std}
    about: dict[str, Any] = {"real_steps": run.real_steps, "log": run.log, "kept": {}}
    named: dict[str, Kept | None] = {
        "best": run.best,
        **{str(mark): kept for mark, kept in run.kept.items()},
    }
    for name, kept in named.items():
        if kept is not None:
            values = {
                key: getattr(kept, key)
                for key in ("params", "mean", "std", "real_steps", "generation", "checked")
            }
            arrays |= {
                f"kept {name}/{key}": value
                for key, value in values.items()
                if isinstance(value, np.ndarray)
            }
            about["kept"][name] = {
                key: value for key, value in values.items() if not isinstance(value, np.ndarray)
            }
    return arrays, about


def _resume(folder: Path | None, search: Search) -> Evolution | None:
    """The search that a folder holds, if any.

    Raises:
        InputError: if it is damaged, or another one.
    """
    if folder is None or (there := storage.checkpoint(folder, CHECKPOINT)) is None:
        return None
    about, parts = there[0], dict[str, dict[str, Any]](there[1])
    if about.get("search") != search.about():
        raise InputError(
            f"{folder} holds a search with {storage.difference(about.get('search'), search.about())}. Give the same settings to go on with it, or another --out."
        )
    run = begin(search)
    run.strategy.restore(parts["strategy"])
    run.moments = Moments(
        float(parts["moments"]["n"]), parts["moments"]["mean"], parts["moments"]["squares"]
    )
    run.linear = run.linear.normalised(**parts["linear"])
    run.log, run.real_steps = about["log"], about["real_steps"]
    kept = {name: Kept(**parts[f"kept {name}"], **values) for name, values in about["kept"].items()}
    run.best = kept.pop("best", None)
    run.kept = {int(mark): value for mark, value in kept.items()}
    return run


def train(
    search: Search,
    out: str | Path,
    *,
    workers: Workers | int | None = None,
    command: str = "",
    say: Callable[[str], None] = print,
) -> Controller:
    """Evolves C in `OUT.run/`, resuming what is there, and writes it to `out`; C at an earlier mark goes to `OUT-MARK`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    out = Path(out)
    search.check()
    places = {
        mark: out if mark == search.steps else out.with_name(f"{out.name}-{mark}")
        for mark in search.all_marks
    }
    under_way = (out.with_name(f"{out.name}.run") / CHECKPOINT).exists()
    if taken := [place for place in places.values() if place.exists() and not under_way]:
        raise InputError(
            f"{taken[0]} exists already. Nothing was overwritten: remove it, or give another --out."
        )
    begin(search)
    with storage.run_folder(out) as folder:
        run = evolve(search, folder=folder, workers=workers, say=say)
        for mark, place in places.items():
            if place.exists():  # written before a kill
                continue
            kept = run.kept[mark]
            log = [row for row in run.log if row["real_steps"] <= mark]
            facts: dict[str, Any] = {
                "seed": search.seed,
                "budget": mark,
                "real_steps": kept.real_steps,
                "checked": kept.checked,
                "command": command,
                "search": search.about(),
            }
            kept.controller(run.linear).save(
                place, seconds=log[-1]["seconds"] if log else 0.0, log=log, **facts
            )
    return run.controller
