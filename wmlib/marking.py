"""Marks one answer: runs it on cases drawn from the course's seed, and says for each what was expected and what came.

`graded/NN_slug.py`, beside the chapters, holds for each exercise a function of the answer and a random generator that
yields cases. A public repository hides no code; what it can hide are numbers, if the seed of a course is kept private.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from wmlib.runs import InputError

SEED, GRADED = "WM_COURSE_SEED", "WM_GRADED_FILE"  # set where a submission is marked


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
    """

    what: str
    expected: Any
    given: Callable[[], Any]
    hint: str = ""
    slips: Mapping[str, Any] = field(default_factory=dict)
    rtol: float = 1e-6
    atol: float = 0.0

    def verdict(self) -> tuple[bool, str]:
        """Whether the answer is right here, and one sentence on it."""
        expected = f"{self.what}: expected {_shown(self.expected)}"
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = self.given()
        except (Exception, SystemExit) as error:
            return False, f"{expected}, but your code raised {type(error).__name__}: {error}"
        if value is ...:
            return False, f"{expected}; not done yet: it still returns '...'."
        if self._equal(value, self.expected):
            return True, f"{self.what}: right."
        known = [say for say, slip in self.slips.items() if self._equal(value, slip)]
        return False, f"{expected}, got {_shown(value)}. {' '.join(known[:1]) or self.hint}".strip()

    def _equal(self, value: Any, wanted: Any) -> bool:
        try:
            left, right = np.asarray(value, dtype=float), np.asarray(wanted, dtype=float)
        except (TypeError, ValueError):
            return False
        return left.shape == right.shape and bool(np.allclose(left, right, rtol=self.rtol, atol=self.atol))


def _shown(value: Any) -> str:
    """A value in a few characters."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return f"{type(value).__name__} {value!r:.40}"
    return f"{array:.6g}" if array.ndim == 0 else f"an array of shape {array.shape} that begins {np.array2string(array.ravel()[:3], precision=4)}"


def load(path: Path) -> ModuleType:
    """The module of cases that belongs to a chapter.

    Raises:
        InputError: if it is missing or cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(f"graded_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"{path} is missing: it says what is marked. See 'Graded exercises' in CONTRIBUTING.md.")
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


def mark(exercise: str, points: float, namespace: Mapping[str, Any]) -> float:
    """Marks what a notebook defines for one exercise, prints the feedback, and returns the points earned.

    Runs in the notebook that is graded; the file of cases and the seed come from the environment.
    """
    name = exercise.replace("-", "_")
    if name not in namespace:
        print(f"0 of {points:g} points. Expected a definition of {name}; there is none.")
        return 0.0
    found = verdicts(load(Path(os.environ[GRADED])), name, namespace[name], os.environ.get(SEED) or "0")
    earned = round(points * sum(right for right, _ in found) / len(found), 2)
    print(f"{earned:g} of {points:g} points.")
    print("\n".join(f"{'+' if right else '-'} {sentence}" for right, sentence in found))
    return earned
