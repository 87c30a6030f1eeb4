"""`python -m tools walk [SEED ...] [--way NAME] [--list]`: the rows of chapter 9, one training seed at a time.

A seed takes half an hour or less on two cores. Stopped, the same command goes on; what has its row in `data/results/walk.csv` is not made again. Each row
is C as it was when the real steps were spent, on test episodes that are opened once: no round, no seed and no candidate is chosen by a real return.
The rounds of each row stand in `data/results/walk-rounds.csv`; what the runs leave is in `runs/walk/`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.cli import main as wmlib
from wmlib.control.controller import Controller
from wmlib.loading import load
from wmlib.real.rollout import rollout
from wmlib.seeds import TEST_SEEDS, run_seeds

ROOT = Path(__file__).resolve().parent.parent
RUNS, ROWS, ROUNDS = Path("runs/walk"), Path("data/results/walk.csv"), Path("data/results/walk-rounds.csv")  # fmt: skip
SEEDS, EPISODES, TAKE_OFF = range(10), 100, 3_000
WAYS = {
    "linear": "",
    "32 tanh units": "--hidden 32",
    "one-step loss": "--first-own-updates 0 --own-updates 0",
    "torques": "--torques",
    "tau 1": "--tau 1",
    "tau 0": "--tau 0",
    "a tenth of the dreams": "--generations 2",
    "half the updates": "--first-updates 3000 --first-own-updates 300 --updates 400 --own-updates 100",
    "narrow model": "--width 64 --layers 2",
}
"""The way of the headline, and what is changed in each of the others."""
OF_A_ROUND = ("way", "seed", "round", "real_steps", "dreamed_steps", "gathered", "dreamed", "dreamed_length", "horizon", "real", "real_length", "metres", "seconds")  # fmt: skip
OF_A_ROW = ("way", "seed", "real_steps", "dreamed_steps", "take_off", "episodes", "mean_return", "spread", "stood", "mean_steps", "metres", "seconds", "fingerprint", "command")  # fmt: skip


def add(path: Path, fields: tuple[str, ...], new: list[dict[str, Any]]) -> None:
    """Puts rows of one way and seed in the place of those that are there, whole or not at all."""
    which = new[0]["way"], str(new[0]["seed"])
    there = [row for row in storage.read_csv(path) if (row["way"], row["seed"]) != which]
    rows: list[dict[str, Any]] = [*there, *new]
    storage.write_csv(path, fields, ([row[name] for name in fields] for row in rows))


def judged(way: str, seed: int, C: Controller) -> dict[str, Any]:
    """The row of a C: test episodes of its run."""
    played = rollout(C.linear.body, C, run_seeds(TEST_SEEDS, seed)[:EPISODES], keep_obs=False)
    returns = np.array([episode.episode_return for episode in played])
    log: list[dict[str, Any]] = C.facts["log"]
    taken = [row["real_steps"] for row in log if row["real"] >= TAKE_OFF]
    return {
        "way": way, "seed": seed, "real_steps": C.facts["real_steps"], "dreamed_steps": C.facts["dreamed_steps"], "take_off": taken[0] if taken else "",
        "episodes": len(played), "mean_return": round(float(returns.mean()), 2), "spread": round(float(returns.std()), 2),
        "stood": sum(not episode.terminated for episode in played), "mean_steps": round(float(np.mean([len(episode) for episode in played])), 2),
        "metres": round(float(np.mean([episode.qpos[-1, 0] - episode.qpos[0, 0] for episode in played])), 2), "seconds": C.facts["seconds"],
        "fingerprint": C.fingerprint, "command": C.facts["command"],
    }  # fmt: skip


def make(way: str, seed: int) -> None:
    """One row, and those of its rounds, unless they are there."""
    if any((row["way"], row["seed"]) == (way, str(seed)) for row in storage.read_csv(ROWS)):
        print(f"{way}, seed {seed}: its row is there")
        return
    out = RUNS / f"{way.replace(' ', '-')}-{seed}"
    words = f"walk {WAYS[way]} --seed {seed} --out {out}"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        if code := wmlib(shlex.split(words)):
            sys.exit(code)
    C: Controller = load(out, Controller.kind)
    row, log = judged(way, seed, C), C.facts["log"]
    of = {"way": way, "seed": seed}
    rounds = [of | {name: round(each[name], 2) for name in OF_A_ROUND[2:]} for each in log]
    add(ROUNDS, OF_A_ROUND, rounds)
    add(ROWS, OF_A_ROW, [row])
    print(row, flush=True)


def main(argv: list[str]) -> int:
    """Makes the rows that are missing."""
    parser = argparse.ArgumentParser(prog="python -m tools walk", description="The rows of chapter 9.")  # fmt: skip
    parser.add_argument("seeds", nargs="*", type=int, default=SEEDS, help="training seeds (default: 0 to 9)")  # fmt: skip
    parser.add_argument("--way", choices=WAYS, default="linear", help="what is changed (default: nothing, %(default)s)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="say which rows are there, and make none")  # fmt: skip
    options = parser.parse_args(argv)
    os.chdir(ROOT)
    if options.list:
        for way in WAYS:
            print(
                f"{way:24}", *(row["seed"] for row in storage.read_csv(ROWS) if row["way"] == way)
            )
        return 0
    for seed in options.seeds:
        make(options.way, seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
