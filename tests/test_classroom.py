"""Exercises go the whole round: chapter, students' copy, submissions, points and feedback."""

import ast
import csv
import hashlib
import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pytest

from tools import notebooks
from wmlib.classroom import classroom, grading, jail, marking
from wmlib.cli import main
from wmlib.errors import InputError

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"
FIRST = CHAPTERS / "01_why_dream.ipynb"
WITH_EXERCISES = [
    path
    for path in sorted(CHAPTERS.glob("*.ipynb"))
    if '"exercise": {' in path.read_text(encoding="utf-8")
]

RIGHT = (
    'def alive_share(episode):\n    return episode.terms["alive"].sum() / episode.episode_return\n'
)
PARTLY = "def alive_share(episode):\n    return 5 * len(episode) / episode.episode_return\n"
ANSWERS = {  # student -> what they write for alive_share, and the points and the words they get
    "right": (RIGHT, 2, r"2 of 2 points\.\s+\+ an episode that ends in a fall: right\."),
    "wrong": (
        'def alive_share(episode):\n    return episode.terms["alive"].mean()\n',
        0,
        r"expected [\d.]+, got 4\.\d+\. That is the term's mean over the steps",
    ),
    "raises": (
        "def alive_share(episode):\n    return 1 / 0\n",
        0,
        r"expected [\d.]+, but your code raised ZeroDivisionError",
    ),
    "hangs": (
        "def alive_share(episode):\n    while True:\n        pass\n",
        0,
        r"had not come to an end after 4 s\. Expected an answer sooner",
    ),
    "exits": (
        "import os\n\n\ndef alive_share(episode):\n    os._exit(0)\n",
        0,
        r"Expected code that runs to its end",
    ),
}


