"""V, M and C together: the compiled dream, evolution inside it, waking up, and the loop of dreaming, acting and learning again."""

from typing import Any


def __getattr__(name: str) -> Any:
    """What `wm.dream` means is in the module of the same name."""
    from importlib import import_module

    return getattr(import_module("wmlib.dream.dream"), name)
