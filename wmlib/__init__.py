"""wmlib: the small library of *Dreaming Up Human Physics*. `import wmlib as wm`, then `wm.body`, `wm.rollout`, ...

A room is imported when it is first named, so that `import wmlib` is quick and a worker loads no more than it uses.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wmlib import (
        asleep,
        awake,
        body,
        classroom,
        controller,
        dream,
        dreamenv,
        ensemble,
        episodes,
        evaluate,
        evolution,
        grading,
        heldout,
        iterate,
        jail,
        marking,
        mdn,
        mdnrnn,
        minds,
        nbgrading,
        nets,
        palette,
        plots,
        policies,
        ppo,
        refit,
        results,
        rollout,
        rounds,
        runs,
        scales,
        search,
        slots,
        stages,
        training,
        truth,
        vae,
        videos,
        viewer,
        waking,
        weights,
        whole,
        workers,
        world,
        zoo,
    )

__all__ = [
    "asleep",
    "awake",
    "body",
    "classroom",
    "controller",
    "dream",
    "dreamenv",
    "ensemble",
    "episodes",
    "evaluate",
    "evolution",
    "grading",
    "heldout",
    "iterate",
    "jail",
    "marking",
    "mdn",
    "mdnrnn",
    "minds",
    "nbgrading",
    "nets",
    "palette",
    "plots",
    "policies",
    "ppo",
    "refit",
    "results",
    "rollout",
    "rounds",
    "runs",
    "scales",
    "search",
    "slots",
    "stages",
    "training",
    "truth",
    "vae",
    "videos",
    "viewer",
    "waking",
    "weights",
    "whole",
    "workers",
    "world",
    "zoo",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """Imports a room of the library when it is first named."""
    if name in __all__:
        return importlib.import_module(f"wmlib.{name}")
    raise AttributeError(f"wmlib has no room '{name}'; it has: {', '.join(__all__)}.")
