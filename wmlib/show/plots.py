"""Figures that take arrays, in the book's one palette.

Lines differ in style as well as in colour, so that nothing hangs on colour alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wmlib.real.body import Array
from wmlib.real.evaluate import Score, Scorecard, survival
from wmlib.show.palette import COLOURS, DREAM, HOLD, MODEL, REALITY, colour
from wmlib.statistics import Runs

STYLES = {"reality": "-", "model": "--", "dream": "-.", "random": ":", "zero": "--", "hold": "-"}
TERMS = {"alive": "#9a9a9a", "forward": "#0a6fc2", "control": "#b34700", "contact": "#d9b300"}
WIDTH = 7.2
STYLE: dict[Any, Any] = {
    "font.size": 10, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "figure.dpi": 110, "savefig.dpi": 110, "svg.fonttype": "none", "figure.constrained_layout.use": True, "lines.linewidth": 1.8,
}  # fmt: skip


def figure(
    columns: int = 1, rows: int = 1, height: float = 3.0, **options: Any
) -> tuple[Figure, Any]:
    """A figure in the book's style, and its axes (as `plt.subplots` gives them). Height in inches, for each row."""
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(WIDTH, height * rows), **options)


def table(headings: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Shows a figure's numbers below it, folded: for who cannot see the figure, and for who wants to go on with them.

    Args:
        headings: of the columns.
        rows: of text and numbers (shown with four digits); the first entry says what a row is.

    Raises:
        ValueError: if a row is not as long as the headings.
    """
    from IPython.display import HTML, display  # type: ignore[import-not-found,import-untyped,unused-ignore]

    def shown(value: Any) -> str:
        return html.escape(
            value
            if isinstance(value, str)
            else f"{value:,.4g}"
            if abs(value) < 10**4
            else f"{value:,.0f}"
        )

    lines = []
    for row in rows:
        (_, first), *rest = zip(headings, map(shown, row), strict=True)
        lines.append(
            f'<tr><th scope="row">{first}</th>'
            + "".join(f"<td>{value}</td>" for _, value in rest)
            + "</tr>"
        )
    head = "".join(f'<th scope="col">{html.escape(heading)}</th>' for heading in headings)
    inside = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    box = f'<div role="region" aria-label="The numbers of the figure" tabindex="0" style="overflow-x: auto">{inside}</div>'
    display(
        HTML(
            f'<details class="numbers"><summary>The numbers of this figure</summary>{box}</details>'
        )
    )


def plot_lines(
    axes: Axes,
    curves: Mapping[str, Any],
    looks: Mapping[str, str] | None = None,
    legend: bool = True,
    **labels: Any,
) -> None:
    """Named curves in one panel: each y (over 1, 2, ...), or a pair (x, y), or one number, which is a level across.

    Args:
        axes: the panel.
        curves: what to draw, by name.
        looks: colour and style by name, as `"model o-"`; by default those of the name itself.
        legend: whether the panel has one.
        labels: of the axes, as `axes.set` takes them.
    """
    for name, curve in curves.items():
        usual = f"{name} {':' if np.ndim(curve) == 0 else STYLES.get(name, '-')}"
        shade, style = (looks or {}).get(name, usual).rsplit(" ", 1)
        ink = shade if shade.startswith("#") else colour(shade)
        if isinstance(curve, tuple) or np.ndim(curve) > 0:
            x, y = curve if isinstance(curve, tuple) else (range(1, len(curve) + 1), curve)
            size = 4 if len(style) > 1 else 6  # marks without a line
            axes.plot(x, y, style, color=ink, markersize=size, label=name)
        else:
            axes.axhline(curve, linestyle=style, color=ink, linewidth=1.5, label=name)
    axes.set(**labels)
    if legend:
        axes.legend(fontsize=9)


def plot_bars(
    axes: Axes, groups: Mapping[str, Sequence[float]], inks: Sequence[str], **labels: Any
) -> None:
    """Bars side by side: one of each name at each place, in the colours given. Labels as `axes.set` takes them."""
    for at, ((name, values), ink) in enumerate(zip(groups.items(), inks, strict=True)):
        places = np.arange(len(values)) + 0.8 / len(groups) * (at - (len(groups) - 1) / 2)
        axes.bar(places, values, 0.75 / len(groups), color=ink, label=name)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(**labels)
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)


def plot_results(
    axes: Axes, lines: Iterable[Any], inks: Mapping[str, str], aside: float = 1.08
) -> None:
    """Lines of a results table against real steps: means joined by method and configuration, intervals, and every seed.

    Args:
        axes: the panel; its x axis becomes logarithmic.
        lines: of `wm.results.table`.
        inks: a colour by method.
        aside: factor from one series to the next, so that none hides another on one budget.
    """
    series: dict[tuple[str, str], list[Any]] = {}
    for line in lines:
        series.setdefault((line.method, line.configuration), []).append(line)
    for place, ((method, configuration), its) in enumerate(series.items()):
        ink, middles = inks.get(method, "black"), []
        for line in its:
            middle, low, high, every = line.episode_return
            x = line.budget * aside ** (place - (len(series) - 1) / 2)
            axes.plot([x, x], [low, high], color=ink, lw=4, alpha=0.3)  # none for few seeds
            axes.plot([x] * len(every), every, ".", color=ink, ms=3, alpha=0.5)
            middles.append((x, middle))
        look: dict[str, Any] = {"color": ink, "markerfacecolor": ("white", ink)[place % 2]}
        look |= {"marker": "Dos^vP*X<>"[place % 10], "linestyle": ("-", "--", "-.", ":")[place % 4]}
        axes.plot(*np.array(middles).T, lw=1, label=f"{method}, {configuration}", **look)
    axes.set_xscale("log")


def plot_survival(axes: Axes, scores: Sequence[Score], steps: int | None = None) -> None:
    """The share of episodes still going after each step, one line a name (its runs together)."""
    names = list(dict.fromkeys(score.name for score in scores))
    lengths = {
        name: np.concatenate([score.lengths for score in scores if score.name == name])
        for name in names
    }
    steps = steps or int(max(values.max() for values in lengths.values()))
    for name, values in lengths.items():
        axes.plot(survival(values, steps), STYLES.get(name, "-"), color=colour(name), label=name)
    axes.set(xlabel="step", ylabel="share of episodes still going", ylim=(0, 1.02), xlim=(0, steps))
    axes.legend()


def plot_histograms(axes: Axes, values: Mapping[str, Array], label: str, bins: int = 40) -> None:
    """Histograms of one quantity under several names, as outlines on the same bins."""
    together = np.concatenate(list(values.values()))
    edges = np.histogram_bin_edges(together, bins).tolist()
    for name, these in values.items():
        axes.hist(these, edges, density=True, histtype="stepfilled", alpha=0.25, color=colour(name))
        axes.hist(
            these,
            edges,
            density=True,
            histtype="step",
            color=colour(name),
            linestyle=STYLES.get(name, "-"),
            linewidth=1.6,
            label=name,
        )
    axes.set(xlabel=label, ylabel="density")
    axes.legend()


def plot_terms(axes: Axes, card: Scorecard, per_step: bool = False) -> None:
    """The reward taken apart: gains to the right, costs to the left; for each row of the scorecard, of an episode or of a step."""
    for place, row in enumerate(card.rows):
        ends = {True: 0.0, False: 0.0}
        for term, value in sorted(row.terms.items(), key=lambda item: -abs(item[1])):
            share = value / row.steps[0] if per_step else value
            axes.barh(
                place,
                share,
                left=ends[share >= 0],
                color=TERMS.get(term, "#444444"),
                edgecolor="white",
                label=term if place == 0 else None,
            )
            ends[share >= 0] += share
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(
        yticks=range(len(card.rows)),
        yticklabels=[row.name for row in card.rows],
        xlabel=f"reward in {'a step' if per_step else 'an episode'}",
    )
    axes.invert_yaxis()
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)


def plot_map(here: str = "") -> Figure:
    """The map of the agent: V sees, M predicts, C acts; the chapter's own part is filled.

    Args:
        here: any of the letters `V`, `M`, `C`, `B` for the body, and `D` for the dream.
    """
    plt.rcParams.update(STYLE)
    drawing, axes = plt.subplots(figsize=(WIDTH, 2.4))
    axes.set(xlim=(0, 10), ylim=(-0.1, 3.3))
    axes.axis("off")

    def box(letter: str, x: float, y: float, text: str, shade: str) -> None:
        filled = letter in here
        label: dict[str, Any] = {
            "boxstyle": "round,pad=0.45",
            "facecolor": shade if filled else "white",
            "edgecolor": shade,
            "linewidth": 2,
        }
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            color="white" if filled else shade,
            weight="bold" if filled else "normal",
            bbox=label,
        )

    def arrow(
        start: tuple[float, float],
        end: tuple[float, float],
        text: str,
        at: tuple[float, float],
        shade: str = "#444444",
        curve: float = 0.0,
        style: str = "-",
    ) -> None:
        shape = {
            "arrowstyle": "->",
            "color": shade,
            "linewidth": 1.6,
            "linestyle": style,
            "connectionstyle": f"arc3,rad={curve}",
        }
        axes.annotate("", end, start, arrowprops=shape)
        axes.text(*at, text, ha="center", va="center", color=shade, fontsize=9)

    box("B", 1.0, 1.3, "body", "#444444")
    box("V", 3.5, 1.3, "V  sees", REALITY)
    box("M", 6.2, 2.3, "M  predicts", MODEL)
    box("C", 8.8, 1.3, "C  acts", HOLD)
    arrow((1.6, 1.3), (2.7, 1.3), "obs", (2.15, 1.53))
    arrow((4.3, 1.3), (8.0, 1.3), "z", (6.2, 1.08))
    arrow((4.1, 1.62), (5.1, 2.2), "z", (4.4, 2.08))
    arrow((7.25, 2.15), (8.3, 1.65), "h", (7.6, 1.75))
    arrow((8.8, 0.95), (1.0, 0.95), "action", (4.9, 0.02), curve=-0.12)
    arrow(
        (8.9, 1.68),
        (6.9, 2.68),
        "dream: M answers, not the body",
        (8.5, 3.1),
        DREAM,
        curve=0.35,
        style="--" if "D" not in here else "-",
    )
    return drawing


def plot_intervals(axes: Axes, rows: Mapping[str, tuple[float, float, str]]) -> None:
    """A dot and its interval a row, from the top down: name -> middle, half width (NaN draws the dot alone), colour."""
    for place, (middle, half, shade) in enumerate(rows.values()):
        axes.errorbar(middle, place, xerr=half, fmt="o", color=shade, capsize=3)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()


METHODS: dict[str, dict[str, Any]] = {
    "evolution, 16": {"color": MODEL, "marker": "o"},
    "evolution, 64": {"color": "#5aa9e6", "marker": "s"},
    "PPO": {"color": "black", "marker": "D"},
    "faithful": {"color": DREAM, "marker": "^"},
    "best": {"color": "#a0326a", "marker": "v"},
}


def plot_runs(axes: Axes, at: Sequence[float], runs: Sequence[Runs], name: str) -> None:
    """A method's mean over its training seeds, at each cost: with an interval, or with every seed, hollow, where there are too few for one.

    Args:
        axes: what to draw on.
        at: costs (N,), such as real steps.
        runs: N results, as a row of a scorecard or a line of a table has them.
        name: one of `METHODS`.
    """
    style = METHODS[name]
    axes.plot(at, [one.middle for one in runs], lw=0.9, ms=5, label=name, **style)
    for x, one in zip(at, runs, strict=True):
        axes.plot([x, x], [one.low, one.high], lw=4, alpha=0.3, color=style["color"])
        if np.isnan(one.low):
            axes.plot([x] * len(one.values), one.values, ls="", mfc="white", ms=4, **style)


def plot_levels(axes: Axes, levels: Mapping[str, float], at: float | None = None) -> None:
    """Dotted lines across, at the values of some names; each name is written above its line from x = `at` on."""
    for name, value in levels.items():
        axes.axhline(value, color=COLOURS.get(name, "black"), ls=":", lw=0.8)
        if at is not None:
            axes.annotate(name, (at, value), (0, 2), textcoords="offset points", color=COLOURS.get(name, "black"), fontsize=8)  # fmt: skip
