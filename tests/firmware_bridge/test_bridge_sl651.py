"""SL 651-2014 hydrology stations: frames, bodies in both encodings, packets, answers."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fuzz_sl651 import fuzz_one
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.civil import civil_time
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.sl651 import record as records
from firmware_bridge.sl651 import reports
from firmware_bridge.sl651.elements import ELEMENTS, Form
from firmware_bridge.sl651.frames import (
    ACK,
    ESC,
    MAX_FRAME_BYTES,
    NAK,
    Frame,
    Sl651Framer,
    crc_of,
    encode_frame,
    parse_frame,
)
from firmware_bridge.sl651.packets import Reassembler
from firmware_bridge.sl651.record import body_of, explain
from firmware_bridge.sl651.reports import Station
from telemetry.reason import Reason

TEST_REPORT = bytes.fromhex(
    "7e7e010012345678123430002b020003591011154947f1f1001234567848f0f0591011154920190000052619000005392300000127381211150320fa"
)
"""A test report: 0.5 mm of rain, 0.127 m, 11.15 V (blog.csdn.net, weixin_42163707, article 127638544)."""
RESERVOIR = bytes.fromhex(
    "7e7e0100102200010000320032021658220628090851f1f100102200014bf0f02206280908391a051300ff012affffffffff4520000004003812ffffff"
    "0208ff03cae6"
)
"""A reservoir's level of 513 m, with identifiers of its maker and values it does not have (a public Kafka test's message)."""
ASCII_KEEP_ALIVE = b"\x0101001234567812342F0010\x020005170718110035\x03E593"
ASCII_REPORT = (
    b"\x0106001234123404D230004D\x020019170718111204ST 0012341234 H TT 1707181112 PJ 0.5 PT 0.5 Z 0.301 VT 10.91 \x03FDEE"
)
"""The same two in the ASCII encoding (blog.csdn.net, weixin_42163707, article 132556389)."""
STATION = Station(address="0012345678", password="1234")  # noqa: S106
ASCII_STATION = msgspec.structs.replace(STATION, text=True)
TIMES = {"sent": "2024-11-23T10:30:15", "observed": "2024-11-23T10:30"}


def record(raw: bytes) -> Any:
    return records.record(raw)


def entries(vectors: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (vectors / "sl651.jsonl").read_text("utf-8").splitlines()]


def whole(vectors: Path) -> list[dict[str, Any]]:
    return [entry for entry in entries(vectors) if entry["derived"].get("crc_ok")]


def test_the_frames_with_a_wrong_crc_or_none_are_refused(vectors: Path) -> None:
    for entry in entries(vectors):
        crc_ok = entry["derived"].get("crc_ok")
        try:
            record(bytes.fromhex(entry["hex"]))
            reason = None
        except ParseError as error:
            reason = error.reason
        assert reason is {True: None, False: Reason.BAD_CHECKSUM, None: Reason.TRUNCATED}[crc_ok]


def test_every_shared_crc_is_computed_as_stated(vectors: Path) -> None:
    stated = [entry for entry in entries(vectors) if "crc" in entry["expect"]]
    assert [f"{crc_of(bytes.fromhex(entry['hex'])):04X}" for entry in stated] == [entry["expect"]["crc"] for entry in stated]
    assert len(stated) == 2


def test_every_shared_head_reads_as_its_source_and_an_independent_reading_state(vectors: Path) -> None:
    for entry in whole(vectors):
        said, want = record(bytes.fromhex(entry["hex"])), entry["derived"]
        assert said["function"] == entry["expect"]["func"]
        assert (said["direction"], said["center"], said["station"]) == (want["direction"], want["centre"], want["station"])
        assert (said["password"], said["crc"], said["crc_ok"]) == (want["password"].upper(), want["crc_declared"], True)
        if "packet_total" in want:
            assert said["packet"] == {"total": want["packet_total"], "number": want["packet_no"]}
            assert said["rest_hex"] == want["body"]
        else:
            assert (said["serial"], said["send_time"]) == (int(want["serial"], 16), civil_time(want["send_time"]))
            assert said["body_length"] == want["body_len"]
            assert said["flaws"] == []
    assert len(whole(vectors)) > 15


def test_every_shared_element_reads_as_an_independent_reading_states(vectors: Path) -> None:
    count = 0
    for entry in whole(vectors):
        if "elements" not in entry["derived"]:
            continue
        said = record(bytes.fromhex(entry["hex"]))
        assert (said["station_in_body"], said["class"]) == (entry["derived"]["station2"], entry["derived"]["class"])
        elements, observed = iter(said["elements"]), None
        for want in entry["derived"]["elements"]:
            if "obs_time" in want:
                observed = civil_time(want["obs_time"])
                continue
            got = next(elements)
            assert (got["id"], got["bytes"], got["decimals"]) == (want["id"], want["bytes"], want["decimals"])
            assert (got["raw"], got["obs_time"]) == (want["raw"], observed)
            if "value" in want:
                assert got["value"] == want["value"] == said["values"][got["name"]]
            count += 1
        assert next(elements, None) is None
    assert count > 18


def test_every_whole_shared_frame_encodes_back_to_the_same_bytes(vectors: Path) -> None:
    for entry in whole(vectors):
        frame = parse_frame(bytes.fromhex(entry["hex"]))
        again = encode_frame(
            frame.function,
            frame.body,
            station=frame.station,
            centre=frame.centre,
            password=frame.password,
            up=frame.up,
            end=frame.end,
            packet=frame.packet,
        )
        assert again == frame.raw


def test_the_series_of_an_hour_are_binary_and_their_ff_is_no_value(vectors: Path) -> None:
    (entry,) = [entry for entry in whole(vectors) if entry["expect"]["func"] == "0x34"]
    values = record(bytes.fromhex(entry["hex"]))["values"]
    assert values["rain_5min_series"] == [0.5, 0.0, 0.0, 0.0, 2.0, None, None, None, None, None, 0.0, 0.0]
    assert values["level_1_5min_series"] == [0.12, 0.12, 0.28, 0.49, 0.49, None, None, None, None, None, 0.49, 0.49]


def test_values_that_a_station_does_not_have_are_none() -> None:
    said = record(RESERVOIR)
    assert said["values"] == {
        "river_level": 513.0,
        "element_ff01": None,
        "station_status": ["door_open"],
        "supply_voltage": None,
        "element_ff02": None,
    }
    assert (said["class_name"], said["send_time"]) == ("reservoir", "2022-06-28T09:08:51")
    assert {flaw["reason"] for flaw in said["flaws"]} == {Reason.NO_VALUE}


def test_a_report_in_ascii_reads_like_one_in_hex() -> None:
    said = record(ASCII_REPORT + b"\r\n")
    assert (said["encoding"], said["center"], said["station"], said["password"]) == ("ascii", "06", "0012341234", "04D2")
    assert (said["serial"], said["class_name"], said["observation_time"]) == (25, "river", "2017-07-18T11:12")
    assert said["values"] == {"rain_current": 0.5, "rain_total": 0.5, "river_level": 0.301, "supply_voltage": 10.91}
    assert said["flaws"] == []
    alive = record(ASCII_KEEP_ALIVE)
    assert (alive["function"], alive["serial"], alive["send_time"]) == ("0x2F", 5, "2017-07-18T11:00:35")


def body(text: str, function: int = 0x32) -> Any:
    """The record of a HEX frame with these elements behind a usual head."""
    head = "0001241123103015f1f1001234567848f0f02411231030"
    return record(encode_frame(function, bytes.fromhex(head + text), station="0012345678"))


# Worked by hand from clause 6.6.3 and annex C.
@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        pytest.param("0219ff0125", "air_temperature", -12.5, id="FF before the digits is a minus sign"),
        pytest.param("3923ff000345", "river_level", -0.345, id="a level below zero"),
        pytest.param("3923aaaaaaaa", "river_level", None, id="AA is a value that could not be measured"),
        pytest.param("2010001a", "rain_current", None, id="a byte that is no BCD"),
        pytest.param("0f1a012345", "wave_height", 123.45, id="three bytes with two decimals"),
        pytest.param("272b0000123456", "flow", 123.456, id="a flow of five bytes"),
        pytest.param("452000000407", "station_status", ["mains_lost", "battery_low", "level_alarm", "door_open"], id="alarms"),
        pytest.param("452000000080", "station_status", ["pump_running"], id="the door is shut and the pump runs"),
        pytest.param("f560" + 12 * "0064", "level_1_5min_series", [1.0] * 12, id="24 bytes of levels whatever the size says"),
        pytest.param("801a0055", "element_80", None, id="an element that ends too soon"),
    ],
)
def test_values_by_the_standards_formats(text: str, name: str, value: object) -> None:
    said = body(text)
    assert said["values"].get(name) == value
    assert (said["flaws"] == []) is (value is not None)


def test_a_uniform_report_names_its_element_once() -> None:
    # Table 30: step 000005 is five minutes; twelve levels of 28.960 m follow one identifier.
    said = body("0418000005" + "3923" + 11 * "00028960" + "00028970", 0x31)
    assert said["step_minutes"] == 5
    assert said["values"] == {"river_level": [28.96] * 11 + [28.97]}


def test_a_uniform_report_of_two_elements_as_stations_send_it() -> None:
    # The shape of a published frame: 22 19 (rain) and 39 22 (level) are named, then twelve pairs of values follow.
    said = body("0418000005" + "2219" + "3922" + 12 * ("000015" + "00001234"), 0x31)
    assert said["values"] == {"rain_5min": [1.5] * 12, "river_level": [12.34] * 12}
    assert said["rest_hex"] == ""


def test_a_uniform_report_that_does_not_come_out_even_is_read_as_far_as_it_goes() -> None:
    said = body("0418000005" + "3923" + "00028960" + "000289", 0x31)
    assert (said["values"], said["rest_hex"]) == ({"river_level": 28.96}, "000289")
    assert [flaw["reason"] for flaw in said["flaws"]] == [Reason.BAD_LENGTH]


def test_a_uniform_report_without_values_is_told() -> None:
    for empty in ("3923", "3900", "392300"):
        said = body("0418000005" + empty, 0x31)
        assert (said["values"], [flaw["reason"] for flaw in said["flaws"]]) == ({}, [Reason.TRUNCATED])


def test_ascii_values_may_follow_in_a_series() -> None:
    text = b"0001241123103015ST 0012345678 H TT 2411231030 DRN05 Z 28.96 28.97 DRP 0500000014FFFFFFFFFF0000 ZT 00000400 "
    said = record(encode_frame(0x31, text, station="1", text=True))
    assert said["step_minutes"] == 5
    assert said["values"] == {
        "river_level": [28.96, 28.97],
        "rain_5min_series": [0.5, 0.0, 0.0, 0.0, 2.0, None, None, None, None, None, 0.0, 0.0],
        "station_status": ["door_open"],
    }


def test_ascii_names_in_a_row_share_the_values_behind_them() -> None:
    text = b"0001241123103015ST 0012345678 H TT 2411231030 DRH01 Z Q 1.5 20.5 1.6 21.5 "
    values = record(encode_frame(0x31, text, station="1", text=True))["values"]
    assert values == {"river_level": [1.5, 1.6], "flow": [20.5, 21.5]}


def test_an_element_nobody_knows_is_read_as_a_number() -> None:
    assert body("80120150")["values"] == {"element_80": 1.5}
    assert body("ffa0120150")["elements"][0]["id"] == "FFA0"


def test_a_mark_that_stands_alone_ends_the_reading() -> None:
    said = body("2019000005" + "f001" + "38121115")
    assert (said["values"], said["rest_hex"]) == ({"rain_current": 0.5}, "f00138121115")
    assert [flaw["reason"] for flaw in said["flaws"]] == [Reason.BAD_FIELD]


@pytest.mark.parametrize("station", [pytest.param(STATION, id="hex"), pytest.param(ASCII_STATION, id="ascii")])
def test_a_simulated_station_is_read_back(station: Station) -> None:
    sent = {"rain_total": 0.5, "river_level": -1.25, "supply_voltage": 12.6, "rain_5min_series": [0.1] * 11 + [None]}
    said = record(reports.report(station, 0x34, sent, serial=7, **TIMES))
    assert (said["values"], said["serial"], said["flaws"]) == (sent, 7, [])
    assert (said["send_time"], said["observation_time"]) == tuple(TIMES.values())


def test_the_published_test_report_is_written_to_the_byte() -> None:
    values = {"rain_current": 0.5, "rain_total": 0.5, "river_level": 0.127, "supply_voltage": 11.15}
    times = {"sent": "2059-10-11T15:49:47", "observed": "2059-10-11T15:49"}
    assert reports.report(STATION, 0x30, values, serial=3, **times) == TEST_REPORT
    assert reports.keep_alive(ASCII_STATION, 5, "2017-07-18T11:00:35") == ASCII_KEEP_ALIVE


def test_the_centres_answers_are_the_published_ones() -> None:
    # blog.csdn.net, weixin_42163707, article 127638544.
    answer = reports.answer(parse_frame(TEST_REPORT), 3, "2059-10-11T15:49:47", end=ESC)
    assert answer.hex().upper() == "7E7E00123456780112343080080200035910111549471B75D4"
    said = record(answer)
    assert (said["direction"], said["center"], said["station"], said["end"]) == ("down", "01", "0012345678", "ESC")
    for end, name in ((ACK, "ACK"), (NAK, "NAK")):
        assert record(reports.answer(parse_frame(ASCII_REPORT), 1, TIMES["sent"], end=end))["end"] == name


def test_the_centres_questions() -> None:
    asked = record(reports.ask_elements(STATION, 1, TIMES["sent"], ["rain_5min_series", "river_level"]))
    assert (asked["asked"], asked["end"]) == (["F4", "39"], "ENQ")
    clock = record(reports.set_clock(STATION, 1, TIMES["sent"]))
    assert (clock["function_name"], clock["send_time"]) == ("set_clock", TIMES["sent"])


def test_a_version_and_a_password_are_read() -> None:
    head = "0001241123103015f1f10012345678"
    version = record(encode_frame(0x45, bytes.fromhex(head + "0656312e302e31"), station="1"))
    assert version["software"] == "V1.0.1"
    changed = record(encode_frame(0x49, bytes.fromhex(head + "03101234"), station="1"))
    assert changed["parameters"] == {"password": "1234"}


PICTURE = bytes(range(256)) * 8
WHOLE = bytes.fromhex("0001241123103015f1f1001234567848f0f02411231030f3f3") + PICTURE


@given(st.data(), st.integers(300, 1500))
def test_packets_in_any_order_make_the_whole_message(data: st.DataObject, most: int) -> None:
    sent = [parse_frame(raw) for raw in reports.packets(STATION, 0x36, WHOLE, most)]
    reassembler = Reassembler()
    said = [reassembler.add(frame, 0) for frame in data.draw(st.permutations(sent))]
    assert said[:-1] == [None] * (len(sent) - 1)
    assert said[-1] is not None
    assert body_of(said[-1]).picture == PICTURE
    assert reassembler.held_bytes == 0


def test_a_message_that_fits_is_no_packet() -> None:
    (raw,) = reports.packets(STATION, 0x36, WHOLE)
    frame = parse_frame(raw)
    assert (frame.packet, Reassembler().add(frame, 0)) == (None, frame)


def test_unfinished_messages_are_bounded_and_given_up_once() -> None:
    first = parse_frame(reports.packets(STATION, 0x36, WHOLE, 1000)[0])
    reassembler = Reassembler(max_messages=2, max_age_s=10)
    for number in range(5):
        reassembler.add(msgspec.structs.replace(first, station=f"{number:010}"), 0)
    assert reassembler.held_bytes < 3 * 1200
    assert reassembler.missing("0000000004", 0x36, 3) == [2, 3]
    assert [refused.reason for refused in reassembler.expire(0)] == [Reason.REASSEMBLY_LIMIT] * 2
    assert len(reassembler.expire(11_000_000_000)) == 2
    assert (reassembler.expire(0), reassembler.held_bytes) == ([], 0)


def test_a_packet_that_comes_again_changes_nothing_and_another_begins_anew() -> None:
    first, second, *_ = (parse_frame(raw) for raw in reports.packets(STATION, 0x36, WHOLE, 1000))
    reassembler = Reassembler()
    reassembler.add(first, 0)
    reassembler.add(first, 0)
    assert reassembler.missing("0012345678", 0x36, 3) == [2, 3]
    reassembler.add(msgspec.structs.replace(second, body=b"other"), 0)
    reassembler.add(second, 0)
    assert reassembler.missing("0012345678", 0x36, 3) == [1, 3]


def test_one_packet_alone_is_shown_as_far_as_it_goes() -> None:
    first, *_, last = (record(raw) for raw in reports.packets(STATION, 0x36, WHOLE, 1000))
    assert (first["start"], first["end"], first["packet"]) == ("SYN", "ETB", {"total": 3, "number": 1})
    assert (first["serial"], first["picture_bytes"], first["flaws"]) == (1, 1000 - 25, [])
    assert (last["end"], last["serial"], last["values"]) == ("ETX", None, {})


@pytest.mark.parametrize(
    ("text", "reason", "at"),
    [
        pytest.param("", Reason.BAD_START, 0, id="nothing"),
        pytest.param("7e7f", Reason.BAD_START, 0, id="half a start"),
        pytest.param("7e7e0100", Reason.TRUNCATED, 4, id="no length yet"),
        pytest.param(TEST_REPORT.hex()[:-2], Reason.TRUNCATED, len(TEST_REPORT) - 1, id="half a CRC"),
        pytest.param(TEST_REPORT.hex() + "00", Reason.BAD_LENGTH, len(TEST_REPORT), id="a byte too many"),
        pytest.param(TEST_REPORT.hex()[:-4] + "20fb", Reason.BAD_CHECKSUM, len(TEST_REPORT) - 2, id="a wrong CRC"),
        pytest.param(TEST_REPORT.hex().replace("0320fa", "0720fa"), Reason.BAD_FIELD, len(TEST_REPORT) - 3, id="no end"),
        pytest.param(TEST_REPORT.hex().replace("30002b", "30402b"), Reason.BAD_FIELD, 11, id="neither up nor down"),
        pytest.param(TEST_REPORT.hex().replace("2b0200", "2b0700"), Reason.BAD_FIELD, 13, id="neither STX nor SYN"),
        pytest.param(ASCII_REPORT.replace(b"4D23", b"4X23").hex(), Reason.BAD_START, 15, id="no hex digits in ASCII"),
        pytest.param(ASCII_REPORT.replace(b"FDEE", b"FDEZ").hex(), Reason.BAD_CHECKSUM, 102, id="a CRC that is no hex"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_first_bad_byte(text: str, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_frame(bytes.fromhex(text))
    assert (refusal.value.reason, refusal.value.at) == (reason, at)


@pytest.mark.parametrize("raw", [TEST_REPORT, RESERVOIR, ASCII_REPORT])
def test_every_field_is_shown_where_it_stands_and_none_twice(raw: bytes) -> None:
    fields = explain(raw)
    assert all(one.at + one.size <= two.at for one, two in pairwise(fields))
    assert fields[-1].at + fields[-1].size == len(raw)
    level = next(field for field in fields if field.name == "river_level")
    assert raw[level.at : level.at + 1] in {b"\x39", b"Z"}


def test_the_password_does_not_end_up_in_a_log() -> None:
    assert "1234" not in repr(parse_frame(TEST_REPORT)).replace("0012345678", "")


def test_elements_are_known_by_one_name_each() -> None:
    assert len({element.name for element in ELEMENTS.values()}) == len({element.ascii for element in ELEMENTS.values()})
    assert len(ELEMENTS) == 125
    assert sum(element.form is Form.LEVELS for element in ELEMENTS.values()) == 8


frames = st.builds(
    encode_frame,
    st.integers(0, 255),
    st.binary(max_size=40),
    station=st.sampled_from(["0012345678", "7E7E7E7E7E"]),
    up=st.booleans(),
    text=st.booleans(),
)


@given(st.data(), st.lists(st.one_of(frames, st.binary(max_size=20), st.just(ASCII_REPORT)), max_size=6))
def test_any_cut_of_the_stream_gives_the_same_messages(data: st.DataObject, pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer, whole_stream = Sl651Framer(), Sl651Framer()
    said = [each for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for each in framer.feed(stream[start:end])]
    assert [*said, *framer.idle()] == [*whole_stream.feed(stream), *whole_stream.idle()]


@given(st.binary(max_size=40), st.lists(frames, min_size=2, max_size=4))
def test_noise_before_frames_costs_at_most_the_first(noise: bytes, sent: list[bytes]) -> None:
    framer = Sl651Framer()
    said = [each for each in (*framer.feed(noise + b"".join(sent)), *framer.idle()) if isinstance(each, Frame)]
    assert [each.raw for each in said][-len(sent) + 1 :] == sent[1:]


def test_memory_is_bounded_whatever_comes_and_nothing_is_swallowed() -> None:
    framer = Sl651Framer()
    noise = (b"\x7e" * 13 + b"\x02") * 2000
    refused = [each for each in framer.feed(noise) if isinstance(each, Refused)]
    assert all(len(each.raw) <= MAX_FRAME_BYTES for each in refused)
    assert len(noise) - sum(len(each.raw) for each in refused) <= 3 * MAX_FRAME_BYTES
    assert isinstance([*framer.feed(TEST_REPORT), *framer.idle()][-1], Frame)


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_but_a_parse_error(data: bytes) -> None:
    fuzz_one(data)


@settings(max_examples=60)
@given(st.sampled_from([TEST_REPORT, RESERVOIR, ASCII_REPORT]), st.data())
def test_a_mutated_frame_raises_nothing_but_a_parse_error(raw: bytes, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    fuzz_one(raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :])


@given(st.sampled_from([0x32, 0x31, 0x34, 0x36, 0x3A, 0x42, 0x45, 0x49, 0x50]), st.binary(max_size=80), st.booleans())
def test_any_body_behind_a_good_head_is_told(function: int, data: bytes, text: bool) -> None:
    head = b"0001241123103015ST 1 H TT 2411231030 " if text else bytes.fromhex("0001241123103015f1f1001234567848")
    said = record(encode_frame(function, head + data, station="1", text=text))
    assert said["send_time"] == "2024-11-23T10:30:15"


@given(st.sampled_from([each for each in ELEMENTS.values() if each.form is Form.NUMBER]), st.data(), st.booleans())
def test_what_a_station_sends_reads_back_to_the_last_digit(element: Any, data: st.DataObject, text: bool) -> None:
    most = 10 ** (2 * element.size - 2) - 1
    value = data.draw(st.integers(-most, most)) / 10**element.decimals
    station = ASCII_STATION if text else STATION
    said = record(reports.report(station, 0x32, {element.name: value}, serial=1, **TIMES))
    assert said["values"] == {element.name: value}
