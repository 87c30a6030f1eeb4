"""From `git clone` to the first dream that moves, by the README alone: a new clone, an empty environment, its commands word by word, timed.

The promise is ten minutes on two cores, downloads included where the network is fast. `python -m tools bench readme`
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMISE = 10 * 60


def commands() -> list[str]:
    """The lines of the README's section on the first dream that one types."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## The first dream", 1)[1].split("\n## ", 1)[0]
    return [
        line.removeprefix("$ ").split("  #")[0].strip()
        for line in re.findall(r"^\$ .*$", section, re.M)
    ]


def moves(page: Path) -> bool:
    """Whether a viewer of the page plays, in the system's Chromium, offline."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("WM_CHROMIUM") or "/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu"],
        )
        tab = browser.new_context(offline=True).new_page()
        tab.goto(page.as_uri())
        place = tab.locator(".wm-viewer").first
        place.scroll_into_view_if_needed()
        tab.wait_for_function(
            "place => place.viewer?.frame > 3", arg=place.element_handle(), timeout=60_000
        )
        browser.close()
    return True


def main() -> int:
    """Runs the lines and prints a table; 0 if a body moves in time."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {
            "PATH": os.environ.get("WM_CLEAN_PATH", os.defpath + ":/usr/local/bin"),
            "HOME": folder,
            "LANG": "C.UTF-8",
            "BROWSER": "true",
        }
        environment |= {
            name: value
            for name, value in os.environ.items()
            if name.lower().startswith(("pip_", "http_proxy", "https_proxy", "ssl_"))
        }
        place, total = home, 0.0
        print("| command | seconds |\n|---|---|")
        for line in commands():
            words = line.replace("REPOSITORY", str(ROOT))
            started = time.monotonic()
            if words.startswith("cd "):
                place = place / words[3:]
                continue
            if subprocess.run(
                words, shell=True, cwd=place, env=environment, stdout=subprocess.DEVNULL
            ).returncode:
                print(f"'{words}' failed.", file=sys.stderr)
                return 1
            seconds = time.monotonic() - started
            total += seconds
            print(f"| `{line}` | {seconds:.0f} |", flush=True)
        print(f"| all | {total:.0f} of {PROMISE} |")
        return int(
            not (
                moves(place / "_build" / "first" / "html" / "chapters" / "00_the_whole_thing.html")
                and total <= PROMISE
            )
        )


if __name__ == "__main__":
    sys.exit(main())
