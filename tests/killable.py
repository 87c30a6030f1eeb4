"""A small training that tells another process where it is, so that it can be killed there. See test_resume.py."""

import os
import time

import numpy as np

import wmlib as wm
from wmlib import storage
from wmlib.config import EnsembleConfig, MDNRNNConfig, TrainConfig, VAEConfig
from wmlib.models import ensemble, mdnrnn, training, vae

BODY = wm.body.get("humanoid")
STAGES = ("vae", "mdnrnn", "ensemble")
DEEP = (*STAGES, "vae, XLA", "mdnrnn, own")
EPOCHS, EVERY = 3, 3


def training_of(stage, episodes):
    """Loss, first weights, data, recipe and prepare of a small training."""
    v = vae.VAE.create(BODY, episodes.physics, VAEConfig(z_dim=8, hidden=(64,)))
    if stage.startswith("vae"):
        return (
            v.loss,
            v.params,
            {"x": v.standardize(episodes.physics)},
            TrainConfig(EPOCHS, 32, jit=stage.endswith("XLA")),
            v.make_batch,
        )
    if stage == "ensemble":
        e = ensemble.Ensemble.create(BODY, episodes, EnsembleConfig(hidden=32))
        return e.loss, e.params, e.data(episodes), TrainConfig(EPOCHS, 32, jit=False), e.make_batch
    rows = mdnrnn.sequences(v, episodes, 4)
    m = mdnrnn.MDNRNN.create(BODY, rows, MDNRNNConfig(h_dim=48, own="sample"))
    return (
        m.loss,
        m.params,
        rows,
        TrainConfig(EPOCHS, 8, jit=False),
        m.make_batch(3 if stage.endswith("own") else 0),
    )


def run(stage, data, folder, marks):
    """Trains in a folder from wherever it was. Marks: `t` training begins, `s` a save begins, `e` it has ended, `d` done."""
    handle = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write = storage.write_atomic

    def marked(path, content):
        os.write(handle, b"s")
        write(path, content)
        os.write(handle, b"e")

    storage.write_atomic = marked
    loss, params, rows, recipe, prepare = training_of(stage, wm.load(data))

    def validate(params):
        return {"size": float(np.square(np.asarray(next(iter(params.values())))).sum())}

    def slowed(batch, rng):
        time.sleep(0.004)  # so that there is an inside of an epoch to be killed in
        return prepare(batch, rng)

    os.write(handle, b"t")
    training.fit(
        loss,
        params,
        rows,
        recipe,
        make_batch=slowed,
        validate=validate,
        snapshots=(0, 2),
        folder=folder,
        checkpoint_every=EVERY,
        say=None,
    )
    os.write(handle, b"d")
