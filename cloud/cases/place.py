"""How far two places are from one another."""

from math import asin, cos, radians, sin, sqrt
from typing import Final

__all__ = ["distance_m"]

_EARTH_M: Final = 6_371_008.8
"""The mean radius of the WGS-84 ellipsoid."""


def distance_m(longitude: float, latitude: float, other_longitude: float, other_latitude: float) -> float:
    """Metres between two positions in degrees, along the ground; better than 0.6 percent."""
    a, b = radians(latitude), radians(other_latitude)
    half = sin((b - a) / 2) ** 2 + cos(a) * cos(b) * sin(radians(other_longitude - longitude) / 2) ** 2
    return 2 * _EARTH_M * asin(min(1.0, sqrt(half)))
