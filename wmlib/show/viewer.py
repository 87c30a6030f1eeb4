"""Trajectories that can be watched: a 3-D scene in a notebook's output and in the static page, with nothing to install.

`show` gives the browser numbers only: the kinematic tree of the body once, and one `qpos` a frame. The browser computes
the pose, and draws it with three.js, or with lines on a canvas where there is no fast WebGL (`web/viewer.js`). Under the
scene lies a still picture for where scripts are blocked. Nothing here needs OpenGL.
"""

from __future__ import annotations

import base64
import functools
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from wmlib.errors import InputError
from wmlib.real import body as bodies
from wmlib.real.body import Array, Body
from wmlib.show.palette import colours

MAX_FRAMES, MAX_TRACKS, MAX_LETTERS, MAX_LABEL = 5_000, 8, 60, 400
MODES = ("single", "ghost", "side")
WEB = Path(__file__).parent / "web"
SCRIPTS = ("three.js", "viewer.js")
DASHES = ((), (6, 3), (2, 2), (8, 3, 2, 3))
_FIELD = 2 * np.tan(np.radians(15))  # height of the camera's view at distance 1
_WIDTH, _HEIGHT = 640, 360  # of the still picture
_HINGE, _PLANE, _MESHES = 3, 0, (1, 7, 8)  # mjtJoint, mjtGeom
_carrier: list[str | None] = []  # the cell whose output carries the shared script


class Viewer:
    """What `show` returns: a notebook draws it; `html()` is the same as text."""

    def __init__(self, scene: dict[str, Any], still: str, text: str) -> None:
        """Keeps the scene (JSON-ready), the still picture (SVG) and one line about both."""
        self.scene, self.still, self.text = scene, still, text

    def __repr__(self) -> str:
        """One line: the body, the names, the frames."""
        return self.text

    def html(self, shared: bool = False) -> str:
        """The scene as HTML; with `shared`, preceded by the script that every viewer of a page uses."""
        data = harmless(self.scene)
        picture = base64.b64encode(self.still.encode()).decode()
        carried = (
            "".join(f'<script class="wm-shared">{script(name)}</script>' for name in SCRIPTS)
            if shared
            else ""
        )
        return (
            f'{carried}<div class="wm-viewer"><script type="application/json">{data}</script>'
            f'<div class="wm-still"><img width="{_WIDTH}" alt="{html.escape(self.text)}" src="data:image/svg+xml;base64,{picture}">'
            "<p><small>One frame. It moves where scripts may run: in the built book, or in a trusted notebook after this cell was run.</small></p></div></div>"
            "<script>window.wmViewer && window.wmViewer.mount()</script>"
        )

    def _repr_html_(self) -> str:
        """The scene, with the shared script if this is the first cell of the kernel that shows one."""
        return self.html(shared=_carries_script())


def show(
    tracks: Mapping[str, Any] | Array,
    body: Body | str = "humanoid",
    *,
    mode: str | None = None,
    strip: Mapping[str, Any] | None = None,
    label: str = "",
    still: int | None = None,
) -> Viewer:
    """An interactive 3-D scene of one or several trajectories of a body; the last line of a cell draws it.

    Args:
        tracks: name -> trajectory: `qpos` (T, nq), observations (T, obs_dim) or physics (T, physics_dim), told apart by
            their width; from observations the horizontal position is integrated. Names of the palette have its colours.
            An array alone is called `reality`. Every track begins at the origin; the shorter ones keep their last pose.
        body: a body, or its name.
        mode: `single` (one track), `ghost` (in one place; all but the first are pale) or `side` (side by side). By
            default `single` for one track and `ghost` for more.
        strip: quantities plotted under the scene, name -> values (T,) or {track: values}. Values of steps, one shorter
            than the frames, are shown at the frame they begin at.
        label: what is to be seen, for readers who cannot see it: a sentence.
        still: the frame of the still picture; by default two fifths into the longest track.

    Raises:
        InputError: in one line, if a name, a shape, a number, the mode or a length is not as it must be.
    """
    body, poses = tracks_of(tracks, body, "A scene")
    mode = mode or ("single" if len(poses) == 1 else "ghost")
    if mode not in MODES:
        raise InputError(f"There is no mode '{mode}' of a viewer; there are: {', '.join(MODES)}.")
    if mode == "single" and len(poses) > 1:
        raise InputError(
            f"Mode 'single' shows one trajectory and {len(poses)} were given; use 'ghost' or 'side'."
        )
    frames = max(map(len, poses.values()))
    at = frames * 2 // 5 if still is None else still
    if not 0 <= at < frames:
        raise InputError(
            f"Frame {at} was asked for as the still picture; expected 0 to {frames - 1}."
        )
    scene = _scene(body, poses, mode) | {
        "strip": _strips(strip or {}, poses),
        "label": checked_name(label, "The label", MAX_LABEL),
    }
    text = f"{label + ': ' if label else ''}{body.name}, {', '.join(poses)}, {frames} frames of {body.dt:g} s"
    return Viewer(scene, _picture(body, scene, poses, at), text)


