"""Which episode seeds are for what: three disjoint ranges, a block of each for every run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wmlib.errors import whole

# Three disjoint ranges of episode seeds. What is trained on, chosen by, and reported never meet.
TRAINING_SEEDS = range(0, 100_000_000)
SELECTION_SEEDS = range(100_000_000, 200_000_000)
TEST_SEEDS = range(200_000_000, 300_000_000)
SEEDS_PER_RUN = 100_000


def run_seeds(seeds: range, run: int) -> range:
    """The block of episode seeds that run number `run` may use, so that two runs share no episode.

    Args:
        seeds: one of `TRAINING_SEEDS`, `SELECTION_SEEDS`, `TEST_SEEDS`.
        run: the run's own seed, 0 to 999; the unit over which intervals are taken.

    Raises:
        InputError: if `run` is outside 0 to 999.
    """
    n_runs = len(seeds) // SEEDS_PER_RUN
    run = whole(run, "The seed of a run", 0, n_runs - 1)
    return seeds[run * SEEDS_PER_RUN : (run + 1) * SEEDS_PER_RUN]


def spans(
    seeds: Iterable[int], known: Iterable[tuple[int, int]] = ()
) -> tuple[tuple[int, int], ...]:
    """Episode seeds, and stretches of them that are known, as (first, last) of each stretch without a gap: short, for a manifest."""
    found: list[tuple[int, int]] = []
    for low, high in sorted([*((int(seed), int(seed)) for seed in seeds), *known]):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def within(seeds: Iterable[int], stretches: Sequence[tuple[int, int]]) -> list[int]:
    """Those of some seeds that lie in one of these stretches."""
    return [int(seed) for seed in seeds if any(low <= seed <= high for low, high in stretches)]
