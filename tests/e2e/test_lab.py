"""`tlcourse lab` in a new folder, seen through a browser: what a learner does in the first hour, in the real thing.

Waits are for the kernel and the page, never for a time. SCREENSHOTS names a folder that keeps the pictures.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from tlcourse.course import course_root

pytestmark = pytest.mark.e2e

LESSONS = [path.name for path in sorted((course_root() / "notebooks").glob("*.ipynb"))]
EXERCISES = [path.name for path in sorted((course_root() / "exercises").glob("*.ipynb"))]

# What JupyterLab itself says of the notebook in front: ready when its kernel answers, and done when its last cell has.
READY = "async () => { await window.jupyterapp.shell.currentWidget?.sessionContext?.ready; }"
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
GO_TO_TOP = "async () => { await window.jupyterapp.shell.currentWidget.content.scrollToItem(0, 'start'); }"
FOLDED = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.inputHidden).map(cell => cell.model.id)"""
SAVE = "async () => { await window.jupyterapp.commands.execute('docmanager:save'); }"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running `tlcourse lab` in a new folder: (its address, the folder, seconds from the command to the answer)."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "mine"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # JupyterLab's own switch for tests, so that the page can be asked what its kernel does
    (home / "jupyter_lab_config.json").write_text('{"LabApp": {"expose_app_in_browser": true}}')
    env = {**os.environ, "JUPYTER_TOKEN": "secret", "JUPYTER_CONFIG_DIR": str(home)}
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")  # no tabs left over from another session
    env.pop("TLCOURSE_PROGRESS", None)
    command = [sys.executable, "-m", "tlcourse.cli", "lab", str(folder), "--no-browser", "--port", str(port)]
    started = time.monotonic()
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = wait_for(f"http://127.0.0.1:{port}")
        yield address, folder, time.monotonic() - started
    finally:
        server.terminate()
        server.wait(20)


def wait_for(address):
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/api/status?token=secret", timeout=2).close()
            return address
        except OSError:
            time.sleep(0.25)
    raise TimeoutError("JupyterLab did not start within a minute")


@pytest.fixture
def open_notebook(chromium, lab):
    """A function of a notebook's path that opens it in a page of its own; its kernel ends with the test."""
    address, _, _ = lab
    pages = []

    def open_page(path, width=1280):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(60_000)
        pages.append(page)
        page.goto(f"{address}/lab/tree/{path}?token=secret&reset")
        page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")
        page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
        page.evaluate(READY)
        return page

    yield open_page
    for page in pages:
        page.close()
    with urllib.request.urlopen(f"{address}/api/sessions?token=secret") as reply:
        sessions = json.load(reply)
    for session in sessions:
        request = urllib.request.Request(f"{address}/api/sessions/{session['id']}?token=secret", method="DELETE")
        urllib.request.urlopen(request).close()


def run_all(page, folder, path):
    """Run every cell; save; return the notebook as it lies on the disk."""
    page.evaluate(RUN_ALL)
    page.evaluate(SAVE)
    return nbformat.read(folder / path, as_version=4)


