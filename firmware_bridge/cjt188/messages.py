"""What a CJ/T 188 frame says: its function, and its data as identifier, meter type and length lay it out."""

from collections.abc import Iterator

import msgspec

from firmware_bridge.civil import civil_time
from firmware_bridge.cjt188.frames import Frame
from firmware_bridge.cjt188.tables import (
    FUNCTIONS,
    UNITS,
    VALVE_ACTIONS,
    Field,
    Form,
    family,
    is_identifier,
    item_name,
    layouts,
)
from firmware_bridge.cursor import Cursor
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.numbers import bcd_digits
from telemetry.reason import Reason

__all__ = ["Message", "Reading", "Status", "function_name", "parse_message", "read_status"]


class Status(msgspec.Struct, frozen=True):
    """A meter's two status bytes. The sources disagree on the bits of the first one, and the second is the maker's own:

    usually bits 0-1 are the valve (00 open, 01 closed, 11 fault) and bit 2 the battery, but one maker mirrors the byte (valve
    C0, battery 20). Both readings are given; who needs to be sure keeps the bytes and asks the maker.
    """

    raw: bytes
    valve: str
    battery: str
    valve_mirrored: str
    battery_mirrored: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One field: None with its `flaw` where its bytes cannot be read. `unit` is a UCUM code, `at` counts bytes of data."""

    name: str
    value: float | int | str | Status | None
    unit: str | None = None
    flaw: Refused | None = None
    at: int
    size: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A frame's function, identifier, sequence number SER and fields. `low_first` is the identifier's order on the wire:

    2018 sends its low byte first and 2004 its high one, but meters of either order are found of both.
    """

    function: str
    data_id: int | None = None
    low_first: bool = False
    sequence: int | None = None
    item: str | None = None
    readings: list[Reading] = []
    rest: bytes = b""


def function_name(frame: Frame) -> str:
    return FUNCTIONS.get(frame.function, f"0x{frame.function:02x}")


def parse_message(frame: Frame, cursor: Cursor | None = None) -> Message:
    """The message in a frame. ParseError(truncated) where its data ends too soon, `at` counted in bytes of data; a field that
    cannot be read is a flaw of its own. The `cursor` tells afterwards where identifier and sequence stood."""
    cursor = cursor or Cursor(frame.data)
    name = function_name(frame)
    if frame.is_error:
        return _error(name, cursor)
    if not cursor.left:
        return Message(function=name)
    data_id, low_first = _identifier(cursor.take("data_id", 2))
    sequence = cursor.u8("sequence")
    readings = list(_readings(frame, data_id, cursor))
    return Message(
        function=name,
        data_id=data_id,
        low_first=low_first,
        sequence=sequence,
        item=item_name(data_id),
        readings=readings,
        rest=cursor.rest("rest") if cursor.left else b"",
    )


def _error(name: str, cursor: Cursor) -> Message:
    """A refusal is SER and status, without the identifier."""
    sequence = cursor.u8("sequence") if cursor.left else None
    readings = list(_walk((Field("status", 2, Form.STATUS),), cursor)) if cursor.left >= 2 else []
    return Message(function=name, sequence=sequence, readings=readings, rest=cursor.rest("rest") if cursor.left else b"")


def _identifier(wire: bytes) -> tuple[int, bool]:
    """The identifier, and whether its low byte came first: whichever order makes a known one. History D2 to D4 is of 2018."""
    high_first, low_first = int.from_bytes(wire, "big"), int.from_bytes(wire, "little")
    recent = low_first >> 8 in {0xD2, 0xD3, 0xD4}
    swapped = recent or (is_identifier(low_first) and not is_identifier(high_first))
    return (low_first, True) if swapped else (high_first, False)


