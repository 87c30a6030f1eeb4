"""`python -m tools evidence [GROUP ...] [--seeds N ...] [--list]`: the rows of chapters 5, 8 and 11, one training seed at a time.

A way is a few commands of `wmlib` with a training seed put in; its rows are judged on 100 episodes each. `search` is tried on selection episodes and on
training seeds that no result uses, and chooses; the other groups are judged on test episodes, once. What has its row is not made again, and a
command that was stopped goes on. Folders of the runs are kept in `runs/evidence/`. PPO needs the environment of `requirements-ppo.lock`: name its
Python in WM_TORCH_PYTHON, or its rows are left out.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wmlib import results
from wmlib.cli import main as wmlib

ROOT = Path(__file__).resolve().parent.parent
RUNS, ROWS = Path("runs/evidence"), Path("data/results")
EPISODES = 100
SEARCH_SEEDS, SEEDS = (900, 901, 902), tuple(range(10))


@dataclass(frozen=True)
class Way:
    """What is trained, and where its rows stand.

    Attributes:
        file: in data/results, without its ending; what is tried is judged on selection episodes, the rest on test episodes.
        method: of the rows.
        configuration: of the rows.
        words: one command; its folder and its seed are added.
        budgets: of the rows, in real steps; the last is that of the command.
        seeds: training seeds.
    """

    file: str
    method: str
    configuration: str
    words: str
    budgets: tuple[int, ...]
    seeds: tuple[int, ...] = SEEDS

    def key(self, seed: int, budget: int) -> tuple[str, str, int, int]:
        """What there is one row of in its file."""
        return self.method, self.configuration, seed, budget

    def place(self, seed: int) -> Path:
        """Its folder."""
        name = f"{self.method}-{self.configuration}-{self.budgets[-1]}-{seed}"
        return RUNS / "".join(c if c.isalnum() or c in "-." else "-" for c in name)


def _awake(file: str, strategy: str, popsize: int, checks: int, **more: tuple[int, ...]) -> Way:
    """Evolution on the real body, at 10,000 and 30,000 real steps."""
    words = f"train-controller --strategy {strategy} --popsize {popsize} --check-episodes {checks} --steps 30000 --budgets 10000 --workers 1"
    name = f"physics, {popsize}" + ("" if checks else ", unchecked")
    return Way(file, strategy, name, words, (10_000, 30_000), **more)


_ONE_SHOT = "iterate --steps 10000 --first 10000 --tau 0.4 --fresh"
_IN_DREAMS = {
    "openai-es, 64": "--strategy openai-es --popsize 64 --generations 80",
    "elites, 64": "--strategy elites --popsize 64 --sigma 0.02 --generations 80",
    "cem, 64": "--strategy cem --popsize 64 --sigma 0.02 --generations 80",
    "cma-es, 64": "--strategy cma-es --popsize 64 --sigma 0.02 --generations 80",
}
GROUPS: Mapping[str, list[Way]] = {
    "search": [
        _awake("tried", strategy, popsize, checks, seeds=SEARCH_SEEDS)
        for checks in (24, 0)
        for popsize in (16, 32, 64)
        for strategy in ("openai-es", "elites", "cem", "cma-es")
    ],
    "search-ppo": [
        Way("tried", "ppo", name, f"train-ppo --configuration {name} --steps 30000 --marks 10000", (10_000, 30_000), SEARCH_SEEDS)
        for name in ("default", "tuned", "rate-1e-4", "tuned-physics", "rate-1e-4-physics", "rate-3e-4-physics")
    ],
    "search-dreams": [
        Way("tried-dream", "one-shot ensemble", name, f"{_ONE_SHOT} {how}", (10_000,), SEARCH_SEEDS)
        for name, how in _IN_DREAMS.items()
    ],
}  # fmt: skip


def train(way: Way, seed: int) -> bool:
    """Makes the controllers of a way, unless they are there; false if that needs what this machine lacks."""
    out, words = way.place(seed), shlex.split(f"{way.words} --seed {seed}")
    if out.exists():
        return True
    out.parent.mkdir(parents=True, exist_ok=True)
    print(f"wmlib {shlex.join([*words, '--out', str(out)])}", flush=True)
    if words[0] == "train-ppo":
        if not (python := os.environ.get("WM_TORCH_PYTHON")):
            return False
        subprocess.run([python, "-m", "wmlib", *words, "--out", str(out)], check=True)
    elif code := wmlib([*words, "--out", str(out)]):
        sys.exit(code)
    return True


def judge(way: Way, seed: int, budget: int) -> None:
    """One row."""
    out, tried = way.place(seed), way.file.startswith("tried")
    kept = out if budget == way.budgets[-1] else out.with_name(f"{out.name}-{budget}")
    words = [
        "evaluate", "--controller", str(kept), "--method", way.method, "--configuration", way.configuration,
        "--split", "selection" if tried else "test", "--episodes", str(EPISODES), "--row", str(ROWS / f"{way.file}.csv"),
    ]  # fmt: skip
    if "--model world" in way.words:
        words += ["--world", f"{out}-model"]
    if way.method == "ppo":
        subprocess.run([os.environ["WM_TORCH_PYTHON"], "-m", "wmlib", *words], check=True)
    elif code := wmlib(words):
        sys.exit(code)


def there(file: str) -> set[tuple[str, str, int, int]]:
    """Keys of the rows of a file."""
    path = ROWS / f"{file}.csv"
    rows = results.read(path) if path.exists() else []
    return {(row.method, row.configuration, row.seed, row.budget) for row in rows}


def main(argv: list[str]) -> int:
    """Makes the rows that are missing, seed by seed, so that every way has the same ones."""
    parser = argparse.ArgumentParser(prog="python -m tools evidence", description="The rows of chapters 5, 8 and 11.")  # fmt: skip
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help=f"which: {', '.join(GROUPS)} (default: all)")  # fmt: skip
    parser.add_argument("--seeds", nargs="*", type=int, help="training seeds (default: those of the group)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="say which rows are there, and make none")  # fmt: skip
    options = parser.parse_args(argv)
    os.chdir(ROOT)
    for group in options.groups or GROUPS:
        ways = GROUPS[group]
        if options.list:
            for way in ways:
                done = there(way.file)
                have = {b: [s for s in way.seeds if way.key(s, b) in done] for b in way.budgets}
                print(f"{group:14} {way.method}, {way.configuration}: {have}")
            continue
        for seed in options.seeds or sorted({seed for way in ways for seed in way.seeds}):
            for way in ways:
                missing = [b for b in way.budgets if way.key(seed, b) not in there(way.file)]
                if missing and train(way, seed):
                    for budget in missing:
                        judge(way, seed, budget)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
