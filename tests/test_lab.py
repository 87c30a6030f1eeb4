"""Every chapter as a reader sees it who runs it: in the locked JupyterLab, and in Notebook 7, with a browser.

What was executed for the pages is opened as it is, and no kernel starts; one chapter runs here and now, and in the slow lane all do.
"""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tools import executor, lab, notebooks

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted(path.name for path in (ROOT / "chapters").glob("*.ipynb"))
LIVE = "A1_why_the_videos_broke.ipynb"  # the quickest
BAD = "executed/bad.ipynb"
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is drawn, in sight or not
    "docmanager-extension/plugin": {"autosave": False},
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.site,
    pytest.mark.xdist_group("lab"),  # one server, one JupyterLab
]


def executed(name):
    """A chapter with the outputs that stand on its page."""
    path = ROOT / "chapters" / name
    if not executor.kept(path, "smoke").is_file():
        pytest.fail(f"{name} was not executed: run `python -m tools book --scale smoke` first.")
    return executor.merged(path, "smoke")


@contextlib.contextmanager
def serving(folder, program):
    """A server of notebooks, executed ones and chapters as they were committed: its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in CHAPTERS:
        committed = (ROOT / "chapters" / name).read_bytes()
        for place, notebook in (("executed", executed(name)), ("chapters", committed)):
            (folder / "root" / place).mkdir(parents=True, exist_ok=True)
            (folder / "root" / place / name).write_bytes(notebook)
    (folder / "root" / BAD).write_text(json.dumps(bad_notebook()))
    for name, values in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    own["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    options = [
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        "--IdentityProvider.token=",
    ]
    options += [f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder / 'root'}"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", program, *options],
            env={**executor.environment(lab.environment()), **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def bad_notebook():
    texts = ["See {eq}`eq-1` and {numref}`fig-1`.", ":::{note}\nLook.\n:::", "By $$x = 1$"]
    cells = [
        {"cell_type": "markdown", "id": f"t{n}", "metadata": {}, "source": text}
        for n, text in enumerate(texts)
    ]
    gone = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "AAAA"}}
    cell = {
        "cell_type": "code",
        "id": "c",
        "metadata": {},
        "source": "draw()",
        "outputs": [gone],
        "execution_count": 1,
    }
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": [*cells, cell], "metadata": spec, "nbformat": 4, "nbformat_minor": 5}


def wait_for(address, log, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/api").close()
            return
        time.sleep(0.1)
    pytest.fail(f"The server does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("lab"), "jupyterlab") as address:
        yield address


def tab(browser, server):
    """JupyterLab in a browser, with nothing open."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    page.goto(f"{server}/lab?reset")
    page.wait_for_function("window.jupyterapp?.restored.then(() => true)")
    return page


@pytest.fixture(scope="module")
def reading(browser, server):
    """A tab in which no kernel starts: whoever asks for one waits for ever."""
    page = tab(browser, server)
    page.route(
        "**/api/sessions*",
        lambda route: route.fallback() if route.request.method == "GET" else None,
    )
    yield page
    page.close()


def show(page, path):
    """Opens a notebook, and nothing beside it."""
    page.evaluate(
        """async path => {
            await jupyterapp.commands.execute('application:close-all');
            await jupyterapp.commands.execute('docmanager:open', { path });
        }""",
        path,
    )


