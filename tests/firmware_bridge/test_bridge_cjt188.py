"""CJ/T 188 water, gas and heat meters: frames, values, questions and answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from fuzz_cjt188 import fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.cjt188 import commands
from firmware_bridge.cjt188 import record as records
from firmware_bridge.cjt188.frames import MAX_FRAME_BYTES, Cjt188Framer, Frame, encode_frame, parse_frame
from firmware_bridge.cjt188.record import explain
from firmware_bridge.errors import ParseError, Refused
from telemetry.reason import Reason

WATER = bytes.fromhex("68104433221100337881161f9000007766552c007766552c3101221105152021841316")
"""556677 m3 from meter 0011223344 of maker 7833, whose second half is its settlement (cnblogs.com, p/7010777)."""
HEAT = bytes.fromhex(
    "682032413140000000812e901f0108020000000802000000170000000035000000002c341000003525006625000000005300121007152000003116"
)
"""A heat meter that sends its units first: 0.02 MWh, 10.34 m3, 25.35 and 25.66 degrees (cnblogs.com, p/8683992)."""


def record(raw: bytes) -> Any:
    return records.record(raw)


def entries(vectors: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (vectors / "cjt188.jsonl").read_text("utf-8").splitlines()]


def clock(derived: str) -> str | None:
    """The independent reading's clock in ISO 8601, None for FF, zeros, and what the calendar does not have."""
    if not derived.isdecimal() or not derived.startswith("20"):
        return None
    return f"{derived[:4]}-{derived[4:6]}-{derived[6:8]}T{derived[8:10]}:{derived[10:12]}:{derived[12:]}"


def test_every_shared_frame_reads_as_its_source_and_an_independent_reading_state(vectors: Path) -> None:
    read = 0
    for entry in entries(vectors):
        raw, derived = bytes.fromhex(entry["hex"]), entry["derived"]
        if not derived["cs_ok"]:
            with pytest.raises(ParseError) as refusal:
                record(raw)
            assert refusal.value.reason is Reason.BAD_CHECKSUM
            continue
        said = record(raw)
        assert (said["meter_type"], said["address"]) == (derived["type"], derived["address_display"])
        assert (said["control"], said["data_length"]) == (derived["control"], derived["len"])
        assert (said["sequence"], said["trailing_hex"]) == (derived["ser"], derived.get("trailing", ""))
        wire = bytes.fromhex(derived["di_wire"])
        assert said["data_id"] == (wire[::-1] if said["data_id_low_first"] else wire).hex().upper()
        if "total" in derived:
            values = said["values"]
            assert (values["total"], values["settle"]) == (derived["total"], derived["settle"])
            assert (values["total_unit"], values["settle_unit"]) == ("m3", "m3")
            assert (values["time"], said["status"]["hex"]) == (
                clock(derived["clock_CCYYMMDDhhmmss"]),
                derived["status_wire"],
            )
        for name in ("total", "total_unit"):
            assert name not in entry["expect"] or said["values"][name] == entry["expect"][name]
        read += 1
    assert read > 15


def test_every_whole_shared_frame_encodes_back_to_the_same_bytes(vectors: Path) -> None:
    for entry in entries(vectors):
        if entry["derived"]["cs_ok"]:
            raw = bytes.fromhex(entry["hex"])
            start = len(entry["derived"]["preamble"]) // 2
            frame = parse_frame(raw[start : start + 13 + entry["derived"]["len"]])
            again = encode_frame(frame.meter_type, frame.address, frame.control, frame.data, wake_up=0)
            assert again == frame.raw


def test_a_water_meters_answer() -> None:
    said = record(WATER)
    assert (said["meter"], said["maker"], said["meter_kind"]) == ("0011223344", "7833", "cold_water")
    assert said["values"] == {
        "total": 556677.0,
        "total_unit": "m3",
        "settle": 556677.0,
        "settle_unit": "m3",
        "time": "2015-05-11T22:01:31",
        "valve": "closed",
        "battery": "ok",
    }
    assert said["data_id_low_first"] is True


