"""V obeys its equations, keeps its statistics honest, and learns what it must."""

import numpy as np
import pytest
from scipy import integrate, stats

import wmlib as wm
from wmlib.config import TrainConfig, VAEConfig
from wmlib.errors import InputError
from wmlib.models import nets, training, vae
from wmlib.models.vae import VAE

BODY = wm.body.get("humanoid")


@pytest.fixture(scope="module")
def real():
    return wm.gather(BODY, "mixed", 400, 0)


def small(obs, **settings):
    return VAE.create(BODY, obs, VAEConfig(**{"hidden": (32,), "z_dim": 8, **settings}))


def test_kl_is_zero_at_the_prior_and_nowhere_else():
    assert np.all(
        np.asarray(vae.kl_per_dimension(np.zeros(3, np.float32), np.zeros(3, np.float32))) == 0
    )
    rng = np.random.default_rng(0)
    assert np.all(
        np.asarray(vae.kl_per_dimension(*rng.normal(0, 1, (2, 100)).astype(np.float32))) > 0
    )


@pytest.mark.parametrize(("mu", "logvar"), [(0.0, 0.0), (1.5, -2.0), (-0.3, 1.0), (3.0, -6.0)])
def test_kl_equals_its_integral(mu, logvar):
    q, p = stats.norm(mu, np.exp(logvar / 2)), stats.norm(0, 1)
    integral, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)),
        mu - 12 * q.std(),
        mu + 12 * q.std(),
        limit=200,
    )
    assert float(vae.kl_per_dimension(np.float32(mu), np.float32(logvar))) == pytest.approx(
        integral, abs=1e-5
    )


def test_a_code_without_noise_is_its_mean_and_with_noise_has_its_spread():
    mu, logvar = np.full((50_000, 1), 0.7, np.float32), np.full((50_000, 1), -1.0, np.float32)
    eps = np.random.default_rng(1).standard_normal(mu.shape).astype(np.float32)
    assert np.array_equal(np.asarray(vae.reparameterize(mu, logvar, np.zeros_like(eps))), mu)
    z = np.asarray(vae.reparameterize(mu, logvar, eps))
    assert (z.mean(), z.std()) == pytest.approx((0.7, np.exp(-0.5)), abs=0.01)


def test_the_loss_is_the_reconstruction_and_beta_times_the_kl_above_the_floor(real):
    rng = np.random.default_rng(2)
    for beta, floor in ((1.0, 0.0), (0.1, 0.0), (0.5, 100.0)):
        model = small(real.physics, beta=beta, kl_floor=floor)
        batch = model.make_batch({"x": model.standardize(real.physics[:64])}, rng)
        total, pieces = model.loss(model.params, batch)
        mu, logvar = (np.asarray(part, dtype=float) for part in model.encoder(batch["x"]))
        kl = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).mean(axis=0)
        z = mu + np.exp(logvar / 2) * batch["eps"]
        error = (
            0.5
            * ((batch["x"] - np.asarray(model.decoder(z.astype(np.float32)))) ** 2)
            .sum(axis=1)
            .mean()
        )
        assert float(pieces["kl"]) == pytest.approx(kl.sum(), rel=1e-4)
        assert float(pieces["reconstruction"]) == pytest.approx(error, rel=1e-4)
        assert float(total) == pytest.approx(error + beta * np.maximum(kl, floor).sum(), rel=1e-4)


def test_the_gradient_of_the_elbo_equals_finite_differences(real):
    """Along random directions, in float64, where differences are exact enough to say so."""
    model = small(real.physics, beta=0.7)
    rng = np.random.default_rng(3)
    batch = model.make_batch({"x": model.standardize(real.physics[:32])}, rng)
    params = {name: value.astype(np.float64) for name, value in model.params.items()}
    wide = {name: value.astype(np.float64) for name, value in batch.items()}
    exact = VAE(
        model.config, model.mean, model.std, model.feature_weights.astype(np.float64), params
    )
    _, _, grads = nets.gradient(model.loss, model.params, batch)
    for _ in range(5):
        way = {name: rng.normal(size=value.shape) for name, value in params.items()}
        along = sum(float((np.asarray(grads[name], dtype=float) * way[name]).sum()) for name in way)
        ends = [
            float(exact.loss({name: params[name] + step * way[name] for name in way}, wide)[0])
            for step in (1e-4, -1e-4)
        ]
        assert along == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=2e-3, abs=1e-3)


