"""Keeps a compiled call full: dreams of different lengths share a fixed number of rows, and a row whose dream has ended takes the next one.

Dreams of one generation end after 10 steps or after 100. Stepped side by side until the last has ended, most rows would be dead most of the
time; so after every few steps ended dreams are taken out, waiting ones put in, and when none waits the rows are halved. NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
FEW = 64
"""Fewer rows than this are not halved: they cost little, and each size is compiled once."""


Memory = tuple[NDArray[np.float32], ...]


class Rows(NamedTuple):
    """R dreams under way.

    Attributes:
        candidate: (R,).
        episode: (R,).
        t: (R,); steps dreamed so far.
        alive: (R,); false once a dream has ended.
        total: (R,); rewards so far.
        memory: arrays (R, ...), what the model remembers.
    """

    candidate: Ints
    episode: Ints
    t: Ints
    alive: NDArray[np.bool_]
    total: NDArray[np.float32]
    memory: Memory


def run(
    advance: Callable[[Rows], Rows],
    starts: Memory,
    n_candidates: int,
    *,
    members: int,
    rows: int,
    few: int = FEW,
) -> tuple[NDArray[np.float32], Ints]:
    """Dreams every candidate from every start to its end.

    Args:
        advance: makes a few steps of all rows; rows that are not alive it leaves as they are.
        starts: memory at N starts, (N, ...); N is a multiple of `members`.
        n_candidates: P.
        members: row r only takes episodes whose number has the same remainder by this, so that each keeps its member of an ensemble.
        rows: at most so many at once, if they are enough for one of each member.
        few: fewer rows than this are not halved.

    Returns:
        totals and steps, each (P, N).
    """
    n = len(starts[0])
    totals, lengths = np.zeros((n_candidates, n), np.float32), np.zeros((n_candidates, n), np.int32)
    each = n_candidates * n // members  # dreams of a member
    per = max(1, min(each, rows // members))
    waiting = np.full(members, per)  # the next of each member's dreams
    now = _begun(np.arange(per * members), starts)
    while True:
        now = advance(now)
        candidate, episode = np.asarray(now.candidate), np.asarray(now.episode)
        totals[candidate, episode], lengths[candidate, episode] = (
            now.total,
            now.t,
        )  # the last word is said when a dream has ended
        alive: NDArray[np.bool_] = np.asarray(now.alive).reshape(per, members)
        place = np.cumsum(~alive, axis=0) - 1 + waiting
        put = ~alive & (place < each)
        if put.any():
            now = _merged(
                now, put.ravel(), _begun((place * members + np.arange(members))[put], starts)
            )
            waiting = np.minimum(each, waiting + put.sum(axis=0))
            alive = alive | put
        if not alive.any():
            return totals, lengths
        if (waiting >= each).all() and per * members > few and alive.sum(axis=0).max() <= per // 2:
            per //= 2
            now = _taken(
                now,
                (
                    np.argsort(~alive, axis=0, kind="stable")[:per] * members + np.arange(members)
                ).ravel(),
            )


def _begun(dream: NDArray[np.int64], starts: Memory) -> Rows:
    """The beginning of dreams, numbered so that the remainder by `members` is the member's: candidate by candidate, episode by episode."""
    n = len(starts[0])
    candidate, episode = np.divmod(dream, n)
    zeros = np.zeros(len(dream), np.int32)
    return Rows(
        candidate.astype(np.int32),
        episode.astype(np.int32),
        zeros,
        zeros == 0,
        zeros.astype(np.float32),
        tuple(part[episode] for part in starts),
    )


def _each(change: Callable[..., Any], *rows: Rows) -> Rows:
    """The same change of every array."""
    plain = {name: change(*(getattr(row, name) for row in rows)) for name in Rows._fields[:-1]}
    return Rows(
        **plain,
        memory=tuple(change(*parts) for parts in zip(*(row.memory for row in rows), strict=True)),
    )


def _taken(now: Rows, index: NDArray[np.int64]) -> Rows:
    """The rows with these numbers."""
    return _each(lambda part: np.asarray(part)[index], now)


def _merged(now: Rows, put: NDArray[np.bool_], fresh: Rows) -> Rows:
    """Rows with fresh ones where `put` is true."""

    def merge(part: Any, new: Any) -> Any:
        part = np.array(part)
        part[put] = new
        return part

    return _each(merge, now, fresh)
