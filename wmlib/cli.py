"""The stages on the command line, for long runs: `wmlib gather ...`. They call what the chapters call.

Exit codes: 0 done, 1 could not be done here (disk, memory, workers), 2 wrong input, 130 interrupted. A foreseeable mistake gets
one line on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from wmlib import config, ppo, results, whole
from wmlib.classroom import grading
from wmlib.config import (
    DreamConfig,
    EnsembleConfig,
    EvolveConfig,
    LoopConfig,
    MDNRNNConfig,
    SearchConfig,
    StructuredConfig,
    StudyConfig,
    TrainConfig,
    VAEConfig,
    WalkConfig,
)
from wmlib.control import evolve, strategies
from wmlib.control.controller import REAL, Controller
from wmlib.errors import InputError
from wmlib.errors import whole as whole_number
from wmlib.loading import load
from wmlib.real import body as bodies
from wmlib.real import episodes, evaluate, rollout, workers
from wmlib.real.body import Body
from wmlib.real.policies import POLICIES, Policy
from wmlib.real.rollout import Episode
from wmlib.show import videos
from wmlib.storage import place, versions

Kind = TypeVar("Kind")
SETTINGS: dict[str, Callable[[str], Any]] = {
    "popsize": int,
    "sigma": float,
    "learning_rate": float,
    "weight_decay": float,
    "elite_rate": float,
}
"""Of the strategies, that the command line can set."""
KINDS = {
    "int": int,
    "float": float,
    "str": str,
    "int | None": int,
    "tuple[int, ...]": int,
    "tuple[float, ...]": float,
}
"""Type of a knob, as its dataclass writes it -> what reads it."""


RECIPE = "epochs batch_size learning_rate seed"
RESUMES = "Stopped, the same command goes on where it was."


def _sentences(kind: type) -> dict[str, str]:
    """Field -> what the docstring of its dataclass says of it."""
    text = re.sub(r"\n {12,}", " ", inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    return dict(re.findall(r"^    (\w+): (.*?)\.?$", text, re.M))


def _knobs(
    command: argparse.ArgumentParser, kind: type, names: str, *, off: str = "", **defaults: Any
) -> None:
    """An option for each named field of a dataclass: its type, default and sentence are those of the dataclass.

    Args:
        command: gets the options.
        kind: the dataclass.
        names: of the fields, in order; `field=option` where the option is called otherwise, `field=option/older` where it once was.
        off: `field=option` of a field that is true, and that the option makes false.
        defaults: that the command has instead of the dataclass.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    sentences = _sentences(kind)
    for word in f"{names} {off}".split():
        name, _, option = word.partition("=")
        field, flags = (
            fields[name],
            [f"--{flag.replace('_', '-')}" for flag in (option or name).split("/")],
        )
        dest, said = f"{kind.__name__}.{name}", sentences[name].replace("%", "%%").replace("`", "")
        if word == off:
            command.add_argument(
                *flags, dest=dest, action="store_false", help=f"switch off: {said}"
            )
        elif field.type == "bool":
            command.add_argument(*flags, dest=dest, action="store_true", help=said)
        else:
            default = defaults.get(name, field.default)
            several: dict[str, Any] = {"nargs": "*"} if str(field.type).startswith("tuple") else {}
            told = "" if default in (None, ()) else " (default: %(default)s)"
            if defaults.get(name, 0) is None:
                told = " (default: those of the scale WM_SCALE)"
            command.add_argument(
                *flags, dest=dest, type=KINDS[str(field.type)], default=default, metavar=flags[0][2:].replace("-", "_").upper(),
                help=said + told, **several,
            )  # fmt: skip


def _made(kind: type[Kind], options: argparse.Namespace, **more: Any) -> Kind:
    """A dataclass from the options that `_knobs` gave a command; `more` fields are given here."""
    start = f"{kind.__name__}."
    given = {
        key.removeprefix(start): tuple(value) if isinstance(value, list) else value
        for key, value in vars(options).items()
        if key.startswith(start)
    }
    return kind(**{**given, **more})


