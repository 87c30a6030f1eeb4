"""What marks the graded exercises of chapter 4. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def joint_log_prob(answer, rng):
    """Codes near their components, and codes so far away that every exponential is zero."""
    for what, far in [("codes near their components", 1.0), ("codes far away", 300.0)]:
        n, k, z_dim = 5, 3, 4
        log_pi = np.log(rng.dirichlet(np.ones(k), n))
        mu, z = rng.normal(size=(n, k, z_dim)), far * rng.normal(size=(n, z_dim))
        log_sigma = rng.uniform(-0.5, 0.5, (n, k, z_dim))
        square = ((z[:, None] - mu) / np.exp(log_sigma)) ** 2
        each = -0.5 * square - log_sigma - 0.5 * np.log(2 * np.pi)

        def mixed(terms):
            """The logarithm of a sum of exponentials over the components, axis 1."""
            top = terms.max(axis=1, keepdims=True)
            return (top + np.log(np.exp(terms - top).sum(axis=1, keepdims=True)))[:, 0]

        right = mixed(log_pi + each.sum(axis=-1))
        slips = {
            "That chooses a component for each number anew: sum over the numbers of the code before you mix.": mixed(
                log_pi[..., None] + each
            ).sum(axis=-1),
            "The weights of the components are missing.": mixed(each.sum(axis=-1)),
            "A wide Gaussian is low: log sigma is missing, for each number.": mixed(
                log_pi + (each + log_sigma).sum(axis=-1)
            ),
            "The constant of a Gaussian is missing, half the logarithm of 2 pi for each number.": right
            + 0.5 * z_dim * np.log(2 * np.pi),
            "Sum over the numbers of the code, do not average.": mixed(
                log_pi + each.mean(axis=-1)
            ),
        }
        yield Case(
            what,
            right,
            lambda args=(log_pi, mu, log_sigma, z): answer(
                *(part.copy() for part in args)
            ),
            "For each component: the logarithm of its weight, plus all its Gaussians; then log-sum-exp over components, the largest taken out first.",
            slips,
        )


def lstm_row(answer, rng):
    """A row of one episode, and one in which two begin."""
    n, size, wide = 7, 3, 2
    for what, begins in [("one episode", [0]), ("two episodes", [0, 4])]:
        W, R = rng.normal(size=(wide, 4 * size)), rng.normal(size=(size, 4 * size))
        b, x, reset = rng.normal(size=4 * size), rng.normal(size=(n, wide)), np.zeros(n)
        reset[begins] = 1.0

        def along(order="ifgo", empty="before", keep_c=False, R=R, W=W, b=b, x=x, reset=reset, shown="h"):  # fmt: skip
            """What the row shows, rightly or with one slip."""
            logistic = lambda v: 1 / (1 + np.exp(-v))
            h = c = np.zeros(size)
            rows = []
            for now, new in zip(x, reset, strict=True):
                if empty == "before":
                    h, c = (1 - new) * h, c if keep_c else (1 - new) * c
                gates = dict(zip(order, np.split(now @ W + h @ R + b, 4), strict=True))
                c = logistic(gates["f"]) * c + logistic(gates["i"]) * np.tanh(
                    gates["g"]
                )
                h = logistic(gates["o"]) * np.tanh(c)
                rows.append(h if shown == "h" else c)
                if empty == "after":
                    h, c = (1 - new) * h, (1 - new) * c
            return np.array(rows)

        slips = {
            "The four parts come in the order i, f, g, o.": along("figo"),
            "The four parts come in the order i, f, g, o: what to show is last.": along(
                "ifog"
            ),
            "That is c: what the memory shows is h.": along(shown="c"),
            "The memory's own weights R are missing.": along(R=0 * R),
            "The bias is missing.": along(b=0 * b),
        }
        if len(begins) > 1:
            slips |= {
                "Empty the memory before the first input of an episode, not after it.": along(
                    empty="after"
                ),
                "The memory is never emptied: look at reset.": along(empty="never"),
                "Both c and h are emptied.": along(keep_c=True),
            }
        yield Case(
            what,
            along(),
            lambda args=(W, R, b, x, reset): answer(*(part.copy() for part in args)),
            "For each input: empty both memories where reset is 1, make the four parts, then c, then h.",
            slips,
        )
