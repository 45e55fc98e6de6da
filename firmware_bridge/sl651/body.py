"""What stands in a frame's body: serial number, times, station, and elements or parameters (SL 651-2014, clause 6.6).

HEX/BCD  serial 2 | sent BCD[6] | f1f1 station 5, class 1 | f0f0 observed BCD[5] | identifier, size x 8 + decimals, data | ...
ASCII    serial 4, sent 12, "ST station class TT observed ", and "name value " for each element
"""

from collections.abc import Iterator

import msgspec

from firmware_bridge.civil import civil_time
from firmware_bridge.cursor import Cursor
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.numbers import bcd_digits
from firmware_bridge.sl651.frames import Frame
from firmware_bridge.sl651.readings import Reading, identified, read_element, read_series, step_minutes
from firmware_bridge.sl651.tables import CLASSES, PARAMETER_FUNCTIONS, PARAMETERS, REPORTS, UNIFORM
from firmware_bridge.sl651.values import Value, read_number
from telemetry.reason import Reason

__all__ = ["Body", "civil_or_flaw", "parse_body"]

_OBSERVED, _STATION, _MANUAL, _PICTURE, _OWN = 0xF0, 0xF1, 0xF2, 0xF3, 0xFF
_STEP = b"\x04\x18"
_ELEMENT_FUNCTIONS = REPORTS | {0x35, 0x39, 0x46, 0x4B}


class Body(msgspec.Struct, kw_only=True):
    """A body as far as it could be read; `flaws` says what could not, offsets in it count bytes of the body.

    Times are civil, ISO 8601. `asked` are the identifiers a centre asks for. `observing` is the time that the elements
    read last belong to: None before any was told, and behind one that cannot be read.
    """

    serial: int | None = None
    sent: str | None = None
    station: str | None = None
    station_class: int | None = None
    observed: list[str] = []
    observing: str | None = None
    step_minutes: int | None = None
    readings: list[Reading] = []
    parameters: list[Reading] = []
    asked: list[str] = []
    manual: str | None = None
    picture: bytes | None = None
    software: str | None = None
    events: list[int] | None = None
    rest: bytes = b""
    flaws: list[Refused] = []


def civil_or_flaw(digits: str, name: str, flaws: list[Refused], at: int) -> str | None:
    """The time that `digits`, which stand at `at`, are; or a flaw."""
    try:
        return civil_time(digits)
    except ParseError as error:
        flaws.append(Refused.of(ParseError(error.reason, f"{name}: {error.detail}", at), b""))
        return None


def parse_body(frame: Frame, cursor: Cursor | None = None) -> Body:
    """The body of a frame in HEX/BCD, or of a whole message put together from packets.

    Never refused: what cannot be read is a flaw, and `rest` is what stands behind it. A packet after the first has no
    serial number and no elements of its own: it is `rest` until the message is whole. The `cursor` tells afterwards where
    the fields stood.
    """
    cursor = cursor or Cursor(frame.body)
    body = Body()
    if frame.packet is not None and frame.packet[1] > 1:
        body.rest = cursor.rest("part")
        return body
    try:
        _head(frame, cursor, body)
        _content(frame, cursor, body)
    except ParseError as error:
        # The first of several packets may end anywhere.
        if frame.packet is None or error.reason is not Reason.TRUNCATED:
            body.flaws.append(Refused.of(error, b""))
    if cursor.left:
        body.rest = cursor.rest("rest")
    return body


def _head(frame: Frame, cursor: Cursor, body: Body) -> None:
    body.serial = cursor.u16("serial")
    body.sent = _time(cursor, "sent", 6, body)
    if cursor.left >= 7 and cursor.data[cursor.at : cursor.at + 2] == b"\xf1\xf1":
        _station(frame, cursor, body)


def _station(frame: Frame, cursor: Cursor, body: Body) -> None:
    cursor.take("station_mark", 2)
    body.station = cursor.hex("station", 5).upper()
    following = cursor.data[cursor.at : cursor.at + 2]
    marked = len(following) == 2 and following[0] in CLASSES and following[1] in {_OBSERVED, _MANUAL, _PICTURE}
    if frame.up and following and (frame.function in REPORTS or marked):
        body.station_class = cursor.u8("class")


