"""What marks the graded exercises of chapter 7. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def two_errors(answer, rng):
    """A dream that drifts, and one that is right but for one step."""
    for what, drift in [("a dream that drifts", 0.3), ("one wrong step", 0.0)]:
        steps, wide = 8, 3
        W, a = 0.6 * rng.normal(size=(wide, wide)), rng.normal(size=(steps, wide))
        truth = lambda s, a, W=W: np.tanh(s @ W) + a
        s = [rng.normal(size=wide)]
        for t in range(steps):
            wrong = drift * rng.normal(size=wide) + (t == 3) * rng.uniform(0.5, 1)
            s.append(truth(s[-1][None], a[t : t + 1])[0] + wrong)
        s, real = np.array(s), [s[0]]
        for t in range(steps):
            real.append(truth(real[-1][None], a[t : t + 1])[0])
        real = np.array(real)
        size = lambda off: np.sqrt(np.mean(off**2, axis=-1))
        local, total = size(s[1:] - truth(s[:-1], a)), size(s[1:] - real[1:])
        right = np.stack([local, total])
        slips = {
            "The two are the other way round: local first.": right[::-1],
            "The total error does not start again: truth goes on from its own last state, not from the dream's.": np.stack(
                [local, local]
            ),
            "The local error starts anew in each step, at the dream's own state.": np.stack(
                [total, total]
            ),
            "Each step is compared with the dreamed state after it, not before it.": np.stack(
                [size(s[:-1] - truth(s[:-1], a)), size(s[:-1] - real[1:])]
            ),
            "Root mean squares: the root is missing.": right**2,
            "The mean over the numbers of a state is asked for, not the sum.": right
            * np.sqrt(wide),
        }
        yield Case(
            what,
            right,
            lambda truth=truth, s=s, a=a: np.stack(answer(truth, s.copy(), a.copy())),
            "Local: truth from every dreamed state at once. Total: one state that truth alone moves on.",
            slips,
        )


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
