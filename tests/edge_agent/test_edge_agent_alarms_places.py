"""Alarms about places: inside and outside a zone, dwell, the spatial deadband, speed in a zone, and the file of zones."""

import json
import math
import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from edge_agent_parts import at, profile, reading, rule

from device_profiles.mistakes import ConfigError
from device_profiles.model import AnyCondition, Not, Place, Speed
from edge_agent.alarms.areas import Area
from edge_agent.alarms.engine import judge_reading
from edge_agent.alarms.state import DeviceState, pack, unpack
from edge_agent.alarms.zones import Circle, Zone, load_zones
from edge_agent.config import load_config
from telemetry.records import Transition, Value

EAST, NORTH = 116.40, 39.90
"""The south-west corner of the yard below."""

METRE = 180 / math.pi / 6_371_008.8
"""Degrees of latitude."""


def place(east_m: float, north_m: float) -> tuple[float, float]:
    """The position so many metres from the corner."""
    return EAST + east_m * METRE / math.cos(math.radians(NORTH)), NORTH + north_m * METRE


def square(side_m: float, at_m: float = 0.0) -> list[tuple[float, float]]:
    a, b = at_m, at_m + side_m
    return [place(a, a), place(b, a), place(b, b), place(a, b), place(a, a)]


YARD = Area([[square(1000), square(100, 450)]])
ZONES: Mapping[str, Zone] = {"yard": YARD, "gate": Circle(place(0, 500), 50)}


@pytest.mark.parametrize(
    ("east_m", "north_m", "depth_m"),
    [
        pytest.param(100, 500, 100, id="inside, to the nearest edge"),
        pytest.param(-100, 500, -100, id="outside is below 0"),
        pytest.param(-30, -40, -50, id="outside a corner"),
        pytest.param(500, 500, -50, id="a hole is outside"),
        pytest.param(440, 500, 10, id="the edge of a hole is an edge"),
    ],
)
def test_the_depth_of_a_position_in_an_area(east_m: float, north_m: float, depth_m: float) -> None:
    position = place(east_m, north_m)
    assert YARD.depth_m(*position) == pytest.approx(depth_m, rel=1e-3)
    assert YARD.is_inside(*position) is (depth_m > 0)


def test_a_circle_has_its_radius_in_every_direction() -> None:
    circle = Circle((EAST, NORTH), 500)
    for degree in range(0, 360, 15):
        for radius in (490, 510):
            position = place(radius * math.cos(math.radians(degree)), radius * math.sin(math.radians(degree)))
            assert circle.depth_m(*position) == pytest.approx(500 - radius, abs=0.5)
            assert circle.is_inside(*position) is (radius == 490)


def test_an_area_may_lie_across_the_180th_meridian() -> None:
    area = Area([[[(179.9, 0.0), (-179.9, 0.0), (-179.9, 0.1), (179.9, 0.1), (179.9, 0.0)]]])
    assert area.is_inside(180.0, 0.05)
    assert area.is_inside(-179.95, 0.05)
    assert not area.is_inside(0.0, 0.05)


def test_an_area_agrees_with_counting_the_edges_that_a_ray_crosses() -> None:
    chance = random.Random(5)  # noqa: S311 - chance that can be repeated
    spots = sorted((chance.uniform(0, 2 * math.pi), chance.uniform(100, 1000)) for _ in range(40))
    ring = [(radius * math.cos(angle), radius * math.sin(angle)) for angle, radius in spots]
    area = Area([[[place(*spot) for spot in (*ring, ring[0])]]])
    for _ in range(500):
        x, y = chance.uniform(-1000, 1000), chance.uniform(-1000, 1000)
        assert area.is_inside(*place(x, y)) is _crossings_are_odd(ring, x, y)


