"""The world as a square of 2^32 by 2^32 units: spherical Web Mercator (EPSG:3857), x to the east, y to the south.

A tile of zoom z is the square of 2^(32 - z) units at (x, y); what lies on its north and west border is in it.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["WORLD_BITS", "Tile", "degrees", "morton", "units"]

WORLD_BITS: Final = 32
_SIZE: Final = 2.0**WORLD_BITS
# The square ends here (EPSG:3857): what lies nearer to a pole is drawn at the edge.
_STEEPEST: Final = 85.0511287798066
# Spreads the bits of a number so that another one's fit between them ("Interleave by binary magic numbers").
_SPREAD: Final = (
    (16, np.uint64(0x0000FFFF0000FFFF)),
    (8, np.uint64(0x00FF00FF00FF00FF)),
    (4, np.uint64(0x0F0F0F0F0F0F0F0F)),
    (2, np.uint64(0x3333333333333333)),
    (1, np.uint64(0x5555555555555555)),
)


class Tile(NamedTuple):
    """One square of the map."""

    z: int
    x: int
    y: int

    @property
    def bits(self) -> int:
        """How many bits of a unit lie within the tile."""
        return WORLD_BITS - self.z

    @property
    def name(self) -> str:
        return f"{self.z}/{self.x}/{self.y}"


def units(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Degrees to units. 180 E is the square's last column; latitudes beyond it are its first or last row."""
    angle = np.radians(np.clip(latitude, -_STEEPEST, _STEEPEST))
    x = (longitude + 180.0) / 360.0 * _SIZE
    y = (0.5 - np.arcsinh(np.tan(angle)) / (2 * np.pi)) * _SIZE
    return _clipped(x), _clipped(y)


def degrees(x: float, y: float) -> tuple[float, float]:
    """Units to (longitude, latitude)."""
    return x / _SIZE * 360.0 - 180.0, float(np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * y / _SIZE)))))


def morton(x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """The places along a curve that goes through all of one tile before the next, at every zoom (Z order)."""
    return _spread(x) | (_spread(y) << np.uint64(1))


def _clipped(value: NDArray[np.float64]) -> NDArray[np.uint32]:
    return np.clip(value, 0, _SIZE - 1).astype(np.uint32)


def _spread(value: NDArray[np.uint32]) -> NDArray[np.uint64]:
    wide = value.astype(np.uint64)
    for shift, mask in _SPREAD:
        wide = (wide | (wide << np.uint64(shift))) & mask
    return wide
