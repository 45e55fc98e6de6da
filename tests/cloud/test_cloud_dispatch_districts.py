"""Districts: a position belongs to exactly one of those that hold it, the first named; what is no polygon is told."""

import json
import math
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.dispatch.districts import District, DistrictMap, from_geojson, from_ring
from device_profiles.quantities import Text

Point = tuple[float, float]
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
HOLE = [[1, 1], [1, 3], [3, 3], [3, 1], [1, 1]]


def district(name: str, ring: object) -> District:
    return District(name, Text(name, name), from_ring(ring))


def geometry(kind: str, coordinates: object) -> dict[str, object]:
    return {"type": kind, "coordinates": coordinates}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def holds(corners: list[Point], x: float, y: float) -> bool:
    """Whether a triangle or its border holds a position, in exact numbers."""
    (ax, ay), (bx, by), (cx, cy) = [(Fraction(east), Fraction(north)) for east, north in corners]
    px, py = Fraction(x), Fraction(y)
    turns = [
        (bx - ax) * (py - ay) - (by - ay) * (px - ax),
        (cx - bx) * (py - by) - (cy - by) * (px - bx),
        (ax - cx) * (py - cy) - (ay - cy) * (px - cx),
    ]
    return all(turn >= 0 for turn in turns) or all(turn <= 0 for turn in turns)


# A city cut into eight triangles with one corner inside; 0.1 is no sum of powers of two, so that borders are not exact.
_RIM = [
    (111.0 + 0.1 * east, 35.0 + 0.1 * north) for east, north in ((0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1))
]
_MIDDLE = (111.07, 35.13)
_TRIANGLES = [[_RIM[n], _RIM[(n + 1) % 8], _MIDDLE] for n in range(8)]
_CITY = DistrictMap([district(str(n), [list(corner) for corner in corners]) for n, corners in enumerate(_TRIANGLES)])


@st.composite
def positions(draw: st.DrawFn) -> Point:
    """Anywhere in the city, and often on a corner or next to a border."""
    a, b = draw(st.sampled_from([*_RIM, _MIDDLE])), draw(st.sampled_from([*_RIM, _MIDDLE]))
    part = draw(st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0]) | st.floats(0, 1))
    x, y = a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part
    ulps = draw(st.integers(-1, 1))
    return (x if ulps == 0 else math.nextafter(x, x + ulps)), y


@settings(max_examples=200)
@given(position=positions())
def test_a_position_is_in_the_first_district_that_holds_it(position: Point) -> None:
    inside = [str(n) for n, corners in enumerate(_TRIANGLES) if holds(corners, *position)]
    assert _CITY.at(*position) == (inside[0] if inside else "")


def test_every_place_inside_a_city_without_gaps_is_in_a_district() -> None:
    steps = [n / 40 for n in range(1, 80)]
    assert all(_CITY.at(111.0 + 0.1 * east, 35.0 + 0.1 * north) for east in steps for north in steps)


def test_where_districts_overlap_the_first_named_has_it() -> None:
    small, large = district("small", [[1, 1], [2, 1], [2, 2], [1, 2]]), district("large", SQUARE)
    assert DistrictMap([small, large]).at(1.5, 1.5) == "small"
    assert DistrictMap([large, small]).at(1.5, 1.5) == "large"


def test_nowhere_is_in_no_district() -> None:
    assert DistrictMap([]).at(111.0, 35.0) == ""
    assert _CITY.at(0, 0) == ""
    assert _CITY.at(math.nan, 35.0) == ""


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(geometry("Polygon", [SQUARE, HOLE]), id="a polygon"),
        pytest.param(geometry("MultiPolygon", [[SQUARE, HOLE]]), id="several polygons"),
        pytest.param({"type": "Feature", "properties": {}, "geometry": geometry("Polygon", [SQUARE, HOLE])}, id="a feature"),
        pytest.param(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
                "features": [{"type": "Feature", "properties": {}, "geometry": geometry("Polygon", [SQUARE, HOLE])}],
            },
            id="features that say that they are in WGS-84",
        ),
    ],
)
def test_geojson_with_a_hole_is_read(document: object) -> None:
    known = DistrictMap([District("d", Text("d", "d"), from_geojson(encoded(document)))])
    assert [known.at(x, y) for x, y in ((0.5, 0.5), (2, 2), (1, 2), (4, 4), (4.01, 4))] == ["d", "", "d", "d", ""]


def test_a_district_may_have_parts_that_touch_and_its_neighbour_none_of_them() -> None:
    streets = [
        {"type": "Feature", "geometry": geometry("Polygon", [[[x, 0], [x + 1, 0], [x + 1, 1], [x, 1], [x, 0]]])}
        for x in (0, 1, 5)
    ]
    parts = from_geojson(encoded({"type": "FeatureCollection", "features": streets}))
    known = DistrictMap([District("d", Text("d", "d"), parts), district("e", [[2, 0], [5, 0], [5, 1], [2, 1]])])
    assert [known.at(x, 0.5) for x in (0.5, 1, 1.5, 2, 3, 5, 5.5)] == ["d", "d", "d", "d", "e", "d", "d"]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        pytest.param(b"{", "is not JSON", id="half a text"),
        pytest.param(b"[]", "is no GeoJSON", id="a list"),
        pytest.param(b'{"type": "FeatureCollection", "features": []}', "holds a 'FeatureCollection' that is no", id="no feature"),
        pytest.param(encoded(geometry("Point", [1, 2])), "holds a 'Point' that is no polygon", id="a point"),
        pytest.param(encoded(geometry("Polygon", [SQUARE[:-1]])), "a ring begins at", id="a ring that is not closed"),
        pytest.param(encoded(geometry("Polygon", [[[0, 0], [1, 1], [0, 0]]])), "fewer than three corners", id="two corners"),
        pytest.param(encoded(geometry("Polygon", [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]])), "Self-intersection", id="a bow"),
        pytest.param(
            encoded(geometry("Polygon", [[[35, 111], [35, 112], [36, 111], [35, 111]]])), "[35, 111] is no", id="latitude first"
        ),
        pytest.param(
            encoded(geometry("Polygon", [[[179, 0], [-179, 0], [-179, 1], [179, 0]]])), "180th meridian", id="the date line"
        ),
        pytest.param(
            encoded(geometry("Polygon", [[[0, 0], [True, 1], [1, 0], [0, 0]]])), "[True, 1] is no", id="a truth for a degree"
        ),
        pytest.param(
            encoded({**geometry("Polygon", [SQUARE]), "crs": "EPSG:3857"}), "its positions are in 'EPSG:3857'", id="metres"
        ),
    ],
)
def test_what_is_no_polygon_says_why(document: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        from_geojson(document)
