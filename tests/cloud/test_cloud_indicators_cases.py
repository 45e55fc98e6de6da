"""From an alarm to the numbers of its month, by the steps that people really take."""

import datetime as dt

from cloud_cases import DESK, do, opened, set_alarm, walk
from cloud_records import T0, S
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.cases.steps import take
from cloud.clocks.civil import check_zone, local_date
from cloud.indicators.period import month
from cloud.indicators.reading import histories, report
from cloud.indicators.rounds import walk as rounds_of
from cloud.indicators.tally import Line
from cloud.indicators.words import By
from cloud.relational.engine import reading, writing
from cloud.relational.tables import case_clocks
from cloud.workflow.case import Deed
from cloud.workflow.states import Role, Step

HOUR = 3600 * S
DAY = 24 * HOUR
CHINA = check_zone("Asia/Shanghai")
MONTH = month(f"{local_date(T0, CHINA):%Y-%m}", CHINA)
MADE = T0 + 20 * DAY
WORK = [Step.ASSIGN, Step.TAKE, Step.ARRIVE, Step.SUBMIT, Step.CONFIRM]
CHECK = [Step.CHECK, Step.CHECKED, Step.PASS]


async def case_of(engine: AsyncEngine, name: str, device: str) -> int:
    joined = await opened(engine, name, device=device)
    assert joined is not None
    number: int = joined.case["id"]
    return number


async def numbers(engine: AsyncEngine, made_ns: int = MADE) -> dict[str, Line]:
    return {line.indicator.code: line for line in (await report(engine, MONTH, By.CITY, made_ns)).of_city()}


def parts(line: Line) -> tuple[int, int | None]:
    return line.numerator, line.denominator


async def appealed(engine: AsyncEngine, case: int, at_ns: int) -> None:
    steps = (
        (Step.APPEAL, Role.DEPARTMENT, "li.wei"),
        (Step.AGREE_APPEAL, Role.INSPECTOR, "qian"),
        (Step.GRANT_APPEAL, Role.SUPERVISOR, "sun"),
    )
    for step, role, actor in steps:
        async with writing(engine) as conn:
            deed = Deed(step=step, actor=actor, role=role, at_ns=at_ns, note="storm", reason="storm")
            await take(conn, DESK, case, deed, now_ns=at_ns)


def test_the_month_holds_the_whole_story() -> None:
    first, last = local_date(T0, CHINA), local_date(MADE, CHINA)
    assert (first.year, first.month) == (last.year, last.month)
    assert dt.timedelta(0) < last - first


async def test_cases_of_alarms_become_the_numbers_of_their_month(cloud_engine: AsyncEngine) -> None:
    """One closed in time by its device's word, one late and closed by people, one held, one that nobody touched."""
    by_device = await case_of(cloud_engine, "a1", "cover-1")
    late = await case_of(cloud_engine, "a2", "cover-2")
    held = await case_of(cloud_engine, "a3", "cover-3")
    await case_of(cloud_engine, "a4", "cover-4")
    await set_alarm(cloud_engine, "a1", "returned_unacknowledged")
    await walk(cloud_engine, by_device, WORK, T0 + HOUR)
    await do(cloud_engine, held, Step.ASK_HOLD, T0 + HOUR, until_ns=T0 + 2 * DAY)
    await do(cloud_engine, held, Step.GRANT_HOLD, T0 + HOUR, until_ns=T0 + 2 * DAY)
    await walk(cloud_engine, late, WORK, T0 + 3 * HOUR)
    await walk(cloud_engine, late, [Step.CHECK, Step.CHECKED, Step.OVERRIDE], T0 + 4 * HOUR)
    found = await numbers(cloud_engine)
    assert parts(found["device_report_rate"]) == (4, 4)
    assert parts(found["on_time_filing_rate"]) == parts(found["on_time_dispatching_rate"]) == (4, 4)
    assert parts(found["handling_rate"]) == (2, 3)
    assert parts(found["on_time_handling_rate"]) == parts(found["late_handling_rate"]) == (1, 3)
    assert parts(found["closing_rate"]) == (2, 3)
    assert parts(found["hold_rate"]) == (1, 4)
    assert parts(found["on_time_checking_rate"]) == (1, 1)
    assert parts(found["device_closing_rate"]) == parts(found["against_device_rate"]) == (1, 2)
    assert found["overdue_number"].value == 2
    await appealed(cloud_engine, late, T0 + 5 * DAY)
    found = await numbers(cloud_engine)
    assert parts(found["on_time_handling_rate"]) == (1, 2)
    assert (found["overdue_number"].value, found["exempt_number"].value) == (2, 1)
    assert parts(found["appeal_granting_rate"]) == (1, 1)


async def test_a_reopened_case_is_owed_and_handled_again(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine, "a1", "cover-1")
    await set_alarm(cloud_engine, "a1", "returned_unacknowledged")
    await walk(cloud_engine, case, WORK, T0 + HOUR)
    await do(cloud_engine, case, Step.REOPEN, T0 + DAY)
    await walk(cloud_engine, case, WORK, T0 + DAY + HOUR)
    found = await numbers(cloud_engine)
    assert parts(found["on_time_handling_rate"]) == parts(found["on_time_closing_rate"]) == (2, 2)
    assert parts(found["rework_rate"]) == (1, 3)


async def test_the_clocks_that_people_turn_say_what_the_steps_say(cloud_engine: AsyncEngine) -> None:
    """The rounds are read from the steps alone; the rows of the clocks were written when the steps were taken."""
    reworked = await case_of(cloud_engine, "a1", "cover-1")
    await walk(cloud_engine, reworked, [*WORK, Step.CHECK, Step.FAIL], T0 + HOUR)
    await walk(cloud_engine, reworked, [*WORK, *CHECK[:1]], T0 + 5 * HOUR)
    held = await case_of(cloud_engine, "a2", "cover-2")
    await do(cloud_engine, held, Step.ASK_EXTENSION, T0 + HOUR)
    await do(cloud_engine, held, Step.GRANT_EXTENSION, T0 + HOUR)
    await walk(cloud_engine, held, WORK, T0 + 3 * HOUR)
    async with reading(cloud_engine) as conn:
        cases = [history async for history in histories(conn, MONTH.known(MADE))]
        rows = (await conn.execute(select(case_clocks).order_by(case_clocks.c.id))).mappings().all()
    written = [(row["clock"], row["start_ns"], row["stopped_ns"], row["deadline_ns"]) for row in rows]
    rounds = [each for history in cases for each in rounds_of(history, MADE).rounds]
    found = [(each.clock.value, each.start_ns, each.end_ns, each.deadline_ns) for each in rounds]
    assert sorted(found, key=str) == sorted(written, key=str)
    done = {(each.clock.value, each.start_ns, each.deadline_ns): each for each in rounds if each.is_done}
    for row in rows:
        if row["stopped_ns"] is not None:
            each = done[row["clock"], row["start_ns"], row["deadline_ns"]]
            assert (each.is_late, each.person) == (row["late"], row["charged"])
    assert {clock for clock, _, _ in done} == {"accept", "dispatch", "handle", "check"}
