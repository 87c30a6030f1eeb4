"""What marks the graded exercises of chapter 0. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def kept_share(answer, rng):
    """Two different numbers of episodes, and a promise that was too low."""
    for what, n, m, scale in [
        ("a broken promise", 7, 4, 3.0),
        ("a promise more than kept", 5, 9, 0.5),
    ]:
        real, dreamed = rng.uniform(100, 400, n), scale * rng.uniform(100, 400, m)
        expected = 100 * real.mean() / dreamed.mean()
        slips = {
            "Percent: a hundred times the share.": expected / 100,
            "The promise stands below the line: real over dreamed.": 100
            * dreamed.mean()
            / real.mean(),
            "Means, not sums: there may be more dreams than episodes.": 100
            * real.sum()
            / dreamed.sum(),
            "The mean of all, not the best.": 100 * real.max() / dreamed.max(),
            "The gap is another number: what is asked for is the share.": 100
            * (dreamed.mean() - real.mean())
            / dreamed.mean(),
        }
        yield Case(
            what,
            expected,
            lambda real=real, dreamed=dreamed: answer(real.copy(), dreamed.copy()),
            "Take both means, divide, and make it percent.",
            slips,
        )


def linear_action(answer, rng):
    """A box around zero, and one that is not."""
    for what, actions, size, shift in [
        ("a box around zero", 4, 6, 0.0),
        ("a box that is not around zero", 3, 5, 1.0),
    ]:
        W, b, z = (
            rng.normal(size=(actions, size)),
            rng.normal(size=actions),
            0.4 * rng.normal(size=size),
        )
        half = rng.uniform(0.3, 1.0, actions)
        low, high = shift - half, shift + half
        raw = W @ z + b
        slips = {
            "The hyperbolic tangent gives numbers from -1 to 1: stretch them to the box.": np.tanh(
                raw
            ),
            "Half of the box on each side of its middle.": shift
            + 2 * half * np.tanh(raw),
            "Without the tangent commands leave the box.": shift + half * raw,
            "The bias is missing.": shift + half * np.tanh(W @ z),
            "Cutting off is not squashing: use the tangent.": np.clip(raw, low, high),
        }
        if shift:
            slips["The box has a middle: add it."] = half * np.tanh(raw)
        call = lambda z=z, W=W, b=b, low=low, high=high: answer(
            z.copy(), W.copy(), b.copy(), low.copy(), high.copy()
        )
        yield Case(
            what,
            shift + half * np.tanh(raw),
            call,
            "The middle of the box, plus half its width times tanh(W z + b).",
            slips,
        )
