"""Sizes of a run, and which seeds are for what.

Every chapter and every command reads its sizes here, so that one notebook serves the test (`smoke`), the class
(`small`) and the long run (`large`). The scale is chosen by the environment variable `WM_SCALE`.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass

from wmlib.runs import InputError


@dataclass(frozen=True)
class Scale:
    """The sizes of one scale.

    Attributes:
        name: `smoke`, `small` or `large`.
        real_steps: environment steps that gathering may take.
        eval_episodes: real episodes behind the mean of one run.
    """

    name: str
    real_steps: int
    eval_episodes: int


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", real_steps=400, eval_episodes=8),
        Scale("small", real_steps=10_000, eval_episodes=100),
        Scale("large", real_steps=250_000, eval_episodes=1_000),
    )
}

# Three disjoint ranges of episode seeds. What is trained on, chosen by, and reported never meet.
TRAINING_SEEDS = range(0, 100_000_000)
SELECTION_SEEDS = range(100_000_000, 200_000_000)
TEST_SEEDS = range(200_000_000, 300_000_000)
SEEDS_PER_RUN = 100_000


def current() -> Scale:
    """The scale named by `WM_SCALE`, or `small`.

    Raises:
        InputError: if `WM_SCALE` names no scale.
    """
    name = os.environ.get("WM_SCALE") or "small"
    if name not in SCALES:
        near = difflib.get_close_matches(name, SCALES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(f"WM_SCALE is '{name}'; expected one of {', '.join(SCALES)}.{hint}")
    return SCALES[name]


def run_seeds(seeds: range, run: int) -> range:
    """The block of episode seeds that run number `run` may use, so that two runs share no episode.

    Args:
        seeds: one of `TRAINING_SEEDS`, `SELECTION_SEEDS`, `TEST_SEEDS`.
        run: the run's own seed, 0 to 999; the unit over which intervals are taken.

    Raises:
        InputError: if `run` is outside 0 to 999.
    """
    n_runs = len(seeds) // SEEDS_PER_RUN
    if not 0 <= run < n_runs:
        raise InputError(
            f"The seed of a run is {run}; expected a whole number from 0 to {n_runs - 1}."
        )
    return seeds[run * SEEDS_PER_RUN : (run + 1) * SEEDS_PER_RUN]