def test_the_two_readings_of_a_status_are_both_told() -> None:
    # The sources disagree on the order of the bits: 21 is a closed valve by one, and an open one with a low battery by the other.
    assert record(WATER)["status"] == {
        "hex": "2184",
        "usual": {"valve": "closed", "battery": "ok"},
        "mirrored": {"valve": "open", "battery": "low"},
    }


def test_a_heat_meter_with_its_units_before_the_numbers() -> None:
    values = record(HEAT)["values"]
    assert (values["heat"], values["heat_unit"]) == (0.02, "MWh")
    assert (values["volume"], values["volume_unit"]) == (10.34, "m3")
    assert (values["supply_temperature"], values["return_temperature"]) == (25.35, 25.66)
    assert (values["hours"], values["time"]) == (0, "2015-07-10T12:00:53")


# Captures in public programs that read these meters: frame, heat in kWh, volume in m3, supply and return, hours, time.
@pytest.mark.parametrize(
    ("text", "heat", "volume", "temperatures", "hours", "time"),
    [
        pytest.param(
            "68251219241827310081 2e1f9003 1174020005 8827440505 0000000017 0000000035 085671002c 792600 642600 664707"
            "11521703092520 0005 2a16",
            54427.88,
            7156.08,
            (26.79, 26.64),
            74766,
            "2025-09-03T17:52:11",
            id="units behind, of a type 25 that the tables do not name",
        ),
        pytest.param(
            "6820512131170011 1181 2e1f9012 0000000005 0000000005 0000000014 0000000035 190000002c 763000 683000 730200"
            "32411112090720 0400 e916",
            0.0,
            0.19,
            (30.76, 30.68),
            273,
            "2007-09-12T11:41:32",
            id="units behind, nothing used yet",
        ),
        pytest.param(
            "6820380421080059 4281 2e901f00 0519285300 0519285300 1700000000 3500000000 2c42331800 031900 101900 612700"
            "26572331031520 0301 f716",
            5328.19,
            1833.42,
            (19.03, 19.1),
            2761,
            "2015-03-31T23:57:26",
            id="units in front",
        ),
    ],
)
def test_heat_meters_as_they_were_captured(
    text: str, heat: float, volume: float, temperatures: tuple[float, float], hours: int, time: str
) -> None:
    said = record(bytes.fromhex(text))
    values = said["values"]
    assert (values["heat"], values["heat_unit"], values["volume"], values["volume_unit"]) == (heat, "kWh", volume, "m3")
    assert (values["supply_temperature"], values["return_temperature"]) == temperatures
    assert (values["hours"], values["time"], said["flaws"]) == (hours, time, [])


HEAT_VALUES = {
    "settle_heat": 12.5,
    "settle_heat_unit": "kW.h",
    "heat": 13.25,
    "heat_unit": "kW.h",
    "power": 4.5,
    "power_unit": "kW",
    "flow": 0.125,
    "flow_unit": "m3/h",
    "volume": 100.25,
    "volume_unit": "m3",
    "supply_temperature": 55.5,
    "return_temperature": 45.25,
    "hours": 1234,
    "time": "2024-11-23T10:30:15",
    "valve": "open",
    "battery": "low",
}


@pytest.mark.parametrize("layout", [pytest.param(0, id="46 bytes"), pytest.param(1, id="43 bytes, told apart by the length")])
def test_a_heat_meter_with_its_units_behind_the_numbers(layout: int) -> None:
    said = record(commands.answer(0x20, "1", "901F", HEAT_VALUES, layout=layout))
    units = {"heat_unit": "kWh", "settle_heat_unit": "kWh", "hours_unit": "h"}
    temperatures = {"supply_temperature_unit": "Cel", "return_temperature_unit": "Cel"}
    assert said["values"] == HEAT_VALUES | units | temperatures
    assert said["data_length"] == (46, 43)[layout]


