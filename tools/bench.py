"""`python -m tools bench [NAME ...]`: runs the benchmarks, each of which prints a table of ratios measured in one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def main(argv: list[str]) -> int:
    """Runs the named benchmarks, or all of them, one after the other."""
    there = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    if unknown := [name for name in argv if name not in there]:
        print(
            f"There is no benchmark '{unknown[0]}'; there are: {', '.join(there)}.", file=sys.stderr
        )
        return 2
    return max(
        [
            subprocess.run(
                [sys.executable, "-m", f"benchmarks.{name}"], cwd=FOLDER.parent
            ).returncode
            for name in argv or there
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
