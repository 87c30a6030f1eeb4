"""What can go wrong under way costs one line and a documented exit code, and nothing that was there: the same command then goes on to the same bits."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from test_kills import STAGES, content, made  # noqa: F401  a fixture

from wmlib import storage
from wmlib.cli import main

WITH_CHECKPOINTS = [
    "train-vae",
    "train-mdnrnn",
    "train-ensemble",
    "train-controller",
    "dream",
    "iterate",
]
ALL = ["gather", *WITH_CHECKPOINTS]


def sampled(stages, *in_the_gate):
    """These in every gate, the others in `make slow`."""
    return [
        stage
        if stage in in_the_gate
        else pytest.param(*[stage] if isinstance(stage, str) else stage, marks=pytest.mark.slow)
        for stage in stages
    ]


@pytest.fixture
def place(made, tmp_path, monkeypatch):  # noqa: F811
    """A new folder beside what earlier stages made."""
    folder = made / f"at {time.monotonic_ns()}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def whole(made):  # noqa: F811
    """What each stage makes when nothing goes wrong."""
    kept = {}

    def of(stage):
        if stage not in kept:
            folder, here = made / f"undisturbed {stage}", os.getcwd()
            folder.mkdir()
            os.chdir(folder)
            try:
                assert main(STAGES[stage]) == 0
            finally:
                os.chdir(here)
            kept[stage] = content(folder)
        return kept[stage]

    return of


def one_line(capsys, pattern):
    error = capsys.readouterr().err.lstrip("\n")
    assert re.search(pattern, error), error
    assert error.count("\n") == 1 and "Traceback" not in error


def failing(monkeypatch, error, after):
    """Lets the system's `fsync` fail with this error from its `after`-th call on."""
    calls, sync = [], os.fsync

    def fsync(handle):
        calls.append(1)
        if len(calls) > after:
            raise error
        return sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("stage", sampled(ALL, "train-mdnrnn", "train-controller"))
def test_a_full_disk_is_said_in_one_line_and_nothing_is_lost(
    stage, after, place, whole, monkeypatch, capsys
):
    expected = whole(stage)
    with monkeypatch.context() as patch:
        failing(patch, OSError(28, "No space left on device"), after)
        capsys.readouterr()
        code = main(STAGES[stage])
    if code:  # a stage with little to write may be done before the disk is full
        assert code == 1
        one_line(capsys, "No space left on device")
        assert not (place / "out").exists()
        assert main(STAGES[stage]) == 0
    assert content(place) == expected


@pytest.mark.parametrize("stage", ALL)
def test_a_place_that_cannot_be_written_is_found_before_the_work(stage, place, capsys):
    (place / "file").write_text("mine")
    for out in ("file/out", "/sys/out"):
        words = [*STAGES[stage][:-1], out]
        assert main(words) == 2
        one_line(capsys, "Cannot write|exists already")
    assert (place / "file").read_text() == "mine"


@pytest.mark.parametrize("stage", ALL)
def test_what_is_there_already_is_not_overwritten(stage, place, capsys):
    (place / "out").mkdir()
    (place / "out" / "letter").write_text("mine")
    assert main(STAGES[stage]) == 2
    one_line(capsys, "exists already. Nothing was overwritten")
    assert (place / "out" / "letter").read_text() == "mine"


@pytest.mark.parametrize("stage", sampled(WITH_CHECKPOINTS, "train-ensemble", "dream"))
def test_two_runs_in_one_folder_and_a_run_with_other_words_are_refused(
    stage, place, whole, monkeypatch, capsys
):
    expected = whole(stage)
    with monkeypatch.context() as patch:
        failing(patch, KeyboardInterrupt(), 6)
        assert main(STAGES[stage]) == 130
    one_line(capsys, "interrupted")
    with storage.locked(place / "out.run"):
        assert main(STAGES[stage]) == 2
        one_line(capsys, "Another process")
    other = [
        word
        if STAGES[stage][n - 1] not in ("--hidden", "--h-dim", "--z-dim", "--popsize")
        else "10"
        for n, word in enumerate(STAGES[stage])
    ]
    there = any(path.name not in (".lock", "seconds") for path in (place / "out.run").iterdir())
    assert main(other) == (2 if there else 0)
    if there:
        one_line(capsys, "Give the same|another --out")
        assert main([*STAGES[stage], "--no-resume"]) == 2
        one_line(capsys, "Leave out --no-resume")
        assert main(STAGES[stage]) == 0
        assert content(place) == expected


LONG = {
    "evolution by processes": [
        "train-controller",
        "--steps",
        "40000",
        "--popsize",
        "8",
        "--executor",
        "processes",
        "--workers",
        "2",
        "--out",
        "out",
    ],
    "V": [
        "train-vae",
        "--data",
        "humanoid-mixed",
        "--epochs",
        "400",
        "--z-dim",
        "8",
        "--out",
        "out",
    ],
}


SIGNALS = {"SIGTERM": [signal.SIGTERM], "Ctrl-C twice": [signal.SIGINT, signal.SIGINT]}


@pytest.mark.parametrize(
    ("stage", "signals"),
    sampled(
        [(stage, name) for stage in LONG for name in SIGNALS],
        ("V", "Ctrl-C twice"),
        ("evolution by processes", "SIGTERM"),
    ),
)
def test_a_signal_ends_a_run_politely_and_the_command_may_go_on(stage, signals, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "wmlib", *LONG[stage]],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if re.match(r"  (epoch|generation)", line):
            break
    for number in SIGNALS[signals]:
        os.killpg(process.pid, number)
        time.sleep(0.1)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130, error
    assert "interrupted. Nothing half-written was left" in error and "Traceback" not in error, error
    assert not (tmp_path / "out").exists() and (tmp_path / "out.run").is_dir()


def test_the_exit_codes_are_those_that_help_and_the_page_name(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert (
        "0 done; 1 could not be done here (disk, memory, workers); 2 wrong input; 130 interrupted"
        in re.sub(r"\s+", " ", capsys.readouterr().out)
    )


def test_every_stage_shows_an_example(capsys):
    for stage in (
        "gather",
        "train-vae",
        "train-mdnrnn",
        "train-ensemble",
        "train-controller",
        "dream",
        "iterate",
        "evaluate",
        "small",
        "large",
        "report",
    ):
        with pytest.raises(SystemExit):
            main([stage, "--help"])
        assert f"wmlib {stage}" in capsys.readouterr().out.split("example")[1]
