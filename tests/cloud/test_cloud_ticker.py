"""What is due is done by one process at a time, once, and by the next one when that process has died."""

from typing import Any

from cloud_cases import CREW, DESK, all_rows, do, opened, walk
from cloud_records import T0, S
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.cases.desk import Desk
from cloud.cases.ticking import CaseTicker
from cloud.dispatch.duty import Duty
from cloud.feed import Feed
from cloud.relational.tables import case_steps, cases, deadlines, leases, notifications
from cloud.ticker import LEASE_S, Job, Ticker
from cloud.workflow.states import Step
from telemetry.clock import ManualClock

HOUR = 3600 * S


class InTurns(Duty):
    """Two people who are there one after the other."""

    def crew(self, department: str, district: str, now_ns: int) -> str:
        del department, district, now_ns
        return "li.wei"

    def next_person(self, department: str, district: str, now_ns: int, after: str) -> str:
        del department, district, now_ns
        return {"li.wei": "sun"}.get(after, "")


async def case_of(engine: AsyncEngine, desk: Desk = DESK) -> int:
    joined = await opened(engine, desk=desk)
    assert joined is not None
    number: int = joined.case["id"]
    return number


async def said(engine: AsyncEngine) -> list[str]:
    return [row["step"] for row in sorted(await all_rows(engine, notifications), key=lambda row: int(row["id"]))]


def ticker(engine: AsyncEngine, desk: Desk = DESK) -> CaseTicker:
    return CaseTicker(engine, desk, Feed(), lambda: None)


async def test_each_fraction_of_the_limit_is_told_once_in_its_time(cloud_engine: AsyncEngine) -> None:
    await case_of(cloud_engine)
    due = ticker(cloud_engine)
    told = []
    for minutes in (59, 60, 60, 96, 120, 121, 500):
        await due.tick(T0 + minutes * 60 * S)
        told.append((await said(cloud_engine))[-1])
    assert told == ["opened", "reminder", "reminder", "reminder", "escalated", "escalated", "escalated"]
    assert len(await said(cloud_engine)) == 5
    assert all(row["done_ns"] is not None for row in await all_rows(cloud_engine, deadlines))


async def test_after_a_long_silence_everything_that_came_due_is_told_in_order(cloud_engine: AsyncEngine) -> None:
    await case_of(cloud_engine)
    await ticker(cloud_engine).tick(T0 + 10 * HOUR)
    assert await said(cloud_engine) == ["opened", "reminder", "reminder", "overdue", "escalated"]


async def test_a_handling_that_is_over_is_due_for_nothing(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    await walk(cloud_engine, case, [Step.ASSIGN, Step.TAKE, Step.SUBMIT, Step.CONFIRM, Step.CHECK])
    before = await said(cloud_engine)
    await ticker(cloud_engine).tick(T0 + 10 * HOUR)
    assert await said(cloud_engine) == [*before, "overdue"]  # of the check: the handling is over


async def test_a_task_that_nobody_takes_goes_to_the_next_person_and_then_to_the_department(cloud_engine: AsyncEngine) -> None:
    desk = Desk(channels=[CREW], duty=InTurns())
    case = await case_of(cloud_engine, desk)
    due = ticker(cloud_engine, desk)
    await due.tick(T0 + 1799 * S)
    assert [row["assignee"] for row in await all_rows(cloud_engine, cases)] == ["li.wei"]
    await due.tick(T0 + 1800 * S)
    [row] = await all_rows(cloud_engine, cases)
    assert (row["assignee"], row["state"]) == ("sun", "handling")
    [*_, last] = await all_rows(cloud_engine, case_steps)
    assert (last["step"], last["actor"], last["assignee"], last["note"]) == ("assign", "system", "sun", "after li.wei: untaken")
    await due.tick(T0 + 3600 * S)
    assert [step for step in await said(cloud_engine) if step != "reminder"][1:] == ["unread", "untaken", "unread", "untaken"]
    assert [row["assignee"] for row in await all_rows(cloud_engine, cases)] == ["sun"]
    await do(cloud_engine, case, Step.TAKE, T0 + 3700 * S, desk=desk, actor="sun")
    await due.tick(T0 + 7000 * S)
    assert (await said(cloud_engine)).count("untaken") == 2


async def test_a_task_that_was_taken_stays(cloud_engine: AsyncEngine) -> None:
    desk = Desk(channels=[CREW], duty=InTurns())
    case = await case_of(cloud_engine, desk)
    await do(cloud_engine, case, Step.TAKE, T0 + 60 * S, desk=desk)
    await ticker(cloud_engine, desk).tick(T0 + 3000 * S)
    assert [row["assignee"] for row in await all_rows(cloud_engine, cases)] == ["li.wei"]


async def test_a_hold_ends_on_its_date_by_itself(cloud_engine: AsyncEngine) -> None:
    case = await case_of(cloud_engine)
    for step in (Step.ASK_HOLD, Step.GRANT_HOLD):
        await do(cloud_engine, case, step, T0 + HOUR, until_ns=T0 + 100 * HOUR)
    due = ticker(cloud_engine)
    await due.tick(T0 + 100 * HOUR - S)
    assert [row["state"] for row in await all_rows(cloud_engine, cases)] == ["hold"]
    await due.tick(T0 + 100 * HOUR)
    [row] = await all_rows(cloud_engine, cases)
    assert (row["state"], row["due_ns"], row["hold_until_ns"]) == ("dispatched", T0 + 101 * HOUR, None)


class Done:
    """A job that notes when it ran."""

    def __init__(self) -> None:
        self.at_ns: list[int] = []

    async def __call__(self, now_ns: int) -> None:
        self.at_ns.append(now_ns)


async def test_only_one_of_two_processes_works_and_the_other_follows_when_it_dies(cloud_engine: AsyncEngine) -> None:
    clock = ManualClock(T0)
    first, second = Done(), Done()
    one = Ticker(cloud_engine, clock, [Job("cases", 1.0, first)])
    two = Ticker(cloud_engine, clock, [Job("cases", 1.0, second)])
    for _ in range(3):
        await one.turn()
        await two.turn()
        clock.advance(1)
    assert (len(first.at_ns), len(second.at_ns), one.leading, two.leading) == (3, 0, True, False)
    clock.advance(LEASE_S)  # the first one is dead
    await two.turn()
    await one.turn()
    assert (len(first.at_ns), len(second.at_ns), one.leading, two.leading) == (3, 1, False, True)
    assert len(await all_rows(cloud_engine, leases)) == 1


async def test_a_job_runs_as_often_as_it_says(cloud_engine: AsyncEngine) -> None:
    clock, often, seldom = ManualClock(T0), Done(), Done()
    both = Ticker(cloud_engine, clock, [Job("often", 1.0, often), Job("seldom", 5.0, seldom)])
    for _ in range(10):
        await both.turn()
        clock.advance(1)
    assert (len(often.at_ns), len(seldom.at_ns)) == (10, 2)


async def test_a_store_that_does_not_answer_is_asked_again(cloud_engine: AsyncEngine) -> None:
    clock = ManualClock(T0)
    answers: list[Any] = [OperationalError("x", {}, Exception("gone")), None]

    async def run(_: int) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    due = Ticker(cloud_engine, clock, [Job("cases", 1.0, run)])
    await due.turn()
    clock.advance(1)
    await due.turn()
    assert (due.failures, answers) == (1, [])
