"""Whatever Jupyter opens is graded, and what goes wrong with one submission costs that one alone: a class of thirty odd notebooks."""

import csv
import json
from pathlib import Path

import nbformat
import pytest
from hostile import RIGHT, answered
from hypothesis import given, settings
from hypothesis import strategies as st

from wmlib.classroom import classroom, grading, jail
from wmlib.classroom.grading import Mark
from wmlib.classroom.marking import Case
from wmlib.cli import main
from wmlib.errors import InputError

CHAPTER = Path(__file__).resolve().parent.parent / "chapters" / "01_why_dream.ipynb"


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A copy with right answers, as plain JSON."""
    return json.loads(nbformat.writes(answered(CHAPTER, tmp_path_factory.mktemp("released"))))


def text(act=lambda notebook: None, encoding="utf-8", **how):
    def made(notebook):
        act(notebook)
        return json.dumps(notebook, **how).encode(encoding)

    return made


def answers(notebook):
    return [one for one in notebook["cells"] if one["metadata"].get("nbgrader", {}).get("solution")]


def each_cell(**facts):
    return lambda notebook: [one.update(facts) for one in notebook["cells"]]


def with_comment(comment):
    def act(notebook):
        for one in answers(notebook):
            if one["metadata"]["nbgrader"]["grade_id"] == "alive-share":
                one["source"] = RIGHT["alive-share"] + comment

    return act


def as_lists(notebook):
    for one in notebook["cells"]:
        one["source"] = "".join(one["source"]).splitlines(keepends=True)


def with_id(notebook):
    for one in notebook["cells"]:
        one["id"] = "the same id, with spaces"


def as_version_3(notebook):
    old = nbformat.convert(nbformat.from_dict(notebook), 3)
    notebook.clear()
    notebook.update(json.loads(json.dumps(old)))


def with_odd_cells(notebook):
    notebook["cells"] += [None, 3, "text", [], {}, {"cell_type": "code"}, {"source": None}]


def with_outputs(notebook):
    for one in answers(notebook):
        one["outputs"] = [{"output_type": "from the future"}, None, {"data": {"text/html": 3}}]


def with_bare_metadata(notebook):
    notebook["cells"][0].pop("metadata")
    notebook["cells"].append({"cell_type": "code", "source": "x = 1", "metadata": None})


ODD = {
    "a mark of bytes": text(encoding="utf-8-sig"),
    "UTF-16 with its mark": text(encoding="utf-16", ensure_ascii=False),
    "UTF-16 without one": text(encoding="utf-16-le"),
    "UTF-32": text(encoding="utf-32"),
    "minor 4 with ids": text(lambda notebook: notebook.update(nbformat_minor=4)),
    "minor 99": text(lambda notebook: notebook.update(nbformat_minor=99)),
    "minor as text": text(lambda notebook: notebook.update(nbformat_minor="5")),
    "no minor": text(lambda notebook: notebook.pop("nbformat_minor")),
    "no version": text(lambda notebook: notebook.pop("nbformat")),
    "format 3": text(as_version_3),
    "no metadata": text(lambda notebook: notebook.pop("metadata")),
    "metadata null": text(lambda notebook: notebook.update(metadata=None)),
    "more keys": text(lambda notebook: notebook.update(made_by="another editor")),
    "kernel of another language": text(lambda notebook: notebook.update(metadata={"kernelspec": 3})),
    "sources as lists": text(as_lists),
    "one id for all": text(with_id),
    "ids that are numbers": text(each_cell(id=7)),
    "counts as text": text(each_cell(execution_count="3")),
    "attachments of an odd type": text(each_cell(attachments=[1])),
    "outputs of an odd kind": text(with_outputs),
    "no outputs": text(lambda notebook: [one.pop("outputs", 0) for one in notebook["cells"]]),
    "cells that are none": text(with_odd_cells),
    "cells without metadata": text(with_bare_metadata),
    "half of an emoji": text(with_comment("# nice \ud83d\n")),
    "a whole emoji": text(with_comment("# nice \U0001f600\n"), ensure_ascii=False),
    "line ends of Windows": text(with_comment("# one\r\n# two\r\n")),
    "a number that is none": text(lambda notebook: notebook.update(metadata={"x": float("nan")})),
    "spaces around it": lambda notebook: b"\n\n  " + text()(notebook) + b"  \n",
    "tags of an odd type": text(lambda notebook: [one["metadata"].update(tags=3) for one in notebook["cells"]]),
    "indented": text(indent=4, sort_keys=True),
}  # fmt: skip


def grades(folder):
    return (folder / "out" / "grades.csv").read_text(encoding="utf-8").splitlines()


def write(folder, honest, names=ODD):
    folder.mkdir()
    for name in names:
        (folder / f"{name}.ipynb").write_bytes(ODD[name](json.loads(json.dumps(honest))))


def test_every_odd_notebook_of_a_class_of_thirty_is_read_with_its_answers(honest, tmp_path):
    assert len(ODD) == 30
    write(tmp_path / "in", honest)
    cells, _ = classroom.assignment(CHAPTER)
    for path in (tmp_path / "in").iterdir():
        steps = grading._steps(cells, grading._read(path))
        found = {step["id"]: step["source"] for step in steps if step["role"] == "answer"}
        assert found["fall-chance"] == RIGHT["fall-chance"], path.name
        assert found["alive-share"].startswith(RIGHT["alive-share"].strip()), path.name


@pytest.mark.slow
def test_a_class_of_thirty_odd_notebooks_is_graded_and_each_gets_every_point(honest, tmp_path):
    write(tmp_path / "in", honest)
    unsafe = ["--unsafe"] if jail.why_not() else []
    words = ["--chapter", str(CHAPTER), "--out", str(tmp_path / "out"), *unsafe]
    assert main(["classroom", "grade", str(tmp_path / "in"), *words]) == 0
    rows = list(csv.DictReader(grades(tmp_path)))
    assert {row["student"] for row in rows} == set(ODD)
    assert [row for row in rows if row["points"] != "3" or row["remark"]] == []
    assert len(list((tmp_path / "out" / "feedback").iterdir())) == 30


FALSE = {
    b"": "is not a Jupyter notebook",
    b"[1, 2]": "is not a Jupyter notebook",
    b'{"cells": 3}': "is not a Jupyter notebook",
    b'{"nbformat": 5, "cells": []}': "is a notebook of format 5; expected format 4",
}


@pytest.mark.parametrize("data", FALSE)
def test_what_jupyter_does_not_open_is_refused_in_one_line_that_is_true(data, tmp_path):
    (tmp_path / "a.ipynb").write_bytes(data)
    with pytest.raises(InputError, match=FALSE[data]) as caught:
        classroom.read_notebook(tmp_path / "a.ipynb")
    assert "\n" not in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
keys = ("cell_type", "source", "metadata", "id", "outputs", "execution_count")
odd_cells = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, values)) | values
notebooks = st.fixed_dictionaries(
    {"cells": st.lists(odd_cells, max_size=4)},
    optional={"nbformat": values, "nbformat_minor": values, "metadata": values},
)


@settings(max_examples=60, deadline=None)
@given(notebook=notebooks | values)
def test_the_reader_gives_plain_cells_or_one_line_whatever_json_holds(notebook, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.ipynb"
    path.write_text(json.dumps(notebook))
    try:
        found = classroom.read_notebook(path)
        steps = grading._steps([{"role": "answer", "id": "a", "source": ""}], found)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert all(one.cell_type in ("code", "markdown") for one in found.cells)
    assert all(type(one.source) is str and isinstance(one.metadata, dict) for one in found.cells)
    "".join(step["source"] for step in steps).encode()


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60))
def test_the_reader_refuses_any_bytes_in_one_line(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "bytes.ipynb"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not a Jupyter notebook"):
        classroom.read_notebook(path)


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Grades a folder without running anything; `marks` stands for what is done with one submission."""

    def of(marks, **how):
        monkeypatch.setattr(grading._Trial, "marks", marks)
        monkeypatch.setattr(grading, "graded", lambda course, name, keys: iter(()))
        found = grading.grade(tmp_path / "in", CHAPTER, tmp_path / "out", unsafe=True, **how)
        rows = csv.DictReader(grades(tmp_path))
        return {grade.student: grade for grade in found}, {row["student"]: row for row in rows}

    return of


