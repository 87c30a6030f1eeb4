"""Executes the chapters: nbval runs every cell, and this plugin of pytest keeps what the cells gave.

A chapter whose cells all passed is written, with its outputs, to `_build/executed/SCALE/CHAPTER.ipynb`. Its record (metadata `wm`) holds
seconds, peak memory, and the hash of everything that it was made of: its code, each module of `wmlib` that was loaded, each file of the
repository that was opened, the lock, the Python. While nothing of that changes the chapter is not executed again. The pages are typeset
from these files, and prose may change freely beside them.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import pytest
from nbval.kernel import RunningKernel  # type: ignore[import-untyped]
from nbval.plugin import IPyNbCell  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2  # processes that run tests and chapters side by side; TensorFlow has one thread in each
LOOK_EVERY = 2.0  # seconds between two looks at a kernel's process
NOT_OURS = re.compile(
    r"(?:^|/)(?:_build|runs|__pycache__|\..*|.*\.pyc)(?:/|$)"
)  # what a chapter opens that it is not made of
SHARED_SCRIPT = re.compile(r'<script class="wm-shared">.*?</script>', re.DOTALL)
# Run in the kernel before the first cell, and after the last: which files it opens, which modules it has loaded, its peak memory.
BEFORE = """
import os, sys
def opened(event, args):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], (str, os.PathLike)):
        sys.wm_opened.add(os.path.abspath(args[0]))
sys.wm_opened = set()
sys.addaudithook(opened)
"""
AFTER = """
import json, resource, sys
try:
    peak = 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
loaded = {str(module.__file__) for name, module in list(sys.modules.items()) if name.split(".")[0] == "wmlib"}
answer = json.dumps({"peak": peak, "files": sorted(loaded | sys.wm_opened)})
"""


def environment(
    outer: Mapping[str, str], root: Path = ROOT, scale: str = "smoke"
) -> dict[str, str]:
    """What tests and chapters see: this scale, this checkout first on the path, this interpreter's programs, no other data, plain text."""
    settings = ROOT / "_build" / "ipython"
    settings.mkdir(parents=True, exist_ok=True)
    paths = {
        "PYTHONPATH": list(dict.fromkeys([str(root), str(ROOT)])),
        "PATH": [str(Path(sys.executable).parent)],
    }
    joined = {
        key: os.pathsep.join([*before, *filter(None, [outer.get(key)])])
        for key, before in paths.items()
    }
    quiet = {
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "JUPYTER_PLATFORM_DIRS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONHASHSEED": "0",
    }
    one_thread = dict.fromkeys(
        ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"
    )
    kept = {key: value for key, value in outer.items() if key not in ("WM_DATA", "PYTEST_ADDOPTS")}
    return {**quiet, **one_thread, **kept, **joined, "WM_SCALE": scale, "IPYTHONDIR": str(settings)}


def command(*arguments: str, workers: int = WORKERS) -> list[str]:
    """The call of pytest that executes chapters (and runs tests beside them), whole files to a worker.

    A cell may take two minutes on a busy machine at smoke scale, and fifteen at others; a dead kernel is noticed within seconds.
    """
    nbval = (
        "--nbval-lax",
        "--nbval-current-env",
        "--nbval-kernel-startup-timeout=120",
        "-p",
        "tools.executor",
    )
    return [
        sys.executable,
        "-m",
        "pytest",
        "--color=no",
        "-n",
        str(workers),
        "--dist",
        "loadfile",
        *nbval,
        *arguments,
    ]


def execute(paths: Iterable[Path], scale: str) -> int:
    """Executes the chapters of one repository that are not up to date; pytest's exit code (0 where there is nothing to do)."""
    stale = [path for path in paths if not fresh(path, scale)]
    if not stale:
        return 0
    root = stale[0].parent.parent
    where = (
        "-c",
        str(ROOT / "pyproject.toml"),
        f"--rootdir={root}",
        "-p",
        "no:cacheprovider",
        "--nbval-cell-timeout=900",
    )
    return subprocess.run(
        command(*where, *map(str, stale), workers=WORKERS if len(stale) > 1 else 0),
        cwd=ROOT,
        env=environment(os.environ, root, scale),
    ).returncode


# What an execution is made of, and where it is kept.


