"""The ensemble: its parts agree, it learns real steps better than 'nothing changes', and it comes back from disk."""

import numpy as np
import pytest

import wmlib as wm
from wmlib import storage
from wmlib.config import EnsembleConfig, TrainConfig, VAEConfig
from wmlib.errors import InputError
from wmlib.models import metrics, training, vae
from wmlib.models.ensemble import Ensemble

BODY = wm.body.get("humanoid")


@pytest.fixture(scope="module")
def real():
    return wm.load("humanoid-mixed").select(range(120))


@pytest.fixture(scope="module")
def trained(real):
    e = Ensemble.create(BODY, real, EnsembleConfig(members=3, hidden=48))
    recipe = TrainConfig(epochs=25, batch_size=128, learning_rate=3e-3, jit=False)
    return e.using(
        training.fit(
            e.loss, e.params, e.data(real), recipe, make_batch=e.make_batch, say=None
        ).params
    )


def inputs(e, physics, action):
    """Standardised inputs, as the formula has them."""
    x = np.clip((physics - e.mean) / e.std, -10, 10)
    return np.concatenate([x, (action - e.action_center) / e.action_scale], axis=-1)


def upright(physics):
    x = physics.copy()
    x[:, 1:5] /= np.linalg.norm(x[:, 1:5], axis=1, keepdims=True)
    return x


def test_rows_of_the_data_are_real_steps_of_one_episode(real):
    e = Ensemble.create(BODY, real)
    data = e.data(real)
    assert len(data["x"]) == real.n_steps
    at = 0
    for episode in list(real)[:5]:
        states = BODY.physics(episode.qpos, episode.qvel)
        change = np.clip((states[1:] - states[:-1]) / e.change_std, -10, 10)
        np.testing.assert_allclose(data["change"][at : at + len(episode)], change, atol=1e-4)
        np.testing.assert_allclose(
            data["x"][at : at + len(episode)], inputs(e, states[:-1], episode.action), atol=1e-5
        )
        at += len(episode)


def test_it_learns_and_beats_copy_last_on_episodes_it_never_saw(trained):
    held = wm.load("humanoid-mixed").select(range(300, 384))
    unit = vae.VAE.create(BODY, held.physics, VAEConfig(hidden=(4,)))
    found = metrics.open_loop_error(unit, held, trained.dream, horizon=10)
    assert found.ratio()[0] < 0.8
    assert found.ratio()[-1] < 1.0


def test_members_differ_and_a_step_is_made_by_its_row_s_member(trained, real):
    physics, action = real.physics[:6], real.action[:6]
    mean, _, _ = (np.asarray(part) for part in trained.forward(inputs(trained, physics, action)))
    assert mean.shape == (3, 6, BODY.physics_dim)
    assert np.abs(mean[0] - mean[1]).max() > 0.01
    state, noise = trained.init(physics), trained.noise(np.random.default_rng(0), 6)
    expected = physics + mean[np.arange(6) % 3, np.arange(6)] * trained.change_std
    for known in (False, True):  # each member alone, or all of them
        (calm,), said = trained.step(state, action, noise, 0.0, disagreement=known)
        np.testing.assert_allclose(calm, upright(expected), atol=1e-5)
        assert (said.disagreement is not None) == known
    assert np.all(np.asarray(said.disagreement) > 0) and said.reward.shape == (6,)
    (by_all,), _ = trained.step(state, action, None)
    usual = physics + mean.mean(axis=0) * trained.change_std
    np.testing.assert_allclose(by_all, upright(usual), atol=1e-5)
    (five,), _ = trained.step(tuple(part[:5] for part in state), action[:5], (noise[0][:5],), 0.0)
    np.testing.assert_allclose(five, calm[:5], atol=1e-5)  # not a multiple of the members
    ahead = trained.open_loop(state, np.repeat(action[:, None], 4, axis=1))
    assert ahead.obs.shape == (6, 4, BODY.physics_dim)
    np.testing.assert_allclose(ahead.obs[:, 0], by_all, atol=1e-5)


def test_an_ensemble_comes_back_bit_for_bit(trained):
    back = Ensemble.from_bytes(trained.to_bytes(), "ensemble", BODY)
    assert storage.fingerprint(back.arrays()) == storage.fingerprint(trained.arrays())
    with pytest.raises(InputError, match="has shape"):
        Ensemble.from_bytes(trained.to_bytes(), "ensemble", wm.body.get("half_cheetah"))


def test_an_ensemble_of_nobody_is_refused(real):
    with pytest.raises(InputError, match="members is 0"):
        Ensemble.create(BODY, real, EnsembleConfig(members=0))
