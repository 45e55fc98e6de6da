"""A manhole cover is stolen at ten past two in the night of National Day, and the first who should go does not answer."""

from story_city import MINUTE_NS, Town, clock_time, table

from cloud.workflow.states import Step

PLACE = (111.02, 35.03)


async def test_a_cover_stolen_on_a_holiday_night_is_back_in_time_and_closes_its_case_by_itself(town: Town) -> None:
    async with town("2026-10-01 02:00") as city:
        await city.install("cover_nbiot", "cover-7", place=PLACE)

        await city.until("2026-10-01 02:10")
        await city.says("cover-7", cover_open=True, cover_moved=True, tilt_deg=62.0)
        case = await city.the_case()
        number = case["id"]

        # One problem at one place: the cover is open and tilted, and that is one case with two alarms.
        assert [alarm["rule"] for alarm in await city.alarms_of(number)] == ["cover_opened", "cover_tilted"]
        assert (case["department"], case["district"], case["gbt_code"]) == ("市政设施养护单位", "140802", "0103")
        # Two urgent hours: they run through the night and the holiday.
        assert clock_time(case["due_ns"]) == "10-01 04:10"

        # Nobody takes it; at last the second on duty does, drives there and puts the cover back.
        await city.until("2026-10-01 02:45")
        await city.does("liu.yang", Step.TAKE, number)
        await city.until("2026-10-01 02:55")
        await city.does("liu.yang", Step.ARRIVE, number, position=PLACE)
        await city.until("2026-10-01 03:20")
        await city.says("cover-7", cover_open=False, cover_moved=False, tilt_deg=1.0)
        await city.until("2026-10-01 03:25")
        await city.does("liu.yang", Step.SUBMIT, number, note="new cover, locked", photo="the cover in its frame")
        await city.until("2026-10-01 03:35")
        await city.does("pan.wei", Step.CONFIRM, number, note="seen on the photo")

        assert await city.steps(number) == table("""
            10-01 02:10 | system   | report
            10-01 02:10 | system   | file
            10-01 02:10 | system   | dispatch
            10-01 02:10 | system   | assign
            10-01 02:10 | system   | join
            10-01 02:20 | system   | assign
            10-01 02:45 | liu.yang | take
            10-01 02:55 | liu.yang | arrive
            10-01 03:25 | liu.yang | submit
            10-01 03:35 | pan.wei  | confirm
            10-01 03:35 | system   | pass
        """)
        case = await city.case(number)
        assert (case["state"], case["overdue"], case["closing_standard"]) == ("closed", False, "设备报告井盖已闭合、位置复原")
        handling = await city.clock_of(number, "handle")
        assert (handling["kind"], handling["late"], clock_time(handling["stopped_ns"])) == ("urgent_hours", False, "10-01 03:35")

        # Who was told, and when: each waits its turn, and once somebody has taken the task nobody is called any more.
        await city.until("2026-10-02 02:10")
        assert await city.told() == table("""
            10-01 02:10 | chen.jie | opened
            10-01 02:15 | chen.jie | unread
            10-01 02:20 | chen.jie | untaken
            10-01 02:20 | liu.yang | untaken
            10-01 02:25 | liu.yang | unread
            10-01 02:30 | pan.wei  | untaken
            10-01 02:30 | sun.li   | untaken
            10-01 02:40 | sun.li   | unheard
            10-01 02:40 | zhao.min | unheard
            10-01 03:10 | liu.yang | reminder
            10-01 03:10 | pan.wei  | reminder
            10-01 03:25 | pan.wei  | submit
            10-01 03:35 | pan.wei  | pass
        """)

        numbers = await city.numbers("2026-10")
        assert numbers["on_time_handling_rate"] == numbers["on_time_closing_rate"] == (1, 1)
        assert numbers["on_time_filing_rate"] == numbers["on_time_dispatching_rate"] == (1, 1)
        assert numbers["device_report_rate"] == numbers["device_closing_rate"] == (1, 1)
        assert numbers["overdue_number"] == (0, None)
        # The clock ran from the dispatch to the department's word: 1 h 25 min.
        assert numbers["mean_handling_time"] == (85 * MINUTE_NS, 1)
