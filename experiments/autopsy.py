"""`python -m tools autopsy [SEED ...]`: the rows of chapter 10: the report's agent with all mistakes, with all but one, with none.

One seed takes some minutes on two cores. What has its row in `data/results/autopsy.csv` is not made again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wmlib import autopsy
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.vae import VAE
from wmlib.real import body, episodes
from wmlib.storage import read_csv, write_csv

ROWS = Path(__file__).resolve().parent.parent / "data/results/autopsy.csv"
FIELDS = (
    "mistakes",
    "seed",
    "real_steps",
    "episodes",
    "mean_return",
    "mean_steps",
    "per_step",
    "control_cost",
    "seconds",
    "command",
)
STEPS, EPISODES, SEEDS = 10_000, 100, (0, 1, 2)
VARIANTS = {
    "all": autopsy.Mistakes(),
    "none": autopsy.MENDED,
    **{f"all but {name}": autopsy.Mistakes().without(name) for name in autopsy.NAMES},
}


def add(row: dict[str, object]) -> None:
    """Adds a row, whole or not at all."""
    rows: list[Mapping[str, object]] = [*read_csv(ROWS), row]
    write_csv(ROWS, FIELDS, ([each[name] for name in FIELDS] for each in rows))


def make(seed: int) -> None:
    """The rows of one seed that are missing."""
    done = {(row["mistakes"], int(row["seed"])) for row in read_csv(ROWS)}
    humanoid, sizes = body.get("humanoid"), autopsy.Sizes()
    gathered = episodes.gather(humanoid, "random", STEPS, seed)
    learned: dict[tuple[bool, bool, bool], tuple[VAE, MDNRNN]] = {}
    for name, mistakes in VARIANTS.items():
        if (name, seed) in done:
            continue
        started, of_models = (
            time.monotonic(),
            (mistakes.spikes, mistakes.shifted, mistakes.crossing),
        )
        if of_models not in learned:
            learned[of_models] = autopsy.learn(gathered, mistakes, sizes, seed)
        agent = autopsy.evolve(humanoid, *learned[of_models], mistakes, sizes, seed)
        played = autopsy.deploy(agent, EPISODES, seed)
        steps = sum(map(len, played))
        total = sum(episode.episode_return for episode in played)
        cost = (
            sum(float(episode.terms["control"].sum()) for episode in played if episode.terms)
            / steps
        )
        row = {
            "mistakes": name, "seed": seed, "real_steps": gathered.n_steps, "episodes": EPISODES, "mean_return": round(total / EPISODES, 2),
            "mean_steps": steps / EPISODES, "per_step": round(total / steps, 4), "control_cost": round(-cost, 4),
            "seconds": round(time.monotonic() - started, 1), "command": f"python -m tools autopsy {seed}",
        }  # fmt: skip
        add(row)
        print(row, flush=True)


def main(argv: list[str]) -> int:
    """Makes rows."""
    parser = argparse.ArgumentParser(
        prog="python -m tools autopsy", description="The rows of chapter 10."
    )
    parser.add_argument(
        "seeds", nargs="*", type=int, default=SEEDS, help="training seeds (default: 0 to 2)"
    )
    np.seterr(all="raise", under="ignore")
    for seed in parser.parse_args(argv).seeds:
        make(seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
