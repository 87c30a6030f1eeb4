"""The book's environment: `.venv`, made from the one hash-pinned lock. Standard library only: it runs before anything is installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
LOCK_STAMP = VENV / "made-from-lock.sha256"
OURS_STAMP = VENV / "made-from-pyproject.sha256"
OLDEST, NEWEST = (3, 11), (3, 13)


def python_of(venv: Path) -> Path:
    """The interpreter of an environment, on Unix and on Windows."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _fingerprint(path: Path) -> str:
    """Of one file, and of the Python that makes the environment."""
    return hashlib.sha256(path.read_bytes() + repr(sys.version_info[:3]).encode()).hexdigest()


def _stamped(stamp: Path, source: Path) -> bool:
    return stamp.exists() and stamp.read_text().strip() == _fingerprint(source)


def _run(step: str, command: list[str]) -> None:
    """Runs one installation step quietly, with a line that shows it is alive; prints its output only where it fails."""
    started = time.monotonic()
    shown = sys.stdout.isatty()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as process:
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if shown and line.startswith(("Collecting", "  Downloading", "Installing")):
                print(f"\r  {step}: {line.strip()[:70]:70}", end="", flush=True)
    seconds = time.monotonic() - started
    if process.returncode:
        sys.exit(
            "".join(lines[-40:])
            + f"\nThe environment could not be made: '{step}' failed (above). Nothing else was changed."
        )
    print(
        f"{chr(13) if shown else ''}  {step}: done in {seconds:.0f} s{'':60}".rstrip(), flush=True
    )


def ensure() -> Path:
    """Makes `.venv` if it is missing or was made from another lock; returns its interpreter."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        wanted = " to ".join(f"{a}.{b}" for a, b in (OLDEST, NEWEST))
        sys.exit(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; the book needs Python {wanted}. "
            "Name one: make PYTHON=python3.11 ..."
        )
    python, ours = python_of(VENV), ROOT / "pyproject.toml"
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
    ]
    if not (python.exists() and _stamped(LOCK_STAMP, LOCK)):
        packages = sum("==" in line for line in LOCK.read_text().splitlines())
        print(
            f"Making the environment in .venv from requirements.lock ({packages} packages, about 2.5 GB; "
            "a few minutes, once).",
            flush=True,
        )
        shutil.rmtree(VENV, ignore_errors=True)
        # Not sys.executable: that is what was just removed, where this runs inside the environment itself.
        _run(
            "new environment",
            [getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(VENV)],
        )
        _run("locked packages", [*pip, "--require-hashes", "-r", str(LOCK)])
        LOCK_STAMP.write_text(_fingerprint(LOCK) + "\n")
    if not _stamped(OURS_STAMP, ours):
        _run("wmlib itself", [*pip, "--no-build-isolation", "--editable", "."])
        OURS_STAMP.write_text(_fingerprint(ours) + "\n")
    return python


def make_lock(extra: list[str]) -> None:
    """Resolves pyproject.toml again into requirements.lock, for every Python and system we support, without addresses; and into
    requirements-ppo.lock what the extra `ppo` adds, which no reader needs and which is as large as all the rest."""
    if shutil.which("uv") is None:
        sys.exit("Making the lock needs uv (pip install uv); building and testing the book do not.")
    always = [
        "uv",
        "pip",
        "compile",
        "pyproject.toml",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--quiet",
        *extra,
    ]
    book = [
        word
        for name in ("book", "test", "classroom", "videos", "cluster", "build")
        for word in ("--extra", name)
    ]
    for command in (
        [*always, *book, "-o", LOCK.name],
        [*always, "--extra", "ppo", "-c", LOCK.name, "-o", "requirements-ppo.lock"],
    ):
        if code := subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(code)
