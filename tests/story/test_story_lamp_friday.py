"""A lamp goes out on a Friday evening, when nobody repairs lamps: the limit of two working days knows that."""

import pytest
from story_city import Town, clock_time, instant, table

from cloud.workflow.states import Step

PLACE = (111.01, 35.02)


async def test_a_lamp_out_on_friday_evening_is_done_on_tuesday_and_another_lamp_too_late(town: Town) -> None:
    async with town("2026-10-16 19:30") as city:
        await city.install("lamp_single_lwm2m", "lamp-1", "lamp-2", place=PLACE)

        await city.says("lamp-1", lamp_failure=True)
        first = (await city.the_case())["id"]
        # The same fault of the next lamp is another case: one for each device and matter.
        await city.until("2026-10-16 19:45")
        await city.says("lamp-2", lamp_failure=True)
        [_, other] = await city.cases()
        second = other["id"]
        # What its controller says again is no new one.
        await city.says("lamp-2", lamp_failure=True)
        assert len(await city.cases()) == 2

        # The two working days begin on Monday at eight and are over on Tuesday at six.
        for number in (first, second):
            assert clock_time((await city.case(number))["due_ns"]) == "10-20 18:00"
        # Nobody is on duty until Monday, so the cases wait for the department, which knows of them since Friday.
        assert {row["state"] for row in await city.cases()} == {"dispatched"}

        await city.until("2026-10-19 08:10")
        for number in (first, second):
            await city.does("he.ping", Step.ASSIGN, number, assignee="li.wei")

        await city.until("2026-10-20 09:20")
        await city.does("li.wei", Step.TAKE, first)
        await city.does("li.wei", Step.ARRIVE, first, position=PLACE)
        await city.until("2026-10-20 10:00")
        await city.says("lamp-1", lamp_failure=False)
        await city.does("li.wei", Step.SUBMIT, first, note="new driver", photo="the lamp is lit")
        await city.does("he.ping", Step.CONFIRM, first, note="lit")

        # The second lamp is forgotten until Wednesday morning.
        await city.until("2026-10-21 09:00")
        await city.does("li.wei", Step.TAKE, second)
        await city.says("lamp-2", lamp_failure=False)
        await city.does("li.wei", Step.SUBMIT, second, note="fuse in the pole", photo="the lamp is lit")
        await city.does("he.ping", Step.CONFIRM, second, note="lit")

        assert [(row["state"], row["overdue"]) for row in await city.cases()] == [("closed", False), ("closed", True)]
        assert [(await city.clock_of(number, "handle"))["late"] for number in (first, second)] == [False, True]
        assert await city.told(first) == table("""
            10-16 19:30 | he.ping  | opened
            10-19 08:10 | li.wei   | assign
            10-19 18:00 | he.ping  | reminder
            10-19 18:00 | li.wei   | reminder
            10-20 10:00 | he.ping  | submit
            10-20 10:00 | he.ping  | pass
        """)
        assert await city.told(second) == table("""
            10-16 19:45 | he.ping  | opened
            10-19 08:10 | li.wei   | assign
            10-19 18:00 | he.ping  | reminder
            10-19 18:00 | li.wei   | reminder
            10-20 14:48 | he.ping  | reminder
            10-20 14:48 | li.wei   | reminder
            10-20 18:00 | he.ping  | overdue
            10-20 18:00 | li.wei   | overdue
            10-20 18:00 | sun.li   | overdue
            10-20 18:00 | sun.li   | escalated
            10-20 18:00 | zhao.min | escalated
            10-21 09:00 | he.ping  | submit
            10-21 09:00 | he.ping  | pass
        """)

        await city.until("2026-11-02 08:00")
        numbers = await city.numbers("2026-10")
        assert numbers["handling_rate"] == numbers["closing_rate"] == (2, 2)
        assert numbers["on_time_handling_rate"] == numbers["late_handling_rate"] == (1, 2)
        assert numbers["overdue_number"] == (1, None)
        assert numbers["device_closing_rate"] == (2, 2)


async def test_a_lamp_that_waits_for_a_part_is_on_hold_and_its_clock_waits_with_it(town: Town) -> None:
    async with town("2026-10-16 19:30") as city:
        await city.install("lamp_single_lwm2m", "lamp-1", place=PLACE)
        await city.says("lamp-1", gear_failure=True, gear_link_lost=False)
        number = (await city.the_case())["id"]

        # Two hours of Monday have run when the department asks, and somebody else grants, two days for the part.
        await city.until("2026-10-19 10:00")
        part = {"until_ns": instant("2026-10-21 10:00")}
        await city.does("he.ping", Step.ASK_HOLD, number, reason="the driver is ordered", **part)
        await city.does("sun.li", Step.GRANT_HOLD, number, note="granted", **part)
        assert ((await city.case(number))["state"], (await city.case(number))["due_ns"]) == ("hold", None)

        # On the day the hold ends by itself, and the fourteen hours that were left begin: Wednesday's six and Thursday's eight.
        await city.until("2026-10-21 10:00")
        case = await city.case(number)
        assert (case["state"], clock_time(case["due_ns"])) == ("dispatched", "10-22 18:00")
        await city.does("he.ping", Step.ASSIGN, number, assignee="li.wei")
        await city.does("li.wei", Step.TAKE, number)
        await city.until("2026-10-22 15:00")
        await city.says("lamp-1", gear_failure=False, gear_link_lost=False)
        await city.does("li.wei", Step.SUBMIT, number, note="new driver", photo="the lamp is lit")
        await city.does("he.ping", Step.CONFIRM, number, note="lit")

        handling = await city.clock_of(number, "handle")
        assert (handling["late"], [[clock_time(at_ns) for at_ns in hold] for hold in handling["holds"]]) == (
            False,
            [["10-19 10:00", "10-21 10:00"]],
        )
        # While it waits nobody is reminded of anything; half of the limit is over on Wednesday evening.
        assert await city.told() == table("""
            10-16 19:30 | he.ping  | opened
            10-19 10:00 | he.ping  | grant_hold
            10-19 10:00 | sun.li   | ask_hold
            10-21 10:00 | he.ping  | hold_over
            10-21 10:00 | li.wei   | assign
            10-21 10:00 | sun.li   | hold_over
            10-21 18:00 | he.ping  | reminder
            10-21 18:00 | li.wei   | reminder
            10-22 14:48 | he.ping  | reminder
            10-22 14:48 | li.wei   | reminder
            10-22 15:00 | he.ping  | submit
            10-22 15:00 | he.ping  | pass
        """)
        await city.until("2026-11-02 08:00")
        numbers = await city.numbers("2026-10")
        assert (numbers["hold_rate"], numbers["on_time_handling_rate"]) == ((1, 1), (1, 1))


@pytest.mark.parametrize("town", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("friday", "over"),
    [
        pytest.param("2026-10-16", "10-20 18:00", id="a common weekend: until Tuesday evening"),
        pytest.param("2026-10-09", "10-12 18:00", id="the Saturday after National Day is worked (调休): until Monday evening"),
        pytest.param("2026-09-25", "09-29 18:00", id="Friday itself is a holiday (中秋): until Tuesday evening"),
        pytest.param("2026-09-30", "10-09 18:00", id="the evening before National Day: until the second day after the holidays"),
    ],
)
async def test_two_working_days_are_those_of_the_calendar(town: Town, friday: str, over: str) -> None:
    async with town(f"{friday} 19:30") as city:
        await city.install("lamp_single_lwm2m", "lamp-1")
        await city.says("lamp-1", lamp_failure=True)
        assert clock_time((await city.the_case())["due_ns"]) == over
