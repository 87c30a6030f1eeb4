"""The viewer as a browser shows it: the poses are MuJoCo's, everything can be used, and nothing that is shown can run."""

import base64
import functools
import http.server
import io
import json
import re
import threading

import mujoco
import numpy as np
import pytest
from PIL import Image

import wmlib as wm
from wmlib.errors import InputError

HUMANOID = wm.body.get("humanoid")
CHEETAH = wm.body.get("half_cheetah")


def poses(body, frames, seed=0):
    """Random poses, joints far out of their ranges, the quaternion not of length 1."""
    rng = np.random.default_rng(seed)
    return body.model.qpos0 + rng.normal(0, 0.8, (frames, body.model.nq))


def fall(frames=100):
    """A humanoid that sinks, quickly made."""
    qpos = np.tile(HUMANOID.model.qpos0, (frames, 1))
    qpos[:, 2] -= np.linspace(0, 0.5, frames)
    qpos[:, 7:] += 0.4 * np.sin(np.linspace(0, 3, frames))[:, None]
    return qpos


def of_mujoco(body, qpos):
    """Places of links and of drawn geoms by `mj_kinematics`, each (n, 3), with the track's start at the origin."""
    data = mujoco.MjData(body.model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(body.model, data)
    drawn = body.model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE
    return data.xpos.copy(), data.geom_xpos[drawn].copy()


# What Python makes of it.


def test_observations_and_physics_show_the_same_poses_as_qpos_but_for_the_place_on_the_floor():
    episode = wm.rollout(HUMANOID, wm.policies.RandomActions(HUMANOID), [1])[0]
    seen = [
        wm.viewer.poses_of(HUMANOID, "it", track)
        for track in (episode.qpos, episode.obs, episode.obs[:, :45])
    ]
    assert np.array_equal(seen[0][:, 2:], episode.qpos[:, 2:])
    assert np.allclose(seen[1][:, 7:], episode.qpos[:, 7:])
    assert np.allclose(
        seen[1][:, 3:7],
        episode.qpos[:, 3:7] / np.linalg.norm(episode.qpos[:, 3:7], axis=1, keepdims=True),
    )
    assert np.array_equal(seen[1], seen[2])


def test_a_scene_of_two_bodies_and_a_hundred_frames_is_at_most_60_kilobytes():
    scene = wm.viewer.show(
        {"reality": fall(), "dream": fall()},
        strip={"height": {"reality": fall()[:, 2], "dream": fall()[:, 2]}},
    )
    assert len(scene.html().encode()) < 60_000


def test_only_the_first_cell_carries_the_shared_script():
    wm.viewer._carrier.clear()
    first, second = wm.viewer.show(fall())._repr_html_(), wm.viewer.show(fall())._repr_html_()
    assert first.count('class="wm-shared"') == 2
    assert second.count('class="wm-shared"') == 0


def test_a_cell_that_runs_again_carries_the_script_again(monkeypatch):
    wm.viewer._carrier.clear()
    cells = iter(["a", "b", "a"])
    monkeypatch.setattr(wm.viewer, "_cell", lambda: next(cells))
    assert [wm.viewer._carries_script() for _ in range(3)] == [True, False, True]
    wm.viewer._carrier.clear()


def test_the_still_picture_shows_every_body_and_is_described():
    scene = wm.viewer.show({"reality": fall(), "dream": fall()}, mode="side", label="A fall")
    drawn = scene.still.count("<path")
    geoms = len(wm.viewer._drawn(HUMANOID.model))
    assert drawn == 2 * geoms * 3, "a shadow, an edge and a stroke for each part of each body"
    assert 'alt="A fall: humanoid, reality, dream, 100 frames of 0.015 s"' in scene.html()


WRONG = {
    "no track": (lambda: wm.viewer.show({}), "expected 1 to 8"),
    "nine tracks": (lambda: wm.viewer.show({str(i): fall(2) for i in range(9)}), "expected 1 to 8"),
    "a name that is no text": (lambda: wm.viewer.show({3: fall(2)}), "expected a text"),
    "a name of a thousand letters": (
        lambda: wm.viewer.show({"x" * 1000: fall(2)}),
        "at most 60 letters",
    ),
    "NaN": (
        lambda: wm.viewer.show({"a": np.where(fall(9) > 1.3, np.nan, fall(9))}),
        "NaN or infinity, first in row 0",
    ),
    "infinity": (
        lambda: wm.viewer.show(np.where(fall(2) > 1.3, np.inf, fall(2))),
        "NaN or infinity",
    ),
    "a million frames": (
        lambda: wm.viewer.show(np.zeros((1_000_000, 24))),
        "with 1 to 5,000 frames",
    ),
    "no frames": (lambda: wm.viewer.show(np.zeros((0, 24))), "with 1 to 5,000 frames"),
    "one pose": (lambda: wm.viewer.show(fall()[0]), "expected (frames, numbers)"),
    "another width": (
        lambda: wm.viewer.show(np.zeros((3, 25))),
        "expected 24 (qpos of humanoid), 45 (its physics) or 348",
    ),
    "words": (lambda: wm.viewer.show([["a", "b"]]), "not an array of numbers"),
    "ragged": (lambda: wm.viewer.show([[1, 2], [3]]), "not an array of numbers"),
    "another mode": (lambda: wm.viewer.show(fall(2), mode="triple"), "single, ghost, side"),
    "two as one": (
        lambda: wm.viewer.show({"a": fall(2), "b": fall(2)}, mode="single"),
        "use 'ghost' or 'side'",
    ),
    "another body": (lambda: wm.viewer.show(fall(2), "humaniod"), "Did you mean 'humanoid'?"),
    "a still past the end": (lambda: wm.viewer.show(fall(2), still=2), "expected 0 to 1"),
    "a strip of another length": (
        lambda: wm.viewer.show(fall(9), strip={"height": np.zeros(5)}),
        "(9,), one value a frame, or (8,), one a step",
    ),
    "a strip of no track": (
        lambda: wm.viewer.show(fall(9), strip={"height": {"dream": np.zeros(9)}}),
        "belongs to no trajectory",
    ),
    "a strip with NaN": (
        lambda: wm.viewer.show(fall(2), strip={"height": [0.0, np.nan]}),
        "NaN or infinity, first in row 1",
    ),
    "five strips": (
        lambda: wm.viewer.show(fall(2), strip={str(i): [0, 0] for i in range(5)}),
        "at most 4",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_gets_one_line(wrong):
    call, expected = WRONG[wrong]
    with pytest.raises(InputError) as caught:
        call()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "\"'>&lt;!--",
    "${window.pwned = 1}",
    "\u2028\u202e\\u003c",
]


def test_hostile_names_cannot_leave_the_data():
    page = wm.viewer.show(
        {name: fall(3) for name in HOSTILE}, label=HOSTILE[0], strip={HOSTILE[1]: fall(3)[:, 2]}
    ).html()
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    assert [track["name"] for track in json.loads(data)["tracks"]] == HOSTILE
    assert not set(data) & set("<>&")
    assert "<img src=x" not in page.replace(data, "")


# What the browser makes of it.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for path in wm.viewer.WEB.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def look(browser, folder):
    """Opens a page with these scenes, from the disk and without a network; what goes wrong is on record in `page.wrong`."""
    context = browser.new_context(viewport={"width": 800, "height": 700}, offline=True)
    context.set_default_timeout(20_000)

    def open_it(*scenes, draw="2d", address=None, html="", at=0, scripts=True):
        page, wrong = context.new_page(), []
        page.on(
            "request",
            lambda request: (
                wrong.append(request.url)
                if not request.url.startswith((address or "file:", "data:", "blob:"))
                else None
            ),
        )
        page.on(
            "console",
            lambda message: (
                wrong.append(message.text)
                if message.type in ("error", "warning") and "GL Driver" not in message.text
                else None
            ),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.wrong = wrong
        shared = (
            "".join(f'<script src="{name}"></script>' for name in wm.viewer.SCRIPTS)
            if scripts
            else ""
        )
        body = "".join(scene.html() for scene in scenes) + html
        (folder / "page.html").write_text(
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>viewers</title><body>{body}{shared}</body></html>',
            encoding="utf-8",
        )
        page.goto(f"{address or folder.as_uri()}/page.html?draw={draw}", wait_until="load")
        if scripts and scenes:
            page.wait_for_function(
                "at => document.querySelectorAll('.wm-viewer')[at].viewer?.draws > 0", arg=at
            )
        return page

    open_it.context = context
    yield open_it
    context.close()


def pixels(page, i=0):
    """The scene as drawn now, (pixels, 4)."""
    drawn = page.evaluate(
        "i => { const v = document.querySelectorAll('.wm-viewer')[i].viewer; v.dirty = true; v.draw(); return v.canvas.toDataURL(); }",
        i,
    )
    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(drawn.split(",")[1]))), dtype=int
    ).reshape(-1, 4)


