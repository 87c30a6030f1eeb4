"""The built site, page by page: links and anchors, nothing from outside, figures that say what they show, nothing missing.

It reads the folder named by WM_SITE, by default the site built at smoke scale.
"""

import functools
import itertools
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from lxml import html

from tools.book import contents, files_in
from tools.vendor import altered

ROOT = Path(os.environ.get("WM_BOOK") or Path(__file__).resolve().parent.parent)
SITE = Path(os.environ.get("WM_SITE") or ROOT / "_build" / "smoke" / "html").resolve()
BUILT = (SITE / "index.html").is_file()
PAGES = (
    sorted(path for path in SITE.rglob("*.html") if "_static" not in path.relative_to(SITE).parts)
    if BUILT
    else []
)
DOCUMENTS = contents(ROOT)
MADE_BY_SPHINX = {"index.html", "search.html"}
OUTSIDE = re.compile(
    r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.I
)  # with a host; data: and mailto: have none
# What a browser fetches without being asked: element -> attributes. <a href> is the reader's own choice.
FETCHED = {
    "script": ["src"],
    "link": ["href"],
    "img": ["src", "srcset"],
    "source": ["src", "srcset"],
    "iframe": ["src"],
    "frame": ["src"],
    "embed": ["src"],
    "object": ["data"],
    "video": ["src", "poster"],
    "audio": ["src"],
    "track": ["src"],
    "input": ["src"],
    "image": ["href", "xlink:href"],
    "use": ["href", "xlink:href"],
    "feimage": ["href", "xlink:href"],
    "body": ["background"],
}
NOT_FETCHED = {
    "canonical",
    "license",
    "author",
    "alternate",
    "next",
    "prev",
    "search",
    "index",
}  # <link rel> that is only a statement

pytestmark = pytest.mark.site
_trees = {}


@pytest.fixture(autouse=True)
def the_site_is_built():
    if not BUILT:
        pytest.fail(
            f"There is no built site in {SITE}: run `python -m tools book --scale smoke` first.",
            pytrace=False,
        )


def tree(path):
    if path not in _trees:
        _trees[path] = html.document_fromstring(path.read_text(encoding="utf-8"))
    return _trees[path]


def name(path):
    return path.relative_to(SITE).as_posix()


def article(path):
    found = tree(path).xpath("//article[contains(concat(' ', @class, ' '), ' bd-article ')]")
    return found[0] if found else None


def complain(problems):
    if problems:
        pytest.fail(f"{len(problems)} problem(s):\n" + "\n".join(problems), pytrace=False)


@functools.cache
def targets(path):
    return {
        value
        for element in tree(path).iter()
        if isinstance(element.tag, str)
        for value in (element.get("id"), element.get("name") if element.tag == "a" else None)
        if value
    }


def resolve(page, address):
    """The file in the site that an address on a page means, and the fragment."""
    parts = urlsplit(address)
    target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
    return target, unquote(parts.fragment)


def css_addresses(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    yield from (
        match.group(2) for match in re.finditer(r"url\(\s*(['\"]?)(.*?)\1\s*\)", text, re.S)
    )
    yield from (match.group(1) for match in re.finditer(r"@import\s+['\"](.*?)['\"]", text))


def fetched(page):
    """Every address that a browser fetches when it opens a page: what asks for it, and the address."""
    for element in tree(page).iter():
        if not isinstance(element.tag, str):
            continue
        tag = element.tag.lower()
        for attribute in FETCHED.get(tag, ()):
            value = element.get(attribute)
            if value is None or (
                tag == "link" and set((element.get("rel") or "").lower().split()) <= NOT_FETCHED
            ):
                continue
            for address in (
                [part.split()[0] for part in value.split(",") if part.strip()]
                if attribute == "srcset"
                else [value]
            ):
                yield f"<{tag} {attribute}>", address
        for address in css_addresses(element.get("style") or ""):
            yield f"style of <{tag}>", address
        if tag == "style":
            yield from (("<style>", address) for address in css_addresses(element.text or ""))
        if tag == "base" and element.get("href"):
            yield "<base href>", element.get("href")
        if (
            tag == "meta"
            and (element.get("http-equiv") or "").lower() == "refresh"
            and "=" in (element.get("content") or "")
        ):
            yield "<meta refresh>", element.get("content").split("=", 1)[1].strip()


def test_every_document_of_the_contents_has_a_page():
    complain(
        [
            f"_toc.yml names {document}, but the site has no {document}.html"
            for document in DOCUMENTS
            if not (SITE / f"{document}.html").is_file()
        ]
    )


def test_every_chapter_is_in_the_contents():
    notebooks = [path for path in files_in(ROOT / "chapters") if path.suffix == ".ipynb"]
    assert notebooks, "chapters/ holds no notebook"
    complain(
        [
            f"{path.relative_to(ROOT)} is not in _toc.yml"
            for path in notebooks
            if path.relative_to(ROOT).with_suffix("").as_posix() not in DOCUMENTS
        ]
    )


def test_every_page_in_book_is_in_the_contents():
    complain(
        [
            f"{path.relative_to(ROOT)} is not in _toc.yml"
            for path in files_in(ROOT / "book")
            if path.suffix == ".md"
            and path.relative_to(ROOT).with_suffix("").as_posix() not in DOCUMENTS
        ]
    )


def test_there_is_no_page_that_the_contents_do_not_name():
    known = {f"{document}.html" for document in DOCUMENTS} | MADE_BY_SPHINX
    complain(
        [
            f"{name(page)} is in the site, but _toc.yml does not name it"
            for page in PAGES
            if name(page) not in known
        ]
    )


def test_every_module_of_wmlib_is_on_an_api_page():
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "wmlib").rglob("*.py")]
    modules = {".".join(path.parts) for path in files if not path.name.startswith("_")}
    there = {name for page in PAGES if page.parent.name == "api" for name in targets(page)}
    complain(
        [
            f"{module} is on no API page: name it on that of its package, in book/api"
            for module in sorted(modules)
            if f"module-{module}" not in there
        ]
    )


