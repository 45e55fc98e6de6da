"""What must hold of the atlas whatever happens: its counts, its tiles and its lists are those of a plain count of everything."""

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mvt_reader import read_tile

from cloud.atlas.cases import CaseRow, OpenCases
from cloud.atlas.crs import Crs, _baidu, shown
from cloud.atlas.dirty import Box, Dirty
from cloud.atlas.index import DeviceIndex, DeviceRow
from cloud.atlas.mercator import Tile, degrees, units
from cloud.atlas.mvt import Layer
from cloud.atlas.points import Points
from cloud.atlas.pyramid import CELLS, DEEPEST, NOWHERE, Pyramid
from cloud.atlas.search import Texts
from cloud.atlas.state import STATE_WORDS
from cloud.atlas.tiles import Filter, TileMaker

SILENCE_NS = 100
KINDS = ("lamp", "cover")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))


class City:
    """An index with all that hangs on it."""

    def __init__(self, crs: Crs = Crs.WGS84) -> None:
        self.dirty = Dirty(0)
        self.pyramid = Pyramid()
        self.index = DeviceIndex(
            self.pyramid,
            crs,
            district=lambda longitude, latitude: (longitude > 0).astype(np.int64) - (latitude > 80),
            silence_ns=lambda profile: SILENCE_NS,
            roams=lambda profile: profile == "bus",
            touched=self.dirty.touch,
        )
        self.points = Points(self.index)
        self.texts = Texts(self.index)
        self.cases = OpenCases(crs)
        self.maker = TileMaker(self.index, self.pyramid, self.points, self.cases)

    def put(self, *rows: DeviceRow, now_ns: int = 0) -> None:
        changed = self.index.put(rows, now_ns)
        self.points.note(changed)
        self.texts.note(changed)

    def sort(self) -> None:
        self.points.take(self.points.sort(self.points.snapshot()))
        self.texts.take(self.texts.write(self.texts.begin()))

    def placed(self, wanted: Filter = Filter()) -> list[int]:  # noqa: B008 - never changed
        mask = wanted.mask(self.index) & (self.index.column("leaf") != NOWHERE) & self.index.column("alive")
        return [int(number) for number in np.flatnonzero(mask)]


def device(which: str, **more: Any) -> DeviceRow:
    row = {
        "id": which, "name": "", "code": "", "kind": "lamp", "gateway": "gw", "profile": "p", "longitude": 113.0,
        "latitude": 23.0, "heard_ns": None,
    }  # fmt: skip
    return DeviceRow(**{**row, **more})


# Few places and many: devices share cells, and lie on the borders of tiles.
longitudes = st.one_of(st.sampled_from([-180.0, -90.0, 0.0, 1e-9, 113.26, 113.2601, 180.0]), st.floats(-180, 180))
latitudes = st.one_of(st.sampled_from([-90.0, 0.0, 23.12, 23.1201, 66.51326044311186, 90.0]), st.floats(-90, 90))
rows = st.builds(
    device,
    st.sampled_from([f"d{n}" for n in range(12)]),
    name=st.sampled_from(["", "Lamp", "井盖"]),
    kind=st.sampled_from(KINDS),
    longitude=st.none() | longitudes,
    latitude=latitudes,
    heard_ns=st.none() | st.integers(0, 300),
)
ids = st.sampled_from([f"d{n}" for n in range(12)])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), rows),
        st.tuples(st.just("move"), ids, longitudes, latitudes),
        st.tuples(st.just("count"), ids, st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("hear"), ids, st.integers(0, 400)),
        st.tuples(st.just("sweep")),
        st.tuples(st.just("forget"), ids),
        st.tuples(st.just("sort")),
    ),
    max_size=25,
)


def lived(happened: list[Any]) -> tuple[City, int]:
    """A city after that, and what time it is there."""
    city, now_ns = City(), 0
    for what, *more in happened:
        now_ns += 20
        match what:
            case "put":
                city.put(*more, now_ns=now_ns)
            case "move":
                numbers = city.index.numbers([more[0]])
                there = [np.array([degree] * len(numbers)) for degree in more[1:]]
                moved = city.index.move(numbers, *there)
                city.points.note(moved)
            case "count":
                numbers = city.index.numbers([more[0]])
                open_ones, critical = np.array([more[1]] * len(numbers)), np.array([min(more[1:])] * len(numbers))
                city.index.count(numbers, now_ns, alarms=open_ones, critical=critical)
            case "hear":
                numbers = city.index.numbers([more[0]])
                city.index.hear(numbers, np.array([more[1]] * len(numbers)), now_ns)
            case "sweep":
                city.index.settle(city.index.overdue(now_ns), now_ns)
            case "forget":
                gone = city.index.forget([more[0]])
                city.points.note(gone)
                city.texts.note(gone)
            case _:
                city.sort()
    city.index.settle(city.index.overdue(now_ns), now_ns)
    return city, now_ns


