"""The crew's page in a real browser, on a line that breaks where it hurts: what was done arrives once, whole and in order."""

import hashlib
import re
from collections.abc import Iterator

import pytest
from crew_line import Line, Served
from crew_mock import Desk, build
from crew_phone import EXIF, HERE, PHONE, camera_photo, finish, open_task, outbox, quiet, sent_all, size_of, take_photo
from picture import pixels
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from cloud.workflow.case import Case
from cloud.workflow.states import Role, State, Step


@pytest.fixture
def desk() -> Desk:
    """A cover that li.wei was sent to."""
    desk = Desk()
    desk.add_task(12)
    return desk


@pytest.fixture
def line(desk: Desk) -> Iterator[Line]:
    """The mock cloud behind a line that a test can cut."""
    with Served(build(desk)) as port, Line(port) as line:
        yield line


@pytest.fixture
def phone(browser: Browser, line: Line) -> Iterator[BrowserContext]:
    """A phone of li.wei, who allows it to know where it is."""
    context = browser.new_context(
        base_url=line.url,
        viewport=PHONE,
        has_touch=True,
        timezone_id="Asia/Shanghai",
        geolocation=HERE,
        permissions=["geolocation"],
    )
    context.add_init_script("localStorage.setItem('citynerve.actor', 'li.wei')")
    context.set_default_timeout(15_000)
    expect.set_options(timeout=15_000)
    yield context
    context.close()


@pytest.fixture
def page(phone: BrowserContext, line: Line) -> Iterator[Page]:
    """The page, ready to work without a network; it must throw nothing, break no content policy and ask nobody else."""
    page = phone.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" and not quiet(m.text) else None)
    page.on("request", lambda r: None if r.url.startswith((line.url, "blob:", "data:")) else wrong.append(r.url))
    page.goto("/crew")
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    yield page
    assert wrong == []


@pytest.fixture
def photo(page: Page) -> bytes:
    return camera_photo(page)


def posted(page: Page, desk: Desk, steps: int) -> None:
    for _ in range(300):
        if len(desk.steps_taken) >= steps:
            break
        page.wait_for_timeout(50)
    sent_all(page)


class TestTasks:
    def test_tasks_stand_by_deadline_and_then_by_distance(self, page: Page, desk: Desk) -> None:
        desk.rows.clear()
        desk.add_task(21, due_s=90_000, place=(113.3001, 23.1002))
        desk.add_task(22, due_s=None)
        desk.add_task(23, due_s=-600)
        desk.add_task(24, due_s=90_000, place=(113.3001, 23.2))
        for number in (21, 24):
            desk.rows[number]["due"] = "2099-01-01T00:07:00.000Z" if number == 21 else "2099-01-01T00:03:00.000Z"
        page.get_by_role("button", name="刷新").click()
        rows = page.get_by_test_id("tasks").get_by_role("listitem")
        expect(rows).to_have_count(4)
        assert re.findall(r"（(\d+)）", page.get_by_test_id("tasks").inner_text()) == ["23", "21", "24", "22"]
        expect(rows.nth(0)).to_contain_text("逾期 10分")
        expect(rows.nth(1)).to_contain_text("距您 10 m")
        expect(rows.nth(2)).to_contain_text("距您 11 km")
        expect(rows.nth(3)).to_contain_text("暂无时限")

    def test_a_task_says_what_where_until_when_and_leads_to_a_map(self, page: Page) -> None:
        expect(page.get_by_test_id("tasks")).to_contain_text("紧急")
        open_task(page)
        task = page.get_by_test_id("task")
        expect(task).to_contain_text("中山路12号井盖")
        expect(task).to_contain_text(re.compile(r"剩 [12]小时.*时限 .*GMT\+8"))
        expect(task).to_contain_text("井盖复位并锁闭")
        link = task.get_by_role("link", name="在地图中打开")
        assert re.match(r"geo:23\.100000,113\.300000\?q=23\.1", str(link.get_attribute("href")))

    def test_who_is_not_known_is_asked_for_a_name_once(self, browser: Browser, line: Line) -> None:
        context = browser.new_context(base_url=line.url, viewport=PHONE)
        page = context.new_page()
        page.goto("/crew")
        page.get_by_label("姓名").fill("li.wei")
        page.get_by_role("button", name="进入").click()
        expect(page.get_by_test_id("tasks").get_by_role("listitem")).to_have_count(1)
        page.reload()
        expect(page.get_by_test_id("tasks").get_by_role("listitem")).to_have_count(1)
        context.close()

    def test_where_there_are_accounts_one_signs_in(self, page: Page, desk: Desk) -> None:
        desk.session = {"accounts": True, "name": None, "display": "", "roles": [], "expires": None}
        page.reload()
        page.get_by_role("button", name="去登录").click()
        page.get_by_label("密码").fill("wrong")
        page.get_by_role("button", name="进入").click()
        expect(page.get_by_role("alert")).to_have_text("账号或密码不对。")
        page.get_by_label("密码").fill("correct horse")
        page.get_by_role("button", name="进入").click()
        expect(page.get_by_test_id("tasks").get_by_role("listitem")).to_have_count(1)


