"""Trajectories as files: mp4, or a looping picture (gif, webp), drawn by MuJoCo's own renderer.

The viewer needs no OpenGL; this does. The renderer is a new process of its own, because MuJoCo's software OpenGL (Mesa) and
TensorFlow in one process crash. It draws without shadows and reflections, which cost more than all else without a graphics card.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.errors import InputError
from wmlib.real.body import Array, Body
from wmlib.show import viewer
from wmlib.show.palette import colours

SUFFIXES = (".mp4", ".gif", ".webp")
SMALLEST, LARGEST = 64, 1920  # pixels of a panel
PICTURE_RATE = (
    34  # most frames a second of a looping picture: browsers slow down gifs that are faster than 50
)
PAUSE = 0.8  # seconds that a looping picture rests on its last frame
NO_OPENGL = (
    "No OpenGL can be used here, and MuJoCo's renderer needs it ({}). On Debian or Ubuntu install libosmesa6, or libegl1 libgl1 "
    "libgl1-mesa-dri. The viewer (wmlib.show.viewer) needs none."
)
NO_ENCODER = (
    "An mp4 needs PyAV, which is not installed: pip install av. A .gif or .webp needs nothing more."
)


def write(
    path: str | Path,
    tracks: Mapping[str, Any] | Array,
    body: Body | str = "humanoid",
    *,
    width: int = 480,
    height: int = 360,
    every: int | None = None,
    speed: float = 1.0,
) -> Path:
    """Writes trajectories of a body as a file that plays, several of them side by side; replaces an older file of that name.

    The file is whole or absent, however the writing ends.

    Args:
        path: the file, .mp4 (needs PyAV), .gif or .webp.
        tracks: name -> trajectory, as `viewer.show` takes them: `qpos` (T, nq), observations or physics (T, ...). The shorter
            ones keep their last pose.
        body: a body, or its name.
        width: of each panel, in pixels, even.
        height: of each panel, in pixels, even.
        every: draw every this-many-th frame; by default all for an mp4, and no more than 34 a second for a picture.
        speed: 1.0 is real time, 0.5 half as fast.

    Raises:
        InputError: in one line, if something given is not as it must be, or OpenGL or the encoder is missing.
    """
    path, (body, poses) = storage.place(path), viewer.tracks_of(tracks, body, "A video")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path} ends in '{path.suffix}'; expected a file name that ends in {', '.join(SUFFIXES)}."
        )
    if not (
        all(SMALLEST <= size <= LARGEST and size % 2 == 0 for size in (width, height))
        and 0.01 <= speed <= 100
    ):
        raise InputError(
            f"Panels of {width} x {height} at speed {speed:g} were asked for; expected even sizes of {SMALLEST} to {LARGEST} pixels, and 0.01 to 100."
        )
    if every is None:
        every = (
            1 if path.suffix.lower() == ".mp4" else max(1, round(speed / body.dt / PICTURE_RATE))
        )
    if every < 1:
        raise InputError(f"Every {every}th frame was asked for; expected 1 or more.")
    if path.suffix.lower() == ".mp4" and importlib.util.find_spec("av") is None:
        raise InputError(NO_ENCODER)
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(
            f"Cannot write {path}: "
            + ("it is a folder." if path.is_dir() else f"there is no folder {path.parent}.")
        )
    rows = np.arange(max(map(len, poses.values())))[::every]
    panels = np.stack([qpos[np.minimum(rows, len(qpos) - 1)] for qpos in poses.values()])
    order = {
        "names": list(poses),
        "colours": [
            "#4d4d4d" if name == "zero" else shade for name, shade in colours(poses).items()
        ],
        "width": width,
        "height": height,
        "seconds": body.dt * every / speed,
    }
    try:
        hidden = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(
            f"Cannot write in {path.parent}: {error.strerror}. Give a folder that you may write."
        ) from None
    with hidden as name:
        folder = Path(name)
        np.save(folder / "panels.npy", panels)
        mujoco.mj_saveModel(body.model, str(folder / "model.mjb"))
        (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")
        storage.write_atomic(path, _drawn(folder, f"video{path.suffix.lower()}"))
    return path


def _drawn(folder: Path, name: str) -> bytes:
    """The file that the renderer's process makes of what lies in the folder, by the first kind of OpenGL that works."""
    given = os.environ.get("MUJOCO_GL")
    kinds = [given] if given else ["egl", "osmesa"] if sys.platform == "linux" else [""]
    paths = [str(storage.LIBRARY.parent), os.environ.get("PYTHONPATH", "")]
    reasons = []
    for kind in kinds:
        surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))} | (
            {"MUJOCO_GL": kind, "PYOPENGL_PLATFORM": kind} if kind else {}
        )
        code, said = _render(folder / name, surroundings)
        if code == 0:
            return (folder / name).read_bytes()
        if (folder / "opened").exists():
            raise OSError(f"The video could not be drawn: {_last(said)}")
        reasons.append(f"{kind or 'this system'}: {_last(said)}")
    raise InputError(NO_OPENGL.format("; ".join(reasons)))


