"""The login in a real browser, over the real accounts: only the city behind them is the mock's."""

import contextlib
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import Depends, FastAPI
from mock_api import City, build_mock
from playwright.sync_api import Browser, Page, expect

from cloud.accounts.accounts import AccountPolicy, Accounts
from cloud.accounts.passwords import Cost
from cloud.accounts.roles import AccountRole, Grant
from cloud.accounts.users import Change
from cloud.api import problems, session
from cloud.api.gate import Gate, audited
from cloud.relational.engine import make_engine
from cloud.relational.tables import metadata
from telemetry.clock import SystemClock

pytestmark = pytest.mark.integration

WORDS = "lamp cover toilet drain"
NEWS = {"id": "manhole-000/cover_open/1", "device": "manhole-000", "state": "unacknowledged"}
POLICY = AccountPolicy(cost=Cost(passes=1, memory_kib=8, lanes=1))
Acts = Callable[[Callable[[Accounts], Any]], None]


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The address of a relational store with its tables."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}"

    async def made() -> None:
        engine = make_engine(url)
        async with engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
        await engine.dispose()

    _run(made)
    return url


@pytest.fixture
def address(city: City, store: str) -> Iterator[str]:
    """The login and its gate before the mock city."""
    server = uvicorn.Server(uvicorn.Config(_app(city, store), port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    city.streams_open = False
    server.should_exit = True
    thread.join(10)


def _app(city: City, store: str) -> FastAPI:
    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        engine = make_engine(store)
        app.state.accounts = Accounts(engine, SystemClock(), POLICY)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=life, dependencies=[Depends(audited)])
    app.include_router(session.router, prefix="/api")
    app.mount("/", build_mock(city))
    problems.install(app)
    app.add_middleware(Gate)
    return app


@pytest.fixture
def acts(store: str) -> Acts:
    """Does something to the accounts from the machine's own terminal."""

    def do(work: Callable[[Accounts], Any]) -> None:
        async def done() -> None:
            engine = make_engine(store)
            await work(Accounts(engine, SystemClock(), POLICY))
            await engine.dispose()

        _run(done)

    return do


def _run(work: Callable[[], Any]) -> None:
    # Playwright keeps a loop running in this thread.
    import asyncio

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work()).result()


def made(acts: Acts) -> None:
    acts(lambda accounts: accounts.add("li.wei", WORDS, (Grant(AccountRole.OPERATOR),), "李伟"))


def log_in(page: Page, name: str = "li.wei", password: str = WORDS) -> None:
    page.get_by_label("用户名").fill(name)
    page.get_by_label("密码").fill(password)
    page.get_by_test_id("login").get_by_role("button", name="登录").click()


def test_without_accounts_nobody_is_asked_and_no_name_is_shown(page: Page) -> None:
    page.goto("/gateways")
    expect(page.get_by_test_id("link")).to_have_text("实时")
    expect(page.get_by_test_id("login")).to_have_count(0)
    expect(page.get_by_test_id("who")).to_have_count(0)
    expect(page.get_by_role("button", name="退出")).to_have_count(0)


def test_with_an_account_nothing_of_the_city_is_shown_or_asked_before_the_login(page: Page, acts: Acts) -> None:
    made(acts)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(re.sub(r"^http://[^/]+", "", request.url)))
    page.goto("/gateways")
    expect(page.get_by_label("用户名")).to_be_focused()
    expect(page.get_by_role("navigation")).to_have_count(0)
    assert [path for path in asked if path.startswith("/api")] == ["/api/session"]
    log_in(page)
    expect(page).to_have_url(re.compile("/gateways$"))
    expect(page.get_by_test_id("who")).to_have_text("李伟")
    expect(page.get_by_test_id("link")).to_have_text("实时")
    expect(page.get_by_test_id("gateways")).to_contain_text("gw-tianhe-1")


def test_the_token_is_out_of_reach_of_every_script_and_leaves_with_the_logout(page: Page, acts: Acts) -> None:
    made(acts)
    page.goto("/")
    log_in(page)
    expect(page.get_by_test_id("who")).to_have_text("李伟")
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("JSON.stringify(localStorage)").find(cookie["value"]) == -1
    page.get_by_role("button", name="退出").click()
    expect(page.get_by_test_id("login")).to_be_visible()
    assert page.context.cookies() == []


def test_a_wrong_password_is_said_and_too_many_are_slowed(page: Page, acts: Acts) -> None:
    made(acts)
    page.goto("/")
    for _ in range(5):
        log_in(page, password="wrong")  # noqa: S106 - it is
        expect(page.get_by_test_id("login").get_by_role("alert")).to_have_text("用户名或密码不对。")
        expect(page.get_by_label("密码")).to_have_value("")
        expect(page.get_by_label("密码")).to_be_focused()
    log_in(page)
    expect(page.get_by_test_id("login").get_by_role("alert")).to_contain_text(re.compile(r"请 (30|29|28|27) 秒后再试"))


def test_the_login_speaks_english_too(page: Page, acts: Acts) -> None:
    made(acts)
    page.goto("/")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    expect(page).to_have_title(re.compile("^Log in"))
    page.get_by_label("Name").fill("li.wei")
    page.get_by_label("Password").fill(WORDS)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_session_that_ends_leads_to_the_login_where_one_is(page: Page, city: City, acts: Acts) -> None:
    made(acts)
    page.goto("/?view=list")
    log_in(page)
    expect(page.get_by_test_id("device-table")).to_be_visible()
    expect(page.get_by_test_id("link")).to_have_text("实时")
    acts(lambda accounts: accounts.change("li.wei", Change(disabled=True)))
    city.publish("alarm", NEWS)
    expect(page.get_by_test_id("login")).to_contain_text("登录已失效")
    expect(page.get_by_test_id("device-table")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/\?view=list$"))


def test_the_first_account_sends_whoever_is_there_to_the_login(page: Page, city: City, acts: Acts) -> None:
    page.goto("/")
    expect(page.get_by_test_id("link")).to_have_text("实时")
    made(acts)
    city.publish("alarm", NEWS)
    expect(page.get_by_test_id("login")).to_be_visible()
    expect(page.get_by_test_id("map")).to_have_count(0)


def test_on_a_phone_the_login_fits(browser: Browser, address: str, acts: Acts) -> None:
    made(acts)
    context = browser.new_context(base_url=address, viewport={"width": 360, "height": 640})
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_test_id("login")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()
