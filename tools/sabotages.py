"""What the gate must catch: each sabotage changes a copy of the repository, and names the step that must fail and what it must say.

`tests/test_gate.py` makes them: the cheap ones and one or two of each expensive kind in `make test`, the others in `make deep`.
`python -m tools.sabotages` lists them.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.notebooks import CONTRACT, Cell, tags

CHEAP = ("lint", "notebooks", "types")  # steps of seconds
Change = Callable[[Path], object]


@dataclass(frozen=True)
class Sabotage:
    """A change to the copy whose root it is given, the step that must fail, and a pattern of the message that names the culprit."""

    change: Change
    step: str
    says: str
    always: bool = False

    @property
    def sampled(self) -> bool:
        """Whether every run of the gate makes it; the others are left to the second lane."""
        return self.always or self.step in CHEAP


def chapter(root: Path) -> Path:
    """The chapter that is sabotaged: the first."""
    return sorted((root / "chapters").glob("*.ipynb"))[0]


def page(root: Path) -> Path:
    """The page that is sabotaged: the front page."""
    root_line = re.search(r"^root:\s*(\S+)", (root / "_toc.yml").read_text(encoding="utf-8"), re.M)
    assert root_line, "_toc.yml names no root"
    return root / f"{root_line[1].removesuffix('.md')}.md"


def _notebook(change: Callable[[list[Cell]], object]) -> Change:
    """A change of the first chapter's cells."""
    def on(root: Path) -> None:
        path = chapter(root)
        notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        before = json.dumps(notebook)
        change(notebook["cells"])
        assert json.dumps(notebook) != before, "the sabotage changed nothing"
        path.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")
    return on


def _contract(cells: list[Cell]) -> Cell:
    return next(cell for cell in cells if tags(cell) >= CONTRACT)


def _plain(cells: list[Cell]) -> Cell:
    return [cell for cell in cells if cell["cell_type"] == "code" and not tags(cell)][-1]


def _figure(cells: list[Cell]) -> dict[str, Any]:
    mystnb: dict[str, Any] = next(cell["metadata"]["mystnb"] for cell in cells if {"figure", "image"} <= cell["metadata"].get("mystnb", {}).keys())
    return mystnb


def _add(text: str, kind: str = "code") -> Change:
    """Adds a cell behind the setup cell."""
    cell: Cell = {"cell_type": kind, "id": "sabotage", "metadata": {}, "source": text}
    if kind == "code":
        cell |= {"outputs": [], "execution_count": None}
    return _notebook(lambda cells: cells.insert(1 + next(i for i, c in enumerate(cells) if c["cell_type"] == "code"), cell))


def _other_digit(cells: list[Cell]) -> None:
    """Changes the last digit that the first contract cell stores."""
    cell = _contract(cells)
    stored = json.dumps(cell["outputs"])
    text = re.search(r'"(?:text|text/plain)": (\[.*?\]|".*?(?<!\\)")', stored)
    assert text, "the contract cell stores no text"
    where = max(digit.start() for digit in re.finditer(r"\d", text[1])) + text.start(1)
    cell["outputs"] = json.loads(stored[:where] + str((int(stored[where]) + 1) % 10) + stored[where + 1:])


def _append(name: str, text: str) -> Change:
    """Adds text at the end of a file ('' stands for the front page)."""
    def on(root: Path) -> None:
        path = root / name if name else page(root)
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return on


def _replace(name: str, old: str, new: str) -> Change:
    def on(root: Path) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{name} no longer holds '{old}': write this sabotage anew"
        (root / name).write_text(text.replace(old, new), encoding="utf-8")
    return on


def _forgotten_chapter(root: Path) -> None:
    """Adds a chapter that the table of contents does not name."""
    shutil.copy(chapter(root), root / "chapters" / "99_forgotten.ipynb")


