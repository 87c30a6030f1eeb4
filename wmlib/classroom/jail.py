"""Runs a student's code behind walls: a process that reads little, changes nothing, and may end in any way.

Two processes. The outer one asks: run this cell, call this function with these arguments. The inner one (`python -m
wmlib.classroom.jail`) runs the student's code and sends plain values back, as JSON, through a socket. It knows no right answer and no
seed, so it has nothing to read and nothing to forge. The walls are bubblewrap's: no network, no process but its own, no file
but Python, the library and the book's data, a small folder in memory to write in; and limits of memory, time and processes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import re
import resource
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from wmlib.classroom.marking import Thing
from wmlib.errors import InputError
from wmlib.storage import LIBRARY, data_folder

START = 180.0  # seconds that a process and its libraries may need to start on a busy machine
MEMORY = 4 * 10**9  # bytes, all processes of a jail together
LIMITS = {"AS": 6 * 10**9, "FSIZE": 32 * 10**6, "NOFILE": 256, "CORE": 0}  # of each process
PROCESSES = 200  # threads count
REPLY = 16 * 10**6  # bytes
NOBODY = 65534
TICK = 0.25  # seconds between two looks at the memory
KEPT = ("LANG", "LC_ALL", "TZ", "WM_SCALE", "WM_DATA")
NUMBERS = re.compile(r"[<>|=]?[biuf][0-9]{1,2}")  # types of arrays that may come back


class StoppedError(Exception):
    """The process was stopped or ended; the message says why, as a clause about the student's code."""


def encode(value: Any) -> Any:
    """A value as JSON may hold it; runs among the student's code."""
    if value is ...:
        return {"todo": True}
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:1000]
    if isinstance(value, list | tuple):
        return [encode(part) for part in value]
    if isinstance(value, dict):
        return {"dict": {str(key): encode(part) for key, part in value.items()}}
    with contextlib.suppress(Exception):
        array = np.asarray(value)
        array = array.astype(float) if array.dtype == object else array  # such as fractions
        if array.dtype.kind in "biuf" and array.nbytes <= REPLY // 2:
            return {
                "array": [
                    array.dtype.str,
                    list(array.shape),
                    base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
                ]
            }
    return {"thing": f"{type(value).__name__} {value!r:.40}"}


def decode(data: Any) -> Any:
    """The value that `encode` was given.

    Raises:
        ValueError, TypeError, KeyError: if it was not `encode` that made this.
    """
    if isinstance(data, list):
        return [decode(part) for part in data]
    if not isinstance(data, dict):
        return data
    ((kind, content),) = data.items()
    if kind == "todo":
        return ...
    if kind == "dict":
        return {str(key): decode(part) for key, part in content.items()}
    if kind == "array":
        dtype, shape, text = content
        if not NUMBERS.fullmatch(dtype):
            raise ValueError(f"an array of {dtype!r:.20}")
        return (
            np.frombuffer(base64.b64decode(text, validate=True), dtype=dtype).reshape(shape).copy()
        )
    return Thing(_line(content, 80))


def _line(text: Any, most: int = 300) -> str:
    """Text on one line, without what a terminal or a page could take for anything but text."""
    return "".join(sign for sign in " ".join(str(text).split()) if sign.isprintable())[:most]


def _send(wire: socket.socket, data: bytes) -> None:
    wire.sendall(len(data).to_bytes(8, "big") + data)


def why_not() -> str:
    """Why this machine has no walls to offer, in one line; nothing where it has."""
    advice = "or grade with --unsafe, which runs the students' code as any program of yours"
    if shutil.which("bwrap") is None:
        return f"Grading needs bubblewrap, the walls around students' code: apt install bubblewrap (Linux), {advice}."
    try:
        with Jail() as jail:
            jail.run("1 + 1", START)
    except StoppedError as error:
        return f"bubblewrap cannot build its walls here ({jail.complaint or error}): grade where it may make namespaces, {advice}."
    return ""


