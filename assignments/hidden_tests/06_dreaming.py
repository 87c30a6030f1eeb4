"""What marks the assignment on dreaming. The numbers come from the course's seed, so that this page tells none."""

from pathlib import Path

import numpy as np

from wmlib.classroom.marking import Case, load

choices = load(Path(__file__).with_name("choices.py")).choices


def dream_spread(answer, rng):
    """A pull back to the middle, a short dream, and no pull at all, where the formula for a series divides by zero."""
    for what, a, T in [
        ("a long dream", rng.uniform(0.8, 0.97), 40),
        ("a short dream", rng.uniform(0.3, 0.9), 3),
        ("a dream without a pull", 1.0, 25),
    ]:
        a, s, tau = (
            float(a),
            float(rng.uniform(0.05, 0.3)),
            float(rng.uniform(1.2, 2.5)),
        )
        total = float(np.sum(a ** (2 * np.arange(T))))
        right = s * np.sqrt(tau * total)
        slips = {
            "A temperature multiplies the deviation by its square root.": s
            * tau
            * np.sqrt(total),
            "The deviation is asked for, not the variance.": s**2 * tau * total,
            "Deviations do not add up; variances do.": s
            * np.sqrt(tau)
            * np.sum(a ** np.arange(T)),
            "The noise of a step is shrunk in every later one: a to the power of 2 for each.": s
            * np.sqrt(tau * np.sum(a ** np.arange(T))),
            "All the noise of the way is still in it, not that of the last step alone.": s
            * np.sqrt(tau),
            "The pull makes old noise small: a is missing.": s * np.sqrt(tau * T),
            "The first of the T steps is noisy, too: T terms, from a to the 0 on.": s
            * np.sqrt(tau * np.sum(a ** (2 * np.arange(T - 1)))),
            "The noise of the last step is not shrunk yet: begin at a to the 0.": s
            * np.sqrt(tau * np.sum(a ** (2 * np.arange(1, T + 1)))),
            "Where is the temperature?": s * np.sqrt(total),
            "Hotter is wider: multiply by the root of tau.": s * np.sqrt(total / tau),
        }
        if a < 1:
            slips["After T steps, not after endlessly many."] = s * np.sqrt(
                tau / (1 - a**2)
            )
        yield Case(
            what,
            right,
            lambda a=a, s=s, tau=tau, T=T: answer(a, s, tau, T),
            "Where a is one the sum has T equal terms; add up variances step by step.",
            slips,
        )


def tempered_draw(answer, rng):
    """Cold, hot, and frozen, where the heaviest component is all that is left."""
    for what, tau in [
        ("a cold draw", float(rng.uniform(0.2, 0.4))),
        ("a hot draw", float(rng.uniform(1.5, 2.5))),
        ("a frozen draw", 0.0),
    ]:
        log_pi = np.log(rng.dirichlet(np.ones(4), (30, 3)))
        mu, log_sigma = rng.normal(0, 2, (30, 3, 4)), rng.normal(-1, 0.4, (30, 3, 4))
        gumbel, eps = rng.gumbel(size=(30, 3, 4)), rng.standard_normal((30, 3))

        def draw(score, width, log_pi=log_pi, mu=mu, eps=eps):
            k = score.argmax(axis=-1)[..., None]
            return (
                np.take_along_axis(mu, k, -1)[..., 0]
                + np.take_along_axis(width, k, -1)[..., 0] * eps
            )

        sigma, score = np.exp(log_sigma), log_pi + tau * gumbel
        right = draw(score, sigma * np.sqrt(tau))
        shared = (
            log_pi.sum(axis=1, keepdims=True) + tau * gumbel.sum(axis=1, keepdims=True)
        ) + np.zeros_like(log_pi)
        slips = {
            "Widths grow with the square root of tau.": draw(score, sigma * tau),
            "The width has no temperature yet: multiply it by the root of tau.": draw(
                score, sigma
            ),
            "These are logarithms of the widths: take their exponential.": draw(
                score, log_sigma * np.sqrt(tau)
            ),
            "This is log sigma, not the log-variance of V: no half.": draw(
                score, np.exp(log_sigma / 2) * np.sqrt(tau)
            ),
            "The choice of the component has a temperature, too: multiply the Gumbel noise by tau.": draw(
                log_pi + gumbel, sigma * np.sqrt(tau)
            ),
            "A component is drawn: without its noise the heaviest always wins.": draw(
                log_pi, sigma * np.sqrt(tau)
            ),
            "One component is drawn, not the mean of all of them.": np.sum(
                np.exp(log_pi) * mu, -1
            )
            + np.sum(np.exp(log_pi) * sigma, -1) * np.sqrt(tau) * eps,
            "The root belongs to the width; the Gumbel noise is multiplied by tau itself.": draw(
                log_pi + np.sqrt(tau) * gumbel, sigma * np.sqrt(tau)
            ),
            "Gumbel noise belongs to logarithms of weights, not to weights.": draw(
                np.exp(log_pi) + tau * gumbel, sigma * np.sqrt(tau)
            ),
            "Each number of the code draws a component of its own.": draw(
                shared, sigma * np.sqrt(tau)
            ),
            "The middle of a hill does not move with the temperature.": draw(
                score, sigma * np.sqrt(tau)
            )
            + (tau - 1) * draw(score, 0 * sigma),
        }
        if tau:
            slips[
                "Hotter is wider: multiply the width by the root of tau, do not divide."
            ] = draw(score, sigma / np.sqrt(tau))
        call = (
            lambda log_pi=log_pi, mu=mu, log_sigma=log_sigma, tau=tau, gumbel=gumbel, eps=eps: (
                answer(
                    log_pi.copy(),
                    mu.copy(),
                    log_sigma.copy(),
                    tau,
                    gumbel.copy(),
                    eps.copy(),
                )
            )
        )
        yield Case(
            what,
            right,
            call,
            "Let tau multiply: then it may be 0. Choose by log_pi + tau gumbel, and draw under that hill.",
            slips,
        )


