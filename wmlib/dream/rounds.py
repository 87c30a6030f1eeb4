"""Rounds of a loop, and how they lie on disk: experience, C and model under the round's number, and last, in one atomic step, the word that they are there.

Whenever a loop is killed, its folder holds one whole round. Used by `iterate` and `walk`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.errors import InputError
from wmlib.real.body import Body
from wmlib.real.episodes import STORED, Episodes
from wmlib.real.policies import Policy
from wmlib.real.rollout import rollout
from wmlib.seeds import TRAINING_SEEDS, run_seeds

CHECKPOINT = "checkpoint.json"


def joined(parts: list[Episodes]) -> Episodes:
    """Episodes of several rounds, end to end."""
    return Episodes.of(parts[0].body, [episode for part in parts for episode in part])


def gather(
    body: Body, policy: Policy, seed: int, past: list[Episodes], n: int, max_steps: int
) -> Episodes:
    """n real episodes on the run's next training seeds, after those of its past ones; none of their steps is thrown away."""
    begun = sum(map(len, past))
    seeds = run_seeds(TRAINING_SEEDS, seed)[begun : begun + n]
    return Episodes.of(body, rollout(body, policy, seeds, max_steps=max_steps, keep_obs=False))


class Gathered:
    """What a loop has of its rounds so far: the episodes of each, and a row of the log for each that is done."""

    experience: list[Episodes]
    log: list[dict[str, Any]]

    @property
    def real_steps(self) -> int:
        """Real steps taken to learn from: all of them are in the experience."""
        return sum(part.n_steps for part in self.experience)

    @property
    def data(self) -> Episodes:
        """All real episodes, oldest first."""
        return joined(self.experience)

    def gathered(self) -> dict[str, Any]:
        """How a row of the log begins: number of the round, real steps so far, return and steps of its newest episodes."""
        new = self.experience[-1]
        told = {"gathered": float(new.returns.mean()), "gathered_steps": float(new.lengths.mean())}
        return {"round": len(self.log), "real_steps": self.real_steps, **told}


def write(
    folder: Path, number: int, newest: Episodes, files: dict[str, bytes], about: dict[str, Any]
) -> None:
    """Writes what there is after a round, then the word that it is there, then removes what was there before."""
    arrays = {name: np.asarray(getattr(newest, name)) for name in STORED}
    storage.write_atomic(folder / f"{number:03}-experience.safetensors", storage.to_bytes(arrays))
    for name, data in files.items():
        storage.write_atomic(folder / f"{number:03}-{name}", data)
    kept = [*folder.glob(f"{number:03}-*"), *folder.glob("*-experience.safetensors")]
    sums = {path.name: storage.sha256(path.read_bytes()) for path in kept if path.is_file()}
    said = storage.sealed({**about, "rounds": number, "files": sums})
    storage.write_atomic(folder / CHECKPOINT, storage.dumps(said).encode())
    for path in folder.glob(f"{number - 1:03}-*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.endswith("-experience.safetensors"):
            path.unlink()


def read(
    folder: Path, body: Body, key: str, wanted: dict[str, Any]
) -> tuple[dict[str, Any], list[Episodes], storage.Read] | None:
    """What was last said in a folder, the experience of every round, and how to read the other files of the last; None if there is nothing.

    Args:
        folder: that `write` was given.
        body: of the episodes.
        key: under which `about` says what is done.
        wanted: what is to be done; it must be the same.

    Raises:
        InputError: if it is damaged, or something else is done there.
    """
    for half in folder.glob(".*safetensors.*"):  # a save that was killed
        half.unlink()
    try:
        about = storage.loads((folder / CHECKPOINT).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(
            f"{folder / CHECKPOINT} cannot be read as JSON ({error}). Remove {folder}, and begin again."
        ) from None
    storage.unsealed(about, folder / CHECKPOINT)
    if about.get(key) != wanted:
        raise InputError(
            f"{folder} holds a {key} with {storage.difference(about.get(key), wanted)}. Give the same settings to go on with it, or another --out."
        )
    number = about["rounds"]

    def found(name: str) -> tuple[bytes, str]:
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing. Remove {folder}, and begin again.")
        if storage.sha256(data := path.read_bytes()) != about["files"].get(name):
            raise InputError(
                f"{path} does not match its sum in {CHECKPOINT}: it is damaged. Remove {folder}, and begin again."
            )
        return data, str(path)

    experience = [
        Episodes(body, **storage.from_bytes(*found(f"{n:03}-experience.safetensors")))
        for n in range(1, number + 1)
    ]
    return about, experience, lambda name: found(f"{number:03}-{name}")
