"""The small parts that devices are made of."""

import asyncio
import math
from pathlib import Path

import pytest

import simulators
from simulators.actions import ACTIONS
from simulators.deeds import GENERAL, How, Kind
from simulators.devices.memory import Memory
from simulators.devices.vehicle.bodies import Answer, authenticate_body, batch_body, read_answer, register_body
from simulators.route import Route


def test_a_full_memory_gives_up_the_oldest_routine_report_before_any_event() -> None:
    memory: Memory[str] = Memory(3)
    for message, event in [("routine 1", False), ("event 1", True), ("routine 2", False), ("event 2", True), ("event 3", True)]:
        memory.keep(message, event=event)
    assert [kept.message for kept in memory._kept] == ["event 1", "event 2", "event 3"]
    assert memory.overflow == 2


def test_a_memory_full_of_events_gives_up_the_oldest() -> None:
    memory: Memory[int] = Memory(2)
    for n in range(3):
        memory.keep(n, event=True)
    assert [kept.message for kept in memory._kept] == [1, 2]


async def test_what_waits_stays_until_it_was_handed_over_and_equal_messages_are_told_apart() -> None:
    memory: Memory[str] = Memory(8)
    for _ in range(2):
        memory.keep("same", event=False)
    first, second = await memory.oldest(5)
    memory.done(second)
    assert await memory.oldest() == [first]
    assert (await memory.oldest())[0] is first
    memory.done(first)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await memory.oldest()


def test_a_vehicle_drives_its_round_at_its_pace_with_its_course_along_the_way() -> None:
    route = Route(120.62, 31.31, radius_m=700, speed_kmh=30)
    for age in range(0, 700, 10):
        here, soon = route.at(age), route.at(age + 1)
        north = (soon.latitude - here.latitude) * 111_320
        east = (soon.longitude - here.longitude) * 111_320 * math.cos(math.radians(31.31))
        assert math.hypot(north, east) == pytest.approx(30 / 3.6, rel=0.03)
        off = (math.degrees(math.atan2(east, north)) - here.course_deg + 180) % 360 - 180
        assert abs(off) < 3
        assert 0 <= here.course_deg < 360


def test_a_registration_has_the_field_sizes_of_its_revision() -> None:
    # JT/T 808-2013 table 7: 2+2+5+20+7+1 = 37 bytes before the plate; -2019: 2+2+11+30+30+1 = 76
    plate = "苏E00001".encode("gbk")
    assert register_body(2013, "0000001", "苏E00001")[37:] == plate
    assert register_body(2019, "0000001", "苏E00001")[76:] == plate
    assert register_body(2013, "0000001", "苏E00001")[29:37] == b"0000001\x02"


def test_an_authentication_of_2019_counts_its_code_and_carries_imei_and_version() -> None:
    assert authenticate_body(2013, b"CODE", "13800000001") == b"CODE"
    body = authenticate_body(2019, b"CODE", "00000000013800000001")
    assert body[:20] == b"\x04CODE000013800000001"
    assert len(body) == 1 + 4 + 15 + 20


def test_a_batch_counts_its_locations_and_says_that_it_catches_up() -> None:
    assert batch_body([b"ab", b"c"]) == b"\x00\x02\x01\x00\x02ab\x00\x01c"


@pytest.mark.parametrize(
    ("message_id", "body", "answer"),
    [
        pytest.param(0x8001, b"\x00\x07\x02\x00\x00", Answer(serial=7, result=0), id="the general answer"),
        pytest.param(0x8100, b"\x00\x07\x00AB", Answer(serial=7, result=0, auth_code=b"AB"), id="a good registration"),
        pytest.param(0x8100, b"\x00\x07\x03", Answer(serial=7, result=3), id="a registration that was there before"),
        pytest.param(0x8001, b"\x00\x07\x02", None, id="a general answer cut short"),
        pytest.param(0x8104, b"", None, id="a question"),
    ],
)
def test_an_answer_is_read_as_the_standard_lays_it_out(message_id: int, body: bytes, answer: Answer | None) -> None:
    assert read_answer(message_id, body) == answer


def test_the_readme_names_every_kind_and_everything_that_can_happen_to_it() -> None:
    text = (Path(simulators.__file__).parent / "README.md").read_text("utf-8")
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `")}
    assert set(rows) == {str(kind) for kind in Kind}
    for kind, deeds in ACTIONS.items():
        told = {word for word in rows[kind].split("|")[4].split("`") if word.strip()}
        assert told == set(deeds), kind
    assert all(f"`{word}`" in text for word in (*GENERAL, *How))
