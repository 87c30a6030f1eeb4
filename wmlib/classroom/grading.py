"""Grades a folder of submissions: a table of points, and a page of feedback for each student.

Each submission becomes the chapter's own notebook with the student's answers put in: what was deleted or changed elsewhere is
as it was. Its cells run behind walls (`wmlib.classroom.jail`), where neither the course's seed nor a right answer is. Here, outside,
the cases are drawn; arguments go in, values come back and are compared. nbgrader writes the page (`wmlib.classroom.nbgrading`).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import html
import importlib.util
import io
import os
import re
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from wmlib.classroom import classroom, jail, marking
from wmlib.classroom.classroom import Exercise
from wmlib.classroom.nbgrading import MARK, as_notebook, graded
from wmlib.errors import InputError
from wmlib.storage import LIBRARY, new_artefact

LARGEST = 2_000_000  # bytes of a notebook that is handed in
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p>{points:g} of {total:g} points.</p><p style="white-space: pre-wrap">{reason}</p></body></html>
"""


@dataclass
class Mark:
    """What one answer earns.

    Attributes:
        points: earned.
        of: what could be had.
        told: a sentence on each case, `+` before what is right.
    """

    points: float
    of: float
    told: list[str]

    @property
    def text(self) -> str:
        """All of it, as lines."""
        return _writable("\n".join([f"{self.points:g} of {self.of:g} points.", *self.told]))


@dataclass
class Grade:
    """What one student gets.

    Attributes:
        student: the name of the file or folder that was handed in.
        points: exercise id -> points.
        remark: why it could not be graded, or nothing.
        told: the feedback, text.
        page: the feedback, HTML.
    """

    student: str
    points: dict[str, float] = field(default_factory=dict)
    remark: str = ""
    told: str = ""
    page: str = ""

    @property
    def total(self) -> float:
        """All points together."""
        return sum(self.points.values())


def _writable(text: str) -> str:
    """The text without halves of characters, which no file takes."""
    return text.encode(errors="replace").decode()


def _steps(cells: list[dict[str, Any]], submitted: Any) -> list[dict[str, Any]]:
    """What is done with a submission: the chapter's code, the student's answers, the code cells they added, each after the cell it followed, and the marks."""
    known = {cell["id"] for cell in cells}
    answers: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    place = ""
    for cell in submitted.cells:
        facts = cell.get("metadata", {}).get("nbgrader")
        key = str(facts.get("grade_id")) if isinstance(facts, dict) else ""
        first = key in known and key not in answers
        place = key if key in known else place
        source = _writable(cell["source"])
        if first and key in {entry["id"] for entry in cells if entry["role"] == "answer"}:
            answers[key] = source
        elif (
            cell["cell_type"] == "code" and source.strip() and (key not in known or key in answers)
        ):
            extras.setdefault(place, []).append(source)

    def added(key: str) -> list[dict[str, Any]]:
        return [{"role": "extra", "id": "", "source": code} for code in extras.get(key, [])]

    made = added("") + added("head")
    for cell in cells:
        if cell["role"] == "answer":
            made += [{**cell, "source": answers[cell["id"]]}] if cell["id"] in answers else []
            made += [
                *added(cell["id"]),
                {
                    "role": "mark",
                    "id": cell["id"] + MARK,
                    "source": "# Tried on numbers drawn for this course:",
                },
            ]
        elif cell["role"] == "check":
            made += added(cell["id"])
        elif cell["id"] != "head":
            made += [cell, *added(cell["id"])]
    return made


def _tries(steps: list[dict[str, Any]], exercise: str) -> Iterator[list[dict[str, Any]]]:
    """The ways to try one answer: after all that comes before it, without the other answers, and alone with the chapter's code."""
    ends = next(number for number, step in enumerate(steps) if step["id"] == exercise + MARK)
    before = [
        step
        for step in steps[: ends + 1]
        if step["role"] != "mark" or step["id"] == exercise + MARK
    ]
    yield before
    without = [step for step in before if step["role"] != "answer" or step["id"] == exercise]
    if without != before:
        yield without
    alone = [step for step in without if step["role"] != "extra"]
    if alone != without:
        yield alone


