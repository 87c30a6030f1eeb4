"""M: one step equals many, memory is emptied where it must be, padding does not count, and a world with a known answer is learned."""

import numpy as np
import pytest

import wmlib as wm
from wmlib.config import MDNRNNConfig, TrainConfig, VAEConfig
from wmlib.errors import InputError
from wmlib.models import mdn, mdnrnn, training
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.vae import VAE

BODY = wm.body.get("humanoid")
KINDS = pytest.mark.parametrize("joint", [True, False], ids=["joint", "per dimension"])


@pytest.fixture(scope="module")
def real():
    return wm.gather(BODY, "mixed", 300, 0)


@pytest.fixture(scope="module")
def v(real):
    return VAE.create(BODY, real.physics, VAEConfig(z_dim=6, hidden=(16,)))


@pytest.fixture(scope="module")
def rows(v, real):
    return mdnrnn.sequences(v, real, 8)


def small(rows, **settings):
    return MDNRNN.create(BODY, rows, MDNRNNConfig(**{"h_dim": 12, "n_mix": 3, **settings}))


def inputs(n=4, steps=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, steps, 6)).astype(np.float32), rng.uniform(
        -0.4, 0.4, (n, steps, BODY.a_dim)
    ).astype(np.float32)


def step_by_step(m, z, action, state=None):
    state = m.start(len(z)) if state is None else state
    predictions, hidden = [], []
    for t in range(z.shape[1]):
        prediction, state = m.step(z[:, t], action[:, t], state)
        predictions.append(prediction)
        hidden.append(np.asarray(state[0]))
    return predictions, np.stack(hidden, axis=1)


def flat(prediction):
    return [*prediction.mixture, prediction.reward, prediction.done_logit]


@KINDS
@pytest.mark.parametrize("change", [True, False], ids=["of z", "z itself"])
def test_step_by_step_equals_the_sequence(rows, joint, change):
    m = small(rows, joint=joint, predict_change=change)
    z, action = inputs()
    predictions, hidden = step_by_step(m, z, action)
    at_once, h = m.sequence(z, action)
    np.testing.assert_allclose(np.asarray(h), hidden, atol=1e-5)
    for t, prediction in enumerate(predictions):
        for one, many in zip(flat(prediction), flat(at_once), strict=True):
            np.testing.assert_allclose(
                np.asarray(one), np.asarray(many)[:, t], atol=1e-5, rtol=1e-5
            )


def test_a_sequence_in_two_parts_is_the_sequence(rows):
    m = small(rows)
    z, action = inputs()
    _, whole = m.sequence(z, action)
    state = m.start(len(z))
    for t in range(3):
        _, state = m.step(z[:, t], action[:, t], state)
    _, rest = m.sequence(z[:, 3:], action[:, 3:], state)
    np.testing.assert_allclose(np.asarray(rest), np.asarray(whole)[:, 3:], atol=1e-5)


@pytest.mark.parametrize("form", ["sequence", "rollout"])
def test_nothing_crosses_a_reset(rows, form):
    m = small(rows)
    z, action = inputs()
    reset = np.zeros(z.shape[:2], np.float32)
    reset[:, 4] = 1

    def after(z):
        own = np.zeros_like(reset)
        prediction = (
            m.sequence(z, action, reset=reset)[0]
            if form == "sequence"
            else m.rollout(z, action, own, reset)[0]
        )
        return [np.asarray(part)[:, 4:] for part in flat(prediction)]

    other = z.copy()
    other[:, :4] += 5
    fresh = [np.asarray(part) for part in flat(m.sequence(z[:, 4:], action[:, 4:])[0])]
    for a, b, c in zip(after(z), after(other), fresh, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-5, rtol=1e-5)