def _last(said: str) -> str:
    """The last line of what the renderer's process said."""
    return (said.strip().splitlines() or ["the renderer ended"])[-1]


def _render(path: Path, surroundings: Mapping[str, str]) -> tuple[int, str]:
    """Runs the renderer's process; gives its exit code and what it said. It never outlives this call."""
    command = [sys.executable, "-m", "wmlib.show.videos", str(path)]
    with subprocess.Popen(
        command,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _, said = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
    return process.returncode, said


# The renderer's process.


def _main(path: Path) -> None:
    """Draws what the folder of `path` asks for into `path`; a file `opened` says that OpenGL works."""
    order, panels = (
        json.loads((path.parent / "order.json").read_text(encoding="utf-8")),
        np.load(path.parent / "panels.npy"),
    )
    draw = _painter(mujoco.MjModel.from_binary_path(str(path.parent / "model.mjb")), order, panels)
    draw(0)
    (path.parent / "opened").touch()
    (_write_mp4 if path.suffix == ".mp4" else _write_picture)(
        path, draw, panels.shape[1], order["seconds"]
    )


def _painter(
    model: Any, order: Mapping[str, Any], panels: Array
) -> Callable[[int], NDArray[np.uint8]]:
    """Makes the renderer; gives a function from a frame's number to its picture (height, panels * width, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    width, height, data = order["width"], order["height"], mujoco.MjData(model)
    model.vis.quality.offsamples = 0
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    moving = model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE
    model.geom_matid[
        moving
    ] = -1  # plain colours, on a pale ground: the body is what is looked at, and calm pixels are small files
    model.tex_data[:] = 195 + model.tex_data // 6
    renderer = mujoco.Renderer(model, height, width)
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = 0
    mujoco.mj_kinematics(
        model, data
    )  # the camera fits the body's own start pose, wherever a trajectory goes
    reach = model.geom_rbound[moving, None]
    low, high = (
        (data.geom_xpos[moving] - reach).min(axis=0),
        (data.geom_xpos[moving] + reach).max(axis=0),
    )
    camera, font = mujoco.MjvCamera(), ImageFont.load_default(size=max(10, height // 18))
    field = np.tan(np.radians(model.vis.global_.fovy / 2)) * 2
    span = max(high[2], (high - low)[:2].max() * height / width)
    camera.distance, camera.azimuth, camera.elevation = 1.25 * span / field, 120.0, -8.0

    def draw(frame: int) -> NDArray[np.uint8]:
        pictures = []
        for name, tint, qpos in zip(order["names"], order["colours"], panels, strict=True):
            model.geom_rgba[moving, :3] = [int(tint[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            data.qpos[:] = qpos[frame]
            for place in (
                mujoco.mj_kinematics,
                mujoco.mj_comPos,
                mujoco.mj_camlight,
            ):  # all that drawing needs
                place(model, data)
            camera.lookat[:] = [data.xpos[1, 0], data.xpos[1, 1], 0.48 * high[2]]
            renderer.update_scene(data, camera)
            picture = Image.fromarray(renderer.render())
            if len(panels) > 1:
                ImageDraw.Draw(picture).text(
                    (height // 30, height // 40), name, fill=tint, font=font
                )
            pictures.append(np.asarray(picture))
        return np.concatenate(pictures, axis=1)

    return draw


def _write_mp4(
    path: Path, draw: Callable[[int], NDArray[np.uint8]], frames: int, seconds: float
) -> None:
    """H.264, which every browser and player reads."""
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream(
            "libx264", rate=(1 / Fraction(seconds)).limit_denominator(1000), options={"crf": "23"}
        )
        stream.height, stream.width = draw(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(draw(frame), format="rgb24")))
        file.mux(stream.encode())


def _write_picture(
    path: Path, draw: Callable[[int], NDArray[np.uint8]], frames: int, seconds: float
) -> None:
    """A picture that plays for ever, and rests a little on its last frame."""
    from PIL import Image

    ends = (
        np.round(np.arange(frames + 1) * seconds * 100) * 10
    )  # a gif counts in hundredths of a second
    times = np.diff(ends).astype(int)
    times[-1] += round(1000 * PAUSE)
    pictures = (Image.fromarray(draw(frame)) for frame in range(frames))
    if (
        path.suffix == ".gif"
    ):  # one palette for all frames, without dithering: small, and nothing flickers
        keys = np.concatenate([draw(frame) for frame in (0, frames // 2, frames - 1)])
        palette = Image.fromarray(keys).quantize(64)
        pictures = (
            picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
        )
    first = next(pictures)
    more: dict[str, Any] = (
        {} if path.suffix == ".gif" else {"quality": 60, "method": 4, "minimize_size": True}
    )
    first.save(
        path,
        save_all=True,
        append_images=itertools.islice(pictures, None),
        duration=times.tolist(),
        loop=0,
        **more,
    )


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