def pause(page):
    page.evaluate(
        "document.querySelectorAll('.wm-viewer').forEach(place => place.viewer?.play(false))"
    )


@pytest.mark.browser
@pytest.mark.parametrize("draw", ["3d", "2d"])
@pytest.mark.parametrize("body", [HUMANOID, CHEETAH], ids=lambda body: body.name)
def test_links_and_parts_in_the_scene_are_where_mujoco_puts_them(body, draw, look):
    qpos = poses(body, 100)
    page = look(wm.viewer.show(qpos, body), draw=draw)
    assert page.evaluate("wmViewer.painter") == draw
    seen = page.evaluate("""() => { const v = document.querySelector('.wm-viewer').viewer, all = []; v.play(false);
        for (let f = 0; f < 100; f++) { v.show(f); v.draw(); all.push([v.links(), v.parts()]); } return all; }""")
    offset = page.evaluate("document.querySelector('.wm-viewer').viewer.scene.tracks[0].offset")
    for pose, (links, parts) in zip(qpos, seen, strict=True):
        true_links, true_parts = of_mujoco(body, pose)
        assert np.abs(np.array(links)[1:] - offset - true_links[1:]).max() < 1e-5
        assert np.abs(np.array(parts) - offset - true_parts).max() < 1e-5
    assert page.wrong == []


