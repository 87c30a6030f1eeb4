"""`python -m tools bodies [BODY SEED | --pendulum | --all]`: the rows of chapter 13, one body and one training seed at a time.

Each row is made by stages of `wmlib`, whose words stand here; what has its row in `data/results/bodies.csv` (or `pendulum.csv`) is not made again, and
a stage that was stopped goes on. Folders of the runs are kept in `runs/bodies/`. PPO needs the environment of `requirements-ppo.lock`: name its
Python in WM_TORCH_PYTHON, or its rows are left out.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from wmlib import results
from wmlib.cli import main as wmlib

ROOT = Path(__file__).resolve().parent.parent
RUNS = Path("runs/bodies")
ROWS, PENDULUM = Path("data/results/bodies.csv"), Path("data/results/pendulum.csv")
ENDLESS = (
    "half_cheetah",
    "swimmer",
    "ant",
)  # episodes of 1,000 steps: fewer of them are judged, and shorter ones are evolved on
BODIES = (
    "inverted_pendulum",
    "inverted_double_pendulum",
    "hopper",
    "walker2d",
    "swimmer",
    "half_cheetah",
    "ant",
)
SEEDS = (0, 1, 2)
STEPS = 10_000
PENDULUM_SEEDS = range(10)
_LOOP = "iterate --body inverted_pendulum --size 64 --first-updates 1500 --updates 800 --generations 30 --popsize 32 --episodes 6 --horizon 200 --round-episodes 16"
PENDULUM_WAYS = {
    "dreamed, two rounds": f"{_LOOP} --recent 60000 --steps 2000 --first 1000",
    "dreamed, one round": f"{_LOOP} --steps 1000 --first 1000",
    "dreamed, a glance": f"{_LOOP} --steps 200 --first 200",
    "cma-es, awake": "train-controller --body inverted_pendulum --strategy cma-es --popsize 16 --steps 2000 --check-episodes 0",
}


def run(words: str, out: Path) -> None:
    """One stage, unless what it makes is there."""
    if not out.exists():
        print(f"  wmlib {words} --out {out}", flush=True)
        if code := wmlib([*shlex.split(words), "--out", str(out)]):
            sys.exit(code)


def judge(words: str, rows: Path, body: str) -> None:
    """One row."""
    episodes = 20 if body in ENDLESS else 100
    if code := wmlib(
        [*shlex.split(words), "--split", "test", "--episodes", str(episodes), "--row", str(rows)]
    ):
        sys.exit(code)


def there(rows: Path) -> set[tuple[str, str, int]]:
    """Body, method and seed of each row."""
    return (
        {(row.body, row.method, row.seed) for row in results.read(rows)} if rows.exists() else set()
    )


def one(body: str, seed: int) -> None:
    """Every method on one body with one seed; about two minutes on two cores."""
    done, at = there(ROWS), RUNS / f"{body}-{seed}"
    at.mkdir(parents=True, exist_ok=True)
    experience, ensemble, vae, world = (
        at / name for name in ("experience", "ensemble", "vae", "world")
    )
    for policy in ("random", "zero", "hold"):
        if (body, policy, seed) not in done:
            judge(f"evaluate --policy {policy} --body {body} --seed {seed}", ROWS, body)
    if (body, "evolved awake", seed) not in done:
        short = "--max-steps 100" if body in ENDLESS else ""
        run(
            f"train-controller --body {body} --steps {STEPS} --popsize 16 --check-episodes 0 --seed {seed} {short}",
            at / "awake",
        )
        judge(f"evaluate --controller {at / 'awake'} --method 'evolved awake'", ROWS, body)
    if (body, "dreamed, ensemble", seed) not in done:
        run(f"gather --body {body} --policy mixed --steps {STEPS} --seed {seed}", experience)
        run(f"train-ensemble --data {experience} --hidden 128 --epochs 40 --seed {seed}", ensemble)
        run(
            f"dream --world {ensemble} --data {experience} --tau 0.4 --generations 60 --popsize 32 --horizon 100 --weight-decay 0.001 --seed {seed}",
            at / "c-ensemble",
        )
        judge(f"evaluate --controller {at / 'c-ensemble'} --method 'dreamed, ensemble'", ROWS, body)
    if (body, "dreamed, V and M", seed) not in done:
        run(f"gather --body {body} --policy mixed --steps {STEPS} --seed {seed}", experience)
        run(
            f"train-vae --data {experience} --z-dim 16 --epochs 40 --batch-size 256 --seed {seed}",
            vae,
        )
        run(
            f"train-mdnrnn --reward whole --vae {vae} --data {experience} --h-dim 64 --epochs 20 --batch-size 16 --seed {seed}",
            world,
        )
        run(
            f"dream --world {world} --data {experience} --features z --tau 0.8 --generations 40 --popsize 32 --horizon 100 --weight-decay 0.001 --seed {seed}",
            at / "c",
        )
        judge(
            f"evaluate --controller {at / 'c'} --world {world} --method 'dreamed, V and M'",
            ROWS,
            body,
        )
    if (body, "PPO", seed) not in done and (python := os.environ.get("WM_TORCH_PYTHON")):
        if not (at / "ppo").exists():
            words = f"train-ppo --body {body} --configuration default --steps {STEPS} --seed {seed} --out {at / 'ppo'}"
            print(f"  wmlib {words}", flush=True)
            subprocess.run(
                [python, "-m", "wmlib", *shlex.split(words)],
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        judge(f"evaluate --controller {at / 'ppo'} --method PPO", ROWS, body)


def pendulum() -> None:
    """The pole from nothing: four ways, ten seeds; about six minutes on two cores."""
    done = there(PENDULUM)
    for seed in PENDULUM_SEEDS:
        for number, (method, words) in enumerate(PENDULUM_WAYS.items()):
            if ("inverted_pendulum", method, seed) not in done:
                out = RUNS / f"pendulum-{number}-{seed}"
                out.parent.mkdir(parents=True, exist_ok=True)
                run(f"{words} --seed {seed}", out)
                judge(
                    f"evaluate --controller {out} --method '{method}'",
                    PENDULUM,
                    "inverted_pendulum",
                )
                for left in out.parent.glob(f"{out.name}-*"):
                    shutil.rmtree(left)


def main(argv: list[str]) -> int:
    """Makes the rows that are missing."""
    parser = argparse.ArgumentParser(
        prog="python -m tools bodies", description="The rows of chapter 13."
    )
    parser.add_argument("body", nargs="?", choices=BODIES)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument(
        "--pendulum", action="store_true", help="the pole from nothing: four ways, ten seeds"
    )
    parser.add_argument("--all", action="store_true", help="every body with the seeds 0, 1, 2")
    options = parser.parse_args(argv)
    if not (options.body or options.pendulum or options.all):
        parser.error("name a body and a seed, or give --pendulum or --all")
    os.chdir(ROOT)
    for body, seed in (
        [(body, seed) for seed in SEEDS for body in BODIES]
        if options.all
        else [(options.body, options.seed)]
        if options.body
        else []
    ):
        started = time.monotonic()
        one(body, seed)
        print(f"{body}, seed {seed}: {time.monotonic() - started:.0f} s", flush=True)
    if options.pendulum:
        pendulum()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
