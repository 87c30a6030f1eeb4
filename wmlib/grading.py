"""Grades a folder of submissions with nbgrader: a table of points, and a page of feedback for each student.

Each submission becomes the chapter's own notebook with the student's answers put in: what was deleted or changed
elsewhere is as it was. nbgrader runs it in a temporary course folder, keeps the points and writes the feedback
(`wmlib.nbgrading`). This is no jail: grade the work of people whom you would let use your computer.
"""

from __future__ import annotations

import csv
import html
import importlib.util
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wmlib import classroom, marking
from wmlib.classroom import Exercise
from wmlib.nbgrading import MARK, START, as_notebook, graded
from wmlib.runs import InputError, new_artefact

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p>0 of {total:g} points.</p><p>{reason}</p></body></html>
"""


@dataclass
class Grade:
    """What one student gets.

    Attributes:
        student: the name of the file or folder that was handed in.
        points: exercise id -> points.
        remark: why it could not be graded, or nothing.
        page: the feedback, HTML.
    """

    student: str
    points: dict[str, float] = field(default_factory=dict)
    remark: str = ""
    page: str = ""

    @property
    def total(self) -> float:
        """All points together."""
        return sum(self.points.values())


def _source(cells: list[dict[str, Any]], found: list[Exercise]) -> list[dict[str, Any]]:
    """The notebook that is graded: the students' without its checks, and a cell that marks each answer."""
    points = {exercise.id: exercise.points for exercise in found}
    made: list[dict[str, Any]] = []
    for cell in cells:
        if cell["id"] == "head" or cell["role"] == "check":
            continue
        made.append(cell)
        if cell["role"] == "answer":
            code = f'from wmlib.marking import mark\n\nmark("{cell["id"]}", {points[cell["id"]]:g}, globals())'
            made.append({"role": "mark", "id": cell["id"] + MARK, "source": code, "points": points[cell["id"]]})
    return made


def _whole(cells: list[dict[str, Any]], source: list[dict[str, Any]], submitted: Any) -> list[dict[str, Any]]:
    """The graded notebook with a student's answers, and the code cells they added, each after the cell it followed."""
    known = {cell["id"] for cell in cells}
    answers: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    place = ""
    for cell in submitted.cells:
        facts = cell.get("metadata", {}).get("nbgrader")
        key = str(facts.get("grade_id")) if isinstance(facts, dict) else ""
        first = key in known and key not in answers
        place = key if key in known else place
        if first and key in {entry["id"] for entry in cells if entry["role"] == "answer"}:
            answers[key] = cell["source"]
        elif cell["cell_type"] == "code" and cell["source"].strip() and (key not in known or key in answers):
            extras.setdefault(place, []).append(cell["source"])

    def added(key: str) -> list[dict[str, Any]]:
        return [{"role": "extra", "id": "", "source": code} for code in extras.get(key, [])]

    made = added("") + added("head")
    for cell in source:
        if cell["role"] == "answer":
            made += [{**cell, "source": answers[cell["id"]]}] if cell["id"] in answers else []
            made += added(cell["id"])
        elif cell["role"] == "mark":
            made += [cell, *added(cell["id"].removesuffix(MARK) + "-check")]
        else:
            made += [cell, *added(cell["id"])]
    return made