def test_one_batch_is_overfitted(real):
    model = small(real.physics, beta=1e-4, hidden=(128,), z_dim=32)
    x = model.standardize(real.physics[:64])
    recipe = TrainConfig(epochs=400, batch_size=64, learning_rate=3e-3, jit=False)
    trained = training.fit(
        model.loss, model.params, {"x": x}, recipe, make_batch=model.make_batch, say=None
    )
    assert trained.log[-1]["reconstruction"] < 0.03 * trained.log[0]["reconstruction"]
    assert trained.log[-1]["loss"] < trained.log[0]["loss"]


def test_statistics_are_of_float64_and_constant_columns_do_not_explode(real):
    full = real.replayed() if real.obs is None else real
    model = small(full.obs, view="full")
    constant = full.obs.std(axis=0) < 1e-9
    assert constant.any(), "the humanoid's cinert has constant columns"
    assert model.std.min() >= np.float32(vae.STD_FLOOR)
    x = model.standardize(full.obs)
    assert np.abs(x[:, constant]).max() < 1e-3
    assert np.abs(x).max() <= model.config.clip
    assert x.dtype == np.float32
    np.testing.assert_allclose(
        model.unstandardize(x)[np.abs(x).max(axis=1) < 10],
        full.obs[np.abs(x).max(axis=1) < 10],
        atol=1e-3,
        rtol=1e-4,
    )


def test_the_full_view_weights_its_groups_and_the_physics_view_does_not():
    weights = vae.group_weights(BODY, "full")
    assert {name: set(weights[part].tolist()) for name, part in BODY.obs_slices.items()} == {
        "qpos": {3.0}, "qvel": {3.0}, "cinert": {np.float32(0.3)}, "cvel": {np.float32(0.3)}, "qfrc_actuator": {1.0}, "cfrc_ext": {np.float32(0.1)},
    }  # fmt: skip
    assert np.all(vae.group_weights(BODY, "physics") == 1)
    assert len(vae.group_weights(BODY, "physics")) == BODY.physics_dim


def test_coding_takes_any_leading_axes_and_full_observations(real):
    model = small(real.physics)
    mu, logvar = model.encode(real.physics[:12].reshape(3, 4, -1))
    assert mu.shape == logvar.shape == (3, 4, 8)
    np.testing.assert_allclose(
        mu.reshape(12, 8), model.encode(real.physics[:12])[0], rtol=1e-5, atol=1e-6
    )
    full = real.replayed() if real.obs is None else real
    np.testing.assert_allclose(
        model.encode(full.obs[:12])[0], model.encode(real.physics[:12])[0], rtol=1e-5, atol=1e-6
    )
    assert model.decode(mu).shape == (3, 4, BODY.physics_dim)
    assert model.reconstruct(real.physics[:5], np.random.default_rng(0)).shape == (
        5,
        BODY.physics_dim,
    )


def test_many_rows_are_coded_as_few_are(real):
    model = small(real.physics)
    many = np.resize(real.physics, (vae.CHUNK + 3, BODY.physics_dim))
    np.testing.assert_allclose(
        model.encode(many)[0][-3:], model.encode(many[-3:])[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda obs: small(obs, view="pixels"), "no view 'pixels'; there are: physics, full"),
        (lambda obs: small(obs, z_dim=0), "z_dim is 0"),
        (lambda obs: small(obs, view="full"), "needs 348 numbers an observation; got 45"),
        (lambda obs: small(obs[:, :10]), "has 348 numbers"),
        (lambda obs: small(obs).encode(obs[:, :7]), "sees 45 numbers"),
    ],
)
def test_wrong_input_gets_one_line(real, make, message):
    with pytest.raises(InputError, match=message) as caught:
        make(real.physics)
    assert "\n" not in str(caught.value)


def test_the_kl_falls_as_beta_rises_and_a_floor_keeps_codes_awake(real):
    """Posterior collapse, made and cured, on real states."""

    def kl(**settings):
        model = small(real.physics, **settings)
        recipe = TrainConfig(epochs=30, batch_size=64, learning_rate=3e-3, jit=False)
        trained = training.fit(
            model.loss,
            model.params,
            {"x": model.standardize(real.physics)},
            recipe,
            make_batch=model.make_batch,
            say=None,
        )
        return model.using(trained.params).kl(real.physics)

    collapsed, cured, free = kl(beta=30.0), kl(beta=30.0, kl_floor=0.5), kl(beta=0.01)
    assert collapsed.sum() < 0.2
    assert cured.sum() > 2.0
    assert free.sum() > cured.sum()


def test_numbers_that_never_move_are_left_out_of_r2(real):
    found = wm.metrics.reconstruction_r2(small(real.replayed().obs, view="full"), real.replayed())
    assert np.isnan(found["cinert"]).any() and np.nanmin(found["cinert"]) > -100
    assert np.isfinite(found["qpos"]).all() and np.isfinite(found["qvel"]).all()
