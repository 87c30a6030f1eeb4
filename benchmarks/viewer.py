"""What a viewer costs: a frame drawn with lines beside one drawn by WebGL that the processor renders, and kilobytes of a page.

Both painters draw the same scene of two bodies, in turns, in headless Chromium without a graphics card (Playwright and the
system's Chromium are needed). The table gives the median and the range over rounds.
"""

import gzip
import shutil
import tempfile
from pathlib import Path

import numpy as np

import wmlib as wm

ROUNDS, FRAMES = 5, 30
DRAW = """n => { const viewer = document.querySelector('.wm-viewer').viewer; viewer.play(false); const began = performance.now();
    for (let i = 0; i < n; i++) { viewer.show(i); viewer.draw(); viewer.canvas.getContext('2d').getImageData(0, 0, 1, 1); }
    return (performance.now() - began) / n; }"""


def scene(mode):
    """Two bodies, a hundred frames, a strip."""
    body = wm.body.get("humanoid")
    qpos = wm.rollout(body, wm.policies.hold_pose(body), range(20))
    pair = {"reality": qpos[0].qpos[:80], "dream": qpos[1].qpos[:80]}
    pair = {name: np.concatenate([track, track])[:100] for name, track in pair.items()}
    return wm.viewer.show(
        pair, mode=mode, strip={"height": {name: track[:, 2] for name, track in pair.items()}}
    )


def main():
    from playwright.sync_api import sync_playwright

    shown = scene("ghost")
    shared = {name: (wm.viewer.WEB / name).read_bytes() for name in wm.viewer.SCRIPTS}
    for name, data in shared.items():
        print(
            f"{name:10} {len(data) / 1000:6.0f} kB, {len(gzip.compress(data)) / 1000:4.0f} kB gzipped, once for the site"
        )
    print(
        f"a cell with two bodies, 100 frames and a strip: {len(shown.html().encode()) / 1000:.0f} kB (at most 60)"
    )
    program = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if program is None:
        print("There is no Chromium on this machine: frames were not timed.")
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        ).new_page(viewport={"width": 800, "height": 700})
        (Path(folder) / "page.html").write_text(
            f"<!DOCTYPE html><meta charset=utf-8><body>{shown.html(shared=True)}", encoding="utf-8"
        )
        times = {"3d": [], "2d": []}
        for _ in range(ROUNDS):
            for kind, seen in times.items():
                page.goto(f"file://{folder}/page.html?draw={kind}")
                page.wait_for_function("document.querySelector('.wm-viewer').viewer?.draws > 0")
                seen.append(page.evaluate(DRAW, FRAMES))
    slow = np.median(times["3d"])
    for kind, name in (
        ("3d", "three.js, WebGL drawn by the processor"),
        ("2d", "lines on a canvas"),
    ):
        middle = np.median(times[kind])
        print(
            f"{name:40} {middle:6.1f} ms a frame ({min(times[kind]):.1f}-{max(times[kind]):.1f}), {1000 / middle:4.0f} frames/s, {slow / middle:4.1f}x"
        )


if __name__ == "__main__":
    main()