def _strategy(command: argparse.ArgumentParser, kind: type, **defaults: Any) -> None:
    """Which strategy, and its settings."""
    _option(
        command, "--strategy", f"one of {', '.join(strategies.STRATEGIES)}", "openai-es",
        dest=f"{kind.__name__}.strategy", metavar="STRATEGY",
    )  # fmt: skip
    for name, read in SETTINGS.items():
        command.add_argument(
            f"--{name.replace('_', '-')}", type=read, default=defaults.get(name), metavar=name.upper(),
            help="of the strategy (default: its own)",
        )  # fmt: skip


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the strategy that were given."""
    return {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}


def _option(
    command: argparse.ArgumentParser, flags: str, said: str, default: Any = None, **how: Any
) -> None:
    """One option, or several names of one: a number has the type of its default, and the default is told behind what is said of it."""
    if isinstance(default, int | float):
        how["type"] = type(default)
    told = f" (default: %(default){'g' if isinstance(default, float) else 's'})"
    said += told if default or default == 0 else ""
    command.add_argument(*flags.split(), default=default, help=said, **how)


def _stage(
    stages: Any, name: str, run: Any, said: str, description: str, example: str
) -> argparse.ArgumentParser:
    """A stage: what runs it, and what its help says."""
    several = argparse.RawDescriptionHelpFormatter if "\n" in example else argparse.HelpFormatter
    command: argparse.ArgumentParser = stages.add_parser(
        name, help=said, description=description, epilog=example, formatter_class=several
    )
    command.set_defaults(run=run)
    return command


def _out(command: argparse.ArgumentParser, said: str = "the folder to make; checkpoints are in OUT.run/ until then") -> None:  # fmt: skip
    _option(command, "--out", said, required=True)


def _data(command: argparse.ArgumentParser, said: str = "folder of `wmlib gather`, or a name in data/") -> None:  # fmt: skip
    _option(command, "--data", said, required=True)


def _progress(goal: int) -> Callable[[int], None]:
    """Prints steps so far and time left: in place on a terminal, now and then in a log."""
    started = shown = time.monotonic()
    terminal = sys.stdout.isatty()

    def show(steps: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < (0.5 if terminal else 15):
            return
        shown = now
        speed = steps / (now - started)
        line = f"  {min(steps, goal):,} of {goal:,} real steps, {speed:,.0f} a second, {max(0.0, goal - steps) / speed:.0f} s left"
        print(f"\r{line:70}" if terminal else line, end="" if terminal else "\n", flush=True)

    return show


@contextlib.contextmanager
def _hired(options: argparse.Namespace) -> Iterator[workers.Workers | int | None]:
    """Who plays: workers, or how many threads of this process."""
    with workers.opened(
        options.executor, options.workers, scheduler=options.scheduler, say=_say
    ) as who:
        yield options.workers if who is None else who


def _workers(command: argparse.ArgumentParser) -> None:
    """Who plays, the same words for every stage."""
    who = f"who plays: {', '.join(workers.KINDS)}; changes no number"
    _option(command, "--executor", who, "threads")
    _option(command, "--workers", "how many; changes no number (default: every core)", type=int)
    where = "of a running Dask cluster, such as tcp://node7:8786 (default: one on this machine)"
    _option(command, "--scheduler", where, "", metavar="ADDRESS")


def gather(options: argparse.Namespace) -> None:
    """Gathers real episodes into a folder."""
    body = bodies.get(options.body)
    steps = config.scale().real_steps if options.steps is None else options.steps
    command = f"wmlib gather --body {body.name} --policy {options.policy} --steps {steps} --seed {options.seed} --out {shlex.quote(options.out)}"
    _tell(
        f"Gathering {steps:,} real steps of {body.name} with {options.policy} actions, run seed {options.seed}, into {options.out}"
    )
    started = time.monotonic()
    with _hired(options) as who:
        gathered = episodes.gather(
            body, options.policy, steps, options.seed, options.out, workers=who, progress=_progress(steps), command=command
        )  # fmt: skip
    seconds = time.monotonic() - started
    print("\r" if sys.stdout.isatty() else "", end="")
    print(
        f"{len(gathered):,} episodes, {gathered.n_steps:,} real steps in {seconds:.1f} s; "
        f"mean return {gathered.returns.mean():.1f}, mean length {gathered.lengths.mean():.1f}. Kept in {options.out}"
    )


def _episode_shown(options: argparse.Namespace) -> tuple[bodies.Body, rollout.Episode]:
    """One episode of an artefact."""
    gathered = load(options.artefact, "episodes")
    if not 0 <= options.episode < len(gathered):
        raise InputError(
            f"There is no episode {options.episode} in {options.artefact}; it has 0 to {len(gathered) - 1}."
        )
    return gathered.body, gathered[options.episode]


def video(options: argparse.Namespace) -> None:
    """Draws an episode of an artefact, or fresh ones of some policies, into a file."""
    if options.artefact:
        body, episode = _episode_shown(options)
        played = {"reality": episode}
    else:
        body = bodies.get(options.body)
        played = {
            name: rollout.rollout(
                body, _acting(name, body), [options.seed], max_steps=options.steps
            )[0]
            for name in options.policy
        }
    tracks = {name: episode.qpos for name, episode in played.items()}
    if options.observed:
        if len(played) > 1:
            raise InputError(
                "--observed sets one episode beside its observations; name one policy."
            )
        (episode,) = played.values()
        tracks = {
            "true state": episode.qpos,
            "true observation": body.physics(episode.qpos, episode.qvel),
        }
    started = time.monotonic()
    path = videos.write(
        options.out, tracks, body, width=options.width, height=options.height, speed=options.speed
    )
    frames = max(map(len, tracks.values()))
    print(
        f"{', '.join(tracks)}: {frames:,} frames of {body.dt:g} s, drawn in {time.monotonic() - started:.1f} s; {path.stat().st_size / 1000:,.0f} kB in {path}"
    )


def _acting(name: str, body: Body) -> Policy:
    """A policy by its name, or a stored controller that needs no world."""
    if name in POLICIES:
        return POLICIES[name](body)
    try:
        made: Controller = load(name, "controller")
    except InputError as error:
        known = ", ".join(POLICIES)
        raise InputError(
            f"There is no policy '{name}'; there are: {known}. And as a controller: {error}"
        ) from None
    if made.linear.body is not body or made.linear.features not in REAL:
        raise InputError(
            f"'{name}' moves '{made.linear.body.name}' by its '{made.linear.features}'; expected a controller of '{body.name}' that needs no world."
        )
    return made


def _video_stage(stages: Any) -> None:
    """The command that draws."""
    stage = _stage(
        stages, "video", video, "draw an episode into a file that plays",
        "Draw an episode with MuJoCo's own renderer, which needs OpenGL, into an .mp4 (needs PyAV), .gif or .webp; an older file of that name is replaced.",
        "examples:\n  wmlib video --artefact humanoid-mixed --episode 3 --out fall.mp4\n"
        "  wmlib video --artefact humanoid-mixed --episode 3 --observed --out true_state_and_observation.mp4\n"
        "  wmlib video --policy random zero hold --seed 2 --width 240 --height 260 --out falling.webp",
    )  # fmt: skip
    _option(stage, "--artefact", "gathered episodes: a folder, or the name of one in data/")
    _option(stage, "--episode", "which of them, from 0", 0)
    stage.add_argument(
        "--policy", nargs="+", default=["random"],
        help=f"without --artefact: who acts, side by side: {', '.join(POLICIES)}, or a controller's folder or name in data/ (default: random)",
    )  # fmt: skip
    limit = "most steps of a fresh episode (default: those of the body)"
    _option(stage, "--steps", limit, type=int)
    _option(stage, "--seed", "seed of a fresh episode's start", 0)
    _option(stage, "--body", "the body of a fresh episode", "humanoid")
    panels = "two panels: the true state, and the pose read from the observation"
    stage.add_argument("--observed", action="store_true", help=panels)
    _option(stage, "--width", "pixels of a panel, even", 480)
    _option(stage, "--height", "pixels of a panel, even", 360)
    _option(stage, "--speed", "1 is real time, 0.5 half as fast", 1.0)
    _out(stage, "the file to write")


def train_vae(options: argparse.Namespace) -> None:
    """Trains V on stored episodes."""
    from wmlib import stages

    vae, how = _made(VAEConfig, options), _how(options, fall=100, jit=True)
    _tell(f"Training V on {options.data}, view {vae.view}, z_dim {vae.z_dim}, into {options.out}")
    stages.train_vae(options.data, options.out, vae, how, command=options.line, say=_say)
    print(f"V is in {options.out}")


def _how(options: argparse.Namespace, *, fall: float, jit: bool) -> TrainConfig:
    """How to train, with a learning rate that falls to a part of what it was; `jit`: XLA takes a minute to compile M, and is no faster."""
    how = _made(TrainConfig, options, jit=jit)
    return dataclasses.replace(how, final_learning_rate=how.learning_rate / fall)


def train_mdnrnn(options: argparse.Namespace) -> None:
    """Trains M on stored episodes as V codes them."""
    from wmlib import stages

    how = _how(options, fall=10, jit=False)
    rate = how.learning_rate / 2
    own = dataclasses.replace(
        how, epochs=options.own_epochs, learning_rate=rate, final_learning_rate=rate / 50
    )
    _tell(f"Training M on {options.data} as {options.vae} codes it, into {options.out}")
    stages.train_mdnrnn(
        options.vae, options.data, options.out, _made(MDNRNNConfig, options), how,
        length=options.length, own=own if options.own_epochs else None, own_steps=options.own_steps,
        snapshots=options.snapshots, command=options.line, say=_say,
    )  # fmt: skip
    print(f"The world is in {options.out}")


def train_ensemble(options: argparse.Namespace) -> None:
    """Trains an ensemble on stored episodes."""
    from wmlib import stages

    sizes, how = _made(EnsembleConfig, options), _how(options, fall=10, jit=False)
    _tell(f"Training {sizes.members} networks on {options.data}, into {options.out}")
    stages.train_ensemble(options.data, options.out, sizes, how, command=options.line, say=_say)
    print(f"The ensemble is in {options.out}")


def measure(options: argparse.Namespace) -> None:
    """Prints the held-out table of a world."""
    from wmlib.models import metrics

    whole_number(options.seed, "The seed")
    world, data = load(options.world, "world"), load(options.data, "episodes")
    print(metrics.report(world, data, seed=options.seed))


def train_controller(options: argparse.Namespace) -> None:
    """Evolves C on the real body."""
    if vars(options)["SearchConfig.steps"] is None:
        vars(options)["SearchConfig.steps"] = config.scale().real_steps
    made = _made(SearchConfig, options, settings=_settings(options))
    _tell(
        f"Evolving C on the real {made.body} with {made.strategy} for {made.steps:,} real steps, run seed {made.seed}, into {options.out}"
    )
    with _hired(options) as who:
        evolve.train(made, options.out, workers=who, command=options.line, say=_say)
    print(f"C is in {options.out}")


def train_ppo(options: argparse.Namespace) -> None:
    """Trains PPO on the real body."""
    body = bodies.get(options.body)
    _tell(f"Training PPO ({options.configuration}) on {body.name}, into {options.out}")
    ppo.train(
        body, options.out, steps=options.steps, budgets=options.budgets, configuration=options.configuration, seed=options.seed, command=options.line, say=_say
    )  # fmt: skip
    print(f"the policy is in {options.out}")


def _evolving(options: argparse.Namespace) -> EvolveConfig:
    """How to evolve C in dreams."""
    return _made(
        EvolveConfig, options, dream=_made(DreamConfig, options), settings=_settings(options)
    )


def dream(options: argparse.Namespace) -> None:
    """Evolves C in a model's dreams."""
    from wmlib import stages

    how = _evolving(options)
    _tell(
        f"Evolving C in dreams of {options.world} with {how.strategy}, tau {how.dream.tau:g}, into {options.out}"
    )
    stages.train_dreamed(
        options.world, options.data, options.out, options.features, how, command=options.line, say=_say
    )  # fmt: skip
    print(f"C is in {options.out}")