def _shown() -> list[str]:
    """What the process may read, besides the system's programs: this Python, its packages, the library and the book's data."""
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    wanted = [
        sys.prefix,
        sys.base_prefix,
        os.path.realpath(sys.base_prefix),
        *packages,
        str(LIBRARY),
    ]
    with contextlib.suppress(InputError):
        wanted.append(str(data_folder()))
    return [
        path
        for path in dict.fromkeys(wanted)
        if Path(path).is_dir() and not path.startswith("/usr/")
    ]


def _walls() -> list[str]:
    """bubblewrap, and what it is to build."""
    words = [
        shutil.which("bwrap") or "bwrap",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--new-session",
    ]
    if (
        os.getuid() == 0
    ):  # a process of root's cannot be kept from forking: it gives up its rights as soon as the walls stand
        words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    words += ["--ro-bind", "/usr", "/usr"]
    for path in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp"):
        words += ["--perms", "1777", "--size", str(256 * 10**6), "--tmpfs", path]
    files = [
        path
        for path in ("/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/alternatives")
        if os.path.exists(path)
    ]
    shown = [*files, *_shown()]
    for parent in sorted(
        {str(parent) for path in shown for parent in Path(path).parents}
        - {"/", "/tmp", "/usr", "/dev"}
    ):
        words += ["--perms", "0755", "--dir", parent]
    for path in shown:
        words += ["--ro-bind", path, path]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]


