"""What marks the graded exercises of chapter 7. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def trusted_steps(answer, rng):
    """Dreams of different lengths, some of which never go wrong, and some of which go wrong twice."""
    for what, n, steps in [("six dreams", 6, 9), ("many long dreams", 40, 30)]:
        error, limit = rng.uniform(0, 1, (n, steps)), 0.85
        error[0] *= 0.5  # never wrong
        error[1, 0] = 0.99  # wrong at once
        error[2, 2:4] = 0.99  # and again
        ends = rng.integers(4, steps + 1, n)
        error[np.arange(steps) >= ends[:, None]] = np.nan
        above = error > limit
        lived = np.isfinite(error).sum(axis=1)
        expected = np.where(above.any(axis=1), above.argmax(axis=1), lived)
        slips = {
            "A dream that never goes wrong holds for all its steps, not for none.": above.argmax(
                axis=1
            ),
            "Past its end a dream has no steps: count only those that it lived.": np.where(
                above.any(axis=1), above.argmax(axis=1), steps
            ),
            "Steps before the first wrong one: that one itself is not among them.": np.where(
                above.any(axis=1), above.argmax(axis=1) + 1, lived
            ),
            "That counts all steps that are right, also those after a wrong one.": (
                error <= limit
            ).sum(axis=1),
            "That is how long each dream lived.": lived,
        }
        call = lambda error=error, limit=limit: answer(error.copy(), limit)
        yield Case(
            what,
            expected,
            call,
            "Find the first step above the limit in each row; where there is none, count the steps that are not NaN.",
            slips,
        )


def doubtful_returns(answer, rng):
    """Members that disagree early, late, more than once, and never."""
    for what, n, steps in [("five dreams", 5, 8), ("many long dreams", 30, 25)]:
        reward, doubt, limit = (
            rng.normal(4, 2, (n, steps)),
            rng.uniform(0, 1, (n, steps)),
            0.8,
        )
        doubt[0] *= 0.5  # never
        doubt[1, 0] = 0.95  # at once
        doubt[2, [1, 4]] = 0.95  # twice
        above = doubt > limit
        before = np.cumsum(above, axis=1) - above
        expected = np.where(before == 0, reward, 0).sum(axis=1)
        slips = {
            "The step in which they disagree still counts.": np.where(
                np.cumsum(above, axis=1) == 0, reward, 0
            ).sum(axis=1),
            "After that step the dream is over: later steps do not count, whatever the members say.": np.where(
                above, 0, reward
            ).sum(axis=1),
            "That is the return of the whole dream.": reward.sum(axis=1),
            "One dream is one row: sum over its steps.": np.where(
                before == 0, reward, 0
            ).sum(axis=0),
        }
        call = lambda reward=reward, doubt=doubt, limit=limit: answer(
            reward.copy(), doubt.copy(), limit
        )
        yield Case(
            what,
            expected,
            call,
            "Count the alarms before each step; a step counts where there are none.",
            slips,
        )
