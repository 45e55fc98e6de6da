"""Readings that wait for their turn, on the way through the desk: on disk, over a restart, and when nothing more comes."""

from pathlib import Path

from edge_agent_parts import profile, rule
from test_edge_agent_time_desk import NOW, Rig

from device_profiles.model import Above, Reporting
from edge_agent.heard import Verdict
from telemetry.clock import SECOND_NS
from telemetry.records import Cause

LATE = profile(
    rule("high", Above(metric="level", limit=100)),
    reporting=Reporting(interval_s=60, lateness_s=60, on_change=True, heartbeat_s=3600, deadband={"level": 500}),
)


def seconds(after: float) -> int:
    return NOW + round(after * SECOND_NS)


async def test_a_reading_that_waits_is_on_disk_though_it_is_not_sent(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 0, True, LATE)
    async with rig.running() as it:
        await it.say(50.0, told_ns=seconds(-100))
        assert await it.say(120.0, told_ns=seconds(-90)) is Verdict.HELD_BACK
        assert it.transitions == []
    async with rig.running("boot-2") as it:
        await it.say(50.0, told_ns=seconds(0))
        assert [(step.cause, step.event_time_ns) for step, _ in it.transitions] == [(Cause.RAISE, seconds(-90))]


async def test_an_alarm_of_a_device_that_says_nothing_more_is_raised_when_its_lateness_is_over(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 0, True, LATE)
    async with rig.running() as it:
        await it.say(120.0, told_ns=seconds(-1))
        await it.wait(59)
        assert it.desk.counts.transitions == 0
        await it.wait(2)
        await it.wait(100)
        assert it.desk.counts.transitions == 1
    assert [(step.cause, step.event_time_ns) for step, _ in rig.transitions] == [(Cause.RAISE, seconds(-1))]
