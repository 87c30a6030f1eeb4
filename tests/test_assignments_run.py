"""An assignment that is done right runs whole, at the size of a class, within the minutes that it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wmlib.classroom import classroom

ASSIGNMENTS = sorted((Path(__file__).resolve().parent.parent / "assignments").glob("*.ipynb"))
SECONDS = 600  # the ten machine minutes that each of them promises


@pytest.mark.slow
@pytest.mark.parametrize("path", ASSIGNMENTS, ids=lambda path: path.stem)
def test_the_students_copy_with_right_answers_runs_within_its_minutes(path, tmp_path):
    cells, found = classroom.assignment(path)
    right = {exercise.id: exercise.solution.split("\n\n\nprint(")[0] for exercise in found}
    code = "\n\n\n".join(
        right.get(cell["id"], cell["source"]) for cell in cells if cell["role"] != "text"
    )
    (tmp_path / "handed_in.py").write_text(code, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "handed_in.py"],
        cwd=tmp_path,
        env={**os.environ, "WM_SCALE": "small"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "Not yet" not in run.stdout and "Not done" not in run.stdout, run.stdout
    assert run.stdout.count("Right.\n") + run.stdout.count("has a letter") == len(found), run.stdout
