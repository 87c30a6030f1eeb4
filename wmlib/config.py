"""The sizes of a run at each scale.

Every chapter and every command reads its sizes here, so that one notebook serves the test (`smoke`), the class
(`small`) and the long run (`large`). The scale is chosen by the environment variable `WM_SCALE`.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass

from wmlib.errors import InputError


@dataclass(frozen=True)
class Scale:
    """The sizes of one scale.

    Attributes:
        name: `smoke`, `small` or `large`.
        real_steps: environment steps that gathering may take.
        eval_episodes: real episodes behind the mean of one run.
    """

    name: str
    real_steps: int
    eval_episodes: int


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", real_steps=400, eval_episodes=8),
        Scale("small", real_steps=10_000, eval_episodes=100),
        Scale("large", real_steps=250_000, eval_episodes=1_000),
    )
}


def current() -> Scale:
    """The scale named by `WM_SCALE`, or `small`.

    Raises:
        InputError: if `WM_SCALE` names no scale.
    """
    name = os.environ.get("WM_SCALE") or "small"
    if name not in SCALES:
        near = difflib.get_close_matches(name, SCALES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(f"WM_SCALE is '{name}'; expected one of {', '.join(SCALES)}.{hint}")
    return SCALES[name]
