"""What every test may count on."""

import os
import shutil
import signal

import pytest

# What is started in the background is born deaf to interrupts, and so is all that it starts; some tests send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-default-apps", "--no-first-run"]


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
