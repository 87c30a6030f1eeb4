"""What marks the graded exercises of chapter 11. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def why_better(answer, rng):
    """Two lengths of curves; each asked for both parts."""
    for what, steps in [("a short life", 6), ("a longer life", 30)]:
        going = np.cumprod(rng.uniform(0.8, 1.0, (2, steps)), axis=1)
        reward = rng.uniform(3.0, 8.0, (2, steps))
        (g1, g2), (r1, r2) = going, reward
        survival, earned = (
            ((g1 - g2) * (r1 + r2) / 2).sum(),
            ((r1 - r2) * (g1 + g2) / 2).sum(),
        )
        slips = {
            "Weigh each difference with the mean of the two others, not with the first policy's.": np.array(
                [((g1 - g2) * r1).sum(), ((r1 - r2) * g1).sum()]
            ),
            "Half of the sum is the mean: divide by two.": 2
            * np.array([survival, earned]),
            "Survival first, reward second.": np.array([earned, survival]),
            "That is the second policy's gain over the first.": -np.array(
                [survival, earned]
            ),
            "Not the difference of the means over steps: the sum of what differs at each step.": np.array(
                [survival, earned]
            )
            / steps,
        }
        yield Case(
            what, np.array([survival, earned]), lambda g1=g1, g2=g2, r1=r1, r2=r2: answer(g1.copy(), r1.copy(), g2.copy(), r2.copy()),
            "At each step: difference of one curve times the mean of the other.", slips,
        )  # fmt: skip


def budget_above(answer, rng):
    """Once it stays above, once it falls back, and once never."""
    budgets = np.array([10_000, 30_000, 50_000, 250_000, 1_000_000])
    level = float(rng.uniform(300, 400))
    above, below = level + rng.uniform(1, 50, 5), level - rng.uniform(1, 50, 5)
    for what, pattern in [
        ("it stays above", "01111"),
        ("it falls back once", "01011"),
        ("it ends below", "11110"),
        ("shuffled", "00111"),
    ]:
        lows = np.where([sign == "1" for sign in pattern], above, below)
        order = rng.permutation(5) if what == "shuffled" else np.arange(5)
        stays = [budget for k, budget in enumerate(budgets) if (lows[k:] > level).all()]
        expected = float(min(stays)) if stays else np.inf
        slips = {}
        first = float(budgets[lows > level].min())
        if first != expected:
            slips[
                "That is the first budget above the level; later ones fall back below it."
            ] = first
        yield Case(
            what, expected, lambda lows=lows, order=order: answer(budgets[order].copy(), lows[order].copy(), level),
            "Find the largest budget that is not above the level; the answer is the next one.", slips,
        )  # fmt: skip
