"""What marks the graded exercises of chapter 4. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def effective_components(answer, rng):
    """Weights of one mixture, and a batch of mixtures."""
    for what, shape in [
        ("the weights of one mixture", (4,)),
        ("a batch of mixtures", (3, 2, 5)),
    ]:
        pi = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
        log_pi, entropy = np.log(pi), -np.sum(pi * np.log(pi), axis=-1)
        slips = {
            "That is the entropy: e to it is asked for.": entropy,
            "Mind the sign: the entropy is positive.": np.exp(-entropy),
            "The weights come as logarithms already: take no logarithm of them again.": np.exp(
                -np.sum(log_pi * np.log(np.abs(log_pi) + 1e-30), axis=-1)
            ),
            "That is one over the sum of squares, another way to count; the one with the entropy is asked for.": 1
            / np.sum(pi**2, axis=-1),
            "The entropy is in nats, so it is e that is raised to it, not 2.": 2
            ** entropy,
        }
        call = lambda log_pi=log_pi: answer(log_pi.copy())
        yield Case(
            what,
            np.exp(entropy),
            call,
            "Weight each logarithm by its weight, sum over the last axis, and raise e to minus that.",
            slips,
        )


def tempered(answer, rng):
    """A cold and a hot mixture, a batch, and weights too small for exp."""
    for what, shape, tau in [
        ("a cold mixture", (4,), 0.3),
        ("a hot mixture", (4,), 2.5),
        ("a batch of mixtures", (3, 5), 0.7),
    ]:
        tau = tau * rng.uniform(0.9, 1.1)
        pi = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
        power = pi ** (1 / tau)
        right = power / power.sum(axis=-1, keepdims=True)
        upside = pi**tau
        slips = {
            "The logarithms are divided by tau, not multiplied.": upside
            / upside.sum(axis=-1, keepdims=True),
            "Weights sum to 1: divide by their sum.": power,
            "The logarithms are asked for their exponential: these are still logarithms.": np.log(
                right
            ),
            "Dividing the weights themselves by tau changes nothing once they sum to 1: divide their logarithms.": pi,
        }
        call = lambda pi=pi, tau=tau: answer(np.log(pi), tau)
        yield Case(
            what,
            right,
            call,
            "Divide the logarithms by tau, then exponentiate, then divide by the sum.",
            slips,
            atol=1e-9,
        )
    low, gap = -rng.uniform(2000, 4000), rng.uniform(0.5, 2)
    right = np.array([1.0, np.exp(gap)]) / (1 + np.exp(gap))
    yield Case(
        "very small weights",
        right,
        lambda: answer(np.array([low, low + gap]), 1.0),
        "Subtract the largest logarithm before exp: it cancels in the sum.",
    )
