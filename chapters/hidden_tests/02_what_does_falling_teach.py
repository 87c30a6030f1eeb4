"""What marks the graded exercises of chapter 2. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def standardise(answer, rng):
    """Columns far from 0 in single precision, and a column that is constant."""
    columns = (rng.normal(size=(50, 3)) * [0.1, 3.0, 50.0] + [1000.0, 0.0, 7.0]).astype(
        np.float32
    )
    wide = np.asarray(columns, dtype=np.float64)
    centred = wide - wide.mean(axis=0)
    slips = {
        "The deviation is the root of the variance.": centred / wide.var(axis=0),
        "Divide by the deviation as well.": centred,
        "Mean and deviation are those of each column: axis=0.": (wide - wide.mean())
        / wide.std(),
        "Take n, not n - 1, under the root: the deviation of these very rows.": centred
        / wide.std(axis=0, ddof=1),
    }
    yield Case(
        "three columns",
        centred / wide.std(axis=0),
        lambda: answer(columns.copy()),
        "Convert to float64 before you take the mean.",
        slips,
    )
    constant = np.full((20, 1), rng.uniform(1, 9), dtype=np.float32)
    yield Case(
        "a constant column",
        np.zeros((20, 1)),
        lambda: answer(constant.copy()),
        "Where the deviation is 0, divide by the floor.",
        atol=1e-3,
    )
    still = 5.0 + 1e-5 * rng.normal(size=(20, 1))
    moved = still - still.mean()
    yield Case(
        "a column that hardly moves",
        moved / 1e-3,
        lambda: answer(still.copy()),
        "No deviation is taken smaller than 1e-3.",
        {
            "That floor is too low: a wobble became whole deviations.": moved
            / still.std(),
        },
    )


def crossing_share(answer, rng):
    """Lives that are all longer than the window, and lives of which some are shorter."""
    for what, low in [
        ("lives longer than the window", 20),
        ("lives of which some are shorter than the window", 2),
    ]:
        lengths, length = rng.integers(low, 60, 12), int(rng.integers(8, 18))
        lengths[0] = low
        inside, total = lengths - length + 1, lengths.sum()
        share = 1 - np.maximum(0, inside).sum() / total
        slips = {
            "That is the share of windows that lie inside one episode: the others are asked for.": 1
            - share,
            "A short episode has no place for a window: 0, not less.": 1
            - inside.sum() / total,
            "An episode of T steps has T - L + 1 places for a window of L: one more.": 1
            - np.maximum(0, inside - 1).sum() / total,
        }
        call = lambda lengths=lengths, length=length: answer(lengths.copy(), length)
        yield Case(
            what,
            share,
            call,
            "Count the places inside each episode, and sum before you divide.",
            slips,
        )
