"""A training that was killed, anywhere and often, ends with the same bits as one that was not."""

import dataclasses
import signal
import time

import killable
import numpy as np
import pytest

import wmlib as wm
from wmlib import storage
from wmlib.cli import main
from wmlib.config import TrainConfig
from wmlib.errors import InputError
from wmlib.models import training
from wmlib.models.training import CHECKPOINT


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experience") / "data"
    wm.gather(killable.BODY, "mixed", 400, 0, folder)
    return folder


def seen(marks):
    return marks.read_bytes() if marks.exists() else b""


def wait_for(process, marks, ready):
    """Waits until `ready(marks)`, or the end of the process."""
    while process.is_alive() and not ready(seen(marks)):
        time.sleep(0.0005)


def kill_often(processes, stage, data, folder, kills):
    """Kills a training `kills` times, half of them when a save has just begun; returns how many fell in epochs and in saves."""
    rng = np.random.default_rng(len(stage))
    marks, fell = folder / "marks", {"in an epoch": 0, "in a save": 0}

    def start(run):
        run.mkdir(exist_ok=True)
        marks.unlink(missing_ok=True)
        process = processes.Process(target=killable.run, args=(stage, data, run, marks))
        process.start()
        wait_for(process, marks, lambda m: b"t" in m)
        return process

    process, started = start(folder / "whole"), time.monotonic()
    process.join()
    seconds = time.monotonic() - started
    expected, number = storage.sha256((folder / "whole" / CHECKPOINT).read_bytes()), 0
    while True:
        run = folder / f"run {number}"
        process = start(run)
        if sum(fell.values()) < kills:
            if rng.random() < 0.5:
                nth = int(rng.integers(1, 4))
                wait_for(process, marks, lambda m, nth=nth: m.count(b"s") >= nth)
                time.sleep(rng.uniform(0, 0.003))
            else:
                time.sleep(rng.uniform(0, seconds))
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            fell[
                "in a save" if seen(marks).count(b"s") > seen(marks).count(b"e") else "in an epoch"
            ] += 1
            continue
        assert process.exitcode == 0
        assert storage.sha256((run / CHECKPOINT).read_bytes()) == expected, (
            f"{stage}: other bits after kills: {fell}"
        )
        assert {path.name for path in run.iterdir()} == {CHECKPOINT}, (
            "a killed save left something behind"
        )
        number += 1
        if sum(fell.values()) >= kills:
            return fell, number


