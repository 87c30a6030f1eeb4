"""`python -m tools lab`: opens the chapters in JupyterLab, at the scale of `WM_SCALE` (default small). Further arguments go to JupyterLab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_FOR_READERS = (
    "@jupyter/nbgrader",
    "@jupyterlab/apputils-extension:announcements",
)  # a teacher's menu; a question on first start


def environment() -> dict[str, str]:
    """What JupyterLab is started with: no menus that are not for readers, and a scale."""
    settings = ROOT / "_build" / "jupyter"
    (settings / "labconfig").mkdir(parents=True, exist_ok=True)
    (settings / "labconfig" / "page_config.json").write_text(
        json.dumps({"disabledExtensions": dict.fromkeys(NOT_FOR_READERS, True)})
    )
    path = os.pathsep.join(filter(None, [str(settings), os.environ.get("JUPYTER_CONFIG_PATH")]))
    scale = os.environ.get("WM_SCALE") or "small"
    return {**os.environ, "WM_SCALE": scale, "JUPYTER_CONFIG_PATH": path}


def main(argv: list[str]) -> int:
    """Runs JupyterLab at the root of the repository, with the first chapter open; returns its exit code."""
    settings = environment()
    chapters = sorted((ROOT / "chapters").glob("*.ipynb"))
    first = (
        ["--LabApp.default_url=/lab/tree/" + chapters[0].relative_to(ROOT).as_posix()]
        if chapters
        else []
    )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}", *first, *argv]
    print(
        f"JupyterLab opens in your browser, at scale {settings['WM_SCALE']}. Ctrl-C here ends it.",
        flush=True,
    )
    try:
        return subprocess.run(command, cwd=ROOT, env=settings).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
