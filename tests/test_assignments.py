"""Every item of every assignment is tried with right answers of several kinds, and with each misconception that it knows."""

import re
import textwrap
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tools import notebooks
from wmlib.classroom import classroom, marking

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENTS = sorted((ROOT / "assignments").glob("*.ipynb"))
SEEDS = ("0", "a course of another year")
TEACHER = "**For the teacher.**"


def answers(path):
    """What was tried on an assignment: signatures, right answers and wrong ones."""
    return marking.load(ROOT / "tests" / "answers" / f"{path.stem}.py")


def cases(path):
    return marking.load(path.parent / "hidden_tests" / f"{path.stem}.py")


def defined(name, signature, body):
    """The function that such lines define."""
    namespace = {"np": np}
    exec(f"def {name}({signature}):\n{textwrap.indent(body, '    ')}", namespace)
    return namespace[name]


def verdicts(path, name, answer):
    return [
        verdict for seed in SEEDS for verdict in marking.verdicts(cases(path), name, answer, seed)
    ]


def values(path, name, answer):
    """All that an answer gives, to tell it from another."""
    found = []
    with np.errstate(all="ignore"):
        for case in getattr(cases(path), name)(answer, np.random.default_rng(0)):
            try:
                found.append(np.round(np.asarray(case.given(), float), 9).tolist())
            except Exception as error:
                found.append(str(error))
    return str(found)


ITEMS = [
    (path, exercise)
    for path in ASSIGNMENTS
    for exercise in classroom.exercises(classroom.read_notebook(path).cells, path.name)
]
each_item = pytest.mark.parametrize(
    ("path", "exercise"), ITEMS, ids=[f"{path.stem}-{exercise.id}" for path, exercise in ITEMS]
)
each_assignment = pytest.mark.parametrize("path", ASSIGNMENTS, ids=lambda path: path.stem)


@each_assignment
def test_an_assignment_has_four_to_six_items_of_the_four_kinds_and_says_how_long_it_takes(path):
    cells = classroom.read_notebook(path).cells
    found = classroom.exercises(cells, path.name)
    assert 4 <= len(found) <= 6
    kinds = [
        re.match(r"\*\*Exercise (\d)\*\* (★+) \*\((\w+)\)\*\. ", exercise.text)
        for exercise in found
    ]
    assert [int(kind[1]) for kind in kinds] == list(range(1, len(found) + 1))
    assert {kind[3] for kind in kinds} == {"predict", "implement", "measure", "explain"}
    stars = [len(kind[2]) for kind in kinds]
    assert stars == sorted(stars), "the difficulty rises"
    assert re.search(r"human minutes", cells[0].source)
    assert not notebooks.problems(
        {**classroom.read_notebook(path), "cells": [dict(cell) for cell in cells]}, path.name
    )


@each_item
def test_the_reference_earns_every_point_and_the_stub_none(path, exercise):
    stub, reference = {"np": np}, {"np": np}
    exec(exercise.stub, stub)
    exec(exercise.solution.split("\n\n\nprint(")[0], reference)
    assert not any(right for right, _ in verdicts(path, exercise.name, stub[exercise.name]))
    wrong = [
        told for right, told in verdicts(path, exercise.name, reference[exercise.name]) if not right
    ]
    assert not wrong


@each_item
def test_right_answers_of_several_kinds_earn_every_point(path, exercise):
    tried = answers(path)
    right = tried.RIGHT[exercise.name]
    assert len({"".join(body.split()) for body in right}) >= 5
    for body in right:
        found = verdicts(
            path, exercise.name, defined(exercise.name, tried.SIGNATURES[exercise.name], body)
        )
        assert all(right for right, _ in found), (
            body,
            [told for right, told in found if not right],
        )


@each_item
def test_each_misconception_loses_points_and_is_named(path, exercise):
    tried = answers(path)
    wrong = tried.WRONG[exercise.name]
    assert len(wrong) >= 8
    numbers = {}
    for said, body in wrong.items():
        answer = defined(exercise.name, tried.SIGNATURES[exercise.name], body)
        found = [told for right, told in verdicts(path, exercise.name, answer) if not right]
        assert found, f"full marks for: {said}"
        assert any(said in told for told in found), (said, found)
        numbers[said] = values(path, exercise.name, answer)
    assert len(set(numbers.values())) == len(numbers), (
        "two misconceptions give the same numbers: they are one"
    )


@each_assignment
def test_the_students_copy_runs_and_holds_no_line_of_a_solution_and_nothing_for_the_teacher(
    path, tmp_path, monkeypatch
):
    monkeypatch.setenv("WM_SCALE", "smoke")
    copy = nbformat.read(classroom.release(path, tmp_path), as_version=4)
    text = re.sub(r"\s", "", "\n".join(cell.source for cell in copy.cells))
    notes = [
        cell.source
        for cell in classroom.read_notebook(path).cells
        if cell.source.startswith(TEACHER)
    ]
    assert notes, "an answer in words needs marking notes"
    for cell in notes:
        assert not any(
            re.sub(r"\s", "", line) in text for line in cell.splitlines() if line.strip()
        )
    for exercise in classroom.exercises(classroom.read_notebook(path).cells, path.name):
        public = {line.strip() for line in (exercise.stub + "\n" + exercise.check).splitlines()}
        secret = [
            line.strip()
            for line in exercise.solution.splitlines()
            if line.strip() and line.strip() not in public
        ]
        assert secret
        for line in secret:
            for shown in (line, line.removeprefix("return "), line.split(" = ", 1)[-1]):
                assert len(shown) < classroom.SHORTEST_LEAK or re.sub(r"\s", "", shown) not in text
    namespace = {}
    for cell in copy.cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)


@each_assignment
def test_a_check_agrees_with_the_reference(path, capsys, monkeypatch):
    monkeypatch.setenv("WM_SCALE", "smoke")
    namespace = {}
    for cell in classroom.assignment(path)[0]:
        if cell["role"] != "text":
            exec(cell["source"], namespace)
    for exercise in classroom.exercises(classroom.read_notebook(path).cells, path.name):
        capsys.readouterr()
        exec(exercise.solution, namespace)
        printed = capsys.readouterr().out
        assert re.search(r"Right\.|has a letter", printed), (exercise.id, printed)
