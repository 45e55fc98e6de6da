"""A round tour through the streets near a place: where a simulated vehicle is after so much time."""

import math

import msgspec

__all__ = ["Fix", "Route"]

_METRES_PER_DEGREE = 111_320.0  # of latitude, and of longitude at the equator (WGS-84, mean)


class Fix(msgspec.Struct, frozen=True):
    """A position in WGS-84 degrees and the course in degrees from north, clockwise."""

    longitude: float
    latitude: float
    course_deg: int


class Route:
    """A rounded block of streets around its centre, driven clockwise without end at an even pace."""

    def __init__(self, longitude: float, latitude: float, *, radius_m: float = 700.0, speed_kmh: float = 30.0) -> None:
        self._longitude, self._latitude = longitude, latitude
        self._radius_m = radius_m
        self._lap_s = 2 * math.pi * radius_m / (speed_kmh / 3.6)

    def at(self, age_s: float) -> Fix:
        """Where the vehicle is `age_s` seconds after it started."""
        angle = 2 * math.pi * (age_s / self._lap_s % 1.0)
        north, east = self._radius_m * math.cos(angle), self._radius_m * math.sin(angle)
        shrink = math.cos(math.radians(self._latitude))
        return Fix(
            longitude=round(self._longitude + east / (_METRES_PER_DEGREE * shrink), 6),
            latitude=round(self._latitude + north / _METRES_PER_DEGREE, 6),
            course_deg=round(math.degrees(angle) + 90) % 360,
        )
