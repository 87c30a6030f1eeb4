"""nbgrader's part: notebooks in its form, and its pages of feedback, written in a process that may be lost.

It runs no student's code: the marks stand in the notebooks that it gets, and it sums them up. nbgrader is imported in that
process only: teachers need it (the extra `classroom`), readers do not.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from wmlib.errors import InputError

MARK = "-mark"  # ends the id of the cell that holds an answer's mark
LIMIT = 180.0  # seconds that nbgrader may take for a page, with its start on a busy machine


def as_notebook(cells: Iterable[Mapping[str, Any]], **about: Any) -> Any:
    """A notebook of such cells, with the metadata by which nbgrader knows them; all but the answers are read-only."""
    import nbformat

    made: list[Any] = []
    for cell in cells:
        answer, points = cell["role"] == "answer", cell.get("points")
        facts = {
            "schema_version": 3,
            "grade_id": cell["id"],
            "grade": points is not None,
            "locked": not answer,
            "solution": answer,
            "task": False,
        }
        facts |= {"points": points} if points is not None else {}
        metadata = {
            "deletable": False,
            "editable": answer,
            **({} if cell["role"] == "extra" else {"nbgrader": facts}),
        }
        new = nbformat.v4.new_markdown_cell if cell["role"] == "text" else nbformat.v4.new_code_cell
        made.append(new(cell["source"], metadata=metadata, id=f"cell-{len(made)}"))  # type: ignore[no-untyped-call,unused-ignore]
        if "told" in cell:  # nbgrader takes the number as the points
            said = nbformat.v4.new_output("stream", name="stdout", text=cell["told"] + "\n")
            earned = nbformat.v4.new_output(
                "execute_result", {"text/plain": f"{cell['earned']:g}"}, execution_count=1
            )
            made[-1].outputs = [said, earned]
    spec = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        **about,
    }
    return nbformat.v4.new_notebook(cells=made, metadata=spec)


def _work(course: Path, name: str, students: list[str], pipe: Connection) -> None:
    """In a process of its own: lets nbgrader sum up the students one by one; sends (student, page or nothing)."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )  # nbgrader calls alembic
    from nbgrader.apps import NbGraderAPI  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(course)
    for owner, trait, steps in [
        (
            config.GenerateAssignment,
            "preprocessors",
            ("LockCells", "ClearOutput", "CheckCellMetadata", "ComputeChecksums", "SaveCells"),
        ),  # the stubs are there already
        (
            config.Autograde,
            "sanitize_preprocessors",
            ("DeduplicateIds", "OverwriteKernelspec", "OverwriteCells", "CheckCellMetadata"),
        ),
        (
            config.Autograde,
            "autograde_preprocessors",
            ("SaveAutoGrades", "CheckCellMetadata"),
        ),  # no Execute: nothing is run
    ]:
        setattr(owner, trait, [f"nbgrader.preprocessors.{step}" for step in steps])
    api = NbGraderAPI(config=config)
    if not (course / "release").exists():
        made = api.generate_assignment(name)
        if not made["success"]:
            pipe.send(("", str(made.get("error") or made.get("log"))))
            return
    for student in students:
        page = ""
        if api.autograde(name, student)["success"]:
            _abridge(course / "autograded" / student / name / f"{name}.ipynb")
            if api.generate_feedback(name, student)["success"]:
                page = (course / "feedback" / student / name / f"{name}.html").read_text(
                    encoding="utf-8"
                )
        pipe.send((student, page))


def _abridge(path: Path) -> None:
    """Leaves in a graded notebook what its author wants to read again: the tasks, the answers, and what was said to them."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id", "") for cell in notebook.cells]
    notebook.cells = [
        cell for cell, name in zip(notebook.cells, ids, strict=True) if name != "setup"
    ]
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith(MARK):
            cell.outputs = [output for output in cell.outputs if output.output_type == "stream"]
        elif cell.cell_type == "markdown":
            lines = re.sub(r"\$\$\s*(.+?)\s*\$\$", r"\n```\n\1\n```\n", cell.source, flags=re.S)
            cell.source = re.sub(
                r"\$([^$\n]+)\$", r"`\1`", lines
            )  # the page typesets no mathematics: that would need the network
    path.chmod(0o644)
    nbformat.write(notebook, path)


def graded(course: Path, name: str, students: list[str]) -> Iterator[tuple[str, str]]:
    """Has nbgrader sum up students one after the other; one that it fails at costs a process, not the others.

    Args:
        course: nbgrader's course folder, with `source/` and `submitted/`, the marks in the notebooks.
        name: the assignment, and its one notebook.
        students: their names in `submitted/`.

    Yields:
        Student, page of feedback (HTML; nothing where it failed).

    Raises:
        InputError: if nbgrader refuses the source notebook.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(students)
    while waiting:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(course, name, waiting, theirs))
        worker.start()
        theirs.close()
        try:
            alive = True
            while waiting and alive:
                try:
                    alive = ours.poll(LIMIT)
                    result: tuple[str, str] = ours.recv() if alive else (waiting[0], "")
                except EOFError:
                    alive, result = False, (waiting[0], "")
                if result[0] != waiting[0]:
                    raise InputError(
                        f"nbgrader cannot use the exercises of {name}: {result[1].strip().splitlines()[-1]}"
                    )
                waiting.pop(0)
                yield result
        finally:
            worker.kill()
            worker.join()
            ours.close()
