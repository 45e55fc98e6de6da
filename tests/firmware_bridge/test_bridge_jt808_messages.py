"""JT/T 808 messages: what each says, what real terminals do to them, and what is refused beside what is kept."""

from datetime import datetime

import pytest
from bridge_jt808_frames import (
    AUTHENTICATE_2019,
    BATCH_2019,
    CONTROL_ANSWER,
    LOCATION_ANSWER,
    LOCATIONS,
    REGISTER_2011,
    REGISTER_2013,
    REGISTER_2019,
    TAIL_CUT,
    Captured,
)
from bridge_profiles import VEHICLE
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.answers import (
    authenticate_body,
    batch_body,
    general_answer_body,
    register_answer_body,
    register_body,
    resend_request_body,
)
from firmware_bridge.jt808.frames import Frame, encode_frame, parse_frame
from firmware_bridge.jt808.location import decode_location, encode_location, encode_values, parse_location
from firmware_bridge.jt808.messages import (
    Authenticate,
    LocationAnswer,
    LocationBatch,
    LocationReport,
    Message,
    MultimediaData,
    Other,
    Register,
    Unknown,
    parse_message,
)
from firmware_bridge.jt808.others import OTHERS
from firmware_bridge.jt808.reassembly import Reassembler
from firmware_bridge.jt808.record import record
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

NOW_NS = 1_750_000_000 * SECOND_NS


def said_by(text: str) -> Message:
    return parse_message(parse_frame(bytes.fromhex(text)))


def message(message_id: int, body: bytes, version: int = 2013) -> Message:
    return parse_message(parse_frame(encode_frame(message_id, "13800000001", 7, body, version)))


@pytest.mark.parametrize("captured", LOCATIONS.values(), ids=LOCATIONS.keys())
def test_captured_locations_decode_to_what_their_source_states(captured: Captured) -> None:
    said = record(bytes.fromhex(captured.hex))
    assert (said["latitude"], said["longitude"], said["time"]) == (captured.latitude, captured.longitude, captured.time)


@pytest.mark.parametrize(
    ("text", "layout", "maker", "model", "terminal_id", "plate"),
    [
        pytest.param(REGISTER_2011, 2011, "70111", "BSJ-M7B", "0000000", "粤B88888", id="2011 sizes, told by the body's length"),
        pytest.param(REGISTER_2013, 2013, "70443", "XHX00002", "id00003", "粤A18888", id="2013 sizes"),
        pytest.param(REGISTER_2019, 2019, "yzh", "www.jtt808.com", "7654321", "测A1234", id="2019 sizes"),
    ],
)
def test_a_registration_is_read_by_its_own_sizes(
    text: str, layout: int, maker: str, model: str, terminal_id: str, plate: str
) -> None:
    said = said_by(text)
    assert isinstance(said, Register)
    assert (said.layout, said.manufacturer, said.model, said.terminal_id, said.plate) == (
        layout,
        maker,
        model,
        terminal_id,
        plate,
    )
    assert parse_frame(bytes.fromhex(text)).version == layout


def test_a_vin_in_a_2011_registration_is_not_taken_for_2013() -> None:
    body = register_body(version=2011, manufacturer="70111", model="BSJ", terminal_id="0000001", plate="LSGTC52U15Y051234")
    said = message(0x0100, body)
    assert isinstance(said, Register)
    assert (said.layout, said.plate, said.plate_color) == (2011, "LSGTC52U15Y051234", 0)


@pytest.mark.parametrize("version", [2011, 2013, 2019])
def test_a_registration_reads_back(version: int) -> None:
    texts = {"manufacturer": "70111", "model": "M1", "terminal_id": "T000001", "plate": "京A12345"}
    said = message(0x0100, register_body(version=version, province=11, city=101, plate_color=2, **texts), version)
    assert said == Register(province=11, city=101, plate_color=2, layout=version, **texts)


def test_a_2019_authentication_carries_imei_and_software() -> None:
    want = Authenticate(auth_code="17299841738", imei="123456789012345", software_version="3.7.15")
    assert said_by(AUTHENTICATE_2019) == want
    assert message(0x0102, authenticate_body("c0de", version=2019, imei="1" * 15), 2019) == Authenticate(
        auth_code="c0de", imei="1" * 15
    )


def test_an_authentication_until_2013_is_the_bare_code() -> None:
    assert message(0x0102, authenticate_body("c0de")) == Authenticate(auth_code="c0de")


def test_a_2019_flag_on_a_bare_code_is_read_as_the_code() -> None:
    assert message(0x0102, b"token-1", 2019) == Authenticate(auth_code="token-1")


