"""The built site as a reader sees it: every page in headless Chromium, from the disk, with every request on record.

It needs the system's Chromium (see conftest.py) and is skipped, by name, where there is none.
"""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(os.environ.get("WM_SITE") or ROOT / "_build" / "smoke" / "html").resolve()
NARROW = {"width": 360, "height": 740}  # the narrowest screen that the pages are made for
WIDE = {"width": 1280, "height": 900}
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.relative_to(SITE).parts
)
READ = [page for page in PAGES if page != "index.html"]  # index.html only sends one on
CHAPTERS = [page for page in READ if page.startswith("chapters/")]
NUMBERED = [
    page for page in CHAPTERS if not page.startswith("chapters/A")
]  # the others are appendices: no exercises, no quiz
AXE = ROOT / "tools" / "axe" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SAMPLE = [
    page
    for page in (
        "book/intro.html",
        "book/lessons.html",
        "book/api/real.html",
        "chapters/01_why_dream.html",
        "book/bibliography.html",
        "search.html",
    )
    if page in READ
]

pytestmark = [pytest.mark.browser, pytest.mark.site]


@pytest.fixture(scope="module")
def context(browser):
    if not PAGES:
        pytest.fail(
            f"There is no built site in {SITE}: run `python -m tools book --scale smoke` first.",
            pytrace=False,
        )
    context = browser.new_context(viewport=WIDE, offline=True)
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def reader(context):
    """A tab, and what went wrong in it: requests that leave the disk or fail, and errors on the console."""
    page, wrong = context.new_page(), []
    page.set_viewport_size(WIDE)
    page.on(
        "request",
        lambda request: (
            wrong.append(f"asks for {request.url}")
            if not request.url.startswith(("file:", "data:", "blob:"))
            else None
        ),
    )
    page.on(
        "requestfailed",
        lambda request: wrong.append(f"cannot get {request.url}: {request.failure}"),
    )
    page.on(
        "console",
        lambda message: (
            wrong.append(f"console: {message.text}") if message.type == "error" else None
        ),
    )
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.wrong = wrong
    yield page
    page.close()


def open_page(reader, page):
    reader.goto((SITE / page).as_uri(), wait_until="load")
    if reader.locator("span.math, div.math").count():
        reader.wait_for_function("!!window.MathJax?.startup?.promise")
        reader.evaluate("MathJax.startup.promise")


def wider_than_the_screen(reader):
    """By how many pixels the page is wider than its window, and the elements that stick out."""
    return reader.evaluate("""() => {
        const width = document.documentElement.clientWidth, most = document.scrollingElement.scrollWidth;
        const hidden = e => { for (; e; e = e.parentElement) { const s = getComputedStyle(e);
            if (s.position === 'fixed' || e.parentElement && /auto|scroll|hidden|clip/.test(getComputedStyle(e.parentElement).overflowX)
                && e.parentElement !== document.body) return true; } return false; };
        const out = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > width + 1 && !hidden(e));
        return [most - width, out.slice(0, 3).map(e => e.tagName.toLowerCase() + '.' + e.className)];
    }""")


@pytest.mark.parametrize("page", READ)
def test_the_page_opens_without_network_or_errors_draws_asks_and_fits_a_narrow_screen(page, reader):
    """Everything of one page in one opening: mathematics, pictures, viewers, quizzes, width, console."""
    open_page(reader, page)
    assert reader.locator("mjx-merror").count() == 0, "MathJax could not read an equation"
    assert (
        reader.locator("span.math, div.math").count() == 0
        or reader.locator("mjx-container").count() > 0
    ), "the mathematics is not typeset"
    broken = reader.evaluate(
        "[...document.images].filter(i => i.loading !== 'lazy' && !i.naturalWidth && i.offsetParent).map(i => i.src)"
    )
    assert broken == [], "pictures that do not show"
    if page in ("book/intro.html", *CHAPTERS):
        every_viewer_draws_moves_and_weighs_little(reader)
    if page in NUMBERED:
        every_quiz_is_answered_with_the_keyboard_alone_and_has_one_right_choice(reader)
    reader.set_viewport_size(NARROW)
    beyond, what = wider_than_the_screen(reader)
    assert beyond <= 0, (
        f"{page} is {beyond} pixels wider than a screen of {NARROW['width']}: {what}"
    )
    assert reader.wrong == []


