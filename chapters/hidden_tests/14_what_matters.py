"""What marks the graded exercises of chapter 14. The numbers come from the course's seed, so that this page tells none."""

import itertools

import numpy as np

from wmlib.classroom.marking import Case


def flip_chance(answer, rng):
    """Three seeds on one side, more on both sides."""
    for what, n, shift in [
        ("three seeds on one side", 3, 4.0),
        ("five seeds", 5, 0.8),
        ("eight seeds", 8, 0.5),
    ]:
        values = np.abs(rng.normal(shift, 1, n)) if n == 3 else rng.normal(shift, 1, n)
        means = np.array(
            [np.mean(values * signs) for signs in itertools.product((1, -1), repeat=n)]
        )
        seen = values.mean()
        slips = {
            "A loss counts as much as a gain: compare without the signs.": float(
                np.mean(means >= seen - 1e-12)
            ),
            "At least as large: the way that was seen counts too.": float(
                np.mean(np.abs(means) > abs(seen) + 1e-12)
            ),
            "That is the share of ways that are smaller.": float(
                np.mean(np.abs(means) < abs(seen) - 1e-12)
            ),
        }
        expected = float(np.mean(np.abs(means) >= abs(seen) - 1e-12))
        yield Case(
            what, expected, lambda values=values: answer(values.copy()),
            "Each difference keeps its sign or takes the other: 2^n ways, one mean each.", {hint: value for hint, value in slips.items() if not np.isclose(value, expected)},
        )  # fmt: skip


def shrinkage(answer, rng):
    """Winners that keep some of their gain."""
    for what, m, n, k in [
        ("the best of twelve", 12, 3, 1),
        ("the three best of twenty", 20, 3, 3),
    ]:
        effect = rng.normal(0, 1, (m, 1)) + 0.5
        first, fresh = (
            effect + rng.normal(0, 1, (m, n)),
            effect + rng.normal(0, 1, (m, n)),
        )
        order, anew = np.argsort(first.mean(axis=1)), np.argsort(fresh.mean(axis=1))
        chosen = order[-k:]
        slips = {
            "Chosen by the fresh table; the first one chooses.": fresh[anew[-k:]].mean()
            / first[anew[-k:]].mean(),
            "Those are the worst: the best have the largest mean.": fresh[
                order[:k]
            ].mean()
            / first[order[:k]].mean(),
            "The other way round: the fresh gain over the first.": first[chosen].mean()
            / fresh[chosen].mean(),
            "Numerator and denominator are of the same changes.": fresh[
                anew[-k:]
            ].mean()
            / first[chosen].mean(),
        }
        expected = fresh[chosen].mean() / first[chosen].mean()
        yield Case(
            what, expected, lambda first=first, fresh=fresh, k=k: answer(first.copy(), fresh.copy(), k),
            "Sort the changes by their mean in the first table, take the k last, and divide their fresh mean by their first.",
            {hint: value for hint, value in slips.items() if not np.isclose(value, expected)},
        )  # fmt: skip
