"""Marks one answer: runs it on cases drawn from the course's seed, and says for each what was expected and what came.

`hidden_tests/NN_slug.py`, beside the chapters, holds for each exercise a function of the answer and a random generator that
yields cases. A public repository hides no code; what it can hide are numbers, if the seed of a course is kept private.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from wmlib.errors import InputError

SEED = "WM_COURSE_SEED"  # the environment variable


class AnswerError(Exception):
    """An answer gave no value. The message says what happened instead, as a clause."""


@dataclass(frozen=True)
class Thing:
    """What an answer gave that is neither number, text nor a collection of those.

    Attributes:
        look: its type, and how it prints.
    """

    look: str


@dataclass(frozen=True)
class Case:
    """One thing that is asked of an answer. All cases of an exercise weigh the same.

    Attributes:
        what: what it is tried on, such as "an episode that ends in a fall".
        expected: the right value: a number or an array.
        given: calls the answer.
        hint: the idea to reread when the value is another.
        slips: the value that a known misconception gives -> what to say to it.
        rtol: relative tolerance.
        atol: absolute tolerance, for values that are 0.
        secret: the right value is not told: a letter among four would be given away.
    """

    what: str
    expected: Any
    given: Callable[[], Any]
    hint: str = ""
    slips: Mapping[str, Any] = field(default_factory=dict)
    rtol: float = 1e-6
    atol: float = 0.0
    secret: bool = False

    def verdict(self) -> tuple[bool, str]:
        """Whether the answer is right here, and one sentence on it."""
        expected = f"{self.what}: expected {'another' if self.secret else _shown(self.expected)}"
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                value = self.given()
        except (Exception, SystemExit) as error:
            what = (
                str(error)
                if isinstance(error, AnswerError)
                else f"your code raised {type(error).__name__}: {error}"
            )
            return (
                False,
                f"{expected}, but {what}{'' if what[-1] in '.?!' else '.'} {self.hint}".strip(),
            )
        if value is ...:
            return False, f"{self.what}: not done yet, it still returns '...'."
        if self._equal(value, self.expected):
            return True, f"{self.what}: right."
        known = [say for say, slip in self.slips.items() if self._equal(value, slip)]
        return False, f"{expected}, got {_shown(value)}. {' '.join(known[:1]) or self.hint}".strip()

    def _equal(self, value: Any, wanted: Any) -> bool:
        try:
            if np.asarray(value).dtype.kind in "US":  # "0.97" is a text
                return False
            left, right = np.asarray(value, dtype=float), np.asarray(wanted, dtype=float)
        except (TypeError, ValueError, OverflowError):
            return False
        return left.shape == right.shape and bool(
            np.allclose(left, right, rtol=self.rtol, atol=self.atol)
        )


def _shown(value: Any) -> str:
    """A value in a few characters."""
    try:
        if np.asarray(value).dtype.kind in "US":
            raise TypeError
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return value.look if isinstance(value, Thing) else f"{type(value).__name__} {value!r:.40}"
    return (
        f"{array:.6g}"
        if array.ndim == 0
        else f"an array of shape {array.shape} that begins {np.array2string(array.ravel()[:3], precision=4)}"
    )


def load(path: Path) -> ModuleType:
    """The module of cases that belongs to a chapter.

    Raises:
        InputError: if it is missing or cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(f"graded_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(
            f"{path} is missing: it says what is marked. See 'Graded exercises' in CONTRIBUTING.md."
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} cannot be imported: {type(error).__name__}: {error}.") from None
    return module


def verdicts(module: ModuleType, name: str, answer: Any, seed: str) -> list[tuple[bool, str]]:
    """The verdict on each case of an exercise; equal seeds give equal cases."""
    number = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")
    cases: Iterable[Case] = getattr(module, name)(answer, np.random.default_rng(number))
    return [case.verdict() for case in cases]
