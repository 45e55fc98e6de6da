"""The public pages in a browser: without JavaScript, with it, and with the network gone for a day."""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_api_world import NOW_NS, World
from console_world import ConsoleWorld
from playwright.sync_api import Browser, BrowserContext, Page, expect

from cloud.public.config import SAMPLE, PublicConfig, read_toilets
from cloud.relational.engine import writing
from cloud.relational.tables import devices
from telemetry.clock import SECOND_NS
from telemetry.records import Reading
from telemetry.wire import group_readings

NODE = "toilet-node-0001"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
_seq = itertools.count(500)


async def _say(world: World, time_ns: int, **values: Any) -> None:
    said = Reading(
        device=NODE, profile="toilet_node_serial", profile_version=1, time_ns=time_ns, received_ns=time_ns, values=values
    )
    await world.services.series.write([group_readings("gw-1", "e1", next(_seq), [said])])


async def _furnish(world: World) -> None:
    row = {
        "id": NODE, "gateway": "gw-1", "profile": "toilet_node_serial", "profile_version": 1, "kind": "toilet_sensor", "name": "",
        "component_code": "", "longitude": 120.6, "latitude": 31.3, "first_seen_ns": 1, "last_reading_ns": NOW_NS,
    }  # fmt: skip
    async with writing(world.services.engine) as conn:
        await conn.execute(devices.insert().values(**row))
    stalls = {f"cubicle_{n}_occupied": n == 2 for n in (1, 2, 3, 4)}
    await _say(world, NOW_NS, nh3_ppm=0.5, h2s_ppm=0.0, temperature_c=21.5, **stalls)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[ConsoleWorld]:
    """The real pages over real stores; one stall of four is taken."""
    with ConsoleWorld(tmp_path, PublicConfig(toilets=read_toilets(SAMPLE))) as made:
        made.run(_furnish)
        yield made


@pytest.fixture
def wrong() -> list[str]:
    """What the pages complained of."""
    return []


