"""`python -m tools COMMAND`: makes the environment if need be, then runs the command inside it. The Makefile is a thin line over this."""

from __future__ import annotations

import os
import subprocess
import sys

from tools import env

COMMANDS = {
    "env": "make the environment and stop there",
    "first": "execute chapter 0 alone and open it: the first dream",
    "book": "execute every chapter and build the static site   [--scale smoke|small|large]",
    "test": "the gate: every test                              [--only STEP ...]",
    "slow": "the expensive full counts                         [pytest's arguments]",
    "notebooks": "put chapters in their committed form          [--run] [FILE ...]",
    "drift": "after an upgrade: what moved (parity, golden returns)",
    "walk": "the rows of chapter 9                            [SEED ...] [--way NAME] [--list]",
    "autopsy": "the rows of chapter 10                           [SEED ...]",
    "bodies": "the rows of chapter 13                           [BODY SEED] [--pendulum] [--all]",
    "matters": "the rows of chapter 14                           [FACTOR LEVEL SEED] [--all] [--list]",
    "binder": "rehearse the image that Binder builds",
    "lab": "open the chapters in JupyterLab",
    "bench": "the benchmarks, each a table of ratios            [NAME ...]",
    "costs": "what the stages of whole runs took, as rows   RUN ...",
    "vendor": "fetch the vendored browser files again",
    "lock": "resolve the dependencies again (needs uv)          [--upgrade]",
}
MODULES = {
    "test": "tools.gate",
    **{name: f"experiments.{name}" for name in ("autopsy", "bodies", "costs", "matters", "walk")},
}  # the others: tools.COMMAND


def usage() -> str:
    """One line a command."""
    return "usage: python -m tools COMMAND\n\n" + "\n".join(
        f"  {name:9} {what}" for name, what in COMMANDS.items()
    )


def main(argv: list[str]) -> int:
    """Runs one command; returns its exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        print(f"There is no command '{command}'.\n{usage()}", file=sys.stderr)
        return 2
    if command == "lock":
        env.make_lock(rest)
    python = env.ensure()
    if command == "env":
        print(f"The environment is ready: {python.parent}")
        return 0
    # The repository first on the path: kernels and workers then import this checkout's wmlib, whatever is installed.
    path = os.pathsep.join(filter(None, [str(env.ROOT), os.environ.get("PYTHONPATH")]))
    binaries = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PATH": binaries,
        "IPYTHONDIR": str(env.ROOT / "_build" / "ipython"),
    }
    try:
        module = MODULES.get(command, f"tools.{command}")
        return subprocess.run(
            [str(python), "-m", module, *rest], cwd=env.ROOT, env=environment
        ).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