@pytest.mark.parametrize(
    "error", [OSError(12, "Cannot allocate memory"), ValueError("two\nlines"), RecursionError()]
)
def test_what_goes_wrong_with_one_submission_costs_that_one_alone(error, honest, tmp_path, quick):
    write(tmp_path / "in", honest, ["indented", "no minor"])
    (tmp_path / "in" / "essay.ipynb").write_text("My dog ate it.")
    seen = []

    def marks(trial, steps):
        seen.append(1)
        if len(seen) == 1:
            raise error
        return {key: Mark(one.points, one.points, ["+ \ud83d right."]) for key, one in trial.exercises.items()}  # fmt: skip

    def say(grade):
        raise UnicodeEncodeError("ascii", grade.student, 0, 1, "not on this terminal")

    _, rows = quick(marks, say=say)
    assert [rows[name]["points"] for name in ("essay", "indented", "no minor")] == ["0", "0", "3"]
    remark = rows["indented"]["remark"]
    assert type(error).__name__ in remark and "by hand" in remark and "\n" not in remark
    assert len(list((tmp_path / "out" / "feedback").iterdir())) == 3


def test_two_submissions_never_hide_each_other(tmp_path):
    names = ["anna.ipynb", "Anna.ipynb", "an\u200bna.ipynb", "bo.IPYNB", "bo.txt", "ce.pdf"]
    for name in names:
        (tmp_path / name).write_text("{}")
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "mine.ipynb").write_text("{}")
    (tmp_path / "anna" / "._mine.ipynb").write_text("what another system leaves")
    (tmp_path / "\u00e9.ipynb").write_text("{}")
    (tmp_path / "e\u0301.ipynb").write_text("{}")
    found = grading.submissions(tmp_path)
    taken = [path for path in found.values() if path is not None]
    assert len(taken) == len(set(taken)) == 7
    assert found["ce"] is None and found["bo"].name == "bo.IPYNB" and len(found) == 8
    assert len({name.casefold() for name in found}) == len(found)


def test_a_long_name_of_odd_bytes_still_gets_a_page(tmp_path):
    import os

    with open(os.path.join(os.fsencode(tmp_path), b"\xff" * 200 + b".ipynb"), "wb") as file:
        file.write(b"{}")
    (name,) = grading.submissions(tmp_path)
    (tmp_path / f"{name}.html").write_text("written")


@pytest.mark.parametrize("value", ["0.97", ["0.97"], b"0.97"])
def test_a_text_is_no_number(value):
    right, told = Case("a share", 0.97, lambda: value).verdict()
    assert not right and "expected 0.97, got" in told


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_that_are_no_time_are_refused(seconds, tmp_path):
    with pytest.raises(InputError, match="expected a number above 0"):
        grading.check(CHAPTER, CHAPTER, seconds)
