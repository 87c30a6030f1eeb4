"""Sphinx: `{measured-chapters}`, a table of what each chapter took when it was executed for these pages (tools/book.py writes it beside this file)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

TOOK = Path(__file__).with_name("took.json")


def rows(took: dict[str, Any]) -> list[str]:
    """The table in Markdown: chapter, minutes and memory at the scale of these pages."""
    lines = [f"| chapter | minutes at scale `{took['scale']}` | memory |", "|---|---|---|"]
    return lines + [
        f"| {{doc}}`../chapters/{name}` | {one['seconds'] / 60:.1f} | {one['megabytes'] / 1000:.2f} GB |"
        for name, one in took["chapters"].items()
    ]


class MeasuredChapters(SphinxDirective):
    """The table, where the directive stands."""

    def run(self) -> list[nodes.Node]:
        """Typeset by the page's own parser."""
        self.env.note_dependency(str(TOOK))
        box = nodes.container()
        self.state.nested_parse(
            StringList(rows(json.loads(TOOK.read_text(encoding="utf-8"))), str(TOOK)),
            self.content_offset,
            box,
        )
        return list(box.children)


def setup(app: Any) -> dict[str, Any]:
    """Adds the directive."""
    app.add_directive("measured-chapters", MeasuredChapters)
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}
