"""What marks the graded exercises of chapter 3. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def _nats(mu, logvar):
    return 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar)


def active_units(answer, rng):
    """Codes in which numbers are active for three reasons: a mean that moves, a small sigma, or a few observations only."""
    n, moving, sure, seldom, dead = 40, *rng.integers(1, 4, 4)
    z_dim = moving + sure + seldom + dead
    mu, logvar = 0.01 * rng.normal(size=(2, n, z_dim))
    mu[:, :moving] += rng.choice([-2.0, 2.0], (n, moving))
    logvar[:, moving : moving + sure] -= rng.uniform(5, 8, sure)
    mu[0, moving + sure : moving + sure + seldom] = rng.uniform(3, 4)
    order = rng.permutation(z_dim)
    mu, logvar = mu[:, order], logvar[:, order]
    cost = _nats(mu, logvar)
    for least, expected in [(0.05, moving + sure + seldom), (0.5, moving + sure)]:
        slips = {
            "Take the mean over the batch before you compare: not one observation, but the average, must cost more.": int(
                (cost > least).any(axis=0).sum()
            ),
            "Numbers of the code are asked for, not their share.": expected / z_dim,
            "That counts the numbers that are not active.": z_dim - expected,
            "A number whose mean stands still may be active too: by a small sigma. Use the KL of eq. 3.2.": int(
                ((0.5 * mu**2).mean(axis=0) > least).sum()
            ),
            "That counts single costs: one for each observation. Average over the batch first.": int(
                (cost > least).sum()
            ),
        }
        call = lambda least=least: answer(mu.copy(), logvar.copy(), least)
        yield Case(
            f"{z_dim} numbers, least {least}",
            expected,
            call,
            "Average eq. 3.2 over the batch, compare, count.",
            slips,
        )


def kl_between(answer, rng):
    """A wide and a narrow prior, away from 0."""
    for what, s in [
        ("a prior wider than the code", rng.uniform(2, 3)),
        ("a prior narrower than the code", rng.uniform(0.3, 0.6)),
    ]:
        mu, m, sigma = (
            float(value) for value in (*rng.normal(size=2), rng.uniform(0.8, 1.5))
        )
        s = float(s)
        exact = np.log(s / sigma) + (sigma**2 + (mu - m) ** 2) / (2 * s**2) - 0.5
        slips = {
            "That is the KL the other way round: it is not symmetric.": np.log(
                sigma / s
            )
            + (s**2 + (mu - m) ** 2) / (2 * sigma**2)
            - 0.5,
            "That is the KL from N(0, 1): m and s are missing.": _nats(
                mu, 2 * np.log(sigma)
            ),
            "The logarithm of the ratio of the deviations is missing.": exact
            - np.log(s / sigma),
            "The ratio in the logarithm is upside down.": exact - 2 * np.log(s / sigma),
            "KL of N(mu, sigma^2) from itself must be 0: something constant is missing.": exact
            + 0.5,
            "In nats, not in bits: the natural logarithm.": exact / np.log(2),
        }
        call = lambda mu=mu, sigma=sigma, m=m, s=s: answer(mu, sigma, m, s)
        yield Case(
            what,
            exact,
            call,
            "Integrate q (log q - log p), or measure z in units of s from m and use eq. 3.2.",
            slips,
        )
