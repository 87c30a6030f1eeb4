"""Seconds for one epoch of M (LSTM 256, 5 x 32) on 250,000 real steps: one short window at a time, Keras, PyTorch, `wmlib`, and the limit.

Every way has the same network and loss on the same codes: mixture, reward and end. An epoch is timed on a stated number of gradient steps and
scaled up to 250,000 real steps. The ways take turns, `ROUNDS` times; the table gives medians. PyTorch is no part of the book's
environment: name a Python that has it in WM_TORCH_PYTHON, or its row is left out.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np

import wmlib as wm
from wmlib.config import TrainConfig, VAEConfig
from wmlib.models import mdn, mdnrnn, nets, training, vae
from wmlib.models.mdn import Mixture
from wmlib.models.nets import keras
from wmlib.real import rollout

ROUNDS, STEPS, LENGTH, Z_DIM, H_DIM, N_MIX = 3, 250_000, 32, 32, 256, 5
BODY = wm.body.get("humanoid")
TORCH = """
import json, sys, time
import numpy as np, torch
B, T, Z, A, H, K, STEPS = map(int, sys.argv[1:])
class M(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.mix, self.rd = torch.nn.LSTM(Z + A, H, batch_first=True), torch.nn.Linear(H, 3 * K * Z), torch.nn.Linear(H, 2)
    def forward(self, z, a):
        h = self.lstm(torch.cat([z, a], -1))[0]
        return self.mix(h), self.rd(h)
m = M(); o = torch.optim.Adam(m.parameters(), 1e-3)
r = lambda *s: torch.randn(*s)
z, a, y, w = r(B, T, Z), r(B, T, A), r(B, T, Z), r(B, T)
def step():
    out, rd = m(z, a)
    l, mu, s = (p.reshape(B, T, K, Z) for p in out.split(K * Z, -1))
    mu, s = mu + z[:, :, None], s.clamp(-6, 3)
    q = torch.log_softmax(l, 2) - 0.5 * ((y[:, :, None] - mu) * torch.exp(-s)) ** 2 - s
    loss = -torch.logsumexp(q, 2).sum(-1).mean() + ((rd[..., 0] - w) ** 2).mean() + torch.nn.functional.softplus(rd[..., 1]).mean()
    o.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(m.parameters(), 10.0); o.step(); return loss.item()
print(torch.__version__, flush=True)
step(); step()
for line in sys.stdin:
    t = time.perf_counter()
    for _ in range(STEPS): step()
    print((time.perf_counter() - t) / STEPS, flush=True)
"""


class KerasM(keras.Model):
    """The same M as one writes it first in Keras; y holds z_next, reward, done and mask."""

    def __init__(self):
        super().__init__()
        self.lstm = keras.layers.LSTM(H_DIM, return_sequences=True)
        self.mix, self.rd = keras.layers.Dense(3 * N_MIX * Z_DIM), keras.layers.Dense(2)

    def call(self, x):
        h = self.lstm(x)
        return self.mix(h), self.rd(h), x[..., :Z_DIM]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        ops = keras.ops
        out, rd, z = y_pred
        shape = (*ops.shape(out)[:2], N_MIX, Z_DIM)
        logits, mu, log_sigma = (ops.reshape(part, shape) for part in ops.split(out, 3, axis=-1))
        mixture = Mixture(
            ops.log_softmax(logits, axis=-2),
            mu + ops.expand_dims(z, -2),
            ops.clip(log_sigma, -6, 3),
        )
        mask = y[..., Z_DIM + 2]
        reward = mdn.masked_mean(0.5 * ops.square(rd[..., 0] - y[..., Z_DIM]), mask)
        done = mdn.masked_mean(ops.softplus(rd[..., 1]) - y[..., Z_DIM + 1] * rd[..., 1], mask)
        return mdn.nll(mixture, y[..., :Z_DIM], mask) + reward + done


def windows(rows, real, length):
    """x and y of windows that never cross a reset, padded; and how many real steps one holds on average."""
    cut = real.windows(length, states=rows)
    z = cut.states.astype(np.float32)
    x = np.concatenate([z[:, :-1], cut.action], axis=-1).astype(np.float32)
    y = np.concatenate(
        [z[:, 1:], *(part[..., None] for part in (cut.reward, cut.terminated, cut.mask))], axis=-1
    ).astype(np.float32)
    return x, y, float(cut.mask.sum() / len(cut.mask))


def one_window_a_step(x, y, per_window, n):
    """The report's loop: a Python loop that gives the model one window of 10 steps for each gradient step."""
    net = KerasM()
    net.compile(optimizer="adam")
    net.train_on_batch(x[:1], y[:1])

    def measure():
        started = time.perf_counter()
        for i in range(n):
            net.train_on_batch(x[i : i + 1], y[i : i + 1])
        return (time.perf_counter() - started) / n * (STEPS / per_window)

    return measure


def keras_fit(x, y, per_window, batch_size, n):
    """Keras's LSTM through `fit`."""
    net = KerasM()
    net.compile(optimizer="adam")
    net.fit(x[: 2 * batch_size], y[: 2 * batch_size], batch_size=batch_size, verbose=0)

    def measure():
        started = time.perf_counter()
        net.fit(x[: n * batch_size], y[: n * batch_size], batch_size=batch_size, verbose=0)
        return (time.perf_counter() - started) / n * (STEPS / (per_window * batch_size))

    return measure


def ours(data, model, batch_size, n, *, own=0, per_row=float(LENGTH), loss=None):
    """`wmlib`'s step: codes drawn afresh, episodes end to end."""
    step = training.adam_step(loss or model.loss, TrainConfig(jit=False))
    zeros = {key: np.zeros_like(value) for key, value in model.params.items()}
    state = [nets.to_tensors(part) for part in (model.params, zeros, zeros)]
    prepare = model.make_batch(own)
    rng = np.random.default_rng(0)

    def run(count):
        nonlocal state
        for i in range(count):
            index = np.sort(rng.integers(len(data["mu"]), size=batch_size))
            batch = prepare(
                {key: value[index] for key, value in data.items()}, np.random.default_rng(i)
            )
            *state, pieces = step(*state, batch, np.float32(1e-4), np.float32(i + 1))
            float(pieces["loss"])

    run(2)

    def measure():
        started = time.perf_counter()
        run(n)
        return (time.perf_counter() - started) / n * (STEPS / (per_row * batch_size))

    return measure


def limit(batch_size, n):
    """The matrix multiplications alone, forward and both ways back: inputs and head for all steps at once, the recurrent ones in turn."""
    rng, rows = np.random.default_rng(0), batch_size * LENGTH
    f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    arrays = {
        "x": f(rows, Z_DIM + BODY.a_dim),
        "w": f(Z_DIM + BODY.a_dim, 4 * H_DIM),
        "h": f(batch_size, H_DIM),
        "r": f(H_DIM, 4 * H_DIM),
        "all": f(rows, H_DIM),
        "m": f(H_DIM, 3 * N_MIX * Z_DIM + 2),
    }

    def multiply(a):
        ops = nets.ops
        t, total, h = ops.transpose, 0.0, a["h"]
        gates, out = ops.matmul(a["x"], a["w"]), ops.matmul(a["all"], a["m"])
        total += (
            ops.sum(ops.matmul(t(a["x"]), gates))
            + ops.sum(ops.matmul(t(a["all"]), out))
            + ops.sum(ops.matmul(out, t(a["m"])))
        )
        for _ in range(LENGTH):
            g = ops.matmul(h, a["r"])
            total += ops.sum(ops.matmul(t(h), g))
            h = ops.matmul(g, t(a["r"])) * 1e-6
        return total + ops.sum(h)

    work, tensors = nets.compiled(multiply, jit=False), nets.to_tensors(arrays)
    float(work(tensors))

    def measure():
        started = time.perf_counter()
        for _ in range(n):
            float(work(tensors))
        return (time.perf_counter() - started) / n * (STEPS / rows)

    return measure


def torch(batch_size, n):
    """PyTorch's nn.LSTM, in a process of its own; None where there is no PyTorch."""
    python = os.environ.get("WM_TORCH_PYTHON", sys.executable)
    sizes = map(str, (batch_size, LENGTH, Z_DIM, BODY.a_dim, H_DIM, N_MIX, n))
    process = subprocess.Popen(
        [python, "-c", TORCH, *sizes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    version = process.stdout.readline().strip()
    if not version:
        return None, ""

    def measure():
        process.stdin.write("go\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline()) * (STEPS / (batch_size * LENGTH))

    return measure, version


def main():
    """Prints the table."""
    real = wm.load("humanoid-mixed")
    v = vae.VAE.create(BODY, real.physics, VAEConfig(z_dim=Z_DIM))
    codes = v.encode(real.physics)[0]
    short, long = windows(codes, real, 10), windows(codes, real, LENGTH)
    data = mdnrnn.sequences(v, real, LENGTH)
    model = mdnrnn.MDNRNN.create(BODY, data)
    ways = {
        "one window of 10 a step, batch 1": one_window_a_step(*short, 60),
        f"Keras LSTM, fit, batch 32, windows of {LENGTH}": keras_fit(*long, 32, 8),
        "Keras LSTM, fit, batch 64": keras_fit(*long, 64, 4),
        f"wmlib, batch 64, but padded windows of {LENGTH}": ours(
            data, model, 64, 6, per_row=long[2]
        ),
        "wmlib, batch 64 (used)": ours(data, model, 64, 6),
        "wmlib, batch 128": ours(data, model, 128, 4),
        "wmlib, batch 256": ours(data, model, 256, 2),
        "wmlib, batch 64, own rollouts of 12 too": ours(data, model, 64, 4, own=12),
        "limit: the multiplications, batch 64": limit(64, 6),
        "limit: the multiplications, batch 256": limit(256, 2),
    }
    version = ""
    for batch_size in (64, 256):
        measure, version = torch(batch_size, 384 // batch_size)
        if measure:
            ways[f"PyTorch nn.LSTM, batch {batch_size}"] = measure
    print(
        f"{STEPS:,} real steps, {rollout.n_cores()} cores, Keras {keras.__version__} on {keras.backend.backend()}, {f'PyTorch {version}' if version else 'no PyTorch here: its rows are left out'}, {ROUNDS} rounds; one window a step is timed on 60 of {STEPS / short[2]:,.0f} steps"
    )
    seconds = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, measure in ways.items():
            seconds[name].append(measure())
    base = np.median(seconds["one window of 10 a step, batch 1"])
    print(f"{'way':44}{'s/epoch':>9}{'range':>18}{'times faster':>14}")
    for name, values in seconds.items():
        print(
            f"{name:44}{np.median(values):9.1f}{min(values):10.1f} -{max(values):6.1f}{base / np.median(values):14.1f}"
        )
    for batch_size in (64, 256):
        used = next(
            np.median(values)
            for name, values in seconds.items()
            if name.startswith(f"wmlib, batch {batch_size}")
            and "own" not in name
            and "padded" not in name
        )
        print(
            f"share of the limit that is reached at batch {batch_size}: {np.median(seconds[f'limit: the multiplications, batch {batch_size}']) / used:.0%}"
        )
    print(f"real steps in a padded window of {LENGTH}: {long[2]:.1f}; end to end: {LENGTH}")


if __name__ == "__main__":
    main()
