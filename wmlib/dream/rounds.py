"""The state of a loop of dreaming and acting: what it is to do, what there is after a round, and how that is kept on disk.

After each round the new experience, C and the model are written under the round's number, and last, in one atomic step, the word that they are
there: whenever a loop is killed, the folder holds one whole round. Used by `iterate`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.config import Loop
from wmlib.control.controller import Linear
from wmlib.errors import InputError
from wmlib.models.ensemble import Ensemble
from wmlib.models.world import World
from wmlib.real import body as bodies
from wmlib.real.body import Array
from wmlib.real.episodes import STORED, Episodes
from wmlib.real.policies import POLICIES

CHECKPOINT = "checkpoint.json"


def checked(loop: Loop) -> None:
    """Raises InputError if a number or a name is not as it must be."""
    loop.check()
    if loop.policy not in POLICIES:
        raise InputError(f"There is no policy '{loop.policy}'; there are: {', '.join(POLICIES)}.")


@dataclass
class Run:
    """A loop under way, or done, after some rounds.

    Attributes:
        linear: the shape of C.
        params: C's weights.
        model: that it last dreamed in.
        experience: the episodes of each round.
        log: one row a round: `round`, `real_steps` so far, `gathered` and `gathered_steps`: mean return and length of its real episodes (with noise),
            `horizon`, the losses, `dreamed`: C's dreamed return, `dreamed_steps` in all.
    """

    linear: Linear
    params: Array
    model: World | Ensemble
    experience: list[Episodes]
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def real_steps(self) -> int:
        """Real steps taken: all of them are in the experience."""
        return sum(part.n_steps for part in self.experience)

    @property
    def data(self) -> Episodes:
        """All episodes, oldest first."""
        return joined(self.experience)


def joined(parts: list[Episodes]) -> Episodes:
    """Episodes of several rounds, end to end."""
    return Episodes.of(parts[0].body, [episode for part in parts for episode in part])


def keep(folder: Path, run: Run, loop: Loop) -> None:
    """Writes what there is after a round, then the word that it is there, then removes what was there before."""
    number = len(run.log)
    newest = {name: np.asarray(getattr(run.experience[-1], name)) for name in STORED}
    storage.write_atomic(folder / f"{number:03}-experience.safetensors", storage.to_bytes(newest))
    for name, data in _files(run).items():
        storage.write_atomic(folder / f"{number:03}-{name}", data)
    about = {"loop": loop.about(), "rounds": number, "log": run.log}
    storage.write_atomic(folder / CHECKPOINT, json.dumps(about).encode())
    for path in folder.glob(f"{number - 1:03}-*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.endswith("-experience.safetensors"):
            path.unlink()


def _files(run: Run) -> dict[str, bytes]:
    """C, with its normalisation, and the model."""
    c = {"params": run.params, "mean": run.linear.mean, "std": run.linear.std}
    return {"c": storage.to_bytes(c), **run.model.files()}


def resume(folder: Path, loop: Loop) -> Run | None:
    """The loop that a folder holds, if any.

    Raises:
        InputError: if it is damaged, or another one.
    """
    checked(loop)
    for half in folder.glob(".*safetensors.*"):  # a save that was killed
        half.unlink()
    try:
        about = json.loads((folder / CHECKPOINT).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(
            f"{folder / CHECKPOINT} cannot be read as JSON ({error}). Remove {folder}, and begin again."
        ) from None
    if about.get("loop") != loop.about():
        raise InputError(
            f"{folder} holds a loop with {storage.difference(about.get('loop'), loop.about())}. Give the same settings to go on with it, or another --out."
        )
    body, number = bodies.get(loop.body), about["rounds"]

    def read(name: str) -> tuple[bytes, str]:
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing. Remove {folder}, and begin again.")
        return path.read_bytes(), str(path)

    experience = [
        Episodes(body, **storage.from_bytes(*read(f"{n:03}-experience.safetensors")))
        for n in range(1, number + 1)
    ]
    c = storage.from_bytes(*read(f"{number:03}-c"))
    kind: type[World] | type[Ensemble] = World if loop.model == "world" else Ensemble
    model = kind.from_files(body, lambda name: read(f"{number:03}-{name}"))
    linear = Linear(body, loop.features, c["mean"].size, c["mean"], c["std"])
    return Run(linear, c["params"], model, experience, about["log"])
