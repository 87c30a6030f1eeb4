"""What marks the graded exercises of chapter 9. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def joint_targets(answer, rng):
    """A few bodies near their rest, and one with fast joints."""
    for what, n, joints, fast in [
        ("near its rest", 4, 5, 1.0),
        ("in fast motion", 3, 7, 20.0),
    ]:
        rest = rng.uniform(-0.5, 0.5, joints)
        angle = rest + rng.uniform(-0.05, 0.05, (n, joints))
        speed = fast * rng.uniform(-1, 1, (n, joints))
        push = rng.uniform(-0.5, 0.5, (n, joints))
        pull = 10 * (rest - angle) - 0.05 * speed
        slips = {
            "The reflex pulls towards the rest, not away from it.": 0.4
            * np.tanh(10 * (angle - rest) - 0.05 * speed + push),
            "Damping works against the speed.": 0.4
            * np.tanh(10 * (rest - angle) + 0.05 * speed + push),
            "C pushes inside the tanh: outside of it an action could leave the box.": 0.4
            * np.tanh(pull)
            + push,
            "An action is within the box, whose edge is 0.4.": np.tanh(pull + push),
            "Where is C's push?": 0.4 * np.tanh(pull),
            "Where is the damping?": 0.4 * np.tanh(10 * (rest - angle) + push),
        }
        yield Case(
            what,
            0.4 * np.tanh(pull + push),
            lambda angle=angle, speed=speed, rest=rest, push=push: answer(
                angle.copy(), speed.copy(), rest.copy(), push.copy()
            ),
            "Pull towards the rest, damp, add the push, and put all of it into the tanh.",
            slips,
        )


def take_off(answer, rng):
    """A run that reaches the level and falls back, one that begins above it, and one that never does."""
    for what, low, high in [
        ("reached, and lost again", 0.0, 2.0),
        ("above from the start", 1.5, 2.0),
        ("never", 0.0, 0.9),
    ]:
        steps = np.cumsum(rng.integers(3_000, 9_000, 12)).astype(float)
        returns = rng.uniform(0.0, 0.9, 12) if high > 1 else rng.uniform(low, high, 12)
        if high > 1:
            at = 0 if low > 1 else int(rng.integers(4, 8))
            returns[at], returns[at + 3] = 1.2, 1.9
        reached = np.flatnonzero(returns >= 1.0)
        slips = {}
        if len(reached):
            slips = {
                "The first round that reaches it, not the last.": steps[reached[-1]],
                "Not the best round: the first that is good enough.": steps[
                    returns.argmax()
                ],
                "In real steps, not in rounds.": float(reached[0]),
                "The steps of that round, not of the one before.": steps[reached[0] - 1]
                if reached[0]
                else np.nan,
            }
            slips = {said: value for said, value in slips.items() if np.isfinite(value)}
        yield Case(
            what,
            steps[reached[0]] if len(reached) else np.inf,
            lambda steps=steps, returns=returns: answer(
                steps.copy(), returns.copy(), 1.0
            ),
            "Find the rounds at or above the level; the first one's real steps, or infinity.",
            slips,
        )
