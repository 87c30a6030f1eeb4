"""The bookkeeping of `make deep` is right. (The gate does not ask how long ago it ran.)"""

import json

import pytest

from tools import deep


def test_every_covered_file_exists():
    for name, item in deep.items().items():
        for pattern in item.covers:
            assert list(deep.ROOT.glob(pattern)), f"'{name}' covers {pattern}, which is not there"


CODE = 'def f(x):\n    return x + 1\n'


@pytest.mark.parametrize("same", [
    '"""A module."""\n\n' + CODE, "# a comment\n" + CODE, 'def f(x):\n    """Adds one."""\n    return x + 1  # one\n'])
def test_comments_and_docstrings_do_not_make_a_result_stale(same):
    assert deep.essence(same) == deep.essence(CODE)


@pytest.mark.parametrize("other", [CODE.replace("1", "2"), CODE + 'text = """not a docstring"""\n', CODE.replace("return", "return -")])
def test_code_does(other):
    assert deep.essence(other) != deep.essence(CODE)


def test_of_a_chapter_the_code_counts_and_the_prose_does_not(tmp_path):
    def mark(prose, code):
        cells = [{"cell_type": "markdown", "source": prose}, {"cell_type": "code", "source": code}]
        (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
        return deep.fingerprint(("a.ipynb",), tmp_path)

    assert mark("one", "x = 1") == mark("two", "x = 1") != mark("one", "x = 2")


def test_a_chapter_covers_the_rooms_that_it_uses_also_through_others_and_no_more():
    used = deep.rooms("import wmlib as wm\nwm.viewer.show(wm.body.get().model.qpos0)")
    assert used == ("wmlib/__init__.py", "wmlib/body.py", "wmlib/palette.py", "wmlib/runs.py", "wmlib/viewer.py", "wmlib/zoo.py")
    assert "wmlib/episodes.py" in deep.rooms("from wmlib.mdnrnn import MdnRnn")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """One item that covers one file and does what it is told, with a summary of its own."""
    (tmp_path / "covered.txt").write_text("one")
    did = []

    def run():
        did.append(1)
        if (tmp_path / "broken").exists():
            raise deep.BrokenPromiseError("too slow")
        return {"seconds": 1.0}

    item = deep.Item(run, ("covered.txt",))
    monkeypatch.setattr(deep, "items", lambda: {"toy: a": item})
    monkeypatch.setattr(deep, "SUMMARY", tmp_path / "deep.json")
    monkeypatch.setattr(deep.fingerprint, "__defaults__", (tmp_path,))
    return tmp_path, did, lambda: deep.stale(deep.read(), deep.items())


def test_an_item_is_done_once_until_what_it_covers_changes(toy):
    folder, did, stale = toy
    assert stale() == ["'toy: a' was never done. Run: python -m tools deep --only 'toy: a'"]
    assert [deep.main([]), deep.main([]), len(did), stale()] == [0, 0, 1, []]
    (folder / "covered.txt").write_text("two")
    assert "covered.txt has changed since. Run: python -m tools deep --only 'toy: a'" in stale()[0]
    assert [deep.main(["--only", "toy"]), len(did), stale()] == [0, 2, []]
    assert [deep.main(["--again"]), len(did)] == [0, 3]


def test_a_failed_item_is_remembered_and_done_again(toy):
    folder, did, stale = toy
    (folder / "broken").touch()
    assert deep.main([]) == 1
    assert "failed on" in stale()[0]
    (folder / "broken").unlink()
    assert [deep.main([]), len(did), stale()] == [0, 2, []]


def test_a_whole_book_that_is_too_slow_is_told():
    slow = {"small: a": {"date": "", "result": "ok", "figures": {"seconds": 1900.0}, "sha256": deep.fingerprint(())}}
    assert "1900 s at small scale" in deep.stale(slow, {"small: a": deep.Item(dict, ())})[0]


def test_a_cell_that_cannot_run_twice_and_a_contract_of_one_scale_are_caught(tmp_path):
    import nbformat

    def chapter(code, **more):
        contract = nbformat.v4.new_code_cell(code, **more)
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = [3]"), nbformat.v4.new_code_cell("y = 1"), contract]), path)

    path = tmp_path / "chapter.ipynb"
    chapter("y += 1\nassert y == 2")
    assert deep._run(path, "smoke", 1)["megabytes"] > 10
    with pytest.raises(deep.BrokenPromiseError, match="AssertionError"):
        deep._run(path, "smoke", 2)
    stdout = nbformat.v4.new_output("stream", name="stdout", text="smoke\n")
    chapter("import os\nprint(os.environ['WM_SCALE'])", metadata={"tags": ["keep_output", "nbval-check-output"]}, outputs=[stdout])
    deep._run(path, "smoke", 1)
    with pytest.raises(deep.BrokenPromiseError, match="gives another output at small scale"):
        deep._run(path, "small", 1)


def test_a_test_that_was_skipped_was_not_done(tmp_path):
    path = tmp_path / "test_toy.py"
    path.write_text("import pytest\n\n\n@pytest.mark.deep\ndef test_it():\n    pytest.skip('no browser here')\n")
    with pytest.raises(deep.BrokenPromiseError, match="no browser here"):
        deep._pytest(str(path))
