"""The compiled dream is a plain NumPy loop on the same noise; what is exact is exact; models, starts and controllers that do not fit are refused."""

import dataclasses

import numpy as np
import pytest

import wmlib as wm
from wmlib.config import DreamConfig, EnsembleConfig, MDNRNNConfig, VAEConfig
from wmlib.control import controller
from wmlib.dream import packing
from wmlib.dream.dream import Dream
from wmlib.dream.dreamenv import DreamEnv
from wmlib.errors import InputError
from wmlib.models import mdnrnn, vae, world
from wmlib.models import model as models
from wmlib.models.ensemble import Ensemble
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.vae import VAE

BODY = wm.body.get("humanoid")
P, HORIZON = 3, 12


@pytest.fixture(scope="module")
def real():
    return wm.gather(BODY, "mixed", 400, 0)


def a_world(real, seed=0, **settings):
    """Random weights, but wilder than a fresh model's, so that the parts of a mixture differ and some dreams end."""
    v = VAE.create(BODY, real.physics, VAEConfig(z_dim=6, hidden=(24, 16)), seed=seed)
    v = v.using({name: 1.6 * value for name, value in v.params.items()})
    config = MDNRNNConfig(h_dim=12, n_mix=3, **settings)
    m = MDNRNN.create(BODY, mdnrnn.sequences(v, real, 8), config, seed=seed)
    return world.WorldModel(
        BODY, v, m.using({name: 1.5 * value for name, value in m.params.items()})
    )


@pytest.fixture(scope="module")
def small(real):
    return a_world(real)


@pytest.fixture(scope="module")
def several(real):
    e = Ensemble.create(BODY, real, EnsembleConfig(members=3, hidden=16))
    return e.using({name: 0.6 * value for name, value in e.params.items()})


def linear_on(features, model, real):
    if features == "physics":
        return controller.Linear(BODY, mean=real.physics.mean(axis=0), std=real.physics.std(axis=0))
    n = model.vae.z_dim + (model.mdnrnn.config.h_dim if features == "zh" else 0)
    return controller.Linear(BODY, features, n)


def population(linear, n=P, seed=0):
    return 0.3 * np.random.default_rng(seed).standard_normal((n, linear.n_params))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def upright(x):
    x = x.copy()
    x[1:5] /= np.linalg.norm(x[1:5])
    return x


def ends(x):
    return not 1.0 < x[0] < 2.0


def layers(params, name, x, n):
    for i in range(n):
        x = (x * sigmoid(x) if i else x) @ params[f"{name}.{i}.kernel"] + params[f"{name}.{i}.bias"]
    return x


def plain_world(model, memory, action, noise, tau, exact):
    """One step of one dream, as the equations have it."""
    v, m = model.vae, model.mdnrnn
    _, z, h, c = memory
    gates = (
        np.concatenate([z, (action - m.action_center) / m.action_scale]) @ m.params["lstm.kernel"]
        + m.params["lstm.bias"]
        + h @ m.params["lstm.recurrent"]
    )
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    out = h @ m.params["mixture.kernel"] + m.params["mixture.bias"]
    k, n = m.config.n_mix, m.config.n_mix * m.z_dim
    logits = (
        np.broadcast_to(out[:k, None], (k, m.z_dim))
        if m.config.joint
        else out[:n].reshape(k, m.z_dim)
    )
    mu = out[-2 * n : -n].reshape(k, m.z_dim) * m.change_scale + z
    sigma = np.exp(np.clip(out[-n:].reshape(k, m.z_dim), -6, 3)) * m.change_scale
    gumbel = noise[0][:, None] if m.config.joint else noise[0]
    chosen = np.argmax(logits + tau * gumbel, axis=0), np.arange(m.z_dim)
    z = mu[chosen] + sigma[chosen] * np.sqrt(tau) * noise[1]
    x = layers(v.params, "decoder", z, len(v.config.hidden) + 1)
    head = h @ m.params["reward_done.kernel"] + m.params["reward_done.bias"]
    mean, std = m.reward_stats
    reward, obs = head[0] * std + mean, upright(x * v.std + v.mean)
    cap, bonus, doubted = mean + models.REWARD_CAP * std, 5.0, 5 * sigmoid(head[1])
    over = ends(obs) if exact else head[1] > 0
    if m.config.reward == "rest":  # the commands are charged as they are given
        known = bonus * (not over) if exact else bonus - doubted
        reward = (min(reward, cap) if exact else reward) + known - 0.1 * np.square(action).sum()
    elif exact:
        reward = min(reward + doubted, cap) - bonus * over
    beyond = np.abs(x).max() > models.BEYOND
    return (obs, z, h, c), 0.0 if beyond else reward, over or beyond, 0.0


