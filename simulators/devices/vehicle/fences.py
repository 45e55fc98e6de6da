"""The areas and routes that a platform has set in a simulated terminal, and when it crosses them.

Bodies are read straight from the tables of JT/T 808-2013 and -2019 (0x8600 to 0x8607), apart from the product's codec.
"""

import math
import struct
from collections.abc import Callable, Sequence

import msgspec

__all__ = ["Crossing", "Fences"]

_METRES_PER_DEGREE = 111_320.0  # of latitude, and of longitude at the equator (WGS-84, mean)
_CIRCLE, _RECTANGLE, _POLYGON = 1, 2, 3
_BY_TIME, _SPEED, _TELL_IN, _TELL_OUT = 1 << 0, 1 << 1, 1 << 3, 1 << 5
_SOUTH, _WEST = 1 << 6, 1 << 7
_TIMES = 12
_MOST = 100

Point = tuple[float, float]


class Crossing(msgspec.Struct, frozen=True):
    """What additional item 0x12 says: the kind of place, its number, and whether it was left."""

    kind: int
    number: int
    out: bool


class _Area(msgspec.Struct, kw_only=True):
    kind: int
    number: int
    attributes: int
    holds: Callable[[Point], bool]
    inside: bool | None = None


class Fences:
    """At most 100 areas and 100 routes. `set` and `delete` say whether the body could be read: result 0, or 2."""

    def __init__(self, version: int) -> None:
        self._modern = version == 2019
        self._areas: dict[tuple[int, int], _Area] = {}
        self._routes: dict[int, tuple[list[Point], list[int]]] = {}

    def __len__(self) -> int:
        return len(self._areas) + len(self._routes)

    def tell(self, message_id: int, body: bytes) -> bool:
        """Do what one of 0x8600 to 0x8607 says; False where it cannot be read or there is no more room."""
        try:
            self._do(message_id, body)
        except (struct.error, ValueError, IndexError):
            return False
        return len(self._areas) <= _MOST and len(self._routes) <= _MOST

    def crossing(self, here: Point) -> Crossing | None:
        """The first border that was crossed since the last call, where it is to be told; where it is only noted, None."""
        told = None
        for area in self._areas.values():
            before, area.inside = area.inside, area.holds(here)
            wanted = _TELL_IN if area.inside else _TELL_OUT
            if before is not None and before is not area.inside and area.attributes & wanted and told is None:
                told = Crossing(area.kind, area.number, not area.inside)
        return told

    def off_route(self, here: Point) -> bool:
        """Whether a route is set and none leads by here."""
        return bool(self._routes) and not any(_along(here, points, widths) for points, widths in self._routes.values())

    def _do(self, message_id: int, body: bytes) -> None:
        match message_id:
            case 0x8600:
                self._circles(body)
            case 0x8602:
                self._rectangles(body)
            case 0x8604:
                self._polygon(body)
            case 0x8606:
                self._route(body)
            case 0x8607:
                self._delete_routes(body)
            case _:
                self._delete({0x8601: _CIRCLE, 0x8603: _RECTANGLE}.get(message_id, _POLYGON), body)

    def _circles(self, body: bytes) -> None:
        self._each(_CIRCLE, body, 12, lambda raw, sign: _circle(_signed(raw[:8], sign), struct.unpack(">I", raw[8:12])[0]))

    def _rectangles(self, body: bytes) -> None:
        self._each(_RECTANGLE, body, 16, lambda raw, sign: _rectangle(_signed(raw[:8], sign), _signed(raw[8:16], sign)))

    def _each(self, kind: int, body: bytes, size: int, shape: Callable[[bytes, int], Callable[[Point], bool]]) -> None:
        operation, count = body[0], body[1]
        at = 2
        if operation == 0:
            self._forget(kind)
        for _ in range(count):
            number, attributes = struct.unpack_from(">IH", body, at)
            raw = body[at + 6 : at + 6 + size]
            at += 6 + size + (_TIMES if attributes & _BY_TIME else 0)
            at += (5 if self._modern else 3) if attributes & _SPEED else 0
            if self._modern:
                at += 2 + struct.unpack_from(">H", body, at)[0]
            self._areas[kind, number] = _Area(kind=kind, number=number, attributes=attributes, holds=shape(raw, attributes))

    def _polygon(self, body: bytes) -> None:
        number, attributes = struct.unpack_from(">IH", body)
        at = 6 + (_TIMES if attributes & _BY_TIME else 0) + (3 if attributes & _SPEED else 0)
        (count,) = struct.unpack_from(">H", body, at)
        corners = [_signed(body[at + 2 + 8 * n : at + 10 + 8 * n], attributes) for n in range(count)]
        area = _Area(kind=_POLYGON, number=number, attributes=attributes, holds=lambda here: _within(here, corners))
        self._areas[_POLYGON, number] = area

    def _route(self, body: bytes) -> None:
        number, attributes = struct.unpack_from(">IH", body)
        at = 6 + (_TIMES if attributes & _BY_TIME else 0)
        (count,) = struct.unpack_from(">H", body, at)
        at += 2
        points, widths = [], []
        for _ in range(count):
            width, bits = struct.unpack_from(">BB", body, at + 16)
            points.append(_signed(body[at + 8 : at + 16], bits << 4))  # bits 2 and 3 of a segment are 6 and 7 of an area
            widths.append(width)
            at += 18 + (4 if bits & _BY_TIME else 0) + ((5 if self._modern else 3) if bits & _SPEED else 0)
        self._routes[number] = points, widths

    def _delete(self, kind: int, body: bytes) -> None:
        numbers = struct.unpack_from(f">{body[0]}I", body, 1)
        if not numbers:
            self._forget(kind)
        for number in numbers:
            self._areas.pop((kind, number), None)

    def _delete_routes(self, body: bytes) -> None:
        for number in struct.unpack_from(f">{body[0]}I", body, 1) or tuple(self._routes):
            self._routes.pop(number, None)

    def _forget(self, kind: int) -> None:
        self._areas = {key: area for key, area in self._areas.items() if area.kind != kind}