@dataclass
class _Trial:
    """How answers are tried: what is marked, on which numbers, for how long, and whether behind walls."""

    exercises: dict[str, Exercise]
    module: ModuleType
    seed: str
    seconds: float
    walls: bool

    def marks(self, steps: list[dict[str, Any]]) -> dict[str, Mark]:
        """Marks a submission, by exercise: what breaks one answer costs that answer, for the others are tried without it, too."""
        deadline = time.monotonic() + jail.START + self.seconds * (3 * len(self.exercises) + 1)
        best = self._once(steps, deadline)
        for key, exercise in self.exercises.items():
            for number, some in enumerate(_tries(steps, key)):
                if best[key].points >= exercise.points or time.monotonic() > deadline:
                    break
                if number:  # the first way has been gone, with all answers in one process
                    best[key] = max(
                        best[key], self._once(some, deadline)[key], key=lambda mark: mark.points
                    )
        return best

    def _once(self, steps: list[dict[str, Any]], deadline: float) -> dict[str, Mark]:
        """Runs some steps in one process."""
        found: dict[str, Mark] = {}
        raised: dict[str, str] = {}
        with jail.Jail(self.walls, deadline) as process:
            for step in steps:
                if step["role"] == "mark":
                    key = step["id"].removesuffix(MARK)
                    found[key] = self._mark(process, self.exercises[key], raised.get(key, ""))
                elif step["role"] != "text" and not process.stopped:
                    try:
                        raised[step["id"]] = process.run(
                            step["source"], jail.START if step["role"] == "setup" else self.seconds
                        )
                    except jail.StoppedError as error:
                        raised[step["id"]] = str(error)
        return found

    def _mark(self, process: jail.Jail, exercise: Exercise, raised: str) -> Mark:
        """Marks one answer."""

        def answer(*args: Any, **kwargs: Any) -> Any:
            try:
                return process.call(exercise.name, args, kwargs, self.seconds)
            except jail.StoppedError as error:
                raise marking.AnswerError(str(error)) from None
            except RuntimeError as error:
                raise marking.AnswerError(f"your code raised {error}") from None

        missing = f"Expected a definition of {exercise.name}"
        try:
            if not process.has(exercise.name):
                return Mark(
                    0.0,
                    exercise.points,
                    [
                        f"{missing}, but its cell raised {raised}."
                        if raised
                        else f"{missing}; there is none."
                    ],
                )
        except jail.StoppedError as error:
            return Mark(
                0.0,
                exercise.points,
                [
                    f"{missing} that can be tried, but {error}{'' if str(error)[-1] in '.?!' else '.'}"
                ],
            )
        verdicts = marking.verdicts(self.module, exercise.name, answer, self.seed)
        points = round(exercise.points * sum(right for right, _ in verdicts) / len(verdicts), 2)
        return Mark(
            points,
            exercise.points,
            [f"{'+' if right else '-'} {sentence}" for right, sentence in verdicts],
        )


def submissions(folder: Path) -> dict[str, Path | None]:
    """Who handed in what: `NAME.ipynb`, or a folder NAME with one notebook in it. None stands for anything else.

    Raises:
        InputError: if the folder is missing or empty.
    """
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {folder}. Expected the folder with the students' notebooks."
        )

    def notebook(path: Path) -> bool:  # a link could show another's work
        plain = path.is_file() and not path.is_symlink() and not path.name.startswith(".")
        return path.suffix.lower() == ".ipynb" and plain

    def named(name: str) -> str:  # other bytes than text cannot be written, nor a long name
        text = "".join(filter(str.isprintable, os.fsencode(name).decode(errors="replace")))
        return text.encode()[:200].decode(errors="ignore") or "no name"

    found: dict[str, Path | None] = {}
    taken: set[str] = set()

    def add(name: str, path: Path | None) -> None:
        """Under a name that no other has, also where capitals do not count."""
        number, free = 1, named(name)
        while unicodedata.normalize("NFC", free).casefold() in taken:
            free = f"{named(name)} ({(number := number + 1)})"
        taken.add(unicodedata.normalize("NFC", free).casefold())
        found[free] = path

    entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    notebooks = {path.stem for path in entries if path.is_dir() or path.suffix.lower() == ".ipynb"}
    for path in entries:
        if path.is_dir():
            inside = [] if path.is_symlink() else _inside(path, notebook)
            add(path.name, inside[0] if len(inside) == 1 else None)
        elif path.suffix.lower() == ".ipynb" or path.stem not in notebooks:
            add(path.stem, path if notebook(path) else None)
    if not found:
        raise InputError(
            f"{folder} is empty: expected a notebook for each student, NAME.ipynb, or a folder NAME that holds one."
        )
    return found


