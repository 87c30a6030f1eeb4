"""Doors lead one way: the rooms that workers and renderers use never pull TensorFlow in."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wmlib

FOLDER = Path(wmlib.__file__).parent
WITHOUT_TENSORFLOW = [
    "scales", "runs", "body", "policies", "rollout", "episodes", "evaluate", "classroom", "marking", "jail", "nbgrading", "grading", "weights", "cli", "viewer", "videos",
    "controller", "evolution", "zoo", "awake", "search", "results", "whole", "workers", "explorer",
]  # fmt: skip
# What each room may import from wmlib: the doors of the design page.
DOORS = {
    "runs": set(), "scales": {"runs"}, "body": {"runs", "zoo"}, "zoo": {"body"}, "policies": {"body", "runs"}, "rollout": {"body", "policies", "runs"},
    "workers": {"rollout", "runs"}, "episodes": {"body", "policies", "rollout", "runs", "scales", "workers"}, "evaluate": {"body", "policies", "rollout", "runs", "scales"},
    "controller": {"body", "runs", "weights"}, "evolution": {"runs"}, "awake": {"body", "controller", "policies", "rollout", "workers"},
    "search": {"awake", "body", "controller", "evolution", "runs", "scales", "weights", "workers"},
    "waking": {"body", "controller", "nets", "runs", "world"}, "results": {"body", "controller", "evaluate", "policies", "ppo", "runs", "waking", "world"}, "ppo": {"body", "runs", "scales", "weights"},
    "palette": set(), "explorer": {"palette", "runs"}, "plots": {"body", "evaluate", "palette"}, "viewer": {"body", "palette", "runs"}, "videos": {"body", "palette", "runs", "viewer"},
    "classroom": {"nbgrading", "runs"}, "marking": {"runs"}, "nbgrading": {"runs"},
    "jail": {"marking", "runs"}, "grading": {"classroom", "jail", "marking", "nbgrading", "runs"},
    "nets": set(), "weights": {"runs"}, "mdn": {"nets"}, "training": {"nets", "runs", "weights"},
    "vae": {"body", "nets", "runs", "weights"}, "mdnrnn": {"body", "episodes", "mdn", "nets", "runs", "vae", "weights"},
    "ensemble": {"body", "episodes", "mdn", "nets", "runs", "vae", "weights"}, "world": {"body", "mdn", "mdnrnn", "nets", "runs", "vae", "weights"},
    "minds": {"body", "ensemble", "episodes", "mdn", "nets", "runs", "world"}, "slots": set(),
    "dream": {"body", "controller", "ensemble", "episodes", "minds", "nets", "runs", "slots", "world"},
    "dreamenv": {"body", "dream", "minds", "nets", "runs"}, "truth": {"body", "episodes", "rollout", "runs"},
    "asleep": {"controller", "waking", "body", "dream", "ensemble", "episodes", "evolution", "minds", "runs", "weights", "world"},
    "refit": {"ensemble", "episodes", "mdnrnn", "nets", "runs", "training", "vae", "world"},
    "rounds": {"asleep", "body", "controller", "dream", "ensemble", "episodes", "mdnrnn", "policies", "refit", "runs", "scales", "vae", "weights", "world"},
    "iterate": {"asleep", "body", "controller", "ensemble", "episodes", "policies", "refit", "rollout", "rounds", "runs", "scales", "waking", "world"},
    "heldout": {"body", "episodes", "runs", "vae", "world"},
    "stages": {"ensemble", "episodes", "heldout", "mdnrnn", "runs", "training", "vae", "world"},
    "autopsy": {"body", "episodes", "evolution", "mdnrnn", "nets", "rollout", "runs", "scales", "training", "vae"},
    "cli": {"asleep", "body", "dream", "ensemble", "episodes", "evaluate", "evolution", "grading", "heldout", "iterate", "mdnrnn", "policies", "ppo", "refit", "results", "rollout", "rounds", "runs", "scales", "search", "stages", "training", "vae", "videos", "whole", "workers", "world"},
    "whole": {"evaluate", "results", "runs"},
    "__main__": {"cli"}, "__init__": set(wmlib.__all__),
}  # fmt: skip


def rooms_imported_by(path):
    """Names of the wmlib modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "wmlib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wmlib."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("wmlib.")
            }
    return found


def test_every_room_imports_only_through_its_doors():
    rooms = {path.stem: rooms_imported_by(path) for path in FOLDER.glob("*.py")}
    assert rooms.keys() == DOORS.keys(), "a new room needs its doors named in DOORS"
    for room, imported in rooms.items():
        assert imported <= DOORS[room], f"{room} imports {sorted(imported - DOORS[room])}"


def test_the_rooms_for_workers_import_without_tensorflow_and_without_opengl():
    code = (
        f"import sys; import {', '.join(f'wmlib.{room}' for room in WITHOUT_TENSORFLOW)}; wmlib.body.get('humanoid');"
        "print([name for name in ('tensorflow', 'keras', 'jax', 'torch', 'matplotlib') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER.parent
    )
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-ppo.lock"])
def test_the_locks_have_no_tensorflow_probability_no_box2d_and_no_address(name):
    lock = (FOLDER.parent / name).read_text(encoding="utf-8").lower()
    assert "tensorflow-probability" not in lock
    assert "box2d" not in lock
    assert "://" not in lock
    assert "--index" not in lock
    assert "--find-links" not in lock
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "mujoco==3.14.0" in lock


def test_the_two_locks_agree():
    books, rivals = (
        dict(
            re.findall(
                r"^([\w.-]+)==(\S+)", (FOLDER.parent / name).read_text(encoding="utf-8"), re.M
            )
        )
        for name in ("requirements.lock", "requirements-ppo.lock")
    )
    assert {
        name: version for name, version in rivals.items() if books.get(name, version) != version
    } == {}
