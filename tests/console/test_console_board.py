"""Cases as a board, and what a case rests on, before the real API."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud_api_world import NOW_NS, World
from console_world import ConsoleWorld
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import select

from cloud.dossier.signing import Verdict, check
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, cases

pytestmark = pytest.mark.integration

Accessible = Callable[[Page], None]
HOUR_NS = 3600 * 10**9


def add(real: ConsoleWorld, *rows: dict[str, Any]) -> None:
    """Cases like the one that is there, but for what is said."""

    async def work(w: World) -> None:
        async with writing(w.services.engine) as conn:
            like = dict((await conn.execute(select(cases).where(cases.c.id == 7))).mappings().one())
            await conn.execute(cases.insert(), [{**like, "device": None, **one} for one in rows])

    real.run(work)


def opened(page: Page, query: str = "") -> Locator:
    page.goto(f"/cases?view=board{query}")
    board = page.get_by_test_id("board")
    expect(board.locator("[data-card='7']")).to_be_visible()
    return board


def column(board: Locator, name: str) -> Locator:
    return board.locator(f"[data-column='{name}']")


class TestBoard:
    def test_each_stage_has_its_column_and_each_case_its_card(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        add(
            real,
            {"id": 20, "state": "handling", "assignee": "养护三队", "reworks": 1},
            {"id": 21, "state": "hold", "due_ns": None},
            {"id": 22, "state": "void", "closed_ns": NOW_NS - HOUR_NS},
            {"id": 23, "state": "verifying", "priority": "low"},
        )
        board = opened(real_page)
        heads = board.locator(".heads > *")
        names = ("上报", "立案", "派遣", "处置", "反馈", "核查", "结案", "挂账", "作废")
        expect(heads).to_have_text([re.compile(name) for name in names])
        expect(column(board, "handling").locator("[data-card='20']")).to_contain_text("养护三队")
        expect(column(board, "handling").locator("[data-card='20']")).to_contain_text("返工")
        expect(column(board, "hold").locator("[data-card='21']")).to_be_visible()
        expect(column(board, "void").locator("[data-card='22']")).to_be_visible()
        expect(column(board, "reported").locator("[data-card='23']")).to_contain_text("低")
        expect(column(board, "dispatched").locator("progress")).to_have_count(1)
        expect(real_page.get_by_test_id("reworked")).to_have_text("1")
        accessible(real_page)
        real_page.get_by_role("button", name="English").click()
        expect(heads.nth(7)).to_contain_text("On hold")
        real_page.get_by_role("button", name="Switch to light").click()
        accessible(real_page)

    def test_a_column_counts_what_is_not_shown_too(self, real: ConsoleWorld, real_page: Page) -> None:
        add(real, *({"id": 100 + n, "due_ns": NOW_NS + (n + 2) * HOUR_NS} for n in range(70)))
        board = opened(real_page)
        expect(board.locator("[data-head='dispatched']")).to_contain_text("71")
        expect(column(board, "dispatched").locator("[data-card]")).to_have_count(50)
        expect(column(board, "dispatched")).to_contain_text("另有 21 件")

    def test_lanes_part_the_city_by_district(self, real: ConsoleWorld, real_page: Page) -> None:
        add(real, {"id": 30, "district": "天河区"}, {"id": 31, "district": "越秀区", "state": "handling"})
        board = opened(real_page)
        real_page.get_by_role("button", name="按区").click()
        expect(board.locator("[data-lane]")).to_have_text(["未定", "天河区", "越秀区"])
        assert "lane=district" in real_page.url

    def test_a_card_that_is_dragged_opens_the_form_of_its_step_and_moves_when_that_is_done(
        self, real: ConsoleWorld, real_page: Page
    ) -> None:
        board = opened(real_page)
        board.locator("[data-card='7']").drag_to(column(board, "handling"))
        dialog = real_page.get_by_role("dialog")
        expect(dialog).to_contain_text("指派")
        dialog.get_by_label("操作人").fill("班长")
        dialog.get_by_label("承办人").fill("养护三队")
        dialog.get_by_role("button", name="提交").click()
        expect(column(board, "handling").locator("[data-card='7']")).to_contain_text("养护三队")
        expect(board.locator("[data-head='handling']")).to_contain_text("1")

    def test_no_step_leads_past_the_guards_and_the_page_says_so(self, real: ConsoleWorld, real_page: Page) -> None:
        board = opened(real_page)
        board.locator("[data-card='7']").drag_to(column(board, "checking"))
        expect(real_page.locator("p[role=alert]:visible")).to_contain_text("#7 不能从“派遣”直接到“核查”")
        expect(real_page.get_by_role("dialog")).to_have_count(0)
        expect(column(board, "dispatched").locator("[data-card='7']")).to_be_visible()

    def test_by_keyboard_alone_a_card_is_found_and_moved(self, real: ConsoleWorld, real_page: Page) -> None:
        add(real, {"id": 40, "state": "filed"}, {"id": 41, "due_ns": NOW_NS + 9 * HOUR_NS})
        board = opened(real_page)
        board.locator("[data-card='40']").focus()
        real_page.keyboard.press("ArrowRight")
        expect(board.locator("[data-card='7']")).to_be_focused()
        real_page.keyboard.press("ArrowDown")
        expect(board.locator("[data-card='41']")).to_be_focused()
        real_page.keyboard.press("Shift+ArrowLeft")
        expect(real_page.get_by_role("dialog")).to_contain_text("回退")
        real_page.keyboard.press("Escape")
        board.locator("[data-card='41']").focus()
        real_page.keyboard.press("Enter")
        expect(real_page.get_by_test_id("stages")).to_be_visible()
        assert real_page.url.endswith("/cases/41")

    def test_the_list_stays_and_the_way_it_was_looked_at_is_remembered(self, real: ConsoleWorld, real_page: Page) -> None:
        real_page.goto("/cases")
        expect(real_page.get_by_test_id("case-table")).to_be_visible()
        real_page.get_by_role("button", name="看板").click()
        expect(real_page.get_by_test_id("board")).to_be_visible()
        real_page.goto("/cases")
        expect(real_page.get_by_test_id("board")).to_be_visible()
        real_page.get_by_role("button", name="列表").click()
        expect(real_page.get_by_test_id("case-table")).to_be_visible()


class TestEvidence:
    @pytest.fixture(autouse=True)
    def judged(self, real: ConsoleWorld) -> None:
        """The alarm of the case says by which limit it was raised, and was raised among the values that are kept."""

        async def work(w: World) -> None:
            row = {"rule": "cover_tilted", "raised_ns": NOW_NS - 5 * 60 * 10**9, "evidence": {"tilt_deg": 41.5, "limit": 12.5}}
            async with writing(w.services.engine) as conn:
                await conn.execute(alarms.update().values(**row))

        real.run(work)

    def test_the_values_the_limit_of_then_and_the_rule_stand_on_the_case(
        self, real: ConsoleWorld, real_page: Page, accessible: Accessible
    ) -> None:
        real_page.goto("/cases/7")
        evidence = real_page.get_by_test_id("evidence")
        chart = evidence.locator("[data-points]")
        expect(chart.locator("canvas")).to_be_visible()
        expect(chart).to_have_attribute("data-points", "12")
        expect(chart).to_have_attribute("aria-label", re.compile("最小 0，最大 10，限值 12.5"))
        expect(evidence).to_contain_text("tilt_deg > ")
        expect(evidence).to_contain_text("当时限值")
        expect(evidence).to_contain_text("第 1 版")
        expect(evidence.get_by_test_id("neighbours")).to_contain_text("cover-2")
        expect(evidence.get_by_test_id("frames")).to_contain_text("没有保存报文")
        evidence.get_by_label("报警前后").select_option("5")
        expect(chart).to_have_attribute("data-points", re.compile("^1[01]$"))
        accessible(real_page)
        real_page.get_by_role("button", name="English").click()
        expect(evidence).to_contain_text("limit then")

    def test_the_signed_export_is_what_the_command_takes_for_genuine(
        self, real: ConsoleWorld, real_page: Page, tmp_path: Path
    ) -> None:
        real_page.goto("/cases/7")
        with real_page.expect_download() as coming:
            real_page.get_by_role("link", name="导出签名文件").click()
        file = tmp_path / "got.json"
        coming.value.save_as(file)
        assert coming.value.suggested_filename == "case-7.json"
        assert check(file.read_bytes()).verdict is Verdict.GENUINE
        mark = json.loads(file.read_bytes())["signature"]["fingerprint"]
        with real_page.expect_popup() as coming_page:
            real_page.get_by_role("link", name="打印案件单").click()
        sheet = coming_page.value
        expect(sheet.get_by_role("heading", level=1)).to_contain_text("案件处置单 #7")
        expect(sheet.locator("footer")).to_contain_text(mark)
        assert sheet.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"

    def test_a_case_without_an_alarm_says_that_nothing_was_measured(self, real: ConsoleWorld, real_page: Page) -> None:
        add(real, {"id": 50})
        real_page.goto("/cases/50")
        expect(real_page.get_by_test_id("evidence")).to_contain_text("没有测量证据")
