"""Answers to the assignment on the MDN-RNN: right ones of several kinds, and one for each misconception, by what it is told."""

SIGNATURES = {
    "fork_cost": "p, d, s",
    "mixture_nll": "z, log_pi, mu, log_sigma, mask",
    "true_steps": "obs, action, start",
    "lstm_step": "x, h, c, W, R, b",
    "ahead": "real, dream, lengths",
    "what_went_wrong": "",
}

RIGHT = {
    "fork_cost": [
        "entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)\nreturn 0.5 * np.log((s**2 + 4 * p * (1 - p) * d**2) / s**2) - entropy",
        "mean = p * d - (1 - p) * d\nvariance = s**2 + p * (d - mean) ** 2 + (1 - p) * (-d - mean) ** 2\nreturn np.log(np.sqrt(variance) / s) + p * np.log(p) + (1 - p) * np.log(1 - p)",
        "nats = lambda v: 0.5 * np.log(2 * np.pi * np.e * v)\nq = np.array([p, 1 - p])\nreturn nats(s**2 + d**2 - (2 * p - 1) ** 2 * d**2) - nats(s**2) + np.sum(q * np.log(q))",
        "return float(np.log1p(4 * p * (1 - p) * (d / s) ** 2) / 2 + np.log(p**p * (1 - p) ** (1 - p)))",
        "y = np.linspace(-d - 12 * s, d + 12 * s, 400001)\nn = lambda m, v: np.exp(-((y - m) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)\nlaw = p * n(d, s**2) + (1 - p) * n(-d, s**2)\nstep = y[1] - y[0]\nmean = np.sum(law * y) * step\nv = np.sum(law * (y - mean) ** 2) * step\nreturn np.sum(law * (np.log(law + 1e-300) + (y - mean) ** 2 / (2 * v) + 0.5 * np.log(2 * np.pi * v))) * step",
    ],
    "mixture_nll": [
        "far = (z[..., None] - mu) * np.exp(-log_sigma)\neach = log_pi - 0.5 * far**2 - log_sigma - 0.5 * np.log(2 * np.pi)\nlog_prob = np.logaddexp.reduce(each, axis=-1).sum(axis=-1)\nreturn -np.sum(log_prob * mask) / np.sum(mask)",
        "each = log_pi - 0.5 * ((z[..., None] - mu) / np.exp(log_sigma)) ** 2 - log_sigma - 0.5 * np.log(2 * np.pi)\ntop = each.max(-1)\nlog_prob = top + np.log(np.exp(each - top[..., None]).sum(-1))\nreturn -log_prob.sum(-1)[mask > 0].mean()",
        "return np.average(-sum(np.logaddexp.reduce(log_pi[:, :, j] - (z[:, :, j, None] - mu[:, :, j]) ** 2 / (2 * np.exp(2 * log_sigma[:, :, j])) - log_sigma[:, :, j] - np.log(2 * np.pi) / 2, axis=-1) for j in range(z.shape[-1])), weights=mask)",
        "total = 0\nfor b, t in zip(*np.nonzero(mask)):\n    for j in range(z.shape[-1]):\n        logs = log_pi[b, t, j] - 0.5 * ((z[b, t, j] - mu[b, t, j]) / np.exp(log_sigma[b, t, j])) ** 2 - log_sigma[b, t, j] - 0.5 * np.log(2 * np.pi)\n        total -= logs.max() + np.log(np.sum(np.exp(logs - logs.max())))\nreturn total / np.count_nonzero(mask)",
        "sigma = np.exp(log_sigma)\neach = log_pi - np.log(sigma * (2 * np.pi) ** 0.5) - np.square(z[:, :, :, None] - mu) / sigma**2 / 2\nout = each[..., 0]\nfor k in range(1, mu.shape[-1]):\n    out = np.logaddexp(out, each[..., k])\nreturn -np.einsum('btz,bt->', out, mask) / mask.sum()",
    ],
    "true_steps": [
        "t = np.flatnonzero(~start[1:])\nreturn np.concatenate([obs[t], action[t], obs[t + 1]], axis=1)",
        "keep = ~start[1:]\nreturn np.hstack([obs[:-1][keep], action[:-1][keep], obs[1:][keep]])",
        "rows = []\nfor t in range(len(obs) - 1):\n    if not start[t + 1]:\n        rows.append([*obs[t], *action[t], *obs[t + 1]])\nreturn np.array(rows)",
        "keep = ~np.roll(start, -1)\nreturn np.c_[obs, action, np.roll(obs, -1, axis=0)][keep]",
        "cuts = np.flatnonzero(start)[1:]\nparts = [np.split(x, cuts) for x in (obs, action)]\nreturn np.concatenate([np.c_[o[:-1], a[:-1], o[1:]] for o, a in zip(*parts)])",
        "episode = np.cumsum(start)\nsame = np.diff(episode) == 0\nreturn np.column_stack((obs[:-1], action[:-1], obs[1:]))[same]",
    ],
    "lstm_step": [
        "i, f, g, o = np.split(x @ W + h @ R + b, 4, axis=-1)\ns = lambda v: 1 / (1 + np.exp(-v))\nc = s(f) * c + s(i) * np.tanh(g)\nreturn np.stack([s(o) * np.tanh(c), c])",
        "gates = np.concatenate([x, h], axis=1) @ np.concatenate([W, R]) + b\nn = h.shape[1]\ns = 1 / (1 + np.exp(-gates))\nnew = s[:, n : 2 * n] * c + s[:, :n] * np.tanh(gates[:, 2 * n : 3 * n])\nreturn np.array([s[:, 3 * n :] * np.tanh(new), new])",
        "s = lambda v: 0.5 * (1 + np.tanh(v / 2))\ngates = (x @ W + h @ R + b).reshape(len(x), 4, -1)\nnew = s(gates[:, 1]) * c + s(gates[:, 0]) * np.tanh(gates[:, 2])\nreturn s(gates[:, 3]) * np.tanh(new), new",
        "n = h.shape[-1]\nhs, cs = [], []\nfor row in range(len(x)):\n    v = x[row] @ W + h[row] @ R + b\n    s = 1 / (1 + np.exp(-v))\n    new = s[n : 2 * n] * c[row] + s[:n] * np.tanh(v[2 * n : 3 * n])\n    cs.append(new)\n    hs.append(s[3 * n :] * np.tanh(new))\nreturn np.array([hs, cs])",
        "i, f, g, o = np.moveaxis((np.einsum('nd,dg->ng', x, W) + np.einsum('nh,hg->ng', h, R) + b).reshape(len(x), 4, -1), 1, 0)\ns = lambda v: np.exp(-np.logaddexp(0, -v))\nnew = s(f) * c + s(i) * np.tanh(g)\nreturn [s(o) * np.tanh(new), new]",
    ],
    "ahead": [
        "out = []\nfor k in range(1, real.shape[1]):\n    live = lengths >= k\n    wrong, still = dream[live, k] - real[live, k], real[live, 0] - real[live, k]\n    out.append(np.sqrt(np.mean(wrong**2) / np.mean(still**2)))\nreturn np.array(out)",
        "live = (lengths[:, None] >= np.arange(1, real.shape[1]))[..., None]\nwrong = ((dream - real)[:, 1:] ** 2 * live).sum(axis=(0, 2))\nstill = ((real[:, :1] - real[:, 1:]) ** 2 * live).sum(axis=(0, 2))\nreturn np.sqrt(wrong / still)",
        "return [np.linalg.norm((dream - real)[lengths >= k, k]) / np.linalg.norm(real[lengths >= k, 0] - real[lengths >= k, k]) for k in range(1, real.shape[1])]",
        "rms = lambda v: np.sqrt(np.nanmean(v**2, axis=(0, 2)))\ngone = np.arange(real.shape[1])[None] > lengths[:, None]\nreal = np.where(gone[..., None], np.nan, real)\nreturn (rms(dream - real)[1:]) / rms(real[:, :1] - real)[1:]",
        "live = lengths[:, None] >= np.arange(real.shape[1])\ntop = np.einsum('nt,ntz->t', live, (dream - real) ** 2)\nbottom = np.einsum('nt,ntz->t', live, (real - real[:, [0]]) ** 2)\nreturn np.sqrt(top[1:] / bottom[1:])",
    ],
    "what_went_wrong": [
        "return {'between': 'B', 'spike': 'A', 'memory': 'C', 'leap': 'D'}",
        "return dict(between='b', spike='a', memory='c', leap='d')",
        "return {'leap': ' D', 'memory': 'C ', 'spike': 'A', 'between': 'B'}",
        "return dict(zip(('between', 'spike', 'memory', 'leap'), 'BACD'))",
        "return {'between': 'B, the mean', 'spike': 'A: bounds', 'memory': 'C.', 'leap': 'D)'}",
    ],
}

