"""Scenarios: what may be written, what is told, and that the same seed says the same bytes."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import assert_never

import pytest

from device_profiles.model import Above, All, AnyCondition, AnyOf, Below, Bit, Equals, Not, Place, Profile, Speed, Stale
from device_profiles.shelf import load_catalog
from simulators.city import City
from simulators.devices.base import Device
from simulators.physics import Rising, Steady, Wave, value_at
from simulators.scenario import ScenarioError, load_scenario, shipped, shipped_names
from simulators.shapes import ordinary
from telemetry.clock import ManualClock
from telemetry.records import Value

CATALOG = load_catalog()


def transcript(name: str, seed: int, seconds: int = 40) -> dict[str, list[object]]:
    """Everything each device of a city would say, second by second, events and noise included, without a socket."""
    text = re.sub(r"^seed: \d+$", f"seed: {seed}", shipped(name).read_text("utf-8"), flags=re.MULTILINE)
    clock = ManualClock()
    city = City(load_text(text), clock=clock, catalog=CATALOG)
    events = list(city.scenario.events)
    said: dict[str, list[object]] = {device_id: [] for device_id in city.devices}
    for second in range(seconds):
        while events and events[0].at_s <= second:
            event = events.pop(0)
            city.devices[event.device].act(event.do, event.args, clock.wall_ns())
        for device_id, device in city.devices.items():
            said[device_id].append(device.speak(clock.wall_ns()))
        clock.advance(1)
    return said


def load_text(text: str) -> object:
    path = Path(_FOLDER[0]) / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


_FOLDER: list[Path] = []


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> Iterator[None]:
    _FOLDER[:] = [tmp_path]
    yield
    _FOLDER.clear()


@pytest.mark.parametrize("name", shipped_names())
def test_the_same_seed_says_the_same_bytes_and_another_seed_others(name: str) -> None:
    first = transcript(name, 7)
    assert first == transcript(name, 7)
    other = transcript(name, 8)
    assert all(first[device_id] != other[device_id] for device_id in first)


def test_what_a_device_says_at_an_instant_does_not_depend_on_how_often_it_was_asked() -> None:
    shape = Wave(0.0, 100.0)
    straight = [value_at(shape, "seed", age) for age in range(300)]
    assert [value_at(shape, "seed", age) for age in reversed(range(300))] == straight[::-1]
    assert len(set(straight)) > 50


def test_a_wave_stays_within_its_limits_and_does_not_jump() -> None:
    values = [value_at(Wave(10.0, 20.0, 90.0), "s", age) for age in range(2000)]
    assert all(isinstance(value, float) and 10 <= value <= 20 for value in values)
    steps = [abs(b - a) for a, b in pairwise(values) if isinstance(a, float) and isinstance(b, float)]
    assert max(steps) <= 10 * 0.06  # half a cosine over 45 s climbs at most pi/2/45 of the span a second


def test_a_counter_never_goes_back_and_keeps_its_pace() -> None:
    values = [value_at(Rising(100.0, 3600.0), "s", age) for age in range(60)]
    assert values == [100.0 + age for age in range(60)]


def test_a_steady_value_may_be_none() -> None:
    assert value_at(Steady(None), "s", 5) is None


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_an_ordinary_hour_is_within_the_profiles_ranges_and_raises_none_of_its_alarms(name: str) -> None:
    profile = CATALOG[name]
    shapes = ordinary(profile)
    for age in range(0, 3600, 7):
        values = {metric: value_at(shape, f"any/{metric}", age) for metric, shape in shapes.items()}
        for metric, value in values.items():
            _within_range(profile, metric, value)
        raised = [rule.name for rule in profile.alarms.values() if _holds(rule.when, values)]
        assert raised == [], f"after {age} s: {values}"


def _within_range(profile: Profile, metric: str, value: Value) -> None:
    spec = profile.metrics[metric]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert spec.low is None or value >= spec.low, metric
        assert spec.high is None or value <= spec.high, metric


def _holds(condition: AnyCondition, values: dict[str, Value]) -> bool:  # noqa: PLR0911 (one arm a condition)
    match condition:
        case Above(metric=metric, limit=limit):
            return _number(values[metric]) > limit
        case Below(metric=metric, limit=limit):
            return _number(values[metric]) < limit
        case Speed(metric=metric, limit_kmh=limit):
            return _number(values[metric]) > limit
        case Equals(metric=metric, value=value):
            return values[metric] == value
        case Bit(metric=metric, bit=bit):
            return bool(int(_number(values[metric])) >> bit & 1)
        case All(of=parts):
            return all(_holds(part, values) for part in parts)
        case AnyOf(of=parts):
            return any(_holds(part, values) for part in parts)
        case Not(of=part):
            return not _holds(part, values)
        case Stale() | Place():
            return False  # it speaks, and where places are says a gateway
    assert_never(condition)


def _number(value: Value) -> float:
    assert isinstance(value, (int, float))
    return value


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_loads_and_every_event_changes_what_its_device_says_or_does(name: str) -> None:
    clock = ManualClock()
    city = City(load_scenario(name), clock=clock, catalog=CATALOG)
    for event in city.scenario.events:
        device = city.devices[event.device]
        before = _state(device, clock)
        device.act(event.do, event.args, clock.wall_ns())
        assert _state(device, clock) != before, event
        clock.advance(0.001)


def _state(device: Device, clock: ManualClock) -> object:
    now = clock.wall_ns()
    return (device.values(now), device.misbehaves(now), getattr(device, "_blind_until_ns", 0))


def test_the_demo_has_what_the_story_needs() -> None:
    scenario = load_scenario("small_city")
    kinds = [device.kind for device in scenario.devices]
    counts = {str(kind): kinds.count(kind) for kind in set(kinds)}
    assert counts == {"cover": 3, "lamp_loop": 2, "toilet_air": 1, "toilet_node": 1, "people_counter": 1, "vehicle": 3}
    first = scenario.events[0]
    assert (first.at_s, first.device, first.do) == (10, "cover-0001", "open")


BROKEN = """\
name: broken
seed: -1
speedx: 2
links:
  covers: {driver: coap}
  line: {driver: telepathy}
  bus: {driver: modbus_rtu}
