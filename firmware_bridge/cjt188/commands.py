"""Frames to send: the master's questions and commands, and the answers of a simulated meter (CJ/T 188-2018, clause 8)."""

from collections.abc import Mapping

from firmware_bridge.cjt188.frames import ANY_TYPE, WILDCARD, address_bytes, encode_frame
from firmware_bridge.cjt188.tables import UNITS, VALVE_ACTIONS, Field, Form, family, layouts
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = [
    "answer",
    "answer_address",
    "answer_write",
    "data_bytes",
    "question",
    "read_address",
    "refuse",
    "set_address",
    "set_clock",
    "valve_control",
]

_CODES = {unit: code for code, (unit, times) in reversed(UNITS.items()) if times == 1}
_VALVE_BITS = {"open": 0b00, "closed": 0b01, "fault": 0b11}

Values = Mapping[str, float | int | str | None]


def question(
    meter_type: int, address: str, data_id: str, sequence: int = 0, *, low_first: bool = False, wake_up: int = 3
) -> bytes:
    """Ask for one identifier of 4 hex digits; `low_first` is how meters of 2018 want it."""
    return encode_frame(meter_type, address, 0x01, _head(data_id, sequence, low_first=low_first), wake_up=wake_up)


def read_address(meter_type: int = ANY_TYPE, sequence: int = 0, *, low_first: bool = False) -> bytes:
    """Ask the one meter on the line who it is."""
    return encode_frame(meter_type, WILDCARD, 0x03, _head("810A", sequence, low_first=low_first))


def valve_control(
    meter_type: int, address: str, action: str, sequence: int = 0, *, low_first: bool = False, wake_up: int = 3
) -> bytes:
    """Have the valve go open or close."""
    head = _head("A017", sequence, low_first=low_first)
    data = head + data_bytes(meter_type, "A017", {"valve_action": action})
    return encode_frame(meter_type, address, 0x04, data, wake_up=wake_up)


def set_clock(meter_type: int, address: str, time: str, sequence: int = 0, *, low_first: bool = False) -> bytes:
    """Set the meter's clock to `time`, ISO 8601 civil time with seconds."""
    head = _head("A015", sequence, low_first=low_first)
    return encode_frame(meter_type, address, 0x04, head + data_bytes(meter_type, "A015", {"time": time}))


def set_address(meter_type: int, address: str, new: str, sequence: int = 0, *, low_first: bool = False) -> bytes:
    """Give the meter another address."""
    return encode_frame(meter_type, address, 0x15, _head("A018", sequence, low_first=low_first) + address_bytes(new))


def answer(
    meter_type: int, address: str, data_id: str, values: Values, sequence: int = 0, *, low_first: bool = False, layout: int = 0
) -> bytes:
    """A meter's answer to `question`; see `data_bytes` for the values."""
    head = _head(data_id, sequence, low_first=low_first)
    return encode_frame(meter_type, address, 0x81, head + data_bytes(meter_type, data_id, values, layout=layout))


def answer_address(meter_type: int, address: str, sequence: int = 0, *, low_first: bool = False) -> bytes:
    """A meter's answer to `read_address`."""
    return encode_frame(meter_type, address, 0x83, _head("810A", sequence, low_first=low_first))


def answer_write(
    meter_type: int, address: str, data_id: str, status: Values, sequence: int = 0, *, low_first: bool = False
) -> bytes:
    """A meter has done as it was told and sends its status, `status` as {valve, battery}."""
    return encode_frame(meter_type, address, 0x84, _head(data_id, sequence, low_first=low_first) + _status(status))


def refuse(meter_type: int, address: str, function: int, status: Values, sequence: int = 0) -> bytes:
    """A meter's refusal: SER and its status."""
    return encode_frame(meter_type, address, function | 0xC0, bytes((sequence,)) + _status(status))


def data_bytes(meter_type: int, data_id: str, values: Values, *, layout: int = 0) -> bytes:
    """The fields of an identifier for a type of meter as `values` names them, NAME_unit with a UCUM code for a quantity.

    A field left out or None is filled with FF; the status is taken from `status`, both bytes as a number,
    the first one low, or else from `valve` and `battery`. ParseError: unknown_metric for
    an identifier without a layout, out_of_range, not_in_enum, wrong_type.
    """
    known = layouts(_number(data_id), family(meter_type))
    if layout >= len(known):
        raise ParseError(Reason.UNKNOWN_METRIC, f"{data_id} has no layout {layout} for a meter of type {meter_type:02X}")
    return b"".join(_field_bytes(field, values) for field in known[layout])


def _field_bytes(field: Field, values: Values) -> bytes:
    value = values.get(field.name)
    match field.form:
        case Form.STATUS:
            return _status(values)
        case Form.QUANTITY:
            unit = str(values.get(f"{field.name}_unit", "m3"))
            if unit not in _CODES:
                raise ParseError(Reason.NOT_IN_ENUM, f"{field.name}: no unit {unit!r}")
            return _bcd(field, field.size - 1, value) + bytes((_CODES[unit],))
        case Form.NUMBER:
            return _bcd(field, field.size, value)
        case Form.TIME:
            return _time(field, value)
        case Form.VALVE:
            code = next((code for code, name in VALVE_ACTIONS.items() if name == value), None)
            if code is None:
                raise ParseError(Reason.NOT_IN_ENUM, f"{field.name}: {value!r}, want open or close")
            return bytes((code,))
        case Form.ADDRESS:
            return address_bytes(str(value))
        case Form.RAW:
            raise ParseError(Reason.WRONG_TYPE, f"{field.name} is not laid out")


def _bcd(field: Field, size: int, value: float | str | None) -> bytes:
    if value is None:
        return b"\xff" * size
    if isinstance(value, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.name}: {value!r} is no number")
    digits = str(round(value * 10**field.decimals)).rjust(2 * size, "0")
    if value < 0 or len(digits) > 2 * size:
        raise ParseError(Reason.OUT_OF_RANGE, f"{field.name}: {value} does not fit")
    return bytes.fromhex(digits)[::-1]


def _time(field: Field, value: float | str | None) -> bytes:
    if value is None:
        return b"\xff" * field.size
    digits = "".join(filter(str.isdecimal, str(value)))
    if len(digits) != 2 * field.size:
        raise ParseError(Reason.WRONG_TYPE, f"{field.name}: {value!r}, want date and time to the second")
    return bytes.fromhex(digits)[::-1]


def _status(values: Values) -> bytes:
    word = values.get("status")
    if isinstance(word, int):
        return (word & 0xFFFF).to_bytes(2, "little")
    valve = str(values.get("valve", "open"))
    if valve not in _VALVE_BITS:
        raise ParseError(Reason.NOT_IN_ENUM, f"valve {valve!r}, want one of {', '.join(_VALVE_BITS)}")
    return bytes((_VALVE_BITS[valve] | (4 if values.get("battery", "ok") == "low" else 0), 0))


def _number(data_id: str) -> int:
    try:
        return int(data_id, 16)
    except ValueError as error:
        raise ParseError(Reason.NOT_HEX, f"identifier {data_id!r} is no hex") from error


def _head(data_id: str, sequence: int, *, low_first: bool) -> bytes:
    number = _number(data_id)
    if not 0 <= number <= 0xFFFF:
        raise ParseError(Reason.OUT_OF_RANGE, f"identifier {data_id!r}: want 4 hex digits")
    return number.to_bytes(2, "little" if low_first else "big") + bytes((sequence & 0xFF,))
