"""Damage that is drawn, in every file of everything that is opened, also of what a run leaves under way: refused in one line, or what is opened was looked at.

A sample in the gate, all of it in `make slow`. (Damage that is named, and what it is called: tests/test_damage.py.)
"""

import io
import json
import random
import shutil
import zipfile

import numpy as np
import pytest

import wmlib as wm
from wmlib import results, storage, whole
from wmlib.config import (
    EnsembleConfig,
    MDNRNNConfig,
    StructuredConfig,
    TrainConfig,
    VAEConfig,
)
from wmlib.control.controller import Controller, Linear
from wmlib.dream import rounds
from wmlib.errors import InputError
from wmlib.models import mdnrnn, training
from wmlib.models.ensemble import Ensemble
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.structured import StructuredEnsemble
from wmlib.models.vae import VAE
from wmlib.models.world import Epochs, WorldModel, load_epochs
from wmlib.ppo import Ppo

BODY = wm.body.get("humanoid")
KINDS = ("episodes", "vae", "world", "epochs", "ensemble", "structured", "controller", "ppo")
RUNS = ("training", "search", "rounds", "rows", "run")
ODD = (None, 3, -1, 2.5, True, "x", "\x00", [], [3], {}, {"a": [1]}, float("nan"), float("inf"), 10**30)  # fmt: skip


def slope(params, batch):
    return training.ops.mean((batch["x"] * params["w"] - batch["x"]) ** 2), {}


