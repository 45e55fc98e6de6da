"""What a JT/T 808 frame says: one struct per message the product acts on, named fields for the other known ones.

Sources: JT/T 808-2011, -2013 clause 8, -2019 clause 8; deviations of real terminals are named where they are tolerated.
"""

from collections.abc import Callable

import msgspec

from firmware_bridge.cursor import Cursor
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.frames import Frame
from firmware_bridge.jt808.layouts import Fields, Reader
from firmware_bridge.jt808.location import BASE_BYTES, Location, parse_location
from firmware_bridge.jt808.others import OTHERS
from firmware_bridge.jt808.register import REGISTER_SIZES, register_layout
from firmware_bridge.jt808.tables import MESSAGES
from telemetry.reason import Reason

__all__ = [
    "Attributes",
    "Authenticate",
    "GeneralAnswer",
    "Heartbeat",
    "LocationAnswer",
    "LocationBatch",
    "LocationReport",
    "Logout",
    "Message",
    "MultimediaData",
    "Other",
    "Register",
    "Unknown",
    "message_name",
    "parse_message",
]


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """0x0100. `layout` is the revision whose field sizes the body has; texts without their padding."""

    province: int
    city: int
    manufacturer: str
    model: str
    terminal_id: str
    plate_color: int
    plate: str
    layout: int


class Authenticate(msgspec.Struct, frozen=True, kw_only=True):
    """0x0102. `imei` and `software_version` are of 2019."""

    auth_code: str
    imei: str = ""
    software_version: str = ""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """0x0002. Empty by the standard; some vendors put battery and signal there."""

    extra: bytes = b""


class Logout(msgspec.Struct, frozen=True, kw_only=True):
    """0x0003."""


class GeneralAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """0x0001 and 0x8001. `result`: 0 done, 1 failed, 2 wrong message, 3 not supported, 4 alarm confirmed (0x8001)."""

    ack_serial: int
    ack_message_id: int
    result: int


class LocationReport(msgspec.Struct, frozen=True, kw_only=True):
    """0x0200."""

    location: Location


class LocationBatch(msgspec.Struct, frozen=True, kw_only=True):
    """0x0704, and 0x0210 of some vendors.

    `kind` is 0 for current, 1 for catch-up after a blind area; `count` is what the message claims. `refused` are the
    items that could not be read; the good ones beside them are in `locations`.
    """

    kind: int
    count: int
    locations: tuple[Location, ...]
    refused: tuple[Refused, ...] = ()


class LocationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """0x0201 and 0x0500: the answer to the request whose header had `ack_serial`."""

    ack_serial: int
    location: Location


class MultimediaData(msgspec.Struct, frozen=True, kw_only=True):
    """0x0801, put together. `location` is None in bodies of 2011, which have none."""

    multimedia_id: int
    multimedia_type: int
    format: int
    event: int
    channel: int
    location: Location | None
    data: bytes


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """0x0107."""

    terminal_type: int
    manufacturer: str
    model: str
    terminal_id: str
    iccid: str
    hardware_version: str
    firmware_version: str
    gnss: int
    communication: int


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the standard knows and the product only shows: its fields by name. `flaw` is why the rest of
    its body could not be read."""

    fields: Fields
    flaw: Refused | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A message nobody here can read, and why: unknown_message, unsupported_encryption, truncated (one packet of several)."""

    reason: Reason
    body: bytes


Message = (
    Register
    | Authenticate
    | Heartbeat
    | Logout
    | GeneralAnswer
    | LocationReport
    | LocationBatch
    | LocationAnswer
    | MultimediaData
    | Attributes
    | Other
    | Unknown
)


def message_name(message_id: int) -> str:
    """The message's name in snake_case; `vendor_XXXX` for those that the standard does not know."""
    return MESSAGES.get(message_id, f"vendor_{message_id:04x}")


