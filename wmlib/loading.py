"""Opens an artefact, whatever it is: the manifest says."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from wmlib import storage
from wmlib.errors import InputError

CLASSES = {
    "episodes": "wmlib.real.episodes:Episodes",
    "vae": "wmlib.models.vae:VAE",
    "world": "wmlib.models.world:WorldModel",
    "ensemble": "wmlib.models.ensemble:Ensemble",
    "structured": "wmlib.models.structured:StructuredEnsemble",
    "controller": "wmlib.control.controller:Controller",
    "ppo": "wmlib.ppo:Ppo",
}
"""Kind of an artefact -> its class."""


def load(artefact: str | Path, *kinds: str) -> Any:
    """What a folder holds, or the artefact of this name that the book ships in `data/`: episodes, V, a world, an ensemble, C.

    Size, sha256, names, shapes, types and lineage are checked before anything is allocated.

    Args:
        artefact: a folder, or a name.
        kinds: what it may be; anything by default.

    Raises:
        InputError: in one line, whatever is wrong with the folder, or if it holds something else, or what is not opened by itself.
    """
    found = storage.open_artefact(artefact, *kinds)
    kind = found.manifest.get("kind")
    if kind not in CLASSES:
        raise InputError(
            f"{found.folder} holds '{kind}', which cannot be opened by itself; expected one of {', '.join(CLASSES)}."
        )
    module, name = CLASSES[str(kind)].split(":")
    return getattr(import_module(module), name).from_artefact(found)
