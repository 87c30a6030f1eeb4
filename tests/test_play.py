"""Play in the dream: the page dreams what the library dreams, its MuJoCo is Python's, and everything can be done without a mouse, a network or motion."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbformat import v4

import wmlib as wm
from tools.book import without_models
from wmlib.errors import InputError
from wmlib.models import mdn, mdnrnn, nets, structured, vae, world
from wmlib.models import model as models
from wmlib.models.model import Starts
from wmlib.show.play import STARTS

ROOT = Path(__file__).resolve().parent.parent
STEPS, TAU = 50, 0.3
PLAY = "document.querySelector('.wm-play').play"


@pytest.fixture(scope="module")
def shipped():
    """C, the model as the page has it (weights as float16), and the widget."""
    C, model = wm.load("humanoid-walk"), wm.load("humanoid-walk-model")
    rounded = {name: np.float32(np.float16(part)) for name, part in model.params.items()}
    return C, model.using(rounded), wm.play(C, model)


@pytest.fixture(scope="module")
def shipped_world():
    """Likewise, of V and M."""
    C, model = wm.load("humanoid-dreamed"), wm.load("humanoid-world")
    return C, model, wm.play(C, model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shipped, shipped_world):
    """A page on the disk with its scripts beside it, as in the built book."""
    folder = tmp_path_factory.mktemp("play")
    (folder / "_static").mkdir()
    for path in (*wm.viewer.WEB.iterdir(), ROOT / "book" / "_static" / "book.js"):
        (folder / "_static" / path.name).write_bytes(path.read_bytes())
    for name, (*_, widget) in {"page.html": shipped, "world.html": shipped_world}.items():
        write(folder / name, widget.html())
        (folder / "_static" / f"play-{widget.key}.js").write_text(widget.model, encoding="utf-8")
    return folder


def write(path, html, scripts='<script src="_static/book.js"></script>'):
    path.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>play</title>{scripts}</head><body><main><h1>Play</h1>{html}</main></body></html>',
        encoding="utf-8",
    )


@pytest.fixture
def look(browser, folder):
    """Opens the page from the disk without a network; what goes wrong is on record in `page.wrong`."""
    contexts = []

    def open_it(address="", name="page.html", ready=True, width=800, start=True, **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, offline=True, **options
        )
        contexts.append(context)
        context.set_default_timeout(30_000)
        page, wrong = context.new_page(), []
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)  # fmt: skip
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)  # fmt: skip
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.wrong = wrong
        page.goto((folder / name).as_uri() + address, wait_until="load")
        if ready:
            page.wait_for_function("document.querySelector('.wm-viewer').viewer?.draws > 0")
        if ready and start:
            page.evaluate("document.querySelector('.wm-play .wm-start')?.click()")
            page.wait_for_function(f"{PLAY}?.viewer.draws > 0")
        return page

    yield open_it
    for context in contexts:
        context.close()


def starts(body, n=3):
    return [
        body.start(np.random.default_rng(seed), body.model.qpos0, np.zeros(body.model.nv))
        for seed in STARTS[:n]
    ]


# What Python makes of it.


def test_a_page_is_light_its_models_and_mujoco_lie_beside_it_and_a_notebook_carries_them(
    shipped, shipped_world
):
    for (C, model, widget), most in ((shipped, 800_000), (shipped_world, 1_700_000)):
        assert len(widget.html()) < 25_000
        assert len(widget.model) < most
        assert widget.model not in widget.html()
        notebook = widget._repr_html_()
        assert widget.model in notebook
        assert 'class="wm-mujoco"' not in notebook
        assert 'class="wm-mujoco"' in wm.play(C, model, simulator=True)._repr_html_()


def test_the_site_takes_the_model_out_of_a_chapter_and_lays_it_beside_the_pages(shipped_world):
    widget = shipped_world[2]
    output = v4.new_output("display_data", {"text/html": widget._repr_html_()})
    notebook = v4.new_notebook(cells=[v4.new_code_cell("wm.play(C, model)", outputs=[output])])
    page, beside = without_models(nbformat.writes(notebook).encode())
    assert beside == {f"book/_static/play-{widget.key}.js": widget.model.encode()}
    (cell,) = nbformat.reads(page.decode(), as_version=4).cells
    assert "wm-model" not in cell.outputs[0].data["text/html"]
    assert f'data-key="{widget.key}"' in cell.outputs[0].data["text/html"]


def test_only_a_c_and_the_model_it_belongs_to_can_be_played_with(shipped, shipped_world):
    C, model, _ = shipped
    asleep, vm, _ = shipped_world
    plain = wm.Controller(wm.Linear(model.body, "frame"))
    changed = replace(vm, mdnrnn=vm.mdnrnn.using({**vm.mdnrnn.params, "lstm.bias": np.zeros(1024, np.float32)}))  # fmt: skip
    for wrong, of in [
        (plain, model),
        (asleep, model),
        (C, vm),
        (asleep, changed),
        ({"x" * 99: C}, model),
        ({"mine": plain}, model),
    ]:
        with pytest.raises(InputError) as caught:
            wm.play(wrong, of)
        assert "\n" not in str(caught.value)


def test_no_name_can_leave_the_data(shipped):
    C, model, _ = shipped
    page = wm.play({"</script><script>window.pwned = 1</script>": C}, model).html()
    data = re.search(r'class="wm-dream">(.*?)</script>', page, re.DOTALL)[1]
    assert not set(data) & set("<>&")
    assert json.loads(data)["controllers"][0]["name"].startswith("</script>")


# What the browser makes of it.


def exact():
    """NumPy in float64 in the place of keras.ops: the library's own equations without float32's rounding."""
    names = "stack concatenate tanh sin cos clip reshape transpose matmul mean square sqrt exp sum zeros_like split expand_dims shape where abs max minimum maximum"
    made = {name: getattr(np, name) for name in names.split()}
    return SimpleNamespace(
        **made,
        rsqrt=lambda x: 1 / np.sqrt(x),
        sigmoid=lambda x: 1 / (1 + np.exp(-x)),
        convert_to_tensor=lambda x, dtype=None: x,
    )


@pytest.mark.browser
def test_the_page_dreams_what_the_library_dreams(look, shipped, monkeypatch):
    C, model, _ = shipped
    body = model.body
    physics = np.float32([body.physics(*start) for start in starts(body)])
    noise = model.noise(np.random.default_rng(0), STEPS, 3)[0]
    page = look()
    found = page.evaluate(
        """([physics, noise, tau]) => { const { dream } = document.querySelector('.wm-play').play.play;
        return physics.map((row, member) => { let state = dream.state(row); return noise.map(part => {
            const action = dream.act(dream.controllers[0], state), after = dream.step(state, action, Float64Array.from(part[member]), tau, member);
            state = after.state; return [[...state.physics], action, after.reward, after.ended]; }); }); }""",
        [physics.tolist(), noise.tolist(), TAU],
    )
    monkeypatch.setattr(structured, "ops", exact())
    monkeypatch.setattr(structured.nets, "silu", lambda x: x / (1 + np.exp(-x)))
    params = {name: part.astype(float) for name, part in model.params.items()}
    model = model.using(params)  # in its own kinematics, which is made here with NumPy
    for t in range(STEPS):
        state = (physics.astype(float), model.kinematics.limbs(physics.T.astype(float)).T)
        action = C.linear.act(C.params[None], C.linear.select(state[0])[None], state[0][None])[0]
        (after, _), said = model.step(state, action, (noise[t].astype(float),), TAU)
        physics = after.astype(np.float32)
        for member in range(3):
            seen, acted, reward, ended = found[member][t]
            assert np.abs(np.array(seen) - physics[member]).max() < 1e-5, (t, member)
            assert np.abs(np.array(acted) - action[member]).max() < 1e-5
            assert reward == pytest.approx(said.reward[member], abs=1e-5)
            assert not ended
    assert page.wrong == []


@pytest.mark.browser
def test_v_and_m_in_the_page_dream_what_they_dream_in_the_library(look, shipped_world, monkeypatch):
    C, model, _ = shipped_world
    v, m, body = model.vae, model.mdnrnn, model.body
    physics = np.float32([body.physics(*start) for start in starts(body)])
    noise = model.noise(np.random.default_rng(0), STEPS, 3)
    page = look(name="world.html", reduced_motion="reduce")
    found = page.evaluate(
        """([physics, gumbel, eps, tau]) => { const { dream } = document.querySelector('.wm-play').play.play;
        return physics.map((row, i) => { let state = dream.state(row); return gumbel.map((part, t) => {
            const z = [...state.z], action = dream.act(dream.controllers[0], state), after = dream.step(state, action, [part[i].flat(), eps[t][i]], tau);
            state = after.state; return [z, action, [...state.z], [...state.h], [...state.physics], after.reward, after.ended]; }); }); }""",
        [physics.tolist(), *(part.tolist() for part in noise), TAU],
    )
    for module in (nets, vae, mdn, mdnrnn, world, models):
        monkeypatch.setattr(module, "ops", exact())
    as_shown = {name: np.float16(part).astype(float) for name, part in (v.params | m.params).items()}  # fmt: skip
    v, m = (replace(one, params={name: as_shown[name] for name in one.params}) for one in (v, m))
    model = replace(model, vae=v, mdnrnn=m)
    x = np.clip((physics.astype(float) - np.float32(v.mean)) / np.float32(v.std), -10, 10)
    state = (physics, np.float32(v.encoder(x)[0]), *m.start(3))
    for t in range(STEPS):
        state = tuple(part.astype(float) for part in state)
        action = C.linear.act(C.params[None], state[1][None])[0]
        seen = np.array([found[i][t][0] for i in range(3)])
        assert np.abs(seen - state[1]).max() < 1e-5, t
        after, said = model.step(state, action, tuple(part[t].astype(float) for part in noise), TAU)
        state = tuple(np.float32(part) for part in after)
        fell = body.terminated(state[0])
        beyond = ~(said.outlier <= models.BEYOND)
        reward = np.where(beyond, 0, said.reward - body.alive_bonus * fell)
        for i, (_, *rest, ended) in enumerate(row[t] for row in found):
            true = action[i], state[1][i], state[2][i], state[0][i], reward[i]
            for got, expected in zip(rest, true, strict=True):
                assert np.abs(np.array(got) - expected).max() < 1e-5, (t, i)
            assert ended == (fell | beyond)[i]
    assert page.wrong == []


@pytest.mark.browser
def test_a_slider_of_z_shows_v_s_body_at_once_and_a_link_keeps_it(look):
    page = look(name="world.html", reduced_motion="reduce")
    to(page, 10)
    slider = page.get_by_role("group", name="V: numbers of the code").get_by_role("slider").first
    number = int(slider.get_attribute("aria-label").removeprefix("z "))
    before = page.evaluate(f"{PLAY}.viewer.links()")
    slider.fill("2")
    assert np.abs(np.array(page.evaluate(f"{PLAY}.viewer.links()")) - before).max() > 0.03
    assert page.evaluate(f"{PLAY}.play.events") == [[10, "z", number, 2]]
    assert f"z {number} is 2.00 now" in page.locator("canvas.wm-mixture + p").inner_text()
    to(page, 20)
    text = page.evaluate(f"{PLAY}.play.toText(20)")
    kept = look(f"#vm={text}", name="world.html")
    kept.wait_for_function(f"{PLAY}.viewer.frame === 20")
    assert shown(kept) == shown(page)
    page.get_by_role("button", name="Encode this pose").click()
    z, seen = page.evaluate(f"(() => {{ const {{ play }} = {PLAY}; return [play.given(20).z, play.dream.encode(play.frames[20].state.physics)]; }})()")  # fmt: skip
    assert z == seen
    assert page.wrong == kept.wrong == []


@pytest.mark.browser
def test_the_curve_of_m_is_a_density_and_narrows_with_the_temperature(look):
    page = look(name="world.html", reduced_motion="reduce")
    to(page, 5)
    widths = []
    for tau in ("1", "0.25", "0"):
        page.get_by_label("temperature").fill(tau)
        page.get_by_label("temperature").dispatch_event("change")
        hills, drawn = page.evaluate(
            f"(() => {{ const {{ play }} = {PLAY}, {{ dream }} = play, now = play.settings(5), {{ state, action }} = play.begun(5, now), said = dream.predict(state, action); return [dream.hills(said, 3, now.tau), dream.sample(said, dream.noise(play.seed, 5), now.tau)[3]]; }})()"
        )
        weight, mu, width = np.array(hills).T
        assert weight.sum() == pytest.approx(1)
        widths.append(width.max())
        to(page, 6)
        assert page.evaluate(f"{PLAY}.play.frames[6].state.z[3]") == pytest.approx(drawn)
        page.evaluate(f"{PLAY}.viewer.show(5)")
    assert widths == pytest.approx([widths[0], widths[0] / 2, 0])
    assert drawn == pytest.approx(mu[weight.argmax()]), "at 0 the middle of the likeliest hill"
    assert page.wrong == []


@pytest.mark.browser
def test_v_and_m_wake_up_and_remember(look):
    page = look(name="world.html", reduced_motion="reduce")
    to(page, 5)
    page.get_by_role("button", name="Wake up").click()
    page.wait_for_function(f"{PLAY}.play.real")
    to(page, 15)
    h, z, seen = page.evaluate(f"(() => {{ const {{ play }} = {PLAY}, {{ state }} = play.frames[15]; return [[...state.h], [...state.z], [...play.dream.encode(state.physics)]]; }})()")  # fmt: skip
    assert z == seen
    assert np.abs(h).max() > 0.1
    assert page.wrong == []


@pytest.mark.browser
def test_each_step_of_a_compiled_dream_is_the_page_s_step(look, shipped):
    """Of `wm.Dream` itself, in float32: compared step by step, since its rounding (a contact is felt over a centimetre) grows with each step."""
    C, model, _ = shipped
    dream = wm.Dream(model, C.linear, wm.DreamConfig(tau=TAU, horizon=STEPS))
    physics = np.stack([model.body.physics(*start) for start in starts(model.body)])
    track, noise = (
        dream.watch(C.params, Starts("", model.see(physics)), 1),
        dream.noise(STEPS, 3, 1),
    )
    found = look().evaluate(
        """([obs, action, noise, tau]) => { const { dream } = document.querySelector('.wm-play').play.play;
        return obs.map((rows, member) => action[member].map((given, t) => {
            const after = dream.step(dream.state(rows[t]), given, Float64Array.from(noise[t][member]), tau, member);
            return [[...after.state.physics], dream.act(dream.controllers[0], dream.state(rows[t])), after.reward]; })); }""",
        [track.obs.tolist(), track.action.tolist(), noise[0].tolist(), TAU],
    )
    assert (track.lengths == STEPS).all()
    for member in range(3):
        seen, acted, reward = (np.array(part) for part in zip(*found[member], strict=True))
        true = track.obs[member, 1:]
        assert (np.abs(seen - true) / (1 + np.abs(true))).max() < 1e-4
        assert np.abs(acted - track.action[member]).max() < 1e-5
        assert np.abs(reward - track.reward[member]).max() < 1e-4


@pytest.mark.browser
def test_mujoco_in_the_page_is_mujoco_in_python(look, shipped):
    body = shipped[1].body
    episode = wm.rollout(body, shipped[0], [1], max_steps=STEPS)[0]
    page = look()
    found = page.evaluate(
        """async ([qpos, qvel, action]) => { const real = new wmPlay.Real(await wmPlay.simulator(), document.querySelector('.wm-play').play.play.dream);
        real.set({ qpos, qvel }); return action.map(given => { real.step(given); real.set(real.get()); const { qpos, qvel } = real.get(); return [[...qpos], [...qvel]]; }); }""",
        [episode.qpos[0].tolist(), episode.qvel[0].tolist(), episode.action.tolist()],
    )
    assert len(found) == STEPS
    for t, (qpos, qvel) in enumerate(found):
        assert np.abs(np.array(qpos) - episode.qpos[t + 1]).max() < 1e-9, t
        assert np.abs(np.array(qvel) - episode.qvel[t + 1]).max() < 1e-9, t
    assert page.wrong == []


def shown(page):
    return page.evaluate(
        f"(() => {{ const {{ viewer, play }} = {PLAY}; return [viewer.frame, ...play.frames[viewer.frame].state.physics]; }})()"
    )


def to(page, frame):
    page.evaluate(f"{PLAY}.viewer.play(false)")
    page.evaluate(f"{PLAY}.run({frame})")


@pytest.mark.browser
def test_the_dream_goes_on_by_itself_and_faster_than_real_time(look):
    page = look()
    page.wait_for_function(f"{PLAY}.viewer.frame > 20")
    page.evaluate(f"{PLAY}.viewer.play(false)")
    seconds = page.evaluate(
        f"(() => {{ const {{ play }} = {PLAY}; play.begin({{}}); const t = performance.now(); for (let i = 0; i < 400; i++) play.next(); return (performance.now() - t) / 1000 / (play.last * play.dream.dt); }})()"
    )
    assert seconds < 0.5, "slower than twice real time, even on a busy machine"
    assert page.wrong == []


@pytest.mark.browser
@pytest.mark.parametrize("name", ["Start the dream", "Play"])
def test_the_model_is_loaded_when_asked_for_and_the_first_frames_come_soon(name, look, shipped):
    page = look(start=False)
    assert page.evaluate("window.wmModels") is None
    button = page.get_by_role("button", name=name)
    if name != "Play":
        assert f"(loads {len(shipped[2].model) / 1e6:.1f} MB)" in button.inner_text()
    page.evaluate("window.asked = performance.now()")
    button.click()
    page.wait_for_function(f"{PLAY}?.viewer.frame > 0")
    assert page.evaluate("performance.now() - window.asked") < 4000, "1 s, on a free machine"
    page.wait_for_function(f"{PLAY}.viewer.frame > 5")
    assert page.locator(".wm-start").count() == 0
    assert page.evaluate("document.activeElement.className") == "wm-scene"
    assert page.wrong == []


@pytest.mark.browser
def test_a_model_that_is_not_there_leaves_the_still_picture_and_a_line(look, folder, shipped):
    write(folder / "alone.html", shipped[2].html().replace(shipped[2].key, "0" * 12))
    page = look(name="alone.html", start=False)
    page.get_by_role("button", name="Start the dream").click()
    page.wait_for_selector(".wm-wrong")
    assert "play-000000000000.js is not beside" in page.locator(".wm-wrong").inner_text()
    assert page.locator(".wm-still").is_visible()


@pytest.mark.browser
def test_a_link_brings_back_the_frame_with_all_that_was_done(look):
    page = look(reduced_motion="reduce")
    assert page.evaluate(f"{PLAY}.viewer.playing") is False, "less motion: it waits for play"
    to(page, 30)
    page.get_by_label("temperature").fill("0.6")
    page.get_by_role("button", name="Push left").focus()
    page.keyboard.press("Enter")
    to(page, 60)
    page.get_by_label("its target").fill("0.4")
    page.get_by_label("C", exact=True).select_option("random actions")
    to(page, 70)
    text = page.evaluate(f"{PLAY}.play.toText(70)")
    assert text == "1,0,0,70;30t0.6;30p0,0.8;60j0,0.4;60c-2"
    page.wait_for_function("location.hash.length > 20")
    other = look(page.evaluate("location.hash"))
    other.wait_for_function(f"{PLAY}.viewer.frame === 70")
    assert shown(other) == shown(page)
    assert other.evaluate(f"{PLAY}.viewer.playing") is False
    assert page.wrong == other.wrong == []


@pytest.mark.browser
def test_an_earlier_frame_is_kept_and_a_push_there_begins_another_future(look):
    page = look(reduced_motion="reduce")
    to(page, 40)
    page.evaluate(f"{PLAY}.viewer.show(20)")
    early = shown(page)
    page.get_by_role("img").focus()
    page.keyboard.press("Shift+ArrowUp")
    assert page.evaluate(f"[{PLAY}.play.last, {PLAY}.viewer.last]") == [20, 20]
    assert shown(page) == early
    page.keyboard.press(".")
    pushed = shown(page)
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate(f"{PLAY}.play.events") == []
    assert shown(page) == early
    to(page, 21)
    assert pushed[1 + 22] - shown(page)[1 + 22] == pytest.approx(0.8, abs=0.3), (
        "it is faster by then"
    )


@pytest.mark.browser
def test_mujoco_is_asked_from_here_beside_the_dream_and_c_can_wake_up_and_dream_on(look):
    page = look(reduced_motion="reduce")
    to(page, 20)
    page.get_by_role("button", name="Ask MuJoCo").click()
    page.wait_for_function(f"{PLAY}.play.real")
    to(page, 40)
    apart = page.evaluate(f"[...{PLAY}.distance.subarray(0, 41)].map(Number)")
    assert np.isnan(apart[:20]).all()
    assert apart[20] < 1e-6
    assert 0 < apart[25] < 0.2
    page.get_by_role("button", name="Wake up").click()
    to(page, 60)
    assert page.evaluate(f"{PLAY}.play.frames.map(frame => !!frame.awake).indexOf(true)") == 41
    assert page.evaluate(f"{PLAY}.viewer.shown()") == [1]
    assert "Awake" in page.locator(".wm-said").inner_text()
    page.get_by_role("button", name="Dream on").click()
    to(page, 80)
    assert page.evaluate(f"{PLAY}.viewer.shown()") == [0]
    kept = look(f"#dream={page.evaluate(f'{PLAY}.play.toText(80)')}")
    kept.wait_for_function(f"{PLAY}.viewer.frame === 80")
    assert shown(kept) == shown(page)
    assert page.wrong == kept.wrong == []


@pytest.mark.browser
def test_five_futures_are_shown_and_gone_after_a_change(look):
    page = look(reduced_motion="reduce")
    to(page, 10)
    page.get_by_role("button", name="Show five futures").click()
    assert page.evaluate(f"{PLAY}.viewer.shown()") == [0, 2, 3, 4, 5, 6]
    assert "Five futures" in page.locator(".wm-said").inner_text()
    page.get_by_role("button", name="Push back").click()
    assert page.evaluate(f"{PLAY}.viewer.shown()") == [0]


@pytest.mark.browser
def test_the_torso_can_be_dragged_and_the_camera_stays(look):
    page = look(reduced_motion="reduce")
    x, y = page.evaluate(
        f"(() => {{ const {{ viewer }} = {PLAY}, {{ x, y }} = viewer.spot(0, 1), box = viewer.canvas.getBoundingClientRect(); return [box.left + x, box.top + y]; }})()"
    )
    camera = page.evaluate(f"{PLAY}.viewer.camera.position.toArray()")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y)
    page.mouse.up()
    (event,) = page.evaluate(f"{PLAY}.play.events")
    assert event[1] == "p"
    assert np.hypot(*event[2:]) == pytest.approx(1, abs=0.02)
    assert page.evaluate(f"{PLAY}.viewer.camera.position.toArray()") == camera


@pytest.mark.browser
def test_keys_drive_single_joints_while_they_are_held_and_only_in_the_scene(look):
    page = look(reduced_motion="reduce")
    events, held = f"{PLAY}.play.events", f"[...{PLAY}.held.keys()]"
    to(page, 5)
    thigh = page.evaluate(f"{PLAY}.play.dream.joints.indexOf('right_hip_y')")
    place = page.evaluate(f"{PLAY}.play.dream.driven[{thigh}][0]")
    page.get_by_label("temperature").focus()
    page.keyboard.press("q")
    assert page.evaluate(events) == []
    page.get_by_role("img").focus()
    for key, way in (("q", -1), ("a", 1)):
        page.evaluate(f"{PLAY}.viewer.show(5)")
        before = page.evaluate(f"{PLAY}.play.frames[5].state.physics[{place}]")
        page.keyboard.down(key)
        page.keyboard.down(key)  # it repeats itself
        assert page.evaluate(events) == [[5, "j", thigh, way]]
        to(page, 15)
        page.keyboard.up(key)
        assert page.evaluate(events) == [[5, "j", thigh, way], [15, "j", thigh, 0]]
        after = page.evaluate(f"{PLAY}.play.frames[15].state.physics[{place}]")
        assert way * (after - before) > 0.1
        page.evaluate(f"{PLAY}.undo(), {PLAY}.undo()")
    page.keyboard.down("p")
    page.get_by_label("temperature").focus()
    assert page.evaluate(held) == [], "who leaves the scene lets go"
    assert "thigh" in page.locator(".wm-help").inner_text()
    assert page.wrong == []


@pytest.mark.browser
@pytest.mark.parametrize("name", ["page.html", "world.html"])
def test_in_the_place_of_c_stand_held_joints_no_action_or_a_random_one(name, look):
    page = look(name=name, reduced_motion="reduce")
    acted = {}
    for c in (-1, -2, -3):
        page.get_by_label("C", exact=True).select_option(str(c))
        acted[c], physics, driven, action = page.evaluate(
            f"(() => {{ const {{ play }} = {PLAY}, {{ dream }} = play, {{ state, action }} = play.begun(0, play.settings(0)); return [action, [...state.physics], dream.driven, dream.action]; }})()"
        )
    low, high = np.transpose(action)
    pull = [10 * (rest - physics[q]) - 0.05 * physics[v] for q, v, rest in driven]
    assert acted[-1] == pytest.approx((high + low) / 2 + (high - low) / 2 * np.tanh(pull))
    assert acted[-3] == pytest.approx((high + low) / 2)
    assert np.std(acted[-2]) > 0.1
    assert page.wrong == []


@pytest.mark.browser
def test_a_paused_play_waits_and_another_theme_redraws_the_curve_at_once(
    look, folder, shipped_world
):
    C, model, _ = shipped_world
    write(folder / "paused.html", wm.play(C, model, paused=True).html())
    page = look(name="paused.html")
    page.wait_for_timeout(300)
    assert page.evaluate(f"[{PLAY}.viewer.playing, {PLAY}.play.last]") == [False, 0]
    picture = "document.querySelector('canvas.wm-mixture').toDataURL()"
    light = page.evaluate(picture)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"{picture} !== {json.dumps(light)}")
    assert page.wrong == []


HOSTILE = ["1e9,1,1,99999999", "1,2", "a", "1,0,0,50;9c99;9t1e9;9j99,9;9p1,2,3,4;9x1;;;", "%E0%A4%A", "1,0,0,9;<img src=x onerror=window.pwned=1>"]  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_link_runs_nothing_and_leaves_a_play(text, look):
    page = look(f"#dream={text}", reduced_motion="reduce")
    page.wait_for_function(f"!{PLAY}.restoring")
    to(page, page.evaluate(f"{PLAY}.viewer.frame") + 3)
    assert np.isfinite(shown(page)).all()
    assert page.evaluate("window.pwned") is None
    assert page.wrong == []


@pytest.mark.browser
def test_a_state_that_is_no_number_ends_the_play_with_a_line(look):
    page = look()
    page.evaluate(f"{PLAY}.play.dream.weights['out.bias'].fill(NaN)")
    page.wait_for_function(f"!{PLAY}.viewer.playing")
    assert "not finite" in page.locator(".wm-said").inner_text()
    page.get_by_role("button", name="One step").click()
    assert page.evaluate(f"{PLAY}.play.next()") is False
    assert page.wrong == []


@pytest.mark.browser
def test_damaged_data_leave_the_still_picture_and_a_line(look, folder, shipped):
    whole = shipped[2].html()
    data = re.search(r'class="wm-dream">(.*?)</script>', whole, re.DOTALL)[1]
    for damaged in ("", "null", "{}", data[:-20]):
        write(folder / "damaged.html", whole.replace(data, damaged))
        page = look(name="damaged.html", ready=False)
        page.wait_for_selector(".wm-wrong")
        assert "cannot be played" in page.locator(".wm-wrong").inner_text()
        assert page.locator(".wm-still").is_visible()
        assert page.wrong == []


@pytest.mark.browser
def test_where_scripts_are_blocked_a_picture_and_a_sentence_stay(look):
    page = look(java_script_enabled=False, ready=False)
    assert page.locator(".wm-still img").is_visible()
    assert "It moves where scripts may run" in page.locator("main").inner_text()


@pytest.mark.browser
def test_a_notebook_s_output_brings_its_scripts_and_says_where_mujoco_is(look, folder, shipped):
    write(folder / "notebook.html", shipped[2]._repr_html_(), scripts="")
    page = look(name="notebook.html", reduced_motion="reduce")
    page.get_by_role("button", name="Ask MuJoCo").click()
    page.wait_for_function("document.querySelector('.wm-said').textContent.includes('simulator=True')")  # fmt: skip
    C, model, _ = shipped
    write(folder / "notebook.html", wm.play(C, model, simulator=True)._repr_html_(), scripts="")
    page = look(name="notebook.html", reduced_motion="reduce")
    page.get_by_role("button", name="Ask MuJoCo").click()
    page.wait_for_function(f"{PLAY}.play.real")
    assert page.wrong == []


@pytest.mark.browser
@pytest.mark.parametrize("name", ["page.html", "world.html"])
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_and_a_narrow_screen_holds_it(look, dark, name):
    page = look(
        name=name, width=320, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    if dark:
        page.add_style_tag(content="body { background: #121212; color: #eee; }")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 320
    page.evaluate((ROOT / "tools" / "axe" / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert [(one["id"], [node["html"][:90] for node in one["nodes"]]) for one in found] == []