def _tree(top: int) -> list[int]:
    """A process and all that it started, as Linux lists them."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = Path("/proc", entry, "stat").read_text() if entry.isdigit() else ""
            children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(entry))
    found = [top]
    for process in found:
        found += children.get(process, [])
    return found


def _memory(top: int) -> int:
    """Bytes that a process and all that it started use together."""
    total = 0
    for process in _tree(top):
        with contextlib.suppress(OSError, AttributeError):
            found = re.search(
                r"^Pss:\s+(\d+) kB", Path("/proc", str(process), "smaps_rollup").read_text(), re.M
            )
            total += 1024 * int(found[1])  # type: ignore[index]
    return total


def _threads(user: int) -> int:
    """How many threads a user has on this machine."""
    total = 0
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        with contextlib.suppress(OSError):
            total += (
                len(os.listdir(f"/proc/{entry}/task"))
                if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == user
                else 0
            )
    return total


class Jail:
    """A process for one student's code; a context manager, at whose end nothing of it is left.

    Args:
        walls: without, it has the limits only, and can read and do what you can.
        deadline: moment (of `time.monotonic`) at which it is stopped in any case.

    Attributes:
        stopped: why it was, or nothing.
        complaint: what the walls' builder said, if anything; known at the end.
    """

    def __init__(self, walls: bool = True, deadline: float = float("inf")) -> None:
        """Remembers; the process starts where the context does."""
        self.stopped = self.complaint = ""
        self._walls, self._deadline = walls, deadline

    def __enter__(self) -> Jail:
        """Starts the process."""
        user = os.getuid()
        drop = self._walls and user == 0
        limits = {**LIMITS, "NPROC": PROCESSES + _threads(NOBODY if drop else user), "drop": drop}
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        home = "/tmp" if self._walls else self._folder.name
        here = {name: os.environ[name] for name in KEPT if name in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
        library = str(LIBRARY.parent)
        quiet = {
            "MPLBACKEND": "agg",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUSERBASE": site.getuserbase(),
        }
        quiet |= {
            f"{name}_THREADS": "2"
            for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
        }
        words = [
            *(_walls() if self._walls else []),
            sys.executable,
            "-m",
            "wmlib.classroom.jail",
            json.dumps(limits),
        ]
        self._wire, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()
        with theirs:
            self._process = subprocess.Popen(
                words, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=self._errors, cwd=self._folder.name, start_new_session=True,
                env={**here, **quiet, "PATH": path, "HOME": home, "PYTHONPATH": library},
            )  # fmt: skip
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._wire.close()
        self._folder.cleanup()
        with self._errors:
            self._errors.seek(0)
            self.complaint = (
                self._errors.read(300).decode(errors="replace").strip().partition("\n")[0]
            )

    def run(self, code: str, seconds: float) -> str:
        """Runs a cell; what it raised, or nothing. Raises `StoppedError` if the process did not survive it."""
        return _line(self._ask({"run": code}, seconds).get("raised") or "")

    def has(self, name: str) -> bool:
        """Whether the cells so far define a name. Raises `StoppedError` if the process is gone."""
        return self._ask({"has": name}, START).get("has") is True

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], seconds: float) -> Any:
        """Calls what the cells define.

        Returns:
            What it returned: numbers, text, arrays and collections of those; `...`; or a `marking.Thing`.

        Raises:
            StoppedError: if the process did not survive it, or sent nonsense.
            RuntimeError: if the call raised; the message is type and text of that.
        """
        self._ask({"take": [args, kwargs]}, START)
        reply = self._ask({"call": name}, seconds)
        if "value" not in reply:
            raise RuntimeError(_line(reply.get("raised")))
        try:
            return decode(reply["value"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise self._stop("what it sent back cannot be read. Expected numbers") from None

    def _stop(self, why: str) -> StoppedError:
        self.stopped = self.stopped or why
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return StoppedError(self.stopped)

    def _ask(self, task: dict[str, Any], seconds: float) -> dict[str, Any]:
        if self.stopped:
            raise StoppedError(self.stopped)
        until = time.monotonic() + seconds
        try:
            self._wire.settimeout(max(0.01, min(until, self._deadline) - time.monotonic()))
            _send(self._wire, pickle.dumps(task))
            size = int.from_bytes(self._receive(8, until, seconds), "big")
            if size > REPLY:
                raise self._stop(
                    f"it sent back more than {REPLY // 10**6} MB. Expected an answer, which is shorter"
                )
            reply = json.loads(self._receive(size, until, seconds))
        except TimeoutError:
            raise self._stop(
                f"it had not come to an end after {seconds:g} s. Expected an answer sooner: does every loop end?"
            ) from None
        except OSError:
            raise self._stop(_ENDED) from None
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise self._stop("what it sent back cannot be read. Expected numbers")
        return reply

    def _receive(self, size: int, until: float, seconds: float) -> bytes:
        """So many bytes, looking at the clock and the memory in between."""
        found = bytearray()
        while len(found) < size:
            now = time.monotonic()
            if now > self._deadline:
                raise self._stop("the whole submission took too long, and was stopped")
            if now > until:
                raise TimeoutError
            self._wire.settimeout(TICK)
            try:
                piece = self._wire.recv(min(size - len(found), 1 << 16))
            except TimeoutError:
                if _memory(self._process.pid) > MEMORY:
                    raise self._stop(
                        f"it took more than {MEMORY // 10**9} GB of memory. Expected an answer that needs less"
                    ) from None
                continue
            if not piece:
                raise self._stop(_ENDED)
            found += piece
        return bytes(found)


_ENDED = "it ended Python itself (os._exit, or a crash). Expected code that runs to its end"


def _confine(limits: dict[str, Any]) -> None:
    """Inside: takes the limits, which no one here can lift again."""
    drop = limits.pop("drop")
    for name, limit in limits.items():
        most = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(
            "1000"
        )  # should memory run out, this goes first
    if drop:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def _done(shell: Any, task: dict[str, Any], taken: list[Any]) -> dict[str, Any]:
    """Inside: does what is asked; whatever the code raises is an answer, too."""
    try:
        if "run" in task:
            result = shell.run_cell(task["run"], store_history=False)
            error = result.error_before_exec or result.error_in_exec
            return {"raised": f"{type(error).__name__}: {error}"[:300]} if error else {}
        if "has" in task:
            return {"has": task["has"] in shell.user_ns}
        if "take" in task:
            taken[:] = task["take"]
            return {}
        return {"value": encode(shell.user_ns[task["call"]](*taken[0], **taken[1]))}
    except BaseException as error:
        return {"raised": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """Inside: answers until the socket closes."""
    wire = socket.socket(fileno=os.dup(0))
    _confine(json.loads(sys.argv[1]))
    from IPython.core.interactiveshell import InteractiveShell  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.enable_gui = lambda gui=None: None  # type: ignore[method-assign]
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    taken: list[Any] = [(), {}]
    stream = wire.makefile("rb")
    while head := stream.read(8):
        task = pickle.loads(stream.read(int.from_bytes(head, "big")))
        _send(wire, json.dumps(_done(shell, task, taken)).encode())


if __name__ == "__main__":
    main()
