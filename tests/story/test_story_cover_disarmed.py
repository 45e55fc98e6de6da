"""A crew disarms a cover for its work and forgets to close it: at the end of its window the cover is armed again, by itself."""

import pytest
from sqlalchemy import select
from story_city import City, Town, clock_time, instant, table

from cloud.alarms.maintenance import disarm, window_of
from cloud.cases.draft import CaseError
from cloud.relational.engine import reading
from cloud.relational.tables import transitions
from cloud.workflow.states import Step

PLACE = (111.02, 35.03)


async def opened_for_work(city: City) -> None:
    """At two in the afternoon chen.jie says that cover-7 will be open until five, and opens it."""
    await city.install("cover_nbiot", "cover-7", place=PLACE)
    until_ns, why = instant("2026-10-20 17:00"), "cable works"
    await city.act(
        lambda conn: disarm(conn, city.catalog, "cover-7", until_ns=until_ns, actor="chen.jie", reason=why, now_ns=city.now_ns)
    )
    await city.until("2026-10-20 14:10")
    await city.says("cover-7", cover_open=True, cover_moved=True, tilt_deg=80.0, water_level_cm=20.0)


async def is_armed(city: City) -> bool:
    async with reading(city.engine) as conn:
        return await window_of(conn, "cover-7") is None


async def test_a_cover_that_is_forgotten_open_alarms_at_the_end_of_its_window(town: Town) -> None:
    async with town("2026-10-20 14:00") as city:
        await opened_for_work(city)

        # Its opening is logged, and nobody is called.
        assert not await is_armed(city)
        await city.until("2026-10-20 16:59")
        assert (await city.cases(), await city.told()) == ([], [])

        # At five the window is over, and the cover still open.
        await city.until("2026-10-20 17:00")
        assert await is_armed(city)
        case = await city.the_case()
        number = case["id"]
        assert [alarm["rule"] for alarm in await city.alarms_of(number)] == ["cover_opened", "cover_tilted"]
        assert (case["priority"], case["assignee"]) == ("critical", "chen.jie")
        # The limit counts from when somebody could know, not from when the crew opened it.
        assert (clock_time(case["opened_ns"]), clock_time(case["due_ns"])) == ("10-20 17:00", "10-20 19:00")

        # Nobody can close the case on paper while the cover says that it is open.
        await city.until("2026-10-20 17:03")
        await city.does("chen.jie", Step.TAKE, number)
        await city.until("2026-10-20 17:20")
        await city.does("chen.jie", Step.SUBMIT, number, note="closed, I think", photo="a cover")
        await city.until("2026-10-20 17:25")
        await city.does("pan.wei", Step.CONFIRM, number, note="good")
        assert (await city.case(number))["state"] == "feedback"
        with pytest.raises(CaseError, match="the device says that the fault is gone"):
            await city.does("ma.chao", Step.PASS, number, standard="done")

        # Then it is closed in fact, and says so: that is all that was missing.
        await city.until("2026-10-20 17:40")
        await city.says("cover-7", cover_open=False, cover_moved=False, tilt_deg=1.0)
        case = await city.case(number)
        assert (case["state"], case["overdue"], clock_time(case["closed_ns"])) == ("closed", False, "10-20 17:40")
        assert await city.told() == table("""
            10-20 17:00 | chen.jie | opened
            10-20 17:20 | pan.wei  | submit
            10-20 17:25 | ma.chao  | confirm
            10-20 17:40 | pan.wei  | pass
        """)

        await city.until("2026-11-02 08:00")
        numbers = await city.numbers("2026-10")
        assert numbers["on_time_handling_rate"] == numbers["device_closing_rate"] == (1, 1)
        assert numbers["against_device_rate"] == (0, 1)


async def test_a_cover_that_is_closed_in_time_arms_itself_and_is_nobodys_case(town: Town) -> None:
    async with town("2026-10-20 14:00") as city:
        await opened_for_work(city)
        await city.until("2026-10-20 15:30")
        await city.says("cover-7", cover_open=False, cover_moved=False, tilt_deg=1.0)
        assert await is_armed(city)
        await city.until("2026-10-21 08:00")
        assert (await city.cases(), await city.told()) == ([], [])

        # Whoever opens it in the evening is nobody's crew.
        await city.says("cover-7", cover_open=True)
        assert (await city.the_case())["priority"] == "critical"


async def test_water_in_the_well_calls_the_crew_out_though_the_cover_is_disarmed(town: Town) -> None:
    async with town("2026-10-20 14:00") as city:
        await opened_for_work(city)
        await city.says("cover-7", water_level_cm=190.0)
        assert [case["matter"] for case in await city.cases()] == ["drain_overflow"]
        async with reading(city.engine) as conn:
            logged = set(await conn.scalars(select(transitions.c.rule).where(transitions.c.cause == "raise")))
        assert logged == {"cover_opened", "cover_tilted", "well_flooded"}
