"""Cases: one open case for each device and matter, steps by the workflow, clocks and messages in the same transaction."""

from typing import Any

import pytest
from cloud_cases import CREW, DESK, PHOTO, all_rows, do, opened, set_alarm, walk
from cloud_records import T0, S
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.cases.desk import Desk
from cloud.cases.draft import CaseError
from cloud.cases.opening import Report, report
from cloud.cases.policy import Auto, CasePolicy
from cloud.cases.steps import take
from cloud.dispatch.duty import Duty
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.notify.people import Person
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, case_alarms, case_clocks, case_steps, cases, deadlines, devices, notifications
from cloud.workflow.case import Deed
from cloud.workflow.states import Role, Step
from telemetry.reason import Reason

HOUR = 3600 * S
HANDLED = [Step.ASSIGN, Step.TAKE, Step.ARRIVE, Step.SUBMIT, Step.CONFIRM]
CHECKED = [Step.CHECK, Step.CHECKED, Step.PASS]


class OneOnDuty(Duty):
    """A plan in which somebody is always there, and somebody else after them."""

    def crew(self, department: str, district: str, now_ns: int) -> str:
        del department, district, now_ns
        return "li.wei"


async def case_of(engine: AsyncEngine, **what: Any) -> int:
    joined = await opened(engine, **what)
    assert joined is not None
    assert joined.opened
    number: int = joined.case["id"]
    return number