@pytest.mark.parametrize(
    ("text", "serial", "latitude"),
    [
        pytest.param(LOCATION_ANSWER, 26722, 0.041957, id="0x0201"),
        pytest.param(CONTROL_ANSWER, 1000, 12.222222, id="0x0500"),
    ],
)
def test_an_answer_that_carries_a_location(text: str, serial: int, latitude: float) -> None:
    said = said_by(text)
    assert isinstance(said, LocationAnswer)
    assert (said.ack_serial, said.location.latitude) == (serial, latitude)


def test_a_captured_batch() -> None:
    said = said_by(BATCH_2019)
    assert isinstance(said, LocationBatch)
    assert [(at.latitude, at.longitude) for at in said.locations] == [(-27.263378, 153.037383)]
    assert said.refused == ()


def test_a_bad_item_of_a_batch_is_refused_and_the_good_ones_beside_it_are_kept() -> None:
    good = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS)
    said = message(0x0704, batch_body([good, good[:27], good]))
    assert isinstance(said, LocationBatch)
    assert len(said.locations) == 2
    assert [(refused.reason, refused.raw) for refused in said.refused] == [(Reason.TRUNCATED, good[:27])]


def test_a_batch_item_whose_length_lies_ends_the_batch_and_keeps_what_came_before() -> None:
    good = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS)
    body = bytearray(batch_body([good, good]))
    body[3 + 2 + 28 + 1] = 200
    said = message(0x0704, bytes(body))
    assert isinstance(said, LocationBatch)
    assert len(said.locations) == 1
    assert [refused.reason for refused in said.refused] == [Reason.TRUNCATED]


def test_a_batch_that_promises_more_items_than_it_has_says_so() -> None:
    good = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS)
    said = message(0x0704, b"\x00\x05" + batch_body([good])[2:])
    assert isinstance(said, LocationBatch)
    assert (len(said.locations), len(said.refused)) == (1, 1)


def test_a_batch_with_more_items_than_it_promises_keeps_them_all() -> None:
    good = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS)
    said = message(0x0704, b"\x00\x01" + batch_body([good, good])[2:])
    assert isinstance(said, LocationBatch)
    assert (said.count, len(said.locations), said.refused) == (1, 2, ())


def test_a_vendors_batch_has_items_behind_one_byte() -> None:
    good = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS)
    said = message(0x0210, 2 * (bytes((len(good),)) + good))
    assert isinstance(said, LocationBatch)
    assert [location.latitude for location in said.locations] == [31.0, 31.0]
    assert record(encode_frame(0x0210, "1", 1, bytes.fromhex("55250615230640")))["battery_level"] == 85


def test_multimedia_carries_the_place_it_was_taken() -> None:
    place = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS)
    said = message(0x0801, bytes.fromhex("0000007b01020102") + place + b"\xff\xd8jpeg")
    assert isinstance(said, MultimediaData)
    assert said.location is not None
    assert (said.multimedia_id, said.location.latitude, said.data) == (123, 31.0, b"\xff\xd8jpeg")


def test_an_item_that_runs_past_the_end_loses_neither_the_place_nor_the_items_before_it() -> None:
    said = said_by(TAIL_CUT)
    assert isinstance(said, LocationReport)
    assert said.location.items[-1] == (0x31, b"\x28")
    assert said.location.flaw is not None
    assert said.location.flaw.reason is Reason.TRUNCATED


def test_digits_that_are_no_date_give_no_time_and_are_shown_raw() -> None:
    body = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS)[:22] + bytes.fromhex("211332256199")
    location = parse_location(body)
    assert (location.time, location.time_raw) == (None, "211332256199")
    decoded = decode_location(VEHICLE, location)
    assert decoded.time_ns is None
    assert set(decoded.flaws.values()) == {Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)}
    assert decoded.flaws.keys() == decoded.values.keys()


def test_the_time_is_in_the_profiles_zone() -> None:
    location = parse_location(encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS))
    assert location.time == datetime(2025, 6, 15, 23, 6, 40)  # noqa: DTZ001 (civil time of GMT+8)
    assert decode_location(VEHICLE, location).time_ns == NOW_NS


def test_an_encrypted_body_is_named_and_not_read() -> None:
    raw = bytearray(encode_frame(0x0200, "1", 1, bytes(28))[1:-2])
    raw[2] |= 0x04
    check = 0
    for byte in raw:
        check ^= byte
    said = record(b"\x7e" + bytes(raw) + bytes((check,)) + b"\x7e")
    assert said["encryption"] == "rsa"
    assert said["flaws"] == [{"reason": "unsupported_encryption", "where": "the body"}]
    assert "latitude" not in said