FORK = "H = -p * np.log(p) - (1 - p) * np.log(1 - p)\nv = s**2 + 4 * p * (1 - p) * d**2\nreturn {}"
NLL = "far = (z[..., None] - mu) / {sigma}\neach = {weigh} - 0.5 * far**2 - {last} - {const}\nstep = {step}\nreturn {mean}"
LOGS = "np.logaddexp.reduce(each, axis=-1)"
PARTS = {
    "sigma": "np.exp(log_sigma)",
    "weigh": "log_pi",
    "last": "log_sigma",
    "const": "0.5 * np.log(2 * np.pi)",
    "step": f"-{LOGS}.sum(axis=-1)",
    "mean": "(step * mask).sum() / mask.sum()",
}
STEPS = "t = np.flatnonzero({keep})\nreturn np.concatenate([{parts}], axis=1)"
TRIPLE = "obs[t], action[t], obs[t + 1]"
GATES = "s = lambda v: 1 / (1 + np.exp(-v))\ni, f, g, o = np.split({gates}, 4, axis=-1)\nnew = {new}\nreturn np.stack({out})"
LSTM = {
    "gates": "x @ W + h @ R + b",
    "new": "s(f) * c + s(i) * np.tanh(g)",
    "out": "[s(o) * np.tanh(new), new]",
}
RATIO = "out = []\nfor k in range(1, real.shape[1]):\n    live = {live}\n    w, q = dream[live, k] - real[live, k], {still} - real[live, k]\n    out.append({value})\nreturn np.array(out)"
AHEAD = {
    "live": "lengths >= k",
    "still": "real[live, 0]",
    "value": "np.sqrt(np.mean(w**2) / np.mean(q**2))",
}


