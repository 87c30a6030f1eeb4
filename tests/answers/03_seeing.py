"""Answers to the assignment on the VAE: right ones of several kinds, and one for each misconception, by what it is told."""

SIGNATURES = {
    "nats_worth": "variances, beta",
    "standardized": "train, seen, least",
    "vae_loss": "x, mu, logvar, eps, W, b, beta",
    "floored_kl": "mu, logvar, floor",
    "survives": "truth, drawn, mean",
    "what_it_sees": "",
}

RIGHT = {
    "nats_worth": [
        "return np.array([np.maximum(0, 0.5 * np.log(variances / beta)).sum(), np.minimum(variances, beta).sum()])",
        "coded = variances > beta\nreturn [0.5 * np.log(variances[coded] / beta).sum(), coded.sum() * beta + variances[~coded].sum()]",
        "nats = error = 0\nfor v in variances:\n    if v > beta:\n        nats, error = nats + np.log((v / beta) ** 0.5), error + beta\n    else:\n        error += v\nreturn nats, error",
        "held = np.clip(variances, beta, None)\nreturn np.sum([np.log(held) / 2 - np.log(beta) / 2, variances - (held - beta)], axis=1)",
        "left = np.where(variances < beta, variances, beta)\nreturn np.array((np.log(variances / left).sum() / 2, left.sum()))",
    ],
    "standardized": [
        "return (seen - train.mean(axis=0)) / np.maximum(train.std(axis=0), least)",
        "mean = np.sum(train, 0) / len(train)\nvariance = np.sum((train - mean) ** 2, 0) / len(train)\nreturn (seen - mean) / np.sqrt(np.maximum(variance, least**2))",
        "out = np.empty_like(seen)\nfor j in range(seen.shape[1]):\n    std = np.std(train[:, j])\n    out[:, j] = (seen[:, j] - np.mean(train[:, j])) / (std if std > least else least)\nreturn out",
        "std = np.clip(np.std(train, axis=0), least, None)\nreturn seen / std - np.average(train, axis=0) / std",
        "columns = [(s - t.mean()) / max(t.std(), least) for s, t in zip(seen.T, train.T)]\nreturn np.transpose(columns)",
    ],
    "vae_loss": [
        "z = mu + np.exp(0.5 * logvar) * eps\nrec = 0.5 * np.sum((x - (z @ W + b)) ** 2, axis=1)\nkl = 0.5 * np.sum(np.exp(logvar) + mu**2 - 1 - logvar, axis=1)\nreturn np.mean(rec + beta * kl)",
        "sigma = np.sqrt(np.exp(logvar))\nerror = x - (mu + sigma * eps) @ W - b\nkl = (sigma**2 + mu**2 - 1) / 2 - np.log(sigma)\nreturn ((error**2).sum() / 2 + beta * kl.sum()) / len(x)",
        "total = 0\nfor i in range(len(x)):\n    z = mu[i] + np.exp(logvar[i] / 2) * eps[i]\n    total += np.linalg.norm(x[i] - W.T @ z - b) ** 2 / 2\n    total += beta * sum((np.exp(v) + m * m - 1 - v) / 2 for m, v in zip(mu[i], logvar[i]))\nreturn total / len(x)",
        "r = x - np.einsum('nz,zd->nd', mu + eps * np.exp(logvar) ** 0.5, W) - b\nreturn 0.5 * (np.einsum('nd,nd->', r, r) + beta * np.sum(np.expm1(logvar) - logvar + np.square(mu))) / mu.shape[0]",
        "z = eps * np.exp(logvar / 2) + mu\nrec = np.square(x - np.dot(z, W) - b).sum(-1).mean()\nkl = (mu**2 + np.exp(logvar) - logvar - 1).sum(-1).mean()\nreturn float(rec / 2 + kl * beta / 2)",
    ],
    "floored_kl": [
        "kl = 0.5 * np.sum(np.exp(logvar) + mu**2 - 1 - logvar, axis=1)\nreturn np.mean(np.maximum(kl, floor * mu.shape[1]))",
        "total = 0\nfor m, v in zip(mu, logvar):\n    total += max(sum(0.5 * (np.exp(v) + m**2 - 1 - v)), floor * len(m))\nreturn total / len(mu)",
        "kl = ((np.exp(logvar) + mu**2 - 1 - logvar) / 2).sum(-1)\nleast = mu.shape[-1] * floor\nreturn np.where(kl < least, least, kl).mean()",
        "sigma = np.exp(logvar / 2)\nkl = np.sum((sigma**2 + mu**2 - 1) / 2 - np.log(sigma), axis=1)\nreturn np.clip(kl, floor * len(mu[0]), None).mean()",
        "mean = (np.expm1(logvar) + mu**2 - logvar).mean(1) / 2\nreturn mu.shape[1] * np.mean(np.fmax(mean, floor))",
    ],
    "survives": [
        "return 1 - np.sum((truth - drawn) ** 2, axis=0) / np.sum((truth - mean) ** 2, axis=0)",
        "return [1 - ((truth[:, j] - drawn[:, j]) ** 2).mean() / ((truth[:, j] - mean[j]) ** 2).mean() for j in range(len(mean))]",
        "mse = lambda a: np.square(truth - a).mean(axis=0)\nreturn 1 - mse(drawn) / mse(mean)",
        "lost = np.linalg.norm(drawn - truth, axis=0) / np.linalg.norm(truth - mean, axis=0)\nreturn 1 - lost**2",
        "e, d = truth - drawn, truth - mean\nreturn (np.einsum('nd,nd->d', d, d) - np.einsum('nd,nd->d', e, e)) / np.einsum('nd,nd->d', d, d)",
    ],
    "what_it_sees": [
        "return {'dead': 'C', 'compare': 'D', 'pca': 'A', 'raw': 'B'}",
        "return dict(dead='c', compare='d', pca='a', raw='b')",
        "return {'raw': ' B', 'pca': 'A ', 'compare': 'D', 'dead': 'C'}",
        "return dict(zip(('dead', 'compare', 'pca', 'raw'), 'CDAB'))",
        "return {'dead': 'C, the price', 'compare': 'D: nobody', 'pca': 'A.', 'raw': 'B)'}",
    ],
}

