"""Frames over the API: the bytes as they came, field by field, around an instant; and never a fault, whatever they are."""

from typing import Any

import pytest
from cloud_api_world import ALARM, MINUTE_NS, NOW_NS, World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.relational.engine import writing
from cloud.relational.tables import transitions
from device_profiles.shelf import load_catalog
from firmware_bridge.decoding import decode_frame
from firmware_bridge.describe import LANGUAGES
from telemetry.clock import SECOND_NS
from telemetry.raw_frames import EVIDENCE_FRAME, RAW_FRAME, RawFrame, written_frames
from telemetry.records import Reading, Value
from telemetry.wire import group_readings

REPLY = bytes.fromhex("01 03 04 00e6 000a 9bc3")  # unit 1: two registers, 230 and 10
CATALOG = load_catalog()


async def send(city: World, *said: tuple[int, list[RawFrame], int], device: str = "cover-2") -> None:
    """Frames of (event time, frames, received) as a gateway sends them on."""
    records = []
    for time_ns, frames, received_ns in said:
        values: dict[str, Value] = dict(written_frames(RAW_FRAME, frames, 8)[0]) | {f"{RAW_FRAME}.received_ns": received_ns}
        records.append(
            Reading(
                device=device, profile="cover_nbiot", profile_version=1, time_ns=time_ns, received_ns=received_ns, values=values
            )
        )
    await city.services.series.write([group_readings("gw-1", "e2", 1, records)])


async def ask(city: World, query: str = "", device: str = "cover-2") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await city.get(f"/api/devices/{device}/frames{query}"))["items"]
    return found


