"""Meters on a serial line over a pty: rounds of questions, answers of others, refusals, silence."""

import asyncio
from collections.abc import Callable, Mapping

import edge_drivers_peers as peers
import pytest
from msgspec.structs import replace

from device_profiles.model import CommandSpec, Profile
from device_profiles.quantities import MetricType, Scaling, Text
from device_profiles.wires import Wire
from device_profiles.wires.cjt188 import Cjt188Wire
from device_profiles.wires.cjt188_orders import ValveOrder
from device_profiles.wires.dlt645 import Dlt645Wire
from device_profiles.wires.items import ItemField
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.link_kinds import DriverName, SerialOptions
from firmware_bridge.cjt188.commands import refuse as refuse_cjt188
from firmware_bridge.cjt188.frames import parse_frame as parse_cjt188
from firmware_bridge.dlt645.commands import answer_read, refuse
from firmware_bridge.dlt645.frames import Frame, encode_frame, parse_frame
from telemetry.clock import SystemClock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Command, Outcome

ADDRESS = "000000000161"
METER = DeviceConfig(id="meter", profile="power", address=ADDRESS)
OTHER = DeviceConfig(id="other", profile="power", address="000000000162")

#          0.26 kWh and 100.1 V of meter 161: hwhale.com, article 138066; phases B and C worked out by hand in the same way
ENERGY = bytes.fromhex("68 61 01 00 00 00 00 68 91 08 33 33 34 33 59 33 33 33 8a 16")
#          68 161        68 91 0a | 00 ff 01 02 +33 -> 33 32 34 35 | 100.1 -> 34 43 | 220.0 -> 33 55 | 219.9 -> cc 54 | sum
VOLTAGES = bytes.fromhex("68 61 01 00 00 00 00 68 91 0a 33 32 34 35 34 43 33 55 cc 54 ba 16")


def power_profile(*items: tuple[str, str], blocks: bool = True, poll_s: float = 0.05, timeout_s: float = 0.15) -> Profile:
    wanted = items or (
        ("energy_kwh", "00010000"),
        ("voltage_a_v", "02010100"),
        ("voltage_b_v", "02010200"),
        ("voltage_c_v", "02010300"),
    )
    wire = Dlt645Wire(
        items=tuple(ItemField(metric=name, item=item) for name, item in wanted),
        poll_s=poll_s,
        timeout_s=timeout_s,
        blocks=blocks,
    )
    units = {"kwh": "kW.h", "v": "V", "kw": "kW", "w": "W"}
    metrics = [peers.metric(name, unit=units[name.rpartition("_")[2]]) for name, _ in wanted]
    return peers.profile("power", Wire(dlt645=wire), *metrics)


def link(path: str, profile: Profile, *devices: DeviceConfig, driver: DriverName = DriverName.DLT645) -> Driver:
    options = SerialOptions(port=path, baudrate=9600)
    config = LinkConfig(name="meters", driver=driver, devices=devices or (METER,), options=options)
    return make_driver(config, {profile.name: profile}, SystemClock())


def asked(question: bytes) -> tuple[str, str]:
    frame: Frame = parse_frame(question)
    return frame.address, frame.data[:4][::-1].hex().upper()


def meter(answers: Mapping[str, bytes]) -> Callable[[bytes], bytes]:
    """The far end of a line with meter 161 alone, which knows these identifiers and says nothing to others."""

    def answer(question: bytes) -> bytes:
        address, data_id = asked(question)
        return answers.get(data_id, b"") if address == ADDRESS else b""

    return answer


async def test_one_round_of_a_meter_is_one_reading_with_a_block_for_the_three_voltages() -> None:
    inlet = peers.Notebook()
    async with (
        peers.bus(meter({"00010000": ENERGY, "0201FF00": b"\xfe\xfe" + VOLTAGES})) as line,
        peers.running(link(line.pty.path, power_profile()), inlet),
    ):
        await peers.eventually(lambda: len(inlet.heard) >= 2)
    assert inlet.heard[0].decoded.values == {"energy_kwh": 0.26, "voltage_a_v": 100.1, "voltage_b_v": 220.0, "voltage_c_v": 219.9}
    assert inlet.heard[0].frames == (RawFrame("dlt645", ENERGY), RawFrame("dlt645", VOLTAGES))
    assert not inlet.refused
    assert line.requests[0] == b"\xfe" * 4 + bytes.fromhex("68 61 01 00 00 00 00 68 11 04 33 33 34 33 14 16")
    assert [asked(question)[1] for question in line.requests[:3]] == ["00010000", "0201FF00", "00010000"]


