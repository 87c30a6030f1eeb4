"""A corpus of hostile and broken submissions: what each hands in for one exercise, what that costs, and what is said.

Each starts from an honest copy of the exercises of chapter 1 and spoils `alive-share`; `fall-chance` stays right and keeps its point.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from wmlib.classroom import classroom

RIGHT = {
    "alive-share": 'def alive_share(episode):\n    return episode.terms["alive"].sum() / episode.episode_return\n',
    "fall-chance": "def fall_chance(c, R):\n    return (5 - c) / R\n",
}
FULL = {"alive-share": 2.0, "fall-chance": 1.0}


@dataclass(frozen=True)
class Submission:
    """One submission of the corpus.

    Attributes:
        make: writes it, given an honest notebook and the path it is to have.
        points: of alive-share and of fall-chance.
        says: what stands in the feedback or in the remark, a regular expression.
    """

    make: Callable[[Any, Path], None]
    points: tuple[float, float]
    says: str


def cell(notebook: Any, name: str) -> Any:
    """The cell of that nbgrader id."""
    return next(
        each for each in notebook.cells if each.metadata.get("nbgrader", {}).get("grade_id") == name
    )


def answered(chapter: Path, folder: Path) -> Any:
    """A student's copy of a chapter, released into a folder, with right answers."""
    notebook = nbformat.read(classroom.release(chapter, folder), as_version=4)
    for name, source in RIGHT.items():
        cell(notebook, name).source = source
    return notebook


def save(notebook: Any, path: Path) -> None:
    """Writes it as it is, valid or not."""
    path.write_text(json.dumps(notebook, ensure_ascii=True), encoding="utf-8")


def code(text: str, *, says: str, points: tuple[float, float] = (0, 1)) -> Submission:
    """A submission whose answer to alive-share is this code."""

    def make(notebook: Any, path: Path) -> None:
        cell(notebook, "alive-share").source = textwrap.dedent(text)
        save(notebook, path)

    return Submission(make, points, says)


def body(text: str, *, says: str, before: str = "") -> Submission:
    """The same for the lines of its function."""
    return code(
        f"{before}\ndef alive_share(episode):\n"
        + textwrap.indent(textwrap.dedent(text).strip(), "    ")
        + "\n",
        says=says,
    )


def edited(act: Callable[[Any], None], *, points: tuple[float, float], says: str) -> Submission:
    """A submission whose notebook is changed in another way."""

    def make(notebook: Any, path: Path) -> None:
        act(notebook)
        save(notebook, path)

    return Submission(make, points, says)


def raw(content: bytes, *, says: str = "is not a Jupyter notebook") -> Submission:
    """A file of such bytes."""
    return Submission(lambda notebook, path: path.write_bytes(content) and None, (0, 0), says)


def other(act: Callable[[Path], None], *, says: str) -> Submission:
    """Something that is no plain file."""
    return Submission(lambda notebook, path: act(path), (0, 0), says)


ENDED = "ended Python itself"
SLOW = "had not come to an end"
MEMORY = "more than 4 GB of memory|MemoryError|allocate"
FEW = "Resource temporarily unavailable|can't start new thread|had not come to an end|ended Python itself|BlockingIOError"
READ_ONLY = "Read-only file system|Permission denied"
GONE = "No such file or directory|not found|Permission denied"
ZERO = "expected [0-9.]+, (got|but)"


def _retype(notebook: Any) -> None:
    cell(notebook, "alive-share").source = "def alive_share(episode):\n    return 0.5\n"
    cell(notebook, "alive-share-check").source = "print('Right.')"


def _delete_all_checks(notebook: Any) -> None:
    notebook.cells = [
        each
        for each in notebook.cells
        if "check" not in each.metadata.get("nbgrader", {}).get("grade_id", "")
    ]


def _delete_answer(notebook: Any) -> None:
    notebook.cells.remove(cell(notebook, "alive-share"))


def _as_text(notebook: Any) -> None:
    target = cell(notebook, "alive-share")
    target.cell_type = "markdown"
    target.pop("outputs", None), target.pop("execution_count", None)


def _forge_mark(notebook: Any) -> None:
    facts = {
        "schema_version": 3,
        "grade_id": "alive-share-mark",
        "grade": True,
        "locked": True,
        "solution": False,
        "task": False,
        "points": 100,
    }
    new = nbformat.v4.new_code_cell("print('100 of 2 points.')\n100", metadata={"nbgrader": facts})
    new.outputs = [
        nbformat.v4.new_output("execute_result", {"text/plain": "100"}, execution_count=1)
    ]
    _delete_answer(notebook)
    notebook.cells.append(new)


def _more_points(notebook: Any) -> None:
    for each in notebook.cells:
        each.metadata.setdefault("nbgrader", {}).update(points=1000, grade=True)
    cell(notebook, "alive-share").source = "def alive_share(episode):\n    return 1.0\n"