def harmless(data: Mapping[str, Any]) -> str:
    """JSON in which no character can end a script element or begin another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.translate({60: "\\u003c", 62: "\\u003e", 38: "\\u0026"})


def checked_name(name: Any, what: str = "The name of a trajectory", most: int = MAX_LETTERS) -> str:
    """A short text, or a line that says so."""
    if not isinstance(name, str) or len(name) > most:
        raise InputError(f"{what} is {name!r:.80}; expected a text of at most {most} letters.")
    return name


def _numbers(what: str, values: Any) -> Array:
    """Finite numbers, or a line that says where they are not."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what} is not an array of numbers; expected one row a frame.") from None
    if not np.isfinite(array).all():
        raise InputError(
            f"{what} holds NaN or infinity, first in row {int(np.argwhere(~np.isfinite(array))[0][0])}; expected finite numbers."
        )
    return array


def tracks_of(tracks: Any, body: Body | str, what: str) -> tuple[Body, dict[str, Array]]:
    """The body, and `qpos` of each track by its name; or a line that says what is wrong with them."""
    body = bodies.get(body) if isinstance(body, str) else body
    named = dict(tracks) if isinstance(tracks, Mapping) else {"reality": tracks}
    poses = {checked_name(name): poses_of(body, name, track) for name, track in named.items()}
    if not 1 <= len(poses) <= MAX_TRACKS:
        raise InputError(
            f"{what} of {len(poses)} trajectories was asked for; expected 1 to {MAX_TRACKS}."
        )
    return body, poses


def poses_of(body: Body, name: str, track: Any) -> Array:
    """`qpos` (T, nq) of a track in any of the accepted forms."""
    what = f"The trajectory '{name}'"
    array, nq = _numbers(what, track), int(body.model.nq)
    if array.ndim != 2 or not 1 <= len(array) <= MAX_FRAMES:
        raise InputError(
            f"{what} has shape {array.shape}; expected (frames, numbers), with 1 to {MAX_FRAMES:,} frames. Show a part of it: track[first:last]."
        )
    if array.shape[1] in (body.obs_dim, body.physics_dim):
        return body.poses(array)
    if array.shape[1] != nq:
        raise InputError(
            f"{what} has {array.shape[1]} numbers a frame; expected {nq} (qpos of {body.name}), {body.physics_dim} (its physics) or {body.obs_dim} (an observation)."
        )
    return array