FIRST = r"chapters/\w+\.ipynb"
SABOTAGES = {
    "a lint error": Sabotage(_append("wmlib/body.py", "\nimport os\n"), "lint", r"wmlib/body\.py:\d+:\d+: \w+"),
    "a lint error in a chapter": Sabotage(_add("print(f'nothing')"), "lint", rf"{FIRST}:.*F541"),
    "a type error in wmlib": Sabotage(
        _append("wmlib/body.py", '\n\ndef _tall() -> int:\n    return "tall"\n'), "types", r"wmlib/body\.py:\d+: error"),
    "a null execution count": Sabotage(
        _notebook(lambda cells: _contract(cells).update(execution_count=None)), "notebooks", rf"{FIRST}, cell \d+.*without an execution count"),
    "a contract cell without output": Sabotage(
        _notebook(lambda cells: _contract(cells).update(outputs=[])), "notebooks", rf"{FIRST}, cell \d+.*stores no output"),
    "a stored output in a plain cell": Sabotage(
        _notebook(lambda cells: _plain(cells).update(outputs=[{"output_type": "stream", "name": "stdout", "text": "hi\n"}])),
        "notebooks", rf"{FIRST}, cell \d+.*a plain cell stores an output"),
    "a skipped cell": Sabotage(
        _notebook(lambda cells: _plain(cells)["metadata"].update(tags=["nbval-skip"])), "notebooks", rf"{FIRST}, cell \d+.*nbval-skip is not allowed"),
    "a cell that may raise": Sabotage(
        _notebook(lambda cells: _plain(cells)["metadata"].update(tags=["raises-exception"])), "notebooks", rf"{FIRST}, .*raises-exception is not"),
    "result digits typed into a chapter": Sabotage(
        _add("The return is 113.7 on average.", "markdown"), "notebooks", rf"{FIRST}, cell \d+.*'113\.7' is typed in"),
    "result digits typed into a page": Sabotage(
        _append("", "\nIt lives for 97 steps.\n"), "notebooks", r"book/\w+\.md, line \d+.*'97 steps' is typed in"),
    "a missing caption": Sabotage(
        _notebook(lambda cells: _figure(cells)["figure"].pop("caption")), "notebooks", rf"{FIRST}, cell \d+.*has no caption"),
    "an empty alt text of a figure": Sabotage(
        _notebook(lambda cells: _figure(cells)["image"].update(alt="")), "notebooks", rf"{FIRST}, cell \d+.*no alt text"),
    "a stale contract output": Sabotage(_notebook(_other_digit), "chapters", rf"(?s)Cell outputs differ.*{FIRST}::Cell \d+", always=True),
    "a cell that raises": Sabotage(_add("1 / 0"), "chapters", rf"(?s)ZeroDivisionError.*{FIRST}::Cell \d+"),
    "a dead kernel": Sabotage(_add('__import__("os")._exit(1)'), "chapters", rf"(?s)The kernel died.*{FIRST}::Cell \d+", always=True),
    "a link to a missing anchor": Sabotage(_append("", "\n[away](#no-such-anchor)\n"), "book", r"no-such-anchor"),
    "a link to a missing page": Sabotage(_append("", "\n[away](no-such-page.md)\n"), "book", r"no-such-page"),
    "a broken anchor in raw HTML": Sabotage(_append("", '\n<a href="#no-such-place">away</a>\n'), "site", r"no-such-place", always=True),
    "a broken link in raw HTML": Sabotage(_append("", '\n<a href="no-such-file.html">away</a>\n'), "site", r"no-such-file"),
    "an external script": Sabotage(
        _append("", '\n<script src="https://cdn.example.org/a.js"></script>\n'), "site", r"cdn\.example\.org/a\.js"),
    "an external style": Sabotage(
        _append("", '\n<link rel="stylesheet" href="https://cdn.example.org/a.css">\n'), "site", r"cdn\.example\.org/a\.css"),
    "an external picture": Sabotage(
        _append("", "\n![A humanoid stands on a plane and does not fall](https://cdn.example.org/a.png)\n"), "site", r"cdn\.example\.org/a\.png"),
    "an empty alt text on a page": Sabotage(_append("", '\n<img src="../_static/favicon.svg" alt="">\n'), "site", r"favicon\.svg has no alt text"),
    "a chapter missing from the contents": Sabotage(_forgotten_chapter, "site", r"99_forgotten\.ipynb is not in _toc\.yml"),
    "an off-by-one in the windows": Sabotage(
        _replace("wmlib/episodes.py", "self.action[step_row]", "self.action[step_row - 1]"), "units", r"FAILED tests/test_episodes\.py"),
    "a body posed wrongly in the page": Sabotage(
        _replace("wmlib/web/viewer.js", "p = anchor.sub(", "p = anchor.add("), "units", r"FAILED tests/test_viewer\.py"),
    "TensorFlow behind body's door": Sabotage(
        _append("wmlib/body.py", '\n__import__("tensorflow")\n'), "units", r"FAILED tests/test_doors\.py"),
}
"""Every sabotage, by name: at least ten are promised."""


if __name__ == "__main__":
    print("\n".join(f"{sabotage.step:10}  {name}" for name, sabotage in SABOTAGES.items()))
