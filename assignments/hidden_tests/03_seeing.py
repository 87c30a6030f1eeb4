"""What marks the assignment on the VAE. The numbers come from the course's seed, so that this page tells none."""

from pathlib import Path

import numpy as np

from wmlib.classroom.marking import Case, load

choices = load(Path(__file__).with_name("choices.py")).choices


def _nats(mu, logvar):
    return 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar)


def nats_worth(answer, rng):
    """Directions above and below a small beta, and a beta above most of them."""
    for what, n, beta in [
        ("a small beta", 6, rng.uniform(0.02, 0.1)),
        ("a large beta", 9, rng.uniform(0.6, 0.9)),
    ]:
        beta = float(beta)
        v = np.exp(rng.normal(np.log(beta), 1.5, n))
        v[:3] = beta * 5, beta / 4, beta * 1.7
        nats, error = np.maximum(0, 0.5 * np.log(v / beta)), np.minimum(v, beta)
        both = lambda a, b: np.array([a.sum(), b.sum()])
        slips = {
            "A direction that varies less than beta is not coded: it costs nothing, and never less than nothing.": both(
                0.5 * np.log(v / beta), error
            ),
            "Half the logarithm: lambda is a variance.": both(2 * nats, error),
            "In nats: the natural logarithm.": both(nats / np.log(2), error),
            "beta is a squared error already.": both(
                np.maximum(0, 0.5 * np.log(v / beta**2)), np.minimum(v, beta**2)
            ),
            "A direction that is not coded loses its variance, which is less than beta.": both(
                nats, beta + 0 * v
            ),
            "What is coded is not drawn without error: it keeps beta.": both(
                nats, np.where(v < beta, v, 0)
            ),
            "The error is the smaller of the two.": both(nats, np.maximum(v, beta)),
            "Sums over the directions are asked for.": np.array(
                [nats.mean(), error.mean()]
            ),
            "These are variances already: do not square them.": both(
                np.maximum(0, 0.5 * np.log(v**2 / beta)), np.minimum(v**2, beta)
            ),
            "A variance is worth nats against beta, not against 1.": both(
                np.maximum(0, 0.5 * np.log(v)), error
            ),
            "First the nats, then the error.": both(error, nats),
        }
        yield Case(
            what,
            both(nats, error),
            lambda v=v, beta=beta: answer(v.copy(), beta),
            "Equation 3.5 for each direction, and then two sums.",
            slips,
        )


def standardized(answer, rng):
    """Numbers of very different sizes, one of them constant in training."""
    for what, n in [("a short recording", 12), ("a long recording", 300)]:
        size = np.array([0.01, 1.0, 50.0, 0.0])
        train = rng.normal(3, 1, 4) + size * rng.normal(size=(n, 4))
        seen = train.mean(axis=0) + (size * 1.5 + 0.001) * rng.normal(0.4, 1, (7, 4))
        least = float(rng.uniform(0.02, 0.05))
        train[:, 3] = 2.0  # exactly, so that its deviation is exactly 0
        mean, std = train.mean(axis=0), train.std(axis=0)
        floor = np.maximum(std, least)
        every = np.concatenate([train, seen])
        with np.errstate(divide="ignore"):
            unheld, ceiling = (
                (seen - mean) / std,
                (seen - mean) / np.minimum(std, least),
            )
        slips = {
            "With the statistics of the training data: V learned in those units.": (
                seen - seen.mean(0)
            )
            / np.maximum(seen.std(0), least),
            "Divide by the deviation, not by the variance.": (seen - mean)
            / np.maximum(std**2, least),
            "A number that never changed in training has deviation 0: hold it at the least.": unheld,
            "The least is a floor, nothing to be added.": (seen - mean) / (std + least),
            "Each number has a mean and a deviation of its own: axis=0.": (
                seen - train.mean()
            )
            / max(train.std(), least),
            "Take the mean away.": seen / floor,
            "The greater of the two: least is a floor, not a ceiling.": ceiling,
            "The mean of squares over all rows: divide by N, not N - 1.": (seen - mean)
            / np.maximum(train.std(axis=0, ddof=1), least),
            "What is seen later may not change the units: the training data alone.": (
                seen - every.mean(0)
            )
            / np.maximum(every.std(0), least),
            "First take the mean away, then divide.": seen / floor - mean,
            "The unit is the deviation, not the whole range.": (seen - mean)
            / np.maximum(np.ptp(train, axis=0), least),
        }
        call = lambda train=train, seen=seen, least=least: answer(
            train.copy(), seen.copy(), least
        )
        yield Case(
            what,
            (seen - mean) / floor,
            call,
            "Mean and deviation of train, for each number; the deviation no smaller than least.",
            slips,
            rtol=1e-7,
            atol=1e-9,
        )


