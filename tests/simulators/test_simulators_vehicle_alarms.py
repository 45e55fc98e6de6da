"""What a work vehicle does raises its alarm and no other: from the simulated bytes through the codec to the edge's judgement."""

import pytest

from device_profiles.shelf import load_catalog
from edge_agent.heard import Heard
from edge_agent.pipeline import Work, process
from edge_agent.pipeline.work import Memory
from firmware_bridge.jt808.location import decode_location, parse_location
from simulators.deeds import Kind
from simulators.devices.base import Surroundings
from simulators.devices.vehicle.vehicle import Vehicle
from simulators.scenario import DeviceSpec
from simulators.ways import Form
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.records import Cause

CATALOG = load_catalog()
START_NS = 1_750_000_000 * SECOND_NS
PROFILES = {
    Kind.SWEEPER: "vehicle_sweeper",
    Kind.GARBAGE_TRUCK: "vehicle_garbage_truck",
    Kind.MUCK_TRUCK: "vehicle_muck_truck",
}


def causes(kind: Kind, *deeds: str) -> tuple[set[str], set[str]]:
    """The rules that were raised, and those of them that did not return within the minutes after the deeds had ended."""
    profile, clock = CATALOG[PROFILES[kind]], ManualClock(wall_ns=START_NS)
    spec = DeviceSpec(
        id="truck-1", kind=kind, profile=profile.name, address="013812350021", link="fleet", longitude=120.62, latitude=31.31,
        form=Form.JT808_2019,
    )  # fmt: skip
    around = Surroundings(clock=clock, seed=3, born_ns=START_NS)
    vehicle = Vehicle(spec, profile, around, lambda: ("127.0.0.1", 1))
    memory, raised, returned = Memory(), set(), set()
    for step in range(40):  # the deeds last for 20 of them
        now_ns = START_NS + step * 30 * SECOND_NS
        clock.advance(30 * SECOND_NS)
        if step == 3:
            for deed in deeds:
                do, _, metric_value = deed.partition(" ")
                metric, _, value = metric_value.partition("=")
                args = {"metric": metric, "value": float(value), "for_s": 600} if metric else {"for_s": 600}
                vehicle.act(do, args, now_ns)
        body = vehicle.speak(now_ns).body
        decoded = decode_location(profile, parse_location(body))
        work = process(Work(heard=Heard(device="truck-1", profile=profile, received_ns=now_ns, decoded=decoded), memory=memory))
        memory = work.memory
        assert not work.doubts
        for transition in work.transitions:
            (raised if transition.cause is Cause.RAISE else returned).add(transition.rule)
    return raised, raised - returned


@pytest.mark.parametrize("kind", PROFILES)
def test_an_ordinary_round_raises_nothing(kind: Kind) -> None:
    assert causes(kind) == (set(), set())


@pytest.mark.parametrize(
    ("kind", "deeds", "wanted"),
    [
        pytest.param(Kind.SWEEPER, ["sweep"], set(), id="sweeping as it should"),
        pytest.param(Kind.SWEEPER, ["raise_hopper"], {"raised_while_driving"}, id="driving with the hopper raised"),
        pytest.param(Kind.SWEEPER, ["raise_hopper", "set speed_kmh=0"], set(), id="unloading on the spot"),
        pytest.param(Kind.SWEEPER, ["run_dry"], {"dry_sweeping"}, id="sweeping without water"),
        pytest.param(Kind.SWEEPER, ["sweep", "set speed_kmh=24"], {"sweeping_too_fast"}, id="sweeping too fast"),
        pytest.param(Kind.SWEEPER, ["fill_hopper"], {"hopper_full"}, id="a full hopper"),
        pytest.param(Kind.GARBAGE_TRUCK, ["lift_bin"], set(), id="emptying a bin"),
        pytest.param(
            Kind.GARBAGE_TRUCK, ["lift_bin", "set speed_kmh=12"], {"lifting_while_driving"}, id="a bin up while driving"
        ),
        pytest.param(Kind.GARBAGE_TRUCK, ["open_loader"], {"open_while_driving"}, id="driving with the loader open"),
        pytest.param(Kind.GARBAGE_TRUCK, ["overload"], {"overloaded"}, id="an overloaded garbage truck"),
        pytest.param(Kind.GARBAGE_TRUCK, ["leachate_rises"], {"leachate_high"}, id="leachate"),
        pytest.param(Kind.GARBAGE_TRUCK, ["speed_up"], {"too_fast"}, id="too fast"),
        pytest.param(Kind.MUCK_TRUCK, ["open_lid"], {"open_lid"}, id="uncovered"),
        pytest.param(Kind.MUCK_TRUCK, ["unload", "set lid_open=1"], set(), id="an empty truck may be open"),
        pytest.param(Kind.MUCK_TRUCK, ["lift_body", "set speed_kmh=0"], set(), id="unloading where it may"),
        pytest.param(Kind.MUCK_TRUCK, ["lift_body"], {"lifted_while_driving"}, id="driving with the body lifted"),
        pytest.param(Kind.MUCK_TRUCK, ["leave_area"], {"left_area"}, id="out of its fence"),
        pytest.param(Kind.MUCK_TRUCK, ["leave_route"], {"off_route"}, id="off its route"),
        pytest.param(
            Kind.MUCK_TRUCK,
            ["leave_route", "lift_body", "set speed_kmh=0"],
            {"off_route", "dumped_off_site"},
            id="dumping off its route",
        ),
        pytest.param(Kind.MUCK_TRUCK, ["overload"], {"overloaded"}, id="an overloaded muck truck"),
        pytest.param(Kind.MUCK_TRUCK, ["lid_sensor_fails"], {"lid_sensor_fault"}, id="a broken sensor"),
    ],
)
def test_each_deed_raises_its_own_alarm(kind: Kind, deeds: list[str], wanted: set[str]) -> None:
    raised, _ = causes(kind, *deeds)
    assert raised == wanted


def test_an_alarm_returns_with_its_cause() -> None:
    assert causes(Kind.MUCK_TRUCK, "open_lid") == ({"open_lid"}, set())
