"""The crew's page on the real cloud: the routes, the workflow, the photos' folder and the stores, all as they are."""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from crew_line import Line
from crew_phone import HERE, PHONE, camera_photo, finish, outbox, sent_all, take_photo
from playwright.sync_api import Browser, Page, expect

from cloud.accounts.roles import AccountRole, Grant
from cloud.api.app import build_app
from cloud.api.server import listen, serve
from cloud.api.services import Services
from cloud.cases.desk import Desk
from cloud.console.serve import mount_console
from cloud.counts import CloudCounts
from cloud.evidence import EvidenceFolder
from cloud.feed import Feed
from cloud.relational.engine import make_engine, writing
from cloud.relational.tables import devices, metadata
from cloud.series.duckdb_store import DuckStore
from device_profiles.shelf import load_catalog
from telemetry.clock import SystemClock
from telemetry.records import Reading
from telemetry.wire import group_readings

pytestmark = pytest.mark.integration

STEPS = {
    "reported": {"step": "file", "actor": "chen", "role": "operator", "standard": "井盖移位，有坠落危险"},
    "filed": {"step": "dispatch", "actor": "sun", "role": "dispatcher", "department": "市政设施养护单位"},
    "dispatched": {"step": "assign", "actor": "qian", "role": "department", "assignee": "li.wei"},
}


class Cloud:
    """A cloud of one cover, in a thread of its own; a context manager that gives itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "evidence"
        self._engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")
        self._series = DuckStore(folder / "series.duckdb")
        self._bound = listen("127.0.0.1", 0)
        self.port: int = self._bound.getsockname()[1]
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="cloud", daemon=True)

    def __enter__(self) -> "Cloud":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def ask(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json", **headers})
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
            return json.load(answer)

    def give_account(self, name: str, password: str) -> None:
        """The first account, a crew's: from now on nobody else gets in."""
        made = self._app.state.accounts.add(name, password, (Grant(AccountRole.CREW),), "李伟")
        asyncio.run_coroutine_threadsafe(made, self._loop).result(20)

    def assigned_case(self) -> int:
        """The number of a case that has come all the way to li.wei."""
        told = {"matter": "cover_displaced", "actor": "chen", "role": "operator", "device": "cover-1", "description": "井盖移位"}
        case = self.ask("/api/cases", told)
        while case["state"] in STEPS:
            case = self.ask(f"/api/cases/{case['id']}/steps", {**STEPS[case["state"]], "version": case["version"]})
        assert (case["state"], case["assignee"]) == ("handling", "li.wei")
        return int(case["id"])

    async def _run(self) -> None:
        self._loop, self._stop, ready = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        await self._series.open()
        async with self._engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
        await self._fill()
        services = Services(
            engine=self._engine,
            series=self._series,
            desk=Desk(catalog=load_catalog()),
            feed=Feed(),
            clock=SystemClock(),
            counts=_counts,
            evidence=EvidenceFolder(self.folder),
            stop=self._stop,
        )
        self._app = app = build_app(services)
        mount_console(app)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(app, self._bound, self._stop, ready.set))
            await ready.wait()
            self._ready.set()
        await self._series.close()
        await self._engine.dispose()

    async def _fill(self) -> None:
        now_ns = time.time_ns()
        async with writing(self._engine) as conn:
            await conn.execute(
                devices.insert().values(
                    id="cover-1", gateway="gw-1", profile="cover_nbiot", profile_version=1, kind="manhole_cover",
                    name="中山路1号井盖", component_code="4401060103000001", longitude=113.3, latitude=23.1,
                    first_seen_ns=1, last_reading_ns=now_ns,
                )
            )  # fmt: skip
        reading = Reading(
            device="cover-1", profile="cover_nbiot", profile_version=1, time_ns=now_ns, received_ns=now_ns,
            values={"tilt_deg": 1.2, "cover_open": False},
        )  # fmt: skip
        await self._series.write([group_readings("gw-1", "e1", 1, [reading])])


async def _counts() -> CloudCounts:
    return CloudCounts()


@pytest.fixture
def cloud(bundle: Path, tmp_path: Path) -> Iterator[Cloud]:
    del bundle
    with Cloud(tmp_path) as cloud:
        yield cloud


@pytest.fixture
def line(cloud: Cloud) -> Iterator[Line]:
    with Line(cloud.port) as line:
        yield line


@pytest.fixture
def number(cloud: Cloud) -> int:
    return cloud.assigned_case()