def assert_ran(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [(cell.id, output) for cell in code for output in cell.outputs]
    assert not [(id, output.evalue) for id, output in outputs if output.output_type == "error"]
    assert "did not hold in this run" not in str(outputs)


def photograph(page, name, area=None):
    """Pictures at a laptop's width and at a narrow one, of the area or of what is in view."""
    folder = os.environ.get("SCREENSHOTS")
    if folder is None:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        if area is not None:
            area.scroll_into_view_if_needed()
        page.screenshot(path=Path(folder) / f"{name}-{width}.png")
    page.set_viewport_size({"width": 1280, "height": 900})


def figures_with_controls(page):
    """The interactive figures of the page: output areas that hold a picture and something to set."""
    areas = page.locator(".jp-OutputArea-output").filter(has=page.locator("img[alt]"))
    return [area for area in areas.all() if area.locator("select, input[type=number]").count()]


def settings(control):
    """Functions that each set a control to another value than the one that it has."""
    if control.evaluate("element => element.tagName") == "SELECT":
        others = control.evaluate(
            "element => [...element.options].map(o => o.text).filter((_, i) => i != element.selectedIndex)"
        )
        return [lambda text=text: control.select_option(label=text) for text in others]
    high, low = control.get_attribute("max") or "1", control.get_attribute("min") or "0"

    def type_in(value):
        control.fill(value)
        control.press("Enter")

    return [lambda value=value: type_in(value) for value in (high, low)]


def set_until_the_alt_text_changes(page, area, control):
    before = area.locator("img[alt]").first.get_attribute("alt")
    changed = "([area, before]) => area.querySelector('img[alt]')?.alt != before"
    for setting in settings(control):
        setting()
        try:
            page.wait_for_function(changed, arg=[area.element_handle(), before], timeout=8_000)
            return True
        except Exception:  # this value draws the same; the next may not
            continue
    return False


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_and_its_figures_and_quizzes_react(open_notebook, lab, name):
    path = f"notebooks/{name}"
    page = open_notebook(path)
    notebook = run_all(page, lab[1], path)
    assert_ran(notebook)
    folded = [cell.id for cell in notebook.cells if "hide-input" in cell.metadata.get("tags", [])]
    assert page.evaluate(FOLDED) == folded
    assert not page.get_by_text("official Jupyter news").count()
    page.evaluate(GO_TO_TOP)
    photograph(page, name.removesuffix(".ipynb"), page.locator(".jp-NotebookPanel:visible h1").first)

    for picture in page.locator(".jp-OutputArea img").all():
        assert len(picture.get_attribute("alt") or "") > 20
    claim = page.locator(".jp-OutputArea-output details").first
    assert not claim.get_by_text("measured").is_visible()
    claim.locator("summary").click()
    assert claim.get_by_text("measured").is_visible()

    figures = figures_with_controls(page)
    assert figures or name.startswith("00")
    for i, area in enumerate(figures):
        area.scroll_into_view_if_needed()
        for control in area.locator("select, input[type=number]").all():
            assert set_until_the_alt_text_changes(page, area, control), f"figure {i}: a control does nothing"
        photograph(page, f"{name.removesuffix('.ipynb')}-figure-{i}", area)

    quizzes = page.locator(".jp-OutputArea-output").filter(has=page.get_by_role("button", name="Commit"))
    assert quizzes.count()
    for quiz in quizzes.all():
        quiz.scroll_into_view_if_needed()
        quiz.get_by_role("button", name="Commit").click()
        quiz.get_by_text("Choose an answer first.").wait_for()
        quiz.locator("input[type=radio]").last.check()
        quiz.get_by_role("button", name="Commit").click()
        quiz.locator('[role=status]:has-text("Right."), [role=status]:has-text("Not quite.")').wait_for()


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_notebook_runs_before_it_is_answered(open_notebook, lab, name):
    path = f"exercises/{name}"
    page = open_notebook(path)
    notebook = run_all(page, lab[1], path)
    assert_ran(notebook)
    checks = [cell for cell in notebook.cells if cell.source.startswith('check("')]
    assert checks and all("is not written yet" in str(cell.outputs) for cell in checks)
    photograph(page, f"exercise-{name.removesuffix('.ipynb')}")


ANSWER = """def transfer_gain(scratch, transferred):
gains = 100 * (transferred - scratch)
return gains.mean(axis=1), gains.std(axis=1, ddof=1) / gains.shape[1] ** 0.5"""


def test_with_the_keyboard_alone_a_check_turns_green_and_progress_is_shown(open_notebook, lab):
    page = open_notebook("exercises/01_fundamentals.ipynb")
    page.evaluate(RUN_ALL)
    page.locator(".jp-Notebook").first.focus()
    for _ in range(3):  # from the title to the first answer
        page.keyboard.press("Escape")
    for _ in range(60):
        page.keyboard.press("k")
    for _ in range(4):
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type(ANSWER)  # the editor indents by itself
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    verdict = page.locator('.jp-OutputArea-output [role=status]:has-text("Exercise 01.1")')
    page.wait_for_function("element => element.textContent.includes('✓')", arg=verdict.element_handle())
    assert "Every case passes" in verdict.text_content()
    photograph(page, "check-turned-green")
    assert json.loads((lab[1] / "progress.json").read_text()).keys() == {"01.1"}

    page = open_notebook("notebooks/00_start_here.ipynb")
    page.evaluate(RUN_ALL)
    page.locator("progress[aria-label='Exercises 01'][value='1']").wait_for()
    assert page.get_by_role("link", name="exercises/01_fundamentals.ipynb").is_visible()


def test_with_the_keyboard_alone_a_quiz_is_answered(open_notebook):
    page = open_notebook("notebooks/00_start_here.ipynb")
    page.locator(".jp-Notebook").first.focus()
    page.keyboard.press("Escape")
    radio = page.locator("input[type=radio]").first
    for _ in range(30):
        if radio.count():
            break
        page.keyboard.press("Shift+Enter")
        page.evaluate(READY)
        page.wait_for_timeout(200)
    radio.wait_for()
    page.keyboard.press("Escape")
    tab_to(page, "document.activeElement.type == 'radio'", at_most=200)
    page.keyboard.press("Space")
    tab_to(page, "document.activeElement.textContent == 'Commit'", at_most=5)
    page.keyboard.press("Enter")
    page.locator('[role=status]:has-text("Not quite.")').first.wait_for()


def tab_to(page, condition, at_most):
    for _ in range(at_most):
        page.keyboard.press("Tab")
        if page.evaluate(f"() => {condition}"):
            return
    raise AssertionError(f"{at_most} times Tab, and not: {condition}")


def test_the_first_figure_of_lesson_01(chromium, lab, tmp_path, capsys):
    """Prints the seconds from `tlcourse lab`, as after an installation, to the figure; 30 are promised on two cores."""
    address, _, to_start = lab
    started = time.monotonic()
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(f"{address}/lab/tree/notebooks/01_fundamentals.ipynb?token=secret&reset")
    page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate(READY)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_selector(".jp-OutputArea img[alt]")
    seconds = to_start + time.monotonic() - started
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / "first-figure.png")
    page.close()
    with capsys.disabled():
        print(f"\nfirst figure of lesson 01: {seconds:.1f} s after `tlcourse lab`; {to_start:.1f} s for the server")