class TestWork:
    def test_from_accepting_to_done_each_step_arrives_once_and_in_order(self, page: Page, desk: Desk, photo: bytes) -> None:
        open_task(page)
        page.get_by_role("button", name="接单").click()
        expect(page.get_by_text("✓ 已接单")).to_be_visible()
        page.get_by_role("button", name="我已到场").click()
        expect(page.get_by_text("✓ 已到场")).to_be_visible()
        take_photo(page, "before", photo)
        expect(page.get_by_role("button", name="提交完成")).to_be_disabled()
        expect(page.get_by_text("还差：必查项 5 条、处置后照片、处置结果")).to_be_visible()
        finish(page, photo)
        sent_all(page)
        assert [(step["step"], step["version"]) for step in desk.steps_taken] == [("take", 4), ("arrive", 5), ("submit", 6)]
        assert len({step["key"] for step in desk.steps_taken}) == 3
        assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", step["key"]) for step in desk.steps_taken)
        done = [step["done"] for step in desk.steps_taken]
        assert done == sorted(done)
        assert desk.steps_taken[1]["position"] == HERE
        last = desk.steps_taken[2]
        assert last["note"].startswith("井盖已复位\n✓ 已围挡、设警示")
        assert desk.rows[12]["version"] == 7
        assert desk.cases[12].state == "department_review"

    def test_a_photo_leaves_the_phone_small_and_without_what_the_camera_wrote(self, page: Page, desk: Desk, photo: bytes) -> None:
        assert EXIF in photo
        open_task(page)
        take_photo(page, "before", photo)
        finish(page, photo)
        sent_all(page)
        assert len(desk.steps_taken[0]["photos"]) == 2
        for name in desk.steps_taken[0]["photos"]:
            data = desk.photos[name]
            assert size_of(data) == (1600, 1200)
            assert EXIF not in data
            assert b"Exif" not in data

    def test_what_is_no_photo_is_said_so(self, page: Page) -> None:
        open_task(page)
        place = page.get_by_test_id("photos-after")
        place.locator("input[type=file]").set_input_files({"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
        expect(place.get_by_role("alert")).to_have_text("这不是可以识别的照片。")

    def test_help_is_called_and_a_task_given_back_with_words(self, page: Page, desk: Desk) -> None:
        open_task(page)
        page.get_by_role("button", name="求助").click()
        page.get_by_role("dialog").get_by_label("说明").fill("井内有气味，需要通风设备")
        page.get_by_role("dialog").get_by_role("button", name="提交").click()
        posted(page, desk, 1)
        page.get_by_role("button", name="退回").click()
        page.get_by_role("dialog").get_by_label("理由").fill("不属于我单位")
        page.get_by_role("dialog").get_by_role("button", name="提交").click()
        posted(page, desk, 2)
        assert [(step["step"], step.get("note"), step.get("reason")) for step in desk.steps_taken] == [
            ("call_help", "井内有气味，需要通风设备", None),
            ("return", None, "不属于我单位"),
        ]

    def test_a_collector_answers_a_task_with_what_its_step_needs(
        self, phone: BrowserContext, page: Page, desk: Desk, photo: bytes
    ) -> None:
        desk.cases[12] = Case(state=State.VERIFYING, assignee="li.wei")
        desk.rows[12]["version"] += 1
        phone.add_init_script("localStorage.setItem('citynerve.crew.role', 'collector')")
        page.reload()
        open_task(page)
        expect(page.get_by_role("button", name="接单")).to_have_count(0)
        page.get_by_role("button", name="核实属实", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("说明").fill("井盖确已移位")
        expect(dialog.get_by_role("button", name="提交")).to_be_disabled()
        dialog.locator("input[type=file]").set_input_files({"name": "x.jpg", "mimeType": "image/jpeg", "buffer": photo})
        dialog.get_by_role("button", name="提交").click()
        posted(page, desk, 1)
        [found] = desk.steps_taken
        assert (found["step"], found["role"], found["note"], len(found["photos"])) == ("found", "collector", "井盖确已移位", 1)
        assert desk.cases[12].state == "reported"

    def test_the_device_is_heard_before_done(self, page: Page, desk: Desk) -> None:
        open_task(page)
        said = page.get_by_test_id("device-says")
        expect(said).to_contain_text("井盖打开")
        expect(said).to_contain_text("设备仍报告故障")
        desk.values["cover-12"] = {"cover_open": False, "tilt_deg": 1.2}
        expect(said).to_contain_text("井盖已闭合")
        expect(said).to_contain_text(re.compile(r"倾角 1\.2° ?\d秒前"))
        expect(said).to_contain_text("设备报告已恢复正常")
        expect(page.get_by_text("设备仍报告故障")).to_have_count(0)

    def test_a_draft_outlives_the_page(self, page: Page, photo: bytes) -> None:
        open_task(page)
        take_photo(page, "after", photo)
        page.get_by_test_id("checks").get_by_role("checkbox").nth(1).check()
        page.get_by_label("处置结果").fill("井盖已复位")
        page.get_by_label("处置结果").blur()
        page.reload()
        expect(page.get_by_test_id("photos-after").locator("img")).to_have_count(1)
        expect(page.get_by_test_id("checks").get_by_role("checkbox").nth(1)).to_be_checked()
        expect(page.get_by_label("处置结果")).to_have_value("井盖已复位")


class TestBrokenLine:
    def test_cut_in_the_middle_of_a_photo_one_submit_arrives_and_the_photo_is_whole(
        self, page: Page, desk: Desk, line: Line, photo: bytes
    ) -> None:
        open_task(page)
        line.cut_photo_after = 200_000
        finish(page, photo)
        expect(page.get_by_test_id("link")).to_contain_text("离线")
        assert (line.cuts, desk.photos, desk.steps_taken) == (1, {}, [])
        line.mend()
        sent_all(page)
        [submit] = desk.steps_taken
        [name] = submit["photos"]
        assert len(desk.photos[name]) > 2 * 200_000
        assert hashlib.sha256(desk.photos[name]).hexdigest() == name
        assert desk.photos[name].endswith(b"\xff\xd9")
        assert [step["step"] for step in desk.steps[12]] == ["assign", "submit"]

    def test_an_answer_that_is_lost_does_not_do_it_twice(self, page: Page, desk: Desk, line: Line) -> None:
        open_task(page)
        line.lose_answer_to = b"POST /api/cases/12/steps"
        page.get_by_role("button", name="接单").click()
        expect(page.get_by_test_id("link")).to_contain_text("离线")
        page.get_by_role("button", name="我已到场").click()
        expect(page.get_by_text("✓ 已到场（待发）")).to_be_visible()
        line.mend()
        posted(page, desk, 3)
        take, again, arrive = desk.steps_taken
        assert take == again
        assert [step["step"] for step in desk.steps[12]] == ["assign", "take", "arrive"]
        assert (take["version"], arrive["version"]) == (4, 5)

    def test_without_a_network_everything_but_sending_works_and_survives_a_reload(
        self, page: Page, desk: Desk, line: Line, photo: bytes
    ) -> None:
        open_task(page)
        expect(page.get_by_test_id("device-says")).to_contain_text("井盖打开")
        line.cut()
        page.get_by_role("button", name="接单").click()
        page.get_by_role("button", name="我已到场").click()
        expect(page.get_by_text("✓ 已到场（待发）")).to_be_visible()
        finish(page, photo)
        expect(page.get_by_test_id("submitted")).to_be_visible()
        page.reload()
        expect(page.get_by_test_id("link")).to_contain_text(re.compile(r"自 .*GMT\+8.*起连不上服务器.*待发 3"))
        expect(page.get_by_test_id("task")).to_contain_text("井盖缺失或移位")
        expect(page.get_by_test_id("device-says")).to_contain_text("井盖打开")
        rows = outbox(page)
        expect(rows).to_have_count(3)
        expect(rows.nth(0)).to_contain_text("接单")
        expect(rows.nth(2)).to_contain_text("照片 1 张 · 等前一项")
        assert desk.steps_taken == []
        line.mend()
        page.get_by_role("button", name="立即发送").click()
        expect(rows).to_have_count(0)
        assert [(step["step"], step["version"]) for step in desk.steps_taken] == [("take", 4), ("arrive", 5), ("submit", 6)]
        expect(page.get_by_test_id("link")).not_to_contain_text("离线")

    def test_another_start_without_a_network_shows_the_page(self, phone: BrowserContext, page: Page, line: Line) -> None:
        expect(page.get_by_test_id("tasks").get_by_role("listitem")).to_have_count(1)
        line.cut()
        page.close()
        later = phone.new_page()
        later.goto("/crew")
        expect(later.get_by_test_id("tasks").get_by_role("listitem")).to_have_count(1)
        expect(later.get_by_test_id("link")).to_contain_text("离线")


class TestConflict:
    def conflict(self, page: Page, desk: Desk, line: Line) -> Locator:
        """Accepted without a network, while the dispatcher's office called the task back and gave it again."""
        open_task(page)
        expect(page.get_by_test_id("device-says")).to_contain_text("井盖打开")
        line.cut()
        page.get_by_role("button", name="接单").click()
        desk.act(12, Step.SUPERVISE, "zhao.lead", Role.SHIFT_LEAD, note="市领导关注，请尽快")
        line.mend()
        row = outbox(page)
        page.get_by_role("button", name="立即发送").click()
        expect(row).to_contain_text("有冲突")
        return row

    def test_both_sides_are_shown_and_mine_is_sent_again_on_top(self, page: Page, desk: Desk, line: Line) -> None:
        row = self.conflict(page, desk, line)
        expect(row.get_by_test_id("mine")).to_contain_text("接单 · li.wei · 基于第 4 版")
        theirs = row.get_by_test_id("theirs")
        expect(theirs).to_contain_text("第 5 版 · 处置中")
        expect(theirs).to_contain_text("督办 zhao.lead")
        expect(theirs).to_contain_text("市领导关注，请尽快")
        page.reload()
        row.get_by_role("button", name="在第 5 版上重新提交").click()
        expect(row).to_have_count(0)
        assert [(step["step"], step["version"]) for step in desk.steps_taken] == [("take", 4), ("take", 5)]
        assert [step["step"] for step in desk.steps[12]] == ["assign", "supervise", "take"]

    def test_mine_can_be_dropped_and_what_stood_on_it_is_asked_about(self, page: Page, desk: Desk, line: Line) -> None:
        open_task(page)
        expect(page.get_by_test_id("device-says")).to_contain_text("井盖打开")
        line.cut()
        page.get_by_role("button", name="接单").click()
        page.get_by_role("button", name="我已到场").click()
        expect(page.get_by_text("✓ 已到场（待发）")).to_be_visible()
        desk.act(12, Step.SUPERVISE, "zhao.lead", Role.SHIFT_LEAD, note="请尽快")
        line.mend()
        rows = outbox(page)
        page.get_by_role("button", name="立即发送").click()
        expect(rows.nth(0)).to_contain_text("有冲突")
        rows.nth(0).get_by_role("button", name="放弃我的操作").click()
        expect(rows).to_have_count(1)
        expect(rows.nth(0)).to_contain_text("到场")
        rows.nth(0).get_by_role("button", name="在第 5 版上重新提交").click()
        expect(rows).to_have_count(0)
        assert [step["step"] for step in desk.steps[12]] == ["assign", "supervise", "arrive"]

    def test_a_refusal_says_why_and_waits_for_a_person(self, page: Page, desk: Desk) -> None:
        open_task(page)
        desk.refuse = (403, "not_allowed", "take the task: not by crew, only by department")
        page.get_by_role("button", name="接单").click()
        row = outbox(page)
        expect(row.get_by_role("alert")).to_have_text("不允许: take the task: not by crew, only by department")
        desk.refuse = None
        row.get_by_role("button", name="重新发送").click()
        expect(row).to_have_count(0)
        assert desk.steps_taken[0]["key"] == desk.steps_taken[1]["key"]

    def test_two_taps_at_once_keep_their_order(self, page: Page, desk: Desk, line: Line) -> None:
        open_task(page)
        expect(page.get_by_test_id("device-says")).to_contain_text("井盖打开")
        line.hold = True
        page.get_by_role("button", name="接单").click()
        page.get_by_role("button", name="我已到场").click()
        expect(page.get_by_test_id("outbox-link")).to_have_text("待发箱 2")
        line.hold = False
        posted(page, desk, 2)
        assert [(step["step"], step["version"]) for step in desk.steps_taken] == [("take", 4), ("arrive", 5)]

    def test_photos_of_tasks_long_gone_are_forgotten(self, page: Page) -> None:
        page.evaluate(
            """() => new Promise((done) => {
              const asked = indexedDB.open('citynerve.crew', 1);
              asked.onsuccess = () => {
                const tx = asked.result.transaction('photos', 'readwrite');
                const week = 7 * 86400e3;
                for (const [id, of, age] of [['gone', 99, week + 60e3], ['fresh', 99, week - 60e3], ['mine', 12, 9 * week]]) {
                  const photo = { id, case: of, when: 'after', data: new ArrayBuffer(9), type: 'image/jpeg' };
                  tx.objectStore('photos').put({ ...photo, taken: Date.now() - age });
                }
                tx.oncomplete = () => { asked.result.close(); done(true); };
              };
            })"""
        )
        page.reload()
        left = page.evaluate(
            """() => new Promise((done) => {
              const asked = indexedDB.open('citynerve.crew', 1);
              asked.onsuccess = async () => {
                const keys = () => new Promise((got) => {
                  const request = asked.result.transaction('photos').objectStore('photos').getAllKeys();
                  request.onsuccess = () => got(request.result);
                });
                for (let i = 0; i < 100 && (await keys()).includes('gone'); i++) await new Promise((on) => setTimeout(on, 50));
                done(await keys());
              };
            })"""
        )
        assert sorted(left) == ["fresh", "mine"]

    def test_a_full_outbox_says_so_and_keeps_what_it_has(self, page: Page) -> None:
        page.evaluate(
            """() => new Promise((done) => {
              const asked = indexedDB.open('citynerve.crew', 1);
              asked.onsuccess = () => {
                const tx = asked.result.transaction('outbox', 'readwrite');
                const item = { key: 'k', lane: 'case/99', what: 'step', subject: '99', title: { zh: '旧', en: 'old' },
                  step: 'take',
                  body: {}, actor: 'li.wei', role: 'crew', photos: [], sent: {}, base: 1, seen: 0, follows: '', made: 0,
                  state: 'refused', attempts: 1, unsure: false, next: 0, problem: null, now: null };
                for (let i = 0; i < 500; i++) tx.objectStore('outbox').add({ ...item, key: `k${i}` });
                tx.oncomplete = () => { asked.result.close(); done(true); };
              };
            })"""
        )
        page.reload()
        open_task(page)
        page.get_by_role("button", name="接单").click()
        expect(page.get_by_role("alert")).to_contain_text("手机上的待发箱已满（500 项")
        expect(page.get_by_test_id("outbox-link")).to_have_text("待发箱 500")


class TestDisarming:
    def test_only_the_right_code_disarms_and_it_says_until_when(self, page: Page, desk: Desk) -> None:
        open_task(page)
        place = page.get_by_test_id("arming")
        expect(place).to_contain_text("设备已布防")
        place.get_by_role("button", name="我要打开它").click()
        place.get_by_label("设备编码").fill("4401060103000099")
        expect(place).to_contain_text("不是这台设备的编码")
        expect(place.locator("button[type=submit]")).to_be_disabled()
        place.get_by_label("设备编码").fill("https://assets.example/c/4401060103000012?x=1")
        expect(place).to_contain_text("编码相符")
        place.get_by_role("button", name="2 小时").click()
        place.locator("button[type=submit]").click()
        expect(place).to_contain_text(re.compile(r"已撤防至 .*GMT\+8.*（剩 1小时5\d分），操作人 li.wei"))
        [sent] = desk.arming_posts
        assert (sent["code"], sent["note"], sent["actor"]) == ("4401060103000012", "案件 12 处置", "li.wei")
        place.get_by_role("button", name="现在布防").click()
        expect(place).to_contain_text("设备已布防")

    def test_the_camera_reads_the_code_where_the_browser_can(self, phone: BrowserContext, page: Page) -> None:
        # Headless Chromium on Linux has no detector: one that sees our code stands in for it, and a canvas for the camera.
        phone.add_init_script(
            """globalThis.BarcodeDetector = class { async detect() { return [{ rawValue: '4401060103000012' }]; } };
            navigator.mediaDevices.getUserMedia = async () => {
              const canvas = document.createElement('canvas');
              const pen = canvas.getContext('2d');
              setInterval(() => pen.fillRect(0, 0, Math.random() * 90, 9), 40);
              return globalThis.camera = canvas.captureStream(25);
            };"""
        )
        page.reload()
        open_task(page)
        page.get_by_role("button", name="我要打开它").click()
        page.get_by_role("button", name="扫描编码").click()
        expect(page.get_by_test_id("arming")).to_contain_text("编码相符")
        expect(page.get_by_label("设备编码")).to_have_value("4401060103000012")
        assert page.evaluate("() => camera.getTracks().every((track) => track.readyState === 'ended')")

    def test_what_did_not_arrive_is_not_disarmed_and_says_so(self, page: Page, desk: Desk, line: Line) -> None:
        open_task(page)
        place = page.get_by_test_id("arming")
        expect(place).to_contain_text("设备已布防")
        line.cut()
        place.get_by_role("button", name="我要打开它").click()
        place.get_by_label("设备编码").fill("cover-12")
        place.locator("button[type=submit]").click()
        expect(place).to_contain_text("撤防尚未送达：现在打开会报警。")
        assert desk.arming_posts == []
        line.mend()
        expect(place).to_contain_text("已撤防至")
        assert len(desk.arming_posts) == 1


class TestLook:
    @pytest.mark.parametrize("width", [360, 390])
    def test_nothing_runs_off_the_screen_and_everything_is_large_enough_to_tap(
        self, page: Page, desk: Desk, line: Line, photo: bytes, width: int
    ) -> None:
        page.set_viewport_size({"width": width, "height": 780})
        page.get_by_role("button", name="English").click()
        open_task_en = page.get_by_test_id("tasks").get_by_role("link")
        expect(open_task_en).to_contain_text("Manhole cover missing or displaced")
        open_task_en.click()
        take_photo(page, "after", photo)
        for view in ("#/case/12", "#/outbox", "#/"):
            page.evaluate("(hash) => { location.hash = hash }", view)
            expect(page.get_by_role("heading", level=2)).to_be_visible()
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
            low = page.evaluate(
                """() => [...document.querySelectorAll('button, a, label.big, label.check, summary, input.field')]
                  .filter((it) => it.offsetParent !== null && it.getBoundingClientRect().height < 44)
                  .map((it) => it.outerHTML.slice(0, 80))"""
            )
            assert low == []

    def test_the_page_can_be_installed(self, page: Page) -> None:
        manifest = page.request.get("/crew.webmanifest")
        assert manifest.headers["content-type"] == "application/manifest+json"
        told = manifest.json()
        assert (told["start_url"], told["scope"], told["display"]) == ("/crew", "/crew", "standalone")
        for icon in told["icons"]:
            answer = page.request.get(icon["src"])
            assert answer.headers["content-type"] == icon["type"]
            if icon["type"] == "image/png":
                side = int(icon["sizes"].split("x")[0])
                drawn = pixels(answer.body())
                assert drawn.shape == (side, side, 3)
                assert {tuple(map(int, pixel)) for pixel in drawn.reshape(-1, 3)} >= {(0x10, 0x21, 0x2B), (0x5C, 0xC8, 0xE8)}
        assert page.request.get("/crew-worker.js").headers["cache-control"] == "no-cache"

    def test_a_new_version_leaves_nothing_of_an_older_one(self, phone: BrowserContext) -> None:
        page = phone.new_page()
        page.goto("/licenses.txt")
        page.evaluate("() => Promise.all(['crew-0123456789abcdef', 'other'].map((name) => caches.open(name))).then(() => true)")
        page.goto("/crew")
        kept = page.evaluate(
            """async () => {
              await navigator.serviceWorker.ready;
              for (let i = 0; i < 250 && (await caches.keys()).includes('crew-0123456789abcdef'); i++) {
                await new Promise((done) => setTimeout(done, 20));
              }
              const names = (await caches.keys()).sort();
              const shell = await (await caches.open(names[0])).keys();
              return [names, shell.map((request) => new URL(request.url).pathname)];
            }"""
        )
        names, shell = kept
        assert re.fullmatch(r"crew-[0-9a-f]{16},other", ",".join(names))
        assert {"/crew", "/favicon.svg", "/crew.webmanifest", "/crew-192.png"} < set(shell)
        assert all(page.request.get(path).ok for path in shell)

    def test_a_line_that_says_nothing_does_not_keep_the_page_empty(self, phone: BrowserContext, page: Page, line: Line) -> None:
        expect(page.get_by_test_id("tasks").get_by_role("listitem")).to_have_count(1)
        page.close()
        line.hold = True
        later = phone.new_page()
        later.goto("/crew")
        expect(later.get_by_test_id("tasks").get_by_role("listitem")).to_have_count(1, timeout=10_000)
        line.hold = False

    def test_the_page_may_use_camera_and_position_and_nothing_else(self, page: Page) -> None:
        policy = page.request.get("/crew").headers["permissions-policy"]
        assert policy == "geolocation=(self), camera=(self), microphone=()"
