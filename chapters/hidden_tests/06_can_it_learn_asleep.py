"""What marks the graded exercises of chapter 6. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

from wmlib.classroom.marking import Case


def dreamed_returns(answer, rng):
    """Dreams that end at once, late, twice and never; behind an end the rewards are noise."""
    for what, n, steps in [("six dreams", 6, 8), ("many long dreams", 40, 30)]:
        reward, ended = rng.normal(4, 2, (n, steps)), rng.random((n, steps)) < 0.1
        ended[:4] = False  # the first never ends
        ended[1, 0] = True  # at once
        ended[2, [2, 5]] = True  # twice
        ended[3, -1] = True  # with the last step
        before = np.cumsum(ended, axis=1) - ended
        expected = np.where(before == 0, reward, 0).sum(axis=1)
        slips = {
            "Rewards behind the end of a dream are noise: leave them out.": reward.sum(
                axis=1
            ),
            "The step that ends a dream still counts.": np.where(
                np.cumsum(ended, axis=1) == 0, reward, 0
            ).sum(axis=1),
            "A dream is over at its first end: it does not begin again.": np.where(
                ended, 0, reward
            ).sum(axis=1),
            "Returns are sums, not means.": np.where(before == 0, reward, 0).mean(
                axis=1
            ),
            "One return for each dream: sum over the steps, axis=1.": np.where(
                before == 0, reward, 0
            ).sum(),
        }
        call = lambda reward=reward, ended=ended: answer(reward.copy(), ended.copy())
        yield Case(
            what,
            expected,
            call,
            "Count the ends before each step, and sum the rewards where there is none.",
            slips,
        )


def dream_step(answer, rng):
    """Rows that stay up, that fall in this step, that had fallen before, and one that would get up again."""
    for what, n, wide in [("six rows", 6, 2), ("many rows", 50, 4)]:
        s, up = rng.normal(0, 1, (n, wide)), rng.random(n) < 0.7
        W = rng.normal(0, 1, (wide, wide))
        C = lambda s, W=W: np.tanh(s @ W)
        step = lambda s, a: 0.5 * s + a
        fell = lambda s: s[:, 0] < 0
        s_next = step(s, C(s))
        up[:2], s_next_up = (False, True), ~fell(s_next)
        still = up & s_next_up

        def packed(states, rewards, who):
            """One array of all three, (N, D + 2)."""
            return np.column_stack([states, rewards, who])

        def call(C=C, step=step, fell=fell, s=s, up=up):
            states, rewards, who = answer(C, step, fell, s.copy(), up.copy())
            return packed(states, rewards, who)

        slips = {
            "A row that had fallen before stays down, whatever its state is now.": packed(
                s_next, s_next_up, s_next_up
            ),
            "A row that falls in this step earns nothing for it.": packed(
                s_next, up, still
            ),
            "A row that falls in this step is no longer up.": packed(s_next, still, up),
            "The rule looks at the state after the step, not before it.": packed(
                s_next, up & ~fell(s), up & ~fell(s)
            ),
            "C acts on the state before the step, and the step starts there.": packed(
                step(s_next, C(s_next)), still, still
            ),
        }
        yield Case(
            what,
            packed(s_next, still, still),
            call,
            "Act, step, look who has fallen, and pay those who are up before and after.",
            slips,
        )