def _inside(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """What is wanted of a folder's files; none of one that may not be read."""
    try:
        return [path for path in sorted(folder.iterdir()) if wanted(path)]
    except OSError:
        return []


def _trial(
    chapter: Path, seed: str, seconds: float, walls: bool
) -> tuple[list[dict[str, Any]], _Trial]:
    """A chapter's cells, and how its answers are tried.

    Raises:
        InputError: if it has no exercises or cannot mark them, or if a tool is missing.
    """
    if importlib.util.find_spec("nbgrader") is None:
        raise InputError("Grading needs nbgrader: install wmlib with its extra, wmlib[classroom].")
    if not 0 < seconds < 1e6:
        raise InputError(
            f"A cell may take {seconds} s; expected a number above 0, below a million."
        )
    cells, found = classroom.assignment(chapter)
    cases = chapter.resolve().parent / "hidden_tests" / f"{chapter.stem}.py"
    module = marking.load(cases)
    if missing := [exercise.name for exercise in found if not hasattr(module, exercise.name)]:
        raise InputError(
            f"{cases} has no function {missing[0]}: it says what is marked in that exercise."
        )
    return cells, _Trial(
        {exercise.id: exercise for exercise in found}, module, seed, seconds, walls
    )


def _read(path: Path | None) -> Any:
    """A notebook that was handed in.

    Raises:
        InputError: if it is none, or too large to be one.
    """
    if path is None:
        raise InputError("There is no notebook, or more than one, or only a link to one.")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path.name} is larger than {LARGEST // 10**6} MB.")
    return classroom.read_notebook(path)


def grade(
    folder: str | Path, chapter: str | Path, out: str | Path, seconds: float = 30.0, say: Callable[[Grade], None] = lambda grade: None, unsafe: bool = False
) -> list[Grade]:  # fmt: skip
    """Grades every submission in a folder, and leaves the folder as it was.

    Args:
        folder: the submissions: `NAME.ipynb`, or a folder NAME with a notebook in it.
        chapter: the chapter's notebook, with the solutions; `hidden_tests/` beside it holds what is marked.
        out: the folder to make: `grades.csv`, and `feedback/NAME.html` for each student.
        seconds: how long one cell, and one call of an answer, may take.
        say: called with each student's grade.
        unsafe: without walls: the students' code can do what you can.

    Returns:
        The grades, in the order of the names. Hidden values are drawn from the environment's WM_COURSE_SEED (0 if unset).

    Raises:
        InputError: if there are no walls here, nbgrader is missing, the chapter has no exercises or cannot mark them, or there is nothing to grade.
    """
    chapter, name = Path(chapter), Path(chapter).stem
    cells, trial = _trial(chapter, os.environ.get(marking.SEED) or "0", seconds, not unsafe)
    found = list(trial.exercises.values())
    handed = submissions(Path(folder))
    if not unsafe and (reason := jail.why_not()):
        raise InputError(reason)
    grades = {
        student: Grade(student, {exercise.id: 0.0 for exercise in found}) for student in handed
    }
    with new_artefact(out) as made, tempfile.TemporaryDirectory() as temporary:
        course = Path(temporary)
        ids = {
            f"s{number}": student for number, student in enumerate(handed)
        }  # nbgrader takes no odd names
        blank = {exercise.id: Mark(0.0, exercise.points, []) for exercise in found}
        _write(
            course / "source" / name / f"{name}.ipynb",
            _marked(_steps(cells, as_notebook(cells)), blank),
        )
        for key, student in list(ids.items()):
            grade = grades[student]
            try:
                steps = _steps(cells, _read(handed[student]))
                marks = trial.marks(steps)
                grade.points |= {exercise: mark.points for exercise, mark in marks.items()}
                grade.told = "\n\n".join(f"{key}: {mark.text}" for key, mark in marks.items())
            except InputError as error:
                grade.remark = f"{error} Expected the file that `wmlib classroom release` made, with your answers in it."
            except Exception as error:  # whatever it is, it is of this one alone
                met = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                grade.remark = f"It was not marked: the grader met {met}. Look at it by hand."
            try:
                if grade.remark:
                    raise ValueError
                _write(course / "submitted" / key / name / f"{name}.ipynb", _marked(steps, marks))
            except Exception:  # it has a plain page
                ids.pop(key)
            with contextlib.suppress(OSError, ValueError):  # the reader may be gone
                say(grade)
        for key, page in graded(course, name, list(ids)):
            grades[ids[key]].page = page
        (made / "feedback").mkdir()
        for student, grade in grades.items():
            try:
                page = _page(grade, name, found)
            except Exception:  # the marks stand, and the plain page has them
                page = _page(replace(grade, page=""), name, found)
            at = made / "feedback" / f"{student}.html"
            at.write_text(page, encoding="utf-8", errors="replace")
        (made / "grades.csv").write_text(
            _table(grades.values(), found), encoding="utf-8", errors="replace"
        )
    return list(grades.values())


def _marked(steps: list[dict[str, Any]], marks: dict[str, Mark]) -> list[dict[str, Any]]:
    """The notebook that nbgrader sums up: no code of it is run there, the marks stand in it."""
    found = []
    for step in steps:
        mark = marks[step["id"].removesuffix(MARK)] if step["role"] == "mark" else None
        found.append(
            step
            if mark is None
            else {**step, "points": mark.of, "earned": mark.points, "told": mark.text}
        )
    return found


def _write(path: Path, cells: list[dict[str, Any]]) -> None:
    import nbformat

    path.parent.mkdir(parents=True)
    nbformat.write(as_notebook(cells), path)


def _page(grade: Grade, name: str, found: list[Exercise]) -> str:
    """A student's page of feedback: nbgrader's, which then needs no network; or one that says why there is none."""
    total = sum(exercise.points for exercise in found)
    if grade.page:
        page = re.sub(r"<script[^>]*\bsrc=\"https?:.*?</script>", "", grade.page, flags=re.S)
        page = re.sub(rf'(<a href="#([a-z0-9-]+){MARK}">)Test cell</a>', r"\1\2</a>", page)
        page = re.sub(rf"Grade cell: <code>([a-z0-9-]+){MARK}</code>", r"\1", page).replace(
            "Student's answer", "Your answer"
        )
        who = html.escape(grade.student)
        page = page.replace(f"{name} (Score", f"{who}: {name} (Score").replace(
            "<title>", f"<title>{who}: ", 1
        )
        return page.replace(
            "</head>",
            "<style>pre { white-space: pre-wrap !important; word-break: normal !important } .prompt { display: none }</style></head>",
            1,
        )
    title, reason = html.escape(f"{grade.student}: {name}"), html.escape(grade.remark or grade.told)
    return _PAGE.format(title=title, points=grade.total, total=total, reason=reason)


def _table(grades: Iterable[Grade], found: list[Exercise]) -> str:
    """The grades as CSV: student, points of each exercise, sum, what could be had, remark."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["student", *(exercise.id for exercise in found), "points", "of", "remark"])
    for grade in grades:
        points = [f"{grade.points[exercise.id]:g}" for exercise in found]
        sums = f"{grade.total:g}", f"{sum(exercise.points for exercise in found):g}"
        rows.writerow([grade.student, *points, *sums, grade.remark])
    return text.getvalue()


def check(
    notebook: str | Path, chapter: str | Path | None = None, seconds: float = 30.0
) -> dict[str, Mark]:
    """Marks a student's own notebook on numbers that are no secret, as any program of theirs.

    Args:
        notebook: the students' copy, with answers in it.
        chapter: the chapter it was made from; found by its name in a clone of the book.
        seconds: how long one cell, and one call of an answer, may take.

    Returns:
        Exercise id -> mark.

    Raises:
        InputError: if the notebook or its chapter cannot be found or read.
    """
    submitted = (
        _read(Path(notebook))
        if Path(notebook).is_file()
        else classroom.read_notebook(Path(notebook))
    )
    if chapter is None:
        facts = submitted.metadata.get("wmlib")
        name = (
            Path(str(facts.get("chapter")) if isinstance(facts, dict) else Path(notebook).stem).name
            + ".ipynb"
        )
        book = LIBRARY.parent
        places = [book / folder / name for folder in ("chapters", "assignments")]
        chapter = next((place for place in places if place.is_file()), None)
        if chapter is None:
            raise InputError(
                f"{Path(notebook).name} belongs to no chapter that is here ({name}). Give its chapter with --chapter."
            )
    cells, trial = _trial(Path(chapter), "check", seconds, walls=False)
    return trial.marks(_steps(cells, submitted))


def brief(told: Iterable[str], words: int = 110) -> list[str]:
    """The first sentences, as far as they fit into so many words."""
    found: list[str] = []
    told = list(told)
    for number, sentence in enumerate(told):
        words -= len(sentence.split())
        if words < 0 and found:
            return [*found, f"  and {len(told) - number} more"]
        found.append(sentence)
    return found


def release_command(options: argparse.Namespace) -> None:
    """Writes the students' copy of a chapter."""
    print(f"The students' copy is {classroom.release(options.chapter, options.out)}")


def check_command(options: argparse.Namespace) -> None:
    """Tries the answers of one notebook, and says what came of it."""
    marks = check(options.notebook, options.chapter, options.seconds)
    for exercise, mark in marks.items():
        print("\n  ".join([f"{exercise}: {mark.points:g} of {mark.of:g}", *brief(mark.told)]))
    print("These numbers are not those that it will be graded on.")


def grade_command(options: argparse.Namespace) -> None:
    """Grades a folder of submissions."""
    of = sum(exercise.points for exercise in classroom.assignment(options.chapter)[1])

    def say(grade: Grade) -> None:
        print(
            f"  {grade.student:24} {grade.total:g} of {of:g}  {grade.remark}".rstrip(), flush=True
        )

    if not os.environ.get(marking.SEED):
        print(
            f"  {marking.SEED} is not set: the numbers are those that anyone can draw who has the book.",
            flush=True,
        )
    grades = grade(
        options.folder, options.chapter, options.out, options.seconds, say, options.unsafe
    )
    print(
        f"{len(grades)} graded: {options.out}/grades.csv, and a page for each in {options.out}/feedback/"
    )
