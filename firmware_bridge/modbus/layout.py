"""How a number or text lies in registers: the orders of its bytes and words, and what the registers hold for it."""

from device_profiles.quantities import NumberType
from device_profiles.wires.modbus import RegisterField
from firmware_bridge.errors import ParseError
from firmware_bridge.numbers import pack
from telemetry.reason import Reason

__all__ = ["FLOATS", "in_wire_order", "registers_of", "words_of"]

FLOATS = frozenset({NumberType.F32, NumberType.F64})


def in_wire_order(field: RegisterField, data: bytes) -> bytes:
    """A field's bytes, most significant first, out of its registers as they lie in a reply; and the other way round.

    Each of the two changes undoes itself, so one function serves both ways.
    """
    if field.byte_order != "big":
        data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
    if field.word_order != "big":
        data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
    return data


def registers_of(field: RegisterField, raw: float | str) -> bytes:
    """The registers that hold `raw`, as they go over the line. ParseError where they cannot hold it."""
    size = 2 * field.width
    if field.charset:
        said = str(raw).encode(field.charset)
        if len(said) > size:
            raise ParseError(Reason.OUT_OF_RANGE, f"{field.metric}: {len(said)} bytes of text, want at most {size}")
        return in_wire_order(field, said.ljust(size, b"\0"))
    if isinstance(raw, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric}: text has no register form")
    if _is_pattern(raw, field):
        return in_wire_order(field, int(raw).to_bytes(size, "big"))
    return in_wire_order(field, pack(raw, field.type, bcd_size=size).rjust(size, b"\0"))


def _is_pattern(raw: float, field: RegisterField) -> bool:
    """Whether `raw` is a sentinel that a profile wrote as a bit pattern that is no number of its type."""
    return field.type not in FLOATS and raw in field.scaling.no_value and raw >= 0


def words_of(data: bytes) -> tuple[int, ...]:
    """The registers' contents, 0 to 65535 each."""
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