@pytest.mark.browser
@pytest.mark.parametrize("draw", ["3d", "2d"])
def test_the_scene_is_not_blank_frames_differ_and_a_ghost_shows_two_bodies(draw, look):
    apart = fall() + np.eye(24)[2] * 0.3
    page = look(wm.viewer.show({"reality": fall(), "dream": apart}), draw=draw)
    pause(page)
    first = pixels(page)
    assert (first[:, 3] > 0).mean() > 0.05
    orange = lambda seen: ((seen[:, 0] > seen[:, 2] + 60) & (seen[:, 3] > 128)).sum()
    violet = lambda seen: ((seen[:, 2] > seen[:, 1] + 40) & (seen[:, 3] > 128)).sum()
    assert orange(first) > 300
    assert violet(first) > 300
    page.evaluate("document.querySelector('.wm-viewer').viewer.show(80)")
    assert (pixels(page) != first).any(axis=1).mean() > 0.01
    page.get_by_role("button", name="dream").click()
    assert violet(pixels(page)) < 30, "a click on its name hides a body"
    assert orange(pixels(page)) > 300
    assert page.wrong == []


@pytest.mark.browser
def test_play_and_the_slider_move_it_and_pause_stops_it(look):
    page = look(wm.viewer.show(fall()))
    page.wait_for_function("document.querySelector('.wm-viewer').viewer.frame > 5")
    page.get_by_role("button", name="Pause").click()
    frame = page.evaluate("document.querySelector('.wm-viewer').viewer.frame")
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('.wm-viewer').viewer.frame") == frame
    page.get_by_role("slider").fill("40")
    assert page.evaluate("document.querySelector('.wm-viewer').viewer.frame") == 40
    assert page.locator("output").inner_text() == "0.60 s \u00b7 step 40"
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "0.60 s \u00b7 step 40"
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.wm-viewer').viewer.frame > 45")


@pytest.mark.browser
def test_everything_can_be_done_with_the_keyboard_and_is_labelled(look):
    page = look(wm.viewer.show(fall(), label="A fall"))
    pause(page)
    scene = page.get_by_role("img", name="A fall")
    scene.focus()
    state = "() => { const v = document.querySelector('.wm-viewer').viewer; return [...v.camera.position.toArray(), v.frame, v.playing]; }"
    before = page.evaluate(state)
    for key, moved in [("ArrowLeft", 0), ("ArrowUp", 2), ("+", 1), (".", 3)]:
        page.keyboard.press(key)
        after = page.evaluate(state)
        assert after[moved] != before[moved], key
        before = after
    page.keyboard.press("Space")
    assert page.evaluate(state)[4] is True
    page.keyboard.press("Tab")
    reached = []
    for _ in range(5):
        reached.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
            )
        )
        page.keyboard.press("Tab")
    assert reached == ["Pause", "Step", "Speed", "follow", "reset view"]
    assert page.wrong == []


