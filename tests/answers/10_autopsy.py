"""Answers to the assignment on the autopsy: right ones of several kinds, and one for each misconception, by what it is told."""

SIGNATURES = {
    "price_list": "limit, length, motors",
    "crossing_share": "lengths, window",
    "pose": "obs",
    "memory_shift": "W, b, z, h, half",
    "paired_effect": "before, after, t",
    "cause_of_death": "",
}

RIGHT = {
    "price_list": [
        "return 5 * (1 - 1 / length) - 0.1 * motors * limit**2 / 3",
        "return (5 * (length - 1) - length * motors * 0.1 * limit**2 / 3) / length",
        "variance = (2 * limit) ** 2 / 12\nreturn 5 - 5 / length - motors * 0.1 * variance",
        "x, w = np.polynomial.legendre.leggauss(4)\nsquare = np.sum(w * (limit * x) ** 2) / 2\nreturn 5 * (length - 1) / length - 0.1 * np.sum(np.full(motors, square))",
        "cost = sum(0.1 * limit * limit / 3 for _ in range(motors))\nreturn np.subtract(5 * (1 - length**-1), cost)",
    ],
    "crossing_share": [
        "total = np.sum(lengths) - window + 1\nreturn 1 - np.maximum(0, lengths - window + 1).sum() / total",
        "owner = np.repeat(np.arange(len(lengths)), lengths)\nreturn np.mean(owner[: len(owner) - window + 1] != owner[window - 1 :])",
        "owner = [e for e, n in enumerate(lengths) for _ in range(n)]\nwindows = [owner[i : i + window] for i in range(len(owner) - window + 1)]\nreturn sum(len(set(w)) > 1 for w in windows) / len(windows)",
        "inside = sum(n - window + 1 for n in lengths if n >= window)\ntotal = sum(lengths) - window + 1\nreturn (total - inside) / total",
        "start = np.zeros(sum(lengths), int)\nstart[np.cumsum(lengths)[:-1]] = 1\nviews = np.lib.stride_tricks.sliding_window_view(start[1:], window - 1)\nreturn views.any(axis=1).mean()",
    ],
    "pose": [
        "qpos = np.concatenate([np.zeros((len(obs), 2)), obs[:, :22]], axis=1)\nqpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)\nreturn np.concatenate([qpos, obs[:, 22:45]], axis=1)",
        "out = np.zeros((len(obs), 47))\nout[:, 2:] = obs[:, :45]\nout[:, 3:7] /= np.sqrt((out[:, 3:7] ** 2).sum(1))[:, None]\nreturn out",
        "turn = obs[:, 1:5] / np.linalg.norm(obs[:, 1:5], axis=-1)[:, None]\nreturn np.hstack([np.zeros_like(turn[:, :2]), obs[:, :1], turn, obs[:, 5:45]])",
        "rows = []\nfor o in obs:\n    q = o[1:5] / sum(v * v for v in o[1:5]) ** 0.5\n    rows.append([0, 0, o[0], *q, *o[5:22], *o[22:45]])\nreturn np.array(rows)",
        "state = np.pad(obs[:, :45], ((0, 0), (2, 0)))\nsize = np.ones_like(state)\nsize[:, 3:7] = np.linalg.norm(obs[:, 1:5], axis=1, keepdims=True)\nreturn state / size",
    ],
    "memory_shift": [
        "live = half * np.tanh(np.concatenate([z, h], axis=1) @ W.T + b)\nasleep = half * np.tanh(np.concatenate([z, 0 * h], axis=1) @ W.T + b)\nreturn np.sqrt(np.mean((live - asleep) ** 2))",
        "n = z.shape[1]\ns = z @ W[:, :n].T + b\nd = np.tanh(s + h @ W[:, n:].T) - np.tanh(s)\nreturn half * np.linalg.norm(d) / d.size**0.5",
        "total = 0\nfor one, memory in zip(z, h):\n    a = half * np.tanh(W @ np.concatenate([one, memory]) + b)\n    c = half * np.tanh(W @ np.concatenate([one, np.zeros(len(memory))]) + b)\n    total += ((a - c) ** 2).sum()\nreturn (total / (len(z) * len(b))) ** 0.5",
        "s = np.einsum('az,nz->na', W[:, : z.shape[1]], z) + b\nm = np.einsum('ah,nh->na', W[:, z.shape[1] :], h)\nreturn np.std(np.append(d := half * (np.tanh(s + m) - np.tanh(s)), -d))",
        "f = lambda memory: half * np.tanh(np.c_[z, memory] @ W.T + b[None])\nreturn float(np.sqrt(np.square(f(h) - f(np.zeros_like(h))).mean()))",
    ],
    "paired_effect": [
        "d = after.mean(axis=1) - before.mean(axis=1)\nreturn np.array([d.mean(), t * d.std(ddof=1) / np.sqrt(len(d))])",
        "d = [np.mean(a) - np.mean(b) for a, b in zip(after, before)]\nm = sum(d) / len(d)\nvariance = sum((v - m) ** 2 for v in d) / (len(d) - 1)\nreturn m, t * (variance / len(d)) ** 0.5",
        "d = np.mean(after - before, axis=1)\nreturn [np.mean(d), t * np.sqrt(np.var(d) / (d.size - 1))]",
        "a, b = after.mean(1), before.mean(1)\nC = np.cov(a, b)\nreturn np.array([(a - b).mean(), t * np.sqrt((C[0, 0] + C[1, 1] - 2 * C[0, 1]) / len(a))])",
        "d = (after.sum(1) - before.sum(1)) / after.shape[1]\nhalf = t * np.linalg.norm(d - d.mean()) / np.sqrt(len(d) * (len(d) - 1))\nreturn np.array((np.average(d), half))",
    ],
    "cause_of_death": [
        "return {'bill': 'C', 'cover': 'A', 'silent': 'D', 'record': 'B'}",
        "return dict(bill='c', cover='a', silent='d', record='b')",
        "return {'record': ' B', 'silent': 'D ', 'cover': 'A', 'bill': 'C'}",
        "return dict(zip(('bill', 'cover', 'silent', 'record'), 'CADB'))",
        "return {'bill': 'C, as sent', 'cover': 'A: both', 'silent': 'D.', 'record': 'B)'}",
    ],
}

