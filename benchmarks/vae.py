"""Seconds for one epoch of V on 250,000 real states: the naive loop, `wmlib.models.training`, what each trick buys, and the limit.

Every way trains the same network (45 numbers, two layers of 256, z of 32) on the same states, standardised. An epoch is timed on a stated
number of steps and scaled up. The ways take turns, `ROUNDS` times, so that a noisy machine is noisy for all; the table gives medians.
"""

import time

import numpy as np

import wmlib as wm
from wmlib.config import TrainConfig, VAEConfig
from wmlib.models import nets, training, vae
from wmlib.models.nets import keras
from wmlib.real import rollout

ROUNDS, STATES, Z_DIM = 3, 250_000, 32
BODY = wm.body.get("humanoid")


class KerasVAE(keras.Model):
    """The same V as one writes it first in Keras."""

    def __init__(self, model):
        super().__init__()
        hidden, self.config_ = model.config.hidden, model.config
        silu = keras.activations.silu
        self.encoder = keras.Sequential(
            [
                *(keras.layers.Dense(n, activation=silu) for n in hidden),
                keras.layers.Dense(2 * Z_DIM),
            ]
        )
        self.decoder = keras.Sequential(
            [
                *(keras.layers.Dense(n, activation=silu) for n in reversed(hidden)),
                keras.layers.Dense(model.x_dim),
            ]
        )
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x):
        mu, logvar = keras.ops.split(self.encoder(x), 2, axis=-1)
        z = vae.reparameterize(
            mu, logvar, keras.random.normal(keras.ops.shape(mu), seed=self.seeds)
        )
        return self.decoder(z), mu, logvar

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        x_hat, mu, logvar = y_pred
        return keras.ops.mean(
            vae.reconstruction(x, x_hat)
            + self.config_.beta * keras.ops.sum(vae.kl_per_dimension(mu, logvar), axis=-1)
        )


def through_fit(model, x, batch_size, steps):
    """`model.fit(x, batch_size=...)`; seconds for a whole epoch."""
    net = KerasVAE(model)
    net.compile(optimizer="adam")
    net.fit(x[: 4 * batch_size], batch_size=batch_size, verbose=0)

    def measure():
        started = time.perf_counter()
        net.fit(x[: steps * batch_size], batch_size=batch_size, verbose=0)
        return (time.perf_counter() - started) / steps * (len(x) / batch_size)

    return measure


def ours(model, x, batch_size, steps, jit):
    """`training.fit`, its progress and log included."""
    recipe = TrainConfig(epochs=1, batch_size=batch_size, jit=jit)
    step = training.adam_step(model.loss, recipe)
    state = [
        nets.to_tensors(part)
        for part in (
            model.params,
            *({k: np.zeros_like(v) for k, v in model.params.items()} for _ in range(2)),
        )
    ]
    order = np.random.default_rng(0).permutation(len(x))

    def run(n):
        nonlocal state
        for i in range(n):
            index = np.sort(order[i * batch_size : (i + 1) * batch_size])
            batch = model.make_batch({"x": x[index]}, np.random.default_rng([0, 2, i]))
            *state, pieces = step(*state, batch, np.float32(1e-3), np.float32(i + 1))
            float(pieces["loss"])

    run(2)

    def measure():
        started = time.perf_counter()
        run(steps)
        return (time.perf_counter() - started) / steps * (len(x) / batch_size)

    return measure


def limit(model, batch_size, steps, rows):
    """The matrix multiplications alone, forward and both ways back, at the same shapes."""
    rng = np.random.default_rng(0)
    shapes = [value.shape for name, value in model.params.items() if name.endswith("kernel")]
    kernels = {
        f"w{i}": rng.standard_normal(shape).astype(np.float32) for i, shape in enumerate(shapes)
    }
    inputs = {
        f"x{i}": rng.standard_normal((batch_size, shape[0])).astype(np.float32)
        for i, shape in enumerate(shapes)
    }

    def multiply(w, x):
        ops, found = nets.ops, []
        for i in range(len(shapes)):
            y = ops.matmul(x[f"x{i}"], w[f"w{i}"])
            found += [ops.sum(ops.matmul(ops.transpose(x[f"x{i}"]), y)), ops.sum(y)]
            if i not in (0,):  # nothing flows back into the data
                found.append(ops.sum(ops.matmul(y, ops.transpose(w[f"w{i}"]))))
        return sum(found)

    work, w, x = (
        nets.compiled(multiply, jit=False),
        nets.to_tensors(kernels),
        nets.to_tensors(inputs),
    )
    float(work(w, x))

    def measure():
        started = time.perf_counter()
        for _ in range(steps):
            float(work(w, x))
        return (time.perf_counter() - started) / steps * (rows / batch_size)

    return measure


def main():
    """Prints the table."""
    real = wm.load("humanoid-mixed")
    x = np.resize(real.physics, (STATES, BODY.physics_dim))
    model = vae.VAE.create(BODY, real.physics, VAEConfig(z_dim=Z_DIM))
    x = model.standardize(x)
    ways = {
        "model.fit(batch_size=32)": through_fit(model, x, 32, 600),
        "model.fit(batch_size=512)": through_fit(model, x, 512, 100),
        "wmlib.models.training, batch 32, no XLA": ours(model, x, 32, 600, False),
        "wmlib.models.training, batch 512, no XLA": ours(model, x, 512, 100, False),
        "wmlib.models.training, batch 512, XLA (used)": ours(model, x, 512, 100, True),
        "limit: the multiplications, batch 512": limit(model, 512, 100, STATES),
    }
    print(
        f"{STATES:,} states, {rollout.n_cores()} cores, Keras {keras.__version__} on {keras.backend.backend()}, {ROUNDS} rounds; timed on 600 steps at batch 32, 100 at 512"
    )
    seconds = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, measure in ways.items():
            seconds[name].append(measure())
    print(f"{'way':40}{'s/epoch':>9}{'range':>16}{'times faster':>14}")
    base, least = (
        np.median(seconds["model.fit(batch_size=32)"]),
        np.median(seconds["limit: the multiplications, batch 512"]),
    )
    for name, values in seconds.items():
        print(
            f"{name:40}{np.median(values):9.1f}{min(values):9.1f} -{max(values):5.1f}{base / np.median(values):14.1f}"
        )
    print(
        f"share of the limit that is reached: {least / np.median(seconds['wmlib.models.training, batch 512, XLA (used)']):.0%}"
    )


if __name__ == "__main__":
    main()