def _crossings_are_odd(ring: list[tuple[float, float]], x: float, y: float) -> bool:
    odd = False
    for (x1, y1), (x2, y2) in zip(ring, (*ring[1:], ring[0]), strict=True):
        if (y1 > y) is not (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            odd = not odd
    return odd


Track = list[tuple[float, float, dict[str, Value]]]


def drive(when: AnyCondition, track: Track, zones: Mapping[str, Zone] = ZONES) -> list[Transition]:
    """The log of a vehicle at so many metres east of the yard's west edge, in the middle of its south half."""
    of, state, log = profile(rule("place", when)), DeviceState(), []
    for second, east_m, more in track:
        longitude, latitude = place(east_m, 300)
        values: dict[str, Value] = {"longitude_deg": longitude, "latitude_deg": latitude, **more}
        judged = judge_reading(of, state, reading(second, values), zones)
        state = unpack(pack(judged.state))
        log += judged.transitions
    return log


def story(log: list[Transition]) -> list[tuple[str, float]]:
    return [(step.cause.value, (step.event_time_ns - at(0)) / 1e9) for step in log]


@pytest.mark.parametrize(
    ("when", "track", "expected"),
    [
        pytest.param(
            Place(zone="yard"), [(0, -9, {}), (1, 9, {}), (2, -9, {})], [("raise", 1), ("return", 2)], id="inside a zone"
        ),
        pytest.param(
            Place(zone="yard", outside=True),
            [(0, 9, {}), (1, -9, {}), (2, 9, {})],
            [("raise", 1), ("return", 2)],
            id="outside",
        ),
        pytest.param(
            Place(zone="yard", deadband_m=20),
            [(0, 9, {}), (1, -9, {}), (2, -19, {}), (3, -21, {}), (4, -9, {})],
            [("raise", 0), ("return", 3)],
            id="once inside, until beyond the deadband",
        ),
        pytest.param(
            Place(zone="yard", outside=True, deadband_m=20),
            [(0, -9, {}), (1, 19, {}), (2, 21, {}), (3, 9, {})],
            [("raise", 0), ("return", 2)],
            id="once outside, until as deep inside",
        ),
        pytest.param(
            Place(zone="yard", dwell_s=60),
            [(0, 9, {}), (30, -9, {}), (40, 9, {}), (99, 9, {}), (100, 9, {})],
            [("raise", 100)],
            id="a dwell begins anew when it was left",
        ),
        pytest.param(
            Place(zone="yard", dwell_s=60, deadband_m=20),
            [(0, 9, {}), (30, -9, {}), (60, -9, {})],
            [("raise", 60)],
            id="the deadband holds while the dwell runs",
        ),
        pytest.param(
            Place(zone="yard"),
            [(0, 9, {}), (1, -9, {"position_fixed": False}), (2, -9, {"position_fixed": True})],
            [("raise", 0), ("became_uncertain", 1), ("became_certain", 2), ("return", 2)],
            id="a standing fix says nothing",
        ),
        pytest.param(Place(zone="yard"), [(0, 9, {"position_fixed": False})], [], id="a standing fix raises nothing"),
        pytest.param(Not(of=Place(zone="elsewhere")), [(0, 9, {})], [], id="a zone that is not there says nothing"),
        pytest.param(
            Speed(limit_kmh=30, zone="yard", deadband=5),
            [(0, -9, {"speed_kmh": 50}), (1, 9, {"speed_kmh": 50}), (2, 9, {"speed_kmh": 26}), (3, 9, {"speed_kmh": 25})],
            [("raise", 1), ("return", 3)],
            id="a speed limit of a zone",
        ),
        pytest.param(
            Speed(limit_kmh=30, zone="yard"),
            [(0, 9, {"speed_kmh": 50}), (1, -9, {"speed_kmh": 50})],
            [("raise", 0), ("return", 1)],
            id="it ends outside the zone",
        ),
        pytest.param(
            Speed(limit_kmh=30, zone="yard"), [(0, 9, {"speed_kmh": 50, "longitude_deg": None})], [], id="nowhere is no zone"
        ),
    ],
)
def test_an_alarm_about_a_place(when: AnyCondition, track: Track, expected: list[tuple[str, float]]) -> None:
    assert story(drive(when, track)) == expected


def test_the_evidence_says_where_and_how_far_from_the_edge() -> None:
    (step,) = drive(Place(zone="yard", outside=True), [(0, -12, {})])
    longitude, latitude = place(-12, 300)
    assert step.evidence == {
        "longitude_deg": longitude,
        "latitude_deg": latitude,
        "yard.inside_m": pytest.approx(-12, abs=0.1),
    }


def feature(name: object, kind: str, coordinates: object, **properties: object) -> dict[str, object]:
    return {
        "type": "Feature",
        "properties": {"name": name, **properties},
        "geometry": {"type": kind, "coordinates": coordinates},
    }


def geojson(path: Path, *features: object) -> Path:
    file = path / "zones.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return file


def test_zones_are_read_from_geojson(tmp_path: Path) -> None:
    file = geojson(
        tmp_path,
        feature("yard", "Polygon", [square(1000)]),
        feature("two_yards", "MultiPolygon", [[square(100)], [square(100, 500)]]),
        feature("gate", "Point", place(0, 0), radius_m=50),
    )
    zones = load_zones(file)
    inside = {name: [zone.is_inside(*place(m, m)) for m in (10, 300, 550)] for name, zone in zones.items()}
    assert inside == {"yard": [True] * 3, "two_yards": [True, False, True], "gate": [True, False, False]}


def test_every_mistake_in_the_zones_is_told(tmp_path: Path) -> None:
    bow = [place(0, 0), place(100, 100), place(100, 0), place(0, 100), place(0, 0)]
    file = geojson(
        tmp_path,
        feature("Yard!", "Polygon", [square(1000)]),
        feature("yard", "Polygon", [square(1000)]),
        feature("yard", "Polygon", [square(1000)]),
        feature("bow", "Polygon", [bow]),
        feature("open", "Polygon", [square(1000)[:-1]]),
        feature("line", "LineString", square(10)),
        feature("gate", "Point", place(0, 0)),
        feature("wide", "Point", place(0, 0), radius_m=1e9),
        feature("mars", "Point", [500, 0], radius_m=5),
        feature("nothing", "MultiPolygon", []),
        7,
    )
    with pytest.raises(ConfigError) as error:
        load_zones(file)
    told = [(mistake.where, mistake.what) for mistake in error.value.mistakes]
    assert [where for where, _ in told] == [
        "features[0].properties.name",
        "features[2].properties.name",
        *[f"features[{number}].geometry" for number in range(3, 10)],
        "features[10].properties.name",
    ]
    words = [
        "'Yard!'",
        "earlier zone",
        "Self-intersection",
        "last is its first",
        "LineString",
        "radius_m",
        "radius_m",
        "500",
        "no",
    ]
    assert all(word in what for word, (_, what) in zip(words, told, strict=False))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"features": 5}', "\ud800"])