def vae_loss(answer, rng):
    """Two betas."""
    for what, n, beta in [("a small beta", 5, 0.1), ("beta 1 and a half", 16, 1.5)]:
        beta = float(beta * rng.uniform(0.8, 1.2))
        x, mu, logvar = (
            rng.normal(size=(n, 6)),
            rng.normal(size=(n, 3)),
            rng.normal(-1.5, 0.6, (n, 3)),
        )
        eps, W, b = (
            rng.standard_normal((n, 3)),
            rng.normal(size=(3, 6)),
            rng.normal(size=6),
        )
        kl = _nats(mu, logvar).sum(1)

        def drawn(sigma, x=x, mu=mu, eps=eps, W=W, b=b):
            return (x - ((mu + sigma * eps) @ W + b)) ** 2

        sigma = np.exp(0.5 * logvar)
        rec = 0.5 * drawn(sigma).sum(1)
        slips = {
            "logvar is the logarithm of the variance: the deviation is exp of half of it.": np.mean(
                0.5 * drawn(np.exp(logvar)).sum(1) + beta * kl
            ),
            "logvar is a logarithm: it is no deviation.": np.mean(
                0.5 * drawn(logvar).sum(1) + beta * kl
            ),
            "A code is sampled: mu + sigma eps.": np.mean(
                0.5 * drawn(0).sum(1) + beta * kl
            ),
            "Half the squared error.": np.mean(2 * rec + beta * kl),
            "Sum the squared error over what is seen; a mean changes what beta means.": np.mean(
                0.5 * drawn(sigma).mean(1) + beta * kl
            ),
            "beta weighs the KL, not the error.": np.mean(beta * rec + kl),
            "The mean over the batch, not the sum.": np.sum(rec + beta * kl),
            "Every number of the code costs: sum the KL over them.": np.mean(
                rec + beta * _nats(mu, logvar).mean(1)
            ),
            "The KL is a price: it is added.": np.mean(rec - beta * kl),
            "Half of the KL's bracket.": np.mean(rec + 2 * beta * kl),
            "mu enters the KL squared.": np.mean(
                rec + beta * (kl + 0.5 * (mu - mu**2).sum(1))
            ),
            "Where is the price of the code?": np.mean(rec),
            "In the KL stands the variance, exp(logvar), not the deviation.": np.mean(
                rec + beta * 0.5 * (sigma + mu**2 - 1 - logvar).sum(1)
            ),
        }
        call = lambda x=x, mu=mu, logvar=logvar, eps=eps, W=W, b=b, beta=beta: answer(
            *(part.copy() for part in (x, mu, logvar, eps, W, b)), beta
        )
        yield Case(
            what,
            np.mean(rec + beta * kl),
            call,
            "Equations 3.1 to 3.4, one after the other.",
            slips,
        )


def floored_kl(answer, rng):
    """Batches whose mean is below the floor, with rows above it."""
    for what, n, z_dim in [("a small batch", 10, 4), ("a larger batch", 40, 8)]:
        floor = float(rng.uniform(0.45, 0.6))
        scale = np.where(np.arange(n) % 5, 0.3, 1.4)[:, None]
        mu, logvar = (
            scale * rng.normal(size=(n, z_dim)),
            scale * rng.normal(-0.5, 0.5, (n, z_dim)),
        )
        each = _nats(mu, logvar)
        total, least = each.sum(1), floor * z_dim
        as_sigma = 0.5 * (logvar**2 + mu**2 - 1 - np.log(logvar**2))
        slips = {
            "The floor is under the sum, not under each number: the paper lets numbers share it.": np.maximum(
                each, floor
            )
            .sum(1)
            .mean(),
            "Each row has its floor; then comes the mean.": max(total.mean(), least),
            "The floor grows with the size of the code: floor times Z.": np.maximum(
                total, floor
            ).mean(),
            "The greater of the two: a code below the floor gets no cheaper.": np.minimum(
                total, least
            ).mean(),
            "A floor is not added.": (total + least).mean(),
            "Sum over the numbers of the code.": np.maximum(each.mean(1), floor).mean(),
            "logvar is a logarithm of a variance, no deviation.": np.maximum(
                as_sigma.sum(1), least
            ).mean(),
            "The mean over the batch, not the sum.": np.maximum(total, least).sum(),
            "Half of the bracket: see eq. 3.2.": np.maximum(2 * total, least).mean(),
            "Nothing is taken off: above its floor the KL is what it is.": np.maximum(
                total - least, 0
            ).mean(),
            "Where is the floor?": total.mean(),
        }
        call = lambda mu=mu, logvar=logvar, floor=floor: answer(
            mu.copy(), logvar.copy(), floor
        )
        yield Case(
            what,
            np.maximum(total, least).mean(),
            call,
            "Sum eq. 3.2 over each row, compare with floor times Z, then average.",
            slips,
        )