def _packed(values: Array) -> str:
    """Numbers as base64 of little-endian float32: a third of their size as digits, and nothing in it can run."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _rounded(values: Array) -> Any:
    return np.round(np.asarray(values, dtype=float), 8).tolist()


def _tree(model: Any) -> dict[str, Any]:
    """What the page needs to know of a model: its kinematic tree, and the shape of each geom but the floor."""
    joints = [
        {"type": int(model.jnt_type[j]), "body": int(model.jnt_bodyid[j]), "at": int(model.jnt_qposadr[j]), "pos": _rounded(model.jnt_pos[j]),
         "axis": _rounded(model.jnt_axis[j]), "rest": float(model.qpos0[model.jnt_qposadr[j]]) if model.jnt_type[j] >= _HINGE - 1 else 0.0}
        for j in range(model.njnt)
    ]  # fmt: skip
    geoms = [
        {"type": int(model.geom_type[g]), "body": int(model.geom_bodyid[g]), "size": _rounded(model.geom_size[g]), "pos": _rounded(model.geom_pos[g]),
         "quat": _rounded(model.geom_quat[g]), "shade": _shade(model, g)}
        for g in _drawn(model)
    ]  # fmt: skip
    return {"parent": model.body_parentid.tolist(), "pos": _rounded(model.body_pos), "quat": _rounded(model.body_quat), "joints": joints, "geoms": geoms,
            "floor": bool((model.geom_type == _PLANE).any())}  # fmt: skip


def _drawn(model: Any) -> list[int]:
    """The geoms that are drawn: all but floors."""
    if np.isin(model.geom_type, _MESHES).any():
        raise InputError(
            "This body has meshes or height fields, which the viewer does not draw; expected spheres, capsules, cylinders, ellipsoids and boxes."
        )
    return [g for g in range(model.ngeom) if model.geom_type[g] != _PLANE]


def _shade(model: Any, geom: int) -> float:
    """The left side is a little darker than the right, so that crossed legs can be told apart."""
    name = model.body(model.geom_bodyid[geom]).name
    return 0.72 if name.startswith(("left", "b")) else 1.0


def _scene(body: Body, poses: Mapping[str, Array], mode: str) -> dict[str, Any]:
    """The tree, the tracks with their offsets, and the first view of the camera."""
    n, extents = len(poses), []
    data = mujoco.MjData(body.model)
    for qpos in poses.values():
        for pose in qpos[:: max(1, len(qpos) // 20)]:
            data.qpos[:] = pose
            mujoco.mj_kinematics(body.model, data)
            axes = data.geom_xmat.reshape(-1, 3, 3)
            ends = [
                _segment(body.model, g, data.geom_xpos[g], axes[g])[0] for g in _drawn(body.model)
            ]
            extents += list(np.concatenate(ends) - [data.xpos[1, 0], data.xpos[1, 1], 0.0])
    low, high = np.min(extents, axis=0) - 0.1, np.max(extents, axis=0) + 0.1
    low, high = (
        np.maximum(low, -2.5),
        np.minimum(high, 2.5),
    )  # a body that flies off is followed, not fitted
    top, width = float(high[2]), float(max(high[0] - low[0], high[1] - low[1]))
    apart = width * 0.8 if mode == "side" else 0.0
    offsets = []
    for t, qpos in enumerate(poses.values()):
        data.qpos[:] = qpos[0]
        mujoco.mj_kinematics(body.model, data)
        offsets.append(
            [-float(data.xpos[1, 0]), (t - (n - 1) / 2) * apart - float(data.xpos[1, 1]), 0.0]
        )
    azimuth = np.radians(-28.0 if mode == "side" and body.free_joint else -62.0)
    room = max(
        top * (1.4 if mode == "side" else 1.18), (apart * (n - 1) + width) * _HEIGHT / _WIDTH
    )
    view = {"target": [0.0, 0.0, round(top * (0.55 if mode == "side" else 0.46), 3)], "centre": [0.0, 0.0, 0.0], "distance": round(float(room / _FIELD) + width / 3, 3),
            "azimuth": float(azimuth), "elevation": float(np.radians(14)), "top": round(top, 3)}  # fmt: skip
    shade = colours(poses) | ({"zero": "#4d4d4d"} if "zero" in poses else {})
    tracks = [
        {"name": name, "colour": shade[name], "qpos": _packed(qpos), "offset": offset}
        for (name, qpos), offset in zip(poses.items(), offsets, strict=True)
    ]
    return {
        "dt": body.dt,
        "nq": int(body.model.nq),
        "model": _tree(body.model),
        "tracks": tracks,
        "view": view,
        "ghost": mode == "ghost",
        "names": mode == "side",
    }


def _strips(strip: Mapping[str, Any], poses: Mapping[str, Array]) -> list[dict[str, Any]]:
    """The quantities under the scene, each a panel with a line for each track."""
    if len(strip) > 4:
        raise InputError(f"{len(strip)} quantities were given for the strip; expected at most 4.")
    panels, shade = [], colours(poses)
    for quantity, given in strip.items():
        lines = []
        for place, (name, values) in enumerate(
            (dict(given) if isinstance(given, Mapping) else {"": given}).items()
        ):
            what = f"'{quantity}'" + (f" of '{name}'" if name else "")
            if name and name not in poses:
                raise InputError(
                    f"{what} in the strip belongs to no trajectory; there are: {', '.join(poses)}."
                )
            array = _numbers(what, values)
            frames = len(poses[name]) if name else max(map(len, poses.values()))
            if array.ndim != 1 or len(array) not in (frames, frames - 1) or len(array) == 0:
                raise InputError(
                    f"{what} in the strip has shape {array.shape}; expected ({frames},), one value a frame, or ({frames - 1},), one a step."
                )
            lines.append(
                {
                    "values": _packed(array),
                    "colour": shade[name] if name and name != "zero" else "",
                    "dash": DASHES[place % len(DASHES)],
                }
            )
        panels.append(
            {"name": checked_name(quantity, "The name of a quantity in the strip"), "lines": lines}
        )
    return panels


def _picture(body: Body, scene: Mapping[str, Any], poses: Mapping[str, Array], frame: int) -> str:
    """One frame as SVG, from where the camera begins: every geom as a thick line with round ends, far ones first."""
    view, model, data = scene["view"], body.model, mujoco.MjData(body.model)
    azimuth, elevation = view["azimuth"], view["elevation"]
    back = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    up = np.cross(back, right)
    placed = []
    for qpos in poses.values():
        data.qpos[:] = qpos[min(frame, len(qpos) - 1)]
        mujoco.mj_kinematics(model, data)
        placed.append(
            (data.xpos[1].copy(), data.geom_xpos.copy(), data.geom_xmat.copy().reshape(-1, 3, 3))
        )
    offsets = [np.array(track["offset"]) for track in scene["tracks"]]
    middle = np.mean(
        [root + offset for (root, _, _), offset in zip(placed, offsets, strict=True)], axis=0
    ) * [1, 1, 0]
    eye = np.array(view["target"]) + middle + view["distance"] * back

    def line(ends: Array, width: float, shade: str) -> str:
        away = np.maximum((eye - ends) @ back, 0.1)
        scale = _HEIGHT / _FIELD / away
        x, y = _WIDTH / 2 + (ends - eye) @ right * scale, _HEIGHT / 2 - (ends - eye) @ up * scale
        wide = width * scale.mean()
        return f'<path d="M{x[0]:.1f} {y[0]:.1f}L{x[1] + 0.01:.2f} {y[1]:.1f}" stroke="{shade}" stroke-width="{wide:.1f}"/>'

    shadows, layers = [], []
    for (_, centres, axes), offset, track in zip(placed, offsets, scene["tracks"], strict=True):
        parts = []
        for g in _drawn(model):
            ends, radius = _segment(model, g, centres[g] + offset, axes[g])
            shadows.append(line(ends * [1, 1, 0], 1.6 * radius, "#000"))
            tint = "#" + "".join(
                f"{round(int(track['colour'][i : i + 2], 16) * _shade(model, g)):02x}"
                for i in (1, 3, 5)
            )
            parts.append(
                (
                    float((eye - ends.mean(axis=0)) @ back),
                    line(ends, 2 * radius + 0.012, "#f6f6f4") + line(ends, 2 * radius, tint),
                )
            )
        pale = ' opacity=".55"' if scene["ghost"] and track is not scene["tracks"][0] else ""
        layers.append(
            f"<g{pale}>{''.join(part for _, part in sorted(parts, key=lambda part: -part[0]))}</g>"
        )
    ground = f'<g opacity=".2">{"".join(shadows)}</g>' if scene["model"]["floor"] else ""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" stroke-linecap="round" fill="none">'
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#f6f6f4"/>{ground}{"".join(layers)}</svg>')  # fmt: skip


def _segment(model: Any, geom: int, centre: Array, axes: Array) -> tuple[Array, float]:
    """A geom as a thick line: its two ends (2, 3) and its radius."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    box = kind == mujoco.mjtGeom.mjGEOM_BOX
    round_ = kind in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_ELLIPSOID)
    half, radius = (size.max(), size.min()) if box else (0.0 if round_ else size[1], size[0])
    along = axes[:, int(size.argmax()) if box else 2] * half
    return np.stack([centre - along, centre + along]), float(radius)


@functools.cache
def script(name: str) -> str:
    """One of the scripts that every viewer of a page shares, as it may stand in a page."""
    return (WEB / name).read_text(encoding="utf-8").replace("</script", "<\\/script")


def _carries_script() -> bool:
    """Whether the output now made must carry the shared script: in one cell of a kernel, and again when that cell runs again."""
    cell = _cell()
    if not _carrier:
        _carrier.append(cell)
        return True
    return cell is not None and cell == _carrier[0]


def _cell() -> str | None:
    """The id of the notebook cell that is running, where the front end tells it."""
    try:
        from IPython import get_ipython

        message = get_ipython().get_parent()  # type: ignore[ union-attr, unused-ignore]
        return str(message["metadata"]["cellId"])
    except (ImportError, AttributeError, KeyError, TypeError):
        return None
