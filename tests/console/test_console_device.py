"""The page of a device before the real API: what it says now, what it said for a year, its bytes, and what it can be told."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from cloud_api_world import World
from console_world import ConsoleWorld
from playwright.sync_api import Locator, Page, expect

from telemetry.clock import SECOND_NS
from telemetry.raw_frames import RAW_FRAME, RawFrame, written_frames
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Reading, Value
from telemetry.wire import group_readings

pytestmark = pytest.mark.integration

Accessible = Callable[[Page], None]
MINUTE_S = 60
DAY_S = 86_400
REPLY = bytes.fromhex("01 03 04 00e6 000a 9bc3")  # unit 1: two registers, 230 and 10


def reading(at_s: float, values: Mapping[str, Value], device: str = "cover-2", **more: Any) -> Reading:
    at_ns = round(at_s * SECOND_NS)
    said = {"device": device, "profile": "cover_nbiot", "profile_version": 1, "time_ns": at_ns, "received_ns": at_ns}
    return Reading(values=dict(values), **said, **more)


def write(real: ConsoleWorld, readings: Sequence[Reading]) -> None:
    async def work(w: World) -> None:
        for first in range(0, len(readings), 5000):
            batch = group_readings("gw-1", "e1", 1, readings[first : first + 5000])
            assert await w.services.series.write([batch]) == []

    real.run(work)


def now_is(real: ConsoleWorld) -> float:
    """The cloud's clock is the browser's."""
    now = time.time()

    async def work(w: World) -> None:
        w.clock.set_wall(round(now * SECOND_NS))

    real.run(work)
    return now


def month(now: float, spike_s: float) -> list[Reading]:
    """Thirty days of four metrics, one reading a minute, with one sample that is out of all others at `spike_s`."""
    count = 30 * DAY_S // MINUTE_S
    found = []
    for step in range(count):
        at = now - (count - step) * MINUTE_S
        tilt = 77.5 if at <= spike_s < at + MINUTE_S else 2 + step % 7 / 10
        values: dict[str, Value] = {
            "tilt_deg": tilt,
            "battery_v": 3.6,
            "temperature_c": 20 + step % 60 / 10,
            "water_level_cm": 5.0,
        }
        found.append(reading(at, values))
    return found


def panel(page: Page, metric: str) -> Locator:
    return page.locator(f'[data-testid="panel"][data-metric="{metric}"]')


def drawn_ms(page: Page) -> list[float]:
    """How long each history took from the asking until it was on the screen."""
    found: list[float] = page.evaluate("performance.getEntriesByName('history').map(each => each.duration)")
    return found


class TestNow:
    def test_a_value_has_its_unit_age_quality_reason_and_what_it_was_in_a_day(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        now = now_is(real)
        values: dict[str, Value] = {
            "tilt_deg": 3.0,
            "battery_v": 3.6,
            "temperature_c": 21.0,
            "rsrp_dbm": -108.0,
            "cover_open": True,
        }
        write(
            real, [reading(now - 7200, {**values, "temperature_c": 12.5}), reading(now - 3600, {**values, "temperature_c": 30.5})]
        )
        flaw = {"tilt_deg": Flaw(Quality.BAD, Reason.OUT_OF_RANGE)}
        write(real, [reading(now - 60, {**values, "tilt_deg": 200.0}, flaws=flaw)])
        real_page.goto("/devices/cover-2")
        rows = real_page.get_by_test_id("latest").get_by_role("listitem")
        expect(rows.first).to_have_attribute("data-metric", "battery_v")
        expect(rows.nth(1)).to_have_attribute("data-metric", "rsrp_dbm")
        expect(rows.nth(0)).to_contain_text("3.6V")
        temperature = real_page.locator('[data-metric="temperature_c"]')
        expect(temperature).to_contain_text("21°C")
        expect(temperature).to_contain_text("24 小时 12.5 至 30.5")
        expect(temperature).to_contain_text(re.compile("1分.*前"))
        tilt = real_page.locator('[data-metric="tilt_deg"]')
        expect(tilt).to_contain_text("坏值 · 超出量程")
        expect(tilt).to_contain_text("24 小时 3 至 3")
        expect(real_page.locator('[data-metric="cover_open"]')).to_contain_text("是")
        accessible(real_page)
        real_page.get_by_role("button", name="English").click()
        real_page.get_by_role("button", name="Switch to light").click()
        expect(temperature).to_contain_text("24 h 12.5 to 30.5")
        accessible(real_page)

    def test_a_device_that_never_spoke_says_so_and_one_that_is_not_there_too(self, real: ConsoleWorld, real_page: Page) -> None:
        real_page.goto("/devices/cover-3")
        expect(real_page.get_by_test_id("latest")).to_contain_text("从未上报")
        real_page.goto("/devices/nobody")
        expect(real_page.get_by_text("未知设备")).to_be_visible()


class TestHistory:
    def test_thirty_days_of_four_metrics_are_on_the_screen_in_half_a_second_with_their_only_spike(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        now = now_is(real)
        write(real, month(now, now - 17 * DAY_S))
        names = "tilt_deg,battery_v,temperature_c,water_level_cm"
        real_page.goto(f"/devices/cover-2?tab=history&metrics={names}")
        expect(real_page.get_by_test_id("panel")).to_have_count(4)
        for _ in range(4):
            for range_name in ("30 天", "7 天"):
                before = len(drawn_ms(real_page))
                real_page.get_by_role("button", name=range_name, exact=True).click()
                expect(real_page.get_by_role("button", name=range_name, exact=True)).to_have_attribute("aria-pressed", "true")
                real_page.wait_for_timeout(600)
                assert len(drawn_ms(real_page)) > before
        real_page.get_by_role("button", name="30 天", exact=True).click()
        expect(panel(real_page, "tilt_deg").get_by_role("img")).to_have_attribute("aria-label", re.compile("最小 2，最大 77.5"))
        points = int(panel(real_page, "tilt_deg").get_attribute("data-points") or 0)
        assert 400 < points < 3000, "as many as fit, not 43 200"
        method = real_page.get_by_test_id("method")
        expect(method).to_have_attribute("data-method", "pixels")
        expect(method).to_contain_text("保留最小值与最大值")
        expect(method).to_contain_text("GMT+8")
        assert real_page.locator("canvas").count() == 4
        accessible(real_page)
        took = sorted(drawn_ms(real_page))
        print(f"30 d and 7 d of 4 metrics, asked to painted: {[round(each) for each in took]} ms")  # noqa: T201
        assert took[len(took) // 2] < 500

    def test_a_silence_is_a_gap_and_words_and_truths_are_bands(self, real: ConsoleWorld, real_page: Page) -> None:
        now = now_is(real)
        times = [now - 20 * 3600 + 60 * step for step in range(1199)]
        quiet = [at for at in times if not now - 12 * 3600 < at < now - 6 * 3600]
        said = [reading(at, {"voltage_a_v": 230.0, "relay_1_on": at > now - 4 * 3600}, device="lamp-1") for at in quiet]
        write(real, said)
        real_page.goto("/devices/lamp-1?tab=history&metrics=voltage_a_v,relay_1_on")
        expect(panel(real_page, "voltage_a_v")).to_contain_text("2 段无数据")  # before it began, and the six hours
        lit = panel(real_page, "relay_1_on")
        expect(lit.get_by_role("img")).to_have_attribute("aria-label", re.compile("最近 是"))
        expect(lit).to_contain_text(re.compile("[23] 次变化"))
        expect(lit.locator("canvas")).to_be_visible()

    def test_an_hour_is_shown_value_by_value_with_what_is_bad(self, real: ConsoleWorld, real_page: Page) -> None:
        now = now_is(real)
        flaw = {"temperature_c": Flaw(Quality.BAD, Reason.OUT_OF_RANGE)}
        write(real, [reading(now - 60 * step - 30, {"temperature_c": 20.0}) for step in range(1, 50)])
        write(real, [reading(now - 30, {"temperature_c": 95.0}, flaws=flaw)])
        real_page.goto("/devices/cover-2?tab=history&metrics=temperature_c")
        real_page.get_by_role("button", name="1 小时", exact=True).click()
        expect(real_page).to_have_url(re.compile("range=1h"))
        expect(panel(real_page, "temperature_c")).to_contain_text("坏值 1 个")
        expect(panel(real_page, "temperature_c")).to_contain_text("50 个点")
        expect(real_page.get_by_test_id("method")).to_contain_text("每个原始值")

    def test_a_drag_zooms_and_the_address_holds_it(self, real: ConsoleWorld, real_page: Page) -> None:
        now = now_is(real)
        write(real, [reading(now - 300 * step, {"temperature_c": 20 + step % 9, "tilt_deg": 1.0}) for step in range(280)])
        real_page.goto("/devices/cover-2?tab=history&metrics=temperature_c,tilt_deg")
        over = panel(real_page, "temperature_c").locator(".u-over")
        expect(over).to_be_visible()
        box = over.bounding_box()
        assert box is not None
        real_page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
        real_page.mouse.down()
        real_page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 40, steps=6)
        # The cursor stands at the same time in every panel.
        assert panel(real_page, "tilt_deg").locator(".u-cursor-x").is_visible()
        real_page.mouse.up()
        expect(real_page).to_have_url(re.compile("from=.*&to="))
        expect(panel(real_page, "temperature_c")).to_have_attribute("data-points", re.compile("^14[0-9]$"))
        shown = real_page.url
        real_page.goto("/gateways")
        real_page.goto(shown)
        expect(panel(real_page, "temperature_c")).to_have_attribute("data-points", re.compile("^14[0-9]$"))
        real_page.get_by_role("button", name="放大").press("Enter")
        expect(panel(real_page, "temperature_c")).to_have_attribute("data-points", re.compile("^7[0-9]$"))
        real_page.get_by_role("button", name="回到现在").click()
        expect(panel(real_page, "temperature_c")).to_have_attribute("data-points", re.compile("^28[0-9]$"))
        expect(real_page).not_to_have_url(re.compile("from="))

    def test_a_value_that_comes_is_drawn_within_a_second_of_its_news(self, real: ConsoleWorld, real_page: Page) -> None:
        now = now_is(real)
        write(real, [reading(now - 30 * step - 30, {"temperature_c": 20.0}) for step in range(60)])
        real_page.goto("/devices/cover-2?tab=history&range=1h&metrics=temperature_c")
        chart = panel(real_page, "temperature_c").get_by_role("img")
        expect(chart).to_have_attribute("aria-label", re.compile("最近 20$"))
        real_page.wait_for_timeout(500)
        took = []
        for value in (31.5, 32.5, 33.5):
            write(real, [reading(time.time(), {"temperature_c": value})])
            begun = time.monotonic()

            async def tell(w: World) -> None:
                w.services.feed.publish("device", {"id": "cover-2", "last_reading_ns": time.time_ns()})

            real.run(tell)
            expect(chart).to_have_attribute("aria-label", re.compile(f"最近 {value}$"))
            took.append(time.monotonic() - begun)
        print(f"news to chart: {[round(each * 1000) for each in took]} ms")  # noqa: T201
        assert max(took) < 1.0
        assert panel(real_page, "temperature_c").get_attribute("data-points") == "63"

    def test_it_is_compared_with_the_week_before_and_with_another_device(self, real: ConsoleWorld, real_page: Page) -> None:
        now = now_is(real)
        write(real, [reading(now - 600 * step, {"temperature_c": 20.0}) for step in range(100)])
        write(real, [reading(now - 7 * DAY_S - 600 * step, {"temperature_c": 10.0}) for step in range(100)])
        write(real, [reading(now - 600 * step, {"temperature_c": 5.0}, device="cover-3") for step in range(100)])
        real_page.goto("/devices/cover-2?tab=history&metrics=temperature_c")
        one = panel(real_page, "temperature_c")
        expect(one.locator(".u-series")).to_have_count(2)
        real_page.get_by_label("对比").select_option("week")
        expect(one.locator(".u-series")).to_have_count(3)
        expect(one.locator(".u-legend")).to_contain_text("上一周同期")
        expect(real_page).to_have_url(re.compile("with=week"))
        real_page.get_by_label("对比").select_option("peer")
        field = real_page.get_by_label("设备编号或名称")
        field.fill("cover-3")
        field.press("Tab")
        expect(one.locator(".u-legend")).to_contain_text("cover-3")
        field.fill("nobody")
        field.press("Tab")
        expect(real_page.get_by_test_id("span")).to_contain_text("没有设备 nobody")

    def test_a_phone_shows_it_whole(self, real: ConsoleWorld, real_page: Page, accessible: Accessible) -> None:
        now = now_is(real)
        write(real, [reading(now - 600 * step, {"temperature_c": 20.0, "tilt_deg": 1.0}) for step in range(100)])
        real_page.set_viewport_size({"width": 390, "height": 844})
        for tab in ("now", "history", "frames", "commands", "cases", "audit"):
            real_page.goto(f"/devices/cover-2?tab={tab}")
            expect(real_page.get_by_role("heading", level=2).first).to_be_visible()
            real_page.wait_for_timeout(300)
            assert real_page.evaluate("document.documentElement.scrollWidth") <= 390, tab
            accessible(real_page)


class TestFrames:
    def frames(self, real: ConsoleWorld, now: float) -> None:
        kept = [RawFrame("modbus-rtu", REPLY), RawFrame("modbus-rtu", REPLY[:-1] + b"\0")]
        for ago, frame in ((20, kept[0]), (10, kept[1])):
            at_ns = round((now - ago) * SECOND_NS)
            values: dict[str, Value] = dict(written_frames(RAW_FRAME, [frame], 8)[0])
            write(real, [reading(now - ago, values | {f"{RAW_FRAME}.received_ns": at_ns + SECOND_NS // 2})])

    def test_bytes_are_shown_field_by_field_and_the_first_bad_one_is_marked(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        self.frames(real, now_is(real))
        real_page.goto("/devices/cover-2?tab=frames")
        frame = real_page.get_by_test_id("frame")
        expect(frame).to_contain_text("解码失败：bad_checksum")
        expect(frame.locator(".byte.wrong")).to_have_attribute("title", re.compile("^7 "))
        accessible(real_page)
        real_page.get_by_test_id("frames").locator(".list button").nth(1).click()
        expect(frame).to_contain_text("解码完整")
        expect(frame).to_contain_text("收到比设备时间晚 0.5 秒")
        expect(frame).to_contain_text("gw-1")
        frame.get_by_role("button", name="unit").focus()
        expect(frame.locator(".byte.marked")).to_have_text("01")
        frame.get_by_role("button", name="data").hover()
        expect(frame.locator(".byte.marked")).to_have_count(5)
        real_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        real_page.get_by_role("button", name="复制为测试报文").click()
        expect(real_page.get_by_text("已复制")).to_be_visible()
        copied = real_page.evaluate("navigator.clipboard.readText()")
        assert 'modbus_rtu: ["01 03 04 00 E6 00 0A 9B C3"]' in copied

    def test_where_none_is_kept_it_says_how_they_are_switched_on(self, real: ConsoleWorld, real_page: Page) -> None:
        real_page.goto("/devices/cover-2?tab=frames")
        expect(real_page.get_by_test_id("frames")).to_contain_text("frames = true")


class TestCommands:
    def test_a_command_is_checked_sent_and_its_state_followed(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        now_is(real)
        real_page.goto("/devices/lamp-1?tab=commands")
        form = real_page.get_by_test_id("order")
        form.get_by_label("命令").select_option("set_dimming")
        level = form.get_by_label(re.compile("^level"))
        expect(form).to_contain_text("0 至 100 · % · 必填")
        level.fill("101")
        form.get_by_label("操作人").fill("li.wei")
        form.get_by_role("button", name="只检查").click()
        assert level.evaluate("e => e.validity.rangeOverflow")
        level.fill("40")
        form.get_by_role("button", name="只检查").click()
        expect(form.get_by_test_id("told")).to_contain_text("0600000028")
        expect(real_page.get_by_test_id("orders")).to_contain_text("还没有下过命令")
        accessible(real_page)
        form.get_by_role("button", name="发出").click()
        row = real_page.get_by_test_id("orders").locator("tbody tr")
        expect(row).to_contain_text("设置调光等级")
        expect(row).to_contain_text("level = 40")
        expect(row).to_contain_text("排队，等网关")
        accessible(real_page)

    def test_a_dangerous_one_waits_for_a_second_person(self, real: ConsoleWorld, real_page: Page) -> None:
        now_is(real)
        real_page.goto("/devices/lamp-1?tab=commands")
        form = real_page.get_by_test_id("order")
        form.get_by_label("命令").select_option("switch_loop_1")
        expect(form).to_contain_text("第二个人批准")
        field = form.get_by_label(re.compile("^state"))
        if field.evaluate("e => e.tagName") == "SELECT":
            field.select_option("true")
        else:
            field.fill("1")
        form.get_by_label("操作人").fill("li.wei")
        form.get_by_role("button", name="发出").click()
        row = real_page.get_by_test_id("orders").locator("tbody tr")
        expect(row).to_contain_text("待批准")
        row.get_by_label("批准人").fill("li.wei")
        row.get_by_role("button", name="批准").click()
        expect(real_page.get_by_test_id("orders").get_by_role("alert")).to_contain_text("没有做成")
        row.get_by_label("批准人").fill("wang.fang")
        row.get_by_role("button", name="批准").click()
        expect(row).to_contain_text("wang.fang 批准")
        expect(row).to_contain_text("排队，等网关")

    def test_a_device_that_takes_none_says_so(self, real: ConsoleWorld, real_page: Page) -> None:
        real_page.goto("/devices/odd-1?tab=commands")
        expect(real_page.get_by_test_id("order")).to_contain_text("不接受命令")


class TestWhatWasDone:
    def test_its_cases_and_alarms_are_listed(self, real: ConsoleWorld, real_page: Page, accessible: Accessible) -> None:
        real_page.goto("/devices/cover-1?tab=cases")
        expect(real_page.get_by_test_id("device-cases").locator("tbody tr")).to_contain_text("井盖缺失")
        alarm = real_page.get_by_test_id("device-alarms").locator("tbody tr")
        expect(alarm).to_contain_text("紧急")
        expect(alarm.get_by_role("link", name="#7")).to_have_attribute("href", "/cases/7")
        accessible(real_page)

    def test_the_trail_is_said_to_be_shut_where_there_are_no_accounts(self, real: ConsoleWorld, real_page: Page) -> None:
        real_page.goto("/devices/cover-1?tab=audit")
        expect(real_page.get_by_test_id("audit")).to_contain_text("还没有账号")
