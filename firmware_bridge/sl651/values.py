"""The values of elements in both encodings (SL 651-2014, clauses 6.6.3.2 and 6.6.3.3)."""

from firmware_bridge.errors import ParseError
from firmware_bridge.numbers import bcd_digits
from firmware_bridge.sl651.elements import Element, Form
from firmware_bridge.sl651.tables import status_names
from telemetry.reason import Reason

__all__ = ["Value", "read_number", "read_text", "read_value", "write_number", "write_text", "write_value"]

Value = float | int | str | list[float | None] | list[str]


def read_number(data: bytes, decimals: int) -> float | int:
    """BCD digits, high ones first; FF in front of them is a minus sign.

    ParseError: no_value where all bytes are FF or AA, which stands for a value that the station does not have; bad_field.
    """
    if not data or not data.strip(b"\xff") or not data.strip(b"\xaa"):
        raise ParseError(Reason.NO_VALUE, f"filled with {data[:1].hex() or 'nothing'}")
    negative = data[0] == 0xFF
    whole = int(bcd_digits(data[1:] if negative else data))
    value = whole / 10**decimals if decimals else whole
    return -value if negative and value else value


def read_value(element: Element | None, data: bytes, decimals: int) -> Value:
    """The value of an element, or of an unknown one as a number. ParseError: no_value, bad_field."""
    match element.form if element is not None else Form.NUMBER:
        case Form.NUMBER:
            return read_number(data, decimals)
        case Form.STATUS:
            return status_names(int.from_bytes(data, "big"))
        case Form.RAIN:
            return [None if byte == 0xFF else byte / 10 for byte in data]
        case Form.LEVELS:
            words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data) - 1, 2)]
            return [None if word == 0xFFFF else word / 100 for word in words]


def read_text(element: Element | None, token: str) -> Value:
    """The value of an element in the ASCII encoding: a decimal number, or the hex digits of a series or status."""
    if element is None or element.form is Form.NUMBER:
        return _decimal(token)
    try:
        return read_value(element, bytes.fromhex(token), element.decimals)
    except ValueError as error:
        if isinstance(error, ParseError):
            raise
        raise ParseError(Reason.NOT_HEX, f"{token!r} is no {element.form.value}") from error


def _decimal(token: str) -> float | int:
    digits = token.removeprefix("-")
    whole, point, fraction = digits.partition(".")
    if not (token.isascii() and whole.isdecimal() and (fraction.isdecimal() or not point)) or len(token) > 20:
        reason = Reason.NO_VALUE if token and not token.strip("FfAaMm*") else Reason.NOT_A_NUMBER
        raise ParseError(reason, f"{token!r} is no number")
    return float(token) if point else int(token)


def write_number(value: float, size: int, decimals: int) -> bytes:
    """The BCD of `value`; ParseError(out_of_range) where `size` bytes, with FF for a minus sign, cannot hold it."""
    digits = str(abs(round(value * 10**decimals))).rjust(2 * size - (2 if value < 0 else 0), "0")
    data = (b"\xff" if value < 0 else b"") + bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    if len(data) > size:
        raise ParseError(Reason.OUT_OF_RANGE, f"{value} does not fit {size} bytes")
    return data


def write_value(element: Element, value: Value | None) -> bytes:
    """The bytes that `read_value` reads as `value`, without identifier and size; None is all FF. ParseError: wrong_type,
    out_of_range."""
    if value is None:
        return b"\xff" * element.size
    if element.form is Form.NUMBER and isinstance(value, (int, float)):
        return write_number(value, element.size, element.decimals)
    if element.form is Form.STATUS and isinstance(value, int):
        return value.to_bytes(4, "big")
    if element.form in {Form.RAIN, Form.LEVELS} and isinstance(value, list):
        return _series(element, value)
    raise ParseError(Reason.WRONG_TYPE, f"{element.name}: {value!r} is no {element.form.value}")


def _series(element: Element, values: list[float | None] | list[str]) -> bytes:
    width, scale = (1, 10) if element.form is Form.RAIN else (2, 100)
    none = (1 << 8 * width) - 1
    if len(values) != 12:
        raise ParseError(Reason.BAD_LENGTH, f"{element.name}: {len(values)} values, want 12")
    words = [none if value is None else round(float(value) * scale) for value in values]
    if not all(0 <= word <= none for word in words):
        raise ParseError(Reason.OUT_OF_RANGE, f"{element.name}: a value above {none / scale:g} or below zero")
    return b"".join(word.to_bytes(width, "big") for word in words)


def write_text(element: Element, value: Value | None) -> str:
    """The token that `read_text` reads as `value`."""
    if element.form is Form.NUMBER and isinstance(value, (int, float)):
        return f"{value:.{element.decimals}f}"
    return write_value(element, value).hex().upper()