async def test_a_frame_comes_back_as_it_was_sent_and_field_by_field(city: World) -> None:
    await send(city, (NOW_NS - SECOND_NS, [RawFrame("modbus-rtu", REPLY)], NOW_NS - SECOND_NS // 2))
    [frame] = await ask(city)
    assert bytes.fromhex(frame["hex"]) == REPLY
    assert (frame["language"], frame["size"], frame["gateway"], frame["direction"]) == ("modbus-rtu", 9, "gw-1", "up")
    assert (frame["time"], frame["received"], frame["skew_s"]) == ("2025-11-20T13:59:59.123Z", "2025-11-20T13:59:59.623Z", 0.5)
    assert frame["decoded"]["ok"] is True, frame
    fields = {field["name"]: (field["value"], field["bytes"]) for field in frame["decoded"]["fields"]}
    assert fields["unit"] == (1, [0, 1])
    assert fields["data"][1] == [2, 7]


async def test_a_frame_that_does_not_decode_names_its_first_bad_byte(city: World) -> None:
    await send(city, (NOW_NS, [RawFrame("modbus-rtu", REPLY[:-1] + b"\0"), RawFrame("runes", b"\1")], NOW_NS))
    broken, strange = await ask(city)
    assert (broken["decoded"]["ok"], broken["decoded"]["at"]) == (False, 7)
    assert broken["decoded"]["error"].startswith("bad_checksum")
    assert broken["decoded"]["fields"][0]["bytes"] == [7, 8]
    assert broken["skew_s"] is None, "its device tells no time of its own"
    assert strange["decoded"]["error"] == "unsupported_version: no language 'runes' is known here"


async def test_the_frames_before_and_behind_an_instant_are_counted_from_it(city: World) -> None:
    times = [NOW_NS - (10 - step) * MINUTE_NS for step in range(10)]
    times.append(NOW_NS - 30 * 86_400 * SECOND_NS)
    await send(city, *((time_ns, [RawFrame("json", b"%d" % time_ns)], time_ns) for time_ns in times))
    said = {time_ns: b"%d".hex() and (b"%d" % time_ns).hex() for time_ns in times}
    at = "2025-11-20T13:55:00.123Z"  # the time of the sixth, step 5
    around = await ask(city, f"?at={at}&before=2&after=1")
    assert [item["hex"] for item in around] == [said[times[step]] for step in (4, 5, 6)]
    assert len(await ask(city, "?before=200")) == 11, "the oldest is a month away"
    assert len(await ask(city, "?before=0&after=200")) == 0
    assert len(await ask(city, f"?at={at}&before=0&after=200")) == 4


async def test_more_frames_than_a_portion_still_end_in_the_last_ones(city: World) -> None:
    times = [NOW_NS - (2500 - step) * 1_000_000 for step in range(2500)]
    await send(city, *((time_ns, [RawFrame("text", b"%d" % time_ns)], time_ns) for time_ns in times))
    found = await ask(city, "?before=3")
    assert [bytes.fromhex(item["hex"]) for item in found] == [b"%d" % time_ns for time_ns in times[-3:]]


async def test_the_frame_that_raised_an_alarm_is_told_once_with_the_alarm(city: World) -> None:
    evidence: dict[str, Value] = {"tilt_deg": 41.5, **written_frames(EVIDENCE_FRAME, [RawFrame("modbus-rtu", REPLY)], 2)[0]}
    evidence |= {"frame.received_ns": NOW_NS, "frame.source": "192.0.2.1:502"}
    async with writing(city.services.engine) as conn:
        await conn.execute(transitions.update().where(transitions.c.alarm == ALARM).values(evidence=evidence))
    [frame] = await ask(city, device="cover-1")
    assert (frame["alarm"], frame["hex"], frame["source"], frame["skew_s"]) == (ALARM, REPLY.hex(), "192.0.2.1:502", 60.0)
    await send(city, (NOW_NS - MINUTE_NS, [RawFrame("modbus-rtu", REPLY)], NOW_NS), device="cover-1")
    [frame] = await ask(city, device="cover-1")
    assert (frame["alarm"], frame["hex"]) == (ALARM, REPLY.hex())


async def test_frames_are_nobodys_latest_values_and_no_metric_of_the_history(city: World) -> None:
    await send(city, (NOW_NS, [RawFrame("text", b"hello")], NOW_NS))
    assert (await city.get("/api/devices/cover-2/latest"))["metrics"] == []
    assert RAW_FRAME not in (await city.get("/api/devices/cover-2/history"))["metrics"]
    assert (await city.get("/api/devices/cover-2/history?metric=raw_frame", status=422))["reason"] == "unknown_metric"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/devices/nobody/frames", 404),
        ("/api/devices/cover-1/frames?at=yesterday", 422),
        ("/api/devices/cover-1/frames?at=2025-11-20T08:00:00", 422),
        ("/api/devices/cover-1/frames?at=0001-01-01T00:00:00%2B14:00", 422),
        ("/api/devices/cover-1/frames?at=9999-12-31T23:59:59-14:00", 422),
        ("/api/devices/cover-1/frames?before=201", 422),
        ("/api/devices/cover-1/frames?since=1", 422),
        ("/api/devices/cover-1/frames?at=1970-01-01T00:00:00Z", 200),
        ("/api/devices/odd-1/frames?before=0&after=0", 200),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_question_that_makes_no_sense_is_told_so(quiet_city: World, path: str, status: int) -> None:
    await quiet_city.get(path, status=status)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*LANGUAGES, *(name for name, each in CATALOG.items() if each.wire.serial)]), st.binary(max_size=80))
def test_any_bytes_in_any_language_have_an_answer(language: str, raw: bytes) -> None:
    told = decode_frame(language, raw, CATALOG)
    assert told.refused == (told.reason is not None)
    assert all(0 <= field.begin <= field.end <= len(raw) for field in told.fields)
    assert all(isinstance(field.value, (bool, int, float, str, type(None))) for field in told.fields)


def test_what_a_page_could_not_hold_is_told_as_a_text() -> None:
    assert decode_frame("json", b'{"a": "\\ud800"}', CATALOG).refused, "half a surrogate pair is no text"
    [whole] = decode_frame("json", b'{"b": 123456789012345678901234567890}', CATALOG).fields
    assert whole.value == '{"b": 123456789012345678901234567890}'
