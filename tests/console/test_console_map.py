"""The operations page before the real API: what is drawn, what a click opens, how soon news are on the map."""

import asyncio
import base64
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from cloud_api_world import World
from console_world import ConsoleWorld
from map_world import MIDDLE, add_devices, add_many, clear, close_case, open_case, raise_alarm, row, scattered
from picture import pixels
from playwright.sync_api import Browser, Locator, Page, Route, expect

pytestmark = pytest.mark.integration

_log = logging.getLogger(__name__)

# --critical and --alarm of the themes in console/src/styles/tokens.css
RED = {"dark": (255, 107, 99), "light": (195, 32, 45)}
AMBER = (255, 179, 64)
LON, LAT = MIDDLE
NEAR = f"at={LON},{LAT},16"
FAR = f"at={LON},{LAT},9"
SOME = re.compile(r"^[1-9]\d*$")
# One grey point (PNG specification): what a basemap's server gives for each tile.
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
# The browser's "offline" refuses new requests and leaves open ones alone: this ends those, as a cut cable does.
CUTTER = """
const open = [];
const ask = globalThis.fetch;
globalThis.fetch = (path, init = {}) => {
  const cut = new AbortController();
  open.push(cut);
  return ask(path, {...init, signal: AbortSignal.any([cut.signal, ...(init.signal ? [init.signal] : [])])});
};
globalThis.cutTheLine = () => open.splice(0).forEach((cut) => cut.abort(new TypeError('network error')));
"""


def near(picture: np.ndarray[Any, Any], colour: tuple[int, int, int]) -> int:
    """How many pixels are of this colour, give or take the renderer's smoothing."""
    return int((np.abs(picture.astype(int) - np.array(colour)).max(axis=2) < 12).sum())


def drawn(page: Page) -> Locator:
    return page.get_by_test_id("map")


def count(page: Page, what: str, wanted: int | re.Pattern[str], timeout: float = 15_000) -> None:
    """Wait until so many are on the screen."""
    expect(drawn(page)).to_have_attribute(f"data-{what}", str(wanted) if isinstance(wanted, int) else wanted, timeout=timeout)


def click_middle(page: Page) -> None:
    box = drawn(page).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def fill(real: ConsoleWorld, rows: list[dict[str, Any]]) -> None:
    """A city of these devices and nothing else."""

    async def work(world: World) -> None:
        await clear(world)
        await add_devices(world, rows)

    real.run(work)


async def settle(world: World) -> None:
    """What was told is on the map at once."""
    await world.services.atlas.catch_up()
    world.services.atlas.tick()


