"""How an integer, float or BCD number lies in bytes; shared by registers, binary frames and location items."""

import struct

from device_profiles.quantities import NumberType, Scaling
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["bcd_digits", "is_sentinel", "pack", "size_of", "unpack"]

_CODES = {
    NumberType.U8: "B",
    NumberType.I8: "b",
    NumberType.U16: "H",
    NumberType.I16: "h",
    NumberType.U32: "I",
    NumberType.I32: "i",
    NumberType.U64: "Q",
    NumberType.I64: "q",
    NumberType.F32: "f",
    NumberType.F64: "d",
}
_FORMATS = {
    (number, order): struct.Struct(sign + code)
    for number, code in _CODES.items()
    for order, sign in (("big", ">"), ("little", "<"))
}


def size_of(number: NumberType, bcd_size: int = 0) -> int:
    """Bytes that `number` takes; BCD takes as many as its field says."""
    return bcd_size if number is NumberType.BCD else _FORMATS[number, "big"].size


def unpack(data: bytes, number: NumberType, byte_order: str = "big") -> int | float:
    """The number in exactly `data`. ParseError: truncated for another size, bad_field for a BCD nibble above 9."""
    if number is NumberType.BCD:
        return int(bcd_digits(data if byte_order == "big" else data[::-1]) or "0")
    layout = _FORMATS[number, byte_order]
    if len(data) != layout.size:
        raise ParseError(Reason.TRUNCATED, f"{len(data)} bytes, want {layout.size} for {number}")
    value: int | float = layout.unpack(data)[0]
    return value


def pack(value: float, number: NumberType, byte_order: str = "big", bcd_size: int = 0) -> bytes:
    """The bytes of `value`; ParseError(out_of_range) where they cannot hold it."""
    if number is NumberType.BCD:
        return _pack_bcd(value, byte_order, bcd_size)
    whole = value if number in {NumberType.F32, NumberType.F64} else round(value)
    try:
        return _FORMATS[number, byte_order].pack(whole)
    except (struct.error, OverflowError) as error:
        raise ParseError(Reason.OUT_OF_RANGE, f"{value} does not fit {number}") from error


def bcd_digits(data: bytes) -> str:
    """The decimal digits of packed BCD, high nibble first; ParseError(bad_field) with the offset of the first other nibble."""
    text = data.hex()
    if not text.isdecimal() and text:
        at = next(i for i, digit in enumerate(text) if digit not in "0123456789") // 2
        raise ParseError(Reason.BAD_FIELD, f"{data[at]:#04x} is no pair of decimal digits", at)
    return text


def is_sentinel(raw: float, number: NumberType, scaling: Scaling) -> bool:
    """Whether `raw` is one of the profile's words for "none", written as a number or, for signed ones, as its bit pattern."""
    if raw in scaling.no_value:
        return True
    signed = number in {NumberType.I8, NumberType.I16, NumberType.I32, NumberType.I64}
    return signed and raw < 0 and int(raw) + (1 << 8 * size_of(number)) in scaling.no_value


def _pack_bcd(value: float, byte_order: str, size: int) -> bytes:
    digits = str(round(value)).rjust(2 * size, "0")
    if value < 0 or len(digits) > 2 * size:
        raise ParseError(Reason.OUT_OF_RANGE, f"{value} does not fit {2 * size} decimal digits")
    packed = bytes.fromhex(digits)
    return packed if byte_order == "big" else packed[::-1]
