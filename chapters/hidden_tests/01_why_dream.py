"""What marks the graded exercises of chapter 1. The numbers come from the course's seed, so that this page tells none."""

import numpy as np

import wmlib as wm
from wmlib.classroom.marking import Case


def fall_chance(answer, rng):
    """Two players, drawn."""
    for cost, wanted in zip(rng.uniform(0, 4, 2), rng.uniform(20, 500, 2), strict=True):
        slips = {
            "That leaves out the cost: a step pays 5 - c.": 5 / wanted,
            "That is the expected number of steps: p is one over it.": wanted
            / (5 - cost),
            "The cost lowers what a step pays: 5 - c.": (5 + cost) / wanted,
        }
        call = lambda cost=cost, wanted=wanted: answer(cost, wanted)
        yield Case(
            f"cost {cost:.3f}, mean return {wanted:.2f}",
            (5 - cost) / wanted,
            call,
            "Solve the middle of eq. 1.1 for p.",
            slips,
        )


def alive_share(answer, rng):
    """An episode that ends in a fall, and one that is cut off while the body still stands."""
    body = wm.body.get("humanoid")
    policy = wm.policies.RandomActions(body)
    for what, max_steps in [
        ("an episode that ends in a fall", 1000),
        ("an episode cut off before the fall", int(rng.integers(5, 15))),
    ]:
        episode = wm.rollout(
            body, policy, [int(rng.integers(1_000_000))], max_steps=max_steps
        )[0]
        alive = episode.terms["alive"]
        share = alive.sum() / episode.episode_return
        slips = {
            "That is the sum of the term: divide it by the return.": alive.sum(),
            "That is the term's mean over the steps: divide the sum by the whole return, not by the number of steps.": alive.mean(),
            "That is the return divided by the alive term: the other way round.": 1
            / share,
            "That is the mean of each step's share: sum both over the steps first, then divide.": np.mean(
                alive / episode.reward
            ),
            "At a fall the last step pays no bonus: sum the term itself.": 5
            * len(episode)
            / episode.episode_return,
        }
        yield Case(
            what,
            share,
            lambda episode=episode: answer(episode),
            "Sum both over the steps, then divide.",
            slips,
        )
