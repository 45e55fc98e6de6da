"""The messages of JT/T 808 that the product shows by field and does not act on, as readers over a cursor.

A reader fills `fields` as it goes, so that what was read before a fault stays. Sources: JT/T 808-2013 and -2019, clause 8.
"""

from collections.abc import Callable

from firmware_bridge.cursor import Cursor
from firmware_bridge.jt808.tables import PARAMETERS

__all__ = ["OTHERS", "Fields", "Reader"]

Fields = dict[str, object]
Reader = Callable[[Cursor, int, Fields], None]


def _plain(*layout: tuple[str, str]) -> Reader:
    """A body of fields in a row. Kinds: b, w, d (BYTE, WORD, DWORD), t (text to the end), c (text behind its length),
    x (hex to the end), `h6`, `t20` (so many bytes as hex or text)."""

    def read(cursor: Cursor, _: int, fields: Fields) -> None:
        for name, kind in layout:
            fields[name] = _one(cursor, name, kind)

    return read


def _one(cursor: Cursor, name: str, kind: str) -> object:
    width = {"b": 1, "w": 2, "d": 4}.get(kind)
    if width is not None:
        return cursor.number(name, width)
    match kind[0]:
        case "c":
            return cursor.counted_text(name)
        case "t":
            return cursor.text(name, int(kind[1:]) if kind[1:] else None)
        case _:
            return cursor.hex(name, int(kind[1:]) if kind[1:] else cursor.left)


def _list(name: str, count: str, *layout: tuple[str, str]) -> Reader:
    """A count (kind b, w or d) and as many entries of `layout`."""

    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        entries: list[object] = []
        fields[f"{name}_count"] = total = cursor.number(f"{name}_count", {"b": 1, "w": 2, "d": 4}[count])
        fields[name] = entries
        for _ in cursor.times(total):
            if len(layout) == 1:
                entries.append(_one(cursor, *layout[0]))
                continue
            entry: Fields = {}
            entries.append(entry)
            _plain(*layout)(cursor, version, entry)

    return read


def _chain(*readers: Reader) -> Reader:
    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        for reader in readers:
            reader(cursor, version, fields)

    return read


def _by_version(older: Reader, modern: Reader) -> Reader:
    return lambda cursor, version, fields: (modern if version == 2019 else older)(cursor, version, fields)


def _while_left(reader: Reader) -> Reader:
    """A part that may be left off."""

    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        if cursor.left:
            reader(cursor, version, fields)

    return read


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
    _list("packets", "w" if modern else "b", ("packet", "w"))(cursor, version, fields)


def _area_head(cursor: Cursor, fields: Fields) -> int:
    fields["area_id"] = cursor.u32("area_id")
    attributes = cursor.u16("attributes")
    fields["attributes"] = attributes
    return attributes


def _times_and_speed(cursor: Cursor, version: int, fields: Fields, *, night: bool) -> None:
    """What the attribute bits 0 (by time) and 1 (speed limit) add."""
    attributes = fields["attributes"]
    if not isinstance(attributes, int):
        return
    if attributes & 1:
        _plain(("start", "h6"), ("end", "h6"))(cursor, version, fields)
    if attributes & 2:
        _plain(("max_speed_kmh", "w"), ("overspeed_s", "b"))(cursor, version, fields)
        if night and version == 2019:
            fields["night_max_speed_kmh"] = cursor.u16("night_max_speed_kmh")


def _name_2019(cursor: Cursor, version: int, fields: Fields) -> None:
    if version == 2019:
        fields["area_name"] = cursor.text("area_name", cursor.u16("area_name_length"))


def _areas(*shape: str) -> Reader:
    """0x8600 and 0x8602: a list of circles or rectangles; `shape` names their DWORDs."""

    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        fields["operation"] = cursor.u8("operation")
        fields["areas_count"] = total = cursor.u8("areas_count")
        areas: list[Fields] = []
        fields["areas"] = areas
        for _ in cursor.times(total):
            area: Fields = {}
            areas.append(area)
            _area_head(cursor, area)
            for name in shape:
                area[name] = _degrees(cursor, name) if name.endswith("tude") else cursor.u32(name)
            _times_and_speed(cursor, version, area, night=True)
            _name_2019(cursor, version, area)

    return read


def _degrees(cursor: Cursor, name: str) -> float:
    return cursor.u32(name) / 1_000_000


def _polygon(cursor: Cursor, version: int, fields: Fields) -> None:
    attributes = _area_head(cursor, fields)
    _times_and_speed(cursor, version, fields, night=False)
    fields["vertices_count"] = total = cursor.u16("vertices_count")
    vertices: list[Fields] = []
    fields["vertices"] = vertices
    vertices.extend(
        {"latitude": _degrees(cursor, "latitude"), "longitude": _degrees(cursor, "longitude")} for _ in cursor.times(total)
    )
    if version == 2019 and attributes & 2:
        fields["night_max_speed_kmh"] = cursor.u16("night_max_speed_kmh")
    _name_2019(cursor, version, fields)


