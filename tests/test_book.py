"""What the gate must catch, and what the builder promises: on a toy book of one chapter and one page, with the real executor and the real checks."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from tools import book, executor, gate, notebooks

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = {"tags": ["keep_output", "nbval-check-output"]}
FILES = {
    "_config.yml": "title: Toy\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n",
    "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n- file: chapters/01_toy\n",
    "book/intro.md": "# Toy\n\nSee [the chapter](../chapters/01_toy).\n",
    "wmlib/__init__.py": "",
    "wmlib/a.py": "A = 1\n",
    "wmlib/b.py": "",
    "data/x/a.csv": "1\n",
    "data/x/b.csv": "",
    "requirements.lock": "a==1\n",
    "LICENSE": "",
    "LICENSE-TEXT": "",
    "CITATION.cff": "",
}
SETUP = "import os\nimport sys\n\nprint('scale', os.environ['WM_SCALE'], 'seed', 0, 'WM_DATA' in os.environ, os.environ['PYTHONPATH'].split(os.pathsep)[0])"


def chapter(*more):
    """A chapter in its committed form: setup, a cell that loads a module and opens data, a contract; then `more` code."""
    new, stdout = nbformat.v4, nbformat.v4.new_output("stream", name="stdout", text="3\n")
    cells = [
        new.new_markdown_cell("# What is a toy?", id="title"),
        new.new_code_cell(SETUP, id="setup"),
        new.new_code_cell("from wmlib import a\n\nx = open('../data/x/a.csv').read()", id="reads"),
        new.new_code_cell(
            "print(1 + 2)", id="contract", metadata=CONTRACT, execution_count=1, outputs=[stdout]
        ),
        *(new.new_code_cell(code, id=f"more-{i}") for i, code in enumerate(more)),
    ]
    notebook = new.new_notebook(cells=cells)
    notebooks.tidy(notebook)
    return notebook


def write(root, *more):
    nbformat.write(chapter(*more), root / "chapters" / "01_toy.ipynb")
    return root / "chapters" / "01_toy.ipynb"


def run(root, *line, **more):
    """Runs one of the gate's commands on the toy; its exit code and all that it said."""
    environment = {
        **executor.environment(os.environ, root),
        "WM_BOOK": str(root),
        "WM_SITE": str(root / "_build" / "smoke" / "html"),
        **more,
    }
    done = subprocess.run(
        [sys.executable, *line],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def build(root):
    return run(
        root,
        "-c",
        f"import sys, pathlib; from tools import book; sys.exit(book.main(['--scale', 'smoke'], pathlib.Path({str(root)!r})))",
    )


def check(root):
    """The real checks of chapters, pages and site, of which a toy can pass these."""
    which = "test_the_chapter_is_in or no_typed_results or every_link_and_anchor or no_page_fetches"
    return run(
        root,
        "-m",
        "pytest",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "tests/test_notebooks.py",
        "tests/test_site.py",
        "-k",
        which,
    )


def look(root):
    code, said = build(root)
    assert code == 0, said
    return check(root)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The toy, built and checked: nothing is wrong with it."""
    root = tmp_path_factory.mktemp("toy") / "book"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "chapters").mkdir()
    write(root)
    code, said = build(root)
    assert code == 0, said
    assert re.search(r"chapters/01_toy\.ipynb +[\d.]+ s +0\.\d\d GB", said)
    code, said = check(root)
    assert code == 0 and re.search(r"^4 passed", said, re.M), said
    return root


@pytest.fixture
def toy(honest, tmp_path):
    return shutil.copytree(honest, tmp_path / "book")


# Six sabotages. Each changes the toy, and names what must fail and what it must say.


def append(text):
    def change(root):
        with (root / "book" / "intro.md").open("a") as page:
            page.write(text)

    return change


def other_digit(root):
    path = root / "chapters" / "01_toy.ipynb"
    path.write_text(path.read_text().replace('"3\\n"', '"4\\n"'))


SABOTAGES = {
    "a raising cell": (
        lambda root: write(root, "1 / 0", "y = 1"),
        build,
        r"(?s)01_toy.ipynb::Cell 3.*ZeroDivisionError: division by zero.*1 failed.*1 skipped",
    ),
    "a differing contract": (other_digit, build, r"(?s)01_toy\.ipynb::Cell 2.*Cell outputs differ"),
    "a dead kernel": (
        lambda root: write(root, "os._exit(1)"),
        build,
        r"(?s)01_toy\.ipynb::Cell 3.*The kernel died",
    ),
    "a typed digit": (
        append("\nIt lives for 97 steps.\n"),
        check,
        r"book/intro\.md, line \d+.*'97 steps' is typed in",
    ),
    "a broken link": (
        append("\n[away](#no-such-anchor)\n"),
        build,
        r"book/intro\.md:\d+: WARNING.*no-such-anchor",
    ),
    "an outside script": (
        append('\n<script src="https://cdn.example.org/a.js"></script>\n'),
        look,
        r"cdn\.example\.org/a\.js",
    ),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_the_gate_catches(name, toy):
    change, caught_by, says = SABOTAGES[name]
    page = (toy / "_build" / "smoke" / "html" / "book" / "intro.html").read_text()
    change(toy)
    code, said = caught_by(toy)
    if caught_by is build:
        assert (toy / "_build" / "smoke" / "html" / "book" / "intro.html").read_text() == page, (
            "the last good site is gone"
        )
    assert code == 1, said
    assert re.search(says, said), said


@pytest.mark.slow
def test_what_sphinx_warned_of_fails_the_second_time_too_and_mended_it_is_typeset(toy):
    append("\n[away](#no-such-anchor)\n")(toy)
    assert [build(toy)[0], build(toy)[0]] == [1, 1]
    (toy / "book" / "intro.md").write_text("# Toys\n")
    assert build(toy)[0] == 0
    assert "Toys" in (toy / "_build" / "smoke" / "html" / "book" / "intro.html").read_text()


# Nothing stale, nothing done twice, nothing half-written.


def outputs(root):
    return [
        output
        for cell in executor.read(executor.kept(root / "chapters" / "01_toy.ipynb", "smoke")).cells
        for output in cell.get("outputs", [])
    ]


def test_a_chapter_sees_the_scale_and_this_checkout_and_no_other_data(honest):
    assert outputs(honest)[0].text == f"scale smoke seed 0 False {honest}\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "stale"),
    [
        ("wmlib/a.py", "1", "2", True),
        ("data/x/a.csv", "1", "2", True),
        ("requirements.lock", "1", "2", True),
        ("chapters/01_toy.ipynb", "1 + 2", "2 + 1", True),
        ("chapters/01_toy.ipynb", "a toy?", "a plaything?", False),
        ("wmlib/b.py", "", "B = 1", False),
        ("data/x/b.csv", "", "2", False),
    ],
)
def test_what_a_chapter_is_made_of_makes_it_stale_and_nothing_else_does(name, old, new, stale, toy):
    path = toy / "chapters" / "01_toy.ipynb"
    assert executor.fresh(path, "smoke") and not executor.fresh(path, "small")
    text = (toy / name).read_text()
    (toy / name).write_text(text.replace(old, new, 1))
    assert executor.fresh(path, "smoke") != stale
    (toy / name).write_text(text)
    assert executor.fresh(path, "smoke")


def test_prose_that_is_newer_than_the_execution_is_typeset_with_its_outputs(toy):
    path = toy / "chapters" / "01_toy.ipynb"
    path.write_text(path.read_text().replace("a toy?", "a plaything?"))
    merged = nbformat.reads(executor.merged(path, "smoke").decode(), as_version=4)
    assert (merged.cells[0].source, merged.cells[3].outputs[0].text) == (
        "# What is a plaything?",
        "3\n",
    )


def test_what_changes_while_a_chapter_runs_is_not_kept(toy, capfd):
    path = write(toy, "open('../wmlib/a.py', 'a').write('A = 2')")
    assert executor.execute([path], "smoke") == 1
    assert "changed while it ran" in capfd.readouterr().out
    assert not executor.fresh(path, "smoke")


def test_a_chapter_that_shows_too_much_is_named_and_nothing_is_typeset(tmp_path, monkeypatch):
    path = tmp_path / "chapters" / "01_toy.ipynb"
    shown = b"x" * (book.LARGEST + 1)
    monkeypatch.setattr(book, "chapters", lambda root: [path])
    monkeypatch.setattr(executor, "execute", lambda paths, scale: 0)
    monkeypatch.setattr(executor, "record", lambda path, scale: {"seconds": 1, "megabytes": 1})
    monkeypatch.setattr(executor, "merged", lambda path, scale: shown)
    with pytest.raises(book.BuildError, match=r"^chapters/01_toy.ipynb has 8 MB with its outputs"):
        book.execute(tmp_path, "smoke")
    shown = shown[1:]
    assert book.execute(tmp_path, "smoke")["chapters/01_toy.ipynb"] == shown


def test_a_missing_chapter_gets_one_line(toy):
    (toy / "chapters" / "01_toy.ipynb").unlink()
    with pytest.raises(
        book.BuildError,
        match=r"^_toc\.yml names chapters/01_toy, but there is no chapters/01_toy\.ipynb\.$",
    ):
        book.chapters(toy)


def test_a_wrong_scale_gets_one_line_and_exit_code_2(capsys):
    assert book.main(["--scale", "huge"]) == 2
    assert (
        capsys.readouterr().err
        == "There is no scale 'huge': expected one of smoke, small, large.\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="sends a Unix signal")
def test_an_interrupted_build_ends_its_kernel_and_keeps_nothing_half_written(toy):
    write(
        toy,
        "import pathlib, time\npathlib.Path('../kernel.pid').write_text(str(os.getpid()))\ntime.sleep(600)",
    )
    pid = toy / "kernel.pid"
    script = f"import sys, pathlib; from tools import book; sys.exit(book.main(['--scale', 'small'], pathlib.Path({str(toy)!r})))"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as builder:
        waited = time.monotonic() + 60
        while not (pid.exists() and pid.read_text()) and time.monotonic() < waited:
            time.sleep(0.1)
        os.killpg(builder.pid, signal.SIGINT)  # as a terminal does
        said = builder.communicate(timeout=60)[0]
    assert builder.returncode == 130, said
    assert said.splitlines()[-1].startswith("Stopped."), said
    assert (
        not list((toy / "_build").glob("executed/small/*"))
        and not (toy / "_build" / "small" / "html").exists()
    )
    waited = time.monotonic() + 20
    while alive(int(pid.read_text())) and time.monotonic() < waited:
        time.sleep(0.1)
    assert not alive(int(pid.read_text()))


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# The gate's own sum.


def test_the_last_line_adds_up_what_pytest_counted_and_one_for_each_other_command(
    capsys, monkeypatch
):
    def says(text, code=0):
        return 60, (sys.executable, "-c", f"print({text!r}); raise SystemExit({code})")

    steps = {
        "lint": says("fine"),
        "tests": says("..\n=== 2 failed, 7 passed, 1 skipped in 3.0s ===", 1),
        "site": says("5 passed in 2s"),
    }
    monkeypatch.setattr(gate, "STEPS", steps)
    assert gate.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "13 passed, 2 failed, 1 skipped"
    monkeypatch.setattr(gate, "STEPS", {"tests": says("9 passed in 2s", 3), "pages": says("oh", 1)})
    assert gate.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "9 passed, 2 failed"


# What the tests of the library must catch: a change of one line of it, and the tests that must fail.

LIBRARY = {
    "an off-by-one in the windows": (
        "wmlib/real/episodes.py",
        "self.action[step_row]",
        "self.action[step_row - 1]",
        "test_episodes.py",
    ),
    "a body posed wrongly in the page": (
        "wmlib/show/web/viewer.js",
        "p = anchor.sub(",
        "p = anchor.add(",
        "test_viewer.py",
    ),
    "TensorFlow behind body's door": (
        "wmlib/real/body.py",
        "from __future__ import annotations\n",
        'from __future__ import annotations\n\n__import__("tensorflow")\n',
        "test_layers.py",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
def test_the_tests_catch(name, tmp_path):
    file, old, new, tests = LIBRARY[name]
    for folder in ("wmlib", "tests", "tools", "data", "chapters"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text, f"{file} no longer holds '{old}': write this sabotage anew"
    (tmp_path / file).write_text(text.replace(old, new, 1))
    environment = executor.environment(os.environ, tmp_path)
    environment["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--color=no", "-x", "-m", "not slow", f"tests/{tests}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and f"FAILED tests/{tests}" in done.stdout, done.stdout
