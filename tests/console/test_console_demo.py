"""The console over the real thing: the one-machine demo, from a device's bytes to a row on the page."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def demo(bundle: Path, tmp_path: Path) -> Iterator[str]:
    """A demo of its own; its console's address, read from what it prints."""
    del bundle
    said = tmp_path / "demo.log"
    with said.open("wb") as log:
        command = [sys.executable, "-m", "citynerve", "demo", "--for", "60", "--port", "0", "--data-dir", str(tmp_path / "data")]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"NO_COLOR": "1"})
    try:
        yield _address(said, process)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)


def _address(said: Path, process: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + 40
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:[1-9]\d*/", said.read_text(errors="replace"))
        if found is not None:
            return found[0]
        time.sleep(0.1)
    pytest.fail(f"the demo named no console within 40 s; it said: {said.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def page(browser: Browser, demo: str) -> Iterator[Page]:
    """A page that throws nothing and breaks no content policy; closed before the demo ends, which it would miss."""
    del demo
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert wrong == []


def test_a_cover_that_is_opened_in_the_street_becomes_a_row_on_the_page(page: Page, demo: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(demo)
    expect(page.get_by_test_id("map")).to_have_attribute("data-drawn", re.compile(r"^[1-9]\d*$"), timeout=20_000)
    expect(page.get_by_test_id("link")).to_have_text("实时", timeout=20_000)
    row = page.get_by_test_id("case-list").get_by_role("listitem").filter(has_text="井盖")
    expect(row).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("alarm-list")).to_contain_text("井盖")
    row.get_by_role("link").first.click()
    expect(page.get_by_test_id("timeline")).to_contain_text("立案 系统")
    page.goto(f"{demo}gateways")
    expect(page.get_by_test_id("gateways")).to_contain_text("在线", timeout=15_000)
    assert [url for url in asked if not url.startswith((demo, "blob:", "data:"))] == []
