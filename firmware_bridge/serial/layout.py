"""Fixed binary frames on a serial line, driven by a profile's BinaryLayout: framer, decoder and encoder.

start | ... address ... length ... fields ... | checksum | end
"""

from collections.abc import Callable, Mapping
from typing import Literal

from device_profiles.model import Profile
from device_profiles.wires.serial import BinaryField, BinaryLayout, BinaryMessage, SerialWire
from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from firmware_bridge.errors import ParseError
from firmware_bridge.numbers import is_sentinel, pack, unpack
from firmware_bridge.serial.checks import checksum
from firmware_bridge.serial.framer import SerialFramer
from firmware_bridge.values import Decoded, Gathering, apply_scaling, undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["LayoutFramer", "address_of", "check_frame", "decode_frame", "encode_frame", "poll_frame", "read_fields"]


class LayoutFramer(SerialFramer):
    """Cuts a serial line's bytes into whole, checked frames of one layout.

    Whatever does not begin with the start bytes is noise; a frame that does not check gives up its first byte only, so
    that a good frame behind a damaged one is still found.
    """

    def __init__(self, layout: BinaryLayout) -> None:
        super().__init__(lambda data: _whole(layout, data), layout.max_size)


def _whole(layout: BinaryLayout, data: bytes) -> int:
    """The size of the checked frame that `data` begins with, 0 while more bytes are needed."""
    head = layout.start
    if not head.startswith(data[: len(head)]) and not data.startswith(head):
        raise ParseError(Reason.BAD_START, f"want {head.hex()}", 0)
    size = _size(layout, data)
    if size == 0 or len(data) < size:
        return 0
    check_frame(layout, data[:size])
    return size


def _size(layout: BinaryLayout, data: bytes) -> int:
    """The whole frame's size in bytes, 0 while what tells it is not there yet; ParseError where it cannot be."""
    if layout.length_at is None:
        return _stated_size(layout, data)
    raw = data[layout.length_at : layout.length_at + layout.length_size]
    if len(raw) < layout.length_size:
        return 0
    size = int.from_bytes(raw, _order(layout.byte_order)) + layout.length_adds
    least = _least(layout)
    if not least <= size <= layout.max_size:
        reason = Reason.OVERSIZED if size > layout.max_size else Reason.BAD_LENGTH
        raise ParseError(reason, f"a frame of {size} bytes, want {least} to {layout.max_size}", layout.length_at)
    return size


def _stated_size(layout: BinaryLayout, data: bytes) -> int:
    if not layout.others or layout.type_at is None:
        return layout.size
    return _message(layout, data).size if len(data) > layout.type_at else 0


def _message(layout: BinaryLayout, data: bytes) -> BinaryMessage:
    """The message of the frame's type; ParseError(unknown_message) where the layout has none."""
    if layout.type_at is None:
        return layout.messages[0]
    kind = data[layout.type_at]
    found = next((message for message in layout.messages if message.type_value == kind), None)
    if found is None:
        known = ", ".join(f"{message.type_value:#04x}" for message in layout.messages)
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"type {kind:#04x}, want {known}", layout.type_at)
    return found


def _least(layout: BinaryLayout) -> int:
    """The bytes a frame has at least: everything the layout names but its metrics, which a model may leave off."""
    named = [len(layout.start)]
    if layout.address_at is not None:
        named.append(layout.address_at + layout.address_size)
    if layout.length_at is not None:
        named.append(layout.length_at + layout.length_size)
    if layout.type_at is not None:
        named.append(layout.type_at + 1)
    return max(named) + _tail(layout)


def _tail(layout: BinaryLayout) -> int:
    return CHECKSUM_BYTES[layout.checksum] + len(layout.end)


