"""Dreamed steps a second: V + M + C and small ensembles beside the real simulator, a plain NumPy dream, and one `model()` call a step.

Each model's C is evolved in its dream first (`GENERATIONS`), and played on real episodes, so that quality stands beside speed; then populations
around that C are timed. Only steps of dreams that still go on count. The ways take turns, `ROUNDS` times; the table gives medians, and every
way as a multiple of the real simulator in the same run. `python -m benchmarks.dream [GENERATIONS]`.
"""

import sys
import time

import numpy as np

import wmlib as wm
from wmlib.config import DreamConfig, EnsembleConfig, EvolveConfig, TrainConfig
from wmlib.dream import dream
from wmlib.models import ensemble, nets, training
from wmlib.models.nets import keras, ops
from wmlib.real import rollout
from wmlib.seeds import SELECTION_SEEDS, run_seeds

ROUNDS, POPSIZE, EPISODES, HORIZON = 3, 64, 16, 200
GENERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 40
BODY = wm.body.get("humanoid")


def real_steps(linear, params, world):
    """The real simulator as fast as `rollout` runs it, with the same C."""

    def measure():
        policy = (
            wm.policies.RandomActions(BODY)
            if linear is None
            else wm.Agent(linear, params, world if linear.features in ("z", "zh") else None)
        )
        counted, started = [], time.perf_counter()
        wm.rollout(
            BODY, policy, range(10**6), min_steps=4_000, keep_obs=False, progress=counted.append
        )
        return counted[-1] / (time.perf_counter() - started)

    return measure


def dreamed(dreams, starts, params):
    """`wmlib.dream`: a population around C; compiled before."""
    population = params + 0.02 * np.random.default_rng(0).standard_normal((POPSIZE, len(params)))
    dreams(population, starts, 0)

    def measure():
        started = time.perf_counter()
        found = dreams(population, starts, 1)
        return found.lengths.sum() / (time.perf_counter() - started)

    return measure


def plain_numpy(world, rows=512, steps=20):
    """The same V + M + C by NumPy alone, all rows side by side; C on z."""
    v, m = world.vae, world.mdnrnn
    p, q = m.params, v.params
    rng, k = np.random.default_rng(0), m.config.n_mix
    f = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    W_c = 0.1 * f(m.a_dim, m.z_dim)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    silu = lambda x: x * sigmoid(x)

    def measure():
        z, h, c = (
            f(rows, m.z_dim),
            np.zeros((rows, m.config.h_dim), np.float32),
            np.zeros((rows, m.config.h_dim), np.float32),
        )
        started = time.perf_counter()
        for _ in range(steps):
            action = np.tanh(z @ W_c.T)
            gates = (
                np.concatenate([z, action], axis=1) @ p["lstm.kernel"]
                + p["lstm.bias"]
                + h @ p["lstm.recurrent"]
            )
            i, forget, g, o = np.split(gates, 4, axis=1)
            c = sigmoid(forget) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            logits, mu, log_sigma = (
                part.reshape(rows, k, m.z_dim)
                for part in np.split(h @ p["mixture.kernel"] + p["mixture.bias"], 3, axis=1)
            )
            gumbel = -np.log(rng.standard_exponential(logits.shape, dtype=np.float32))
            chosen = np.argmax(logits + gumbel, axis=1)[:, None]
            mu, sigma = (
                np.take_along_axis(part, chosen, axis=1)[:, 0]
                for part in (mu, np.exp(np.clip(log_sigma, -6, 3)))
            )
            z = z + (mu + sigma * f(rows, m.z_dim)) * m.change_scale
            x = z
            for layer in range(len(v.config.hidden) + 1):
                x = (silu(x) if layer else x) @ q[f"decoder.{layer}.kernel"] + q[
                    f"decoder.{layer}.bias"
                ]
            _ = h @ p["reward_done.kernel"], x[:, 0] > 0
        return rows * steps / (time.perf_counter() - started)

    return measure


def one_call_a_step(world, steps=150):
    """The report's way: one `model()` call for one step of one dream."""
    m = world.mdnrnn
    x, h, c = (keras.Input((n,)) for n in (m.z_dim + m.a_dim, m.config.h_dim, m.config.h_dim))
    out, (h2, c2) = keras.layers.LSTMCell(m.config.h_dim)(x, [h, c])
    model = keras.Model(
        [x, h, c],
        [keras.layers.Dense(3 * m.config.n_mix * m.z_dim)(out), keras.layers.Dense(2)(out), h2, c2],
    )
    rng = np.random.default_rng(0)

    def measure():
        state = [ops.zeros((1, m.config.h_dim))] * 2
        started = time.perf_counter()
        for _ in range(steps):
            mixture, _, *state = model(
                [
                    ops.convert_to_tensor(
                        rng.standard_normal((1, m.z_dim + m.a_dim), dtype=np.float32)
                    ),
                    *state,
                ]
            )
            np.asarray(mixture)
        return steps / (time.perf_counter() - started)

    return measure


