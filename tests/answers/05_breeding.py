"""Answers to the assignment on evolution: right ones of several kinds, and one for each misconception, by what it is told."""

SIGNATURES = {
    "seeming": "s, n, P",
    "act": "params, x, low, high",
    "recombine": "population, fitness",
    "shared_luck": "f_a, f_b",
    "honest_return": "checks, tests",
    "what_it_found": "",
}

NORMAL = "from statistics import NormalDist\nN = NormalDist()\nx = np.linspace(-8, 8, 1601)\nphi = np.array([N.pdf(v) for v in x])\nPhi = np.array([N.cdf(v) for v in x])\nluck = s / np.sqrt(n)\n"

RIGHT = {
    "seeming": [
        "x = np.linspace(-9, 9, 9001)\nphi = np.exp(-x**2 / 2) / np.sqrt(2 * np.pi)\nPhi = np.cumsum(phi) * (x[1] - x[0])\nreturn s / np.sqrt(n) * P * np.sum(x * phi * Phi ** (P - 1)) * (x[1] - x[0])",
        NORMAL + "return luck * np.trapezoid(P * x * phi * Phi ** (P - 1), x)",
        NORMAL
        + "return luck * (np.trapezoid(1 - Phi[x >= 0] ** P, x[x >= 0]) - np.trapezoid(Phi[x <= 0] ** P, x[x <= 0]))",
        "from math import erf\nx = np.arange(-8, 8, 0.005)\nbelow = np.array([(1 + erf(v / 2**0.5)) / 2 for v in x]) ** P\nreturn s * n**-0.5 * np.sum((x[1:] + x[:-1]) / 2 * np.diff(below))",
        "from statistics import NormalDist\nu = (np.arange(20000) + 0.5) / 20000\nbest = [NormalDist().inv_cdf(v ** (1 / P)) for v in u]\nreturn np.mean(best) * (s**2 / n) ** 0.5",
        "from math import erf\nx, w = np.polynomial.hermite_e.hermegauss(160)\nPhi = np.array([(1 + erf(v / 2**0.5)) / 2 for v in x])\nreturn s / n**0.5 * P * np.sum(w * x * Phi ** (P - 1)) / np.sqrt(2 * np.pi)",
    ],
    "act": [
        "A = len(low)\nW_c, b_c = params[:-A].reshape(A, -1), params[-A:]\nreturn (high + low) / 2 + (high - low) / 2 * np.tanh(W_c @ x + b_c)",
        "A, F = len(low), len(x)\ny = np.array([sum(params[i * F + j] * x[j] for j in range(F)) + params[A * F + i] for i in range(A)])\nreturn low + (high - low) * (np.tanh(y) + 1) / 2",
        "W = params[: low.size * x.size].reshape(low.size, x.size)\ny = np.dot(W, x) + params[W.size :]\nreturn low + (high - low) / (1 + np.exp(-2 * y))",
        "*rows, bias = np.split(params, [len(x) * (i + 1) for i in range(len(low))])\ny = [r @ x + b for r, b in zip(rows, bias)]\nreturn np.mean([low, high], axis=0) + np.ptp([low, high], axis=0) / 2 * np.tanh(y)",
        "W = np.concatenate([params[: -len(low)].reshape(len(low), -1), params[-len(low) :, None]], axis=1)\nt = np.tanh(W @ np.append(x, 1.0))\nreturn (high * (1 + t) + low * (1 - t)) / 2",
    ],
    "recombine": [
        "P = len(fitness)\nw = np.log((P + 1) / 2) - np.log(np.arange(1, P // 2 + 1))\nbest = population[np.argsort(-fitness)[: P // 2]]\nreturn w @ best / w.sum()",
        "P = len(population)\nranked = sorted(range(P), key=lambda i: -fitness[i] if fitness[i] == fitness[i] else np.inf)\nw = [np.log((P + 1) / 2 / k) for k in range(1, P // 2 + 1)]\nreturn sum(v * population[i] for v, i in zip(w, ranked)) / sum(w)",
        "P = len(fitness)\nsafe = np.where(np.isnan(fitness), -np.inf, fitness)\norder = np.argsort(safe)[::-1]\nw = np.maximum(0, np.log((P + 1) / 2) - np.log(np.arange(P) + 1))\nw[P // 2 :] = 0\nreturn np.average(population[order], axis=0, weights=w)",
        "P = len(fitness)\nrank = np.empty(P)\nrank[np.argsort(-fitness)] = np.arange(1, P + 1)\nw = np.where(rank <= P // 2, np.log((P + 1) / (2 * rank)), 0)\nreturn w @ population / w.sum()",
        "P = fitness.size\nhalf = P // 2\nworst = np.nan_to_num(fitness, nan=-1e300)\nbest = population[np.lexsort((np.arange(P), -worst))][:half]\nw = np.log(P + 1) - np.log(2 * np.arange(1, half + 1))\nreturn np.einsum('k,kn->n', w / np.sum(w), best)",
    ],
    "shared_luck": [
        "return np.var(f_a - f_b) / (np.var(f_a) + np.var(f_b))",
        "C = np.cov(f_a, f_b)\nreturn 1 - 2 * C[0, 1] / np.trace(C)",
        "a, b = f_a - f_a.mean(), f_b - f_b.mean()\nreturn np.sum((a - b) ** 2) / (a @ a + b @ b)",
        "rho = np.corrcoef(f_a, f_b)[0, 1]\nu, v = f_a.std(), f_b.std()\nreturn (u**2 + v**2 - 2 * rho * u * v) / (u**2 + v**2)",
        "return float(np.std(f_b - f_a, ddof=1) ** 2 / (f_a.var(ddof=1) + f_b.var(ddof=1)))",
    ],
    "honest_return": [
        "g = np.argmax(checks.mean(axis=1))\nreturn np.array([tests[g].mean(), checks[g].mean() - tests[g].mean()])",
        "best = max(range(len(checks)), key=lambda g: sum(checks[g]))\ntold = np.average(tests[best])\nreturn told, np.average(checks[best]) - told",
        "c, t = np.mean(checks, 1), np.mean(tests, 1)\nwhere = c == c.max()\nreturn [t[where][0], (c - t)[where][0]]",
        "order = np.argsort(-checks.sum(1))\ntest, check = tests[order[0]], checks[order[0]]\nreturn np.array([test.sum() / test.size, check.sum() / check.size - test.sum() / test.size])",
        "pairs = sorted(zip(checks.mean(1), tests.mean(1)))\ncheck, test = pairs[-1]\nreturn np.array([test, check - test])",
    ],
    "what_it_found": [
        "return {'order': 'B', 'luck': 'D', 'switch': 'C', 'count': 'A'}",
        "return dict(order='b', luck='d', switch='c', count='a')",
        "return {'count': ' A', 'switch': 'C ', 'luck': 'D', 'order': 'B'}",
        "return dict(zip(('order', 'luck', 'switch', 'count'), 'BDCA'))",
        "return {'order': 'B, ranks', 'luck': 'D: common', 'switch': 'C.', 'count': 'A)'}",
    ],
}

