"""Zones that polygons bound."""

from collections.abc import Sequence

import shapely

from edge_agent.alarms.zones import Plane, Position

__all__ = ["Area"]


class Area:
    """One polygon or several, with their holes: each is an outer ring and the rings of its holes.

    ValueError where the rings cross themselves or each other.
    """

    def __init__(self, polygons: Sequence[Sequence[Sequence[Position]]]) -> None:
        outline = [point for polygon in polygons for point in polygon[0]]
        if not outline:
            raise ValueError("no polygon")
        # Across the 180th meridian the first point is as good a middle as any: the plane counts from it both ways.
        latitudes = [latitude for _, latitude in outline]
        self._plane = Plane((outline[0][0], (min(latitudes) + max(latitudes)) / 2))
        rings = [[[self._plane.metres(*point) for point in ring] for ring in polygon] for polygon in polygons]
        self._shape = shapely.MultiPolygon([shapely.Polygon(polygon[0], polygon[1:]) for polygon in rings])
        if not self._shape.is_valid:
            raise ValueError(shapely.is_valid_reason(self._shape))
        self._edge = self._shape.boundary
        shapely.prepare(self._shape)
        shapely.prepare(self._edge)

    def depth_m(self, longitude: float, latitude: float) -> float:
        """Metres from the edge: above 0 inside, below 0 outside."""
        distance = float(shapely.distance(self._edge, shapely.Point(*self._plane.metres(longitude, latitude))))
        return distance if self.is_inside(longitude, latitude) else -distance

    def is_inside(self, longitude: float, latitude: float) -> bool:
        return bool(shapely.contains_xy(self._shape, *self._plane.metres(longitude, latitude)))
