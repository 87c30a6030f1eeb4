"""What the book promises of every chapter, at length: every cell may be run twice, and at class size it keeps its minutes and its memory."""

import copy
import os
from pathlib import Path

import pytest

from tools import executor, notebooks

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
SECONDS, MEGABYTES, BOOK_SECONDS = (
    180,
    1500,
    30 * 60,
)  # at small scale; a session on Binder has 2 GB

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def both_cores(monkeypatch):
    """A chapter alone, as a reader runs it."""
    for name in [name for name in os.environ if name.endswith("_THREADS")]:
        monkeypatch.setenv(name, str(os.cpu_count()))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_cell_may_be_run_twice(path):
    notebook = executor.read(path)
    cells = [
        copy.deepcopy(cell) for cell in notebook.cells if cell.cell_type == "code" for _ in range(2)
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    contracts = [cell.outputs for cell in cells if notebooks.tags(cell) >= notebooks.CONTRACT]
    notebook.cells = cells
    twice = notebooks.executed(notebook, path)
    assert [
        text(cell.outputs) for cell in twice.cells if notebooks.tags(cell) >= notebooks.CONTRACT
    ] == list(map(text, contracts))


def text(outputs):
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_at_class_size_a_chapter_keeps_its_contracts_its_minutes_and_its_memory(path):
    assert executor.execute([path], "small") == 0
    took = executor.record(path, "small")
    assert took["seconds"] <= SECONDS and took["megabytes"] <= MEGABYTES, took


def test_the_whole_book_keeps_its_minutes():
    assert sum(executor.record(path, "small")["seconds"] for path in CHAPTERS) <= BOOK_SECONDS
