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


def cliff_return(answer, rng):
    """A shaky place, a safe one where p is one, and a long stay."""
    for what, p, steps in [
        ("a shaky place", float(rng.uniform(0.5, 0.8)), 12),
        ("a safe place", 1.0, 30),
        ("a long stay", float(rng.uniform(0.9, 0.99)), 200),
    ]:
        m = float(rng.uniform(0.5, 0.9))
        powers = p ** np.arange(0, steps + 2)
        slips = {
            "The first step has to be survived, too: the sum begins with p, not with one.": m
            * powers[:steps].sum(),
            "T steps: the sum ends with p to the power T.": m
            * powers[1 : steps + 2].sum(),
            "A fall ends everything: the chance to be up falls with every step.": m
            * p
            * steps,
            "Each survived step pays m.": powers[1 : steps + 1].sum(),
            "That is the last step alone: add up all of them.": m * powers[steps],
        }
        yield Case(
            what,
            m * powers[1 : steps + 1].sum(),
            lambda p=p, m=m, steps=steps: answer(p, m, steps),
            "Survive t steps with probability p to the t, and add m for each.",
            slips,
        )