def check_frame(layout: BinaryLayout, frame: bytes) -> None:
    """Raise ParseError where `frame` is not one whole frame: bad_start, bad_length, truncated, bad_checksum, bad_field (end)."""
    if not frame.startswith(layout.start):
        at = next((i for i, (got, want) in enumerate(zip(frame, layout.start, strict=False)) if got != want), len(frame))
        raise ParseError(Reason.BAD_START, f"want {layout.start.hex()}", at)
    if len(frame) < _least(layout):
        raise ParseError(Reason.TRUNCATED, f"{len(frame)} bytes, want at least {_least(layout)}", len(frame))
    size = _size(layout, frame)
    if size != len(frame):
        at = len(frame) if layout.length_at is None else layout.length_at
        raise ParseError(Reason.BAD_LENGTH, f"{len(frame)} bytes, but the layout or its length says {size}", at)
    _check_tail(layout, frame)


def _check_tail(layout: BinaryLayout, frame: bytes) -> None:
    end_at = len(frame) - len(layout.end)
    if frame[end_at:] != layout.end:
        raise ParseError(Reason.BAD_FIELD, f"ends in {frame[end_at:].hex()}, want {layout.end.hex()}", end_at)
    at = end_at - CHECKSUM_BYTES[layout.checksum]
    got, want = frame[at:end_at], _check_bytes(layout, frame[:at])
    if got != want:
        raise ParseError(Reason.BAD_CHECKSUM, f"{layout.checksum} {got.hex()}, want {want.hex()}", at)


def _check_bytes(layout: BinaryLayout, body: bytes) -> bytes:
    order = layout.checksum_order or ("little" if layout.checksum == "crc16-modbus" else "big")
    value = checksum(layout.checksum, body[layout.checksum_from :])
    return value.to_bytes(CHECKSUM_BYTES[layout.checksum], _order(order))


def address_of(layout: BinaryLayout, frame: bytes) -> int | None:
    """The address in a checked frame, None where the layout has none."""
    if layout.address_at is None:
        return None
    return int.from_bytes(frame[layout.address_at : layout.address_at + layout.address_size], _order(layout.byte_order))


def decode_frame(profile: Profile, frame: bytes) -> tuple[int | None, Decoded]:
    """The address of the unit that sent `frame`, and its values.

    ParseError where the frame is not whole, or is of a type that the layout does not have (unknown_message). A field that
    lies behind the frame's end is bad with reason missing.
    """
    layout = _layout(_wire(profile))
    gathering = Gathering()
    for field, read in read_fields(profile, layout, frame):
        gathering.add(field.metric, read)
    return address_of(layout, frame), gathering.decoded()


def read_fields(profile: Profile, layout: BinaryLayout, frame: bytes) -> list[tuple[BinaryField, Callable[[], Value]]]:
    """The fields of the frame's message, each with what reads it; ParseError as `decode_frame`."""
    check_frame(layout, frame)
    return [(field, _reader(profile, layout, field, frame)) for field in _message(layout, frame).fields]


def _reader(profile: Profile, layout: BinaryLayout, field: BinaryField, frame: bytes) -> Callable[[], Value]:
    def read() -> Value:
        if field.at + field.width > len(frame) - _tail(layout):
            raise ParseError(Reason.MISSING, f"{field.metric}: the frame ends before it", len(frame))
        data = frame[field.at : field.at + field.width]
        if field.charset:
            return _text(field, data)
        raw = unpack(data, field.type, field.byte_order)
        sentinel = is_sentinel(raw, field.type, field.scaling)
        return apply_scaling(None if sentinel else raw, field.scaling, profile.metrics[field.metric])

    return read


def _text(field: BinaryField, data: bytes) -> str:
    try:
        text = data.decode(field.charset).strip("\0 ")
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, f"{field.metric}: no {field.charset}", field.at + error.start) from error
    if not text.isprintable():
        raise ParseError(Reason.BAD_FIELD, f"{field.metric}: control characters", field.at)
    if not text:
        raise ParseError(Reason.NO_VALUE, f"{field.metric}: empty", field.at)
    return text


