"""Chapters as source: what a committed notebook must look like, and `python -m tools.notebooks`, which puts it in that form.

    python -m tools.notebooks [FILE ...]          strip outputs and counts, but for the contract cells
    python -m tools.notebooks --run [FILE ...]    first run each chapter at smoke scale: its contract outputs are made anew

A *contract cell* is tagged both `keep_output` and `nbval-check-output`: its stored text is compared at every run, so it must be
the same at every scale (shapes, counts, closed forms). Everything else is stripped.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import prose
from wmlib.classroom import classroom
from wmlib.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
CONTRACT = frozenset({"keep_output", "nbval-check-output"})
# Any other tag is refused: a misspelt one would switch a check off in silence, and nbval-skip, raises-exception, skip-execution,
# nbval-ignore-output and remove-cell hide code from the reader or from the gate.
TAGS = CONTRACT | {
    "hide-input",
    "hide-cell",
    "hide-output",
    "remove-input",
    "exercise",
    "check",
    "solution",
}
# A sentence with results in it is an output. Its code, like that of a solution, is folded away in JupyterLab and in Colab.
SAYS, FOLDED = "wm.say(", {"cellView": "form", "jupyter": {"source_hidden": True}}
HIDDEN = {**FOLDED, "tags": ["remove-input"]}  # on a page, too
# What only a page of the site would draw. Its plain form, and what the site makes of it, is in book/_ext/plain.py.
MYST = re.compile(
    r"\{[\w:+.-]+\}`|^[ \t>]*(?:`{3,}|~{3,}|:{3,})\{[\w:-]+\}.*|^:{3,}.*|^\([\w-]+\)=$", re.M
)
CAPTION = re.compile(r"\*\*Figure ([A\d]+\.\d+)\.\*\* (.+)", re.S)
TAG = re.compile(r"\\tag\{([A\d]+\.\d+)\}(\n\$\$(?:\n|\Z))?")
MOST_LINES, SETUP_LINES, MOST_CONTRACTS, SHORTEST_ALT = 40, 10, 8, 30
PUT_RIGHT = "run `python -m tools.notebooks` to put the file in its committed form"
Cell = dict[str, Any]


def source(cell: Cell) -> str:
    """A cell's text, stored as one string or as a list of lines."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def tags(cell: Cell) -> set[str]:
    """A cell's tags."""
    return set(cell.get("metadata", {}).get("tags", []))


def _called(tree: ast.Module) -> Iterator[str]:
    """The dotted names of what a cell calls when it runs, not of what its functions would call later."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def makes_figure(tree: ast.Module) -> bool:
    """Whether a cell draws: it calls pyplot, or a plot_* function, or begins a figure, which ends with its cell."""
    quiet = ("plt.close", "plt.style.use", "plt.rcParams.update")
    return any(
        (name.startswith("plt.") and name not in quiet)
        or name.split(".")[-1].startswith("plot_")
        or name.endswith("plots.figure")
        for name in _called(tree)
    )


def said(cell: Cell) -> str:
    """The Markdown of a cell that says something, with code in the place of each value."""
    text: Any = next(
        node for node in ast.walk(ast.parse(source(cell))) if isinstance(node, ast.Call)
    ).args[0]
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "`x`" for part in parts)


def _says(cell: Cell) -> Iterator[str]:
    """What is wrong with a cell that says something."""
    if cell["metadata"] != HIDDEN:
        yield f"its code is to be hidden everywhere: {PUT_RIGHT}"
    yield from _text(said(cell))


def _text(text: str) -> Iterator[str]:
    """What is wrong with a piece of the chapter's text."""
    yield from prose.problems(text)
    for found in MYST.finditer(text):
        yield f"'{found[0].strip()}' is drawn by the site alone: write it plainly (CONTRIBUTING.md says how)"


