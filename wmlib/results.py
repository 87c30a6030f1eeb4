"""Results that take long are rows: one command makes one training seed's row in a CSV file; tables read whatever rows are there.

The file is also the ledger of opened test seeds: a method's configuration, trained with one seed on one budget of real steps, has one row, and
no second controller can take its place. The unit of an interval is the training seed. Built in chapter 5.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wmlib import storage
from wmlib.control.agent import Agent
from wmlib.control.controller import REAL, Controller
from wmlib.errors import InputError
from wmlib.loading import load
from wmlib.ppo import Ppo
from wmlib.real import evaluate, policies
from wmlib.real.body import Body
from wmlib.real.policies import Policy
from wmlib.statistics import FEWEST, Runs, aligned, html_table


@dataclass(frozen=True)
class Row:
    """One training seed's result.

    Attributes:
        body: name of the body.
        method: such as `openai-es`.
        configuration: a name for its settings, such as `physics`.
        seed: of the training run.
        budget: real steps that it might take; `wmlib gather` plays its last episode to the end, so a row may take some more.
        real_steps: those that it took.
        split: of the episodes that it is judged by: `test` or `selection`.
        episodes: how many.
        mean_return: mean over them.
        mean_steps: mean number of steps survived.
        seconds: that training took.
        fingerprint: of the controller that was judged.
        command: what made the row.
        dreamed: return that the same controller has in the dream that it was evolved in, if it was.
        cpu_seconds: of processor time, in all threads, that training took; unlike `seconds` it hardly depends on what else ran.
    """

    body: str
    method: str
    configuration: str
    seed: int
    budget: int
    real_steps: int
    split: str
    episodes: int
    mean_return: float
    mean_steps: float
    seconds: float
    fingerprint: str
    command: str
    dreamed: float | None = None
    cpu_seconds: float | None = None

    @property
    def key(self) -> tuple[str, str, str, int, int, str]:
        """What there is one row of."""
        return self.body, self.method, self.configuration, self.seed, self.budget, self.split


TYPES: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "float | None": lambda text: float(text) if text else None,
}
FIELDS = [item.name for item in dataclasses.fields(Row)]


def read(path: str | Path) -> list[Row]:
    """The rows of a file.

    Raises:
        InputError: if it is missing, has other columns, or holds what is no number, with the line.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != FIELDS:
                raise InputError(
                    f"{path} has the columns {', '.join(reader.fieldnames or [])}; expected {', '.join(FIELDS)}."
                )
            return once(_row(path, reader.line_num, values) for values in reader)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            f"There is no file {path}. Expected rows that `wmlib evaluate --row` wrote."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}). Restore it with git.") from None


def _row(path: str | Path, number: int, values: dict[Any, Any]) -> Row:
    kinds = {item.name: TYPES[str(item.type)] for item in dataclasses.fields(Row)}
    try:
        if len(values) != len(FIELDS) or None in values.values():
            raise ValueError("another number of cells")
        row = Row(**{name: kinds[name](values[name]) for name in FIELDS})
        for name, value in vars(row).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} of '{row.method}', seed {row.seed}, is {value}")
        return row
    except ValueError as error:
        raise InputError(
            f"Line {number} of {path} is no row of results ({error}). Restore the file with git."
        ) from None


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds a folder, so that two commands do not write into one file at once."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def once(rows: Iterable[Row]) -> list[Row]:
    """The rows, each place once: what stands there again, such as a baseline that two runs played, is left out.

    Raises:
        InputError: if two controllers, or two results of one, have the same place.
    """
    kept: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        first = kept.setdefault(row.key, row)
        for name in ("fingerprint", "episodes", "mean_return", "mean_steps"):
            if first is not row and getattr(first, name) != getattr(row, name):
                raise InputError(
                    f"There are two rows of {row.body} for '{row.method}', configuration '{row.configuration}', seed {row.seed}, budget {row.budget:,}, split {row.split}, with {name} {getattr(first, name)} and {getattr(row, name)}; expected one. Leave one out."
                )
    return list(kept.values())


