"""Opens an artefact, whatever it is: the manifest says."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from wmlib import storage
from wmlib.errors import InputError

LOADERS = {
    "episodes": "wmlib.real.episodes:load",
    "vae": "wmlib.models.world:load_vae",
    "world": "wmlib.models.world:load",
    "ensemble": "wmlib.models.ensemble:load",
    "controller": "wmlib.control.controller:load",
    "ppo": "wmlib.ppo:load",
}
"""Kind of an artefact -> what opens it."""


def load(artefact: str | Path) -> Any:
    """What a folder holds, or the artefact of this name that the book ships in `data/`: episodes, V, a world, an ensemble, C.

    Raises:
        InputError: in one line, whatever is wrong with the folder, or if it holds something that is not opened by itself.
    """
    folder = storage.find(artefact)
    kind = storage.read_manifest(folder).get("kind")
    if kind not in LOADERS:
        raise InputError(
            f"{folder} holds '{kind}', which cannot be opened by itself; expected one of {', '.join(LOADERS)}."
        )
    module, function = LOADERS[str(kind)].split(":")
    return getattr(import_module(module), function)(folder)
