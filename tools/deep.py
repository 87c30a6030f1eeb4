"""The second lane: `python -m tools deep`. What is too dear for every push, item by item, with a summary that is committed.

    sabotage: NAME     a sabotage that `make test` leaves to this lane (tools/sabotages.py); `none` is an honest copy, through every step
    twice: CHAPTER     every cell run twice in a row in a fresh kernel at smoke scale
    small: CHAPTER     the chapter at small scale: seconds, memory, and the same contract outputs as at smoke
    tests: FILE        the tests marked `deep` in that file

`tests/deep.json` keeps each item's date, result, seconds, figures, and a hash over the files it covers. An item whose files have
not changed since is not done again, so that a stopped run goes on where it was: comments, docstrings and prose do not count,
code does. The gate does not ask how fresh the summary is.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import datetime
import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tools.gate import environment
from tools.notebooks import CONTRACT, source, tags
from tools.sabotages import SABOTAGES

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = ROOT / "tests" / "deep.json"
SMALL_SECONDS, SMALL_BYTES, BOOK_SECONDS = 180, 1.5e9, 30 * 60  # what the book promises at small scale on 2 cores
BINDER_BYTES = 2 * 1024**3  # what a session on Binder has; chapters run under this limit at small scale
CGROUPS = {"/sys/fs/cgroup": "memory.max", "/sys/fs/cgroup/memory": "memory.limit_in_bytes"}  # version 2, version 1: where they are, and the limit's file
TWICE_SECONDS = 2 * 30 + 15  # 30 s a run at smoke scale, and the kernel's start
LOCK = "requirements.lock"
COVERED_BY_STEP = {  # what catches a sabotage, besides the gate itself
    "chapters": ("tools/kernel_watch.py",),
    "book": ("tools/book.py", "tools/execution.py"),
    "site": ("tools/book.py", "tests/test_site.py"),
}
MEMORY = """
import resource as _resource, sys as _sys
try:
    print(1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]))
except OSError:
    print(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss * (1 if _sys.platform == "darwin" else 1024))