RECIPE = TrainConfig(epochs=1, batch_size=8, jit=False)
TABLE = {"x": np.arange(16, dtype=np.float32)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small one of everything that is opened, and what opens it."""
    folder = tmp_path_factory.mktemp("made")
    data = wm.gather(BODY, "random", 60, 0, folder / "episodes")
    v = VAE.create(BODY, data.physics, VAEConfig(z_dim=3, hidden=(4,)))
    m = MDNRNN.create(BODY, mdnrnn.sequences(v, data, 8), MDNRNNConfig(h_dim=4, n_mix=2))
    world = WorldModel(BODY, v, m)
    v.save(folder / "vae", seconds=1, body=BODY.name)
    world.save(folder / "world", seconds=1)
    Epochs(world, {0: m.params}).save(folder / "epochs", seconds=1)
    Ensemble.create(BODY, data, EnsembleConfig(2, 4)).save(folder / "ensemble", seconds=1)
    structured = StructuredEnsemble.create(data, StructuredConfig(2, 4, 2))
    structured.save(folder / "structured", seconds=1)
    facts = {"seed": 0, "budget": 9, "real_steps": 9, "search": {"strategy": "s"}}
    Controller(Linear(BODY)).save(folder / "controller", seconds=1, **facts)
    layer = {"0.kernel": np.ones((5, 17)), "0.bias": np.ones(17), "mean": np.ones(5), "std": np.ones(5)}  # fmt: skip
    arrays = {name: array.astype(np.float32) for name, array in layer.items()}
    Ppo(BODY, arrays, {"activation": "tanh"}).save(folder / "ppo", seconds=1, activation="tanh")
    for name in RUNS:
        (folder / name).mkdir()
    start = {"w": np.ones((), np.float32)}
    training.fit(slope, start, TABLE, RECIPE, folder=folder / "training", say=None)
    arrays = {"strategy/mean": np.ones(3), "moments/n": np.ones(())}
    storage.write_checkpoint(folder / "search" / "checkpoint.safetensors", arrays, {"steps": 3})
    rounds.write(folder / "rounds", 1, data, {"c": storage.to_bytes({"params": np.ones(3)})}, {"loop": {"seed": 0}, "log": [1]})  # fmt: skip
    row = results.Row("humanoid", "m", "c", 0, 9, 9, "test", 5, 1.5, 2.5, 3.5, "f", "wmlib x", 4.5)
    results.append(folder / "rows" / "rows.csv", row)
    with whole.begun("smoke", "humanoid", 0, folder / "run" / "run", True):
        pass

    def rounds_of(at):
        about, experience, read = rounds.read(at, BODY, "loop", {"seed": 0})
        assert {key: about[key] for key in ("loop", "log", "rounds")} == {"loop": {"seed": 0}, "log": [1], "rounds": 1}  # fmt: skip
        assert np.array_equal(experience[0].qpos, data.qpos)
        assert storage.from_bytes(*read("c"))["params"].tolist() == [1, 1, 1]

    def training_of(at):
        assert training.fit(slope, start, TABLE, RECIPE, folder=at, say=None).steps == 2

    def search_of(at):
        about, parts = storage.checkpoint(at, "checkpoint.safetensors")
        assert about["steps"] == 3
        assert parts["strategy"]["mean"].tolist() == [1, 1, 1]

    def run_of(at):
        with whole.begun("smoke", "humanoid", 0, at / "run", True):
            pass

    opens = {name: wm.load for name in KINDS} | {
        "epochs": lambda at: load_epochs(world, at), "training": training_of, "search": search_of, "rounds": rounds_of,
        "rows": lambda at: results.table(results.read(at / "rows.csv")), "run": run_of,
    }  # fmt: skip
    return folder, opens


def copied(made, name, tmp_path):
    return shutil.copytree(made[0] / name, tmp_path / "it", dirs_exist_ok=True)


def rewrite(folder, name, data):
    """Replaces a file; a manifest, if there is one, agrees."""
    (folder / name).write_bytes(data)
    if (path := folder / storage.MANIFEST).exists() and path != folder / name:
        manifest = json.loads(path.read_text())
        manifest["files"][str(name)] = {"bytes": len(data), "sha256": storage.sha256(data)}
        path.write_text(json.dumps(manifest))


def files(folder):
    return [
        path.relative_to(folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    ]


def refused(act, folder):
    """Whether it is refused, in one line and in no other way; what is opened instead has been looked at by what opens it."""
    try:
        with np.errstate(all="ignore"):
            act(folder)
    except InputError as error:
        assert "\n" not in str(error), str(error)
        return True
    return False


def truncated(data, rng):
    return data[: rng.randrange(len(data))]


def flipped(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def flipped_in_front(data, rng):
    """Where headers are."""
    return flipped(data[:200], rng) + data[200:]


def torn(data, rng):
    """Another process wrote into the middle of it."""
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(64) + data[at + 64 :]


def another_zip(data, rng):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as file:  # fmt: skip
        for name in rng.sample(["qpos.npy", "a/b", "seeds.npy", "[Content_Types].xml"], 2):
            file.writestr(name, rng.choice([b"", b"\x93NUMPY\x01\x00", b"text", bytes(99)]))
    return buffer.getvalue()


def other_shapes(data, rng):
    """Safetensors, or arrays, of names and types that nobody asked for."""
    shape = rng.choice([(), (0,), (1,), (2, 3), (1, 1, 1)])
    array = np.zeros(shape, rng.choice(["f4", "f8", "i8", "?", "f2"]))
    arrays = {name: array for name in ("params", "mean", "qpos", "seeds", "stats.mean", "0.bias")}
    return rng.choice([storage.npz, storage.to_bytes])(arrays)


DAMAGES = (truncated, flipped, flipped_in_front, torn, another_zip, other_shapes)


def damage(made, name, tmp_path, each):
    """Damages every file of an artefact, `each` times in each way, while its manifest agrees. Returns counts: refused, opened."""
    counts, folder = [0, 0], copied(made, name, tmp_path)
    for file in files(made[0] / name):
        whole_file = (made[0] / name / file).read_bytes()
        for kind in DAMAGES:
            rng = random.Random(f"{name} {file} {kind.__name__}")
            for _ in range(each):
                shutil.rmtree(folder)
                copied(made, name, tmp_path)
                changed = kind(whole_file, rng)
                rewrite(folder, file, changed) if changed != whole_file else None
                counts[not refused(made[1][name], folder)] += 1
    return counts


@pytest.mark.parametrize("name", KINDS + RUNS)
def test_what_is_whole_is_opened(made, name, tmp_path):
    assert not refused(made[1][name], copied(made, name, tmp_path))


@pytest.mark.parametrize("name", KINDS + RUNS)
def test_a_sample_of_damage_is_refused_in_one_line(made, name, tmp_path):
    bad, opened = damage(made, name, tmp_path, 1)
    assert bad > opened


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS + RUNS)
def test_all_damage_is_refused_in_one_line(made, name, tmp_path):
    bad, opened = damage(made, name, tmp_path, 40)
    print(f"{name}: {bad} refused, {opened} opened whole or with other numbers")
    assert bad > opened


@pytest.mark.parametrize("name", ["training", "search", "rounds"])
def test_no_flipped_bit_of_a_checkpoint_goes_unseen(made, name, tmp_path):
    """Everything in a run folder has a sum: whatever is flipped is refused."""
    for file in files(made[0] / name):
        data = (made[0] / name / file).read_bytes()
        for at in np.linspace(0, len(data) - 1, 12).astype(int):
            folder = copied(made, name, tmp_path)
            (folder / file).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert refused(made[1][name], folder), (file, at)


def odd_manifests(manifest, values):
    """One odd value in one place, everywhere."""
    for value in values:
        for key in manifest:
            yield {**manifest, key: value}
        for file, facts in manifest["files"].items():
            yield {**manifest, "files": {**manifest["files"], file: value}}
            for key in facts:
                changed = {**facts, key: value}
                yield {**manifest, "files": {**manifest["files"], file: changed}}
    for key in manifest:
        yield {name: value for name, value in manifest.items() if name != key}
    yield from values


def manifests(made, name, tmp_path, values):
    """Opens an artefact with each odd manifest. Returns counts: refused, opened."""
    folder = copied(made, name, tmp_path)
    whole_one, counts = json.loads((folder / storage.MANIFEST).read_text()), [0, 0]
    for changed in odd_manifests(whole_one, values):
        (folder / storage.MANIFEST).write_text(json.dumps(changed))
        counts[not refused(made[1][name], folder)] += 1
    return counts


@pytest.mark.parametrize("name", KINDS)
def test_a_manifest_with_a_number_for_a_text_is_refused_or_the_text_is_not_needed(
    made, name, tmp_path
):
    assert manifests(made, name, tmp_path, [3])[0] >= 9


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_all_manifests_with_odd_values_are_refused_in_one_line_or_they_are_not_needed(
    made, name, tmp_path
):
    bad, opened = manifests(made, name, tmp_path, ODD)
    print(
        f"{name}: {bad} odd manifests refused, {opened} opened, where the odd value says nothing about what is in it"
    )
    assert bad >= 40


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("body", ["half_cheetah", "hopper", "inverted_pendulum", "zeppelin"])
def test_what_is_said_to_be_of_another_body_is_refused(made, name, body, tmp_path):
    folder = copied(made, name, tmp_path)
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    (folder / storage.MANIFEST).write_text(json.dumps({**manifest, "body": body}))
    assert refused(made[1][name], folder)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_what_is_said_to_be_another_kind_is_refused(made, name, other, tmp_path):
    if name == other or (name, other) == ("world", "vae"):
        return  # a world's V can be opened by itself
    folder = copied(made, name, tmp_path)
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    kind = json.loads((made[0] / other / storage.MANIFEST).read_text())["kind"]
    (folder / storage.MANIFEST).write_text(json.dumps({**manifest, "kind": kind}))
    assert refused(made[1][other], folder)


@pytest.mark.parametrize("shape", [(), (0,), (45, 1)])
def test_a_policy_of_ppo_whose_means_are_no_row_is_refused(made, shape, tmp_path):
    folder = copied(made, "ppo", tmp_path)
    arrays = storage.from_bytes((folder / "policy.safetensors").read_bytes(), "it")
    odd = storage.to_bytes({**arrays, "mean": np.zeros(shape, np.float32)})
    rewrite(folder, "policy.safetensors", odd)
    with pytest.raises(InputError, match="holds no policy for humanoid"):
        wm.load(folder)


def test_a_zip_that_is_cut_while_its_manifest_agrees_is_refused_in_one_line(made, tmp_path):
    folder = copied(made, "episodes", tmp_path)
    rewrite(folder, "episodes.npz", (folder / "episodes.npz").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"^\S+episodes.npz cannot be read as plain arrays"):
        wm.load(folder)
