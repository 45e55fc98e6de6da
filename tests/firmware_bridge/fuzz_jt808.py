"""Any bytes at all, given to everything that reads JT/T 808: nothing is raised but ParseError, nothing is held for ever, what is
read is written again as it was, and how a stream is cut changes nothing."""

import json

from bridge_profiles import metric, profile

from device_profiles.quantities import MetricType, NumberType, Scaling
from device_profiles.wires import Wire
from device_profiles.wires.jt808 import Jt808Wire
from device_profiles.wires.jt808_parts import Jt808Part, Word
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.explain import explain
from firmware_bridge.jt808.frames import MAX_FRAME_BYTES, Frame, Jt808Framer, checksum, encode_frame, escape, parse_frame
from firmware_bridge.jt808.location import BASE_BYTES, decode_location, encode_location, parse_location
from firmware_bridge.jt808.messages import LocationBatch, LocationReport, parse_message
from firmware_bridge.jt808.others import OTHERS
from firmware_bridge.jt808.reassembly import Reassembler
from firmware_bridge.jt808.record import record
from telemetry.clock import SECOND_NS

ACTED_ON = (0x0001, 0x0002, 0x0003, 0x0100, 0x0102, 0x0107, 0x0200, 0x0201, 0x0210, 0x0500, 0x0704, 0x0801)
MESSAGE_IDS = (*ACTED_ON, *sorted(OTHERS))
MOST_MESSAGES, MOST_BYTES = 3, 4000

TRUCK = profile(
    Wire(
        jt808=Jt808Wire(
            fields={"latitude": "latitude_deg", "longitude": "longitude_deg"},
            alarm_bits={20: "area_crossed"},
            items={0x01: ("odometer_km", NumberType.U32, Scaling(scale=0.1))},
            parts=(
                Jt808Part(metric="load", type=NumberType.U32, scaling=Scaling(bits=(8, 2)), word=Word.STATUS),
                Jt808Part(metric="left_area", type=NumberType.U8, scaling=Scaling(bit=0), item=0x12, at=5),
                Jt808Part(metric="weight_t", type=NumberType.U16, scaling=Scaling(scale=0.01), item=0xE1, at=2),
            ),
        )
    ),
    metric("latitude_deg"),
    metric("longitude_deg"),
    metric("area_crossed", MetricType.BOOLEAN),
    metric("odometer_km"),
    metric("load", MetricType.INTEGER),
    metric("left_area", MetricType.BOOLEAN),
    metric("weight_t"),
)
"""A model whose metrics are fields, bits, items and parts of items."""


def framed(inner: bytes) -> bytes:
    """`inner` between flags, with the escapes and the checksum that it needs, however odd it is."""
    return b"\x7e" + escape(inner + bytes((checksum(inner),))) + b"\x7e"