def exact_return(answer, rng):
    """Dreams that never end, end at once, leap too high, rise again, and end with the last step."""
    for what, n, T in [("seven dreams", 7, 9), ("many dreams", 40, 25)]:
        height, forward = (
            rng.uniform(1.1, 1.9, (n, T + 1)),
            rng.normal(0.3, 0.5, (n, T)),
        )
        action = rng.uniform(-0.4, 0.4, (n, T, 17))
        height[1, 1] = 0.8  # at once
        height[2, [3, 6]] = 0.9, 0.7  # falls, rises, falls
        height[3, 4] = 2.2  # a leap
        height[4, -1] = 0.9  # with the last step
        height[5, 5:] = 0.5
        height[7:] += rng.normal(0, 0.2, height[7:].shape)
        height[:, 0] = 1.4
        now, after = height[:, :-1], height[:, 1:]

        def total(
            up,
            pay=None,
            cost=None,
            weight=1.25,
            keep=None,
            forward=forward,
            action=action,
        ):
            cost = 0.1 * np.sum(action**2, -1) if cost is None else cost
            reward = 5 * (up if pay is None else pay) + weight * forward - cost
            gone = np.cumsum(~up, axis=1) - ~up > 0
            return np.where(gone if keep is None else ~keep, 0, reward)

        up = (after > 1) & (after < 2)
        right = total(up).sum(axis=1)
        slips = {
            "Behind the end of a dream there is nothing to be had.": total(
                up, keep=np.ones_like(up)
            ).sum(axis=1),
            "The step that ends a dream still moves, and still costs.": total(
                up, keep=np.cumsum(~up, 1) == 0
            ).sum(axis=1),
            "The step of the fall pays no bonus.": total(up, pay=np.ones_like(up)).sum(
                axis=1
            ),
            "Step t leads to height[t + 1]: an end is seen in the state after the step.": total(
                (now > 1) & (now < 2)
            ).sum(axis=1),
            "A torso above two metres ends an episode, too.": total(after > 1).sum(
                axis=1
            ),
            "The cost is a sum of squares, not of sizes.": total(
                up, cost=0.1 * np.abs(action).sum(-1)
            ).sum(axis=1),
            "Every motor costs: sum the squares over them.": total(
                up, cost=0.1 * np.mean(action**2, -1)
            ).sum(axis=1),
            "A cost is taken away.": total(up, cost=-0.1 * np.sum(action**2, -1)).sum(
                axis=1
            ),
            "Who falls and rises again in a dream is over all the same: mind the first end.": total(
                up, keep=up
            ).sum(axis=1),
            "A return is a sum over steps, not a mean.": total(up).mean(axis=1),
            "One return for each dream: sum over the steps alone.": total(up).sum(),
            "The speed is weighted with 1.25.": total(up, weight=1.0).sum(axis=1),
        }
        call = lambda height=height, forward=forward, action=action: answer(
            height.copy(), forward.copy(), action.copy()
        )
        yield Case(
            what,
            right,
            call,
            "Bonus where the state after is healthy, plus speed, less cost; up to the first end, and with it.",
            slips,
        )


