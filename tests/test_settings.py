"""One check for all settings: NaN, infinity, signs and fractions pass none of them, and nothing is made before."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wmlib as wm
from wmlib import config
from wmlib import whole as whole_runs
from wmlib.cli import main, parser
from wmlib.control import strategies
from wmlib.errors import InputError, whole

KINDS = [
    config.VAEConfig, config.MDNRNNConfig, config.EnsembleConfig, config.StructuredConfig, config.TrainConfig, config.SearchConfig,
    config.DreamConfig, config.EvolveConfig, config.StudyConfig, config.LoopConfig, config.WalkConfig,
]  # fmt: skip
FIELDS = [
    (kind, field)
    for kind in KINDS
    for field in dataclasses.fields(kind)
    if "int" in str(field.type) or "float" in str(field.type)
]


@pytest.mark.parametrize(
    ("kind", "field"), FIELDS, ids=[f"{kind.__name__}.{field.name}" for kind, field in FIELDS]
)
def test_no_number_of_a_configuration_may_be_nan_negative_or_infinite(kind, field):
    bad = [math.nan, -1, -math.inf, math.inf, "3"]
    bad += [1.5, True] if "int" in str(field.type) else []
    if field.name == "max_disagreement":  # an ensemble may be trusted wherever it goes
        bad.remove(math.inf)
    for value in bad:
        value = (value,) if "tuple" in str(field.type) else value
        with pytest.raises((InputError, TypeError)) as caught:
            kind(**{field.name: value})
        if not isinstance(value, str) and value != ("3",):
            assert caught.type is InputError and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_book_uses_passes(kind):
    assert kind() == kind()


@given(value=st.floats() | st.integers() | st.booleans() | st.none() | st.text())
def test_a_dream_is_made_with_a_temperature_that_is_a_finite_number_or_not_at_all(value):
    fine = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    try:
        config.DreamConfig(tau=value)
        assert fine or value is None
    except InputError as error:
        assert not fine and "\n" not in repr(str(error))


@given(
    value=st.floats() | st.integers() | st.booleans() | st.none() | st.text(),
    least=st.integers(-3, 3),
)
def test_a_whole_number_is_one_or_is_refused(value, least):  # fmt: skip
    fine = type(value) is int and value >= least
    try:
        assert whole(value, "it", least) == value and fine
    except InputError:
        assert not fine


@given(
    number=st.floats() | st.integers(),
    name=st.sampled_from(["sigma", "learning_rate", "weight_decay"]),
)
def test_a_strategy_takes_a_setting_that_is_finite_or_none(number, name):  # fmt: skip
    fine = (number >= 0 if name == "weight_decay" else number > 0) and number < math.inf
    try:
        strategies.make("openai-es", [0.0], **{name: number})
        assert fine
    except InputError:
        assert not fine


WORDS = {
    "tau": ["dream", "--world", "humanoid", "--data", "humanoid-mixed", "--tau", "nan"],
    "rate": ["train-vae", "--data", "humanoid-mixed", "--learning-rate", "nan"],
    "endless rate": ["train-ensemble", "--data", "humanoid-mixed", "--learning-rate", "inf"],
    "beta": ["train-vae", "--data", "humanoid-mixed", "--beta", "-1"],
    "size": ["train-vae", "--data", "humanoid-mixed", "--z-dim", "70000"],
    "seed of V": ["train-vae", "--data", "humanoid-mixed", "--seed", "-1"],
    "seed of M": ["train-mdnrnn", "--vae", "humanoid", "--data", "humanoid-mixed", "--seed", "-1"],
    "seed of an ensemble": ["train-ensemble", "--data", "humanoid-mixed", "--seed", "-1"],
    "seed of a dream": ["dream", "--world", "humanoid", "--data", "humanoid-mixed", "--seed", "-1"],
    "seed of a search": ["train-controller", "--seed", "-1"],
    "seed of a loop": ["iterate", "--seed", "-1"],
    "seed of a walk": ["walk", "--seed", "-1"],
    "seed of a run": ["smoke", "--seed", "-1"],
    "seed of gathering": ["gather", "--seed", "-1"],
    "weight": ["train-controller", "--healthy-weight", "nan"],
    "sigma": ["train-controller", "--sigma", "nan"],
    "noise": ["iterate", "--param-noise", "nan"],
    "growth": ["walk", "--grow", "nan"],
    "snapshots that never come": ["train-mdnrnn", "--vae", "humanoid", "--data", "humanoid-mixed", "--epochs", "1", "--snapshots", "99"],
    "snapshots before the first": ["train-mdnrnn", "--vae", "humanoid", "--data", "humanoid-mixed", "--epochs", "1", "--snapshots", "-1"],
    "rollouts of no steps": ["train-mdnrnn", "--vae", "humanoid", "--data", "humanoid-mixed", "--own-epochs", "1", "--own-steps", "0"],
    "rows longer than an episode": ["train-mdnrnn", "--vae", "humanoid", "--data", "humanoid-mixed", "--length", "5000"],
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_a_wrong_setting_gets_one_line_and_leaves_nothing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS[name], "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("wmlib: ") and error.count("\n") == 1, error
    assert list(tmp_path.iterdir()) == []


def test_a_negative_seed_of_what_only_looks_is_refused_in_one_line(capsys):
    assert main(["measure", "--world", "humanoid", "--data", "humanoid-mixed", "--seed", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_stages_of_a_run_can_be_read_when_its_folder_looks_like_an_option():
    for stage in whole_runs.stages("smoke", "humanoid", 0, "-x"):
        parser().parse_args(stage.words)


def test_a_world_measured_on_another_body_is_told_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["gather", "--body", "half_cheetah", "--steps", "20", "--out", "cheetah"]) == 0
    assert main(["measure", "--world", "humanoid", "--data", "cheetah"]) == 2
    error = capsys.readouterr().err
    assert "of the body 'humanoid', and these episodes are of 'half_cheetah'" in error
    assert error.count("\n") == 1 and "replayed" not in error


def test_m_is_trained_where_the_held_out_lives_are_too_short_to_be_measured():
    from wmlib import stages

    body = wm.body.get("inverted_pendulum")
    data = wm.gather(body, "random", 60, 0)
    lives = data.select(np.argsort(data.lengths, kind="stable"))  # the first is held out
    assert lives.lengths[0] <= wm.metrics.WATCHED < lives.lengths[-1]
    v = wm.vae.VAE.create(body, lives.physics, config.VAEConfig(z_dim=2, hidden=(4,)))
    how = config.TrainConfig(epochs=1, batch_size=4, jit=False)
    _, trained = stages.fit_mdnrnn(
        v, lives, config.MDNRNNConfig(h_dim=4, n_mix=1), how, length=8, say=None
    )
    assert math.isfinite(trained.log[0]["loss"]) and "ahead_10" not in trained.log[0]


def test_with_one_episode_nothing_is_measured_on_what_was_trained_on_and_one_line_says_so():
    from wmlib import stages

    body = wm.body.get("humanoid")
    one, how = (
        wm.gather(body, "random", 1, 0),
        config.TrainConfig(epochs=1, batch_size=4, jit=False),
    )
    assert len(one) == 1
    said = []
    small = config.VAEConfig(z_dim=2, hidden=(4,))
    v, of_v = stages.fit_vae(one, small, how, say=said.append)
    _, of_m = stages.fit_mdnrnn(
        v, one, config.MDNRNNConfig(h_dim=4), how, length=8, say=said.append
    )
    _, of_e = stages.fit_ensemble(one, config.EnsembleConfig(1, 4), how, say=said.append)
    for trained in (of_v, of_m, of_e):
        assert math.isfinite(trained.log[0]["loss"])
        assert not [key for key in trained.log[0] if key.startswith(("r2", "ahead", "held"))]
    assert [line for line in said if "epoch" not in line.split()] == ["There is one episode: none is held out, and nothing is measured."] * 3  # fmt: skip
    two = stages.fit_vae(wm.gather(body, "random", 60, 0), small, how, say=None)[1]
    assert "r2_qpos" in two.log[0]
