"""C: sizes, equation (5.1), rows that know nothing of each other, and an artefact that is checked before it is used."""

import json

import numpy as np
import pytest

import wmlib as wm
from wmlib import storage
from wmlib.control import controller
from wmlib.control.controller import Controller, Linear
from wmlib.errors import InputError

BODY = wm.body.get("humanoid")
RNG = np.random.default_rng(0)


def test_the_numbers_of_parameters_are_those_of_the_book():
    sizes = {
        "physics": Linear(BODY),
        "obs": Linear(BODY, "obs"),
        "z": Linear(BODY, "z", 32),
        "z and h of 64": Linear(BODY, "zh", 96),
        "z and h of 256": Linear(BODY, "zh", 288),
    }
    assert {name: linear.n_params for name, linear in sizes.items()} == {
        "physics": 782,
        "obs": 5_933,
        "z": 561,
        "z and h of 64": 1_649,
        "z and h of 256": 4_913,
    }
    for linear in sizes.values():
        W_c, b_c = linear.unpack(np.zeros((4, 2, linear.n_params)))
        assert (W_c.shape, b_c.shape) == ((4, 2, 17, linear.n_features), (4, 2, 17))


def test_an_action_is_the_equation():
    low, high = BODY.action_low.astype(float), BODY.action_high.astype(float)
    mean, std = RNG.standard_normal((2, 45)).astype(np.float32).astype(float)
    linear = Linear(BODY, mean=mean, std=np.abs(std) + 0.5)
    params, obs = RNG.standard_normal(782), RNG.standard_normal((6, 348))
    W_c, b_c = params[: 17 * 45].reshape(17, 45), params[17 * 45 :]
    by_hand = [
        (high + low) / 2
        + (high - low) / 2 * np.tanh(W_c @ ((row[:45] - linear.mean) / linear.std) + b_c)
        for row in obs
    ]
    assert np.allclose(linear.act(params[None], linear.select(obs)[None])[0], by_hand, atol=1e-12)


def test_actions_stay_in_the_bodys_own_box_and_zero_weights_do_nothing():
    linear = Linear(BODY)
    actions = linear.act(100 * RNG.standard_normal((5, 782)), RNG.standard_normal((5, 3, 45)))
    assert actions.shape == (5, 3, 17)
    assert (actions >= BODY.action_low).all() and (actions <= BODY.action_high).all()
    assert np.abs(actions).max() == pytest.approx(0.4)
    assert not Controller(linear)(RNG.standard_normal((3, 348)))[0].any()


@pytest.mark.parametrize("features", ["physics", "obs"])
def test_no_row_depends_on_who_else_is_in_the_batch(features):
    linear = Linear(BODY, features)
    params, x = (
        RNG.standard_normal((33, linear.n_params)),
        RNG.standard_normal((33, 5, linear.n_features)),
    )
    whole = linear.act(params, x)
    for p, n in [(0, 0), (7, 4), (32, 2)]:
        assert np.array_equal(
            linear.act(params[p : p + 1], x[p : p + 1, n : n + 1])[0, 0], whole[p, n]
        )
    some = RNG.permutation(33)[:10]
    assert np.array_equal(linear.act(params[some], x[some]), whole[some])
    assert np.array_equal(linear.act(params[3:4], x[3:4])[0], whole[3])


def test_a_constant_feature_is_0_and_a_spike_is_held():
    linear = Linear(BODY, mean=np.full(45, 2.0), std=np.r_[0.0, np.full(44, 0.5)])
    x = linear.standardize(np.r_[5.0, 1e9, np.full(43, 2.5)])
    assert x.tolist() == [0.0, controller.CLIP, *[1.0] * 43]


def test_a_saved_controller_comes_back_with_the_same_bits_and_its_facts(tmp_path):
    linear = Linear(BODY, mean=RNG.standard_normal(45), std=np.abs(RNG.standard_normal(45)))
    made = Controller(linear, RNG.standard_normal(782))
    made.save(
        tmp_path / "c",
        seconds=1.23,
        seed=4,
        command="wmlib ...",
        log=[{"generation": 0, "best": 1.5}],
    )
    again = wm.load(tmp_path / "c")
    obs = RNG.standard_normal((9, 348))
    assert np.array_equal(again(obs)[0], made(obs)[0])
    assert again.fingerprint == made.fingerprint
    assert (
        again.facts["seed"],
        again.facts["seconds"],
        again.facts["log"],
        again.facts["features"],
    ) == (4, 1.2, [{"generation": 0, "best": 1.5}], "physics")