@pytest.fixture
def context(browser: Browser, town: ConsoleWorld, wrong: list[str], request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A phone in Chinese; where a test says `plain`, one without JavaScript."""
    script = "plain" not in request.fixturenames
    context = browser.new_context(
        base_url=town.url, viewport={"width": 420, "height": 860}, java_script_enabled=script, locale="zh-CN"
    )
    context.set_default_timeout(15_000)
    yield context
    context.close()
    assert wrong == []


@pytest.fixture
def plain() -> bool:
    """There is no JavaScript."""
    return True


@pytest.fixture
def page(context: BrowserContext, wrong: list[str]) -> Page:
    """A page that must break no content policy and throw nothing."""
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" and "Failed to load" not in m.text else None)
    return page


def _stall(page: Page, name: str) -> Any:
    return page.locator(f'[data-stall="{name}"]')


def test_without_javascript_somebody_finds_a_toilet_and_reports_it_with_a_photo(
    town: ConsoleWorld, page: Page, plain: bool
) -> None:
    assert plain
    page.goto("/toilets")
    page.get_by_label("我的位置（经度,纬度）").fill("120.6229,31.3127")
    page.get_by_label("只看轮椅可达").check()
    page.get_by_role("button", name="查找").click()
    expect(page.get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("listitem")).to_contain_text("空位 3/4")
    expect(page.get_by_role("button", name="用我的位置")).to_be_hidden()
    page.get_by_role("link", name="玄妙观公厕").click()
    expect(page.locator("dd", has_text="1/2")).to_be_visible()
    page.get_by_label("公共厕所异味").check()
    page.get_by_label("说明").fill("2 号间没有冲水")
    page.get_by_label(re.compile("照片")).set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": PNG})
    page.get_by_role("button", name="提交").click()
    done = page.get_by_role("status")
    expect(done).to_contain_text("已收到，编号")
    number = re.findall(r"\d+", done.inner_text())[0]
    shown = town.run(lambda world: world.get(f"/api/cases/{number}"))
    assert (shown["source"], shown["description"]) == ("citizen", "2 号间没有冲水")
    assert len(shown["steps"][0]["photos"]) == 1


def test_without_javascript_the_screen_asks_again_by_itself(page: Page, plain: bool) -> None:
    assert plain
    page.goto("/toilets/xuanmiao/screen")
    expect(_stall(page, "2")).to_contain_text("有人")
    assert page.locator("noscript meta, meta[http-equiv=refresh]").count() == 1


def test_what_the_eye_trap_hides_nobody_sees(page: Page, plain: bool) -> None:
    assert plain
    page.goto("/toilets/xuanmiao")
    box = page.locator("input[name=website]").bounding_box()
    assert box is not None
    assert box["x"] < -1000


def test_where_the_reader_is_comes_from_the_browser_where_it_can_tell(page: Page, context: BrowserContext) -> None:
    context.grant_permissions(["geolocation"])
    context.set_geolocation({"latitude": 31.3166, "longitude": 120.6326})
    page.goto("/toilets")
    page.get_by_role("button", name="用我的位置").click()
    expect(page.get_by_role("listitem").first).to_contain_text("平江路公厕")
    assert "near=120.632600%2C31.316600" in page.url


def test_a_change_is_on_the_screen_within_two_seconds(town: ConsoleWorld, page: Page) -> None:
    page.goto("/toilets/xuanmiao/screen")
    expect(_stall(page, "1")).to_contain_text("无人")
    expect(page.locator("#age")).not_to_be_empty()
    mark = _stall(page, "1").locator("use").get_attribute("href")

    async def taken(world: World) -> None:
        world.clock.advance(1)
        await _say(world, NOW_NS + SECOND_NS, cubicle_1_occupied=True, temperature_c=22.5)

    town.run(taken)
    expect(_stall(page, "1")).to_contain_text("有人", timeout=2_000)
    assert _stall(page, "1").locator("use").get_attribute("href") != mark
    expect(page.locator("[data-section=men] .free-count")).to_have_text("0")
    expect(page.locator("#temperature_c")).to_have_text("22.5 °C")


def test_the_screen_outlives_a_day_without_a_network_and_never_calls_free_what_it_does_not_know(
    town: ConsoleWorld, page: Page, context: BrowserContext
) -> None:
    page.clock.install()
    page.goto("/toilets/xuanmiao/screen")
    expect(page.locator("#age")).to_have_text("0 秒前")
    context.set_offline(True)
    page.clock.run_for(20_000)
    warning = page.get_by_role("alert")
    expect(warning).to_contain_text("网络中断，以下为 11/20 22:00:00 的数据")
    expect(_stall(page, "1")).to_contain_text("无人")
    expect(page.locator("body")).not_to_have_class(re.compile("old"))
    # The node may be silent for 150 s by its profile.
    page.clock.run_for(140_000)
    for name in "1234":
        expect(_stall(page, name)).to_contain_text("未知")
    expect(page.locator("[data-section=men] .free-count")).to_have_text("–")
    page.clock.run_for(150_000)
    expect(page.locator("body")).to_have_class(re.compile("old"))
    page.clock.fast_forward("24:00:00")
    page.clock.run_for(2_000)
    expect(page.locator("#age")).to_have_text("24 小时前")
    expect(page.get_by_role("heading", level=1)).to_have_text("玄妙观公厕")

    async def later(world: World) -> None:
        world.clock.advance(86_400)
        await _say(world, NOW_NS + 86_400 * SECOND_NS, cubicle_1_occupied=False)

    town.run(later)
    context.set_offline(False)
    page.clock.run_for(3_000)
    expect(warning).to_be_hidden()
    page.clock.run_for(2_000)
    expect(_stall(page, "1")).to_contain_text("无人")
    expect(_stall(page, "2")).to_contain_text("未知")


def test_a_picture_that_is_old_is_grey(page: Page, context: BrowserContext) -> None:
    page.clock.install()
    page.goto("/toilets/xuanmiao/screen")
    expect(page.locator("#age")).to_have_text("0 秒前")
    context.set_offline(True)
    page.clock.run_for(303_000)
    assert page.locator(".two").evaluate("e => getComputedStyle(e).filter") == "grayscale(1)"


@pytest.mark.parametrize("path", ["/toilets?near=120.6229,31.3127", "/toilets/xuanmiao?reported=7", "/toilets/xuanmiao/screen"])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_everybody_can_read_them(
    browser: Browser, town: ConsoleWorld, accessible: Callable[[Page], None], path: str, lang: str
) -> None:
    context = browser.new_context(base_url=town.url, viewport={"width": 420, "height": 860})
    page = context.new_page()
    page.goto(f"{path}{'&' if '?' in path else '?'}lang={lang}")
    accessible(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("() => document.documentElement.lang") == {"zh": "zh-CN", "en": "en"}[lang]
    context.close()