async def test_a_meter_that_refuses_a_block_is_asked_for_its_members_then_and_ever_after() -> None:
    answers = {
        "00010000": ENERGY,
        "0201FF00": refuse(ADDRESS, 0x11, ["no_such_data"]),
        **{f"02010{n}00": answer_read(ADDRESS, f"02010{n}00", 220.0 + n) for n in (1, 2, 3)},
    }
    inlet = peers.Notebook()
    async with peers.bus(meter(answers)) as line, peers.running(link(line.pty.path, power_profile()), inlet):
        await peers.eventually(lambda: len(inlet.heard) >= 3)
    assert [heard.decoded.values["voltage_b_v"] for heard in inlet.heard[:3]] == [222.0] * 3
    assert sum(asked(question)[1] == "0201FF00" for question in line.requests) == 1
    assert [reason for _, reason, _, _ in inlet.refused] == [Reason.DEVICE_EXCEPTION]
    assert "no_such_data" in inlet.refused[0][2]


async def test_a_refusal_and_an_empty_answer_cost_their_own_metric_only() -> None:
    answers = {
        "00010000": ENERGY,
        "02010100": refuse(ADDRESS, 0x11, ["not_authorised"]),
        "02010200": encode_frame(ADDRESS, 0x91),
        "02010300": answer_read(ADDRESS, "02010300", 219.9),
    }
    inlet = peers.Notebook()
    profile = power_profile(blocks=False)
    async with peers.bus(meter(answers)) as line, peers.running(link(line.pty.path, profile), inlet):
        await peers.eventually(lambda: inlet.heard)
    decoded = inlet.heard[0].decoded
    assert decoded.values == {"energy_kwh": 0.26, "voltage_a_v": None, "voltage_b_v": None, "voltage_c_v": 219.9}
    assert {name: flaw.reason for name, flaw in decoded.flaws.items()} == {
        "voltage_a_v": Reason.DEVICE_EXCEPTION,
        "voltage_b_v": Reason.NO_VALUE,
    }


async def test_an_answer_that_goes_on_is_asked_for_to_its_end() -> None:
    """The voltages in two frames: 2 bytes with the first, 4 with part 1."""
    first = encode_frame(ADDRESS, 0xB1, bytes.fromhex("00ff0102 0110"), wake_up=0)
    rest = encode_frame(ADDRESS, 0x92, bytes.fromhex("00ff0102 0022 9921 01"), wake_up=0)

    def answer(question: bytes) -> bytes:
        frame = parse_frame(question)
        if frame.function == 0x12:
            assert frame.data == bytes.fromhex("00ff0102 01")
            return rest
        return ENERGY if frame.data[2] == 1 and frame.data[3] == 0 else first

    inlet = peers.Notebook()
    async with peers.bus(answer) as line, peers.running(link(line.pty.path, power_profile()), inlet):
        await peers.eventually(lambda: inlet.heard)
    values = inlet.heard[0].decoded.values
    assert (values["voltage_a_v"], values["voltage_b_v"], values["voltage_c_v"]) == (100.1, 220.0, 219.9)


async def test_what_another_meter_or_an_earlier_question_would_be_is_nobodys_answer() -> None:
    foreign = answer_read("000000000162", "00010000", 99.0)
    stale = answer_read(ADDRESS, "00020000", 77.0)
    inlet = peers.Notebook()
    answers = {"00010000": foreign + stale + ENERGY}
    profile = power_profile(("energy_kwh", "00010000"))
    async with peers.bus(meter(answers)) as line, peers.running(link(line.pty.path, profile, METER, OTHER), inlet):
        await peers.eventually(lambda: inlet.heard)
    assert {heard.decoded.values["energy_kwh"] for heard in inlet.heard} == {0.26}
    assert {heard.device for heard in inlet.heard} == {"meter"}
    assert {Reason.WRONG_UNIT, Reason.WRONG_TRANSACTION} <= inlet.reasons("meters")