def plain_state(city: City, number: int, now_ns: int) -> str:
    value = {name: int(city.index.column(name)[number]) for name in ("critical", "alarms", "heard")}
    if value["critical"]:
        return "critical"
    if value["alarms"]:
        return "alarm"
    if value["heard"] < 0:
        return "unknown"
    return "offline" if value["heard"] < now_ns - SILENCE_NS else "normal"


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([0, 1, 7, DEEPEST]))
def test_every_device_is_counted_once_in_its_cell_of_every_zoom(happened: list[Any], zoom: int) -> None:
    city, now_ns = lived(happened)
    expected: Counter[tuple[int, int, str]] = Counter()
    for number in city.placed():
        cell = [int(city.index.column(name)[number]) >> (32 - zoom - CELLS) for name in ("x", "y")]
        expected[cell[0], cell[1], plain_state(city, number, now_ns)] += 1
    found: Counter[tuple[int, int, str]] = Counter()
    for tile in {Tile(zoom, x >> CELLS, y >> CELLS) for x, y, _ in expected}:
        cells = city.pyramid.cells(tile)
        for x, y, counts in zip(cells.x.tolist(), cells.y.tolist(), cells.counts.tolist(), strict=True):
            at = int(x) >> (32 - zoom - CELLS), int(y) >> (32 - zoom - CELLS)
            found.update({(*at, word): count for word, count in zip(STATE_WORDS, counts, strict=True) if count})
    assert found == expected
    assert city.pyramid.totals().sum() == len(city.placed())


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 22))
def test_a_tile_holds_the_devices_that_lie_in_it_and_no_others(happened: list[Any], zoom: int) -> None:
    city, _ = lived(happened)
    column, shift = city.index.column, 32 - zoom
    held: dict[Tile, set[int]] = {}
    for number in city.placed():
        tile = Tile(zoom, int(column("x")[number]) >> shift, int(column("y")[number]) >> shift)
        held.setdefault(tile, set()).add(number)
    for tile, numbers in held.items():
        inside = city.points.inside(tile).tolist()
        assert set(inside) == numbers
        assert len(inside) == len(numbers)
    assert city.points.inside(Tile(22, 1234567, 7)).tolist() == []


@settings(max_examples=40, deadline=None)
@given(
    steps, st.sets(st.sampled_from(KINDS)), st.sets(st.integers(0, 4)), st.sets(st.integers(-1, 1)), st.sampled_from([0, 9, 16])
)
def test_a_filtered_tile_is_the_tile_of_a_city_of_those_alone(
    happened: list[Any], kinds: set[str], states: set[int], districts: set[int], zoom: int
) -> None:
    city, now_ns = lived(happened)
    wanted = Filter(kinds=frozenset(map(city.index.kinds.find, kinds)), states=frozenset(states), districts=frozenset(districts))
    column = city.index.column
    fitting = [
        number
        for number in city.placed()
        if (not kinds or city.index.kinds.all[column("kind")[number]] in kinds)
        and (not states or column("state")[number] in states)
        and (not districts or column("district")[number] in districts)
    ]
    tiles = {Tile(zoom, *(int(column(name)[number]) >> (32 - zoom) for name in ("x", "y"))) for number in fitting}
    found = [read_tile(city.maker.tile(tile, wanted, now_ns).content) for tile in sorted(tiles)]
    if zoom > DEEPEST:
        assert sorted(each["is"]["id"] for tile in found for each in tile["devices"]) == sorted(
            city.index.ids[number] for number in fitting
        )
    else:
        cells = [each["is"] for tile in found for each in tile["cells"]]
        counted = Counter(STATE_WORDS[column("state")[number]] for number in fitting)
        assert {word: sum(cell.get(word, 0) for cell in cells) for word in counted} == counted
        assert sum(cell["n"] for cell in cells) == len(fitting)
        assert all(("id" in cell) == (cell["n"] == 1) for cell in cells)


