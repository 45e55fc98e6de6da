"""One value of a resource: as bytes of a TLV, as plain text, as other formats say it (LwM2M 1.1 Core, appendix C)."""

import base64
import binascii
import math
import re
import struct

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.model import Kind, ResourceType
from telemetry.reason import Reason

__all__ = [
    "Reading",
    "Value",
    "decode_text",
    "decode_value",
    "encode_text",
    "encode_value",
    "fit",
    "from_base64",
    "in_range",
    "read",
]

Value = bool | int | float | str | bytes
"""A time is whole seconds since 1970 UTC, an object link the text `3:0`."""

_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?")
_LINK = re.compile(r"(\d{1,5}):(\d{1,5})")
_INTEGERS = frozenset({Kind.INTEGER, Kind.TIME, Kind.UNSIGNED})


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One value and where it stands: `path` as `/3303/0/5700`, or without its head where nothing tells the object.

    `value` is None where `flaw` says why it cannot be used; `type` is None where no table knows the resource, and `value`
    is then as it came. `unit` is what the message says, else the table's. `time_s` and `update_s` (when the next is due)
    are seconds; `time_s` counts from 1970 UTC or, where `relative`, from when the message came. `sum` is an integral over time.
    """

    path: str
    value: Value | None
    type: ResourceType | None = None
    unit: str = ""
    flaw: Reason | None = None
    detail: str = ""
    time_s: float | None = None
    relative: bool = False
    sum: float | None = None
    update_s: float | None = None
    at: int = 0
    size: int = 0


def read(path: str, row: ResourceType | None, raw: bytes, *, at: int = 0, size: int = 0) -> Reading:
    """The reading in a TLV's value; a value that cannot be used is a flaw of its own, and no ParseError."""
    if row is None:
        return Reading(path=path, value=raw, at=at, size=size)
    try:
        value = in_range(row, decode_value(row.kind, raw))
    except ParseError as error:
        return Reading(path=path, value=None, type=row, unit=row.unit, flaw=error.reason, detail=error.detail, at=at, size=size)
    return Reading(path=path, value=value, type=row, unit=row.unit, at=at, size=size)


def in_range(row: ResourceType, value: Value) -> Value:
    """The value, if the table allows it. ParseError: out_of_range."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return value
    if (row.low is not None and value < row.low) or (row.high is not None and value > row.high):
        raise ParseError(Reason.OUT_OF_RANGE, f"{value}, want {row.low} to {row.high}")
    return value


def decode_value(kind: Kind, raw: bytes) -> Value:
    """The value in a TLV's bytes. ParseError: bad_length, bad_field, not_a_number, wrong_type (text that is not UTF-8, none)."""
    match kind:
        case Kind.INTEGER | Kind.TIME | Kind.UNSIGNED:
            _sized(raw, 1, 2, 4, 8)
            return int.from_bytes(raw, "big", signed=kind is not Kind.UNSIGNED)
        case Kind.FLOAT:
            _sized(raw, 4, 8)
            return _finite(struct.unpack(">f" if len(raw) == 4 else ">d", raw)[0])
        case Kind.BOOLEAN:
            _sized(raw, 1)
            if raw[0] > 1:
                raise ParseError(Reason.BAD_FIELD, f"a boolean of {raw[0]}, want 0 or 1")
            return raw[0] == 1
        case Kind.OBJLNK:
            _sized(raw, 4)
            return f"{int.from_bytes(raw[:2], 'big')}:{int.from_bytes(raw[2:], 'big')}"
        case Kind.STRING | Kind.CORELNK:
            return _utf8(raw)
        case Kind.OPAQUE:
            return raw
        case Kind.NONE:
            raise ParseError(Reason.WRONG_TYPE, "a value of a resource that is only executed")


