"""The plain forms of a chapter are drawn as what they are: by the site, which numbers and links them, and said by every front end."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import wmlib as wm

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
