"""What whole runs cost becomes rows: from a run's own folder, again and again, without touching the rows of other runs."""

import json
import shlex

import pytest

from experiments import costs
from wmlib import results, whole
from wmlib.cli import parser
from wmlib.errors import InputError

SECONDS = {
    "experience": 1.5,
    "vae": 8.0,
    "world": 70.0,
    "c": 99.0,
    "ensemble": 30.0,
    "c-ensemble": 45.0,
}


def fake(run, seed=0, scale="small"):
    """The folder that a run leaves, as far as its costs go. C's own seconds are in its log."""
    for name, seconds in SECONDS.items():
        (run / name).mkdir(parents=True)
        log = [{"seconds": 4.0}, {"seconds": 9.0}] if name.startswith("c") else [{"loss": 1.0}]
        manifest = {
            "schema": 1,
            "command": f"wmlib before; wmlib {name}",
            "seconds": seconds,
            "real_steps": 10_008,
            "log": log,
            "files": {},
        }
        (run / name / "manifest.json").write_text(json.dumps(manifest))
    (run / whole.CONFIG).write_text(json.dumps({"scale": scale, "seed": seed}))
    results.append(
        run / whole.ROWS,
        results.Row(
            "humanoid",
            "zero",
            "",
            seed,
            0,
            0,
            "test",
            100,
            199.0,
            40.4,
            0.0,
            "abc",
            "wmlib evaluate",
        ),
    )
    return run


def test_each_stage_has_its_own_seconds_and_its_own_command(tmp_path):
    rows = costs.of(fake(tmp_path / "run"))
    assert {row.stage: row.seconds for row in rows} == {
        "gather": 1.5, "train V": 8.0, "train M": 70.0, "dream, V and M": 9.0, "train the ensemble": 30.0, "dream, ensemble": 9.0, "judge zero": None,
    }  # fmt: skip
    assert [row.real_steps for row in rows] == [10_008, 0, 0, 0, 0, 0, 4_040]
    assert rows[0].command == "wmlib experience" and rows[-1].mean_return == 199.0


def test_the_rows_of_a_run_take_the_place_of_its_older_ones_and_of_no_other(tmp_path, capsys):
    file = tmp_path / "runs.csv"
    folders = [
        str(fake(tmp_path / f"{scale}-{seed}", seed, scale))
        for scale, seed in (("large", 0), ("small", 1), ("small", 0))
    ]
    for given in (folders, folders[:1]):
        assert costs.main([*given, "--out", str(file)]) == 0
    rows = costs.read(file)
    assert [(row.scale, row.seed) for row in rows[::7]] == [
        ("small", 0),
        ("small", 1),
        ("large", 0),
    ] and len(rows) == 21
    assert "train M" in capsys.readouterr().out


def test_a_folder_that_is_no_finished_run_is_refused_in_one_line(tmp_path, capsys):
    assert costs.main([str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    run = fake(tmp_path / "run")
    (run / "c" / "manifest.json").unlink()
    (run / "c").rmdir()
    with pytest.raises(InputError, match="is not done"):
        costs.of(run)


def test_every_shipped_row_has_a_command_that_the_parser_reads_and_every_stage_is_there():
    rows = costs.read()
    for row in rows:
        words = shlex.split(row.command)
        assert words[0] == "wmlib" and parser().parse_args(words[1:])
    for run in {(row.scale, row.seed) for row in rows}:
        stages = [row.stage for row in rows if (row.scale, row.seed) == run]
        assert stages[: len(whole.PARTS)] == list(whole.PARTS.values()) and len(set(stages)) == len(
            stages
        )
