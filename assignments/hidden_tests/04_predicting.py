"""What marks the assignment on the MDN-RNN. The numbers come from the course's seed, so that this page tells none."""

from pathlib import Path

import numpy as np

from wmlib.classroom.marking import Case, load

choices = load(Path(__file__).with_name("choices.py")).choices
HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


def fork_cost(answer, rng):
    """A pencil that prefers one side, one that prefers the other, and one that does not care."""
    for what, p in [
        ("a pencil that leans left", rng.uniform(0.1, 0.3)),
        ("a pencil that leans right", rng.uniform(0.65, 0.9)),
        ("a fair pencil", 0.5),
    ]:
        p, d, s = float(p), float(rng.uniform(0.8, 1.5)), float(rng.uniform(0.05, 0.12))
        coin = -(p * np.log(p) + (1 - p) * np.log(1 - p))
        wide = s**2 + 4 * p * (1 - p) * d**2
        half = 0.5 * np.log(wide / s**2)
        slips = {
            "The mixture does not know the side either: it pays the entropy of the coin, which comes off.": half,
            "The entropy of the coin is paid by the mixture: it makes the difference smaller.": half
            + coin,
            "In nats: natural logarithms, in the entropy too.": half - coin / np.log(2),
            "A Gaussian costs the logarithm of its deviation: half that of the variance.": 2
            * half
            - coin,
            "The two places are 2 d apart.": 0.5
            * np.log((s**2 + p * (1 - p) * d**2) / s**2)
            - coin,
            "The variance depends on how often each side is met.": 0.5
            * np.log((s**2 + d**2) / s**2)
            - coin,
            "The width of each hill is part of the variance, too.": 0.5
            * np.log((wide - s**2) / s**2)
            - coin,
            "The mixture has a width, too: its logarithm comes off.": 0.5 * np.log(wide)
            - coin,
            "The coin is not fair: its entropy is less than log 2.": half - np.log(2),
            "The single Gaussian is the worse one: its nats less those of the mixture.": coin
            - half,
            "That is what the single Gaussian pays; the difference is asked for.": 0.5
            * np.log(2 * np.pi * np.e * wide),
        }
        yield Case(
            what,
            half - coin,
            lambda p=p, d=d, s=s: answer(p, d, s),
            "Nats of a Gaussian: log of its deviation and a constant. Those of the mixture: the same, and the coin.",
            slips,
            rtol=1e-5,
        )


def mixture_nll(answer, rng):
    """Ordinary codes with a mask, and codes far from every hill."""
    for what, far in [
        ("a batch with a mask", 0.0),
        ("codes far from every hill", 120.0),
    ]:
        shape = (4, 6, 3, 5)
        log_pi = np.log(rng.dirichlet(np.ones(5), shape[:-1]))
        mu, log_sigma = rng.normal(0, 1, shape), rng.normal(-0.7, 0.3, shape)
        z = rng.normal(0, 1, shape[:-1]) + far
        mask = (np.arange(6) < rng.integers(2, 6, (4, 1))).astype(float)

        def nll(
            weigh=log_pi,
            width=None,
            last=None,
            const=HALF_LOG_2PI,
            over=np.sum,
            z=z,
            mu=mu,
            log_sigma=log_sigma,
        ):
            width = log_sigma if width is None else width
            each = (
                weigh
                - 0.5 * ((z[..., None] - mu) / np.exp(width)) ** 2
                - (width if last is None else last)
                - const
            )
            top = each.max(-1, keepdims=True)
            return -over(np.log(np.exp(each - top).sum(-1)) + top[..., 0], axis=-1)

        valid, steps = mask.sum(), nll()
        each = (
            log_pi
            - 0.5 * ((z[..., None] - mu) / np.exp(log_sigma)) ** 2
            - log_sigma
            - HALF_LOG_2PI
        )
        joint = each.sum(axis=2)
        top = joint.max(-1)
        with np.errstate(divide="ignore"):
            plain = -np.log(np.exp(each).sum(-1)).sum(-1)[mask > 0].mean()
        mean = lambda steps, mask=mask, valid=valid: (steps * mask).sum() / valid
        slips = {
            "Sum over the numbers of a code: they are predicted together, each with its own mixture.": mean(
                nll(over=np.mean)
            ),
            "Steps that the mask leaves out do not count.": steps.mean(),
            "Divide by the number of valid steps, not of all.": (steps * mask).mean(),
            "This is log sigma, not the log-variance of V.": mean(
                nll(width=log_sigma / 2)
            ),
            "A narrow hill is a high one: take log sigma off.": mean(nll(last=0.0)),
            "The constant with 2 pi is missing.": mean(nll(const=0.0)),
            "The logarithm of a sum is not the sum of logarithms.": mean(
                -(np.exp(log_pi) * (each - log_pi)).sum(-1).sum(-1)
            ),
            "Each number of the code has a mixture of its own: first the sum over components, then over numbers.": mean(
                -(np.log(np.exp(joint - top[..., None]).sum(-1)) + top)
            ),
            "The negative logarithm is asked for.": -mean(steps),
            "The weights of the components are missing.": mean(nll(weigh=0.0)),
            "log_pi is the logarithm already, and logarithms are added.": mean(
                nll(weigh=np.exp(log_pi))
            ),
            "The mean over the steps, not the sum.": (steps * mask).sum(),
        }
        if far:
            slips[
                "exp gave 0 far from every hill: take the largest logarithm out first."
            ] = plain
        call = lambda z=z, log_pi=log_pi, mu=mu, log_sigma=log_sigma, mask=mask: answer(
            z.copy(), log_pi.copy(), mu.copy(), log_sigma.copy(), mask.copy()
        )
        yield Case(
            what,
            mean(steps),
            call,
            "Logsumexp over components (take the largest logarithm out before exp), sum over numbers, mean over valid steps.",
            slips,
        )