@settings(max_examples=60, deadline=None)
@given(steps, st.none() | st.sampled_from(["d", "D1", "lAMP", "盖", "d1\x00", "1"]), st.none() | ids, st.integers(1, 13))
def test_a_page_is_what_looking_at_every_device_gives(
    happened: list[Any], text: str | None, after: str | None, limit: int
) -> None:
    city, _ = lived(happened)
    index = city.index
    fitting = [
        index.ids[number]
        for number in np.flatnonzero(index.column("alive")).tolist()
        if (after is None or index.ids[number] > after)
        and (
            text is None
            or any(text.casefold() in each.casefold() for each in (index.ids[number], index.names[number], index.codes[number]))
        )
    ]
    page = asyncio.run(city.texts.page(None, text, after, limit))
    assert [index.ids[number] for number in page] == sorted(fitting)[:limit]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-4096, 8192),
            st.integers(-4096, 8192),
            st.dictionaries(st.integers(0, 3), scalars),
            st.none() | st.integers(0, 2**63),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_layer_reads_back_as_it_was_written(points: list[tuple[int, int, dict[int, Any], int | None]]) -> None:
    keys = ("a", "键", "", "n")
    layer = Layer("层", keys)
    for x, y, properties, number in points:
        layer.add(x, y, tuple(properties.items()), number)
    found = read_tile(layer.encoded())["层"]
    assert [(point["x"], point["y"], point["id"]) for point in found] == [(x, y, number) for x, y, _, number in points]
    for point, (_, _, properties, _) in zip(found, points, strict=True):
        assert point["is"] == {keys[key]: value for key, value in properties.items()}
        assert [type(value) for value in point["is"].values()] == [type(value) for value in properties.values()]


def test_a_point_is_coded_as_the_example_of_the_specification() -> None:
    layer = Layer("x", ())
    layer.add(25, 17, ())
    # 4.3.5.1, "Example Point": [9 50 34], as field 4.
    assert bytes([0x22, 3, 9, 50, 34]) in layer.encoded()


def test_a_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        Layer("x", ("k",)).add(0, 0, ((0, 2**63),))


def one(crs: Crs, longitude: float, latitude: float) -> tuple[float, float]:
    x, y = shown(crs, np.array([longitude]), np.array([latitude]))
    return float(x[0]), float(y[0])


def test_the_shifts_are_those_that_map_libraries_agree_on() -> None:
    # coordtransform (MIT), README: wgs84togcj02 and gcj02tobd09 of (116.404, 39.915).
    assert one(Crs.GCJ02, 116.404, 39.915) == pytest.approx((116.41024449916938, 39.91640428150164), abs=1e-9)
    x, y = _baidu(np.array([116.404]), np.array([39.915]))
    assert (x[0], y[0]) == pytest.approx((116.41036949371029, 39.92133699351021), abs=1e-9)
    assert one(Crs.WGS84, 116.404, 39.915) == (116.404, 39.915)


@pytest.mark.parametrize("place", [(2.35, 48.85), (-74.0, 40.7), (139.7, 35.7), (0.0, 0.0)])
@pytest.mark.parametrize("crs", list(Crs))
def test_outside_of_china_nothing_is_shifted(crs: Crs, place: tuple[float, float]) -> None:
    assert one(crs, *place) == place


def test_what_is_stored_stays_wgs84_while_the_map_shows_it_shifted() -> None:
    city = City(Crs.GCJ02)
    city.put(device("d", longitude=116.404, latitude=39.915))
    column = city.index.column
    assert (column("longitude")[0], column("latitude")[0]) == (116.404, 39.915)
    there = degrees(float(column("x")[0]), float(column("y")[0]))
    assert there == pytest.approx((116.41024449916938, 39.91640428150164), abs=1e-6)


def test_the_edge_of_the_world_is_in_its_last_tiles() -> None:
    x, y = units(np.array([-180.0, 180.0, 0.0, 0.0]), np.array([0.0, 0.0, 90.0, -90.0]))
    assert (x >> np.uint32(22)).tolist() == [0, 1023, 512, 512]
    assert (y >> np.uint32(22)).tolist() == [512, 512, 0, 1023]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=1, max_size=20), st.integers(0, 22))
