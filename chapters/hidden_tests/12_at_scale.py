"""What marks the graded exercises of chapter 12. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def serial_share(answer, rng):
    """Two and many workers, times made from a share that is drawn."""
    for what, workers in [
        ("two workers", 2),
        ("many workers", int(rng.integers(5, 40))),
    ]:
        alone, share = float(rng.uniform(20, 200)), float(rng.uniform(0.1, 0.8))
        together = alone * (share + (1 - share) / workers)
        slips = {
            "That is how much faster it is: turn the equation round.": alone / together,
            "That is the share of the time that is left, which n workers at best make 1/n.": together
            / alone,
            "That is the part that is shared.": 1 - share,
            "Divide by n - 1: with n workers the slowest is n times the best.": (
                workers * together / alone - 1
            )
            / workers,
        }
        yield Case(
            what, share, lambda alone=alone, together=together, workers=workers: answer(alone, together, workers),
            "Multiply the equation by n T_n / T_1 and solve it for s.", slips,
        )  # fmt: skip


def seconds_left(answer, rng):
    """Logs with none, one and two restarts."""
    for what, starts in [
        ("never stopped", 1),
        ("stopped once", 2),
        ("stopped twice", 3),
    ]:
        second, step, rows = 0.0, 0.0, []
        for k in range(starts):
            if k:
                second, step = (
                    second + rng.uniform(100, 900),
                    rows[-1][1] - rng.uniform(1, 20),
                )
            first = (second, step)
            for _ in range(int(rng.integers(3, 6))):
                rows.append((second, step))
                second, step = second + rng.uniform(5, 15), step + rng.uniform(30, 90)
        log, goal = np.array(rows), float(step + rng.uniform(200, 900))
        last = log[-1]
        expected = (goal - last[1]) * (last[0] - first[0]) / (last[1] - first[1])
        slips = {
            "That is the whole time of such a run, not what is left.": goal
            * (last[0] - first[0])
            / (last[1] - first[1])
        }
        if starts > 1:
            slips[
                "The clock ran on while nothing was done: count from the last start."
            ] = (goal - last[1]) * last[0] / last[1]
        yield Case(
            what,
            expected,
            lambda log=log, goal=goal: answer(log.copy(), goal),
            "Find the last row whose steps fell back, and take the speed from there.",
            slips,
        )
