"""Foreseeable mistakes get one clear line: what was wrong, what was expected, what to do. Nothing half-written is left."""

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

import wmlib as wm
from wmlib import storage
from wmlib.cli import main
from wmlib.errors import InputError

HUMANOID = wm.body.get("humanoid")


@pytest.fixture(scope="module")
def small_artefact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artefacts") / "experience"
    wm.gather(HUMANOID, "random", 40, 0, folder)
    return folder


@pytest.fixture
def artefact(small_artefact, tmp_path):
    return shutil.copytree(small_artefact, tmp_path / "experience")


def rewrite(folder, name, data):
    """Replaces a file and mends its manifest, so that only the content is wrong."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": storage.sha256(data)}
    (folder / storage.MANIFEST).write_text(json.dumps(manifest))


def rewrite_arrays(folder, **changed):
    with np.load(folder / "episodes.npz") as file:
        arrays = {**file, **changed}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    rewrite(folder, "episodes.npz", buffer.getvalue())


def truncate(folder):
    path = folder / "episodes.npz"
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(folder):
    path = folder / "episodes.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def pickled(folder):
    buffer = io.BytesIO()
    np.savez(buffer, seeds=np.array([{"a": "pickle"}], dtype=object))
    rewrite(folder, "episodes.npz", buffer.getvalue())


def not_a_zip(folder):
    rewrite(folder, "episodes.npz", b"these are not arrays")


def broken_zip(folder):
    """A zip whose manifest agrees, but whose member is damaged."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("seeds.npy", b"\x93NUMPY\x01\x00garbage")
    rewrite(folder, "episodes.npz", buffer.getvalue())


def nan_in_states(folder):
    with np.load(folder / "episodes.npz") as file:
        qpos = file["qpos"].copy()
    qpos[5, 3] = np.nan
    rewrite_arrays(folder, qpos=qpos)