def test_the_tiles_that_are_told_are_those_of_what_was_touched(places: list[tuple[int, int]], zoom: int) -> None:
    dirty = Dirty(7)
    for x, y in places:
        dirty.touch(np.array([x], dtype=np.uint32), np.array([y], dtype=np.uint32))
        dirty.commit()
    depth = min(zoom, 16)
    assert set(dirty.since(7, zoom) or ()) == {Tile(depth, x >> (32 - depth), y >> (32 - depth)) for x, y in places}
    assert dirty.since(dirty.version, zoom) == []
    assert dirty.since(6, zoom) is None


def test_who_is_too_far_behind_is_told_that_all_changed() -> None:
    dirty = Dirty(0)
    for n in range(130):
        dirty.touch(np.array([n << 20], dtype=np.uint32), np.array([0], dtype=np.uint32))
        dirty.commit()
    assert dirty.since(5, 10) is None
    assert dirty.since(20, 10) is not None


def test_more_tiles_than_an_event_names_are_all() -> None:
    dirty = Dirty(0)
    dirty.touch(np.arange(257, dtype=np.uint32) << np.uint32(16), np.zeros(257, dtype=np.uint32))
    dirty.commit()
    assert dirty.since(0, 16) is None
    assert len(dirty.since(0, 15) or ()) == 129


def test_a_box_across_180_degrees_has_both_sides() -> None:
    x, y = units(np.array([179.5, -179.5, 0.0]), np.zeros(3))
    west, east = units(np.array([179.0, -179.0]), np.zeros(2))[0].tolist()
    box = Box(west, 2**31 + 9, east, 2**31 - 9)
    assert box.holds(x, y).tolist() == [True, True, False]
    dirty = Dirty(0)
    dirty.touch(x, y)
    dirty.commit()
    assert [tile.x for tile in dirty.since(0, 8, box) or ()] == [0, 255]


def test_a_kept_tile_is_made_anew_when_something_in_it_changed() -> None:
    city = City()
    city.put(device("d", heard_ns=0))
    tile = Tile(3, *(int(city.index.column(name)[0]) >> 29 for name in ("x", "y")))
    city.dirty.commit()
    first = city.maker.tile(tile, Filter(), 10)
    assert city.maker.tile(tile, Filter(), 11) is first
    city.index.count(np.array([0]), 20, alarms=np.array([1]), critical=np.array([1]), cases=np.array([0]))
    city.maker.drop(city.dirty.commit())
    second = city.maker.tile(tile, Filter(), 21)
    assert second.tag != first.tag
    assert read_tile(second.content)["cells"][0]["is"]["critical"] == 1


def test_the_gravest_and_oldest_cases_are_the_pins() -> None:
    cases = OpenCases(Crs.WGS84)
    made = [CaseRow(n, None, "critical" if n % 2 else "low", "t", "t", "", 113.0, 23.0, 1000 - n) for n in range(5_200)]
    cases.put(made, ())
    shown_ids = [case.id for case, _, _ in cases.inside(Tile(0, 0, 0))]
    assert shown_ids == [5_199 - 2 * n for n in range(500)]
    cases.put([], [5_199])
    assert cases.inside(Tile(0, 0, 0))[0][0].id == 5_197


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_devices_are_held_found_and_drawn() -> None:
    city, chance, million = City(), np.random.default_rng(5), 1_000_000
    places = chance.normal((113.3, 23.1), 0.1, (million, 2)).tolist()
    for start in range(0, million, 50_000):
        some = range(start, start + 50_000)
        city.index.put(
            [DeviceRow(f"d-{n:07d}", f"路灯{n % 97}", "", "lamp", "gw", "p", places[n][0], places[n][1], None) for n in some], 0
        )
    city.sort()
    assert city.pyramid.totals().tolist() == [million, 0, 0, 0, 0]
    changed = chance.choice(million, 10_000, replace=False)
    one = np.ones(len(changed), dtype=np.int64)
    city.index.count(changed, 0, alarms=one, critical=one)
    assert city.pyramid.totals().tolist() == [million - 10_000, 0, 0, 0, 10_000]
    (cell, *others) = read_tile(city.maker.tile(Tile(7, 104, 55), Filter(), 0).content)["cells"]
    assert cell["is"]["n"] + sum(each["is"]["n"] for each in others) == million
    page = asyncio.run(city.texts.page(None, "D-0999", None, 100))
    assert [city.index.ids[number] for number in page] == [f"d-{n:07d}" for n in range(999_000, 999_100)]
    assert asyncio.run(city.texts.page(None, "nothing such", None, 100)) == []
