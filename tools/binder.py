"""`python -m tools binder`: the image that Binder would build, rehearsed without Docker.

repo2docker (if it is on PATH: `pip install jupyter-repo2docker`) says which steps the image takes; ours of them are done in a new clone with
a new Python, then the server is started as Binder starts it, and everything is weighed. What repo2docker itself brings
(Debian packages, conda's Python, JupyterLab's own) is not built here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tools.env import python_of

ROOT = Path(__file__).resolve().parent.parent
STEPS = (
    "FROM ",
    "environment-2epy-2d3-2e11",
    "COPY --chown=0:0 src/ ${REPO_DIR}/",
    "RUN ./.binder/postBuild",
    'ENV R2D_ENTRYPOINT="${REPO_DIR}/.binder/start"',
)
BASE_BYTES = 1.3e9  # repo2docker's own part, as mybinder.org's images of an empty repository weigh
TRY = "import wmlib as wm, jupyterlab; print(wm.scale().name, len(wm.load('humanoid-mixed')))"


def weigh(*folders: Path) -> int:
    """Bytes of all files below."""
    return sum(
        path.lstat().st_size
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def dockerfile(clone: Path) -> list[str]:
    """Which of the expected steps repo2docker's Dockerfile lacks; an empty list where all are there."""
    made = subprocess.run(
        ["jupyter-repo2docker", "--no-build", "--debug", str(clone)], capture_output=True, text=True
    )
    text = made.stdout + made.stderr
    return [step for step in STEPS if step not in text]


def answers_after(clone: Path, python: Path, environment: dict[str, str]) -> float:
    """Seconds until JupyterLab, started as Binder starts it, gives its page; it is ended then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, started = free.getsockname()[1], time.monotonic()
    words = (
        f"-m jupyterlab --no-browser --allow-root --IdentityProvider.token= --ServerApp.port={port}"
    )
    command = ["bash", ".binder/start", str(python), *words.split()]
    log = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=clone, env=environment, stdout=log, stderr=log) as server:
        try:
            while server.poll() is None and time.monotonic() - started < 120:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/lab").close()
                    return time.monotonic() - started
                time.sleep(0.2)
        finally:
            server.terminate()
    return float("inf")


def main(argv: list[str]) -> int:
    """Rehearses; 0 if every step went well."""
    if argv:
        print("usage: python -m tools binder", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        clone, venv, started = Path(name, "clone"), Path(name, "python"), time.monotonic()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        if shutil.which("jupyter-repo2docker"):
            if lacking := dockerfile(clone):
                print(f"repo2docker's Dockerfile lacks: {'; '.join(lacking)}.", file=sys.stderr)
                return 1
            print("repo2docker's Dockerfile has Python 3.11, our postBuild and our start.")
        else:
            print("jupyter-repo2docker is not on PATH: its Dockerfile was not looked at.")
        shutil.rmtree(clone / ".git")
        subprocess.run(
            [getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(venv)], check=True
        )
        python = python_of(venv)
        environment = {
            "PATH": os.pathsep.join([str(python.parent), os.defpath]),
            "HOME": name,
            "LANG": "C.UTF-8",
        }
        environment |= {
            key: value
            for key, value in os.environ.items()
            if key.lower().startswith(("pip_", "http_proxy", "https_proxy", "ssl_"))
        }
        if subprocess.run(
            ["bash", ".binder/postBuild"], cwd=clone, env=environment, stdout=subprocess.DEVNULL
        ).returncode:
            print("postBuild failed (above).", file=sys.stderr)
            return 1
        print(f"postBuild: {time.monotonic() - started:.0f} s")
        tried = subprocess.run(
            ["bash", ".binder/start", str(python), "-c", TRY],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
        )
        if tried.returncode or not tried.stdout.startswith("small "):
            print(f"The first command failed: {tried.stdout}{tried.stderr[-500:]}", file=sys.stderr)
            return 1
        seconds = answers_after(clone, python, environment)
        if seconds == float("inf"):
            print("JupyterLab does not answer.", file=sys.stderr)
            return 1
        ours = weigh(clone, venv)
        print(
            f"start: scale {tried.stdout.split()[0]}, the shipped data opens; JupyterLab answers after {seconds:.0f} s\nimage: {ours / 1e9:.1f} GB of ours, about {(ours + BASE_BYTES) / 1e9:.1f} GB with repo2docker's part"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
