"""Executes the chapters for `tools.book`, each in a kernel of this interpreter, and keeps what they printed and drew.

Executions are kept in `_build/executed/SCALE`, each under a hash of all that it depends on: the notebook, `wmlib`, `data`,
the lock, the scale and the Python. A page is therefore never stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import nbformat
import yaml  # type: ignore[import-untyped,unused-ignore]

from wmlib.runs import write_atomic

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
CELL_TIMEOUT = 900  # seconds
SHARED_SCRIPT = re.compile(r'<script class="wm-shared">.*?</script>', re.DOTALL)
QUIET_SECONDS = 15  # between two signs of life where the output is no terminal


class BuildError(Exception):
    """What is wrong, in the words that the reader sees."""


# Which chapters, and what each depends on.


def contents(root: Path) -> list[str]:
    """The documents that `_toc.yml` names, in order, as paths without suffix."""
    def files(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (str(value).removesuffix(".md").removesuffix(".ipynb") for key, value in node.items() if key in ("root", "file"))
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from files(child)

    return list(files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def chapters(root: Path) -> list[Path]:
    """The notebooks of the book, in the order of `_toc.yml`."""
    named = [root / f"{document}.ipynb" for document in contents(root) if document.startswith("chapters/")]
    for path in named:
        if not path.is_file():
            raise BuildError(f"_toc.yml names {path.relative_to(root).with_suffix('')}, but there is no {path.relative_to(root)}.")
    return named


def files_in(folder: Path) -> Iterator[Path]:
    """Every file below a folder, less caches and hidden ones, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts):
            yield path


def surroundings(root: Path, scale: str) -> str:
    """A hash of all that every chapter depends on besides itself."""
    sha = hashlib.sha256(f"5 {scale} {platform.python_version()} {platform.system()} {platform.machine()}".encode())
    for path in (*files_in(root / "wmlib"), *files_in(root / "data"), root / "requirements.lock"):
        sha.update(f"\n{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return sha.hexdigest()


# Execution.


def tidy(outputs: list[Any]) -> list[Any]:
    """A cell's outputs as a page shows them best: what is glued stands last, so that what was printed around it is one piece.

    The script that the viewers of a notebook share is taken out: the site serves it once for all pages.
    """
    for data in (output.data for output in outputs if "data" in output):
        for kind in (kind for kind in data if kind.endswith("text/html")):
            data[kind] = SHARED_SCRIPT.sub("", data[kind])
    glued = [output for output in outputs if "scrapbook" in output.get("metadata", {}) and "text/plain" not in output.data]
    for output in glued:
        for kind in (kind for kind in output.data if kind.endswith("text/plain")):  # np.float64(4.7) is a number in the text
            output.data[kind] = re.sub(r"^np\.(?:float|int|uint)\d+\((.*)\)$", r"\1", output.data[kind])
    shown: list[Any] = []
    for output in (output for output in outputs if output not in glued):
        if shown and output.output_type == "stream" and (shown[-1].output_type, shown[-1].get("name")) == ("stream", output.name):
            shown[-1].text += output.text
        else:
            shown.append(output)
    return shown + glued


@dataclass
class Execution:
    """One chapter being executed, in a thread with its own event loop so that the main thread can report and be interrupted."""

    path: Path
    source: bytes
    scale: str
    log: BinaryIO  # what the kernel's process prints, such as the trace of a crash
    cell: int = -1
    error: BaseException | None = None
    notebook: Any = None
    _client: Any = None

    def __post_init__(self) -> None:
        """Reads the notebook."""
        try:
            self.notebook = nbformat.reads(self.source.decode(), as_version=4)  # type: ignore[no-untyped-call,unused-ignore]
        except Exception as error:
            raise BuildError(f"{self.path.name} is no notebook that can be read: {error}") from None
        self.cells = [i for i, cell in enumerate(self.notebook.cells) if cell.cell_type == "code" and cell.source.strip()]

    def _new_client(self) -> Any:
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        class ThisPython(AsyncKernelManager):
            """A kernel of the interpreter that builds the book, whatever kernels the reader has installed."""

            @property
            def kernel_spec(self) -> KernelSpec:
                command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
                return KernelSpec(argv=command, display_name="Python 3", language="python", interrupt_mode="signal")

        def started(cell: Any, cell_index: int) -> None:
            self.cell = cell_index

        return NotebookClient(self.notebook, timeout=CELL_TIMEOUT, kernel_manager_class=ThisPython, record_timing=False,
                              force_raise_errors=True, allow_errors=False, on_cell_execute=started,
                              resources={"metadata": {"path": str(self.path.parent)}})

    def _environment(self) -> dict[str, str]:
        """The reader's own, but for what would change a result: this checkout's wmlib, this scale, no other data."""
        path = os.pathsep.join(filter(None, [str(self.path.parent.parent), os.environ.get("PYTHONPATH")]))
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WM_")}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "IPYTHONDIR": str(BUILD / "ipython")}
        return {**quiet, **kept, "WM_SCALE": self.scale, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}

    def _run(self) -> None:
        loop = asyncio.SelectorEventLoop()  # zmq's on every system
        try:
            loop.run_until_complete(self._client.async_execute(env=self._environment(), stderr=self.log))
        except BaseException as error:  # handed to the main thread
            self.error = error
        finally:
            loop.close()

    def _kill_kernel(self) -> None:
        """Ends the kernel and all it started, at once; the thread finds it dead."""
        manager = self._client.km
        process = getattr(getattr(manager, "provisioner", None), "process", None)
        if process is not None:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            manager.cleanup_connection_file()

    def run(self, report: Progress) -> None:
        """Executes the notebook in place, reporting as it goes.

        Raises:
            BuildError: if a cell raises, takes too long, or the kernel dies.
        """
        self._client = self._new_client()
        thread = threading.Thread(target=self._run, daemon=True)
        stop = threading.Event()  # an exception raised by the signal could be lost in a finalizer; a flag cannot
        if by_default := signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: stop.set())
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.5)
                report.alive(sum(i < self.cell for i in self.cells), len(self.cells))
                if stop.is_set():
                    with contextlib.suppress(OSError):
                        self._kill_kernel()
                    raise KeyboardInterrupt
        finally:
            if by_default:
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.error is not None:
            raise BuildError(self._what_failed(self.error)) from None
        for i in self.cells:
            self.notebook.cells[i].outputs = tidy(self.notebook.cells[i].outputs)

    def _what_failed(self, error: BaseException) -> str:
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        where = self.path.relative_to(self.path.parent.parent).as_posix()
        if isinstance(error, CellExecutionError):
            trace = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback).rpartition("Traceback (most recent call last)")[2].strip().splitlines()
            what = f"raised {error.ename}: {error.evalue}\n" + "\n".join(f"  | {line}" for line in trace[-20:] if line.strip())
        elif isinstance(error, CellTimeoutError):
            what = f"did not end within {CELL_TIMEOUT} s"
        elif isinstance(error, DeadKernelError):
            self.log.seek(0)
            last = [line for line in self.log.read().decode(errors="replace").splitlines() if line.strip() and "CurveZMQ" not in line]
            what = "killed the kernel (out of memory, os._exit or a crash in compiled code)" + "".join(f"\n  | {line}" for line in last[-15:])
        else:
            what = f"could not be executed ({type(error).__name__}: {error})"
        if self.cell < 0:
            return f"{where}: the kernel did not start; it {what}"
        lines = [line for line in self.notebook.cells[self.cell].source.splitlines() if line.strip()]
        return f"{where}, cell {self.cell + 1}, which begins\n" + "".join(f"  > {line}\n" for line in lines[:4]) + what


