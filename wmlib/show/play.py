"""Play in the dream: the reader's browser runs a walker's dream itself, step by step, and the real simulator beside it if asked.

A page gets numbers only: the tree of the body, the model's weights, C, real starts. `web/dream.js` is the dream in plain JavaScript (a test
holds it to `wmlib.dream`), `web/play.js` the controls, `web/mujoco.js` MuJoCo itself. The scene is the viewer's. Used by the page *Play in the dream*.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from wmlib.errors import InputError
from wmlib.show import viewer

SCRIPTS = ("dream.js", "play.js")
FUTURES, STARTS = 5, (900_000, 900_001, 900_002)
"""Ghosts of sampled futures; seeds of the real starts."""


class Play:
    """What `play` returns: a notebook draws it; `html()` is the same as text."""

    def __init__(self, scene: viewer.Viewer, data: dict[str, Any], simulator: bool) -> None:
        """Keeps the viewer, what the dream is made of (JSON-ready), and whether MuJoCo comes with it."""
        self.scene, self.data, self.simulator = scene, data, simulator

    def __repr__(self) -> str:
        """One line: what can be played with."""
        return self.scene.text

    def html(self, shared: bool = False) -> str:
        """The scene, its data and a place for controls; with `shared`, all scripts too, and MuJoCo if it was asked for."""
        data = viewer.harmless(self.data)
        scripts = "".join(f"<script>{viewer.script(name)}</script>" for name in SCRIPTS * shared)
        if shared and self.simulator:
            scripts += f'<script type="text/plain" class="wm-mujoco">{viewer.script("mujoco.js")}</script>'
        return f'<div class="wm-play"><script type="application/json" class="wm-dream">{data}</script>{self.scene.html(shared)}</div>{scripts}'

    def _repr_html_(self) -> str:
        return self.html(shared=True)


def play(C: Any, model: Any, *, simulator: bool = False, half: bool = True) -> Play:
    """The dream of a walker that the reader plays with; the last line of a cell draws it.

    Args:
        C: a `Controller` on the features `frame` with joint targets, or name -> controller for several.
        model: a `StructuredEnsemble` of the same body.
        simulator: whether a notebook's output carries MuJoCo (3.5 MB); the page of the book has it beside it.
        half: whether weights are stored as float16, half as large; float32 otherwise.

    Raises:
        InputError: if C or the model is of another kind, or they belong to different bodies.
    """
    named = dict(C) if isinstance(C, Mapping) else {"the walker": C}
    body = model.body
    if getattr(model, "kind", "") != "structured":
        raise InputError("Only a structured ensemble can be played with; train one with wmlib walk.")
    for name, one in named.items():
        linear = one.linear
        if linear.body is not body or linear.features != "frame" or linear.hidden or not linear.targets:  # fmt: skip
            raise InputError(
                f"'{viewer.checked_name(name)}' is no linear C of the body '{body.name}' on the features 'frame' with joint targets, the only kind that can be played with."
            )
    rest, free = body.model.qpos0, np.zeros(body.model.nv)
    starts = [body.start(np.random.default_rng(seed), rest, free) for seed in STARTS]
    tracks = ["dream", "reality", *(f"future {k + 1}" for k in range(FUTURES))]
    label = "Play in the dream: a walker that the browser dreams"
    curves = {"height of the torso (m)": [0.0], "distance between dream and MuJoCo (m)": [0.0]}
    scene = viewer.show(
        dict.fromkeys(tracks, starts[0][0][None]), body, label=label, mode="ghost", strip=curves
    )
    scene.scene["live"] = True
    for track in scene.scene["tracks"]:
        track["offset"] = [0.0, 0.0, 0.0]
        if track["name"].startswith("future"):
            track |= {"colour": scene.scene["tracks"][0]["colour"], "chip": False}
    return Play(scene, _numbers(named, model, starts, half), simulator)


def _numbers(named: Mapping[str, Any], model: Any, starts: Any, half: bool) -> dict[str, Any]:
    """What the dream is made of, JSON-ready."""
    body, config = model.body, model.config
    env: Any = gymnasium.make(body.env_id).unwrapped
    read, low, high = body.healthy[0]

    def packed(values: Any, kind: str = "<f4") -> str:
        return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()

    controllers = []
    for name, one in named.items():
        W_c, b_c = one.linear.unpack(one.params)
        parts = {"W": W_c, "b": b_c, "mean": one.linear.mean, "std": one.linear.std}
        controllers.append({"name": name, **{key: packed(part) for key, part in parts.items()}})
    driven = zip(*(part.tolist() for part in body.driven_joints()), strict=True)
    stiffness, damping = named[next(iter(named))].linear.gains
    return {
        "dt": body.dt, "skip": body.frame_skip, "xml": Path(env.fullpath).read_text(encoding="utf-8"), **model.kinematics.constants(),
        "action": np.stack([body.action_low, body.action_high], axis=1).tolist(), "healthy": [int(read(np.arange(body.physics_dim))), low, high],
        "forward": body.forward_weight, "bonus": body.alive_bonus, "cost": body.control_cost, "driven": list(driven), "stiffness": stiffness, "damping": damping,
        "joints": [body.model.joint(int(j)).name for j in body.model.actuator_trnid[:, 0]],
        "members": config.members, "layers": config.layers, "hidden": config.hidden, "half": half,
        "stats": {name: packed(getattr(model, name)) for name in model.STATS},
        "weights": {name: packed(part, "<f2" if half else "<f4") for name, part in model.params.items()},
        "controllers": controllers, "starts": [[packed(part) for part in start] for start in starts],
    }  # fmt: skip
