"""Frames to send: the master's questions and commands, and the answers of a simulated meter (DL/T 645-2007, clause 7)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from firmware_bridge.dlt645.frames import BROADCAST, WILDCARD, address_bytes, encode_frame
from firmware_bridge.dlt645.items import find
from firmware_bridge.dlt645.messages import RELAY_ACTIONS
from firmware_bridge.dlt645.parts import Value, write_part
from firmware_bridge.dlt645.status import ERRORS
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = [
    "answer_address",
    "answer_read",
    "broadcast_time",
    "confirm",
    "read",
    "read_1997",
    "read_address",
    "read_following",
    "refuse",
    "relay_control",
    "value_bytes",
    "write",
]


def read(address: str, data_id: str, *, wake_up: int = 4) -> bytes:
    """Ask for one identifier of 8 hex digits."""
    return encode_frame(address, 0x11, _id_bytes(data_id, 4), wake_up=wake_up)


def read_following(address: str, data_id: str, sequence: int, *, wake_up: int = 4) -> bytes:
    """Ask for what an answer with `more` left over; `sequence` counts from 1."""
    return encode_frame(address, 0x12, _id_bytes(data_id, 4) + bytes((sequence,)), wake_up=wake_up)


def read_1997(address: str, data_id: str, *, wake_up: int = 4) -> bytes:
    """Ask a meter of DL/T 645-1997 for one identifier of 4 hex digits."""
    return encode_frame(address, 0x01, _id_bytes(data_id, 2), wake_up=wake_up)


def read_address() -> bytes:
    """Ask the one meter on the line who it is."""
    return encode_frame(WILDCARD, 0x13)


def broadcast_time(at: datetime) -> bytes:
    """Set all clocks on the line; nobody answers. `at` is civil time."""
    return encode_frame(BROADCAST, 0x08, _clock(at))


def write(address: str, data_id: str, value: Value | Sequence[Value], *, password: str, operator: str = "00000000") -> bytes:
    """Write a parameter. `password` (its class first) and `operator` are 8 hex digits each, in wire order."""
    return encode_frame(address, 0x14, _id_bytes(data_id, 4) + _access(password, operator) + value_bytes(data_id, value))


def relay_control(address: str, action: str, until: datetime, *, password: str, operator: str = "00000000") -> bytes:
    """Open or close a relay: `action` is one of RELAY_ACTIONS, which holds until the civil time `until`."""
    code = next((code for code, name in RELAY_ACTIONS.items() if name == action), None)
    if code is None:
        raise ParseError(Reason.NOT_IN_ENUM, f"no relay action {action!r}, want one of {', '.join(RELAY_ACTIONS.values())}")
    return encode_frame(address, 0x1C, _access(password, operator) + bytes((code, 0)) + _clock(until))


def answer_read(
    address: str, data_id: str, value: Value | Sequence[Value], *, more: bool = False, sequence: int | None = None
) -> bytes:
    """A meter's answer to `read`, or, with a `sequence`, to `read_following`. A block takes one value for each repeat."""
    if len(data_id) == 4:
        return encode_frame(address, 0xA1 if more else 0x81, _id_bytes(data_id, 2) + value_bytes(data_id, value))
    data = _id_bytes(data_id, 4) + value_bytes(data_id, value)
    control = 0x91 if sequence is None else 0x92
    return encode_frame(address, control | (0x20 if more else 0), data + (b"" if sequence is None else bytes((sequence,))))


def answer_address(address: str) -> bytes:
    """A meter's answer to `read_address`."""
    return encode_frame(address, 0x93, address_bytes(address))


def confirm(address: str, function: int) -> bytes:
    """A meter has done as `function` commanded."""
    return encode_frame(address, function | 0x80)


def refuse(address: str, function: int, errors: Iterable[str]) -> bytes:
    """A meter's refusal, for `errors` out of the standard's words."""
    bits = {name: bit for bit, name in ERRORS.items()}
    try:
        word = sum({1 << bits[name] for name in errors})
    except KeyError as error:
        raise ParseError(Reason.NOT_IN_ENUM, f"no error {error}, want one of {', '.join(bits)}") from error
    return encode_frame(address, function | 0xC0, bytes((word,)))


def value_bytes(data_id: str, value: Value | Sequence[Value] | Mapping[str, Value]) -> bytes:
    """The data of an identifier as a meter sends it.

    One value for an item of one part, all parts in the order of the table for one of several, all repeats for a block; a
    word of bits takes the list of its names. ParseError: unknown_metric where the table has no such identifier, bad_length
    where the values do not fill it, and what `write_part` raises.
    """
    item = find(data_id)
    if item is None:
        raise ParseError(Reason.UNKNOWN_METRIC, f"no data identifier {data_id}")
    if item.labels is None and len(item.parts) == 1:
        return write_part(item.parts[0], value)  # type: ignore[arg-type]
    values = list(value.values()) if isinstance(value, Mapping) else list(value) if isinstance(value, Sequence) else [value]
    whole, over = divmod(len(values), len(item.parts))
    if over or (item.labels is None and whole != 1):
        raise ParseError(Reason.BAD_LENGTH, f"{item.name}: {len(values)} values, want {len(item.parts)} each time")
    return b"".join(write_part(item.parts[at % len(item.parts)], each) for at, each in enumerate(values))


def _id_bytes(data_id: str, size: int) -> bytes:
    try:
        data = bytes.fromhex(data_id)
    except ValueError as error:
        raise ParseError(Reason.NOT_HEX, f"identifier {data_id!r} is no hex") from error
    if len(data) != size:
        raise ParseError(Reason.BAD_LENGTH, f"identifier {data_id!r}: want {2 * size} hex digits")
    return data[::-1]


def _access(password: str, operator: str) -> bytes:
    return _id_bytes(password, 4)[::-1] + _id_bytes(operator, 4)[::-1]


def _clock(at: datetime) -> bytes:
    return bytes.fromhex(f"{at:%S%M%H%d%m%y}")
