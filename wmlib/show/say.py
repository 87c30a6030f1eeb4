"""Sentences that carry results: an output like a figure, so that every front end of notebooks shows them with the numbers of its own run."""

from textwrap import dedent


def say(text: str) -> None:
    """Shows Markdown, in a chapter an f-string with values filled in. The notebook hides the cell's code, and a page shows the text as its own.

    Args:
        text: Markdown; the indent that all lines share, and empty lines around it, are taken off.
    """
    from IPython.display import display  # type: ignore[import-not-found,import-untyped,unused-ignore]

    text = dedent(text).strip()
    display({"text/markdown": text, "text/plain": text}, raw=True)
