"""Exercises, their marking and grading. A reader needs none of it."""

from typing import Any


def __getattr__(name: str) -> Any:
    """What `wm.classroom` means is in the module of the same name."""
    from importlib import import_module

    return getattr(import_module("wmlib.classroom.classroom"), name)
