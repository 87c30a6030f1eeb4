"""Answers to the assignment on dreaming: right ones of several kinds, and one for each misconception, by what it is told."""

SIGNATURES = {
    "dream_spread": "a, s, tau, T",
    "tempered_draw": "log_pi, mu, log_sigma, tau, gumbel, eps",
    "exact_return": "height, forward, action",
    "action_lag": "z, action",
    "mean_life": "lengths, ended",
    "why_it_woke": "",
}

RIGHT = {
    "dream_spread": [
        "return s * np.sqrt(tau * np.sum(a ** (2 * np.arange(T))))",
        "variance = 0\nfor _ in range(T):\n    variance = a**2 * variance + tau * s**2\nreturn variance ** 0.5",
        "total = T if a == 1 else (1 - a ** (2 * T)) / (1 - a**2)\nreturn s * (tau * total) ** 0.5",
        "return float(np.linalg.norm(np.sqrt(tau) * s * a ** np.arange(T)))",
        "return np.sqrt(tau) * s * np.hypot.reduce([a**k for k in range(T)])",
        "return np.sqrt(np.polyval(np.ones(T), a**2) * tau) * s",
    ],
    "tempered_draw": [
        "k = np.argmax(log_pi + tau * gumbel, axis=-1)[..., None]\nmiddle = np.take_along_axis(mu, k, -1)[..., 0]\nwidth = np.exp(np.take_along_axis(log_sigma, k, -1)[..., 0])\nreturn middle + width * np.sqrt(tau) * eps",
        "k = (log_pi + tau * gumbel).argmax(-1)\none = np.eye(mu.shape[-1])[k]\nreturn (one * mu).sum(-1) + (one * np.exp(log_sigma)).sum(-1) * tau**0.5 * eps",
        "out = np.zeros_like(eps)\nfor i in np.ndindex(eps.shape):\n    k = np.argmax(log_pi[i] + tau * gumbel[i])\n    out[i] = mu[i][k] + np.exp(log_sigma[i][k]) * np.sqrt(tau) * eps[i]\nreturn out",
        "score = log_pi + tau * gumbel\nbest = score == score.max(axis=-1, keepdims=True)\nplaces = mu + np.exp(log_sigma + 0.5 * np.log(tau)) * eps[..., None] if tau else mu\nreturn np.where(best, places, 0).sum(-1)",
        "n, d = np.indices(eps.shape)\nk = np.argmax(gumbel * tau + log_pi, axis=2)\nreturn mu[n, d, k] + eps * np.exp(log_sigma[n, d, k]) * np.sqrt(tau)",
        "score = log_pi / tau + gumbel if tau > 0 else log_pi\nk = score.argmax(-1)[..., None]\npick = lambda x: np.take_along_axis(x, k, -1)[..., 0]\nreturn pick(mu) + np.sqrt(tau * np.exp(2 * pick(log_sigma))) * eps",
    ],
    "exact_return": [
        "up = (height[:, 1:] > 1) & (height[:, 1:] < 2)\nreward = 5 * up + 1.25 * forward - 0.1 * np.sum(action**2, -1)\ngone = np.cumsum(~up, axis=1) - ~up > 0\nreturn np.where(gone, 0, reward).sum(axis=1)",
        "out = []\nfor h, f, a in zip(height, forward, action):\n    total = 0\n    for t in range(len(f)):\n        up = 1 < h[t + 1] < 2\n        total += 5 * up + 1.25 * f[t] - 0.1 * (a[t] ** 2).sum()\n        if not up:\n            break\n    out.append(total)\nreturn np.array(out)",
        "up = np.abs(height[:, 1:] - 1.5) < 0.5\nalive = np.cumprod(up, axis=1)\nlived = np.concatenate([np.ones((len(up), 1)), alive[:, :-1]], axis=1)\nreward = 5.0 * up + 1.25 * forward - 0.1 * np.einsum('nta,nta->nt', action, action)\nreturn (lived * reward).sum(1)",
        "up = (height[:, 1:] > 1) & (height[:, 1:] < 2)\nlast = np.where(up.all(1), up.shape[1] - 1, up.argmin(1))\nreward = np.where(up, 5, 0) + 1.25 * forward - 0.1 * np.square(action).sum(2)\nreturn np.array([r[: k + 1].sum() for r, k in zip(reward, last)])",
        "up = np.logical_and(1 < height, height < 2)\nlived = np.logical_and.accumulate(np.c_[np.ones(len(up), bool), up[:, 1:-1]], axis=1)\ncost = 0.1 * np.linalg.norm(action, axis=-1) ** 2\nreturn ((5 * up[:, 1:] + 1.25 * forward - cost) * lived).sum(axis=1)",
    ],
    "action_lag": [
        "change = np.diff(z)[1:-1]\nT = len(action)\nreturn np.array([np.corrcoef(change, action[1 + k : T - 1 + k])[0, 1] for k in (-1, 0, 1)])",
        "d = z[2:-1] - z[1:-2]\nout = []\nfor a in (action[:-2], action[1:-1], action[2:]):\n    x, y = d - d.mean(), a - a.mean()\n    out.append(x @ y / np.sqrt((x @ x) * (y @ y)))\nreturn out",
        "t = np.arange(1, len(action) - 1)\nreturn [np.corrcoef(z[t + 1] - z[t], action[t + k])[1, 0] for k in (-1, 0, 1)]",
        "t = np.arange(1, len(action) - 1)\nrows = np.stack([z[t + 1] - z[t], action[t - 1], action[t], action[t + 1]])\nreturn np.corrcoef(rows)[0, 1:]",
        "def unit(x):\n    x = x - np.mean(x)\n    return x / np.linalg.norm(x)\nd = unit(np.diff(z)[1:-1])\nreturn tuple(d @ unit(a) for a in np.lib.stride_tricks.sliding_window_view(action, len(d)))",
    ],
    "mean_life": [
        "return np.sum(lengths) / np.sum(ended)",
        "return lengths.mean() / ended.mean()",
        "chance = np.count_nonzero(ended) / lengths.sum()\nreturn 1 / chance",
        "steps = ends = 0\nfor length, over in zip(lengths, ended):\n    steps += length\n    ends += bool(over)\nreturn steps / ends",
        "return float(sum(lengths)) / len(lengths[ended])",
    ],
    "why_it_woke": [
        "return {'cold': 'B', 'gap': 'C', 'cut': 'A', 'ending': 'D'}",
        "return dict(cold='b', gap='c', cut='a', ending='d')",
        "return {'ending': ' D ', 'cut': 'A', 'gap': 'C', 'cold': 'B'}",
        "return dict(zip(('cold', 'gap', 'cut', 'ending'), 'BCAD'))",
        "return {'cold': 'B: no wind, no risk', 'gap': 'C, selection', 'cut': 'A.', 'ending': 'D)'}",
    ],
}