def encode_value(kind: Kind, value: Value) -> bytes:
    """The bytes that `decode_value` reads as `value`, numbers as short as they can be, floats in 8 bytes unless 4 hold them.

    ParseError: wrong_type, out_of_range.
    """
    value = fit(kind, value)
    if isinstance(value, bool):
        return bytes((value,))
    if isinstance(value, int):
        return _integer(value, signed=kind is not Kind.UNSIGNED)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, bytes):
        return value
    return b"".join(int(part).to_bytes(2, "big") for part in value.split(":")) if kind is Kind.OBJLNK else value.encode()


def _integer(value: int, *, signed: bool) -> bytes:
    for size in (1, 2, 4, 8):
        try:
            return value.to_bytes(size, "big", signed=signed)
        except OverflowError:
            continue
    raise ParseError(Reason.OUT_OF_RANGE, "an integer of more than 8 bytes")


def _float(value: float) -> bytes:
    try:
        short = struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">d", value)
    return short if struct.unpack(">f", short)[0] == value else struct.pack(">d", value)


def fit(kind: Kind, value: Value) -> Value:
    """A value of another format as its resource's type wants it: 31 for a float, 31.0 for an integer.

    ParseError: wrong_type, not_a_number, bad_field (an object link).
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and isinstance(value, float):
        _finite(value)
    if kind is Kind.FLOAT and number and not isinstance(value, (str, bytes)):
        return float(value)
    if kind in _INTEGERS and number and not isinstance(value, (str, bytes)) and value == int(value):
        return int(value)
    wants = {Kind.BOOLEAN: bool, Kind.OPAQUE: bytes, Kind.STRING: str, Kind.CORELNK: str}
    if kind in wants and isinstance(value, wants[kind]):
        return value
    if kind is Kind.OBJLNK and isinstance(value, str):
        return _link(value)
    raise ParseError(Reason.WRONG_TYPE, f"{type(value).__name__}, want {kind}")


def decode_text(kind: Kind, payload: bytes) -> Value:
    """A value as plain text (1.1 Core, clause 7.4.1); opaque is base64. ParseError as `decode_value`."""
    text = _utf8(payload)
    match kind:
        case Kind.STRING | Kind.CORELNK:
            return text
        case Kind.OBJLNK:
            return _link(text)
        case Kind.OPAQUE:
            return from_base64(text)
        case Kind.BOOLEAN:
            if text not in {"0", "1"}:
                raise ParseError(Reason.BAD_FIELD, f"a boolean of {text[:20]!r}, want 0 or 1")
            return text == "1"
        case Kind.NONE:
            raise ParseError(Reason.WRONG_TYPE, "a value of a resource that is only executed")
        case Kind.INTEGER | Kind.TIME | Kind.UNSIGNED | Kind.FLOAT:
            found = _NUMBER.fullmatch(text)
            whole = found is not None and found[1] is None and found[2] is None
            if found is None or (kind is not Kind.FLOAT and not whole):
                raise ParseError(Reason.NOT_A_NUMBER, f"{text[:20]!r}, want {kind}")
            return _finite(float(text)) if kind is Kind.FLOAT else int(text)


def encode_text(kind: Kind, value: Value) -> bytes:
    """The payload that `decode_text` reads as `value`. ParseError: wrong_type."""
    value = fit(kind, value)
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return base64.b64encode(value) if isinstance(value, bytes) else str(value).encode()


def from_base64(text: str) -> bytes:
    """Bytes of either base64 alphabet, padded or not. ParseError: bad_field."""
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ParseError(Reason.BAD_FIELD, "not base64") from error


def _sized(raw: bytes, *sizes: int) -> None:
    if len(raw) not in sizes:
        raise ParseError(Reason.BAD_LENGTH, f"{len(raw)} bytes, want {' or '.join(map(str, sizes))}")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ParseError(Reason.NOT_A_NUMBER, f"{value}")
    return value


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(Reason.WRONG_TYPE, "not UTF-8", error.start) from error


def _link(text: str) -> str:
    found = _LINK.fullmatch(text)
    if found is None or max(int(found[1]), int(found[2])) > 0xFFFF:
        raise ParseError(Reason.BAD_FIELD, f"{text[:20]!r}, want an object link such as 3:0")
    return f"{int(found[1])}:{int(found[2])}"
