"""What marks the graded exercises of chapter 13. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def against_idle(answer, rng):
    """Once zero action is the better idle policy, once held joints are; returns below zero, too."""
    for what, sign in [
        ("held joints are better", 1),
        ("zero action is better, and returns are negative", -1),
    ]:
        random = float(rng.uniform(-60, -40))
        idle = sorted(float(x) for x in rng.uniform(-20, 80, 2))
        zero, hold = idle if sign > 0 else idle[::-1]
        returns = rng.uniform(-90, 200, 5)
        best = max(zero, hold)
        expected = (returns - random) / (best - random)
        slips = {
            "The better of the two idle policies is the 1, not always the same one.": (
                returns - random
            )
            / (min(zero, hold) - random),
            "The random policy is the 0 of the scale: subtract it first.": returns
            / best,
            "Subtract the random policy below the line, too.": (returns - random)
            / best,
            "That is a difference; the scale is a ratio.": returns - best,
            "Better means the larger return, also below zero.": (returns - random)
            / (max(abs(zero), abs(hold)) - random),
            "Here the better idle policy is the 0, and random the 1.": (returns - best)
            / (random - best),
            "Take the better of the two, not their mean.": (returns - random)
            / ((zero + hold) / 2 - random),
        }
        yield Case(
            what,
            expected,
            lambda returns=returns, random=random, zero=zero, hold=hold: answer(
                returns.copy(), random, zero, hold
            ),
            "Where is the return between random and the better idle policy?",
            slips,
        )


def growth_rate(answer, rng):
    """A noisy growth, and one with steps at which the runs are together."""
    for what, together in [
        ("a noisy growth", False),
        ("with steps at distance 0", True),
    ]:
        rate, steps = float(rng.uniform(0.1, 0.5)), np.arange(30)
        distance = 1e-6 * np.exp(rate * steps + 0.3 * rng.standard_normal(30))
        if together:
            distance[[0, 4, 5]] = 0.0
        apart = np.flatnonzero(distance > 0)
        logs = np.log(distance[apart])
        expected = np.polyfit(apart, logs, 1)[0]
        slips = {
            "Take the natural logarithm.": expected / np.log(10),
            "Fit all steps, not the first and the last only.": (logs[-1] - logs[0])
            / (apart[-1] - apart[0]),
            "The slope of the logarithm, not of the distance.": np.polyfit(
                steps, distance, 1
            )[0],
            "Steps without a distance are left out, but the others keep their number.": np.polyfit(
                np.arange(len(apart)), logs, 1
            )[0]
            if together
            else np.nan,
            "That is the factor a step: take its logarithm.": np.exp(expected),
            "Log over log is a power law; here the step itself is the axis.": np.polyfit(
                np.log(apart + 1), logs, 1
            )[0],
            "The slope, not the height at step 0.": np.polyfit(apart, logs, 1)[1],
        }
        slips = {said: value for said, value in slips.items() if np.isfinite(value)}
        yield Case(
            what,
            expected,
            lambda distance=distance: answer(distance.copy()),
            "Keep the steps with a distance above 0, and fit a line to its logarithm.",
            slips,
        )
