"""The lint of prose: result digits come from the run (`wm.say`), never from the keyboard, and two words are not used.

`problems(markdown)` is the whole of it. A number passes when it is code, mathematics, a role, a link, a citation, part of a
name (Humanoid-v5, 2-D, Python 3.11), a reference (chapter 4), a year, the number of a heading or of a list item, or one of
`FACTS`: what does not change when the book is run again.
"""

from __future__ import annotations

import re

FACTS = {
    # the body, Humanoid-v5 (wmlib.real.body derives or asserts each of them)
    "348": "numbers in an observation",
    "45": "numbers of the state within it",
    "303": "the others, which follow from the 45",
    "376": "width of the older v4 observation, refused with a message",
    "22": "positions in the observation",
    "23": "velocities",
    "24": "positions with x and y",
    "17": "actions",
    "13": "rigid bodies that the observation describes",
    "0.4": "the edge of the action box",
    "1,000 steps": "after which an episode is cut off",
    "67": "control steps per simulated second (dt = 0.015 s)",
    "67 steps": "the same",
    "0.003 s": "one physics step",
    "0.015 s": "one control step",
    "5": "the healthy reward",
    "5 physics steps": "per control step",
    "1.25": "weight of the forward reward",
    "1.0": "lowest height that counts as healthy",
    "2.0": "greatest height that counts as healthy",
    # small integers with no unit that name structure
    "0": "the origin, an index, a closed form",
    "1": "the unit, an index, a closed form",
    # promises of the design, kept by `make slow` and the gate
    "2 cores": "the machine that every promise of time is for",
    "3 minutes": "longest chapter at small scale",
    "30 seconds": "longest chapter at smoke scale",
    "30 minutes": "the whole book at small scale",
    "1.5 GB": "most memory a chapter may take at small scale",
    "10,000 real steps": "size of the small scale",
    "250,000 real steps": "size of the large scale",
    "3 GB": "what the repository and its locked environment take on disk",
    "360 pixels": "narrowest screen that the pages are made for",
}
"""What may be typed as digits, and why it does not change from run to run. A bare number here is not excused before a unit
of measurement (`24` passes, `24 steps` does not): such a pair is listed whole."""

BANNED = {
    "simply": "what is simple to you is news to the reader: leave the word out",
    "obviously": "what is obvious needs no word, and what is not needs a reason",
}

# Half of the readers read English as a second language: the usual word.
PLAIN = {
    r"(?<!-)(?<!/)nights?": "a search",
    r"bred|breeds?": "evolved",
    r"deeds?": "the real return",
    r"anew": "again",
    r"dear(?:er|est|ly)?": "expensive",
    r"by chance": "random",
    r"ill": "badly, or wrong",
    r"whom": "a shorter sentence",
    r"(?-i:[Nn]obody|[Ss]omebody)": "we, the model, or C as the subject",
    r"nought": "zero",
    r"in the mean": "on average",
    r"else nothing changes": "nothing else changes",
}
KEPT = "Nobody told the ellipse"  # it has said plainly what it means
_BARE = re.compile(
    r"(?<!quation)(?<!quations)(?<!and)(?<!,)(?<!to)(?<!eqs\.)\s\([A\d]+\.\d+\)(?=[\s.,;:]|$)"
)