# Worked by hand from the table of units: identifier, meter type, data behind SER, values.
@pytest.mark.parametrize(
    ("data_id", "meter_type", "data", "values"),
    [
        pytest.param("D120", 0x10, "563412002c", {"settle": 1234.56, "settle_unit": "m3"}, id="last month"),
        pytest.param("D120", 0x30, "563412002d", {"settle": 12345.6, "settle_unit": "m3"}, id="in tens of cubic metres"),
        pytest.param("D12B", 0x20, "5634120007", {"settle_heat": 123456.0, "settle_heat_unit": "kWh"}, id="hundreds of kWh"),
        pytest.param("907F", 0x10, "15301023112420", {"time": "2024-11-23T10:30:15"}, id="the clock"),
        pytest.param("8103", 0x10, "25", {"day": 25}, id="the settlement day"),
        pytest.param("D200", 0x10, "563412002c", {"settle": 1234.56, "settle_unit": "m3"}, id="history of 2018"),
    ],
)
def test_values_by_the_standards_formats(data_id: str, meter_type: int, data: str, values: dict[str, object]) -> None:
    wire = bytes.fromhex(data_id)
    for order in (wire, wire[::-1]) if data_id != "D200" else (wire[::-1],):
        said = record(encode_frame(meter_type, "1", 0x81, order + b"\0" + bytes.fromhex(data)))
        assert (said["data_id"], said["values"], said["flaws"]) == (data_id, values, [])


def test_a_unit_nobody_knows_is_a_flaw_of_its_field_alone() -> None:
    said = record(encode_frame(0x10, "1", 0x81, bytes.fromhex("901f00563412007f563412002c153010231124200000")))
    assert (said["values"]["total"], said["values"]["settle"]) == (None, 1234.56)
    assert [flaw["reason"] for flaw in said["flaws"]] == [Reason.NOT_IN_ENUM]


def test_an_answer_that_ends_too_soon_keeps_its_data() -> None:
    said = record(encode_frame(0x10, "1", 0x81, bytes.fromhex("901f005634")))
    assert (said["data_id"], said["values"], said["rest_hex"]) == ("901F", {}, "5634")


def test_valve_control_and_its_answers() -> None:
    raw = commands.valve_control(0x10, "00000805000001", "close", 7)
    assert raw.hex() == "fefefe681001000005080000" + "0404a01707" + "99" + f"{(sum(raw[3:-2])) & 0xFF:02x}16"
    said = record(raw)
    assert (said["function"], said["item"], said["values"]) == ("write", "valve", {"valve_action": "close"})
    done = record(commands.answer_write(0x10, "1", "A017", {"valve": "closed"}, 7))
    assert (done["values"], done["ack"], done["sequence"]) == ({"valve": "closed", "battery": "ok"}, True, "07")
    refused = record(commands.refuse(0x10, "1", 0x04, {"valve": "fault", "battery": "low"}, 7))
    assert (refused["control"], refused["ack"], refused["error_flag"]) == ("C4", False, True)
    assert refused["values"] == {"valve": "fault", "battery": "low"}


def test_the_masters_other_frames_are_those_of_published_examples() -> None:
    # cnblogs.com, cj94, p/18534598: reading the address, and reading the volume.
    assert commands.read_address().hex() == "fefefe68aaaaaaaaaaaaaaaa0303810a004916"
    assert commands.question(0x10, "00002020120218", "901F").hex() == "fefefe6810180212202000000103901f009716"
    assert commands.answer_address(0x10, "00002020120218").hex() == "fefefe6810180212202000008303810a00f516"
    assert commands.set_address(0x10, "805000002", "805000001").hex() == "fefefe681002000005080000150aa01800010000050800006c16"
    assert record(commands.set_clock(0x10, "1", "2024-11-23T10:30:15"))["values"] == {"time": "2024-11-23T10:30:15"}


