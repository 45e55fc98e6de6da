"""The messages of JT/T 808 that the product shows by field, as readers over a cursor: what a platform orders, what a terminal
reports beside its place, and the answers that carry more than a result.

Sources: JT/T 808-2013 and -2019, clause 8.
"""

from firmware_bridge.cursor import Cursor
from firmware_bridge.jt808.layouts import Fields, Reader, by_version, chain, counted, kept, plain, while_left
from firmware_bridge.jt808.location import BASE_BYTES
from firmware_bridge.jt808.places import areas, polygon, route
from firmware_bridge.jt808.tables import PARAMETERS

__all__ = ["OTHERS"]


def _parameters(cursor: Cursor, _: int, fields: Fields) -> None:
    fields["parameter_count"] = total = cursor.u8("parameter_count")
    entries: list[Fields] = []
    fields["parameters"] = entries
    for _ in cursor.times(total):
        number = cursor.u32("parameter_id")
        size = cursor.u8("length")
        name, kind = PARAMETERS.get(number, ("", "x"))
        entry: Fields = {"id": f"0x{number:04x}", **({"name": name} if name else {})}
        entries.append(entry)
        entry["value"] = _parameter_value(cursor, name or "value", size, kind)


def _parameter_value(cursor: Cursor, name: str, size: int, kind: str) -> object:
    if kind == "s":
        return cursor.text(name, size)
    if kind in "dwb" and size == {"d": 4, "w": 2, "b": 1}[kind]:
        return cursor.number(name, size)
    return cursor.hex(name, size)


def _resend(cursor: Cursor, version: int, fields: Fields) -> None:
    """2013 counts in a BYTE, 2019 in a WORD; terminals of either flag do either, so the bytes that are left decide."""
    fields["first_serial"] = cursor.u16("first_serial")
    modern = version == 2019
    if (cursor.left - (2 if modern else 1)) % 2:
        modern = not modern
    counted("packets", "w" if modern else "b", ("packet", "w"))(cursor, version, fields)


def _events(cursor: Cursor, version: int, fields: Fields) -> None:
    fields["operation"] = cursor.u8("operation")
    if cursor.left:
        counted("events", "b", ("event_id", "b"), ("content", "c"))(cursor, version, fields)


def _menu(cursor: Cursor, _: int, fields: Fields) -> None:
    fields["operation"] = cursor.u8("operation")
    fields["entries_count"] = total = cursor.u8("entries_count")
    entries: list[Fields] = []
    fields["entries"] = entries
    for _ in cursor.times(total):
        entry: Fields = {"information_type": cursor.u8("information_type")}
        entries.append(entry)
        entry["name"] = cursor.text("name", cursor.u16("name_length"))


def _information(cursor: Cursor, _: int, fields: Fields) -> None:
    fields["information_type"] = cursor.u8("information_type")
    fields["text"] = cursor.text("text", cursor.u16("text_length"))


def _can_batch(cursor: Cursor, _: int, fields: Fields) -> None:
    fields["frames_count"] = total = cursor.u16("frames_count")
    fields["time_raw"] = cursor.hex("time", 5)
    frames: list[Fields] = []
    fields["frames"] = frames
    frames.extend({"can_id": cursor.hex("can_id", 4), "data": cursor.hex("data", 8)} for _ in cursor.times(total))


def _answers(cursor: Cursor, _: int, fields: Fields) -> None:
    """The candidate answers of a question, which fill the rest of its body."""
    answers: list[Fields] = []
    fields["answers"] = answers
    while cursor.left:
        answer: Fields = {"answer_id": cursor.u8("answer_id")}
        answers.append(answer)
        answer["text"] = cursor.text("text", cursor.u16("text_length"))


def _upgrade(cursor: Cursor, version: int, fields: Fields) -> None:
    """0x8108. Published implementations of 2019 differ: a maker of 5 bytes as in 2013, or of 11 as in 2019's registration.
    The size that the package tells decides, 5 where neither comes out even."""
    makers = (5, 11) if version == 2019 else (5,)
    maker = next((size for size in makers if _package_fits(cursor.data, size)), 5)
    plain(("upgrade_type", "b"), ("manufacturer", f"t{maker}"), ("version", "c"), ("size", "d"), ("data", "x"))(
        cursor, version, fields
    )


def _package_fits(body: bytes, maker: int) -> bool:
    size_at = 2 + maker + body[1 + maker] if len(body) > 1 + maker else len(body)
    return len(body) >= size_at + 4 and int.from_bytes(body[size_at : size_at + 4], "big") == len(body) - size_at - 4


def _waybill(cursor: Cursor, _: int, fields: Fields) -> None:
    """0x0701; what a waybill says is the carrier's own."""
    fields["length"] = length = cursor.u32("length")
    fields["waybill_hex"] = cursor.hex("waybill", min(length, cursor.left))


def _driver_identity(cursor: Cursor, version: int, fields: Fields) -> None:
    """0x0702 behind status (1 card put in, 2 taken out) and time. What follows the result is there for a card that was read;
    2019 adds the identity card's number, and its supplement a match of faces and the card's own number. The layout of 2011,
    without status and time, is not told by any flag and not read."""
    fields["read_result"] = cursor.u8("read_result")
    kept("identity_hex", while_left(_CARD))(cursor, version, fields)
    if cursor.left and version == 2019:
        fields["id_number"] = cursor.text("id_number", 20)
        while_left(_FACE)(cursor, version, fields)


_FACE = plain(("face_match_pct", "b"), ("card_uid", "t20"))
_CARD = plain(("driver_name", "c"), ("certificate", "t20"), ("issuer", "c"), ("valid_until_raw", "h4"))