DRAW = "k = np.argmax({score}, axis=-1)[..., None]\npick = lambda x: np.take_along_axis(x, k, -1)[..., 0]\nreturn {value}"
SCORE, VALUE = "log_pi + tau * gumbel", "pick(mu) + np.exp(pick(log_sigma)) * np.sqrt(tau) * eps"
RETURN = "up = {up}\nreward = 5 * {pay} + {forward} - {cost}\nkeep = {keep}\nreturn np.where(keep, reward, 0){end}"
PARTS = {
    "up": "(height[:, 1:] > 1) & (height[:, 1:] < 2)",
    "pay": "up",
    "forward": "1.25 * forward",
    "cost": "0.1 * np.sum(action**2, -1)",
    "keep": "np.cumsum(~up, axis=1) - ~up == 0",
    "end": ".sum(axis=1)",
}
LAG = "t, T = np.arange(1, len(action) - 1), len(action)\nd = {change}\nreturn np.array([{value} for k in {order}])"
CORR = "np.corrcoef(d, action[t + k])[0, 1]"


def _draw(score=SCORE, value=VALUE):
    return DRAW.format(score=score, value=value)


def _return(**changed):
    return RETURN.format(**PARTS | changed)


def _lag(change="z[t + 1] - z[t]", value=CORR, order="(-1, 0, 1)"):
    return LAG.format(change=change, value=value, order=order)


