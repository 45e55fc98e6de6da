"""Fixed binary frames on a serial line, driven by a profile's BinaryLayout: framer, decoder and encoder.

start | ... address ... length ... fields ... | checksum | end
"""

from collections.abc import Callable, Mapping
from typing import Literal

from device_profiles.model import Profile
from device_profiles.wires.serial import BinaryField, BinaryLayout, SerialWire
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.modbus.frames import crc16
from firmware_bridge.numbers import is_sentinel, pack, size_of, unpack
from firmware_bridge.values import Decoded, Gathering, apply_scaling, undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["LayoutFramer", "check_frame", "decode_frame", "encode_frame", "poll_frame"]

_CHECKSUMS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, lambda _: b""),
    "sum8": (1, lambda data: bytes((sum(data) & 0xFF,))),
    "xor8": (1, lambda data: bytes((_xor(data),))),
    "crc16-modbus": (2, lambda data: crc16(data).to_bytes(2, "little")),
}


def _xor(data: bytes) -> int:
    result = 0
    for byte in data:
        result ^= byte
    return result


class LayoutFramer:
    """Cuts a serial line's bytes into whole, checked frames of one layout.

    Whatever does not begin with the start bytes is noise; a frame that does not check gives up its first byte only, so
    that a good frame behind a damaged one is still found. Noise comes out as one refusal before the next good frame.
    Never holds more than the layout's `max_size` twice.
    """

    def __init__(self, layout: BinaryLayout) -> None:
        self._layout = layout
        self._buffer = bytearray()
        self._noise = bytearray()
        self._why: ParseError | None = None

    def feed(self, data: bytes) -> list[bytes | Refused]:
        """The frames that `data` completes, and what had to be given up, in order."""
        out: list[bytes | Refused] = []
        step = max(1, self._layout.max_size)
        for start in range(0, len(data), step):
            self._buffer += data[start : start + step]
            self._drain(out, quiet=False)
        return out

    def idle(self) -> list[bytes | Refused]:
        """What is left once the line has gone quiet: frames behind a length byte that lied, and the rest as refused."""
        out: list[bytes | Refused] = []
        self._drain(out, quiet=True)
        self._give_up(out)
        return out

    def _drain(self, out: list[bytes | Refused], *, quiet: bool) -> None:
        while self._buffer:
            try:
                size = self._whole()
            except ParseError as error:
                self._drop(error, out)
                continue
            if size:
                self._give_up(out)
                out.append(bytes(self._buffer[:size]))
                del self._buffer[:size]
            elif quiet:
                self._drop(ParseError(Reason.TRUNCATED, "the line went quiet within a frame"), out)
            else:
                return

    def _whole(self) -> int:
        """The size of the checked frame the buffer begins with, 0 while more bytes are needed."""
        head = self._layout.start
        if not head.startswith(bytes(self._buffer[: len(head)])) and not self._buffer.startswith(head):
            raise ParseError(Reason.BAD_START, f"want {head.hex()}", 0)
        size = _size(self._layout, bytes(self._buffer))
        if size == 0 or len(self._buffer) < size:
            return 0
        check_frame(self._layout, bytes(self._buffer[:size]))
        return size

    def _drop(self, error: ParseError, out: list[bytes | Refused]) -> None:
        if self._why is None or self._why.reason is Reason.BAD_START:
            self._why = error
        self._noise.append(self._buffer.pop(0))
        if len(self._noise) >= self._layout.max_size:
            self._give_up(out)

    def _give_up(self, out: list[bytes | Refused]) -> None:
        if self._why is not None:
            out.append(Refused.of(self._why, bytes(self._noise)))
        self._noise.clear()
        self._why = None


def _size(layout: BinaryLayout, data: bytes) -> int:
    """The whole frame's size in bytes, 0 while the length field is not there yet; ParseError where it cannot be."""
    if layout.length_at is None:
        return layout.size
    raw = data[layout.length_at : layout.length_at + layout.length_size]
    if len(raw) < layout.length_size:
        return 0
    size = int.from_bytes(raw, _order(layout.byte_order)) + layout.length_adds
    least = _least(layout)
    if not least <= size <= layout.max_size:
        reason = Reason.OVERSIZED if size > layout.max_size else Reason.BAD_LENGTH
        raise ParseError(reason, f"a frame of {size} bytes, want {least} to {layout.max_size}", layout.length_at)
    return size


def _least(layout: BinaryLayout) -> int:
    """The bytes a frame has at least: everything the layout names but its metrics, which a model may leave off."""
    named = [len(layout.start), layout.address_at + 1]
    if layout.length_at is not None:
        named.append(layout.length_at + layout.length_size)
    if layout.type_at is not None:
        named.append(layout.type_at + 1)
    return max(named) + _CHECKSUMS[layout.checksum][0] + len(layout.end)


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
    width, compute = _CHECKSUMS[layout.checksum]
    want = compute(frame[layout.checksum_from : end_at - width])
    got = frame[end_at - width : end_at]
    if got != want:
        raise ParseError(Reason.BAD_CHECKSUM, f"{layout.checksum} {got.hex()}, want {want.hex()}", end_at - width)