def opened(
    rows: Iterable[Row], key: tuple[Any, ...], fingerprint: str, episodes: int | None = None
) -> Row | None:
    """The row of that key, if it is there for that controller.

    Raises:
        InputError: if it is there for another one, or over another number of episodes than is asked for, if any is.
    """
    for row in rows:
        if row.key == key:
            if row.fingerprint == fingerprint and episodes not in (None, row.episodes):
                raise InputError(
                    f"'{row.method}', seed {row.seed}, was judged already, over {row.episodes} {row.split} episodes; {episodes} were asked for, and none was played. Leave out --episodes for that row, or name another file."
                )
            if row.fingerprint != fingerprint:
                what = f"'{row.method}', configuration '{row.configuration}', seed {row.seed}, budget {row.budget:,}"
                raise InputError(
                    f"The {row.split} seeds were opened already for {what}, with another controller. Name another configuration, or choose on the selection seeds."
                )
            return row
    return None


def append(path: str | Path, row: Row) -> Row:
    """Adds a row, whole or not at all; makes the file if need be. The row that stands there in the end.

    Raises:
        InputError: if its place is taken by another controller, or the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _held(path.parent):
            rows = read(path) if path.exists() else []
            if there := opened(rows, row.key, row.fingerprint, row.episodes):
                return there
            storage.write_csv(
                path, FIELDS, ([getattr(each, name) for name in FIELDS] for each in (*rows, row))
            )
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"Cannot write {path}: {error.strerror}. Name a file in a folder that you may write."
        ) from None
    return row


def judge(
    artefact: str | Path, *, path: str | Path | None = None, method: str = "", configuration: str = "", split: str = "test", episodes: int | None = None, command: str = "",
    world: str = "",
) -> Row:  # fmt: skip
    """Plays a saved controller on held-out seeds of its run, once, and adds the row to a file if one is named.

    Args:
        artefact: the folder of a controller or of PPO's policy, or its name in data/.
        path: the CSV file; it is looked at before an episode is played.
        method: in the table; by default the strategy that a controller's manifest names, or `ppo`.
        configuration: in the table; by default a controller's features, or PPO's configuration.
        split: `test` or `selection`.
        episodes: how many; those of the scale by default.
        command: that makes this row; the one that made the controller stands before it.
        world: the one whose features it sees; needed for `z` and `zh`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    made: Controller | Ppo = load(artefact, Controller.kind, Ppo.kind)
    if isinstance(made, Ppo):
        body, named = made.body, (made.kind, str(made.facts.get("configuration")))
    else:
        strategy = str(made.facts.get("search", {}).get("strategy") or made.kind)
        body, named = made.linear.body, (strategy, made.linear.features)
    facts, method, configuration = made.facts, method or named[0], configuration or named[1]
    seed, budget = (facts.get(name, 0) for name in ("seed", "budget"))
    if path is not None and Path(path).exists():
        key = (body.name, method, configuration, seed, budget, split)
        there = opened(read(path), key, made.fingerprint, episodes)
        if there is not None:
            return there
    policy: Policy = made
    if isinstance(made, Controller) and made.linear.features not in REAL:
        policy = Agent.of(made, load(world, "world") if world else None)
    played = evaluate.evaluate_policy(
        body,
        policy,
        name=f"{method} {configuration} {budget}",
        run=seed,
        split=split,
        episodes=episodes,
    )
    row = Row(
        body.name, method, configuration, seed, budget, facts.get("real_steps", 0), split, len(played.returns), round(float(played.returns.mean()), 3),
        round(float(played.lengths.mean()), 3), facts.get("seconds", 0.0), made.fingerprint, "; ".join(filter(None, [str(facts.get("command", "")), command])),
        round(float(facts["dreamed"]), 3) if "dreamed" in facts else None, facts.get("cpu_seconds"),
    )  # fmt: skip
    return row if path is None else append(path, row)


def judge_baseline(
    name: str,
    body: Body,
    *,
    seed: int = 0,
    path: str | Path | None = None,
    split: str = "test",
    episodes: int | None = None,
    command: str = "",
) -> Row:
    """Plays a policy that learns nothing on held-out seeds of a run, and adds the row to a file if one is named. It takes no real step to train.

    Raises:
        InputError: if there is no such policy, or a number is wrong.
    """
    played = evaluate.evaluate_policy(
        body, policies.named(name, body), name=name, run=seed, split=split, episodes=episodes
    )
    row = Row(
        body.name, name, "", seed, 0, 0, split, len(played.returns), round(float(played.returns.mean()), 3), round(float(played.lengths.mean()), 3), 0.0,
        storage.sha256(name.encode()), command,
    )  # fmt: skip
    return row if path is None else append(path, row)