class TestPicture:
    def test_thousands_are_drawn_as_counts_and_never_fetched_one_by_one(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, scattered(5_000))
        asked: list[str] = []
        real_page.on("request", lambda request: asked.append(request.url))
        real_page.goto(f"/?{FAR}")
        count(real_page, "drawn", 5_000)
        count(real_page, "donuts", 0)
        expect(real_page.get_by_test_id("shown")).to_have_text("显示 5000 / 5000 台设备")
        assert not [url for url in asked if "/api/devices" in url]
        assert near(pixels(drawn(real_page).screenshot()), RED["dark"]) == 0

    @pytest.mark.parametrize("theme", ["dark", "light"])
    def test_one_critical_among_a_thousand_is_a_slice_and_not_a_red_cell(
        self, real: ConsoleWorld, real_page: Page, theme: str
    ) -> None:
        fill(real, [row(n, LON + n % 32 * 1e-5, LAT + n // 32 * 1e-5) for n in range(1_000)])
        real.run(lambda world: raise_alarm(world, "dev-0000500"))
        real.run(settle)
        real_page.add_init_script(f"localStorage.setItem('citynerve.theme', '{theme}')")
        real_page.goto(f"/?{FAR}")
        count(real_page, "donuts", 1)
        count(real_page, "critical", 1)
        red = near(pixels(drawn(real_page).screenshot()), RED[theme])
        # A sixteenth of a ring some 46 px wide, and two letters within; all of the badge would be 1,500.
        assert 15 < red < 200

    def test_from_near_every_device_has_its_own_mark(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON + (n - 20) * 2e-4, LAT) for n in range(40)])
        real.run(lambda world: raise_alarm(world, "dev-0000020"))
        real.run(lambda world: raise_alarm(world, "dev-0000023", "high"))
        real.run(settle)
        real_page.goto(f"/?{NEAR}")
        count(real_page, "critical", 1)
        # 1,440 px less the rail at zoom 16 are some 0.0105 degrees on each side... all forty within.
        count(real_page, "drawn", SOME)
        picture = pixels(drawn(real_page).screenshot())
        assert near(picture, RED["dark"]) > 60
        assert near(picture, AMBER) > 60

    def test_a_cell_of_one_device_shows_that_device(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(1, LON, LAT)])
        real_page.goto(f"/?{FAR}")
        count(real_page, "drawn", 1)
        click_middle(real_page)
        expect(real_page.get_by_test_id("device-card")).to_contain_text("中山路1号")
        expect(real_page).to_have_url(re.compile("device=dev-0000001"))

    def test_open_cases_are_pins_of_their_own(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(1, LON - 0.05, LAT)])
        real.run(lambda world: open_case(world, 31, (LON, LAT), priority="high", hours=50))
        real.run(lambda world: open_case(world, 32, (LON + 0.06, LAT), priority="low"))
        real.run(settle)
        real_page.goto(f"/?at={LON},{LAT},11")
        count(real_page, "pins", 2)
        box = drawn(real_page).bounding_box()
        assert box is not None
        # A pin stands on its place.
        real_page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 - 20)
        pins = real_page.get_by_test_id("pins")
        expect(pins).to_contain_text("案件 31 · 井盖缺失")
        expect(pins).to_contain_text("2天")
        expect(pins.get_by_role("link")).to_have_attribute("href", "/cases/31")

    def test_devices_upon_each_other_open_a_list(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON, LAT) for n in range(120)])
        real_page.goto(f"/?at={LON},{LAT},17")
        count(real_page, "drawn", 120)
        click_middle(real_page)
        here = real_page.get_by_test_id("here")
        expect(here.get_by_role("listitem")).to_have_count(50)
        here.get_by_role("button", name="再列").click()
        expect(here.get_by_role("listitem")).to_have_count(100)
        here.get_by_role("button", name="中山路7号").click()
        expect(real_page.get_by_test_id("device-card")).to_contain_text("中山路7号")
        real_page.get_by_test_id("device-card").get_by_role("button", name="关闭").click()
        expect(here).to_be_visible()

    def test_a_small_cell_is_listed_and_a_large_one_is_gone_into(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON, LAT) for n in range(30)])
        real_page.goto(f"/?{FAR}")
        count(real_page, "drawn", 30)
        click_middle(real_page)
        expect(real_page.get_by_test_id("here").get_by_role("listitem")).to_have_count(30)
        fill(real, [row(n, LON, LAT) for n in range(500)])
        real_page.goto(f"/?{FAR}")
        count(real_page, "drawn", 500)
        click_middle(real_page)
        expect(real_page).to_have_url(re.compile(r"at=[\d.]+%2C[\d.]+%2C11\.00"))


class TestBasemap:
    def test_whose_map_it_is_and_its_number_are_shown_and_its_pictures_come_from_here(
        self, real: ConsoleWorld, real_page: Page
    ) -> None:
        fill(real, [row(1, LON, LAT)])
        asked: list[str] = []
        named = {"kind": "xyz", "url": "/basemap/{z}/{x}/{y}", "attribution": "© 天地图", "approval": "GS(2026)1234号"}

        def told(route: Route) -> None:
            route.fulfill(json={**route.fetch().json(), "basemap": named})

        def pictured(route: Route) -> None:
            asked.append(route.request.url)
            route.fulfill(body=PIXEL, content_type="image/png")

        real_page.route("**/api/map", told)
        real_page.route("**/basemap/**", pictured)
        real_page.goto(f"/?{FAR}")
        expect(real_page.get_by_test_id("map-ground")).to_have_text("© 天地图 · 审图号：GS(2026)1234号")
        count(real_page, "drawn", 1)
        assert asked, "no picture was asked for"
        assert all(re.fullmatch(rf"{real.url}/basemap/\d+/\d+/\d+", url) for url in asked)