# Fenced blocks that hold no prose. Every other directive (note, exercise, admonition, figure, table) is read.
_NOT_PROSE = re.compile(
    r"^(math|code|code-block|code-cell|literalinclude|raw|mermaid|bibliography|toctree|tableofcontents|include|"
    r"eval-rst|auto\w+|only|contents)$"
)
_TITLED = re.compile(
    r"^(admonition|dropdown|card|grid-item-card|tab-item|exercise|solution|table|topic|sidebar|margin|epigraph)$"
)
_NAMES = (
    r"Python|MuJoCo|Gymnasium|Keras|TensorFlow|NumPy|JAX|Jupyter Book|JupyterLab|Debian|Ubuntu|macOS|Windows|Apache|Apache-|"
    r"CC BY|CC BY-SA|Creative Commons Attribution|BSD|OFL|Open Font License|SIL|WebGL|version|versions|HTTP"
)
_REFERENCES = (
    r"chapters?|figures?|figs?\.|tables?|sections?|equations?|eqs?\.|exercises?|parts?|pages?|p\.|pp\.|vol\.|volume|no\.|seeds?|"
    r"appendix|lecture|lesson|week|level|item|items|line|lines"
)
_NUMBER = r"\d+(?:[.,]\d+)*"
_RANGE = rf"\(?{_NUMBER}\)?(?:(?:\s*[-–—/]\s*|\s*,\s*|\s+(?:and|to|or)\s+)\(?{_NUMBER}\)?)*\+?"
_PASSES = [
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"\A---\n.*?\n---\n", re.S),  # front matter
        (r"<!--.*?-->", re.S),
        (r"^%.*$", re.M),  # MyST comments
        (r"^\(.*\)=\s*$", re.M),  # MyST targets
        (r"\$\$.*?\$\$(?:\s*\([\w:.-]+\))?", re.S),  # display mathematics and its label
        (r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S),
        (r"\{[\w:+.-]+\}(`+).*?\1", re.S),  # roles: {cite}`y`, {math}`z`, {numref}`...`
        (r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.S),  # inline code
        (r"(?<![\\$])\$[^$\n]+(?:\n[^$\n]+)*\$", 0),  # inline mathematics
        (r"(?<=\])\([^)\s]*(?:\s+\"[^\"]*\")?\)", 0),  # the address of a link or a picture
        (r"^\[[^\]]+\]:\s.*$", re.M),  # link definitions
        (r"\[\^[^\]]+\]", 0),  # footnotes
        (r"<[^<>\n]+>|https?://\S+", 0),  # HTML tags and bare addresses
        (r"\bdoi:\s*\S+|\barXiv:\s*\S+", re.I),
        (
            r"^[ \t]*(?:>[ \t]*)*(?:#+[ \t]+)?\d+(?:\.\d+)*[.)](?=\s)",
            re.M,
        ),  # numbered headings and list items
        (rf"\b(?:{_NAMES})\s*v?{_RANGE}", re.I),
        (rf"\b(?:{_REFERENCES})\s*{_RANGE}", re.I),
        (r"\(\d+\.\d+\)", 0),  # equation (4.3)
        (
            r"\b\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December)\b",
            0,
        ),
        (r"(?<![\d.,])(?:19|20)\d\d(?![\d%]|[.,]\d)(?:[-–](?:(?:19|20)?\d\d)(?!\d))?", 0),  # years
        (
            r"[A-Za-z_][\w.]*(?:-[A-Za-z]\w*)*-?\d[\w.]*\b",
            0,
        ),  # Humanoid-v5, float32, tb3, GPT-2, x86_64
        (r"\b\d-?[dD]\b", 0),  # 2-D
        (r"\b\d+(?:st|nd|rd|th)\b", 0),
    )
]
_PHRASES = re.compile(
    r"(?<![\w.,])(?:" + "|".join(re.escape(fact) for fact in FACTS if " " in fact) + r")\b"
)
_UNITS = r"\s?%|[A-Za-z]+\b|\s(?:steps|seconds|minutes|hours|days|episodes|times|per ?cent|points|[KMG]i?B|m?s|Hz|fps)\b"
_TYPED = re.compile(rf"(?<![\w.,]){_NUMBER}(?:{_UNITS})?")
ADVICE = (
    "let a cell say it (wm.say), or give no number (facts of the body are listed in tools/prose.py)"
)


def _blank(match: re.Match[str]) -> str:
    """Takes a passage out and keeps its lines, so that line numbers stay true."""
    return " " + "\n" * match.group().count("\n") + " "


def _without_blocks(markdown: str) -> str:
    """Blanks the fenced blocks that hold no prose; of the other directives, blanks the fence and its options."""
    kept: list[str] = []
    fences: list[tuple[str, bool]] = []  # the open fences, and whether each holds prose
    in_options = False
    for line in markdown.splitlines():
        fence = re.match(r"\s*(`{3,}|~{3,}|:{3,})\s*(.*)", line)
        reading = all(prose for _, prose in fences)
        if fence and fences and fence[1].startswith(fences[-1][0]) and not fence[2]:
            fences.pop()
            line = ""
        elif fence and (reading or not fences):
            name = re.match(r"\{([\w:-]+)\}\s*(.*)", fence[2])
            prose = bool(name and not _NOT_PROSE.match(name[1]))
            fences.append((fence[1], prose))
            in_options = True
            line = name[2] if name and _TITLED.match(name[1]) else ""
        elif not reading:
            line = ""
        elif in_options and re.match(r"\s*:[\w-]+:", line):
            alt = re.match(r"\s*:(?:alt|caption):(.*)", line)
            line = alt[1] if alt else ""
        else:
            in_options = False
        kept.append(line)
    return "\n".join(kept)


def typed_numbers(markdown: str) -> list[tuple[int, str]]:
    """The numbers that look typed in from a result: line, and the number with its unit."""
    text = _without_blocks(markdown)
    for pattern in (*_PASSES, _PHRASES):
        text = pattern.sub(_blank, text)
    found = [
        (text.count("\n", 0, match.start()) + 1, match.group().strip())
        for match in _TYPED.finditer(text)
    ]
    return [(line, number) for line, number in found if number not in FACTS]


def banned_words(markdown: str) -> list[tuple[int, str]]:
    """The words that this book does not use: line and word."""
    pattern = re.compile(rf"\b({'|'.join(BANNED)})\b", re.I)
    return [
        (markdown.count("\n", 0, match.start()) + 1, match.group())
        for match in pattern.finditer(markdown)
    ]


def riddles(text: str) -> list[str]:
    """Words that few readers know or that read as translated, and equations that are named by their number alone: one sentence each."""
    text = text.replace(KEPT, "")
    found = [
        (match, f"'{match[0]}': say {better}")
        for word, better in PLAIN.items()
        for match in re.finditer(rf"\b{word}\b", text, re.I)
    ]
    found += [(match, f"{match[0].strip()} alone: say equation") for match in _BARE.finditer(text)]
    return [f"line {text.count(chr(10), 0, match.start()) + 1}: {said}" for match, said in found]


def problems(markdown: str) -> list[str]:
    """What is wrong with a piece of prose: one sentence each, with the line and what to do."""
    numbers = [
        f"line {line}: the number '{number}' is typed in: {ADVICE}"
        for line, number in typed_numbers(markdown)
    ]
    words = [
        f"line {line}: the word '{word}': {BANNED[word.lower()]}"
        for line, word in banned_words(markdown)
    ]
    return numbers + words