@pytest.mark.browser
def test_dragging_turns_the_scene_and_the_wheel_scrolls_the_page_until_the_scene_is_clicked(look):
    page = look(wm.viewer.show(fall()), html="<div style='height: 2000px'></div>")
    pause(page)
    where = "document.querySelector('.wm-viewer').viewer.camera.position.toArray()"
    before = page.evaluate(where)
    page.mouse.move(400, 200)
    page.mouse.wheel(0, 100)
    page.wait_for_function("scrollY > 50")
    assert page.evaluate(where) == before
    page.evaluate("scrollTo(0, 0)")
    page.mouse.down()
    page.mouse.move(460, 210, steps=4)
    page.mouse.up()
    turned = page.evaluate(where)
    assert not np.allclose(turned, before)
    page.mouse.wheel(0, 100)
    page.wait_for_function(
        f"before => JSON.stringify({where}) !== before",
        arg=json.dumps(turned, separators=(",", ":")),
    )
    assert page.evaluate("scrollY") == 0


@pytest.mark.browser
def test_readers_who_want_less_motion_find_it_paused(look):
    look.context.close()
    context = look.context.browser.new_context(reduced_motion="reduce", offline=True)
    look.context = context
    page = context.new_page()
    scene = wm.viewer.show(fall())
    shared = "".join(f"<script>{wm.viewer.script(name)}</script>" for name in wm.viewer.SCRIPTS)
    page.set_content(f"<!DOCTYPE html><body>{scene.html()}{shared}</body>")
    page.wait_for_function("document.querySelector('.wm-viewer').viewer?.draws > 0")
    assert page.get_by_role("button", name="Play").is_visible()
    assert page.evaluate("document.querySelector('.wm-viewer').viewer.frame") == 0
    context.close()


@pytest.mark.browser
def test_twenty_viewers_share_one_context_and_lose_none(look):
    scenes = [wm.viewer.show({"reality": fall(30), "dream": fall(20)}) for _ in range(20)]
    page = look(*scenes, draw="3d")
    for i in range(20):
        page.evaluate("i => document.querySelectorAll('.wm-viewer')[i].scrollIntoView()", i)
        page.wait_for_function(
            "i => document.querySelectorAll('.wm-viewer')[i].viewer.draws > 0", arg=i
        )
        assert (pixels(page, i)[:, 3] > 0).mean() > 0.05
    assert page.evaluate("wmViewer.lost") == 0
    assert page.evaluate("wmViewer.painter") == "3d"
    assert page.wrong == []


@pytest.mark.browser
def test_without_webgl_or_with_a_slow_one_the_bodies_are_drawn_with_lines(look):
    look.context.add_init_script(
        "HTMLCanvasElement.prototype.getContext = (of => function (kind, ...rest) { return kind.startsWith('webgl') ? null : of.call(this, kind, ...rest); })(HTMLCanvasElement.prototype.getContext)"
    )
    page = look(wm.viewer.show(fall()), draw="3d")
    assert page.evaluate("wmViewer.painter") == "2d"
    assert (pixels(page)[:, 3] > 0).mean() > 0.05
    assert page.wrong == []


@pytest.mark.browser
def test_webgl_that_the_processor_draws_is_not_used(look):
    page = look(wm.viewer.show(fall()), draw="")
    assert page.evaluate("wmViewer.painter") == "2d", (
        "this test runs where there is no graphics card"
    )


@pytest.mark.browser
def test_a_lost_context_falls_back_to_lines(look):
    page = look(wm.viewer.show(fall()), draw="3d")
    page.evaluate(
        "document.querySelector('.wm-viewer').viewer.painter && wmViewer.renderer().getContext().getExtension('WEBGL_lose_context').loseContext()"
    )
    page.wait_for_function("wmViewer.painter === '2d'")
    assert (pixels(page)[:, 3] > 0).mean() > 0.05