def iterate(options: argparse.Namespace) -> None:
    """Gathers, learns and dreams in turn."""
    from wmlib.dream import iterate

    how = dataclasses.replace(_evolving(options), seed=0)
    loop = _made(
        LoopConfig, options, features=options.features, study=_made(StudyConfig, options), evolve=how,
        seed=vars(options)["EvolveConfig.seed"],
    )  # fmt: skip
    loop = dataclasses.replace(loop, first=min(loop.first, loop.steps))
    _tell(
        f"Dreaming and acting in turn on {loop.body} for {loop.steps:,} real steps, run seed {loop.seed}, into {options.out}"
    )
    iterate.train(loop, options.out, command=options.line, say=_say)
    print(
        f"C is in {options.out}, its model in {options.out}-model, its experience in {options.out}-experience"
    )


def walk(options: argparse.Namespace) -> None:
    """Evolves a C that walks, wholly in dreams."""
    from wmlib.dream import walk
    from wmlib.show import progress

    how = _made(WalkConfig, options, model=_made(StructuredConfig, options))
    page = place(options.out, ".html")
    _tell(
        f"Dreaming up a walk for {how.body} with {how.steps:,} real steps, run seed {how.seed}, into {options.out}; watch {page} grow"
    )

    def draw(made: walk.Walk, played: list[Episode]) -> None:
        tracks = {"reality": played[0].qpos, "dream": walk.watch(made, played[0])} if played else {}
        progress.write(page, made.linear.body, made.log, how.steps, tracks, over=walk.done(made))

    walk.train(how, options.out, command=options.line, say=_say, each=draw)
    print(
        f"C is in {options.out}, its model in {options.out}-model, its curve and its walk in {page}"
    )


