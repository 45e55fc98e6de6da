"""A toilet's ammonia wavers round its limit: what a rule's delay and deadband are for."""

import random

import msgspec
from story_city import MINUTE_NS, City, Town, clock_time, table

from cloud.health.measure import alarm_health
from cloud.health.report import HealthReport
from cloud.workflow.states import Step
from device_profiles.model import Above, Profile

PLACE = (111.03, 35.04)


def nervous(profile: Profile) -> Profile:
    """The profile as somebody in a hurry writes it: ammonia without delay and without deadband."""
    rule = profile.alarms["ammonia_high"]
    assert isinstance(rule.when, Above)
    bare = msgspec.structs.replace(rule, when=Above(metric="nh3_ppm", limit=rule.when.limit), on_delay_s=0.0, off_delay_s=0.0)
    return msgspec.structs.replace(profile, name="toilet_nervous", alarms={**profile.alarms, "ammonia_high": bare})


async def waver(city: City, name: str, minutes: int) -> None:
    """Every ten seconds a reading, from 1.1 to 1.9 ppm at random, round the limit of 1.5."""
    chance = random.Random(4)  # noqa: S311 - chance that can be repeated
    for _ in range(minutes):
        for _ in range(6):
            city.clock.advance(10)
            await city.says(name, nh3_ppm=round(chance.uniform(1.1, 1.9), 2))
        await city.later(0)


async def health(city: City) -> HealthReport:
    return await alarm_health(city.engine, city.catalog, now_ns=city.now_ns)


async def test_half_an_hour_of_wavering_is_one_occurrence_in_one_case(town: Town) -> None:
    async with town("2026-10-20 09:00") as city:
        await city.install("toilet_air_modbus", "toilet-1", place=PLACE)
        await waver(city, "toilet-1", minutes=30)

        case = await city.the_case()
        number = case["id"]
        [alarm] = await city.alarms_of(number)
        # It bears the name of the moment when the smell began, and was told when that had lasted for five minutes.
        began_ns = int(alarm["id"].rpartition("/")[2])
        assert (alarm["raises"], clock_time(began_ns), clock_time(case["opened_ns"])) == (1, "10-20 09:01", "10-20 09:06")
        assert alarm["raised_ns"] - began_ns == 5 * MINUTE_NS
        # One working day: eight hours of work, to the minute.
        assert (case["department"], case["assignee"], clock_time(case["due_ns"])) == ("环卫作业单位", "wu.gang", "10-21 09:06")

        # The crew cleans and airs; the smell is below the deadband for five minutes, and the work is confirmed.
        await city.until("2026-10-20 10:20")
        await city.does("wu.gang", Step.TAKE, number)
        for _ in range(7):
            await city.later(60)
            await city.says("toilet-1", nh3_ppm=0.4)
        await city.does("wu.gang", Step.SUBMIT, number, note="flushed, fan cleaned", photo="the urinals")
        await city.until("2026-10-20 10:40")
        await city.does("dong.mei", Step.CONFIRM, number, note="good")
        assert (await city.case(number))["state"] == "closed"
        assert await city.told() == table("""
            10-20 09:06 | wu.gang  | opened
            10-20 10:27 | dong.mei | submit
            10-20 10:40 | dong.mei | pass
        """)
        assert (await health(city)).chattering == ()

        await city.until("2026-11-02 08:00")
        numbers = await city.numbers("2026-10")
        assert numbers["on_time_closing_rate"] == numbers["device_closing_rate"] == (1, 1)
        assert numbers["joined_report_rate"] == (0, 1)


async def test_a_rule_without_delay_and_deadband_is_one_case_all_the_same_and_shows_as_chattering(town: Town) -> None:
    async with town("2026-10-20 09:00") as city:
        bad = nervous(city.catalog["toilet_air_modbus"])
        city.catalog[bad.name] = bad
        await city.install(bad.name, "toilet-2", place=PLACE)
        await waver(city, "toilet-2", minutes=20)

        number = (await city.the_case())["id"]
        occurrences = await city.alarms_of(number)
        assert len(occurrences) > 20
        # One case, one message: what joins an open case calls nobody again.
        assert await city.told() == table("10-20 09:01 | wu.gang | opened")
        joined = [step for step in await city.steps(number) if step[2] == "join"]
        assert len(joined) == len(occurrences) - 1

        found = await health(city)
        assert [each.alarm for each in found.chattering] == ["toilet-2/ammonia_high"]
        figures = {figure.name: figure for figure in found.figures}
        assert figures["chattering"].value == 1
        assert figures["chattering"].verdict == "beyond"
        assert figures["annunciated"].value == len([each for each in occurrences if each["raised_ns"] < found.end_ns])
        [top, *_] = found.top
        assert (top.alarm, top.share_pct) == ("toilet-2/ammonia_high", 100)
        numbers = await city.numbers("2026-10")
        assert numbers["joined_report_rate"] == (len(joined), len(occurrences))