@pytest.mark.browser
def test_it_works_over_http(look, folder):
    handler = functools.partial(
        type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None}),
        directory=folder,
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        look.context.set_offline(False)
        page = look(wm.viewer.show(fall()), address=f"http://127.0.0.1:{server.server_port}")
        assert (pixels(page)[:, 3] > 0).mean() > 0.05
        server.shutdown()
    assert [line for line in page.wrong if "favicon" not in line and "404" not in line] == []


@pytest.mark.browser
def test_where_scripts_are_blocked_the_still_picture_shows(browser):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.set_content(wm.viewer.show(fall(), label="A fall").html(shared=True))
    assert page.get_by_role("img").is_visible()
    assert "A fall" in page.get_by_role("img").get_attribute("alt")
    assert page.get_by_text("One frame.").is_visible()
    context.close()


@pytest.mark.browser
def test_hostile_names_and_damaged_data_run_nothing_and_stop_no_other_viewer(look):
    hostile = wm.viewer.show(
        {name: fall(3) for name in HOSTILE},
        label=HOSTILE[0],
        mode="side",
        strip={HOSTILE[1]: fall(3)[:, 2]},
    )
    sound = wm.viewer.show(fall())
    whole = sound.scene
    damaged = [
        "", "{}", "null", "not JSON", json.dumps({**whole, "nq": 7}), json.dumps({key: value for key, value in whole.items() if key != "model"}),
        json.dumps({**whole, "tracks": [{**whole["tracks"][0], "qpos": wm.viewer._packed(np.full((2, 24), np.nan))}]}),
        json.dumps({**whole, "tracks": [{**whole["tracks"][0], "qpos": "***"}]}), json.dumps({**whole, "tracks": []}),
    ]  # fmt: skip
    still = '<div class="wm-still">still</div>'
    broken = "".join(
        f'<div class="wm-viewer"><script type="application/json">{data}</script>{still}</div>'
        for data in damaged
    )
    page = look(hostile, html=broken + sound.html())
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src=x]").count() == 0
    assert page.get_by_role("button", name=HOSTILE[0], exact=True).count() == 1
    lines = page.locator("p.wm-wrong").all_inner_texts()
    assert len(lines) == len(damaged)
    assert all(line.startswith("This trajectory cannot be drawn: ") for line in lines)
    page.locator(".wm-viewer").last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.wm-viewer')].at(-1).viewer?.draws > 0")
    assert page.wrong == []


@pytest.mark.browser
def test_light_and_dark_follow_the_page_and_the_notebook(look):
    page = look(wm.viewer.show(fall()))
    pause(page)
    ground = "getComputedStyle(document.querySelector('.wm-viewer figure')).backgroundColor"
    light = page.evaluate(ground)
    for darken in (
        "document.documentElement.dataset.theme = 'dark'",
        "document.documentElement.dataset.theme = ''; document.body.dataset.jpThemeLight = 'false'",
    ):
        page.evaluate(darken)
        page.wait_for_function(f"before => {ground} !== before", arg=light)
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    page.wait_for_function(f"before => {ground} === before", arg=light)


@pytest.mark.browser
def test_the_output_of_a_notebook_brings_its_own_script(browser):
    """As JupyterLab shows a trusted output: the HTML is put into the page, then its scripts are made anew, one by one."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.set_content(
        "<!DOCTYPE html><body data-jp-theme-light='true'><div id=one></div><div id=two></div></body>"
    )
    put = """([id, html]) => { const place = document.getElementById(id); place.innerHTML = html;
        for (const old of [...place.querySelectorAll('script')]) { const made = document.createElement('script');
            for (const { name, value } of old.attributes) made.setAttribute(name, value); made.textContent = old.textContent; old.replaceWith(made); } }"""
    page.evaluate(put, ["one", wm.viewer.show(fall()).html(shared=True)])
    page.evaluate(put, ["two", wm.viewer.show(fall()).html()])
    page.wait_for_function("document.querySelector('#one .wm-viewer').viewer?.draws > 0")
    page.locator("#two").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#two .wm-viewer').viewer?.draws > 0")
    page.evaluate(put, ["one", wm.viewer.show(fall(30)).html(shared=True)])
    page.wait_for_function("document.querySelector('#one .wm-viewer').viewer?.last === 29")
    context.close()
