"""Every --out comes by one check: what names nothing new is refused in one line, before anything is made, and nothing is lost."""

import argparse
from pathlib import Path

import pytest

from wmlib import ppo, storage, whole
from wmlib.cli import main, parser
from wmlib.errors import InputError

CHAPTER = Path(__file__).resolve().parent.parent / "chapters" / "01_why_dream.ipynb"
DATA = "--data humanoid-mixed"
COMMANDS = {
    "gather": "--steps 1", "video": "--policy zero --steps 2", "train-vae": f"{DATA} --epochs 1", "train-ensemble": f"{DATA} --epochs 1",
    "train-mdnrnn": f"--vae humanoid {DATA} --epochs 1 --snapshots 1", "dream": f"--world humanoid {DATA} --generations 1",
    "iterate": "--steps 100 --first 100", "walk": "--steps 100 --first-steps 100", "train-controller": "--steps 10 --budgets 5", "train-ppo": "--steps 512",
    "smoke": "", "small": "", "large": "", "classroom grade": f"handed --chapter {CHAPTER} --unsafe", "classroom release": f"{CHAPTER}",
}  # fmt: skip
NAMES_NOTHING = (
    "..",
    "/",
    "new/..",
    "../..",
    "",
    ".",
    "a\0b",
    "half \ud83d",
    "file/new",
    "file/new/er",
    "file",
)
HERE = ("", ".", "..", "/", "new/..", "../..")


def with_out(command, name=""):
    """The names of all stages that take --out."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from with_out(below, f"{name} {word}".strip())
        elif "--out" in action.option_strings:
            yield name


def test_no_command_with_an_out_is_left_out():
    assert set(with_out(parser())) == set(COMMANDS)


@pytest.mark.parametrize("out", NAMES_NOTHING)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_out_that_names_nothing_new_is_one_line_and_nothing_is_made_or_lost(
    command, out, tmp_path, monkeypatch, capsys
):
    if command == "classroom release" and out in HERE:
        return  # its copy goes into a folder that may be there
    inside = tmp_path / "in"
    (inside / "handed").mkdir(parents=True)
    (inside / "handed" / "essay.ipynb").write_text("no notebook")
    (inside / "file").write_text("kept")
    monkeypatch.chdir(inside)
    monkeypatch.setattr(ppo, "_libraries", lambda: pytest.fail("PPO would begin"))
    before = sorted(tmp_path.rglob("*"))
    assert main([*command.split(), *COMMANDS[command].split(), "--out", out]) == 2
    error = capsys.readouterr().err
    assert error.startswith("wmlib: ") and error.count("\n") == 1, error
    assert "names no new file" in error or "holds something" in error or "file" in out, error
    assert sorted(tmp_path.rglob("*")) == before and (inside / "file").read_text() == "kept"


@pytest.mark.parametrize("out", ["..", "/", ".", "a\0b"])
@pytest.mark.parametrize("command", ["train-vae", "dream", "walk", "train-controller"])
def test_no_resume_says_so_too(command, out, capsys):
    assert main([command, *COMMANDS[command].split(), "--no-resume", "--out", out]) == 2
    assert "names no new file or folder" in capsys.readouterr().err


def test_a_slash_at_the_end_changes_no_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["gather", "--policy", "zero", "--steps", "1", "--out", "new/"]) == 0
    assert "Kept in new\n" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    for out in ("runs/c", "runs/c/", Path("runs/c"), "runs/./c"):
        assert storage.place(out, "-50000") == Path("runs/c-50000")


def test_a_run_may_be_kept_in_the_folder_that_we_are_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with whole.begun("smoke", "humanoid", 0, ".", True):
        assert (tmp_path / whole.CONFIG).is_file()
    with pytest.raises(InputError, match="holds a run with seed 0, not 1"), whole.begun("smoke", "humanoid", 1, ".", True):  # fmt: skip
        pass
