"""A terminal's parameters by id: what 0x8103 and 0x8106 ask for, and one line of what 0x0104 answers."""

import struct
from collections.abc import Mapping, Sequence

from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.tables import PARAMETERS
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["gbk", "parameters_answer_body", "parameters_text", "query_parameters_body", "set_parameters_body"]

_WIDTH = {"d": 4, "w": 2, "b": 1}
_MOST_SHOWN = 60


def set_parameters_body(values: Mapping[int, Value]) -> bytes:
    """0x8103. A number goes as wide as the table of the standard has it, text as GBK, parameters that the table does not name
    or that are bytes as hex digits. ParseError: wrong_type, out_of_range, not_hex, oversized above 255 bytes."""
    if len(values) > 255:
        raise ParseError(Reason.OVERSIZED, f"{len(values)} parameters, want at most 255")
    return bytes((len(values),)) + b"".join(_item(number, value) for number, value in values.items())


def parameters_answer_body(ack_serial: int, values: Mapping[int, Value]) -> bytes:
    """0x0104, as a terminal answers 0x8104 and 0x8106."""
    return struct.pack(">H", ack_serial) + set_parameters_body(values)


def query_parameters_body(numbers: Sequence[int]) -> bytes:
    """0x8106: these parameters."""
    if len(numbers) > 255:
        raise ParseError(Reason.OVERSIZED, f"{len(numbers)} parameters, want at most 255")
    return bytes((len(numbers),)) + struct.pack(f">{len(numbers)}I", *numbers)


def parameters_text(fields: Mapping[str, object]) -> str:
    """The parameters of a 0x0104 that was read, `name=value` and at most 60 of them."""
    entries = fields.get("parameters")
    told = [f"{e.get('name', e['id'])}={e.get('value')}" for e in entries if "id" in e] if isinstance(entries, list) else []
    more = f" and {len(told) - _MOST_SHOWN} more" if len(told) > _MOST_SHOWN else ""
    return ", ".join(told[:_MOST_SHOWN]) + more


def gbk(text: str, what: str) -> bytes:
    """`text` as the standard's STRING; ParseError(bad_field) for half of a surrogate pair."""
    try:
        return text.encode("gb18030")
    except UnicodeEncodeError as error:
        raise ParseError(Reason.BAD_FIELD, f"{what} has no form in GBK") from error


def _item(number: int, value: Value) -> bytes:
    name, kind = PARAMETERS.get(number, ("", "x"))
    data = _value(f"parameter {number:#06x} {name}".strip(), kind, value)
    if len(data) > 255:
        raise ParseError(Reason.OVERSIZED, f"parameter {number:#06x}: {len(data)} bytes, want at most 255")
    return struct.pack(">IB", number, len(data)) + data


def _value(what: str, kind: str, value: Value) -> bytes:
    if kind in _WIDTH:
        return _number(what, _WIDTH[kind], value)
    if not isinstance(value, str):
        raise ParseError(Reason.WRONG_TYPE, f"{what} {value!r}, want {'text' if kind == 's' else 'hex digits'}")
    if kind == "s":
        return gbk(value, what)
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise ParseError(Reason.NOT_HEX, f"{what} {value!r}, want hex digits") from error


def _number(what: str, width: int, value: Value) -> bytes:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParseError(Reason.WRONG_TYPE, f"{what} {value!r}, want a whole number")
    if not 0 <= value < 1 << 8 * width:
        raise ParseError(Reason.OUT_OF_RANGE, f"{what} {value}, want 0 to {(1 << 8 * width) - 1}")
    return value.to_bytes(width, "big")