@dataclass(frozen=True)
class Line:
    """One line of a table: a method's configuration on a body and a budget."""

    body: str
    method: str
    configuration: str
    budget: int
    seeds: int
    episodes: int
    episode_return: Runs
    steps: Runs
    seconds: float
    dreamed: Runs | None = None


@dataclass(frozen=True)
class Table:
    """What rows say by method, configuration and budget, with the number of seeds behind each number."""

    lines: tuple[Line, ...]

    def _cells(self) -> list[list[str]]:
        cells = [["method", "configuration", "real steps", "seeds", "return", "steps", "seconds", "dreamed return"]] + [
            [line.method, line.configuration, f"{line.budget:,}", f"{line.seeds} x {line.episodes}", str(line.episode_return), str(line.steps), f"{line.seconds:.0f}",
             str(line.dreamed) if line.dreamed else ""]
            for line in self.lines
        ]  # fmt: skip
        if not any(line.dreamed for line in self.lines):
            cells = [line[:-1] for line in cells]
        bodies = [line.body for line in self.lines]
        return (
            cells
            if len({*bodies}) == 1
            else [[body, *line] for body, line in zip(["body", *bodies], cells, strict=True)]
        )

    def __str__(self) -> str:
        """The table as text."""
        cells = self._cells()
        return aligned(cells, left=cells[0].index("real steps"))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table for notebooks and pages."""
        caption = "Mean of the training seeds, with its 95% interval, or each of them if they are fewer than five; seconds are those of training"
        return html_table(self._cells(), caption)


def table(rows: Iterable[Row], *, split: str = "test") -> Table:
    """Sums rows of one split up, by body and budget and then in the order in which they appear; a row that is given twice counts once.

    Raises:
        InputError: if there are none, or two rows for one place (`once`).
    """
    grouped: dict[tuple[str, int, str, str], list[Row]] = {}
    for row in once(row for row in rows if row.split == split):
        key = (row.body, row.budget, row.method, row.configuration)
        grouped.setdefault(key, []).append(row)
    if not grouped:
        raise InputError(f"There are no rows of the split '{split}' to sum up.")
    bodies = list(dict.fromkeys(key[0] for key in grouped))
    ordered = sorted(grouped, key=lambda key: (bodies.index(key[0]), key[1]))
    return Table(tuple(_line(grouped[key]) for key in ordered))


def _line(rows: Sequence[Row]) -> Line:
    returns, steps = [row.mean_return for row in rows], [row.mean_steps for row in rows]
    first, seconds = rows[0], sum(row.seconds for row in rows) / len(rows)
    dreamed = [row.dreamed for row in rows if row.dreamed is not None]
    return Line(
        first.body, first.method, first.configuration, first.budget, len(rows), min(row.episodes for row in rows), Runs.of(returns), Runs.of(steps), seconds,
        Runs.of(dreamed) if dreamed else None,
    )  # fmt: skip


# The result of the book in one box.

BUDGETS = (10_000, 30_000, 50_000, 100_000, 250_000)
WAYS = {
    "random actions": [("random", "")],
    "zero action": [("zero", "")],
    "a held pose (joint PD)": [("hold", "")],
    "PPO on the body": [("ppo", "rate-1e-4")],
    "evolution on the body": [("openai-es", "physics-64")],
    "in dreams of V and M": [
        ("one-shot world", "z, tau 0.8"),
        ("iterated world", "z, tau 1"),
        ("one-shot world", "z, tau 0.5"),
    ],
    "in dreams of an ensemble": [
        ("one-shot ensemble", "physics, tau 0.4"),
        ("iterated ensemble", "physics, tau 0.4"),
    ],
    "the walk (chapter 9)": [("walk", "linear")],
}
"""A line of the box, and the methods and configurations whose rows stand in it: at most one at each budget. `wmlib report` shows every other one."""

METHODS = {
    "evolution, 16": [("openai-es", "physics")],
    "evolution, 64": WAYS["evolution on the body"],
    "PPO": WAYS["PPO on the body"],
    "faithful": WAYS["in dreams of V and M"],
    "best": WAYS["in dreams of an ensemble"],
}
"""The methods that chapters 11 and 12 draw, by the names they have there; again at most one configuration at each budget."""

PUBLISHED = (
    ("PPO, CleanRL", 1_000_000, 716, "real"),
    ("SAC", 1_000_000, 5_195, "real"),
    ("TQC", 20_000_000, 10_371, "real"),
    ("MBPO", 100_000, 554, "model and real"),
    ("MBPO", 300_000, 4_863, "model and real"),
    ("DHMBPO", 50_000, 4_077, "model and real"),
    ("DHMBPO", 300_000, 6_586, "model and real"),
    ("SLBO", 200_000, 1_377, "dream alone"),
    ("PETS-CEM", 200_000, 111, "dream alone"),
    ("ME-TRPO", 200_000, 73, "dream alone"),
)
"""What others published for some version of this body: method, real steps, return, and where it learned; chapter 11 has the sources."""


def walks(path: str | Path) -> list[Row]:
    """The rows of chapter 9, `data/results/walk.csv`, as rows like the others: the method is `walk`, the configuration its way."""
    return [
        Row(
            "humanoid", "walk", row["way"], int(row["seed"]), 100_000, int(row["real_steps"]), "test", int(row["episodes"]), float(row["mean_return"]),
            float(row["mean_steps"]), float(row["seconds"]), row["fingerprint"], row["command"],
        )
        for row in storage.read_csv(Path(path))
    ]  # fmt: skip


def humanoid_rows(folder: Path | None = None) -> list[Row]:
    """The humanoid's rows on test episodes, in a folder or in the book's own; those of the walk are apart (`walks`)."""
    folder = folder or storage.data_folder() / "results"
    every = [row for name in ("baselines", "real", "dream") for row in read(folder / f"{name}.csv")]
    return [row for row in every if row.split == "test" and row.body == "humanoid"]


@dataclass(frozen=True)
class Box:
    """Who stands how long after how many real steps, on test episodes.

    Attributes:
        cells: name of the line -> budget -> its line of the table.
    """

    cells: dict[str, dict[int, Line]]

    def _cells(self) -> list[list[str]]:
        def said(line: Line | None) -> str:
            if line is None:
                return ""
            runs = line.episode_return
            few = ": " + ", ".join(f"{value:,.0f}" for value in runs.values)
            seeds = f"{line.seeds} seed{'s' * (line.seeds > 1)}"
            few = few if 1 < line.seeds < FEWEST else ""
            return f"{runs.middle:,.0f} ({line.steps.middle:.0f} steps, {seeds}{few})"

        head = ["real steps", *(f"{k:,}" for k in BUDGETS)]
        return [
            head,
            *([name, *(said(at.get(k)) for k in BUDGETS)] for name, at in self.cells.items()),
        ]

    def __str__(self) -> str:
        """The box as text."""
        return f"{aligned(self._cells())}\n{self._others()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The box for notebooks and pages."""
        caption = f"Mean return on test episodes, by the real steps that training may take; in brackets the steps that the body stands, of 1,000, and the training seeds, each of them if they are fewer than {FEWEST}"
        return f'<div class="wm-box">{html_table(self._cells(), caption)}</div><p><small>{self._others()}</small></p>'

    def _others(self) -> str:
        said = "; ".join(f"{name} {value:,} ({steps:,})" for name, steps, value, _ in PUBLISHED)
        return f"Published by others on versions of this body (real steps in brackets): {said}."


def box(folder: str | Path | None = None) -> Box:
    """The box, from the rows in a folder; those of the book by default."""
    folder = Path(folder) if folder is not None else storage.data_folder() / "results"
    found = table([*humanoid_rows(folder), *walks(folder / "walk.csv")])
    lines = {(line.method, line.configuration, line.budget): line for line in found.lines}
    return Box(
        {
            name: {
                budget: line
                for budget in BUDGETS
                for way in ways
                # who learns nothing has one line for every budget
                if (line := lines.get((*way, budget)) or lines.get((*way, 0)))
            }
            for name, ways in WAYS.items()
        }
    )
