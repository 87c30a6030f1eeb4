"""What marks the graded exercises of chapter 3. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def _nats(mu, logvar):
    return 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar)


def elbo(answer, rng):
    """A decoder that is sure and one that is not, with codes that cost."""
    for what, s in [("a sure decoder", 0.3), ("an unsure decoder", 2.0)]:
        x, x_hat = rng.normal(size=(2, 6, 3))
        mu, logvar = rng.normal(size=(2, 6, 4))
        log_p = -0.5 * ((x - x_hat) / s) ** 2 - np.log(s * np.sqrt(2 * np.pi))
        price = _nats(mu, logvar).sum(axis=-1)
        right = log_p.sum(axis=-1) - price
        constant = 3 * np.log(s * np.sqrt(2 * np.pi))
        slips = {
            "The price of the code is subtracted, not added.": right + 2 * price,
            "That is the negative of the bound: a log-density is asked for.": -right,
            "The constant of the density is missing: the logarithm of s times the root of 2 pi, for each number.": right
            + constant,
            "The constant belongs to each of the numbers of x, not to the row.": right
            + constant * 2 / 3,
            "The error is divided by s before it is squared.": -0.5
            * ((x - x_hat) ** 2).sum(axis=-1)
            - constant
            - price,
            "Sum over the numbers of x, do not average.": log_p.mean(axis=-1) - price,
            "Sum the price over the numbers of the code, do not average.": log_p.sum(
                axis=-1
            )
            - price / 4,
        }
        yield Case(
            what,
            right,
            lambda x=x, x_hat=x_hat, mu=mu, logvar=logvar, s=s: answer(
                x.copy(), x_hat.copy(), mu.copy(), logvar.copy(), s
            ),
            "Sum the log-density of a normal over the numbers of x, then subtract eq. 3.2, summed over the code.",
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
