"""What marks the graded exercises of chapter 10. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def two_bills(answer, rng):
    """Commands within and beyond the box; another price."""
    for what, price, spread in [
        ("many commands beyond the box", 0.1, 1.0),
        ("another price, few beyond", 0.7, 0.3),
    ]:
        action = np.clip(spread * rng.standard_normal((12, 5)), -1, 1)
        action[0], high = 1.0, 0.4
        sent, given = (
            np.square(action).sum(axis=1).mean() * price,
            np.square(np.clip(action, -high, high)).sum(axis=1).mean() * price,
        )
        slips = {
            "Add up the motors of a step, then take the mean over steps.": (
                price * np.square(action).mean(),
                price * np.square(np.clip(action, -high, high)).mean(),
            ),
            "Per step, not for the whole episode.": (12 * sent, 12 * given),
            "The cost is of the square of a command.": (
                price * np.abs(action).sum(axis=1).mean(),
                price * np.abs(np.clip(action, -high, high)).sum(axis=1).mean(),
            ),
            "The two are the other way round: what was sent comes first.": (
                given,
                sent,
            ),
            "Do not forget the price.": (sent / price, given / price),
            "Clip both sides of the box.": (
                sent,
                price * np.square(np.minimum(action, high)).sum(axis=1).mean(),
            ),
            "A motor clips, it does not scale.": (
                sent,
                price * np.square(action * high).sum(axis=1).mean(),
            ),
        }
        yield Case(
            what,
            (sent, given),
            lambda action=action, price=price: answer(action.copy(), 0.4, price),
            "Square, add up over motors, mean over steps; once as sent, once clipped.",
            slips,
        )


def true_lengths(answer, rng):
    """Several episodes, with and without an unfinished one at the end."""
    for what, tail in [
        ("the last step ends an episode", 0),
        ("an unfinished episode at the end", 5),
    ]:
        lengths = rng.integers(2, 9, 6)
        done = np.zeros(lengths.sum() + tail, bool)
        ends = np.cumsum(lengths) - 1
        done[ends] = True
        slips = {
            "That is where they end, not how long they are.": ends,
            "One short: from the step after the last end to this one, both counted.": lengths
            - 1,
            "The first episode is missing.": lengths[1:],
            "That is the global counter, which never starts again.": ends + 1,
        }
        if tail:
            slips["An episode that has not ended has no length yet."] = np.append(
                lengths, tail
            )
        yield Case(
            what,
            lengths,
            lambda done=done: answer(done.copy()),
            "Find the last steps, and take their differences; the first episode begins before step 0.",
            slips,
        )