def test_the_first_page_leads_into_the_book(reader):
    reader.goto((SITE / "index.html").as_uri())
    reader.wait_for_url("**/book/intro.html")
    assert reader.locator("article h1").count() == 1


def test_mathematics_is_typeset_and_equations_are_numbered(reader):
    open_page(reader, "book/notation.html")
    assert reader.locator("mjx-container svg").count() > 10
    assert reader.locator(".eqno").first.inner_text().startswith("(1)")


def test_search_finds_a_word_from_the_disk(reader):
    reader.goto((SITE / "search.html").as_uri() + "?q=temperature")
    reader.locator("#search-results li a").first.wait_for()
    found = reader.locator("#search-results li a").all_inner_texts()
    assert "Glossary" in found
    assert reader.wrong == []


def test_the_search_field_is_reachable_from_every_kind_of_page(reader):
    open_page(reader, "book/intro.html")
    reader.keyboard.press("Control+k")
    reader.locator("input[type=search]:visible").first.fill("latent")
    reader.keyboard.press("Enter")
    reader.wait_for_url("**/search.html?q=latent*")


def test_the_dark_mode_button_darkens_the_page_and_is_remembered(reader):
    def brightness():
        return reader.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => +a + +b, 0)"
        )

    open_page(reader, "book/intro.html")
    seen = {reader.evaluate("document.documentElement.dataset.theme"): brightness()}
    for _ in range(3):
        reader.locator("button.theme-switch-button:visible").first.click()
        seen[reader.evaluate("document.documentElement.dataset.theme")] = brightness()
        if len(seen) == 2 and reader.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    assert seen["dark"] < 200 < 600 < seen["light"]
    open_page(reader, "book/notation.html")
    assert reader.evaluate("document.documentElement.dataset.theme") == "dark"
    reader.evaluate("localStorage.clear()")


@pytest.mark.parametrize("page", ["book/intro.html", "chapters/01_why_dream.html"])
def test_text_stands_out_from_its_ground_in_light_and_dark(page, reader):
    """The contrast that WCAG asks for, 4.5 to 1, for running text, captions, links, muted text, code and tables."""
    open_page(reader, page)
    for theme in ("light", "dark"):
        reader.evaluate(
            "theme => { document.documentElement.dataset.theme = theme; document.documentElement.dataset.mode = theme; }",
            theme,
        )
        contrasts = reader.evaluate("""() => {
            const rgb = c => c.match(/[\\d.]+/g).map(Number);
            const light = c => rgb(c).slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
            const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
            return ['article p', 'article h1', 'figcaption .caption-text', 'article p a', 'article code', 'nav.bd-links a',
                    'div.cell_input span.k', 'div.cell_output pre', 'table.scorecard td', 'table.scorecard small', 'table.scorecard caption',
                    'div.quiz summary'].filter(s => document.querySelector(s)).map(s => {
                const e = document.querySelector(s), a = light(getComputedStyle(e).color), b = light(ground(e));
                return [s, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; });
        }""")
        assert [
            (what, round(contrast, 2)) for what, contrast in contrasts if contrast < 4.5
        ] == [], theme


def every_quiz_is_answered_with_the_keyboard_alone_and_has_one_right_choice(reader):
    questions = reader.locator("div.quiz")
    assert 2 <= questions.count() <= 3, "a chapter has two or three questions"
    for question in questions.all():
        assert question.locator("details.quiz-right").count() == 1
        assert question.locator("details.quiz-wrong").count() >= 1
        first = question.locator("details").first
        first.locator("summary").focus()
        assert not first.locator("p").first.is_visible()
        reader.keyboard.press("Enter")
        assert first.locator("p").first.is_visible(), "Enter opens the feedback of a choice"
        reader.keyboard.press("Tab")
        assert (
            question.locator("details summary").nth(1).evaluate("e => e === document.activeElement")
        ), "Tab leads to the next choice"


