"""A JT/T 808 frame field by field, each with the offset of its first byte as the frame was given."""

from collections.abc import Iterator

import msgspec

from firmware_bridge.cursor import Cursor, Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.frames import Frame, parse_frame, wire_offset
from firmware_bridge.jt808.items import read_item
from firmware_bridge.jt808.location import BASE_BYTES, Location, parse_location
from firmware_bridge.jt808.messages import message_name, parse_message
from firmware_bridge.jt808.tables import ALARM_BITS, STATUS_BITS, bit_names

__all__ = ["explain"]


def explain(raw: bytes) -> list[Shown]:
    """Every field of the frame in `raw`; ParseError where it is no frame. A body that cannot be read ends the list early."""
    frame = parse_frame(raw)
    cursor = Cursor(frame.body)
    try:
        parse_message(frame, cursor)
        body = cursor.shown
    except ParseError as error:
        at = error.at or 0
        body = [*cursor.shown, Shown("refused", at, len(frame.body) - at, f"{error.reason}: {error.detail}")]
    if not body and frame.body:
        body = [Shown("body", 0, len(frame.body), frame.body.hex())]
    fields = [*_header(frame), *(_moved(field, frame.body_at) for shown in body for field in _opened(shown, frame))]
    fields.append(Shown("checksum", frame.body_at + len(frame.body), 1, "right"))
    return [_on_wire(field, raw) for field in fields] if frame.escaped else fields


def _header(frame: Frame) -> Iterator[Shown]:
    yield Shown("message_id", 1, 2, f"{frame.message_id:#06x} {message_name(frame.message_id)}")
    told = f"{frame.declared_length} bytes of body" + ("" if frame.length_ok else f", but {len(frame.body)} are there")
    yield Shown("attributes", 3, 2, told + (f", encryption {frame.encryption}" if frame.encryption else ""))
    modern = frame.version == 2019
    if modern:
        yield Shown("protocol_version", 5, 1, frame.protocol_version)
    phone_at, phone_size = (6, 10) if modern else (5, 6)
    yield Shown("phone", phone_at, phone_size, frame.phone)
    yield Shown("serial", phone_at + phone_size, 2, frame.serial)
    if frame.packet is not None:
        yield Shown("packet", phone_at + phone_size + 2, 4, f"{frame.packet[1]} of {frame.packet[0]}")


def _opened(shown: Shown, frame: Frame) -> Iterator[Shown]:
    """A location, or an item of a batch, as its parts; anything else as it is."""
    if shown.name not in {"location", "item"}:
        yield shown
        return
    body = frame.body[shown.at : shown.at + shown.size]
    try:
        location = parse_location(body)
    except ParseError as error:
        yield Shown("refused", shown.at, shown.size, f"{error.reason}: {error.detail}")
        return
    for field in _location(location, frame.version):
        yield _moved(field, shown.at)


def _location(location: Location, version: int) -> Iterator[Shown]:
    yield Shown("alarm", 0, 4, _bits(location.alarm, bit_names(location.alarm, ALARM_BITS, version)))
    yield Shown("status", 4, 4, _bits(location.status, bit_names(location.status, STATUS_BITS, version)))
    yield Shown("latitude", 8, 4, f"{location.latitude:.6f}")
    yield Shown("longitude", 12, 4, f"{location.longitude:.6f}")
    yield Shown("altitude_m", 16, 2, location.altitude_m)
    yield Shown("speed_kmh", 18, 2, location.speed_kmh)
    yield Shown("course_deg", 20, 2, location.course_deg)
    yield Shown("time", 22, 6, f"{location.time} +08:00" if location.time else f"{location.time_raw}, no date")
    at = BASE_BYTES
    for number, data in location.items:
        yield Shown(f"item {number:#04x}", at, 2 + len(data), _item(number, data))
        at += 2 + len(data)
    if location.flaw is not None:
        yield Shown("unreadable", at, len(location.flaw.raw), f"{location.flaw.reason}: {location.flaw.detail}")


def _bits(value: int, names: list[str]) -> str:
    return f"{value:#010x}" + (f" {', '.join(names)}" if names else "")


def _item(number: int, data: bytes) -> str:
    try:
        known = read_item(number, data)
    except ParseError as error:
        return f"{data.hex()} ({error.detail})"
    return data.hex() if known is None else f"{known[0]} {known[1]}"


def _moved(field: Shown, by: int) -> Shown:
    return msgspec.structs.replace(field, at=field.at + by)


def _on_wire(field: Shown, raw: bytes) -> Shown:
    at, end = wire_offset(raw, field.at), wire_offset(raw, field.at + field.size)
    return Shown(field.name, at, end - at, field.value)