def _dreaming(command: argparse.ArgumentParser, **defaults: Any) -> None:
    """How to dream and to evolve in dreams, the same words for every stage."""
    _option(command, "--features", "what C sees: physics, or in a world z or zh", "physics")
    knobs = "tau horizon disagreement_penalty=disagreement_penalty/penalty max_disagreement=max_disagreement/doubt learned_heads=learned_heads/heads"
    _knobs(command, DreamConfig, knobs, **defaults)
    _strategy(command, EvolveConfig, **defaults)
    knobs = "generations episodes latest searches=searches/nights seed"
    _knobs(command, EvolveConfig, knobs, **defaults)


def _dreaming_stages(stages: Any) -> None:
    """Evolving C in dreams."""
    command = _stage(
        stages, "dream", dream, "evolve C in a model's dreams",
        f"Evolve a linear controller wholly in the dreams of a world or an ensemble. {RESUMES}",
        "example: wmlib dream --world humanoid --data humanoid-mixed --features z --out runs/c_dreamed",
    )  # fmt: skip
    model = "the folder of a world or of an ensemble, or a world's name in data/"
    _option(command, "--world", model, required=True)
    _data(
        command,
        "real episodes that dreams begin in: a folder of `wmlib gather`, or a name in data/",
    )
    _out(command)
    _dreaming(command)
    command = _stage(
        stages, "iterate", iterate, "gather, learn and dream in turn",
        f"Gather with C and noise, let the model learn, evolve C in its dreams, and so on. {RESUMES}",
        "example: wmlib iterate --steps 30000 --seed 0 --out runs/c_iterated    (also makes runs/c_iterated-model and runs/c_iterated-experience)",
    )  # fmt: skip
    knobs = (
        "body model size steps first policy episodes=round_episodes param_noise action_noise fresh"
    )
    _knobs(command, LoopConfig, knobs)
    renamed = "first=first_updates updates batch_size learning_rate=model_learning_rate own_steps recent reward"
    _knobs(command, StudyConfig, renamed)
    _out(command)
    _dreaming(command, tau=0.8, generations=60, weight_decay=0.001)
    command = _stage(
        stages, "walk", walk, "dream up a walk, from nothing",
        f"Evolve a C that walks, wholly in the dreams of a structured ensemble, from the first real step on. Each round is told in a line and drawn in OUT.html, which can be open meanwhile. {RESUMES}",
        "example: wmlib walk --seed 0 --out runs/walk    (also makes runs/walk-model and runs/walk.html)",
    )  # fmt: skip
    knobs = "body hidden steps first_steps round_steps batch_size model_rate first_updates first_own_updates updates own_updates own_steps recent scaled popsize episodes generations sigma learning_rate weight_decay tau shortest longest grow param_noise action_noise check_episodes threads seed"
    _knobs(command, WalkConfig, knobs, off="targets=torques")
    _knobs(command, StructuredConfig, "members hidden=width layers")
    _out(command)


