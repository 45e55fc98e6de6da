"""An SL 651 frame as one flat record, and field by field: what `frame decode sl651` prints."""

from collections.abc import Iterator

import msgspec

from firmware_bridge.cursor import Cursor, Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record
from firmware_bridge.sl651.body import Body, parse_body
from firmware_bridge.sl651.frames import ENDS, Frame, frame_size, parse_frame
from firmware_bridge.sl651.readings import Reading
from firmware_bridge.sl651.tables import CLASSES, FUNCTIONS
from firmware_bridge.sl651.text import parse_text

__all__ = ["LANGUAGE", "body_of", "explain", "record"]


def body_of(frame: Frame) -> Body:
    """The body of a frame in either encoding."""
    return parse_text(frame) if frame.text else parse_body(frame)


def record(raw: bytes) -> Record:
    """What the frame in `raw` says, which may be followed by a line end. ParseError where it is no frame.

    `values` has the last value of each element by name, a list for a series; `elements` every one with its time, identifier
    and bytes; `flaws` what could not be read, as {reason, where}.
    """
    frame = parse_frame(_trimmed(raw))
    return _header(frame) | _fields(body_of(frame))


def _trimmed(raw: bytes) -> bytes:
    """`raw` without the line end that a text capture puts behind a frame; a CRC may end in the same bytes."""
    try:
        size = frame_size(raw)
    except ParseError:
        return raw
    return raw[:size] if size and not raw[size:].strip(b"\r\n") else raw


def _header(frame: Frame) -> Record:
    return {
        "protocol": "sl651",
        "encoding": "ascii" if frame.text else "hex",
        "direction": "up" if frame.up else "down",
        "center": frame.centre,
        "station": frame.station,
        "password": frame.password,
        "function": f"0x{frame.function:02X}",
        "function_name": FUNCTIONS.get(frame.function, "reserved"),
        "start": "STX" if frame.packet is None else "SYN",
        "packet": None if frame.packet is None else {"total": frame.packet[0], "number": frame.packet[1]},
        "body_length": len(frame.body),
        "end": ENDS[frame.end],
        "crc": f"{frame.crc:04X}",
        "crc_ok": True,
        "checksum_ok": True,
    }


def _fields(body: Body) -> Record:
    flaws = [(flaw, "body") for flaw in body.flaws]
    flaws += ((reading.flaw, f"{reading.name}: body") for reading in body.readings if reading.flaw is not None)
    told: Record = {
        "serial": body.serial,
        "send_time": body.sent,
        "station_in_body": body.station,
        "class": None if body.station_class is None else f"{body.station_class:02X}",
        "class_name": None if body.station_class is None else CLASSES.get(body.station_class, "reserved"),
        "observation_time": body.observed[-1] if body.observed else None,
        "step_minutes": body.step_minutes,
        "values": {reading.name: reading.value for reading in body.readings},
        "units": {reading.name: reading.unit for reading in body.readings if reading.unit not in {None, "1"}},
        "elements": [_element(reading) for reading in body.readings],
        "rest_hex": body.rest.hex(),
        "flaws": [{"reason": flaw.reason, "where": f"{where} {flaw.detail}"} for flaw, where in flaws],
    }
    if body.parameters:
        told["parameters"] = {reading.name: reading.value for reading in body.parameters}
    if body.asked:
        told["asked"] = body.asked
    for name, value in (("manual", body.manual), ("software", body.software), ("events", body.events)):
        if value is not None:
            told[name] = value
    if body.picture is not None:
        told |= {"picture_bytes": len(body.picture), "picture_hex": body.picture.hex()}
    return told


def _element(reading: Reading) -> Record:
    return {
        "id": reading.id,
        "ascii": reading.ascii,
        "name": reading.name,
        "name_zh": reading.name_zh,
        "value": reading.value,
        "unit": reading.unit,
        "obs_time": reading.observed,
        "bytes": len(reading.raw),
        "decimals": reading.decimals,
        "raw": reading.raw.decode("utf-8", errors="replace") if reading.text else reading.raw.hex(),
    }


def explain(raw: bytes) -> list[Shown]:
    """Every field of the frame in `raw`; ParseError where it is none. A body that cannot be read ends in its rest."""
    frame = parse_frame(_trimmed(raw))
    tail = len(frame.raw) - (5 if frame.text else 3)
    return [
        *_explained_head(frame),
        *(msgspec.structs.replace(field, at=field.at + frame.body_at) for field in _explained_body(frame)),
        Shown("end", tail, 1, ENDS[frame.end]),
        Shown("crc", tail + 1, 4 if frame.text else 2, "right"),
    ]


def _explained_head(frame: Frame) -> Iterator[Shown]:
    wide = 2 if frame.text else 1
    at = 1 if frame.text else 2
    yield Shown("start", 0, at, "SOH" if frame.text else "7e7e")
    addresses = [("centre", 1, frame.centre), ("station", 5, frame.station)]
    function = f"{frame.function:02X} {FUNCTIONS.get(frame.function, 'reserved')}"
    length = f"{'up' if frame.up else 'down'}, {len(frame.raw) - (29 if frame.text else 17)} bytes"
    rest = [("password", 2, frame.password), ("function", 1, function), ("direction, length", 2, length)]
    for name, size, value in (*(addresses if frame.up else addresses[::-1]), *rest):
        yield Shown(name, at, size * wide, value)
        at += size * wide
    yield Shown("start of text", at, 1, "STX" if frame.packet is None else "SYN")
    if frame.packet is not None:
        yield Shown("packet", at + 1, 3 * wide, f"{frame.packet[1]} of {frame.packet[0]}")


def _explained_body(frame: Frame) -> Iterator[Shown]:
    if frame.text:
        body = parse_text(frame)
        if body.rest:
            yield Shown("part", 0, len(body.rest), body.rest.hex())
            return
        yield Shown("serial", 0, 4, body.serial)
        yield Shown("sent", 4, 12, body.sent)
        yield from (Shown(each.name, each.at, each.size, _spoken(each)) for each in body.readings)
        return
    cursor = Cursor(frame.body)
    body = parse_body(frame, cursor)
    told = {reading.at: reading for reading in (*body.readings, *body.parameters)}
    end = 0
    for shown in cursor.shown:
        if shown.at in told and shown.at >= end:
            reading = told[shown.at]
            end = shown.at + reading.size
            yield Shown(reading.name, reading.at, reading.size, _spoken(reading))
        elif shown.at >= end and shown.size:
            yield shown


def _spoken(reading: Reading) -> object:
    if reading.flaw is not None:
        return f"{reading.flaw.reason}: {reading.flaw.detail}"
    value = reading.value
    if isinstance(value, list):
        value = ", ".join("none" if each is None else str(each) for each in value) or "nothing set"
    return value if reading.unit in {None, "1"} else f"{value} {reading.unit}"


LANGUAGE = Language(describe=record, explain=explain, spoken=("\x01",))
