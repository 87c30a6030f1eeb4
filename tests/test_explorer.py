"""Differences that can be explored: their numbers are Student's, the script's are Python's, and nothing that is shown can run."""

import json
import re

import numpy as np
import pytest

from wmlib import statistics
from wmlib.errors import InputError
from wmlib.show import explorer
from wmlib.show.explorer import Effect
from wmlib.show.viewer import script


def effects(values=(1.0, 2.0, 3.0), n=2):
    return [
        Effect(
            f"factor {k}",
            "high",
            "low",
            {seed: value * (-1) ** k for seed, value in enumerate(values)},
        )
        for k in range(n)
    ]


# The numbers.


@pytest.mark.parametrize(
    ("level", "df", "known"),
    [
        (0.95, 1, 12.7062),
        (0.95, 2, 4.30265),
        (0.95, 4, 2.77645),
        (0.99, 9, 3.24984),
        (0.8, 2, 1.88562),
    ],
)
def test_quantiles_are_those_of_the_tables(level, df, known):
    assert statistics.t_quantile(level, df) == pytest.approx(known, rel=1e-4)


def test_with_three_seeds_quantile_and_p_have_closed_forms():
    assert statistics.t_quantile(0.95, 2) == pytest.approx(
        np.sqrt(2) * np.tan(np.arcsin(0.95)), rel=1e-4
    )
    values = np.array([1.0, 2.0, 4.0])
    t = values.mean() / (values.std(ddof=1) / np.sqrt(3))
    assert explorer.p_value(values) == pytest.approx(1 - t / np.sqrt(2 + t**2), abs=1e-5)


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_interval_holds_0_exactly_where_p_is_above_one_less_the_level(n):
    rng = np.random.default_rng(n)
    for _ in range(50):
        values = rng.normal(0.7, 1, n)
        _, low, high = explorer.interval(values)
        assert (low <= 0 <= high) == (explorer.p_value(values) >= 0.05)


def test_one_seed_decides_nothing():
    middle, low, high = explorer.interval([3.0])
    assert middle == 3
    assert np.isnan(low) and np.isnan(high)
    assert explorer.p_value([3.0]) == 1
    assert explorer.finding(middle, low, high) == 0


def test_equal_differences_are_certain_unless_they_are_0():
    assert explorer.p_value([2.0, 2.0, 2.0]) == pytest.approx(0)
    assert explorer.p_value([0.0, 0.0, 0.0]) == 1


def test_holm_is_the_example_worked_out_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_less_is_better_where_that_is_said():
    assert explorer.finding(1.0, 0.5, 1.5) == 1
    assert explorer.finding(1.0, 0.5, 1.5, sign=-1) == -1
    assert explorer.finding(1.0, -0.5, 2.5) == 0


# The page.


def test_the_table_says_everything_without_a_script():
    page = explorer.show({"return": effects((10.0, 11.0, 12.0))}, label="Ten points").html()
    table = re.search(r"<table.*</table>", page, re.DOTALL)[0]
    assert table.count("<tr>") == 3
    assert table.count("<circle") == 6
    assert "better" in table and "worse" in table and "[+8.5, +13.5]" in table
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "\"'>&lt;!--",
    "${window.pwned = 1}",
]


def hostile():
    return explorer.show(
        {name: [Effect(name, name, name, {0: 1.0, 1: 2.0})] for name in HOSTILE}, label=HOSTILE[0]
    )


def test_hostile_names_cannot_leave_the_data():
    page = hostile().html()
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    assert [measure["name"] for measure in json.loads(data)["measures"]] == HOSTILE
    assert not set(data) & set("<>&")
    assert "<img src=x" not in page.replace(data, "")
    assert page.count("<script") - script("explorer.js").count("<script") == 2