def evaluate_controller(options: argparse.Namespace) -> None:
    """Judges a controller, or a policy that learns nothing, on held-out seeds."""
    if bool(options.controller) == bool(options.policy):
        raise InputError("Name either --controller or --policy.")
    how = {"path": options.row, "split": options.split, "episodes": options.episodes, "command": options.line}  # fmt: skip
    if options.policy:
        row = results.judge_baseline(
            options.policy, bodies.get(options.body), seed=options.seed, **how
        )
        who = row.method
    else:
        row = results.judge(
            options.controller, method=options.method, configuration=options.configuration, world=options.world, **how
        )  # fmt: skip
        who = f"{row.method}, {row.configuration}"
    cost = f", {row.real_steps:,} real steps" if options.controller else ""
    print(
        f"{who}, seed {row.seed}{cost}: return {row.mean_return:.1f}, {row.mean_steps:.1f} steps survived; {row.episodes} {row.split} episodes"
    )


def report(options: argparse.Namespace) -> None:
    """Prints the table of the rows of runs and files, and what each stage of a run took."""
    rows = [row for what in options.what for row in whole.rows(what)]
    print(results.table(rows, split=options.split))
    for what in options.what:
        if Path(what).is_dir():
            print(f"\n{what}, seconds of each stage:\n{whole.costs(what)}")