def true_steps(answer, rng):
    """Short episodes one after the other, one of them of a single row."""
    for what, lengths in [
        ("three episodes", [4, 1, 6]),
        ("many episodes", list(rng.integers(2, 9, 12))),
    ]:
        total = int(sum(lengths))
        obs, action = rng.normal(size=(total, 3)), rng.normal(size=(total, 2))
        start = np.zeros(total, bool)
        start[np.cumsum([0, *lengths[:-1]])] = True
        t = np.flatnonzero(~start[1:])
        every = np.arange(total - 1)

        def rows(t, caused=0, after=None, obs=obs, action=action):
            return np.concatenate(
                [
                    obs[t],
                    action[np.maximum(t + caused, 0)],
                    obs[t + 1] if after is None else after,
                ],
                axis=1,
            )

        first = np.flatnonzero(~start[:-1])
        both = np.flatnonzero(~start[1:] & ~start[:-1])
        edge = np.flatnonzero(start[1:])
        slips = {
            "The row after an episode's last belongs to another body: no step leads there.": rows(
                every
            ),
            "It is the last row of an episode that has no successor, not the first.": rows(
                first
            ),
            "The action of a step is the one chosen at its first state: row t.": rows(
                t, 1
            ),
            "The action before led to this state; the one of row t leads on.": rows(
                t, -1
            ),
            "The next state is asked for, not the change.": rows(
                t, after=obs[t + 1] - obs[t]
            ),
            "The third part is the state after the step.": rows(t, after=obs[t]),
            "These are the steps that cross a reset: keep the others.": rows(edge),
            "The first state of an episode is a state like any other: keep it.": rows(
                both
            ),
            "The order is state, action, next state.": np.concatenate(
                [action[t], obs[t], obs[t + 1]], axis=1
            ),
            "The last step of the file counts, too.": rows(t[t < total - 2]),
        }
        yield Case(
            what,
            rows(t),
            lambda obs=obs, action=action, start=start: answer(
                obs.copy(), action.copy(), start.copy()
            ),
            "Row t and row t + 1 are a step where row t + 1 begins no episode.",
            slips,
        )


def lstm_step(answer, rng):
    """One row, and a batch."""
    for what, n, width in [("one row", 1, 3), ("a batch", 5, 4)]:
        x, h, c = (
            rng.normal(size=(n, 2)),
            rng.uniform(-1, 1, (n, width)),
            rng.normal(0, 1.5, (n, width)),
        )
        W, R, b = (
            rng.normal(size=(2, 4 * width)),
            rng.normal(size=(width, 4 * width)),
            rng.normal(size=4 * width),
        )
        s = lambda v: 1 / (1 + np.exp(-v))

        def step(
            gates,
            order=(0, 1, 2, 3),
            s=s,
            g_of=np.tanh,
            out=np.tanh,
            c=c,
            keep=True,
            shown=None,
        ):
            parts = np.split(gates, 4, axis=-1)
            i, f, g, o = (parts[k] for k in order)
            new = (s(f) * c if keep else c) + s(i) * g_of(g)
            return np.stack([s(o) * out(new if shown is None else shown), new])

        gates = x @ W + h @ R + b
        right = step(gates)
        i, f, g, o = np.split(gates, 4, axis=-1)
        added = s(f) * c + s(i) + np.tanh(g)
        slips = {
            "The first part of the gates lets in, the second keeps.": step(
                gates, (1, 0, 2, 3)
            ),
            "The order of the parts is i, f, g, o.": step(gates, (0, 2, 1, 3)),
            "A gate is between 0 and 1: the logistic function, not tanh.": step(
                gates, s=np.tanh
            ),
            "What is written may be negative: tanh of g.": step(gates, g_of=s),
            "What is shown is tanh of the new c.": step(gates, out=lambda v: v),
            "Show the new c, not the old one.": step(gates, shown=c),
            "The memory h goes into the gates, too.": step(x @ W + b),
            "The bias is missing.": step(x @ W + h @ R),
            "First h, then c.": right[::-1],
            "The old c is kept only as far as f says.": step(gates, keep=False),
            "A gate multiplies what it lets in.": np.stack(
                [s(o) * np.tanh(added), added]
            ),
        }
        call = lambda x=x, h=h, c=c, W=W, R=R, b=b: answer(
            x.copy(), h.copy(), c.copy(), W.copy(), R.copy(), b.copy()
        )
        yield Case(what, right, call, "Equation 4.4, line by line.", slips)


