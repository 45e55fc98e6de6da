"""What a map needs to know before it asks for tiles."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query
from starlette.responses import Response

from cloud.api.answers import json_answer
from cloud.api.atlas import Loaded, MapFilter
from cloud.api.common import Given, NoQuery
from cloud.api.map_schemas import DistrictOutlines, MapInfo
from cloud.api.problems import describe
from cloud.api.times import iso
from cloud.atlas.config import MapConfig
from cloud.atlas.crs import Crs, shown
from cloud.dispatch.districts import District

__all__ = ["router"]

router = APIRouter(tags=["map"])

_URLS: Final = {"none": "", "pmtiles": "/basemap/map.pmtiles", "xyz": "/basemap/{z}/{x}/{y}"}
_DIGITS: Final = 6


@router.get("/map", summary="The whole map in figures, and what it is drawn on", response_model=MapInfo, responses=describe(503))
async def get_map(given: Given, atlas: Loaded, query: Annotated[MapFilter, Query()]) -> Response:
    """Devices without a place are counted, too. With filters only those that they let through; the bounds are of all."""
    found = atlas.summary(query.of(atlas))
    return json_answer(
        {
            "crs": atlas.crs.value,
            "basemap": _basemap(given.map),
            "bounds": None if found.bounds is None else [round(each, _DIGITS) for each in found.bounds],
            "version": found.version,
            "devices": found.devices,
            "states": found.states,
            "kinds": found.kinds,
            "as_of": iso(given.clock.wall_ns()),
            "ingest_lag_s": found.lag_s,
        }
    )


@router.get("/map/districts", summary="The outlines of the districts", response_model=DistrictOutlines)
async def get_districts(given: Given, _: NoQuery) -> Response:
    """As GeoJSON, in the map's own system; for maps that have nothing else to be drawn on."""
    features = [_feature(district, given.map.crs) for district in given.desk.duty.districts]
    return json_answer({"type": "FeatureCollection", "features": features})


def _basemap(config: MapConfig) -> dict[str, str]:
    return {
        "kind": config.kind,
        "url": _URLS[config.kind],
        "attribution": config.attribution,
        "approval": config.approval,
    }


def _feature(district: District, crs: Crs) -> dict[str, Any]:
    title = {"name": district.name, "zh": district.title.zh, "en": district.title.en}
    parts = [[_ring(ring, crs) for ring in _rings(part)] for part in district.parts]
    return {"type": "Feature", "properties": title, "geometry": {"type": "MultiPolygon", "coordinates": parts}}


def _rings(polygon: Any) -> Iterator[Any]:
    yield polygon.exterior
    yield from polygon.interiors


def _ring(ring: Any, crs: Crs) -> list[list[float]]:
    at = np.asarray(ring.coords, dtype=np.float64)
    found: list[list[float]] = np.round(np.column_stack(shown(crs, at[:, 0], at[:, 1])), _DIGITS).tolist()
    return found
