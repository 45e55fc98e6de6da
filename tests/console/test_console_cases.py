"""Cases in a real browser: from the report to the end by what the page offers, and what it says when that does not go through."""

import re
import struct
import time
import zlib
from typing import Any

import pytest
from mock_api import City
from mock_cases import MockCase
from playwright.sync_api import Locator, Page, Route, expect

from cloud.workflow.case import DeviceSays

pytestmark = pytest.mark.integration

COVER = "manhole-000"
PLACE = {"longitude": 113.3201, "latitude": 23.1291}
TO_HANDLING = (
    ("file", "王芳", "operator", {"standard": "井盖移位"}),
    ("dispatch", "李派", "dispatcher", {"department": "市政养护"}),
    ("assign", "班长", "department", {"assignee": "养护三队"}),
)
TO_CHECKING = (
    *TO_HANDLING,
    ("submit", "养护三队", "crew", {"note": "井盖已复位", "photos": ("0" * 64,)}),
    ("confirm", "班长", "department", {"note": "属实"}),
    ("check", "王芳", "operator", {"assignee": "采集员赵"}),
)


def picture(red: int = 200) -> dict[str, Any]:
    """A small photo as a file that is chosen (PNG specification, 3rd edition)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((red, 90, 60)) * 64 for _ in range(48))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return {"name": "cover.png", "mimeType": "image/png", "buffer": data}


@pytest.fixture
def case(city: City) -> MockCase:
    """A cover that was opened, as a case that is reported."""
    return city.cases[city.raise_alarm(COVER, "cover_open", "井盖被打开", "Cover opened", priority="critical")]


@pytest.fixture
def desk(page: Page, case: MockCase) -> Page:
    """The page of that case."""
    page.goto(f"/cases/{case.number}")
    expect(page.get_by_test_id("stages")).to_be_visible()
    return page


def dialog_of(page: Page, button: str) -> Locator:
    """Press a button of the page, unfolding the others where it is one of them; the dialog that it opens."""
    actions = page.get_by_test_id("actions")
    expect(actions.get_by_role("button", name=re.compile(f"^{button}"), include_hidden=True)).to_have_count(1)
    one = actions.get_by_role("button", name=re.compile(f"^{button}"))
    if one.count() == 0:
        actions.locator("summary").click()
    one.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def fill(dialog: Locator, actor: str, office: str = "", **fields: str) -> None:
    """Say who, in which office where that is asked, and what the fields of these labels are to hold."""
    dialog.get_by_label("操作人").fill(actor)
    if office:
        dialog.get_by_label("职务").select_option(office)
    for label, value in fields.items():
        dialog.get_by_label(label).fill(value)


def take(page: Page, button: str, actor: str, office: str = "", **fields: str) -> None:
    """Take a step by its button, to its end."""
    dialog = dialog_of(page, button)
    fill(dialog, actor, office, **fields)
    dialog.get_by_role("button", name="提交").click()
    expect(dialog).to_be_hidden()


def main_button(page: Page) -> Locator:
    """What is offered first."""
    return page.get_by_test_id("actions").locator("button.main")


class TestWalk:
    def test_a_case_goes_from_its_report_to_its_end_by_what_is_offered_first(
        self, desk: Page, case: MockCase, city: City
    ) -> None:
        desk.context.grant_permissions(["geolocation"])
        desk.context.set_geolocation(PLACE)
        stage = desk.get_by_test_id("stages").locator("[aria-current=step]")

        def first(button: str, actor: str, office: str = "", **fields: str) -> None:
            expect(main_button(desk)).to_have_text(button)
            take(desk, button, actor, office, **fields)

        expect(stage).to_contain_text("上报")
        first("立案", "王芳", "operator")
        expect(stage).to_contain_text("立案")
        first("派遣", "李派", "dispatcher")
        expect(stage).to_contain_text("派遣")
        first("指派", "班长", 承办人="养护三队")
        expect(stage).to_contain_text("处置")
        first("接单", "养护三队", "crew")
        expect(main_button(desk)).to_have_text("到场")
        self.arrive_here(desk, "养护三队")
        expect(main_button(desk)).to_have_text("提交处置结果")
        self.show_by_photos(desk, "提交处置结果", "养护三队", picture())
        first("部门确认", "班长", 说明="属实")
        expect(stage).to_contain_text("反馈")
        case.says = DeviceSays.NOTHING
        first("发送核查", "王芳", "operator", 承办人="采集员赵")
        expect(stage).to_contain_text("核查")
        self.show_by_photos(desk, "核查已处置", "采集员赵", picture(), picture(90))
        expect(main_button(desk)).to_have_text("核查通过结案")
        dialog = dialog_of(desk, "核查通过结案")
        expect(dialog.get_by_label("结案标准")).to_have_value("井盖复位并锁闭")
        fill(dialog, "王芳", "operator")
        dialog.get_by_role("button", name="提交").click()
        expect(stage).to_contain_text("结案")
        expect(main_button(desk)).to_have_count(0)
        expect(desk.get_by_test_id("timeline").locator("> li")).to_have_count(11)
        clocks = desk.get_by_test_id("clocks").locator("> li")
        expect(clocks).to_have_count(4)
        expect(clocks.filter(has_text="按时完成")).to_have_count(4)
        assert case.ended
        filed, arrived = city.posts[0][1], city.posts[4][1]
        assert (filed["standard"], arrived["position"]) == ("井盖缺失、移位或破损，有安全隐患", PLACE)
        assert len({body["key"] for _, body in city.posts}) == 10

    @staticmethod
    def arrive_here(page: Page, actor: str) -> None:
        dialog = dialog_of(page, "到场")
        fill(dialog, actor)
        dialog.get_by_role("button", name="用本机位置").click()
        expect(dialog.get_by_label("经度")).to_have_value("113.320100")
        dialog.get_by_role("button", name="提交").click()

    @staticmethod
    def show_by_photos(page: Page, button: str, actor: str, *photos: Any) -> None:
        dialog = dialog_of(page, button)
        fill(dialog, actor, 说明="井盖已复位")
        dialog.get_by_label("照片").set_input_files(list(photos))
        expect(dialog.get_by_text("已上传")).to_have_count(len(photos))
        dialog.get_by_role("button", name="提交").click()
        expect(dialog).to_be_hidden()

    def test_a_photo_is_seen_beside_its_step_and_can_be_sent_again(self, desk: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_HANDLING)
        city.publish("case", {"id": case.number, "device": COVER})
        dialog = dialog_of(desk, "提交处置结果")
        fill(dialog, "养护三队", "crew", 说明="井盖已复位")
        dialog.get_by_role("button", name="提交").click()
        assert city.posts == []  # a photo is required
        city.fail.add("/api/evidence")
        dialog.get_by_label("照片").set_input_files([picture()])
        expect(dialog.get_by_test_id("chosen-photos")).to_contain_text("存储不可用")
        city.fail.clear()
        dialog.get_by_role("button", name="重试").click()
        expect(dialog.get_by_test_id("chosen-photos")).to_contain_text("已上传")
        dialog.get_by_role("button", name="提交").click()
        photo = desk.get_by_role("img", name="照片 1：提交处置结果，养护三队")
        expect(photo).to_be_visible()
        assert photo.evaluate("async it => { await it.decode(); return it.naturalWidth }") == 64

    def test_an_extension_is_asked_for_and_granted_by_another_person(self, desk: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_HANDLING[:2])
        city.publish("case", {"id": case.number, "device": COVER})
        handle = desk.get_by_test_id("clocks").locator('[data-clock="handle"]')
        expect(handle).to_contain_text("时限 2小时 · 紧急工作时（连续计）")
        take(desk, "申请延期", "班长", 理由="道路封闭，车辆进不去")
        expect(desk.get_by_test_id("stages")).to_contain_text("申请延期，待批")
        expect(main_button(desk)).to_have_text("批准延期")
        dialog = dialog_of(desk, "批准延期")
        fill(dialog, "班长", "supervisor", 说明="情况属实")
        dialog.get_by_role("button", name="提交").click()
        expect(dialog.get_by_role("alert")).to_contain_text("不允许：批准延期：条件不满足：不得审批本人的申请")
        expect(dialog.get_by_label("说明")).to_have_value("情况属实")
        dialog.get_by_label("操作人").fill("周局")
        dialog.get_by_role("button", name="提交").click()
        expect(handle).to_contain_text("时限 4小时")
        expect(desk.get_by_test_id("stages")).not_to_contain_text("待批")

    def test_a_hold_pauses_the_clock_until_a_date_or_an_earlier_end(self, desk: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_HANDLING)
        city.publish("case", {"id": case.number, "device": COVER})
        take(desk, "申请挂账", "班长", 理由="等待备件到货", 截止日期="2027-05-01T09:00")
        dialog = dialog_of(desk, "批准挂账")
        expect(dialog.get_by_label("截止日期（GMT+8）")).to_have_value("2027-05-01T09:00")
        fill(dialog, "周局", "supervisor", 说明="同意")
        dialog.get_by_role("button", name="提交").click()
        expect(desk.get_by_test_id("stages")).to_contain_text("挂账至 05/01 09:00:00")
        handle = desk.get_by_test_id("clocks").locator('[data-clock="handle"]')
        expect(handle).to_contain_text("挂账暂停")
        expect(handle).to_contain_text("暂停期间没有截止时刻")
        desk.goto("/cases?mark=hold")
        expect(desk.get_by_test_id("case-table").locator("tbody tr")).to_have_count(1)
        desk.go_back()
        take(desk, "提前解除挂账", "周局", "supervisor", 理由="备件已到")
        expect(handle).to_contain_text("剩 1小时59分")
        assert city.posts[1][1]["until"] == "2027-05-01T01:00:00.000Z"

    def test_against_the_device_only_a_supervisor_closes_and_says_why(self, desk: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_CHECKING)
        case.do("checked", "采集员赵", "collector", note="已复位", photos=("0" * 64,))
        city.publish("case", {"id": case.number, "device": COVER})
        expect(desk.get_by_test_id("closing")).to_contain_text("设备称：故障仍在")
        expect(desk.get_by_test_id("closing")).to_contain_text("由领导说明理由特批结案")
        expect(main_button(desk)).to_have_text("核查不通过返工")
        expect(desk.get_by_role("button", name="核查通过结案", include_hidden=True)).to_have_count(0)
        dialog = dialog_of(desk, "特批结案")
        expect(dialog).to_contain_text("以领导身份")
        fill(dialog, "周局")
        dialog.get_by_role("button", name="提交").click()
        assert city.posts == []  # a reason is required
        dialog.get_by_label("理由").fill("传感器脱落，另案更换")
        dialog.get_by_role("button", name="提交").click()
        last = desk.get_by_test_id("timeline").locator("> li").first
        expect(last).to_contain_text("特批结案 周局 · 领导")
        expect(last).to_contain_text("理由： 传感器脱落，另案更换")
        expect(last).to_contain_text("当时设备称：故障仍在")
        assert (city.posts[0][1]["role"], city.posts[0][1]["standard"]) == ("supervisor", "井盖复位并锁闭")

    def test_a_step_is_taken_by_keyboard_alone_and_the_focus_is_never_lost(self, desk: Page, case: MockCase) -> None:
        summary = desk.get_by_test_id("actions").locator("summary")
        summary.focus()
        desk.keyboard.press("Enter")
        join = desk.get_by_role("button", name=re.compile("^并案"))
        expect(join).to_be_visible()
        desk.keyboard.press("Escape")
        expect(join).to_be_hidden()
        expect(summary).to_be_focused()
        for _ in range(2):
            desk.keyboard.press("Enter")
            expect(join).to_be_visible()
            join.focus()
            desk.keyboard.press("Enter")
            expect(desk.get_by_label("操作人")).to_be_focused()
            desk.keyboard.press("Escape")
            expect(desk.get_by_role("dialog")).to_have_count(0)
            expect(summary).to_be_focused()
        desk.keyboard.press("Enter")
        expect(join).to_be_visible()
        join.focus()
        desk.keyboard.press("Enter")
        expect(desk.get_by_label("操作人")).to_be_focused()
        for keys in ("李伟", "Tab", "ArrowDown", "Tab", "路人也看到了", "Tab", "Tab", "Enter"):
            desk.keyboard.press(keys) if keys.isascii() else desk.keyboard.type(keys)
        expect(desk.get_by_test_id("timeline")).to_contain_text("路人也看到了")
        expect(desk.get_by_role("heading", level=1)).to_be_focused()


class TestNotDone:
    def test_a_conflict_keeps_what_was_typed_and_shows_who_did_what_meanwhile(
        self, desk: Page, case: MockCase, city: City
    ) -> None:
        dialog = dialog_of(desk, "作废")
        fill(dialog, "王芳", "operator", 理由="同一井盖已在另一案件中")
        case.do("join", "李伟", "collector", note="路人也看到了")
        dialog.get_by_role("button", name="提交").click()
        expect(dialog.get_by_role("alert")).to_contain_text("案件已被他人推进，现为“上报待受理”")
        expect(desk.get_by_test_id("meanwhile")).to_contain_text("并案 李伟 · 采集员（监督员）")
        expect(desk.get_by_test_id("meanwhile")).to_contain_text("路人也看到了")
        expect(dialog.get_by_label("理由")).to_have_value("同一井盖已在另一案件中")
        dialog.get_by_role("button", name="提交").click()
        expect(dialog).to_be_hidden()
        expect(desk.get_by_test_id("stages")).to_contain_text("已作废")
        assert city.posts[-1][1]["version"] == 2

    def test_a_step_that_is_no_longer_possible_says_so_and_cannot_be_sent(self, desk: Page, case: MockCase) -> None:
        dialog = dialog_of(desk, "作废")
        fill(dialog, "王芳", "operator", 理由="重复")
        case.go_on(*TO_HANDLING[:1])
        dialog.get_by_role("button", name="提交").click()
        expect(dialog).to_contain_text("案件现在的状态不能再“作废”")
        expect(dialog.get_by_role("button", name="提交")).to_be_disabled()

    def test_what_is_sent_again_after_a_broken_line_is_done_once(self, desk: Page, case: MockCase, city: City) -> None:
        broken: list[str] = []

        def lose_the_answer(route: Route) -> None:
            if broken:
                route.continue_()
                return
            broken.append(route.request.url)
            route.fetch()
            route.abort()

        desk.route("**/steps", lose_the_answer)
        dialog = dialog_of(desk, "立案")
        fill(dialog, "王芳", "operator")
        dialog.get_by_role("button", name="提交").click()
        expect(dialog.get_by_role("alert")).to_contain_text("服务器不可达")
        dialog.get_by_role("button", name="提交").click()
        expect(dialog).to_be_hidden()
        (_, first), (_, second) = city.posts
        assert (first["key"], first["done"]) == (second["key"], second["done"])
        assert [step["step"] for step in case.steps] == ["report", "file"]

    def test_a_list_that_was_old_says_where_the_case_stands_now(self, page: Page, city: City, case: MockCase) -> None:
        page.goto("/cases")
        row = page.get_by_test_id("case-table").locator(f'[data-case="{case.number}"]')
        expect(row).to_contain_text("上报待受理")
        page.route("**/api/cases?*", lambda route: route.abort())
        case.go_on(*TO_HANDLING[:1])
        row.get_by_role("button", name=re.compile("^立案")).click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("alert")).to_contain_text("案件现为“已立案待派遣”")
        expect(dialog.get_by_role("button", name="提交")).to_be_disabled()

    def test_without_leave_to_locate_the_position_is_typed(self, desk: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_HANDLING, ("take", "养护三队", "crew", {}))
        city.publish("case", {"id": case.number, "device": COVER})
        dialog = dialog_of(desk, "到场")
        fill(dialog, "养护三队", "crew")
        dialog.get_by_role("button", name="用本机位置").click()
        expect(dialog.get_by_role("alert")).to_contain_text("请手工填写")
        dialog.get_by_label("经度").fill("113.32")
        dialog.get_by_label("纬度").fill("23.129")
        dialog.get_by_role("button", name="提交").click()
        expect(desk.get_by_test_id("timeline")).to_contain_text("位置 113.320000, 23.129000")

    def test_a_refusal_speaks_the_readers_language(self, desk: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_HANDLING)
        city.publish("case", {"id": case.number, "device": COVER})
        desk.get_by_role("button", name="English").click()
        desk.get_by_role("button", name=re.compile("^Take the task")).click()
        dialog = desk.get_by_role("dialog")
        dialog.get_by_label("Your name").fill("somebody")
        dialog.get_by_label("In which office").select_option("crew")
        dialog.get_by_role("button", name="Submit").click()
        expect(dialog.get_by_role("alert")).to_contain_text("a task is answered by the person it is assigned to")


class TestAccounts:
    def test_an_account_acts_in_its_own_name_and_offices(self, page: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_HANDLING[:1])
        roles = [{"role": "dispatcher", "district": "", "department": ""}]
        city.session = {"accounts": True, "name": "li.pai", "display": "李派", "roles": roles, "expires": None}
        page.goto(f"/cases/{case.number}")
        buttons = page.get_by_test_id("actions").get_by_role("button", include_hidden=True)
        expect(buttons).to_have_text(["派遣", "回退"])
        dialog = dialog_of(page, "派遣")
        expect(dialog.get_by_label("操作人")).to_have_value("li.pai")
        expect(dialog.get_by_label("操作人")).not_to_be_editable()
        expect(dialog).to_contain_text("以派遣员身份")
        dialog.get_by_role("button", name="提交").click()
        expect(page.get_by_test_id("stages")).to_contain_text("已派遣待指派")
        expect(buttons).to_have_count(0)

    def test_a_task_is_offered_to_the_one_whose_it_is(self, page: Page, case: MockCase, city: City) -> None:
        case.go_on(*TO_HANDLING)
        crew = [{"role": "crew", "district": "", "department": ""}]
        for name, offered in (("别人", []), ("养护三队", ["接单", "到场", "提交处置结果", "回退", "求助"])):
            city.session = {"accounts": True, "name": name, "display": "", "roles": crew, "expires": None}
            page.goto(f"/cases/{case.number}")
            expect(page.get_by_test_id("stages")).to_be_visible()
            expect(page.get_by_test_id("actions").get_by_role("button", include_hidden=True)).to_have_text(offered)


class TestShown:
    def test_clocks_say_how_they_count_what_is_left_and_what_was_late(self, page: Page, city: City) -> None:
        number = city.raise_alarm(COVER, "cover_open", "井盖被打开", "Cover opened", ago=4000)
        late = city.cases[number]
        late.due_s, late.handle_kind = 57_600, "working_days"
        late.do("file", "王芳", "operator", at=time.time() - 3000, standard="井盖移位")
        late.do("dispatch", "李派", "dispatcher", at=time.time() - 2900, department="市政养护")
        page.goto(f"/cases/{number}")
        clocks = page.get_by_test_id("clocks")
        expect(clocks.locator('[data-clock="accept"]')).to_contain_text("超期 1分 完成")
        expect(clocks.locator('[data-clock="dispatch"]')).to_contain_text("按时完成")
        handle = clocks.locator('[data-clock="handle"]')
        expect(handle).to_contain_text("时限 16小时 · 工作日（只计工作时间）")
        expect(handle).to_contain_text("剩 15小时11分")
        expect(handle).to_contain_text("已用 48分")
        expect(handle.locator("time")).to_contain_text("GMT+8")

    def test_a_steps_own_clock_is_told_where_it_says_another_time(self, page: Page, case: MockCase) -> None:
        now = time.time()
        case.do("file", "王芳", "operator", standard="井盖移位", done=now - 20)
        case.do("dispatch", "李派", "dispatcher", department="市政养护", done=now - 1200)
        page.goto(f"/cases/{case.number}")
        steps = page.get_by_test_id("timeline").locator("> li")
        expect(steps.nth(0)).to_contain_text("本人时钟")
        expect(steps.nth(1)).not_to_contain_text("本人时钟")

    def test_who_was_told_opened_it_or_was_not_reached(self, desk: Page, case: MockCase, city: City) -> None:
        sent = {
            **case.notices[0],
            "id": 2,
            "step": "assign",
            "target": "养护三队",
            "opened": case.notices[0]["created"],
            "receipt": "DELIVRD",
        }
        failed = {
            **case.notices[0],
            "id": 3,
            "step": "warning",
            "state": "failed",
            "failure": "rate",
            "detail": "45009",
            "attempts": 4,
        }
        case.notices += [sent, failed]
        city.publish("case", {"id": case.number, "device": COVER})
        rows = desk.get_by_test_id("notices").locator("> li")
        expect(rows.nth(1)).to_contain_text("crew-webhook → 养护三队指派 已发送")
        expect(rows.nth(1)).to_contain_text("已打开")
        expect(rows.nth(1)).to_contain_text("回执 DELIVRD")
        expect(rows.nth(2)).to_contain_text("预警 发送失败")
        expect(rows.nth(2)).to_contain_text("发送过多: 45009 · 已试 4 次")

    def test_a_citizens_report_shows_its_words_and_its_address(self, page: Page, city: City) -> None:
        told = city.told_by_citizen("道路积水", "Road flooded", description="积水约20厘米", address="滨江路口东北角")
        page.goto("/cases")
        row = page.get_by_test_id("case-table").locator(f'[data-case="{told}"]')
        expect(row).to_contain_text("滨江路口东北角")
        expect(row).to_contain_text("市民上报")
        row.get_by_role("link", name="道路积水").click()
        facts = page.locator(".facts")
        expect(facts).to_contain_text("描述积水约20厘米")
        expect(facts).to_contain_text("地点滨江路口东北角")
        expect(page.get_by_test_id("closing")).not_to_contain_text("设备")
        page.goto("/")
        expect(page.get_by_test_id("case-list")).to_contain_text("滨江路口东北角")

    def test_the_list_is_filtered_in_the_address_and_warns_early(self, page: Page, city: City, case: MockCase) -> None:
        case.go_on(*TO_HANDLING)
        soon = city.raise_alarm("lamp-006", "lamp_out", "路灯不亮", "Lamp out", priority="medium", ago=6000)
        late = city.raise_alarm("toilet-002", "nh3_high", "氨气超标", "NH3 high", ago=8000)
        city.cases[late].about["district"] = "west"
        page.goto("/cases")
        rows = page.get_by_test_id("case-table").locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.filter(has_text="预警")).to_contain_text("路灯不亮")
        expect(rows.filter(has_text="超期 13分")).to_contain_text("氨气超标")
        page.get_by_role("button", name="预警 1").click()
        expect(rows).to_have_count(1)
        expect(rows).to_have_attribute("data-case", str(soon))
        page.get_by_role("button", name="清除筛选").click()
        page.get_by_label("片区").select_option("west")
        expect(rows).to_have_attribute("data-case", str(late))
        expect(page).to_have_url(re.compile(r"\?district=west$"))
        page.goto("/cases?assignee=养护三队&stands=handling")
        expect(rows).to_have_attribute("data-case", str(case.number))
        expect(page.locator("select[name=stands]")).to_have_value("handling")
        page.get_by_label("责任部门").select_option("市政养护")
        expect(rows).to_have_count(1)
        page.get_by_label("处置人").select_option("")
        page.locator("select[name=stands]").select_option("")
        expect(rows).to_have_count(3)


NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, textarea, img, progress, [role=img]')]
    .filter((it) => it.checkVisibility())
    .filter((it) => !(it.getAttribute('aria-label') || it.getAttribute('alt') || it.labels?.length || it.textContent.trim()))
    .map((it) => it.outerHTML.slice(0, 90))"""