def answered(copy, answers):
    """A students' copy with answers written in: exercise id -> code."""
    notebook = nbformat.read(copy, as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    return notebook


def hashes(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return classroom.release(FIRST, tmp_path_factory.mktemp("released") / "for students")


@pytest.mark.parametrize("chapter", WITH_EXERCISES, ids=lambda path: path.stem)
def test_no_line_of_a_solution_survives_in_the_students_copy(chapter, tmp_path):
    copy = classroom.release(chapter, tmp_path)
    text = re.sub(
        r"\s", "", "\n".join(cell.source for cell in nbformat.read(copy, as_version=4).cells)
    )
    cells = classroom.read_notebook(chapter).cells
    for exercise in classroom.exercises(cells, chapter.name):
        public = {line.strip() for line in (exercise.stub + "\n" + exercise.check).splitlines()}
        secret = [
            line.strip()
            for line in exercise.solution.splitlines()
            if line.strip() and line.strip() not in public
        ]
        assert len(secret) >= 2, "at least its comment and its answer"
        for line in secret:
            for shown in (line, line.removeprefix("return "), line.split(" = ", 1)[-1]):
                assert re.sub(r"\s", "", shown) not in text
    assert "solution" not in copy.read_text(encoding="utf-8").lower().replace('"solution":', "")


@pytest.mark.parametrize("chapter", WITH_EXERCISES, ids=lambda path: path.stem)
def test_the_students_copy_runs_and_the_solution_earns_every_point_and_the_stub_none(chapter):
    cells, found = classroom.assignment(chapter)
    module = marking.load(chapter.parent / "hidden_tests" / f"{chapter.stem}.py")
    namespace = {}
    for cell in cells:
        if cell["role"] != "text":
            exec(cell["source"], namespace)
    for exercise in found:
        for seed in ("0", "another"):
            stub = marking.verdicts(module, exercise.name, namespace[exercise.name], seed)
            assert stub and not any(right for right, _ in stub)
            answer = {**namespace}
            exec(exercise.solution, answer)
            verdicts = marking.verdicts(module, exercise.name, answer[exercise.name], seed)
            assert all(right for right, _ in verdicts), verdicts


def test_the_copy_holds_only_what_the_exercises_need(copy):
    cells = nbformat.read(copy, as_version=4).cells
    setup = next(
        cell.source
        for cell in cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "setup"
    )
    assert "falling = " in setup and "body = " in setup
    assert "say" not in setup and "baselines" not in setup and "plot" not in setup
    assert [cell.metadata.nbgrader.grade_id for cell in cells if cell.metadata.editable] == [
        "fall-chance",
        "alive-share",
    ]


def chapter_of(*codes):
    """A chapter with one exercise that needs what the codes set."""
    new, facts = nbformat.v4.new_code_cell, {"exercise": {"id": "add-up", "points": 1}}
    triple = [
        ("exercise", "def add_up(x):\n    return ..."),
        ("check", "print(add_up(data))"),
        ("solution", "def add_up(x):\n    return x.cumsum()[-1]"),
    ]
    cells = [new(code) for code in codes] + [
        new(code, metadata={**facts, "tags": [tag]}) for tag, code in triple
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Why?"), *cells])


@pytest.mark.parametrize(("codes", "kept"), [
    (["import numpy as np, math", "a = 1; data = np.zeros(a)"], ["np", "a = 1", "zeros"]),
    (["data = []\nother = 3\nfor i in range(3):\n    data.append(i)\nprint(data)"], ["data = []", "append"]),
    (["data = {}", "data['k'] = 2", "x = data['k']"], ["data = {}", "data['k'] = 2"]),
    (["def helper():\n    return size", "size = 3", "data = helper()"], ["    return size", "size = 3"]),
    (["@staticmethod\ndef data(): pass", "unused = 1"], ["@staticmethod"]),
])  # fmt: skip
def test_the_code_that_an_exercise_needs_is_found(codes, kept, tmp_path):
    path = tmp_path / "c.ipynb"
    nbformat.write(chapter_of(*codes), path)
    setup = next(
        cell["source"] for cell in classroom.assignment(path)[0] if cell["role"] == "setup"
    )
    assert all(piece in setup for piece in kept), setup
    assert not any(piece in setup for piece in ("math", "other", "print", "x = ", "unused")), setup


def test_the_whole_round(copy, tmp_path, monkeypatch):
    handed, out = tmp_path / "handed in", tmp_path / "graded"
    handed.mkdir()
    fall_chance = "def fall_chance(c, R):\n    return (5 - c) / R\n"
    for student, (code, _, _) in ANSWERS.items():
        nbformat.write(
            answered(copy, {"alive-share": code, "fall-chance": fall_chance}),
            handed / f"{student}.ipynb",
        )
    (handed / "stub.ipynb").write_bytes(copy.read_bytes())
    (handed / "essay.ipynb").write_text("My dog ate it.")
    retyped = answered(
        copy,
        {
            "alive-share": PARTLY,
            "fall-chance": fall_chance,
            "alive-share-check": "raise SystemExit",
        },
    )
    retyped.cells = [cell for cell in retyped.cells if cell.metadata.nbgrader.grade_id != "setup"]
    for cell in retyped.cells:
        cell.metadata = {}
    (handed / "Zoë, O'Hara").mkdir()
    nbformat.write(retyped, handed / "Zoë, O'Hara" / "mine.ipynb")
    before = hashes(handed)
    monkeypatch.setenv("WM_COURSE_SEED", "a course of 2026")
    unsafe = ["--unsafe"] if jail.why_not() else []  # these five are ours
    assert (
        main(
            [
                "classroom",
                "grade",
                str(handed),
                "--chapter",
                str(FIRST),
                "--out",
                str(out),
                "--seconds",
                "4",
                *unsafe,
            ]
        )
        == 0
    )
    assert hashes(handed) == before

    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {*ANSWERS, "stub", "essay", "Zoë, O'Hara"}
    assert {row["of"] for row in rows.values()} == {"3"}
    for student, (_, points, words) in ANSWERS.items():
        assert float(rows[student]["alive-share"]) == points, rows[student]
        assert float(rows[student]["fall-chance"]) == 1, "a broken answer costs that answer"
        page = (out / "feedback" / f"{student}.html").read_text(encoding="utf-8")
        assert re.search(words, page), page[-3000:]
        assert "a course of 2026" not in page and str(CHAPTERS.parent) not in page, (
            "neither the seed nor a path is told"
        )
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=.https?:", page), (
            "a page of feedback needs no network"
        )
    assert [float(rows["stub"][key]) for key in ("alive-share", "fall-chance", "points")] == [
        0,
        0,
        0,
    ]
    assert "not done yet" in (out / "feedback" / "stub.html").read_text(encoding="utf-8")
    assert "is not a Jupyter notebook" in rows["essay"]["remark"]
    assert "Expected the file that" in (out / "feedback" / "essay.html").read_text(encoding="utf-8")
    assert rows["Zoë, O'Hara"]["points"] == "2", (
        "metadata lost and a cell deleted: the answers still count, and one of two cases is one point"
    )
    assert "At a fall the last step pays no bonus" in (
        out / "feedback" / "Zoë, O'Hara.html"
    ).read_text(encoding="utf-8")


def test_equal_seeds_draw_equal_cases_and_others_draw_others():
    module = marking.load(CHAPTERS / "hidden_tests" / "01_why_dream.py")
    told = [
        marking.verdicts(module, "fall_chance", lambda c, R: 0.0, seed)[0][1]
        for seed in ("0", "0", "1")
    ]
    assert told[0] == told[1] != told[2]


def change(cell, **facts):
    def on(cells):
        where = next(i for i, each in enumerate(cells) if cell in each["metadata"].get("tags", []))
        cells[where]["metadata"].update(facts)

    return on


BROKEN = {
    "no solution": (lambda cells: cells.pop(3), "expected three code cells"),
    "another id": (change("check", exercise={"id": "other", "points": 1}), "the same metadata"),
    "no metadata": (change("exercise", exercise=None), "the same metadata"),
    "a check alone": (change("exercise", tags=[]), "none of the tags|outside an exercise"),
    "no points": (lambda cells: [cell.metadata.update(exercise={"id": "add-up", "points": 0}) for cell in cells[1:]], "0 points; expected"),
    "an odd id": (lambda cells: [cell.metadata.update(exercise={"id": "Add Up", "points": 1}) for cell in cells[1:]], "not of the form"),
    "a check that tells": (lambda cells: cells[2].update(source="print(add_up(data) == data.cumsum()[-1] or x.cumsum()[-1])"), "would show the solution"),
    "no exercise": (lambda cells: cells.__delitem__(slice(1, None)), "has no exercises"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_exercise_is_named_in_one_line(name, tmp_path):
    notebook, path = chapter_of(), tmp_path / "c.ipynb"
    act, message = BROKEN[name]
    act(notebook.cells)
    nbformat.write(notebook, path)
    with pytest.raises(InputError, match=message) as caught:
        classroom.release(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    if "would show" not in message and "no exercises" not in message:
        assert any(
            re.search(message, problem)
            for problem in notebooks.problems(json.loads(path.read_text()), "c.ipynb")
        )


@pytest.mark.parametrize(("words", "message"), [
    (["release", "nowhere.ipynb", "--out", "out"], "nowhere.ipynb cannot be read"),
    (["release", "text.ipynb", "--out", "out"], "text.ipynb is not a Jupyter notebook"),
    (["release", "plain.ipynb", "--out", "out"], "plain.ipynb has no exercises"),
    (["release", str(FIRST), "--out", "text.ipynb"], "Cannot write in text.ipynb"),
    (["grade", "nowhere", "--chapter", str(FIRST), "--out", "out"], "There is no folder nowhere"),
    (["grade", "empty", "--chapter", str(FIRST), "--out", "out"], "empty is empty: expected a notebook"),
    (["grade", "empty", "--chapter", "mine.ipynb", "--out", "out"], "mine.py is missing: it says what is marked"),
    (["grade", "empty", "--chapter", str(FIRST), "--out", "out", "--seconds", "0"], "expected a number above 0"),
])  # fmt: skip
def test_a_wrong_command_gets_one_line_and_leaves_no_file(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.ipynb").write_text("no notebook")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "plain.ipynb")
    nbformat.write(chapter_of("data = 1"), tmp_path / "mine.ipynb")
    before = sorted(tmp_path.rglob("*"))
    assert main(["classroom", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_without_nbgrader_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs nbgrader: install .*wmlib\[classroom\]"):
        grading.grade(tmp_path, FIRST, tmp_path / "out")


def test_a_copy_is_never_overwritten(copy):
    with pytest.raises(InputError, match="exists already"):
        classroom.release(FIRST, copy.parent)


def test_the_code_of_each_copy_is_python(copy):
    for cell in nbformat.read(copy, as_version=4).cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)