def _nll(**changed):
    return NLL.format(**PARTS | changed)


def _steps(keep="~start[1:]", parts=TRIPLE):
    return STEPS.format(keep=keep, parts=parts)


def _lstm(**changed):
    return GATES.format(**LSTM | changed)


def _ahead(**changed):
    return RATIO.format(**AHEAD | changed)


WRONG = {
    "fork_cost": {
        "The mixture does not know the side either": FORK.format("0.5 * np.log(v / s**2)"),
        "it makes the difference smaller": FORK.format("0.5 * np.log(v / s**2) + H"),
        "In nats: natural logarithms": FORK.format("0.5 * np.log(v / s**2) - H / np.log(2)"),
        "half that of the variance": FORK.format("np.log(v / s**2) - H"),
        "The two places are 2 d apart.": FORK.format(
            "0.5 * np.log((s**2 + p * (1 - p) * d**2) / s**2) - H"
        ),
        "how often each side is met": FORK.format("0.5 * np.log((s**2 + d**2) / s**2) - H"),
        "The width of each hill is part": FORK.format(
            "0.5 * np.log(4 * p * (1 - p) * d**2 / s**2) - H"
        ),
        "The mixture has a width, too": FORK.format("0.5 * np.log(v) - H"),
        "The coin is not fair": FORK.format("0.5 * np.log(v / s**2) - np.log(2)"),
        "The single Gaussian is the worse one": FORK.format("H - 0.5 * np.log(v / s**2)"),
        "the difference is asked for": FORK.format("0.5 * np.log(2 * np.pi * np.e * v)"),
    },
    "mixture_nll": {
        "Sum over the numbers of a code": _nll(step=f"-{LOGS}.mean(axis=-1)"),
        "Steps that the mask leaves out": _nll(mean="step.mean()"),
        "Divide by the number of valid steps": _nll(mean="(step * mask).mean()"),
        "not the log-variance of V": _nll(sigma="np.exp(log_sigma / 2)", last="log_sigma / 2"),
        "A narrow hill is a high one": _nll(last="0"),
        "The constant with 2 pi": _nll(const="0"),
        "The logarithm of a sum is not": _nll(
            weigh="0", step="-(np.exp(log_pi) * each).sum(axis=-1).sum(axis=-1)"
        ),
        "Each number of the code has a mixture of its own": _nll(
            step="-np.logaddexp.reduce(each.sum(axis=2), axis=-1)"
        ),
        "The negative logarithm is asked for.": _nll(step=f"{LOGS}.sum(axis=-1)"),
        "The weights of the components are missing.": _nll(weigh="0"),
        "log_pi is the logarithm already": _nll(weigh="np.exp(log_pi)"),
        "The mean over the steps, not the sum.": _nll(mean="(step * mask).sum()"),
        "take the largest logarithm out first": _nll(
            step="-np.log(np.exp(each).sum(axis=-1)).sum(axis=-1)", mean="step[mask > 0].mean()"
        ),
    },
    "true_steps": {
        "belongs to another body": _steps("np.ones(len(obs) - 1)"),
        "not the first": _steps("~start[:-1]"),
        "the one chosen at its first state": _steps(parts="obs[t], action[t + 1], obs[t + 1]"),
        "The action before led to this state": _steps(
            parts="obs[t], action[np.maximum(t - 1, 0)], obs[t + 1]"
        ),
        "not the change": _steps(parts="obs[t], action[t], obs[t + 1] - obs[t]"),
        "The third part is the state after": _steps(parts="obs[t], action[t], obs[t]"),
        "the steps that cross a reset": _steps("start[1:]"),
        "a state like any other": _steps("~start[1:] & ~start[:-1]"),
        "The order is state, action": _steps(parts="action[t], obs[t], obs[t + 1]"),
        "The last step of the file": _steps("~start[1:-1]"),
    },
    "lstm_step": {
        "The first part of the gates lets in": _lstm(new="s(i) * c + s(f) * np.tanh(g)"),
        "The order of the parts": _lstm(new="s(g) * c + s(i) * np.tanh(f)"),
        "not tanh": _lstm(
            new="np.tanh(f) * c + np.tanh(i) * np.tanh(g)", out="[np.tanh(o) * np.tanh(new), new]"
        ),
        "What is written may be negative": _lstm(new="s(f) * c + s(i) * s(g)"),
        "What is shown is tanh": _lstm(out="[s(o) * new, new]"),
        "Show the new c": _lstm(out="[s(o) * np.tanh(c), new]"),
        "The memory h goes into the gates": _lstm(gates="x @ W + b"),
        "The bias is missing.": _lstm(gates="x @ W + h @ R"),
        "First h, then c.": _lstm(out="[new, s(o) * np.tanh(new)]"),
        "The old c is kept only": _lstm(new="c + s(i) * np.tanh(g)"),
        "A gate multiplies": _lstm(new="s(f) * c + s(i) + np.tanh(g)"),
    },
    "ahead": {
        "a mean of ratios is ruled by": _ahead(
            value="np.mean(np.linalg.norm(w, axis=1) / np.linalg.norm(q, axis=1))"
        ),
        "Take the root": _ahead(value="np.mean(w**2) / np.mean(q**2)"),
        "not the mean size": _ahead(value="np.mean(np.abs(w)) / np.mean(np.abs(q))"),
        "An episode of L steps has a state L": _ahead(live="lengths > k"),
        "Behind the end of an episode": _ahead(live="lengths > 0"),
        "not the one before": _ahead(still="real[live, k - 1]"),
        "The dream's error goes above": _ahead(value="np.sqrt(np.mean(q**2) / np.mean(w**2))"),
        "1 is as bad as copying": _ahead(value="1 - np.sqrt(np.mean(w**2) / np.mean(q**2))"),
        "not the spread": _ahead(value="np.sqrt(np.mean(w**2)) / np.std(real[live, k])"),
        "add nothing up over steps": "live = (lengths[:, None] >= np.arange(1, real.shape[1]))[..., None]\nw = np.cumsum(((dream - real)[:, 1:] ** 2 * live).sum((0, 2)))\nq = np.cumsum(((real[:, :1] - real[:, 1:]) ** 2 * live).sum((0, 2)))\nreturn np.sqrt(w / q)",
    },
    "what_went_wrong": {
        say: f"return {{'between': 'B', 'spike': 'A', 'memory': 'C', 'leap': 'D'}} | {{{name!r}: {letter!r}}}"
        for name, letter, say in [
            ("between", "A", "More data make the mean surer"),
            ("between", "C", "it is not a draw"),
            ("between", "D", "It has converged"),
            ("spike", "B", "One component suffices"),
            ("spike", "C", "More epochs take it further"),
            ("spike", "D", "A temperature acts on draws"),
            ("memory", "A", "It uses its memory."),
            ("memory", "B", "A larger one would use it"),
            ("memory", "D", "Nats compare well here"),
            ("leap", "A", "holds no end"),
            ("leap", "B", "a step that M believes in"),
            ("leap", "C", "the largest of all"),
        ]
    },
}
