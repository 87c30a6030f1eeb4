"""The book's colours, which colour-blind readers can tell apart: the same name has the same colour in every figure.

Reality is dark orange, the model blue, the dream violet, random actions grey.
"""

from collections.abc import Iterable

REALITY, MODEL, DREAM, RANDOM, HOLD = "#b34700", "#0a6fc2", "#8338b5", "#767676", "#00775a"
COLOURS = {
    "reality": REALITY,
    "model": MODEL,
    "dream": DREAM,
    "random": RANDOM,
    "zero": "#1f1f1f",
    "hold": HOLD,
}
_SPARE = ("#a0326a", "#8a6d00", "#4b5a8c", "#1f7f8c", "#5b7a1c")


def colour(name: str) -> str:
    """The colour of a name in the palette; another name always gets the same one of a few spare colours."""
    return COLOURS.get(name, _SPARE[sum(name.encode()) % len(_SPARE)])


def colours(names: Iterable[str]) -> dict[str, str]:
    """The colour of each of some names in one picture: as `colour` has it, but a spare colour that is taken gives way to the next."""
    given: dict[str, str] = {}
    for name in names:
        wanted = colour(name)
        if name not in COLOURS:
            first = _SPARE.index(wanted)
            wanted = next(
                (spare for spare in _SPARE[first:] + _SPARE[:first] if spare not in given.values()),
                wanted,
            )
        given[name] = wanted
    return given