def decode_frame(profile: Profile, frame: bytes) -> tuple[int, Decoded]:
    """The address of the unit that sent `frame`, and its values.

    ParseError where the frame is not whole, or is of another type than the layout's (unknown_message). A field that
    lies behind the frame's end is bad with reason missing.
    """
    layout = _wire(profile).layout
    check_frame(layout, frame)
    if layout.type_at is not None and frame[layout.type_at] != layout.type_value:
        got = frame[layout.type_at]
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"type {got:#04x}, want {layout.type_value:#04x}", layout.type_at)
    gathering = Gathering()
    for field in layout.fields:
        gathering.add(field.metric, _reader(profile, layout, field, frame))
    return frame[layout.address_at], gathering.decoded()


def _reader(profile: Profile, layout: BinaryLayout, field: BinaryField, frame: bytes) -> Callable[[], Value]:
    def read() -> Value:
        data = frame[field.at : field.at + size_of(field.type, field.size)]
        if field.at + size_of(field.type, field.size) > _fields_end(layout, frame):
            raise ParseError(Reason.MISSING, f"{field.metric}: the frame ends before it", len(frame))
        raw = unpack(data, field.type, field.byte_order)
        sentinel = is_sentinel(raw, field.type, field.scaling)
        return apply_scaling(None if sentinel else raw, field.scaling, profile.metrics[field.metric])

    return read


def _fields_end(layout: BinaryLayout, frame: bytes) -> int:
    return len(frame) - len(layout.end) - _CHECKSUMS[layout.checksum][0]


def encode_frame(profile: Profile, address: int, values: Mapping[str, Value]) -> bytes:
    """The frame that `decode_frame` reads as `values`; metrics left out are zero. ParseError where a value has no wire form."""
    layout = _wire(profile).layout
    fields_end = max([_least(layout) - _CHECKSUMS[layout.checksum][0] - len(layout.end), *map(_field_end, layout.fields)])
    tail = _CHECKSUMS[layout.checksum][0] + len(layout.end)
    size = fields_end + tail if layout.length_at is not None else layout.size
    frame = bytearray(size - tail)
    frame[: len(layout.start)] = layout.start
    frame[layout.address_at] = address
    if layout.type_at is not None:
        frame[layout.type_at] = layout.type_value
    if layout.length_at is not None:
        length = (size - layout.length_adds).to_bytes(layout.length_size, _order(layout.byte_order))
        frame[layout.length_at : layout.length_at + layout.length_size] = length
    for field in layout.fields:
        if field.metric in values:
            _write(profile, field, values[field.metric], frame)
    return _close(layout, frame)


def _write(profile: Profile, field: BinaryField, value: Value, frame: bytearray) -> None:
    span = slice(field.at, field.at + size_of(field.type, field.size))
    takes_bits = field.scaling.bit is not None or field.scaling.bits is not None
    onto = int(unpack(bytes(frame[span]), field.type, field.byte_order)) if takes_bits else 0
    raw = undo_scaling(value, field.scaling, profile.metrics[field.metric], onto)
    if isinstance(raw, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric}: text has no binary form")
    if value is None:
        frame[span] = _sentinel(int(raw), field)
    else:
        frame[span] = pack(raw, field.type, field.byte_order, field.size)


def _sentinel(raw: int, field: BinaryField) -> bytes:
    """A word for none: the number itself, or the bit pattern that a signed field holds it as."""
    try:
        return pack(raw, field.type, field.byte_order, field.size)
    except ParseError:
        size = size_of(field.type, field.size)
        return (raw % (1 << 8 * size)).to_bytes(size, _order(field.byte_order))


def _field_end(field: BinaryField) -> int:
    return field.at + size_of(field.type, field.size)


def _close(layout: BinaryLayout, frame: bytes | bytearray) -> bytes:
    body = bytes(frame)
    return body + _CHECKSUMS[layout.checksum][1](body[layout.checksum_from :]) + layout.end


def poll_frame(wire: SerialWire, address: int) -> bytes | None:
    """The question to the unit at `address`, closed by the layout's checksum and end; None for a unit that speaks unasked."""
    if wire.poll is None:
        return None
    question = bytearray(wire.poll)
    question[wire.poll_address_at] = address
    return _close(wire.layout, question)


def _order(name: str) -> Literal["big", "little"]:
    return "big" if name == "big" else "little"


def _wire(profile: Profile) -> SerialWire:
    if profile.wire.serial is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no serial wire")
    return profile.wire.serial
