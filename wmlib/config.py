"""Every size and every knob: one dataclass a stage, a sentence a field; and the sizes of a run at each scale.

Every chapter and every command reads its sizes here, so that one notebook serves the test (`smoke`), the class
(`small`) and the long run (`large`). The scale is chosen by the environment variable `WM_SCALE`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from wmlib.errors import LARGEST, InputError, whole
from wmlib.seeds import TRAINING_SEEDS, run_seeds
from wmlib.storage import dumps, loads

MODELS = ("ensemble", "world")
"""What a loop of dreaming and acting can learn."""


LEAST = {
    **dict.fromkeys(
        "seed epochs latest check_episodes own_steps first_own_updates own_updates scaled".split(),
        0,
    ),
    "WalkConfig.hidden": 0,
    "WalkConfig.own_steps": 1,
    "WalkConfig.episodes": 2,
    "StudyConfig.recent": 0,
}
"""The least that a whole number may be, where that is not 1."""
ABOVE_0 = "learning_rate model_rate clip_norm clip sigma grow max_disagreement".split()
"""Numbers that may not be 0; none may be negative."""


def checked(config: Any) -> None:
    """Looks at every number of a configuration: finite, and not below what it may be. NaN is neither.

    Raises:
        InputError: at the first one that is not as it must be.
    """
    kind = type(config).__name__
    for item in dataclasses.fields(config):
        value, of = getattr(config, item.name), str(item.type)
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            if "int" in of:
                least = LEAST.get(f"{kind}.{item.name}", LEAST.get(item.name, 1))
                whole(one, f"{kind}: {item.name}", least, LARGEST if kind in SIZES else math.inf)
            elif "float" in of:
                fine = isinstance(one, int | float | np.number) and not isinstance(one, bool)
                above = item.name in ABOVE_0
                endless = item.name == "max_disagreement"
                if (
                    not fine
                    or not (one > 0 if above else one >= 0)
                    or (one == math.inf and not endless)
                ):
                    raise InputError(
                        f"{kind}: {item.name} {one} was given; expected a finite number {'above' if above else 'of at least'} 0."
                    )


class Checked:
    """A configuration that cannot be made with a number that is not as it must be."""

    def __post_init__(self) -> None:
        """Raises InputError at the first such number, alone or beside another."""
        checked(self)
        self.related()

    def related(self) -> None:
        """Raises InputError where numbers or names do not belong together."""

    def about(self) -> dict[str, Any]:
        """As plain values; the number that may be infinite is None."""
        return dict(loads(dumps(dataclasses.asdict(self))))  # type: ignore[call-overload]


SIZES = ("VAEConfig", "MDNRNNConfig", "EnsembleConfig", "StructuredConfig")
"""Configurations of models."""
Size = TypeVar("Size")


@dataclass(frozen=True)
class Scale:
    """The sizes of one scale.

    Attributes:
        name: `smoke`, `small` or `large`.
        real_steps: environment steps that gathering may take.
        eval_episodes: real episodes behind the mean of one run.
    """

    name: str
    real_steps: int
    eval_episodes: int

    def cut(self, size: Size) -> Size:
        """The size itself; at `smoke` a smaller one, so that a chapter names only the sizes of the class.

        Args:
            size: a whole number, of which a tenth is left, at least 2; or a configuration, each of whose numbers is held at or below the one in `SMOKE`.
        """
        if self.name != "smoke":
            return size
        if isinstance(size, int):
            return max(min(size, 2), size // 10)  # type: ignore[return-value]
        given: dict[str, Any] = vars(size)
        most = SMOKE.get(type(size).__name__, {})
        less: dict[str, Any] = {
            name: min(value, most[name])
            if name in most
            else self.cut(value)
            if dataclasses.is_dataclass(value)
            else value
            for name, value in given.items()
        }
        if "popsize" in less.get("settings", ()):
            popsize = min(less["settings"]["popsize"], SMOKE["settings"]["popsize"])
            less["settings"] = {**less["settings"], "popsize": popsize}
        return type(size)(**less)


SMOKE: dict[str, dict[str, int]] = {
    "EnsembleConfig": {"members": 2, "hidden": 32},
    "TrainConfig": {"epochs": 2},
    "DreamConfig": {"horizon": 60},
    "EvolveConfig": {"generations": 2, "episodes": 3},
    "SearchConfig": {"check_every": 2, "check_episodes": 2},
    "StudyConfig": {"first": 30, "updates": 10},
    "LoopConfig": {"size": 32, "steps": 600, "first": 300, "episodes": 5},
    "WalkConfig": {
        "steps": 700,
        "first_steps": 300,
        "round_steps": 300,
        "batch_size": 32,
        "first_updates": 10,
        "updates": 5,
        "popsize": 8,
        "episodes": 2,
        "generations": 2,
        "shortest": 20,
        "longest": 30,
        "check_episodes": 2,
    },
    "StructuredConfig": {"members": 2, "hidden": 16, "layers": 2},
    "settings": {"popsize": 8},
}
"""What is left of a configuration's numbers at `smoke`, at most."""


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", real_steps=400, eval_episodes=8),
        Scale("small", real_steps=10_000, eval_episodes=100),
        Scale("large", real_steps=250_000, eval_episodes=1_000),
    )
}


