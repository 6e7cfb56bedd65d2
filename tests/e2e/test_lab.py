"""`tlcourse lab` in a new folder, seen through a browser."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

pytestmark = pytest.mark.e2e

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("no Chromium, though REQUIRE_BROWSER=1")
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running `tlcourse lab`: its address and token."""
    folder = tmp_path_factory.mktemp("lab") / "mine"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tlcourse.cli", "lab", str(folder), "--no-browser", "--port", str(port)]
    env = {**os.environ, "JUPYTER_TOKEN": "secret", "TLCOURSE_STRICT": "1"}
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(folder.parent / "workspaces")  # no tabs left over from another session
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield wait_for(f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(20)


def wait_for(address):
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/api/status?token=secret", timeout=2).close()
            return address
        except OSError:
            time.sleep(0.5)
    raise TimeoutError("JupyterLab did not start within a minute")


def kernel_is_idle(address, notebook):
    with urllib.request.urlopen(f"{address}/api/sessions?token=secret", timeout=10) as reply:
        sessions = {session["path"]: session["kernel"]["execution_state"] for session in json.load(reply)}
    return sessions.get(notebook) == "idle"


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {seconds} s"
        time.sleep(0.5)


def test_the_first_lesson_opens_and_runs_to_its_end(chromium, lab, tmp_path):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{lab}/lab/tree/notebooks/00_start_here.ipynb?token=secret")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
    assert "Start here" in page.locator(".jp-Notebook h1").first.text_content()
    wait_until(lambda: kernel_is_idle(lab, "notebooks/00_start_here.ipynb"), 90, "no idle kernel")
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')

    def all_run():
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
        return bool(prompts) and all(any(c.isdigit() for c in prompt) for prompt in prompts)

    wait_until(all_run, 120, "not every cell ran")
    text = page.locator(".jp-Notebook").text_content()
    assert "Traceback" not in text and "Claim 00.1" in text
    alts = [image.get_attribute("alt") for image in page.locator(".jp-OutputArea img").all()]
    assert alts and all(alt and len(alt) > 20 for alt in alts)
    screenshots = os.environ.get("SCREENSHOTS", str(tmp_path))
    page.screenshot(path=os.path.join(screenshots, "lesson-00.png"))
    page.close()
