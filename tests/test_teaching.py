"""The lesson plans: every chapter has one, no cell is empty, and what they name is in the chapter."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LESSONS = (ROOT / "book" / "lessons.md").read_text(encoding="utf-8")
CHAPTERS = sorted(path for path in (ROOT / "chapters").glob("[0-9]*.ipynb"))
PARTS = (
    "**Needs**",
    "**People**",
    "**75 minutes.**",
    "**Wrong ideas.**",
    "**For the room.**",
    "**Marking.**",
)


def lesson(chapter):
    """The section of a chapter."""
    found = re.search(
        rf"^\(lesson-{int(chapter.name[:2])}\)=\n(.*?)(?=^\(lesson-|\Z)", LESSONS, re.M | re.S
    )
    assert found, (
        f"book/lessons.md has no section (lesson-{int(chapter.name[:2])})= for {chapter.name}"
    )
    return found[1]


def table(section):
    """Its rows, header and rule left out."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["objective", "exercises", "checked by"]
    return rows[2:]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return request.param


def test_every_chapter_has_every_part_under_its_own_title(chapter):
    section = lesson(chapter)
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
    assert section.startswith(f"## {int(chapter.name[:2])}. {title}")
    assert [part for part in PARTS if part not in section] == []


def test_no_cell_is_empty_and_every_exercise_has_its_place(chapter):
    rows = table(lesson(chapter))
    assert all(all(row) and len(row) == 3 for row in rows) and len(rows) >= 3
    text = "".join(
        "".join(cell["source"]) for cell in json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    )
    there = {int(number) for number in re.findall(r"\*\*Exercise (\d+)\*\*", text)}
    assert {int(number) for row in rows for number in re.findall(r"\d+", row[1])} == there


def test_every_graded_exercise_and_every_quiz_is_named_and_no_other(chapter):
    checked = " ".join(row[2] for row in table(lesson(chapter)))
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    stubs = {cell["metadata"]["exercise"]["id"] for cell in cells if "exercise" in cell["metadata"]}
    named = set(re.findall(r"`([a-z0-9-]+)`", checked))
    assert named == stubs
    n_quizzes = sum(
        "".join(cell["source"]).count('<div class="quiz">')
        for cell in cells
        if cell["cell_type"] == "markdown"
    )
    assert {
        int(number)
        for number in re.findall(r"quiz(?:zes)? (\d)", checked)
        + re.findall(r"quizzes \d and (\d)", checked)
    } == set(range(1, n_quizzes + 1))


def test_the_table_of_measured_minutes_has_every_chapter():
    spec = importlib.util.spec_from_file_location(
        "measured", ROOT / "book" / "_ext" / "measured.py"
    )
    measured = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measured)
    took = {"scale": "small", "chapters": {"01_x": {"seconds": 90.0, "megabytes": 500}}}
    assert measured.rows(took) == [
        "| chapter | minutes at scale `small` | memory |",
        "|---|---|---|",
        "| {doc}`../chapters/01_x` | 1.5 | 0.50 GB |",
    ]