def _time(cursor: Cursor, name: str, size: int, body: Body) -> str | None:
    at = cursor.at
    data = cursor.take(name, size)
    try:
        digits = bcd_digits(data)
    except ParseError as error:
        body.flaws.append(Refused.of(ParseError(error.reason, f"{name}: {error.detail}", at), data))
        return None
    return civil_or_flaw(digits, name, body.flaws, at)


def _content(frame: Frame, cursor: Cursor, body: Body) -> None:
    match frame.function:
        case 0x3A | 0x41 | 0x43 if not frame.up:
            body.asked = list(_asked(cursor))
        case function if function in PARAMETER_FUNCTIONS:
            body.parameters = list(_parameters(cursor, body))
        case 0x45 if frame.up and cursor.left:
            body.software = cursor.text("software", min(cursor.u8("software_length"), cursor.left))
        case 0x50 if frame.up and cursor.left >= 2:
            body.events = [cursor.u16(f"event_{number + 1}") for number in range(cursor.left // 2)]
        case function if function in _ELEMENT_FUNCTIONS and frame.up:
            _elements(frame, cursor, body)
        case 0x46 | 0x4B:
            _elements(frame, cursor, body)
        case _:
            pass


def _asked(cursor: Cursor) -> Iterator[str]:
    """The identifiers that a centre asks for, each with its size."""
    while cursor.left >= 2:
        name = cursor.hex("asked", 2) if cursor.data[cursor.at] != _OWN else cursor.hex("asked", min(3, cursor.left))
        yield name[:-2].upper()


def _elements(frame: Frame, cursor: Cursor, body: Body) -> None:
    while cursor.left >= 2:
        kind, following = cursor.data[cursor.at : cursor.at + 2]
        if kind in {_OBSERVED, _STATION, _MANUAL, _PICTURE}:
            if following != kind:
                raise ParseError(Reason.BAD_FIELD, f"{kind:02x}{following:02x}, want {kind:02x}{kind:02x}", cursor.at)
            _marked(kind, frame, cursor, body)
        else:
            _element(frame, cursor, body)


def _element(frame: Frame, cursor: Cursor, body: Body) -> None:
    observed = body.observing
    if frame.function in UNIFORM and body.step_minutes is not None:
        body.readings += read_series(cursor, observed)
        if cursor.left:
            raise ParseError(Reason.BAD_LENGTH, f"{cursor.left} bytes behind the series", cursor.at)
    elif cursor.data[cursor.at : cursor.at + 2] == _STEP:
        cursor.take("step_mark", 2)
        body.step_minutes = step_minutes(cursor.take("step", 3))
    else:
        body.readings.append(read_element(cursor, observed))


def _marked(kind: int, frame: Frame, cursor: Cursor, body: Body) -> None:
    if kind == _STATION:
        _station(frame, cursor, body)
        return
    cursor.take("mark", 2)
    if kind == _OBSERVED:
        body.observing = _time(cursor, "observed", 5, body)
        body.observed += [] if body.observing is None else [body.observing]
    elif kind == _MANUAL:
        body.manual = cursor.text("manual")
    else:
        body.picture = cursor.rest("picture")


def _parameters(cursor: Cursor, body: Body) -> Iterator[Reading]:
    while cursor.left >= 2:
        at = cursor.at
        number, name, size, decimals = identified(cursor)
        if size > cursor.left:
            why = ParseError(Reason.TRUNCATED, f"parameter {name} needs {size} bytes, {cursor.left} are left", at)
            body.flaws.append(Refused.of(why, b""))
            return
        data = cursor.take(f"parameter {name}", size)
        yield Reading(
            id=name,
            name=PARAMETERS.get(number, f"parameter_{name.lower()}"),
            value=_parameter(number, data, decimals),
            decimals=decimals,
            raw=data,
            at=at,
            size=cursor.at - at,
        )


def _parameter(number: int, data: bytes, decimals: int) -> Value | None:
    """A running parameter (annex D.2) is a number; a basic one (D.1) is kept as its digits."""
    if not data:
        return None
    try:
        return read_number(data, decimals) if 0x20 <= number <= 0x4F else data.hex().upper()
    except ParseError:
        return data.hex().upper()