def submissions(folder: Path) -> dict[str, Path | None]:
    """Who handed in what: `NAME.ipynb`, or a folder NAME with one notebook in it. None stands for anything else.

    Raises:
        InputError: if the folder is missing or empty.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Expected the folder with the students' notebooks.")
    found: dict[str, Path | None] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            inside = [file for file in path.glob("*.ipynb") if file.is_file()]
            found[path.name] = inside[0] if len(inside) == 1 else None
        elif path.suffix == ".ipynb" or path.stem not in found:
            found[path.stem] = path
    if not found:
        raise InputError(f"{folder} is empty: expected a notebook for each student, NAME.ipynb, or a folder NAME that holds one.")
    return found


def grade(folder: str | Path, chapter: str | Path, out: str | Path, seconds: float = 30.0, say: Callable[[Grade], None] = lambda grade: None) -> list[Grade]:
    """Grades every submission in a folder, and leaves the folder as it was.

    Args:
        folder: the submissions: `NAME.ipynb`, or a folder NAME with a notebook in it.
        chapter: the chapter's notebook, with the solutions; `graded/` beside it holds what is marked.
        out: the folder to make: `grades.csv`, and `feedback/NAME.html` for each student.
        seconds: how long one cell may take.
        say: called with each student's grade.

    Returns:
        The grades, in the order of the names. Hidden values are drawn from the environment's WM_COURSE_SEED (0 if unset).

    Raises:
        InputError: if nbgrader is missing, the chapter has no exercises or cannot mark them, or there is nothing to grade.
    """
    if importlib.util.find_spec("nbgrader") is None:
        raise InputError("Grading needs nbgrader: install wmlib with its extra, wmlib[classroom].")
    chapter, name = Path(chapter), Path(chapter).stem
    if not seconds > 0:
        raise InputError(f"A cell may take {seconds} s; expected a number above 0.")
    cells, found = classroom.assignment(chapter)
    cases = chapter.resolve().parent / "graded" / f"{name}.py"
    module = marking.load(cases)
    if missing := [exercise.name for exercise in found if not hasattr(module, exercise.name)]:
        raise InputError(f"{cases} has no function {missing[0]}: it says what is marked in that exercise.")
    handed, source = submissions(Path(folder)), _source(cells, found)
    grades = {student: Grade(student, {exercise.id: 0.0 for exercise in found}) for student in handed}
    settings = {marking.GRADED: str(cases), marking.SEED: os.environ.get(marking.SEED) or "0"}
    limit = START + seconds * (3 * len(found) + 1)  # an answer may hang where it is defined, and where it is called
    with new_artefact(out) as made, tempfile.TemporaryDirectory() as temporary:
        course, ids = Path(temporary), {f"s{number}": student for number, student in enumerate(handed)}  # nbgrader takes no odd names
        _write(course / "source" / name / f"{name}.ipynb", source)
        (made / "feedback").mkdir()

        def keep(grade: Grade) -> None:
            (made / "feedback" / f"{grade.student}.html").write_text(_page(grade, name, found), encoding="utf-8")
            say(grade)

        for key, student in list(ids.items()):
            path = handed[student]
            try:
                if path is None:
                    raise InputError(f"The folder {student} holds no notebook, or several: expected one.")
                _write(course / "submitted" / key / name / f"{name}.ipynb", _whole(cells, source, classroom.read_notebook(path)))
            except InputError as error:
                grades[student].remark = f"{error} Expected the file that `wmlib classroom release` made, with your answers in it."
                keep(grades[ids.pop(key)])
        for key, result, page in graded(course, name, list(ids), seconds, limit, settings):
            grade = grades[ids[key]]
            grade.page = page
            if isinstance(result, str):
                grade.remark = result
            else:
                grade.points |= result
            keep(grade)
        (made / "grades.csv").write_text(_table(grades.values(), found), encoding="utf-8")
    return list(grades.values())


def _write(path: Path, cells: list[dict[str, Any]]) -> None:
    import nbformat

    path.parent.mkdir(parents=True)
    nbformat.write(as_notebook(cells), path)  # type: ignore[no-untyped-call,unused-ignore]


def _page(grade: Grade, name: str, found: list[Exercise]) -> str:
    """A student's page of feedback: nbgrader's, which then needs no network; or one that says why there is none."""
    total = sum(exercise.points for exercise in found)
    if grade.page:
        page = re.sub(r"<script[^>]*\bsrc=\"https?:.*?</script>", "", grade.page, flags=re.S)
        page = re.sub(rf'(<a href="#([a-z0-9-]+){MARK}">)Test cell</a>', r"\1\2</a>", page)
        page = re.sub(rf"Grade cell: <code>([a-z0-9-]+){MARK}</code>", r"\1", page).replace("Student's answer", "Your answer")
        who = html.escape(grade.student)
        page = page.replace(f"{name} (Score", f"{who}: {name} (Score").replace("<title>", f"<title>{who}: ", 1)
        return page.replace("</head>", "<style>pre { white-space: pre-wrap !important; word-break: normal !important } .prompt { display: none }</style></head>", 1)
    title, reason = html.escape(f"{grade.student}: {name}"), html.escape(grade.remark)
    return _PAGE.format(title=title, total=total, reason=reason)


def _table(grades: Iterable[Grade], found: list[Exercise]) -> str:
    """The grades as CSV: student, points of each exercise, sum, what could be had, remark."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["student", *(exercise.id for exercise in found), "points", "of", "remark"])
    for grade in grades:
        points = [f"{grade.points[exercise.id]:g}" for exercise in found]
        rows.writerow([grade.student, *points, f"{grade.total:g}", f"{sum(exercise.points for exercise in found):g}", grade.remark])
    return text.getvalue()