def whole_run(options: argparse.Namespace) -> None:
    """Runs every stage of a run that is not done yet, then prints its table."""
    started = time.monotonic()
    bodies.get(options.body)
    with whole.begun(options.stage, options.body, options.seed, options.out, options.resume):
        stages = whole.stages(options.stage, options.body, options.seed, options.out)
        for number, stage in enumerate(stages, 1):
            if stage.makes is not None and stage.makes.exists():
                _tell(f"[{number} of {len(stages)}] {stage.makes} is there")
                continue
            _tell(
                f"[{number} of {len(stages)}, {time.monotonic() - started:.0f} s] wmlib {shlex.join(stage.words)}"
            )
            one = parser().parse_args(stage.words)
            for name in ("executor", "workers", "scheduler"):
                setattr(one, name, getattr(options, name))
            one.line = shlex.join(["wmlib", *stage.words])
            one.run(one)
        report(argparse.Namespace(what=[options.out], split="test"))


def _whole_stages(stages: Any) -> None:
    """The runs from end to end, and their report."""
    for scale, sizes in {
        "smoke": "some 400 real steps, to see that it works",
        "small": "10,000 real steps",
        "large": "250,000 real steps",
    }.items():
        command = _stage(
            stages, scale, whole_run, f"the whole run on {sizes}",
            f"Gather, train V and M, evolve C in their dreams, do the same with an ensemble, wake up, and print the table: {sizes}. {RESUMES}",
            f"example: wmlib {scale} --seed 0 --out runs/{scale}-0; wmlib report runs/{scale}-0",
        )  # fmt: skip
        _option(command, "--body", "the body", "humanoid")
        _option(command, "--seed", "of the run; another one shares no episode", 0)
        _workers(command)
        _out(command, "the folder of the run")
    command = _stage(
        stages, "report", report, "print the table of runs",
        "Sum rows up by budget, method and configuration; the unit is the training seed.",
        "examples: wmlib report runs/small-0 runs/small-1; wmlib report data/results/real.csv",
    )  # fmt: skip
    what = "folders of `wmlib small` and `wmlib large`, or CSV files that `wmlib evaluate --row` wrote"  # fmt: skip
    command.add_argument("what", nargs="+", help=what)
    _option(command, "--split", "whose seeds", "test")


def _controller_stages(stages: Any) -> None:
    """Evolving C, judging it, and the table of what was judged."""
    command = _stage(
        stages, "train-controller", train_controller, "evolve C on the real body",
        f"Evolve a linear controller on the real body. {RESUMES}",
        "examples:\n  wmlib train-controller --body humanoid --features physics --strategy openai-es --steps 50000 --seed 0 --out runs/c\n"
        "  wmlib train-controller --body inverted_pendulum --strategy cma-es --popsize 16 --steps 20000 --out runs/pole\n"
        "  wmlib train-controller --steps 1000000 --budgets 50000 250000 --out runs/c1m    (also makes runs/c1m-50000 and runs/c1m-250000)",
    )  # fmt: skip
    knobs = "body features steps budgets=budgets/marks seed episodes healthy_weight=healthy_weight/alive max_steps check_every check_episodes"
    _knobs(command, SearchConfig, knobs, off="normalise=raw", steps=None)
    _strategy(command, SearchConfig)
    _workers(command)
    _out(command)
    command = _stage(
        stages, "train-ppo", train_ppo, "train PPO, a rival, on the real body",
        "Train Stable-Baselines3's PPO on the real body (needs the extra 'ppo'). It does not resume: stopped, it begins again.",
        "example: wmlib train-ppo --steps 250000 --budgets 50000 --seed 0 --out runs/ppo; wmlib evaluate --controller runs/ppo",
    )  # fmt: skip
    _option(command, "--body", "the body", "humanoid")
    _option(command, "--configuration", f"settings: {', '.join(ppo.CONFIGURATIONS)}", "tuned")
    _option(command, "--steps", "real steps", 50_000)
    budgets = "keep the policy after so many real steps too, in OUT-STEPS"
    _option(command, "--budgets --marks", budgets, [], type=int, nargs="*", metavar="STEPS")
    _option(command, "--seed", "of the run", 0)
    _out(command, "the folder to make; it must not exist")
    command = _stage(
        stages, "evaluate", evaluate_controller, "judge a controller on held-out seeds",
        "Play a controller on held-out seeds of its run, and keep the result as a row.",
        "example: wmlib evaluate --controller runs/c --row data/results/real.csv --episodes 100",
    )  # fmt: skip
    who = "folder of a controller or of PPO's policy, or a name in data/"
    _option(command, "--controller", who)
    who = f"instead of a controller, one that learns nothing: {', '.join(POLICIES)}"
    _option(command, "--policy", who)
    _option(command, "--body", "the body that --policy moves", "humanoid")
    _option(command, "--seed", "of the run whose held-out seeds --policy plays", 0)
    row = "the CSV file that gets the row; test seeds are opened once for each method, configuration, seed and budget in it"
    _option(command, "--row", row)
    world = "the world whose z or [z, h] the controller sees, if it does"
    _option(command, "--world", world, "")
    _option(command, "--method", "its name in tables (default: the strategy)", "")
    _option(command, "--configuration", "a name for its settings (default: the features)", "")
    _option(command, "--split", f"whose seeds: {', '.join(evaluate.SPLITS)}", "test")
    _option(command, "--episodes", "how many (default: those of the scale WM_SCALE)", type=int)