def parse_message(frame: Frame, cursor: Cursor | None = None) -> Message:
    """What `frame` says. ParseError, `at` counted from the body's first byte, where a message the product acts on is short.

    A `cursor` over the frame's body, where given, knows afterwards where each field stood.
    """
    cursor = Cursor(frame.body) if cursor is None else cursor
    if frame.encryption:
        return Unknown(reason=Reason.UNSUPPORTED_ENCRYPTION, body=frame.body)
    if frame.packet is not None and frame.packet[0] > 1:
        return Unknown(reason=Reason.TRUNCATED, body=frame.body)
    reader = _READERS.get(frame.message_id)
    if reader is not None:
        return reader(cursor, frame.version)
    other = OTHERS.get(frame.message_id)
    if other is not None:
        return _read_other(other, cursor, frame.version)
    return Unknown(reason=Reason.UNKNOWN_MESSAGE, body=frame.body)


def _read_other(read: Reader, cursor: Cursor, version: int) -> Other:
    fields = Fields()
    try:
        read(cursor, version, fields)
    except ParseError as error:
        return Other(fields=fields, flaw=Refused.of(error, cursor.data[cursor.at :]))
    if cursor.left:
        detail = f"byte {cursor.at}: {cursor.left} bytes more than the message has"
        return Other(fields=fields, flaw=Refused(reason=Reason.BAD_LENGTH, detail=detail, raw=cursor.data[cursor.at :]))
    return Other(fields=fields)


def _register(cursor: Cursor, version: int) -> Register:
    body = cursor.data
    layout = 2019 if version == 2019 and len(body) >= 76 else register_layout(body)
    manufacturer, model, terminal_id = REGISTER_SIZES[layout]
    return Register(
        province=cursor.u16("province"),
        city=cursor.u16("city"),
        manufacturer=cursor.text("manufacturer", manufacturer),
        model=cursor.text("model", model),
        terminal_id=cursor.text("terminal_id", terminal_id),
        plate_color=cursor.u8("plate_color"),
        plate=cursor.text("plate"),
        layout=layout,
    )


def _authenticate(cursor: Cursor, version: int) -> Authenticate:
    """2019: length, code, IMEI 15, software 20. A 2019 flag on a bare code is common, so the length has to fit."""
    if version == 2019 and cursor.data and len(cursor.data) >= 1 + cursor.data[0]:
        code = cursor.counted_text("auth_code")
        imei = cursor.text("imei", min(15, cursor.left))
        return Authenticate(auth_code=code, imei=imei, software_version=cursor.text("software_version"))
    return Authenticate(auth_code=cursor.text("auth_code"))


def _general_answer(cursor: Cursor, _: int) -> GeneralAnswer:
    return GeneralAnswer(
        ack_serial=cursor.u16("ack_serial"), ack_message_id=cursor.u16("ack_message_id"), result=cursor.u8("result")
    )


def _batch(cursor: Cursor, _: int) -> LocationBatch:
    """The items as far as the body goes: real terminals err in the count too, so it is only compared."""
    count, kind = cursor.u16("count"), cursor.u8("kind")
    locations, refused = _batch_items(cursor, length_size=2)
    missing = count - len(locations) - len(refused)
    if missing > 0:
        detail = f"byte {cursor.at}: {missing} of {count} items are not there"
        refused.append(Refused(reason=Reason.MISSING, detail=detail))
    return LocationBatch(kind=kind, count=count, locations=tuple(locations), refused=tuple(refused))


def _vendor_batch(cursor: Cursor, _: int) -> LocationBatch | Other:
    """0x0210 of some vendors: items behind one byte of length and no count; or, in seven bytes, battery level and time."""
    if len(cursor.data) == 7:
        return Other(fields={"battery_level": cursor.u8("battery_level"), "time_raw": cursor.hex("time", 6)})
    locations, refused = _batch_items(cursor, length_size=1)
    count = len(locations) + len(refused)
    return LocationBatch(kind=0, count=count, locations=tuple(locations), refused=tuple(refused))