def action_lag(answer, rng):
    """A recording in order, and one that holds beside each state the action that led to it, as the report's did."""
    for what, early, T in [
        ("a recording as it should be", 0, 150),
        ("a recording as the report's", 1, 200),
    ]:
        cause, z = rng.normal(0.6, 1, T + 1), np.zeros(T + 1)
        for t in range(T):
            z[t + 1] = 0.85 * z[t] - 0.5 * cause[t + 1] + 0.3 * rng.standard_normal()
        action = cause[1 - early : T + 1 - early]
        d = np.diff(z)
        lagged = [action[1 + k : T - 1 + k] for k in (-1, 0, 1)]

        def corr(x, lagged=lagged):
            return np.array([np.corrcoef(x, a)[0, 1] for a in lagged])

        mid = d[1:-1]
        right = corr(mid)
        slips = {
            "The order is -1, 0, 1.": right[::-1],
            "What an action explains is the change, not the code itself.": corr(
                z[1:-2]
            ),
            "What an action explains is the change, not the next code.": corr(z[2:-1]),
            "The change of step t is z[t + 1] less z[t], not z[t] less z[t - 1].": corr(
                d[:-2]
            ),
            "A correlation has no unit: divide the covariance by both deviations.": np.array(
                [np.mean((mid - mid.mean()) * (a - a.mean())) for a in lagged]
            ),
            "Take the means away first.": np.array(
                [mid @ a / np.sqrt((mid @ mid) * (a @ a)) for a in lagged]
            ),
            "That is the slope of a line; the correlation is asked for.": np.array(
                [np.polyfit(a, mid, 1)[0] for a in lagged]
            ),
            "That is the square: the sign is lost.": right**2,
            "Keep the sign.": np.abs(right),
            "One step at a time: that is the change over two.": corr(z[3:] - z[1:-2]),
        }
        call = lambda z=z, action=action: answer(z.copy(), action.copy())
        yield Case(
            what,
            right,
            call,
            "For each k, correlate z[t + 1] - z[t] with action[t + k], over t from 1 to T - 2.",
            slips,
        )


def mean_life(answer, rng):
    """Dreams with a constant chance to end, cut early and late."""
    for what, n, horizon in [("dreams cut early", 40, 30), ("dreams cut late", 61, 90)]:
        natural = rng.geometric(1 / rng.uniform(25, 60), n)
        natural[:2] = 3, 5 * horizon
        lengths, ended = np.minimum(natural, horizon), natural <= horizon
        steps, ends = lengths.sum(), ended.sum()
        slips = {
            "Dreams that were cut would have gone on: the plain mean is too short.": lengths.mean(),
            "Whoever leaves out the dreams that were cut keeps the short ones.": lengths[
                ended
            ].mean(),
            "That is the chance to end in a step; the life is one over it.": ends
            / steps,
            "A cut is not an end: divide by the ends.": steps / (~ended).sum(),
            "The step of the end is a step, too.": (steps - ends) / ends,
            "The mean is asked for, not the middle one.": np.median(lengths),
            "That is the longest, and it was cut.": lengths.max(),
            "A cut dream goes on, but we do not know that it lasts just as long again.": (
                steps + lengths[~ended].sum()
            )
            / n,
            "Steps over ends, with the steps of all dreams; weigh each dream by its steps.": n
            / np.sum(1 / lengths),
        }
        yield Case(
            what,
            steps / ends,
            lambda lengths=lengths, ended=ended: answer(lengths.copy(), ended.copy()),
            "All steps that were dreamed, over all ends that were seen.",
            slips,
        )


def why_it_woke(answer, rng):
    """Four explanations."""
    yield from choices(answer, {
        "cold": ("B", {
            "A": "The view at the edge pays the same at every temperature.",
            "C": "The place is found as fast; it is the dream that has no danger.",
            "D": "The edge is in the rules, and no temperature moves it.",
        }),
        "gap": ("C", {
            "A": "There may be a bug, but then strangers would show the gap as well, and they do not.",
            "B": "More episodes narrow the interval; they do not move what it is around.",
            "D": "Strangers dream as well as they wake, so this dream is not bright for all.",
        }),
        "cut": ("A", {
            "B": "The cut takes steps away; it adds none.",
            "C": "Not on the average either: every cut is in the same direction.",
            "D": "More dreams are cut at the same step: the number is surer, and as wrong.",
        }),
        "ending": ("D", {
            "A": "A weight makes the head surer, and it remains one that C can fool.",
            "B": "A cold head is fooled the same way each time.",
            "C": "A shorter dream hides the mistake, it does not mend it.",
        }),
    })  # fmt: skip