def _tell(line: str) -> None:
    print(line, flush=True)


def _say(line: str) -> None:
    _tell(f"  {line}")


def _learning_stages(stages: Any) -> None:
    """Training V and M, and measuring them."""
    command = _stage(
        stages, "train-vae", train_vae, "train V", f"Train V on stored episodes. {RESUMES}",
        "example: wmlib train-vae --data runs/experience --out runs/vae",
    )  # fmt: skip
    _data(command)
    _out(command)
    _knobs(command, VAEConfig, "view z_dim beta kl_floor")
    _knobs(command, TrainConfig, RECIPE, epochs=20, batch_size=512, learning_rate=2e-3)
    command = _stage(
        stages, "train-mdnrnn", train_mdnrnn, "train M, and make a world",
        f"Train M on stored episodes as V codes them, and keep both as a world. {RESUMES}",
        "example: wmlib train-mdnrnn --vae runs/vae --data runs/experience --out runs/world",
    )  # fmt: skip
    _option(command, "--vae", "folder of `wmlib train-vae`, or a world", required=True)
    _data(command)
    _out(command)
    _knobs(command, MDNRNNConfig, "h_dim n_mix joint reward", off="predict_change=predict_state")
    _option(command, "--length", "steps in a row of the training data", 32)
    _option(command, "--own-epochs", "epochs on M's own rollouts, after the others", 0)
    _option(command, "--own-steps", "steps of these rollouts", 10)
    epochs = "keep M after these epochs too, in OUT-epochs"
    _option(command, "--snapshots", epochs, [], type=int, nargs="*", metavar="EPOCH")
    _knobs(command, TrainConfig, RECIPE, epochs=25, batch_size=64, learning_rate=1e-3)
    command = _stage(
        stages, "train-ensemble", train_ensemble, "train an ensemble, M's competitor",
        f"Train an ensemble on stored episodes, to dream in instead of a world. {RESUMES}",
        "example: wmlib train-ensemble --data runs/experience --out runs/ensemble",
    )  # fmt: skip
    _data(command, "folder of `wmlib gather` or of `wmlib iterate`, or a name in data/")
    _out(command)
    _knobs(command, EnsembleConfig, "members hidden")
    _knobs(command, TrainConfig, RECIPE, epochs=50, batch_size=256, learning_rate=1e-3)
    command = _stage(
        stages, "measure", measure, "measure a world on held-out episodes",
        "Print how well a world predicts episodes that it never saw.",
        "example: wmlib gather --policy mixed --steps 20000 --seed 1 --out runs/heldout; wmlib measure --world humanoid --data runs/heldout",
    )  # fmt: skip
    _option(command, "--world", "a world's folder, or its name in data/", required=True)
    _data(command, "held-out episodes: a folder of `wmlib gather`")
    _option(command, "--seed", "of the sampling", 0)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(
        prog="wmlib", description="The stages of a world model on the command line.",
        epilog="exit codes: 0 done; 1 could not be done here (disk, memory, workers); 2 wrong input; 130 interrupted. Stopped in any way, most stages go on with the same command.",
    )  # fmt: skip
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    top.add_argument("--version", action="version", version=known)
    stages = top.add_subparsers(dest="stage", required=True, metavar="STAGE")
    stage = _stage(
        stages, "gather", gather, "gather real experience",
        "Gather whole real episodes into a folder: seeds, actions, states and rewards, with a manifest.",
        "examples:\n  wmlib gather --body humanoid --policy random --steps 10000 --seed 0 --out runs/experience\n"
        "  wmlib gather --policy mixed --steps 1000000 --executor processes --workers 8 --out runs/much\n"
        "  wmlib gather --policy mixed --steps 1000000 --executor dask --scheduler tcp://node7:8786 --out runs/much",
    )  # fmt: skip
    _option(stage, "--body", "the body", "humanoid")
    _option(stage, "--policy", f"what acts: {', '.join(POLICIES)}", "random")
    steps = "real steps, at least (default: those of the scale WM_SCALE)"
    _option(stage, "--steps", steps, type=int)
    _option(stage, "--seed", "seed of the run; another seed shares no episode", 0)
    _workers(stage)
    _out(stage, "the folder to make; it must not exist")
    for more in (_video_stage, _learning_stages, _controller_stages, _dreaming_stages, _whole_stages):  # fmt: skip
        more(stages)
    _shared(stages)
    _classroom_stage(stages)
    return top