def test_a_file_that_is_no_geojson_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "zones.geojson"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError):
        load_zones(file)


PROFILE = """\
name: truck
version: 1
kind: vehicle_terminal
title: {zh: 车, en: Truck}
source: made up for this test
metrics: {longitude_deg: , latitude_deg: , speed_kmh: }
wire:
  mqtt:
    topic: "t/{address}"
    fields: {longitude_deg: {path: lon}, latitude_deg: {path: lat}, speed_kmh: {path: v}}
reporting: {interval_s: 30}
alarms:
  fast:
    when: {any: [{speed_over_kmh: 30, in_zone: school}, {outside: works, deadband_m: 20}]}
    priority: low
    title: {zh: 题, en: title}
    cause: {zh: 因, en: cause}
    consequence: {zh: 果, en: consequence}
    response: {zh: 处, en: response}
"""

AGENT = """\
gateway = "gw-1"
data_dir = "data"
broker = "mqtt://localhost"
profile_dirs = ["profiles"]
%s
[[links]]
name = "air"
driver = "mqtt"
broker = "mqtt://localhost"
[[links.devices]]
id = "truck-1"
profile = "truck"
address = "1"
"""


def site(path: Path, zones: str) -> Path:
    folder = path / "profiles" / "truck"
    folder.mkdir(parents=True)
    (folder / "profile.yaml").write_text(PROFILE, encoding="utf-8")
    file = path / "agent.toml"
    file.write_text(AGENT % zones, encoding="utf-8")
    return file


def test_a_zone_that_is_missing_is_told_at_start(tmp_path: Path) -> None:
    file = site(tmp_path, 'zones = "zones.geojson"')
    geojson(tmp_path, feature("works", "Polygon", [square(1000)]))
    with pytest.raises(ConfigError) as error:
        load_config(file)
    (mistake,) = error.value.mistakes
    assert mistake.what == "the rule fast of truck is about the zone 'school', which is not there"
    geojson(tmp_path, feature("works", "Polygon", [square(1000)]), feature("school", "Point", place(0, 0), radius_m=80))
    assert set(load_config(file).zones) == {"works", "school"}


def test_a_site_without_zones_is_told_so_and_mistakes_in_its_zones_are_mistakes_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError, match="zone 'school'"):
        load_config(site(tmp_path / "a", ""))
    (tmp_path / "b").mkdir()
    file = site(tmp_path / "b", 'zones = "zones.geojson"')
    geojson(tmp_path / "b", feature("School", "Polygon", [square(1000)]))
    with pytest.raises(ConfigError, match=r"zones\.geojson:1: features\[0\]\.properties\.name"):
        load_config(file)


FLEET = """\
gateway = "gw-1"
data_dir = "data"
broker = "mqtt://localhost"
%s
[[links]]
name = "fleet"
driver = "jt808"
host = "127.0.0.1"
[[links.devices]]
id = "truck-1"
profile = "vehicle_muck_truck"
address = "013912345670"
"""


def test_a_built_in_models_rules_about_places_sleep_where_the_site_has_no_such_place(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(FLEET % "", encoding="utf-8")
    missing = {re.findall(r"the rule (\w+) .* the zone '(\w+)'", sentence)[0] for sentence in load_config(file).asleep}
    assert missing == {
        ("dumped_outside_sites", "muck_sites"),
        ("off_muck_roads", "muck_roads"),
        ("off_muck_roads", "muck_sites"),
    }
    sites = [feature(name, "Polygon", [square(1000)]) for name in ("muck_sites", "muck_roads")]
    geojson(tmp_path, *sites)
    file.write_text(FLEET % 'zones = "zones.geojson"', encoding="utf-8")
    assert load_config(file).asleep == ()
