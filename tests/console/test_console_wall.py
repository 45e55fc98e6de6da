"""The wall over the real API: every number opens its list, what is old is grey, and an hour of updates leaves nothing behind."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud_api_world import NOW_NS, World
from console_world import ConsoleWorld
from playwright.sync_api import Page, expect
from sqlalchemy import insert

from cloud.console.serve import BUNDLE
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, cases
from telemetry.clock import SECOND_NS

HOUR_NS = 3600 * SECOND_NS
# The share of everything that is online is a mean of numbers that are links themselves.
LINKED = """all => all.filter(b => !b.matches('h2 > b'))
  .map(b => (b.closest('a') ?? b.querySelector('a'))?.getAttribute('target') ?? b.outerHTML)"""
CUT = """all => all.filter(p => p.scrollWidth > p.clientWidth + 1 || p.scrollHeight > p.clientHeight + 1)
  .map(p => `${p.className} ${p.innerText.slice(0, 40)}`)"""


@pytest.fixture(scope="module", autouse=True)
def _built(bundle: Path) -> None:
    if not (bundle / "wall.html").is_file():
        pytest.skip("the bundle is of before the wall: make console")


async def _trouble(world: World) -> None:
    """Fifteen critical alarms of the last hours, and cases of two departments, some of them late."""
    async with writing(world.services.engine) as conn:
        await conn.execute(insert(alarms), [_alarm(n) for n in range(15)])
        await conn.execute(insert(cases), [_case(n) for n in range(8)])


def _alarm(n: int) -> dict[str, Any]:
    raised = NOW_NS - (n + 1) * 20 * 60 * SECOND_NS
    return {
        "id": f"cover-2/rule_{n}/{raised}", "device": "cover-2", "rule": f"rule_{n}", "profile": "cover_nbiot",
        "profile_version": 1, "priority": "critical", "state": "unacknowledged", "uncertain": False,
        "raised_ns": raised, "returned_ns": None,
        "acknowledged_ns": None, "acknowledged_by": "", "evidence": {}, "case_id": None,
    }  # fmt: skip


def _case(n: int) -> dict[str, Any]:
    return {
        "id": 100 + n, "device": None, "matter": "lamp_out", "gbt_code": "0301", "department": "lamps" if n < 4 else "water",
        "district": "", "title_zh": "灯", "title_en": "lamp", "state": "filed", "priority": "low",
        "longitude": None, "latitude": None, "opened_ns": NOW_NS - HOUR_NS,
        "due_ns": NOW_NS + (HOUR_NS if n else -HOUR_NS), "closed_ns": None, "assignee": "", "version": 1,
    }  # fmt: skip


def _open(page: Page, width: int = 1920, height: int = 1080) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto("/wall")
    expect(page.get_by_test_id("devices")).to_be_visible()


def test_the_wall_shows_what_the_api_counts(real: ConsoleWorld, real_page: Page) -> None:
    real.run(_trouble)
    shown = real.run(lambda world: world.get("/api/overview"))
    _open(real_page)
    expect(real_page.get_by_test_id("devices")).to_have_text(str(shown["devices"]["total"]))
    expect(real_page.get_by_test_id("state-offline")).to_have_text(str(shown["devices"]["states"]["offline"]))
    expect(real_page.get_by_test_id("alarms-critical")).to_have_text("16")
    expect(real_page.get_by_test_id("criticals")).to_have_text("16")
    expect(real_page.get_by_test_id("cases")).to_have_text("9")
    expect(real_page.get_by_test_id("late")).to_have_text("1")
    expect(real_page.get_by_test_id("energy")).to_contain_text("暂无数据")
    expect(real_page.get_by_test_id("clock")).to_contain_text("2025/11/20")
    expect(real_page.get_by_test_id("clock")).to_contain_text("22:00:")
    expect(real_page.get_by_test_id("sla").get_by_role("row", name="lamps")).to_contain_text("75%")
    expect(real_page.locator("[data-drawn=true] canvas")).to_be_visible()


def test_every_number_opens_its_list_on_the_second_screen(real: ConsoleWorld, real_page: Page) -> None:
    real.run(_trouble)
    _open(real_page)
    numbers = real_page.locator("main b, header li b, td").filter(has_text=re.compile(r"^[\s\d.,%]+$"))
    assert numbers.count() > 20
    linked = numbers.evaluate_all(LINKED)
    assert set(linked) == {"citynerve-lists"}
    hrefs = set(real_page.locator("a[target]").evaluate_all("all => all.map(a => a.getAttribute('href'))"))
    assert {"/", "/?state=critical", "/?kind=manhole_cover&state=offline", "/alarms?priority=critical", "/cases"} <= hrefs
    assert {"/cases?department=lamps", "/cases?department=lamps&mark=overdue", "/devices/cover-2"} <= hrefs
    with real_page.expect_popup() as opened:
        real_page.get_by_test_id("state-offline").click()
    assert opened.value.url.endswith("/?state=offline")
    opened.value.close()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160), (3240, 1080), (1280, 720)])
def test_it_fills_every_screen_and_cuts_nothing_off(real: ConsoleWorld, real_page: Page, width: int, height: int) -> None:
    real.run(_trouble)
    _open(real_page, width, height)
    size = real_page.get_by_test_id("board").evaluate("b => parseFloat(getComputedStyle(b).fontSize)")
    assert size == pytest.approx(min(height / 60, width * 0.009375), rel=0.01)
    over = real_page.evaluate(
        "() => [document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]"
    )
    assert max(over) <= 0
    widths = real_page.locator("main > *").evaluate_all("all => all.map(c => c.getBoundingClientRect().width)")
    assert widths[0] / widths[1] == pytest.approx(0.75, rel=0.01)
    assert widths[2] / widths[1] == pytest.approx(0.75, rel=0.01)
    assert real_page.evaluate("() => getComputedStyle(document.querySelector('.board')).transform") == "none"
    cut = real_page.locator("header, footer, .panel, .figures").evaluate_all(CUT)
    assert cut == []


def test_what_is_older_than_thirty_seconds_is_grey_and_says_so_until_there_is_an_answer(
    real: ConsoleWorld, real_page: Page
) -> None:
    real_page.clock.install()
    _open(real_page)
    board = real_page.get_by_test_id("board")
    expect(board).not_to_have_class(re.compile("grey"))
    real_page.route("**/api/overview", lambda route: route.abort())
    real_page.clock.run_for(15_000)  # and the time that the test itself takes
    expect(board).not_to_have_class(re.compile("grey"))
    real_page.clock.run_for(16_000)
    expect(board).to_have_class(re.compile("grey"))
    expect(real_page.get_by_test_id("stale")).to_contain_text(re.compile(r"数据已 (3|4)\d秒 未更新"))
    real_page.clock.run_for(3600_000)
    expect(real_page.get_by_test_id("stale")).to_contain_text("1小时")
    real_page.unroute("**/api/overview")
    real_page.clock.run_for(6_000)
    expect(real_page.get_by_test_id("stale")).to_have_count(0)
    expect(board).not_to_have_class(re.compile("grey"))


def test_a_city_whose_gateways_are_silent_is_grey_though_the_cloud_answers(real: ConsoleWorld, real_page: Page) -> None:
    async def later(world: World) -> None:
        world.clock.advance(91)

    real.run(later)
    _open(real_page)
    expect(real_page.get_by_test_id("stale")).to_contain_text("网关已 1分 没有消息")
    expect(real_page.get_by_test_id("board")).to_have_class(re.compile("grey"))


def test_it_comes_in_english_and_is_read_by_everybody(
    real: ConsoleWorld, real_page: Page, accessible: Callable[[Page], None]
) -> None:
    real.run(_trouble)
    _open(real_page)
    accessible(real_page)
    real_page.get_by_role("button", name="English").click()
    expect(real_page.get_by_role("heading", level=1)).to_have_text("The city at a glance")
    expect(real_page.get_by_role("heading", name="Open critical alarms")).to_be_visible()
    accessible(real_page)


def test_lists_turn_their_pages_and_stand_still_when_asked(real: ConsoleWorld, real_page: Page) -> None:
    real.run(_trouble)
    real_page.clock.install()
    _open(real_page)
    first = real_page.get_by_role("heading", name="未恢复的紧急报警").locator("xpath=..").get_by_role("listitem").first
    before = first.inner_text().splitlines()[0]
    real_page.clock.run_for(7_000)
    expect(first).not_to_contain_text(before)
    real_page.get_by_role("button", name="暂停轮播").click()
    stands = first.inner_text().splitlines()[0]
    real_page.clock.run_for(30_000)
    expect(first).to_contain_text(stands)


# Answers without a line between, drawn small: an hour of them passes in half a minute. Every alarm is another each time.
BUSY = """shown => {
  const real = window.fetch;
  window.asked = 0;
  const alarm = shown.newest[0];
  window.fetch = async (url, init) => {
    if (!String(url).startsWith('/api/overview')) return real(url, init);
    const n = (window.asked += 1);
    const listed = Array.from({ length: 50 }, (_, k) => ({ ...alarm, id: `cover-1/r/${n}-${k}`, device_name: `${n} ${k}` }));
    const hours = shown.alarms.hours.map((hour) => ({ ...hour, count: n % 7 }));
    const alarms = { ...shown.alarms, hours };
    const busy = { ...shown, newest: listed.slice(0, 20), criticals: { total: 50, items: listed }, alarms };
    return new Response(JSON.stringify(busy), { headers: { 'content-type': 'application/json' } });
  };
}"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_hour_of_updates_leaves_nothing_behind(real: ConsoleWorld, real_page: Page) -> None:
    shown = real.run(lambda world: world.get("/api/overview"))
    real_page.clock.install()
    # The map draws sixty pictures in each of these seconds, and is another library's; the districts' list stands there.
    real_page.route("**/api/map", lambda route: route.abort())
    _open(real_page, 320, 180)
    real_page.evaluate(BUSY, shown)
    probe = real_page.context.new_cdp_session(real_page)

    def held() -> tuple[int, int]:
        probe.send("HeapProfiler.collectGarbage")
        return probe.send("Memory.getDOMCounters")["nodes"], probe.send("Runtime.getHeapUsage")["usedSize"]

    def minutes(count: int) -> None:
        # Every timer that is due fires once: the question of five seconds, and a turn of the lists every sixth time.
        for _ in range(count * 12):
            real_page.clock.fast_forward(5_000)

    minutes(5)
    expect(real_page.get_by_test_id("criticals")).to_have_text("50")
    nodes, heap = held()
    minutes(60)
    later_nodes, later_heap = held()
    assert real_page.evaluate("window.asked") >= 700
    assert later_nodes <= nodes * 1.15 + 50
    assert later_heap <= heap * 1.2 + 1_000_000


def test_the_wall_loads_its_chart_and_its_map_after_itself() -> None:
    page = (BUNDLE / "wall.html").read_text(encoding="utf-8")
    first = [(BUNDLE / name) for name in re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', page)]
    assert first
    for script in first:
        text = script.read_text(encoding="utf-8")
        assert "echarts" not in text.lower() or "import(" in text
        assert len(text) < 200_000
