"""Differences between settings that can be explored in a page: leave a seed out, ask for more certainty, count all looks.

Pairs of runs that share a seed differ in one setting; their differences, with a t interval over seeds, stand in a table with a picture in each line.
A script in the output (`web/explorer.js`) adds the controls and asks nothing of a network; where scripts are blocked the table stays, with all seeds.
Built in chapter 14.
"""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wmlib import statistics
from wmlib.errors import InputError
from wmlib.show.palette import MODEL, RANDOM, REALITY
from wmlib.show.viewer import checked_name, harmless, script

LEVEL = 0.95
MAX_EFFECTS, MAX_SEEDS = 200, 100
WIDTH, HEIGHT = 200, 22
"""Of a line's picture."""
WORDS = {1: "better", -1: "worse", 0: "undecided"}
INKS = {1: MODEL, -1: REALITY, 0: RANDOM}


@dataclass(frozen=True)
class Effect:
    """What one change did.

    Attributes:
        factor: what was changed.
        level: to what.
        against: from what.
        differences: training seed -> with the change, less without it.
    """

    factor: str
    level: str
    against: str
    differences: Mapping[int, float]


def interval(differences: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Mean and ends of the paired t interval over seeds; ends NaN for one seed. Equation (14.2)."""
    return float(np.mean(differences)), *statistics.interval(differences, level, fewest=2)


def p_value(differences: Sequence[float]) -> float:
    """How often seeds without any effect would differ as much: two-sided, of the paired t test; 1 for one seed."""
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2:
        return 1.0
    error = float(values.std(ddof=1)) / math.sqrt(n)
    angles, share = statistics.student(n - 1)
    angle = (
        math.atan2(abs(float(values.mean())), error * math.sqrt(n - 1))
        if error or values.any()
        else 0.0
    )
    return 1.0 - float(np.interp(angle, angles, share))


class Explorer:
    """What `show` returns: a notebook draws it; `html()` is the same as text."""

    def __init__(self, data: dict[str, Any], table: str, text: str) -> None:
        """Keeps the data (JSON-ready), the table (HTML) and one line about both."""
        self.data, self.table, self.text = data, table, text

    def __repr__(self) -> str:
        """One line: how many effects of which measures."""
        return self.text

    def html(self) -> str:
        """Data, table and script."""
        data, code = harmless(self.data), script("explorer.js")
        return f'<div class="wm-explorer"><script type="application/json">{data}</script><div class="wm-effects">{self.table}</div></div><script>{code}</script>'

    def _repr_html_(self) -> str:
        return self.html()


def show(
    measures: Mapping[str, Sequence[Effect]],
    *,
    lower_is_better: Collection[str] = (),
    label: str = "",
) -> Explorer:
    """A table of effects that can be explored; the last line of a cell draws it.

    Args:
        measures: name of what was measured -> effects on it. The first is shown first.
        lower_is_better: the measures where less is better.
        label: what is to be seen, for readers who cannot see it: a sentence.

    Raises:
        InputError: in one line, if a name or a number is not as it must be, or there is nothing to show.
    """
    if not measures or not all(measures.values()) or sum(map(len, measures.values())) > MAX_EFFECTS:
        raise InputError(
            f"{sum(map(len, measures.values()))} effects on {len(measures)} measures were given; expected at least one on each, at most {MAX_EFFECTS} in all."
        )
    if unknown := [name for name in lower_is_better if name not in measures]:
        raise InputError(
            f"'{unknown[0]}' is to be better when lower, but is no measure; there are: {', '.join(measures)}."
        )
    data = [
        {
            "name": checked_name(name, "The name of a measure"),
            "sign": -1 if name in lower_is_better else 1,
            "effects": [_plain(effect) for effect in effects],
        }
        for name, effects in measures.items()
    ]
    about = {
        "label": checked_name(label, "The label", 400),
        "level": LEVEL,
        "words": {str(key): word for key, word in WORDS.items()},
        "inks": {str(key): ink for key, ink in INKS.items()},
        "measures": data,
    }
    counts = ", ".join(f"{len(effects)} effects on {name}" for name, effects in measures.items())
    return Explorer(
        about,
        "".join(_table(measure) for measure in data),
        f"{label + ': ' if label else ''}{counts}",
    )


def _plain(effect: Effect) -> dict[str, Any]:
    """An effect as plain values."""
    what = f"'{checked_name(effect.factor, 'The name of a factor')}', '{checked_name(effect.level, 'The name of a level')}'"
    if not 1 <= len(effect.differences) <= MAX_SEEDS:
        raise InputError(
            f"{what} has {len(effect.differences)} differences; expected 1 to {MAX_SEEDS}, one for each seed."
        )
    for seed, value in effect.differences.items():
        if not math.isfinite(value):
            raise InputError(
                f"{what}, seed {seed} differs by {value}; expected a finite number. A run that failed is left out, and that is said."
            )
    pairs = sorted((int(seed), float(value)) for seed, value in effect.differences.items())
    return {"factor": effect.factor, "level": effect.level, "against": checked_name(effect.against, "The level before"),
            "seeds": [seed for seed, _ in pairs], "values": [value for _, value in pairs]}  # fmt: skip


def finding(middle: float, low: float, high: float, sign: int = 1) -> int:
    """1 if the interval says better, -1 if worse, 0 if it holds 0 or there is none; `sign` is -1 where less is better."""
    if math.isnan(low) or low <= 0 <= high:
        return 0
    return sign if middle > 0 else -sign


def _number(value: float, unit: float) -> str:
    """A number with as many digits as its measure is worth."""
    return f"{value:+.{max(0, 2 - math.floor(math.log10(unit)))}f}"


def _table(measure: Mapping[str, Any]) -> str:
    """One measure's effects, all seeds, as a table with a picture in each line."""
    size = max(max(map(abs, effect["values"])) for effect in measure["effects"]) or 1.0
    lines = []
    for effect in measure["effects"]:
        middle, low, high = interval(effect["values"])
        found = finding(middle, low, high, measure["sign"])
        ends = "one seed" if math.isnan(low) else f"[{_number(low, size)}, {_number(high, size)}]"
        name = f"{html.escape(effect['factor'])}: {html.escape(effect['level'])} <small>for {html.escape(effect['against'])}</small>"
        drawn = _picture(effect["values"], low, high, 2 * size, INKS[found])
        lines.append(
            f'<tr><th scope="row">{name}</th><td>{drawn}</td><td>{_number(middle, size)}<br><small>{ends}</small></td><td>{WORDS[found]}</td></tr>'
        )
    head = "".join(
        f'<th scope="col">{text}</th>'
        for text in ("changed", "seeds and interval", "difference", "finding")
    )
    return f'<table class="scorecard"><caption>{html.escape(measure["name"])}</caption><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _picture(values: Sequence[float], low: float, high: float, reach: float, ink: str) -> str:
    """A line's picture: the interval as a bar, cut off at the edges, and a ring for each seed; 0 in the middle."""

    def x(value: float) -> str:
        return f"{WIDTH / 2 * (1 + max(-1.0, min(1.0, value / reach))):.1f}"

    bar = (
        ""
        if math.isnan(low)
        else f'<path d="M{x(low)} {HEIGHT / 2}H{x(high)}" stroke="{ink}" stroke-width="7" opacity=".6"/>'
    )
    rings = "".join(
        f'<circle cx="{x(value)}" cy="{HEIGHT / 2}" r="3.2" fill="none" stroke="currentColor" stroke-width="1.6"/>'
        for value in values
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true"><path d="M{WIDTH / 2} 0V{HEIGHT}" stroke="currentColor" opacity=".5"/>{bar}{rings}</svg>'