WRONG = {
    "nothing": (lambda: explorer.show({}), "0 effects on 0 measures"),
    "an empty measure": (lambda: explorer.show({"return": []}), "expected at least one on each"),
    "too much": (lambda: explorer.show({"return": effects(n=201)}), "at most 200"),
    "NaN": (
        lambda: explorer.show({"return": effects((1.0, float("nan")))}),
        "'factor 0', 'high', seed 1 differs by nan; expected a finite number",
    ),
    "infinity": (lambda: explorer.show({"return": effects((float("inf"),))}), "differs by inf"),
    "no seed": (lambda: explorer.show({"return": effects(())}), "has 0 differences"),
    "a long name": (lambda: explorer.show({"x" * 61: effects()}), "at most 60 letters"),
    "a name that is no text": (lambda: explorer.show({3: effects()}), "expected a text"),
    "another measure": (
        lambda: explorer.show({"return": effects()}, lower_is_better=["error"]),
        "'error' is to be better when lower, but is no measure",
    ),
    "a level of one": (lambda: statistics.t_quantile(1.0, 2), "expected between 0 and 1"),
    "no degrees": (lambda: statistics.t_quantile(0.5, 0), "at least 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_gets_one_line(wrong):
    call, expected = WRONG[wrong]
    with pytest.raises(InputError) as caught:
        call()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


# The browser.


@pytest.fixture
def look(browser, tmp_path):
    """Opens a page with these tables, from the disk and without a network; what goes wrong is on record in `page.wrong`."""
    context = browser.new_context(viewport={"width": 800, "height": 700}, offline=True)
    context.set_default_timeout(20_000)

    def open_it(*shown, html=""):
        page, wrong = context.new_page(), []
        page.on(
            "request",
            lambda request: (
                wrong.append(request.url)
                if not request.url.startswith(("file:", "data:"))
                else None
            ),
        )
        page.on(
            "console",
            lambda message: (
                wrong.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.wrong = wrong
        file = tmp_path / "page.html"
        body = "".join(each.html() for each in shown) + html
        file.write_text(
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>effects</title><body>{body}</body></html>',
            encoding="utf-8",
        )
        page.goto(file.as_uri(), wait_until="load")
        return page

    yield open_it
    context.close()


LINES = "document.querySelector('.wm-explorer').explorer.lines.map(line => [line.mean, line.low, line.high, line.p, line.verdict])"


@pytest.mark.browser
def test_the_script_finds_what_python_finds(look):
    rng = np.random.default_rng(0)
    given = [
        Effect("x", str(k), "0", dict(enumerate(rng.normal(rng.normal(), 1, 2 + k % 5))))
        for k in range(12)
    ]
    page = look(explorer.show({"error": given}, lower_is_better=["error"]))
    for effect, (mean, low, high, p, verdict) in zip(given, page.evaluate(LINES), strict=True):
        values = list(effect.differences.values())
        assert [mean, low, high] == pytest.approx(explorer.interval(values), rel=1e-3)
        assert p == pytest.approx(explorer.p_value(values), abs=1e-4)
        assert verdict == explorer.finding(*explorer.interval(values), sign=-1)
    page.get_by_label("count all looks").check()
    counted = statistics.holm(
        [explorer.p_value(list(effect.differences.values())) for effect in given]
    )
    assert [bool(line[4]) for line in page.evaluate(LINES)] == [p < 0.05 for p in counted]
    assert page.wrong == []


@pytest.mark.browser
def test_seeds_factor_measure_and_certainty_can_be_chosen_with_the_keyboard(look):
    page = look(
        explorer.show(
            {"return": effects((1.0, 2.0, 9.0)), "error": effects((1.0, 1.1, 1.2))}, label="Both"
        )
    )
    status = page.get_by_role("status")
    assert status.inner_text() == "2 changes, 3 seeds: 0 better, 0 worse, 2 undecided"
    page.keyboard.press("Tab")
    reached = []
    for _ in range(7):
        reached.append(
            page.evaluate(
                "(document.activeElement.closest('label') || document.activeElement).textContent"
            )
        )
        page.keyboard.press("Tab")
    assert [text[:7] for text in reached] == [
        "measure",
        "factora",
        "0",
        "1",
        "2",
        "certain",
        "count a",
    ]
    page.get_by_label("2", exact=True).focus()
    page.keyboard.press("Space")
    assert page.evaluate(LINES)[0][0] == pytest.approx(1.5)
    assert "2 seeds" in status.inner_text()
    page.get_by_label("factor").select_option("factor 1")
    assert page.locator(".wm-explorer tbody tr").count() == 1
    page.get_by_label("measure").select_option("error")
    assert page.locator(".wm-explorer tbody tr").count() == 2, (
        "another measure has factors of its own"
    )
    page.get_by_label("2", exact=True).check()
    assert status.inner_text() == "2 changes, 3 seeds: 1 better, 1 worse, 0 undecided"
    page.get_by_label("certainty").select_option("0.99")
    assert page.evaluate(LINES)[0][1] < 1.1 - 9.92 * 0.1 / 3**0.5 + 0.01
    for seed in "012":
        page.get_by_label(seed, exact=True).uncheck()
    assert "no seed" in page.locator("tbody").inner_text()
    assert page.wrong == []


@pytest.mark.browser
def test_where_scripts_are_blocked_the_table_shows(browser):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.set_content(explorer.show({"return": effects(), "error": effects()}).html())
    assert page.get_by_role("table").count() == 2
    assert page.get_by_role("combobox").count() == 0
    context.close()


@pytest.mark.browser
def test_hostile_names_run_nothing_and_damaged_data_leave_the_table(look):
    still = '<div class="wm-effects">still</div>'
    broken = "".join(
        f'<div class="wm-explorer"><script type="application/json">{data}</script>{still}</div>'
        for data in ("", "{}", "null", '{"measures":[]}', "no JSON")
    )
    page = look(hostile(), html=broken)
    for name in HOSTILE:
        page.get_by_label("measure").select_option(label=name)
        assert page.locator("caption").first.inner_text() == name
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
    assert page.get_by_text("still").count() == 5
    assert page.get_by_label("measure").count() == 1
    assert page.wrong == []


@pytest.mark.browser
def test_the_output_of_a_notebook_brings_its_own_script_and_a_second_one_lives_too(look):
    page = look(html="<div id=one></div><div id=two></div>")
    put = """([id, html]) => { const place = document.getElementById(id); place.innerHTML = html;
        for (const old of [...place.querySelectorAll('script')]) { const made = document.createElement('script');
            for (const { name, value } of old.attributes) made.setAttribute(name, value); made.textContent = old.textContent; old.replaceWith(made); } }"""
    for place in ("one", "two"):
        page.evaluate(put, [place, explorer.show({"return": effects()}).html()])
    assert page.locator(".wm-controls").count() == 2
    assert page.locator("style").count() == 1
    assert page.wrong == []