WRONG = {
    "dream_spread": {
        "A temperature multiplies the deviation by its square root.": "return s * tau * np.sqrt(np.sum(a ** (2 * np.arange(T))))",
        "The deviation is asked for, not the variance.": "return s**2 * tau * np.sum(a ** (2 * np.arange(T)))",
        "Deviations do not add up; variances do.": "return s * np.sqrt(tau) * np.sum(a ** np.arange(T))",
        "The noise of a step is shrunk in every later one: a to the power of 2 for each.": "return s * np.sqrt(tau * np.sum(a ** np.arange(T)))",
        "All the noise of the way is still in it": "return s * np.sqrt(tau)",
        "The pull makes old noise small": "return s * np.sqrt(tau * T)",
        "The first of the T steps is noisy, too": "return s * np.sqrt(tau * np.sum(a ** (2 * np.arange(T - 1))))",
        "The noise of the last step is not shrunk yet": "return s * np.sqrt(tau * np.sum(a ** (2 * np.arange(1, T + 1))))",
        "Where is the temperature?": "return s * np.sqrt(np.sum(a ** (2 * np.arange(T))))",
        "Hotter is wider": "return s * np.sqrt(np.sum(a ** (2 * np.arange(T))) / tau)",
        "After T steps, not after endlessly many.": "return s * np.sqrt(tau / (1 - a**2 + 1e-300))",
        "Where a is one the sum has T equal terms": "return s * np.sqrt(tau * np.float64(1 - a ** (2 * T)) / (1 - a**2))",
    },
    "tempered_draw": {
        "Widths grow with the square root of tau.": _draw(
            value="pick(mu) + np.exp(pick(log_sigma)) * tau * eps"
        ),
        "The width has no temperature yet": _draw(value="pick(mu) + np.exp(pick(log_sigma)) * eps"),
        "These are logarithms of the widths": _draw(
            value="pick(mu) + pick(log_sigma) * np.sqrt(tau) * eps"
        ),
        "This is log sigma, not the log-variance of V": _draw(
            value="pick(mu) + np.exp(0.5 * pick(log_sigma)) * np.sqrt(tau) * eps"
        ),
        "The choice of the component has a temperature, too": _draw(score="log_pi + gumbel"),
        "A component is drawn: without its noise the heaviest always wins.": _draw(score="log_pi"),
        "One component is drawn, not the mean of all of them.": "pi = np.exp(log_pi)\nreturn (pi * mu).sum(-1) + (pi * np.exp(log_sigma)).sum(-1) * np.sqrt(tau) * eps",
        "The root belongs to the width": _draw(score="log_pi + np.sqrt(tau) * gumbel"),
        "Gumbel noise belongs to logarithms of weights": _draw(
            score="np.exp(log_pi) + tau * gumbel"
        ),
        "Each number of the code draws a component of its own.": _draw(
            score="np.broadcast_to((log_pi + tau * gumbel).sum(axis=1, keepdims=True), mu.shape)"
        ),
        "The middle of a hill does not move": _draw(
            value="pick(mu) * tau + np.exp(pick(log_sigma)) * np.sqrt(tau) * eps"
        ),
        "Hotter is wider": _draw(value="pick(mu) + np.exp(pick(log_sigma)) / np.sqrt(tau) * eps"),
        "Let tau multiply: then it may be 0.": _draw(score="log_pi / np.float64(tau) + gumbel"),
    },
    "exact_return": {
        "Behind the end of a dream there is nothing": _return(keep="True"),
        "The step that ends a dream still moves": _return(keep="np.cumsum(~up, axis=1) == 0"),
        "The step of the fall pays no bonus.": _return(pay="1"),
        "Step t leads to height[t + 1]": _return(up="(height[:, :-1] > 1) & (height[:, :-1] < 2)"),
        "A torso above two metres ends": _return(up="height[:, 1:] > 1"),
        "The cost is a sum of squares": _return(cost="0.1 * np.abs(action).sum(-1)"),
        "Every motor costs": _return(cost="0.1 * np.mean(action**2, axis=-1)"),
        "A cost is taken away.": _return(cost="-0.1 * np.sum(action**2, -1)"),
        "Who falls and rises again": _return(keep="up"),
        "A return is a sum over steps": _return(end=".mean(axis=1)"),
        "One return for each dream": _return(end=".sum()"),
        "The speed is weighted": _return(forward="forward"),
    },
    "action_lag": {
        "The order is -1, 0, 1.": _lag(order="(1, 0, -1)"),
        "What an action explains is the change, not the code itself.": _lag("z[t]"),
        "What an action explains is the change, not the next code.": _lag("z[t + 1]"),
        "not z[t] less z[t - 1]": _lag("z[t] - z[t - 1]"),
        "A correlation has no unit": _lag(value="np.cov(d, action[t + k], bias=True)[0, 1]"),
        "Take the means away first.": _lag(
            value="np.sum(d * action[t + k]) / np.sqrt(np.sum(d**2) * np.sum(action[t + k] ** 2))"
        ),
        "That is the slope of a line": _lag(
            value="np.cov(d, action[t + k], bias=True)[0, 1] / np.var(action[t + k])"
        ),
        "That is the square": _lag(value=CORR + " ** 2"),
        "Keep the sign.": _lag(value=f"abs({CORR})"),
        "One step at a time": _lag("z[t + 2] - z[t]"),
    },
    "mean_life": {
        "the plain mean is too short": "return np.mean(lengths)",
        "Whoever leaves out the dreams that were cut": "return lengths[ended].mean()",
        "That is the chance to end in a step": "return ended.sum() / lengths.sum()",
        "A cut is not an end": "return lengths.sum() / np.sum(~ended)",
        "The step of the end is a step, too.": "return (lengths - ended).sum() / ended.sum()",
        "The mean is asked for, not the middle one.": "return np.median(lengths)",
        "That is the longest": "return max(lengths)",
        "we do not know that it lasts just as long again": "return np.where(ended, lengths, 2 * lengths).mean()",
        "weigh each dream by its steps": "return 1 / np.mean(1 / lengths)",
    },
    "why_it_woke": {
        say: f"return {{'cold': 'B', 'gap': 'C', 'cut': 'A', 'ending': 'D'}} | {{{name!r}: {letter!r}}}"
        for name, letter, say in [
            ("cold", "A", "The view at the edge pays the same"),
            ("cold", "C", "The place is found as fast"),
            ("cold", "D", "The edge is in the rules"),
            ("gap", "A", "then strangers would show the gap"),
            ("gap", "B", "More episodes narrow the interval"),
            ("gap", "D", "this dream is not bright for all"),
            ("cut", "B", "The cut takes steps away"),
            ("cut", "C", "every cut is in the same direction"),
            ("cut", "D", "the number is surer, and as wrong"),
            ("ending", "A", "it remains one that C can fool"),
            ("ending", "B", "A cold head is fooled"),
            ("ending", "C", "A shorter dream hides the mistake"),
        ]
    },
}