NATS = "v = variances\nnats, error = {}, {}\nreturn np.array([nats.sum(), error.sum()])"
FAIR, LEFT = "np.maximum(0, 0.5 * np.log(v / beta))", "np.minimum(v, beta)"
LOSS = "sigma = {sigma}\nz = mu + sigma * eps\nrec = {rec}\nsigma = np.exp(0.5 * logvar)\nkl = {kl}\nreturn {out}"
PARTS = {
    "sigma": "np.exp(0.5 * logvar)",
    "rec": "0.5 * np.sum((x - (z @ W + b)) ** 2, axis=1)",
    "kl": "0.5 * np.sum(sigma**2 + mu**2 - 1 - logvar, axis=1)",
    "out": "np.mean(rec + beta * kl)",
}
KL = "each = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar)\nkl, least = each.sum(axis=1), floor * mu.shape[1]\nreturn {}"


def _loss(**changed):
    return LOSS.format(**PARTS | changed)


WRONG = {
    "nats_worth": {
        "is not coded: it costs nothing": NATS.format("0.5 * np.log(v / beta)", LEFT),
        "Half the logarithm": NATS.format("np.maximum(0, np.log(v / beta))", LEFT),
        "In nats: the natural logarithm.": NATS.format(
            "np.maximum(0, 0.5 * np.log2(v / beta))", LEFT
        ),
        "beta is a squared error already.": NATS.format(
            "np.maximum(0, 0.5 * np.log(v / beta**2))", "np.minimum(v, beta**2)"
        ),
        "loses its variance, which is less": NATS.format(FAIR, "np.full_like(v, beta)"),
        "is not drawn without error": NATS.format(FAIR, "v[v < beta]"),
        "The error is the smaller": NATS.format(FAIR, "np.maximum(v, beta)"),
        "Sums over the directions": NATS.format(FAIR, LEFT).replace(".sum()", ".mean()"),
        "do not square them": NATS.format(
            "np.maximum(0, 0.5 * np.log(v**2 / beta))", "np.minimum(v**2, beta)"
        ),
        "not against 1": NATS.format("np.maximum(0, 0.5 * np.log(v))", LEFT),
        "First the nats, then the error.": NATS.format(LEFT, FAIR),
    },
    "standardized": {
        "V learned in those units": "return (seen - seen.mean(0)) / np.maximum(seen.std(0), least)",
        "not by the variance": "return (seen - train.mean(0)) / np.maximum(train.var(0), least)",
        "hold it at the least": "return (seen - train.mean(0)) / train.std(0)",
        "nothing to be added": "return (seen - train.mean(0)) / (train.std(0) + least)",
        "Each number has a mean": "return (seen - train.mean()) / max(train.std(), least)",
        "Take the mean away.": "return seen / np.maximum(train.std(0), least)",
        "a floor, not a ceiling": "return (seen - train.mean(0)) / np.minimum(train.std(0), least)",
        "divide by N, not N - 1": "return (seen - train.mean(0)) / np.maximum(train.std(0, ddof=1), least)",
        "may not change the units": "both = np.concatenate([train, seen])\nreturn (seen - both.mean(0)) / np.maximum(both.std(0), least)",
        "First take the mean away": "return seen / np.maximum(train.std(0), least) - train.mean(0)",
        "not the whole range": "return (seen - train.mean(0)) / np.maximum(train.max(0) - train.min(0), least)",
    },
    "vae_loss": {
        "the deviation is exp of half of it": _loss(sigma="np.exp(logvar)"),
        "it is no deviation": _loss(sigma="logvar"),
        "A code is sampled": _loss(sigma="0"),
        "Half the squared error.": _loss(rec="np.sum((x - (z @ W + b)) ** 2, axis=1)"),
        "a mean changes what beta means": _loss(
            rec="0.5 * np.mean((x - (z @ W + b)) ** 2, axis=1)"
        ),
        "beta weighs the KL": _loss(out="np.mean(beta * rec + kl)"),
        "The mean over the batch, not the sum.": _loss(out="np.sum(rec + beta * kl)"),
        "Every number of the code costs": _loss(
            kl="0.5 * np.mean(sigma**2 + mu**2 - 1 - logvar, axis=1)"
        ),
        "The KL is a price: it is added.": _loss(out="np.mean(rec - beta * kl)"),
        "Half of the KL's bracket.": _loss(kl="np.sum(sigma**2 + mu**2 - 1 - logvar, axis=1)"),
        "mu enters the KL squared.": _loss(kl="0.5 * np.sum(sigma**2 + mu - 1 - logvar, axis=1)"),
        "Where is the price of the code?": _loss(out="np.mean(rec)"),
        "not the deviation": _loss(kl="0.5 * np.sum(sigma + mu**2 - 1 - logvar, axis=1)"),
    },
    "floored_kl": {
        "the paper lets numbers share it": KL.format("np.maximum(each, floor).sum(axis=1).mean()"),
        "Each row has its floor": KL.format("max(kl.mean(), least)"),
        "floor times Z": KL.format("np.maximum(kl, floor).mean()"),
        "The greater of the two": KL.format("np.minimum(kl, least).mean()"),
        "A floor is not added.": KL.format("np.mean(kl + least)"),
        "Sum over the numbers of the code.": KL.format(
            "np.maximum(each.mean(axis=1), floor).mean()"
        ),
        "no deviation": "kl = 0.5 * np.sum(logvar**2 + mu**2 - 1 - np.log(logvar**2), axis=1)\nreturn np.maximum(kl, floor * mu.shape[1]).mean()",
        "The mean over the batch, not the sum.": KL.format("np.maximum(kl, least).sum()"),
        "Half of the bracket": KL.format("np.maximum(2 * kl, least).mean()"),
        "Nothing is taken off": KL.format("np.maximum(kl - least, 0).mean()"),
        "Where is the floor?": KL.format("kl.mean()"),
    },
    "survives": {
        "sum over the rows alone": "return 1 - np.sum((truth - drawn) ** 2) / np.sum((truth - mean) ** 2)",
        "the held-out mean is not known": "return 1 - np.sum((truth - drawn) ** 2, 0) / np.sum((truth - truth.mean(0)) ** 2, 0)",
        "A correlation forgives": "return [np.corrcoef(t, d)[0, 1] ** 2 for t, d in zip(truth.T, drawn.T)]",
        "not of deviation": "return 1 - np.sqrt(np.sum((truth - drawn) ** 2, 0) / np.sum((truth - mean) ** 2, 0))",
        "the share that is lost": "return np.sum((truth - drawn) ** 2, 0) / np.sum((truth - mean) ** 2, 0)",
        "not for each row": "return 1 - np.sum((truth - drawn) ** 2, 1) / np.sum((truth - mean) ** 2, 1)",
        "not of the drawing": "return 1 - np.sum((truth - drawn) ** 2, 0) / np.sum((drawn - mean) ** 2, 0)",
        "not their mean": "return np.mean(1 - np.sum((truth - drawn) ** 2, 0) / np.sum((truth - mean) ** 2, 0))",
        "Squares, not sizes.": "return 1 - np.abs(truth - drawn).sum(0) / np.abs(truth - mean).sum(0)",
        "take no mean out of the error": "return 1 - np.var(truth - drawn, axis=0) / np.mean((truth - mean) ** 2, 0)",
        "Less than 0 is possible": "return np.maximum(0, 1 - np.sum((truth - drawn) ** 2, 0) / np.sum((truth - mean) ** 2, 0))",
    },
    "what_it_sees": {
        say: f"return {{'dead': 'C', 'compare': 'D', 'pca': 'A', 'raw': 'B'}} | {{{name!r}: {letter!r}}}"
        for name, letter, say in [
            ("dead", "A", "It could have gone on learning"),
            ("dead", "B", "The decoder ignores it already"),
            ("dead", "D", "says nothing, whatever the decoder"),
            ("compare", "A", "With unlimited nats"),
            ("compare", "B", "A cheap code that draws badly"),
            ("compare", "C", "A mean of two different things"),
            ("pca", "B", "the shortage of falls is the same"),
            ("pca", "C", "It need not win"),
            ("pca", "D", "the gap remains"),
            ("raw", "A", "nothing is raised"),
            ("raw", "C", "is not recognised in these"),
            ("raw", "D", "No network learns while it is used"),
        ]
    },
}
