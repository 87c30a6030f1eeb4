"""A model that goes on learning as experience grows: warm weights, the same scales, half of every batch from the newest steps.

Scales (means, standard deviations) are those of the first experience: weights mean nothing under others. Built in chapter 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.config import MODELS, EnsembleConfig, MDNRNNConfig, Study, TrainConfig, VAEConfig
from wmlib.errors import InputError
from wmlib.models import mdnrnn, training
from wmlib.models.ensemble import Ensemble
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.nets import Loss, Params
from wmlib.models.vae import VAE
from wmlib.models.world import World
from wmlib.real.episodes import Episodes

LENGTH = 32
"""Steps of a row of M's training data."""


def begin(kind: str, data: Episodes, size: int, seed: int) -> World | Ensemble:
    """A model with random weights and the scales of these episodes; `size` is the width of an ensemble's layers, or M's h_dim.

    Raises:
        InputError: if there is no such kind of model.
    """
    if kind not in MODELS:
        raise InputError(f"There is no model '{kind}'; there are: {', '.join(MODELS)}.")
    if kind == "ensemble":
        return Ensemble.create(data.body, data, EnsembleConfig(hidden=size), seed=seed)
    v = VAE.create(data.body, data.physics, VAEConfig(), seed=seed)
    return World(
        data.body,
        v,
        MDNRNN.create(
            data.body, mdnrnn.sequences(v, data, LENGTH), MDNRNNConfig(h_dim=size), seed=seed
        ),
    )


def fit(
    model: World | Ensemble, data: Episodes, study: Study, *, first: bool, seed: int
) -> tuple[World | Ensemble, dict[str, float]]:
    """The model after a round of learning from all episodes, oldest first, and the mean losses of the round.

    Raises:
        InputError: if a loss was not finite.
    """
    if isinstance(model, Ensemble):
        params, losses = _fit(
            model.loss,
            model.params,
            model.data(data),
            study,
            model.prepare,
            study.batch_size,
            data.n_steps,
            first,
            seed,
        )
        return model.using(params), losses
    v = model.vae
    params, of_v = _fit(
        v.loss,
        v.params,
        {"x": v.standardize(data.physics)},
        study,
        v.prepare,
        study.batch_size,
        data.n_steps,
        first,
        seed,
    )
    v = v.using(params)
    m, rows = model.mdnrnn, mdnrnn.sequences(v, data, LENGTH)
    if first:  # its scales are of V's codes, which mean something only now
        m = MDNRNN.create(data.body, rows, m.config, seed=seed)
    params, of_m = _fit(
        m.loss,
        m.params,
        rows,
        study,
        m.prepare(study.own_steps),
        max(1, study.batch_size // LENGTH),
        data.n_steps,
        first,
        seed,
    )
    return World(data.body, v, m.using(params)), {
        **{f"v_{key}": value for key, value in of_v.items()},
        **of_m,
    }


def _fit(
    loss: Loss, params: Params, table: Mapping[str, NDArray[Any]], study: Study, prepare: Callable[..., Any], batch_size: int, n_steps: int, first: bool, seed: int
) -> tuple[Params, dict[str, float]]:  # fmt: skip
    """Some gradient steps on rows of a table, half of them from its newest part."""
    n, count = (
        len(next(iter(table.values()))),
        (study.first if first else study.updates) * batch_size,
    )
    recent = max(1, min(n, round(n * study.recent / n_steps)))
    rng = np.random.default_rng([seed, 9])
    row = np.where(
        np.arange(count) % 2 == 0,
        rng.integers(n, size=count),
        rng.integers(n - recent, n, size=count),
    )
    rate = study.learning_rate * (1.0 if first else 0.5)
    recipe = TrainConfig(1, batch_size, rate, rate / 10, seed=seed, jit=False)

    def batch(rows: dict[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        made: dict[str, NDArray[Any]] = prepare(
            {name: array[rows["row"]] for name, array in table.items()}, rng
        )
        return made

    trained = training.fit(loss, params, {"row": row}, recipe, prepare=batch, say=None)
    if trained.stopped:
        raise InputError(trained.stopped)
    return trained.params, {
        key: value for key, value in trained.log[-1].items() if key not in ("epoch", "gradient")
    }
