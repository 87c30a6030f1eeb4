"""Workers and renderers never pull TensorFlow in, whatever they import on the way; and what the locks hold. (Which package may import which: pyproject.toml.)"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_what_workers_and_renderers_use_is_imported_without_tensorflow_and_without_opengl():
    code = """
import importlib, pkgutil, sys
import wmlib
for package in ("real", "control", "show", "classroom"):
    for module in pkgutil.iter_modules(importlib.import_module(f"wmlib.{package}").__path__):
        if module.name != "plots":  # draws with Matplotlib
            importlib.import_module(f"wmlib.{package}.{module.name}")
import wmlib.cli, wmlib.whole, wmlib.results
wmlib.body.get("humanoid")
print([name for name in ("tensorflow", "keras", "jax", "torch", "matplotlib") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-ppo.lock"])
def test_the_locks_have_no_tensorflow_probability_no_box2d_and_no_address(name):
    lock = (ROOT / name).read_text(encoding="utf-8").lower()
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
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.M))
        for name in ("requirements.lock", "requirements-ppo.lock")
    )
    assert {
        name: version for name, version in rivals.items() if books.get(name, version) != version
    } == {}
