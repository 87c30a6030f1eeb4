"""How good is a policy, honestly? Real episodes on held-out seeds, and tables over training runs.

Three rules. Episodes that a policy was trained on or chosen by are never reported: seeds come from three disjoint ranges
(`scales`). The unit of an interval is the *run* (fresh data, fresh training): episodes are averaged first, because a
thousand episodes of one lucky controller are still one controller. And a table always has its baselines. Built in chapter 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wmlib import config
from wmlib.errors import InputError
from wmlib.real.body import Array, Body, Bools
from wmlib.real.policies import POLICIES, Policy
from wmlib.real.rollout import rollout
from wmlib.seeds import SEEDS_PER_RUN, SELECTION_SEEDS, TEST_SEEDS, run_seeds
from wmlib.statistics import Runs, aligned, html_table

SPLITS = {"selection": SELECTION_SEEDS, "test": TEST_SEEDS}
BASELINES = ("random", "zero", "hold")
BASELINE_RUNS = 5
_opened: dict[tuple[str, str, int], Score] = {}


@dataclass(frozen=True, eq=False)
class Score:
    """One policy of one run on E real episodes.

    Attributes:
        name: what the policy is called in tables.
        run: seed of the run that made the policy.
        returns: (E,); the return of each episode.
        lengths: (E,); the steps of each episode: how long the body survived.
        fell: (E,); whether the body ended the episode, rather than the limit of steps.
        terms: name of each reward term -> (E,); its sum over each episode.
        body: that was moved, if it is told.
    """

    name: str
    run: int
    returns: Array
    lengths: Array
    fell: Bools
    terms: dict[str, Array]
    body: str = ""

    @property
    def real_steps(self) -> int:
        """Real steps that this evaluation took."""
        return int(self.lengths.sum())


def evaluate_policy(
    body: Body,
    policy: Policy,
    *,
    name: str,
    run: int = 0,
    split: str = "selection",
    episodes: int | None = None,
) -> Score:
    """Plays real episodes on held-out seeds and adds them up.

    Compare and choose with `split="selection"`. When a controller is done, report it with `split="test"`: these seeds are
    opened once for each name and run. Asking again with the same policy gives the same answer; with another one it is refused,
    for whoever tries ten controllers on the test seeds and reports one has selected on them.

    Args:
        body: the body.
        policy: see `wmlib.real.policies`.
        name: what the policy is called in tables.
        run: the run's seed; another run is evaluated on other episodes.
        split: `selection` or `test`.
        episodes: how many; those of the scale by default.

    Raises:
        InputError: if a size or a name is wrong, or test seeds are opened again with another policy.
    """
    episodes = config.scale().eval_episodes if episodes is None else episodes
    if split not in SPLITS:
        raise InputError(
            f"There is no split '{split}' to evaluate on; there are: {', '.join(SPLITS)}."
        )
    if not 1 <= episodes <= SEEDS_PER_RUN:
        raise InputError(f"{episodes} episodes were asked for; expected 1 to {SEEDS_PER_RUN:,}.")
    seeds = run_seeds(SPLITS[split], run)[:episodes]
    played = rollout(body, policy, seeds, keep_obs=False)
    made = Score(
        name, run,
        returns=np.array([episode.episode_return for episode in played]),
        lengths=np.array([len(episode) for episode in played], dtype=np.float64),
        fell=np.array([episode.terminated for episode in played]),
        terms={term: np.array([episode.terms[term].sum() for episode in played if episode.terms]) for term in played[0].terms or ()},
        body=body.name,
    )  # fmt: skip
    if split == "test":
        first = _opened.setdefault((body.name, name, run), made)
        n = min(episodes, len(first.returns))
        if not np.array_equal(first.returns[:n], made.returns[:n]):
            raise InputError(
                f"The test seeds of '{name}', run {run}, were opened already with another policy. Choose with split='selection', and report once."
            )
    return made


def baselines(
    body: Body, *, runs: int = BASELINE_RUNS, split: str = "selection", episodes: int | None = None
) -> list[Score]:
    """The policies that belong in every table: random actions, zero action, and the held pose; each on several runs' seeds."""
    return [
        evaluate_policy(
            body, POLICIES[name](body), name=name, run=run, split=split, episodes=episodes
        )
        for name in BASELINES
        for run in range(runs)
    ]


@dataclass(frozen=True)
class Row:
    """One line of a scorecard."""

    name: str
    runs: int
    episodes: int
    episode_return: Runs
    steps: Runs
    reward_per_step: float
    terms: dict[str, float]


@dataclass(frozen=True)
class Scorecard:
    """The table that every chapter uses: return and survival first, reward per step last."""

    rows: tuple[Row, ...]

    def __getitem__(self, name: str) -> Row:
        """The row of that name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise InputError(
            f"There is no '{name}' in this scorecard; there are: {', '.join(row.name for row in self.rows)}."
        )

    def _cells(self) -> list[list[str]]:
        terms = list(dict.fromkeys(term for row in self.rows for term in row.terms))
        head = ["policy", "runs", "return", "steps", *terms, "per step"]
        return [head] + [
            [row.name, f"{row.runs} x {row.episodes}", str(row.episode_return), str(row.steps),
             *(f"{row.terms[term]:.1f}" if term in row.terms else "-" for term in terms), f"{row.reward_per_step:.2f}"]
            for row in self.rows
        ]  # fmt: skip

    def __str__(self) -> str:
        """The table as text."""
        return aligned(self._cells())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table for notebooks and pages."""
        caption = "Mean of the runs, with its 95% interval, or each of them if they are fewer than five; terms are mean sums over an episode"
        return html_table(self._cells(), caption)


def scorecard(scores: Iterable[Score]) -> Scorecard:
    """Sums scores up, one row a name, in the order in which names appear. Episodes are averaged within a run first.

    Raises:
        InputError: if there are none, they are of several bodies, one is not finite, or one name has the same run twice.
    """
    grouped: dict[str, list[Score]] = {}
    scores = list(scores)
    if len(bodies := sorted({one.body for one in scores})) > 1:
        raise InputError(
            f"A scorecard of {', '.join(bodies)} was asked for; expected one body: their returns cannot be compared."
        )
    for one in scores:
        if not np.isfinite(one.returns).all():
            raise InputError(
                f"A return of '{one.name}', run {one.run}, is not finite. Leave that run out by name, and say so."
            )
        grouped.setdefault(one.name, []).append(one)
    if not grouped:
        raise InputError("A scorecard needs at least one score.")
    rows = []
    for name, of_runs in grouped.items():
        if len({one.run for one in of_runs}) < len(of_runs):
            raise InputError(
                f"'{name}' has the same run twice in this scorecard; the unit of an interval is the run, so each counts once."
            )
        returns = [float(one.returns.mean()) for one in of_runs]
        steps = [float(one.lengths.mean()) for one in of_runs]
        rows.append(
            Row(
                name,
                len(of_runs),
                min(len(one.returns) for one in of_runs),
                episode_return=Runs.of(returns),
                steps=Runs.of(steps),
                reward_per_step=float(
                    sum(one.returns.sum() for one in of_runs)
                    / sum(one.real_steps for one in of_runs)
                ),
                terms={
                    term: float(np.mean([one.terms[term].mean() for one in of_runs]))
                    for term in of_runs[0].terms
                },
            )
        )
    return Scorecard(tuple(rows))


def survival(lengths: Array, steps: int) -> Array:
    """Share of episodes still going after each of 0 to `steps` steps, (steps + 1,)."""
    return np.asarray([(np.asarray(lengths) > step).mean() for step in range(steps + 1)])