CUT = "none, qpos, qvel = np.zeros((len(obs), 2)), obs[:, :22].copy(), obs[:, 22:45]\n{}\nreturn np.concatenate([{}], axis=1)"
NORM = "qpos[:, 1:5] /= np.linalg.norm(qpos[:, 1:5], axis=1, keepdims=True)"
SHIFT = "n = z.shape[1]\ns, m = z @ W[:, :n].T + b, h @ W[:, n:].T\nd = {}\nreturn {}"
MOVED, RMS = "half * (np.tanh(s + m) - np.tanh(s))", "np.sqrt(np.mean(d**2))"
WINDOWS = "N, E, w = lengths.sum(), len(lengths), window\ninside, total = np.maximum(0, lengths - w + 1).sum(), N - w + 1\nreturn {}"
PAIRED = "a, b, S = after.mean(axis=1), before.mean(axis=1), len(after)\nd = a - b\nreturn np.array([{}, {}])"
MEAN, HALF = "d.mean()", "t * d.std(ddof=1) / np.sqrt(S)"


def _cut(parts="none, qpos, qvel", norm=NORM):
    return CUT.format(norm, parts)


def _shift(moved=MOVED, out=RMS):
    return SHIFT.format(moved, out)


def _paired(mean=MEAN, half=HALF):
    return PAIRED.format(mean, half)


