"""Sphinx: `{play-in-the-dream}`, the widget of `wm.play` with the walker and the model that the book ships."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import wmlib as wm


class PlayInTheDream(SphinxDirective):
    """The widget, where the directive stands; its scripts come with the page (`_static/book.js`)."""

    def run(self) -> list[nodes.Node]:
        """Its HTML."""
        shown = wm.play(wm.load("humanoid-walk"), wm.load("humanoid-walk-model"))
        return [nodes.raw("", shown.html(), format="html")]


def setup(app: Any) -> dict[str, Any]:
    """Adds the directive."""
    app.add_directive("play-in-the-dream", PlayInTheDream)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
