"""A JT/T 808 frame as one flat record in the standard's field names: what `frame decode --json` prints."""

from datetime import datetime, timedelta, timezone

import msgspec

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.frames import Frame, parse_frame, wire_offset
from firmware_bridge.jt808.items import read_item
from firmware_bridge.jt808.location import Location
from firmware_bridge.jt808.messages import (
    Attributes,
    Authenticate,
    GeneralAnswer,
    Heartbeat,
    LocationAnswer,
    LocationBatch,
    LocationReport,
    Logout,
    Message,
    MultimediaData,
    Other,
    Register,
    Unknown,
    message_name,
    parse_message,
)
from firmware_bridge.jt808.tables import ALARM_BITS, STATUS_BITS, bit_names
from telemetry.reason import Reason

__all__ = ["Record", "header_record", "location_record", "record"]

Record = dict[str, object]
_GMT8 = timezone(timedelta(hours=8))
_ENCRYPTIONS = {1: "rsa"}


def record(raw: bytes) -> Record:
    """Everything that the frame in `raw` says. ParseError where it is no frame.

    `flaws` lists what could not be read or believed, as {reason, where}; a frame whose body is too short for what the
    product acts on has its header and `refused` and `where`.
    """
    frame = parse_frame(raw)
    header = header_record(frame)
    try:
        message = parse_message(frame)
    except ParseError as error:
        return header | {"body_hex": frame.body.hex(), "refused": error.reason, "where": _where(frame, error)}
    flaws: list[Record] = []
    fields = _message_record(message, frame, flaws)
    return header | fields | {"flaws": flaws}


def _where(frame: Frame, error: ParseError) -> str:
    """The fault in the body, its first bad byte counted from the frame's first byte as it was given."""
    if error.at is None:
        return error.detail
    at = frame.body_at + error.at
    return f"byte {wire_offset(frame.raw, at) if frame.escaped else at}: {error.detail}"


def header_record(frame: Frame) -> Record:
    """The header's fields."""
    packet = None if frame.packet is None else {"total": frame.packet[0], "number": frame.packet[1]}
    encryption = _ENCRYPTIONS.get(frame.encryption, f"reserved_{frame.encryption}") if frame.encryption else None
    return {
        "protocol": "jt808",
        "message_id": f"0x{frame.message_id:04x}",
        "message": message_name(frame.message_id),
        "phone": frame.phone,
        "serial": frame.serial,
        "version": frame.version,
        "protocol_version": frame.protocol_version,
        "checksum_ok": frame.checksum_ok,
        "body_length": len(frame.body),
        "declared_length": frame.declared_length,
        "length_ok": frame.length_ok,
        "encryption": encryption,
        "subpackage": packet,
        "captured_unescaped": not frame.escaped,
    }


def location_record(location: Location, version: int, flaws: list[Record]) -> Record:
    """A location's fields; what is wrong with it is added to `flaws`."""
    if abs(location.latitude) > 90:
        flaws.append(_flaw(Reason.OUT_OF_RANGE, f"latitude {location.latitude}, want -90 to 90"))
    if abs(location.longitude) > 180:
        flaws.append(_flaw(Reason.OUT_OF_RANGE, f"longitude {location.longitude}, want -180 to 180"))
    if location.time is None:
        flaws.append(_flaw(Reason.BAD_FIELD, f"time {location.time_raw} is no date"))
    items = [_item_record(number, data, flaws) for number, data in location.items]
    flaws += _refusal("location", location.flaw)
    return {
        "alarm": location.alarm,
        "status": location.status,
        "alarms": bit_names(location.alarm, ALARM_BITS, version),
        "states": bit_names(location.status, STATUS_BITS, version),
        "latitude": location.latitude,
        "longitude": location.longitude,
        "altitude_m": location.altitude_m,
        "speed_kmh": location.speed_kmh,
        "course_deg": location.course_deg,
        "time": _iso(location.time),
        "time_raw": location.time_raw,
        "items": items,
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.replace(tzinfo=_GMT8).isoformat()


def _item_record(number: int, data: bytes, flaws: list[Record]) -> Record:
    entry: Record = {"id": f"0x{number:02x}", "hex": data.hex()}
    try:
        known = read_item(number, data)
    except ParseError as error:
        flaws.append(_flaw(error.reason, error.detail))
        return entry
    return entry if known is None else entry | {"name": known[0], "value": known[1]}


def _flaw(reason: Reason, where: str) -> Record:
    return {"reason": reason, "where": where}


def _refusal(part: str, refused: Refused | None) -> list[Record]:
    """A fault in a part of the message, whose offsets count from that part's first byte."""
    return [] if refused is None else [_flaw(refused.reason, f"{part}, {refused.detail}")]


def _message_record(message: Message, frame: Frame, flaws: list[Record]) -> Record:
    match message:
        case LocationReport():
            return location_record(message.location, frame.version, flaws)
        case LocationBatch():
            return _batch_record(message, frame.version, flaws)
        case LocationAnswer():
            return {"ack_serial": message.ack_serial, "location": location_record(message.location, frame.version, flaws)}
        case MultimediaData():
            return _multimedia_record(message, frame.version, flaws)
        case Other():
            flaws += _refusal("body", message.flaw)
            return message.fields
        case _:
            return _placeless_record(message, flaws)


def _placeless_record(
    message: Register | Authenticate | Attributes | Logout | GeneralAnswer | Heartbeat | Unknown, flaws: list[Record]
) -> Record:
    match message:
        case GeneralAnswer():
            ack_message_id = f"0x{message.ack_message_id:04x}"
            return {"ack_serial": message.ack_serial, "ack_message_id": ack_message_id, "result": message.result}
        case Unknown():
            flaws += [_flaw(message.reason, "the body")] if message.reason is Reason.UNSUPPORTED_ENCRYPTION else []
            return {"body_hex": message.body.hex()}
        case Heartbeat():
            return {"extra_hex": message.extra.hex()}
        case Register() | Authenticate() | Attributes() | Logout():
            return dict(msgspec.structs.asdict(message))


def _batch_record(batch: LocationBatch, version: int, flaws: list[Record]) -> Record:
    for refused in batch.refused:
        flaws += _refusal("body", refused)
    locations: list[Record] = []
    for location in batch.locations:
        own: list[Record] = []
        locations.append(location_record(location, version, own) | {"flaws": own})
    return {"batch_kind": batch.kind, "count": batch.count, "locations": locations}


def _multimedia_record(media: MultimediaData, version: int, flaws: list[Record]) -> Record:
    located = None if media.location is None else location_record(media.location, version, flaws)
    fields = msgspec.structs.asdict(media) | {"location": located, "data_length": len(media.data), "data_hex": media.data.hex()}
    del fields["data"]
    return fields
