"""Simulated stations before a plain gateway of their language, over real TCP: well and badly."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from simulated import act, alive, until

from device_profiles.shelf import load_catalog
from firmware_bridge.errors import Refused
from firmware_bridge.hj212.answers import Answer as Hj212Answer
from firmware_bridge.hj212.answers import answer_to, encode_answer
from firmware_bridge.hj212.frames import Frame as Hj212Frame
from firmware_bridge.hj212.frames import Hj212Framer
from firmware_bridge.hj212.metrics import decode_message
from firmware_bridge.hj212.segment import Packet, parse_segment
from firmware_bridge.sl651.frames import ESC, Sl651Framer
from firmware_bridge.sl651.frames import Frame as Sl651Frame
from firmware_bridge.sl651.metrics import decode_report
from firmware_bridge.sl651.record import body_of
from firmware_bridge.sl651.reports import answer
from firmware_bridge.values import Decoded
from simulators.deeds import Kind
from simulators.devices.base import Surroundings
from simulators.devices.stations.calling import CallingStation
from simulators.devices.stations.environment import EnvironmentStation
from simulators.devices.stations.hydrology import HydrologyStation
from simulators.listener import Address, Listener
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS, Clock, ManualClock, SystemClock
from telemetry.records import Quality

pytestmark = pytest.mark.integration

CATALOG = load_catalog()
CLOCK = SystemClock()
MN, ADDRESS = "320508A8900016F000169D01", "3205080101"


def spec(kind: Kind, profile: str, address: str, interval_s: float = 3600) -> DeviceSpec:
    return DeviceSpec(
        id=f"{kind}-1",
        kind=kind,
        profile=profile,
        address=address,
        link="stations",
        longitude=120.62,
        latitude=31.31,
        interval_s=interval_s,
    )


def noise(
    target: Callable[[], Address], clock: Clock = CLOCK, interval_s: float = 3600, answer_s: float = 5
) -> EnvironmentStation:
    around = Surroundings(clock=clock, seed=1, born_ns=clock.wall_ns())
    made = spec(Kind.NOISE_STATION, "noise_station_hj212", MN, interval_s)
    return EnvironmentStation(made, CATALOG["noise_station_hj212"], around, target, answer_s)


def underpass(
    target: Callable[[], Address], clock: Clock = CLOCK, interval_s: float = 3600, answer_s: float = 5
) -> HydrologyStation:
    around = Surroundings(clock=clock, seed=1, born_ns=clock.wall_ns())
    made = spec(Kind.UNDERPASS, "underpass_level_sl651", ADDRESS, interval_s)
    return HydrologyStation(made, CATALOG["underpass_level_sl651"], around, target, answer_s)


class Gateway:
    """Answers as a gateway does, but for what it is told not to hear; remembers everything."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.frames: list[Sl651Frame] = []
        self.raw: list[bytes] = []
        self.refused: list[Refused] = []
        self.connections = 0
        self.deaf = 0
        self.listener = Listener(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        hj212, sl651 = Hj212Framer(), Sl651Framer()
        speaks_hj212: bool | None = None
        while data := await reader.read(65536):
            if speaks_hj212 is None:
                speaks_hj212 = b"##" in data
            for item in (hj212 if speaks_hj212 else sl651).feed(data):
                if isinstance(item, Refused):
                    self.refused.append(item)
                    continue
                self.raw.append(item.raw)
                said = self._hj212(item) if isinstance(item, Hj212Frame) else self._sl651(item)
                if self.deaf:
                    self.deaf -= 1
                elif said is not None:
                    writer.write(said)

    def _hj212(self, frame: Hj212Frame) -> bytes | None:
        packet = parse_segment(frame.segment)
        self.packets.append(packet)
        return answer_to(packet)

    def _sl651(self, frame: Sl651Frame) -> bytes | None:
        self.frames.append(frame)
        if frame.function == 0x2F:
            return None
        return answer(frame, body_of(frame).serial or 0, "2026-11-21T19:00:00", end=ESC)

    def commands(self) -> list[str]:
        return [packet.cn for packet in self.packets]

    def functions(self) -> list[int]:
        return [frame.function for frame in self.frames]


def reading(packet: Packet) -> Decoded:
    return decode_message(CATALOG["noise_station_hj212"], packet)


async def test_a_noise_station_asks_for_the_time_and_reports_at_once_when_it_gets_loud() -> None:
    gateway = Gateway()
    async with gateway.listener:
        device = noise(lambda: gateway.listener.address)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            act(device, "din")
            await until(lambda: device.account.confirmed == 2)
            act(device, "microphone_fails")
            await until(lambda: device.account.confirmed == 3)
    assert gateway.commands() == ["1013", "2011", "2011", "2011"]
    assert len({packet.qn for packet in gateway.packets}) == 4
    quiet, loud, failed = map(reading, gateway.packets[1:])
    assert 40 < float(str(quiet.values["noise_db"])) < 60
    assert loud.values["noise_db"] == 88
    assert (failed.values["noise_db"], failed.flaws["noise_db"].quality) == (None, Quality.BAD)
    assert quiet.time_ns is not None
    assert abs(quiet.time_ns - CLOCK.wall_ns()) < 10 * SECOND_NS
    assert {packet.mn for packet in gateway.packets} == {MN}


async def test_a_station_obeys_the_time_it_is_told() -> None:
    gateway = Gateway()
    async with gateway.listener:
        device = noise(lambda: gateway.listener.address)
        order = encode_answer(Hj212Answer.NOTICE, parse_segment(b"QN=20261121190000000;CN=1013;PW=123456;MN=1;Flag=5;CP=&&&&"))
        assert device.hear(Hj212Framer().feed(order)[0]) == ("", b"")
        set_time = b"QN=20261121190000001;ST=23;CN=1012;PW=123456;MN=1;Flag=5;CP=&&SystemTime=20261121190000&&"
        key, said = device.hear(Hj212Frame(segment=set_time, declared_length=len(set_time), crc="0000"))
    returned = [parse_segment(item.segment) for item in Hj212Framer().feed(said) if isinstance(item, Hj212Frame)]
    assert key == ""
    assert [(packet.cn, packet.qn) for packet in returned] == [("9011", "20261121190000001"), ("9012", "20261121190000001")]


def test_statistics_come_when_their_period_has_ended_and_say_when_it_began() -> None:
    clock = ManualClock()
    device = noise(lambda: ("127.0.0.1", 9), clock)
    said: dict[str, list[Packet]] = {}
    for _ in range(26):
        for report in device.measure(clock.wall_ns(), event=False):
            for frame in report.frames:
                (item,) = Hj212Framer().feed(frame)
                assert isinstance(item, Hj212Frame)
                packet = parse_segment(item.segment)
                said.setdefault(packet.cn, []).append(packet)
        clock.advance(3600)
    assert {cn: len(packets) for cn, packets in said.items()} == {"2011": 26, "2061": 25, "2031": 1}
    hour, day = reading(said["2061"][0]), reading(said["2031"][0])
    assert {"noise_leq_db", "noise_max_db"} <= hour.values.keys()
    assert day.values.keys() == {"noise_day_db", "noise_night_db", "noise_day_night_db"}
    now = reading(said["2011"][0])
    assert hour.time_ns is not None
    assert hour.time_ns == now.time_ns


async def test_a_hydrology_station_keeps_alive_reports_in_time_and_at_once_when_water_rises() -> None:
    gateway = Gateway()
    async with gateway.listener:
        device = underpass(lambda: gateway.listener.address)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            act(device, "flood")
            await until(lambda: device.account.confirmed == 2)
            act(device, "probe_fails")
            await until(lambda: device.account.confirmed == 3)
    assert gateway.functions()[0] == 0x2F
    assert set(gateway.functions()[2:]) <= {0x33, 0x34}
    readings = [decode_report(device.profile, body_of(frame))[-1] for frame in gateway.frames[1:]]
    assert [told.values["water_depth_cm"] for told in readings] == [0.0, 42.0, 42.0]
    assert [told.values["level_meter_fault"] for told in readings] == [False, False, True]
    assert [told.values["door_open"] for told in readings] == [False] * 3
    assert [told.values["mains_present"] for told in readings] == [True] * 3


def test_an_hours_report_holds_its_series_and_their_times() -> None:
    clock = ManualClock()
    device = underpass(lambda: ("127.0.0.1", 9), clock)
    device.measure(clock.wall_ns(), event=False)
    clock.advance(3600)
    (report,) = device.measure(clock.wall_ns(), event=False)
    (frame,) = Sl651Framer().feed(report.frames[0])
    assert isinstance(frame, Sl651Frame)
    assert frame.function == 0x34
    readings = decode_report(device.profile, body_of(frame))
    series = [told for told in readings if "water_depth_5min_cm" in told.values]
    assert len(series) == 12
    times = [told.time_ns or 0 for told in series]
    assert {after - before for before, after in pairwise(times)} == {300 * SECOND_NS}
    assert times[-1] % (300 * SECOND_NS) == 0


@pytest.mark.parametrize("make", [noise, underpass])
async def test_a_station_says_the_same_bytes_again_when_nobody_answers_and_each_report_counts_once(
    make: Callable[..., CallingStation],
) -> None:
    gateway = Gateway()
    async with gateway.listener:
        device = make(lambda: gateway.listener.address, answer_s=0.1)
        gateway.deaf = 3 if make is noise else 2  # the greeting is deaf ears' first
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
    assert gateway.raw[-1] == gateway.raw[-2]
    assert device.account.spoken == 1
    assert device.account.resent >= 1
    assert gateway.connections == 1


@pytest.mark.parametrize("make", [noise, underpass])
async def test_a_station_that_is_cut_off_calls_again_and_loses_nothing(make: Callable[..., CallingStation]) -> None:
    gateway = Gateway()
    async with gateway.listener:
        device = make(lambda: gateway.listener.address)
        device.speed = 50
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            act(device, "misbehave", how="cut")
            act(device, "set", metric="supply_v" if make is underpass else "noise_db", value=61.0 if make is noise else 12.5)
            await until(lambda: device.account.spoiled >= 1)
            act(device, "behave")
            await until(lambda: device.account.confirmed == 2)
    assert gateway.connections >= 2
    assert device.account.overflow == 0


@pytest.mark.parametrize("make", [noise, underpass])
async def test_a_bad_station_is_damaged_silent_late_or_somebody_else(make: Callable[..., CallingStation]) -> None:
    gateway = Gateway()
    async with gateway.listener:
        device = make(lambda: gateway.listener.address, interval_s=0.05, answer_s=0.1)
        device.speed = 50
        own = [MN, ADDRESS][make is underpass]
        async with alive(device):
            await until(lambda: device.account.confirmed >= 1)
            act(device, "misbehave", how="wrong_unit")
            await until(lambda: _names(gateway) - {own})
            act(device, "misbehave", how="silent")
            await until(lambda: device.account.spoken == device.account.confirmed)
            before = device.account.spoken
            await asyncio.sleep(0.2)
            assert device.account.spoken <= before + 1
            act(device, "misbehave", how="late")
            await asyncio.sleep(0.2)
            assert device.account.spoken <= before + 2
            act(device, "misbehave", how="noise")
            await until(lambda: device.account.spoiled and gateway.refused)
            act(device, "misbehave", how="flood")
            count = len(gateway.raw)
            await until(lambda: len(gateway.raw) > count + 20)
    assert device.account.overflow == 0


def _names(gateway: Gateway) -> set[str]:
    return {packet.mn for packet in gateway.packets} | {frame.station for frame in gateway.frames}