def limit(shapes, rows=dream.ROWS):
    """The matrix multiplications of a step alone: shapes (n, m), or (E, n, m) for the members of an ensemble."""
    rng = np.random.default_rng(0)
    kernels = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
    rows = rows // (shapes[0][0] if len(shapes[0]) == 3 else 1)
    inputs = [
        rng.standard_normal((*shape[:-2], rows, shape[-2]), dtype=np.float32) for shape in shapes
    ]
    multiply = nets.compiled(
        lambda xs, ks: sum(ops.sum(ops.matmul(x, k)) for x, k in zip(xs, ks, strict=True)),
        jit=False,
    )
    float(multiply(inputs, kernels))

    def measure(n=20):
        started = time.perf_counter()
        for _ in range(n):
            float(multiply(inputs, kernels))
        return (
            n
            * rows
            * (shapes[0][0] if len(shapes[0]) == 3 else 1)
            / (time.perf_counter() - started)
        )

    return measure


def prepared(model, data, features):
    """C evolved in the model's dream, its real return, and what is timed."""
    linear = wm.linear_for(model, features, data)
    config = DreamConfig(tau=0.8, horizon=HORIZON)
    how = EvolveConfig(config, settings={"weight_decay": 0.001}, generations=GENERATIONS)
    found = wm.evolve(wm.DreamFitness.of(model, linear, data, how), say=None)
    world = model if isinstance(model, wm.WorldModel) else None
    seeds = run_seeds(SELECTION_SEEDS, 0)[:100]
    real = wm.rollout(
        BODY,
        wm.Agent(linear, found.params, world if linear.features in ("z", "zh") else None),
        seeds,
        keep_obs=False,
    )
    dreams = dream.Dream(model, linear, config)
    returns = np.array([episode.episode_return for episode in real])
    return (
        dreamed(dreams, dreams.starts(data, EPISODES), found.params),
        (returns.mean(), found.log[-1]["check"]),
        (linear, found.params, world),
    )


def trained(data, hidden):
    """An ensemble of that width, trained on the shipped experience."""
    e = ensemble.Ensemble.create(BODY, data, EnsembleConfig(hidden=hidden))
    recipe = TrainConfig(epochs=30, batch_size=256, jit=False)
    return e.using(
        training.fit(
            e.loss, e.params, e.data(data), recipe, make_batch=e.make_batch, say=None
        ).params
    )


def main():
    """Prints the table."""
    data, world = wm.load("humanoid-mixed"), wm.load("humanoid-world")
    models = {
        "world, LSTM 256, C on z": (world, "z"),
        "world, LSTM 256, C on [z, h]": (world, "zh"),
    }
    models |= {
        f"5 networks of {hidden}, C on physics": (trained(data, hidden), "physics")
        for hidden in (256, 128, 64, 32)
    }
    ways, quality = {"real simulator, random actions": real_steps(None, None, None)}, {}
    for name, (model, features) in models.items():
        ways[name], quality[name], _ = prepared(model, data, features)
    m, hidden = world.mdnrnn, world.vae.config.hidden
    of_world = [
        (m.z_dim + m.a_dim, 4 * m.config.h_dim),
        (m.config.h_dim, 4 * m.config.h_dim),
        (m.config.h_dim, 3 * m.config.n_mix * m.z_dim + 2),
    ]
    of_world += list(zip((m.z_dim, *hidden[::-1]), (*hidden[::-1], world.vae.x_dim), strict=True))
    limits = {
        name: limit(
            of_world
            if features != "physics"
            else list(ensemble.shapes(model.config, 45, 17).values())[::2]
        )
        for name, (model, features) in models.items()
    }
    ways |= {
        "plain NumPy, 512 rows, C on z": plain_numpy(world),
        "one model() call a step": one_call_a_step(world),
    }
    found = {name: [] for name in [*ways, *(f"limit: {name}" for name in limits)]}
    for _ in range(ROUNDS):
        for name, measure in [
            *ways.items(),
            *((f"limit: {name}", measure) for name, measure in limits.items()),
        ]:
            found[name].append(measure())
    base = np.median(found["real simulator, random actions"])
    print(
        f"{rollout.n_cores()} cores, Keras {keras.__version__} on {keras.backend.backend()}; {POPSIZE} candidates x {EPISODES} episodes, horizon {HORIZON}, {ROUNDS} rounds, C of {GENERATIONS} generations; zero action's real return is about 199"
    )
    print(
        f"{'way':36}{'steps/s':>10}{'range':>20}{'x real':>8}{'of limit':>10}{'real return':>13}{'dreamed':>9}"
    )
    for name in ways:
        values, share = found[name], ""
        if name in limits:
            share = f"{np.median(values) / np.median(found[f'limit: {name}']):.0%}"
        returns = "".join(
            f"{value:{width}.0f}"
            for value, width in zip(quality.get(name, ()), (13, 9), strict=False)
        )
        print(
            f"{name:36}{np.median(values):10,.0f}{min(values):10,.0f} -{max(values):8,.0f}{np.median(values) / base:8.1f}{share:>10}{returns}"
        )


if __name__ == "__main__":
    main()
