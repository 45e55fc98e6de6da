"""The bytes behind a reading: what proves an alarm, what a watched device sends on, and that nothing of it grows."""

from pathlib import Path

import pytest
from edge_agent_parts import at, profile, rule
from msgspec.structs import replace
from test_edge_agent_time_desk import NOW, Rig

from device_profiles.model import Above, Reporting
from edge_agent.config import DeviceConfig
from edge_agent.frames import FrameRings
from edge_agent.heard import Heard, Verdict
from firmware_bridge.values import Decoded
from telemetry.clock import SECOND_NS
from telemetry.raw_frames import RawFrame, read_frames
from telemetry.records import Cause, Reading, Value

HIGH = profile(rule("high", Above(metric="level", limit=100)))
QUIET = profile(
    rule("high", Above(metric="level", limit=100)),
    reporting=Reporting(interval_s=60, on_change=True, heartbeat_s=3600, deadband={"level": 500}),
)
LATE = profile(rule("high", Above(metric="level", limit=100)), reporting=Reporting(interval_s=60, lateness_s=60))


def frame(number: int, size: int = 4) -> RawFrame:
    return RawFrame("jt808", number.to_bytes(size, "big"))


def heard(level: Value, *frames: RawFrame, rig: Rig, told_ns: int | None = None, device: str = "d1") -> Heard:
    return Heard(
        device=device,
        profile=rig.profile,
        received_ns=rig.keeper.wall_ns(),
        decoded=Decoded(values={"level": level}, time_ns=told_ns),
        frames=frames,
        source="192.0.2.7:5000",
    )


def frames_of(rig: Rig) -> list[Reading]:
    return [reading for reading, _ in rig.readings if "raw_frame" in reading.values]


async def test_an_alarm_is_proved_by_the_frame_that_raised_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 0, True, HIGH)
    async with rig.running() as it:
        await it.desk.accept(heard(50.0, frame(1), rig=it))
        await it.wait(1)
        await it.desk.accept(heard(120.0, frame(2), rig=it))
        await it.wait(1)
        await it.desk.accept(heard(60.0, frame(3), rig=it))
    raised, returned = (step for step, _ in rig.transitions)
    assert (raised.cause, returned.cause) == (Cause.RAISE, Cause.RETURN)
    assert read_frames("frame", raised.evidence) == [frame(2)]
    assert raised.evidence["level"] == 120.0
    assert raised.evidence["frame.source"] == "192.0.2.7:5000"
    assert raised.evidence["frame.received_ns"] == NOW + SECOND_NS
    assert returned.evidence == {"level": 60.0, "limit": 100}, "what returns needs no proof"
    assert frames_of(rig) == [], "nobody looks into this device"


async def test_a_reading_that_waited_for_older_ones_is_proved_by_its_own_frame(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 0, True, LATE)
    async with rig.running() as it:
        await it.desk.accept(heard(120.0, frame(1), rig=it, told_ns=NOW - 10 * SECOND_NS))
        await it.desk.accept(heard(50.0, frame(2), rig=it, told_ns=NOW + 100 * SECOND_NS))
    raised = rig.transitions[0][0]
    assert (raised.cause, raised.event_time_ns) == (Cause.RAISE, NOW - 10 * SECOND_NS)
    assert read_frames("frame", raised.evidence) == [frame(1)]


async def test_an_alarm_of_a_driver_that_sees_no_bytes_has_no_frame(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 0, True, HIGH)
    async with rig.running() as it:
        await it.desk.accept(heard(120.0, rig=it))
    assert rig.transitions[0][0].evidence == {"level": 120.0, "limit": 100}


async def test_a_watched_device_sends_every_frame_as_a_record_of_its_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 0, True, QUIET)
    async with rig.running() as it:
        it.desk.enrol([DeviceConfig(id="d1", profile="probe", address="d1", frames=True)])
        told = NOW - 5 * SECOND_NS
        assert await it.desk.accept(heard(50.0, frame(1), frame(2), rig=it, told_ns=told)) is Verdict.COMMITTED
        assert await it.desk.accept(heard(51.0, frame(3), rig=it)) is Verdict.HELD_BACK
        assert await it.desk.accept(heard(50.0, frame(4), rig=it, device="d2")) is Verdict.COMMITTED
        assert await it.desk.snapshot() == 2
        counts = it.desk.counts
    assert [(each.time_ns, read_frames("raw_frame", each.values)) for each in frames_of(rig)] == [
        (told, [frame(1), frame(2)]),
        (NOW, [frame(3)]),
    ]
    assert (counts.heard, counts.committed, counts.held_back) == (3, 2, 1), "a frame's record is no reading"
    values = [reading.values for reading, _ in rig.readings if "raw_frame" not in reading.values]
    assert values == [{"level": 50.0}] * 4, "two, and the snapshot of both: frames are not said again"


@pytest.mark.parametrize(("sizes", "left_out"), [([3000, 3000], 0), ([5000], 5000)])
def test_a_ring_holds_no_more_than_its_bytes(sizes: list[int], left_out: int) -> None:
    rings = FrameRings()
    for number, size in enumerate(sizes):
        said = Heard(device="d1", profile=HIGH, received_ns=at(number), decoded=Decoded(values={}), frames=(frame(number, size),))
        rings.keep(said, at(number))
    assert rings.counts.bytes <= 4096
    assert rings.counts.left_out == left_out


def test_all_rings_together_are_bounded_and_who_was_silent_longest_makes_room() -> None:
    rings = FrameRings(device_bytes=1000, all_bytes=2500)
    said = Heard(device="d1", profile=HIGH, received_ns=at(0), decoded=Decoded(values={}), frames=(frame(1, 800),))
    for device in ("d1", "d2", "d3"):
        rings.keep(replace(said, device=device), at(0))
    assert (rings.counts.devices, rings.counts.bytes) == (2, 2 * 864)
    rings.keep(replace(said, device="d2"), at(1))
    rings.keep(replace(said, device="d4"), at(1))
    assert rings.counts.bytes == 2 * 864


async def test_a_transition_has_two_kib_of_hex_at_most_and_says_what_is_missing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 0, True, HIGH)
    async with rig.running() as it:
        await it.desk.accept(heard(120.0, frame(1, 2000), rig=it))
        left_out = it.desk.frames.counts.left_out
    evidence = rig.transitions[0][0].evidence
    (cut,) = read_frames("frame", evidence)
    assert len(cut.raw) + cut.left_out == 2000
    assert left_out == cut.left_out > 0
    assert sum(len(value) for name, value in evidence.items() if name in {"frame", "frame.2"} and isinstance(value, str)) <= 2048