def kept(path: Path, scale: str) -> Path:
    """Where a chapter's execution is kept."""
    return path.parent.parent / "_build" / "executed" / scale / path.name


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(path: Path) -> Any:
    """A notebook."""
    return nbformat.read(path, as_version=4)


def _bytes(notebook: Any) -> bytes:
    text: str = nbformat.writes(notebook)
    return f"{text}\n".encode()


def essence(path: Path, scale: str) -> str:
    """A hash of what every execution of a chapter depends on besides files: its cells, what they must print, lock, scale, Python, this module."""
    cells = [(cell.source, cell.outputs, cell.metadata.get("tags")) for cell in _code(read(path))]
    lock = path.parent.parent / "requirements.lock"
    parts = [
        json.dumps(cells),
        scale,
        platform.python_version(),
        platform.platform(terse=True),
        _hash(lock),
        _hash(Path(__file__)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _hash(path: Path) -> str:
    if path.is_dir():
        return hashlib.sha256("\n".join(sorted(os.listdir(path))).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def record(path: Path, scale: str) -> dict[str, Any]:
    """The record of a chapter's last good execution; empty where there is none."""
    try:
        found: dict[str, Any] = read(kept(path, scale)).metadata.get("wm", {})
    except (
        OSError,
        ValueError,
        AttributeError,
        nbformat.reader.NotJSONError,
        nbformat.ValidationError,
    ):
        return {}
    return found


def fresh(path: Path, scale: str) -> bool:
    """Whether a chapter was executed with just the code, the modules and the data that are there now."""
    was = record(path, scale)
    return (
        bool(was)
        and was["essence"] == essence(path, scale)
        and all(_hash(path.parent.parent / name) == sha for name, sha in was["files"].items())
    )


def merged(path: Path, scale: str) -> bytes:
    """A chapter as it reads now, with the outputs of its execution."""
    notebook, executed = read(path), read(kept(path, scale))
    for cell, done in zip(_code(notebook), _code(executed), strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    return _bytes(notebook)


def tidy(outputs: list[Any]) -> list[Any]:
    """A cell's outputs as a page shows them: without the script that the viewers of a notebook share, which the site serves once for all pages."""
    for data in (output.data for output in outputs if "data" in output):
        for kind in (kind for kind in data if kind.endswith("text/html")):
            data[kind] = SHARED_SCRIPT.sub("", data[kind])
    return outputs


# The plugin.


class Watch(threading.Thread):
    """Watches the memory of a kernel and of what it starts; a page that several processes share counts once."""

    def __init__(self, pid: int) -> None:
        """Of the kernel in this process."""
        super().__init__(daemon=True)
        self.pid, self.peak = pid, 0

    def run(self) -> None:
        """Looks twice a second until the kernel is gone."""
        import psutil

        while psutil.pid_exists(self.pid):
            with contextlib.suppress(psutil.Error):
                kernel = psutil.Process(self.pid)
                if children := kernel.children(recursive=True):  # alone, it knows its own peak
                    full = [process.memory_full_info() for process in (kernel, *children)]
                    self.peak = max(self.peak, sum(getattr(one, "pss", one.rss) for one in full))
            time.sleep(0.5)


def _ask(kernel: Any, code: str, answer: str = "None") -> Any:
    """Runs code in a namespace of its own in a kernel; the value of `answer` in it."""
    expressions = {"wm": f"(lambda space: (exec({code!r}, space), space.get({answer!r}))[1])({{}})"}
    reply = kernel.kc.execute_interactive(
        "",
        silent=True,
        store_history=False,
        allow_stdin=False,
        timeout=60,
        user_expressions=expressions,
    )
    return ast.literal_eval(reply["content"]["user_expressions"]["wm"]["data"]["text/plain"])


def keep(chapter: Any) -> dict[str, Any]:
    """Writes the executed notebook of a chapter whose cells have all passed, and returns its record."""
    from wmlib.storage import write_atomic

    path, scale = Path(chapter.path), os.environ.get("WM_SCALE") or "small"
    root, said = path.parent.parent, json.loads(_ask(chapter.kernel, AFTER, "answer"))
    ours = [
        Path(name)
        for name in said["files"]
        if Path(name).is_relative_to(root) and Path(name).exists()
    ]
    names = sorted(
        name
        for file in ours
        if not NOT_OURS.search(name := file.relative_to(root).as_posix())
        and (file.is_file() or name.startswith("data"))
    )
    seconds, peak = time.time() - chapter.started, max(said["peak"], chapter.watch.peak)
    if essence(path, scale) != chapter.essence or any(
        (root / name).is_file() and (root / name).stat().st_mtime > chapter.started
        for name in names
    ):
        pytest.fail(
            f"{path.name} or what it is made of changed while it ran. Nothing was kept: run it again.",
            pytrace=False,
        )
    notebook = chapter.nb
    for number, (cell, item) in enumerate(
        zip(_code(notebook), chapter.cells, strict=True), start=1
    ):
        cell.outputs, cell.execution_count = tidy(item.test_outputs), number
        for output in (output for output in cell.outputs if output.output_type == "execute_result"):
            output.execution_count = number
    made = {
        "seconds": round(seconds, 1),
        "megabytes": round(peak / 1e6),
        "essence": chapter.essence,
        "files": {name: _hash(root / name) for name in names},
    }
    notebook.metadata["wm"] = made
    kept(path, scale).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(kept(path, scale), _bytes(notebook))
    return made


_await_reply = RunningKernel.await_reply


def await_reply(self: Any, msg_id: str, timeout: float | None = None) -> None:
    """nbval's own wait for a cell's reply, cut into short waits with a look at the process between them."""
    waited_until = time.monotonic() + (timeout or float("inf"))
    while True:
        try:
            _await_reply(self, msg_id, timeout=min(LOOK_EVERY, timeout or LOOK_EVERY))
            return
        except Empty:
            if not self.is_alive():
                raise RuntimeError(
                    "The kernel died while it ran this cell (out of memory, os._exit or a crash in compiled code)."
                ) from None
            if time.monotonic() > waited_until:
                raise


class Progress:
    """Says what each chapter took, as it ends."""

    def __init__(self, config: pytest.Config) -> None:
        """Of this run."""
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of the last cell of a chapter: one line."""
        for name, made in report.user_properties if report.when == "call" else ():
            if name == "chapter" and not hasattr(self.config, "workerinput"):
                terminal: Any = self.config.pluginmanager.getplugin("terminalreporter")
                terminal.ensure_newline()
                terminal.write_line(f"{report.nodeid.partition('::')[0]:48} {made}")


def pytest_configure(config: pytest.Config) -> None:
    """Puts the watch for dead kernels in place for this run."""
    RunningKernel.await_reply = await_reply
    config.pluginmanager.register(Progress(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the chapters that are up to date; warnings of Jupyter's own machinery are no business of the others."""
    scale = os.environ.get("WM_SCALE") or "small"
    chapters: dict[Any, list[pytest.Item]] = {}
    for item in items:
        if isinstance(item, IPyNbCell):
            chapters.setdefault(item.parent, []).append(item)
            item.add_marker(pytest.mark.filterwarnings("default"))
    for chapter, cells in chapters.items():
        # Of what was read just now: a chapter that is edited before its first cell runs has changed, too.
        chapter.cells, chapter.essence = cells, essence(chapter.path, scale)
        if fresh(chapter.path, scale):
            config.hook.pytest_deselected(items=cells)
            items[:] = [item for item in items if item.parent is not chapter]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Begins a chapter's record before its first cell and keeps it after its last; behind a cell that raised no other runs."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    chapter: Any = item.parent
    if item is chapter.cells[0]:
        chapter.started, chapter.broken, chapter.failed = time.time(), False, False
        chapter.watch = Watch(chapter.kernel.km.provisioner.pid)
        chapter.watch.start()
        _ask(chapter.kernel, BEFORE)
    if chapter.broken:
        pytest.skip("an earlier cell of this chapter failed")
    try:
        result = yield
    except BaseException as error:
        chapter.failed, chapter.broken = True, "Cell outputs differ" not in str(error)
        if getattr(error, "inner_traceback", None):
            error.inner_traceback = re.sub(r"\x1b\[[0-9;]*m", "", error.inner_traceback)  # type: ignore[attr-defined]
        raise
    if item is chapter.cells[-1] and not chapter.failed:
        made = keep(chapter)
        item.user_properties.append(
            ("chapter", f"{made['seconds']:6.1f} s  {made['megabytes'] / 1000:.2f} GB")
        )
    return result