async def test_the_echo_of_a_two_wire_line_is_nothing() -> None:
    inlet = peers.Notebook()
    profile = power_profile(("energy_kwh", "00010000"))
    async with (
        peers.bus(lambda question: question + ENERGY) as line,
        peers.running(link(line.pty.path, profile), inlet),
    ):
        await peers.eventually(lambda: len(inlet.heard) >= 2)
    assert not inlet.refused


async def test_noise_and_a_damaged_answer_cost_one_more_question() -> None:
    damaged = ENERGY[:-2] + b"\x00\x16"
    said = iter([b"\x00\x68\x13" + damaged, *[ENERGY] * 50])
    inlet = peers.Notebook()
    profile = power_profile(("energy_kwh", "00010000"), poll_s=1)
    async with peers.bus(lambda _: next(said)) as line, peers.running(link(line.pty.path, profile), inlet):
        await peers.eventually(lambda: inlet.heard)
    assert inlet.heard[0].decoded.values == {"energy_kwh": 0.26}
    assert len(line.requests) == 2


async def test_an_answer_that_dribbles_in_is_heard_to_its_end_even_beyond_the_time_limit() -> None:
    inlet = peers.Notebook()
    profile = power_profile(("energy_kwh", "00010000"), timeout_s=0.2)
    async with peers.bus(lambda _: b"") as line, peers.running(link(line.pty.path, profile), inlet):
        await peers.eventually(lambda: line.requests)
        await asyncio.sleep(0.1)
        for byte in ENERGY:
            line.pty.write(bytes([byte]))
            await asyncio.sleep(0.01)
        await peers.eventually(lambda: inlet.heard)
    assert len(line.requests) == 1


async def test_a_dead_meter_is_asked_ever_less_often_and_gives_no_reading() -> None:
    inlet = peers.Notebook()
    dead = 0

    def answer(question: bytes) -> bytes:
        nonlocal dead
        address, _ = asked(question)
        dead += address == OTHER.address
        return ENERGY if address == ADDRESS else b""

    profile = power_profile(("energy_kwh", "00010000"), timeout_s=0.1)
    async with peers.bus(answer) as line, peers.running(link(line.pty.path, profile, METER, OTHER), inlet):
        await peers.eventually(lambda: len(inlet.of("meter")) >= 30, within_s=12)
    assert not inlet.of("other")
    assert Reason.TIMEOUT in inlet.reasons("other")
    assert not inlet.reasons("meter")
    assert dead <= 7


async def test_a_meter_that_falls_silent_within_a_round_says_what_it_said() -> None:
    inlet = peers.Notebook()
    async with (
        peers.bus(meter({"00010000": ENERGY})) as line,
        peers.running(link(line.pty.path, power_profile(timeout_s=0.05)), inlet),
    ):
        await peers.eventually(lambda: inlet.heard)
    decoded = inlet.heard[0].decoded
    assert decoded.values["energy_kwh"] == 0.26
    assert {flaw.reason for flaw in decoded.flaws.values()} == {Reason.TIMEOUT}
    assert len(decoded.flaws) == 3


async def test_a_block_that_is_never_answered_is_taken_apart_after_three_rounds() -> None:
    answers = {"00010000": ENERGY} | {f"02010{n}00": answer_read(ADDRESS, f"02010{n}00", 220.0) for n in (1, 2, 3)}
    inlet = peers.Notebook()
    async with peers.bus(meter(answers)) as line, peers.running(link(line.pty.path, power_profile(timeout_s=0.05)), inlet):
        await peers.eventually(lambda: any(not heard.decoded.flaws for heard in inlet.heard))
    assert sum(bool(heard.decoded.flaws) for heard in inlet.heard) == 3


def water_profile(**wire: object) -> Profile:
    fields = (
        ItemField(metric="water_total_l", item="total"),
        ItemField(metric="battery_low", item="status", scaling=Scaling(bit=2)),
    )
    spoken = Cjt188Wire(**({"items": fields, "meter_type": 0x10, "poll_s": 0.05, "timeout_s": 0.15} | wire))  # type: ignore[arg-type]
    metrics = (peers.metric("water_total_l", unit="L"), peers.metric("battery_low", MetricType.BOOLEAN))
    return peers.profile("power", Wire(cjt188=spoken), *metrics)


