"""The SL 651 listener over real TCP and UDP: published frames, and everything a station should not do."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import edge_drivers_peers as peers
import edge_drivers_stations as stations
import pytest

from device_profiles.model import Profile
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.drivers.stations.dialogue import StationLimits
from edge_agent.drivers.stations.sl651 import sl651
from edge_agent.link_kinds import DriverName, HydrologyOptions, StationOptions
from firmware_bridge.errors import ParseError
from firmware_bridge.sl651.frames import ACK, ENQ, EOT, ESC, NAK, Frame, Sl651Framer, encode_frame, parse_frame, without_password
from firmware_bridge.sl651.record import body_of
from firmware_bridge.sl651.reports import Station, answer, keep_alive, packets, report
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

ADDRESS = "0011223344"
GAUGE = DeviceConfig(id="gauge-1", profile="station", address=ADDRESS)
SENT, OTHER = "03E8", "1234"
STATION = Station(address=ADDRESS, centre="05", password=SENT)
BRIEF = StationLimits(linger_s=0.05, quiet_s=0.1)
ITEMS = ("PJ", "PT", "Z", "VT", "DRP", "DRZ1", "ZT")

# Published test client of yu-xiaoyao/sl651-2014-server: a timed report, an hour's report, and that it is still there.
TIMED = bytes.fromhex(
    "7e7e05001122334403e832002b020034170718110016f1f1001122334448f0f01707181100201900004026190000403923000104903812109903a421"
)
HOUR = bytes.fromhex(
    "7e7e05001122334403e8340068020033170718110014f1f1001122334448f0f01707181005f4600500000014ffffffffff0000f0f0170718110026190000"
    "40f0f01707181005f5c0000c000c001c00310031ffffffffffffffffffff00310031f0f0170718110039230001049020190000403812109903f502"
)


def at(text: str) -> int:
    return round(datetime.fromisoformat(f"{text}+08:00").timestamp()) * 10**9


def listener(
    *devices: DeviceConfig,
    profile: Profile | None = None,
    limits: StationLimits = BRIEF,
    options: HydrologyOptions | None = None,
) -> Driver:
    link = LinkConfig(
        name="hydrology",
        driver=DriverName.SL651,
        devices=devices or (GAUGE,),
        options=options or HydrologyOptions(port=0),
    )
    return sl651(link, {"station": profile or stations.elements(ITEMS)}, SystemClock(), limits)


async def answers(caller: stations.Caller, count: int) -> list[Frame]:
    framer, said = Sl651Framer(), list[Frame]()
    while len(said) < count:
        said += [frame for frame in framer.feed(await caller.hear()) if isinstance(frame, Frame)]
    return said


async def test_a_timed_report_is_a_reading_and_is_answered_with_esc() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(TIMED)
        (said,) = await answers(station, 1)
    assert (said.up, said.station, said.centre, said.function, said.end) == (False, ADDRESS, "05", 0x32, ESC)
    assert said.raw[:13].hex() == "7e7e00112233440503e8328008", "station before centre, the password it sent, 8 bytes down"
    body = body_of(said)
    assert body.serial == 0x34, "the report's own number"
    assert abs(at(body.sent or "?") - SystemClock().wall_ns()) < 5e9, "the gateway's time, in the station's zone"
    (heard,) = inlet.heard
    assert heard.device == "gauge-1"
    assert heard.decoded.values == {"pj": 4.0, "pt": 4.0, "z": 10.49, "vt": 10.99}
    assert heard.decoded.time_ns == at("2017-07-18T11:00:00")
    (frame,) = heard.frames
    assert frame.raw == without_password(TIMED) != TIMED
    assert parse_frame(frame.raw).body == parse_frame(TIMED).body
    assert not inlet.refused


async def test_a_report_of_several_instants_becomes_as_many_readings_oldest_first_and_one_answer_after_all() -> None:
    inlet, driver = peers.Notebook(), listener()
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(HOUR)
        await peers.eventually(lambda: inlet.under_way == 12)
        assert await station.hears_nothing()
        inlet.gate.set()
        assert [said.end for said in await answers(station, 1)] == [ESC]
        assert await station.hears_nothing(0.05)
    told = {heard.decoded.time_ns: heard.decoded for heard in inlet.heard}
    assert [heard.decoded.time_ns for heard in inlet.heard] == [
        at(f"2017-07-18T{10 + m // 60}:{m % 60:02d}") for m in range(5, 65, 5)
    ]
    none = Flaw(Quality.BAD, Reason.NO_VALUE)
    assert told[at("2017-07-18T10:05")].values == {"drp": 0.5, "drz1": 0.12}
    assert told[at("2017-07-18T10:25")].values == {"drp": 2.0, "drz1": 0.49}
    assert told[at("2017-07-18T10:30")].flaws == {"drp": none, "drz1": none}
    last = told[at("2017-07-18T11:00")]
    assert last.values == {"drp": 0.0, "drz1": 0.49, "pj": 4.0, "pt": 4.0, "z": 10.49, "vt": 10.99}
    assert not last.flaws


async def test_a_uniform_report_tells_the_time_step() -> None:
    # SL 651-2014, table 30: step 1 hour, three levels from 8 o'clock on
    body = "0001 241123103015 f1f1 0011223344 48 f0f0 2411230800 0418 000100 3923 00001205 00001240 ffffffff"
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(encode_frame(0x31, bytes.fromhex(body), station=ADDRESS))
        await answers(station, 1)
    assert [heard.decoded.time_ns for heard in inlet.heard] == [at(f"2024-11-23T{hour:02d}:00") for hour in (8, 9, 10)]
    assert [heard.decoded.values for heard in inlet.heard] == [{"z": 1.205}, {"z": 1.24}, {"z": None}]


async def test_a_report_in_ascii_reads_like_one_in_hex_and_is_answered_in_ascii() -> None:
    values: dict[str, Any] = {"rain_current": 0.5, "river_level": -0.125, "supply_voltage": 11.15, "station_status": 0x480}
    times = {"sent": "2024-11-23T10:30:15", "observed": "2024-11-23T10:30"}
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for text in (False, True):
            speaker = Station(address=ADDRESS, text=text)
            await station.say(report(speaker, 0x33, values, serial=7, **times))
            (said,) = await answers(station, 1)
            assert (said.text, said.end) == (text, ESC)
    first, second = inlet.heard
    assert first.decoded == second.decoded
    assert first.decoded.values == {"pj": 0.5, "z": -0.125, "vt": 11.15, "zt": 0x480}


@pytest.mark.parametrize("function", [0x30, 0x31, 0x32, 0x33, 0x34])
async def test_every_kind_of_report_is_answered(function: int) -> None:
    inlet, driver = peers.Notebook(), listener()
    raw = report(STATION, function, {"river_level": 1.5}, serial=1, sent="2024-11-23T10:30:15", observed="2024-11-23T10:30")
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(raw)
        assert [(said.function, said.end) for said in await answers(station, 1)] == [(function, ESC)]
    assert [heard.decoded.values for heard in inlet.heard] == [{"z": 1.5}]


async def test_a_keep_alive_is_not_answered_and_keeps_the_connection() -> None:
    inlet = peers.Notebook()
    driver = listener(limits=StationLimits(greeting_s=0.3, quiet_s=0.1, idle_s=5))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(keep_alive(STATION, 1, "2024-11-23T10:30:15"))
        assert await station.hears_nothing(0.5)
        await station.say(TIMED)
        await answers(station, 1)
    assert not inlet.refused


async def test_a_battery_station_may_be_told_to_go() -> None:
    inlet, driver = peers.Notebook(), listener(options=HydrologyOptions(port=0, stay_online=False))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(TIMED)
        assert [said.end for said in await answers(station, 1)] == [EOT]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(encode_frame(0x32, TIMED[14:-3], station="0011223399"), Reason.UNKNOWN_DEVICE, id="a station nobody knows"),
        pytest.param(
            encode_frame(0x32, TIMED[14:-3].replace(b"\xf1\xf1\x00\x11", b"\xf1\xf1\x00\x12"), station=ADDRESS),
            Reason.WRONG_UNIT,
            id="a body of another station",
        ),
        pytest.param(TIMED[:-1] + b"\x00", Reason.BAD_CHECKSUM, id="a wrong CRC"),
        pytest.param(
            encode_frame(0x32, TIMED[14:22], station=ADDRESS, up=False, end=ENQ), Reason.BAD_FIELD, id="a centre's question"
        ),
    ],
)
async def test_what_is_not_to_be_believed_is_counted_and_not_answered(raw: bytes, reason: Reason) -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(raw)
        await peers.eventually(lambda: inlet.refused)
        assert await station.hears_nothing(0.05)
        await station.say(TIMED)
        await answers(station, 1)
    assert reason in inlet.reasons()
    assert len(inlet.heard) == 1


async def test_a_password_is_checked_where_one_is_given_and_shown_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "pw"
    secret.write_text(f"{OTHER}\n")
    inlet, driver = peers.Notebook(), listener(options=HydrologyOptions(port=0, password_file=secret))
    good = Station(address=ADDRESS, password=OTHER)
    text = Station(address=ADDRESS, password=SENT, text=True)
    times = {"sent": "2024-11-23T10:30:15", "observed": "2024-11-23T10:30"}
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(TIMED)
        await station.say(report(good, 0x32, {"river_level": 1.5}, serial=1, **times))
        await answers(station, 1)
        for damaged in (TIMED, report(text, 0x32, {"river_level": 1.5}, serial=1, **times)):
            await station.say(damaged[:-1] + b"X")
            await asyncio.sleep(0.15)
    assert len(inlet.heard) == 1
    assert inlet.refused[0][1] is Reason.NOT_AUTHENTICATED
    assert {Reason.NOT_AUTHENTICATED, Reason.BAD_CHECKSUM} <= inlet.reasons()
    for _, _, detail, raw in inlet.refused:
        assert b"\x03\xe8" not in raw
        assert b"03E8" not in raw
        assert "03E8" not in detail.upper()


@pytest.mark.parametrize(
    ("raw", "reason", "answered"),
    [
        pytest.param(
            encode_frame(0x35, b"\0\4\x24\x11\x23\x10\x30\x15\xf2\xf2hello", station=ADDRESS),
            Reason.UNKNOWN_METRIC,
            1,
            id="by hand",
        ),
        pytest.param(
            encode_frame(0x45, bytes.fromhex("0001241123103015f1f100112233440656312e302e31"), station=ADDRESS),
            Reason.UNKNOWN_METRIC,
            0,
            id="an answer to a question of somebody else",
        ),
        pytest.param(
            encode_frame(
                0x32, bytes.fromhex("0001 241323103015 f1f1 0011223344 48 f0f0 2413230800 3923 00001205"), station=ADDRESS
            ),
            Reason.IMPLAUSIBLE_TIME,
            1,
            id="times that are no dates",
        ),
    ],
)
async def test_what_no_profile_can_use_is_counted_and_does_not_come_again(raw: bytes, reason: Reason, answered: int) -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(raw + TIMED)
        said = await answers(station, 1 + answered)
    assert said[-1].function == 0x32
    assert reason in inlet.reasons("gauge-1")


async def test_elements_without_a_time_of_their_own_have_that_of_sending_and_are_uncertain() -> None:
    body = "0001 241123103015 f1f1 0011223344 48 f0f0 2413230800 3923 00001205"
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(encode_frame(0x32, bytes.fromhex(body), station=ADDRESS))
        await answers(station, 1)
    (heard,) = inlet.heard
    assert heard.decoded.time_ns == at("2024-11-23T10:30:15")
    assert heard.decoded.flaws == {"z": Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)}


# --- packets ---------------------------------------------------------------------------------------------------------

PACKETS = packets(STATION, 0x34, HOUR[14:-3], most=30)


async def test_packets_become_one_report_with_one_answer() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for raw in PACKETS:
            await station.say(raw)
        assert [said.end for said in await answers(station, 1)] == [ESC]
        assert await station.hears_nothing()
    assert len(inlet.heard) == 12


async def test_a_station_that_waits_is_told_to_go_on() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        ends = []
        for raw in PACKETS:
            await station.say(raw)
            ends += [said.end for said in await answers(station, 1)]
    assert ends == [*[ACK] * (len(PACKETS) - 1), ESC]
    assert len(inlet.heard) == 12


async def test_a_station_whose_packet_got_lost_sends_again() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for raw in (*PACKETS[:1], *PACKETS[2:]):
            await station.say(raw)
        assert [said.end for said in await answers(station, 1)] == [NAK]
        assert await station.hears_nothing(), "once"
        for raw in PACKETS:
            await station.say(raw)
        assert [said.end for said in await answers(station, 1)] == [ESC]
    assert len(inlet.heard) == 12


async def test_a_report_of_too_many_values_is_refused_and_hurts_nobody() -> None:
    head = "0001 241123103015 f1f1 0011223344 48 f0f0 2411230800 0418 999999 38 0a"
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for raw in packets(STATION, 0x31, bytes.fromhex(head) + b"\x12" * 50_000, most=4000):
            await station.say(raw)
        await peers.eventually(lambda: inlet.refused)
        await station.say(TIMED)
        await answers(station, 1)
    assert inlet.reasons("gauge-1") == {Reason.OVERSIZED}
    assert len(inlet.heard) == 1


async def test_messages_that_never_end_are_bounded_however_many_they_are() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for total in range(2, 40):
            await station.say(encode_frame(0x31, b"x", station=ADDRESS, packet=(total, 1)))
        await answers(station, 8)
        await station.say(TIMED)
        await answers(station, 1)
    assert inlet.reasons("gauge-1") == {Reason.REASSEMBLY_LIMIT}


# --- datagrams -------------------------------------------------------------------------------------------------------


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.put_nowait(data)


@contextlib.asynccontextmanager
async def socketed(driver: Driver) -> AsyncIterator[tuple[asyncio.DatagramTransport, Datagrams]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, remote_addr=driver.ports[0])
    try:
        yield transport, protocol
    finally:
        transport.close()


async def test_stations_may_call_by_udp_on_the_same_port() -> None:
    inlet, driver = peers.Notebook(), listener(options=HydrologyOptions(port=0, udp=True))
    async with peers.running(driver, inlet), socketed(driver) as (transport, gateway), stations.dial(driver) as station:
        transport.sendto(b"\xff\xffnoise")
        transport.sendto(TIMED[:20])
        transport.sendto(encode_frame(0x32, TIMED[14:-3], station="0011223399"))
        inlet.gate = asyncio.Event()
        transport.sendto(TIMED)
        await peers.eventually(lambda: inlet.under_way)
        assert gateway.heard.empty()
        inlet.gate.set()
        assert parse_frame(await asyncio.wait_for(gateway.heard.get(), 5)).end == ESC
        transport.sendto(HOUR)
        assert parse_frame(await asyncio.wait_for(gateway.heard.get(), 5)).function == 0x34
        await station.say(TIMED)
        await answers(station, 1)
    assert len(inlet.heard) == 14
    assert inlet.reasons() == {Reason.BAD_START, Reason.TRUNCATED, Reason.UNKNOWN_DEVICE}


async def test_packets_by_udp_that_stop_are_asked_for() -> None:
    inlet, driver = peers.Notebook(), listener(options=HydrologyOptions(port=0, udp=True))
    async with peers.running(driver, inlet), socketed(driver) as (transport, gateway):
        transport.sendto(PACKETS[0])
        assert parse_frame(await asyncio.wait_for(gateway.heard.get(), 5)).end == ACK
        for raw in PACKETS[1:]:
            transport.sendto(raw)
        assert parse_frame(await asyncio.wait_for(gateway.heard.get(), 5)).end == ESC
    assert len(inlet.heard) == 12


async def test_a_port_that_is_taken_for_datagrams_is_told_and_tried_again() -> None:
    taken, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
    port = taken.get_extra_info("sockname")[1]
    inlet, driver = peers.Notebook(), listener(options=HydrologyOptions(port=port, udp=True))
    task = asyncio.create_task(driver.run(inlet))
    await peers.eventually(lambda: inlet.refused)
    assert inlet.reasons() == {Reason.UNREACHABLE}
    taken.close()
    await peers.eventually(driver.started.is_set)
    assert driver.health().up
    task.cancel()
    await asyncio.wait([task])


# --- manners and captured frames -------------------------------------------------------------------------------------


async def test_a_damaged_length_does_not_swallow_the_frame_behind_it_for_long() -> None:
    inlet, driver = peers.Notebook(), listener()
    lying = TIMED[:11] + b"\x0f\xff" + TIMED[13:]
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(lying + TIMED)
        assert [said.end for said in await answers(station, 1)] == [ESC]
    assert len(inlet.heard) == 1


def test_other_options_are_told() -> None:
    link = LinkConfig(name="hydrology", driver=DriverName.SL651, devices=(GAUGE,), options=StationOptions())
    with pytest.raises(SetupError, match="wants a host"):
        make_driver(link, {"station": stations.elements(ITEMS)}, SystemClock())


def _parsed(raw: bytes) -> tuple[Frame | None, Reason | None]:
    try:
        return parse_frame(raw), None
    except ParseError as error:
        return None, error.reason


async def test_every_captured_frame_becomes_readings_or_is_told_why_not(vectors: Path) -> None:
    entries = [json.loads(line) for line in (vectors / "sl651.jsonl").read_text("utf-8").splitlines()]
    readings = 0
    for entry in entries:
        raw = bytes.fromhex(entry["hex"])
        frame, why = _parsed(raw)
        address = ADDRESS if frame is None else frame.station
        names = () if frame is None else {each.ascii or each.id for each in body_of(frame).readings}
        inlet = peers.Notebook()
        driver = listener(DeviceConfig(id="captured", profile="station", address=address), profile=stations.elements(names))
        async with peers.running(driver, inlet), stations.dial(driver) as station:
            await station.say(raw)
            station.writer.write_eof()
            assert await station.hung_up()
        if frame is None:
            assert why in inlet.reasons(), entry
        elif names:
            said = {name for heard in inlet.heard for name in heard.decoded.values}
            assert said == {name.lower() for name in names}
            readings += len(inlet.heard)
        else:
            assert frame.function == 0x2F or frame.packet is not None or inlet.refused, entry
    assert readings >= 25


def test_the_published_answer_is_the_one_that_is_sent() -> None:
    # blog.csdn.net, weixin_42163707, article 127638544: the answer to a test report of 2059.
    raw = (
        "7e7e010012345678123430002b020003591011154947f1f1001234567848f0f0591011154920190000052619000005392300000127381211150320fa"
    )
    said = answer(parse_frame(bytes.fromhex(raw)), 3, "2059-10-11T15:49:47", end=ESC)
    assert said.hex().upper() == "7E7E00123456780112343080080200035910111549471B75D4"
