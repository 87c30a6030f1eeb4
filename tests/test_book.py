"""What the builder promises: nothing stale, failures that name the cell, nothing half-written. On a toy book of one chapter."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from tools import book, execution

ROOT = execution.ROOT


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A repository with one chapter, whose cells are given."""
    for name, text in {"wmlib/a.py": "A = 1\n", "data/x/a.csv": "1\n", "requirements.lock": "a==1\n",
                       "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n- file: chapters/01_toy\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "chapters").mkdir()
    monkeypatch.setattr(execution, "BUILD", tmp_path / "_build")

    def write(*cells):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id=f"c{i}") for i, cell in enumerate(cells)])
        nbformat.write(notebook, tmp_path / "chapters" / "01_toy.ipynb")
        return tmp_path

    return write


def run(root, scale="smoke"):
    executed = execution.execute(root, scale)["chapters/01_toy.ipynb"]
    return [output for cell in nbformat.reads(executed.decode(), as_version=4).cells for output in cell.outputs]


def test_a_chapter_sees_the_scale_and_this_checkout_and_no_other_data(toy, monkeypatch):
    monkeypatch.setenv("WM_DATA", "/elsewhere")
    monkeypatch.setenv("WM_SCALE", "large")
    root = toy("import os, sys\nprint(os.environ['WM_SCALE'], 'WM_DATA' in os.environ, sys.path[1] if not sys.path[0] else sys.path[0])",
               "print(sys.executable)")
    assert [output.text.split() for output in run(root)] == [["smoke", "False", str(root)], [sys.executable]]


def test_nothing_is_executed_twice_unless_something_changed(toy, capsys):
    root = toy("print(1)")
    run(root)
    for change in (None, "wmlib/a.py", "data/x/a.csv", "requirements.lock", "data/new.csv", "chapters/01_toy.ipynb"):
        if change:
            with (root / change).open("a") as file:
                file.write("\n")
        capsys.readouterr()
        run(root)
        assert ("executed 1 cells" in capsys.readouterr().out) == bool(change), change
    run(root, "small")
    assert "executed 1 cells" in capsys.readouterr().out


def test_what_changes_while_a_chapter_runs_is_not_kept(toy):
    root = toy("import pathlib\npathlib.Path('../wmlib/a.py').write_text('A = 2')")
    with pytest.raises(execution.BuildError, match="changed while"):
        run(root)
    assert not list((root / "_build").rglob("*.ipynb"))


def test_a_raising_cell_is_named_with_its_error(toy):
    with pytest.raises(execution.BuildError, match=r"(?s)01_toy\.ipynb, cell 2, .*> y = 1 / x.*ZeroDivisionError: division by zero"):
        run(toy("x = 0", "y = 1 / x"))


def test_a_cell_that_is_tagged_to_raise_fails_all_the_same(toy):
    root = toy("1 / 0")
    path = root / "chapters" / "01_toy.ipynb"
    path.write_text(path.read_text().replace('"metadata": {},\n   "outputs"', '"metadata": {"tags": ["raises-exception"]},\n   "outputs"'))
    assert "raises-exception" in path.read_text()
    with pytest.raises(execution.BuildError, match="ZeroDivisionError"):
        run(root)


def test_a_dead_kernel_is_noticed_at_once(toy):
    root, started = toy("x = 1", "import os\nos._exit(1)"), time.monotonic()
    with pytest.raises(execution.BuildError, match=r"(?s)cell 2, .*killed the kernel"):
        run(root)
    assert time.monotonic() - started < 30


def test_a_failure_is_not_kept(toy):
    root = toy("1 / 0")
    for _ in range(2):
        with pytest.raises(execution.BuildError):
            run(root)


def test_a_missing_chapter_and_a_broken_one_get_one_line(toy):
    root = toy("1")
    path = root / "chapters" / "01_toy.ipynb"
    path.write_text("{")
    with pytest.raises(execution.BuildError, match="no notebook that can be read"):
        run(root)
    path.unlink()
    with pytest.raises(execution.BuildError, match=r"^_toc\.yml names chapters/01_toy, but there is no chapters/01_toy\.ipynb\.$"):
        run(root)


def test_printed_text_around_a_glued_number_is_one_piece():
    def stream(text):
        return nbformat.v4.new_output("stream", text=text)

    glued = nbformat.v4.new_output("display_data", {"application/papermill.record/text/plain": "np.float64(4.5)"}, metadata={"scrapbook": {"name": "x"}})
    outputs = execution.tidy([stream("a\n"), glued, stream("b\n")])
    assert [output.output_type for output in outputs] == ["stream", "display_data"]
    assert outputs[0].text == "a\nb\n"
    assert outputs[1].data == {"application/papermill.record/text/plain": "4.5"}


def test_a_wrong_scale_gets_one_line_and_exit_code_2(capsys):
    assert book.main(["--scale", "huge"]) == 2
    assert capsys.readouterr().err == "There is no scale 'huge': expected one of smoke, small, large.\n"


@pytest.mark.skipif(os.name != "posix", reason="sends a Unix signal")
def test_an_interrupted_build_ends_its_kernel_and_leaves_nothing_half_written(toy):
    root = toy("import os, pathlib, time\npathlib.Path('../kernel.pid').write_text(str(os.getpid()))\ntime.sleep(600)")
    script = f"import sys, pathlib; from tools import book, execution; execution.BUILD = book.BUILD = pathlib.Path({str(root / '_build')!r}); " \
             f"book.ROOT = pathlib.Path({str(root)!r}); sys.exit(book.main(['--scale', 'smoke']))"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as builder:
        waited = time.monotonic() + 60
        while not ((root / "kernel.pid").exists() and (root / "kernel.pid").read_text()) and time.monotonic() < waited:
            time.sleep(0.1)
        builder.send_signal(signal.SIGINT)
        said = builder.communicate(timeout=60)[0]
    assert builder.returncode == 130, said
    assert said.splitlines()[-1].startswith("Stopped."), said
    assert not list((root / "_build").rglob("*.ipynb"))
    assert not alive(int((root / "kernel.pid").read_text()))


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# Sphinx, on a book of one page.


def test_a_warning_fails_the_build_every_time_and_leaves_the_last_good_site(tmp_path):
    root = tmp_path / "repository"
    for name, text in {"_config.yml": "title: Toy\nonly_build_toc_files: true\n", "_toc.yml": "format: jb-book\nroot: book/intro\n", "book/intro.md": "# Toy\n",
                       "LICENSE": "", "LICENSE-TEXT": "", "CITATION.cff": "", "requirements.lock": ""}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    def run_sphinx():  # in a process of its own: Sphinx leaves warnings of its libraries behind
        script = f"import sys, pathlib; from tools import book; book.BUILD = pathlib.Path({str(tmp_path)!r}); book.ROOT = pathlib.Path({str(root)!r}); " \
                 "book.execute = lambda root, scale: {}; sys.exit(book.main(['--scale', 'smoke']))"
        return subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    first = run_sphinx()
    assert first.returncode == 0, first.stdout
    page = tmp_path / "smoke" / "html" / "book" / "intro.html"
    assert "Toy" in page.read_text()
    (root / "book" / "intro.md").write_text("# Toys\n\n[away](#no-such-anchor)\n")
    for _ in range(2):
        result = run_sphinx()
        assert result.returncode == 1
        assert "book/intro.md:3: WARNING" in result.stdout and "no-such-anchor" in result.stdout
        assert "Toys" not in page.read_text()
    (root / "book" / "intro.md").write_text("# Toys\n")
    assert run_sphinx().returncode == 0
    assert "Toys" in page.read_text()
