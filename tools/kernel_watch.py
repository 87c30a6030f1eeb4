"""A pytest plugin for the chapters: a kernel that dies fails its cell within seconds, where nbval alone waits out the cell's time limit."""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

import pytest
from nbval.kernel import RunningKernel  # type: ignore[import-untyped]

LOOK_EVERY = 2.0  # seconds between two looks at the kernel's process
_await_reply = RunningKernel.await_reply


def await_reply(self: Any, msg_id: str, timeout: float | None = None) -> None:
    """nbval's own wait for a cell's reply, cut into short waits with a look at the process between them."""
    waited_until = time.monotonic() + (timeout or float("inf"))
    while True:
        try:
            _await_reply(self, msg_id, timeout=min(LOOK_EVERY, timeout or LOOK_EVERY))
            return
        except Empty:
            if not self.is_alive():
                raise RuntimeError("The kernel died while it ran this cell (out of memory, os._exit or a crash in compiled code).") from None
            if time.monotonic() > waited_until:
                raise


def pytest_configure(config: pytest.Config) -> None:
    """Puts the watch in place for this run."""
    RunningKernel.await_reply = await_reply
