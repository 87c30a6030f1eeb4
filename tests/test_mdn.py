"""Mixtures obey their equations: they integrate to 1, contain the Gaussian, forget the order of components, and sample what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from wmlib.models import mdn
from wmlib.models.mdn import Mixture

KINDS = pytest.mark.parametrize("joint", [True, False], ids=["joint", "per dimension"])


def mixture(rng, joint, *lead, n_mix=3, z_dim=2, spread=1.0):
    """A random mixture in float32."""
    logits = rng.normal(0, spread, (*lead, n_mix) if joint else (*lead, n_mix, z_dim))
    log_pi = logits - logsumexp(logits, axis=-1 if joint else -2, keepdims=True)
    mu, log_sigma = rng.normal(0, spread, (2, *lead, n_mix, z_dim))
    return Mixture(*(part.astype(np.float32) for part in (log_pi, mu, 0.5 * log_sigma)))


def scipy_log_prob(m, z):
    """The same density with SciPy, one number at a time."""
    of_number = stats.norm.logpdf(
        z[..., None, :], m.mu.astype(float), np.exp(m.log_sigma.astype(float))
    )
    if m.joint:
        return logsumexp(m.log_pi + of_number.sum(axis=-1), axis=-1)
    return logsumexp(m.log_pi + of_number, axis=-2).sum(axis=-1)


@KINDS
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_mix=st.integers(1, 6),
    z_dim=st.integers(1, 5),
    spread=st.sampled_from([0.1, 1.0, 3.0]),
)
def test_log_prob_equals_an_independent_scipy_version(joint, seed, n_mix, z_dim, spread):
    rng = np.random.default_rng(seed)
    m = mixture(rng, joint, 4, 3, n_mix=n_mix, z_dim=z_dim, spread=spread)
    z = rng.normal(0, 2, (4, 3, z_dim)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(mdn.log_prob(m, z)), scipy_log_prob(m, z), rtol=2e-4, atol=2e-3
    )


@KINDS
def test_the_density_integrates_to_one(joint):
    m = mixture(np.random.default_rng(0), joint)
    grid = np.linspace(-12, 12, 801, dtype=np.float32)
    z = np.stack(np.meshgrid(grid, grid), axis=-1)
    density = np.exp(np.asarray(mdn.log_prob(m, z), dtype=float))
    assert density.sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1.0, abs=1e-4)


@KINDS
def test_one_component_is_the_gaussian(joint):
    rng = np.random.default_rng(1)
    m = mixture(rng, joint, 5, n_mix=1, z_dim=4)
    z = rng.normal(size=(5, 4)).astype(np.float32)
    gaussian = np.asarray(mdn.gaussian_log_prob(z, m.mu[:, 0], m.log_sigma[:, 0])).sum(axis=-1)
    np.testing.assert_allclose(np.asarray(mdn.log_prob(m, z)), gaussian, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(np.asarray(mdn.mean(m)), m.mu[:, 0], rtol=1e-6)


@KINDS
def test_the_order_of_components_does_not_matter(joint):
    rng = np.random.default_rng(2)
    m = mixture(rng, joint, 6, n_mix=4)
    order = [2, 0, 3, 1]
    swapped = Mixture(
        m.log_pi[..., order] if joint else m.log_pi[..., order, :],
        m.mu[..., order, :],
        m.log_sigma[..., order, :],
    )
    z = rng.normal(size=(6, 2)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(mdn.log_prob(m, z)), np.asarray(mdn.log_prob(swapped, z)), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        np.asarray(mdn.mean(m)), np.asarray(mdn.mean(swapped)), rtol=1e-5, atol=1e-6
    )


@KINDS
def test_equal_components_are_one_component(joint):
    rng = np.random.default_rng(3)
    one = mixture(rng, joint, 3, n_mix=1)
    many = Mixture(
        *(np.repeat(part, 4, axis=-1 if joint and part is one.log_pi else -2) for part in one)
    )
    many = many._replace(log_pi=many.log_pi - np.log(4).astype(np.float32))
    z = rng.normal(size=(3, 2)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(mdn.log_prob(one, z)), np.asarray(mdn.log_prob(many, z)), rtol=1e-5, atol=1e-5
    )


@KINDS
def test_at_temperature_zero_a_sample_is_the_mean_of_the_likeliest_component(joint):
    rng = np.random.default_rng(4)
    m = mixture(rng, joint, 50)
    drawn = np.asarray(mdn.sample(m, 0.0, mdn.noise(rng, m.log_pi.shape, (50, 2))))
    best = m.log_pi.argmax(axis=1)
    expected = (
        m.mu[np.arange(50), best]
        if joint
        else np.take_along_axis(m.mu, best[:, None], axis=1)[:, 0]
    )
    np.testing.assert_array_equal(drawn, expected)


@KINDS
@pytest.mark.parametrize("tau", [0.3, 1.0, 1.5])
def test_samples_have_the_moments_of_the_tempered_mixture(joint, tau):
    rng = np.random.default_rng(5)
    one, n = mixture(rng, joint), 200_000
    m = Mixture(*(np.broadcast_to(part, (n, *part.shape)) for part in one))
    drawn = np.asarray(mdn.sample(m, tau, mdn.noise(rng, m.log_pi.shape, (n, 2))), dtype=float)
    axis = -1 if joint else -2
    tempered = one.log_pi.astype(float) / tau
    pi = np.exp(tempered - logsumexp(tempered, axis=axis, keepdims=True))
    pi = pi[:, None] if joint else pi
    mean = (pi * one.mu).sum(axis=0)
    variance = (pi * (tau * np.exp(2.0 * one.log_sigma) + one.mu.astype(float) ** 2)).sum(
        axis=0
    ) - mean**2
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * np.sqrt(variance.max() / n))
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.03)
    if tau == 1.0:
        np.testing.assert_allclose(np.asarray(mdn.mean(one)), mean, rtol=1e-4, atol=1e-5)


def test_a_joint_choice_moves_all_numbers_together_and_a_choice_each_does_not():
    apart = np.array([[-5.0, -5.0], [5.0, 5.0]], dtype=np.float32)
    for joint, expected in ((True, 1.0), (False, 0.0)):
        log_pi = np.log(np.full((2,) if joint else (2, 2), 0.5, dtype=np.float32))
        m = Mixture(
            *(
                np.broadcast_to(part, (20_000, *part.shape))
                for part in (log_pi, apart, np.full((2, 2), -3, np.float32))
            )
        )
        drawn = np.asarray(
            mdn.sample(m, 1.0, mdn.noise(np.random.default_rng(6), m.log_pi.shape, (20_000, 2)))
        )
        assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(expected, abs=0.03)


@KINDS
@pytest.mark.parametrize(
    ("shift", "log_sigma"),
    [(0.0, 0.0), (1e4, 0.0), (1.0, -1e3), (1e4, -1e3), (1.0, 1e3), (1e6, 1e3)],
)
def test_extremes_stay_finite_and_so_do_their_gradients(joint, shift, log_sigma):
    from wmlib.models import nets

    m = mixture(np.random.default_rng(7), joint, 2)
    logits = np.full_like(m.log_pi, -1e4)
    logits[:, 0] = 0.0
    start = {
        "log_pi": logits,
        "mu": m.mu + np.float32(shift),
        "log_sigma": np.full_like(m.log_sigma, log_sigma),
    }
    z = np.zeros((2, 2), np.float32)

    def loss(params, batch):
        of = Mixture(params["log_pi"], params["mu"], params["log_sigma"])
        return mdn.nll(of, batch["z"], np.ones(2, np.float32)), {}

    total, _, grads = nets.gradient(loss, start, {"z": z})
    assert np.isfinite(float(total))
    assert all(np.isfinite(np.asarray(grad)).all() for grad in grads.values())
    drawn = np.asarray(
        mdn.sample(Mixture(**start), 1.5, mdn.noise(np.random.default_rng(8), logits.shape, (2, 2)))
    )
    assert np.isfinite(drawn).all()


@KINDS
def test_masked_steps_do_not_count(joint):
    rng = np.random.default_rng(9)
    m = mixture(rng, joint, 2, 4)
    z = rng.normal(size=(2, 4, 2)).astype(np.float32)
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=np.float32)
    expected = -scipy_log_prob(m, z)[mask > 0].mean()
    assert float(mdn.nll(m, z, mask)) == pytest.approx(expected, rel=1e-4)
    assert float(
        mdn.nll(m, np.where(mask[..., None] > 0, z, np.float32(99)), mask)
    ) == pytest.approx(expected, rel=1e-4)
    assert float(mdn.nll(m, z, np.zeros_like(mask))) == 0.0


@KINDS
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_behind_a_mask_may_be_anything_and_no_gradient_shows_it(joint, odd):
    from wmlib.models import nets

    mask = np.array([[1, 0, 1, 0]], dtype=np.float32)
    m = mixture(np.random.default_rng(10), joint, 1, 4)._asdict()
    m["values"] = np.array([[1, 2, 3, 4]], dtype=np.float32)

    def loss(params, batch):
        of = Mixture(*(params[name] for name in Mixture._fields))
        values = mdn.masked_mean(batch["shift"] + params["values"], mask)
        return mdn.nll(of, batch["z"], mask) + values, {"values": values}

    batch = {"z": np.ones((1, 4, 2), np.float32), "shift": np.zeros((1, 4), np.float32)}
    expected = nets.gradient(loss, m, batch)
    batch["z"][0, 1::2] = batch["shift"][0, 1::2] = odd
    found = nets.gradient(loss, m, batch)
    assert float(found[1]["values"]) == 2.0 and float(found[0]) == float(expected[0])
    for name, grad in found[2].items():
        assert np.array_equal(np.asarray(grad), np.asarray(expected[2][name])), name
