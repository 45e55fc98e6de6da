"""Places: well-known text and GeoJSON as shapes of `shapely`, (longitude, latitude) in WGS-84 degrees."""

import math
from typing import Any, Final

import msgspec
import shapely
from shapely.errors import ShapelyError

__all__ = ["Shape", "metres_between", "read_geojson", "read_shape"]

_EARTH_M: Final = 6_371_008.8  # IUGG mean radius


class Shape(msgspec.Struct, frozen=True):
    """A geometry that has a place."""

    geometry: Any


def read_shape(text: str) -> Shape | None:
    """Well-known text, or None for anything else, for what is empty and for what is not finite."""
    if "\0" in text:
        return None
    try:
        geometry = shapely.from_wkt(text.partition(";")[2] if text[:5].upper() == "SRID=" else text)
    except (ShapelyError, ValueError):
        return None
    return _sound(geometry)


def read_geojson(value: Any) -> Shape | None:
    """The Point of a Location or a FeatureOfInterest; None where it has no place."""
    match value:
        case {"type": "Point", "coordinates": [int() | float() as longitude, int() | float() as latitude]}:
            return Shape(shapely.Point(longitude, latitude))
        case _:
            return None


def _sound(geometry: Any) -> Shape | None:
    if geometry is None or geometry.is_empty or not all(math.isfinite(edge) for edge in geometry.bounds):
        return None
    return Shape(geometry)


def metres_between(first: Shape, second: Shape) -> float | None:
    """Metres on the sphere between two points; None where one is no point."""
    a, b = first.geometry, second.geometry
    if a.geom_type != "Point" or b.geom_type != "Point":
        return None
    phi_1, phi_2 = math.radians(a.y), math.radians(b.y)
    half = math.sin((phi_2 - phi_1) / 2) ** 2
    half += math.cos(phi_1) * math.cos(phi_2) * math.sin(math.radians(b.x - a.x) / 2) ** 2
    return 2 * _EARTH_M * math.asin(math.sqrt(min(1.0, max(0.0, half))))
