"""The shapes of what the map asks."""

from typing import Any, Literal

from cloud.api.schemas import Answer, example

__all__ = ["DistrictOutlines", "MapInfo", "SearchPage"]


class Basemap(Answer):
    """What the devices are drawn on. `url` is a file for pmtiles, an address with {z}/{x}/{y} for xyz, "" for none;
    `attribution` is to be shown, and `approval` the number (审图号) under which the map was approved."""

    kind: Literal["none", "xyz", "pmtiles"]
    url: str
    attribution: str
    approval: str


class MapInfo(Answer):
    """`bounds`: west, south, east, north of nearly all devices, in the system `crs`, degrees; null while none has a place.
    `ingest_lag_s`: how old the newest reading of the latest batch was when it was stored."""

    model_config = example(
        crs="gcj02",
        basemap={
            "kind": "pmtiles",
            "url": "/basemap/map.pmtiles",
            "attribution": "© OpenStreetMap",
            "approval": "GS(2026)1234号",
        },
        bounds=[113.1, 22.9, 113.6, 23.4],
        version=1763647200124,
        devices=5,
        states={"unknown": 1, "normal": 2, "offline": 1, "alarm": 0, "critical": 1},
        kinds={"manhole_cover": 3, "lamp_loop": 1, "odd": 1},
        as_of="2026-11-20T14:00:00.123Z",
        ingest_lag_s=0.4,
    )
    crs: Literal["wgs84", "gcj02", "bd09"]
    basemap: Basemap
    bounds: list[float] | None
    version: int
    devices: int
    states: dict[str, int]
    kinds: dict[str, int]
    as_of: str
    ingest_lag_s: float


class DistrictOutlines(Answer):
    """A GeoJSON FeatureCollection; each feature is a MultiPolygon with `name`, `zh` and `en`, in the map's own system."""

    model_config = example(
        type="FeatureCollection",
        features=[
            {
                "type": "Feature",
                "properties": {"name": "yuexiu", "zh": "越秀区", "en": "Yuexiu"},
                "geometry": {
                    "type": "MultiPolygon",
                    "coordinates": [[[[113.2, 23.1], [113.3, 23.1], [113.3, 23.2], [113.2, 23.1]]]],
                },
            }
        ],
    )
    type: Literal["FeatureCollection"]
    features: list[dict[str, Any]]


class Found(Answer):
    """One thing that fits: a device, a case by its number or title, or the address of a case. Positions are WGS-84."""

    kind: Literal["device", "case", "address"]
    id: str
    name: str
    detail: str
    longitude: float | None
    latitude: float | None


class SearchPage(Answer):
    model_config = example(
        items=[
            {
                "kind": "device",
                "id": "cover-17",
                "name": "中山路井盖",
                "detail": "manhole_cover",
                "longitude": 113.26,
                "latitude": 23.12,
            }
        ]
    )
    items: list[Found]
