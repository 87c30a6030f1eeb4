"""Sphinx: repairs in the finished pages what the theme gets wrong for readers who do not see them, or who use no mouse.

Each repair names the rule of axe-core that it answers; tests/test_access.py asks axe about the result.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

REPAIRS = (
    # summary-name: a switch in the side bar that has no name.
    (re.compile(r'(<a class="[^"]*reference internal" href="[^"]*">)([^<]*)(</a><details[^>]*><summary)><span class="toctree-toggle" role="presentation">'),
     r'\1\2\3 aria-label="Pages of \2"><span class="toctree-toggle" aria-hidden="true">'),
    # label-content-name-mismatch: a label that hides what the button says.
    (re.compile(r'(<button class="btn search-button-field[^>]*) aria-label="Search"'), r"\1"),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r'(<i class="theme-switch [^>]*) title="[^"]*">'), r'\1 aria-hidden="true">'),
    # region: the book's title stands in no landmark.
    (re.compile(r'<div id="pst-primary-sidebar" class='), '<div id="pst-primary-sidebar" role="region" aria-label="The book" class='),
    # aria-allowed-role, aria-required-children: the entries of a list are its items.
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
    # empty-table-header: a corner that heads nothing.
    (re.compile(r'<th class="head">(?:<p></p>)?</th>'), "<td></td>"),
    # definition-list: a signature over several lines is a list of parameters, and no list of terms.
    (re.compile(r"(<span class=\"sig-paren\">\(</span>\s*)<dl>(.*?)</dl>", re.S), lambda m: m[1] + '<ul class="sig-params">' + m[2].replace("<dd>", "<li>").replace("</dd>", "</li>") + "</ul>"),
)  # fmt: skip


def _repair(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            before = text = path.read_text(encoding="utf-8")
            for pattern, mended in REPAIRS:
                text = pattern.sub(mended, text)
            if text != before:
                path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Runs when all pages are written."""
    app.connect("build-finished", _repair)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