def encode_frame(profile: Profile, address: int | None, values: Mapping[str, Value], kind: int | None = None) -> bytes:
    """The frame that `decode_frame` reads as `values`; metrics left out are zero. ParseError where a value has no wire form.

    `kind` is the type of the message where the layout has several, its first where it is None.
    """
    layout = _layout(_wire(profile))
    message = next((one for one in layout.messages if one.type_value == kind), layout.messages[0])
    tail = _tail(layout)
    fields_end = max([_least(layout) - tail, *(field.at + field.width for field in message.fields)])
    size = fields_end + tail if layout.length_at is not None else message.size or layout.size
    frame = bytearray(size - tail)
    frame[: len(layout.start)] = layout.start
    if layout.address_at is not None:
        frame[layout.address_at : layout.address_at + layout.address_size] = _address(layout, address)
    if layout.type_at is not None:
        frame[layout.type_at] = message.type_value
    if layout.length_at is not None:
        length = (size - layout.length_adds).to_bytes(layout.length_size, _order(layout.byte_order))
        frame[layout.length_at : layout.length_at + layout.length_size] = length
    for field in message.fields:
        if field.metric in values:
            _write(profile, field, values[field.metric], frame)
    return _close(layout, frame)


def _address(layout: BinaryLayout, address: int | None) -> bytes:
    try:
        return (address or 0).to_bytes(layout.address_size, _order(layout.byte_order))
    except OverflowError as error:
        raise ParseError(Reason.OUT_OF_RANGE, f"address {address} does not fit {layout.address_size} bytes") from error


def _write(profile: Profile, field: BinaryField, value: Value, frame: bytearray) -> None:
    span = slice(field.at, field.at + field.width)
    if field.charset:
        frame[span] = _text_bytes(field, value)
        return
    takes_bits = field.scaling.bit is not None or field.scaling.bits is not None
    onto = int(unpack(bytes(frame[span]), field.type, field.byte_order)) if takes_bits else 0
    raw = undo_scaling(value, field.scaling, profile.metrics[field.metric], onto)
    if isinstance(raw, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric}: text has no binary form")
    if value is None:
        frame[span] = _sentinel(int(raw), field)
    else:
        frame[span] = pack(raw, field.type, field.byte_order, field.size)


def _text_bytes(field: BinaryField, value: Value) -> bytes:
    if value is not None and not isinstance(value, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric}: {value!r} is no text")
    data = (value or "").encode(field.charset, errors="replace")
    if len(data) > field.size:
        raise ParseError(Reason.OUT_OF_RANGE, f"{field.metric}: {len(data)} bytes, want at most {field.size}")
    return data.ljust(field.size, b"\0")


def _sentinel(raw: int, field: BinaryField) -> bytes:
    """A word for none: the number itself, or the bit pattern that a signed field holds it as."""
    try:
        return pack(raw, field.type, field.byte_order, field.size)
    except ParseError:
        return (raw % (1 << 8 * field.width)).to_bytes(field.width, _order(field.byte_order))


def _close(layout: BinaryLayout, frame: bytes | bytearray) -> bytes:
    body = bytes(frame)
    return body + _check_bytes(layout, body) + layout.end


def poll_frame(wire: SerialWire, address: int | None) -> bytes | None:
    """The question to the unit at `address`, closed by the layout's checksum and end; None for a unit that speaks unasked."""
    if wire.poll is None:
        return None
    layout = _layout(wire)
    question = bytearray(wire.poll)
    if layout.address_at is not None:
        question[wire.poll_address_at : wire.poll_address_at + layout.address_size] = _address(layout, address)
    return _close(layout, question)


def _order(name: str) -> Literal["big", "little"]:
    return "big" if name == "big" else "little"


def _wire(profile: Profile) -> SerialWire:
    if profile.wire.serial is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no serial wire")
    return profile.wire.serial


def _layout(wire: SerialWire) -> BinaryLayout:
    if not isinstance(wire.layout, BinaryLayout):
        raise ParseError(Reason.UNKNOWN_PROFILE, "the device speaks in lines of text")
    return wire.layout