def test_a_location_too_short_to_be_one_is_refused_with_its_header() -> None:
    said = record(encode_frame(0x0200, "13800000001", 7, bytes(20)))
    assert (said["refused"], said["phone"], said["where"]) == (
        "truncated",
        "013800000001",
        "byte 33: a location of 20 bytes, want at least 28",
    )


@pytest.mark.parametrize(
    ("status", "latitude", "flaw"),
    [
        pytest.param(2, 91.5, Flaw(Quality.BAD, Reason.OUT_OF_RANGE), id="a latitude beyond the pole is bad"),
        pytest.param(0, 31.0, Flaw(Quality.UNCERTAIN, Reason.NO_VALUE), id="a position without a fix is uncertain"),
        pytest.param(
            2 | 32,
            31.0,
            Flaw(Quality.UNCERTAIN, Reason.UNSUPPORTED_ENCRYPTION),
            id="a position the terminal shifted is uncertain",
        ),
        pytest.param(2, 31.0, None, id="a position with a fix is good"),
    ],
)
def test_the_quality_of_a_position(status: int, latitude: float, flaw: Flaw | None) -> None:
    location = parse_location(encode_location(latitude=latitude, longitude=121.0, time_ns=NOW_NS, status=status))
    decoded = decode_location(VEHICLE, location)
    assert (decoded.values["latitude_deg"], decoded.flaws.get("latitude_deg")) == (latitude, flaw)


def test_bits_and_items_become_metrics() -> None:
    items = [(0x01, bytes.fromhex("00000c45")), (0xE1, b"\x00\x75"), (0x30, b"\x15")]
    body = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS, alarm=1, status=3, speed_kmh=33.0, items=items)
    values = decode_location(VEHICLE, parse_location(body)).values
    want = {"sos": True, "acc_on": True, "speed_kmh": 33.0, "odometer_km": 314.1, "signal_level": 21}
    assert {metric: values[metric] for metric in want} == want


def test_an_item_of_another_size_is_bad_and_the_rest_stays_good() -> None:
    body = encode_location(latitude=31.0, longitude=121.0, time_ns=NOW_NS, items=[(0x01, b"\x00\x01")])
    decoded = decode_location(VEHICLE, parse_location(body))
    assert decoded.flaws == {"odometer_km": Flaw(Quality.BAD, Reason.BAD_LENGTH)}


@given(
    latitude=st.integers(-90_000_000, 90_000_000),
    longitude=st.integers(-180_000_000, 180_000_000),
    speed=st.integers(0, 65535),
    odometer=st.integers(0, 2**32 - 1),
    seconds=st.integers(946_684_800, 4_102_400_000),
)
def test_metric_values_survive_the_wire(latitude: int, longitude: int, speed: int, odometer: int, seconds: int) -> None:
    values = {
        "latitude_deg": latitude / 1e6,
        "longitude_deg": longitude / 1e6,
        "speed_kmh": speed / 10,
        "odometer_km": odometer / 10,
        "sos": True,
    }
    decoded = decode_location(VEHICLE, parse_location(encode_values(VEHICLE, values, seconds * SECOND_NS)))
    assert decoded.time_ns == seconds * SECOND_NS
    assert {metric: decoded.values[metric] for metric in values} == values


@given(
    st.sampled_from([0x0001, 0x0002, 0x0100, 0x0102, 0x0107, 0x0200, 0x0201, 0x0210, 0x0500, 0x0704, 0x0801, *OTHERS]),
    st.binary(max_size=200),
)
def test_no_body_of_any_message_raises_anything_but_a_parse_error(message_id: int, body: bytes) -> None:
    for version in (2013, 2019):
        raw = encode_frame(message_id, "1", 1, body, version)
        try:
            parse_message(parse_frame(raw))
        except ParseError as error:
            assert error.at is None or error.at <= len(body)  # noqa: PT017 (either outcome is right)
        assert record(raw)["message_id"] == f"0x{message_id:04x}"


def test_a_general_answer_and_a_registration_answer_have_the_standards_bytes() -> None:
    # cuteLittleDevil/go-jt808, reply_test.go
    want = "7e8001000501234567890100007fff0002008e7e"
    assert encode_frame(0x8001, "012345678901", 0, general_answer_body(0x7FFF, 0x0002)).hex() == want
    want = "7e8100000e01234567890100010000003132333435363738393031367e"
    assert encode_frame(0x8100, "012345678901", 1, register_answer_body(0, 0, "12345678901")).hex() == want


