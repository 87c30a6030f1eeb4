"""Videos: what was drawn is read back from the file; what is missing or wrong gets one line; nothing half-written is left."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

import wmlib as wm
from wmlib.cli import main
from wmlib.errors import InputError
from wmlib.show import videos

ROOT = Path(__file__).resolve().parent.parent
HUMANOID = wm.body.get("humanoid")
CHEETAH = wm.body.get("half_cheetah")
TINY = {"width": 96, "height": 96}


def fall(frames=6, body=HUMANOID):
    """A body that sinks and bends, quickly made."""
    qpos = np.tile(body.model.qpos0, (frames, 1))
    qpos[:, 2 if body is HUMANOID else 1] -= np.linspace(0, 0.4, frames)
    qpos[:, -6:] += np.linspace(0, 1, frames)[:, None]
    return qpos


@pytest.fixture(scope="session")
def opengl(tmp_path_factory):
    """Skips a test that draws, by name, where MuJoCo's renderer finds no OpenGL."""
    try:
        videos.write(tmp_path_factory.mktemp("opengl") / "a.gif", fall(1), **TINY)
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def encoder():
    pytest.importorskip("av", reason="PyAV, which writes mp4, is not installed")


def frames_of(path):
    """What a player would show: frames (T, height, width, 3), and the seconds that each is shown."""
    if path.suffix == ".mp4":
        import av

        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            assert stream.codec_context.name == "h264"
            return np.stack(
                [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
            ), 1 / float(stream.average_rate)
    with Image.open(path) as picture:
        assert picture.info["loop"] == 0, "it plays for ever"
        shown = [
            (np.asarray(frame.convert("RGB")), frame.info["duration"] / 1000)
            for frame in ImageSequence.Iterator(picture)
        ]
    return np.stack([frame for frame, _ in shown]), shown[0][1]


def body_pixels(frame, tint):
    """Pixels that have about the hue of the body, and where they are in the mean (row, column)."""
    wanted = np.array([int(tint[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
    pixels = frame.astype(float)
    length = np.linalg.norm(pixels, axis=-1)
    alike = (pixels @ wanted / np.linalg.norm(wanted) > 0.985 * length) & (length > 30)
    return int(alike.sum()), np.argwhere(alike).mean(axis=0) if alike.any() else None


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
@pytest.mark.usefixtures("opengl", "encoder")
def test_every_frame_is_in_the_file_and_the_body_in_every_frame(suffix, tmp_path):
    path = videos.write(tmp_path / f"a{suffix}", fall(), every=1, speed=0.5, **TINY)
    frames, seconds = frames_of(path)
    assert frames.shape == (6, 96, 96, 3)
    assert seconds == pytest.approx(0.03, abs=1e-4)
    seen = [body_pixels(frame, wm.palette.REALITY) for frame in frames]
    assert all(100 < count < 5000 for count, _ in seen), seen
    assert seen[-1][1][0] > seen[0][1][0] + 3, "the body sinks"
    assert all(
        np.abs(a.astype(int) - b).max() > 40 for a, b in zip(frames[1:], frames, strict=False)
    ), "two frames are the same"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("opengl")
def test_several_stand_side_by_side_in_their_colours_and_the_shorter_one_keeps_its_last_pose(
    tmp_path,
):
    frames, _ = frames_of(
        videos.write(tmp_path / "a.webp", {"reality": fall(6), "dream": fall(2)}, every=1, **TINY)
    )
    assert frames.shape == (6, 96, 192, 3)
    for frame in frames:
        assert body_pixels(frame[:, :96], wm.palette.REALITY)[0] > 100
        assert body_pixels(frame[:, 96:], wm.palette.DREAM)[0] > 100
    assert (
        np.abs(frames[-1, :, 96:].astype(int) - frames[2, :, 96:]).mean()
        < 2
        < np.abs(frames[-1, :, :96].astype(int) - frames[2, :, :96]).mean()
    )


@pytest.mark.usefixtures("opengl")
def test_observations_are_drawn_as_the_poses_they_hold_and_another_body_is_drawn_too(tmp_path):
    for body in (HUMANOID, CHEETAH):
        qpos = fall(3, body)
        qpos[:, : body.hidden_qpos] = 0
        obs = body.physics(qpos, np.zeros((3, body.model.nv)))
        one, other = (
            frames_of(videos.write(tmp_path / f"{n}.gif", track, body, **TINY))[0]
            for n, track in enumerate((qpos, obs))
        )
        assert np.array_equal(one, other)
        assert body_pixels(one[0], wm.palette.REALITY)[0] > 100


@pytest.mark.usefixtures("opengl")
def test_a_looping_picture_of_real_time_has_a_frame_every_thirty_milliseconds(tmp_path):
    frames, seconds = frames_of(videos.write(tmp_path / "a.gif", fall(9), **TINY))
    assert (len(frames), seconds) == (5, 0.03)


# What is missing.


@pytest.mark.parametrize("kind", ["off", "nonsense"])
def test_without_opengl_one_line_names_the_packages(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MUJOCO_GL", kind)
    assert main(["video", "--out", str(tmp_path / "a.gif")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"({kind}: " in said
    assert "install libosmesa6, or libegl1 libgl1 libgl1-mesa-dri" in said
    assert list(tmp_path.iterdir()) == []


def test_without_an_encoder_one_line_says_what_to_install_before_anything_is_drawn(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(videos, "_render", lambda *_: pytest.fail("something was drawn"))
    with pytest.raises(
        InputError, match=r"^An mp4 needs PyAV, which is not installed: pip install av\..*$"
    ):
        videos.write(tmp_path / "a.mp4", fall())
    assert list(tmp_path.iterdir()) == []


# What is wrong.


BAD = {
    "the wrong width": ({"tracks": np.zeros((4, 9))}, "has 9 numbers a frame; expected 24"),
    "one pose": ({"tracks": np.zeros(24)}, r"has shape \(24,\); expected \(frames, numbers\)"),
    "no frames": ({"tracks": fall()[:0]}, r"has shape \(0, 24\)"),
    "a million frames": (
        {"tracks": np.zeros((1_000_000, 24), dtype=np.int8)},
        "with 1 to 5,000 frames",
    ),
    "a NaN": (
        {"tracks": np.where(np.arange(24) == 3, np.nan, fall())},
        "holds NaN or infinity, first in row 0",
    ),
    "no trajectory": ({"tracks": {}}, "A video of 0 trajectories"),
    "nine trajectories": (
        {"tracks": dict.fromkeys("abcdefghi", fall(1))},
        "A video of 9 trajectories",
    ),
    "a name that is none": ({"tracks": {3: fall()}}, "The name of a trajectory is 3"),
    "an unknown body": ({"body": "octopus"}, "There is no body 'octopus'"),
    "an unknown suffix": (
        {"path": "a.avi"},
        r"ends in '\.avi'; expected a file name that ends in \.mp4, \.gif, \.webp",
    ),
    "no suffix": ({"path": "a"}, "ends in ''"),
    "an odd size": ({"width": 101}, "expected even sizes of 64 to 1920 pixels"),
    "a vast size": ({"height": 20_000}, "expected even sizes"),
    "no speed": ({"speed": 0}, "at speed 0 were asked for"),
    "a speed that is no number": ({"speed": float("nan")}, "at speed nan"),
    "no step": ({"every": 0}, "Every 0th frame"),
    "no such folder": ({"path": "nowhere/a.gif"}, "there is no folder"),
    "a folder": ({"path": "taken.gif"}, "it is a folder"),
}


@pytest.mark.parametrize(("wrong", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(wrong, message, tmp_path):
    (tmp_path / "taken.gif").mkdir()
    given = {"path": "a.gif", "tracks": fall(), **TINY, **wrong}
    with pytest.raises(InputError, match=message) as caught:
        videos.write(tmp_path / given.pop("path"), given.pop("tracks"), **given)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.gif"]


def test_a_folder_that_may_not_be_written_gets_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(videos.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(InputError, match=r"Cannot write in .*: Permission denied\. Give a folder"):
        videos.write(tmp_path / "a.gif", fall())


@pytest.mark.parametrize(("arguments", "message"), [
    (["--artefact", "humanoid-mixed", "--episode", "9999"], "There is no episode 9999 in humanoid-mixed; it has 0 to"),
    (["--artefact", "nothing-here"], "There is no artefact 'nothing-here'"),
    (["--policy", "hold", "sit"], "There is no policy 'sit'; there are: random"),
    (["--policy", "hold", "zero", "--observed"], "name one policy"),
    (["--policy", "humanoid-dreamed"], "by its 'z'; expected a controller of 'humanoid' that needs no world"),
    (["--seed", "-1"], "expected a whole number of at least 0"),
    (["--body", "octopus"], "There is no body 'octopus'"),
])  # fmt: skip
def test_a_mistaken_command_gets_one_line_and_exit_code_2(arguments, message, tmp_path, capsys):
    assert main(["video", *arguments, "--out", str(tmp_path / "a.gif")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert list(tmp_path.iterdir()) == []


# What was there stays until the new one is whole.


@pytest.mark.skipif(os.name != "posix", reason="sends an interrupt")
@pytest.mark.usefixtures("opengl")
def test_an_interrupt_leaves_the_old_file_and_no_other_and_no_renderer(tmp_path):
    old = tmp_path / "a.gif"
    old.write_bytes(b"old")
    command = [
        sys.executable,
        "-m",
        "wmlib",
        "video",
        "--body",
        "half_cheetah",
        "--out",
        str(old),
    ]  # a thousand frames
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".a.gif.*/opened")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (
        130,
        "\nwmlib: interrupted. Nothing half-written was left.\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
    assert old.read_bytes() == b"old"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_renderer_that_fails_when_opengl_works_says_why(tmp_path, monkeypatch):
    def crash(path, _):
        (path.parent / "opened").touch()
        return 1, "Traceback\nOSError: [Errno 28] No space left on device\n"

    monkeypatch.setattr(videos, "_render", crash)
    with pytest.raises(OSError, match=r"^The video could not be drawn: OSError: .*No space left"):
        videos.write(tmp_path / "a.gif", fall(), **TINY)
    assert list(tmp_path.iterdir()) == []


# The command, and the picture at the top of the README.


@pytest.mark.usefixtures("opengl")
def test_the_command_draws_an_episode_and_its_observations(tmp_path, capsys):
    out = tmp_path / "a.webp"
    words = [
        "video",
        "--artefact",
        "humanoid-mixed",
        "--episode",
        "3",
        "--observed",
        "--width",
        "96",
        "--height",
        "96",
        "--out",
        str(out),
    ]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("true state, true observation: ")
    frames, _ = frames_of(out)
    assert frames.shape[1:] == (96, 192, 3)
    steps = len(wm.load("humanoid-mixed")[3])
    assert len(frames) == len(range(0, steps + 1, 2))


def test_the_readme_begins_with_a_small_picture_that_moves():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    picture = next(line for line in lines if line.startswith("!["))
    alt, path = picture[2:-1].split("](")
    assert lines.index(picture) < 5
    assert len(alt.split()) > 10
    data = (ROOT / path).read_bytes()
    assert len(data) <= 400_000
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames > 20
        assert image.info["loop"] == 0
    assert any(f"--out {path}`" in line for line in lines), (
        "the command that made it stands beside it"
    )


@pytest.mark.usefixtures("opengl", "encoder")
def test_neither_the_caller_nor_the_renderer_imports_tensorflow(tmp_path):
    trap = tmp_path / "trap" / "tensorflow"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')\n")
    code = f"import numpy, wmlib, sys; wmlib.videos.write({str(tmp_path / 'a.mp4')!r}, numpy.tile(wmlib.real.body.get().model.qpos0, (2, 1)), width=96, height=96); print(sorted({{'tensorflow', 'keras'}} & set(sys.modules)))"
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(trap.parent), str(ROOT)])}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=surroundings, capture_output=True, text=True
    )
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr
    assert (tmp_path / "a.mp4").stat().st_size > 1000
