"""What a DL/T 645 frame says: its function, and its data as the function lays it out (DL/T 645-2007, clause 7)."""

from collections.abc import Iterator

import msgspec

from firmware_bridge.cursor import Cursor
from firmware_bridge.dlt645.frames import Frame
from firmware_bridge.dlt645.items import Item, find
from firmware_bridge.dlt645.parts import Form, Part, Value, read_part
from firmware_bridge.dlt645.status import ERRORS
from firmware_bridge.errors import ParseError, Refused

__all__ = ["BAUDS", "FUNCTIONS", "FUNCTIONS_1997", "RELAY_ACTIONS", "Message", "Reading", "function_name", "parse_message"]

FUNCTIONS: dict[int, str] = {
    0x08: "broadcast_time",
    0x11: "read",
    0x12: "read_following",
    0x13: "read_address",
    0x14: "write",
    0x15: "write_address",
    0x16: "freeze",
    0x17: "set_baud",
    0x18: "set_password",
    0x19: "clear_demand",
    0x1A: "clear_meter",
    0x1B: "clear_events",
    0x1C: "relay_control",
    0x1D: "output_control",
}
FUNCTIONS_1997: dict[int, str] = {
    0x01: "read",
    0x02: "read_following",
    0x04: "write",
    0x0A: "write_address",
    0x0C: "set_baud",
    0x0F: "set_password",
    0x10: "clear_demand",
}

RELAY_ACTIONS: dict[int, str] = {
    0x1A: "open relay",
    0x1B: "permit closing",
    # Some vendors close with 1C, which 2007 has for closing without a hand at the meter.
    0x1C: "close relay",
    0x2A: "alarm on",
    0x2B: "alarm off",
    0x3A: "keep power on",
    0x3B: "keep power off",
}
BAUDS = {1: 600, 2: 1200, 3: 2400, 4: 4800, 5: 9600, 6: 19200}
"""Bit of the speed's byte: bits a second (clause 7.1.7)."""

_PASSWORD = Part("password", 4, Form.RAW)
_OPERATOR = Part("operator", 4, Form.RAW)
_OLD_AND_NEW = (Part("old_password", 4, Form.RAW), Part("new_password", 4, Form.RAW))
_CLOCK = (Part("time", 3, Form.TIME), Part("date", 3, Form.DATE))


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One value: None with its `flaw` where its bytes cannot be read. `unit` is a UCUM code, `at` counts bytes of data."""

    name: str
    value: Value | None
    unit: str | None = None
    flaw: Refused | None = None
    at: int = 0
    size: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A frame's function and what stands in its data. Readings are of `data_id`; `fields` is the rest, by name.

    `flaws` are the fields and readings that could not be read, by name; their offsets count bytes of data.
    """

    function: str
    data_id: str | None = None
    item: Item | None = None
    readings: list[Reading] = []
    fields: dict[str, Value | None] = {}
    errors: list[str] = []
    action: str | None = None
    rest: bytes = b""
    field_flaws: list[tuple[str, Refused]] = []

    @property
    def flaws(self) -> list[tuple[str, Refused]]:
        return [*self.field_flaws, *((each.name, each.flaw) for each in self.readings if each.flaw is not None)]


def function_name(frame: Frame) -> str:
    names = FUNCTIONS_1997 if frame.version == 1997 else FUNCTIONS
    return names.get(frame.function, f"0x{frame.function:02x}")


def parse_message(frame: Frame, cursor: Cursor | None = None) -> Message:
    """The message in a frame. ParseError where its data ends too soon, `at` counted in bytes of data; a value that cannot be
    read is a flaw of its own. The `cursor` tells afterwards where each field stood."""
    cursor = cursor or Cursor(frame.data)
    name = function_name(frame)
    if frame.is_error:
        return Message(function=name, errors=_errors(frame, cursor), rest=cursor.rest("rest") if cursor.left else b"")
    match name:
        case "read" | "read_following":
            return _read(frame, name, cursor)
        case "write" if not frame.from_meter and frame.version == 2007:
            return _write(name, cursor)
        case "relay_control" if not frame.from_meter:
            return _relay(name, cursor)
        case _:
            return _fixed(frame, name, cursor)


def _errors(frame: Frame, cursor: Cursor) -> list[str]:
    if not cursor.left:
        return []
    word = cursor.u8("errors")
    names = ERRORS if frame.version == 2007 else {}
    return [names.get(bit, f"bit_{bit}") for bit in range(8) if word >> bit & 1]


def _data_id(frame: Frame, cursor: Cursor) -> str:
    return cursor.take("data_id", 2 if frame.version == 1997 else 4)[::-1].hex().upper()


def _read(frame: Frame, name: str, cursor: Cursor) -> Message:
    if not cursor.left:
        # Real meters answer an identifier that they do not have with nothing at all.
        return Message(function=name)
    data_id = _data_id(frame, cursor)
    item = find(data_id)
    if not frame.from_meter:
        return _question(name, data_id, item, cursor)
    fields: dict[str, Value | None] = {}
    data = cursor.data[cursor.at :]
    if name == "read_following" and data:
        data, fields["sequence"] = data[:-1], data[-1]
    readings, used = _readings(item, data, cursor.at, frame.version)
    cursor.take("data", used)
    rest = cursor.take("rest", len(data) - used)
    if "sequence" in fields:
        cursor.u8("sequence")
    return Message(function=name, data_id=data_id, item=item, readings=readings, fields=fields, rest=rest)


