"""The fixed binary frame of a device on a serial line: its bytes, its checksum, its messages and their fields."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch, whole
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling
from device_profiles.wires.fields import (
    WIDTH_BYTES,
    Row,
    check_number_fits,
    metric_fields,
    read_scaling,
    scaling_text,
    takes_bits,
)

__all__ = [
    "CHECKSUM_BYTES",
    "MAX_FRAME",
    "BinaryField",
    "BinaryLayout",
    "BinaryMessage",
    "binary_rows",
    "hex_bytes",
    "read_binary",
]


class BinaryField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a fixed binary frame; `at` counts bytes from the frame's first. `size` is for bcd and text only; with a
    `charset` the field is text of that many bytes, padded by zero bytes or blanks."""

    metric: str
    at: int
    type: NumberType = NumberType.U16
    byte_order: str = "big"
    size: int = 0
    charset: str = ""
    scaling: Scaling = Scaling()

    @property
    def width(self) -> int:
        """Bytes that it takes."""
        return self.size or WIDTH_BYTES[self.type]


class BinaryMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The frame of one type. `size` is for layouts without a length field whose types differ in theirs, else 0."""

    type_value: int
    fields: tuple[BinaryField, ...]
    size: int = 0


class BinaryLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed frame: start bytes, the address and length positions, the checksum and the end bytes.

    The address at `address_at` has one or two bytes in the layout's byte order; None for a device that is alone on its
    line and says no address. The length field at `length_at` (u8, or u16 when `length_size` is 2) plus `length_adds` is the
    whole frame's size in bytes, start and end included; where there is no length field `size` is the whole frame's size.
    `checksum` is one of CHECKSUM_BYTES, computed over the bytes from `checksum_from` to the byte before the checksum
    itself, and sent in `checksum_order`: where that is empty, low byte first for crc16-modbus and high byte first else.

    `type_value` and `fields` are the frame's one message, or the first of several; `others` are the rest.
    """

    start: bytes
    end: bytes = b""
    address_at: int | None = None
    address_size: int = 1
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
    checksum_order: str = ""
    fields: tuple[BinaryField, ...] = ()
    others: tuple[BinaryMessage, ...] = ()

    @property
    def messages(self) -> tuple[BinaryMessage, ...]:
        """All messages of the layout."""
        return BinaryMessage(type_value=self.type_value, fields=self.fields, size=self.size), *self.others

    @property
    def all_fields(self) -> tuple[BinaryField, ...]:
        return tuple(field for message in self.messages for field in message.fields)


MAX_FRAME = 1024
CHECKSUM_BYTES = {
    "none": 0,
    "sum8": 1,  # the sum of the bytes
    "sum8-ones": 1,  # its bits turned over
    "lrc": 1,  # its two's complement (Modbus over Serial Line V1.02, 6.2.1), with which all bytes add up to 0
    "xor8": 1,
    "sum16": 2,
    "crc16-modbus": 2,  # polynomial 8005 reflected, from FFFF
    "crc16-xmodem": 2,  # polynomial 1021, from 0
    "crc16-ccitt": 2,  # polynomial 1021, from FFFF
}
"""Kind of checksum: its bytes."""
_CHARSETS = ("ascii", "gb18030")
_TEXT = "text"
_ORDERS = ("big", "little")


def read_binary(branch: Branch, metrics: Mapping[str, Metric]) -> BinaryLayout:
    """The keys of a binary layout, which stand directly under `serial`."""
    order = branch.word("byte_order", _ORDERS, "big")
    checksum = branch.word("checksum", CHECKSUM_BYTES, "none")
    length = branch.optional("length")
    size = branch.integer("size", 0, low=0, high=MAX_FRAME)
    if length is None and size == 0 and not branch.has("messages"):
        branch.wrong("size", "missing, and there is no length field", "size: bytes of the whole frame, or length: {...}")
    start, end = hex_bytes(branch, "start"), hex_bytes(branch, "end", "")
    at, width, adds = (None, 1, 0) if length is None else _length(length)
    largest = branch.integer("max_size", max(size, 256), low=1, high=MAX_FRAME)
    header = _header(branch, at, width, len(start))
    layout = BinaryLayout(
        start=start,
        end=end,
        address_at=branch.integer("address_at", low=0, high=MAX_FRAME) if branch.has("address_at") else None,
        address_size=branch.integer("address_size", 1, low=1, high=2),
        type_at=branch.integer("type_at", low=0, high=MAX_FRAME) if branch.has("type_at") else None,
        length_at=at,
        length_size=width,
        length_adds=adds,
        size=size,
        max_size=largest,
        byte_order=order,
        checksum=checksum,
        checksum_from=branch.integer("checksum_from", 0, low=0, high=MAX_FRAME),
        checksum_order=branch.word("checksum_order", _ORDERS, "") if branch.has("checksum_order") else "",
    )
    return _with_messages(branch, layout, metrics, header)


