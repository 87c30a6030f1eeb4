"""Sphinx: `{play-in-the-dream} walk` and `{play-in-the-dream} world`, the widget of `wm.play` with what the book ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import wmlib as wm


class PlayInTheDream(SphinxDirective):
    """The widget, where the directive stands; its scripts come with the page (`_static/book.js`), its model when it is asked for."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Its HTML."""
        C, model = {"walk": ("humanoid-walk", "humanoid-walk-model"), "world": ("humanoid-dreamed", "humanoid-world")}[self.arguments[0]]  # fmt: skip
        widget = wm.play(wm.load(C), wm.load(model))
        script = Path(self.env.app.outdir) / "_static" / f"play-{widget.key}.js"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(widget.model, encoding="utf-8")
        return [nodes.raw("", widget.html(), format="html")]


def setup(app: Any) -> dict[str, Any]:
    """Adds the directive."""
    app.add_directive("play-in-the-dream", PlayInTheDream)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