class TestAddress:
    def test_view_filters_and_device_come_back_from_the_address(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, scattered(300, spread=0.002))
        real_page.goto(f"/?at={LON},{LAT},14.5&kind=lamp_loop&device=dev-0000001")
        count(real_page, "drawn", SOME)
        expect(real_page.get_by_label("类别")).to_have_value("lamp_loop")
        expect(real_page.get_by_test_id("device-card")).to_contain_text("中山路1号")
        before = int(drawn(real_page).get_attribute("data-drawn") or 0)
        assert 0 < before <= 100
        real_page.get_by_role("button", name="放大").click()
        expect(real_page).to_have_url(re.compile(r"at=[\d.]+%2C[\d.]+%2C15\.50"))
        real_page.reload()
        expect(real_page).to_have_url(re.compile(r"15\.50.*kind=lamp_loop|kind=lamp_loop.*15\.50"))

    def test_a_filter_changes_what_is_drawn_and_counted(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON + n * 1e-4, LAT) for n in range(9)])
        real.run(lambda world: raise_alarm(world, "dev-0000003"))
        real.run(settle)
        real_page.goto(f"/?at={LON},{LAT},13")
        count(real_page, "drawn", 9)
        real_page.get_by_label("类别").select_option("manhole_cover")
        count(real_page, "drawn", 3)
        expect(real_page.locator('[data-state="normal"] b')).to_have_text("2")
        real_page.get_by_role("button", name="紧急").click()
        count(real_page, "drawn", 1)
        expect(real_page.get_by_test_id("shown")).to_have_text("显示 1 / 9 台设备")
        real_page.get_by_role("button", name="清除筛选").click()
        count(real_page, "drawn", 9)


class TestPhone:
    def test_the_card_and_the_list_fit_a_phone(
        self, real: ConsoleWorld, real_page: Page, accessible: Callable[[Page], None]
    ) -> None:
        fill(real, scattered(100))
        real.run(partial(open_case, number=61, at=(LON, LAT), device="dev-0000001"))
        real_page.set_viewport_size({"width": 390, "height": 844})
        real_page.goto("/?device=dev-0000001")
        card = real_page.get_by_test_id("device-card")
        expect(card.get_by_role("link", name="案件页")).to_be_visible()
        header = real_page.locator("header.top").bounding_box()
        # Two lines: where one is, and where one may go.
        assert header is not None
        assert header["height"] < 110
        stage, shown = drawn(real_page).bounding_box(), card.bounding_box()
        assert stage is not None
        assert shown is not None
        assert shown["y"] + shown["height"] <= stage["y"] + stage["height"]
        assert real_page.evaluate("() => document.documentElement.scrollWidth") <= 390
        accessible(real_page)
        card.get_by_role("link", name="设备页").click()
        expect(real_page).to_have_url(re.compile("/devices/dev-0000001$"))


class TestSearch:
    def test_a_name_is_found_by_keyboard_and_gone_to(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON + 0.2 * (n - 5), LAT) for n in range(12)])
        real_page.goto(f"/?at={LON},{LAT},8")
        count(real_page, "drawn", SOME)
        box = real_page.get_by_role("combobox", name="查找设备、案件或地点")
        box.fill("中山路1")
        options = real_page.get_by_test_id("found").get_by_role("option")
        expect(options).to_have_count(3)  # 1, 10 and 11
        expect(box).to_have_attribute("aria-expanded", "true")
        box.press("ArrowDown")
        expect(options.nth(1)).to_have_attribute("aria-selected", "true")
        chosen = options.nth(1).text_content() or ""
        box.press("Enter")
        expect(real_page.get_by_role("listbox")).to_be_hidden()
        card = real_page.get_by_test_id("device-card")
        expect(card).to_be_visible()
        assert (card.locator("strong").text_content() or "?") in chosen
        count(real_page, "drawn", 1)

    def test_what_is_not_there_is_said(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(1, LON, LAT)])
        real_page.goto("/")
        real_page.get_by_role("combobox", name="查找设备、案件或地点").fill("没有这个")
        expect(real_page.get_by_text("没有找到“没有这个”").first).to_be_attached()


