"""Areas and routes that a platform sets in a terminal: 0x8600 to 0x8606 (JT/T 808-2013 and -2019, clause 8)."""

from firmware_bridge.cursor import Cursor
from firmware_bridge.jt808.layouts import Fields, Reader, plain

__all__ = ["areas", "polygon", "route"]


def _area_head(cursor: Cursor, fields: Fields) -> int:
    fields["area_id"] = cursor.u32("area_id")
    attributes = cursor.u16("attributes")
    fields["attributes"] = attributes
    return attributes


def _times(cursor: Cursor, version: int, fields: Fields) -> None:
    """What attribute bit 0 (by time) adds; a window of every day has zeros for its date."""
    if _has(fields, 0):
        plain(("start", "h6"), ("end", "h6"))(cursor, version, fields)


def _speed(cursor: Cursor, version: int, fields: Fields, *, night: bool) -> None:
    """What attribute bit 1 (speed limit) adds."""
    if _has(fields, 1):
        plain(("max_speed_kmh", "w"), ("overspeed_s", "b"))(cursor, version, fields)
        if night and version == 2019:
            fields["night_max_speed_kmh"] = cursor.u16("night_max_speed_kmh")


def _has(fields: Fields, bit: int) -> bool:
    attributes = fields["attributes"]
    return isinstance(attributes, int) and bool(attributes >> bit & 1)


def _name_2019(cursor: Cursor, version: int, fields: Fields) -> None:
    if version == 2019:
        fields["area_name"] = cursor.text("area_name", cursor.u16("area_name_length"))


def areas(*shape: str) -> Reader:
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
            _times(cursor, version, area)
            _speed(cursor, version, area, night=True)
            _name_2019(cursor, version, area)

    return read


def _degrees(cursor: Cursor, name: str) -> float:
    return cursor.u32(name) / 1_000_000


def polygon(cursor: Cursor, version: int, fields: Fields) -> None:
    attributes = _area_head(cursor, fields)
    _times(cursor, version, fields)
    _speed(cursor, version, fields, night=False)
    fields["vertices_count"] = total = cursor.u16("vertices_count")
    vertices: list[Fields] = []
    fields["vertices"] = vertices
    vertices.extend(
        {"latitude": _degrees(cursor, "latitude"), "longitude": _degrees(cursor, "longitude")} for _ in cursor.times(total)
    )
    if version == 2019 and attributes & 2:
        fields["night_max_speed_kmh"] = cursor.u16("night_max_speed_kmh")
    _name_2019(cursor, version, fields)


_ROUTE_POINT = plain(("point_id", "d"), ("segment_id", "d"))


def route(cursor: Cursor, version: int, fields: Fields) -> None:
    """0x8606 behind its id and attributes. A segment's attribute bit 0 adds its two times, bit 1 its speed limit."""
    _times(cursor, version, fields)
    fields["points_count"] = total = cursor.u16("points_count")
    points: list[Fields] = []
    fields["points"] = points
    for _ in cursor.times(total):
        point: Fields = {}
        points.append(point)
        _ROUTE_POINT(cursor, version, point)
        point |= {"latitude": _degrees(cursor, "latitude"), "longitude": _degrees(cursor, "longitude")}
        point["width_m"] = cursor.u8("width_m")
        point["attributes"] = attributes = cursor.u8("attributes")
        if attributes & 1:
            plain(("too_long_s", "w"), ("too_short_s", "w"))(cursor, version, point)
        _speed(cursor, version, point, night=True)
    _name_2019(cursor, version, fields)
