"""The page of the gateways before the real API: five thousand of them, their day in bars, what waits, and who is gone."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from cloud_api_world import World
from console_world import ConsoleWorld
from playwright.sync_api import Page, expect
from sqlalchemy import insert, update

from cloud.presence import BEAT_NS
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, gateway_states, gateways, lanes
from telemetry.clock import SECOND_NS

pytestmark = pytest.mark.integration

Accessible = Callable[[Page], None]
CLICK = """async () => {
    const begun = performance.now();
    document.querySelector('header a[href="/gateways"]').click();
    const frame = () => new Promise(requestAnimationFrame);
    while (document.querySelector('[data-testid="gateways"] tbody .row') === null) await frame();
    await frame();
    return performance.now() - begun;
}"""
"""How long it takes from the click on the link until rows are painted, in milliseconds."""


def do(real: ConsoleWorld, *statements: Any) -> None:
    async def work(w: World) -> None:
        async with writing(w.services.engine) as conn:
            for statement in statements:
                await conn.execute(statement)

    real.run(work)


def now_is(real: ConsoleWorld) -> int:
    """The cloud's clock is the browser's, and both gateways were just heard."""
    now_ns = time.time_ns()

    async def work(w: World) -> None:
        w.clock.set_wall(now_ns)

    real.run(work)
    do(real, update(gateways).values(last_seen_ns=now_ns))
    return now_ns


def fleet(real: ConsoleWorld, now_ns: int, count: int) -> None:
    """So many gateways with a lane each; one in a hundred is offline, one in fifty has something waiting."""

    def gateway(number: int) -> dict[str, Any]:
        waits = {"backlog": {"readings": 1200, "events": 3}, "oldest_unacked_ns": now_ns - 3600 * SECOND_NS}
        status = {"devices_expected": 200, "devices_heard": 199, **(waits if number % 50 == 0 else {"backlog": {}})}
        version = f"1.{number % 2}.0"
        return {
            "id": f"a-{number:05}", "epoch": "e1", "boot_id": "b", "agent_version": version, "online": number % 100 != 0,
            "first_seen_ns": 1, "last_seen_ns": now_ns, "status": status, "clock": "synced", "clock_ahead_ns": 0,
        }  # fmt: skip

    names = [gateway(number) for number in range(count)]
    account = {"epoch": "e1", "lane": "readings", "watermark": 100, "ranges": [], "stored": 100, "next_seq": 101}
    rows = [{"gateway": each["id"], **account, "updated_ns": now_ns} for each in names]
    starts = [{"gateway": each["id"], "at_ns": now_ns - 200 * BEAT_NS, "state": "online"} for each in names]

    async def rest(w: World) -> None:
        async with writing(w.services.engine) as conn:
            await conn.execute(gateways.insert(), names)
            await conn.execute(lanes.insert(), rows)
            await conn.execute(gateway_states.insert(), starts)

    real.run(rest)


class TestFleet:
    def test_a_row_says_who_is_there_what_waits_and_how_the_account_stands(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        now_ns = now_is(real)
        changes = [(20, "online"), (8, "offline"), (6, "online")]
        rows = [{"gateway": "gw-1", "at_ns": now_ns - ago * BEAT_NS, "state": state} for ago, state in changes]
        do(real, insert(gateway_states).values(rows))
        real_page.goto("/gateways")
        row = real_page.get_by_test_id("gateways").locator("tbody tr").first
        expect(row).to_contain_text("● 在线")
        expect(row).to_contain_text("待发 4")
        expect(row).to_contain_text("已舍弃 2")
        expect(row).to_contain_text("待补 3")
        expect(row).to_contain_text("申报丢失 4")
        expect(row).to_contain_text("0.1.0")
        expect(row.get_by_role("img")).to_have_attribute("aria-label", re.compile("在线 4小时48分，失联 0秒，离线 32分"))
        expect(row.locator("rect")).to_have_count(4)
        expect(real_page.get_by_test_id("fleet-totals")).to_contain_text("共 2 个网关")
        accessible(real_page)
        real_page.get_by_role("button", name="gw-1").click()
        expect(real_page).to_have_url(re.compile("gateway=gw-1"))
        expect(real_page.get_by_test_id("ledger")).to_contain_text("网关存储已满")
        real_page.get_by_role("button", name="English").click()
        real_page.get_by_role("button", name="Switch to light").click()
        expect(row).to_contain_text("4 wait")
        accessible(real_page)

    def test_one_that_is_gone_leads_to_its_case(self, real: ConsoleWorld, real_page: Page) -> None:
        now_ns = now_is(real)
        gone = {"id": "gw-2/cloud.gateway_offline/1", "device": "gw-2", "rule": "cloud.gateway_offline", "case_id": 7}
        rest = {"profile": "", "profile_version": 0, "priority": "high", "state": "unacknowledged", "uncertain": False}
        do(real, insert(alarms).values(**gone, **rest, raised_ns=now_ns, acknowledged_by="", evidence={}))
        real_page.goto("/gateways?standing=offline")
        rows = real_page.get_by_test_id("gateways").locator("tbody tr")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("○ 离线")
        rows.get_by_role("link", name="案件 #7").click()
        expect(real_page).to_have_url(re.compile("/cases/7$"))

    def test_two_missed_beats_are_told(self, real: ConsoleWorld, real_page: Page) -> None:
        now_ns = now_is(real)
        do(real, update(gateways).where(gateways.c.id == "gw-1").values(last_seen_ns=now_ns - 151 * SECOND_NS))
        real_page.goto("/gateways")
        expect(real_page.get_by_test_id("gateways").locator("tbody tr").first).to_contain_text("◐ 失联")
        real_page.get_by_role("button", name=re.compile("^失联 1")).click()
        expect(real_page).to_have_url(re.compile("standing=silent"))
        expect(real_page.get_by_test_id("gateways").locator("tbody tr")).to_have_count(1)


class TestFiveThousand:
    def test_the_list_is_on_the_screen_in_half_a_second_with_some_dozen_rows_in_the_page(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        now_ns = now_is(real)
        fleet(real, now_ns, 4998)
        table = real_page.get_by_test_id("gateways")
        took = []
        for _ in range(5):
            real_page.goto("/cases")
            expect(real_page.get_by_role("heading", level=1)).to_be_visible()
            real_page.wait_for_timeout(1500)
            took.append(real_page.evaluate(CLICK))
        print(f"5,000 gateways, click to rows: {[round(each) for each in took]} ms")  # noqa: T201
        assert min(took) < 500
        expect(table).to_have_attribute("aria-rowcount", "5001")
        expect(real_page.get_by_test_id("fleet-totals")).to_contain_text("共 5000 个网关")
        assert table.locator("tbody .row").count() < 60
        real_page.get_by_role("region", name="网关列表").evaluate("e => e.scrollTo(0, e.scrollHeight)")
        expect(table).to_have_attribute("data-rows", "200")
        accessible(real_page)

    def test_filters_are_the_servers_and_stand_in_the_address(self, real: ConsoleWorld, real_page: Page) -> None:
        now_ns = now_is(real)
        fleet(real, now_ns, 998)
        real_page.goto("/gateways")
        table = real_page.get_by_test_id("gateways")
        real_page.get_by_role("button", name=re.compile("^有待发")).click()
        expect(table).to_have_attribute("data-rows", "22")
        expect(table.locator("tbody .row").first).to_contain_text("最早 1小时")
        real_page.get_by_label("版本").select_option("1.0.0")
        expect(table).to_have_attribute("data-rows", "20")
        real_page.get_by_role("button", name=re.compile("^离线")).click()
        expect(table).to_have_attribute("data-rows", "10")
        real_page.get_by_role("searchbox").fill("a-0010")
        expect(table).to_have_attribute("data-rows", "1")
        expect(real_page).to_have_url(re.compile("backlog=true&version=1.0.0&standing=offline&q=a-0010"))
        real_page.reload()
        expect(table).to_have_attribute("data-rows", "1")
        real_page.get_by_role("searchbox").fill("nobody")
        expect(real_page.get_by_text("没有符合条件的网关")).to_be_visible()
        real_page.get_by_role("button", name="清除筛选").click()
        expect(table).to_have_attribute("aria-rowcount", "1001")

    def test_a_phone_shows_it_whole(self, real: ConsoleWorld, real_page: Page, accessible: Accessible) -> None:
        now_is(real)
        real_page.set_viewport_size({"width": 390, "height": 844})
        real_page.goto("/gateways?gateway=gw-1")
        expect(real_page.get_by_test_id("ledger")).to_be_visible()
        expect(real_page.get_by_test_id("gateways").locator("tbody tr")).to_have_count(2)
        assert real_page.evaluate("document.documentElement.scrollWidth") <= 390
        accessible(real_page)