def plain_ensemble(model, memory, action, noise, tau, member):
    """The same for the ensemble."""
    (x,), params = memory, {name: value.astype(np.float64) for name, value in model.params.items()}
    inputs = np.concatenate(
        [
            np.clip((x - model.mean) / model.std, -10, 10),
            (action - model.action_center) / model.action_scale,
        ]
    )
    first = inputs @ params["input.kernel"] + params["input.bias"][:, 0]
    first = first * sigmoid(first)
    second = (
        np.stack([first[e] @ params["hidden.kernel"][e] for e in range(len(first))])
        + params["hidden.bias"][:, 0]
    )
    both = first + second * sigmoid(second)
    out = (
        np.stack([both[e] @ params["output.kernel"][e] for e in range(len(first))])
        + params["output.bias"][:, 0]
    )
    size, own = len(x), out[member]
    change = own[:size] + np.exp(np.clip(own[size : 2 * size], -7, 1.5)) * np.sqrt(tau) * noise[0]
    obs = upright(x + change * model.change_std)
    doubt = np.sqrt(out[:, :size].var(axis=0).mean())
    mean, std = model.reward_stats
    reward = (
        min(own[-1], models.REWARD_CAP) * std
        + mean
        + 5 * (not ends(obs))
        - 0.1 * np.square(action).sum()
    )
    beyond = np.abs((obs - model.mean) / model.std).max() > models.BEYOND
    return (obs,), 0.0 if beyond else reward, ends(obs) or beyond, doubt


