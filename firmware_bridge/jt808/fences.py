"""Areas and routes as a platform sets them in a terminal: 0x8600 to 0x8607 (JT/T 808-2013 and -2019, clause 8).

    circle     operation 1 | n 1 | { id 4 | attributes 2 | latitude 4 | longitude 4 | radius 4 | [times] | [speed] | (name) }
    rectangle  operation 1 | n 1 | { id 4 | attributes 2 | top 4 | left 4 | bottom 4 | right 4 | [times] | [speed] | (name) }
    polygon    id 4 | attributes 2 | [times] | [speed] | n 2 | { latitude 4 | longitude 4 } | (night speed) | (name)
    route      id 4 | attributes 2 | [times] | n 2 | { point 4 | segment 4 | latitude 4 | longitude 4 | width 1 | bits 1 | .. }

[..] as the attributes say, (..) in 2019 only. Degrees are 1e-6 and unsigned: bits 6 and 7 of an area's attributes, 2 and 3 of a
segment's, say south and west, so that an area cannot lie across the equator.
"""

import struct
from collections.abc import Callable, Sequence

import msgspec

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["Fence", "circle_body", "delete_body", "polygon_body", "rectangle_body", "route_body"]

Point = tuple[float, float]
"""Latitude and longitude in degrees."""

_APPEND = 1
_TIMED, _SPEED, _TELL_DRIVER_IN, _TELL_US_IN, _TELL_DRIVER_OUT, _TELL_US_OUT = (1 << bit for bit in range(6))
_SOUTH, _WEST = 1 << 6, 1 << 7
_SEGMENT_SOUTH, _SEGMENT_WEST = 1 << 2, 1 << 3
_MOST_DELETED = 125


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """What an area or a route has beside its shape. `start` and `end` are YYMMDDhhmmss, with zeros for the date where they
    hold every day; `max_speed_kmh` counts once it lasted `overspeed_s`. The terminal tells the driver what it tells us."""

    id: int
    on_enter: bool = True
    on_leave: bool = True
    max_speed_kmh: int | None = None
    night_max_speed_kmh: int | None = None
    overspeed_s: int = 10
    start: str = ""
    end: str = ""
    name: str = ""

    def attributes(self) -> int:
        """The attribute word without the hemispheres."""
        word = _TIMED if self.start else 0
        word |= _SPEED if self.max_speed_kmh is not None else 0
        word |= _TELL_DRIVER_IN | _TELL_US_IN if self.on_enter else 0
        return word | (_TELL_DRIVER_OUT | _TELL_US_OUT if self.on_leave else 0)

    def times(self) -> bytes:
        return bytes.fromhex(self.start + self.end)

    def speed(self, version: int, *, night: bool = True) -> bytes:
        if self.max_speed_kmh is None:
            return b""
        return struct.pack(">HB", self.max_speed_kmh, self.overspeed_s) + (self.night(version) if night else b"")

    def night(self, version: int) -> bytes:
        if version != 2019 or self.max_speed_kmh is None:
            return b""
        return struct.pack(">H", self.max_speed_kmh if self.night_max_speed_kmh is None else self.night_max_speed_kmh)

    def label(self, version: int) -> bytes:
        if version != 2019:
            return b""
        name = self.name.encode("gb18030")
        return struct.pack(">H", len(name)) + name


def circle_body(fence: Fence, centre: Point, radius_m: int, version: int) -> bytes:
    """0x8600 that adds one circle. ParseError(out_of_range) where a number does not fit its field, as in all of these."""
    return _pack(lambda: _one_area(fence, (centre,), struct.pack(">I", radius_m), version))


def rectangle_body(fence: Fence, top_left: Point, bottom_right: Point, version: int) -> bytes:
    """0x8602 that adds one rectangle."""
    return _pack(lambda: _one_area(fence, (top_left, bottom_right), b"", version))


def polygon_body(fence: Fence, vertices: Sequence[Point], version: int) -> bytes:
    """0x8604; three vertices at least."""
    if len(vertices) < 3:
        raise ParseError(Reason.OUT_OF_RANGE, f"a polygon of {len(vertices)} points, want 3 at least")
    head = struct.Struct(">IH")
    return _pack(
        lambda: (
            head.pack(fence.id, fence.attributes() | _hemispheres(vertices))
            + fence.times()
            + fence.speed(version, night=False)
            + struct.pack(">H", len(vertices))
            + b"".join(_degrees(point) for point in vertices)
            + fence.night(version)
            + fence.label(version)
        )
    )


def route_body(fence: Fence, points: Sequence[Point], width_m: int, version: int) -> bytes:
    """0x8606; every segment is `width_m` wide and has the fence's speed limit. Points and segments are numbered from 1."""
    if len(points) < 2:
        raise ParseError(Reason.OUT_OF_RANGE, f"a route of {len(points)} points, want 2 at least")
    attributes = fence.attributes() & ~_SPEED
    return _pack(
        lambda: (
            struct.pack(">IH", fence.id, attributes)
            + fence.times()
            + struct.pack(">H", len(points))
            + b"".join(_segment(fence, number, point, width_m, version) for number, point in enumerate(points, start=1))
            + fence.label(version)
        )
    )


def delete_body(ids: Sequence[int]) -> bytes:
    """0x8601, 0x8603, 0x8605, 0x8607: these, or all of the kind where there are none."""
    if len(ids) > _MOST_DELETED:
        raise ParseError(Reason.OUT_OF_RANGE, f"{len(ids)} ids, want at most {_MOST_DELETED}")
    return _pack(lambda: bytes((len(ids),)) + struct.pack(f">{len(ids)}I", *ids))


def _one_area(fence: Fence, points: Sequence[Point], size: bytes, version: int) -> bytes:
    head = struct.pack(">BBIH", _APPEND, 1, fence.id, fence.attributes() | _hemispheres(points))
    shape = b"".join(_degrees(point) for point in points) + size
    return head + shape + fence.times() + fence.speed(version) + fence.label(version)


def _segment(fence: Fence, number: int, point: Point, width_m: int, version: int) -> bytes:
    attributes = (_SPEED if fence.max_speed_kmh is not None else 0) | _sides((point,), _SEGMENT_SOUTH, _SEGMENT_WEST)
    head = struct.pack(">II", number, number) + _degrees(point)
    return head + struct.pack(">BB", width_m, attributes) + fence.speed(version)


def _hemispheres(points: Sequence[Point]) -> int:
    return _sides(points, _SOUTH, _WEST)


def _sides(points: Sequence[Point], south: int, west: int) -> int:
    word = 0
    for axis, bit, line in ((0, south, "the equator"), (1, west, "the zero meridian")):
        if min(point[axis] for point in points) < 0:
            word |= bit
            if max(point[axis] for point in points) > 0:
                raise ParseError(Reason.OUT_OF_RANGE, f"an area across {line} has no form")
    return word


def _degrees(point: Point) -> bytes:
    latitude, longitude = point
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ParseError(Reason.OUT_OF_RANGE, f"{latitude}, {longitude} is no place on earth")
    return struct.pack(">II", round(abs(latitude) * 1_000_000), round(abs(longitude) * 1_000_000))


def _pack(build: Callable[[], bytes]) -> bytes:
    try:
        return build()
    except (struct.error, ValueError) as error:
        raise ParseError(Reason.OUT_OF_RANGE, f"an area or route: {error}") from error