def test_every_link_and_anchor_resolves():
    problems = []
    for page in PAGES:
        addresses = [(a.get("href"), "link") for a in tree(page).xpath("//a[@href]")] + [
            (address, what) for what, address in fetched(page)
        ]
        for address, what in addresses:
            if (
                OUTSIDE.match(address)
                or re.match(r"^\s*(data|mailto|javascript|https?):", address, re.I)
                or address in ("#", "")
            ):
                continue
            target, fragment = resolve(page, address)
            if target.is_dir():
                target = target / "index.html"
            if not target.is_file():
                problems.append(f"{name(page)}: {what} to {address}: there is no such file")
            elif not target.is_relative_to(SITE):
                problems.append(f"{name(page)}: {what} to {address} leaves the site")
            elif fragment and target.suffix == ".html" and fragment not in targets(target):
                problems.append(
                    f"{name(page)}: {what} to {address}: {name(target)} has no '{fragment}'"
                )
    complain(sorted(set(problems)))


def test_no_page_fetches_anything_from_outside():
    complain(
        sorted(
            {
                f"{name(page)}: {what} fetches {address}"
                for page in PAGES
                for what, address in fetched(page)
                if OUTSIDE.match(address)
            }
        )
    )


def test_no_style_sheet_or_picture_fetches_anything_from_outside():
    problems = []
    for path in [path for path in SITE.rglob("*") if path.suffix in (".css", ".svg")]:
        text = path.read_text(encoding="utf-8", errors="replace")
        addresses = set(css_addresses(text))
        if path.suffix == ".svg":
            addresses |= set(
                re.findall(
                    r"<(?:image|use|script|feImage)\b[^>]*?(?:xlink:)?href=['\"](.*?)['\"]",
                    text,
                    re.S | re.I,
                )
            )
        problems += [
            f"{name(path)} fetches {address}" for address in addresses if OUTSIDE.match(address)
        ]
    complain(sorted(problems))


def test_no_script_in_a_page_names_an_outside_script_or_style():
    """Scripts may hold the addresses of links, such as Binder's; not of what they would load."""
    loads = re.compile(
        r"['\"`](?:https?:)?//[^'\"`\s]+?\.(?:m?js|css|json|woff2?|wasm)\b|import\(\s*['\"`](?:https?:)?//|fetch\(\s*['\"`](?:https?:)?//"
    )
    complain(
        sorted(
            {
                f"{name(page)}: a script names {found}"
                for page in PAGES
                for script in tree(page).xpath("//script[not(@src)]")
                for found in loads.findall(script.text or "")
            }
        )
    )


def alt_problem(alt):
    text = (alt or "").strip()
    if not text:
        return "has no alt text"
    if re.fullmatch(r"\S*\.(png|jpe?g|svg|gif|webp)", text, re.I) or re.fullmatch(
        r"(\S*/)?[0-9a-f_-]{16,}\S*", text
    ):
        return f"has a file's name for an alt text: '{text}'"
    return (
        None if len(text.split()) >= 3 else f"has an alt text that says next to nothing: '{text}'"
    )


def test_every_image_has_alt_text():
    complain(
        [
            f"{name(page)}: the picture {image.get('src', '')[-60:]} {problem}: say in its alt text what is seen"
            for page in PAGES
            if article(page) is not None
            for image in article(page).iter("img")
            if (problem := alt_problem(image.get("alt")))
        ]
    )