@pytest.mark.parametrize("stage", killable.STAGES)
def test_five_kills_change_no_bit(processes, data, tmp_path, stage):
    fell, _ = kill_often(processes, stage, data, tmp_path, 5)
    assert sum(fell.values()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("stage", killable.DEEP)
def test_a_hundred_kills_change_no_bit(processes, data, tmp_path, stage):
    fell, whole = kill_often(processes, stage, data, tmp_path, 100)
    print(f"{stage}: {fell}, {whole} trainings came to their end, all with the same bits")
    assert min(fell.values()) >= 10


def slope(params, batch):
    """The simplest loss: half the squared distance of a line from points."""
    error = params["w"] * batch["x"] - batch["y"]
    total = wm.nets.ops.mean(0.5 * error * error)
    return total, {"error": total}


POINTS = {
    "x": np.linspace(-1, 1, 64, dtype=np.float32),
    "y": 3 * np.linspace(-1, 1, 64, dtype=np.float32),
}
START = {"w": np.zeros((), np.float32)}


def test_a_line_is_learned_and_each_epoch_gets_a_line(capsys):
    trained = training.fit(
        slope, START, POINTS, TrainConfig(epochs=60, batch_size=16, learning_rate=0.1, jit=False)
    )
    assert float(trained.params["w"]) == pytest.approx(3, abs=0.05)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(trained.log) == 60
    assert lines[0].startswith("epoch  1 of 60  loss ")
    assert START["w"] == 0


def test_training_in_parts_is_training_at_once(tmp_path):
    """Stopped by an exception in the middle of an epoch, and gone on with."""
    recipe = TrainConfig(epochs=4, batch_size=16, jit=False)
    whole = training.fit(slope, START, POINTS, recipe, say=None, snapshots=(0, 1, 3))
    calls = []

    def until(n):
        def make_batch(batch, rng):
            calls.append(1)
            if len(calls) == n:
                raise KeyboardInterrupt
            return batch

        return make_batch

    for n in (7, 13):
        with pytest.raises(KeyboardInterrupt):
            training.fit(
                slope,
                START,
                POINTS,
                recipe,
                folder=tmp_path,
                checkpoint_every=1,
                make_batch=until(n),
                snapshots=(0, 1, 3),
                say=None,
            )
    again = training.fit(
        slope, START, POINTS, recipe, folder=tmp_path, snapshots=(0, 1, 3), say=None
    )
    assert again.fingerprint == whole.fingerprint
    assert sorted(again.snapshots) == [0, 1, 3]
    assert (
        training.fit(
            slope, START, POINTS, recipe, folder=tmp_path, snapshots=(0, 1, 3), say=None
        ).fingerprint
        == whole.fingerprint
    )


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_last_good_weights(tmp_path, capsys):
    poisoned = {"x": POINTS["x"].copy(), "y": POINTS["y"].copy()}
    recipe = TrainConfig(epochs=3, batch_size=8, jit=False)
    third = np.random.default_rng([recipe.seed, 1, 0]).permutation(64)[16:24]
    poisoned["y"][third[0]] = np.nan
    trained = training.fit(slope, START, poisoned, recipe, folder=tmp_path)
    assert trained.steps == 1, "the loss after step 2 is not known to be finite"
    assert np.isfinite(trained.params["w"]) and trained.params["w"] != 0
    assert "Training stopped in epoch 1, step 3: 'loss' is nan." in capsys.readouterr().out
    assert (
        storage.from_bytes((tmp_path / CHECKPOINT).read_bytes(), "x")["params/w"]
        == trained.params["w"]
    )


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_weights_that_are_kept_have_a_finite_loss(tmp_path, epochs):
    """Too high a rate: the update before the bad loss made the bad weights."""
    x = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)

    def loss(params, batch):
        total = training.ops.mean(training.ops.exp(training.ops.matmul(batch["x"], params["w"])))
        return total, {}

    start = {"w": np.ones((3, 1), np.float32)}
    recipe = TrainConfig(epochs, 32, 1e3, 1e3, jit=False)
    trained = training.fit(loss, start, {"x": x}, recipe, folder=tmp_path, say=None)
    assert "The last good weights are kept" in trained.stopped
    kept = storage.checkpoint(tmp_path, CHECKPOINT)[1]["params"]["w"]
    assert np.array_equal(kept, trained.params["w"])
    assert np.isfinite(np.exp(x @ kept).mean()) and np.isfinite(kept).all()


def test_no_bit_of_a_checkpoint_can_change_without_a_word(tmp_path):
    recipe = TrainConfig(epochs=1, batch_size=32, jit=False)
    made = training.fit(slope, START, POINTS, recipe, folder=tmp_path, say=None)
    path, rng = tmp_path / CHECKPOINT, np.random.default_rng(0)
    whole, refused = path.read_bytes(), 0
    for place in rng.integers(8 * len(whole), size=150):
        data = bytearray(whole)
        data[place // 8] ^= 1 << (place % 8)
        path.write_bytes(data)
        try:
            again = training.fit(slope, START, POINTS, recipe, folder=tmp_path, say=None)
            assert again.fingerprint == made.fingerprint
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 140


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda call: call.update(recipe=dataclasses.replace(call["recipe"], learning_rate=0.5)),
            "learning_rate 0.001, not 0.5",
        ),
        (lambda call: call["data"].update(y=POINTS["x"]), "other data"),
        (lambda call: call.update(params={"w": np.ones((), np.float32)}), "other first weights"),
        (
            lambda call: (call["folder"] / CHECKPOINT).write_bytes(b"half"),
            "cannot be read as safetensors",
        ),
        (
            lambda call: call.update(data={"x": POINTS["x"], "y": POINTS["y"][:5]}),
            "one and the same number",
        ),
        (lambda call: call.update(data={"x": POINTS["x"][:0]}), "at least 1"),
    ],
)
def test_another_training_in_the_same_folder_is_refused_in_one_line(tmp_path, change, message):
    call = {
        "loss": slope,
        "params": START,
        "data": dict(POINTS),
        "recipe": TrainConfig(epochs=1, batch_size=16, jit=False),
        "folder": tmp_path,
        "say": None,
    }
    training.fit(**call)
    change(call)
    with pytest.raises(InputError, match=message) as caught:
        training.fit(**call)
    assert "\n" not in str(caught.value)


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with (
        storage.locked(tmp_path),
        pytest.raises(InputError, match="Another process is training"),
        storage.locked(tmp_path),
    ):
        pass