@pytest.fixture
def page(browser: Browser, line: Line, number: int) -> Iterator[Page]:
    del number
    context = browser.new_context(
        base_url=line.url,
        viewport=PHONE,
        has_touch=True,
        timezone_id="Asia/Shanghai",
        geolocation=HERE,
        permissions=["geolocation"],
    )
    context.add_init_script("localStorage.setItem('citynerve.actor', 'li.wei')")
    expect.set_options(timeout=15_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto("/crew")
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    yield page
    context.close()
    assert wrong == []


def test_a_cover_is_put_right_over_a_line_that_breaks_in_the_middle_of_the_photo(
    page: Page, cloud: Cloud, line: Line, number: int
) -> None:
    photo = camera_photo(page)
    page.get_by_test_id("tasks").get_by_role("link").click()
    expect(page.get_by_test_id("device-says")).to_contain_text("井盖已闭合")
    page.get_by_role("button", name="接单").click()
    page.get_by_role("button", name="我已到场").click()
    expect(page.get_by_text("✓ 已到场")).to_be_visible()
    sent_all(page)
    line.cut_photo_after = 200_000
    take_photo(page, "before", photo)
    finish(page, photo)
    expect(page.get_by_test_id("link")).to_contain_text("离线")
    assert cloud.ask(f"/api/cases/{number}")["state"] == "handling"
    line.mend()
    sent_all(page)
    case = cloud.ask(f"/api/cases/{number}")
    assert case["state"] == "department_review"
    own = [step for step in case["steps"] if step["actor"] == "li.wei"]
    assert [step["step"] for step in own] == ["take", "arrive", "submit"]
    assert all(step["done"] is not None and step["role"] == "crew" for step in own)
    assert (own[1]["longitude"], own[1]["latitude"]) == (HERE["longitude"], HERE["latitude"])
    assert own[2]["note"].startswith("井盖已复位\n✓ ")
    kept = {file.name: file.read_bytes() for file in cloud.folder.iterdir()}
    assert set(own[2]["photos"]) == set(kept)
    assert all(hashlib.sha256(data).hexdigest() == name and data.endswith(b"\xff\xd9") for name, data in kept.items())
    assert cloud.ask("/api/evidence")["refused"] == {}


def test_a_conflict_with_the_real_desk_shows_what_it_did(page: Page, cloud: Cloud, line: Line, number: int) -> None:
    page.get_by_test_id("tasks").get_by_role("link").click()
    expect(page.get_by_test_id("task")).to_contain_text("井盖移位")
    line.cut()
    page.get_by_role("button", name="接单").click()
    expect(page.get_by_text("✓ 已接单（待发）")).to_be_visible()
    version = cloud.ask(f"/api/cases/{number}")["version"]
    told = {"step": "supervise", "actor": "zhao", "role": "supervisor", "version": version, "note": "请尽快"}
    cloud.ask(f"/api/cases/{number}/steps", told)
    line.mend()
    row = outbox(page)
    page.get_by_role("button", name="立即发送").click()
    expect(row.get_by_test_id("theirs")).to_contain_text("督办 zhao")
    row.get_by_role("button", name=f"在第 {version + 1} 版上重新提交").click()
    expect(row).to_have_count(0)
    assert [step["step"] for step in cloud.ask(f"/api/cases/{number}")["steps"]][-2:] == ["supervise", "take"]


def test_the_cover_is_disarmed_by_the_code_that_stands_on_it(page: Page, cloud: Cloud) -> None:
    page.get_by_test_id("tasks").get_by_role("link").click()
    place = page.get_by_test_id("arming")
    expect(place).to_contain_text("设备已布防")
    place.get_by_role("button", name="我要打开它").click()
    place.get_by_label("设备编码").fill("4401060103000001")
    place.locator("button[type=submit]").click()
    expect(place).to_contain_text("打开后再合上会自动布防")
    arming = cloud.ask("/api/devices/cover-1/arming")
    assert (arming["armed"], arming["by"]) == (False, "li.wei")
    assert "cover_opened" in arming["rules"]
    place.get_by_role("button", name="现在布防").click()
    expect(place).to_contain_text("设备已布防")
    assert cloud.ask("/api/devices/cover-1/arming")["armed"] is True


def test_once_there_are_accounts_what_waits_goes_out_after_signing_in(page: Page, cloud: Cloud, number: int) -> None:
    page.get_by_test_id("tasks").get_by_role("link").click()
    expect(page.get_by_test_id("task")).to_contain_text("井盖移位")
    cloud.give_account("li.wei", "a long enough secret")
    page.get_by_role("button", name="接单").click()
    expect(page.get_by_test_id("outbox-link")).to_have_text("待发箱 1")
    page.reload()
    page.get_by_role("button", name="去登录").click()
    page.get_by_label("密码").fill("a long enough secret")
    page.get_by_role("button", name="进入").click()
    sent_all(page)
    expect(page.get_by_text("✓ 已接单")).to_be_visible()
    token = cloud.ask("/api/session", {"name": "li.wei", "password": "a long enough secret"})["token"]
    case = cloud.ask(f"/api/cases/{number}", Authorization=f"Bearer {token}")
    assert [(step["step"], step["actor"], step["role"]) for step in case["steps"]][-1] == ("take", "li.wei", "crew")
