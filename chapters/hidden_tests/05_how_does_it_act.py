"""What marks the graded exercises of chapter 5. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def mirrored_gradient(answer, rng):
    """A straight slope, where the estimate is a sum that can be done by hand, and a fitness that is not straight."""
    for what, pairs, bend in [("a straight slope", 6, 0.0), ("a bent slope", 9, 0.7)]:
        n, sigma = int(rng.integers(3, 6)), float(rng.uniform(0.05, 0.5))
        eps, slope = rng.normal(size=(pairs, n)), rng.normal(size=n)
        height = lambda x, slope=slope, bend=bend: (
            x @ slope - bend * (x**2).sum(axis=1) + bend * x[:, 0] ** 3
        )
        plus, minus = 3 + height(1 + sigma * eps), 3 + height(1 - sigma * eps)
        total = (plus - minus) @ eps
        expected = total / (2 * pairs * sigma)
        slips = {
            "Each pair is two candidates, 2 sigma apart: divide by 2 as well.": total
            / (pairs * sigma),
            "Divide by sigma as well: a short step makes a small difference.": total
            / (2 * pairs),
            "Divide by the number of pairs.": total / (2 * sigma),
            "Divide by sigma once, not by its square.": total / (2 * pairs * sigma**2),
            "The slope is uphill: the plus side less the minus side.": -expected,
            "Both mirrors count: their difference, not the plus side alone.": plus
            @ eps
            / (pairs * sigma),
        }
        call = lambda eps=eps, plus=plus, minus=minus, sigma=sigma: answer(
            eps.copy(), plus.copy(), minus.copy(), sigma
        )
        yield Case(
            what,
            expected,
            call,
            "Weigh each draw with the difference of its two mirrors, and add up.",
            slips,
        )


def diagonal_update(answer, rng):
    """A population without and with a NaN, and a single best step."""
    for what, popsize, count, lost in [
        ("half of a population", 12, 6, 0),
        ("a population with two NaN", 10, 4, 2),
        ("the best alone", 7, 1, 0),
    ]:
        steps, fitness = rng.normal(size=(popsize, 4)), rng.normal(size=popsize)
        fitness[rng.permutation(popsize)[:lost]] = np.nan
        w = np.log(count + 0.5) - np.log(np.arange(1, count + 1))
        w, c, old = w / w.sum(), rng.uniform(0.2, 0.6), rng.uniform(0.5, 2, 4)
        order = np.argsort(-np.where(np.isnan(fitness), -np.inf, fitness))
        best = steps[order[:count]]

        def update(squares, c=c, old=old):
            """Old and new, mixed."""
            return (1 - c) * old + c * squares

        right = update(w @ best**2)
        slips = {
            "These are the worst: the higher a fitness, the better.": update(
                w @ steps[order[::-1][:count]] ** 2
            ),
            "The steps are squared one by one, before they are weighted and summed.": update(
                (w @ best) ** 2 if count > 1 else np.abs(best[0])
            ),
            "The old variances are kept, too, with the weight 1 - c.": c
            * (w @ best**2),
            "c is the weight of the new, 1 - c of the old.": c * old
            + (1 - c) * (w @ best**2),
            "Only as many steps count as there are weights.": update(
                np.mean(steps**2, axis=0)
            ),
        }
        if count > 1:
            slips["The best step has the first weight: sort before you weigh."] = (
                update(w @ np.sort(best**2, axis=0))
            )
        if lost:
            slips["A NaN is the worst fitness, not the best."] = update(
                w @ steps[np.argsort(fitness)[::-1][:count]] ** 2
            )
        yield Case(
            what,
            right,
            lambda args=(old, steps, fitness, w), c=c: answer(
                *(part.copy() for part in args), c
            ),
            "Sort by fitness, best first, with NaN at the end; weigh the squares of the first rows; mix with the old.",
            slips,
        )
