"""The binary frames of a device on a serial line in C: one struct a message, opened and closed by two functions."""

from collections.abc import Iterator

import msgspec

from device_profiles.model import Profile
from device_profiles.wires.serial_binary import CHECKSUM_BYTES, BinaryField, BinaryLayout, BinaryMessage
from firmware_bridge.c_header.field import CField, field_lines
from firmware_bridge.c_header.helpers import checksum_lines
from firmware_bridge.c_header.layout import Member, struct_lines
from firmware_bridge.c_header.names import Names, comment
from firmware_bridge.errors import ParseError
from firmware_bridge.numbers import pack
from telemetry.reason import Reason

__all__ = ["frame_lines"]


def frame_lines(names: Names, profile: Profile, layout: BinaryLayout) -> Iterator[str]:
    """The struct of each message, its fields, and how a frame is begun and closed."""
    if layout.checksum != "none":
        yield checksum_lines(layout.checksum)[1]
    several = len(layout.messages) > 1
    for message in layout.messages:
        title = [profile.name, "frame"] + ([str(message.type_value)] if several else [])
        yield from _message_lines(names, profile, layout, message, title)


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One message as it becomes a struct. `members` has the layout's own parts by name, fields by their offset."""

    layout: BinaryLayout
    message: BinaryMessage
    title: tuple[str, ...]
    struct: str
    size: int
    members: dict[str, Member]


def _message_lines(
    names: Names, profile: Profile, layout: BinaryLayout, message: BinaryMessage, title: list[str]
) -> Iterator[str]:
    size = _size(layout, message)
    frame = _Frame(
        layout=layout,
        message=message,
        title=tuple(title),
        struct=names.give(*title, "t"),
        size=size,
        members=_members(layout, message, size),
    )
    yield comment(f"One frame of {size} bytes; checksum: {layout.checksum}.")
    yield f"#define {names.give(*title, 'BYTES', upper=True)} {size}u"
    yield from struct_lines(names, frame.struct, list(frame.members.values()), size)
    yield ""
    yield from _begin_lines(names, frame)
    yield ""
    yield from _close_lines(names, frame)
    for field in message.fields:
        yield ""
        yield f"#define {names.give(*title, field.metric, 'AT', upper=True)} {field.at}u"
        yield from field_lines(names, "_".join(title), _c_field(profile, field, frame))


def _size(layout: BinaryLayout, message: BinaryMessage) -> int:
    """The frame's bytes; with a length field as few as the fields need."""
    tail = CHECKSUM_BYTES[layout.checksum] + len(layout.end)
    if layout.length_at is None:
        return message.size or layout.size
    ends = [len(layout.start), layout.length_at + layout.length_size, *(field.at + field.width for field in message.fields)]
    if layout.address_at is not None:
        ends.append(layout.address_at + layout.address_size)
    if layout.type_at is not None:
        ends.append(layout.type_at + 1)
    return max(ends) + tail


def _members(layout: BinaryLayout, message: BinaryMessage, size: int) -> dict[str, Member]:
    """The parts of the frame by name, and each field's member by its offset."""
    names = Names()
    check = CHECKSUM_BYTES[layout.checksum]
    end_at = size - len(layout.end)
    parts = [
        ("start", 0, len(layout.start)),
        ("address", layout.address_at, layout.address_size),
        ("type", layout.type_at, 1),
        ("length", layout.length_at, layout.length_size),
        ("checksum", end_at - check, check),
        ("end", end_at, len(layout.end)),
    ]
    members = {name: Member(names.give(name), at, width) for name, at, width in parts if at is not None and width}
    for field in message.fields:
        sharing = sum(other.at == field.at for other in message.fields)
        if f"{field.at}" not in members:
            name = names.give("at", str(field.at)) if sharing > 1 else names.give(field.metric)
            members[f"{field.at}"] = Member(name, field.at, field.width)
    return members


def _begin_lines(names: Names, frame: _Frame) -> Iterator[str]:
    layout, members = frame.layout, frame.members
    order = "CN_ABCD" if layout.byte_order == "big" else "CN_DCBA"
    has_address = layout.address_at is not None
    yield comment("Everything but fields and checksum; the fields are zero.")
    argument = ", unsigned address" if has_address else ""
    yield f"static inline void {names.give(*frame.title, 'begin')}({frame.struct} *frame{argument})"
    yield "{"
    yield "    memset(frame, 0, sizeof *frame);"
    for name, data in (("start", layout.start), ("end", layout.end)):
        for at, byte in enumerate(data):
            yield f"    frame->{members[name].name}[{at}] = 0x{byte:02X}u;"
    if has_address:
        yield f"    cn_put32(frame->{members['address'].name}, (uint32_t)address, {layout.address_size}u, {order});"
    if layout.type_at is not None:
        yield f"    frame->{members['type'].name}[0] = 0x{frame.message.type_value:02X}u;"
    if layout.length_at is not None:
        said = frame.size - layout.length_adds
        yield f"    cn_put32(frame->{members['length'].name}, {said}u, {layout.length_size}u, {order});"
    yield "}"


def _close_lines(names: Names, frame: _Frame) -> Iterator[str]:
    layout = frame.layout
    yield comment("The checksum over what is in the frame now.")
    yield f"static inline void {names.give(*frame.title, 'close')}({frame.struct} *frame)"
    yield "{"
    if layout.checksum == "none":
        yield "    (void)frame;"
    else:
        check = frame.members["checksum"]
        order = layout.checksum_order or ("little" if layout.checksum == "crc16-modbus" else "big")
        function = checksum_lines(layout.checksum)[0]
        covered = f"(const uint8_t *)frame + {layout.checksum_from}, {check.at - layout.checksum_from}u"
        place = "CN_ABCD" if order == "big" else "CN_DCBA"
        yield f"    cn_put32(frame->{check.name}, {function}({covered}), {check.size}u, {place});"
    yield "}"


def _c_field(profile: Profile, field: BinaryField, frame: _Frame) -> CField:
    return CField(
        metric=profile.metrics[field.metric],
        struct=frame.struct,
        member=frame.members[f"{field.at}"].name,
        size=field.width,
        order="CN_ABCD" if field.byte_order == "big" else "CN_DCBA",
        type=field.type,
        scaling=field.scaling,
        charset=field.charset,
        none=_none(field),
    )


def _none(field: BinaryField) -> int | None:
    """The smallest word for no value as it lies in the frame, read as an unsigned number."""
    if not field.scaling.no_value or field.charset:
        return None
    word = min(field.scaling.no_value)
    try:
        return int.from_bytes(pack(word, field.type, "big", field.size), "big")
    except ParseError as error:
        if error.reason is not Reason.OUT_OF_RANGE:
            raise
        return word % (1 << 8 * field.width)
