"""The coordinate systems that maps of China are drawn in. For display only: a converted position is never stored.

GCJ-02 is the offset that the mainland's map services must use, BD-09 Baidu's own on top of it. Neither has a published
standard with a formula; these are the constants and series that map libraries have used since 2013 (coordtransform,
eviltransform), good to about a metre against the services themselves. Outside of China's rectangle nothing is shifted.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Crs", "shown"]

Degrees = NDArray[np.float64]

# Krasovsky 1940, the ellipsoid that the offset is reckoned on.
_AXIS_M: Final = 6378245.0
_ECCENTRICITY_2: Final = 0.00669342162296594323
_BAIDU_PI: Final = np.pi * 3000.0 / 180.0
# Where the offset is in force, as the libraries have it: (west, east), (south, north).
_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271


class Crs(StrEnum):
    """What the tiles of a basemap are drawn in."""

    WGS84 = "wgs84"
    GCJ02 = "gcj02"
    BD09 = "bd09"


def shown(crs: Crs, longitude: Degrees, latitude: Degrees) -> tuple[Degrees, Degrees]:
    """WGS-84 positions, in degrees, as a map in `crs` has them. Not a number stays so."""
    return _SHIFTS[crs](longitude, latitude)


def _same(longitude: Degrees, latitude: Degrees) -> tuple[Degrees, Degrees]:
    return longitude, latitude


def _gcj02(longitude: Degrees, latitude: Degrees) -> tuple[Degrees, Degrees]:
    inside = (longitude >= _WEST) & (longitude <= _EAST) & (latitude >= _SOUTH) & (latitude <= _NORTH)
    if not inside.any():
        return longitude, latitude
    x, y = longitude - 105.0, latitude - 35.0
    angle = np.radians(latitude)
    root = 1 - _ECCENTRICITY_2 * np.sin(angle) ** 2
    meridian_m = _AXIS_M * (1 - _ECCENTRICITY_2) / (root * np.sqrt(root))
    parallel_m = _AXIS_M / np.sqrt(root) * np.cos(angle)
    # Metres of the sphere's tables into degrees of the ellipsoid.
    east = longitude + np.degrees(_east(x, y) / parallel_m)
    north = latitude + np.degrees(_north(x, y) / meridian_m)
    return np.where(inside, east, longitude), np.where(inside, north, latitude)


def _bd09(longitude: Degrees, latitude: Degrees) -> tuple[Degrees, Degrees]:
    inside = (longitude >= _WEST) & (longitude <= _EAST) & (latitude >= _SOUTH) & (latitude <= _NORTH)
    east, north = _baidu(*_gcj02(longitude, latitude))
    return np.where(inside, east, longitude), np.where(inside, north, latitude)


def _baidu(x: Degrees, y: Degrees) -> tuple[Degrees, Degrees]:
    """GCJ-02 to BD-09."""
    radius = np.hypot(x, y) + 0.00002 * np.sin(y * _BAIDU_PI)
    angle = np.arctan2(y, x) + 0.000003 * np.cos(x * _BAIDU_PI)
    return radius * np.cos(angle) + 0.0065, radius * np.sin(angle) + 0.006


def _east(x: Degrees, y: Degrees) -> Degrees:
    near = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x))
    return near + _wave(x, (20.0, 6.0), (20.0, 2.0), (20.0, 1.0), (40.0, 1 / 3), (150.0, 1 / 12), (300.0, 1 / 30))


def _north(x: Degrees, y: Degrees) -> Degrees:
    near = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x))
    own = _wave(y, (20.0, 1.0), (40.0, 1 / 3), (160.0, 1 / 12), (320.0, 1 / 30))
    return near + _wave(x, (20.0, 6.0), (20.0, 2.0)) + own


def _wave(value: Degrees, *terms: tuple[float, float]) -> Degrees:
    """The sum of amplitude * 2/3 * sin(pi * frequency * value)."""
    total = np.zeros_like(value)
    for amplitude, frequency in terms:
        total += amplitude * 2.0 / 3.0 * np.sin(np.pi * frequency * value)
    return total


_SHIFTS: Final[dict[Crs, Callable[[Degrees, Degrees], tuple[Degrees, Degrees]]]] = {
    Crs.WGS84: _same,
    Crs.GCJ02: _gcj02,
    Crs.BD09: _bd09,
}
