"""Whatever is opened and damaged is refused in one line: a sample in the gate, the whole corpus in `make slow`."""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest

import wmlib as wm
from wmlib import storage
from wmlib.control.controller import Controller, Linear
from wmlib.errors import InputError
from wmlib.models.ensemble import Ensemble
from wmlib.models.vae import VAE

BODY = wm.body.get("humanoid")
KINDS = ("episodes", "vae", "world", "ensemble", "controller", "structured")
MANIFEST = storage.MANIFEST


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """A small artefact of each kind."""
    top = tmp_path_factory.mktemp("whole")
    wm.gather(BODY, "random", 40, 0, top / "episodes")
    data = wm.load(top / "episodes")
    VAE.create(BODY, data.physics, wm.config.VAEConfig(z_dim=4, hidden=(8,))).save(top / "vae", body="humanoid", seconds=1)  # fmt: skip
    Ensemble.create(BODY, data, wm.config.EnsembleConfig(2, 8)).save(top / "ensemble", seconds=1)
    Controller(Linear(BODY), np.zeros(782)).save(top / "controller", seconds=1)
    for kind, shipped in {"world": "humanoid-world", "structured": "humanoid-walk-model"}.items():
        shutil.copytree(storage.find(shipped), top / kind)
    return top


def agree(folder):
    """Makes the manifest agree with the files, so that only their content is wrong."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(data), "sha256": storage.sha256(data)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def file_of(folder):
    return min(path for path in folder.iterdir() if path.name != MANIFEST)


def cut(share, agreeing=True):
    def act(folder, rng):
        path = file_of(folder)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)] if share < 1 else data[:-100])
        agree(folder) if agreeing else None

    return act


def flipped(folder, rng):
    """Some bits of the file's head or tail, where it says what it holds."""
    path = file_of(folder)
    data = bytearray(path.read_bytes())
    for _ in range(3):
        at = (
            int(rng.integers(300)) if rng.random() < 0.5 else len(data) - 1 - int(rng.integers(300))
        )
        data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    agree(folder)


def flipped_alone(folder, rng):
    path = file_of(folder)
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def holding(make):
    def act(folder, rng):
        file_of(folder).write_bytes(make(rng))
        agree(folder)

    return act


def foreign_zip(names):
    def make(rng):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            for name in names:
                file.writestr(name, b"hello")
        return buffer.getvalue()

    return make


def saying(key, value):
    def act(folder, rng):
        manifest = json.loads((folder / MANIFEST).read_text())
        if key == "files":
            value_now = dict.fromkeys(manifest["files"], value) if value != "all" else value
        else:
            value_now = value
        (folder / MANIFEST).write_text(json.dumps({**manifest, key: value_now}))

    return act


def raw_manifest(data):
    return lambda folder, rng: (folder / MANIFEST).write_bytes(data)


FACTS = ("body", "kind", "seed", "seconds", "search", "experience", "log", "files")
DAMAGES = {
    **{f"cut to {share}": cut(share) for share in (0, 0.01, 0.5, 0.9, 1)},
    "cut, and the manifest does not know": cut(0.5, agreeing=False),
    "a bit, and the manifest does not know": flipped_alone,
    **{f"bits, {number}": flipped for number in range(20)},
    "text": holding(lambda rng: b"these are not arrays"),
    "noise": holding(lambda rng: rng.bytes(4096)),
    "a foreign zip": holding(foreign_zip(["readme.txt"])),
    "a zip with the right names": holding(foreign_zip(storage_names := ["seeds", "lengths", "terminated", "truncated", "action", "reward", "qpos", "qvel"])),
    "a zip of no arrays": holding(foreign_zip([f"{name}.npy" for name in storage_names])),
    "arrays of another shape": holding(lambda rng: storage.npz({name: np.zeros((2, 2)) for name in storage_names})),
    "arrays of text": holding(lambda rng: storage.npz({name: np.array(["a"]) for name in storage_names})),
    "weights of something else": holding(lambda rng: storage.to_bytes({"w": np.zeros(3, np.float32)})),
    "weights that are NaN": holding(lambda rng: storage.to_bytes({"w": np.full(3, np.nan, np.float32)})),
    "a header without end": holding(lambda rng: (2**62).to_bytes(8, "little") + b"{}"),
    **{f"{key} is {value!r}": saying(key, value) for key in FACTS for value in (3.5, "half_cheetah", [1], {"a": 1}, True) if not (key == "log" and value in ([1], {"a": 1})) and not (key == "seconds" and value in (3.5, True)) and not (key == "seed" and value is True) and not (key in ("search", "experience") and value == {"a": 1})},
    "no body": saying("body", None),
    "an unknown kind": saying("kind", "zeppelin"),
    "a manifest that is a list": raw_manifest(b"[]"),
    "a manifest that is a number": raw_manifest(b"3"),
    "a deep manifest": raw_manifest(b"[" * 100_000),
    "an empty manifest": raw_manifest(b""),
    "a manifest of bytes": raw_manifest(b"\xff\xfe\x00\x00"),
}  # fmt: skip
HARMLESS = (
    "bits",
)  # a bit of padding, of a time stamp or of a last digit changes nothing that counts
SAMPLE = [(kind, name) for number, name in enumerate(DAMAGES) for kind in [KINDS[number % 2 * 4]]][
    ::3
]


def refused(kind, name, wholes, folder):
    shutil.copytree(wholes / kind, folder)
    DAMAGES[name](folder, np.random.default_rng(list(DAMAGES).index(name)))
    try:
        wm.load(folder, kind)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 900, str(error)
        return True
    return False


@pytest.mark.parametrize(("kind", "name"), SAMPLE)
def test_what_is_damaged_is_refused_in_one_line(kind, name, wholes, tmp_path):
    assert refused(kind, name, wholes, tmp_path / "it") or name.startswith(HARMLESS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_corpus_is_refused_in_one_line(kind, wholes, tmp_path):
    count = 0
    for number, name in enumerate(DAMAGES):
        count += (done := refused(kind, name, wholes, tmp_path / str(number)))
        assert done or name.startswith(HARMLESS), name
        shutil.rmtree(tmp_path / str(number))
    assert count >= len(DAMAGES) - 20


@pytest.mark.parametrize("kind", KINDS)
def test_an_artefact_is_not_opened_as_another_kind(kind, wholes):
    other = next(one for one in KINDS if one != kind)
    with pytest.raises(InputError, match=f"holds '{kind}'; expected '{other}'"):
        wm.load(wholes / kind, other)


def test_strict_json_has_no_word_for_infinity_and_reads_what_older_files_have():
    text = storage.dumps({"a": [float("inf"), 1.5], "b": (float("nan"),), "c": "x"})
    assert text == '{"a": [null, 1.5], "b": [null], "c": "x"}'
    assert storage.loads('{"doubt": Infinity, "x": -Infinity, "y": NaN}') == dict.fromkeys(
        ("doubt", "x", "y")
    )
    assert wm.config.EvolveConfig().about()["dream"]["max_disagreement"] is None
    json.loads(storage.dumps(wm.config.LoopConfig().about()), parse_constant=pytest.fail)


def test_every_manifest_that_is_shipped_is_strict_json():
    found = list(storage.data_folder().rglob("*.json"))
    assert len(found) >= 10
    for path in found:
        json.loads(path.read_bytes(), parse_constant=pytest.fail)
