"""`python -m tools slow [ARGUMENT ...]`: the tests that are too dear for every push, at their full counts; arguments go to pytest.

After a failure the same command goes on at the test that failed (pytest's `--stepwise`); a chapter that was executed is not executed again.
"""

from __future__ import annotations

import sys

from tools.gate import run


def main(argv: list[str]) -> int:
    """Returns pytest's exit code."""
    words = "-m pytest --color=no -m slow --stepwise -rs --durations=0".split()
    return run([sys.executable, *words, *argv, "tests"])[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
