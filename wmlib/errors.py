"""The one error that a reader causes, and the checks of single numbers that everything shares."""

import math
import operator
from typing import Any

LARGEST = 65_536
"""No size of a model is larger: a damaged one is refused before anything of its size is allocated."""


class InputError(ValueError):
    """Something the reader gave or has is not as it must be. The message says what, what was expected, and what to do."""


def whole(value: Any, name: str, least: int = 0, most: float = math.inf) -> int:
    """A whole number, also NumPy's; a truth value or 2.5 is none.

    Raises:
        InputError: if it is none, or not from `least` to `most`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number <= most:
        upto = f"from {least} to {most:,}" if most < math.inf else f"of at least {least}"
        raise InputError(f"{name} is {value}; expected a whole number {upto}.")
    return number