WRONG = {
    "price_list": {
        "The step of the fall pays no bonus.": "return 5 - 0.1 * motors * limit**2 / 3",
        "a third of the largest": "return 5 * (1 - 1 / length) - 0.1 * motors * limit**2",
        "not of sizes": "return 5 * (1 - 1 / length) - 0.1 * motors * limit / 2",
        "more than the square of the mean size": "return 5 * (1 - 1 / length) - 0.1 * motors * (limit / 2) ** 2",
        "Every motor costs.": "return 5 * (1 - 1 / length) - 0.1 * limit**2 / 3",
        "Per step, not for the episode.": "return 5 * (length - 1) - length * 0.1 * motors * limit**2 / 3",
        "A cost is taken away.": "return 5 * (1 - 1 / length) + 0.1 * motors * limit**2 / 3",
        "The price of a square is 0.1.": "return 5 * (1 - 1 / length) - motors * limit**2 / 3",
        "L - 1 do": "return 5 * length / (length + 1) - 0.1 * motors * limit**2 / 3",
        "The bill is for what was sent": "x = np.clip(np.linspace(-limit, limit, 2000001), -0.4, 0.4)\nreturn 5 * (1 - 1 / length) - 0.1 * motors * np.trapezoid(x**2, dx=1 / 2000000)",
    },
    "crossing_share": {
        "the share that stays inside": WINDOWS.format("inside / total"),
        "can begin at L - w + 1 of them": WINDOWS.format(
            "1 - np.maximum(0, lengths - w).sum() / total"
        ),
        "not N.": WINDOWS.format("1 - inside / N"),
        "The last seam is no seam": WINDOWS.format("E * (w - 1) / total"),
        "Windows begin at every row": "owner = np.repeat(np.arange(len(lengths)), lengths)\nreturn np.mean([owner[i] != owner[i + window - 1] for i in range(0, len(owner) - window + 1, window)])",
        "Windows count, not episodes.": WINDOWS.format("np.mean(lengths < w)"),
        "Episodes have different numbers of windows": WINDOWS.format(
            "np.mean(np.minimum(1, (w - 1) / lengths))"
        ),
        "the last begins at row N - w": WINDOWS.format("1 - inside / (N - w)"),
        "A count is asked to be divided": WINDOWS.format("total - inside"),
        "from w - 1 places only": WINDOWS.format("min(1, (E - 1) * w / total)"),
        "not less than none": WINDOWS.format("1 - (lengths - w + 1).sum() / total"),
    },
    "pose": {
        "the report's cut": _cut("obs[:, :24], obs[:, 24:47]"),
        "x and y come first": _cut("qpos, none, qvel"),
        "The velocities begin at number 22": _cut("none, qpos, obs[:, 24:47]"),
        "First the positions": _cut("qvel, none, qpos"),
        "qpos has 24 numbers": _cut("qpos, qvel"),
        "Nothing is skipped": _cut("none, obs[:, 2:24], qvel"),
        "A decoded quaternion has any length": _cut(norm=""),
        "Only the quaternion has length 1.": _cut(
            norm="qpos /= np.linalg.norm(qpos, axis=1, keepdims=True)"
        ),
        "The quaternion follows the height": _cut(
            norm="qpos[:, :4] /= np.linalg.norm(qpos[:, :4], axis=1, keepdims=True)"
        ),
        "not by its square": _cut(
            norm="qpos[:, 1:5] /= (qpos[:, 1:5] ** 2).sum(axis=1, keepdims=True)"
        ),
        "The quaternion has four numbers.": _cut(
            norm="qpos[:, 1:4] /= np.linalg.norm(qpos[:, 1:4], axis=1, keepdims=True)"
        ),
        "squared before they are added": _cut(
            norm="qpos[:, 1:5] /= np.abs(qpos[:, 1:5]).sum(axis=1, keepdims=True)"
        ),
        "Each state has a quaternion of its own.": _cut(
            norm="qpos[:, 1:5] /= np.linalg.norm(qpos[:, 1:5])"
        ),
    },
    "memory_shift": {
        "not the mean size": _shift(out="np.abs(d).mean()"),
        "z first, then h": "n = h.shape[1]\ns, m = z @ W[:, n:].T + b, h @ W[:, :n].T\nreturn np.sqrt(np.mean((half * np.tanh(s + m) - half * np.tanh(s)) ** 2))",
        "not what goes into the tanh": _shift("half * m"),
        "cannot be sent through it alone": _shift("half * np.tanh(m)"),
        "not the worst": _shift(out="np.abs(d).max()"),
        "Differences of both signs cancel": _shift(out="abs(d.mean())"),
        "not their sum": _shift(out="np.sqrt(np.mean(np.sum(d**2, axis=1)))"),
        "In units of the box": _shift("np.tanh(s + m) - np.tanh(s)"),
        "The bias is missing": _shift("half * (np.tanh(s - b + m) - np.tanh(s - b))"),
        "Take the root.": _shift(out="np.mean(d**2)"),
        "not the code": _shift("half * (np.tanh(s + m) - np.tanh(m + b))"),
    },
    "paired_effect": {
        "The unit is the training seed": _paired(
            half="t * (after - before).std(ddof=1) / np.sqrt(after.size)"
        ),
        "Both had the same seed": _paired(
            half="t * np.sqrt(a.var(ddof=1) / S + b.var(ddof=1) / S)"
        ),
        "has S - 1 below": _paired(half="t * d.std() / np.sqrt(S)"),
        "surer than one": _paired(half="t * d.std(ddof=1)"),
        "1.96 is too small": _paired(half="1.96 * d.std(ddof=1) / np.sqrt(S)"),
        "mended less reported": _paired(mean="-d.mean()"),
        "Half the width": _paired(half="2 * t * d.std(ddof=1) / np.sqrt(S)"),
        "not by S.": _paired(half="t * d.std(ddof=1) / S"),
        "t is missing": _paired(half="d.std(ddof=1) / np.sqrt(S)"),
        "not the middle one": _paired(mean="np.median(d)"),
        "not the mended ones": _paired(half="t * a.std(ddof=1) / np.sqrt(S)"),
        "No seed may be left out": _paired(mean="d.max()"),
    },
    "cause_of_death": {
        say: f"return {{'bill': 'C', 'cover': 'A', 'silent': 'D', 'record': 'B'}} | {{{name!r}: {letter!r}}}"
        for name, letter, say in [
            ("bill", "A", "The torque is the same"),
            ("bill", "B", "so the length is, too"),
            ("bill", "D", "no luck is in it"),
            ("cover", "B", "A right line stays right"),
            ("cover", "C", "More seeds narrow the interval"),
            ("cover", "D", "The interval leaves 0 out"),
            ("silent", "A", "has a loss that falls as well"),
            ("silent", "B", "More wrong pairs are still wrong."),
            ("silent", "C", "it does not see M"),
            ("record", "A", "has luck on its side"),
            ("record", "C", "the maximum is not a mean"),
            ("record", "D", "the luckier the best of them"),
        ]
    },
}
