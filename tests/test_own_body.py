"""The page on a body of one's own, run as a reader would run it: its files, its commands, its pictures."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import wmlib as wm
from wmlib.cli import main
from wmlib.errors import InputError

PAGE = (Path(__file__).resolve().parent.parent / "book" / "your_own_body.md").read_text(
    encoding="utf-8"
)
FILES = dict(
    re.findall(r"^```\{code-block\} \w+\n:caption: ([^\n]*)\n\n(.*?)^```$", PAGE, re.M | re.S)
)
COMMANDS = re.findall(r"^\$ (wmlib .*)$", PAGE, re.M)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The reader's folder, with the page's files, where Python and WM_BODIES find them."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("tray.xml", "tray.py", "same.py"):
        (folder / name).write_text(FILES[name])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("WM_BODIES", "tray:body")
        wm.body.get("tray")
        yield folder
    wm.body._MADE.pop("tray", None)
    sys.modules.pop("tray", None)
    gymnasium.registry.pop("Tray-v0", None)


@pytest.fixture(scope="module")
def lines(folder):
    """What each command of the page prints last, in the page's order."""
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        last = []
        for command in COMMANDS:
            assert main(shlex.split(command)[1:]) == 0, command
            last.append(said[-1])
    return last


def written(folder, text):
    """The body of another tray.py, whose environment is registered already, or by another name."""
    module: dict = {"__file__": str(folder / "tray.py"), "__name__": "other"}
    exec(
        text.replace(re.search(r'gymnasium.register\("Tray-v0".*\n', FILES["tray.py"]).group(), ""),
        module,
    )
    return module["body"]


def survived(line):
    return float(re.search(r"([\d.]+) steps survived", line).group(1))


def test_the_page_says_that_it_is_the_same_as_its_environment(folder, capsys):
    exec(FILES["same.py"], {})
    assert "the same to the last bit" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong", ["-0.01 * np", "-(x * x + y * y)", "rng.uniform(-0.05, 0.05, 4)", '"alive": 1.0']
)
def test_the_pages_check_finds_a_body_that_is_not_its_environment(folder, monkeypatch, wrong):
    """Each fact of the body a little off: none goes through."""
    text = FILES["tray.py"]
    at = text.index(wrong, text.index("def body()"))
    bent = (
        text[:at]
        + wrong.replace("0.0", "0.00", 1).replace("1.0", "1.5").replace("-(x", "-1.001 * (x")
        + text[at + len(wrong) :]
    )
    assert bent != text
    bad = written(folder, bent)()
    monkeypatch.setattr(wm.body, "get", lambda name: bad)
    with pytest.raises(AssertionError, match=r"elsewhere|another"):
        exec(FILES["same.py"], {})


def test_the_dreamed_controller_keeps_the_puck_on_to_the_end(lines):
    zero, random, *_, dreamed = lines
    assert survived(zero) < 60 and survived(random) < 60
    assert survived(dreamed) > 400


def test_the_notebook_cell_watches_reality_and_dream(lines):
    *cell, last = FILES["in a notebook in the same folder"].strip().splitlines()
    names: dict = {}
    exec("\n".join(cell), names)
    shown = eval(last, names)
    assert "tray, reality, dream" in repr(shown)
    assert len(shown.html()) > 1000


def test_the_tray_can_be_known_and_drawn_from_what_is_observed(folder):
    tray = wm.body.get("tray")
    episode = wm.rollout(tray, wm.policies.RandomWeights(tray), [1])[0]
    assert np.array_equal(tray.poses(episode.obs), episode.qpos)
    assert (
        tray.terminated(episode.obs)[:-1].sum() == 0
        and tray.terminated(episode.obs)[-1] == episode.terminated
    )


OFF = {
    "parts that do not tile": ('"qvel": slice(4, 8)', '"qvel": slice(5, 8)'),
    "parts in another order": (
        '{"qpos": slice(0, 4), "qvel": slice(4, 8)}',
        '{"qvel": slice(0, 4), "qpos": slice(4, 8)}',
    ),
    "parts of another length than is shown": (
        '"qvel": slice(4, 8)',
        '"qvel": slice(4, 8), "more": slice(8, 9)',
    ),
    "a position too many is hidden": ("hidden_qpos=0", "hidden_qpos=1"),
    "an environment that nobody registered": ('env_id="Tray-v0"', 'env_id="Dray-v0"'),
}


@pytest.mark.parametrize("what", OFF)
def test_a_body_that_does_not_fit_its_environment_gets_one_line(folder, what):
    old, new = OFF[what]
    assert old in FILES["tray.py"]
    make = written(folder, FILES["tray.py"].replace(old, new))
    with pytest.raises(
        InputError,
        match=r"expected qpos with 4 numbers|expected qpos with 3 numbers|Gymnasium does not have",
    ) as caught:
        wm.body.add(make)
    assert "\n" not in str(caught.value)


def test_a_pose_is_held_by_joints_only(folder):
    """A motor on a tendon moves no joint of its own."""
    tendon = '<tendon><fixed name="t"><joint joint="roll" coef="1"/></fixed></tendon>\n  <actuator>'
    text = (
        FILES["tray.xml"]
        .replace("<actuator>", tendon)
        .replace('<motor joint="roll"', '<motor tendon="t"')
    )
    (folder / "pulled").mkdir()
    (folder / "pulled" / "tray.xml").write_text(text)
    make = written(folder / "pulled", FILES["tray.py"].replace("Tray-v0", "Pulled-v0"))
    with pytest.raises(InputError, match="do not move a joint of their own"):
        wm.policies.hold_pose(make())
    gymnasium.registry.pop("Pulled-v0", None)


def test_a_worker_that_is_another_process_knows_the_body_too(folder):
    importlib.import_module("tray")
    assert (
        main(
            shlex.split(
                "gather --body tray --policy random --steps 300 --executor processes --workers 2 --out by_workers"
            )
        )
        == 0
    )
    assert main(shlex.split("gather --body tray --policy random --steps 300 --out by_threads")) == 0
    one, other = wm.load("by_workers"), wm.load("by_threads")
    assert np.array_equal(one.qpos, other.qpos)
