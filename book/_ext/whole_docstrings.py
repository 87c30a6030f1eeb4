"""Sphinx: the docstring of a property or a variable is a sentence. Napoleon would take what stands before a colon for a type."""

from __future__ import annotations

from typing import Any

_kept: dict[str, list[str]] = {}


def _keep(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what in ("attribute", "data", "property") and not any(
        line.strip() in ("Raises:", "Returns:", "Example:") for line in lines
    ):
        _kept[name] = list(lines)


def _give_back(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if name in _kept:
        lines[:] = _kept.pop(name)


def setup(app: Any) -> dict[str, Any]:
    """Stands before and after Napoleon, whose own priority is 500."""
    app.connect("autodoc-process-docstring", _keep, priority=400)
    app.connect("autodoc-process-docstring", _give_back, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
