"""The dream that walks: C is evolved wholly in the dreams of a structured ensemble, and goes on from round to round.

A round takes some real steps with C and noise around it, lets the model learn from all real steps so far, and evolves C in its dreams. No real
return is looked at to choose anything: not a candidate, not a round, not the length of a dream. After each round all that there is
lies in `OUT.run/`; the same command goes on from there, to the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.config import DreamConfig, TrainConfig, WalkConfig
from wmlib.control.controller import Controller, Linear
from wmlib.control.strategies import OpenAIES
from wmlib.dream import rounds
from wmlib.dream.dream import Dream
from wmlib.errors import InputError
from wmlib.models import training
from wmlib.models.model import Starts
from wmlib.models.structured import StructuredEnsemble
from wmlib.real import body as bodies
from wmlib.real.body import Array
from wmlib.real.episodes import Episodes
from wmlib.real.rollout import Episode, rollout
from wmlib.seeds import SELECTION_SEEDS, run_seeds

FIRST_PARAM_NOISE, FIRST_ACTION_NOISE = (0.02, 0.05, 0.1, 0.2, 0.5), (0.0, 0.2, 0.5, 1.0)
"""Spreads of an episode's weights, and of the noise on its actions, in the first round."""
OLD, OLDER = 0.2, 12
"""This share of a round's episodes is played by one of so many last Cs."""
SLOW = 0.8
"""In half of the episodes noise on actions is white; in the others this much of it stays from step to step."""
FEWEST, MOST = 8, 128
"""Episodes of a round."""
FLOOR = 0.15
"""A feature's scale stays above this share of its first one: a C that stands still would otherwise take its own trembling for news."""
SCALED, ASKED = 40_000, 4096
"""C's features are standardised with so many of the newest real states, of which at most so many are asked."""
RESETS, POOL, RECENT, AHEAD = 512, 4096, 20_000, 15
"""Half of the dreams begin at one of so many resets; half in one of so many real states, of the newest, from which the body did not fall for so many steps."""

_COMPILED: dict[WalkConfig, dict[str, Any]] = {}


class Explorer:
    """The policy of a round: each episode plays one of some Cs, with noise on weights and actions that is drawn from its seed."""

    def __init__(
        self,
        linear: Linear,
        params: Array,
        param_noise: Sequence[float],
        action_noise: Sequence[float],
    ) -> None:
        """Keeps them.

        Args:
            linear: the shape of the Cs.
            params: (M, n_params), oldest first.
            param_noise: spreads of an episode's weights, to draw from.
            action_noise: spreads of noise on its actions, to draw from, in halves of the action box.
        """
        self.linear, self.params = linear, params
        self.param_noise, self.action_noise = param_noise, action_noise

    def reset(self, seeds: NDArray[np.int64]) -> tuple[Any, ...]:
        """Of the episodes that begin: weights, how slow and how wide their noise is, random numbers, and the noise so far."""
        n = len(seeds)
        params, slow, wide = np.empty((n, self.linear.n_params)), np.empty((n, 1)), np.empty((n, 1))
        draws = np.empty(n, dtype=object)
        for row, seed in enumerate(seeds.tolist()):
            rng = draws[row] = np.random.default_rng([seed, 8])
            which = rng.integers(len(self.params)) if rng.random() < OLD else -1
            spread = rng.choice(self.param_noise)
            params[row] = self.params[which] + spread * rng.standard_normal(params.shape[1])
            wide[row], slow[row] = rng.choice(self.action_noise), rng.choice([0.0, SLOW])
        return params, slow, wide, draws, np.zeros((n, self.linear.body.a_dim))

    def __call__(self, obs: Array, state: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...]]:
        """Each row's action (N, a_dim)."""
        (params, slow, wide, draws, noise), body = state, self.linear.body
        action = self.linear.act(params, self.linear.select(obs)[:, None], obs[:, None])[:, 0]
        fresh = np.stack([rng.standard_normal(body.a_dim) for rng in draws])
        noise = slow * noise + np.sqrt(1 - slow**2) * wide * fresh
        action = np.clip(action + body.box[1] * noise, body.action_low, body.action_high)
        return action, (params, slow, wide, draws, noise)