def survives(answer, rng):
    """A good V, and one that is worse than the mean in places."""
    for what, n, noise in [("a good V", 40, 0.3), ("a V that is off", 60, 1.7)]:
        truth = rng.normal(1, 1, (n, 5)) * rng.uniform(0.2, 3, 5)
        mean = truth.mean(0) + 0.4 * rng.normal(size=5)  # of other episodes
        drawn = 0.8 * truth + noise * truth.std(0) * rng.normal(0.3, 0.7, truth.shape)
        off, spread = (drawn - truth) ** 2, (truth - mean) ** 2
        own = (truth - truth.mean(0)) ** 2
        slips = {
            "Each number has a share of its own: sum over the rows alone.": 1
            - off.sum() / spread.sum(),
            "The reference draws the mean that is given, which V's training had; the held-out mean is not known to it.": 1
            - off.sum(0) / own.sum(0),
            "A correlation forgives a drawing that is too small or beside: compare errors.": np.array(
                [np.corrcoef(truth[:, j], drawn[:, j])[0, 1] ** 2 for j in range(5)]
            ),
            "Squares: a share of variance, not of deviation.": 1
            - np.sqrt(off.mean(0) / spread.mean(0)),
            "That is the share that is lost.": off.sum(0) / spread.sum(0),
            "One share for each number, not for each row.": 1
            - off.sum(1) / spread.sum(1),
            "Divide by the spread of the truth, not of the drawing.": 1
            - off.sum(0) / ((drawn - mean) ** 2).sum(0),
            "A share for each number is asked for, not their mean.": np.mean(
                1 - off.sum(0) / spread.sum(0)
            ),
            "Squares, not sizes.": 1
            - np.abs(drawn - truth).sum(0) / np.abs(truth - mean).sum(0),
            "A drawing that is off on average is off: take no mean out of the error.": 1
            - (drawn - truth).var(0) / spread.mean(0),
        }
        if (off.sum(0) > spread.sum(0)).any():
            slips[
                "Less than 0 is possible, worse than drawing the mean, and must be seen."
            ] = np.maximum(0, 1 - off.sum(0) / spread.sum(0))
        call = lambda truth=truth, drawn=drawn, mean=mean: answer(
            truth.copy(), drawn.copy(), mean.copy()
        )
        yield Case(
            what,
            1 - off.sum(0) / spread.sum(0),
            call,
            "1 less squared error over squared distance from the given mean, for each number.",
            slips,
        )


def what_it_sees(answer, rng):
    """Four judgements."""
    yield from choices(answer, {
        "dead": ("C", {
            "A": "It could have gone on learning and did not: its price was higher than its worth.",
            "B": "The decoder ignores it already: nothing gets better without it.",
            "D": "A code of the prior's width says nothing, whatever the decoder.",
        }),
        "compare": ("D", {
            "A": "With unlimited nats any drawing is good.",
            "B": "A cheap code that draws badly is no gain either.",
            "C": "A mean of two different things is nothing.",
        }),
        "pca": ("A", {
            "B": "At twice the size the shortage of falls is the same.",
            "C": "It need not win: a straight line can be the better guess from few data.",
            "D": "Sampling costs a little on each side; the gap remains with the means of the codes.",
        }),
        "raw": ("B", {
            "A": "A network takes any numbers: nothing is raised.",
            "C": "What was learned in other units is not recognised in these.",
            "D": "No network learns while it is used.",
        }),
    })  # fmt: skip
