"""The loop that walks: C's scales change nothing, every real step is counted, no real return chooses, kills change no bit."""

import dataclasses
import shlex
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from experiments import walk as walk_rows
from wmlib import storage
from wmlib.cli import parser
from wmlib.config import StructuredConfig, WalkConfig
from wmlib.control.controller import CLIP, Controller, Linear
from wmlib.control.strategies import OpenAIES
from wmlib.dream import walk as walking
from wmlib.errors import InputError
from wmlib.loading import load
from wmlib.real import body as bodies
from wmlib.real.episodes import Episodes
from wmlib.real.rollout import rollout
from wmlib.show import progress

BODY, ROOT = bodies.get("humanoid"), Path(__file__).resolve().parent.parent
TINY = WalkConfig(
    steps=1_400, first_steps=400, round_steps=300, model=StructuredConfig(2, 16, 2), batch_size=16, first_updates=4, first_own_updates=0, updates=2,
    own_updates=0, popsize=8, episodes=2, generations=2, shortest=10, longest=20, check_episodes=1, seed=7,
)  # fmt: skip


class StopNowError(Exception):
    """A kill after a round."""


def stop(made, played):
    raise StopNowError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A walk in one go, and the same one stopped after its first round, refused to another walk, and gone on with."""
    folder = tmp_path_factory.mktemp("walk")
    lines = []
    whole = walking.train(TINY, folder / "whole", say=lines.append)
    with pytest.raises(StopNowError):
        walking.train(TINY, folder / "killed", say=lines.append, each=stop)
    with pytest.raises(InputError, match="holds a walk with tau"):  # another one is refused
        walking.train(dataclasses.replace(TINY, tau=1.0), folder / "killed", say=lines.append)
    return whole, walking.train(TINY, folder / "killed", say=lines.append), folder, lines


def test_killed_and_gone_on_with_it_ends_with_the_same_bits(whole):
    one, other, folder, _ = whole
    assert one.fingerprint == other.fingerprint
    models = [load(folder / f"{name}-model").fingerprint for name in ("whole", "killed")]
    assert models[0] == models[1]


def test_every_real_step_is_counted_and_none_is_beyond_the_budget(whole):
    facts = load(whole[2] / "whole").facts
    assert TINY.steps - TINY.round_steps < facts["real_steps"] <= TINY.steps
    assert facts["log"][-1]["real_steps"] == facts["real_steps"]
    assert [row["round"] for row in facts["log"]] == list(range(len(facts["log"])))
    assert "awake" in whole[3][0] and "dreamed" in whole[3][0]


def linear(hidden=0):
    return Linear(BODY, "frame", hidden=hidden, targets=True, mean=np.full(61, 0.1), std=np.full(61, 5.0))  # fmt: skip


@pytest.mark.parametrize("hidden", [0, 3])
def test_new_scales_leave_c_and_adams_moments_what_they_were(hidden):
    shape, rng = linear(hidden), np.random.default_rng(0)
    policy = walking.Explorer(shape, np.zeros((1, shape.n_params)), (0.05,), (0.2,))
    data = Episodes.of(BODY, rollout(BODY, policy, range(6), keep_obs=False))
    strategy = OpenAIES(0.1 * rng.standard_normal(shape.n_params), popsize=8)
    strategy.tell(np.arange(8))
    made = walking.Walk(TINY, shape, strategy, None, [data], strategy.mean[None], np.full(61, 1e-3), 10)  # fmt: skip
    obs, first = data.physics, strategy.first.copy()
    before = made.controller(obs)[0]
    walking.rescale(made)
    far = (
        np.abs(made.linear.standardize(shape.select(obs))).max(axis=1) >= CLIP
    )  # held, in the new scales
    obs, before = obs[~far], before[~far]
    assert len(obs) > 100
    np.testing.assert_allclose(made.controller(obs)[0], before, atol=1e-4)
    np.testing.assert_allclose(made.older[-1], strategy.mean)
    assert (made.linear.std != shape.std).any()
    # A weight is as much wider as its feature's scale, so the gradient by it is as much narrower: their product stays.
    old, new = (shape.unpack(part)[0] for part in (first, strategy.first))
    np.testing.assert_allclose(new * made.linear.std / shape.std, old, atol=1e-12)


def test_an_explorer_without_noise_is_c_and_its_noise_is_its_episodes_own():
    shape = linear()
    params = 0.1 * np.random.default_rng(1).standard_normal((1, shape.n_params))
    plain = rollout(BODY, Controller(shape, params[0]), [5], max_steps=20)
    quiet = walking.Explorer(shape, Controller(shape, params[0]).params[None], (0.0,), (0.0,))
    np.testing.assert_array_equal(rollout(BODY, quiet, [5], max_steps=20)[0].qpos, plain[0].qpos)
    noisy = walking.Explorer(shape, params, (0.02,), (0.1,))
    alone = rollout(BODY, noisy, [6], max_steps=20)[0]
    among = rollout(BODY, noisy, [5, 6, 7], max_steps=20)[1]
    np.testing.assert_array_equal(alone.qpos, among.qpos)
    assert (alone.qpos[-1] != plain[0].qpos[-1]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_steps": 2_000}, "2000 first of 1400 real steps"),
        ({"updates": 0}, "updates is 0; expected a whole number of at least 1"),
        ({"longest": 5}, "dreams of 10 to 5 steps"),
        ({"param_noise": ()}, "expected some to draw from"),
        ({"seed": 1_000}, "The seed of a run is 1000"),
        ({"body": "hopper"}, "expected a free joint"),
    ],
)
def test_a_mistake_gets_one_line(change, message):
    with pytest.raises(InputError, match=message) as caught:
        walking.begin(dataclasses.replace(TINY, **change))
    assert "\n" not in str(caught.value)


def test_the_page_has_a_curve_a_table_and_looks_again_until_it_is_over(tmp_path):
    row = {"round": 0, "real_steps": 500, "dreamed_steps": 9_000, "seconds": 61.0, "dreamed": 300.0, "real": 280.0, "real_length": 60.0, "metres": 0.2}  # fmt: skip
    track = {"reality": np.tile(BODY.model.qpos0, (5, 1))}
    for over in (False, True):
        progress.write(tmp_path / "page.html", BODY, [row], 1_000, track, over=over)
        text = (tmp_path / "page.html").read_text()
        assert text.count("<svg") >= 1 and "9,000" in text and 'class="wm-viewer"' in text
        assert ('http-equiv="refresh"' in text) != over


# What is shipped


def test_the_shipped_c_walks_in_plain_gymnasium_and_no_library_of_ours_touches_a_step():
    C = load("humanoid-walk")
    gyms = [gymnasium.make("Humanoid-v5") for _ in range(6)]
    # Starts that no run was evolved, chosen or reported on.
    seen = [gym.reset(seed=seed)[0] for seed, gym in enumerate(gyms, start=1)]
    first = np.array([gym.unwrapped.data.qpos[0] for gym in gyms])
    lasted, earned, up = np.zeros(6), np.zeros(6), list(range(6))
    while up:
        actions = C(np.array([seen[k] for k in up]))[0]
        for k, action in zip(list(up), actions, strict=True):
            seen[k], reward, fell, cut, _ = gyms[k].step(action)
            earned[k], lasted[k] = earned[k] + float(reward), lasted[k] + 1
            if fell or cut:
                up.remove(k)
    gone = np.array([gym.unwrapped.data.qpos[0] for gym in gyms]) - first
    assert np.mean(lasted) > 500  # five times the reflex alone
    assert np.mean(earned) > 2_500
    assert np.mean(gone) > 3


def test_every_row_of_the_walk_has_its_rounds_and_its_last_one_is_its_end():
    rows, rounds = (storage.read_csv(ROOT / path) for path in (walk_rows.ROWS, walk_rows.ROUNDS))
    assert rows
    for row in rows:
        its = [one for one in rounds if (one["way"], one["seed"]) == (row["way"], row["seed"])]
        assert [int(float(one["round"])) for one in its] == list(range(len(its)))
        assert int(its[-1]["real_steps"]) == int(row["real_steps"]) <= 100_000
        assert row["command"].startswith("wmlib walk ")
        parser().parse_args(shlex.split(row["command"])[1:])
    assert len({(row["way"], row["seed"]) for row in rows}) == len(rows)