def _classroom_stage(stages: Any) -> None:
    """The commands of a class: `release` and `grade` for the teacher, `check` for a student."""
    top = stages.add_parser(
        "classroom", help="release, check and grade exercises",
        description="Students' copies of a chapter's exercises, and their grades.",
    )  # fmt: skip
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = _stage(
        commands, "release", grading.release_command, "write the students' copy",
        "Write a chapter's exercises as a notebook without the solutions.",
        "example: wmlib classroom release chapters/01_why_dream.ipynb --out for_students",
    )  # fmt: skip
    command.add_argument("chapter", help="the chapter's notebook")
    _out(command, "the folder that the copy goes to")
    seconds = "how long one cell may take"
    command = _stage(
        commands, "check", grading.check_command, "try your own answers",
        "Try the answers in your own notebook: what was expected, what came, and what to read again.",
        "example: wmlib classroom check 01_why_dream.ipynb",
    )  # fmt: skip
    command.add_argument("notebook", help="the students' copy, with your answers in it")
    _option(command, "--chapter", "the chapter it was made from (default: found by its name)")
    _option(command, "--seconds", seconds, 30.0)
    command = _stage(
        commands, "grade", grading.grade_command, "grade submissions",
        "Grade a folder of submissions: grades.csv, and a page of feedback for each student.",
        "example: WM_COURSE_SEED=our-secret wmlib classroom grade handed_in --chapter chapters/01_why_dream.ipynb --out graded",
    )  # fmt: skip
    folder = "the submissions: NAME.ipynb, or folders NAME with a notebook in each"
    command.add_argument("folder", help=folder)
    _option(command, "--chapter", "the chapter's notebook, with the solutions", required=True)
    _out(command, "the folder to make; it must not exist")
    unsafe = "run the students' code without bubblewrap's walls: it can do what you can"
    command.add_argument("--unsafe", action="store_true", help=unsafe)
    _option(command, "--seconds", seconds, 30.0)


def _shared(stages: Any) -> None:
    """The words that every stage knows: its scale, and whether it may go on with what is there."""
    for name, command in stages.choices.items():
        taken = {word for action in command._actions for word in action.option_strings}
        if ("--out" in taken and name != "video") or name == "evaluate":
            sizes = "whose sizes are the defaults (default: WM_SCALE, or small)"
            command.add_argument("--scale", choices=list(config.SCALES), help=sizes)
        if "--out" in taken and name not in ("video", "gather", "train-ppo"):
            goes_on, how = "go on with what is there already (default: yes)", argparse.BooleanOptionalAction  # fmt: skip
            command.add_argument("--resume", action=how, default=True, help=goes_on)


def _started(options: argparse.Namespace) -> None:
    """Sees to --scale and --no-resume.

    Raises:
        InputError: if something is there that was not to be gone on with.
    """
    if getattr(options, "scale", None):
        os.environ["WM_SCALE"] = options.scale
    if out := getattr(options, "out", ""):
        options.out = out = out.rstrip("/") or "/"
    begun = not getattr(options, "resume", True) and options.run is not whole_run
    if begun and place(out, ".run").exists():
        raise InputError(
            f"{out}.run holds what was begun. Leave out --no-resume to go on with it, or give another --out."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one stage; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an accent costs no work, whatever the terminal
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments)
    options.line = shlex.join(["wmlib", *(sys.argv[1:] if arguments is None else arguments)])
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # a polite kill tidies up as Ctrl-C does
    try:
        _started(options)
        options.run(options)
    except InputError as error:
        print(f"wmlib: {error}", file=sys.stderr)
        return 2
    except (OSError, MemoryError) as error:
        print(f"wmlib: {error or 'out of memory'}. Nothing half-written was left.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if arguments is None:  # as a program: a second Ctrl-C must not cut the end short
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        print("\nwmlib: interrupted. Nothing half-written was left.", file=sys.stderr)
        return 130
    return 0
