"""A district loses its power, and three thousand lamps fall silent: that is one thing to do, not three thousand."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from story_city import City, Town, clock_time, instant, table

from cloud.cases.desk import Matters
from cloud.watch.config import load_watch
from cloud.watch.names import FEEDER
from cloud.workflow.states import Step
from device_profiles.shelf import load_catalog

FEEDERS = """
[[suppress]]
kind = "feeder"
name = "east-district"
kinds = ["lamp_single"]
rules = ["controller_silent"]
share = 0.6
within_s = 600
until_share = 0.1
settle_s = 600
priority = "high"
matter = "lamp_loop_out"
"""
LAMPS = [f"lamp-{n:04}" for n in range(3000)]
DARK = LAMPS[::75]
"""Forty controllers that the surge has killed."""
TURNS = 5
"""The gateway hears every lamp within five minutes, a fifth of them in each."""


async def lit(city: City, lamps: Sequence[str]) -> None:
    """Each of these lamps is heard within the next five minutes."""
    for turn in range(TURNS):
        steps = [step for lamp in lamps[turn::TURNS] for step in city.heard(lamp, lamp_failure=False, voltage_v=228.0)]
        await city.take_up(steps)
        await city.later(60)


@pytest.mark.parametrize("town", ["sqlite"], indirect=True)  # three thousand lamps take their time
async def test_a_districts_power_cut_is_one_case_and_those_that_stay_dark_have_their_own(town: Town, tmp_path: Path) -> None:
    (tmp_path / "watch.toml").write_text(FEEDERS)
    rules = load_watch(tmp_path / "watch.toml", load_catalog(), Matters().codes(instant("2026-10-20 19:00")))
    async with town("2026-10-20 19:55", watch=rules) as city:
        await city.install("lamp_single_lwm2m", *LAMPS, place=(111.05, 35.05))
        await lit(city, LAMPS)

        # At eight the power goes. Two hours after its last word each controller counts as silent.
        await city.until("2026-10-20 21:55")
        for turn in range(TURNS):
            await city.take_up(city.silent(LAMPS[turn::TURNS]))
            await city.later(60)

        # As soon as most of the lamps are silent, it is the feeder's case; the first ones waited for that.
        case = await city.the_case()
        number = case["id"]
        assert (case["device"], case["matter"], case["priority"]) == ("east-district", "lamp_loop_out", "high")
        assert (case["department"], clock_time(case["opened_ns"])) == ("路灯管理所", "10-20 21:57")
        [feeder] = await city.alarms_of(number)
        assert (feeder["rule"], feeder["evidence"]["members"]) == (FEEDER, 3000)
        # All of them are its children, by name.
        assert await city.children_of(feeder["id"]) == LAMPS
        assert await city.told() == table("10-20 21:57 | he.ping | opened")
        assert len(await city.deliver()) == 1

        # li.wei is called from home and finds the transformer without supply.
        await city.until("2026-10-20 22:05")
        await city.does("he.ping", Step.ASSIGN, number, assignee="li.wei")
        await city.does("li.wei", Step.TAKE, number)
        await city.until("2026-10-20 22:50")
        await city.does("li.wei", Step.SUBMIT, number, note="grid company switched over", photo="the street is lit")
        await city.does("he.ping", Step.CONFIRM, number, note="lit")
        assert (await city.case(number))["state"] == "feedback"

        # The power is back, and lamp by lamp is heard again, but for forty.
        await city.until("2026-10-20 22:51")
        await lit(city, [lamp for lamp in LAMPS if lamp not in DARK])
        case = await city.case(number)
        assert (case["state"], case["overdue"], clock_time(case["closed_ns"])) == ("closed", False, "10-20 22:56")

        # Ten minutes are given to those that start slowly; who is silent then has a case of their own.
        await city.until("2026-10-20 23:05")
        assert len(await city.cases()) == 1
        for minute in range(6, 9):
            await city.until(f"2026-10-20 23:0{minute}")
        own = (await city.cases())[1:]
        assert [row["device"] for row in own] == DARK
        assert {(row["matter"], row["department"], row["assignee"]) for row in own} == {
            ("sensing_fault", "物联网设备运维单位", "xu.tao")
        }
        assert await city.children_of(feeder["id"]) == []

        # xu.tao hears of forty cases in six messages: five of them, and one that stands for the rest.
        reached = [title for who, title in await city.deliver() if who == "xu.tao"]
        assert len(reached) == 6
        assert "35 条消息合并为一条" in reached[-1]

        # And the first of them to its end: a new controller, heard again.
        await city.until("2026-10-21 10:00")
        await city.does("xu.tao", Step.TAKE, own[0]["id"])
        await city.says(DARK[0], lamp_failure=False, voltage_v=230.0)
        await city.does("xu.tao", Step.SUBMIT, own[0]["id"], note="new controller", photo="the controller")
        await city.does("bai.xue", Step.CONFIRM, own[0]["id"], note="good")

        # Two days later the month has one cut, handled in time; of the forty the three working days are not over.
        await city.until("2026-10-22 08:00")
        numbers = await city.numbers("2026-10")
        assert numbers["device_report_rate"] == (41, 41)
        assert numbers["on_time_handling_rate"] == numbers["on_time_closing_rate"] == (1, 1)
        assert numbers["device_closing_rate"] == (2, 2)