def no_rewards(folder):
    with np.load(folder / "episodes.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "reward"}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    rewrite(folder, "episodes.npz", buffer.getvalue())


def of_another_body(folder):
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    (folder / storage.MANIFEST).write_text(json.dumps({**manifest, "body": "half_cheetah"}))


def of_another_kind(folder):
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    (folder / storage.MANIFEST).write_text(json.dumps({**manifest, "kind": "world"}))


def of_another_schema(folder):
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    (folder / storage.MANIFEST).write_text(json.dumps({**manifest, "schema": 99}))


def half_a_manifest(folder):
    path = folder / storage.MANIFEST
    path.write_bytes(path.read_bytes()[:50])


DAMAGES = [
    (truncate, r"truncated or altered.*Restore it"),
    (flip_a_bit, r"does not match the sha256.*Restore it"),
    (pickled, r"Pickled objects are refused"),
    (not_a_zip, r"cannot be read as plain arrays"),
    (broken_zip, r"cannot be read as plain arrays"),
    (nan_in_states, r"'qpos' .*NaN or infinity, first in row 5"),
    (no_rewards, r"has no array 'reward'"),
    (of_another_body, r"expected \(\d+, 6\)"),
    (of_another_kind, r"holds 'world'; expected 'episodes'"),
    (of_another_schema, r"schema 99; this wmlib reads schema 1"),
    (half_a_manifest, r"cannot be read as JSON"),
    (lambda folder: (folder / storage.MANIFEST).unlink(), r"has no manifest.json"),
    (lambda folder: (folder / "episodes.npz").unlink(), r"episodes.npz is missing"),
    (shutil.rmtree, r"There is no folder"),
]


@pytest.mark.parametrize(
    ("damage", "message"), DAMAGES, ids=[message[:30] for _, message in DAMAGES]
)
def test_a_damaged_artefact_is_refused_in_one_line(artefact, damage, message):
    damage(artefact)
    with pytest.raises(InputError, match=message) as caught:
        wm.load(artefact, "episodes")
    assert "\n" not in str(caught.value)


def a_policy_that_gives(action):
    return lambda obs, state: (np.full((len(obs), 17), action), state)


def roll(policy, seeds=(0,), **sizes):
    wm.rollout(HUMANOID, policy, seeds, max_steps=sizes.pop("max_steps", 5), **sizes)


ZERO = wm.policies.zero_action(HUMANOID)
MISTAKES = {
    "an unknown body, nearly right": (
        lambda: wm.body.get("humanid"),
        r"no body 'humanid'; there are: .*Did you mean 'humanoid'\?",
    ),
    "Gymnasium's id for a body": (lambda: wm.body.get("Humanoid-v5"), r"Did you mean 'humanoid'\?"),
    "an unknown body": (
        lambda: wm.body.get("zeppelin"),
        r"no body 'zeppelin'; there are: humanoid",
    ),
    "observations of v4": (
        lambda: HUMANOID.state(np.zeros((3, 376))),
        r"has 348 numbers .*got 376.*v4.*gather again with Humanoid-v5",
    ),
    "a single number": (lambda: HUMANOID.state(np.float64(3)), r"got no"),
    "NaN in an observation": (
        lambda: HUMANOID.poses(np.full((4, 348), np.nan)),
        r"NaN or infinity, first at \(0, 0\)",
    ),
    "NaN in an action": (
        lambda: roll(a_policy_that_gives(np.nan)),
        r"action that is NaN or infinite, first in row 0",
    ),
    "infinity in an action": (lambda: roll(a_policy_that_gives(np.inf)), r"NaN or infinite"),
    "actions of a wrong shape": (
        lambda: roll(lambda obs, state: (np.zeros(17), state)),
        r"shape \(17,\); humanoid needs \(1, 17\)",
    ),
    "zero episodes side by side": (
        lambda: roll(ZERO, batch=0),
        r"batch is 0; expected a whole number of at least 1",
    ),
    "fewer than no threads": (lambda: roll(ZERO, threads=-2), r"threads is -2; expected"),
    "no steps": (lambda: roll(ZERO, max_steps=0), r"max_steps is 0; expected"),
    "a negative seed": (lambda: roll(ZERO, seeds=(-1,)), r"seed of an episode is -1; expected"),
    "more steps than the seeds give": (
        lambda: roll(ZERO, seeds=range(3), min_steps=10_000),
        r"seeds ran out after 3 episodes",
    ),
    "gathering no steps": (
        lambda: wm.gather(HUMANOID, "random", 0, 0),
        r"0 steps were asked for",
    ),
    "gathering with an unknown policy": (
        lambda: wm.gather(HUMANOID, "ppo", 10, 0),
        r"no policy 'ppo'; there are: random",
    ),
    "a run seed out of range": (
        lambda: wm.gather(HUMANOID, "random", 10, 1000),
        r"expected a whole number from 0 to 999",
    ),
    "laying nothing end to end": (lambda: wm.episodes.Episodes.of(HUMANOID, []), r"no episodes"),
    "windows of no steps": (lambda: shipped().windows(0), r"length 0 .*at least 1"),
    "windows over the wrong states": (
        lambda: shipped().windows(5, states=np.zeros((3, 2))),
        r"has 3 rows; expected \d+",
    ),
    "a split that leaves a part empty": (
        lambda: shipped().select([0, 1]).split(0.9, 0.05, 0.05),
        r"one would be empty",
    ),
    "a split that does not add up": (lambda: shipped().split(0.5, 0.6), r"add up to 1"),
    "width 376 in stored episodes": (
        lambda: dataclasses.replace(
            shipped(), obs=np.zeros((shipped().n_steps + len(shipped()), 376))
        ),
        r"376 numbers is the v4",
    ),
    "an artefact that is not there": (
        lambda: wm.load("humanoid-walking"),
        r"no artefact 'humanoid-walking'.*which has: .*humanoid-mixed",
    ),
}


def shipped():
    return wm.load("humanoid-mixed")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line(mistake):
    act, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_an_unknown_scale_is_named_with_the_nearest(monkeypatch):
    monkeypatch.setenv("WM_SCALE", "smal")
    with pytest.raises(
        InputError, match=r"expected one of smoke, small, large\. Did you mean 'small'\?"
    ):
        wm.scale()


def test_a_missing_data_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("WM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"data folder is missing: .*nowhere.*set WM_DATA"):
        wm.load("humanoid-mixed")


COMMANDS = {
    "an unknown body": (["--body", "humanid", "--out", "new"], 2, r"Did you mean 'humanoid'\?"),
    "no steps": (["--steps", "0", "--out", "new"], 2, r"0 steps were asked for"),
    "a negative number of steps": (["--steps", "-5", "--out", "new"], 2, r"-5 steps were asked for"),
    "steps that are no number": (["--steps", "many", "--out", "new"], 2, r"invalid int value: 'many'"),
    "no workers": (["--workers", "0", "--out", "new"], 2, r"0 workers were asked for"),
    "no folder": ([], 2, r"required: --out"),
    "a folder that exists": (["--out", "taken"], 2, r"taken exists already. Nothing was overwritten"),
    "a folder inside a file": (["--out", "file/new"], 2, r"Cannot write in file: .*may write"),
    "a folder where nobody may write": (["--out", "/proc/new"], 2, r"Cannot write in /proc"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_wrong_command_gets_one_line_and_leaves_no_file(mistake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("not a folder")
    before = sorted(tmp_path.rglob("*"))
    words, code, message = COMMANDS[mistake]
    try:
        assert main(["gather", "--steps", "20", *words]) == code
    except SystemExit as left:
        assert left.code == code
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert error.startswith("wmlib")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_gets_one_line_and_leaves_no_file(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "npz", full)
    assert main(["gather", "--steps", "20", "--out", str(tmp_path / "new")]) == 1
    assert re.fullmatch(
        r"wmlib: .*No space left on device.*Nothing half-written was left\.\n",
        capsys.readouterr().err,
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["Ctrl-C", "SIGTERM", "SIGKILL"]
)
def test_a_gathering_that_is_stopped_leaves_no_artefact_that_looks_whole(how, tmp_path):
    command = [
        sys.executable,
        "-m",
        "wmlib",
        "gather",
        "--steps",
        "200000",
        "--out",
        str(tmp_path / "new"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(how)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "new").exists()
    if how is not signal.SIGKILL:  # nobody can tidy up after that
        assert not list(tmp_path.iterdir())
        assert error.strip() == "wmlib: interrupted. Nothing half-written was left."
        assert process.returncode == 130


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "row.csv"
    storage.write_atomic(path, b"old")

    def crash(_):
        raise OSError("the disk went away")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="went away"):
        storage.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