def _readings(frame: Frame, data_id: int, cursor: Cursor) -> Iterator[Reading]:
    if frame.from_meter and frame.function != 0x01 and cursor.left == 2 and data_id >> 8 in {0xA0, 0xA1}:
        yield from _walk((Field("status", 2, Form.STATUS),), cursor)
        return
    known = layouts(data_id, family(frame.meter_type))
    size = cursor.left
    fitting = [layout for layout in known if _size(layout) == size] or [layout for layout in known[:1] if size > _size(layout)]
    if not fitting:
        return
    yield from _walk(fitting[0], cursor)


def _size(layout: tuple[Field, ...]) -> int:
    return sum(field.size for field in layout)


def _walk(layout: tuple[Field, ...], cursor: Cursor) -> Iterator[Reading]:
    unit_first = _unit_first(layout, cursor.data[cursor.at :])
    for field in layout:
        at = cursor.at
        data = cursor.take(field.name, field.size)
        try:
            value, unit = _value(field, data, unit_first=unit_first)
            yield Reading(name=field.name, value=value, unit=unit, at=at, size=field.size)
        except ParseError as error:
            unit = _quantity_unit(field, data, unit_first=unit_first)
            wrong = ParseError(error.reason, error.detail, at)
            yield Reading(name=field.name, value=None, unit=unit, flaw=Refused.of(wrong, data), at=at, size=field.size)


def _unit_first(layout: tuple[Field, ...], data: bytes) -> bool:
    """Whether every quantity has its unit's byte before the number, as heat meters of some makers send it."""
    firsts, lasts, at = [], [], 0
    for field in layout:
        if field.form is Form.QUANTITY:
            firsts.append(data[at])
            lasts.append(data[at + field.size - 1])
        at += field.size
    return len(firsts) > 2 and all(code in UNITS for code in firsts) and not all(code in UNITS for code in lasts)


def _quantity_unit(field: Field, data: bytes, *, unit_first: bool) -> str | None:
    if field.form is not Form.QUANTITY:
        return field.unit
    return UNITS.get(data[0] if unit_first else data[-1], (None, 1))[0]


def _value(field: Field, data: bytes, *, unit_first: bool) -> tuple[float | int | str | Status, str | None]:
    match field.form:
        case Form.QUANTITY:
            code, digits = (data[0], data[1:]) if unit_first else (data[-1], data[:-1])
            unit, times = UNITS.get(code, (None, 1))
            value = _number(field, digits, times)
            if unit is None:
                raise ParseError(Reason.NOT_IN_ENUM, f"{code:#04x} is no unit")
            return value, unit
        case Form.NUMBER:
            return _number(field, data), field.unit
        case Form.TIME:
            return _time(data), None
        case Form.STATUS:
            return read_status(data), None
        case Form.VALVE:
            if data[0] not in VALVE_ACTIONS:
                raise ParseError(Reason.NOT_IN_ENUM, f"{data[0]:#04x} is no valve action")
            return VALVE_ACTIONS[data[0]], None
        case Form.ADDRESS:
            return data[::-1].hex().upper(), None
        case Form.RAW:
            return data.hex(), None


def _filled(data: bytes) -> None:
    if not data.strip(b"\xff"):
        raise ParseError(Reason.NO_VALUE, "filled with FF")


def _number(field: Field, data: bytes, times: int = 1) -> float | int:
    _filled(data)
    whole = int(bcd_digits(data[::-1])) * times
    return whole / 10**field.decimals if field.decimals else whole


def _time(data: bytes) -> str:
    _filled(data)
    digits = bcd_digits(data[::-1])
    if not digits.startswith("20") and digits.strip("0"):
        raise ParseError(Reason.IMPLAUSIBLE_TIME, f"{digits} is not of this century")
    return civil_time(digits[2:])


_VALVES = {0b00: "open", 0b01: "closed", 0b10: "reserved", 0b11: "fault"}


def read_status(raw: bytes) -> Status:
    """Both readings of the status bytes, see `Status`."""
    first = raw[0]
    return Status(raw, _VALVES[first & 3], _battery(first & 4), _VALVES[first >> 6], _battery(first & 0x20))


def _battery(bit: int) -> str:
    return "low" if bit else "ok"
