"""A run from end to end: its stages are command lines, it resumes to the same bits, and its report adds up."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest

import wmlib as wm
from wmlib import whole
from wmlib.cli import main, parser
from wmlib.errors import InputError
from wmlib.real import evaluate


def fingerprints(out):
    return {
        name: json.loads((out / name / "manifest.json").read_bytes())["fingerprint"]
        for name in ("c", "c-ensemble", "ensemble")
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run at smoke scale."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    evaluate._opened.clear()
    assert main(["smoke", "--out", str(out)]) == 0
    return out


def test_every_stage_of_every_run_is_a_command_line_that_the_parser_reads():
    for scale in whole.PLANS:
        for stage in whole.stages(scale, "humanoid", 3, "runs/x"):
            options = parser().parse_args(stage.words)
            assert getattr(options, "seed", 3) in (3, 0)


def test_a_run_ends_with_a_row_for_each_policy_and_a_table_of_costs(done, capsys):
    with (done / whole.ROWS).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [
        "random",
        "zero",
        "hold",
        "dreamed, ensemble",
        "dreamed, V and M",
    ]
    assert {row["split"] for row in rows} == {"test"} and {row["episodes"] for row in rows} == {"4"}
    steps = wm.load(done / "experience").n_steps
    assert [int(row["real_steps"]) for row in rows] == [0, 0, 0, steps, steps]
    assert main(["report", str(done)]) == 0
    printed = capsys.readouterr().out
    assert "dreamed, V and M" in printed and "1 x 4" in printed
    costs = [float(line.split()[-2]) for line in whole.costs(done).splitlines()]
    assert len(costs) == 7 and costs[-1] == pytest.approx(sum(costs[:-1]), abs=4)


def test_a_run_that_is_done_does_nothing_more(done, capsys):
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")}
    assert main(["smoke", "--out", str(done)]) == 0
    assert capsys.readouterr().out.count(" is there") == len(whole.PARTS)
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")} == before


def test_a_run_that_was_killed_comes_to_the_same_bits(done, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "wmlib", "smoke", "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(1_200):
        if (out / "ensemble").exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "c").exists(), "it was killed under way"
    assert main(["smoke", "--out", str(out)]) == 0
    assert fingerprints(out) == fingerprints(done)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["smoke", "--out", "DONE", "--seed", "1"], "seed 0, not 1"),
        (["small", "--out", "DONE"], "scale smoke, not small"),
        (["smoke", "--out", "DONE", "--no-resume"], "holds a run already"),
        (["smoke", "--out", "JUNK"], "holds something that is not a run"),
        (["smoke", "--out", "NEW", "--body", "octopus"], "octopus"),
        (["report", "JUNK"], "results.csv"),
        (["evaluate", "--split", "test"], "Name either --controller or --policy"),
        (["evaluate", "--policy", "flying"], "no policy 'flying'"),
    ],
)
def test_wrong_words_get_one_line(done, tmp_path, capsys, words, message):
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "letter").write_text("mine")
    places = {"DONE": str(done), "JUNK": str(tmp_path / "junk"), "NEW": str(tmp_path / "new")}
    assert main([places.get(word, word) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert (tmp_path / "junk" / "letter").read_text() == "mine" and not (tmp_path / "new").exists()


def test_two_processes_do_not_run_one_run(done):
    with (
        whole.begun("smoke", "humanoid", 0, done, resume=True),
        pytest.raises(InputError, match="Another process"),
        whole.begun("smoke", "humanoid", 0, done, resume=True),
    ):
        pass
