"""Play in the dream: the reader's browser runs a dream itself, step by step, and the real simulator beside it if asked.

A page gets numbers only: the tree of the body, the model's weights, C, real starts. The weights are a script of their own: a notebook's output carries
it, and in the site it lies once beside all pages, as `_static/play-KEY.js`, and is loaded when the reader asks for it. `web/dream.js` is the dream in plain JavaScript, of the walker's
model and of V and M (tests hold it to `wmlib.dream`), `web/play.js` the controls, `web/mujoco.js` MuJoCo itself. The scene is the viewer's. Used by the page *Play in the dream*.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np

from wmlib.errors import InputError
from wmlib.show import viewer
from wmlib.show.palette import DREAM

SCRIPTS = ("dream.js", "play.js")
FUTURES, STARTS = 5, (900_000, 900_001, 900_002)
"""Ghosts of sampled futures; seeds of the real starts."""
KINDS = {"structured": ("frame", 0, True), "world": ("z", 0, False)}
"""Of each kind of model: features, hidden units and joint targets of a C that is played with."""
TAU = {"structured": 0.3, "world": 0.5}
"""The temperature that a play begins with; 0.5 is that of the dreams that the C of V and M was evolved in."""


class Play(viewer.Viewer):
    """What `play` returns: a notebook draws it; `html()` is the same as text."""

    def __init__(self, scene: viewer.Viewer, data: Mapping[str, Any], model: str, key: str, simulator: bool) -> None:  # fmt: skip
        """Keeps the scene, C and the starts (JSON-ready), the model's numbers as a script with their key, and whether MuJoCo comes with it."""
        super().__init__(scene.scene, scene.still, scene.text)
        self.data, self.model, self.key, self.simulator = data, model, key, simulator

    def html(self, shared: bool = False) -> str:
        """The scene, its data and a place for controls; with `shared`, the model and all scripts too, and MuJoCo if it was asked for."""
        carried = [f'<script class="wm-model" data-key="{self.key}">{self.model}</script>'] * shared
        carried += [f'<script class="wm-shared">{viewer.script(name)}</script>' for name in SCRIPTS * shared]  # fmt: skip
        if shared and self.simulator:
            carried.append(f'<script type="text/plain" class="wm-mujoco">{viewer.script("mujoco.js")}</script>')  # fmt: skip
        return f'<div class="wm-play" data-key="{self.key}" data-size="{len(self.model) / 1e6:.1f}"><script type="application/json" class="wm-dream">{viewer.harmless(self.data)}</script>{super().html(shared)}</div>{"".join(carried)}'

    def _repr_html_(self) -> str:
        return self.html(shared=True)


def play(C: Any, model: Any, *, simulator: bool = False, paused: bool = False) -> Play:
    """A dream that the reader plays with; the last line of a cell draws it.

    Args:
        C: a `Controller`, or name -> controller for several: on the features `frame` with joint targets, or on `z` of this world.
        model: a `StructuredEnsemble` of the same body, or a `WorldModel` that sees its physics. The weights are rounded to float16.
        simulator: whether a notebook's output carries MuJoCo (3.5 MB); the page of the book has it beside it.
        paused: whether the dream waits at its first frame, so that V can be looked at first.

    Raises:
        InputError: if C or the model is of another kind, or they belong to different bodies.
    """
    world, body = model.kind == "world", model.body
    named = dict(C) if isinstance(C, Mapping) else {"evolved" if world else "the walker": C}
    plain = not world or (model.vae.config.view, model.mdnrnn.config.joint, model.mdnrnn.config.predict_change) == ("physics", False, True)  # fmt: skip
    for name, one in ((viewer.checked_name(name), one) for name, one in named.items()):
        linear, of = one.linear, one.facts.get("world")
        shape = linear.body, linear.features, linear.hidden, linear.targets
        belongs = not (world and of) or of == model.fingerprint
        if not (plain and belongs and shape == (body, *KINDS.get(model.kind, ()))):
            raise InputError(
                f"'{name}' cannot be played with in this model; expected a linear C on the features 'frame' with joint targets and a structured ensemble, or a linear C on 'z' and its own world on physics, of the same body."
            )
    rest = body.model.qpos0, np.zeros(body.model.nv)
    starts = [body.start(np.random.default_rng(seed), *rest) for seed in STARTS]
    label = f"Play in the dream: a {'body' if world else 'walker'} that the browser dreams"
    curves = {"height of the torso (m)": [0.0], "distance between dream and MuJoCo (m)": [0.0]}
    names = ["dream", "reality", *(f"future {k + 1}" for k in range(FUTURES))]
    tracks = dict.fromkeys(names, starts[0][0][None])
    scene = viewer.show(tracks, body, label=label, mode="ghost", strip=curves)
    for k, track in enumerate(scene.scene["tracks"]):
        track |= {"offset": [0.0, 0.0, 0.0]} | ({"colour": DREAM, "chip": False} if k > 1 else {})
    scene.scene["live"] = True
    scene.still = viewer.show({"dream": tracks["dream"]}, body).still  # one body, not seven
    data = {"kind": model.kind, "tau": TAU[model.kind], "paused": paused, "controllers": [_controller(*one) for one in named.items()], "starts": [[_packed(part) for part in start] for start in starts]}  # fmt: skip
    key = model.fingerprint[:12]
    script = f'(window.wmModels ??= {{}})["{key}"] = {viewer.harmless(_numbers(model))};'
    return Play(scene, data, script, key, simulator)


def _packed(values: Any, kind: str = "<f4") -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def _controller(name: str, C: Any) -> dict[str, str]:
    W, b = C.linear.unpack(C.params)
    parts = {"W": W, "b": b, "mean": C.linear.mean, "std": C.linear.std}
    return {"name": name} | {key: _packed(part) for key, part in parts.items()}


def _numbers(model: Any) -> dict[str, Any]:
    """What the model and its body are made of, JSON-ready."""
    body, env = model.body, cast(Any, gymnasium.make(model.body.env_id).unwrapped)
    read, low, high = body.healthy[0]
    if model.kind == "world":
        v, m = model.vae, model.mdnrnn
        stats, params = {"mean": v.mean, "std": v.std, **{name: getattr(m, name) for name in m.STATS}}, {**v.params, **m.params}  # fmt: skip
        own = {"zDim": v.z_dim, "hDim": m.config.h_dim, "nMix": m.config.n_mix, "clip": v.config.clip, "learned": m.config.reward}  # fmt: skip
    else:
        stats, params = {name: getattr(model, name) for name in model.STATS}, model.params
        own = {"layers": model.config.layers, "hidden": model.config.hidden, "forward": body.forward_weight, **model.kinematics.constants()}  # fmt: skip
    return {
        "dt": body.dt, "skip": body.frame_skip, "xml": Path(env.fullpath).read_text(encoding="utf-8"),
        "nSpeeds": int(body.model.nv), "action": np.stack([body.action_low, body.action_high], axis=1).tolist(), "healthy": [int(read(np.arange(body.physics_dim))), low, high],
        "bonus": body.alive_bonus, "cost": body.control_cost, "driven": list(zip(*(part.tolist() for part in body.driven_joints()), strict=True)),
        "joints": [body.model.joint(int(j)).name for j in body.model.actuator_trnid[:, 0]], "targets": KINDS[model.kind][2], "members": model.members, **own,
        "stats": {name: _packed(part) for name, part in stats.items()},
        "weights": {name: _packed(part, "<f2") for name, part in params.items()},
    }  # fmt: skip