@dataclass
class Walk(rounds.Gathered):
    """A walk under way, or done, after some rounds.

    Attributes:
        config: what to do.
        linear: the shape of C, with the scales of its features.
        strategy: its mean is C.
        model: what C last dreamed in.
        experience: the real episodes of each round.
        older: (M, n_params), the Cs of the last rounds, newest last, in the scales of `linear`.
        floor: (F,), the smallest scale of each feature.
        horizon: steps of the next dreams.
        log: one row a round: `round`, `real_steps` so far, `gathered` and `gathered_steps`: mean return and length of its real episodes (with noise), the losses,
            `dreamed` and `dreamed_length`: of the last population, from resets, `horizon`, `dreamed_steps` in all, and if C was checked `real`, `real_length`, `metres`.
    """

    config: WalkConfig
    linear: Linear
    strategy: OpenAIES
    model: StructuredEnsemble
    experience: list[Episodes]
    older: Array
    floor: Array
    horizon: int
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def compiled(self) -> dict[str, Any]:
        """What need not be compiled again in this process for the same settings."""
        return _COMPILED.setdefault(self.config, {})

    @property
    def controller(self) -> Controller:
        """C as it is now."""
        return Controller(self.linear, self.strategy.mean)


def _strategy(config: WalkConfig, params: Array) -> OpenAIES:
    settings = ("seed", "sigma", "popsize", "learning_rate", "weight_decay")
    return OpenAIES(params, **{name: getattr(config, name) for name in settings})