def _question(name: str, data_id: str, item: Item | None, cursor: Cursor) -> Message:
    """A master's question: a load record is asked for by blocks, and from a time on (clause 7.1.2)."""
    fields: dict[str, Value | None] = {}
    flaws: list[tuple[str, Refused]] = []
    if name == "read_following" and cursor.left:
        fields["sequence"] = cursor.u8("sequence")
    elif cursor.left in {1, 6}:
        fields["blocks"] = cursor.u8("blocks")
        if cursor.left:
            fields["from"] = _value(Part("from", 5, Form.MOMENT), cursor, flaws)
    rest = cursor.rest("rest") if cursor.left else b""
    return Message(function=name, data_id=data_id, item=item, fields=fields, field_flaws=flaws, rest=rest)


def _write(name: str, cursor: Cursor) -> Message:
    data_id = cursor.take("data_id", 4)[::-1].hex().upper()
    fields = {part.name: _value(part, cursor, []) for part in (_PASSWORD, _OPERATOR)}
    item = find(data_id)
    at = cursor.at
    readings, used = _readings(item, cursor.data[at:], at, 2007)
    cursor.take("data", used)
    rest = cursor.rest("rest")
    return Message(
        function=name, data_id=data_id, item=item, readings=readings, fields=fields, action="write parameter", rest=rest
    )


def _relay(name: str, cursor: Cursor) -> Message:
    """Clause 7.1.12: password, operator, command, a reserved byte, and until when the command holds."""
    flaws: list[tuple[str, Refused]] = []
    fields = {part.name: _value(part, cursor, flaws) for part in (_PASSWORD, _OPERATOR)}
    command = cursor.u8("command")
    fields["command"] = command
    cursor.take("reserved", 1)
    valid_until = {part.name: _value(part, cursor, flaws) for part in _CLOCK}
    fields["valid_until"] = None if None in valid_until.values() else f"{valid_until['date']}T{valid_until['time']}"
    action = RELAY_ACTIONS.get(command, f"0x{command:02x}")
    rest = cursor.rest("rest") if cursor.left else b""
    return Message(function=name, fields=fields, field_flaws=flaws, action=action, rest=rest)


# (function, whether from the meter): the parts of its data.
_LAYOUTS: dict[tuple[str, bool], tuple[Part, ...]] = {
    ("broadcast_time", False): _CLOCK,
    ("read_address", True): (Part("address", 6, Form.DIGITS),),
    ("write_address", False): (Part("address", 6, Form.DIGITS),),
    ("freeze", False): (Part("at", 4, Form.RAW),),
    ("set_baud", False): (Part("baud", 1, Form.BITS, bits={bit: str(baud) for bit, baud in BAUDS.items()}),),
    ("set_baud", True): (Part("baud", 1, Form.BITS, bits={bit: str(baud) for bit, baud in BAUDS.items()}),),
    ("set_password", False): (Part("data_id", 4, Form.IDENTIFIER), *_OLD_AND_NEW),
    ("set_password", True): (Part("new_password", 4, Form.RAW),),
    ("clear_demand", False): (_PASSWORD, _OPERATOR),
    ("clear_meter", False): (_PASSWORD, _OPERATOR),
    ("clear_events", False): (_PASSWORD, _OPERATOR, Part("data_id", 4, Form.IDENTIFIER)),
    ("output_control", False): (Part("output", 1),),
    ("output_control", True): (Part("output", 1),),
}


def _fixed(frame: Frame, name: str, cursor: Cursor) -> Message:
    layout = _LAYOUTS.get((name, frame.from_meter), ()) if frame.version == 2007 else ()
    flaws: list[tuple[str, Refused]] = []
    fields = {part.name: _value(part, cursor, flaws) for part in layout}
    return Message(function=name, fields=fields, field_flaws=flaws, rest=cursor.rest("rest") if cursor.left else b"")


def _value(part: Part, cursor: Cursor, flaws: list[tuple[str, Refused]]) -> Value | None:
    at = cursor.at
    data = cursor.take(part.name, part.size)
    try:
        return read_part(part, data)
    except ParseError as error:
        flaws.append((part.name, Refused.of(ParseError(error.reason, error.detail, at + (error.at or 0)), data)))
        return None


def _readings(item: Item | None, data: bytes, at: int, version: int) -> tuple[list[Reading], int]:
    """The readings of `item` in `data`, which stands at `at`; and how many bytes they took."""
    if item is None:
        return [], 0
    if item.labels is None:
        return list(_parts(item, "", data, at)), min(item.size, len(data))
    # In 1997, a byte AA ends a block (annex A); in 2007 the length does.
    used = len(data) - 1 if version == 1997 and data[-1:] == b"\xaa" else len(data)
    count = min(used // item.size, len(item.labels))
    readings = [
        reading
        for index, label in zip(range(count), item.labels, strict=False)
        for reading in _parts(item, f"_{label}", data[index * item.size :], at + index * item.size)
    ]
    return readings, count * item.size


def _parts(item: Item, label: str, data: bytes, at: int) -> Iterator[Reading]:
    """One repeat of `item`; a part that the data does not reach any more is left out."""
    offset = 0
    for index, part in enumerate(item.parts):
        raw = data[offset : offset + part.size]
        if len(raw) < part.size:
            return
        name = (item.name if index == 0 and part.name in item.name else part.name) + label
        where = {"name": name, "unit": part.unit, "at": at + offset, "size": part.size}
        try:
            yield Reading(value=read_part(part, raw), **where)  # type: ignore[arg-type]
        except ParseError as error:
            wrong = ParseError(error.reason, error.detail, at + offset + (error.at or 0))
            yield Reading(value=None, flaw=Refused.of(wrong, raw), **where)  # type: ignore[arg-type]
        offset += part.size