def test_the_optimizer_is_adam():
    """Against the equations, in NumPy and float64."""
    recipe = TrainConfig(
        epochs=5,
        batch_size=64,
        learning_rate=0.01,
        final_learning_rate=0.001,
        clip_norm=0.5,
        jit=False,
    )
    trained = training.fit(slope, START, POINTS, recipe, say=None)
    w = first = second = 0.0
    x, y = POINTS["x"].astype(float), POINTS["y"].astype(float)
    for n in range(1, 6):
        grad = ((w * x - y) * x).mean()
        grad *= min(1.0, 0.5 / abs(grad))
        first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2
        rate = 0.001 + 0.5 * 0.009 * (1 + np.cos(np.pi * (n - 1) / 5))
        w -= (
            rate
            * (first / (1 - 0.9**n))
            / (np.sqrt(second / (1 - 0.999**n)) + 1e-8 / np.sqrt(1 - 0.999**n))
        )
    assert float(trained.params["w"]) == pytest.approx(w, rel=1e-4)


def test_the_stages_on_the_command_line_make_a_world_that_is_measured(
    data, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            [
                "train-vae",
                "--data",
                str(data),
                "--out",
                "vae",
                "--epochs",
                "2",
                "--z-dim",
                "8",
                "--batch-size",
                "64",
            ]
        )
        == 0
    )
    assert main(["train-vae", "--data", str(data), "--out", "vae"]) == 2
    words = [
        "train-mdnrnn",
        "--vae",
        "vae",
        "--data",
        str(data),
        "--h-dim",
        "16",
        "--epochs",
        "1",
        "--own-epochs",
        "1",
        "--length",
        "6",
        "--own-steps",
        "3",
    ]
    assert main([*words, "--out", "world", "--snapshots", "0", "1"]) == 0
    assert main(["measure", "--world", "world", "--data", str(data)]) == 2  # it was trained on them
    wm.gather(killable.BODY, "mixed", 400, 1, tmp_path / "fresh")
    assert main(["measure", "--world", "world", "--data", "fresh"]) == 0
    printed = capsys.readouterr()
    assert "vae exists already" in printed.err
    assert (
        "epoch 2 of 2" in printed.out
        and "r2_qpos" in printed.out
        and "ahead_10" in printed.out
        and "copy-last" in printed.out
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        "fresh",
        "vae",
        "world",
        "world-epochs",
    }
    made = wm.load("world")
    assert set(made.facts["log"]) == {"vae", "mdnrnn", "mdnrnn, own 3 steps"}
    assert made.facts["command"].startswith("wmlib train-mdnrnn --vae vae")
    assert sorted(wm.world.load_epochs(made, "world-epochs")) == [0, 1]


def test_an_ensemble_learns_from_stored_episodes_and_names_what_it_learned_from(
    data, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = [
        "train-ensemble",
        "--data",
        str(data),
        "--members",
        "2",
        "--hidden",
        "16",
        "--batch-size",
        "64",
    ]
    assert main([*words, "--epochs", "3", "--out", "e"]) == 0
    assert main([*words, "--epochs", "3", "--out", "e"]) == 2
    printed = capsys.readouterr()
    assert (
        "epoch 3 of 3" in printed.out
        and "held_nll" in printed.out
        and "e exists already" in printed.err
    )
    manifest = wm.storage.read_manifest(tmp_path / "e")
    assert manifest["experience"]["real_steps"] == wm.load(data).n_steps
    nll = [row["held_nll"] for row in manifest["log"]["ensemble"]]
    assert nll[-1] < nll[0]
    assert (wm.load("e").config.members, wm.load("e").config.hidden) == (2, 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train-ensemble", "--data", "DATA", "--out", "e", "--members", "0"], "members is 0"),
        (["train-vae", "--data", "nowhere", "--out", "v"], "There is no artefact 'nowhere'"),
        (["train-vae", "--data", "DATA", "--out", "v", "--view", "pixels"], "no view 'pixels'"),
        (["train-vae", "--data", "DATA", "--out", "v", "--z-dim", "0"], "z_dim is 0"),
        (["train-vae", "--data", "DATA", "--out", "v", "--batch-size", "0"], "batch_size is 0"),
        (
            ["train-mdnrnn", "--vae", "DATA", "--data", "DATA", "--out", "w"],
            "holds 'episodes'; expected 'vae or world'",
        ),
        (
            ["train-vae", "--data", "DATA", "--out", "v", "--epochs", "many"],
            "invalid int value: 'many'",
        ),
    ],
)
def test_wrong_input_gets_one_line(data, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    try:
        code = main([str(data) if word == "DATA" else word for word in words])
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error and error.count("\n") == 1