def ahead(answer, rng):
    """Dreams beside reality, with episodes that end on the way."""
    for what, n, T in [("a few episodes", 5, 6), ("many episodes", 30, 12)]:
        real = np.cumsum(
            rng.normal(0, 1, (n, T + 1, 3)) * rng.uniform(0.3, 2, (n, 1, 1)), axis=1
        )
        dream = real + np.cumsum(rng.normal(0, 0.4, real.shape), axis=1)
        dream[:, 0] = real[:, 0]
        lengths = rng.integers(1, T + 3, n)
        lengths[:2] = T, T + 2
        k = np.arange(1, T + 1)
        valid = (lengths[:, None] >= k)[..., None] + np.zeros(3, bool)
        wrong, still = dream[:, 1:] - real[:, 1:], real[:, :1] - real[:, 1:]

        def ratio(x, y, valid=valid, power=2, root=0.5):
            total = lambda v: np.where(valid, np.abs(v) ** power, 0).sum(axis=(0, 2))
            return (total(x) / total(y)) ** root

        right = ratio(wrong, still)
        own = np.sqrt((wrong**2).sum(-1) / (still**2).sum(-1))
        late = (lengths[:, None] > k)[..., None] + np.zeros(3, bool)
        spread = np.array(
            [
                np.sqrt(np.mean(wrong[:, j][valid[:, j]] ** 2))
                / np.std(real[:, j + 1][valid[:, j]])
                for j in range(T)
            ]
        )
        slips = {
            "Add up errors first and divide then: a mean of ratios is ruled by the episodes that hardly move.": np.where(
                valid[..., 0], own, 0
            ).sum(0)
            / valid[..., 0].sum(0),
            "Take the root: errors, not their squares.": right**2,
            "The root of the mean square is asked for, not the mean size.": ratio(
                wrong, still, power=1, root=1
            ),
            "An episode of L steps has a state L: keep lengths >= k.": ratio(
                wrong, still, late
            ),
            "Behind the end of an episode there is nothing to compare with.": ratio(
                wrong, still, valid | True
            ),
            "'Nothing changes' copies the first state, not the one before.": ratio(
                wrong, real[:, :-1] - real[:, 1:]
            ),
            "The dream's error goes above, the copy's below.": 1 / right,
            "The ratio is asked for: 1 is as bad as copying.": 1 - right,
            "The reference is copying the first state, not the spread.": spread,
            "Each k has a ratio of its own: add nothing up over steps.": np.sqrt(
                np.cumsum(np.where(valid, wrong**2, 0).sum((0, 2)))
                / np.cumsum(np.where(valid, still**2, 0).sum((0, 2)))
            ),
        }
        call = lambda real=real, dream=dream, lengths=lengths: answer(
            real.copy(), dream.copy(), lengths.copy()
        )
        yield Case(
            what,
            right,
            call,
            "Of the episodes that last k steps: root of the sum of squared errors, over the same for real[:, 0].",
            slips,
        )


def what_went_wrong(answer, rng):
    """Four diagnoses."""
    yield from choices(answer, {
        "between": ("B", {
            "A": "More data make the mean surer, and the mean is in between.",
            "C": "Squared error has one best answer, and it is not a draw.",
            "D": "It has converged: that place is the best for this loss.",
        }),
        "spike": ("A", {
            "B": "One component suffices to become infinitely narrow.",
            "C": "More epochs take it further down.",
            "D": "A temperature acts on draws, not on the loss.",
        }),
        "memory": ("C", {
            "A": "It uses its memory. Whether it needs one is another question.",
            "B": "A larger one would use it as well.",
            "D": "Nats compare well here: it is the same M, V and data.",
        }),
        "leap": ("D", {
            "A": "A window across a reset holds no end: nothing teaches M to end sooner.",
            "B": "One step in thirty is a step that M believes in.",
            "C": "The step across a reset is the largest of all, not a small one.",
        }),
    })  # fmt: skip