def _events(cursor: Cursor, version: int, fields: Fields) -> None:
    fields["operation"] = cursor.u8("operation")
    if cursor.left:
        _list("events", "b", ("event_id", "b"), ("content", "c"))(cursor, version, fields)


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


_TEXT_2013 = _plain(("flag", "b"), ("text", "t"))
_TEXT_2019 = _plain(("flag", "b"), ("text_type", "b"), ("text", "t"))
_IDS = _list("ids", "b", ("area_id", "d"))
_NOTHING = _plain()
_PARAMETERS_ANSWER = _chain(_plain(("ack_serial", "w")), _parameters)
_MEDIA_QUERY = _plain(("multimedia_type", "b"), ("channel", "b"), ("event", "b"), ("start_raw", "h6"), ("end_raw", "h6"))
_RSA = _plain(("exponent", "d"), ("modulus", "h128"))

OTHERS: dict[int, Reader] = {
    0x0004: _NOTHING,
    0x8004: _plain(("time_utc_raw", "h6")),
    0x0005: _resend,
    0x8003: _resend,
    0x8100: _chain(_plain(("ack_serial", "w"), ("result", "b")), _while_left(_plain(("auth_code", "t")))),
    0x8103: _parameters,
    0x8104: _NOTHING,
    0x8106: _list("parameter_ids", "b", ("parameter_id", "d")),
    0x0104: _PARAMETERS_ANSWER,
    0x8105: _plain(("command", "b"), ("arguments", "t")),
    0x8107: _NOTHING,
    0x8108: _chain(
        _plain(("upgrade_type", "b"), ("manufacturer", "t5"), ("version", "c")),
        _plain(("size", "d"), ("data", "x")),
    ),
    0x0108: _plain(("upgrade_type", "b"), ("result", "b")),
    0x8201: _NOTHING,
    0x8202: _chain(_plain(("interval_s", "w")), _while_left(_plain(("valid_s", "d")))),
    0x8203: _plain(("ack_serial", "w"), ("alarms", "d")),
    0x8204: _NOTHING,
    0x8300: _by_version(_TEXT_2013, _TEXT_2019),
    0x8301: _events,
    0x0301: _plain(("event_id", "b")),
    0x8302: _plain(("flag", "b"), ("question", "c"), ("answers_hex", "x")),
    0x0302: _plain(("ack_serial", "w"), ("answer_id", "b")),
    0x8303: _menu,
    0x0303: _plain(("information_type", "b"), ("wanted", "b")),
    0x8304: _information,
    0x8400: _plain(("callback_kind", "b"), ("phone_number", "t20")),
    0x8401: _chain(
        _plain(("operation", "b")),
        _list("contacts", "b", ("contact_kind", "b"), ("phone_number", "c"), ("name", "c")),
    ),
    0x8500: _by_version(_plain(("control", "b")), _plain(("controls_count", "w"), ("controls_hex", "x"))),
    0x8600: _areas("latitude", "longitude", "radius_m"),
    0x8601: _IDS,
    0x8602: _areas("top_latitude", "left_longitude", "bottom_latitude", "right_longitude"),
    0x8603: _IDS,
    0x8604: _polygon,
    0x8605: _IDS,
    0x8607: _IDS,
    0x8608: _chain(_plain(("area_type", "b")), _list("ids", "d", ("area_id", "d"))),
    0x8606: _plain(("route_id", "d"), ("attributes", "w"), ("route_hex", "x")),
    0x0702: _plain(("card_status", "b"), ("time_raw", "h6"), ("read_result", "b"), ("identity_hex", "x")),
    0x0705: _can_batch,
    0x0800: _plain(("multimedia_id", "d"), ("multimedia_type", "b"), ("format", "b"), ("event", "b"), ("channel", "b")),
    0x8800: _chain(_plain(("multimedia_id", "d")), _while_left(_list("packets", "b", ("packet", "w")))),
    0x8801: _plain(
        ("channel", "b"), ("command", "w"), ("interval_s", "w"), ("store", "b"), ("resolution", "b"), ("quality", "b"),
        ("brightness", "b"), ("contrast", "b"), ("saturation", "b"), ("chroma", "b"),
    ),
    0x0805: _chain(
        _plain(("ack_serial", "w"), ("result", "b")), _while_left(_list("multimedia_ids", "w", ("multimedia_id", "d")))
    ),
    0x8802: _MEDIA_QUERY,
    0x8804: _plain(("command", "b"), ("duration_s", "w"), ("store", "b"), ("sampling", "b")),
    0x8805: _plain(("multimedia_id", "d"), ("delete", "b")),
    0x8900: _plain(("transparent_type", "b"), ("data", "x")),
    0x0900: _plain(("transparent_type", "b"), ("data", "x")),
    0x0901: _plain(("length", "d"), ("data", "x")),
    0x8A00: _RSA,
    0x0A00: _RSA,
}  # fmt: skip