ACT = "A = len(low)\nW, b = {unpack}\ny = {y}\nmid, half = (high + low) / 2, (high - low) / 2\nreturn {out}"
PARTS = {
    "unpack": "params[:-A].reshape(A, -1), params[-A:]",
    "y": "W @ x + b",
    "out": "mid + half * np.tanh(y)",
}
MIX = "P = len(fitness)\norder = {order}\nw = {w}\nbest = population[order][: len(w)]\nreturn {out}"
MIXED = {
    "order": "np.argsort(-fitness)",
    "w": "np.log((P + 1) / 2) - np.log(np.arange(1, P // 2 + 1))",
    "out": "w @ best / w.sum()",
}
HONEST = "c, t = checks.mean(axis=1), tests.mean(axis=1)\ng = {g}\nreturn np.array([{out}])"
TWO = "t[g], c[g] - t[g]"


def _act(**changed):
    return ACT.format(**PARTS | changed)


def _mix(**changed):
    return MIX.format(**MIXED | changed)


def _honest(g="c.argmax()", out=TWO):
    return HONEST.format(g=g, out=out)


BEST = "np.trapezoid(P * x * phi * Phi ** (P - 1), x)"
WRONG = {
    "seeming": {
        "The mean of n episodes is less uncertain": NORMAL + f"return s * {BEST}",
        "falls with the root of n": NORMAL + f"return s / n * {BEST}",
        "not the variance": NORMAL + f"return s**2 / n * {BEST}",
        "when P is huge": NORMAL + "return luck * np.sqrt(2 * np.log(P))",
        "That is a quantile": NORMAL + "return luck * N.inv_cdf(1 - 1 / P)",
        "not the largest in size": NORMAL
        + "x, phi, Phi = x[x >= 0], 2 * phi[x >= 0], 2 * Phi[x >= 0] - 1\nreturn luck * "
        + BEST,
        "All P of them compete.": NORMAL + "P = P - 1\nreturn luck * " + BEST,
        "not from the worst to the best": NORMAL + f"return 2 * luck * {BEST}",
        "P times the integral": NORMAL + "return luck * np.trapezoid(x * phi * Phi ** (P - 1), x)",
        "P - 1 others lie below": NORMAL + "return luck * P * np.trapezoid(x * phi * Phi**P, x)",
    },
    "act": {
        "stretch and shift it": _act(out="np.tanh(y)"),
        "Clipping is no tanh": _act(out="np.clip(y, low, high)"),
        "Half the width to each side": _act(out="mid + (high - low) * np.tanh(y)"),
        "The centre of the box is not 0.": _act(out="half * np.tanh(y)"),
        "First W_c, then b_c": _act(unpack="params[A:].reshape(A, -1), params[:A]"),
        "The bias goes through tanh": _act(y="W @ x", out="mid + half * np.tanh(y) + b"),
        "stored row by row": _act(unpack="params[:-A].reshape(-1, A).T, params[-A:]"),
        "The bias is missing.": _act(y="W @ x"),
        "A clipped tanh wastes the box": _act(out="np.clip(np.tanh(y), low, high)"),
        "not the logistic function": _act(out="low + (high - low) / (1 + np.exp(-y))"),
        "Without tanh a command leaves": _act(out="mid + half * y"),
        "The box is not the same to both sides.": _act(out="high * np.tanh(y)"),
    },
    "recombine": {
        "That is the report's rule": _mix(w="np.ones(P // 2)"),
        "these are the worst": _mix(order="np.argsort(fitness)"),
        "Weights sum to 1.": _mix(out="w @ best"),
        "Only the better half counts": _mix(w="np.log((P + 1) / 2) - np.log(np.arange(1, P + 1))"),
        "The best has the largest weight": _mix(out="w[::-1] @ best / w.sum()"),
        "That is the best alone.": _mix(out="best[0]"),
        "Only the order counts": "w = np.nan_to_num(fitness - np.nanmin(fitness))\nreturn w @ population / w.sum()",
        "Compare with log((P + 1) / 2).": _mix(w="np.log(P) - np.log(np.arange(1, P // 2 + 1))"),
        "The ranks begin at 1.": _mix(w="np.log((P + 1) / 2) - np.log(np.arange(2, P // 2 + 2))"),
        "not a fifth": _mix(w="np.log((P + 1) / 2) - np.log(np.arange(1, P // 5 + 1))"),
        "A NaN is the worst fitness": _mix(order="np.argsort(fitness)[::-1]"),
    },
    "shared_luck": {
        "That is the correlation": "return np.corrcoef(f_a, f_b)[0, 1]",
        "goes above": "return (np.var(f_a) + np.var(f_b)) / np.var(f_a - f_b)",
        "Variances, not deviations.": "return np.std(f_a - f_b) / np.sqrt(np.var(f_a) + np.var(f_b))",
        "The covariance counts twice.": "C = np.cov(f_a, f_b)\nreturn 1 - C[0, 1] / (C[0, 0] + C[1, 1])",
        "That is what is saved": "return 1 - np.var(f_a - f_b) / (np.var(f_a) + np.var(f_b))",
        "no variance of a difference": "return abs(np.var(f_a) - np.var(f_b)) / (np.var(f_a) + np.var(f_b))",
        "not their sum": "return np.var(f_a + f_b) / (np.var(f_a) + np.var(f_b))",
        "That is a covariance": "return np.cov(f_a, f_b, bias=True)[0, 1]",
        "take the mean difference away": "return np.mean((f_a - f_b) ** 2) / (np.var(f_a) + np.var(f_b))",
        "The same divisor": "return np.var(f_a - f_b, ddof=1) / (np.var(f_a) + np.var(f_b))",
    },
    "honest_return": {
        "Tests may not choose": _honest("t.argmax()"),
        "report the test": _honest(out="c[g], c[g] - t[g]"),
        "not the last generation": _honest("-1"),
        "One controller is reported": _honest(out="t.mean(), c.mean() - t.mean()"),
        "not its luckiest episode": _honest("checks.max(axis=1).argmax()"),
        "not the best of them": _honest(out="tests[g].max(), c[g] - t[g]"),
        "Higher is better.": _honest("c.argmin()"),
        "check less test": _honest(out="t[g], t[g] - c[g]"),
        "may not be in the report": _honest(out="np.mean([*checks[g], *tests[g]]), c[g] - t[g]"),
        "the same generation in both": _honest(out="t[g], c.max() - t.max()"),
        "First what is reported": _honest(out="c[g] - t[g], t[g]"),
    },
    "what_it_found": {
        say: f"return {{'order': 'B', 'luck': 'D', 'switch': 'C', 'count': 'A'}} | {{{name!r}: {letter!r}}}"
        for name, letter, say in [
            ("order", "A", "The step size is fed by"),
            ("order", "C", "their order stays"),
            ("order", "D", "Nothing in it ever sees"),
            ("luck", "A", "More candidates mean a luckier"),
            ("luck", "B", "Smaller steps make the candidates"),
            ("luck", "C", "the same luck chooses more often"),
            ("switch", "A", "It was never selected"),
            ("switch", "B", "Nothing held those weights"),
            ("switch", "D", "The sizes fit"),
            ("count", "B", "Both may have used"),
            ("count", "C", "experience all the same"),
            ("count", "D", "Seconds are another account"),
        ]
    },
}