def _controls_2019(cursor: Cursor, _: int, fields: Fields) -> None:
    """A control's parameter has no length of its own; the only one that the standard has is 1, the door, with one byte."""
    fields["controls_count"] = total = cursor.u16("controls_count")
    fields["controls_hex"] = cursor.hex("controls", cursor.left)
    data = bytes.fromhex(str(fields["controls_hex"]))
    if len(data) == 3 * total:
        entries = [data[at : at + 3] for at in range(0, len(data), 3)]
        fields["controls"] = [{"control_id": int.from_bytes(entry[:2], "big"), "value": entry[2]} for entry in entries]


_TEXT_2013 = plain(("flag", "b"), ("text", "t"))
_TEXT_2019 = plain(("flag", "b"), ("text_type", "b"), ("text", "t"))
_IDS = counted("ids", "b", ("area_id", "d"))
_NOTHING = plain()
_PARAMETERS_ANSWER = chain(plain(("ack_serial", "w")), _parameters)
_MEDIA_QUERY = plain(("multimedia_type", "b"), ("channel", "b"), ("event", "b"), ("start_raw", "h6"), ("end_raw", "h6"))
_MEDIA_LIST = counted(
    "multimedia",
    "w",
    ("multimedia_id", "d"),
    ("multimedia_type", "b"),
    ("channel", "b"),
    ("event", "b"),
    ("location_hex", f"h{BASE_BYTES}"),
)
_RSA = plain(("exponent", "d"), ("modulus", "h128"))

OTHERS: dict[int, Reader] = {
    0x0004: _NOTHING,
    0x8004: plain(("time_utc_raw", "h6")),
    0x0005: _resend,
    0x8003: _resend,
    0x8100: chain(plain(("ack_serial", "w"), ("result", "b")), while_left(plain(("auth_code", "t")))),
    0x8103: _parameters,
    0x8104: _NOTHING,
    0x8106: counted("parameter_ids", "b", ("parameter_id", "d")),
    0x0104: _PARAMETERS_ANSWER,
    0x8105: plain(("command", "b"), ("arguments", "t")),
    0x8107: _NOTHING,
    0x8108: _upgrade,
    0x0108: plain(("upgrade_type", "b"), ("result", "b")),
    0x8201: _NOTHING,
    0x8202: chain(plain(("interval_s", "w")), while_left(plain(("valid_s", "d")))),
    0x8203: plain(("ack_serial", "w"), ("alarms", "d")),
    0x8204: _NOTHING,
    0x8300: by_version(_TEXT_2013, _TEXT_2019),
    0x8301: _events,
    0x0301: plain(("event_id", "b")),
    0x8302: chain(plain(("flag", "b"), ("question", "c")), kept("answers_hex", _answers)),
    0x0302: plain(("ack_serial", "w"), ("answer_id", "b")),
    0x8303: _menu,
    0x0303: plain(("information_type", "b"), ("wanted", "b")),
    0x8304: _information,
    0x8400: plain(("callback_kind", "b"), ("phone_number", "t20")),
    0x8401: chain(
        plain(("operation", "b")),
        counted("contacts", "b", ("contact_kind", "b"), ("phone_number", "c"), ("name", "c")),
    ),
    0x8500: by_version(plain(("control", "b")), _controls_2019),
    0x8600: areas("latitude", "longitude", "radius_m"),
    0x8601: _IDS,
    0x8602: areas("top_latitude", "left_longitude", "bottom_latitude", "right_longitude"),
    0x8603: _IDS,
    0x8604: polygon,
    0x8605: _IDS,
    0x8607: _IDS,
    0x8608: chain(plain(("area_type", "b")), counted("ids", "d", ("area_id", "d"))),
    0x0608: plain(("area_type", "b"), ("areas_count", "d"), ("areas_hex", "x")),
    0x8606: chain(plain(("route_id", "d"), ("attributes", "w")), kept("route_hex", route)),
    0x8700: plain(("command", "b"), ("data_hex", "x")),
    0x0700: plain(("ack_serial", "w"), ("command", "b"), ("data_hex", "x")),
    0x8701: plain(("command", "b"), ("data_hex", "x")),
    0x0701: _waybill,
    0x8702: _NOTHING,
    0x0702: chain(plain(("card_status", "b"), ("time_raw", "h6")), while_left(_driver_identity)),
    0x0705: _can_batch,
    0x0800: plain(("multimedia_id", "d"), ("multimedia_type", "b"), ("format", "b"), ("event", "b"), ("channel", "b")),
    0x8800: chain(plain(("multimedia_id", "d")), while_left(counted("packets", "b", ("packet", "w")))),
    0x8801: plain(
        ("channel", "b"), ("command", "w"), ("interval_s", "w"), ("store", "b"), ("resolution", "b"), ("quality", "b"),
        ("brightness", "b"), ("contrast", "b"), ("saturation", "b"), ("chroma", "b"),
    ),
    0x0805: chain(
        plain(("ack_serial", "w"), ("result", "b")), while_left(counted("multimedia_ids", "w", ("multimedia_id", "d")))
    ),
    0x8802: _MEDIA_QUERY,
    0x0802: chain(plain(("ack_serial", "w")), _MEDIA_LIST),
    0x8803: chain(_MEDIA_QUERY, plain(("delete", "b"))),
    0x8804: plain(("command", "b"), ("duration_s", "w"), ("store", "b"), ("sampling", "b")),
    0x8805: plain(("multimedia_id", "d"), ("delete", "b")),
    0x8900: plain(("transparent_type", "b"), ("data", "x")),
    0x0900: plain(("transparent_type", "b"), ("data", "x")),
    0x0901: plain(("length", "d"), ("data", "x")),
    0x8A00: _RSA,
    0x0A00: _RSA,
}  # fmt: skip
