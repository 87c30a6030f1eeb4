"""`python -m tools first`: the page of chapter 0 alone, executed and opened in the browser: the first dream, before the book is built.

It is executed as `python -m tools book` executes it, which then finds it done.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

from tools import executor
from tools.book import PAGES, ROOT, sphinx, stage

CHAPTER = ROOT / "chapters" / "00_the_whole_thing.ipynb"


def build(scale: str) -> Path | None:
    """Executes the chapter and typesets a book of it alone; links to the others lead nowhere, so Sphinx's warnings are not printed."""
    if executor.execute([CHAPTER], scale):
        return None
    with tempfile.TemporaryDirectory() as name:
        root, source, html = (
            Path(name, "root"),
            ROOT / "_build" / "first" / "source",
            ROOT / "_build" / "first" / "html",
        )
        root.mkdir()
        for part in {*PAGES, "wmlib", "requirements.lock"} - {"_toc.yml"}:
            (root / part).symlink_to(ROOT / part)
        (root / "_toc.yml").write_text(
            f"format: jb-book\nroot: chapters/{CHAPTER.stem}\nchapters:\n- file: book/bibliography\n",
            encoding="utf-8",
        )
        print("Typesetting the page ...", flush=True)
        stage(root, source, {f"chapters/{CHAPTER.name}": executor.merged(CHAPTER, scale)})
        result, _ = sphinx(source, html, Path(name, "doctrees"))
    return None if result else html / "chapters" / f"{CHAPTER.stem}.html"


def main(argv: list[str]) -> int:
    """Builds the page at the scale of WM_SCALE and shows it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools first",
        description="Execute chapter 0 alone, and open its page: the first dream.",
    )
    parser.add_argument("--no-browser", action="store_true", help="only say where the page is")
    options = parser.parse_args(argv)
    print("Gathering, learning, dreaming, waking up: about two minutes on two cores.", flush=True)
    started = time.monotonic()
    page = build(os.environ.get("WM_SCALE") or "small")
    if page is None:
        print(
            "\nThe page was not built: the chapter failed (above), or Sphinx could not typeset it (`make book` says why).",
            file=sys.stderr,
            flush=True,
        )
        return 1
    print(
        f"Done in {time.monotonic() - started:.0f} s: {page}\nWatch the bodies; `make book` makes the other chapters."
    )
    if not options.no_browser:
        webbrowser.open(page.as_uri())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