def expected(notebook):
    """What there is to see in a notebook."""
    cells = json.loads(notebook)["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    texts = [notebooks.source(cell) for cell in cells if cell["cell_type"] == "markdown"]
    return {
        "cells": len(cells),
        "folded cells": sum(notebooks.FOLDED.items() <= cell["metadata"].items() for cell in cells),
        "sentences": sum("text/markdown" in data for data in outputs),
        "pictures": sum(bool(set(data) & {"image/png", "image/svg+xml"}) for data in outputs),
        "viewers": sum("wm-viewer" in "".join(data.get("text/html", "")) for data in outputs),
        "numbered equations": sum(len(notebooks.TAG.findall(text)) for text in texts),
        "captions": sum(bool(notebooks.CAPTION.fullmatch(text.strip())) for text in texts),
        "closed answers": sum(text.count("<details") for text in texts),
    }


SEEN = """() => {
    const panel = [...document.querySelectorAll('.jp-Notebook')].find(one => one.offsetParent) ?? document.body;
    const all = selector => [...panel.querySelectorAll(selector)];
    const texts = all('.jp-RenderedMarkdown').map(one => {
        const copy = one.cloneNode(true);
        copy.querySelectorAll('code, pre, mjx-container').forEach(part => part.remove());
        return copy.textContent;
    });
    const literal = /\\{[a-z:]+\\}|:::|\\$|\\\\(tag|begin)|\\*\\*|^> /;
    return [{
        'cells': all('.jp-Cell').length,
        'folded cells': all('.jp-CodeCell .jp-Cell-inputWrapper .jp-Placeholder').length,
        'sentences': all('.jp-OutputArea .jp-RenderedMarkdown').filter(one => one.textContent.trim()).length,
        'pictures': all('.jp-RenderedImage img, .jp-RenderedSVG img').filter(one => one.naturalWidth).length,
        'viewers': all('.wm-viewer').filter(one => one.offsetHeight > 100).length,
        'numbered equations': all('mjx-container mjx-labels').length,
        'captions': all('.jp-MarkdownCell strong').filter(one => /^Figure [A\\d]+\\.\\d+\\.$/.test(one.textContent)).length,
        'closed answers': all('.jp-MarkdownCell details:not([open]) > summary').length,
    }, [
        ...texts.filter(text => literal.test(text)).map(text => 'literal: ' + text.trim().slice(0, 200)),
        ...all('mjx-merror').map(one => 'unreadable mathematics: ' + one.textContent),
        ...all('.jp-RenderedText[data-mime-type="application/vnd.jupyter.error"]').map(one => one.textContent),
    ]];
}"""


def wrong(page, notebook, seconds=30):
    """What a notebook shows less or more often than it should, and what it should not show at all; it has a while to come right."""
    wanted, until = expected(notebook), time.monotonic() + seconds
    while True:
        counts, found = page.evaluate(SEEN)
        found += [
            f"{what}: {counts[what]}, not {n}" for what, n in wanted.items() if counts[what] != n
        ]
        if not found or time.monotonic() > until:
            return found
        page.wait_for_timeout(250)


@pytest.mark.parametrize("name", CHAPTERS)
def test_what_was_executed_reads_in_jupyterlab(name, reading):
    show(reading, f"executed/{name}")
    assert wrong(reading, executed(name)) == []


def test_what_does_not_read_would_be_seen(reading):
    show(reading, BAD)
    assert wrong(reading, json.dumps(bad_notebook()), seconds=2) == [
        "literal: See {eq} and {numref}.",
        "literal: :::{note}\nLook.\n:::",
        "literal: By $$x = 1$",
        "pictures: 0, not 1",
    ]


def runs(page, name):
    """Runs a chapter as it was committed, from the top; then it is to read as what was executed for the pages."""
    show(page, f"chapters/{name}")
    page.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')", None)
    assert wrong(page, executed(name), seconds=180) == []
    if page.locator(".wm-viewer").count():
        assert page.locator(".wm-viewer canvas").count(), "the viewers do not run"


@pytest.mark.parametrize(
    "name",
    [LIVE, *(pytest.param(name, marks=pytest.mark.slow) for name in CHAPTERS if name != LIVE)],
)
def test_a_chapter_runs_in_jupyterlab_and_reads_the_same(name, browser, server):
    page = tab(browser, server)
    runs(page, name)
    page.close()


@pytest.mark.slow
def test_a_chapter_reads_in_notebook_7(browser, tmp_path):
    name = "03_what_does_it_see.ipynb"
    with serving(tmp_path, "notebook") as address:
        page = browser.new_page()
        page.goto(f"{address}/notebooks/executed/{name}")
        assert wrong(page, executed(name)) == []
        page.close()
