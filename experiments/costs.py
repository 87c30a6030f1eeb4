"""`python -m tools costs RUN ...`: what each stage of whole runs took, as rows of `data/results/runs.csv`.

A run is a folder that `wmlib small` or `wmlib large` made. One row a stage, and one for each policy that was judged at the end. Seconds are those
that a stage's own manifest has: without the start of Python, and without the judging, which no manifest times. The rows of a run (scale and seed)
replace those that were there, so that the same command may be given again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from wmlib import results, storage, whole
from wmlib.errors import InputError

FILE = Path(__file__).resolve().parent.parent / "data" / "results" / "runs.csv"


@dataclass(frozen=True)
class Cost:
    """One stage of one run.

    Attributes:
        scale: `smoke`, `small` or `large`.
        seed: of the run.
        stage: in words, as `wmlib report` has it; `judge ...` for a policy at the end.
        command: that is this stage alone.
        seconds: that it took; empty for judging.
        real_steps: real steps that it took.
        mean_return: of the policy that was judged, over its test episodes.
        mean_steps: that it survived.
    """

    scale: str
    seed: int
    stage: str
    command: str
    seconds: float | None
    real_steps: int
    mean_return: float | None = None
    mean_steps: float | None = None


FIELDS = [item.name for item in fields(Cost)]


def read(path: Path = FILE) -> list[Cost]:
    """The rows of the file; none if it is missing."""
    if not path.exists():
        return []

    def number(text: str) -> float | None:
        return float(text) if text else None

    with path.open(newline="", encoding="utf-8") as file:
        return [
            Cost(
                row["scale"], int(row["seed"]), row["stage"], row["command"], number(row["seconds"]), int(row["real_steps"]),
                number(row["mean_return"]), number(row["mean_steps"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def of(run: Path) -> list[Cost]:
    """The rows of a run.

    Raises:
        InputError: if the folder holds no run that is done.
    """
    try:
        config = json.loads((run / whole.CONFIG).read_bytes())
    except (OSError, ValueError):
        raise InputError(
            f"{run} holds no run. Expected a folder that `wmlib small --out {run}` made."
        ) from None
    scale, seed = str(config["scale"]), int(config["seed"])
    made = []
    for name, label in whole.PARTS.items():
        if not (run / name).is_dir():
            raise InputError(
                f"{run} is not done: there is no {run / name}. Give the run's own command again, and wait for its end."
            )
        manifest = storage.read_manifest(run / name)
        own = (
            manifest["log"][-1] if label.startswith("dream") else manifest
        )  # C's manifest counts the stages before it, its log does not
        command = str(manifest["command"]).rsplit("; ", 1)[-1]
        made.append(
            Cost(
                scale,
                seed,
                label,
                command,
                float(own["seconds"]),
                int(manifest["real_steps"]) if name == "experience" else 0,
            )
        )
    for row in results.read(run / whole.ROWS):
        command = row.command.rsplit("; ", 1)[-1]
        made.append(
            Cost(
                scale,
                seed,
                f"judge {row.method}",
                command,
                None,
                round(row.mean_steps * row.episodes),
                row.mean_return,
                row.mean_steps,
            )
        )
    return made


def write(rows: list[Cost], path: Path = FILE) -> None:
    """Puts the rows of some runs in the file, in place of older ones of the same runs."""
    new = {(row.scale, row.seed) for row in rows}
    kept = [row for row in read(path) if (row.scale, row.seed) not in new]
    order = list(whole.PLANS)
    every = sorted(
        kept + rows, key=lambda row: (order.index(row.scale), row.seed)
    )  # stable: stages keep their order
    storage.write_csv(path, FIELDS, ([getattr(row, name) for name in FIELDS] for row in every))


def main(argv: list[str]) -> int:
    """Reads run folders; prints and writes their rows."""
    parser = argparse.ArgumentParser(
        prog="python -m tools costs", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders that `wmlib small` or `wmlib large` made",
    )
    parser.add_argument("--out", type=Path, default=FILE, help="the file (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        rows = [row for run in options.runs for row in of(run)]
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    write(rows, options.out)
    for row in rows:
        took = (
            f"{row.seconds:8.0f} s" if row.seconds is not None else f"return {row.mean_return:.0f}"
        )
        print(
            f"{row.scale:6} seed {row.seed}  {row.stage:24} {took:>12}  {row.real_steps:>8,} real steps"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
