"""Sphinx: what a chapter writes plainly, so that every notebook front end shows it, becomes numbered, linked and boxed on a page.

    wm.say(...)                           its output stands as the text that it is; its code is gone
    a cell "**Figure 3.2.** What it is."  the caption of the cell above it
    $$ ... \\tag{3.2} $$                   a numbered equation
    Figure 3.2, equation (3.2)            links to them
    Graves (2013), (Graves, 2013)         links into the bibliography, for every entry of references.bib
    a word of the glossary                a link to it, where the chapter uses it first
    > **You will**                        a box

The numbers are those of the chapter: Sphinx's own would differ where a chapter has none. The notebook that a page offers for download
stays plain.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.database import parse_file
from pybtex.richtext import Text
from sphinx.util.docutils import SphinxDirective

NUMBER = r"[A\d]+\.\d+"
CAPTION = re.compile(rf"\*\*Figure ({NUMBER})\.\*\* (.+)", re.S)
EQUATION = re.compile(rf"^\$\$\n(.*?)\s*\\tag\{{({NUMBER})\}}\n\$\$$", re.M | re.S)
# Where no word is linked: code, mathematics, roles, links, HTML, headings, rows of tables, fences and their options.
UNREAD = r"```.*?```|:::[^\n]*|\$\$.*?\$\$|\{[\w:]+\}`[^`]*`|`[^`]*`|\$[^$\n]+\$|\[[^\]]*\]\([^)]*\)|<[^>\n]+>|^(?:#|\||:)[^\n]*"
UNLINKED = (
    "scale",
    "state of the art",
    "to state",
    "goes round",
    "way round",
)  # said in other senses
BOX = re.compile(r"^> \*\*You will\*\*\n((?:>.*(?:\n|\Z))+)", re.M)


def works(path: Path) -> dict[tuple[str, str], str]:
    """The keys of a bibliography by what is said of a work: names and year. Of two that are said alike, the first."""
    found: dict[tuple[str, str], str] = {}
    for key, entry in parse_file(str(path)).entries.items():
        persons = [[*one.prelast_names, *one.last_names] for one in entry.persons["author"]]
        last = [str(Text.from_latex(" ".join(words))) for words in persons]
        names = " and ".join(last) if len(last) < 3 else f"{last[0]} et al."
        found.setdefault((names, entry.fields["year"]), key)
    return found


def linked(text: str, known: dict[tuple[str, str], str]) -> str:
    """Markdown of a chapter with the forms above turned into MyST's."""
    box = lambda found: re.sub(r"^> ?", "", found[1], flags=re.M).rstrip()
    label = lambda found: f"{{numref}}`fig-{found[1].lower()}`"
    text = EQUATION.sub(r"```{math}\n:label: eq-\2\n\1\n```", text)
    text = BOX.sub(
        lambda found: f":::{{admonition}} You will\n:class: tip\n{box(found)}\n:::\n", text
    )
    text = re.sub(rf"\bFigure\s({NUMBER})\b", label, text)
    text = re.sub(rf"(?<=quation)(\s)\(({NUMBER})\)", r"\1{eq}`eq-\2`", text)
    for (names, year), key in known.items():
        who, when, link = re.escape(names).replace("\\ ", r"\s"), re.escape(year), r"\]\([^)\s]+\)"
        text = re.sub(rf"\((\[)?{who},\s{when}(?(1){link})\)", f"{{cite}}`{key}`", text)
        text = re.sub(rf"(\[)?\b{who}\s\({when}\)(?(1){link})", f"{{cite:t}}`{key}`", text)
    return text


def words(path: Path) -> list[str]:
    """The terms of a glossary."""
    inside = path.read_text(encoding="utf-8").split("```{glossary}\n")[1].split("\n```")[0]
    return [line for line in inside.splitlines() if line[:1].strip()]


def glossed(text: str, terms: list[str], seen: set[str]) -> str:
    """Markdown with a link to the glossary where a term is used for the first time; adds it to what was seen."""
    named = {term.lower(): term for term in terms if term not in UNLINKED}
    longest_first = sorted([*named, *UNLINKED], key=len, reverse=True)
    either = "|".join(re.escape(term).replace("\\ ", r"\s+") for term in longest_first)
    pattern = re.compile(rf"({UNREAD})|(?<![\w-])({either})(s|es)?(?![\w-])", re.M | re.S | re.I)

    def link(found: re.Match[str]) -> str:
        term = named.get(" ".join((found[2] or "").lower().split()))
        if term is None or term in seen:
            return found[0]
        seen.add(term)
        return f"{{term}}`{' '.join(found[0].split())} <{term}>`"

    return pattern.sub(link, text)


def dressed(
    notebook: dict[str, Any], known: dict[tuple[str, str], str], terms: list[str] | None = None
) -> dict[str, Any]:
    """An executed chapter as MyST-NB is to read it."""
    cells: list[dict[str, Any]] = []
    seen: set[str] = set()
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith("wm.say("):
            said = "\n\n".join("".join(one["data"]["text/markdown"]) for one in cell["outputs"])
            cell = {"cell_type": "markdown", "id": cell["id"], "metadata": {}, "source": said}
        elif caption := CAPTION.fullmatch(source.strip()):
            figure = {"caption": linked(caption[2], known), "name": f"fig-{caption[1].lower()}"}
            cells[-1].setdefault("metadata", {}).setdefault("mystnb", {})["figure"] = figure
            continue
        if cell["cell_type"] == "markdown":
            cell["source"] = linked("".join(cell["source"]), known)
            if terms and 'class="quiz"' not in source:
                cell["source"] = glossed(cell["source"], terms, seen)
        cells.append(cell)
    return {**notebook, "cells": cells}


class ChapterFigure(SphinxDirective):
    """`{chapter-figure} 01_why_dream 1.4`: what a chapter's figure shows, on another page."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """The HTML that the cell above the figure's caption gave.

        Raises:
            Error: of the directive, where the chapter has no such figure.
        """
        chapter, number = self.arguments
        path = Path(self.env.srcdir) / "chapters" / f"{chapter}.ipynb"
        self.env.note_dependency(str(path))
        above: dict[str, Any] = {}
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "".join(cell["source"]).startswith(f"**Figure {number}.**"):
                shown = [output.get("data", {}).get("text/html", "") for output in above["outputs"]]
                return [nodes.raw("", "".join(map("".join, shown)), format="html")]
            above = cell
        raise self.error(f"{path.name} has no Figure {number}")


def _read(app: Any, docname: str, source: list[str]) -> None:
    if docname.startswith("chapters/"):
        book = Path(app.srcdir) / "book"
        known, glossary = works(book / "references.bib"), book / "glossary.md"
        terms = words(glossary) if glossary.exists() else []
        source[0] = json.dumps(dressed(json.loads(source[0]), known, terms))


def _number(app: Any, env: Any) -> list[str]:
    """After Sphinx has counted: the numbers that the labels hold."""
    for numbers in env.toc_fignumbers.values():
        for kind in numbers.values():
            for label in kind:
                if found := re.fullmatch(r"(?:fig|equation-eq)-([a\d]+)-(\d+)", label):
                    kind[label] = (found[1].upper(), found[2])
    return []


def setup(app: Any) -> dict[str, Any]:
    """Reads chapters so, and numbers after Sphinx did."""
    app.add_directive("chapter-figure", ChapterFigure)
    app.connect("source-read", _read)
    app.connect("env-get-updated", _number, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
