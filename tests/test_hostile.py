"""What is hostile or broken costs its student that answer: samples in the gate, the whole corpus in the second lane."""

import csv
import hashlib
import html
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import nbformat
import pytest
from hostile import CORPUS, FULL, answered, cell, save

from wmlib.classroom import grading, jail
from wmlib.cli import main
from wmlib.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = ROOT / "chapters" / "01_why_dream.ipynb"
SEED = "a secret of this course"
SECONDS = 3.0
SAMPLES = (
    "bomb of forks",
    "ends Python",
    "reads what is marked",
    "speaks through the wire",
    "forged mark",
    "an essay",
)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return answered(CHAPTER, tmp_path_factory.mktemp("released"))


def strays():
    "Processes that outlived the jail that they were started in."
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [
        line
        for line in told.splitlines()
        if "wmlib.classroom.jail" in line or "sleep 100000" in line
    ]


def graded(names, honest, folder, monkeypatch, capsys):
    "Grades some of the corpus together with two honest students, and asks of each what it was to cost."
    handed, out = folder / "handed in", folder / "graded"
    handed.mkdir()
    save(honest, handed / "aaron.ipynb")
    save(honest, handed / "zoe.ipynb")
    for name in names:
        CORPUS[name].make(nbformat.from_dict(honest), handed / f"{name}.ipynb")
    monkeypatch.setenv("WM_COURSE_SEED", SEED)
    library = {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (ROOT / "wmlib").rglob("*.py")
    }
    before = set(strays())
    assert (
        main(
            [
                "classroom",
                "grade",
                str(handed),
                "--chapter",
                str(CHAPTER),
                "--out",
                str(out),
                "--seconds",
                f"{SECONDS:g}",
            ]
        )
        == 0
    )
    assert set(strays()) <= before, "no process of a student's stays"
    assert library == {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (ROOT / "wmlib").rglob("*.py")
    }
    capsys.readouterr()
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"aaron", "zoe", *names}
    wrong = [f"{who}: {rows[who]}" for who in ("aaron", "zoe") if float(rows[who]["points"]) != 3]
    for name in names:
        points = float(rows[name]["alive-share"]), float(rows[name]["fall-chance"])
        page = (out / "feedback" / f"{name}.html").read_text(encoding="utf-8")
        said = rows[name]["remark"] + "\n" + page
        if points != CORPUS[name].points:
            wrong.append(f"{name}: {points} points, expected {CORPUS[name].points}; {heard(page)}")
        elif not re.search(CORPUS[name].says, html.unescape(said)) and not re.search(
            CORPUS[name].says, said
        ):
            wrong.append(
                f"{name}: nothing like '{CORPUS[name].says}' in: {rows[name]['remark']} {heard(page)}"
            )
        if SEED in said or "<script>alert" in page or "<img src=x" in page or "\x1b" in said:
            wrong.append(f"{name}: the page tells the seed, or does what the answer says")
    assert not wrong, "\n" + "\n".join(wrong)


def heard(page):
    "What a page of feedback says, without its dress."
    text = html.unescape(
        re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S))
    )
    return " ".join(text.split())[-600:]


def test_the_corpus_is_as_large_as_it_says():
    assert len(CORPUS) >= 90
    assert set(SAMPLES) <= CORPUS.keys()
    assert all(
        given <= of
        for each in CORPUS.values()
        for given, of in zip(each.points, FULL.values(), strict=True)
    )


