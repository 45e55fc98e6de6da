"""The map as the page gets it: tiles, figures, and what it is drawn on."""

import math
from typing import Any

import pytest
from cloud_api_world import NOW, World
from mvt_reader import read_tile

HERE = (113.26, 23.12)


def tile_of(longitude: float, latitude: float, zoom: int) -> str:
    """The address of the tile that holds a position, by the formula of the OpenStreetMap wiki."""
    angle = math.radians(latitude)
    x = int((longitude + 180) / 360 * 2**zoom)
    y = int((1 - math.asinh(math.tan(angle)) / math.pi) / 2 * 2**zoom)
    return f"/api/tiles/{zoom}/{x}/{y}.mvt"


async def tile(city: World, address: str, **headers: str) -> dict[str, list[dict[str, Any]]]:
    async with city.session.get(address, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "application/vnd.mapbox-vector-tile"
        return read_tile(await response.read())


@pytest.mark.parametrize("zoom", [0, 7, 14])
async def test_far_away_devices_are_counts_by_state(city: World, zoom: int) -> None:
    found = await tile(city, tile_of(*HERE, zoom))
    (cell,) = found["cells"]
    assert cell["is"] == {"n": 5, "critical": 1, "normal": 2, "offline": 1, "unknown": 1}
    assert 0 <= cell["x"] < 4096
    assert 0 <= cell["y"] < 4096
    assert "devices" not in found


async def test_near_by_every_device_is_a_point(city: World) -> None:
    found = await tile(city, tile_of(*HERE, 16))
    shown = {point["is"]["id"]: tuple(point["is"][name] for name in ("state", "order", "cases")) for point in found["devices"]}
    assert shown == {
        "cover-1": ("critical", 4, 1),
        "cover-2": ("normal", 1, 0),
        "cover-3": ("unknown", 0, 0),
        "lamp-1": ("offline", 2, 0),
        "odd-1": ("normal", 1, 0),
    }
    assert found["devices"][-1]["is"]["name"] == "井 cover-1 100%"
    assert "cells" not in found


async def test_open_cases_are_a_layer_of_their_own(city: World) -> None:
    for zoom in (0, 12, 18):
        ((case),) = (await tile(city, tile_of(*HERE, zoom)))["cases"]
        assert case["is"] == {
            "id": 7, "priority": "critical", "device": "cover-1", "age_h": 0, "title_zh": "井盖缺失", "title_en": "Cover missing",
        }  # fmt: skip


async def test_a_tile_without_anything_has_no_bytes(city: World) -> None:
    async with city.session.get("/api/tiles/10/0/0.mvt") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_a_tile_that_is_as_it_was_is_not_sent_again(city: World) -> None:
    address = tile_of(*HERE, 12)
    async with city.session.get(address) as response:
        tag = response.headers["ETag"]
    async with city.session.get(address, headers={"If-None-Match": f'"other", {tag}'}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with city.session.get(f"{address}?state=normal", headers={"If-None-Match": tag}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("kind=manhole_cover", {"n": 3, "critical": 1, "normal": 1, "unknown": 1}),
        ("kind=manhole_cover&kind=odd&state=normal", {"n": 2, "normal": 2}),
        ("state=critical&state=offline", {"n": 2, "critical": 1, "offline": 1}),
    ],
)
async def test_a_tile_shows_what_the_filter_lets_through(city: World, query: str, counts: dict[str, int]) -> None:
    (cell,) = (await tile(city, f"{tile_of(*HERE, 12)}?{query}"))["cells"]
    assert {name: count for name, count in cell["is"].items() if name not in {"id", "name", "kind"}} == counts


async def test_a_filter_that_nothing_passes_leaves_nothing(city: World) -> None:
    assert await tile(city, f"{tile_of(*HERE, 12)}?kind=bench") == {}
    assert await tile(city, f"{tile_of(*HERE, 12)}?district=nowhere") == {}


async def test_a_cell_of_one_device_says_which(city: World) -> None:
    (cell,) = (await tile(city, f"{tile_of(*HERE, 9)}?state=offline"))["cells"]
    assert cell["is"] == {"n": 1, "offline": 1, "id": "lamp-1", "name": "井 lamp-1 100%", "kind": "lamp_loop"}


async def test_the_map_says_how_much_there_is(city: World) -> None:
    found = await city.get("/api/map")
    assert found.pop("version") > 0
    assert found == {
        "crs": "wgs84",
        "basemap": {"kind": "none", "url": "", "attribution": "", "approval": ""},
        "bounds": [pytest.approx(113.26), pytest.approx(23.12), pytest.approx(113.26), pytest.approx(23.12)],
        "devices": 5,
        "states": {"unknown": 1, "normal": 2, "offline": 1, "alarm": 0, "critical": 1},
        "kinds": {"manhole_cover": 3, "lamp_loop": 1, "odd": 1},
        "as_of": NOW,
        "ingest_lag_s": 0.0,
    }


async def test_the_figures_are_counted_under_filters(city: World) -> None:
    found = await city.get("/api/map?kind=manhole_cover&state=critical&state=unknown")
    assert found["devices"] == 2
    assert found["states"] == {"unknown": 1, "normal": 0, "offline": 0, "alarm": 0, "critical": 1}
    assert found["kinds"] == {"manhole_cover": 2}
    assert found["bounds"] is not None


@pytest.mark.parametrize("address", ["/api/tiles/3/8/0.mvt", "/api/tiles/23/0/0.mvt", "/api/tiles/1/0/0.mvt?state=red"])
async def test_a_tile_that_cannot_be_is_refused(city: World, address: str) -> None:
    assert (await city.get(address, status=422))["reason"] == "invalid"
