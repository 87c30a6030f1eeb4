"""The stages on the command line, for long runs: `wmlib gather ...`. They call what the chapters call.

Exit codes: 0 done, 1 could not be done here (disk, memory), 2 wrong input, 130 interrupted. A foreseeable mistake gets
one line on standard error.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from wmlib import body as bodies
from wmlib import classroom, episodes, grading, rollout, scales, videos
from wmlib.policies import POLICIES
from wmlib.runs import InputError, versions


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


def gather(options: argparse.Namespace) -> None:
    """Gathers real episodes into a folder."""
    body = bodies.get(options.body)
    steps = scales.current().real_steps if options.steps is None else options.steps
    command = f"wmlib gather --body {body.name} --policy {options.policy} --steps {steps} --seed {options.seed} --out {shlex.quote(options.out)}"
    print(f"Gathering {steps:,} real steps of {body.name} with {options.policy} actions, run seed {options.seed}, into {options.out}", flush=True)
    started = time.monotonic()
    gathered = episodes.gather(
        body, options.policy, steps, options.seed, options.out, threads=options.threads, progress=_progress(steps), command=command
    )
    seconds = time.monotonic() - started
    print("\r" if sys.stdout.isatty() else "", end="")
    print(
        f"{len(gathered):,} episodes, {gathered.n_steps:,} real steps in {seconds:.1f} s; "
        f"mean return {gathered.returns.mean():.1f}, mean length {gathered.lengths.mean():.1f}. Kept in {options.out}"
    )


def _episode_shown(options: argparse.Namespace) -> tuple[bodies.Body, rollout.Episode]:
    """One episode of an artefact."""
    gathered = episodes.load(options.artefact)
    if not 0 <= options.episode < len(gathered):
        raise InputError(f"There is no episode {options.episode} in {options.artefact}; it has 0 to {len(gathered) - 1}.")
    return gathered.body, gathered[options.episode]


def video(options: argparse.Namespace) -> None:
    """Draws an episode of an artefact, or fresh ones of some policies, into a file."""
    if options.artefact:
        body, episode = _episode_shown(options)
        played = {"reality": episode}
    else:
        body = bodies.get(options.body)
        if unknown := [name for name in options.policy if name not in POLICIES]:
            raise InputError(f"There is no policy '{unknown[0]}'; there are: {', '.join(POLICIES)}.")
        played = {name: rollout.rollout(body, POLICIES[name](body), [options.seed])[0] for name in options.policy}
    tracks = {name: episode.qpos for name, episode in played.items()}
    if options.observed:
        if len(played) > 1:
            raise InputError("--observed sets one episode beside its observations; name one policy.")
        (episode,) = played.values()
        tracks = {"true state": episode.qpos, "true observation": body.physics(episode.qpos, episode.qvel)}
    started = time.monotonic()
    path = videos.write(options.out, tracks, body, width=options.width, height=options.height, speed=options.speed)
    frames = max(map(len, tracks.values()))
    print(f"{', '.join(tracks)}: {frames:,} frames of {body.dt:g} s, drawn in {time.monotonic() - started:.1f} s; {path.stat().st_size / 1000:,.0f} kB in {path}")


def _video_stage(stages: Any) -> None:
    """The command that draws."""
    stage = stages.add_parser(
        "video",
        help="draw an episode into a file that plays",
        description="Draw an episode with MuJoCo's own renderer, which needs OpenGL, into an .mp4 (needs PyAV), .gif or .webp; an older file of that name is replaced.",
        epilog="examples:\n  wmlib video --artefact humanoid-mixed --episode 3 --out fall.mp4\n"
        "  wmlib video --artefact humanoid-mixed --episode 3 --observed --out true_state_and_observation.mp4\n"
        "  wmlib video --policy random zero hold --seed 2 --width 240 --height 260 --out falling.webp",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stage.add_argument("--artefact", help="gathered episodes: a folder, or the name of one in data/")
    stage.add_argument("--episode", type=int, default=0, help="which of them, from 0 (default: %(default)s)")
    stage.add_argument("--policy", nargs="+", default=["random"], help=f"without --artefact: who acts, side by side: {', '.join(POLICIES)} (default: random)")
    stage.add_argument("--seed", type=int, default=0, help="seed of a fresh episode's start (default: %(default)s)")
    stage.add_argument("--body", default="humanoid", help="the body of a fresh episode (default: %(default)s)")
    stage.add_argument("--observed", action="store_true", help="two panels: the true state, and the pose read from the observation")
    stage.add_argument("--width", type=int, default=480, help="pixels of a panel, even (default: %(default)s)")
    stage.add_argument("--height", type=int, default=360, help="pixels of a panel, even (default: %(default)s)")
    stage.add_argument("--speed", type=float, default=1.0, help="1 is real time, 0.5 half as fast (default: %(default)g)")
    stage.add_argument("--out", required=True, help="the file to write")
    stage.set_defaults(run=video)


def classroom_release(options: argparse.Namespace) -> None:
    """Writes the students' copy of a chapter's exercises."""
    print(f"The students' copy is {classroom.release(options.chapter, options.out)}")


def classroom_grade(options: argparse.Namespace) -> None:
    """Grades a folder of submissions."""
    of = sum(exercise.points for exercise in classroom.assignment(options.chapter)[1])

    def say(grade: grading.Grade) -> None:
        print(f"  {grade.student:24} {grade.total:g} of {of:g}  {grade.remark}".rstrip(), flush=True)

    grades = grading.grade(options.folder, options.chapter, options.out, options.seconds, say)
    print(f"{len(grades)} graded: {options.out}/grades.csv, and a page for each in {options.out}/feedback/")


def _classroom_stage(stages: Any) -> None:
    """The two commands of a teacher."""
    top = stages.add_parser("classroom", help="release and grade exercises", description="Students' copies of a chapter's exercises, and their grades.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "release", help="write the students' copy", description="Write a chapter's exercises as a notebook without the solutions.",
        epilog="example: wmlib classroom release chapters/01_why_dream.ipynb --out for_students",
    )  # fmt: skip
    command.add_argument("chapter", help="the chapter's notebook")
    command.add_argument("--out", required=True, help="the folder that the copy goes to")
    command.set_defaults(run=classroom_release)
    command = commands.add_parser(
        "grade", help="grade submissions", description="Grade a folder of submissions: grades.csv, and a page of feedback for each student.",
        epilog="example: WM_COURSE_SEED=our-secret wmlib classroom grade handed_in --chapter chapters/01_why_dream.ipynb --out graded",
    )  # fmt: skip
    command.add_argument("folder", help="the submissions: NAME.ipynb, or folders NAME with a notebook in each")
    command.add_argument("--chapter", required=True, help="the chapter's notebook, with the solutions")
    command.add_argument("--out", required=True, help="the folder to make; it must not exist")
    command.add_argument("--seconds", type=float, default=30.0, help="how long one cell may take (default: %(default)g)")
    command.set_defaults(run=classroom_grade)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(prog="wmlib", description="The stages of a world model on the command line.")
    top.add_argument("--version", action="version", version=", ".join(f"{name} {version}" for name, version in versions().items()))
    stages = top.add_subparsers(dest="stage", required=True, metavar="STAGE")
    stage = stages.add_parser(
        "gather",
        help="gather real experience",
        description="Gather whole real episodes into a folder: seeds, actions, states and rewards, with a manifest.",
        epilog="example: wmlib gather --body humanoid --policy random --steps 10000 --seed 0 --out runs/experience",
    )
    stage.add_argument("--body", default="humanoid", help="the body (default: %(default)s)")
    stage.add_argument("--policy", default="random", help=f"what acts: {', '.join(POLICIES)} (default: %(default)s)")
    stage.add_argument("--steps", type=int, help="real steps, at least (default: those of the scale WM_SCALE)")
    stage.add_argument("--seed", type=int, default=0, help="seed of the run; another seed shares no episode (default: %(default)s)")
    stage.add_argument("--threads", type=int, help="threads; changes no number (default: every core)")
    stage.add_argument("--out", required=True, help="the folder to make; it must not exist")
    stage.set_defaults(run=gather)
    _video_stage(stages)
    _classroom_stage(stages)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one stage; returns the exit code."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill tidies up as Ctrl-C does
    try:
        options.run(options)
    except InputError as error:
        print(f"wmlib: {error}", file=sys.stderr)
        return 2
    except (OSError, MemoryError) as error:
        print(f"wmlib: {error or 'out of memory'}. Nothing half-written was left.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nwmlib: interrupted. Nothing half-written was left.", file=sys.stderr)
        return 130
    return 0
