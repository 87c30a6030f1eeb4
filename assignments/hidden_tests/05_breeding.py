"""What marks the assignment on evolution. The numbers come from the course's seed, so that this page tells none."""

from pathlib import Path
from statistics import NormalDist

import numpy as np

from wmlib.classroom.marking import Case, load

choices = load(Path(__file__).with_name("choices.py")).choices
NORMAL = NormalDist()
GRID = np.linspace(-9, 9, 3601)
DENSITY = np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi)
BELOW = np.array([NORMAL.cdf(x) for x in GRID])


def seeming(answer, rng):
    """A few candidates, and many."""
    for what, P in [
        ("a few candidates", int(rng.integers(4, 9))),
        ("many candidates", int(rng.integers(20, 50))),
    ]:
        s, n = float(rng.uniform(20, 60)), int(rng.integers(4, 17))
        best = lambda P: np.trapezoid(P * GRID * DENSITY * BELOW ** (P - 1), GRID)
        luck = s / np.sqrt(n)
        up = GRID >= 0
        slips = {
            "The mean of n episodes is less uncertain than one: divide by the root of n.": s
            * best(P),
            "The deviation of a mean falls with the root of n.": s / n * best(P),
            "The deviation is asked for, not the variance.": luck**2 * best(P),
            "That is what it grows like when P is huge; here it is too much.": luck
            * np.sqrt(2 * np.log(P)),
            "That is a quantile; the mean of the largest is asked for.": luck
            * NORMAL.inv_cdf(1 - 1 / P),
            "The largest, not the largest in size: bad luck is no good luck.": luck
            * np.trapezoid(
                (P * GRID * 2 * DENSITY * (2 * BELOW - 1) ** (P - 1))[up], GRID[up]
            ),
            "All P of them compete.": luck * best(P - 1),
            "From the mean to the best, not from the worst to the best.": 2
            * luck
            * best(P),
            "Any of the P may be the best: P times the integral.": luck * best(P) / P,
            "The best is one of them, and P - 1 others lie below.": luck
            * P
            * np.trapezoid(GRID * DENSITY * BELOW**P, GRID),
        }
        yield Case(
            what,
            luck * best(P),
            lambda s=s, n=n, P=P: answer(s, n, P),
            "Equation 5.5, with the deviation of a mean of n episodes in the place of s.",
            slips,
            rtol=2e-3,
        )


def act(answer, rng):
    """Boxes that are not centred."""
    for what, a_dim, n in [("two motors", 2, 3), ("five motors", 5, 8)]:
        low = -rng.uniform(0.2, 1, a_dim)
        high = low + rng.uniform(0.5, 3, a_dim)
        params, x = rng.normal(0, 0.7, a_dim * (n + 1)), rng.normal(size=n)
        W, b = params[: a_dim * n].reshape(a_dim, n), params[a_dim * n :]
        mid, half, y = (high + low) / 2, (high - low) / 2, W @ x + b
        turned = params[: a_dim * n].reshape(n, a_dim).T
        first = params[a_dim:].reshape(a_dim, n)
        slips = {
            "tanh is between -1 and 1, and the box is not: stretch and shift it.": np.tanh(
                y
            ),
            "Clipping is no tanh: it has no slope beyond the edge, and most commands lie there.": np.clip(
                y, low, high
            ),
            "Half the width to each side of the centre.": mid + 2 * half * np.tanh(y),
            "The centre of the box is not 0.": half * np.tanh(y),
            "First W_c, then b_c in the flat vector.": mid
            + half * np.tanh(first @ x + params[:a_dim]),
            "The bias goes through tanh, too.": mid + half * np.tanh(W @ x) + b,
            "W_c is stored row by row, a row for each motor.": mid
            + half * np.tanh(turned @ x + b),
            "The bias is missing.": mid + half * np.tanh(W @ x),
            "A clipped tanh wastes the box where it is wide and sticks to the edge where it is narrow.": np.clip(
                np.tanh(y), low, high
            ),
            "tanh, not the logistic function, which is half as steep.": low
            + 2 * half / (1 + np.exp(-y)),
            "Without tanh a command leaves the box.": mid + half * y,
            "The box is not the same to both sides.": high * np.tanh(y),
        }
        call = lambda params=params, x=x, low=low, high=high: answer(
            params.copy(), x.copy(), low.copy(), high.copy()
        )
        yield Case(
            what,
            mid + half * np.tanh(y),
            call,
            "Equation 5.1: unpack, multiply, add, tanh, then into the box.",
            slips,
        )


