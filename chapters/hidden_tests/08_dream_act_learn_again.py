"""What marks the graded exercises of chapter 8. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def covered_cells(answer, rng):
    """A square box and a box of three dimensions, with points outside and on the upper side."""
    for what, dims, n, low, high in [
        ("two dimensions", 2, 5, -1.0, 1.0),
        ("three dimensions", 3, 4, 2.0, 6.0),
    ]:
        points = rng.uniform(
            low - 0.3 * (high - low), high + 0.3 * (high - low), (60, dims)
        )
        points = np.concatenate(
            [points, points[:20], np.full((1, dims), high), np.full((1, dims), low)]
        )
        index = np.floor(n * (points - low) / (high - low)).astype(int)
        inside = ((index >= 0) & (index < n)).all(axis=1)
        closed = ((index >= 0) & (index <= n)).all(axis=1)
        slips = {
            "Many points may be in one cell: count each cell once.": int(inside.sum()),
            "Points outside of the box are in no cell.": len(np.unique(index, axis=0)),
            "A point on the upper side is in no cell.": len(
                np.unique(index[closed], axis=0)
            ),
            "Pushing points back into the box makes cells that nobody saw.": len(
                np.unique(np.clip(index, 0, n - 1), axis=0)
            ),
            "That is how many cells there are: count those with a point.": n**dims,
        }
        yield Case(
            what,
            len(np.unique(index[inside], axis=0)),
            lambda points=points, low=low, high=high, n=n: answer(
                points.copy(), low, high, n
            ),
            "Find each point's cell, drop what is outside, and count the different ones.",
            slips,
        )


def chance_of_better(answer, rng):
    """Different numbers of seeds, with and without ties."""
    for what, n, m, ties in [
        ("five against three", 5, 3, False),
        ("four against six, with ties", 4, 6, True),
    ]:
        ours, theirs = (
            rng.integers(200, 400, n).astype(float),
            rng.integers(200, 400, m).astype(float),
        )
        ours[0], theirs[0] = 395.5, 204.5  # neither always nor never
        ours[1], theirs[1] = 210.5, 390.5
        if ties:
            ours[2] = theirs[2] = 300.0
            ours[3] = 300.0
        difference = ours[:, None] - theirs
        expected = np.mean((difference > 0) + 0.5 * (difference == 0))
        slips = {
            "That is the chance of the other one.": 1 - expected,
            "Compare every seed with every seed, not the means.": float(
                ours.mean() > theirs.mean()
            ),
            "A chance, not a count: divide by the number of pairs.": (
                (difference > 0) + 0.5 * (difference == 0)
            ).sum(),
        }
        if ties:
            slips["A tie counts half, not nothing."] = np.mean(difference > 0)
            slips["A tie counts half, not whole."] = np.mean(difference >= 0)
        yield Case(
            what,
            expected,
            lambda ours=ours, theirs=theirs: answer(ours.copy(), theirs.copy()),
            "Take all pairs; a win counts one, a tie a half; then the mean.",
            slips,
        )
