"""Every stage of the command line, killed outright anywhere and often, comes with the same command to the same bits, and loses nothing."""

import csv
import json
import os
import shutil
import signal
import time
from pathlib import Path

import killable_stage
import numpy as np
import pytest

from wmlib import storage
from wmlib.cli import main
from wmlib.storage import SPENT

DREAM = [
    "--generations",
    "6",
    "--popsize",
    "6",
    "--episodes",
    "2",
    "--horizon",
    "15",
    "--seed",
    "1",
]
STAGES = {  # stage -> its words; `made` holds what earlier stages made
    "gather": ["gather", "--steps", "1500", "--policy", "mixed", "--out", "out"],
    "train-vae": ["train-vae", "--data", "../made/data", "--epochs", "4", "--z-dim", "8", "--batch-size", "64", "--out", "out"],
    "train-mdnrnn": ["train-mdnrnn", "--vae", "../made/vae", "--data", "../made/data", "--epochs", "3", "--h-dim", "16", "--length", "8", "--batch-size", "8", "--out", "out"],
    "train-ensemble": ["train-ensemble", "--data", "../made/data", "--epochs", "6", "--hidden", "16", "--batch-size", "64", "--out", "out"],
    "train-controller": ["train-controller", "--steps", "1200", "--popsize", "6", "--max-steps", "20", "--check-every", "3", "--check-episodes", "2", "--marks", "600", "--out", "out"],
    "dream": ["dream", "--world", "../made/ensemble", "--data", "../made/data", *DREAM, "--out", "out"],
    "dream in V and M": ["dream", "--world", "../made/world", "--data", "../made/data", "--features", "z", *DREAM, "--out", "out"],
    "iterate": ["iterate", "--steps", "700", "--first", "300", "--round-episodes", "4", "--size", "16", "--first-updates", "20", "--updates", "10", "--batch-size", "32", *DREAM, "--out", "out"],
    "evaluate": ["evaluate", "--controller", "../made/c", "--row", "out.csv", "--episodes", "12", "--split", "selection"],
    "smoke": ["smoke", "--out", "out"],
}  # fmt: skip
SAMPLED = {"gather": 2, "train-ensemble": 2, "train-controller": 3, "evaluate": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A little experience, a V, a world, an ensemble and a C."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "made").mkdir()
    here = Path.cwd()
    os.chdir(folder / "made")
    try:
        for words in (
            ["gather", "--steps", "300", "--policy", "mixed", "--out", "data"],
            [
                "train-vae",
                "--data",
                "data",
                "--epochs",
                "1",
                "--z-dim",
                "8",
                "--batch-size",
                "64",
                "--out",
                "vae",
            ],
            [
                "train-mdnrnn",
                "--vae",
                "vae",
                "--data",
                "data",
                "--epochs",
                "1",
                "--h-dim",
                "16",
                "--length",
                "8",
                "--batch-size",
                "8",
                "--out",
                "world",
            ],
            [
                "train-ensemble",
                "--data",
                "data",
                "--epochs",
                "1",
                "--hidden",
                "16",
                "--batch-size",
                "64",
                "--out",
                "ensemble",
            ],
            [
                "train-controller",
                "--steps",
                "200",
                "--popsize",
                "4",
                "--max-steps",
                "20",
                "--check-episodes",
                "0",
                "--out",
                "c",
            ],
        ):
            assert main(words) == 0
    finally:
        os.chdir(here)
    return folder


def without_clocks(value):
    """Facts less the seconds they took."""
    if isinstance(value, dict):
        return {
            key: without_clocks(part)
            for key, part in value.items()
            if key not in (*SPENT, "bytes", "sha256", "speed")
        }
    return [without_clocks(part) for part in value] if isinstance(value, list) else value


def content(folder):
    """What a stage left, less clocks, locks, and hidden leftovers of killed writers: name -> sha256 or facts."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            continue
        if path.suffix == ".json":
            found[name] = without_clocks(json.loads(path.read_bytes()))
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                found[name] = [
                    {key: value for key, value in row.items() if key not in SPENT}
                    for row in csv.DictReader(file)
                ]
        else:
            found[name] = storage.sha256(path.read_bytes())
    return found


def kill_often(processes, stage, made, tmp_path, kills):
    """Kills a stage `kills` times, anywhere; returns how many runs came to their end, all of them with the same content."""
    marks, rng = tmp_path / "marks", np.random.default_rng(len(stage))

    def start(run):
        run.mkdir(exist_ok=True)
        marks.unlink(missing_ok=True)
        process = processes.Process(target=killable_stage.run, args=(STAGES[stage], run, marks))
        process.start()
        while process.is_alive() and not marks.exists():
            time.sleep(0.001)
        return process

    whole = made / f"whole {stage}"
    process, started = start(whole), time.monotonic()
    process.join()
    seconds, expected = time.monotonic() - started, content(whole)
    assert process.exitcode == 0 and expected
    fell = ended = 0
    while fell < kills:
        run = made / f"{stage} {ended}"
        process = start(run)
        if fell < kills:
            process.join(rng.uniform(0, 1.05 * seconds))
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            fell += 1
            if fell < kills:
                continue
            process = start(run)  # the last one may go on
            process.join()
        assert process.exitcode in (0, 2), (
            f"{stage}: exit code {process.exitcode} after {fell} kills"
        )
        assert process.exitcode == 0 or (run / "out").exists() or (run / "out.csv").exists(), (
            f"{stage} refused to go on after {fell} kills"
        )
        assert content(run) == expected, f"{stage}: something else came out after {fell} kills"
        shutil.rmtree(run)
        ended += 1
    return ended


@pytest.mark.parametrize("stage", SAMPLED)
def test_a_few_kills_change_nothing(processes, stage, made, tmp_path):
    assert kill_often(processes, stage, made, tmp_path, SAMPLED[stage]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_hundred_kills_change_nothing(processes, stage, made, tmp_path):
    kills = 15 if stage == "smoke" else 100
    ended = kill_often(processes, stage, made, tmp_path, kills)
    print(f"{stage}: {kills} kills, {ended} runs came to their end, all with the same content")