def test_the_code_travels_only_with_a_registration_that_was_accepted() -> None:
    assert register_answer_body(5, 3, "secret") == bytes.fromhex("000503")


@pytest.mark.parametrize(
    ("version", "want"), [(2013, "109902 0003 0005".replace(" ", "")), (2019, "10990002 0003 0005".replace(" ", ""))]
)
def test_a_resend_request_counts_in_a_byte_until_2013_and_in_a_word_since(version: int, want: str) -> None:
    body = resend_request_body(4249, [3, 5], version)
    assert body.hex() == want
    said = message(0x8003, body, version)
    assert isinstance(said, Other)
    assert said.fields == {"first_serial": 4249, "packets_count": 2, "packets": [3, 5]}


def test_a_vendors_message_is_kept_as_bytes() -> None:
    assert message(0x6006, b"hello") == Unknown(reason=Reason.UNKNOWN_MESSAGE, body=b"hello")


def packets(body: bytes, size: int, phone: str = "1", message_id: int = 0x0801) -> list[Frame]:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return [
        parse_frame(encode_frame(message_id, phone, 100 + i, part, packet=(len(parts), i + 1))) for i, part in enumerate(parts)
    ]


@given(st.permutations(range(5)), st.binary(min_size=41, max_size=50))
def test_packets_in_any_order_make_the_message_once(order: list[int], body: bytes) -> None:
    reassembler = Reassembler()
    frames = packets(body, 10)
    order = [number for number in order if number < len(frames)]
    results = [reassembler.add(frames[number], NOW_NS) for number in order]
    assert results[:-1] == [None] * (len(order) - 1)
    whole = results[-1]
    assert isinstance(whole, Frame)
    assert (whole.body, whole.packet, whole.serial) == (body, None, 100)
    assert reassembler.held_bytes == 0


def test_what_is_missing_can_be_asked_for() -> None:
    reassembler = Reassembler()
    first, _, third = packets(b"x" * 30, 10)
    reassembler.add(first, NOW_NS)
    reassembler.add(third, NOW_NS)
    (missing,) = reassembler.missing()
    assert (missing.first_serial, missing.packets) == (100, (2,))


def test_a_packet_that_came_twice_changes_nothing() -> None:
    reassembler = Reassembler()
    first, second = packets(b"x" * 20, 10)
    assert reassembler.add(first, NOW_NS) is None
    assert reassembler.add(first, NOW_NS) is None
    assert isinstance(reassembler.add(second, NOW_NS), Frame)


def test_an_unfinished_message_is_given_up_when_it_is_too_old() -> None:
    reassembler = Reassembler(max_age_s=60)
    reassembler.add(packets(b"x" * 20, 10)[0], NOW_NS)
    assert reassembler.expire(NOW_NS + 60 * SECOND_NS) == []
    (refused,) = reassembler.expire(NOW_NS + 61 * SECOND_NS)
    assert refused.reason is Reason.REASSEMBLY_LIMIT
    assert reassembler.held_bytes == 0


def test_more_unfinished_messages_than_allowed_push_out_the_oldest() -> None:
    reassembler = Reassembler(max_messages=2)
    for phone in ("1", "2", "3"):
        assert reassembler.add(packets(b"x" * 20, 10, phone)[0], NOW_NS) is None
    assert [missing.phone.lstrip("0") for missing in reassembler.missing()] == ["2", "3"]
    assert len(reassembler.expire(NOW_NS)) == 1


def test_a_message_that_alone_is_too_large_is_refused() -> None:
    reassembler = Reassembler(max_bytes=1000)
    results = [reassembler.add(frame, NOW_NS) for frame in packets(b"x" * 2000, 500)[:3]]
    refused = next(result for result in results if result is not None)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.REASSEMBLY_LIMIT
    assert reassembler.held_bytes <= 1000


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 70), st.integers(0, 70), st.binary(max_size=60)), max_size=60))
def test_no_sequence_of_packets_holds_more_than_the_limits(sequence: list[tuple[int, int, int, bytes]]) -> None:
    reassembler = Reassembler(max_messages=3, max_bytes=2000)
    for phone, total, number, body in sequence:
        frame = parse_frame(encode_frame(0x0801, str(phone), number, body, packet=(total, number)))
        result = reassembler.add(frame, NOW_NS)
        assert result is None or isinstance(result, (Frame, Refused))
        assert reassembler.held_bytes <= 2000
        assert len(reassembler.missing()) <= 3