def plain(dreams, model, params, starts, seed, step):
    """Every candidate, every episode, one step after the other, in float64."""
    config, linear = dreams.config, dreams.linear
    n = -(-len(starts) // dreams.model.members) * dreams.model.members
    noise = dreams.noise(config.horizon, n, seed)
    returns, lengths = (
        np.zeros((len(params), len(starts))),
        np.zeros((len(params), len(starts)), int),
    )
    for p, e in np.ndindex(returns.shape):
        memory = tuple(part[e].astype(np.float64) for part in starts.state)
        for t in range(config.horizon):
            features = {"physics": memory[0][:45], "z": memory[1:2], "zh": memory[1:3]}[
                linear.features
            ]
            action = linear.act(
                params[p : p + 1],
                np.concatenate(features)[None, None]
                if linear.features != "physics"
                else features[None, None],
            )[0, 0]
            memory, reward, over, doubt = step(
                model, memory, action, tuple(part[t, e] for part in noise), config.tau, e
            )
            returns[p, e] += reward - config.disagreement_penalty * doubt * (reward != 0)
            lengths[p, e] += 1
            if over or doubt > config.max_disagreement:
                break
    return returns, lengths


@pytest.mark.parametrize(
    ("features", "tau", "exact", "joint"),
    [
        ("z", 1.0, True, False),
        ("zh", 0.5, True, True),
        ("physics", 0.0, True, False),
        ("zh", 1.0, False, False),
    ],
)
@pytest.mark.parametrize("reward", ["rest", "whole"])
def test_a_world_s_dream_is_a_plain_loop(real, features, tau, exact, joint, reward):
    model = a_world(real, joint=joint, reward=reward)
    linear = linear_on(features, model, real)
    dreams = Dream(model, linear, DreamConfig(tau=tau, horizon=HORIZON, learned_heads=not exact))
    starts, params = dreams.starts(real, 6, seed=1, latest=4), population(linear)
    found = dreams(params, starts, 3)
    returns, lengths = plain(
        dreams,
        model,
        params,
        starts,
        3,
        lambda model, memory, action, noise, tau, _: plain_world(
            model, memory, action, noise, tau, exact
        ),
    )
    np.testing.assert_array_equal(found.lengths, lengths)
    np.testing.assert_allclose(found.returns, returns, rtol=1e-4, atol=1e-4)
    assert len(np.unique(lengths)) > 1, "some dreams must end early, or nothing is tested"


@pytest.mark.parametrize(
    ("tau", "penalty", "doubt"),
    [(1.0, 0.0, np.inf), (0.0, 0.0, np.inf), (0.8, 2.0, np.inf), (0.8, 0.5, 0.33)],
)
def test_an_ensemble_s_dream_is_a_plain_loop(real, several, tau, penalty, doubt):
    linear = linear_on("physics", several, real)
    dreams = Dream(
        several,
        linear,
        DreamConfig(tau=tau, horizon=HORIZON, disagreement_penalty=penalty, max_disagreement=doubt),
    )
    starts, params = (
        dreams.starts(real, 7, seed=2, latest=4),
        population(linear),
    )  # 7 starts for 3 members: two are filled up, and left out
    found = dreams(params, starts, 5)
    returns, lengths = plain(
        dreams,
        several,
        params,
        starts,
        5,
        lambda model, memory, action, noise, tau, e: plain_ensemble(
            model, memory, action, noise, tau, e % 3
        ),
    )
    np.testing.assert_array_equal(found.lengths, lengths)
    np.testing.assert_allclose(found.returns, returns, rtol=1e-4, atol=1e-4)
    assert tau == 0 or len(np.unique(lengths)) > 1


def test_equal_candidates_get_equal_returns_however_they_are_packed(real, small, several):
    for model, features in ((small, "zh"), (several, "physics")):
        linear = linear_on(features, model, real)
        dreams = Dream(model, linear, DreamConfig(horizon=40))
        starts = dreams.starts(real, 12, seed=1)
        params = population(linear, 70)
        params[69] = params[40] = params[0]
        found = dreams(params, starts, 0)  # 840 dreams: more than go through one call
        assert found.returns.shape == found.lengths.shape == (70, 12)
        np.testing.assert_allclose(found.returns[[40, 69]], found.returns[[0, 0]], rtol=1e-5)
        np.testing.assert_array_equal(found.lengths[[40, 69]], found.lengths[[0, 0]])
        again = dreams(params, starts, 0)
        np.testing.assert_array_equal(again.returns, found.returns)
        np.testing.assert_allclose(
            dreams(params[:1], starts, 0).returns, found.returns[:1], rtol=1e-5
        )
        assert not np.array_equal(dreams(params, starts, 1).returns, found.returns)


def test_a_longer_dream_begins_as_a_shorter_one(real, several):
    linear = linear_on("physics", several, real)
    dreams = Dream(several, linear)
    starts, params = dreams.starts(real, 6), population(linear)
    short, long = dreams(params, starts, 0, horizon=4), dreams(params, starts, 0, horizon=90)
    np.testing.assert_array_equal(short.lengths, np.minimum(4, long.lengths))
    over = long.lengths <= 4
    np.testing.assert_array_equal(short.returns[over], long.returns[over])


def test_what_is_watched_is_what_was_dreamed_and_it_ends_by_the_body_s_own_rule(
    real, small, several
):
    for model, features in ((small, "zh"), (several, "physics")):
        linear = linear_on(features, model, real)
        dreams = Dream(model, linear, DreamConfig(horizon=30, tau=0.8))
        starts, params = dreams.starts(real, 8, latest=6), population(linear)
        track, found = dreams.watch(params[1], starts, 4), dreams(params, starts, 4)
        np.testing.assert_array_equal(track.lengths, found.lengths[1])
        np.testing.assert_allclose(track.reward.sum(axis=1), found.returns[1], rtol=1e-4, atol=1e-4)
        assert track.ended.any() and track.obs.shape[1] == track.action.shape[1] + 1
        for i, length in enumerate(track.lengths):
            lived = track.obs[i, : length + 1]
            assert not BODY.terminated(lived[:-1]).any()
            std = np.abs(
                (lived[-1, :45] - real.physics.mean(axis=0))
                / np.maximum(real.physics.std(axis=0), 1e-3)
            ).max()
            assert track.ended[i] == (BODY.terminated(lived[-1]) or std > 0.99 * models.BEYOND)
            np.testing.assert_allclose(np.linalg.norm(lived[1:, 1:5], axis=1), 1, atol=1e-5)
            assert BODY.poses(lived).shape == (length + 1, 24)


def test_at_temperature_zero_the_seed_does_nothing(real, small):
    linear = linear_on("z", small, real)
    dreams = Dream(small, linear, DreamConfig(tau=0.0, horizon=20))
    starts, params = dreams.starts(real, 5), population(linear)
    np.testing.assert_array_equal(
        dreams(params, starts, 0).returns, dreams(params, starts, 1).returns
    )


def test_starts_are_real_states_with_the_memory_of_what_went_before(real, small):
    starts = small.starts(real, 9, seed=3, latest=5)
    states, at = real.physics.astype(np.float32), 0
    found = 0
    for episode in real:
        for t in range(min(6, len(episode))):
            row = np.flatnonzero((starts.state[0] == states[at + t]).all(axis=1))
            if len(row):
                obs = BODY.physics(episode.qpos, episode.qvel)[None, : t + 1]
                _, z, h, c = small.watch(obs, episode.action[None, :t])
                for got, wanted in zip(starts.state[1:], (z, h, c), strict=True):
                    np.testing.assert_allclose(got[row[0]], np.asarray(wanted)[0], atol=1e-5)
                found += 1
        at += len(episode) + 1
    assert found == 9
    assert len(starts.draw(4, 0)) == 4
    first = small.starts(real, 5)
    assert not np.any(first.state[2])


def test_every_dream_is_dreamed_once_to_its_end():
    """The rows are kept full, and every dream keeps to its member's rows."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, size=(23, 10))

    def advance(rows):
        assert (rows.episode % 5 == np.arange(len(rows.t)) % 5).all()
        assert len(rows.t) <= 100
        t = np.where(
            rows.alive, np.minimum(rows.t + 8, lengths[rows.candidate, rows.episode]), rows.t
        ).astype(np.int32)
        assert (rows.memory[0][:, 0] == rows.episode).all()
        return rows._replace(
            t=t,
            total=(100 * rows.candidate + rows.episode).astype(np.float32),
            alive=t < lengths[rows.candidate, rows.episode],
        )

    totals, found = packing.run(
        advance, (np.arange(10, dtype=np.float32)[:, None],), 23, members=5, rows=103
    )
    np.testing.assert_array_equal(found, lengths)
    np.testing.assert_array_equal(totals, 100 * np.arange(23)[:, None] + np.arange(10))


def test_the_learned_part_of_a_reward_and_the_known_one_make_the_whole(real):
    for name in ("humanoid", "half_cheetah"):
        body = wm.body.get(name)
        (episode,) = wm.rollout(body, wm.policies.RandomActions(body), [1], max_steps=40)
        known = body.known_reward(body.physics(episode.qpos, episode.qvel)[1:], episode.action)
        rest = sum(
            values for term, values in episode.terms.items() if term not in ("alive", "control")
        )
        np.testing.assert_allclose(known + rest, episode.reward, atol=1e-6)


def test_a_dream_charges_commands_exactly_and_learns_the_rest_of_the_reward(real):
    """Equation (6.2) for V and M: an M that sees no action charges commands all the same, as the body does."""
    model = a_world(real)
    deaf = {**model.mdnrnn.params, "lstm.kernel": model.mdnrnn.params["lstm.kernel"].copy()}
    deaf["lstm.kernel"][model.vae.z_dim :] = 0
    model = dataclasses.replace(model, mdnrnn=model.mdnrnn.using(deaf))
    action = np.random.default_rng(0).uniform(-0.4, 0.4, (5, BODY.a_dim)).astype(np.float32)
    state = model.init(real.physics[:5])
    (_, said), (_, still) = (model.step(state, a, None) for a in (action, np.zeros_like(action)))
    known = [BODY.known_reward(real.physics[:5], a) for a in (action, np.zeros_like(action))]
    for part in ("reward", "reward_head"):
        charged = np.asarray(getattr(said, part)) - np.asarray(getattr(still, part))
        np.testing.assert_allclose(charged, known[0] - known[1], atol=1e-5)
    rows = mdnrnn.sequences(model.vae, real, 8)
    learned = model.mdnrnn.make_batch()(rows, np.random.default_rng(0))["reward"]
    rest = Ensemble.create(BODY, real).reward_stats
    mask = rows["mask"] > 0
    np.testing.assert_allclose([learned[mask].mean(), learned[mask].std()], rest, rtol=1e-3)


def other(real):
    return a_world(real, seed=1)


MISTAKES = {
    "C on codes, an ensemble": (
        lambda r, w, e: Dream(e, linear_on("z", w, r)),
        "does not show the 'z' that C looks at; it shows: physics",
    ),
    "C on all observations, V on physics": (
        lambda r, w, e: Dream(w, controller.Linear(BODY, "obs")),
        "does not show the 'obs'",
    ),
    "C on another world's codes": (
        lambda r, w, e: Dream(w, controller.Linear(BODY, "z", 7)),
        "C looks at 7 numbers of 'z'; this model shows 6",
    ),
    "C of another body": (
        lambda r, w, e: Dream(w, controller.Linear(wm.body.get("half_cheetah"))),
        "belong to different bodies",
    ),
    "another world's starts": (
        lambda r, w, e: Dream(w, linear_on("z", w, r))(
            np.zeros((1, 119)), Dream(other(r), linear_on("z", w, r)).starts(r, 2), 0
        ),
        "another model's codes and memory",
    ),
    "a population of a wrong shape": (
        lambda r, w, e: Dream(w, linear_on("z", w, r))(
            np.zeros((1, 5)), Dream(w, linear_on("z", w, r)).starts(r, 2), 0
        ),
        r"expected \(P, 119\)",
    ),
    "doubt in a world": (
        lambda r, w, e: Dream(w, linear_on("z", w, r), DreamConfig(disagreement_penalty=1.0)),
        "need an ensemble",
    ),
    "heads of an ensemble": (
        lambda r, w, e: Dream(e, linear_on("physics", e, r), DreamConfig(learned_heads=True)),
        "has no heads",
    ),
    "a negative temperature": (
        lambda r, w, e: Dream(w, linear_on("z", w, r), DreamConfig(tau=-1)),
        "tau -1",
    ),
    "no horizon": (
        lambda r, w, e: Dream(w, linear_on("z", w, r), DreamConfig(horizon=0)),
        "horizon is 0",
    ),
    "no starts": (lambda r, w, e: Dream(w, linear_on("z", w, r)).starts(r, 0), "0 starts"),
    "observations that are not there": (
        lambda r, w, e: Dream(
            world.WorldModel(BODY, VAE.create(BODY, r.obs, VAEConfig("full", 6)), w.mdnrnn),
            linear_on("z", w, r),
        ).starts(dataclasses.replace(r, obs=None), 2),
        "sees full observations",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_fit_is_refused_in_one_line(real, small, several, mistake):
    act, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message) as caught:
        act(real, small, several)
    assert "\n" not in str(caught.value)


def test_a_view_of_all_observations_can_be_dreamed_in(real):
    v = VAE.create(BODY, real.obs, VAEConfig("full", z_dim=6, hidden=(16,)))
    wide = world.WorldModel(
        BODY, v, MDNRNN.create(BODY, mdnrnn.sequences(v, real, 8, real.obs), MDNRNNConfig(h_dim=8))
    )
    dreams = Dream(wide, controller.Linear(BODY, "obs"), DreamConfig(horizon=5))
    assert dreams(
        np.zeros((2, dreams.linear.n_params)), dreams.starts(real, 3), 0
    ).returns.shape == (2, 3)
    assert vae.VIEWS[1] == v.config.view


class Falling(models.Model):
    """The least that a model is: the body sinks a little in each step, sooner or later."""

    body, fingerprint = BODY, "falling"

    def noise(self, rng, *lead):
        return (rng.random(lead, dtype=np.float32),)

    def step(self, state, action, noise, tau=1.0, *, disagreement=False):
        height = np.eye(1, BODY.physics_dim, dtype=np.float32)
        by = 0.05 if noise is None else 0.1 * tau * noise[0][:, None]
        physics = state[0] - by * height
        return (physics,), models.Predicted(1.0 + 0 * physics[:, 0], 0 * physics[:, 0])


def test_a_third_model_needs_no_more_than_a_step_and_its_noise(real):
    model, linear = Falling(), controller.Linear(BODY)
    dreams = Dream(model, linear, DreamConfig(horizon=50))
    starts, params = dreams.starts(real, 6, latest=3), population(linear)
    found, track = dreams(params, starts, 0), dreams.watch(params[0], starts, 0)
    np.testing.assert_array_equal(track.lengths, found.lengths[0])
    assert ((found.lengths > 3) & (found.lengths < 50)).all()
    np.testing.assert_allclose(found.returns, found.lengths - BODY.alive_bonus)
    env = DreamEnv(dreams, starts, 3)
    seen, _ = env.reset(seed=0)
    after = env.step(np.zeros((3, BODY.a_dim)))[0]
    assert (after[:, 0] < seen[:, 0]).all()
    ahead = model.open_loop(model.init(real.physics[:2]), np.zeros((2, 4, BODY.a_dim)))
    np.testing.assert_allclose(ahead.obs[:, -1, 0], real.physics[:2, 0] - 0.2, atol=1e-6)
    assert not ahead.done.any()
