"""Who plays changes no number; a worker that dies is reported, and its work is done again."""

import os
import re
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import wmlib as wm
from wmlib.cli import main, parser
from wmlib.control.controller import Linear
from wmlib.control.population import evaluate_population
from wmlib.errors import InputError
from wmlib.real import workers

BODY = wm.body.get("humanoid")
LINEAR = Linear(BODY)
POPULATION = 0.1 * np.random.default_rng(0).standard_normal((5, LINEAR.n_params))
PAGE = Path(__file__).resolve().parent.parent / "book" / "cluster.md"


@pytest.fixture(scope="module")
def alone():
    """What this process gives by itself: a population played, experience gathered."""
    return evaluate_population(LINEAR, POPULATION, range(3), see=True), wm.gather(
        BODY, "mixed", 700, 3
    )


@pytest.fixture(
    scope="module",
    params=[("processes", 1), ("processes", 2), ("processes", 4), ("dask", 2)],
    ids=lambda who: f"{who[1]} {who[0]}",
)
def who(request):
    kind, n = request.param
    with workers.opened(kind, n) as them:
        yield them


def test_workers_give_the_same_bits_as_threads(who, alone):
    played, gathered = alone
    again = evaluate_population(LINEAR, POPULATION, range(3), see=True, workers=who)
    assert np.array_equal(again.returns, played.returns) and np.array_equal(
        again.lengths, played.lengths
    )
    assert all(
        np.array_equal(a, b)
        for x, y in zip(again.seen, played.seen, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    experience = wm.gather(BODY, "mixed", 700, 3, workers=who)
    assert (
        np.array_equal(experience.qpos, gathered.qpos)
        and np.array_equal(experience.seeds, gathered.seeds)
        and np.array_equal(experience.obs, gathered.obs)
    )


def whoever(path, number):
    """Dies the first time that it has number 2; else says the square."""
    if number == 2 and not path.exists():
        path.write_text("dead")
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def always(number):
    os.kill(os.getpid(), signal.SIGKILL)


def wrong(number):
    raise InputError(f"not {number}")


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_a_worker_that_dies_is_reported_within_30_seconds_and_its_work_is_done_again(
    kind, tmp_path
):
    said, started = [], time.monotonic()
    with workers.opened(kind, 2, say=said.append) as them:
        assert them.map(whoever, [(tmp_path / "mark", n) for n in range(6)]) == [0, 1, 4, 9, 16, 25]
        assert (tmp_path / "mark").exists() and time.monotonic() - started < 30
    assert kind == "dask" or re.search(
        "a worker died; . of 6 pieces of work are done again", said[0]
    )


def test_workers_that_die_again_and_again_are_given_up_in_one_line():
    with (
        pytest.raises(workers.WorkerError, match="died 4 times over the same work") as caught,
        workers.opened("processes", 1, say=lambda line: None) as them,
    ):
        them.map(always, [(1,)])
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_the_work_is_said_as_it_is():
    with pytest.raises(InputError, match="not 1"), workers.opened("processes", 1) as them:
        them.map(wrong, [(1,)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--executor", "ray"], "no executor 'ray'"),
        (["--workers", "0"], "0 workers"),
        (["--scheduler", "tcp://x:1"], "Give --executor dask"),
        (["--executor", "dask", "--scheduler", "nonsense://x"], "No Dask scheduler answers"),
    ],
)
def test_wrong_words_about_workers_get_one_line(tmp_path, capsys, words, message):
    assert main(["gather", "--steps", "100", "--out", str(tmp_path / "x"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "x").exists()


def test_the_command_line_evolves_the_same_controller_with_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "train-controller",
        "--steps",
        "300",
        "--popsize",
        "4",
        "--check-episodes",
        "2",
        "--max-steps",
        "20",
    ]
    assert main([*words, "--out", "a"]) == 0
    assert main([*words, "--out", "b", "--executor", "processes", "--workers", "2"]) == 0
    assert wm.load("a").fingerprint == wm.load("b").fingerprint


def test_every_command_of_the_cluster_page_is_one_that_the_command_line_reads():
    lines = [
        line.removeprefix("$ ").split("  #")[0]
        for line in re.findall(r"^(?:\$ |    )?(wmlib .*)$", PAGE.read_text(encoding="utf-8"), re.M)
    ]
    assert len(lines) >= 5
    for line in lines:
        parser().parse_args(
            [
                word.replace("$SLURM_ARRAY_TASK_ID", "0")
                for word in shlex.split(line.replace("${SLURM_ARRAY_TASK_ID}", "0"))[1:]
            ]
        )