def _with_messages(
    branch: Branch, layout: BinaryLayout, metrics: Mapping[str, Metric], header: Mapping[int, str]
) -> BinaryLayout:
    tail = len(layout.end) + CHECKSUM_BYTES[layout.checksum]
    several = branch.optional("messages")
    if several is None:
        value = branch.integer("type_value", 0, low=0, high=255)
        fields = _fields(branch, metrics, layout.byte_order, (layout.size or layout.max_size) - tail, header)
        return msgspec.structs.replace(layout, type_value=value, fields=fields)
    if layout.type_at is None:
        branch.wrong("messages", "nothing tells them apart", "type_at: the byte that does")
    messages = [_message(key, inner, layout, metrics, header) for key, inner in several.inner()]
    if not messages:
        branch.wrong("messages", "no message", "type: {fields: {...}} lines")
        return layout
    first, *others = messages
    return msgspec.structs.replace(
        layout, type_value=first.type_value, fields=first.fields, size=first.size or layout.size, others=tuple(others)
    )


def _message(
    key: str, inner: Branch, layout: BinaryLayout, metrics: Mapping[str, Metric], header: Mapping[int, str]
) -> BinaryMessage:
    value = whole(key)
    if value is None or not 0 <= value <= 255:
        inner.wrong_here(f"{key[:40]!r} is no value of a byte", "the type, as 2 or 0x02")
    size = inner.integer("size", layout.size, low=0, high=layout.max_size)
    if layout.length_at is None and size == 0:
        inner.wrong("size", "missing, and there is no length field", "size: bytes of the whole frame")
    room = (size or layout.max_size) - len(layout.end) - CHECKSUM_BYTES[layout.checksum]
    message = BinaryMessage(type_value=value or 0, fields=_fields(inner, metrics, layout.byte_order, room, header), size=size)
    inner.finish()
    return message


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
    for key, size in (("address_at", branch.integer("address_size", 1, low=1, high=2)), ("type_at", 1)):
        if branch.has(key):
            at = branch.integer(key, low=0, high=MAX_FRAME)
            used |= dict.fromkeys(range(at, at + size), key)
    if length_at is not None:
        used |= dict.fromkeys(range(length_at, length_at + length_size), "length")
    return used


def _fields(
    branch: Branch, metrics: Mapping[str, Metric], order: str, room: int, used: Mapping[int, str]
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
    word = inner.word("type", [*map(str, NumberType), _TEXT], "u16")
    if word == _TEXT:
        return _text_field(name, metric, inner)
    kind = NumberType(word)
    if metric is not None:
        check_number_fits(inner, metric)
    if kind is not NumberType.BCD and inner.has("size"):
        inner.wrong("size", f"a {kind} has its own size", "size for bcd only")
    return BinaryField(
        metric=name,
        at=inner.integer("at", low=0, high=MAX_FRAME),
        type=kind,
        byte_order=inner.word("byte_order", _ORDERS, order),
        size=inner.integer("size", low=1, high=8) if kind is NumberType.BCD else 0,
        scaling=read_scaling(inner, metric, kind),
    )


def _text_field(name: str, metric: Metric | None, inner: Branch) -> BinaryField:
    if metric is not None and metric.type is not MetricType.STRING:
        inner.wrong("type", f"text for a {metric.type} metric", "a number's type")
    return BinaryField(
        metric=name,
        at=inner.integer("at", low=0, high=MAX_FRAME),
        size=inner.integer("size", low=1, high=255),
        charset=inner.word("charset", _CHARSETS, "ascii"),
    )


def _check_place(inner: Branch, field: BinaryField, room: int, taken: dict[int, tuple[str, BinaryField | None]]) -> None:
    if not inner.is_sound("at", "size", "type"):
        return
    end = field.at + field.width
    if end > room:
        inner.wrong("at", f"bytes {field.at} to {end - 1} leave the {room} bytes before checksum and end", "a place inside")
        return
    for at in range(field.at, end):
        owner, other = taken.setdefault(at, (field.metric, field))
        if other is not field and not _shares(field, other):
            inner.wrong("at", f"byte {at} belongs to {owner}", "a free place, or bit or bits")


def _shares(field: BinaryField, other: BinaryField | None) -> bool:
    if other is None or (field.at, field.type) != (other.at, other.type):
        return False
    return takes_bits(field.scaling) or takes_bits(other.scaling)


def hex_bytes(branch: Branch, key: str, default: str | None = None) -> bytes:
    """Bytes as hexadecimal text in quotes: "AA 55"."""
    if branch.has(key) and branch.is_empty_text(key) and default is not None:
        return b""
    text = branch.text(key, default)
    try:
        return bytes.fromhex(text)
    except ValueError:
        branch.wrong(key, f"{text!r} is not hexadecimal", 'pairs of hexadecimal digits in quotes: "AA 55"')
        return b""


def binary_rows(layout: BinaryLayout) -> Iterator[Row]:
    """The map as a person reads it."""
    for message in layout.messages:
        kind = f"type {message.type_value:#04x} " if layout.others else ""
        for field in message.fields:
            form = f"text {field.size}" if field.charset else f"{field.type} {scaling_text(field.scaling)}".strip()
            yield "serial", field.metric, f"{kind}byte {field.at}", form
