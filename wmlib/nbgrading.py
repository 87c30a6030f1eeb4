"""nbgrader's part: notebooks in its form, and runs of those in a course folder, in a process that may be lost.

A submission that does not come to an end costs that process, which is started again for the next one. nbgrader is
imported in that process only: teachers need it (the extra `classroom`), readers do not.
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

from wmlib.runs import InputError

MARK = "-mark"  # ends the id of the cell that marks an answer
START = 180.0  # seconds that nbgrader, a kernel and the libraries may need to start on a busy machine
Result = tuple[str, "dict[str, float] | str", str]  # student, points or what went wrong, page


def as_notebook(cells: Iterable[Mapping[str, Any]]) -> Any:
    """A notebook of such cells, with the metadata by which nbgrader knows them; all but the answers are read-only."""
    import nbformat

    made: list[Any] = []
    for cell in cells:
        answer, points = cell["role"] == "answer", cell.get("points")
        facts = {"schema_version": 3, "grade_id": cell["id"], "grade": points is not None, "locked": not answer, "solution": answer, "task": False}
        facts |= {"points": points} if points is not None else {}
        metadata = {"deletable": False, "editable": answer, **({} if cell["role"] == "extra" else {"nbgrader": facts})}
        new = nbformat.v4.new_markdown_cell if cell["role"] == "text" else nbformat.v4.new_code_cell
        made.append(new(cell["source"], metadata=metadata, id=f"cell-{len(made)}"))  # type: ignore[no-untyped-call,unused-ignore]
    spec = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return nbformat.v4.new_notebook(cells=made, metadata=spec)  # type: ignore[no-untyped-call,unused-ignore]


def _work(course: Path, name: str, students: list[str], seconds: float, settings: dict[str, str], pipe: Connection) -> None:
    """In a process of its own: lets nbgrader grade the students one by one; sends (student, points or what went wrong, page)."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os.environ.update(settings)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # nbgrader calls alembic
    from nbgrader.api import Gradebook  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from nbgrader.apps import NbGraderAPI  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(course)
    kept = ("LockCells", "ClearOutput", "CheckCellMetadata", "ComputeChecksums", "SaveCells")  # the stubs are there already
    config.GenerateAssignment.preprocessors = [f"nbgrader.preprocessors.{step}" for step in kept]
    late = f"Stopped: it had not come to an end after {seconds:g} s. Expected an answer sooner: does every loop end?"
    config.Execute.timeout_func = lambda cell: START if cell.metadata.get("nbgrader", {}).get("grade_id") == "setup" else seconds
    config.Execute.iopub_timeout = START  # a busy machine is no student's fault
    config.Execute.error_on_timeout = {"ename": "TimeoutError", "evalue": late, "traceback": [late]}
    api = NbGraderAPI(config=config)
    if not (course / "release").exists():
        made = api.generate_assignment(name)
        if not made["success"]:
            pipe.send(("", str(made.get("error") or made.get("log")), ""))
            return
    for student in students:
        wrong = ""
        for _ in range(2):  # once more, should the machine and not the student have failed
            result = api.autograde(name, student)
            wrong = "" if result["success"] else f"{result.get('error')}\n{result.get('log')}"
            if not wrong or "DeadKernelError" in wrong:
                break
        if wrong:
            reasons = [line.strip() for line in wrong.splitlines() if re.match(r"\s*[\w.]*(Error|Exception|Timeout)\b.*:", line)]
            crash = "Expected code that runs to its end, but it ended Python itself (os._exit, or a crash)."
            pipe.send((student, crash if "DeadKernelError" in wrong else f"nbgrader could not run it: {(reasons or ['no reason given'])[0]}", ""))
            continue
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
            grades = gradebook.find_submission_notebook(name, name, student).grades
            points = {grade.name.removesuffix(MARK): float(grade.score) for grade in grades}
        _abridge(course / "autograded" / student / name / f"{name}.ipynb")
        api.generate_feedback(name, student)
        page = (course / "feedback" / student / name / f"{name}.html").read_text(encoding="utf-8")
        pipe.send((student, points, page))


def _abridge(path: Path) -> None:
    """Leaves in a graded notebook what its author wants to read again: the tasks, the answers, and what was said to them."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call,unused-ignore]
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id", "") for cell in notebook.cells]
    notebook.cells = [cell for cell, name in zip(notebook.cells, ids, strict=True) if name != "setup"]
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").endswith(MARK):
            cell.source = "# Tried on numbers drawn for this course:"
            cell.outputs = [output for output in cell.outputs if output.output_type == "stream" or output.get("ename") == "TimeoutError"]
        elif cell.cell_type == "markdown":
            cell.source = re.sub(r"\$([^$\n]+)\$", r"`\1`", cell.source)  # the page typesets no mathematics: that would need the network
    path.chmod(0o644)
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call,unused-ignore]


def graded(course: Path, name: str, students: list[str], seconds: float, limit: float, settings: dict[str, str]) -> Iterator[Result]:
    """Grades students one after the other; one who takes longer than the limit costs a process, not the others.

    Args:
        course: nbgrader's course folder, with `source/` and `submitted/`.
        name: the assignment, and its one notebook.
        students: their names in `submitted/`.
        seconds: how long one cell may take.
        limit: how long a submission may take in all, with the start.
        settings: environment variables of the graded notebooks.

    Yields:
        Student, points by exercise (or one sentence on what went wrong), page of feedback (HTML).

    Raises:
        InputError: if nbgrader refuses the source notebook.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(students)
    while waiting:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(course, name, waiting, seconds, settings, theirs))
        worker.start()
        theirs.close()
        try:
            alive = True
            while waiting and alive:
                try:
                    alive = ours.poll(limit)
                    result: Result = ours.recv() if alive else (waiting[0], f"It took more than {limit:.0f} s in all, and was stopped.", "")
                except EOFError:
                    alive, result = False, (waiting[0], "The process that graded it ended before it did.", "")
                if result[0] != waiting[0]:
                    raise InputError(f"nbgrader cannot use the exercises of {name}: {str(result[1]).strip().splitlines()[-1]}")
                waiting.pop(0)
                yield result
        finally:
            worker.kill()
            worker.join()
            ours.close()