@pytest.mark.parametrize(
    ("text", "reason", "at"),
    [
        pytest.param("", Reason.BAD_START, 0, id="nothing"),
        pytest.param("10", Reason.BAD_START, 0, id="no 68"),
        pytest.param("681044332211", Reason.TRUNCATED, 6, id="no length yet"),
        pytest.param(WATER.hex()[:-2], Reason.TRUNCATED, 34, id="no end"),
        pytest.param(WATER.hex()[:-2] + "17", Reason.BAD_FIELD, 34, id="another end"),
        pytest.param(WATER.hex() + "524f", Reason.BAD_LENGTH, 35, id="bytes behind the end"),
        pytest.param("fe" + WATER.hex()[:-4] + "0816", Reason.BAD_CHECKSUM, 34, id="a wrong sum"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_first_bad_byte(text: str, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_frame(bytes.fromhex(text))
    assert (refusal.value.reason, refusal.value.at) == (reason, at)


def test_every_field_is_shown_where_it_stands() -> None:
    fields = {field.name: field for field in explain(b"\xfe" + WATER)}
    assert (fields["total"].at, fields["total"].value) == (15, "556677.0 m3")
    assert (fields["time"].at, fields["status"].at, fields["checksum"].at) == (25, 32, 34)


frames = st.builds(
    encode_frame,
    st.integers(0, 255),
    st.from_regex("[0-9A]{1,14}", fullmatch=True),
    st.integers(0, 255),
    st.binary(max_size=40),
    wake_up=st.just(0),
)


@given(st.data(), st.lists(st.one_of(frames, st.binary(max_size=20), st.just(WATER)), max_size=6))
def test_any_cut_of_the_stream_gives_the_same_messages(data: st.DataObject, pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer, whole = Cjt188Framer(), Cjt188Framer()
    said = [each for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for each in framer.feed(stream[start:end])]
    assert [*said, *framer.idle()] == [*whole.feed(stream), *whole.idle()]


@given(st.binary(max_size=40), st.lists(frames, min_size=2, max_size=4))
def test_noise_before_frames_costs_at_most_the_first(noise: bytes, sent: list[bytes]) -> None:
    framer = Cjt188Framer()
    said = [each for each in (*framer.feed(noise + b"".join(sent)), *framer.idle()) if isinstance(each, Frame)]
    assert [each.raw for each in said][-len(sent) + 1 :] == sent[1:]


def test_memory_is_bounded_whatever_comes_and_nothing_is_swallowed() -> None:
    framer = Cjt188Framer()
    refused = [each for each in framer.feed(b"\x68" * 20_000) if isinstance(each, Refused)]
    assert all(len(each.raw) <= MAX_FRAME_BYTES for each in refused)
    assert 20_000 - sum(len(each.raw) for each in refused) <= 2 * MAX_FRAME_BYTES
    assert isinstance([*framer.feed(WATER), *framer.idle()][-1], Frame)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_parse_error(data: bytes) -> None:
    fuzz_one(data)


@given(st.sampled_from([WATER, HEAT, commands.valve_control(0x10, "1", "open")]), st.data())
def test_a_mutated_frame_raises_nothing_but_a_parse_error(raw: bytes, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    fuzz_one(raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :])


@given(st.integers(0, 99_999_999), st.sampled_from(["L", "m3", "kW.h", "GJ"]), st.booleans())
def test_what_a_meter_sends_reads_back_to_the_last_digit(whole: int, unit: str, low_first: bool) -> None:
    sent = {"total": whole / 100, "total_unit": unit, "settle": 0.0, "time": "2024-11-23T10:30:15"}
    values = record(commands.answer(0x10, "1", "901F", sent, low_first=low_first))["values"]
    assert (values["total"], values["total_unit"]) == (whole / 100, unit.replace(".", ""))


@given(st.integers(0, 255), st.integers(0, 0xFFFF), st.binary(max_size=60))
def test_every_identifier_is_read_or_kept(meter_type: int, number: int, data: bytes) -> None:
    said = record(encode_frame(meter_type, "1", 0x81, number.to_bytes(2, "big") + b"\0" + data))
    assert said["data_hex"].endswith(data.hex())
