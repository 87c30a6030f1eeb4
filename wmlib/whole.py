"""The book's two runs, end to end: `wmlib small` and `wmlib large`. Experience, V, M, a dreamt C, awake; and the same in an ensemble.

A run is nothing but stages: for each, the words that would start it alone. Whatever is there already is not made again, and a stage that was
stopped goes on where it was; so a run that was stopped comes to the same bits. The report's two runs had these sizes. Built in chapter 12.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wmlib import results, storage
from wmlib.errors import InputError
from wmlib.real import evaluate
from wmlib.results import Row
from wmlib.seeds import TEST_SEEDS, run_seeds

CONFIG, ROWS = "run.json", "results.csv"
PARTS = {
    "experience": "gather",
    "vae": "train V",
    "world": "train M",
    "c": "dream, V and M",
    "ensemble": "train the ensemble",
    "c-ensemble": "dream, ensemble",
}
"""What a run leaves in its folder, and the stage that makes it."""


@dataclass(frozen=True)
class Plan:
    """The words of a run's stages, but for seed and folders.

    Attributes:
        gather: real experience.
        vae: V.
        mdnrnn: M.
        dream: C in the dreams of V and M.
        ensemble: M's competitor.
        dream_ensemble: C in its dreams.
        episodes: test episodes behind each row.
    """

    gather: str
    vae: str
    mdnrnn: str
    dream: str
    ensemble: str
    dream_ensemble: str
    episodes: int = 100


PLANS = {
    "smoke": Plan(
        "--policy mixed --steps 400", "--epochs 2 --z-dim 8 --batch-size 64", "--epochs 2 --h-dim 16 --batch-size 8 --length 8",
        "--features z --tau 0.8 --generations 2 --popsize 4 --episodes 2 --horizon 20", "--epochs 2 --hidden 16 --batch-size 64",
        "--tau 0.4 --generations 2 --popsize 4 --episodes 2 --horizon 20", episodes=4,
    ),
    "small": Plan(
        "--policy mixed --steps 10000", "--epochs 70 --batch-size 256", "--epochs 70 --batch-size 8",
        "--features z --tau 0.8 --generations 40 --popsize 32 --horizon 200 --weight-decay 0.001", "--epochs 80",
        "--tau 0.4 --generations 80 --horizon 100 --weight-decay 0.001",
    ),
    "large": Plan(
        "--policy mixed --steps 250000", "--epochs 30 --beta 0.002", "--epochs 25 --own-epochs 6 --own-steps 12",
        "--features z --tau 0.5 --generations 30 --popsize 32 --episodes 8 --horizon 200 --weight-decay 0.001", "--epochs 8",
        "--tau 0.4 --generations 80 --horizon 150 --weight-decay 0.001 --nights 4",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        words: its command line, after `wmlib`.
        makes: the folder that it makes, or None if it adds a row.
    """

    words: tuple[str, ...]
    makes: Path | None = None


def stages(scale: str, body: str, seed: int, out: str | Path) -> list[Stage]:
    """The stages of a run, in order."""
    plan, out = PLANS[scale], Path(out)
    here = "./" if str(out).startswith("-") else ""  # it would be read as an option
    at = {name: f"{here}{out / name}" for name in PARTS}

    def stage(name: str, word: str, more: str, *words: str) -> Stage:
        return Stage(
            (word, *words, *more.split(), "--seed", str(seed), "--out", at[name]), out / name
        )

    def row(*words: str) -> Stage:
        how = f"--split test --episodes {plan.episodes} --row".split()
        return Stage(("evaluate", *words, *how, f"{here}{out / ROWS}"))

    data = ("--data", at["experience"])
    return [
        *(
            row("--policy", name, "--body", body, "--seed", str(seed))
            for name in evaluate.BASELINES
        ),
        stage("experience", "gather", plan.gather, "--body", body),
        stage("ensemble", "train-ensemble", plan.ensemble, *data),
        stage("c-ensemble", "dream", plan.dream_ensemble, "--world", at["ensemble"], *data),
        row("--controller", at["c-ensemble"], "--method", "dreamed, ensemble"),
        stage("vae", "train-vae", plan.vae, *data),
        stage("world", "train-mdnrnn", plan.mdnrnn, "--vae", at["vae"], *data),
        stage("c", "dream", plan.dream, "--world", at["world"], *data),
        row("--controller", at["c"], "--world", at["world"], "--method", "dreamed, V and M"),
    ]


@contextlib.contextmanager
def begun(scale: str, body: str, seed: int, out: str | Path, resume: bool) -> Iterator[None]:
    """Holds a run's folder, new or to be gone on with.

    Raises:
        InputError: if it cannot be made, holds another run or something else, another process is at it, or it is there and was not to be.
    """
    run_seeds(TEST_SEEDS, seed)  # before anything is made
    out, _ = Path(out), storage.place(Path(out).absolute())  # it may be the folder that we are in
    config = {"scale": scale, "body": body, "seed": seed, "plan": vars(PLANS[scale])}
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in out.iterdir()} - {".lock"}
        if there and CONFIG not in there:
            raise InputError(
                f"{out} holds something that is not a run ({min(there)}). Give another --out."
            )
        if there and not resume:
            raise InputError(
                f"{out} holds a run already. Leave out --no-resume to go on with it, or give another --out."
            )
        with storage.locked(out):
            if there and (found := _config(out)) != config:
                raise InputError(
                    f"{out} holds a run with {storage.difference(found, config)}. Give the same words to go on with it, or another --out."
                )
            storage.write_atomic(out / CONFIG, storage.dumps(config, indent=2).encode())
            yield
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"Cannot write in {out}: {error.strerror}. Give an --out in a folder that you may write."
        ) from None


def _config(out: Path) -> object:
    try:
        return storage.loads((out / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{out / CONFIG} cannot be read as JSON ({error}). Give another --out."
        ) from None


def rows(what: str | Path) -> list[Row]:
    """The rows of a run's folder, or of a CSV file.

    Raises:
        InputError: if there are none.
    """
    path = Path(what)
    return results.read(path / ROWS if path.is_dir() else path)


def costs(out: str | Path) -> str:
    """Seconds of each stage of a run that is done, as text."""
    lines = []
    for name, label in PARTS.items():
        if (Path(out) / name).is_dir():
            manifest = storage.read_manifest(Path(out) / name)
            own = (
                manifest["log"][-1] if label.startswith("dream") else manifest
            )  # C's manifest counts the stages before it, its log does not
            lines.append((label, float(own["seconds"])))
    lines.append(("all", sum(seconds for _, seconds in lines)))
    return "\n".join(f"{label:20} {seconds:8.0f} s" for label, seconds in lines)
