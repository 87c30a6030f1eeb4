"""Which episode seeds are for what: three disjoint ranges, a block of each for every run."""

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
