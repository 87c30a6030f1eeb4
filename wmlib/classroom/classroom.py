"""The exercises of a chapter: found by their tags, and released to students without solutions.

An exercise is three code cells with one `metadata.exercise = {"id": "alive-share", "points": 2}` and the tags
`exercise` (the stub), `check` and `solution`. It asks for a name, its id with underscores (`alive_share`). From these
cells `release` generates the student's notebook; `wmlib.classroom.grading` marks what comes back, on the cases of `wmlib.classroom.marking`.
"""

from __future__ import annotations

import ast
import json
import re
import symtable
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wmlib.classroom.nbgrading import as_notebook
from wmlib.errors import InputError
from wmlib.storage import refuse_taken, write_atomic

TRIPLE = ("exercise", "check", "solution")
SHORTEST_LEAK = 12  # characters of a solution's expression that may not stand in the student's copy
Cell = Any  # a notebook cell: a dictionary that nbformat reads


@dataclass(frozen=True)
class Exercise:
    """One exercise: its id, its points, and its cells.

    Attributes:
        id: such as `alive-share`.
        points: what it is worth.
        where: position of the stub among the chapter's cells; check and solution follow.
        text: the task, in Markdown.
        stub: the code that the student completes.
        check: the code that says whether an answer is right.
        solution: one right answer.
    """

    id: str
    points: float
    where: int
    text: str
    stub: str
    check: str
    solution: str

    @property
    def name(self) -> str:
        """What the student's code defines."""
        return self.id.replace("-", "_")