# Meter 00201510270588, SER 01, total 12.34 m3, settle day 10.00 m3, 2026-11-20 08:00:00, battery low: worked out by hand.
WATER = "68 10 88 05 27 10 15 20 00 81 16 90 1f {ser:02x} 34 12 00 00 2c 00 10 00 00 2c 00 00 08 20 11 26 20 04 00 {sum:02x} 16"
WATER_METER = DeviceConfig(id="meter", profile="power", address="00201510270588")


def water(question: bytes) -> bytes:
    sequence = question.lstrip(b"\xfe")[13]
    body = bytes.fromhex(WATER.format(ser=sequence, sum=0))
    return bytes.fromhex(WATER.format(ser=sequence, sum=sum(body[:-2]) & 0xFF))


async def test_a_water_meter_is_read_in_the_metrics_unit_whatever_it_counts_in() -> None:
    inlet = peers.Notebook()
    async with (
        peers.bus(water) as line,
        peers.running(link(line.pty.path, water_profile(), WATER_METER, driver=DriverName.CJT188), inlet),
    ):
        await peers.eventually(lambda: len(inlet.heard) >= 2)
    assert inlet.heard[0].decoded.values == {"water_total_l": 12340.0, "battery_low": True}
    assert line.requests[0] == b"\xfe" * 4 + bytes.fromhex("68 10 88 05 27 10 15 20 00 01 03 90 1f 01 25 16"), "as published"


async def test_an_answer_to_an_earlier_question_of_a_water_meter_is_told_by_its_sequence() -> None:
    old = bytes.fromhex(WATER.format(ser=0xEE, sum=0))
    old = old[:-2] + bytes((sum(old[:-2]) & 0xFF, 0x16))
    inlet = peers.Notebook()
    async with (
        peers.bus(lambda question: old + water(question)) as line,
        peers.running(link(line.pty.path, water_profile(), WATER_METER, driver=DriverName.CJT188), inlet),
    ):
        await peers.eventually(lambda: inlet.heard)
    assert Reason.WRONG_TRANSACTION in inlet.reasons("meters")
    inlet = peers.Notebook()
    careless = water_profile(echoes_sequence=False)
    async with (
        peers.bus(lambda _: old) as line,
        peers.running(link(line.pty.path, careless, WATER_METER, driver=DriverName.CJT188), inlet),
    ):
        await peers.eventually(lambda: inlet.heard)
    assert not inlet.refused


async def test_a_meter_that_refuses_to_move_its_valve_says_so() -> None:
    shut = CommandSpec(name="shut", title=Text("关", "Shut"), valve=ValveOrder(action="close", metric="battery_low"))
    profile = replace(water_profile(), commands={"shut": shut})

    def answer(question: bytes) -> bytes:
        frame = parse_cjt188(question)
        if frame.function == 0x01:
            return water(question)
        #       68 10 | address | 04 | length | A017, SER, 99: close
        assert frame.data[:2] + frame.data[3:] == bytes.fromhex("a017 99")
        return refuse_cjt188(0x10, frame.address, 0x04, {"battery": "low"}, frame.data[2])

    inlet = peers.Notebook()
    order = Command(id="1", gateway="g", device="meter", action="shut", args={}, actor="a", counter=1, issued_ns=1, ttl_s=9)
    async with (
        peers.bus(answer) as line,
        peers.running(link(line.pty.path, profile, WATER_METER, driver=DriverName.CJT188), inlet) as driver,
    ):
        await peers.eventually(lambda: inlet.heard)
        result = await driver.command(order, WATER_METER)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.DEVICE_EXCEPTION)
    assert "refuses to close" in result.detail


def test_a_meter_that_does_not_fit_its_line_is_told() -> None:
    with pytest.raises(SetupError, match="no single value 02990100"):
        link("/dev/null", power_profile(("voltage_a_v", "02990100")))
    with pytest.raises(SetupError, match="counts in V, want kW"):
        link("/dev/null", power_profile(("power_kw", "02010100")))
    anybody = DeviceConfig(id="any", profile="power", address="AA" * 7)
    with pytest.raises(SetupError, match="for one that is alone"):
        link("/dev/null", water_profile(), anybody, WATER_METER, driver=DriverName.CJT188)