def repaired(data: bytes) -> bytes:
    """What lies within the flags of `data`, with a checksum that is right: a changed byte is to be read, not only refused."""
    return framed(data.strip(b"\x7e").replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")[:-1])


def fuzz_one(data: bytes) -> None:
    """Read `data` as a frame, as the body of a message that its first byte picks, as a location, as packets and as a stream."""
    for raw in (data, framed(data), b"\x7e" + data + b"\x7e", repaired(data)):
        _read(raw)
    if data:
        _message(encode_frame(0x0200, "13800000001", 7, data[:900]))
        message_id, body = MESSAGE_IDS[data[0] % len(MESSAGE_IDS)], data[1:900]
        for version in (2013, 2019):
            _message(encode_frame(message_id, "13800000001", 7, body, version))
    _location(data)
    _packets(data)
    _stream(data)
    _stream(framed(data) + data[:50] + framed(data[::-1]))


def _read(raw: bytes) -> None:
    try:
        frame = parse_frame(raw)
    except ParseError as error:
        assert error.at is None or 0 <= error.at <= len(raw)  # noqa: PT017 (either outcome is right)
        return
    assert len(frame.body) < MAX_FRAME_BYTES
    if frame.escaped and frame.length_ok and not frame.encryption and frame.protocol_version in {None, 1}:
        again = encode_frame(frame.message_id, frame.phone, frame.serial, frame.body, frame.version, packet=frame.packet)
        assert parse_frame(again) == parse_frame(raw) or _odd_escapes(raw) or _reserved(raw)
    _message(raw)


def _odd_escapes(raw: bytes) -> bool:
    """A capture in which bytes that need no escape have one."""
    return b"\x7d" in raw


def _reserved(raw: bytes) -> bool:
    """Bit 15 of the attributes, which no revision uses and no encoder sets."""
    return bool(raw[3] & 0x80)


def _message(raw: bytes) -> None:
    said = record(raw)
    json.dumps(said, ensure_ascii=False, allow_nan=False)
    for field in explain(raw):
        assert 0 <= field.at <= field.at + field.size <= len(raw)
    frame = parse_frame(raw)
    try:
        message = parse_message(frame)
    except ParseError as error:
        assert error.at is None or 0 <= error.at <= len(frame.body)  # noqa: PT017 (either outcome is right)
        assert "refused" in said
        return
    match message:
        case LocationReport(location=location):
            decode_location(TRUCK, location)
        case LocationBatch():
            assert len(message.locations) + len(message.refused) >= min(message.count, 1)
            assert sum(BASE_BYTES for _ in message.locations) <= len(frame.body)
        case _:
            pass


def _location(data: bytes) -> None:
    try:
        location = parse_location(data)
    except ParseError:
        assert len(data) < BASE_BYTES
        return
    south, west = data[7] & 4, data[7] & 8
    place = [int.from_bytes(data[at : at + 4], "big") / 1e6 for at in (8, 12)]
    assert (location.latitude, location.longitude) == (-place[0] if south else place[0], -place[1] if west else place[1])
    assert location.speed_kmh == int.from_bytes(data[18:20], "big") / 10
    kept = sum(2 + len(item) for _, item in location.items) + (len(location.flaw.raw) if location.flaw else 0)
    assert kept == len(data) - BASE_BYTES, "every byte of the tail is an item or the flaw"
    decoded = decode_location(TRUCK, location)
    if location.time is None or decoded.time_ns is None or location.flaw is not None:
        return
    again = encode_location(
        latitude=location.latitude,
        longitude=location.longitude,
        time_ns=decoded.time_ns,
        alarm=location.alarm,
        status=location.status,
        altitude_m=location.altitude_m,
        speed_kmh=location.speed_kmh,
        course_deg=location.course_deg,
        items=location.items,
    )
    south_of_nowhere = int.from_bytes(data[4:8], "big") & 0xC and not (location.latitude and location.longitude)
    assert again == data or south_of_nowhere, "minus zero has no sign of its own"


def _packets(data: bytes) -> None:
    """Packets of several messages by turns: never more is held than the limits say, and what is whole is its parts in order."""
    reassembler = Reassembler(max_messages=MOST_MESSAGES, max_bytes=MOST_BYTES, max_age_s=5)
    for now, at in enumerate(range(0, len(data) - 3, 4)):
        phone, total, number, size = data[at : at + 4]
        body = data[at : at + size % 64]
        packet = (total % 6, number % 7)
        frame = parse_frame(encode_frame(0x0801, str(phone % 5), number, body, packet=packet))
        whole = reassembler.add(frame, now * SECOND_NS)
        assert whole is None or isinstance(whole, (Frame, Refused))
        if isinstance(whole, Frame) and packet[0] > 1:
            assert whole.packet is None
            assert body in whole.body
        assert reassembler.held_bytes <= MOST_BYTES
        for missing in reassembler.missing():
            assert missing.packets
            assert len(reassembler.missing()) <= MOST_MESSAGES
        reassembler.expire(now * SECOND_NS)
    reassembler.expire(10**6 * SECOND_NS)
    assert (reassembler.held_bytes, reassembler.missing()) == (0, [])


def _stream(data: bytes) -> None:
    whole = Jt808Framer()
    said = whole.feed(data) + whole.idle()
    cut = Jt808Framer()
    step = 1 + len(data) % 7
    pieces = [item for at in range(0, len(data), step) for item in cut.feed(data[at : at + step])] + cut.idle()
    assert [_essence(item) for item in pieces] == [_essence(item) for item in said]
    assert len(cut._segment) < MAX_FRAME_BYTES


def _essence(item: Frame | Refused) -> tuple[object, ...]:
    return (item.raw,) if isinstance(item, Frame) else (item.reason, item.raw)