def recombine(answer, rng):
    """Populations of even and odd size, one of them with a NaN."""
    for what, P, lost in [
        ("an even population", 10, 0),
        ("an odd population", 15, 0),
        ("a population with a NaN", 12, 1),
    ]:
        population, fitness = rng.normal(size=(P, 4)), rng.normal(size=P)
        fitness[rng.permutation(P)[:lost]] = np.nan
        order = np.argsort(-fitness)  # NaN at the end
        best = population[order]
        half = P // 2
        w = np.log((P + 1) / 2) - np.log(np.arange(1, half + 1))
        every = np.log((P + 1) / 2) - np.log(np.arange(1, P + 1))
        share = np.where(
            np.isnan(fitness[order]), 0, fitness[order] - np.nanmin(fitness)
        )
        alive = best[: P - lost]
        slips = {
            "That is the report's rule: here the best counts most.": best[:half].mean(
                0
            ),
            "Higher is better: these are the worst.": w @ alive[::-1][:half] / w.sum(),
            "Weights sum to 1.": w @ best[:half],
            "Only the better half counts: the other weights would be negative.": every
            @ best
            / every.sum(),
            "The best has the largest weight, the last of the half the smallest.": w[
                ::-1
            ]
            @ best[:half]
            / w.sum(),
            "That is the best alone.": best[0],
            "Only the order counts, not by how much.": share @ best / share.sum(),
            "Compare with log((P + 1) / 2).": (
                np.log(P) - np.log(np.arange(1, half + 1))
            )
            @ best[:half]
            / np.sum(np.log(P) - np.log(np.arange(1, half + 1))),
            "The ranks begin at 1.": (
                np.log((P + 1) / 2) - np.log(np.arange(2, half + 2))
            )
            @ best[:half]
            / np.sum(np.log((P + 1) / 2) - np.log(np.arange(2, half + 2))),
            "Half of the population, not a fifth.": w[: P // 5]
            @ best[: P // 5]
            / w[: P // 5].sum(),
        }
        if lost:
            slips["A NaN is the worst fitness, not the best."] = (
                w @ population[np.argsort(fitness)[::-1]][:half] / w.sum()
            )
        call = lambda population=population, fitness=fitness: answer(
            population.copy(), fitness.copy()
        )
        yield Case(
            what,
            w @ best[:half] / w.sum(),
            call,
            "Sort, weigh the better half by log((P + 1) / 2) - log(rank), divide by the sum of weights.",
            slips,
        )


def shared_luck(answer, rng):
    """Two that share most of their luck, and two that share little."""
    for what, own in [("much in common", 0.4), ("little in common", 1.5)]:
        luck = rng.normal(0, 20, 24)
        a = 200 + luck + own * rng.normal(0, 20, 24)
        b = 230 + 0.8 * luck + own * rng.normal(0, 20, 24)
        va, vb, vd = a.var(), b.var(), (a - b).var()
        cov = np.mean((a - a.mean()) * (b - b.mean()))
        slips = {
            "That is the correlation; the share of variance that is left is asked for.": cov
            / np.sqrt(va * vb),
            "The variance with common episodes goes above.": (va + vb) / vd,
            "Variances, not deviations.": np.sqrt(vd / (va + vb)),
            "The covariance counts twice.": 1 - cov / (va + vb),
            "That is what is saved; what is left is asked for.": 1 - vd / (va + vb),
            "A difference of variances is no variance of a difference.": abs(va - vb)
            / (va + vb),
            "Their difference decides, not their sum.": (a + b).var() / (va + vb),
            "That is a covariance, in squared points: a share has no unit.": cov,
            "One being better than the other is no luck: take the mean difference away.": np.mean(
                (a - b) ** 2
            )
            / (va + vb),
            "The same divisor above and below.": (a - b).var(ddof=1) / (va + vb),
        }
        yield Case(
            what,
            vd / (va + vb),
            lambda a=a, b=b: answer(a.copy(), b.copy()),
            "Equation 5.6: the variance of the difference, over the sum of both variances.",
            slips,
        )


def honest_return(answer, rng):
    """Searches whose best check is luck."""
    for what, G, E, T in [("a short search", 6, 4, 20), ("a long search", 30, 8, 50)]:
        truth = 200 + 50 * np.sort(rng.random(G))
        truth[-1] -= 70  # a search may end badly
        checks = truth[:, None] + rng.normal(0, 40, (G, E))
        checks[1] -= 150
        checks[G // 3] += 75  # good luck at a third of the way
        checks[2 * G // 3, 0] += 400  # one lucky episode ...
        checks[2 * G // 3, 1:] -= 60  # ... of a bad check
        tests = truth[:, None] + rng.normal(0, 40, (G, T))
        c, t = checks.mean(1), tests.mean(1)
        g = int(c.argmax())
        pair = lambda g, told=None, hope=None, c=c, t=t: np.array(
            [t[g] if told is None else told, (c[g] - t[g]) if hope is None else hope]
        )
        both = np.concatenate([checks, tests], axis=1).mean(1)
        slips = {
            "Tests may not choose: that is the best of many looks.": pair(
                int(t.argmax())
            ),
            "The check has chosen, so it is bright: report the test.": pair(
                g, told=c[g]
            ),
            "The rule was the best check, not the last generation.": pair(G - 1),
            "One controller is reported, not the mean of the whole search.": pair(
                g, told=t.mean(), hope=c.mean() - t.mean()
            ),
            "The mean of its checks chooses, not its luckiest episode.": pair(
                int(checks.max(1).argmax())
            ),
            "A return is the mean over test episodes, not the best of them.": pair(
                g, told=tests[g].max()
            ),
            "Higher is better.": pair(int(c.argmin())),
            "How much brighter the check was: check less test.": pair(
                g, hope=t[g] - c[g]
            ),
            "Episodes that have chosen may not be in the report.": pair(
                g, told=both[g]
            ),
            "A controller of its own for each number: the same generation in both.": pair(
                g, hope=c.max() - t.max()
            ),
            "First what is reported, then how much brighter the check was.": pair(g)[
                ::-1
            ],
        }
        yield Case(
            what,
            pair(g),
            lambda checks=checks, tests=tests: answer(checks.copy(), tests.copy()),
            "Choose the generation by the mean of its checks; report the mean of its tests, and check less test.",
            slips,
        )


def what_it_found(answer, rng):
    """Four explanations."""
    yield from choices(answer, {
        "order": ("B", {
            "A": "The step size is fed by the path of the mean, and that by ranks.",
            "C": "Noise grows and so do differences: their order stays.",
            "D": "Nothing in it ever sees the size of a fitness.",
        }),
        "luck": ("D", {
            "A": "More candidates mean a luckier best one.",
            "B": "Smaller steps make the candidates more alike, and luck decides more.",
            "C": "Longer, the same luck chooses more often.",
        }),
        "switch": ("C", {
            "A": "It was never selected for using what it knows now.",
            "B": "Nothing held those weights at 0: the search mutates all of them.",
            "D": "The sizes fit: nothing fails loudly.",
        }),
        "count": ("A", {
            "B": "Both may have used the simulator, and one of them more.",
            "C": "It is cheap, and it is experience all the same: it chose.",
            "D": "Seconds are another account; the axis says real steps.",
        }),
    })  # fmt: skip