def _signed(raw: bytes, attributes: int) -> Point:
    latitude, longitude = struct.unpack(">II", raw)
    return latitude / (-1e6 if attributes & _SOUTH else 1e6), longitude / (-1e6 if attributes & _WEST else 1e6)


def _metres(here: Point, there: Point) -> Point:
    """From `there` to `here`, north and east."""
    shrink = math.cos(math.radians(there[0]))
    return (here[0] - there[0]) * _METRES_PER_DEGREE, (here[1] - there[1]) * _METRES_PER_DEGREE * shrink


def _circle(centre: Point, radius_m: int) -> Callable[[Point], bool]:
    return lambda here: math.hypot(*_metres(here, centre)) <= radius_m


def _rectangle(top_left: Point, bottom_right: Point) -> Callable[[Point], bool]:
    return lambda here: bottom_right[0] <= here[0] <= top_left[0] and top_left[1] <= here[1] <= bottom_right[1]


def _within(here: Point, corners: Sequence[Point]) -> bool:
    """By the number of borders that a ray to the east crosses."""
    inside = False
    for (lat1, lon1), (lat2, lon2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (lat1 > here[0]) != (lat2 > here[0]) and here[1] < lon1 + (here[0] - lat1) * (lon2 - lon1) / (lat2 - lat1):
            inside = not inside
    return inside


def _along(here: Point, points: Sequence[Point], widths: Sequence[int]) -> bool:
    """Whether `here` is within a segment's width of it."""
    return any(
        _from_segment(here, first, second) <= width for first, second, width in zip(points, points[1:], widths, strict=False)
    )


def _from_segment(here: Point, first: Point, second: Point) -> float:
    (y, x), (dy, dx) = _metres(here, first), _metres(second, first)
    length = dx * dx + dy * dy
    part = 0.0 if length == 0 else min(1.0, max(0.0, (x * dx + y * dy) / length))
    return math.hypot(x - part * dx, y - part * dy)