class TestList:
    def test_the_list_pages_through_thousands_and_needs_no_webgl(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, scattered(2_000))
        real_page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        real_page.goto("/?view=list")
        table = real_page.get_by_test_id("device-table")
        expect(table).to_have_attribute("aria-rowcount", "2001")
        expect(real_page.get_by_test_id("list-sum")).to_contain_text("已载入 100 台，共 2000 台")
        region = real_page.get_by_role("region", name="设备列表")
        region.focus()
        for loaded in range(200, 800, 100):
            real_page.keyboard.press("End")
            expect(real_page.get_by_test_id("list-sum")).to_contain_text(f"已载入 {loaded} 台")
        real_page.keyboard.press("End")
        expect(table.get_by_role("link", name="中山路699号")).to_be_visible()
        assert table.locator("tbody .row").count() < 80

    def test_list_and_map_are_accessible_in_both_themes_and_languages(
        self, real: ConsoleWorld, real_page: Page, accessible: Callable[[Page], None]
    ) -> None:
        fill(real, scattered(400))
        real.run(lambda world: raise_alarm(world, "dev-0000009"))
        real.run(lambda world: open_case(world, 41, (LON, LAT), device="dev-0000009"))
        real.run(settle)
        for page_of in ("/?device=dev-0000009", "/?view=list"):
            real_page.goto(page_of)
            for switch in ("English", "Switch to light"):
                expect(real_page.get_by_test_id("case-list").get_by_role("listitem")).to_have_count(1)
                accessible(real_page)
                real_page.get_by_role("button", name=switch).click()
            accessible(real_page)
            real_page.evaluate("() => localStorage.clear()")


class TestLive:
    def test_a_tile_that_changed_is_another_picture_within_two_seconds(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON + n * 1e-4, LAT) for n in range(60)])
        real_page.goto(f"/?{FAR}")
        count(real_page, "drawn", 60)
        expect(real_page.get_by_test_id("link")).to_have_text("实时")
        took = []
        for number in (1, 2, 3):
            device = f"dev-{number * 10:07d}"
            real.run(partial(raise_alarm, device=device))
            told = time.monotonic()
            real.run(settle)
            count(real_page, "critical", number)
            took.append(time.monotonic() - told)
        _log.info("changed tile to picture: %s s", [round(each, 2) for each in took])
        expect(real_page.locator('[data-state="critical"] b')).to_have_text("3", timeout=3_000)
        # The best of three: the browser shares the machine with other tests.
        assert min(took) < 2.0

    def test_an_alarm_finds_its_way_to_the_map_without_help(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON + n * 1e-4, LAT) for n in range(60)])
        real_page.goto(f"/?{FAR}")
        count(real_page, "drawn", 60)
        expect(real_page.get_by_test_id("link")).to_have_text("实时")
        real.run(lambda world: raise_alarm(world, "dev-0000030"))
        count(real_page, "critical", 1, timeout=5_000)

    def test_a_case_comes_and_goes_as_a_pin(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(1, LON - 0.01, LAT)])
        real_page.goto(f"/?at={LON},{LAT},13")
        count(real_page, "pins", 0)
        expect(real_page.get_by_test_id("link")).to_have_text("实时")
        real.run(lambda world: open_case(world, 51, (LON, LAT)))
        count(real_page, "pins", 1, timeout=4_000)
        real.run(lambda world: close_case(world, 51))
        count(real_page, "pins", 0, timeout=4_000)

    def test_the_map_goes_on_hearing_after_it_was_moved(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON + n * 1e-4, LAT) for n in range(60)])
        real_page.goto(f"/?at={LON + 3},{LAT},9")
        count(real_page, "drawn", 0)
        expect(real_page.get_by_test_id("link")).to_have_text("实时")
        asked: list[str] = []
        real_page.on("request", lambda request: asked.append(request.url) if "/api/stream" in request.url else None)
        real_page.get_by_role("button", name="显示全部设备").click()
        count(real_page, "drawn", 60)
        real_page.wait_for_timeout(500)
        assert len(asked) == 1
        real.run(lambda world: raise_alarm(world, "dev-0000030"))
        count(real_page, "critical", 1, timeout=4_000)
        expect(real_page.get_by_test_id("alarm-list").get_by_role("listitem")).to_have_count(1, timeout=3_000)

    def test_what_happened_while_the_line_was_down_is_on_the_map_afterwards(self, real: ConsoleWorld, real_page: Page) -> None:
        fill(real, [row(n, LON + n * 1e-4, LAT) for n in range(60)])
        real_page.add_init_script(CUTTER)
        real_page.goto(f"/?{FAR}")
        count(real_page, "drawn", 60)
        expect(real_page.get_by_test_id("link")).to_have_text("实时")
        real_page.context.set_offline(True)
        real_page.evaluate("() => globalThis.cutTheLine()")
        expect(real_page.get_by_test_id("link")).to_contain_text("重连中")
        real.run(lambda world: raise_alarm(world, "dev-0000030"))
        real.run(settle)
        # The picture that was there stays.
        count(real_page, "drawn", 60)
        count(real_page, "critical", 0)
        real_page.context.set_offline(False)
        expect(real_page.get_by_test_id("link")).to_have_text("实时", timeout=20_000)
        count(real_page, "critical", 1)
        expect(real_page.get_by_test_id("alarm-list").get_by_role("listitem")).to_have_count(1)


