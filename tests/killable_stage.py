"""One stage of the command line in a process of its own that says when it begins, so that it can be killed under way. See test_kills.py."""

import os
import sys

from wmlib import stages  # noqa: F401  imported before the fork, not after it
from wmlib.cli import main
from wmlib.control import strategies  # noqa: F401  imported before the fork, not after it
from wmlib.dream import dream, fitness, iterate  # noqa: F401  imported before the fork, not after it
from wmlib.models import vae  # noqa: F401  imported before the fork, not after it


def run(words, folder, marks):
    """Runs `wmlib WORDS` in a folder, silently; exits with its code."""
    os.chdir(folder)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    with open(marks, "wb") as file:
        file.write(b"t")
    sys.exit(main(words))
