"""Districts (片区): parts of the city on the map, and in which of them a position lies."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import shapely
from numpy.typing import NDArray

from device_profiles.quantities import Text

__all__ = ["District", "DistrictMap", "from_geojson", "from_ring"]

_WGS84: Final = ("CRS84", "EPSG::4326", "EPSG:4326")
_POSITIONS_MOST: Final = 500_000


class District(msgspec.Struct, frozen=True):
    """One district. `parts` are valid polygons of `shapely`, (longitude, latitude) in WGS-84 degrees; holes are outside."""

    name: str
    title: Text
    parts: tuple[Any, ...]


class DistrictMap:
    """Districts in the order in which they were named."""

    def __init__(self, districts: Iterable[District]) -> None:
        named = list(districts)
        self._names = [district.name for district in named for _ in district.parts]
        self._parts = np.array([part for district in named for part in district.parts], dtype=object)
        shapely.prepare(self._parts)
        self._tree = shapely.STRtree(self._parts)

    def at(self, longitude: float, latitude: float) -> str:
        """The name of the district that holds the position, its border included; "" where none does.

        A border that districts share, and any place where they overlap, belongs to the first named of them. Edges are
        straight in degrees (RFC 7946, 3.1.1).
        """
        near = self._tree.query(shapely.Point(longitude, latitude))
        inside = near[shapely.intersects_xy(self._parts[near], longitude, latitude)]
        return self._names[inside.min()] if inside.size else ""

    def at_many(self, longitudes: NDArray[np.float64], latitudes: NDArray[np.float64]) -> NDArray[np.int64]:
        """The same for many: the place, among all parts, of the first part that holds each position; -1 where none does."""
        if not len(self._parts):
            return np.full(len(longitudes), -1, dtype=np.int64)
        points = shapely.points(longitudes, latitudes)
        which, part = self._tree.query(points, predicate="intersects")
        found = np.full(len(longitudes), len(self._parts), dtype=np.int64)
        np.minimum.at(found, which, part)
        found[found == len(self._parts)] = -1
        return found


def from_ring(ring: object) -> tuple[Any, ...]:
    """The one polygon that a list of [longitude, latitude] goes round; it need not come back to its first position.

    ValueError where it is none.
    """
    positions = _positions(ring)
    return (_polygon([positions if positions[0] == positions[-1] else [*positions, positions[0]]]),)


def from_geojson(content: bytes) -> tuple[Any, ...]:
    """All polygons of a GeoJSON text (RFC 7946): a Polygon or MultiPolygon, or features with nothing else in them.

    ValueError where it is none, or where it says that its positions are not WGS-84.
    """
    try:
        root = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise ValueError(f"is not JSON: {error}") from error
    # The member was taken out of the standard in 2016; programs still write it, and some write others than WGS-84.
    crs = root.get("crs") if isinstance(root, dict) else None
    if crs is not None and not any(name in str(crs) for name in _WGS84):
        raise ValueError(f"its positions are in {crs!r}"[:120])
    return tuple(_polygon([_closed(ring) for ring in rings]) for rings in _polygons(root))


def _polygons(node: object) -> Iterable[Sequence[object]]:
    match node:
        case {"type": "FeatureCollection", "features": [_, *_] as features}:
            return [rings for feature in features for rings in _polygons(feature)]
        case {"type": "Feature", "geometry": dict() as geometry}:
            return _polygons(geometry)
        case {"type": "Polygon", "coordinates": [_, *_] as rings}:
            return [rings]
        case {"type": "MultiPolygon", "coordinates": [_, *_] as polygons} if all(isinstance(each, list) for each in polygons):
            return list(polygons)
        case {"type": str() as kind}:
            raise ValueError(f"holds a {kind[:40]!r} that is no polygon")
        case _:
            raise ValueError("is no GeoJSON")


def _closed(ring: object) -> list[tuple[float, float]]:
    positions = _positions(ring)
    if positions[0] != positions[-1]:
        raise ValueError(f"a ring begins at {positions[0]} and ends at {positions[-1]}")
    return positions


def _positions(ring: object) -> list[tuple[float, float]]:
    """The positions of one ring; a height beside longitude and latitude is left out."""
    if not isinstance(ring, list) or not 3 <= len(ring) <= _POSITIONS_MOST:
        raise ValueError("a ring is no list of three or more positions")
    positions = [_position(each) for each in ring]
    longitudes = [longitude for longitude, _ in positions]
    if max(longitudes) - min(longitudes) > 180:
        raise ValueError("a ring crosses the 180th meridian, where it has to be cut (RFC 7946, 3.1.9)")
    return positions


def _position(value: object) -> tuple[float, float]:
    # Not isinstance: a truth value is an int to Python, and a mistake here.
    if isinstance(value, list) and len(value) > 1 and all(type(degrees) in {int, float} for degrees in value[:2]):
        longitude, latitude = float(value[0]), float(value[1])
        if -180 <= longitude <= 180 and -90 <= latitude <= 90:
            return longitude, latitude
    raise ValueError(f"{value!r}"[:60] + " is no [longitude, latitude]")


def _polygon(rings: Sequence[Sequence[tuple[float, float]]]) -> Any:
    if not rings or any(len(ring) < 4 for ring in rings):
        raise ValueError("a ring has fewer than three corners")
    polygon = shapely.Polygon(rings[0], rings[1:])
    if not polygon.is_valid:
        raise ValueError(str(shapely.is_valid_reason(polygon)))
    return polygon
