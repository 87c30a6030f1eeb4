"""Workers and renderers never pull TensorFlow in, whatever they import on the way; and what the locks hold. (Which package may import which: pyproject.toml.)"""

import ast
import io
import re
import subprocess
import sys
import tokenize
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


def code_lines(path: Path) -> int:
    """Lines with code: blank ones, comments and docstrings are not counted."""
    text = path.read_text(encoding="utf-8")
    said: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):  # fmt: skip
            said |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - said)


def test_the_library_stays_small():
    """A change that makes it larger raises a number here, and says in its commit what that buys."""
    lines = {path: code_lines(path) for path in (ROOT / "wmlib").rglob("*.py")}
    heart = sum(n for path, n in lines.items() if path.relative_to(ROOT / "wmlib").parts[0] in ("real", "models", "control", "dream"))  # fmt: skip
    assert heart <= 5_348
    assert sum(lines.values()) <= 10_218