def every_viewer_draws_moves_and_weighs_little(reader):
    places = reader.locator(".wm-viewer")
    assert places.count() >= 1, "the page has a body that moves"
    plays = "[...document.querySelectorAll('.wm-play[data-key]')]"
    for start in reader.get_by_role("button", name="Start the dream").all():
        start.click()
    reader.wait_for_function(f"{plays}.every(place => place.play)")
    reader.evaluate(f"{plays}.forEach(place => place.play.viewer.play(true))")
    for place in places.all():
        place.scroll_into_view_if_needed()
        reader.wait_for_function(
            "place => place.viewer?.draws > 1 && place.viewer.frame > 0", arg=place.element_handle()
        )
        assert not place.locator(".wm-still").is_visible()
        drawn = place.evaluate("""place => { const c = place.querySelector('canvas');
            return new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size; }""")
        assert drawn > 50, "the scene is blank"
        kilobytes = (
            len(
                place.evaluate(
                    "place => place.querySelector('script').outerHTML + place.querySelector('.wm-still').outerHTML"
                )
            )
            / 1000
        )
        frames = place.evaluate(
            "place => place.viewer.scene.tracks.reduce((sum, track) => sum + track.n, 0)"
        )
        assert kilobytes < 20 + 0.2 * frames


# Everybody can read it: axe-core finds nothing on any page, light or dark, and what it cannot judge is tested here. No rule is switched
# off and no element is left out. The gate asks about a page of each kind, `make slow` about every page.
def themed(context, page, theme="light"):
    """A tab with the page in a theme, its mathematics typeset."""
    tab = context.new_page()
    tab.add_init_script(
        f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
    )
    tab.emulate_media(reduced_motion="reduce")
    tab.set_viewport_size(WIDE)
    open_page(tab, page)
    assert tab.evaluate("document.documentElement.dataset.theme") == theme
    return tab


def violations(tab):
    """One line for each violation: rule, how many elements, the first of them."""
    tab.add_script_tag(path=str(AXE))
    found = tab.evaluate(
        "tags => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", TAGS
    )["violations"]
    return [
        f"{rule['id']} ({len(rule['nodes'])}): {rule['nodes'][0]['html'][:200]}\n      {rule['nodes'][0]['failureSummary'][:300]}"
        for rule in found
    ]


def judge(tab, page):
    """Light first, as it was opened, then dark."""
    for theme in ("light", "dark"):
        tab.evaluate(
            "theme => { document.documentElement.dataset.theme = theme; document.documentElement.dataset.mode = theme; }",
            theme,
        )
        if found := violations(tab):
            pytest.fail(f"{page}, {theme}:\n  " + "\n  ".join(found), pytrace=False)


@pytest.fixture
def opened(context, page):
    tab = themed(context, page)
    yield tab
    tab.close()


@pytest.mark.parametrize("page", SAMPLE)
def test_a_page_of_each_kind_is_for_everybody(opened, page):
    judge(opened, page)
    the_keyboard_reaches_what_the_mouse_does_and_shows_where_it_is(opened, page)
    it_fits_320_pixels_and_twice_the_zoom(opened, page)


@pytest.mark.slow
@pytest.mark.parametrize("page", READ)
def test_axe_finds_nothing_on_any_page(opened, page):
    judge(opened, page)


def test_axe_would_find_something(context):
    tab = themed(context, "book/intro.html")
    tab.evaluate(
        "document.querySelector('article').insertAdjacentHTML('beforeend', '<img src=\"x.png\"><p style=\"color:#ccc;background:#fff\">pale</p>')"
    )
    assert {line.split()[0] for line in violations(tab)} >= {"image-alt", "color-contrast"}
    tab.close()


def beyond(tab):
    """Pixels by which the page is wider than its window."""
    return tab.evaluate(
        "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    )


def it_fits_320_pixels_and_twice_the_zoom(tab, page):
    """WCAG 1.4.10 and 1.4.4: 320 CSS pixels without scrolling sideways; at 200% on a screen of 1280 the window has 640."""
    for width in (320, 640):
        tab.set_viewport_size({"width": width, "height": 640})
        assert beyond(tab) <= 0, f"{page} at {width} pixels"


def the_keyboard_reaches_what_the_mouse_does_and_shows_where_it_is(tab, page):
    """The first press leads to a link past the navigation; every stop on the way is visible and marked."""
    tab.keyboard.press("Tab")
    assert re.search("skip", tab.evaluate("document.activeElement.textContent"), re.I), (
        "the first stop skips the navigation"
    )
    for _ in range(12):
        tab.keyboard.press("Tab")
        name, outlined = (
            tab.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.tagName + ' ' + (e.textContent || e.ariaLabel || '').trim().slice(0, 30), s.outlineStyle !== 'none' || s.boxShadow !== 'none' || e.tagName === 'BODY' || e.tagName === 'INPUT']; }""")
        )
        assert outlined, f"{page}: nothing shows that {name} has the focus"