def _batch_items(cursor: Cursor, *, length_size: int) -> tuple[list[Location], list[Refused]]:
    locations: list[Location] = []
    refused: list[Refused] = []
    while cursor.left:
        start, index = cursor.at, len(locations) + len(refused) + 1
        try:
            item = cursor.take("item", cursor.number("length", length_size))
        except ParseError as error:  # where the next item would begin cannot be known
            refused.append(_refused_item(error, start, index, cursor.data[start:]))
            break
        try:
            locations.append(parse_location(item))
        except ParseError as error:
            refused.append(_refused_item(error, start, index, item))
            if not item:  # padding: every two zeros would be one more empty item
                break
    return locations, refused


def _refused_item(error: ParseError, at: int, index: int, raw: bytes) -> Refused:
    return Refused(reason=error.reason, detail=f"byte {at}: item {index}: {error.detail}", raw=raw)


def _location_answer(cursor: Cursor, _: int) -> LocationAnswer:
    serial = cursor.u16("ack_serial")
    return LocationAnswer(ack_serial=serial, location=_located(cursor.rest("location"), 2))


def _located(body: bytes, at: int) -> Location:
    try:
        return parse_location(body)
    except ParseError as error:
        raise ParseError(error.reason, error.detail, None if error.at is None else error.at + at) from error


def _multimedia(cursor: Cursor, _: int) -> MultimediaData:
    return MultimediaData(
        multimedia_id=cursor.u32("multimedia_id"),
        multimedia_type=cursor.u8("multimedia_type"),
        format=cursor.u8("format"),
        event=cursor.u8("event"),
        channel=cursor.u8("channel"),
        location=parse_location(cursor.take("location", BASE_BYTES)) if cursor.left >= BASE_BYTES else None,
        data=cursor.rest("data"),
    )


def _attributes(cursor: Cursor, version: int) -> Attributes:
    """2019 has model 30 and id 30; many terminals with a 2019 flag keep the sizes of 2013, and some have a maker of 11."""
    sizes = next((s for s in _attribute_sizes(version) if _counted_tail_fits(cursor.data, sum(s) + 2)), REGISTER_SIZES[2013])
    return Attributes(
        terminal_type=cursor.u16("terminal_type"),
        manufacturer=cursor.text("manufacturer", sizes[0]),
        model=cursor.text("model", sizes[1]),
        terminal_id=cursor.text("terminal_id", sizes[2]),
        iccid=cursor.hex("iccid", 10),
        hardware_version=cursor.counted_text("hardware_version"),
        firmware_version=cursor.counted_text("firmware_version"),
        gnss=cursor.u8("gnss"),
        communication=cursor.u8("communication"),
    )


def _attribute_sizes(version: int) -> tuple[tuple[int, int, int], ...]:
    modern, older = ((5, 30, 30), (11, 30, 30)), ((5, 20, 7), (5, 8, 7))
    return (*modern, *older) if version == 2019 else (*older, *modern)


def _counted_tail_fits(body: bytes, iccid_at: int) -> bool:
    """Whether ICCID, two counted texts and two bytes end exactly at the body's end."""
    at = iccid_at + 10
    for _ in range(2):
        if at >= len(body):
            return False
        at += 1 + body[at]
    return at + 2 == len(body)


_READERS: dict[int, Callable[[Cursor, int], Message]] = {
    0x0001: _general_answer,
    0x8001: _general_answer,
    0x0002: lambda cursor, _: Heartbeat(extra=cursor.rest("extra")),
    0x0003: lambda _cursor, _version: Logout(),
    0x0100: _register,
    0x0102: _authenticate,
    0x0107: _attributes,
    0x0200: lambda cursor, _: LocationReport(location=parse_location(cursor.rest("location"))),
    0x0201: _location_answer,
    0x0210: _vendor_batch,
    0x0500: _location_answer,
    0x0704: _batch,
    0x0801: _multimedia,
}
