"""A page that is drawn again after each round of a long run, and can be open meanwhile: a curve, the newest dream and the newest walk, a table."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wmlib import storage
from wmlib.real.body import Body
from wmlib.show import viewer
from wmlib.show.palette import DREAM, REALITY

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{again}
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}} svg{{width:100%;height:auto}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}} td,th{{text-align:right;padding:.1rem .7rem;border-bottom:1px solid #ddd}}</style>
<h1>{title}</h1><p>{told}</p>{curve}{scene}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></html>
"""
COLUMNS = {
    "round": ("round", "{:.0f}"), "real_steps": ("real steps", "{:,.0f}"), "dreamed_steps": ("dreamed steps", "{:,.0f}"), "seconds": ("seconds", "{:,.0f}"),
    "dreamed": ("dreamed return", "{:,.0f}"), "real": ("real return", "{:,.0f}"), "real_length": ("real steps survived", "{:,.0f}"), "metres": ("metres", "{:.1f}"),
}  # fmt: skip
SECONDS = 20
"""After so many seconds an open page looks for a newer one."""


def write(
    path: Path,
    body: Body,
    log: Sequence[Mapping[str, Any]],
    steps: int,
    tracks: Mapping[str, Any],
    *,
    over: bool = False,
) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the page.
        body: the body.
        log: rows of `walk`.
        steps: real steps that the run may take.
        tracks: name -> trajectory to watch, as `viewer.show` takes them; none for no scene.
        over: whether this is the last time, so that an open page need not look again.
    """
    now = log[-1]
    title = f"A {body.name} learns to walk in its dreams"
    told = (
        f"Round {now['round']}: {now['real_steps']:,} of {steps:,} real steps, {now['dreamed_steps']:,} dreamed ones, {now['seconds'] / 60:.1f} minutes. "
        + ("C is evolved in dreams only; the real episodes of the curve choose nothing.")
    )
    scene = ""
    if tracks:
        shown = viewer.show(tracks, body, label=f"C of round {now['round']}, from the same start")
        scene = shown.html(shared=True)
    known = [name for name in COLUMNS if name in now]
    page = PAGE.format(
        title=html.escape(title), told=html.escape(told), curve=_curve(log, steps), scene=scene,
        again="" if over else f'<meta http-equiv="refresh" content="{SECONDS}">',
        heads="".join(f"<th>{COLUMNS[name][0]}" for name in known),
        rows="".join("<tr>" + "".join(f"<td>{COLUMNS[name][1].format(row[name])}" for name in known) for row in reversed(log)),
    )  # fmt: skip
    storage.write_atomic(path, page.encode())


def _curve(log: Sequence[Mapping[str, Any]], steps: int) -> str:
    """Dreamed and real return over real steps, as SVG."""
    import matplotlib.pyplot as plt  # only who draws waits for it

    from wmlib.show import plots

    figure, axes = plots.figure()
    x = [row["real_steps"] for row in log]
    axes.plot(x, [row["dreamed"] for row in log], "-.", color=DREAM, marker=".", label="dreamed")
    if "real" in log[-1]:
        real = [row["real"] for row in log]
        axes.plot(x, real, color=REALITY, marker="o", label="real")
    axes.set(xlabel="real steps", ylabel="return of C", xlim=(0, steps), ylim=(0, None))
    axes.legend(loc="upper left")
    text = io.StringIO()
    figure.savefig(text, format="svg")
    plt.close(figure)
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
