"""Sphinx: `{measured-chapters}`, a table of what each chapter took when `make deep` measured it last, read from tests/deep.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

# The site is built from a copy of the sources that lies within the repository.
SUMMARY = next(path for folder in Path(__file__).resolve().parents if (path := folder / "tests" / "deep.json").is_file())


def rows(summary: dict[str, Any]) -> list[str]:
    """The table in Markdown: chapter, minutes and memory at small, seconds with every cell twice at smoke, day."""
    lines = ["| chapter | at `small` | memory | every cell twice, at `smoke` | measured on |", "|---|---|---|---|---|"]
    for name, done in sorted(summary.items()):
        if name.startswith("small: "):
            chapter, figures = name.removeprefix("small: "), done["figures"]
            twice = summary.get(f"twice: {chapter}", {}).get("figures", {}).get("seconds")
            seconds = "not yet" if twice is None else f"{twice:.0f} s"
            lines.append(f"| {{doc}}`../chapters/{chapter}` | {figures['seconds'] / 60:.1f} minutes | {figures['megabytes'] / 1000:.2f} GB | {seconds} | {done['date']} |")
    return lines


class MeasuredChapters(SphinxDirective):
    """The table, where the directive stands."""

    def run(self) -> list[nodes.Node]:
        """Typeset by the page's own parser."""
        self.env.note_dependency(str(SUMMARY))
        box = nodes.container()
        self.state.nested_parse(StringList(rows(json.loads(SUMMARY.read_text(encoding="utf-8"))), str(SUMMARY)), self.content_offset, box)
        return list(box.children)


def setup(app: Any) -> dict[str, Any]:
    """Adds the directive."""
    app.add_directive("measured-chapters", MeasuredChapters)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