async def test_an_alarm_opens_a_case_that_is_filed_and_on_its_way_to_the_department(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        place = {"id": "cover-1", "gateway": "gw-1", "profile": "p", "profile_version": 1, "kind": "k", "first_seen_ns": 1}
        await conn.execute(devices.insert().values(**place))
    joined = await opened(cloud_engine, place=(120.6, 31.3))
    assert joined is not None
    assert joined.opened
    [case] = await all_rows(cloud_engine, cases)
    assert case == joined.case
    assert (case["state"], case["title_zh"], case["longitude"], case["version"]) == ("dispatched", "井盖缺失或移位", 120.6, 1)
    assert case["matter_table"] == "citynerve@2023-01-01"
    assert case["due_ns"] - case["opened_ns"] == 2 * HOUR
    assert [row["step"] for row in await all_rows(cloud_engine, case_steps)] == ["report", "file", "dispatch"]
    clocks = {row["clock"]: row for row in await all_rows(cloud_engine, case_clocks)}
    assert {name: row["state"] for name, row in clocks.items()} == {
        "accept": "stopped",
        "dispatch": "stopped",
        "handle": "running",
    }
    waiting = [(row["what"], row["due_ns"] - T0) for row in await all_rows(cloud_engine, deadlines)]
    assert sorted(waiting, key=lambda due: due[1]) == [
        ("reminder", HOUR),
        ("reminder", 2 * HOUR * 8 // 10),
        ("overdue", 2 * HOUR),
        ("escalated", 2 * HOUR),
    ]
    [message] = await all_rows(cloud_engine, notifications)
    assert (message["case_id"], message["step"], message["channel"]) == (case["id"], "opened", "crew")
    assert [row["case_id"] for row in await all_rows(cloud_engine, alarms)] == [case["id"]]


@pytest.mark.parametrize(
    ("auto", "state"), [(Auto.REPORT, "reported"), (Auto.FILE, "filed"), (Auto.DISPATCH, "dispatched"), (Auto.ASSIGN, "handling")]
)
async def test_the_system_goes_as_far_as_the_city_wants(cloud_engine: AsyncEngine, auto: Auto, state: str) -> None:
    desk = Desk(policy=CasePolicy(auto=auto), duty=OneOnDuty())
    joined = await opened(cloud_engine, desk=desk)
    assert joined is not None
    assert joined.case["state"] == state
    assert joined.case["assignee"] == ("li.wei" if auto is Auto.ASSIGN else "")


async def test_a_second_alarm_of_the_matter_joins_and_lifts_the_priority(cloud_engine: AsyncEngine) -> None:
    first = await opened(cloud_engine, "a1", priority="low")
    second = await opened(cloud_engine, "a2", priority="critical")
    third = await opened(cloud_engine, "a3", priority="medium")
    assert first is not None
    assert second is not None
    assert third is not None
    assert {joined.case["id"] for joined in (first, second, third)} == {first.case["id"]}
    assert (second.opened, third.case["priority"], third.case["version"]) == (False, "critical", 2)
    assert [row["step"] for row in await all_rows(cloud_engine, notifications)] == ["opened", "joined"]
    waiting = sorted((row["due_ns"] - T0, row["what"]) for row in await all_rows(cloud_engine, deadlines))
    assert waiting[0] == (HOUR, "reminder"), "critical cases are reminded of at half of the limit, low ones at four fifths"
    assert {row["alarm"] for row in await all_rows(cloud_engine, case_alarms)} == {"a1", "a2", "a3"}


async def test_another_device_gets_a_case_of_its_own(cloud_engine: AsyncEngine) -> None:
    await opened(cloud_engine, "a1")
    await opened(cloud_engine, "b1", device="cover-2")
    assert [case["device"] for case in await all_rows(cloud_engine, cases)] == ["cover-1", "cover-2"]


async def test_a_case_whose_device_says_that_all_is_well_closes_when_its_work_is_confirmed(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await walk(cloud_engine, case, HANDLED[:-1])
    await set_alarm(cloud_engine, "a1", "returned_unacknowledged")
    row = await do(cloud_engine, case, Step.CONFIRM, T0 + HOUR)
    assert (row["state"], row["closed_ns"], row["closing_standard"]) == (
        "closed",
        T0 + HOUR,
        "设备报告井盖已闭合、位置复原",
    )
    steps = await all_rows(cloud_engine, case_steps)
    assert [(each["step"], each["role"], each["device_says"]) for each in steps[-2:]] == [
        ("confirm", "department", "clear"),
        ("pass", "system", "clear"),
    ]
    [handle] = [clock for clock in await all_rows(cloud_engine, case_clocks) if clock["clock"] == "handle"]
    assert (handle["state"], handle["late"], handle["charged"]) == ("stopped", False, "li.wei")
    assert [row for row in await all_rows(cloud_engine, deadlines) if row["done_ns"] is None] == []


async def test_a_case_whose_device_still_reports_the_fault_is_closed_by_a_supervisor_only(
    cloud_engine: AsyncEngine,
) -> None:
    case = await case_of(cloud_engine)
    await walk(cloud_engine, case, [*HANDLED, Step.CHECK, Step.CHECKED])
    with pytest.raises(CaseError) as caught:
        await do(cloud_engine, case, Step.PASS, T0 + HOUR)
    assert caught.value.reason is Reason.CONFLICT
    assert "设备不再报告故障" in caught.value.zh
    row = await do(cloud_engine, case, Step.OVERRIDE, T0 + HOUR)
    assert row["state"] == "closed"


async def test_a_check_that_was_answered_in_time_stays_so_however_long_the_desk_takes(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await walk(cloud_engine, case, [*HANDLED, Step.CHECK, Step.CHECKED])
    [check] = [row for row in await all_rows(cloud_engine, case_clocks) if row["clock"] == "check"]
    await do(cloud_engine, case, Step.OVERRIDE, T0 + 48 * HOUR)
    [after] = [row for row in await all_rows(cloud_engine, case_clocks) if row["clock"] == "check"]
    assert after == check
    assert (after["late"], after["charged"]) == (False, "wang")


async def test_an_alarm_that_comes_back_soon_reopens_its_case_as_rework(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await set_alarm(cloud_engine, "a1", "returned_unacknowledged")
    await walk(cloud_engine, case, HANDLED)
    again = await opened(cloud_engine, "a2", at_ns=T0 + HOUR)
    assert again is not None
    assert (again.opened, again.case["id"], again.case["state"]) == (False, case, "dispatched")
    assert (again.case["reopened"], again.case["reworks"], again.case["closed_ns"]) == (1, 1, None)
    assert again.case["due_ns"] == T0 + 3 * HOUR
    assert [row["step"] for row in await all_rows(cloud_engine, notifications)][-1] == "reopen"


async def test_news_of_before_it_was_closed_reopens_nothing(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await set_alarm(cloud_engine, "a1", "returned_unacknowledged")
    await walk(cloud_engine, case, HANDLED)
    async with writing(cloud_engine) as conn:
        row = {"id": "late", "device": "cover-1", "rule": "cover_open", "profile": "cover_nbiot", "profile_version": 1}
        await conn.execute(alarms.insert().values(row | {"priority": "high", "state": "normal", "raised_ns": T0 + 1}))
        told = told_by_alarm("late", since_ns=T0 + 1, active=False)
        from cloud.cases.opening import open_or_join

        [joined] = await open_or_join(conn, DESK, [told], T0 + HOUR)
    assert (joined.case["state"], joined.opened) == ("closed", False)
    assert {row["case_id"] for row in await all_rows(cloud_engine, alarms)} == {case}


def told_by_alarm(name: str, **more: Any) -> Report:
    found = DESK.matters.find("cover_displaced", T0)
    assert found is not None
    said: dict[str, Any] = {"matter": found, "priority": "high", "source": "alarm", "occasion": name, "note": name}
    who: dict[str, Any] = {"actor": "system", "role": Role.SYSTEM, "device": "cover-1", "alarm": name}
    return Report(**said, **who, **more)


async def test_long_after_closing_a_new_alarm_opens_a_new_case(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await set_alarm(cloud_engine, "a1", "returned_unacknowledged")
    await walk(cloud_engine, case, HANDLED)
    later = await opened(cloud_engine, "a2", at_ns=T0 + 48 * HOUR)
    assert later is not None
    assert later.opened
    assert later.case["id"] != case


async def test_a_citizens_report_and_an_alarm_at_the_same_place_are_one_case(cloud_engine: AsyncEngine) -> None:
    told = replace(told_by_alarm("r1"), alarm="", device=None, source="citizen", actor="app", role=Role.OPERATOR)
    here = replace(told, longitude=120.6, latitude=31.3)
    async with writing(cloud_engine) as conn:
        reported = await report(conn, DESK, here, T0)
    assert (reported.opened, reported.case["state"]) == (True, "reported")
    near = await opened(cloud_engine, "a1", place=(120.6001, 31.3))
    far = await opened(cloud_engine, "b1", device="cover-2", place=(120.61, 31.3))
    assert near is not None
    assert far is not None
    assert (near.opened, near.case["id"], near.case["device"]) == (False, reported.case["id"], "cover-1")
    assert far.opened
    async with writing(cloud_engine) as conn:
        again = await report(conn, DESK, replace(here, occasion="r2", longitude=120.6101), T0 + S)
    assert (again.opened, again.case["id"]) == (False, far.case["id"])


async def test_a_hold_stops_the_clock_and_goes_on_with_what_was_left(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await do(cloud_engine, case, Step.ASK_HOLD, T0 + HOUR, until_ns=T0 + 49 * HOUR)
    row = await do(cloud_engine, case, Step.GRANT_HOLD, T0 + HOUR, until_ns=T0 + 49 * HOUR)
    assert (row["state"], row["due_ns"], row["hold_until_ns"]) == ("hold", None, T0 + 49 * HOUR)
    waits = [(due["what"], due["due_ns"]) for due in await all_rows(cloud_engine, deadlines) if due["done_ns"] is None]
    assert waits == [("hold_over", T0 + 49 * HOUR)]
    async with writing(cloud_engine) as conn:
        over = Deed(step=Step.HOLD_OVER, actor="system", role=Role.SYSTEM, at_ns=0)
        row = await take(conn, DESK, case, over, now_ns=T0 + 49 * HOUR)
    assert (row["state"], row["due_ns"]) == ("dispatched", T0 + 50 * HOUR)


async def test_an_extension_gives_one_limit_more_and_lateness_is_fixed_at_confirmation(
    cloud_engine: AsyncEngine,
) -> None:
    case = await case_of(cloud_engine)
    await walk(cloud_engine, case, [Step.ASK_EXTENSION, Step.GRANT_EXTENSION])
    row = await walk(cloud_engine, case, HANDLED[:-1], T0 + HOUR)
    assert row["due_ns"] == T0 + 4 * HOUR
    row = await do(cloud_engine, case, Step.CONFIRM, T0 + 5 * HOUR)
    assert (row["state"], row["overdue"]) == ("feedback", True)


async def test_what_is_sent_again_with_its_key_is_done_once(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    deed = Deed(step=Step.ASSIGN, actor="boss", role=Role.DEPARTMENT, at_ns=0, assignee="li.wei")
    for _ in range(2):
        async with writing(cloud_engine) as conn:
            row = await take(conn, DESK, case, deed, now_ns=T0 + S, version=1, key="k1", done_ns=T0)
    assert (row["version"], row["assignee"]) == (2, "li.wei")
    steps = [row for row in await all_rows(cloud_engine, case_steps) if row["step"] == "assign"]
    assert [(row["key"], row["done_ns"], row["at_ns"]) for row in steps] == [("k1", T0, T0 + S)]


@pytest.mark.parametrize(
    ("case", "step", "version", "more", "reason"),
    [
        pytest.param(1, Step.ASSIGN, 7, {}, Reason.CONFLICT, id="somebody else changed it"),
        pytest.param(1, Step.PASS, 1, {}, Reason.CONFLICT, id="not from this state"),
        pytest.param(1, Step.ASSIGN, 1, {"role": Role.CREW}, Reason.NOT_ALLOWED, id="not by this office"),
        pytest.param(1, Step.ASSIGN, 1, {"assignee": " "}, Reason.MISSING, id="without what it needs"),
        pytest.param(1, Step.ASSIGN, 1, {"photos": ("cd" * 32,)}, Reason.INVALID, id="with a photo that nobody sent"),
        pytest.param(999, Step.ASSIGN, 1, {}, Reason.NOT_FOUND, id="no such case"),
    ],
)
async def test_a_step_that_cannot_be_taken(
    cloud_engine: AsyncEngine, case: int, step: Step, version: int, more: dict[str, Any], reason: Reason
) -> None:
    assert await case_of(cloud_engine) == 1
    with pytest.raises(CaseError) as caught:
        await do(cloud_engine, case, step, T0 + S, version=version, **more)
    assert caught.value.reason is reason
    assert [row["step"] for row in await all_rows(cloud_engine, case_steps)] == ["report", "file", "dispatch"]


async def test_each_person_hears_of_what_is_theirs(cloud_engine: AsyncEngine) -> None:
    people = (
        Person(name="li.wei", address="1", offices=("assignee",)),
        Person(name="sun", address="2", offices=("assignee",)),
        Person(name="boss", address="3", offices=("department",), departments=("市政设施养护单位",)),
        Person(name="other", address="4", offices=("department",), departments=("路灯管理所",)),
        Person(name="all", address="5"),
    )
    app = ChannelConfig(name="app", kind=ChannelKind.WECOM_APP, people=people)
    desk = Desk(channels=[CREW, app])
    case = await case_of(cloud_engine, desk=desk)

    async def heard(step: str) -> set[str]:
        return {row["target"] or row["channel"] for row in await all_rows(cloud_engine, notifications) if row["step"] == step}

    assert await heard("opened") == {"crew", "boss", "all"}
    await do(cloud_engine, case, Step.ASSIGN, T0 + S, desk=desk, assignee="li.wei")
    assert await heard("assign") == {"crew", "li.wei", "all"}
    await do(cloud_engine, case, Step.ASSIGN, T0 + 2 * S, desk=desk, assignee="sun", actor="boss")
    assert {row["target"] for row in await all_rows(cloud_engine, notifications) if row["occasion"].endswith("/3")} == {
        "", "li.wei", "sun", "all",
    }  # fmt: skip


async def test_closing_needs_photos_that_are_there(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await walk(cloud_engine, case, HANDLED + CHECKED[:-1])
    steps = await all_rows(cloud_engine, case_steps)
    assert {photo for step in steps for photo in step["photos"]} == {PHOTO}