"""
Figures = dict[str, float]


class BrokenPromiseError(Exception):
    """An item that did not come out as promised; the message says how."""


@dataclass(frozen=True)
class Item:
    """One thing to do, and the files whose change makes its result stale."""

    run: Callable[[], Figures]
    covers: tuple[str, ...]


def _pytest(*arguments: str) -> Figures:
    command = [sys.executable, "-m", "pytest", "--color=no", "-rs", "-m", "deep", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode or re.search(r"\b\d+ skipped\b", done.stdout):  # what was left out was not done
        raise BrokenPromiseError(done.stdout[-4000:])
    return {}


class _Watch(threading.Thread):
    """Watches the memory of a kernel and of all processes that it starts; a page that two of them share counts once.

    (What the system keeps of ended children would count a kernel twice that once called `uname`: a fork shares its parent's pages.)
    """

    def __init__(self, client: Any) -> None:
        super().__init__(daemon=True)
        self.client, self.peak, self.ended = client, 0, threading.Event()

    def run(self) -> None:
        import psutil

        while not self.ended.wait(0.2):
            pid = getattr(getattr(self.client.km, "provisioner", None), "pid", None)
            if pid is not None:
                with contextlib.suppress(psutil.Error):
                    kernel = psutil.Process(pid)
                    self.peak = max(self.peak, sum(map(_memory, [kernel, *kernel.children(recursive=True)])))


@contextlib.contextmanager
def _limited(most: int) -> Iterator[bool]:
    """Holds this process and all that it starts to so many bytes, as a session on Binder is held; gives whether the system lets us (Linux, as root)."""
    for place, limit in CGROUPS.items():
        group = Path(place) / f"wm-deep-{os.getpid()}"
        try:
            group.mkdir()
            if not (group / limit).exists():
                raise OSError("a plain folder, no control group")
            (group / limit).write_text(str(most))
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield True
        finally:
            (Path(place) / "cgroup.procs").write_text(str(os.getpid()))
            for _ in range(50):  # what it started may take a moment to end
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.1)
        return
    yield False


def _memory(process: Any) -> int:
    """Bytes of a process, its share of what it shares; all of it where the system cannot tell."""
    import psutil

    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    except psutil.Error:
        return 0


def _text(cell: Any) -> str:
    """What a cell printed."""
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def _run(path: Path, scale: str, times: int) -> Figures:
    """Runs a chapter in a fresh kernel, each cell `times` over; compares its contract cells with what they store."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    stored = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call,unused-ignore]
    cells = [copy.deepcopy(cell) for cell in stored.cells if cell.cell_type == "code" for _ in range(times)]
    expected = [_text(cell) for cell in cells if tags(cell) >= CONTRACT]
    cells.append(nbformat.v4.new_code_cell(MEMORY))  # type: ignore[no-untyped-call,unused-ignore]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call,unused-ignore]
    client = NotebookClient(notebook, timeout=3 * SMALL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    started, watch = time.monotonic(), _Watch(client)
    watch.start()
    try:
        client.execute(env={**environment(os.environ), "WM_SCALE": scale}, stderr=subprocess.DEVNULL)
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        raise BrokenPromiseError(f"{path.name} at {scale} scale, each cell run {times} time(s):\n{error}") from None
    finally:
        watch.ended.set()
    seconds = time.monotonic() - started
    for cell, text in zip([cell for cell in notebook.cells if tags(cell) >= CONTRACT], expected, strict=True):
        if _text(cell) != text:
            first = source(cell).splitlines()[0]
            raise BrokenPromiseError(f"{path.name}: the contract cell '{first}' gives another output at {scale} scale, run {times} time(s):\n{_text(cell)}")
    return {"seconds": round(seconds, 1), "megabytes": round(max(float(_text(notebook.cells[-1])), watch.peak) / 1e6)}


def _small(path: Path) -> Figures:
    with _limited(BINDER_BYTES) as limited:
        figures = {**_run(path, "small", 1), "limit_megabytes": BINDER_BYTES // 10**6 if limited else 0}
    if figures["seconds"] > SMALL_SECONDS or figures["megabytes"] * 1e6 > SMALL_BYTES:
        raise BrokenPromiseError(f"{path.name} at small scale: {figures}; the promise is {SMALL_SECONDS} s and {SMALL_BYTES / 1e6:.0f} MB")
    return figures


def _twice(path: Path) -> Figures:
    figures = _run(path, "smoke", 2)
    if figures["seconds"] > TWICE_SECONDS:
        raise BrokenPromiseError(f"{path.name} run twice at smoke scale: {figures}; the promise is {TWICE_SECONDS} s")
    return figures


def _named(text: str) -> set[str]:
    """The rooms of wmlib that a piece of Python names: imported, or as `wm.room`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wm":
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "wmlib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wmlib."):
            found.add(str(node.module).split(".")[1])
    return found


def rooms(text: str) -> tuple[str, ...]:
    """The files of wmlib that a piece of Python runs, by name or through each other: what a change of its result can come from."""
    found, new = {"__init__"}, _named(text)
    while new:
        found |= new
        files = [ROOT / "wmlib" / f"{room}.py" for room in new]
        new = {room for path in files if path.is_file() for room in _named(path.read_text(encoding="utf-8"))} - found
    return tuple(f"wmlib/{room}.py" for room in sorted(found) if (ROOT / "wmlib" / f"{room}.py").is_file())


def _chapter_code(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")


def _test_files(path: Path) -> list[Path]:
    """A test file, and the helpers in its folder that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return [path, *(helper for name in sorted(names) if (helper := path.parent / f"{name}.py").is_file())]


def items() -> dict[str, Item]:
    """Everything there is to do, by name, cheapest family first."""
    found: dict[str, Item] = {}
    for family, run in (("twice", _twice), ("small", _small)):
        for path in sorted((ROOT / "chapters").glob("*.ipynb")):
            covers = (f"chapters/{path.name}", *rooms(_chapter_code(path)), LOCK)
            found[f"{family}: {path.stem}"] = Item(lambda run=run, path=path: run(path), covers)  # type: ignore[misc]
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        if path.name not in ("test_gate.py", "test_deep.py") and "mark.deep" in path.read_text(encoding="utf-8"):
            files = _test_files(path)
            used = rooms("\n".join(file.read_text(encoding="utf-8") for file in files))
            covers = (*(f"tests/{file.name}" for file in files), *used, LOCK)
            found[f"tests: {path.stem}"] = Item(lambda path=path: _pytest(f"tests/{path.name}"), covers)  # type: ignore[misc]
    gate = ("tools/gate.py", "tests/test_gate.py")
    found["sabotage: none"] = Item(lambda: _pytest("tests/test_gate.py::test_the_whole_gate_passes_an_honest_copy"), gate)
    for name, sabotage in SABOTAGES.items():
        if not sabotage.sampled:
            test = f"tests/test_gate.py::test_the_gate_catches[{name}]"
            found[f"sabotage: {name}"] = Item(lambda test=test: _pytest(test), (*gate, *COVERED_BY_STEP.get(sabotage.step, ())))  # type: ignore[misc]
    return found


def essence(text: str) -> str:
    """Python without its comments, docstrings and blank lines: what a change of the result can come from."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            for number in range(docstring.lineno - 1, docstring.end_lineno or docstring.lineno):
                lines[number] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def fingerprint(covers: tuple[str, ...], root: Path = ROOT) -> str:
    """sha256 over the covered files: names, and code (of Python and of notebooks) or bytes (of all else)."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in covers for path in root.glob(pattern)}):
        content = path.read_bytes()
        if path.suffix == ".py":
            content = essence(content.decode()).encode()
        elif path.suffix == ".ipynb":
            content = "\n".join(essence(source(cell)) for cell in json.loads(content)["cells"] if cell["cell_type"] == "code").encode()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def read() -> dict[str, dict[str, Any]]:
    """The summary as it is committed."""
    summary: dict[str, dict[str, Any]] = json.loads(SUMMARY.read_text(encoding="utf-8")) if SUMMARY.exists() else {}
    return summary


def why_stale(name: str, item: Item, summary: dict[str, dict[str, Any]]) -> str:
    """Why the summary does not vouch for an item; nothing where it does."""
    done = summary.get(name)
    if done is None:
        return f"'{name}' was never done"
    if done["result"] != "ok":
        return f"'{name}' failed on {done['date']}"
    if done["sha256"] != fingerprint(item.covers):
        several = f"one of {len(item.covers)} files ({', '.join(item.covers)})" if len(item.covers) > 1 else item.covers[0]
        return f"'{name}' was done on {done['date']}, and {several} has changed since"
    return ""


def stale(summary: dict[str, dict[str, Any]], wanted: dict[str, Item]) -> list[str]:
    """What the summary does not vouch for: one line an item, with the command to run."""
    command = "Run: python -m tools deep --only"
    found = [f"{why}. {command} {shlex.quote(name)}" for name, item in wanted.items() if (why := why_stale(name, item, summary))]
    whole = sum(done["figures"].get("seconds", 0) for name, done in summary.items() if name.startswith("small: ") and name in wanted)
    if whole > BOOK_SECONDS:
        found.append(f"the chapters take {whole:.0f} s at small scale; the promise is {BOOK_SECONDS} s for the whole book")
    return found


def main(argv: list[str]) -> int:
    """Does what is stale, of the items asked for; 0 only when all of those are well."""
    wanted = items()
    parser = argparse.ArgumentParser(prog="python -m tools deep", description="The second lane: the expensive full counts.")
    parser.add_argument("--only", nargs="+", metavar="ITEM", default=["*"], help="families or items, with * as usual: small, 'sabotage: a dead*'")
    parser.add_argument("--again", action="store_true", help="do an item again though nothing it covers has changed")
    parser.add_argument("--list", action="store_true", help="list the items and what is stale, and stop there")
    options = parser.parse_args(argv)
    chosen = {name: item for name, item in wanted.items() if any(fnmatch(name, p) or name.startswith(p + ":") for p in options.only)}
    if not chosen:
        parser.error(f"no item is called {' '.join(options.only)}; --list names them")
    if options.list:
        print("\n".join([*chosen, "", *stale(read(), chosen)]))
        return 0
    failed = 0
    for number, (name, item) in enumerate(chosen.items(), start=1):
        mark = fingerprint(item.covers)
        if not options.again and not why_stale(name, item, read()):
            print(f"[{number} of {len(chosen)}] {name}: done before, nothing it covers has changed", flush=True)
            continue
        print(f"[{number} of {len(chosen)}] {name}: ", end="", flush=True)
        started, figures, result = time.monotonic(), {}, "ok"
        try:
            figures = item.run()
        except BrokenPromiseError as failure:
            result, failed = "failed", failed + 1
            print(f"FAILED: {failure}", flush=True)
        seconds = round(time.monotonic() - started, 1)
        print(f"{result}, {seconds} s {figures or ''}", flush=True)
        done = {"date": datetime.date.today().isoformat(), "result": result, "seconds": seconds, "figures": figures, "sha256": mark}
        summary = {key: value for key, value in {**read(), name: done}.items() if key in wanted}
        temporary = SUMMARY.with_suffix(".tmp")
        temporary.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(SUMMARY)
    print(f"{len(chosen) - failed} of {len(chosen)} items are well; the summary is in tests/deep.json: commit it.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
