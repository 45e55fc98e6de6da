"""The small part of protobuf's wire format that Sparkplug B needs: fields one after the other, read within bounds.

Source: Protocol Buffers, "Encoding": a field is a varint key (number << 3 | wire type) and its value.

    0 varint      1 eight bytes      2 length and bytes      5 four bytes      3, 4 groups: refused, proto2 gave them up
"""

from collections.abc import Iterator

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "Field", "fields", "write_field"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # 64 bits, seven in a byte
_LARGEST_NUMBER = 2**29 - 1
_SIZES = {FIXED64: 8, FIXED32: 4}


class Field(msgspec.Struct, frozen=True):
    """One field: `value` is an integer for a varint, the bytes otherwise; `at` counts from the message's first byte."""

    number: int
    wire: int
    value: int | bytes
    at: int


def fields(data: bytes, at: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message in `data[at:end]`. ParseError: truncated, bad_field (a group, a number of 0, a long varint)."""
    stop = len(data) if end is None else end
    while at < stop:
        start = at
        key, at = _varint(data, at, stop)
        number, wire = key >> 3, key & 7
        if not 0 < number <= _LARGEST_NUMBER:
            raise ParseError(Reason.BAD_FIELD, f"field number {number}", start)
        if wire == VARINT:
            value, after = _varint(data, at, stop)
            yield Field(number, wire, value, at)
            at = after
            continue
        size, at = _varint(data, at, stop) if wire == BYTES else (_size(wire, number, start), at)
        if size > stop - at:
            raise ParseError(Reason.TRUNCATED, f"field {number} needs {size} bytes, {stop - at} are left", at)
        yield Field(number, wire, data[at : at + size], at)
        at += size


def _size(wire: int, number: int, at: int) -> int:
    if wire not in _SIZES:
        raise ParseError(Reason.BAD_FIELD, f"field {number} has wire type {wire}", at)
    return _SIZES[wire]


def _varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """The number at `at` and the offset after it; bits beyond 64 are dropped, as protobuf's own readers do."""
    number = 0
    for index in range(_LONGEST_VARINT):
        if at + index >= stop:
            raise ParseError(Reason.TRUNCATED, "a number ends with the message", at)
        byte = data[at + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at + index + 1
    raise ParseError(Reason.BAD_FIELD, f"a number of more than {_LONGEST_VARINT} bytes", at)


def write_field(number: int, value: int | bytes, wire: int = VARINT) -> bytes:
    """One field: an integer as a varint, bytes with their length, or as they are where the wire type fixes it."""
    key = _write_varint(number << 3 | wire)
    if isinstance(value, int):
        return key + _write_varint(value)
    return key + (_write_varint(len(value)) if wire == BYTES else b"") + value


def _write_varint(number: int) -> bytes:
    number &= 0xFFFF_FFFF_FFFF_FFFF
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
