"""A serial device's frame as one flat record, and field by field: what `frame decode PROFILE` prints."""

from contextlib import suppress
from functools import partial

from device_profiles.model import Profile
from device_profiles.wires.serial import BinaryLayout, LineLayout
from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from firmware_bridge.cursor import Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record
from firmware_bridge.serial.frames import read_frame, speaker
from firmware_bridge.serial.layout import read_fields
from firmware_bridge.serial.lines import check_line, find_place, read_line
from firmware_bridge.values import Decoded
from telemetry.reason import Reason

__all__ = ["serial_language"]


def serial_language(profile: Profile) -> Language:
    """The frames of a profile with a serial wire. A line of text may be written as it is, without what ends it."""
    assert profile.wire.serial is not None  # noqa: S101 (the caller asked)
    layout = profile.wire.serial.layout
    spoken = _spoken(layout) if isinstance(layout, LineLayout) else ()
    return Language(describe=partial(_record, profile=profile), explain=partial(_explain, profile=profile), spoken=spoken)


def _spoken(layout: LineLayout) -> tuple[str, ...]:
    """The first character of a line that a keyboard has; any line is text where it has no start of its own."""
    if not layout.start:
        return ("",)
    first = layout.start[:1].decode("ascii")
    return (first,) if first.isprintable() and first not in "0123456789abcdefABCDEF " else ()


def _record(raw: bytes, *, profile: Profile) -> Record:
    frame = _frame(raw, profile)
    address, decoded = read_frame(profile, frame)
    flaws = {metric: {"quality": flaw.quality.name.lower(), "reason": flaw.reason} for metric, flaw in decoded.flaws.items()}
    number = int(address) if address is not None and address.isdecimal() else address
    return {
        "protocol": profile.name,
        "address": number,
        "checksum_ok": True if _checked(profile) else None,
        "values": dict(decoded.values),
        "flaws": flaws,
    }


def _explain(raw: bytes, *, profile: Profile) -> list[Shown]:
    frame = _frame(raw, profile)
    layout = _layout(profile)
    _, decoded = read_frame(profile, frame)
    head = _line_head(layout, frame) if isinstance(layout, LineLayout) else _binary_head(layout, frame)
    fields = [Shown(metric, at, size, _told(profile, decoded, metric)) for metric, at, size in _places(profile, layout, frame)]
    return sorted([*head, *fields], key=lambda field: field.at)


def _places(profile: Profile, layout: BinaryLayout | LineLayout, frame: bytes) -> list[tuple[str, int, int]]:
    if isinstance(layout, LineLayout):
        return [(field.metric, max(at, 0), size) for field, (at, size), _ in read_line(profile, frame)]
    return [(field.metric, field.at, field.width) for field, _ in read_fields(profile, layout, frame)]


def _told(profile: Profile, decoded: Decoded, metric: str) -> object:
    flaw = decoded.flaws.get(metric)
    if flaw is not None:
        return flaw.reason
    unit = profile.metrics[metric].unit
    return decoded.values[metric] if unit == "1" else f"{decoded.values[metric]} {unit}"


def _binary_head(layout: BinaryLayout, frame: bytes) -> list[Shown]:
    fields = [Shown("start", 0, len(layout.start), layout.start.hex())]
    if layout.address_at is not None:
        fields.append(Shown("address", layout.address_at, layout.address_size, speaker(layout, frame)))
    if layout.type_at is not None:
        fields.append(Shown("type", layout.type_at, 1, frame[layout.type_at]))
    if layout.length_at is not None:
        fields.append(Shown("length", layout.length_at, layout.length_size, len(frame)))
    width = CHECKSUM_BYTES[layout.checksum]
    return [*fields, *_right(len(frame) - len(layout.end) - width, width)]


def _line_head(layout: LineLayout, frame: bytes) -> list[Shown]:
    line = check_line(layout, frame)
    fields = [Shown("start", 0, len(layout.start), repr(layout.start.decode("ascii")))] if layout.start else []
    if layout.address is not None:
        fields.append(Shown("address", *find_place(layout, layout.address, line), speaker(layout, frame)))
    if layout.messages[0].tag and line.parts:
        fields.append(Shown("tag", line.parts[0][1], len(line.parts[0][0]), line.parts[0][0]))
    width = 2 * CHECKSUM_BYTES[layout.checksum.kind]
    return [*fields, *_right(len(frame) - len(layout.end) - width, width)]


def _right(at: int, width: int) -> list[Shown]:
    """The checksum of a frame that was checked."""
    return [Shown("checksum", at, width, "right")] if width else []


def _frame(raw: bytes, profile: Profile) -> bytes:
    """The bytes of the frame that `raw` writes: a line may come without its end, or, where any text is one, in hex."""
    layout = _layout(profile)
    if not isinstance(layout, LineLayout):
        return raw
    if not layout.start:
        with suppress(ValueError):  # no hex: the line itself
            raw = bytes.fromhex(raw.decode("ascii"))
    return raw if raw.endswith(layout.end) or not layout.end.isspace() else raw + layout.end


def _checked(profile: Profile) -> bool:
    layout = _layout(profile)
    return (layout.checksum.kind if isinstance(layout, LineLayout) else layout.checksum) != "none"


def _layout(profile: Profile) -> BinaryLayout | LineLayout:
    if profile.wire.serial is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no serial wire")
    return profile.wire.serial.layout