def scale() -> Scale:
    """The scale named by `WM_SCALE`, or `small`.

    Raises:
        InputError: if `WM_SCALE` names no scale.
    """
    name = os.environ.get("WM_SCALE") or "small"
    if name not in SCALES:
        near = difflib.get_close_matches(name, SCALES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(f"WM_SCALE is '{name}'; expected one of {', '.join(SCALES)}.{hint}")
    return SCALES[name]


@dataclass(frozen=True)
class VAEConfig(Checked):
    """Sizes and weights of a VAE.

    Attributes:
        view: `physics` or `full`.
        z_dim: numbers in a code.
        hidden: widths of the encoder's layers; the decoder has them the other way round.
        beta: weight of the KL term. The reconstruction is in squared standard deviations, so 1 would allow errors of about 1.
        kl_floor: free bits: nats of KL a dimension that cost nothing.
        clip: standardised inputs are held within +- this.
    """

    view: str = "physics"
    z_dim: int = 32
    hidden: tuple[int, ...] = (256, 256)
    beta: float = 0.003
    kl_floor: float = 0.0
    clip: float = 10.0


@dataclass(frozen=True)
class MDNRNNConfig(Checked):
    """Sizes and options of an M.

    Attributes:
        h_dim: numbers in h, and in c.
        n_mix: components K of the mixture.
        joint: one mixture over the whole code, rather than one for each of its numbers.
        predict_change: whether the mixture is over z[t+1] - z[t] (then z[t] is added to its means) or over z[t+1] itself.
        reward: what M learns of the reward: `rest`, what the body's rules leave open (`Body.known_reward`), or `whole`, known or not.
        reward_weight: weight of the reward's squared error in the loss.
        done_weight: weight of the done head's cross-entropy in the loss.
        own: what M feeds itself with in its own rollouts: `mean` or `sample` of its mixture.
        own_weight: weight in the loss of the error along them.
    """

    h_dim: int = 256
    n_mix: int = 5
    joint: bool = False
    predict_change: bool = True
    reward: str = "rest"
    reward_weight: float = 1.0
    done_weight: float = 1.0
    own: str = "mean"
    own_weight: float = 1.0


@dataclass(frozen=True)
class EnsembleConfig(Checked):
    """Sizes of an ensemble.

    Attributes:
        members: how many networks.
        hidden: width of their two hidden layers; the second adds to the first.
    """

    members: int = 5
    hidden: int = 256


@dataclass(frozen=True)
class StructuredConfig(Checked):
    """Sizes of a structured ensemble.

    Attributes:
        members: how many networks.
        hidden: width of their layers.
        layers: how many; from the second on each adds to what it gets.
    """

    members: int = 3
    hidden: int = 160
    layers: int = 3


@dataclass(frozen=True)
class TrainConfig(Checked):
    """How to train.

    Attributes:
        epochs: passes over the data.
        batch_size: rows in a batch; all rows, if there are fewer. A last, smaller batch is left out.
        learning_rate: of Adam, at the start.
        final_learning_rate: at the end; in between it follows half a cosine.
        clip_norm: gradients longer than this are shortened to it.
        seed: of the order of the data, and of the noise.
        jit: whether to compile through XLA: slower to start, faster to run.
    """

    epochs: int = 10
    batch_size: int = 512
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    clip_norm: float = 10.0
    seed: int = 0
    jit: bool = True


@dataclass(frozen=True)
class SearchConfig(Checked):
    """A search on the real body.

    Attributes:
        body: name of the body.
        features: what C sees: `physics` or `obs`.
        strategy: a name in `strategies.STRATEGIES`.
        settings: of the strategy.
        steps: real steps that it may take, checks included.
        budgets: at these numbers of real steps, too, C is kept as it would be reported then.
        seed: of the run; another seed shares no episode.
        episodes: that each candidate plays in a generation.
        healthy_weight: weight of the alive bonus in the fitness.
        max_steps: longest training episode; the body's own limit by default.
        normalise: whether features are standardised with what training has shown.
        check_every: generations from one check of the mean on selection seeds to the next.
        check_episodes: of a check; 0 for no checks: then the newest mean is C.
    """

    body: str = "humanoid"
    features: str = "physics"
    strategy: str = "openai-es"
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 50_000
    budgets: tuple[int, ...] = ()
    seed: int = 0
    episodes: int = 1
    healthy_weight: float = 1.0
    max_steps: int | None = None
    normalise: bool = True
    check_every: int = 10
    check_episodes: int = 24

    def about(self) -> dict[str, Any]:
        """As plain values, with all budgets."""
        return {**super().about(), "budgets": self.all_budgets}

    @property
    def all_budgets(self) -> list[int]:
        """The budgets, the last of which is `steps`."""
        return sorted({*self.budgets, self.steps})

    def related(self) -> None:
        """Raises InputError for a seed that no run has, or a budget past the last step."""
        run_seeds(TRAINING_SEEDS, self.seed)
        if self.all_budgets[-1] > self.steps:
            raise InputError(
                f"{self.steps} real steps and budgets of {list(self.budgets)} were asked for; expected no budget past the last step."
            )


@dataclass(frozen=True)
class DreamConfig(Checked):
    """How to dream.

    Attributes:
        tau: temperature of the model's samples; 0 is its likeliest answer.
        horizon: steps after which a dream ends, if nothing else has ended it.
        learned_heads: reward and end by M's heads; if false, fall, alive bonus and control cost are computed by the body's own rules, on the decoded state.
        disagreement_penalty: reward lost in each step for each unit of the members' disagreement (ensembles only).
        max_disagreement: disagreement at which a dream ends, where the ensemble knows too little to go on (ensembles only).
    """

    tau: float = 1.0
    horizon: int = 100
    learned_heads: bool = False
    disagreement_penalty: float = 0.0
    max_disagreement: float = float("inf")


@dataclass(frozen=True)
class EvolveConfig(Checked):
    """How C is evolved in a dream.

    Attributes:
        dream: how to dream.
        strategy: a name in `strategies.STRATEGIES`.
        settings: of the strategy.
        generations: how many.
        episodes: that each candidate dreams in a generation.
        latest: dreams begin at step 0 to `latest` of real episodes.
        seed: of strategy, starts and noise.
        searches: searches with seeds of their own, of which C is the mean: it averages the luck of a search; the model's mistakes are the same for all.
    """

    dream: DreamConfig = field(default_factory=DreamConfig)
    strategy: str = "openai-es"
    settings: Mapping[str, Any] = field(default_factory=dict)
    generations: int = 100
    episodes: int = 10
    latest: int = 0
    seed: int = 0
    searches: int = 1


@dataclass(frozen=True)
class StudyConfig(Checked):
    """How a model learns in a round of the loop: half of each batch is from the newest steps, the other half from all.

    Attributes:
        first: gradient steps of the first round (V and M make as many each).
        updates: of every other.
        batch_size: real steps in a batch.
        learning_rate: at the start of the first round; half of it in the others; it falls to a tenth in each.
        own_steps: length of M's own rollouts; 0 trains M on true codes only.
        recent: how many steps are the newest; 0 for those of the newest round.
        reward: what M learns of the reward: `rest`, or `whole`.
    """

    first: int = 3_000
    updates: int = 600
    batch_size: int = 256
    learning_rate: float = 1e-3
    own_steps: int = 0
    recent: int = 0
    reward: str = "rest"


@dataclass(frozen=True)
class LoopConfig(Checked):
    """What to do.

    Attributes:
        body: name of the body.
        model: `ensemble`, or `world` (V and M).
        features: what C looks at: `physics`, or in a world also `z` or `zh`.
        size: width of the ensemble's layers, or M's h_dim.
        steps: real steps that may be taken, at most.
        first: real steps of the first round, at most.
        policy: who acts in it.
        episodes: real episodes of every other round.
        param_noise: spread of an episode's weights around C's.
        action_noise: spread of noise on actions, in halves of the action box.
        study: how the model learns in a round.
        evolve: how C is evolved in a round; its horizon is the shortest, its seed is not used.
        fresh: whether C begins at zero again in every round, its features standardised again, or goes on from the last one.
        seed: of the run; another seed shares no episode.
    """

    body: str = "humanoid"
    model: str = "ensemble"
    features: str = "physics"
    size: int = 256
    steps: int = 30_000
    first: int = 4_000
    policy: str = "mixed"
    episodes: int = 64
    param_noise: float = 0.02
    action_noise: float = 0.2
    study: StudyConfig = field(default_factory=StudyConfig)
    evolve: EvolveConfig = field(
        default_factory=lambda: EvolveConfig(
            DreamConfig(tau=0.8), settings={"weight_decay": 0.001}, generations=60
        )
    )
    fresh: bool = False
    seed: int = 0

    def related(self) -> None:
        """Raises InputError for a seed or a model that there is not, or more first steps than all."""
        run_seeds(TRAINING_SEEDS, self.seed)
        if self.model not in MODELS:
            raise InputError(f"There is no model '{self.model}'; there are: {', '.join(MODELS)}.")
        if self.first > self.steps:
            raise InputError(
                f"{self.first} first of {self.steps} real steps were asked for; expected the first steps within all."
            )


@dataclass(frozen=True)
class WalkConfig(Checked):
    """How a walk is dreamed up.

    Attributes:
        body: name of the body.
        hidden: tanh units of C; 0 for a linear C.
        targets: whether C moves the targets of its joints, or pushes them itself.
        steps: real steps that may be taken.
        first_steps: real steps of the first round, at least.
        round_steps: real steps of every other round, at least.
        model: sizes of the model.
        batch_size: windows in a batch, for each member.
        model_rate: learning rate of the first updates; half of it in the others.
        final_rate: share of it that is left at the end of a round.
        first_updates: gradient steps of the first round on single steps.
        first_own_updates: and on the model's own rollouts.
        updates: gradient steps of every other round on single steps.
        own_updates: and on the model's own rollouts.
        own_steps: length of those rollouts.
        recent: half of each batch is from this many newest steps.
        popsize: candidates of a generation.
        episodes: dreams of each candidate; the first half begins at a reset.
        generations: of a round.
        sigma: spread of a candidate's weights.
        learning_rate: of the strategy.
        weight_decay: of the strategy.
        tau: temperature of the dreams.
        shortest: steps of the first dreams.
        longest: steps of the longest dreams.
        grow: dreams may last so many times as long as the last ones did.
        param_noise: spreads of an episode's weights to draw from, in a real episode.
        action_noise: spreads of noise on actions to draw from, in halves of the action box.
        scaled: rounds in which the model's scales are measured again.
        threads: parts of a population that dream side by side.
        check_episodes: fresh real episodes of C after each round, to be told and never to choose by.
        seed: of the run; another seed shares no episode.
    """

    body: str = "humanoid"
    hidden: int = 0
    targets: bool = True
    steps: int = 100_000
    first_steps: int = 6_000
    round_steps: int = 4_000
    model: StructuredConfig = field(default_factory=StructuredConfig)
    batch_size: int = 256
    model_rate: float = 1e-3
    final_rate: float = 0.05
    first_updates: int = 6_000
    first_own_updates: int = 600
    updates: int = 800
    own_updates: int = 200
    own_steps: int = 6
    recent: int = 24_000
    popsize: int = 256
    episodes: int = 6
    generations: int = 20
    sigma: float = 0.02
    learning_rate: float = 0.01
    weight_decay: float = 0.0025
    tau: float = 0.3
    shortest: int = 100
    longest: int = 500
    grow: float = 1.7
    param_noise: tuple[float, ...] = (0.0, 0.02)
    action_noise: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    scaled: int = 3
    threads: int = 2
    check_episodes: int = 16
    seed: int = 0

    def related(self) -> None:
        """Raises InputError for a seed that no run has, no noise to draw from, or lengths that do not fit into each other."""
        run_seeds(TRAINING_SEEDS, self.seed)
        if self.first_steps > self.steps or self.longest < self.shortest:
            raise InputError(
                f"{self.first_steps} first of {self.steps} real steps and dreams of {self.shortest} to {self.longest} steps were asked for; expected the first steps within all, and the longest dream no shorter than the first."
            )
        if not (self.param_noise and self.action_noise):
            raise InputError(
                f"Noise {self.param_noise} on weights and {self.action_noise} on actions was asked for; expected some to draw from, which may be 0."
            )
