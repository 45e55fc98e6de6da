"""Simulated meters and serial devices before a peer that knows nothing but their bytes."""

import pytest

from device_profiles.shelf import load_catalog
from firmware_bridge.cjt188 import frames as cjt188
from firmware_bridge.dlt645 import frames as dlt645
from firmware_bridge.errors import ParseError
from simulators.deeds import Kind
from simulators.devices.base import Surroundings
from simulators.devices.serial.meters import Cjt188Meter, Dlt645Meter
from simulators.devices.serial.node import SerialNode
from simulators.scenario import DeviceSpec
from telemetry.clock import SystemClock

CATALOG = load_catalog()
NOW = 1_795_000_000_000_000_000
AROUND = Surroundings(clock=SystemClock(), seed=1, born_ns=NOW)


def spec(kind: Kind, profile: str, address: str) -> DeviceSpec:
    return DeviceSpec(id="d", kind=kind, profile=profile, address=address, link="line", longitude=0.0, latitude=0.0)


def power() -> Dlt645Meter:
    name = "electricity_meter_dlt645"
    return Dlt645Meter(spec(Kind.ELECTRICITY_METER, name, "000000000161"), CATALOG[name], AROUND)


def water() -> Cjt188Meter:
    name = "water_meter_cjt188"
    return Cjt188Meter(spec(Kind.METER, name, "00201510270588"), CATALOG[name], AROUND)


def said(meter: Dlt645Meter | Cjt188Meter, question: str) -> bytes | None:
    raw, address = bytes.fromhex(question), meter.spec.address
    if isinstance(meter, Dlt645Meter):
        answer = meter.answer(dlt645.parse_frame(raw), NOW, address)
    else:
        answer = meter.answer(cjt188.parse_frame(raw), NOW, address)
    return None if answer is None else answer[0].lstrip(b"\xfe")


def test_a_meter_answers_a_published_question_with_the_published_bytes() -> None:
    """0.26 kWh and 100.1 V of meter 161: hwhale.com, article 138066."""
    meter = power()
    meter.body.pin("energy_kwh", 0.26)
    meter.body.pin("voltage_a_v", 100.1)
    energy = said(meter, "68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16")
    voltage = said(meter, "68 61 01 00 00 00 00 68 11 04 33 34 34 35 17 16")
    assert energy == bytes.fromhex("68 61 01 00 00 00 00 68 91 08 33 33 34 33 59 33 33 33 8a 16")
    assert voltage == bytes.fromhex("68 61 01 00 00 00 00 68 91 06 33 34 34 35 34 43 10 16")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        pytest.param("68 62 01 00 00 00 00 68 11 04 33 33 34 33 15 16", None, id="another meter's question"),
        pytest.param(
            "68 61 01 00 00 00 00 68 11 04 33 33 c2 33 a2 16",
            "68 61 01 00 00 00 00 68 d1 01 35 39 16",
            id="an identifier it lacks",
        ),
        pytest.param(
            "68 aa aa aa aa aa aa 68 13 00 df 16",
            "68 61 01 00 00 00 00 68 93 06 94 34 33 33 33 33 59 16",
            id="who is there",
        ),
        pytest.param(
            "68 61 01 00 00 00 00 68 1c 00 4e 16", "68 61 01 00 00 00 00 68 dc 01 37 46 16", id="a relay without its password"
        ),
    ],
)
def test_a_meter_answers_for_itself_only_and_refuses_what_it_has_not(question: str, answer: str | None) -> None:
    raw = bytes.fromhex(question)
    summed = (raw[:-2] + bytes((sum(raw[:-2]) & 0xFF, 0x16))).hex()
    got = said(power(), summed)
    if answer is None:
        assert got is None
        return
    want = bytes.fromhex(answer)
    assert got == want[:-2] + bytes((sum(want[:-2]) & 0xFF, 0x16))


def test_a_water_meter_answers_in_the_order_of_bytes_that_it_was_asked_in() -> None:
    meter = water()
    meter.body.pin("volume_m3", 1234.56)
    meter.body.pin("battery_low", True)
    old, new = "68 10 88 05 27 10 15 20 00 01 03 90 1f 01 25 16", "68 10 88 05 27 10 15 20 00 01 03 1f 90 02 26 16"
    first, second = said(meter, old), said(meter, new)
    assert first is not None
    assert second is not None
    assert first[11:19].hex(" ") == "90 1f 01 56 34 12 00 2c", "SER as asked, 1234.56 m3, low byte first"
    assert second[11:14].hex(" ") == "1f 90 02"
    assert first[-4:-2].hex(" ") == "04 00", "battery low, valve open"
    assert first[9] == 0x81


def test_a_value_that_a_meter_cannot_print_is_told() -> None:
    meter = power()
    meter.body.pin("energy_kwh", 12_345_678.0)
    with pytest.raises(ParseError, match="does not fit"):
        meter.speak(NOW)


def test_a_node_of_several_messages_says_them_in_turns() -> None:
    node = SerialNode(spec(Kind.LEVEL_SENSOR, "bin_level_serial", "291"), CATALOG["bin_level_serial"], AROUND)
    frames = [node.speak(NOW) for _ in range(4)]
    assert [frame[4] for frame in frames] == [1, 2, 1, 2]
    assert {frame[2:4] for frame in frames} == {b"\x01\x23"}
    assert node.another() != "291"