@KINDS
def test_a_rollout_fed_with_truth_is_the_sequence_and_fed_with_itself_is_the_open_loop(rows, joint):
    m = small(rows, joint=joint)
    z, action = inputs()
    forced, fed = m.rollout(z, action, np.zeros(z.shape[:2], np.float32))
    for one, many in zip(flat(forced), flat(m.sequence(z, action)[0]), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(many), atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(fed), z)
    own = np.ones(z.shape[:2], np.float32)
    own[:, 0] = 0
    _, fed = m.rollout(z, action, own)
    state, mine = m.start(len(z)), z[:, 0]
    for t in range(z.shape[1] - 1):
        prediction, state = m.step(mine, action[:, t], state)
        mine = np.asarray(mdn.mean(prediction.mixture))
        np.testing.assert_allclose(np.asarray(fed)[:, t + 1], mine, atol=1e-5)


def test_training_rows_are_the_episodes_end_to_end(v, real, rows):
    mu, logvar = v.encode(real.physics)
    mask = rows["mask"] > 0
    assert mask.sum() == real.n_steps
    assert np.all(mask.ravel()[: real.n_steps])
    at = step = 0
    for episode in real:
        t = len(episode)
        for name, expected in (
            ("mu", mu[at : at + t]), ("next_mu", mu[at + 1 : at + t + 1]), ("next_std", np.exp(logvar[at + 1 : at + t + 1] / 2)),
            ("action", episode.action), ("reward", episode.reward.astype(np.float32)),
            ("reset", np.arange(t) == 0), ("done", (np.arange(t) == t - 1) & episode.terminated),
        ):  # fmt: skip
            found = rows[name].reshape(-1, *rows[name].shape[2:])[step : step + t]
            np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)
        at, step = at + t + 1, step + t


def test_padding_does_not_count_in_the_loss(rows):
    m = small(rows)
    batch = m.make_batch()(
        {name: array[-2:] for name, array in rows.items()}, np.random.default_rng(0)
    )
    assert (batch["mask"] == 0).any()
    spoiled = {
        name: np.where(
            (batch["mask"] > 0)[..., None] if array.ndim == 3 else batch["mask"] > 0,
            array,
            np.float32(3),
        )
        for name, array in batch.items()
        if name not in ("mask", "reset")
    }
    for piece, value in m.loss(m.params, batch)[1].items():
        assert float(m.loss(m.params, {**batch, **spoiled})[1][piece]) == pytest.approx(
            float(value), rel=1e-5
        ), piece


def test_codes_are_drawn_anew_in_every_batch_from_their_own_spread(rows):
    prepare = small(rows).make_batch()
    drawn = [prepare(rows, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0]["z"], drawn[1]["z"])
    assert not np.array_equal(drawn[0]["z"], drawn[2]["z"])
    standard = (drawn[0]["z"] - rows["mu"])[rows["mask"] > 0] / rows["std"][rows["mask"] > 0]
    assert (standard.mean(), standard.std()) == pytest.approx((0, 1), abs=0.05)


def test_own_rollouts_start_from_truth_every_so_many_steps_and_at_every_reset(rows):
    own = small(rows).make_batch(4)(rows, np.random.default_rng(0))["own"]
    assert not own[:, 0].any()
    assert not own[rows["reset"] > 0].any()
    assert own.any()
    runs = [len(run) for row in own for run in "".join(str(int(x)) for x in row).split("0") if run]
    assert max(runs) == 3


@KINDS
@pytest.mark.parametrize("own", ["mean", "sample"])
def test_the_multi_step_loss_is_finite_and_reaches_every_weight(rows, joint, own):
    from wmlib.models import nets

    m = small(rows, joint=joint, own=own)
    batch = m.make_batch(4)(rows, np.random.default_rng(0))
    assert ("eps" in batch) == (own == "sample")
    total, pieces, grads = nets.gradient(m.loss, m.params, batch)
    assert float(total) == pytest.approx(sum(float(piece) for piece in pieces.values()), rel=1e-5)
    assert all(
        np.isfinite(np.asarray(grad)).all() and np.abs(np.asarray(grad)).max() > 0
        for grad in grads.values()
    )