devices:
  - {id: a, kind: cover, profile: cover_nbiot, address: "1", link: covers, position: {longitude: 200, latitude: 31}}
  - {id: a, kind: cover, profile: cover_nbiot, address: "1", link: coves, position: {longitude: 120, latitude: 31}}
  - {id: b, kind: lamp_loop, profile: lamp_loop, address: "300", link: bus, form: cbor, position: {longitude: 1, latitude: 3}}
events:
  - {at: 1, device: c, do: open}
  - {at: 2, device: a, do: opn}
  - {at: 3, device: a, do: misbehave, how: rudely}
  - {at: 4, device: a, do: open, loudly: true}
"""


def test_every_mistake_of_a_scenario_is_told_at_once_with_its_line_and_what_to_write() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(BROKEN)
    told = [(m.line, m.where) for m in caught.value.mistakes]
    assert told == [
        (2, "seed"),
        (3, "speedx"),
        (6, "links.line.driver"),
        (9, "devices[0].position.longitude"),
        (10, "devices[1].id"),
        (10, "devices[1].link"),
        (11, "devices[2].form"),
        (11, "devices[2].address"),
        (13, "events[0].device"),
        (14, "events[1].do"),
        (15, "events[2].how"),
        (16, "events[3].loudly"),
    ]
    text = str(caught.value)
    assert "speed (did you mean that?)" in text
    assert "covers (did you mean that?)" in text
    assert "open (did you mean that?)" in text
    assert "scenario.yaml:3: " in text


ONE = """\
name: one
seed: 1
links: {{covers: {{driver: coap}}}}
devices:
  - {{id: a, kind: cover, profile: {profile}, address: "1", link: covers, position: {{longitude: 120, latitude: 31}}}}
events:
  - {{at: 1, device: a, do: set, metric: {metric}, value: {value}}}
"""


def test_a_profile_that_is_not_in_the_catalog_is_told_with_the_nearest_one() -> None:
    scenario = load_text(ONE.format(profile="cover_nbio", metric="tilt_deg", value="3"))
    with pytest.raises(ScenarioError, match="write cover_nbiot"):
        City(scenario, catalog=CATALOG)


def test_a_model_on_a_link_whose_language_it_does_not_speak_is_told_with_the_links_it_could_be_on() -> None:
    scenario = load_text(ONE.format(profile="lamp_loop", metric="voltage_a_v", value="3"))
    with pytest.raises(ScenarioError, match="lamp_loop does not speak coap; write a link of modbus_tcp or modbus_rtu"):
        City(scenario, catalog=CATALOG)


def test_a_metric_that_the_model_does_not_measure_is_told_before_anything_starts() -> None:
    scenario = load_text(ONE.format(profile="cover_nbiot", metric="nh3_ppm", value="3"))
    with pytest.raises(ScenarioError, match="does not measure 'nh3_ppm'"):
        City(scenario, catalog=CATALOG)


def test_a_value_that_the_language_cannot_say_is_told_before_anything_starts() -> None:
    text = ONE.format(profile="lamp_loop", metric="voltage_a_v", value="deep")
    scenario = load_text(text.replace("driver: coap", "driver: modbus_tcp").replace("kind: cover", "kind: lamp_loop"))
    with pytest.raises(ScenarioError, match=r"events\[0\]\.value: .*text has no register form"):
        City(scenario, catalog=CATALOG)


def test_a_value_that_is_set_holds_for_its_time_and_then_moves_freely_again() -> None:
    clock = ManualClock()
    city = City(load_scenario("small_city"), clock=clock, catalog=CATALOG)
    air = city.devices["toilet-air-0001"]
    air.act("set", {"metric": "nh3_ppm", "value": 30, "for_s": 5}, clock.wall_ns())
    assert air.values(clock.wall_ns())["nh3_ppm"] == 30.0
    clock.advance(5)
    value = air.values(clock.wall_ns())["nh3_ppm"]
    assert isinstance(value, float)
    assert value < 2
