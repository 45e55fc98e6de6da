"""Zones: the places that a site's alarm rules name, from a GeoJSON file (RFC 7946).

Each feature has a name in its properties. A polygon or several are an area; a point with `radius_m` is a circle.
Metres are measured on a plane through the zone's middle: good to about 1 % for a zone of 100 km, far better for a yard.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from device_profiles.branch import NAME
from device_profiles.mistakes import ConfigError, Findings

__all__ = ["Circle", "Plane", "Position", "Zone", "load_zones"]

_EARTH_M = 6_371_008.8
"""Mean radius of WGS-84, metres."""

_MOST_BYTES = 16 * 1024 * 1024
_LARGEST_RADIUS_M = 100_000.0

Position = tuple[float, float]
"""Longitude and latitude, WGS-84 degrees."""


class Zone(Protocol):
    """A place on the ground."""

    def depth_m(self, longitude: float, latitude: float) -> float:
        """Metres from the edge: above 0 inside, below 0 outside."""
        ...

    def is_inside(self, longitude: float, latitude: float) -> bool:
        """Whether a position is inside; one on the edge is not."""
        ...


class Plane:
    """Metres east and north of a middle; a zone may lie across the 180th meridian."""

    def __init__(self, middle: Position) -> None:
        self.longitude, self.latitude = middle
        self._north = math.radians(1) * _EARTH_M
        self._east = self._north * math.cos(math.radians(self.latitude))

    def metres(self, longitude: float, latitude: float) -> Position:
        east = (longitude - self.longitude + 180) % 360 - 180
        return east * self._east, (latitude - self.latitude) * self._north


class Circle:
    """All that is within `radius_m` of a middle."""

    def __init__(self, middle: Position, radius_m: float) -> None:
        self._plane = Plane(middle)
        self._radius_m = radius_m

    def depth_m(self, longitude: float, latitude: float) -> float:
        """Metres from the edge: above 0 inside, below 0 outside."""
        return self._radius_m - math.hypot(*self._plane.metres(longitude, latitude))

    def is_inside(self, longitude: float, latitude: float) -> bool:
        return self.depth_m(longitude, latitude) > 0


def load_zones(path: Path) -> Mapping[str, Zone]:
    """The zones in a GeoJSON file, by name. Raises ConfigError with every mistake."""
    findings = Findings(str(path))
    zones: dict[str, Zone] = {}
    for number, feature in enumerate(_features(path, findings)):
        where = f"features[{number}]"
        properties = feature.get("properties") if isinstance(feature, dict) else None
        name = properties.get("name") if isinstance(properties, dict) else None
        if not isinstance(name, str) or not NAME.fullmatch(name):
            findings.add(1, f"{where}.properties.name", f"{name!r}"[:80], "a name of small letters, digits and _")
            continue
        if name in zones:
            findings.add(1, f"{where}.properties.name", f"{name!r} is the name of an earlier zone", "another name")
        try:
            zones[name] = _zone(feature.get("geometry"), properties or {})
        except (ValueError, KeyError, TypeError, IndexError) as error:
            wanted = "a Polygon or MultiPolygon of [longitude, latitude] rings, or a Point with radius_m in its properties"
            findings.add(1, f"{where}.geometry", f"{name}: {type(error).__name__}: {error}"[:200], wanted)
    if len(findings):
        raise ConfigError(findings.in_order())
    return zones


def _features(path: Path, findings: Findings) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            findings.add(1, "file", f"larger than {_MOST_BYTES // 1024 // 1024} MiB", "a smaller file")
            return []
        root = msgspec.json.decode(data)
    except OSError as error:
        findings.add(1, "file", f"cannot be read: {error.strerror}", "a readable file of this name")
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        findings.add(1, "file", f"not JSON: {error}", "a GeoJSON FeatureCollection")
        return []
    features = root.get("features") if isinstance(root, dict) else None
    if not isinstance(features, list):
        findings.add(1, "features", "no list of features", "a GeoJSON FeatureCollection")
        return []
    return features


def _zone(geometry: Any, properties: Mapping[str, Any]) -> Zone:
    # The geometry library is loaded where a site has zones, and nowhere else.
    from edge_agent.alarms.areas import Area  # noqa: PLC0415

    coordinates = geometry["coordinates"]
    match geometry["type"]:
        case "Polygon":
            return Area([_polygon(coordinates)])
        case "MultiPolygon":
            return Area([_polygon(part) for part in coordinates])
        case "Point":
            radius_m = _number(properties["radius_m"])
            if not 0 < radius_m <= _LARGEST_RADIUS_M:
                raise ValueError(f"radius_m {radius_m:g}: want above 0, up to {_LARGEST_RADIUS_M:g}")
            return Circle(_position(coordinates), radius_m)
        case other:
            raise ValueError(f"a {other!r}")


def _polygon(rings: Any) -> list[list[Position]]:
    polygon = [[_position(point) for point in ring] for ring in rings]
    if not polygon or any(len(ring) < 4 or ring[0] != ring[-1] for ring in polygon):
        raise ValueError("a ring has four or more points, and its last is its first")
    return polygon


def _position(point: Any) -> Position:
    longitude, latitude = _number(point[0]), _number(point[1])
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise ValueError(f"[{longitude:g}, {latitude:g}] is no longitude and latitude")
    return longitude, latitude


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number"[:80])
    return float(value)
