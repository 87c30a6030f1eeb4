"""The plain forms of a chapter are drawn as what they are: by the site, which numbers and links them, and said by every front end."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import wmlib as wm
from tools import notebooks, prose
from tools.vendor import BUNDLES, WEB

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("plain", ROOT / "book" / "_ext" / "plain.py")
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)
WORKS = plain.works(ROOT / "book" / "references.bib")

CITED = re.compile(
    r"(?P<names>[A-Z]\w+(?:\sand\s[A-Z]\w+|\set\sal\.)?)(?:,\s|\s\()(?P<year>\d{4})(?=\)|\])"
)

FORMS = {
    "$$\nx = 1 . \\tag{3.2}\n$$": "```{math}\n:label: eq-3.2\nx = 1 .\n```",
    "By equation (3.2), and equations\n(3.1)": "By equation {eq}`eq-3.2`, and equations\n(3.1)",
    "See Figure 3.12.": "See {numref}`fig-3.12`.",
    "In Figure\nA.1": "In {numref}`fig-a.1`",
    "the report's Figure 1": "the report's Figure 1",
    "Graves (2013) wrote": "{cite:t}`graves2013generating` wrote",
    "[Ha and Schmidhuber (2018)](https://a.b/c): read": "{cite:t}`ha2018worldmodels`: read",
    "so (Agarwal et al., 2021).": "so {cite}`agarwal2021rliable`.",
    "so ([Ha and\nSchmidhuber, 2018](https://a.b/c)).": "so {cite}`ha2018worldmodels`.",
    "[the paper](https://a.b/c) (in 2018)": "[the paper](https://a.b/c) (in 2018)",
    "> **You will**\n>\n> - **build** V\n\nNow": ":::{admonition} You will\n:class: tip\n\n- **build** V\n:::\n\nNow",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_form_becomes_the_site_s(form):
    assert plain.linked(form, WORKS) == FORMS[form]


def test_what_a_cell_says_becomes_text_and_a_caption_that_of_the_figure_above():
    says = {"data": {"text/markdown": "It is in Figure 3.1."}}
    cells = [
        {"cell_type": "code", "id": "a", "source": "draw()", "outputs": []},
        {"cell_type": "markdown", "id": "b", "source": "**Figure 3.1.** It falls."},
        {"cell_type": "code", "id": "c", "source": ["wm.say(\n", "x)"], "outputs": [says]},
    ]
    drawn, said = plain.dressed({"cells": cells}, WORKS)["cells"]
    assert drawn["metadata"] == {"mystnb": {"figure": {"caption": "It falls.", "name": "fig-3.1"}}}
    assert (said["cell_type"], said["source"]) == ("markdown", "It is in {numref}`fig-3.1`.")


def test_every_work_is_cited_by_names_that_are_in_the_bibliography():
    """A name and a year in brackets that no entry has is a slip of the pen, and would stay unlinked."""
    wrong = [
        (path.name, found[0])
        for path in sorted((ROOT / "chapters").glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
        for found in CITED.finditer("".join(cell["source"]))
        if (" ".join(found["names"].split()), found["year"]) not in WORKS
    ]
    assert wrong == []


# Chapters that are being rewritten: a chapter leaves this list when it has answers to all that it asks.
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
TEXTS = [
    *CHAPTERS,
    *sorted((ROOT / "assignments").glob("*.ipynb")),
    *sorted((ROOT / "book").glob("**/*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "wmlib").glob("**/*.py")),
    *(
        path for path in sorted(WEB.glob("*.js")) if path.stem not in BUNDLES
    ),  # those are others' text
    *sorted((ROOT / "book" / "_ext").glob("*.py")),
]


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def in_markdown(path):
    return [notebooks.source(cell) for cell in cells_of(path) if cell["cell_type"] == "markdown"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_is_in_plain_english(path):
    texts = [path.read_text(encoding="utf-8")]
    if path.suffix == ".ipynb":
        texts = [
            f"{notebooks.source(cell)}\n{cell['metadata'].get('mystnb', '')}"
            for cell in cells_of(path)
        ]
    assert [problem for text in texts for problem in prose.riddles(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "C was bred.",
        "A night of it.",
        "The deed.",
        "learnt anew",
        "Is it dearer?",
        "by\nchance".replace("\n", " "),
        "too ill",
        "Nobody dreams.",
        "down to nought",
        "By (7.3) it is so.",
    ],
)
def test_a_riddle_is_named(text):
    assert len(prose.riddles(text)) == 1


def test_what_is_plain_passes():
    text = "Nobody told the ellipse. A tonight, a will, an indeed. By equation (7.3), equations (7.1) and (7.2)."
    assert prose.riddles(text) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_exercise_has_an_answer_and_every_prediction_a_reply(path):
    """A stub has its solution; all else has a fold. A reply says what it means if the reader had said something else."""
    text = "\n\n".join(in_markdown(path))
    asked = re.findall(
        r"\*\*Exercise (\d+)\*\* ★+ \*\(([^)]*)\)\*(.*?)(?=\*\*Exercise|## Quiz|\Z)", text, re.S
    )
    unanswered = [
        number
        for number, kind, rest in asked
        if "stub" not in kind and '<details class="answer">' not in rest
    ]
    said = " ".join(notebooks.source(cell) for cell in cells_of(path))
    prompts = len(re.findall(r"\*\*Predict", said))
    replies = len(
        re.findall(
            r"\bif you (?:said|expected|predicted|named|drew|placed)\b",
            said.replace("\n", " "),
            re.I,
        )
    )
    replies += len(re.findall(r"Whatever\s+sign\s+you\s+said", said))
    assert unanswered == [] and replies >= prompts


TERMS = plain.words(ROOT / "book" / "glossary.md")


def test_a_word_of_the_glossary_is_linked_where_it_is_used_first():
    seen = set()
    text = "# An episode\n\n`episode`, $episode$, [episode](a). Two *episodes*, a world\nmodel.\n\nOne episode."
    assert plain.glossed(text, TERMS, seen) == (
        "# An episode\n\n`episode`, $episode$, [episode](a). Two *{term}`episodes <episode>`*, "
        "a {term}`world model <world model>`.\n\nOne episode."
    )
    assert plain.glossed("Another episode, the other way round.", TERMS, seen) == (
        "Another episode, the other way round."
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_links_to_the_glossary(path):
    seen = set()
    for text in in_markdown(path):
        plain.glossed(text, TERMS, seen)
    assert len(seen) >= 5 and "scale" not in seen


def test_say_shows_markdown_and_text(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    wm.say("""
        It *lives*
        97 steps.
    """)
    assert shown == [
        dict.fromkeys(("text/markdown", "text/plain"), "It *lives*\n97 steps."),
    ]
