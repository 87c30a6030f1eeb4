"""The structured ensemble: what is exact is exact, what is learned is learned, and what is kept comes back."""

import numpy as np
import pytest

from wmlib.config import StructuredConfig, TrainConfig
from wmlib.errors import InputError
from wmlib.loading import load
from wmlib.models import training
from wmlib.models.nets import ops
from wmlib.models.structured import StructuredEnsemble
from wmlib.real import body as bodies
from wmlib.real.episodes import Episodes
from wmlib.real.policies import RandomActions
from wmlib.real.rollout import rollout

BODY = bodies.get("humanoid")
PLAYED = rollout(BODY, RandomActions(BODY), range(12))
EPISODES = Episodes.of(BODY, PLAYED)
MODEL = StructuredEnsemble.create(EPISODES, StructuredConfig(members=2, hidden=16, layers=2))


def transitions():
    """Physics before and after, action and movement of the root, of every real step, rows last."""
    table = MODEL.table(EPISODES)
    first = table["first"]
    return tuple(np.ascontiguousarray(part.T) for part in (table["physics"][first], table["physics"][first + 1], table["action"][first], table["moved"][first]))  # fmt: skip


def numpy(*parts):
    return [np.asarray(ops.convert_to_numpy(part)) for part in parts]


def test_a_real_step_is_its_change_of_speeds_and_a_small_rest_of_pose():
    before, after, _, moved = transitions()
    change = MODEL.speed_change(before, after)
    root, pose = MODEL.integrate(before, change, 0 * change)
    rest = MODEL.pose_error(before, root, pose, moved, after)
    again_root, again = numpy(*MODEL.integrate(before, change, rest))
    np.testing.assert_allclose(again, after, atol=2e-4)
    np.testing.assert_allclose(again_root, moved, atol=2e-4)
    nothing = np.square(after[5:22] - before[5:22]).mean()
    assert np.square(numpy(pose)[0][5:22] - after[5:22]).mean() < 0.05 * nothing


def test_the_dreamed_reward_is_the_real_one_without_its_contacts():
    before, after, action, moved = transitions()

    class Knows(StructuredEnsemble):
        def advance(self, params, physics, limbs, action):
            return moved, after, 0 * after[:23]

    knows = Knows(**{name: getattr(MODEL, name) for name in ("body", "config", *MODEL.STATS, "params")})  # fmt: skip
    state, said = knows.step(knows.init(before.T), action.T, None)
    np.testing.assert_allclose(state[0], after.T, atol=1e-6)
    terms = [e.terms for e in PLAYED]
    real = np.concatenate([t["forward"] + t["control"] for t in terms]) + BODY.alive_bonus
    np.testing.assert_allclose(numpy(said.reward)[0], real, atol=2e-2)
    assert np.isfinite(numpy(said.outlier)[0]).all()


def test_each_row_is_moved_by_its_own_member():
    rng = np.random.default_rng(1)
    state = MODEL.init(np.repeat(EPISODES.physics[:1], 4, axis=0))
    (after, _), _ = MODEL.step(state, rng.standard_normal((4, 17)).astype(np.float32) * 0, None)
    (after,) = numpy(after)
    np.testing.assert_array_equal(after[0], after[2])
    np.testing.assert_array_equal(after[1], after[3])
    assert (after[0] != after[1]).any()


def test_dreams_stay_within_what_was_seen_and_noise_grows_with_temperature():
    state, action = MODEL.init(EPISODES.physics[:2]), np.zeros((2, 17), np.float32)
    noise = MODEL.noise(np.random.default_rng(0), 2)
    cold, warm, hot = (
        numpy(MODEL.step(state, action, noise, np.float32(tau))[0][0])[0] for tau in (0, 0.3, 1e6)
    )
    mean = numpy(MODEL.step(state, action, None)[0][0])[0]
    np.testing.assert_allclose(cold, mean, atol=1e-6)
    assert np.abs(warm - cold)[:, 22:].min() > 0
    assert (hot[:, 5:] <= MODEL.high[5:]).all() and (hot[:, 5:] >= MODEL.low[5:]).all()


def test_a_window_never_crosses_a_reset():
    table = MODEL.table(EPISODES)
    rows = np.flatnonzero(table["left"] >= 3)
    batch = MODEL.windows(table, rows, 3)
    assert batch["physics"].shape == (4, 45, len(rows)) and batch["action"].shape[0] == 3
    states = EPISODES.lengths + 1
    episode = np.repeat(np.arange(len(states)), states)
    assert (episode[rows] == episode[rows + 3]).all()


def test_learning_lowers_the_loss():
    table, n_steps = MODEL.table(EPISODES), 2
    row = np.random.default_rng(0).choice(np.flatnonzero(table["left"] >= n_steps), 64 * 30)

    def windows(batch, rng):
        return MODEL.windows(table, batch["row"], n_steps)

    how = TrainConfig(3, 64, 3e-3, 1e-3, jit=False)
    made = training.fit(MODEL.loss, MODEL.params, {"row": row}, how, make_batch=windows, say=None)
    assert made.log[-1]["loss"] < made.log[0]["loss"] - 0.05
    assert made.log[-1]["own"] < made.log[0]["own"]


def test_what_is_kept_comes_back_and_measures_anew_only_what_it_should(tmp_path):
    MODEL.save(tmp_path / "model", seconds=1.0)
    again = load(tmp_path / "model")
    assert again.fingerprint == MODEL.fingerprint and again.body is BODY
    few = MODEL.measured(EPISODES.select([0, 1]), scales=False)
    np.testing.assert_array_equal(few.mean, MODEL.mean)
    assert (few.high[5:] <= MODEL.high[5:]).all() and (few.high < MODEL.high).any()


def test_a_size_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="members is 0"):
        StructuredEnsemble.create(EPISODES, StructuredConfig(members=0))
