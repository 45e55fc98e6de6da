"""The bundle, a browser, and a page that must ask no foreign host and log no error."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_world import ConsoleWorld
from mock_api import City, MockServer
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from cloud.console.serve import BUNDLE

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
]
# The driver of the software renderer speaks of its own speed, and of a status that a test made on purpose.
QUIET = ("GL Driver Message", "Failed to load resource")


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The built console; built now where it is missing."""
    if not (BUNDLE / "index.html").is_file():
        done = subprocess.run([sys.executable, str(ROOT / "console" / "build.py")], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = f"the console is not built and cannot be: {done.stderr.strip().splitlines()[-1:]}; run make console"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
    return BUNDLE


@pytest.fixture(scope="module")
def browser(chromium: str, bundle: Path) -> Iterator[Browser]:
    """One Chromium for the tests of a file. Not longer: Playwright keeps an event loop running in this thread meanwhile."""
    del bundle
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield program
        program.close()


@pytest.fixture
def city() -> City:
    """Sixty devices, nothing wrong yet."""
    return City()


@pytest.fixture
def address(city: City) -> Iterator[str]:
    """The mock's own address."""
    with MockServer(city) as url:
        yield url


@pytest.fixture
def real(tmp_path: Path) -> Iterator[ConsoleWorld]:
    """The real API over real stores, as it stands, with the console."""
    with ConsoleWorld(tmp_path) as made:
        yield made


def _desk(browser: Browser, address: str) -> BrowserContext:
    """A fresh desk: 1440 x 900, nothing stored, times of China."""
    context = browser.new_context(base_url=address, viewport={"width": 1440, "height": 900}, timezone_id="Asia/Shanghai")
    context.set_default_timeout(15_000)
    expect.set_options(timeout=15_000)
    return context


def _guarded(context: BrowserContext, address: str) -> list[str]:
    """The addresses of every request to another host; each is refused."""
    asked: list[str] = []

    def judge(route: Route) -> None:
        if route.request.url.startswith((address, "blob:", "data:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    context.route("**/*", judge)
    return asked


def _watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """A page and what it complained of."""
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(error.stack or str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" and not any(q in m.text for q in QUIET) else None)
    return page, wrong


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """A desk before the mock."""
    context = _desk(browser, address)
    yield context
    context.close()


@pytest.fixture
def foreign(context: BrowserContext, address: str) -> list[str]:
    """The addresses of every request to another host than the mock; each is refused."""
    return _guarded(context, address)


@pytest.fixture
def page(context: BrowserContext, foreign: list[str]) -> Iterator[Page]:
    """A page; afterwards it must have asked no foreign host, broken no content policy and thrown nothing."""
    page, wrong = _watched(context)
    yield page
    assert wrong == []
    assert foreign == []


@pytest.fixture
def real_page(browser: Browser, real: ConsoleWorld) -> Iterator[Page]:
    """A page before the real API, with the same demands as `page`; `page.set_viewport_size` makes it another screen."""
    context = _desk(browser, real.url)
    foreign = _guarded(context, real.url)
    page, wrong = _watched(context)
    yield page
    context.close()
    assert wrong == []
    assert foreign == []


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Checks a page as it stands against WCAG 2.2 A and AA; the assertion names rule, element and what is wrong."""
    source = (ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

    def check(page: Page) -> None:
        page.evaluate(source)
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
        found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags)
        assert [(v["id"], [n["target"] for n in v["nodes"]], v["nodes"][0]["failureSummary"]) for v in found["violations"]] == []

    return check