def _numbers(notebook: dict[str, Any], name: str) -> Iterator[str]:
    """What is wrong with the numbers of figures and equations: they count from 1 in the chapter."""
    which = re.match(r"0?(\d+)_|(A)\d_", Path(name).name)
    chapter = (which[1] or which[2]) if which else "0"
    texts = [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    captions = [found[1] for text in texts if (found := CAPTION.fullmatch(text.strip()))]
    tags = [found for text in texts for found in TAG.finditer(text)]
    for what, numbers in (("figures", captions), ("equations", [found[1] for found in tags])):
        expected = [f"{chapter}.{place}" for place in range(1, len(numbers) + 1)]
        if numbers != expected:
            wrong = next(pair for pair in zip(numbers, expected, strict=True) if pair[0] != pair[1])
            yield f"its {what} are to count from 1: {wrong[0]} stands where {wrong[1]} should"
    yield from (
        f"equation ({found[1]}): its \\tag is to end the last line before the closing $$"
        for found in tags
        if found[2] is None
    )


def _code(cell: Cell, first: bool, below: Cell) -> Iterator[str]:
    """What is wrong with the code of a code cell; the cell below it holds the caption, where it makes a figure."""
    text = source(cell)
    lines = len(text.splitlines())
    if lines > MOST_LINES:
        yield f"it has {lines} lines, and {MOST_LINES} is the most: cut it into steps that each show something"
    if re.search(r"^\s*#+\s*(PYTEST_VALIDATE|NBVAL)_", text, re.M):
        yield "an NBVAL comment switches its check off: take it out"
    if first and lines > SETUP_LINES:
        yield f"the setup cell has {lines} lines, and {SETUP_LINES} is the most"
    if first and not ("print" in text and "scale" in text and "seed" in text):
        yield "the first code cell is the setup: it must print the scale and the seed"
    if (re.match(r"#\s*solution", text, re.I) or "solution" in tags(cell)) and not tags(cell) & {
        "hide-cell",
        "hide-input",
    }:
        yield "a solution must be hidden: tag the cell hide-cell"
    if "solution" in tags(cell) and not FOLDED.items() <= cell["metadata"].items():
        yield f"a solution is to be folded away: {PUT_RIGHT}"
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield f"it is not plain Python ({error.msg}, line {error.lineno}): no magics, no shell commands"
        return
    for node in ast.walk(tree):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        late = [name for name in names if not first and name.split(".")[0] != "wmlib"]
        if late:
            yield f"it imports {', '.join(late)}: imports other than wmlib's stand in the setup cell"
    if text.startswith(SAYS):
        yield from _says(cell)
    caption = CAPTION.fullmatch(source(below).strip())
    if makes_figure(tree) or caption:
        image = cell.get("metadata", {}).get("mystnb", {}).get("image", {})
        yield from _figure(caption[2] if caption else "", _label(tree) or str(image.get("alt", "")))


def _label(tree: ast.AST) -> str:
    """The label that a cell gives to a viewer: it is the alt text of the still picture."""
    shows = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "wm.viewer.show"
    ]
    labels = [
        key.value.value
        for node in shows
        for key in node.keywords
        if key.arg == "label" and isinstance(key.value, ast.Constant)
    ]
    return str(labels[0]) if labels else ""


def _figure(caption: str, alt: str) -> Iterator[str]:
    """What is wrong with the caption and the alt text of a figure."""
    if not caption:
        yield "it makes a figure and has no caption: add a text cell below it that is '**Figure 3.2.** What it means.'"
    if len(alt.strip()) < SHORTEST_ALT or len(alt.split()) < 4:
        yield f"its figure has no alt text of at least {SHORTEST_ALT} characters: say what is seen, in metadata mystnb.image.alt or in the viewer's label"
    elif alt.strip() == caption.strip():
        yield "the alt text repeats the caption: the caption says what it means, the alt text what is seen"
    yield from (f"its alt text: {problem}" for problem in prose.problems(alt))


def _outputs(cell: Cell) -> Iterator[str]:
    """What is wrong with what a code cell stores."""
    outputs, has = cell.get("outputs", []), tags(cell)
    unknown, half = sorted(has - TAGS), has & CONTRACT
    if unknown:
        yield f"the tag {', '.join(unknown)} is not allowed (allowed: {', '.join(sorted(TAGS))})"
    if half and half != CONTRACT:
        yield f"it has the tag {next(iter(half))} alone: a contract cell has both {' and '.join(sorted(CONTRACT))}"
    if not half:
        if outputs:
            yield f"a plain cell stores an output: {PUT_RIGHT}"
        if cell.get("execution_count") is not None:
            yield f"a plain cell stores an execution count: {PUT_RIGHT}"
        return
    anew = "run `python -m tools.notebooks --run` to store its output anew"
    if cell.get("execution_count") is None:
        yield f"a contract cell without an execution count is never compared: {anew}"
    if not outputs:
        yield f"a contract cell stores no output: {anew}"
    for output in outputs:
        text = (
            output.get("name") == "stdout"
            if output.get("output_type") == "stream"
            else set(output.get("data", {})) == {"text/plain"}
        )
        if not text:
            yield "a contract output is printed text only (text/plain or stdout): nothing else can be compared"
        if re.search(r"0x[0-9a-f]{6,}|/(home|tmp|Users)/", json.dumps(output)):
            yield "a contract output holds an address or a path: it differs from run to run"


