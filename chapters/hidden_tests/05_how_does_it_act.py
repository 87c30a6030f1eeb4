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


def elite_mean(answer, rng):
    """A population without and with a NaN, and a share that is less than one candidate."""
    for what, popsize, rate, lost in [
        ("a fifth of a population", 15, 0.2, 0),
        ("a population with a NaN", 10, 0.3, 2),
        ("a share of less than one", 6, 0.1, 0),
    ]:
        population, fitness = rng.normal(size=(popsize, 4)), rng.normal(size=popsize)
        fitness[rng.permutation(popsize)[:lost]] = np.nan
        count = max(1, int(rate * popsize))
        order = np.argsort(-np.where(np.isnan(fitness), -np.inf, fitness))
        best = population[order[:count]]
        slips = {
            "These are the worst: the higher a fitness, the better.": population[
                order[::-1][:count]
            ].mean(axis=0),
            "That is the mean of all of them: only the best share counts.": population.mean(
                axis=0
            ),
            "The mean of candidates has one number for each parameter: axis=0.": best.mean(),
            "One more than asked for: int(rate * P) of them.": population[
                order[: count + 1]
            ].mean(axis=0),
        }
        if count > 1:
            slips["That is the best alone: average the whole share."] = best[0]
        if lost:
            slips["A NaN is the worst fitness, not the best."] = population[
                np.argsort(fitness)[::-1][:count]
            ].mean(axis=0)
        call = lambda population=population, fitness=fitness, rate=rate: answer(
            population.copy(), fitness.copy(), rate
        )
        yield Case(
            what,
            best.mean(axis=0),
            call,
            "Sort by fitness, best first, with NaN at the end, and average the first rows.",
            slips,
        )
