"""The fixed binary frame of a device on a serial line."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric, NumberType, Scaling
from device_profiles.wires.fields import (
    WIDTH_BYTES,
    Row,
    check_number_fits,
    metric_fields,
    read_scaling,
    scaling_text,
    takes_bits,
)

__all__ = ["BinaryField", "BinaryLayout", "SerialWire", "read_serial", "serial_rows"]


class BinaryField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a fixed binary frame; `at` counts bytes from the frame's first. `size` is for bcd only."""

    metric: str
    at: int
    type: NumberType
    byte_order: str = "big"
    size: int = 0
    scaling: Scaling = Scaling()


class BinaryLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed frame: start bytes, the address and length positions, the checksum and the end bytes.

    The length field at `length_at` (u8, or u16 when `length_size` is 2, byte order of the layout) plus `length_adds`
    is the whole frame's size in bytes, start and end included; where there is no length field `size` is the whole
    frame's size. `checksum` is one of "none", "sum8", "xor8", "crc16-modbus", computed over the bytes from
    `checksum_from` to the byte before the checksum itself; crc16-modbus is sent low byte first.
    """

    start: bytes
    end: bytes = b""
    address_at: int
    type_at: int | None = None
    type_value: int = 0
    length_at: int | None = None
    length_size: int = 1
    length_adds: int = 0
    size: int = 0
    max_size: int = 256
    byte_order: str = "big"
    checksum: str = "none"
    checksum_from: int = 0
    fields: tuple[BinaryField, ...] = ()


class SerialWire(msgspec.Struct, frozen=True, kw_only=True):
    """A device on a serial line that sends `layout` on its own, or answers it to `poll` (a frame with `{address}`
    as its one-byte hole, checksum appended by the layout's rule; None when the device speaks unasked)."""

    layout: BinaryLayout
    poll: bytes | None = None
    poll_address_at: int = 0
    poll_s: float = 10.0


MAX_FRAME = 1024
_CHECKSUMS = {"none": 0, "sum8": 1, "xor8": 1, "crc16-modbus": 2}


def read_serial(branch: Branch, metrics: Mapping[str, Metric]) -> SerialWire:
    """The layout's keys and how the device is asked, if it must be."""
    layout = _layout(branch, metrics)
    poll = branch.optional("poll")
    frame, hole = (None, 0) if poll is None else _poll(poll)
    wire = SerialWire(layout=layout, poll=frame, poll_address_at=hole, poll_s=branch.number("poll_s", 10.0, low=0.1, high=86400))
    branch.finish()
    return wire


def _poll(branch: Branch) -> tuple[bytes, int]:
    frame = _hex(branch, "frame")
    hole = branch.integer("address_at", low=0, high=max(len(frame) - 1, 0))
    branch.finish()
    return frame, hole


def _layout(branch: Branch, metrics: Mapping[str, Metric]) -> BinaryLayout:
    order = branch.word("byte_order", ("big", "little"), "big")
    checksum = branch.word("checksum", _CHECKSUMS, "none")
    length = branch.optional("length")
    size = branch.integer("size", 0, low=0, high=MAX_FRAME)
    if length is None and size == 0:
        branch.wrong("size", "missing, and there is no length field", "size: bytes of the whole frame, or length: {...}")
    start, end = _hex(branch, "start"), _hex(branch, "end", "")
    kind_at = branch.integer("type_at", low=0, high=MAX_FRAME) if branch.has("type_at") else None
    at, width, adds = (None, 1, 0) if length is None else _length(length)
    largest = branch.integer("max_size", max(size, 256), low=1, high=MAX_FRAME)
    tail = len(end) + _CHECKSUMS[checksum]
    return BinaryLayout(
        start=start,
        end=end,
        address_at=branch.integer("address_at", low=0, high=MAX_FRAME),
        type_at=kind_at,
        type_value=branch.integer("type_value", 0, low=0, high=255),
        length_at=at,
        length_size=width,
        length_adds=adds,
        size=size,
        max_size=largest,
        byte_order=order,
        checksum=checksum,
        checksum_from=branch.integer("checksum_from", 0, low=0, high=MAX_FRAME),
        fields=_fields(branch, metrics, order, (size or largest) - tail, _header(branch, at, width, len(start))),
    )


def _length(branch: Branch) -> tuple[int, int, int]:
    read = (
        branch.integer("at", low=0, high=MAX_FRAME),
        branch.integer("size", 1, low=1, high=2),
        branch.integer("adds", 0, low=-MAX_FRAME, high=MAX_FRAME),
    )
    branch.finish()
    return read


def _header(branch: Branch, length_at: int | None, length_size: int, start: int) -> dict[int, str]:
    """Which bytes of the frame the layout itself uses."""
    used = dict.fromkeys(range(start), "start")
    for key in ("address_at", "type_at"):
        if branch.has(key):
            used[branch.integer(key, low=0, high=MAX_FRAME)] = key
    if length_at is not None:
        used |= dict.fromkeys(range(length_at, length_at + length_size), "length")
    return used


def _fields(
    branch: Branch, metrics: Mapping[str, Metric], order: str, room: int, used: dict[int, str]
) -> tuple[BinaryField, ...]:
    """The fields, each inside the frame's `room` bytes before the checksum and apart from the header and one another."""
    taken: dict[int, tuple[str, BinaryField | None]] = {at: (name, None) for at, name in used.items()}
    fields = []
    for name, metric, inner in metric_fields(branch, "fields", metrics):
        field = _field(name, metric, inner, order)
        _check_place(inner, field, room, taken)
        inner.finish()
        fields.append(field)
    return tuple(fields)


def _field(name: str, metric: Metric | None, inner: Branch, order: str) -> BinaryField:
    kind = inner.choice("type", NumberType, NumberType.U16)
    if metric is not None:
        check_number_fits(inner, metric)
    if kind is not NumberType.BCD and inner.has("size"):
        inner.wrong("size", f"a {kind} has its own size", "size for bcd only")
    return BinaryField(
        metric=name,
        at=inner.integer("at", low=0, high=MAX_FRAME),
        type=kind,
        byte_order=inner.word("byte_order", ("big", "little"), order),
        size=inner.integer("size", low=1, high=8) if kind is NumberType.BCD else 0,
        scaling=read_scaling(inner, metric, kind),
    )


def _check_place(inner: Branch, field: BinaryField, room: int, taken: dict[int, tuple[str, BinaryField | None]]) -> None:
    if not inner.is_sound("at", "size", "type"):
        return
    width = field.size or WIDTH_BYTES[field.type]
    if field.at + width > room:
        inner.wrong(
            "at", f"bytes {field.at} to {field.at + width - 1} leave the {room} bytes before checksum and end", "a place inside"
        )
        return
    for at in range(field.at, field.at + width):
        owner, other = taken.setdefault(at, (field.metric, field))
        if other is not field and not _shares(field, other):
            inner.wrong("at", f"byte {at} belongs to {owner}", "a free place, or bit or bits")


def _shares(field: BinaryField, other: BinaryField | None) -> bool:
    if other is None or (field.at, field.type) != (other.at, other.type):
        return False
    return takes_bits(field.scaling) or takes_bits(other.scaling)


def _hex(branch: Branch, key: str, default: str | None = None) -> bytes:
    """Bytes as hexadecimal text in quotes: "AA 55"."""
    if branch.has(key) and branch.is_empty_text(key) and default is not None:
        return b""
    text = branch.text(key, default)
    try:
        return bytes.fromhex(text)
    except ValueError:
        branch.wrong(key, f"{text!r} is not hexadecimal", 'pairs of hexadecimal digits in quotes: "AA 55"')
        return b""


def serial_rows(wire: SerialWire) -> Iterator[Row]:
    """The map as a person reads it."""
    for field in wire.layout.fields:
        yield "serial", field.metric, f"byte {field.at}", f"{field.type} {scaling_text(field.scaling)}".strip()