def read_notebook(path: Path) -> Any:
    """Reads whatever Jupyter opens as a notebook: any encoding of JSON, any schema that it knows, faults in what is not used here.

    Returns:
        A notebook whose cells have `cell_type`, `source` (text) and `metadata` (a dictionary); the rest is as it was.

    Raises:
        InputError: if it is missing or is no notebook, or if nbformat is not installed.
    """
    try:
        import nbformat  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise InputError(
            "Reading notebooks needs nbformat: install wmlib with its extra, wmlib[classroom]."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = json.loads(path.read_bytes())  # UTF-8, UTF-16 or UTF-32, with a mark or without
            if not isinstance(found, dict):
                raise TypeError
            if "cells" not in found:  # a format before 4
                found = nbformat.reads(json.dumps(found), as_version=4)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception:  # JSON of any other kind fails in many ways
        found = {}
    version = found.get("nbformat", 4)
    if type(version) is int and version > 4:
        raise InputError(
            f"{path.name} is a notebook of format {version}; expected format 4. Save it with JupyterLab 4."
        )
    if not isinstance(found.get("cells"), list):
        raise InputError(
            f"{path.name} is not a Jupyter notebook (a file .ipynb, as JupyterLab saves it)."
        )
    cells = [_plain(cell) for cell in found["cells"] if isinstance(cell, dict)]
    about = _dictionary(found.get("metadata"))
    return nbformat.from_dict(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": cells}
    )


def _dictionary(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    """What is used of a cell, as text and dictionaries whatever stands there; what is no code is text for readers."""
    lines, metadata = cell.get("source", ""), _dictionary(cell.get("metadata"))
    if not isinstance(metadata.get("tags", []), list):
        del metadata["tags"]
    source = "".join(
        line for line in (lines if isinstance(lines, list) else [lines]) if isinstance(line, str)
    )
    kind = "code" if cell.get("cell_type") == "code" else "markdown"
    return {**cell, "cell_type": kind, "source": source, "metadata": metadata}


def exercises(cells: list[Cell], name: str) -> list[Exercise]:
    """The exercises of a chapter, in order.

    Raises:
        InputError: if a triple is not whole: three code cells one after the other, tagged `exercise`, `check` and
            `solution`, with the same id and points.
    """
    found: list[Exercise] = []
    roles = [
        [tag for tag in TRIPLE if tag in cell.get("metadata", {}).get("tags", [])] for cell in cells
    ]
    for where, role in enumerate(roles):
        facts = cells[where].get("metadata", {}).get("exercise")
        here = f"{name}, cell {where + 1}"
        if not role:
            if facts is not None:
                raise InputError(
                    f"{here} has metadata 'exercise' and none of the tags {', '.join(TRIPLE)}."
                )
            continue
        if role != ["exercise"]:
            if found and where - found[-1].where < 3:
                continue  # the check or the solution of the exercise before
            raise InputError(
                f"{here} is tagged {' and '.join(role)} outside an exercise: expected {', '.join(TRIPLE)}, one after the other."
            )
        triple = cells[where : where + 3]
        if roles[where : where + 3] != [[tag] for tag in TRIPLE] or any(
            cell["cell_type"] != "code" for cell in triple
        ):
            raise InputError(
                f"{here}: expected three code cells, tagged {', '.join(TRIPLE)}, one after the other."
            )
        if (
            not isinstance(facts, dict)
            or facts.keys() != {"id", "points"}
            or any(cell["metadata"].get("exercise") != facts for cell in triple)
        ):
            raise InputError(
                f'{here}: expected the same metadata on stub, check and solution: "exercise": {{"id": "alive-share", "points": 2}}.'
            )
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", str(facts["id"])) or facts["id"] in [
            exercise.id for exercise in found
        ]:
            raise InputError(
                f"{here}: the id '{facts['id']}' is taken, or is not of the form alive-share."
            )
        if type(facts["points"]) not in (int, float) or not facts["points"] > 0:
            raise InputError(f"{here}: {facts['points']} points; expected a number above 0.")
        before = cells[where - 1]
        text = before["source"] if where and before["cell_type"] == "markdown" else ""
        text = text[max(text.rfind("**Exercise"), 0) :]  # the cell may hold what came before
        found.append(
            Exercise(
                facts["id"], facts["points"], where, text, *(cell["source"] for cell in triple)
            )
        )
    return found


def _names(code: str) -> tuple[set[str], set[str]]:
    """The global names that some code sets, and those that it uses, in its functions too."""
    top = symtable.symtable(code, "cell", "exec")
    sets = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
    uses, waiting = (
        {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()},
        top.get_children(),
    )
    while waiting:
        scope = waiting.pop()
        uses |= {
            symbol.get_name()
            for symbol in scope.get_symbols()
            if symbol.is_global() and symbol.is_referenced()
        }
        waiting += scope.get_children()
    return sets, uses


def _changed(statement: ast.stmt) -> set[str]:
    """Names whose object a statement changes when it runs: `name.append(...)` on a line of its own, `name[0] = ...`."""
    found: set[str] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        stored = isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
        target = (
            node.value.func
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            else node
            if stored
            else None
        )
        while isinstance(target, ast.Attribute | ast.Subscript):
            target = target.value
            found |= {target.id} if isinstance(target, ast.Name) else set()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def _needed(cells: list[Cell], found: list[Exercise]) -> str:
    """The statements before the exercises that what they use depends on.

    A statement is kept if it sets a wanted name, or changes its object (`_changed`); no function is seen through.
    """
    own = {exercise.where + offset for exercise in found for offset in range(3)}
    codes = [
        cell["source"]
        for where, cell in enumerate(cells[: found[-1].where])
        if cell["cell_type"] == "code" and where not in own
    ]
    statements = [(code, statement) for code in codes for statement in ast.parse(code).body]
    modules = {
        name
        for _, statement in statements
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for name in _names(ast.unparse(statement))[0]
    }
    wanted = set[str]().union(
        *(_names(f"{exercise.stub}\n{exercise.check}")[1] for exercise in found)
    )
    kept: set[int] = set()
    seen = -1
    while len(kept) > seen:  # a function uses names that are set after it
        seen = len(kept)
        for number, (_, statement) in enumerate(statements):
            sets, uses = _names(ast.unparse(statement))
            if (sets | (_changed(statement) - modules)) & wanted:
                kept.add(number)
                wanted |= uses
    lines: list[str] = []
    for code, statement in (statements[number] for number in sorted(kept)):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            statement.names = [
                name
                for name in statement.names
                if (name.asname or name.name.split(".")[0]) in wanted
            ]
            lines.append(ast.unparse(statement))
        else:
            first = min(
                [
                    statement.lineno,
                    *(decorator.lineno for decorator in getattr(statement, "decorator_list", [])),
                ]
            )
            lines += code.splitlines()[first - 1 : statement.end_lineno]
    return "\n".join(lines)


def leaks(exercise: Exercise, public: Iterable[str]) -> list[str]:
    """The lines and values of a solution that stand in code which students see; what the stub holds may."""
    seen = "\n".join(ast.unparse(ast.parse(code)) for code in public)
    stub = {line.strip() for line in ast.unparse(ast.parse(exercise.stub)).splitlines()}
    tree = ast.parse(exercise.solution)
    values = [
        ast.unparse(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Return | ast.Assign) and node.value
    ]
    lines = [
        line.strip()
        for line in ast.unparse(tree).splitlines()
        if f"check_{exercise.name}(" not in line
    ]
    own = [text for text in dict.fromkeys(lines + values) if text not in stub]
    return [text for text in own if len(text) >= SHORTEST_LEAK and text in seen]


def _points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"


def assignment(chapter: str | Path) -> tuple[list[dict[str, Any]], list[Exercise]]:
    """What students get of a chapter: a title, the code that the exercises need, and each exercise up to its check.

    Returns:
        Cells as dictionaries with `role` (`text`, `setup`, `answer` or `check`), `id` and `source`; and the exercises.

    Raises:
        InputError: if the chapter is no notebook, has no exercises, or if a solution shows through.
    """
    path = Path(chapter)
    cells = read_notebook(path).cells
    found = exercises(cells, path.name)
    if not found:
        raise InputError(
            f"{path.name} has no exercises: expected cells tagged {', '.join(TRIPLE)}."
        )
    title = re.search(
        r"^# (.+)$",
        "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown"),
        re.M,
    )
    total = sum(exercise.points for exercise in found)
    head = (
        f"# {title[1] if title else path.stem}\n\n**The graded exercises: {_points(total)}.** Run the cells from the top. "
        "Write each answer in the cell that says so, then run the check below it. Then save, let `wmlib classroom check` try all of it, and hand in this file under your name.\n\n"
        "*Before it is graded, all other cells are put back as they were. Answers are tried on other numbers than the checks use.*"
    )
    made = [{"role": "text", "id": "head", "source": head}]
    if code := _needed(cells, found):
        made.append({"role": "setup", "id": "setup", "source": f"# From the chapter\n{code}"})
    for exercise in found:
        made.append(
            {
                "role": "text",
                "id": f"{exercise.id}-text",
                "source": f"## {exercise.id} ({_points(exercise.points)})\n\n{exercise.text}".strip(),
            }
        )
        made.append({"role": "answer", "id": exercise.id, "source": exercise.stub})
        made.append({"role": "check", "id": f"{exercise.id}-check", "source": exercise.check})
    for exercise in found:
        if shown := leaks(
            exercise, [cell["source"] for cell in made if cell["role"] in ("setup", "check")]
        ):
            raise InputError(
                f"{path.name}: the students' copy would show the solution of {exercise.id}: '{shown[0]}'. Let its check test another way."
            )
    return made, found


def release(chapter: str | Path, folder: str | Path) -> Path:
    """Writes the students' copy of a chapter's exercises: no cell and no line of a solution is in it.

    Args:
        chapter: the chapter's notebook.
        folder: where the copy goes, under the chapter's file name; made if need be.

    Raises:
        InputError: if the chapter has no (whole) exercises, a check shows a solution, or the copy exists already.
    """
    import nbformat

    cells, _ = assignment(chapter)
    target = Path(folder) / Path(chapter).name
    refuse_taken(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot write in {folder}: {error.strerror}. Give an --out that you may write."
        ) from None
    write_atomic(
        target,
        (
            nbformat.writes(as_notebook(cells, wmlib={"chapter": Path(chapter).stem})) + "\n"
        ).encode(),
    )
    return target
