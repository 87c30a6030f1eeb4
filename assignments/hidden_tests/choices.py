"""Marks a question with letters: each wrong letter is a misconception, and is told why."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from wmlib.classroom.marking import Case

LETTERS = "ABCD"


def _number(answer: Callable[[], Any], name: str) -> Any:
    """The letter of one question as a number, A is 1; 0 where there is none."""
    letters = answer()
    if letters is ...:
        return ...
    return LETTERS.find(str(letters.get(name, "")).strip().upper()[:1] or "?") + 1


def choices(
    answer: Callable[[], Any], questions: Mapping[str, tuple[str, Mapping[str, str]]]
) -> Iterator[Case]:
    """A case for each question: its name -> the right letter, and what to say to each of the others."""
    for name, (right, others) in questions.items():
        slips = {say: LETTERS.index(letter) + 1 for letter, say in others.items()}
        given = lambda name=name: _number(answer, name)
        yield Case(
            f"'{name}' (A is 1, B is 2)",
            LETTERS.index(right) + 1,
            given,
            "Give one letter to each question.",
            slips,
            secret=True,
        )
