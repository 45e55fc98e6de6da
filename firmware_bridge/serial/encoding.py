"""Lines of ASCII text as a serial device writes them, and the questions to it; the way back of `serial_lines`."""

from collections.abc import Mapping

from device_profiles.model import Profile
from device_profiles.wires.serial import ADDRESS, LineField, LineLayout, LineMessage, Place, SerialWire
from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from firmware_bridge.errors import ParseError
from firmware_bridge.serial.lines import check_digits, line_layout
from firmware_bridge.values import undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["encode_line", "poll_line"]


def encode_line(profile: Profile, address: str, values: Mapping[str, Value], tag: str = "") -> bytes:
    """The line that `decode_line` reads as `values`; a metric left out is empty. ParseError where a value has no wire form.

    `tag` chooses the message where the layout has several, its first where it is empty.
    """
    layout = line_layout(profile)
    message = next((one for one in layout.messages if one.tag == tag), layout.messages[0])
    said = {field.place: _printed(profile, field, values[field.metric]) for field in message.fields if field.metric in values}
    if layout.address is not None:
        said[layout.address] = address.rjust(layout.address.size, "0")
    body = _in_parts(layout, message, said) if layout.separator else _in_columns(layout, message, values, said)
    return _closed(layout, layout.start + body.encode("ascii", errors="replace"))


def _printed(profile: Profile, field: LineField, value: Value) -> str:
    metric = profile.metrics[field.metric]
    if value is None and not field.scaling.no_value:
        return field.none[0] if field.none else ""
    if field.words:
        return next((word for word, meaning in field.words.items() if meaning == value), "")
    if isinstance(value, str) and not field.scaling.enum:
        return value
    raw = undo_scaling(value, field.scaling, metric)
    if isinstance(raw, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric}: {raw!r} is no number")
    if field.hex:
        return f"{round(raw):0{field.place.size}X}"
    if field.point_at is not None:
        # Sign and all digits, the point left out: as weighing indicators send it.
        return f"{round(raw * 10**field.places):+0{field.place.size}d}"
    return f"{raw:.{field.places}f}{field.suffix}"


def _in_parts(layout: LineLayout, message: LineMessage, said: Mapping[Place, str]) -> str:
    if layout.assign:
        pairs = [f"{place.key}{layout.assign}{text}" for place, text in said.items()]
        return layout.separator.join([message.tag, *pairs] if message.tag else pairs)
    places = [field.place for field in message.fields] + ([layout.address] if layout.address else [])
    count = max([layout.count, *(place.index + 1 for place in places if place.index is not None)])
    parts = [""] * count
    if message.tag:
        parts[0] = message.tag
    for place, text in said.items():
        parts[place.index or 0] = text
    return layout.separator.join(parts)


def _in_columns(layout: LineLayout, message: LineMessage, values: Mapping[str, Value], said: Mapping[Place, str]) -> str:
    digits = 2 * CHECKSUM_BYTES[layout.checksum.kind] + (len(layout.checksum.mark) if layout.checksum.kind != "none" else 0)
    last = max((place.at or 0) + place.size for place in said) if said else 0
    points = {
        field.point_at: str(field.places) for field in message.fields if field.point_at is not None and field.metric in values
    }
    width = max([layout.size - len(layout.end) - digits, last, *(at + 1 for at in points)])
    line = list(" " * width)
    for place, text in said.items():
        if len(text) > place.size:
            raise ParseError(Reason.OUT_OF_RANGE, f"{text!r} does not fit {place}")
        line[place.at or 0 : (place.at or 0) + place.size] = text.rjust(place.size)
    for at, text in points.items():
        line[at] = text
    return "".join(line)[len(layout.start) :]


def poll_line(wire: SerialWire, address: str) -> bytes | None:
    """The question to the device at `address`; None for one that speaks unasked."""
    if wire.poll is None:
        return None
    question = wire.poll.replace(ADDRESS, address.rjust(wire.poll_digits, "0").encode("ascii"))
    return _closed(wire.layout, question) if wire.poll_checked and isinstance(wire.layout, LineLayout) else question


def _closed(layout: LineLayout, before: bytes) -> bytes:
    """A line with its checksum and its end."""
    mark = layout.checksum.mark.encode("ascii") if layout.checksum.kind != "none" else b""
    return before + mark + check_digits(layout, before).encode("ascii") + layout.end
