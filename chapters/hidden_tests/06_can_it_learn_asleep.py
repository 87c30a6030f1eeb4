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


def awake_actions(answer, rng):
    """A short episode from an empty memory, and a long one from a full one."""
    act = lambda z, h: z - 0.5 * h
    remember = lambda z, a, h: np.tanh(0.3 * z + 0.4 * a + 0.8 * h)
    for what, steps, full in [("a short episode", 4, 0.0), ("a long episode", 12, 1.0)]:
        obs, start = rng.normal(size=(steps, 3)), full * rng.normal(size=3)
        W = 0.5 * rng.normal(size=(3, 3))
        see = lambda o, W=W: np.tanh(o @ W)

        def played(frozen=False, early=False, late=False, zero=False, see=see, obs=obs, start=start):  # fmt: skip
            """The actions, rightly or with one slip."""
            h, actions = 0 * start if zero else start, []
            before = see(obs[0])
            for o in obs:
                z, now = see(o), see(o)
                z = before if late else z
                if early:
                    h = remember(z, act(z, h), h)
                a = act(z, h)
                if not (frozen or early):
                    h = remember(z, a, h)
                actions.append(a)
                before = now
            return np.array(actions)

        slips = {
            "The memory stands still: let M remember each step.": played(frozen=True),
            "C acts on what M knew before this step: act first, remember then.": played(
                early=True
            ),
            "The code is of this moment, not of the one before.": played(late=True),
            "C acts on the code, not on what is observed.": played(see=lambda o: o),
        }
        if full:
            slips["The memory begins at h, which need not be zero."] = played(zero=True)
        yield Case(
            what,
            played(),
            lambda obs=obs, start=start, see=see: answer(
                see, act, remember, obs.copy(), start.copy()
            ),
            "For each observation: see, act, remember, in this order.",
            slips,
        )