def test_samples_cost_their_students_an_answer_and_nobody_else_anything(
    honest, tmp_path, monkeypatch, capsys
):
    if jail.why_not():  # where there are no walls, no student's code is run
        (tmp_path / "in").mkdir()
        save(honest, tmp_path / "in" / "aaron.ipynb")
        with pytest.raises(InputError, match="--unsafe"):
            grading.grade(tmp_path / "in", CHAPTER, tmp_path / "out")
        return
    graded(SAMPLES, honest, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
def test_the_whole_corpus_costs_its_students_an_answer_and_nobody_else_anything(
    honest, tmp_path, monkeypatch, capsys
):
    assert jail.why_not() == ""
    started = time.monotonic()
    graded(list(CORPUS), honest, tmp_path, monkeypatch, capsys)
    print(f"{len(CORPUS)} hostile or broken submissions: {time.monotonic() - started:.0f} s")


def test_without_walls_grading_refuses_in_one_line_and_unsafe_grades(
    honest, tmp_path, monkeypatch, capsys
):
    (tmp_path / "in").mkdir()
    save(honest, tmp_path / "in" / "aaron.ipynb")
    command = [
        "classroom",
        "grade",
        str(tmp_path / "in"),
        "--chapter",
        str(CHAPTER),
        "--out",
        str(tmp_path / "out"),
    ]
    found = shutil.which
    monkeypatch.setattr(
        shutil,
        "which",
        lambda name, *more, **facts: None if name == "bwrap" else found(name, *more, **facts),
    )
    assert main(command) == 2
    error = capsys.readouterr().err
    assert re.search(r"needs bubblewrap.*apt install bubblewrap.*--unsafe", error)
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert main([*command, "--unsafe"]) == 0
    assert "aaron,1,2,3,3," in (tmp_path / "out" / "grades.csv").read_text()


def test_walls_that_cannot_be_built_are_named_in_one_line(tmp_path, monkeypatch):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert re.fullmatch(
        r"bubblewrap cannot build its walls here \(.*No permissions.*\): .*--unsafe.*",
        jail.why_not(),
    )


@pytest.mark.parametrize(
    "value",
    [None, ..., 3, True, 2.5, float("inf"), "text", [1, [2.0, "x"]], {"a": [1, 2], "b": ...}],
)
def test_plain_values_go_through_the_wire_as_they_are(value):
    assert jail.decode(jail.encode(value)) == value


def test_arrays_keep_shape_and_type_and_other_things_become_their_look():
    import numpy as np

    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    back = jail.decode(jail.encode(array))
    assert back.dtype == array.dtype
    assert back.tolist() == array.tolist()
    assert jail.decode(jail.encode(object())).look.startswith("object <object")


@pytest.mark.parametrize(
    "data",
    [
        {"array": ["O", [1], "AAAA"]},
        {"array": ["<f8", [2], "AAAA"]},
        {"thing": "x", "todo": True},
        {"array": 3},
        {"what": "?"},
        {"array": ["<f8", [-1], "!"]},
    ],
)
def test_what_encode_never_made_is_refused(data):
    with pytest.raises((ValueError, TypeError, KeyError)):
        found = jail.decode(data)
        raise KeyError(found) if type(found).__name__ == "Thing" else AssertionError(found)


def test_a_student_can_check_a_notebook_before_it_is_handed_in(honest, tmp_path, capsys):
    notebook = nbformat.from_dict(honest)
    cell(
        notebook, "alive-share"
    ).source = 'def alive_share(episode):\n    return episode.terms["alive"].mean()\n'
    save(notebook, tmp_path / "mine.ipynb")
    assert main(["classroom", "check", str(tmp_path / "mine.ipynb")]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"alive-share: 0 of 2\n +- .*expected [\d.]+, got 4\.\d+\. That is the term's mean over the steps",
        said,
    )
    assert "fall-chance: 1 of 1" in said
    parts = re.split(r"\n(?=\S)", said)
    assert all(len(part.split()) < 120 for part in parts)


@pytest.mark.parametrize(("words", "message"), [
    (["nowhere.ipynb"], "nowhere.ipynb cannot be read"),
    (["essay.ipynb"], "essay.ipynb is not a Jupyter notebook"),
    (["stranger.ipynb"], "belongs to no chapter that is here"),
])  # fmt: skip
def test_a_notebook_that_cannot_be_checked_gets_one_line(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("essay.ipynb").write_text("My dog ate it.")
    nbformat.write(nbformat.v4.new_notebook(), "stranger.ipynb")
    assert main(["classroom", "check", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