def begin(config: WalkConfig) -> Walk:
    """The first experience, a model with random weights, and C, which is zero: with joint targets a reflex that holds the pose.

    Raises:
        InputError: if a number or a name is not as it must be.
    """
    body = bodies.get(config.body)
    linear = Linear(body, "frame", hidden=config.hidden, targets=config.targets)
    params = np.zeros(linear.n_params)
    if config.hidden:  # hidden units that look somewhere, and lead nowhere yet
        W_c, b_c, U_c = linear.unpack(params)
        looks = np.random.default_rng([config.seed, 11]).standard_normal(W_c.shape)
        W_c = np.where(np.arange(len(W_c))[:, None] < body.a_dim, 0, looks) / W_c.shape[1] ** 0.5
        params = np.concatenate([W_c.ravel(), b_c, U_c.ravel()])
    # Half of the first episodes try actions; what they see scales the features for the others, which try weights.
    n = max(2, config.first_steps // 150)
    plain = Linear(body, "frame", targets=config.targets)
    actions = Explorer(plain, np.zeros((1, plain.n_params)), (0.0,), FIRST_ACTION_NOISE)
    first = rounds.gather(body, actions, config.seed, [], n, body.max_steps)
    seen = linear.select(first.physics)
    linear = linear.normalised(seen.mean(axis=0), seen.std(axis=0))
    weights = Explorer(linear, params[None], FIRST_PARAM_NOISE, FIRST_ACTION_NOISE[:2])
    others = rounds.gather(body, weights, config.seed, [first], n, body.max_steps)
    first = rounds.joined([first, others])
    floor = FLOOR * linear.select(first.physics).std(axis=0)
    model = StructuredEnsemble.create(first, config.model, seed=config.seed)
    return Walk(config, linear, _strategy(config, params), model, [first], params[None], floor, config.shortest)  # fmt: skip


def rescale(walk: Walk) -> None:
    """Standardises C's features again, by the newest real states. C itself, its older selves and Adam's moments stay what they were, in the new scales."""
    old, states = walk.linear, walk.data.physics[-SCALED:]
    seen = old.select(states[:: -(-len(states) // ASKED)])
    new = old.normalised(seen.mean(axis=0), np.maximum(seen.std(axis=0), walk.floor))
    wider, shift = new.std / old.std, (new.mean - old.mean) / old.std

    def moved(params: Array, power: float, shift: Array) -> Array:
        W_c, b_c, *rest = old.unpack(params)
        parts = W_c * wider**power, b_c + W_c @ shift, *rest
        return np.concatenate([part.reshape(*params.shape[:-1], -1) for part in parts], axis=-1)

    strategy = walk.strategy
    strategy.mean, walk.older = moved(strategy.mean, 1, shift), moved(walk.older, 1, shift)
    strategy.first = moved(strategy.first, -1, 0 * shift)
    strategy.second = moved(strategy.second, -2, 0 * shift)
    walk.linear = new


def learn(walk: Walk, updates: int, n_steps: int, rate: float, seed: int) -> dict[str, float]:
    """Some gradient steps on windows of n_steps real steps, half of them from the newest; returns the mean losses.

    Raises:
        InputError: if a loss was not finite.
    """
    config, model = walk.config, walk.model
    table, size = model.table(walk.data), config.batch_size * model.members
    rows = np.flatnonzero(table["left"] >= n_steps)
    recent = rows[np.searchsorted(rows, len(table["left"]) - config.recent) :]
    rng, count = np.random.default_rng([config.seed, 9, seed]), updates * size
    pick = np.where(
        rng.random(count) < 0.5,
        rows[rng.integers(len(rows), size=count)],
        recent[rng.integers(len(recent), size=count)],
    )
    how = TrainConfig(1, size, rate, rate * config.final_rate, seed=seed)
    step = walk.compiled.setdefault(f"learn {n_steps}", training.adam_step(model.loss, how))

    def windows(batch: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        return model.windows(table, batch["row"], n_steps)

    walk.model, trained = training.fit_model(
        model, {"row": pick}, how, make_batch=windows, say=None, step=step
    )
    if trained.stopped:
        raise InputError(trained.stopped)
    return {key: trained.log[-1][key] for key in ("nll", "pose", "own") if key in trained.log[-1]}


def evolve(walk: Walk) -> dict[str, float]:
    """Some generations in the model's dreams; the next dreams may be longer than these were."""
    config, made = walk.config, walk.compiled
    dreams = _dreams(walk, "dreams", config.longest)
    threads = made.setdefault("threads", ThreadPoolExecutor(config.threads))
    resets, later = _starts(walk)
    half, steps = -(-config.episodes // 2), 0
    for _ in range(config.generations):
        # Sums, because a seed is one number: a run has fewer than a million generations.
        seed = 1_000_000 * (config.seed + 1) + walk.strategy.generation
        rng = np.random.default_rng([seed, 5])
        at = rng.integers(len(resets), size=half), rng.integers(len(later), size=config.episodes - half)  # fmt: skip
        pairs = zip(resets.take(at[0]).state, later.take(at[1]).state, strict=True)
        starts = Starts(resets.of, tuple(np.concatenate(pair) for pair in pairs))
        run = functools.partial(dreams, starts=starts, seed=seed, horizon=walk.horizon)
        parts = np.array_split(walk.strategy.ask(), config.threads)
        dreamed = list(threads.map(run, parts))
        returns = np.concatenate([part.returns for part in dreamed])
        lengths = np.concatenate([part.lengths for part in dreamed])
        walk.strategy.tell(returns.mean(axis=1, dtype=np.float64))
        steps += int(lengths.sum())
    length, horizon = float(lengths[:, :half].mean()), walk.horizon
    walk.horizon = max(horizon, min(config.longest, int(config.grow * length)))
    return {"dreamed": float(returns[:, :half].mean()), "dreamed_length": length, "horizon": horizon, "dreamed_steps": steps}  # fmt: skip


def _dreams(walk: Walk, name: str, horizon: int) -> Dream:
    """Dreams in the walk's model as it is now, of its C; compiled once under that name."""
    if name not in walk.compiled:
        config = DreamConfig(tau=walk.config.tau, horizon=horizon)
        walk.compiled[name] = Dream(walk.model, walk.linear, config)
    made: Dream = walk.compiled[name]
    return made.renewed(walk.model, walk.linear)


def _starts(walk: Walk) -> tuple[Starts, Starts]:
    """Resets, and the newest real states that were not about to fall."""
    body, model, seed = walk.linear.body, walk.model, walk.config.seed
    rng, simulator = np.random.default_rng([seed, 12]), body.model
    drawn = [body.start(rng, simulator.qpos0, np.zeros(simulator.nv)) for _ in range(RESETS)]
    resets = np.stack([body.physics(qpos, qvel) for qpos, qvel in drawn])
    data = walk.data
    okay = np.flatnonzero(model.table(data)["left"] >= AHEAD)[-RECENT:]
    pick = np.random.default_rng([seed, 13, len(walk.log)]).choice(okay, min(POOL, len(okay)), replace=False)  # fmt: skip
    return Starts("", model.init(resets)), Starts("", model.init(data.physics[pick]))


def one_round(walk: Walk) -> dict[str, Any]:
    """One round: gather (the first one's experience is there already), learn, dream. Returns its row of the log."""
    config, number = walk.config, len(walk.log)
    if number:
        policy = Explorer(walk.linear, walk.older, config.param_noise, config.action_noise)
        body, past = walk.linear.body, walk.experience
        past.append(rounds.gather(body, policy, config.seed, past, *_room(walk)))
        walk.model = walk.model.measured(walk.data, seed=number, scales=number < config.scaled)
    if number:
        updates, own, rate = config.updates, config.own_updates, config.model_rate / 2
    else:
        updates, own, rate = config.first_updates, config.first_own_updates, config.model_rate
    losses = learn(walk, updates, 1, rate, 2 * number)
    if own:
        losses |= learn(walk, own, config.own_steps, config.model_rate / 2, 2 * number + 1)
    rescale(walk)
    dreamed = evolve(walk)
    if walk.log:
        dreamed["dreamed_steps"] += walk.log[-1]["dreamed_steps"]
    walk.older = np.vstack([*walk.older[: number and None], walk.strategy.mean])[-OLDER:]
    return {**walk.gathered(), **losses, **dreamed}


def _room(walk: Walk) -> tuple[int, int]:
    """Episodes of the next round, as many as the last ones' length gives its real steps; and the steps that each may have."""
    config, body = walk.config, walk.linear.body
    n = int(config.round_steps / walk.experience[-1].lengths.mean())
    n = min(MOST, max(FEWEST, n))
    return n, min(body.max_steps, max(1, (config.steps - walk.real_steps) // n))


def done(walk: Walk) -> bool:
    """Whether another round would not fit into the real steps that are left."""
    return bool(walk.log) and walk.config.steps - walk.real_steps < walk.config.round_steps


def check(walk: Walk, episodes: int) -> list[Episode]:
    """Plays C, without noise, in the same real episodes each time, on selection seeds: to be told, never to choose or to learn by."""
    seeds = run_seeds(SELECTION_SEEDS, walk.config.seed)[:episodes]
    return rollout(walk.linear.body, walk.controller, seeds, keep_obs=False)


def watch(made: Walk, episode: Episode) -> Array:
    """What C dreams from the first state of a real episode, for as many steps at most: physics (T+1, S)."""
    dreams = _dreams(made, "watch", made.linear.body.max_steps)
    first = made.linear.body.physics(episode.qpos[:1], episode.qvel[:1])
    track = dreams.watch(
        made.strategy.mean, Starts("", made.model.init(first)), 0, horizon=len(episode)
    )
    return np.asarray(track.obs[0, : track.lengths[0] + 1], np.float64)


def until_done(
    config: WalkConfig,
    *,
    folder: Path | None = None,
    say: Callable[[str], None] | None = print,
    each: Callable[[Walk, list[Episode]], None] | None = None,
) -> Walk:
    """Goes round until the real steps are spent.

    Args:
        config: what to do.
        folder: where to keep what there is after each round; a walk that is there already is gone on with, to the same bits.
        say: gets a line a round; None for silence.
        each: gets the walk and the real episodes of its check after each round.

    Raises:
        InputError: if a number or a name is wrong, or the folder holds another walk.
    """
    made = (resume(folder, config) if folder is not None else None) or begin(config)
    clock = storage.Clock(made.log[-1] if made.log else None)
    while not done(made):
        row = one_round(made)
        row |= clock.read()
        played = check(made, config.check_episodes)
        if played:
            row["real"] = float(np.mean([episode.episode_return for episode in played]))
            row["real_length"] = float(np.mean([len(episode) for episode in played]))
            row["metres"] = float(np.mean([e.qpos[-1, 0] - e.qpos[0, 0] for e in played]))
        made.log.append(row)
        if folder is not None:
            keep(folder, made)
        if say is not None:
            say(line(row, config.steps))
        if each is not None:
            each(made, played)
        clock = storage.Clock(row)  # a check is not part of the work
    return made


def line(row: Mapping[str, Any], steps: int) -> str:
    """A row of the log as a line."""
    real = f"  awake: {row['real']:6.0f} in {row['real_length']:4.0f} steps, {row['metres']:.1f} m" if "real" in row else ""  # fmt: skip
    return (
        f"round {row['round']:2}  {row['real_steps']:7,} of {steps:,} real steps, {row['dreamed_steps']:.1e} dreamed, {row['seconds']:.0f} s  "
        f"dreamed: {row['dreamed']:6.0f} in {row['dreamed_length']:3.0f} of {row['horizon']} steps{real}"
    )


def keep(folder: Path, made: Walk) -> None:
    """Writes what there is after a round."""
    c = {"mean": made.linear.mean, "std": made.linear.std, "older": made.older, "floor": made.floor}
    state = {f"strategy.{name}": part for name, part in made.strategy.state().items()}
    files = {"c": storage.to_bytes({**c, **state}), **made.model.files()}
    about = {"walk": made.config.about(), "horizon": made.horizon, "log": made.log}
    rounds.write(folder, len(made.log), made.experience[-1], files, about)


def resume(folder: Path, config: WalkConfig) -> Walk | None:
    """The walk that a folder holds, if any.

    Raises:
        InputError: if it is damaged, or another one.
    """
    body = bodies.get(config.body)
    if (there := rounds.read(folder, body, "walk", config.about())) is None:
        return None
    about, experience, read = there
    c = storage.from_bytes(*read("c"))
    shape = Linear(body, "frame", hidden=config.hidden, targets=config.targets)
    strategy = _strategy(config, np.zeros(shape.n_params))
    strategy.restore({key.removeprefix("strategy."): part for key, part in c.items()})
    model = StructuredEnsemble.from_files(body, read)
    linear = shape.normalised(c["mean"], c["std"])
    return Walk(config, linear, strategy, model, experience, c["older"], c["floor"], about["horizon"], about["log"])  # fmt: skip


def train(
    config: WalkConfig,
    out: str | Path,
    *,
    command: str = "",
    say: Callable[[str], None] = print,
    each: Callable[[Walk, list[Episode]], None] | None = None,
) -> Controller:
    """Walks in `OUT.run/`, resuming what is there; then writes the model to `OUT-model` and C to `out`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    beside = storage.place(out, "-model")
    with storage.run_folder(out) as folder:
        if not (folder / rounds.CHECKPOINT).exists():
            storage.refuse_taken(beside)
        made = until_done(config, folder=folder, say=say, each=each)
        controller, spent = made.controller, {name: made.log[-1][name] for name in storage.SPENT}
        facts: dict[str, Any] = {"seed": config.seed, "real_steps": made.real_steps, "budget": config.steps, "command": command}  # fmt: skip
        if not beside.exists():
            made.model.save(beside, **spent, **facts)
        controller.save(
            out, **spent, log=made.log, **facts, dreamed=made.log[-1]["dreamed"], dreamed_steps=made.log[-1]["dreamed_steps"],
            search={"strategy": "structured walk", **config.about()},
        )  # fmt: skip
    return controller
