"""Lines of ASCII text on a serial line, driven by a profile's LineLayout: framer and decoder.

start | part, part, ... or fixed columns | mark, checksum in hexadecimal digits | end
"""

import re
from collections.abc import Callable

import msgspec

from device_profiles.model import Profile
from device_profiles.quantities import MetricType
from device_profiles.wires.serial import LineField, LineLayout, LineMessage, Place
from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.serial.checks import checksum
from firmware_bridge.serial.framer import SerialFramer
from firmware_bridge.values import Decoded, Gathering, apply_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = [
    "Line",
    "LineFramer",
    "check_digits",
    "check_line",
    "decode_line",
    "find_place",
    "line_address",
    "line_layout",
    "read_line",
]

_NUMBER = re.compile(r"([+-]?) *([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})")
_HEX = re.compile(r"[0-9A-Fa-f]{1,16}")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A checked line: `body` is what stands between start and checksum, `at` where it begins in `text`, the whole line.
    `parts` are its (text, first character in the whole line)."""

    text: str
    body: str
    at: int
    parts: tuple[tuple[str, int], ...] = ()


class LineFramer:
    """Cuts a serial line's bytes into whole, checked lines of one layout.

    A line that begins with start bytes is found behind anything else. One without is taken from the end of the one before:
    so the first is given up in silence where the port was opened within it, which a quiet line (`idle`) shows not to be so.
    """

    def __init__(self, layout: LineLayout) -> None:
        self._layout = layout
        self._midway = not layout.start
        self._framer = SerialFramer(lambda data: _whole(layout, data), layout.max_size, lambda data: _spoilt(layout, data))

    def feed(self, data: bytes) -> list[bytes | Refused]:
        """The lines that `data` completes, and what had to be given up, in order."""
        if not self._midway:
            return self._framer.feed(data)
        end = self._layout.end[-1:]
        _, found, rest = data.partition(end)
        if not found:
            return []
        self._midway = False
        return self._framer.feed(rest)

    def idle(self) -> list[bytes | Refused]:
        """What is left once the line has gone quiet, as refused."""
        self._midway = False
        return self._framer.idle()


def _whole(layout: LineLayout, data: bytes) -> int:
    """The size of the checked line that `data` begins with, 0 while its end is still to come."""
    start = layout.start
    if not start.startswith(data[: len(start)]) and not data.startswith(start):
        raise ParseError(Reason.BAD_START, f"want {start!r}", 0)
    at = data.find(layout.end, len(start))
    size = at + len(layout.end)
    if (at < 0 and len(data) >= layout.max_size) or size > layout.max_size:
        raise ParseError(Reason.OVERSIZED, f"no end within {layout.max_size} characters", layout.max_size)
    if at < 0:
        return 0
    check_line(layout, data[:size])
    return size


def _spoilt(layout: LineLayout, data: bytes) -> int:
    """How much of a line that does not check is given up: one character, or all of it where nothing marks a start."""
    if layout.start:
        return 1
    at = data.find(layout.end)
    return at + len(layout.end) if 0 <= at <= layout.max_size else min(len(data), layout.max_size)


def check_line(layout: LineLayout, raw: bytes) -> Line:
    """The one whole line in `raw`. ParseError: bad_start, bad_field (the end, or what is no text), bad_length, truncated,
    bad_checksum."""
    if not raw.startswith(layout.start):
        raise ParseError(Reason.BAD_START, f"want {layout.start!r}", 0)
    if len(raw) < len(layout.start) + len(layout.end) or not raw.endswith(layout.end):
        raise ParseError(Reason.BAD_FIELD, f"want {layout.end!r} at the end", max(0, len(raw) - len(layout.end)))
    if len(raw) > layout.max_size or layout.size not in (0, len(raw)):
        reason = Reason.OVERSIZED if len(raw) > layout.max_size else Reason.BAD_LENGTH
        raise ParseError(reason, f"{len(raw)} characters, want {layout.size or f'at most {layout.max_size}'}", len(raw))
    end = _before_checksum(layout, raw, len(raw) - len(layout.end))
    body = raw[len(layout.start) : end]
    odd = next((i for i, byte in enumerate(body) if not 0x20 <= byte <= 0x7E and byte != 0x09), None)
    if odd is not None:
        raise ParseError(Reason.BAD_FIELD, f"{body[odd]:#04x} is no text", len(layout.start) + odd)
    text = body.decode("ascii")
    parts = _parts(layout, text, len(layout.start))
    if layout.count not in (0, len(parts)):
        raise ParseError(Reason.BAD_LENGTH, f"{len(parts)} parts, want {layout.count}", len(layout.start))
    return Line(text=raw.decode("latin-1"), body=text, at=len(layout.start), parts=parts)


def _before_checksum(layout: LineLayout, raw: bytes, end: int) -> int:
    """Where the mark of the checksum stands, `end` where there is none; ParseError where it is wrong."""
    check = layout.checksum
    if check.kind == "none":
        return end
    at = end - 2 * CHECKSUM_BYTES[check.kind]
    marked = at - len(check.mark)
    if marked < len(layout.start):
        raise ParseError(Reason.TRUNCATED, "the line ends before its checksum", end)
    if raw[marked:at] != check.mark.encode("ascii"):
        raise ParseError(Reason.BAD_FIELD, f"want {check.mark!r} before the checksum", marked)
    digits, want = raw[at:end].decode("latin-1"), check_digits(layout, raw[:marked])
    if digits.upper() != want:
        raise ParseError(Reason.BAD_CHECKSUM, f"{check.kind} {digits!a}, want {want}", at)
    return marked


def check_digits(layout: LineLayout, before: bytes) -> str:
    """The digits of the checksum of a line that has `before` in front of them, empty where the layout has none."""
    check = layout.checksum
    if check.kind == "none":
        return ""
    return f"{checksum(check.kind, before[check.since :]):0{2 * CHECKSUM_BYTES[check.kind]}X}"


def _parts(layout: LineLayout, body: str, at: int) -> tuple[tuple[str, int], ...]:
    """What stands between the separators, and where; blanks around it are nothing."""
    if not layout.separator:
        return ()
    parts = []
    for part in body.split(layout.separator):
        if layout.separator != " " or part:
            parts.append((part.strip(), at + len(part) - len(part.lstrip())))
        at += len(part) + 1
    return tuple(parts)


def read_line(profile: Profile, raw: bytes) -> list[tuple[LineField, tuple[int, int], Callable[[], Value]]]:
    """The fields of a line: where each stands as (first character, characters), and what reads it. ParseError as
    `check_line`, and unknown_message for a tag that the layout does not have."""
    layout = line_layout(profile)
    line = check_line(layout, raw)
    return [
        (field, find_place(layout, field.place, line), _reader(profile, layout, field, line))
        for field in _message(layout, line).fields
    ]


def decode_line(profile: Profile, raw: bytes) -> tuple[str | None, Decoded]:
    """The address in the line as it stands there without leading zeros, None where the layout has none; and its values."""
    layout = line_layout(profile)
    gathering = Gathering()
    for field, _, read in read_line(profile, raw):
        gathering.add(field.metric, read)
    return line_address(layout, raw), gathering.decoded()


def line_address(layout: LineLayout, raw: bytes) -> str | None:
    """The address in a checked line without leading zeros; ParseError(missing) where its place is empty."""
    if layout.address is None:
        return None
    text = _token(layout, layout.address, check_line(layout, raw))
    if not text:
        raise ParseError(Reason.MISSING, f"no address at {layout.address}")
    return text.lstrip("0") or "0"


def _message(layout: LineLayout, line: Line) -> LineMessage:
    said = line.parts[0][0] if line.parts else ""
    for message in layout.messages:
        if message.tag in ("", said):
            return message
    known = ", ".join(message.tag for message in layout.messages)
    raise ParseError(Reason.UNKNOWN_MESSAGE, f"{said[:20]!r}, want {known}", line.at)


def _reader(profile: Profile, layout: LineLayout, field: LineField, line: Line) -> Callable[[], Value]:
    metric = profile.metrics[field.metric]

    def read() -> Value:
        text = _token(layout, field.place, line)
        if field.suffix and text.endswith(field.suffix):
            text = text.removesuffix(field.suffix).rstrip()
        if not text or text in field.none:
            raise ParseError(Reason.NO_VALUE, f"{field.metric}: {text!r} stands for no value")
        if field.words:
            return _word(field, text)
        if metric.type is MetricType.STRING and not field.scaling.enum:
            return text
        return apply_scaling(_number(field, text, line), field.scaling, metric)

    return read


def _word(field: LineField, text: str) -> Value:
    if text not in field.words:
        raise ParseError(Reason.NOT_IN_ENUM, f"{field.metric}: {text[:20]!r} is none of {list(field.words)}")
    return field.words[text]


def _number(field: LineField, text: str, line: Line) -> int | float:
    if field.hex:
        if not _HEX.fullmatch(text):
            raise ParseError(Reason.NOT_HEX, f"{field.metric}: {text[:20]!r}")
        return int(text, 16)
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric}: {text[:20]!r} is no number")
    digits = found[1] + found[2]
    number: int | float = float(digits) if "." in digits else int(digits)
    return number if field.point_at is None else number / 10 ** _point(field, line)


def _point(field: LineField, line: Line) -> int:
    """How many digits stand behind the point, as the line says at the field's `point_at`."""
    digit = line.text[field.point_at or 0 :][:1]
    if not ("0" <= digit <= "9"):
        raise ParseError(Reason.BAD_FIELD, f"{field.metric}: {digit!a} is no number of decimals", field.point_at)
    return int(digit)


def _token(layout: LineLayout, place: Place, line: Line) -> str:
    at, size = find_place(layout, place, line)
    if at < 0:
        raise ParseError(Reason.MISSING, f"the line has no {place}", len(line.text))
    return line.text[at : at + size].strip()


def find_place(layout: LineLayout, place: Place, line: Line) -> tuple[int, int]:
    """Where a place's text is in a checked line, as (first character, characters); (-1, 0) where the line does not have it."""
    if place.index is not None:
        text, at = line.parts[place.index] if place.index < len(line.parts) else ("", -1)
        return at, len(text)
    if place.key:
        for text, at in line.parts:
            key, assign, value = text.partition(layout.assign)
            if assign and key.strip() == place.key:
                return at + len(key) + 1, len(value)
        return -1, 0
    at = place.at or 0
    return (at, place.size) if line.at <= at and at + place.size <= line.at + len(line.body) else (-1, 0)


def line_layout(profile: Profile) -> LineLayout:
    """The layout of a profile's lines; ParseError(unknown_profile) where it has none."""
    wire = profile.wire.serial
    if wire is None or not isinstance(wire.layout, LineLayout):
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} does not speak in lines of text")
    return wire.layout
