"""The built documentation in a browser: no dead link, no error, nothing from elsewhere.

Run by ``make docs-test``, which builds it first. Needs Chromium; the environment variable
``CHROMIUM`` names it where it is not on the path.
"""

import os
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

SITE = Path(__file__).with_name("_build") / "html"
NAMES = ["chromium", "chromium-browser", "google-chrome"]
# Pages of Sphinx and the theme that are reached otherwise than by links.
UNLINKED = {"search.html", "genindex.html", "py-modindex.html"}
# A laptop, and a phone.
WIDTHS = [1280, 390]
# What of a page, or of a table in its place, is beyond the right edge.
CUT = """() => {
    const width = document.documentElement.clientWidth, cut = [];
    if (document.documentElement.scrollWidth > width) cut.push("the page");
    for (const table of document.querySelectorAll(".bd-article table")) {
        const place = table.parentElement, box = table.getBoundingClientRect();
        const name = (table.caption || table).innerText.slice(0, 60);
        if (box.right > width + 1) cut.push(name);
        if (table.scrollWidth > place.clientWidth + 1) cut.push(`a part of ${name}`);
        for (const cell of table.querySelectorAll("th, td")) {
            if (cell.scrollWidth > cell.clientWidth + 1 && cell.clientWidth > 0)
                cut.push(`cell ${cell.innerText.slice(0, 40)} of ${name}`);
        }
    }
    for (const image of document.querySelectorAll(".bd-article img")) {
        if (image.getBoundingClientRect().right > width + 1) cut.push(image.src);
    }
    return cut;
}"""
FACTS = """() => ({
    anchors: [...document.querySelectorAll("[id], a[name]")].map(e => e.id || e.name),
    links: [...document.querySelectorAll("a[href]")].map(e => e.href),
    broken: [...document.images].filter(e => e.complete && !e.naturalWidth).map(e => e.src),
})"""


@dataclass
class Visit:
    """What the browser found on a page, and what went wrong as it was loaded."""

    anchors: set[str]
    links: list[str]
    broken: list[str]
    problems: list[str] = field(default_factory=list)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """Where the built pages are served."""
    if not (SITE / "index.html").exists():
        pytest.fail(f"There is no {SITE / 'index.html'}; `make docs` builds it.")
    handler = partial(QuietHandler, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"Chromium is needed: none of {', '.join(NAMES)} is on the path")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        # root, as in containers, may not use the sandbox
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture(scope="module")
def visits(browser, address):
    """A visit to every page that was built, by its path below the site."""
    page = browser.new_page()
    problems = watched(page, address)
    found = {}
    for name in pages():
        page.goto(address + name, wait_until="load")
        facts = page.evaluate(FACTS)
        found[name] = Visit(
            set(facts["anchors"]), facts["links"], facts["broken"], problems[:]
        )
        problems.clear()
    page.close()
    return found


def pages():
    """Paths of all pages below the site."""
    return [
        path.relative_to(SITE).as_posix()
        for path in sorted(SITE.rglob("*.html"))
        if not {"_static", "_downloads"} & set(path.parts)
    ]


def watched(page, address):
    """A list that gets what goes wrong on the browser's page from now on."""
    problems = []

    def on_request(request):
        if not request.url.startswith((address, "data:", "blob:")):
            problems.append(f"needs {request.url}")

    def on_console(message):
        if message.type == "error":
            problems.append(f"console: {message.text}")

    def on_response(response):
        if response.status >= 400:
            problems.append(f"{response.status}: {response.url}")

    page.on("request", on_request)
    page.on("console", on_console)
    page.on("response", on_response)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    return problems


def internal_links(visit, address):
    """Path and fragment of each link of a page to this site."""
    for link in visit.links:
        if link.startswith(address):
            url, fragment = urldefrag(link)
            # What follows :~: tells the browser which text to show.
            yield unquote(urlsplit(url).path)[1:], unquote(fragment).split(":~:")[0]


