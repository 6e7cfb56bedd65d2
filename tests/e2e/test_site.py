"""The site, built with lesson 00 as executed and the other lessons as they are: links, assets, accessibility."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import nbformat
import pytest
from bs4 import BeautifulSoup

from tlcourse.course import course_root
from tlcourse.course.run import execute

pytestmark = pytest.mark.e2e

# What axe-core may report, and why. A rule that is not named here fails the test.
ALLOWED = {}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; a warning of Sphinx is an error."""
    folder = tmp_path_factory.mktemp("site")
    result, notebook = execute(course_root() / "notebooks" / "00_start_here.ipynb")
    assert result.error is None
    (folder / "executed").mkdir()
    nbformat.write(notebook, folder / "executed" / "00_start_here.ipynb")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", course_root() / "docs"]
    environment = {**os.environ, "TLCOURSE_EXECUTED": str(folder / "executed")}
    built = subprocess.run([*command, folder / "html"], env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    """Each page's path below the site -> its parsed HTML."""
    return {
        str(path.relative_to(site)): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    handler.log_message = lambda *args: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_every_lesson_and_exercise_has_a_page_and_no_answer(pages):
    for folder in ("notebooks", "exercises"):
        for path in (course_root() / folder).glob("*.ipynb"):
            assert f"{folder}/{path.stem}.html" in pages
    exercise = pages["exercises/01_fundamentals.html"].get_text()
    assert "NotImplementedError" in exercise and "BEGIN SOLUTION" not in exercise


def test_the_executed_lesson_has_its_outputs_and_a_still_picture_of_its_widgets(pages):
    lesson = pages["notebooks/00_start_here.html"]
    assert "Claim 00.1" in lesson.get_text()
    assert lesson.find("img", alt=lambda alt: alt and alt.startswith("Ten warped printed letters"))
    quiz = next(output for output in lesson.select(".cell_output") if "Run this cell" in output.get_text())
    assert quiz.find("li", string="More than 9 in 10") and "never these images" not in lesson.get_text()
    assert "Panel(" not in lesson.get_text() and "Claims: 1 of 1 held" in lesson.get_text()
    assert [block.get_text() for block in lesson.select("details.hide pre")] == ["teach.claims_held()\n"]


def test_every_link_inside_the_site_leads_somewhere(site, pages):
    dead = []
    for name, page in pages.items():
        for link in page.find_all("a", href=True):
            target, fragment = urldefrag(urljoin(f"http://site/{name}", link["href"]))
            if not target.startswith("http://site/"):
                continue
            path = unquote(target.removeprefix("http://site/")) or "index.html"
            if not (site / path).is_file() or (
                fragment and path in pages and not pages[path].find(id=unquote(fragment))
            ):
                dead.append((name, link["href"]))
    assert dead == []


def test_nothing_is_loaded_from_another_server(pages):
    for name, page in pages.items():
        loaded = [tag.get("src") or tag.get("href") for tag in page.find_all(["script", "img", "link", "iframe"])]
        assert not [url for url in loaded if url and url.startswith(("http:", "https:", "//"))], name


def test_the_questions_lead_to_cells(pages):
    questions = [heading.get_text().rstrip("#") for heading in pages["faq.html"].find_all("h2")]
    assert len(questions) == 7 and all(question.endswith("?") for question in questions)
    for section in pages["faq.html"].find_all("section")[1:]:
        assert section.find("a", href=lambda href: href and "notebooks/" in href)


def test_search_finds_a_term_and_dark_mode_is_kept(chromium, address):
    page = chromium.new_page()
    page.goto(f"{address}/search.html?q=negative+transfer")
    page.locator("#search-results li a").first.wait_for()
    page.locator("button.theme-switch-button").first.click()
    page.locator("button.theme-change-button[data-mode=dark]").first.click()
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    page.goto(f"{address}/index.html")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_that_is_not_allowed(chromium, address, pages, theme):
    from axe_playwright_python.sync_playwright import Axe

    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
    found = {}
    for name in pages:
        page.goto(f"{address}/{name}")
        for violation in Axe().run(page, options=rules).response["violations"]:
            if violation["id"] not in ALLOWED:
                found.setdefault(violation["id"], []).append((name, violation["nodes"][0]["html"][:150]))
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"site-{theme}-{Path(name).stem}.png")
    page.close()
    assert found == {}