def test_a_controller_on_a_worlds_features_names_its_world(tmp_path):
    made = Controller(Linear(BODY, "zh", 96))
    with pytest.raises(InputError, match="belongs to a world; name its fingerprint"):
        made.save(tmp_path / "c", seconds=1)
    made.save(tmp_path / "c", seconds=1, world="abc")
    assert wm.load(tmp_path / "c").facts["world"] == "abc"
    with pytest.raises(InputError, match="'zh' come from a world"):
        made(np.zeros((1, 348)))


def in_manifest(**changed):
    def change(folder):
        path = folder / storage.MANIFEST
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    return change


def in_file(**changed):
    def change(folder):
        arrays = {
            name: np.zeros(n, np.float32)
            for name, n in (("params", 782), ("mean", 45), ("std", 45))
        }
        data = storage.to_bytes(
            {name: array for name, array in {**arrays, **changed}.items() if array is not None}
        )
        (folder / controller.FILE).write_bytes(data)
        in_manifest(files={controller.FILE: {"bytes": len(data), "sha256": storage.sha256(data)}})(
            folder
        )

    return change


DAMAGES = {
    "another kind": (in_manifest(kind="world"), r"holds 'world'; expected 'controller'"),
    "another body": (
        in_manifest(body="half_cheetah"),
        r"45 features 'physics' was asked for; expected 17",
    ),
    "an unknown body": (in_manifest(body="spider"), r"no body 'spider'"),
    "unknown features": (in_manifest(features="pixels"), r"no features 'pixels'"),
    "no number of features": (in_manifest(n_features="many"), r"sees 'many' features"),
    "a huge number of features": (
        in_manifest(features="z", n_features=10**12),
        r"sees 1000000000000 features",
    ),
    "another number of features": (
        in_manifest(features="z", n_features=46),
        r"'mean' .*has shape \(45,\).*expected \(46,\)",
    ),
    "too few weights": (
        in_file(params=np.zeros(781, np.float32)),
        r"'params' .*has shape \(781,\).*expected \(782,\)",
    ),
    "no weights": (in_file(params=None), r"has no array 'params'"),
    "NaN": (in_file(params=np.full(782, np.nan, np.float32)), r"'params' .*holds NaN"),
    "other weights": (in_file(), r"names another controller"),
    "a flipped bit": (
        lambda folder: (folder / controller.FILE).write_bytes(
            (folder / controller.FILE).read_bytes()[:-1] + b"\1"
        ),
        r"does not match the sha256",
    ),
    "no file": (
        lambda folder: (folder / controller.FILE).unlink(),
        r"controller.safetensors is missing",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_controller_is_refused_in_one_line(tmp_path, damage):
    change, message = DAMAGES[damage]
    Controller(Linear(BODY), RNG.standard_normal(782)).save(tmp_path / "c", seconds=1)
    change(tmp_path / "c")
    with pytest.raises(InputError, match=message) as caught:
        wm.load(tmp_path / "c", "controller")
    assert "\n" not in str(caught.value)


MISTAKES = {
    "features that there are not": (
        lambda: Linear(BODY, "pixels"),
        r"no features 'pixels'; there are: physics, obs, frame, z, zh",
    ),
    "z without a size": (lambda: Linear(BODY, "z"), r"0 features 'z' .*expected at least 1"),
    "physics of a wrong size": (
        lambda: Linear(BODY, "physics", 348),
        r"348 features 'physics' .*expected 45",
    ),
    "a mean of a wrong size": (
        lambda: Linear(BODY, mean=np.zeros(44)),
        r"'mean' .*shape \(44,\); expected 45",
    ),
    "a std with NaN": (lambda: Linear(BODY, std=np.full(45, np.nan)), r"'std' .*finite numbers"),
    "parameters of a wrong size": (
        lambda: Controller(Linear(BODY), np.zeros(7)),
        r"782 finite parameters; got an array of shape \(7,\)",
    ),
    "parameters with NaN": (
        lambda: Controller(Linear(BODY), np.full(782, np.nan)),
        r"782 finite parameters",
    ),
    "a population of a wrong size": (
        lambda: Linear(BODY).act(np.zeros((2, 7)), np.zeros((2, 1, 45))),
        r"has 782 parameters; got an array of shape \(2, 7\)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line(mistake):
    act, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)