def test_every_image_is_in_a_figure_with_a_numbered_caption():
    problems = []
    for page in PAGES:
        if article(page) is None:
            continue
        problems += [
            f"{name(page)}: the picture '{(image.get('alt') or image.get('src') or '')[:50]}' is in no figure: give it a caption"
            for image in article(page).iter("img", "video", "canvas")
            if not any(
                parent.tag == "figure" or parent.get("class") == "wm-viewer"
                for parent in image.iterancestors()
            )
        ]
        for figure in article(page).iter("figure"):
            caption = (
                " ".join(
                    "".join(text for text in found.itertext())
                    for found in figure.iter("figcaption")
                )
                .replace("#", "")
                .strip()
            )
            if len(caption.split()) < 4:
                problems.append(
                    f"{name(page)}: the figure '{figure.get('id') or '?'}' has no caption"
                )
            elif not figure.xpath(".//span[contains(@class, 'caption-number')]"):
                problems.append(
                    f"{name(page)}: the figure '{figure.get('id') or '?'}' has no number"
                )
    complain(problems)


def test_every_page_states_its_language_and_title():
    complain(
        [
            f"{name(page)}: no lang or no title"
            for page in PAGES
            if not tree(page).get("lang") or not (tree(page).findtext(".//title") or "").strip()
        ]
    )


def test_every_page_has_one_title_and_headings_in_order():
    problems = []
    for page in PAGES:
        place = article(page)
        if place is None:
            continue
        levels = [int(element.tag[1]) for element in place.iter("h1", "h2", "h3", "h4", "h5", "h6")]
        if levels.count(1) != 1:
            problems.append(f"{name(page)}: {levels.count(1)} first-level headings")
        problems += [
            f"{name(page)}: a heading of level {after} follows one of level {before}"
            for before, after in itertools.pairwise(levels)
            if after > before + 1
        ]
    complain(problems)


def chapter_pages():
    """Those that are there; that none is missing is a test of its own."""
    return [
        page
        for document in DOCUMENTS
        if document.startswith("chapters/") and (page := SITE / f"{document}.html").is_file()
    ]


def test_every_chapter_page_offers_its_notebook_and_binder_and_colab():
    problems = []
    for page in chapter_pages():
        links = [a.get("href") for a in tree(page).xpath("//a[@href]")]
        notebooks = [
            resolve(page, link)[0]
            for link in links
            if link.endswith(f"{page.stem}.ipynb") and not OUTSIDE.match(link)
        ]
        there = [path.read_text(encoding="utf-8") for path in notebooks if path.is_file()]
        if not any(json.loads(text)["cells"] for text in there):
            problems.append(f"{name(page)}: no link to download the notebook")
        if any("{numref}" in text or "text/markdown" not in text for text in there):
            problems.append(
                f"{name(page)}: the notebook to download is not plain, or was not executed"
            )
        if not any("urlpath=lab/tree/chapters/" in link for link in links):
            problems.append(f"{name(page)}: no button to open it on Binder")
        if not any(re.search(r"colab\..*/chapters/", link) for link in links):
            problems.append(f"{name(page)}: no button to open it on Colab")
    complain(problems)


def test_every_chapter_page_shows_what_its_cells_gave():
    complain(
        [
            f"{name(page)} shows no output: it was not executed"
            for page in chapter_pages()
            if not tree(page).xpath("//div[contains(@class, 'cell_output')]")
        ]
    )


def test_no_page_shows_an_error_or_a_warning_of_a_cell():
    wrong = "//div[contains(@class, 'cell_output')]//*[contains(@class, 'traceback') or contains(@class, 'stderr') or contains(@class, 'output error')]"
    problems = [
        f"{name(page)}: a cell's output is an error or a warning: {element.text_content().strip()[:80]}"
        for page in PAGES
        for element in tree(page).xpath(wrong)
    ]
    problems += [
        f"{name(page)}: a cell's output holds a traceback"
        for page in PAGES
        for element in tree(page).xpath("//div[contains(@class, 'cell_output')]")
        if "Traceback (most recent call last)" in element.text_content()
    ]
    complain(problems)


def test_no_page_holds_a_path_of_the_machine_that_built_it():
    here = {str(ROOT), str(Path.home())} - {"/", "/root"}
    complain(
        [
            f"{name(page)} holds {path}"
            for page in PAGES
            for path in sorted(here)
            if path in page.read_text(encoding="utf-8")
        ]
    )


def test_no_role_or_directive_was_left_unread():
    complain(
        [
            f"{name(page)}: '{found}' was not understood"
            for page in PAGES
            if article(page) is not None
            for found in re.findall(
                r"\{(?:numref|eq|cite|cite:t|term|ref|doc)\}`?",
                article(page).text_content(),
            )
        ]
    )


def test_the_vendored_files_are_the_pinned_ones():
    complain(
        [
            f"book/_static/{file} is missing or is not the pinned file: run python -m tools vendor"
            for file in altered()
        ]
    )