def test_at_first_m_says_that_nothing_changes(rows):
    m = small(rows)
    z, action = inputs()
    prediction, _ = m.sequence(z, action)
    moved = np.asarray(mdn.mean(prediction.mixture)) - z
    assert np.abs(moved / m.change_scale).max() < 0.5
    assert float(np.asarray(prediction.reward).mean()) == pytest.approx(
        float(m.reward_stats[0]), abs=2 * float(m.reward_stats[1])
    )


def test_one_batch_is_overfitted(rows):
    m = small(rows, h_dim=64)
    few = {name: array[:4] for name, array in rows.items()}
    recipe = TrainConfig(epochs=250, batch_size=4, learning_rate=5e-3, jit=False)
    trained = training.fit(m.loss, m.params, few, recipe, make_batch=m.make_batch(), say=None)
    first, last = trained.log[0], trained.log[-1]
    assert last["nll"] < first["nll"] - 2
    assert last["reward"] < 0.3 * first["reward"]
    assert last["done"] < 0.3 * first["done"]


def toy(n=256, steps=12, seed=0):
    """A world with two futures: z walks by +1 or -1, drawn at the start and remembered; the action (one number) adds to it."""
    rng = np.random.default_rng(seed)
    way = rng.choice([-1.0, 1.0], size=(n, 1))
    action = np.zeros((n, steps, BODY.a_dim), np.float32)
    action[..., 0] = rng.uniform(-0.4, 0.4, (n, steps))
    change = 0.3 * way + action[..., 0]
    z = np.concatenate([np.zeros((n, 1)), np.cumsum(change, axis=1)], axis=1).astype(np.float32)[
        ..., None
    ]
    zeros = np.zeros((n, steps), np.float32)
    reset = zeros.copy()
    reset[:, 0] = 1
    reward = zeros + way.astype(np.float32)
    return {
        "mu": z[:, :-1], "std": np.full_like(z[:, 1:], 0.01), "next_mu": z[:, 1:], "next_std": np.full_like(z[:, 1:], 0.01), "action": action,
        "reward": reward, "done": zeros, "mask": zeros + 1, "reset": reset,
    }  # fmt: skip


def test_a_toy_world_with_two_futures_is_learned_and_remembered():
    """Before the first step nobody can know the way: two components are needed. After it memory knows, and one is enough."""
    data = toy()
    m = MDNRNN.create(BODY, data, MDNRNNConfig(h_dim=24, n_mix=2, reward="whole"))
    recipe = TrainConfig(epochs=120, batch_size=64, learning_rate=1e-2, jit=False)
    trained = training.fit(m.loss, m.params, data, recipe, make_batch=m.make_batch(), say=None)
    m = m.using(trained.params)
    held = toy(seed=1)
    prediction, _ = m.sequence(held["mu"], held["action"])
    log_pi, mu, _ = (np.asarray(part) for part in prediction.mixture)
    moved = np.asarray(mdn.mean(prediction.mixture))[..., 0] - held["mu"][..., 0]
    truth = held["next_mu"][..., 0] - held["mu"][..., 0]
    assert np.abs(moved - truth)[:, 2:].mean() < 0.05, "memory does not know the way"
    apart = mu[:, 0, :, 0] - held["action"][:, 0, :1]
    assert np.abs(np.sort(apart, axis=1).mean(axis=0) - [-0.3, 0.3]).max() < 0.1, (
        "the two futures are not both there"
    )
    assert np.exp(log_pi[:, 0, :, 0]).mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.15)
    assert np.abs(np.asarray(prediction.reward)[:, 2:] - held["reward"][:, 2:]).mean() < 0.2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"h_dim": 0}, "h_dim is 0; expected a whole number"),
        ({"n_mix": 0}, "n_mix is 0; expected a whole number"),
        ({"own": "luck"}, "own 'luck' .* was asked for; expected"),
        ({"reward": "luck"}, "reward 'luck' was asked for; expected"),
    ],
)
def test_wrong_settings_get_one_line(rows, wrong, said):
    with pytest.raises(InputError, match=said):
        small(rows, **wrong)


def test_rows_without_steps_are_refused(v, real):
    with pytest.raises(InputError, match="Rows of 0 steps"):
        mdnrnn.sequences(v, real, 0)