def is_dead(path, fragment, visits):
    path = path or "index.html"
    if path in visits:
        return bool(fragment) and fragment not in visits[path].anchors
    return not (SITE / path).is_file()


def test_nothing_goes_wrong_on_any_page(visits):
    assert {name: v.problems for name, v in visits.items() if v.problems} == {}


@pytest.fixture(scope="module", params=WIDTHS)
def cuts(request, browser, address):
    """What is cut off on each page in a window of this width."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    found = {}
    for path in pages():
        page.goto(address + path, wait_until="load")
        found[path] = page.evaluate(CUT)
    page.close()
    return found


def test_no_page_scrolls_sideways_and_no_table_is_cut(cuts):
    assert {path: cut for path, cut in cuts.items() if cut} == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_wide_tables_would_be_noticed(browser, address, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(address + "out_of_the_box.html", wait_until="load")
    assert page.evaluate(CUT) == []
    page.add_style_tag(content=".bd-article table td { min-width: 40rem !important; }")
    assert page.evaluate(CUT) != []
    page.close()


def test_lists_of_a_phone_say_all_that_the_table_says(browser, address):
    texts = {}
    for width in WIDTHS:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(address + "out_of_the_box.html", wait_until="load")
        table = page.locator(".bd-article table").first
        texts[width] = table.locator("tbody tr").first.locator("td").all_inner_texts()
        columns = table.locator("thead th").all_text_contents()
        if width == 390:
            assert "listed" in table.get_attribute("class")
            labels = (
                table.locator("tbody tr")
                .first.locator("td")
                .evaluate_all("cells => cells.map(cell => cell.dataset.column)")
            )
            assert labels == [column.replace("\u200b", "").strip() for column in columns]
        page.close()
    plain = [[t.replace("\u200b", "").strip() for t in row] for row in texts.values()]
    assert plain[0] == plain[1]


def test_formulas_need_no_script(page, address):
    page.goto(address + "guide/initialisation.html")
    formulas = page.locator("div.math math")
    assert formulas.count() > 2
    for box in formulas.evaluate_all(
        "all => all.map(m => m.getBoundingClientRect().height)"
    ):
        assert box > 20


@pytest.mark.parametrize("name", ["without_tuning", "density", "evolution"])
def test_pages_of_the_guide_lead_to_the_next(page, address, name):
    page.goto(address + f"guide/{name}.html")
    assert page.locator("a.right-next").count() == 1
    assert page.locator("a.left-prev").count() == 1


def test_no_page_is_where_sphinx_has_its_own():
    written = {path.with_suffix(".html").name for path in SITE.parents[1].glob("*.md")}
    assert written & UNLINKED == set()
    assert len(written) > 20


def test_every_picture_is_shown(visits):
    assert {name: v.broken for name, v in visits.items() if v.broken} == {}


def test_every_internal_link_leads_somewhere(visits, address):
    dead = defaultdict(set)
    for name, visit in visits.items():
        for path, fragment in internal_links(visit, address):
            if is_dead(path, fragment, visits):
                dead[name].add(f"{path}#{fragment}")
    assert dead == {}


def test_every_page_is_linked(visits, address):
    linked = {path for v in visits.values() for path, _ in internal_links(v, address)}
    assert set(visits) - linked <= UNLINKED


def test_estimators_in_the_gallery_link_to_the_reference(page, address):
    page.goto(address + "gallery/plot_pipeline.html")
    links = page.locator("a.sk-estimator-doc-link").evaluate_all(
        "links => links.map(link => link.href)"
    )
    assert address + "api/sksparse_mlp.SparseMLPClassifier.html" in links


def test_search_finds_pages(page, address):
    page.goto(address + "search.html?q=chaos")
    page.wait_for_selector("ul.search li a")
    results = page.locator("ul.search li a").evaluate_all("all => all.map(a => a.href)")
    assert any("guide/initialisation.html" in result for result in results)
