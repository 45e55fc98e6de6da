"""The console in a real browser: what a person sees and can do."""

import re
import time
from typing import Any

import pytest
from mock_api import City
from mock_cases import iso
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.integration

COVER = "manhole-000"
LAMP = "lamp-006"


def cover_opened(city: City, **more: Any) -> int:
    return city.raise_alarm(COVER, "cover_open", "井盖被打开", "Cover opened", priority="critical", **more)


class TestMap:
    """What is drawn is tested before the real API, in test_console_map.py."""

    def test_the_map_asks_no_other_host(self, page: Page, city: City, foreign: list[str]) -> None:
        cover_opened(city)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/")
        expect(page.get_by_test_id("map")).to_have_attribute("data-drawn", "0")
        expect(page.get_by_test_id("shown")).to_contain_text("60 / 60")
        assert foreign == []
        assert any("/assets/maplibre-gl-worker" in url for url in asked)

    def test_the_page_says_when_there_is_no_webgl(self, page: Page) -> None:
        page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        page.goto("/")
        expect(page.get_by_test_id("map").get_by_role("alert")).to_contain_text("请用列表")
        page.get_by_role("button", name="列表").click()
        expect(page.get_by_test_id("device-table")).to_have_attribute("aria-rowcount", "61")

    def test_a_link_to_a_device_opens_its_card(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto(f"/?device={COVER}")
        card = page.get_by_test_id("device-card")
        expect(card).to_contain_text("中山路1号井盖")
        expect(card).to_contain_text("41.5")
        expect(card).to_contain_text("超出量程")
        expect(card.get_by_role("link", name=re.compile("案件 101"))).to_be_visible()
        card.get_by_role("link", name="设备页").click()
        expect(page).to_have_url(re.compile(rf"/devices/{COVER}$"))
        expect(page.get_by_role("heading", level=1)).to_be_focused()

    def test_filters_live_in_the_address_and_the_list_is_the_maps_twin(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto("/?kind=manhole_cover&state=critical&view=list")
        table = page.get_by_test_id("device-table")
        expect(table.locator("tbody .row")).to_have_count(1)
        expect(table).to_contain_text("中山路1号井盖")
        page.get_by_role("button", name="紧急").click()
        expect(table).to_have_attribute("aria-rowcount", "13")
        expect(page).to_have_url(re.compile(r"\?kind=manhole_cover&view=list$"))
        page.get_by_role("searchbox").fill("16")
        expect(table.locator("tbody .row")).to_have_count(1)
        page.get_by_role("button", name="清除筛选").click()
        expect(table).to_have_attribute("aria-rowcount", "61")
        page.reload()
        expect(table).to_have_attribute("aria-rowcount", "61")

    def test_the_list_asks_for_more_as_one_scrolls_and_holds_only_what_is_seen(self, page: Page, city: City) -> None:
        page.goto("/?view=list")
        rows = page.get_by_test_id("device-table").locator("tbody .row")
        expect(page.get_by_test_id("list-sum")).to_contain_text("共 60 台")
        page.get_by_role("region", name="设备列表").evaluate("it => it.scrollTo(0, it.scrollHeight)")
        expect(page.get_by_test_id("list-sum")).to_contain_text("已载入 60 台")
        page.get_by_role("region", name="设备列表").evaluate("it => it.scrollTo(0, it.scrollHeight)")
        expect(rows.last).to_have_attribute("aria-rowindex", "61")
        expect(page.get_by_text(max(city.devices))).to_be_visible()
        assert rows.count() < 60


class TestLive:
    def test_a_new_critical_alarm_is_shown_counted_and_spoken(self, page: Page, city: City) -> None:
        page.goto("/")
        expect(page.get_by_test_id("alarms")).to_contain_text("没有未结报警")
        expect(page.get_by_test_id("link")).to_have_text("实时")
        expect(page.locator('[data-state="critical"] b')).to_have_text("0")
        number = cover_opened(city)
        city.publish("alarm", {"id": next(iter(city.alarms)), "device": COVER, "state": "unacknowledged"})
        city.publish("case", {"id": number, "device": COVER, "state": "open"})
        row = page.get_by_test_id("alarm-list").get_by_role("listitem")
        expect(row).to_contain_text("井盖被打开", timeout=3000)
        expect(page.locator('[data-state="critical"] b')).to_have_text("1", timeout=3000)
        expect(page.get_by_test_id("case-list").locator(f'[data-case="{number}"]')).to_contain_text("上报待受理", timeout=3000)
        expect(page.get_by_test_id("announcer")).to_contain_text("1 条新的紧急报警：中山路1号井盖 井盖被打开")

    def test_what_was_open_when_the_page_came_is_not_spoken(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto("/")
        expect(page.get_by_test_id("alarm-list").get_by_role("listitem")).to_have_count(1)
        expect(page.get_by_test_id("announcer")).to_have_text("")

    def test_a_lost_stream_is_shown_and_what_was_missed_is_there_afterwards(self, page: Page, city: City) -> None:
        page.goto("/")
        expect(page.get_by_test_id("link")).to_have_text("实时")
        city.streams_open = False
        expect(page.get_by_test_id("link")).to_contain_text("重连中")
        cover_opened(city)
        city.streams_open = True
        expect(page.get_by_test_id("link")).to_have_text("实时")
        expect(page.get_by_test_id("alarm-list").get_by_role("listitem")).to_have_count(1, timeout=5000)

    def test_the_rows_in_sight_are_kept_fresh_a_page_at_a_time(self, page: Page, city: City) -> None:
        page.clock.install()
        page.goto("/?view=list&q=toilet-012")
        row = page.get_by_test_id("device-table").locator("tbody .row")
        expect(row).to_contain_text("秒前")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        city.devices["toilet-012"]["last_reading"] = iso(time.time() + 5)
        page.clock.fast_forward(5_500)
        expect(row).to_contain_text("刚刚", timeout=3000)
        assert not any(url.endswith("/api/devices/toilet-012") for url in asked)

    def test_a_vehicle_is_where_it_last_said_it_was(self, page: Page, city: City) -> None:
        vehicle = next(d for d in city.devices.values() if d["kind"] == "vehicle_terminal")
        vehicle.update(longitude=None, latitude=None)
        city.positions[vehicle["id"]] = (113.33, 23.13)
        page.goto(f"/devices/{vehicle['id']}")
        expect(page.get_by_text("113.330000, 23.130000")).to_be_visible()


class TestWork:
    def test_the_usual_step_is_taken_from_the_list_and_the_office_is_remembered(self, page: Page, city: City) -> None:
        number = cover_opened(city)
        page.goto("/")
        row = page.get_by_test_id("case-list").locator(f'[data-case="{number}"]')
        row.get_by_role("button", name=re.compile("^立案")).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("立案标准").fill("井盖移位，有隐患")
        dialog.get_by_role("button", name="提交").click()
        assert city.posts == []  # the name and the office are required
        dialog.get_by_label("操作人").fill("王芳")
        dialog.get_by_label("职务").select_option("operator")
        dialog.get_by_role("button", name="提交").click()
        expect(dialog).to_be_hidden()
        expect(row).to_contain_text("已立案待派遣")
        [(what, body)] = city.posts
        assert what == f"{number}/file"
        assert (body["actor"], body["role"], body["standard"], body["version"]) == ("王芳", "operator", "井盖移位，有隐患", 1)
        assert len(body["key"]) == 32
        row.get_by_role("button", name=re.compile("^派遣")).click()
        expect(dialog.get_by_label("操作人")).to_have_value("王芳")
        expect(dialog.get_by_label("处置部门")).to_have_value("市政养护")
        dialog.get_by_label("职务").select_option("dispatcher")
        dialog.get_by_role("button", name="提交").click()
        expect(row).to_contain_text("已派遣待指派")

    def test_an_alarm_is_acknowledged_by_keyboard_alone(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto("/")
        button = page.get_by_test_id("alarm-list").get_by_role("button")
        expect(button).to_be_visible()
        for _ in range(40):
            page.keyboard.press("Tab")
            if button.evaluate("it => it === document.activeElement"):
                break
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_label("操作人")).to_be_focused()
        page.keyboard.type("li.wei")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("alarm-list")).to_contain_text("已确认")
        assert [body for _, body in city.posts] == [{"actor": "li.wei", "note": ""}]

    def test_an_overdue_case_says_by_how_much(self, page: Page, city: City) -> None:
        cover_opened(city, ago=3600 + 300, due_s=3600)
        page.goto("/cases")
        expect(page.get_by_test_id("case-table")).to_contain_text("超期 5分")


class TestDevicePage:
    def test_values_carry_unit_quality_and_age(self, page: Page) -> None:
        page.goto(f"/devices/{COVER}")
        rows = page.get_by_test_id("latest").get_by_role("listitem")
        expect(rows.nth(0)).to_contain_text("存疑 · 设备时间不可信")
        expect(rows.nth(1)).to_contain_text("倾角 41.5°")
        expect(rows.nth(1)).to_contain_text("秒前")
        expect(rows.nth(2)).to_contain_text("坏值 · 超出量程")
        expect(rows.nth(4)).to_contain_text("井盖打开 是")

    def test_a_device_that_is_not_there_says_so(self, page: Page) -> None:
        page.goto("/devices/nobody")
        expect(page.get_by_text("不存在")).to_be_visible()


class TestOtherPages:
    def test_a_case_shows_its_way_its_alarms_and_who_was_told(self, page: Page, city: City) -> None:
        number = cover_opened(city)
        city.cases[number].do("file", "王芳", "operator", standard="井盖移位", note="已通知养护班")
        page.goto(f"/cases/{number}")
        expect(page.get_by_role("heading", level=1)).to_have_text("案件 101 · 井盖被打开")
        steps = page.get_by_test_id("timeline").locator("> li")
        expect(steps.nth(0)).to_contain_text("立案 王芳 · 受理员（坐席）")
        expect(steps.nth(1)).to_contain_text("上报 系统")
        expect(steps.nth(1).locator("p")).to_have_text("井盖被打开")
        expect(page.get_by_test_id("notices")).to_contain_text("crew-webhook上报 已发送")
        expect(page.get_by_test_id("alarm-list")).to_contain_text("井盖被打开")

    def test_gateways_show_the_account_of_each_lane(self, page: Page) -> None:
        page.goto("/gateways")
        rows = page.get_by_test_id("gateways").locator("tbody tr")
        expect(rows.nth(0)).to_contain_text("待补 3")
        expect(rows.nth(1)).to_contain_text("离线")
        page.get_by_role("button", name="gw-tianhe-1").click()
        lanes = page.get_by_test_id("ledger").locator(".lane")
        expect(lanes.nth(0)).to_contain_text("✓ 平")
        expect(lanes.nth(1)).to_contain_text("待到 3")

    def test_a_gateways_outbox_and_clock_are_shown(self, page: Page) -> None:
        page.goto("/gateways")
        rows = page.get_by_test_id("gateways").locator("tbody tr")
        expect(rows.nth(0)).to_contain_text("待发 1203")
        expect(rows.nth(0)).to_contain_text("已舍弃 8000")
        expect(rows.nth(0)).to_contain_text("已校准")
        expect(rows.nth(1)).to_contain_text("未校准 慢 413 秒")

    def test_the_ledger_says_what_became_of_every_record_and_why(self, page: Page) -> None:
        page.goto("/gateways")
        page.get_by_role("button", name="gw-tianhe-1").click()
        lanes = page.get_by_test_id("ledger").locator(".lane")
        expect(lanes).to_have_count(3)
        expect(lanes.nth(0)).to_contain_text("没有缺口")
        gaps = lanes.nth(1).locator("tbody tr")
        expect(gaps).to_have_count(3)
        expect(gaps.nth(2)).to_contain_text("40,001 – 48,000")
        expect(gaps.nth(2)).to_contain_text("网关存储已满")
        expect(gaps.nth(2).locator("td").last).to_have_attribute("title", re.compile(r"GMT\+8"))
        expect(lanes.nth(1).locator("thead")).to_contain_text("数据时间 (GMT+8)")
        expect(lanes.nth(1).locator("rect")).to_have_count(4)
        expect(lanes.nth(2)).to_contain_text("已在后一纪元重新编号")
        expect(lanes.nth(2)).to_contain_text("此后数目不详")
        expect(page.get_by_test_id("security")).to_contain_text("存储被回退或复制")
        page.get_by_role("button", name="gw-tianhe-1").click()
        expect(page.get_by_test_id("ledger")).to_have_count(0)

    def test_the_ledger_speaks_english_and_fits_a_phone(self, page: Page) -> None:
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto("/gateways")
        page.get_by_role("button", name="English").click()
        page.get_by_role("button", name="gw-tianhe-1").click()
        expect(page.get_by_test_id("ledger")).to_contain_text("storage of the gateway full")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390

    def test_going_about_does_not_load_the_page_again(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto("/")
        page.evaluate("() => { globalThis.sameLife = true }")
        page.get_by_role("link", name="网关").click()
        expect(page.get_by_test_id("gateways")).to_be_visible()
        page.go_back()
        expect(page.get_by_test_id("map")).to_be_visible()
        page.get_by_role("link", name="中山路1号井盖").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("中山路1号井盖")
        assert page.evaluate("() => globalThis.sameLife") is True
        expect(page).to_have_title("中山路1号井盖 · 城市运行 · citynerve")


class TestStates:
    def test_a_city_without_devices_says_what_to_do(self, page: Page, city: City) -> None:
        city.devices.clear()
        page.goto("/")
        expect(page.get_by_text("make demo")).to_be_visible()

    def test_a_panel_that_fails_does_not_take_the_others_along(self, page: Page, city: City) -> None:
        cover_opened(city)
        city.fail.add("/api/cases")
        page.goto("/")
        cases = page.get_by_test_id("cases")
        expect(cases).to_contain_text("无法载入")
        expect(cases).to_contain_text("存储不可用")
        expect(page.get_by_test_id("alarm-list").get_by_role("listitem")).to_have_count(1)
        city.fail.clear()
        cases.get_by_role("button", name="重试").click()
        expect(page.get_by_test_id("case-list").get_by_role("listitem")).to_have_count(1)

    def test_old_data_is_kept_and_called_old(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto("/")
        expect(page.get_by_test_id("alarm-list").get_by_role("listitem")).to_have_count(1)
        city.fail.add("/api/alarms")
        city.publish("alarm", {"device": COVER})
        expect(page.get_by_test_id("alarms")).to_contain_text("前的数据：存储不可用")
        expect(page.get_by_test_id("alarm-list").get_by_role("listitem")).to_have_count(1)


class TestLook:
    def test_language_and_theme_are_remembered(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto("/")
        page.get_by_role("button", name="English").click()
        page.get_by_role("button", name="Switch to light").click()
        page.reload()
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        expect(page.get_by_test_id("alarm-list")).to_contain_text("Cover opened")
        expect(page.get_by_role("link", name="Gateways")).to_be_visible()

    @pytest.mark.parametrize("path", ["/", "/?view=list", f"/devices/{COVER}", "/cases", "/cases/101", "/gateways"])
    def test_nothing_runs_off_a_phones_screen(self, page: Page, city: City, path: str) -> None:
        cover_opened(city)
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        expect(page.get_by_text("中山路1号井盖").or_(page.get_by_text("gw-tianhe-1")).first).to_be_attached()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390

    def test_the_desk_fits_without_scrolling(self, page: Page, city: City) -> None:
        cover_opened(city)
        page.goto("/")
        expect(page.get_by_test_id("map")).to_have_attribute("data-drawn", "0")
        assert page.evaluate("() => document.documentElement.scrollHeight") <= 900