@dataclass
class Progress:
    """Says which chapter runs, how far it is, and about how long the rest takes, going by the last known times."""

    name: str
    place: str
    known: dict[str, float]
    after: list[str]
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)
    terminal: bool = field(default_factory=sys.stdout.isatty)

    @property
    def seconds(self) -> float:
        """Since the chapter began."""
        return time.monotonic() - self.started

    def _left(self) -> str:
        names = [self.name, *self.after]
        if any(name not in self.known for name in names):
            return "not run before at this scale, so no telling how long"
        left = max(0.0, self.known[self.name] - self.seconds) + sum(self.known[name] for name in self.after)
        return f"about {left:.0f} s left for all chapters"

    def begin(self, cells: int) -> None:
        """The line that announces the chapter."""
        print(f"{self.place} {self.name}: executing {cells} cells ({self._left()})", flush=True)

    def alive(self, done: int, of: int) -> None:
        """A sign of life, now and then."""
        if self.terminal:
            print(f"\r      cell {done + 1} of {of}, {self.seconds:.0f} s, {self._left()}\x1b[K", end="", flush=True)
        elif time.monotonic() - self.said > QUIET_SECONDS:
            self.said = time.monotonic()
            print(f"      cell {done + 1} of {of}, {self.seconds:.0f} s, {self._left()}", flush=True)

    def end(self, what: str) -> None:
        """The line that closes the chapter."""
        start = "\r\x1b[K" if self.terminal else ""
        print(f"{start}{self.place} {self.name}: {what}", flush=True)


def execute(root: Path, scale: str) -> dict[str, bytes]:
    """Every chapter with its outputs, from the cache or executed now: {path in the book: notebook}.

    Raises:
        BuildError: if a chapter fails, or what it depends on changed while it ran.
    """
    paths, shared, times_file = chapters(root), surroundings(root, scale), BUILD / "times.json"
    cache = BUILD / "executed" / scale
    cache.mkdir(parents=True, exist_ok=True)
    times = json.loads(times_file.read_text()) if times_file.exists() else {}
    known: dict[str, float] = times.setdefault(scale, {})
    sources = {path: path.read_bytes() for path in paths}
    kept = {path: cache / f"{path.stem}-{hashlib.sha256(shared.encode() + source).hexdigest()[:32]}.ipynb" for path, source in sources.items()}
    missing = [path for path in paths if not kept[path].exists()]
    for number, path in enumerate(paths, start=1):
        waiting = [other.stem for other in missing if other > path]
        progress = Progress(path.stem, f"[{number} of {len(paths)}]", known, waiting)
        if path not in missing:
            progress.end("from the cache")
            continue
        with (cache / f"{path.stem}.log").open("w+b") as log:
            run = Execution(path, sources[path], scale, log)
            progress.begin(len(run.cells))
            run.run(progress)
        if surroundings(root, scale) != shared or path.read_bytes() != sources[path]:
            raise BuildError(f"{path.stem}, wmlib, data or the lock changed while {path.stem} was executed. Nothing was kept: build again.")
        write_atomic(kept[path], (nbformat.writes(run.notebook) + "\n").encode())  # type: ignore[no-untyped-call,unused-ignore]
        known[path.stem] = round(progress.seconds, 1)
        write_atomic(times_file, json.dumps(times, indent=1).encode())
        progress.end(f"executed {len(run.cells)} cells in {progress.seconds:.0f} s")
    for old in set(cache.glob("*.ipynb")) - set(kept.values()):
        old.unlink()
    return {path.relative_to(root).as_posix(): kept[path].read_bytes() for path in paths}
