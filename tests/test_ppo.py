"""PPO's policy as stored numbers: it acts without PyTorch, is judged like every other policy, and damage is one line."""

import json

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
