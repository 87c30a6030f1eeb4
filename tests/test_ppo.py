"""PPO's policy as stored numbers: it acts without PyTorch, is judged like every other policy, and damage is one line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import wmlib as wm
from wmlib.errors import InputError

BODY = wm.body.get("humanoid")


def stored(folder, *, features=45, hidden=8, actions=17, **facts):
    """A policy with random weights, as `train` stores it."""
    rng = np.random.default_rng(0)
    arrays = {"mean": rng.normal(size=features), "std": np.full(features, 2.0)}
    for i, (n, m) in enumerate([(features, hidden), (hidden, actions)]):
        arrays |= {f"{i}.kernel": rng.normal(size=(n, m)), f"{i}.bias": rng.normal(size=m)}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    usual = {"configuration": "tuned", "activation": "relu", "seed": 3}
    usual |= {"budget": 1_024, "real_steps": 1_024, **facts}
    wm.ppo.Ppo(BODY, arrays, usual).save(folder, seconds=1.0, **usual)
    return arrays


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_policy_is_the_network_written_out(tmp_path, activation):
    a = stored(tmp_path / "p", activation=activation)
    policy = wm.load(tmp_path / "p", "ppo")
    obs = np.random.default_rng(1).normal(size=(5, BODY.obs_dim))
    x = np.clip((obs[:, :45] - a["mean"]) / a["std"], -10, 10)
    hidden = x @ a["0.kernel"] + a["0.bias"]
    hidden = np.maximum(hidden, 0) if activation == "relu" else np.tanh(hidden)
    expected = np.clip(hidden @ a["1.kernel"] + a["1.bias"], -0.4, 0.4)
    np.testing.assert_allclose(policy(obs)[0], expected, atol=1e-6)
    assert np.array_equal(policy(obs)[0][2:3], policy(obs[2:3])[0])


def test_its_row_has_its_configuration_and_seed(tmp_path):
    stored(tmp_path / "p")
    row = wm.results.judge(
        tmp_path / "p", path=tmp_path / "rows.csv", split="selection", episodes=3
    )
    assert (row.method, row.configuration, row.seed, row.budget, row.episodes) == (
        "ppo",
        "tuned",
        3,
        1_024,
        3,
    )
    assert wm.results.read(tmp_path / "rows.csv") == [row]


@pytest.mark.parametrize("shape", [{"features": 400}, {"actions": 5}])
def test_a_network_of_another_body_is_refused(tmp_path, shape):
    stored(tmp_path / "p", **shape)
    with pytest.raises(InputError, match="no policy for humanoid"):
        wm.load(tmp_path / "p", "ppo")


def test_another_artefact_is_refused(tmp_path):
    stored(tmp_path / "p")
    manifest = json.loads((tmp_path / "p" / "manifest.json").read_text())
    (tmp_path / "p" / "manifest.json").write_text(json.dumps({**manifest, "kind": "world"}))
    with pytest.raises(InputError, match="expected 'ppo'"):
        wm.load(tmp_path / "p", "ppo")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"configuration": "best"}, "no configuration 'best'"),
        ({"steps": 100}, "at least 512"),
        ({"budgets": [9_999]}, "no budget past the last step"),
    ],
)
def test_bad_input_is_one_line(tmp_path, given, said):
    with pytest.raises(InputError, match=said):
        wm.ppo.train(BODY, tmp_path / "p", **{"steps": 1_024, **given})
    assert not (tmp_path / "p").exists()


def test_without_its_extra_training_names_it(tmp_path):
    pytest.importorskip("wmlib.ppo")
    try:
        import stable_baselines3  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"pip install \"\.\[ppo\]\""):
            wm.ppo.train(BODY, tmp_path / "p", steps=1_024)


class Learner:
    """Stands for Stable-Baselines3, as far as seeds go: making a learner seeds its environment with the number that the learner got."""

    def __init__(self, name, env, *, seed, **more):
        assert type(seed) is int  # PyTorch's and Python's generators take no other
        seen.append(seed)
        env.seed(seed)

    def learn(self, **more):
        raise InterruptedError


seen = []


@pytest.fixture
def libraries(monkeypatch):
    seen.clear()
    env = SimpleNamespace(seed=seen.append)
    sb3 = SimpleNamespace(PPO=Learner, common=SimpleNamespace(callbacks=SimpleNamespace(BaseCallback=object)))  # fmt: skip
    torch = SimpleNamespace(set_num_threads=abs, nn=SimpleNamespace(ReLU=0, Tanh=0))
    monkeypatch.setattr(wm.ppo, "_libraries", lambda: (sb3, torch))
    monkeypatch.setattr(wm.ppo, "_environment", lambda *given: env)


@pytest.mark.parametrize("seed", [7, np.int64(7), np.uint8(7)])
def test_its_environment_is_seeded_from_the_block_of_its_run_after_the_learner_is(
    seed, libraries, tmp_path
):
    with pytest.raises(InterruptedError):
        wm.ppo.train(BODY, tmp_path / "p", steps=np.int64(1_024), seed=seed)
    assert seen == [7, 7, 700_000]
    assert all(type(each) is int for each in seen)


@pytest.mark.parametrize("seed", [True, np.True_, -1, 1_000, 2.0, float("nan"), "7", None])
def test_a_seed_that_is_none_of_a_run_is_refused_before_anything_is_loaded(
    seed, libraries, tmp_path
):
    with pytest.raises(InputError, match=r"seed of a run is .*; expected a whole number") as caught:
        wm.ppo.train(BODY, tmp_path / "p", steps=1_024, seed=seed)
    assert "\n" not in str(caught.value) and not seen and not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [True, 1_024.5, float("nan"), -1, "1024"])
def test_steps_that_are_no_whole_number_are_refused(steps, libraries, tmp_path):
    for given in ({"steps": steps}, {"steps": 1_024, "budgets": [steps]}):
        with pytest.raises(InputError, match=r"is .*; expected a whole number"):
            wm.ppo.train(BODY, tmp_path / "p", **given)
    assert not seen
