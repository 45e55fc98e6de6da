"""A CJ/T 188 frame as one flat record, and field by field: what `frame decode cjt188` prints."""

from collections.abc import Iterator

import msgspec

from firmware_bridge.cjt188.frames import WILDCARD, Frame, parse_frame
from firmware_bridge.cjt188.messages import Message, Reading, Status, function_name, parse_message
from firmware_bridge.cjt188.tables import METER_TYPES, family
from firmware_bridge.cursor import Cursor, Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record
from firmware_bridge.meter_line import find_frame

__all__ = ["LANGUAGE", "explain", "record"]


def record(raw: bytes) -> Record:
    """What the frame in `raw` says; bytes behind it are told as `trailing_hex`. ParseError where no frame stands in it.

    `values` has every field by name, quantities with their unit as `NAME_unit`; `flaws` what could not be read, as
    {reason, where}.
    """
    frame, at = find_frame(raw, length_at=10, least=13, parse=parse_frame)
    header = _header(frame) | {"trailing_hex": raw[at + len(frame.raw) :].hex()}
    try:
        message = parse_message(frame)
    except ParseError as error:
        return header | {"flaws": [{"reason": error.reason, "where": _where(error.at, error.detail)}]}
    return header | _fields(frame, message)


def _header(frame: Frame) -> Record:
    return {
        "protocol": "cjt188",
        "meter_type": f"{frame.meter_type:02X}",
        "meter_kind": METER_TYPES.get(frame.meter_type, family(frame.meter_type)),
        "address": frame.address,
        "maker": frame.maker,
        "meter": frame.meter,
        "wildcard": frame.address == WILDCARD,
        "control": f"{frame.control:02X}",
        "function": function_name(frame),
        "direction": "from_meter" if frame.from_meter else "to_meter",
        "error_flag": frame.is_error,
        "more_frames": frame.more,
        "data_length": len(frame.data),
        "checksum_ok": True,
    }


def _fields(frame: Frame, message: Message) -> Record:
    values: Record = {}
    status: Record | None = None
    for reading in message.readings:
        if isinstance(reading.value, Status):
            status = _status(reading.value)
            values |= {"valve": reading.value.valve, "battery": reading.value.battery}
            continue
        values[reading.name] = reading.value
        if reading.unit is not None:
            values[f"{reading.name}_unit"] = reading.unit.replace(".", "")
    told: Record = {
        "data_id": None if message.data_id is None else f"{message.data_id:04X}",
        "data_id_low_first": message.low_first,
        "sequence": None if message.sequence is None else f"{message.sequence:02X}",
        "item": message.item,
        "values": values,
        "status": status,
        "data_hex": frame.data.hex(),
        "rest_hex": message.rest.hex(),
        "flaws": [
            {"reason": reading.flaw.reason, "where": f"{reading.name}: {reading.flaw.detail}"}
            for reading in message.readings
            if reading.flaw is not None
        ],
    }
    return told | ({"ack": not frame.is_error} if frame.from_meter else {})


def _status(status: Status) -> Record:
    return {
        "hex": status.raw.hex(),
        "usual": {"valve": status.valve, "battery": status.battery},
        "mirrored": {"valve": status.valve_mirrored, "battery": status.battery_mirrored},
    }


def _where(at: int | None, detail: str) -> str:
    return detail if at is None else f"data byte {at}: {detail}"


def explain(raw: bytes) -> list[Shown]:
    """Every field of the frame in `raw`; ParseError where there is none."""
    frame, start = find_frame(raw, length_at=10, least=13, parse=parse_frame)
    fields = [*_explained_head(frame), *_explained_data(frame)]
    fields += [Shown("checksum", len(frame.raw) - 2, 1, "right"), Shown("end", len(frame.raw) - 1, 1, "16")]
    return [_moved(field, start) for field in fields]


def _explained_head(frame: Frame) -> Iterator[Shown]:
    yield Shown("start", 0, 1, "68")
    yield Shown("meter_type", 1, 1, METER_TYPES.get(frame.meter_type, family(frame.meter_type)))
    yield Shown("address", 2, 7, frame.address)
    way = "from the meter" if frame.from_meter else "to the meter"
    words = [function_name(frame), way, *(["error"] if frame.is_error else []), *(["more follows"] if frame.more else [])]
    yield Shown("control", 9, 1, f"{frame.control:02X} {', '.join(words)}")
    yield Shown("length", 10, 1, len(frame.data))


def _explained_data(frame: Frame) -> Iterator[Shown]:
    cursor = Cursor(frame.data)
    readings: list[Reading] = []
    refused: list[Shown] = []
    try:
        readings = parse_message(frame, cursor).readings
    except ParseError as error:
        refused = [Shown("refused", cursor.at, cursor.left, f"{error.reason}: {error.detail}")]
    told = {reading.at: Shown(reading.name, reading.at, reading.size, _spoken(reading)) for reading in readings}
    yield from (_moved(told.get(shown.at, shown), 11) for shown in (*cursor.shown, *refused) if shown.size)


def _spoken(reading: Reading) -> object:
    if reading.flaw is not None:
        return f"{reading.flaw.reason}: {reading.flaw.detail}"
    if isinstance(reading.value, Status):
        return f"{reading.value.raw.hex()} valve {reading.value.valve}, battery {reading.value.battery} (usual reading)"
    return reading.value if reading.unit is None else f"{reading.value} {reading.unit.replace('.', '')}"


def _moved(field: Shown, by: int) -> Shown:
    return msgspec.structs.replace(field, at=field.at + by)


LANGUAGE = Language(describe=record, explain=explain)
