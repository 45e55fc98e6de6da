"""The forms in which a DL/T 645 meter sends a value: BCD, text, times, bits; low byte first (DL/T 645-2007, annex A)."""

from datetime import datetime
from enum import Enum

import msgspec

from firmware_bridge.civil import civil_time, time_of_day
from firmware_bridge.errors import ParseError
from firmware_bridge.numbers import bcd_digits
from telemetry.reason import Reason

__all__ = ["Form", "Part", "Value", "read_part", "write_part"]

Value = float | int | str | list[str]


class Form(Enum):
    """How the bytes of one part are written."""

    NUMBER = "number"
    """BCD with a decimal point; a signed one has its sign in the highest bit."""
    DIGITS = "digits"
    """BCD that is a name: leading zeros count."""
    TEXT = "text"
    """ASCII, last character first; zero bytes and blanks fill it up."""
    DATE = "date"
    """YYMMDD."""
    TIME = "time"
    """hhmmss."""
    MOMENT = "moment"
    """YYMMDDhhmm."""
    CLOCK = "clock"
    """YYMMDDWWhhmmss, WW being the day of the week."""
    BITS = "bits"
    """A word of bits, told by the names of those that are set."""
    RAW = "raw"
    """Bytes in wire order, as hex."""
    IDENTIFIER = "identifier"
    """Hex digits, the high byte first."""


class Part(msgspec.Struct, frozen=True):
    """One value of an item: its name, its bytes, where the decimal point stands, its UCUM unit."""

    name: str
    size: int
    form: Form = Form.NUMBER
    decimals: int = 0
    unit: str | None = None
    signed: bool = False
    bits: dict[int, str] = {}


def read_part(part: Part, wire: bytes) -> Value:
    """The value in exactly the part's bytes, as they came.

    ParseError: no_value where every byte is FF, which fills what a meter does not have, and for a time of zeros;
    bad_field, `at` the byte of `wire` that is no BCD; implausible_time for one that the calendar does not have.
    """
    data = wire[::-1]
    if part.form is Form.BITS:
        word = int.from_bytes(data, "big")
        return [part.bits.get(bit, f"bit_{bit}") for bit in range(8 * part.size) if word >> bit & 1]
    if part.form is Form.RAW:
        return wire.hex()
    if part.form is Form.IDENTIFIER:
        return data.hex().upper()
    if data and not data.strip(b"\xff"):
        raise ParseError(Reason.NO_VALUE, f"{part.name} is filled with FF")
    if part.form is Form.TEXT:
        return data.decode("ascii", errors="replace").strip("\0 ")
    if part.form is Form.NUMBER:
        return _number(part, data)
    digits = _digits(data)
    if part.form is Form.TIME:
        return time_of_day(digits)
    if part.form is Form.DIGITS:
        return digits
    return civil_time(digits[:6] + digits[8:] if part.form is Form.CLOCK else digits)


def _digits(data: bytes) -> str:
    try:
        return bcd_digits(data)
    except ParseError as error:
        raise ParseError(error.reason, error.detail, len(data) - 1 - (error.at or 0)) from error


def _number(part: Part, data: bytes) -> float | int:
    negative = part.signed and bool(data[0] & 0x80)
    whole = int(_digits(bytes((data[0] & 0x7F,)) + data[1:] if negative else data))
    value = whole / 10**part.decimals if part.decimals else whole
    return -value if negative and value else value


def write_part(part: Part, value: Value) -> bytes:
    """The bytes that `read_part` reads as `value`. ParseError: wrong_type, out_of_range."""
    if part.form is Form.NUMBER and isinstance(value, (int, float)):
        return _number_bytes(part, value)
    if part.form is Form.BITS and isinstance(value, list):
        return _bits_bytes(part, value)
    if not isinstance(value, str):
        raise ParseError(Reason.WRONG_TYPE, f"{part.name}: {value!r} is no {part.form.value}")
    if part.form is Form.TEXT:
        return _sized(part, value.encode("ascii", errors="replace")).ljust(part.size, b"\0")[::-1]
    digits = "".join(filter(str.isalnum, value))
    if part.form is Form.CLOCK:
        return _clock_bytes(part, value)
    if part.form in {Form.DATE, Form.MOMENT}:
        digits = digits.removeprefix("20").replace("T", "")
    try:
        return _sized(part, bytes.fromhex(digits.rjust(2 * part.size, "0")))[::-1]
    except ValueError as error:
        raise ParseError(Reason.WRONG_TYPE, f"{part.name}: {value!r} is no {part.form.value}") from error


def _clock_bytes(part: Part, value: str) -> bytes:
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise ParseError(Reason.WRONG_TYPE, f"{part.name}: {value!r} is no {part.form.value}") from error
    return bytes.fromhex(f"{at:%y%m%d}{at.isoweekday() % 7:02d}{at:%H%M%S}")[::-1]


def _number_bytes(part: Part, value: float) -> bytes:
    digits = str(abs(round(value * 10**part.decimals))).rjust(2 * part.size, "0")
    full = len(digits) > 2 * part.size or (part.signed and digits[0] in "89")
    if full or (value < 0 and not part.signed):
        raise ParseError(Reason.OUT_OF_RANGE, f"{part.name}: {value} does not fit")
    data = bytearray.fromhex(digits)
    data[0] |= 0x80 if value < 0 else 0
    return bytes(data[::-1])


def _bits_bytes(part: Part, names: list[str]) -> bytes:
    numbers = {name: bit for bit, name in part.bits.items()} | {f"bit_{bit}": bit for bit in range(8 * part.size)}
    unknown = [name for name in names if name not in numbers]
    if unknown:
        raise ParseError(Reason.NOT_IN_ENUM, f"{part.name}: no bit is called {unknown[0]}")
    return sum({1 << numbers[name] for name in names}).to_bytes(part.size, "little")


def _sized(part: Part, data: bytes) -> bytes:
    if len(data) > part.size:
        raise ParseError(Reason.OUT_OF_RANGE, f"{part.name}: {len(data)} bytes, want at most {part.size}")
    return data
