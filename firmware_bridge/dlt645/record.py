"""A DL/T 645 frame as one flat record, and field by field: what `frame decode dlt645` prints."""

from collections.abc import Iterator
from functools import partial

import msgspec

from firmware_bridge.cursor import Cursor, Shown
from firmware_bridge.dlt645.frames import BROADCAST, WILDCARD, Frame, parse_frame
from firmware_bridge.dlt645.messages import Message, Reading, function_name, parse_message
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.language import Language, Record
from firmware_bridge.meter_line import find_frame

__all__ = ["LANGUAGES", "explain", "record"]


def record(raw: bytes, protocol: str = "dlt645") -> Record:
    """What the frame in `raw` says; bytes around it are told as `trailing_hex`. ParseError where no frame stands in it.

    `value` and `unit` are those of the one quantity asked for, None where it is a block or cannot be read; `values` has every
    value by name, `fields` what else stands in the data, and `flaws` what could not be read, as {reason, where}.
    """
    frame, at = find_frame(raw, length_at=9, least=12, parse=parse_frame)
    header = _header(frame, protocol) | {"trailing_hex": raw[at + len(frame.raw) :].hex()}
    try:
        message = parse_message(frame)
    except ParseError as error:
        return header | {"flaws": [{"reason": error.reason, "where": _where(error.at, error.detail)}]}
    return header | _fields(frame, message)


def _header(frame: Frame, protocol: str) -> Record:
    return {
        "protocol": protocol,
        "version": frame.version,
        "address": frame.address,
        "broadcast": frame.address == BROADCAST,
        "wildcard": "AA" in {frame.address[at : at + 2] for at in range(0, 12, 2)},
        "control": f"{frame.control:02X}",
        "function": function_name(frame),
        "direction": "from_meter" if frame.from_meter else "to_meter",
        "from_slave": frame.from_meter,
        "error_flag": frame.is_error,
        "more_frames": frame.more,
        "data_length": len(frame.data),
        "checksum_ok": True,
    }


def _fields(frame: Frame, message: Message) -> Record:
    single = _single(message)
    readings = {reading.name: reading for reading in message.readings}
    told: Record = {
        "data_id": message.data_id,
        "item": None if message.item is None else message.item.name,
        "value": None if single is None else single.value,
        "unit": None if single is None else _as_printed(single.unit),
        "unit_ucum": None if single is None else single.unit,
        "values": {name: reading.value for name, reading in readings.items()},
        "units": {name: reading.unit for name, reading in readings.items() if reading.unit is not None},
        "errors": message.errors,
        "data_hex": frame.data.hex(),
        "rest_hex": message.rest.hex(),
        "flaws": [_flaw(name, flaw) for name, flaw in message.flaws],
    }
    if message.action is not None or (frame.function == 0x13 and not frame.from_meter):
        told["action"] = message.action or ("read address (wildcard)" if frame.address == WILDCARD else "read address")
    if frame.from_meter:
        told["ack"] = not frame.is_error
    return told | {"fields": message.fields}


def _single(message: Message) -> Reading | None:
    """The reading that is the item itself: not one of a block, nor the weekday before a date."""
    if message.item is None or message.item.labels is not None or not message.readings:
        return None
    return next((reading for reading in message.readings if reading.name == message.item.name), message.readings[0])


def _as_printed(unit: str | None) -> str | None:
    """kWh rather than UCUM's kW.h: as the standard and every meter's plate write it."""
    return None if unit is None else unit.replace(".", "")


def _flaw(name: str, flaw: Refused) -> Record:
    return {"reason": flaw.reason, "where": f"{name}: data {flaw.detail}"}


def _where(at: int | None, detail: str) -> str:
    return detail if at is None else f"data byte {at}: {detail}"


def explain(raw: bytes) -> list[Shown]:
    """Every field of the frame in `raw`, values without the offset 33; ParseError where there is none."""
    frame, start = find_frame(raw, length_at=9, least=12, parse=parse_frame)
    return [_moved(field, start) for field in (*_explained_head(frame), *_explained_data(frame), *_explained_tail(frame))]


def _explained_head(frame: Frame) -> Iterator[Shown]:
    yield Shown("start", 0, 1, "68")
    yield Shown("address", 1, 6, frame.address)
    yield Shown("start", 7, 1, "68")
    way = "from the meter" if frame.from_meter else "to the meter"
    words = [function_name(frame), way, *(["error"] if frame.is_error else []), *(["more follows"] if frame.more else [])]
    yield Shown("control", 8, 1, f"{frame.control:02X} {', '.join(words)}")
    yield Shown("length", 9, 1, len(frame.data))


def _explained_data(frame: Frame) -> Iterator[Shown]:
    cursor = Cursor(frame.data)
    readings: list[Reading] = []
    refused: Shown | None = None
    try:
        readings = parse_message(frame, cursor).readings
    except ParseError as error:
        refused = Shown("refused", cursor.at, cursor.left, f"{error.reason}: {error.detail}")
    fields = [shown for shown in cursor.shown if shown.size and not (shown.name == "data" and readings)]
    fields += [Shown(reading.name, reading.at, reading.size, _spoken(reading)) for reading in readings]
    fields += [refused] if refused is not None else []
    yield from (_moved(field, 10) for field in sorted(fields, key=lambda field: field.at))


def _spoken(reading: Reading) -> object:
    if reading.flaw is not None:
        return f"{reading.flaw.reason}: {reading.flaw.detail}"
    if isinstance(reading.value, list):
        return ", ".join(reading.value) or "nothing set"
    return reading.value if reading.unit in {None, "1"} else f"{reading.value} {_as_printed(reading.unit)}"


def _explained_tail(frame: Frame) -> Iterator[Shown]:
    yield Shown("checksum", 10 + len(frame.data), 1, "right")
    yield Shown("end", 11 + len(frame.data), 1, "16")


def _moved(field: Shown, by: int) -> Shown:
    return msgspec.structs.replace(field, at=field.at + by)


LANGUAGES = {name: Language(describe=partial(record, protocol=name), explain=explain) for name in ("dlt645", "dlt645-1997")}
"""One decoder under two names: a frame's control code tells the standard."""
