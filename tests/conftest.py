"""What every test may count on."""

import multiprocessing
import os
import shutil
import signal
from multiprocessing import forkserver
from pathlib import Path

import pytest

# What is started in the background is born deaf to interrupts, and so is all that it starts; some tests send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium without a window; WM_CHROMIUM names another. Where there is none, the test is skipped by name."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = os.environ.get("WM_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def processes():
    """Processes to be killed, forked from one that has imported everything that they need, TensorFlow too, and begun nothing."""
    here = Path(__file__).parent
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killable", "killable_stage"])
    with pytest.MonkeyPatch.context() as patch:  # the server finds its modules by itself
        patch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parent)]))
        forkserver.ensure_running()
    return context