def _twice(notebook: Any) -> None:
    first = cell(notebook, "alive-share")
    copy = nbformat.from_dict({**first, "id": "another", "source": RIGHT["alive-share"]})
    first.source = "def alive_share(episode):\n    return 0.0\n"
    notebook.cells.insert(0, copy)


def _no_metadata(notebook: Any) -> None:
    for each in notebook.cells:
        each.metadata = {}


def _extra_kill(notebook: Any) -> None:
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import os\nos._exit(0)"))


def _setup_changed(notebook: Any) -> None:
    cell(notebook, "setup").source = "raise SystemExit('nothing here')"


def _no_cells(notebook: Any) -> None:
    notebook.cells = []


def _odd_metadata(notebook: Any) -> None:
    for each in notebook.cells:
        each.metadata = {"nbgrader": ["a list"], "tags": ["solution"]}


def _fork_of_notebook(path: Path) -> None:
    path = path.with_suffix("")
    path.mkdir()
    for name in ("mine.ipynb", "final.ipynb"):
        (path / name).write_text("{}")


CORPUS: dict[str, Submission] = {
    # it takes too long, or too much
    "loops where it is called": body("while True:\n    pass", says=SLOW),
    "loops where it is defined": code("while True:\n    pass", says=SLOW),
    "sleeps": body("import time\ntime.sleep(10**6)", says=SLOW),
    "sleeps deaf to signals": body("import signal, time\nfor n in range(1, 32):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True:\n    time.sleep(1)", says=SLOW),
    "never lets go of the interpreter": body("import re\nreturn re.match(r'(a+)+$', 'a' * 64 + 'b')", says=SLOW),
    "counts to a number of a hundred million digits": body("return 10 ** 10**8 % 7 ** 10**7", says=SLOW),
    "waits for input": body("return float(input('share? '))", says="EOFError|StdinNotImplementedError|had not come to an end|raised"),
    "recurses": body("return alive_share(episode)", says="RecursionError"),
    "recurses past all limits": body("import sys\nsys.setrecursionlimit(10**9)\nreturn alive_share(episode)", says=f"{ENDED}|RecursionError|{SLOW}|{MEMORY}"),
    "bomb of forks": body("import os\nwhile True:\n    os.fork()", says=FEW),
    "bomb of threads": body("import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(10**6,)).start()", says=FEW),
    "leaves a process behind": body("import os\nif not os.fork():\n    os.setsid()\n    while True:\n        pass\nreturn 0.0", says=f"{ZERO}|{SLOW}"),
    "starts a program that stays": body("import subprocess\nsubprocess.Popen(['sleep', '100000'], start_new_session=True)\nreturn 0.0", says=ZERO),
    "ten gigabytes at once": body("return len(bytearray(10 * 10**9))", says=MEMORY),
    "ten gigabytes of ones": body("import numpy as np\nreturn np.ones(10**10 // 8 + 10**9).sum()", says=MEMORY),
    "ever more memory": body("kept = []\nwhile True:\n    kept.append(bytearray(b'x' * 50_000_000))", says=f"{MEMORY}|{SLOW}|{ENDED}"),
    "fills the disk": body("with open('/tmp/full', 'wb') as file:\n    while True:\n        file.write(b'x' * 10**6)", says="File too large|No space left"),
    "fills the disk with many files": body("for n in range(10**9):\n    open(f'/tmp/{n}', 'wb').write(b'x' * 10**7)", says="No space left|File too large"),
    "fills shared memory": body("for n in range(10**9):\n    open(f'/dev/shm/{n}', 'wb').write(b'x' * 10**7)", says="No space left|File too large|Read-only"),
    "prints without end": body("while True:\n    print('x' * 10**6)", says=SLOW),
    "answers with a hundred megabytes": body("import numpy as np\nreturn np.zeros(10**8)", says=f"got ndarray|{MEMORY}|{SLOW}"),
    "answers with a list in itself": body("found = []\nfound.append(found)\nreturn found", says="RecursionError|cannot be read|Circular"),
    "answers with a hundred thousand brackets": body("found = []\nfor _ in range(10**5):\n    found = [found]\nreturn found", says=f"RecursionError|cannot be read|{ENDED}"),
    "raises a page of text": body("raise ValueError('no ' * 10**7)", says="ValueError: no no"),
    # it ends
    "ends Python": body("import os\nos._exit(0)", says=ENDED),
    "ends Python where it is defined": code("import os\nos._exit(0)", says=ENDED),
    "exits politely": body("import sys\nsys.exit(0)", says="raised SystemExit"),
    "quits": body("quit()", says="raised (SystemExit|NameError|AttributeError)"),
    "kills itself": body("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", says=ENDED),
    "kills all that it may": body("import os, signal\nos.kill(-1, signal.SIGKILL)", says=f"{ENDED}|{ZERO}"),
    "kills its parent": body("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.killpg(0, signal.SIGKILL)", says=f"{ENDED}|{ZERO}"),
    "crashes": body("import ctypes\nctypes.string_at(0)", says=ENDED),
    "aborts": body("import os\nos.abort()", says=ENDED),
    "becomes another program": body("import os\nos.execv('/bin/sh', ['sh', '-c', 'echo 2 of 2 points'])", says=f"{ENDED}|cannot be read"),
    "interrupts": body("raise KeyboardInterrupt", says="KeyboardInterrupt"),
    "closes all files": body("import os\nos.closerange(0, 256)\nreturn 0.5", says=f"{ENDED}|OSError"),
    "empties the builtins": code("import builtins\nfor name in ('len', 'print', 'str', 'isinstance', 'type'):\n    setattr(builtins, name, None)\n", says="there is none|raised|ended"),
    # it claims
    "prints that it passed": body("print('2 of 2 points.')\nprint('+ an episode that ends in a fall: right.')\nreturn 0.0", says=ZERO),
    "equals everything": code("class Yes(float):\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n\n\ndef alive_share(episode):\n    return Yes(0)\n", says=ZERO),
    "lies about its number": code("class Yes:\n    def __array__(self, *_, **__):\n        raise SystemExit\n    def __repr__(self):\n        return 'right'\n\n\ndef alive_share(episode):\n    return Yes()\n", says=ZERO),
    "changes numpy": body("import numpy as np\nnp.allclose = lambda *_, **__: True\nnp.isclose = np.allclose\nreturn 0.0", says=ZERO),
    "changes the marking": body("from wmlib import marking\nmarking.Case.verdict = lambda self: (True, 'right')\nmarking.Case._equal = lambda *_: True\nreturn 0.0", says=ZERO),
    "changes how answers are sent": body("import wmlib.classroom.jail, sys\nfor module in (wmlib.classroom.jail, sys.modules['__main__']):\n    module.encode = lambda value: True\nreturn 0.0", says=ZERO),
    "speaks through the wire": body("import os, json\ntold = json.dumps({'value': 1.0, 'has': True}).encode()\nfor number in range(3, 64):\n    try:\n        os.write(number, len(told).to_bytes(8, 'big') + told)\n    except OSError:\n        pass\nreturn 0.0", says=f"{ZERO}|{ENDED}|cannot be read"),
    "speaks nonsense through the wire": body("import os\nfor number in range(3, 64):\n    try:\n        os.write(number, b'x' * 4096)\n    except OSError:\n        pass\nreturn 0.0", says="more than 16 MB|cannot be read|expected"),
    "looks for the right answer": body("import gc\nfor thing in gc.get_objects():\n    if type(thing).__name__ == 'Case':\n        return thing.expected\nreturn 0.0", says=ZERO),
    "looks up the stack": body("import sys\nframe = sys._getframe()\nwhile frame:\n    for value in frame.f_locals.values():\n        if hasattr(value, 'expected'):\n            return value.expected\n    frame = frame.f_back\nreturn 0.0", says=ZERO),
    "writes itself into the page": body("raise ValueError('<script>alert(1)</script><img src=x onerror=alert(1)>')", says="&lt;script&gt;alert"),
    "answers with a page": body("return '<script>alert(1)</script>'", says="expected [0-9.]+, got"),
    "answers in colours": body("raise ValueError('\\x1b[2J\\x1b[31m2 of 2 points')", says="ValueError"),
    # it reads and reaches out
    "reads the course's seed": body("import os\nreturn os.environ['WM_COURSE_SEED']", says="KeyError"),
    "reads the seed of every process": body("import glob\nfor path in glob.glob('/proc/*/environ'):\n    if b'WM_COURSE_SEED' in open(path, 'rb').read():\n        return 1.0\nraise LookupError('no seed')", says="LookupError|PermissionError"),
    "reads what is marked": body("import wmlib\nfrom pathlib import Path\nbook = Path(wmlib.__file__).parent.parent\nreturn len((book / 'chapters' / 'hidden_tests' / '01_why_dream.py').read_text())", says=GONE),
    "reads the chapter's solution": body("import wmlib\nfrom pathlib import Path\nreturn len((Path(wmlib.__file__).parent.parent / 'chapters' / '01_why_dream.ipynb').read_text())", says=GONE),
    "reads the others' work": body("import glob\nif glob.glob('/tmp/**/*.ipynb', recursive=True):\n    return 1.0\nraise LookupError('nobody here')", says="nobody here"),
    "reads the passwords": body("return len(open('/etc/shadow').read() + open('/etc/passwd').read())", says=GONE),
    "reads the teacher's home": body("import os\nfor place in ('/root', '/home', os.path.expanduser('~')):\n    found = [name for name in (os.listdir(place) if os.path.isdir(place) else []) if name in ('.ssh', '.bashrc', '.profile')]\n    if found:\n        return 1.0\nraise LookupError('nothing here')", says="nothing here|PermissionError"),
    "asks the network": body("import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=2)\nreturn 1.0", says="unreachable|OSError|refused"),
    "asks this machine": body("import socket\nfor port in (22, 80, 8888):\n    try:\n        socket.create_connection(('127.0.0.1', port), timeout=0.2)\n        return 1.0\n    except OSError:\n        pass\nraise LookupError('nobody answers')", says="nobody answers"),
    "changes the library": body("import wmlib.classroom.marking\nopen(wmlib.classroom.marking.__file__, 'a').write('# was here')\nreturn 1.0", says=READ_ONLY),
    "changes Python": body("import numpy\nopen(numpy.__file__, 'a').write('# was here')\nreturn 1.0", says=READ_ONLY),
    "leaves a start-up file": body("import site\nopen(site.getsitepackages()[0] + '/hostile.pth', 'w').write('import os')\nreturn 1.0", says=READ_ONLY),
    "deletes everything": body("import subprocess\nsubprocess.run('rm -rf --no-preserve-root / 2>/dev/null', shell=True)\nreturn 0.0", says=f"{ZERO}|{ENDED}"),
    "runs a shell from the cell": code("!rm -rf ~ ; kill -9 $PPID\n\ndef alive_share(episode):\n    return 0.0\n", says=f"{ZERO}|{ENDED}"),
    "becomes root": body("import os\nos.setuid(0)\nreturn 1.0 if open('/etc/shadow') else 0.0", says="PermissionError|No such file|not permitted"),
    "mounts": body("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nif libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0 or libc.unshare(0x10000000 | 0x20000) == 0 and libc.mount(b'none', b'/usr', b'tmpfs', 0, None) == 0:\n    return 1.0\nraise OSError(ctypes.get_errno(), 'no mount')", says="no mount"),
    # it is broken
    "does not parse": code("def alive_share(episode:\n    return 1", says="there is none|SyntaxError"),
    "has another name": code("def share(episode):\n    return 1.0\n", says="there is none"),
    "is a number": code("alive_share = 0.9\n", says="not callable"),
    "takes no argument": code("def alive_share():\n    return 0.9\n", says="TypeError"),
    "holds null bytes": code("def alive_share(episode):\n    return '\x00'\n", says=f"{ZERO}|there is none|null bytes"),
    "holds half characters": code("def alive_share(episode):\n    return '\ud800'\n", says="expected [0-9.]+, (got|but)|there is none"),
    "is of another language": code("%%javascript\nalert(1)\n", says="there is none"),
    "is empty": code("", says="there is none"),
    "answer deleted": edited(_delete_answer, points=(0, 1), says="there is none"),
    "answer as text": edited(_as_text, points=(2, 1), says="right"),
    "check retyped": edited(_retype, points=(0, 1), says=ZERO),
    "checks deleted": edited(_delete_all_checks, points=(2, 1), says="right"),
    "set-up retyped": edited(_setup_changed, points=(2, 1), says="right"),
    "first cell ends Python": edited(_extra_kill, points=(2, 1), says="right"),
    "forged mark": edited(_forge_mark, points=(0, 1), says="there is none"),
    "a thousand points": edited(_more_points, points=(0, 1), says=ZERO),
    "the answer twice": edited(_twice, points=(2, 1), says="right|expected"),
    "metadata lost": edited(_no_metadata, points=(2, 1), says="right"),
    "metadata of another kind": edited(_odd_metadata, points=(2, 1), says="right"),
    "no cells": edited(_no_cells, points=(0, 0), says="there is none"),
    # it is no notebook
    "nothing": raw(b""),
    "an essay": raw(b"My dog ate it."),
    "a list": raw(b"[]"),
    "half a notebook": raw(b'{"cells": [{"cell_type": "code", "sour'),
    "a picture": raw(bytes(range(256)) * 64),
    "brackets": raw(b"[" * 10**6),
    "an old notebook": raw(json.dumps({"nbformat": 1, "nbformat_minor": 0, "metadata": {}, "worksheets": "none"}).encode()),
    "ten megabytes": raw(b" " * 10**7, says="larger than 2 MB"),
    "a link to a file": other(lambda path: path.symlink_to("/etc/passwd"), says="only a link"),
    "an endless device": other(lambda path: path.symlink_to("/dev/zero"), says="only a link"),
    "a pipe": other(lambda path: os.mkfifo(path), says="no notebook"),
    "two notebooks": other(_fork_of_notebook, says="more than one"),
}  # fmt: skip