def _whole(notebook: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the notebook as a whole: its form, its title, its contract cells."""
    import nbformat  # type: ignore[import-untyped,unused-ignore]

    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"it is no valid notebook: {str(error).splitlines()[0]}"
        return
    extra = sorted(set(notebook["metadata"]) - {"kernelspec"})
    if extra:
        yield f"its metadata holds {', '.join(extra)}: {PUT_RIGHT}"
    text = "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    titles = re.findall(
        r"^# (.*)$", re.sub(r"^(`{3,}).*?^\1`*$", "", text, flags=re.M | re.S), re.M
    )
    if len(titles) != 1:
        yield f"it has {len(titles)} first-level headings: one, the title"
    elif "?" not in titles[0]:
        yield f"its title '{titles[0]}' asks nothing: a chapter's title is a question"
    contracts = sum(tags(cell) >= CONTRACT for cell in notebook["cells"])
    if not 1 <= contracts <= MOST_CONTRACTS:
        yield f"it has {contracts} contract cells: at least 1 (3 when the chapter is full), at most {MOST_CONTRACTS}"


def problems(notebook: dict[str, Any], name: str) -> list[str]:
    """Everything wrong with one chapter, each with its place and what to do."""
    found = [f"{name}: {problem}" for problem in _whole(notebook)]
    try:
        classroom.exercises(
            [{**cell, "source": source(cell)} for cell in notebook.get("cells", [])], name
        )
    except InputError as error:
        found.append(str(error))
    found += [f"{name}: {problem}" for problem in _numbers(notebook, name)]
    first, cells = True, notebook.get("cells", [])
    for number, (cell, below) in enumerate(zip(cells, [*cells[1:], {}], strict=False), start=1):
        where = f"{name}, cell {number} ('{(source(cell).strip().splitlines() or [''])[0][:40]}')"
        if cell["cell_type"] == "code":
            found += [
                f"{where}: {problem}" for problem in (*_code(cell, first, below), *_outputs(cell))
            ]
            first = False
        else:
            found += [f"{where}: {problem}" for problem in _text(source(cell))]
            if tags(cell):
                found.append(
                    f"{where}: a text cell has the tag {', '.join(sorted(tags(cell)))}: take it off"
                )
    return found


def tidy(notebook: Any) -> None:
    """Puts a notebook in its committed form, in place."""
    import nbformat
    from nbstripout import strip_output  # type: ignore[import-untyped,unused-ignore]

    extra = [f"metadata.{key}" for key in set(notebook.metadata) - {"kernelspec"}]
    noise = [
        f"cell.metadata.{key}"
        for key in (
            "execution",
            "ExecuteTime",
            "collapsed",
            "scrolled",
            "jupyter",
            "editable",
            "trusted",
        )
    ]
    strip_output(
        notebook, keep_output=False, keep_count=True, keep_id=True, extra_keys=[*extra, *noise]
    )
    notebook.metadata.kernelspec = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    for cell in notebook.cells:
        if cell.cell_type == "code" and not tags(cell) >= CONTRACT:
            cell.execution_count = None
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if cell.cell_type == "code" and source(cell).startswith(SAYS):
            cell.metadata = nbformat.from_dict(HIDDEN)
        if "solution" in tags(cell):
            cell.metadata.update(nbformat.from_dict(FOLDED))


def executed(notebook: Any, path: Path, scale: str = "smoke") -> Any:
    """A notebook with the outputs that it gives now, whatever it stores: run beside the others, in a copy that stores nothing.

    Raises:
        SystemExit: if a cell raises (it was printed which).
    """
    import nbformat

    from tools import executor

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("wmlib", "data", "requirements.lock"):
            (root / name).symlink_to(ROOT / name)
        copy = root / "chapters" / path.name
        copy.parent.mkdir()
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, copy)
        if executor.execute([copy], scale):
            raise SystemExit(f"{path} was not changed: a cell of it failed (above).")
        return executor.read(executor.kept(copy, scale))


def main(argv: list[str]) -> int:
    """Tidies the chapters named (all by default); with --run, runs them first."""
    import nbformat

    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("files", nargs="*", type=Path, help="notebooks (default: every chapter)")
    parser.add_argument(
        "--run",
        action="store_true",
        help="run them first, at smoke scale, to store contract outputs anew",
    )
    options = parser.parse_args(argv)
    for path in options.files or sorted(CHAPTERS.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(before, as_version=4)
        if options.run:
            notebook = executed(notebook, path)
        tidy(notebook)
        after = nbformat.writes(notebook) + "\n"
        if after != before:
            path.write_text(after, encoding="utf-8")
        print(f"{path}: {'put in its committed form' if after != before else 'as it should be'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