def first_paint(page: Page) -> tuple[float, float]:
    """Milliseconds from the address to the first content, and to the whole map, by the browser's own account."""
    told = "name => performance.getEntriesByName(name)[0]?.startTime ?? 0"
    return page.evaluate(told, "first-contentful-paint"), page.evaluate(told, "citynerve.map")


class TestSpeed:
    def test_the_first_paint_of_a_cold_page_is_within_a_second_and_a_half(self, real: ConsoleWorld, browser: Browser) -> None:
        fill(real, scattered(5_000))
        took = []
        for _ in range(3):
            context = browser.new_context(base_url=real.url, viewport={"width": 1440, "height": 900})
            page = context.new_page()
            page.goto("/")
            count(page, "drawn", SOME)
            took.append(first_paint(page))
            context.close()
        _log.info("first paint and whole map, cold: %s ms", [tuple(map(round, each)) for each in took])
        # The best of three: the browser shares the machine with other tests.
        assert 0 < min(paint for paint, _ in took) < 1_500

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_a_million_devices_are_shown_found_listed_and_watched(self, real: ConsoleWorld, real_page: Page) -> None:
        real.run(clear)
        real.run(partial(add_many, count=1_000_000))
        wait_for_load(real)
        asked: list[str] = []
        real_page.on("request", lambda request: asked.append(request.url))
        real_page.goto("/")
        count(real_page, "drawn", re.compile(r"^\d{6,7}$"), timeout=60_000)
        expect(real_page.get_by_test_id("shown")).to_contain_text("1,000,000", timeout=20_000)
        paint, whole = first_paint(real_page)
        assert not [url for url in asked if "/api/devices" in url]
        heap = real_page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
        _log.info("a million devices: first paint %.0f ms, whole map %.0f ms, %.0f MB of script memory", paint, whole, heap)
        assert heap < 150

        expect(real_page.get_by_test_id("link")).to_have_text("实时")
        begun = time.monotonic()
        real.run(partial(raise_alarm, device="dev-0500000"))
        count(real_page, "critical", 1)
        _log.info("a million devices: alarm to picture %.2f s", time.monotonic() - begun)

        begun = time.monotonic()
        real_page.get_by_role("combobox", name="查找设备、案件或地点").fill("dev-0777777")
        found = real_page.get_by_test_id("found").get_by_role("option")
        expect(found).to_have_count(1)
        _log.info("a million devices: typed to found %.2f s", time.monotonic() - begun)
        found.click()
        expect(real_page.get_by_test_id("device-card")).to_contain_text("中山路777777号")
        expect(real_page).to_have_url(re.compile("%2C16.00"))
        count(real_page, "drawn", SOME)

        real_page.get_by_role("button", name="列表").click()
        expect(real_page.get_by_test_id("device-table")).to_have_attribute("aria-rowcount", "1000001")


def wait_for_load(real: ConsoleWorld) -> None:
    """The map has read the store."""

    async def begin(world: World) -> asyncio.Task[None]:
        return asyncio.create_task(world.services.atlas.load())

    loading = real.run(begin)
    until = time.monotonic() + 300
    while not loading.done():
        assert time.monotonic() < until
        time.sleep(0.2)
    loading.result()

    async def tick(world: World) -> None:
        world.services.atlas.tick()

    real.run(tick)
