"""The gate: `python -m tools test`. A few commands in a row, at smoke scale; the cheap ones first, and all of them even if one fails.

Tests and chapters are one run of pytest, in which every chapter is executed once. The pages are typeset from what the chapters gave, and looked at.
The last line adds up what pytest counted, and one for each command that is not pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time

from tools.executor import ROOT, WORKERS, command, environment

TESTS = (
    "-m",
    "not slow and not site",
    "--durations=20",
    "--nbval-cell-timeout=120",
    "tests",
    "chapters",
)
SITE = f"-m pytest --color=no -n {WORKERS} --dist loadgroup -m".split()
# What is run, and the seconds on 2 cores that it may take: 20 a chapter (two run at a time), 200 of other tests, 30 of sabotages; of the look at the site 30 are for JupyterLab.
STEPS: dict[str, tuple[int, list[str]]] = {
    "lint": (30, [sys.executable, *"-m ruff check --output-format=concise".split()]),
    "format": (10, [sys.executable, *"-m ruff format --check".split()]),
    "layers": (10, ["lint-imports", "--no-cache"]),
    "types": (30, [sys.executable, *"-m mypy --no-color-output".split()]),
    "tests": (360, command(*TESTS)),
    "pages": (60, [sys.executable, *"-m tools.book --scale smoke".split()]),
    "site": (90, [sys.executable, *SITE, "site and not slow", "tests"]),
}
BUDGET = 600  # seconds in all; what the steps leave is the reserve


def run(line: list[str]) -> tuple[int, str]:
    """Runs one command, shows what it says, and returns its exit code and its last lines."""
    said = b""
    with subprocess.Popen(
        line,
        cwd=ROOT,
        env=environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        while piece := os.read(process.stdout.fileno(), 4096):
            print(piece.decode(errors="replace"), end="", flush=True)
            said = (said + piece)[-2000:]
    return process.returncode, said.decode(errors="replace")


def main(argv: list[str]) -> int:
    """Runs the steps asked for (all of them by default); 0 only when every one is well."""
    parser = argparse.ArgumentParser(
        prog="python -m tools test", description="The gate: every check of the book."
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="STEP",
        choices=STEPS,
        default=list(STEPS),
        help=f"run these steps only: {', '.join(STEPS)}",
    )
    table, counts = [], {"passed": 0, "failed": 0, "skipped": 0}
    for name in parser.parse_args(argv).only:
        print(f"\n--- {name}", flush=True)
        started = time.monotonic()
        code, said = run(STEPS[name][1])
        table.append(
            f"{name:8} {'ok' if code == 0 else 'FAILED':8} {time.monotonic() - started:5.0f} s of {STEPS[name][0]} s"
        )
        closing = {
            word: int(number)
            for number, word in re.findall(
                r"(\d+) (passed|failed|error|skipped)", said.strip().rpartition("\n")[2]
            )
        }
        closing = closing or {"passed": int(code == 0)}
        counts = {word: number + closing.get(word, 0) for word, number in counts.items()}
        counts["failed"] += max(
            closing.get("error", 0), int(code != 0 and not closing.get("failed"))
        )
    spent = sum(float(line.split()[2]) for line in table)
    print(
        "\n"
        + "\n".join(table)
        + f"\n{spent:.0f} s of the {BUDGET} s that the gate may take"
        + (": TOO SLOW" if spent > BUDGET else "")
    )
    print(
        f"{counts['passed']} passed, {counts['failed']} failed"
        + (f", {counts['skipped']} skipped" if counts["skipped"] else "")
    )
    return int(counts["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