SMALL = """() => [...document.querySelectorAll('main button, main summary, dialog button, dialog input, dialog select')]
    .filter((it) => it.checkVisibility() && it.getBoundingClientRect().height < 40).map((it) => it.outerHTML.slice(0, 90))"""
STYLED = "() => document.querySelectorAll('main [style], dialog [style]').length"
TWICE = """() => { const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i) }"""


class TestPhone:
    @pytest.mark.parametrize("language", ["zh", "en"])
    def test_a_phone_has_room_for_the_case_its_dialogs_and_the_list(
        self, page: Page, city: City, case: MockCase, language: str
    ) -> None:
        case.go_on(*TO_HANDLING)
        city.told_by_citizen("道路积水", "Road flooded", description="积水", address="滨江路与东风路交叉口东北角人行道旁")
        page.add_init_script(f"localStorage.setItem('citynerve.lang', '{language}')")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto("/cases")
        expect(page.get_by_test_id("case-table").locator("tbody tr")).to_have_count(2)
        self.check(page)
        page.goto(f"/cases/{case.number}")
        actions = page.get_by_test_id("actions")
        actions.locator("summary").click()
        self.check(page)
        for step in ("submit", "arrive", "ask_hold"):
            title = {"submit": "提交处置结果|Submit the work", "arrive": "到场|Arrive", "ask_hold": "申请挂账|Ask for a hold"}[
                step
            ]
            button = actions.get_by_role("button", name=re.compile(f"^({title})"))
            if button.count() == 0:
                actions.locator("summary").click()
            button.click()
            expect(page.get_by_role("dialog").locator(".field").nth(2)).to_be_visible()
            self.check(page)
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)

    @staticmethod
    def check(page: Page) -> None:
        """Nothing runs off the screen, everything has a name, can be touched, and bears no style of its own."""
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        wide = "() => [...document.querySelectorAll('dialog[open]')].filter((it) => it.scrollWidth > it.clientWidth).length"
        assert page.evaluate(wide) == 0
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(SMALL) == []
        assert page.evaluate(STYLED) == 0
        assert page.evaluate(TWICE) == []
