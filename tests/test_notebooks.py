"""Every chapter is in its committed form, every page's numbers come from the run, and the checks that say so work."""

import ast
import copy
import json
import os
from pathlib import Path

import nbformat
import pytest

from tools import notebooks, prose

ROOT = Path(os.environ.get("WM_BOOK") or Path(__file__).resolve().parent.parent)
CHAPTERS = sorted(
    path for path in (ROOT / "chapters").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
PAGES = sorted(path for path in (ROOT / "book").rglob("*.md") if "_static" not in path.parts)


def relative(path):
    return path.relative_to(ROOT).as_posix()


def complain(problems):
    if problems:
        pytest.fail(f"{len(problems)} problem(s):\n" + "\n".join(problems), pytrace=False)


def test_there_is_a_chapter():
    assert CHAPTERS, "chapters/ holds no notebook"


@pytest.mark.parametrize("path", CHAPTERS, ids=relative)
def test_the_chapter_is_in_its_committed_form(path):
    complain(notebooks.problems(json.loads(path.read_text(encoding="utf-8")), relative(path)))


PLANS = (
    "teaching.md",
    "lessons.md",
)  # they count exercises, weeks and minutes of a lesson in whole numbers, and hold no results


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_the_page_has_no_typed_results(path):
    text = path.read_text(encoding="utf-8")
    typed = [
        f"line {line}: '{number}'"
        for line, number in prose.typed_numbers(text)
        if not number.split()[0].isdigit() or "%" in number
    ]
    complain(
        [
            f"{relative(path)}, {problem}"
            for problem in (typed if path.name in PLANS else prose.problems(text))
        ]
    )


# The lint of prose.

ACCEPTED = [
    "The body is Humanoid-v5 with 348 numbers, 45 of them its state.",
    "It runs on Python 3.11 to 3.13 with MuJoCo 3.14.0.",
    "In 2018, Ha and Schmidhuber {cite}`ha2018` ran many rollouts.",
    "See chapter 4, Figure 3.2, equations (4.3) and 4.4, exercises 2-5.",
    "Equation (4.3) says so.",
    "A 2-D picture, the 1st of its kind, in float32 on x86_64.",
    "## 3. Train it\n\n1. gather\n2. train",
    "We write `n_mix = 5` and $\\tau = 1.15$ and $$x = 0.25 y$$ (eq-x)",
    "```{math}\n:label: kl\n0.5 (\\mu^2 - 1)\n```",
    "```python\nsteps = 10_000\n```",
    "[the paper](https://arxiv.org/abs/1803.10122) and <https://example.org/12345>",
    "```{figure} pictures/run-3.png\n:width: 480px\n:alt: A humanoid that falls forward\nIt falls.\n```",
    "The action box is ±0.4 wide; an episode is cut off after 1,000 steps.",
    "No chapter takes more than 3 minutes or 1.5 GB on 2 cores.",
    "% a comment: 4.71\nText.",
    "::::{grid} 1 1 3 3\n:gutter: 3\nText.\n::::",
    "---\ntitle: 12\n---\nText.",
    "![A picture](plot-17.png)",
    "(section-4-2)=\n## A heading",
    "The licence is CC BY 4.0, checked on 22 November 2025.",
]

REJECTED = [
    ("The mean return is 113.7.", "113.7"),
    ("It falls after 24 steps.", "24 steps"),
    ("A random policy gets 4.71 per step.", "4.71"),
    ("It is 10x faster.", "10x"),
    ("It wins in 96% of the runs.", "96%"),
    ("It wins in 45 % of the runs.", "45 %"),
    ("| random | 4.68 |", "4.68"),
    ("- a return of -3.5", "3.5"),
    ("The return is **420**.", "420"),
    (":::{note}\nIt took 12.5 s.\n:::", "12.5 s"),
    ("````{admonition} You will\n```{note}\nNeed 40 minutes.\n```\n````", "40 minutes"),
    ("```{figure} a.png\n:alt: It stands for 97 steps\nIt stands.\n```", "97 steps"),
    ("[1,236 points](https://example.org)", "1,236 points"),
    ("Line one\n`code` and 5,195 after it", "5,195"),
    ("It needs 2.75 GB.", "2.75 GB"),
    ("about 1.5 times", "1.5 times"),
    (":::{dropdown} It took 12.5 s\nText.\n:::", "12.5 s"),
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_prose_that_is_fine_passes(text):
    assert prose.problems(text) == []


@pytest.mark.parametrize(("text", "number"), REJECTED)
def test_a_typed_result_is_named(text, number):
    assert [found for _, found in prose.typed_numbers(text)] == [number]


def test_the_line_of_a_typed_result_is_told():
    assert prose.typed_numbers("one\n\n$$\n3\n$$\n\nit got 99 back") == [(7, "99")]


def test_words_that_talk_down_are_named():
    assert [
        word for _, word in prose.banned_words("It is simply so.\nObviously. We just try.")
    ] == ["simply", "Obviously"]


def test_every_allowed_number_has_a_reason():
    assert all(len(reason) > 3 for reason in prose.FACTS.values())


# The hygiene of notebooks: a good one, then one change at a time.


def good():
    figure = {"image": {"alt": "A line that sinks from standing height to the ground."}}
    setup = "import wmlib as wm\nscale, seed = wm.scale(), 0\nprint(scale, seed)"
    contract = nbformat.v4.new_code_cell(
        "print(348)", execution_count=2, metadata={"tags": ["keep_output", "nbval-check-output"]}
    )
    contract.outputs = [nbformat.v4.new_output("stream", name="stdout", text="348\n")]
    cells = [
        nbformat.v4.new_markdown_cell("# Why dream?"),
        nbformat.v4.new_code_cell(setup),
        contract,
        nbformat.v4.new_code_cell("wm.plot_fall(height)", metadata={"mystnb": figure}),
        nbformat.v4.new_markdown_cell("**Figure 7.1.** How it falls."),
        nbformat.v4.new_code_cell(
            'wm.say(f"""\nIn Figure 7.1 it lives {steps:.0f} steps.\n""")',
            metadata=notebooks.HIDDEN,
        ),
        nbformat.v4.new_markdown_cell("By equation (7.1):\n\n$$\nx = 1 \\tag{7.1}\n$$"),
    ]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=spec)


def test_a_good_notebook_passes():
    assert notebooks.problems(good(), "07_good.ipynb") == []


def put(cell, path, value):
    """A change: sets notebook.cells[cell], at a dotted path, to a value."""

    def change(notebook):
        place = notebook.cells[cell] if cell is not None else notebook
        *way, last = path.split(".")
        for key in way:
            place = place[key]
        place[last] = value

    return change


NO_TEXT = [nbformat.v4.new_output("display_data", data={"image/png": "aGk="})]
ADDRESS = [nbformat.v4.new_output("stream", name="stdout", text="<object at 0x7f00aa11>\n")]
STDERR = [nbformat.v4.new_output("stream", name="stderr", text="careful\n")]
STORED = [nbformat.v4.new_output("stream", name="stdout", text="hi\n")]
BAD = {
    "an output in a plain cell": (
        put(1, "outputs", STORED),
        "cell 2 .* a plain cell stores an output: run",
    ),
    "a count in a plain cell": (
        put(1, "execution_count", 3),
        "a plain cell stores an execution count",
    ),
    "a contract cell without a count": (
        put(2, "execution_count", None),
        "cell 3 .* without an execution count",
    ),
    "a contract cell without output": (put(2, "outputs", []), "a contract cell stores no output"),
    "a contract cell with half its tags": (
        put(2, "metadata.tags", ["keep_output"]),
        "keep_output alone",
    ),
    "a contract picture": (put(2, "outputs", NO_TEXT), "printed text only"),
    "a contract on stderr": (put(2, "outputs", STDERR), "printed text only"),
    "an address in a contract": (put(2, "outputs", ADDRESS), "an address or a path"),
    "no contract cell": (put(2, "metadata.tags", []), "0 contract cells"),
    "the tag nbval-skip": (put(3, "metadata.tags", ["nbval-skip"]), "nbval-skip is not allowed"),
    "the tag raises-exception": (
        put(3, "metadata.tags", ["raises-exception"]),
        "raises-exception is not allowed",
    ),
    "the tag remove-cell": (put(3, "metadata.tags", ["remove-cell"]), "remove-cell is not allowed"),
    "a misspelt tag": (put(3, "metadata.tags", ["keep-output"]), "keep-output is not allowed"),
    "an NBVAL comment": (put(3, "source", "# NBVAL_SKIP\nx = 1"), "an NBVAL comment"),
    "a shell command": (put(3, "source", "!pip install x"), "not plain Python"),
    "a cell magic": (put(3, "source", "%%capture\nx = 1"), "not plain Python"),
    "a long cell": (put(3, "source", "x = 1\n" * 41), "it has 41 lines"),
    "a long setup": (
        put(1, "source", "print('scale', 'seed')\n" * 11),
        "the setup cell has 11 lines",
    ),
    "a setup that tells nothing": (
        put(1, "source", "import wmlib"),
        "must print the scale and the seed",
    ),
    "a late import": (put(3, "source", "import numpy as np"), "it imports numpy"),
    "language_info": (
        put(None, "metadata.language_info", {"name": "python"}),
        "its metadata holds language_info",
    ),
    "no caption": (put(4, "source", "How it falls."), "has no caption"),
    "a wrong number of a figure": (
        put(4, "source", "**Figure 7.2.** How it falls."),
        "its figures are to count from 1: 7.2 stands where 7.1",
    ),
    "a wrong number of an equation": (
        put(6, "source", "$$\nx = 1 \\tag{3.1}\n$$"),
        "its equations are to count from 1: 3.1 stands where 7.1",
    ),
    "a tag within a line": (
        put(6, "source", "$$ x \\tag{7.1} $$"),
        "its .tag is to end the last line",
    ),
    "a role": (put(0, "source", "# Why?\n\nSee {eq}`x`."), "cell 1 .*drawn by the site alone"),
    "a directive": (put(0, "source", "# Why?\n\n:::{note}\nLook.\n:::"), "drawn by the site alone"),
    "digits in what is said": (
        put(5, "source", 'wm.say(f"""\nIt lives 97 steps, {x}.\n""")'),
        "cell 6 .*'97 steps'",
    ),
    "a role in what is said": (
        put(5, "source", 'wm.say("See {eq}`x`.")'),
        "drawn by the site alone",
    ),
    "open code of what is said": (put(5, "metadata", {}), "its code is to be hidden"),
    "no metadata for a figure": (put(3, "metadata", {}), "no alt text of at least 30"),
    "a short alt text": (
        put(3, "metadata.mystnb.image.alt", "A plot."),
        "no alt text of at least 30",
    ),
    "an alt text that repeats the caption": (
        put(4, "source", "**Figure 7.1.** A line that sinks from standing height to the ground."),
        "repeats the caption",
    ),
    "digits in a caption": (
        put(4, "source", "**Figure 7.1.** It lives 97 steps."),
        "cell 5 .* '97 steps'",
    ),
    "digits in the text": (
        put(0, "source", "# Why?\n\nIt gets 113.7."),
        "cell 1 .* line 3: the number '113.7'",
    ),
    "a title that asks nothing": (put(0, "source", "# Dream"), "asks nothing"),
    "two titles": (put(0, "source", "# Why?\n# How?"), "2 first-level headings"),
    "an open solution": (put(3, "source", "# solution\nx = 1"), "a solution must be hidden"),
    "a solution that is not folded": (
        put(3, "metadata.tags", ["solution", "hide-cell"]),
        "a solution is to be folded away",
    ),
    "an open solution without a comment": (
        put(3, "metadata.tags", ["solution"]),
        "a solution must be hidden",
    ),
    "an invalid notebook": (put(1, "cell_type", "nonsense"), "no valid notebook"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_notebook_is_caught(change, message):
    notebook = good()
    change(notebook)
    found = notebooks.problems(notebook, "07_bad.ipynb")
    with pytest.raises(pytest.fail.Exception, match=f"07_bad.ipynb.*{message}"):
        complain(found)


@pytest.mark.parametrize(
    ("code", "draws"),
    [
        ("plt.plot(x)", True),
        ("ax = plt.subplots()[1]", True),
        ("wm.plots.plot_fall(x)", True),
        ("drawing, axes = wm.plots.figure()", True),
        ("plt.close()", False),
        ("def draw():\n    plt.plot(x)", False),
        ("height = plot", False),
    ],
)
def test_a_cell_that_draws_is_recognised(code, draws):
    assert notebooks.makes_figure(ast.parse(code)) == draws


def test_tidying_strips_what_a_run_leaves_and_keeps_the_contract(tmp_path):
    clean = good()
    used = copy.deepcopy(clean)
    used.metadata["language_info"] = {"name": "python", "version": "3.11.2"}
    used.cells[1].outputs, used.cells[1].execution_count = STORED, 7
    used.cells[3].metadata["execution"] = {"started": "now"}
    used.cells[5].metadata = {"jupyter": {"source_hidden": False}, "editable": True}
    path = tmp_path / "07_used.ipynb"
    nbformat.write(used, path)
    assert notebooks.main([str(path)]) == 0
    assert notebooks.problems(json.loads(path.read_text()), "07_used.ipynb") == []
    tidied = nbformat.read(path, as_version=4)
    assert tidied.cells[2] == clean.cells[2]
    assert tidied.cells[5].metadata == notebooks.HIDDEN
