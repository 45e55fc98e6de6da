"""The HJ 212 listener over real TCP: the standard's frames, captured frames, and everything a station should not do."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edge_drivers_peers as peers
import edge_drivers_stations as stations
import pytest

from device_profiles.model import Profile
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.drivers.stations.dialogue import StationLimits
from edge_agent.drivers.stations.hj212 import hj212
from edge_agent.heard import Verdict
from edge_agent.link_kinds import DriverName, ModbusTcpOptions, StationOptions
from firmware_bridge.errors import Refused
from firmware_bridge.hj212.frames import Frame, Hj212Framer, encode_frame, parse_frame
from firmware_bridge.hj212.segment import Packet, parse_segment
from firmware_bridge.hj212.tables import COMMANDS, Up
from firmware_bridge.hj212.values import KINDS, content
from telemetry.clock import SystemClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality

MN = "010000A8900016F000169DC0"
NOISE = DeviceConfig(id="noise-1", profile="station", address=MN)
BRIEF = StationLimits(linger_s=0.05, quiet_s=0.1)


def listener(
    *devices: DeviceConfig,
    profile: Profile | None = None,
    limits: StationLimits = BRIEF,
    password: Path | None = None,
) -> Driver:
    link = LinkConfig(
        name="environment",
        driver=DriverName.HJ212,
        devices=devices or (NOISE,),
        options=StationOptions(port=0, password_file=password),
    )
    return hj212(link, {"station": profile or stations.factors("LA.Rtd")}, SystemClock(), limits)


def message(
    cp: str, cn: str = "2011", flag: str = "Flag=5;", mn: str = MN, qn: str = "20160801085857223", pw: str = "123456"
) -> bytes:
    return encode_frame(f"QN={qn};ST=23;CN={cn};PW={pw};MN={mn};{flag}CP=&&{cp}&&".encode())


# HJ 212-2017, annex C, table C.26: the level of a noise station, which wants an answer
LEVEL = message("DataTime=20160801085857; LA-Rtd=50.1")
# 2016-08-01T08:58:57+08:00
LEVEL_NS = 1_470_013_137_000_000_000


def packets(data: bytes) -> list[Packet]:
    return [parse_segment(frame.segment) for frame in Hj212Framer().feed(data) if isinstance(frame, Frame)]


async def answers(caller: stations.Caller, count: int) -> list[Packet]:
    heard = b""
    while len(packets(heard)) < count:
        heard += await caller.hear()
    assert not Hj212Framer().feed(heard)[count:]
    return packets(heard)


async def test_a_level_is_a_reading_and_is_answered_with_9014() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(LEVEL)
        answer = await station.hear()
    # HJ 212-2017, table C.14 with this QN
    assert answer == encode_frame(f"QN=20160801085857223;ST=91;CN=9014;PW=123456;MN={MN};Flag=4;CP=&&&&".encode())
    (heard,) = inlet.heard
    assert (heard.device, heard.decoded.values, heard.decoded.flaws) == ("noise-1", {"m0": 50.1}, {})
    assert heard.decoded.time_ns == LEVEL_NS
    (frame,) = heard.frames
    assert b"PW=***" in frame.raw
    assert parse_frame(frame.raw).segment == parse_frame(LEVEL).segment.replace(b"PW=123456", b"PW=***"), (
        "nothing else is changed"
    )
    assert driver.health().devices.keys() == {"noise-1"}
    assert not inlet.refused


@pytest.mark.parametrize(
    ("flag", "answered"),
    [
        pytest.param("", None, id="2005 without Flag wants none"),
        pytest.param("Flag=0;", None, id="2005 wants none"),
        pytest.param("Flag=1;", "0", id="2005 wants one"),
        pytest.param("Flag=4;", None, id="2017 wants none"),
        pytest.param("Flag=5;", "4", id="2017 wants one"),
        pytest.param("Flag=8;", None, id="2025 wants none"),
        pytest.param("Flag=9;", "8", id="2025 wants one"),
    ],
)
async def test_the_flag_of_any_revision_says_whether_there_is_an_answer(flag: str, answered: str | None) -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(message("DataTime=20160801085857;LA-Rtd=50.1", flag=flag))
        await peers.eventually(lambda: inlet.heard)
        if answered is None:
            assert await station.hears_nothing()
        else:
            (answer,) = await answers(station, 1)
            assert (answer.cn, str(answer.flag)) == ("9014", answered)
    assert inlet.heard[0].decoded.values == {"m0": 50.1}


async def test_an_answer_comes_after_the_commit_and_frames_are_not_held_up_by_it() -> None:
    inlet, driver = peers.Notebook(), listener()
    inlet.gate = asyncio.Event()
    qns = [f"201608010858{second:02d}000" for second in range(20)]
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for qn in qns:
            await station.say(message("DataTime=20160801085857;LA-Rtd=50.1", qn=qn))
        await peers.eventually(lambda: inlet.under_way == 20)
        assert await station.hears_nothing()
        inlet.gate.set()
        assert [answer.qn for answer in await answers(station, 20)] == qns, "in order"


async def test_a_station_ahead_of_its_answers_is_no_longer_read() -> None:
    inlet = peers.Notebook()
    driver = listener(limits=StationLimits(outstanding=8))
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for _ in range(100):
            await station.say(LEVEL)
        await asyncio.sleep(0.1)
        assert inlet.most_under_way <= 8
        inlet.gate.set()
        await answers(station, 100)
    assert len(inlet.heard) == 100


async def test_a_refused_reading_is_answered_for_it_would_not_be_better_the_next_time() -> None:
    inlet, driver = peers.Notebook(), listener()
    inlet.verdict = Verdict.REFUSED
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(LEVEL)
        assert [answer.cn for answer in await answers(station, 1)] == ["9014"]


async def test_a_stranger_is_refused_unanswered_and_cut_off_when_it_insists() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(message("DataTime=20160801085857;LA-Rtd=50.1", mn="88888888888888"))
        assert await station.hears_nothing()
        await station.say(message("LA-Rtd=50.1", mn="88888888888888") * 40)
        assert await station.hung_up()
    assert not inlet.heard
    assert inlet.reasons("127.0.0.1") == {Reason.UNKNOWN_DEVICE, Reason.BAD_START}
    assert len(inlet.refused) == BRIEF.refusals + 1


async def test_a_wrong_password_is_refused_and_kept_out_of_the_account(tmp_path: Path) -> None:
    secret = tmp_path / "pw"
    secret.write_text("654321\n")
    inlet, driver = peers.Notebook(), listener(password=secret)
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(LEVEL)
        assert await station.hears_nothing()
        await station.say(message("DataTime=20160801085857;LA-Rtd=50.1", pw="654321"))
        assert [answer.pw for answer in await answers(station, 1)] == ["654321"]
    ((_, reason, detail, raw),) = inlet.refused
    assert reason is Reason.NOT_AUTHENTICATED
    assert "123456" not in detail
    assert "654321" not in detail
    assert raw == b""
    assert len(inlet.heard) == 1


async def test_a_password_file_that_is_not_there_is_told_and_looked_for_again(tmp_path: Path) -> None:
    secret = tmp_path / "pw"
    inlet, driver = peers.Notebook(), listener(password=secret)
    task = asyncio.create_task(driver.run(inlet))
    await peers.eventually(lambda: inlet.refused)
    assert inlet.reasons() == {Reason.UNREACHABLE}
    assert not driver.health().up
    secret.write_text("123456")
    await peers.eventually(driver.started.is_set)
    assert driver.health().up
    task.cancel()
    await asyncio.wait([task])


async def test_a_damaged_frame_costs_itself_alone_and_its_password_is_not_shown() -> None:
    inlet, driver = peers.Notebook(), listener()
    damaged = LEVEL.replace(b"LA-Rtd=50.1", b"LA-Rtd=90.1")
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(b"\x00\xffnoise" + damaged + LEVEL)
        await answers(station, 1)
    assert [heard.decoded.values for heard in inlet.heard] == [{"m0": 50.1}]
    assert inlet.reasons() == {Reason.BAD_START, Reason.BAD_CHECKSUM}
    assert all(b"123456" not in raw and "123456" not in detail for _, _, detail, raw in inlet.refused)
    assert any(b"PW=***" in raw for _, _, _, raw in inlet.refused)


async def test_a_known_station_is_blamed_by_name_for_what_it_damages_later() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(LEVEL + LEVEL.replace(b"50.1", b"51.1"))
        await answers(station, 1)
        await peers.eventually(lambda: inlet.refused)
    assert inlet.reasons("noise-1") == {Reason.BAD_CHECKSUM}


async def test_flags_are_qualities_and_the_numbers_stay() -> None:
    letters = "NFMSDCTBnX"
    codes = [f"a0100{number}" for number in range(len(letters))]
    cp = ";".join(f"{code}-Rtd=7.5,{code}-Flag={letter}" for code, letter in zip(codes, letters, strict=True))
    inlet, driver = peers.Notebook(), listener(profile=stations.factors(*(f"{code}.Rtd" for code in codes)))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(message(f"DataTime=20160801085857;{cp}"))
        await answers(station, 1)
    (heard,) = inlet.heard
    assert set(heard.decoded.values.values()) == {7.5}
    bad, doubtful = Flaw(Quality.BAD, Reason.NO_VALUE), Quality.UNCERTAIN
    assert heard.decoded.flaws == {
        "m1": bad,
        "m2": bad,
        "m3": Flaw(doubtful, Reason.NO_VALUE),
        "m4": Flaw(Quality.BAD, Reason.DEVICE_EXCEPTION),
        "m5": bad,
        "m6": Flaw(doubtful, Reason.OUT_OF_RANGE),
        "m7": Flaw(Quality.BAD, Reason.UNREACHABLE),
        "m9": Flaw(doubtful, Reason.NOT_IN_ENUM),
    }


@pytest.mark.parametrize("cn", ["2051", "2061", "2031"])
async def test_values_of_a_period_have_its_beginning_and_their_own_command(cn: str) -> None:
    # HJ 212-2017, annex C, tables C.16 to C.18, shortened
    cp = "DataTime=20160801080000;w00000-Cou=63.0,w00000-Min=16.4,w00000-Avg=17.5,w00000-Max=20.1,w00000-Flag=N"
    items = ["w00000.Cou", "w00000.Min", "w00000.Avg", "w00000.Max", "w00000.Avg@2061", "w00000.Rtd"]
    inlet, driver = peers.Notebook(), listener(profile=stations.factors(*items))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(message(cp, cn))
        await answers(station, 1)
    want = {"m0": 63.0, "m1": 16.4, "m2": 17.5, "m3": 20.1} | ({"m4": 17.5} if cn == "2061" else {})
    (heard,) = inlet.heard
    assert heard.decoded.values == want
    assert heard.decoded.time_ns == LEVEL_NS - (58 * 60 + 57) * 10**9


async def test_a_time_that_is_no_date_leaves_everything_uncertain() -> None:
    inlet, driver = peers.Notebook(), listener(profile=stations.factors("LA.Rtd", "LA.Avg"))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(
            message("DataTime=20161301085857;LA-Rtd=50.1") + message("LA-Avg=51.0", "2051") + message("LA-Rtd=52.0")
        )
        await answers(station, 3)
    doubt = Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)
    assert [heard.decoded.flaws for heard in inlet.heard] == [{"m0": doubt}, {"m1": doubt}, {}]
    assert {heard.decoded.time_ns for heard in inlet.heard} == {None}


# HJ 212-2017, annex C, table C.50, without its ellipses: a message in two packets, each with a QN of its own
HOUR_1, HOUR_2 = (
    message(
        f"DataTime=20160801080000;{cp}", "2061", flag=f"Flag=%d;PNUM=2;PNO={number};", qn=f"2016080108585753{3 + number}"
    ).decode()
    for number, cp in enumerate(("w00000-Cou=63.0,w00000-Flag=N", "w01018-Cou=63.0,w01018-Flag=N"), 1)
)
HOUR = stations.factors("w00000.Cou", "w01018.Cou")


def packet(text: str, flag: int) -> bytes:
    return encode_frame((text[6:-6] % flag).encode())


async def test_packets_become_one_reading_and_each_is_answered() -> None:
    inlet, driver = peers.Notebook(), listener(profile=HOUR)
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(packet(HOUR_2, 7) + packet(HOUR_1, 7))
        said = await answers(station, 2)
    assert [(answer.cn, answer.qn, answer.pnum) for answer in said] == [
        ("9014", "20160801085857534", None),
        ("9014", "20160801085857535", None),
    ]
    assert [heard.decoded.values for heard in inlet.heard] == [{"m0": 63.0, "m1": 63.0}]


async def test_a_station_that_waits_for_each_packets_answer_gets_it_when_the_packet_is_stored() -> None:
    inlet, driver = peers.Notebook(), listener(profile=HOUR)
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        for text, qn in ((HOUR_1, "20160801085857534"), (HOUR_2, "20160801085857535")):
            await station.say(packet(text, 7))
            assert [answer.qn for answer in await answers(station, 1)] == [qn]
    assert [heard.decoded.values for heard in inlet.heard] == [{"m0": 63.0}, {"m1": 63.0}]
    assert len({heard.decoded.time_ns for heard in inlet.heard}) == 1


async def test_what_came_of_a_message_is_kept_when_its_station_hangs_up() -> None:
    inlet, driver = peers.Notebook(), listener(profile=HOUR)
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(packet(HOUR_1, 6))
        station.writer.close()
        await peers.eventually(lambda: inlet.heard)
    assert [heard.decoded.values for heard in inlet.heard] == [{"m0": 63.0}]


async def test_packets_that_cannot_be_answered_are_counted_and_hurt_nobody() -> None:
    inlet, driver = peers.Notebook(), listener(profile=HOUR)
    async with peers.running(driver, inlet), stations.dial(driver) as station, stations.dial(driver) as other:
        await station.say(packet(HOUR_1.replace("QN=2016", "QN=&"), 7))
        await peers.eventually(lambda: inlet.refused)
        await other.say(packet(HOUR_1, 7) + packet(HOUR_2, 7))
        await answers(other, 2)
    assert inlet.reasons("noise-1") == {Reason.BAD_FIELD}


async def test_packets_that_nobody_waits_for_are_put_together_over_a_pause_and_taken_as_they_are_after_a_long_one() -> None:
    inlet = peers.Notebook()
    driver = listener(profile=HOUR, limits=StationLimits(linger_s=0.02, quiet_s=0.4))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(packet(HOUR_1, 6))
        await asyncio.sleep(0.1)
        await station.say(packet(HOUR_2, 6))
        await peers.eventually(lambda: inlet.heard)
        await station.say(packet(HOUR_2, 6))
        await peers.eventually(lambda: len(inlet.heard) == 2)
        assert await station.hears_nothing(0.05)
    assert [heard.decoded.values for heard in inlet.heard] == [{"m0": 63.0, "m1": 63.0}, {"m1": 63.0}]


async def test_a_station_that_asks_for_calibration_is_told_the_time() -> None:
    # HJ 212-2017, annex C, tables C.4 and C.3
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(message(" PolId=w01018", "1013"))
        notice, order = await answers(station, 2)
        assert (notice.cn, notice.qn, notice.st) == ("9013", "20160801085857223", "91")
        assert (order.cn, order.st, order.answer_wanted, order.value("PolId")) == ("1012", "23", True, "w01018")
        told = content(order).fields["system_time"]
        assert abs(told.timestamp() - SystemClock().wall_ns() / 1e9) < 5  # type: ignore[union-attr]
        assert order.qn.startswith(order.value("SystemTime") or "?")
        for cn, returned in (("9011", "QnRtn=1"), ("9012", "ExeRtn=1"), ("9012", "ExeRtn=2")):
            await station.say(message(returned, cn, flag="Flag=4;", qn=order.qn))
        await peers.eventually(lambda: inlet.refused)
        assert await station.hears_nothing(0.05)
    ((who, reason, detail, _),) = inlet.refused
    assert (who, reason) == ("noise-1", Reason.DEVICE_EXCEPTION)
    assert "ExeRtn=2" in detail


async def test_a_station_that_asks_what_time_it_is_hears_it_and_one_that_tells_its_own_is_answered() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(message("PolId=w01018", "1011"))
        (told,) = await answers(station, 1)
        assert (told.cn, told.qn, told.answer_wanted) == ("1011", "20160801085857223", False)
        assert told.value("SystemTime")
        await station.say(message("PolId=w01018;SystemTime=20160801085857", "1011"))
        assert [answer.cn for answer in await answers(station, 1)] == ["9014"]
    assert not inlet.refused
    assert not inlet.heard


@pytest.mark.parametrize(
    ("cn", "cp", "reason", "answered"),
    [
        pytest.param("2061", "DataTime=20160801080000;w01018-Avg=1", Reason.UNKNOWN_METRIC, ["9014"], id="factors of others"),
        pytest.param("2041", "DataTime=20160801000000;SB1-RT=1.1", Reason.UNKNOWN_METRIC, ["9014"], id="hours of equipment"),
        pytest.param("1062", "RtdInterval=30", Reason.UNKNOWN_MESSAGE, [], id="an order that only a platform gives"),
        pytest.param("7777", "DataTime=20160801080000", Reason.UNKNOWN_MESSAGE, ["9014"], id="a command nobody knows"),
    ],
)
async def test_what_no_profile_can_use_is_counted_and_does_not_come_again(
    cn: str, cp: str, reason: Reason, answered: list[str]
) -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(message(cp, cn) + LEVEL)
        said = await answers(station, len(answered) + 1)
    assert [answer.cn for answer in said] == [*answered, "9014"]
    assert [(who, why) for who, why, _, _ in inlet.refused] == [("noise-1", reason)]
    assert len(inlet.heard) == 1


@pytest.mark.parametrize("password", ["", "a=b", "pw#7//", "O447JGPYQ75V3C58D138L2WX"])
async def test_odd_passwords_come_back_in_the_answer_and_end_up_in_no_account(password: str) -> None:
    inlet, driver = peers.Notebook(), listener()
    level = message("DataTime=20160801085857;LA-Rtd=50.1", pw=password)
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(level.replace(b"50.1", b"51.1") + level)
        assert [answer.pw for answer in await answers(station, 1)] == [password]
    assert inlet.reasons() == {Reason.BAD_CHECKSUM}
    assert not password or all(password.encode() not in raw for _, _, _, raw in inlet.refused)


# --- manners -----------------------------------------------------------------------------------------------------------


async def test_a_stranger_who_drips_bytes_is_let_go_in_time() -> None:
    inlet = peers.Notebook()
    driver = listener(limits=StationLimits(greeting_s=0.3, quiet_s=0.1))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        begun = asyncio.get_running_loop().time()
        for byte in LEVEL[:40]:
            if station.reader.at_eof() or asyncio.get_running_loop().time() - begun > 2:
                break
            station.writer.write(bytes((byte,)))
            await asyncio.sleep(0.03)
        assert await station.hung_up()
        assert asyncio.get_running_loop().time() - begun < 1.5
    assert not inlet.heard


async def test_a_known_station_may_be_silent_for_long_and_not_for_ever() -> None:
    inlet = peers.Notebook()
    driver = listener(limits=StationLimits(greeting_s=0.1, idle_s=0.5, quiet_s=0.1))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(LEVEL)
        await answers(station, 1)
        await asyncio.sleep(0.25)
        await station.say(LEVEL)
        await answers(station, 1)
        assert await station.hung_up()
    assert len(inlet.heard) == 2


async def test_half_a_frame_is_given_up_when_the_line_goes_quiet_or_ends() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(LEVEL[:60])
        await peers.eventually(lambda: inlet.refused)
        await station.say(LEVEL)
        await answers(station, 1)
        await station.say(LEVEL[:60])
        station.writer.close()
        await peers.eventually(lambda: len(inlet.refused) == 2)
    assert inlet.reasons() == {Reason.TRUNCATED}


async def test_noise_without_end_is_cut_off() -> None:
    inlet, driver = peers.Notebook(), listener(limits=StationLimits(noise_bytes=4096, refusals=1000))
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        station.writer.write(b"x" * 20_000)
        assert await station.hung_up()
    assert Reason.BAD_START in inlet.reasons()


async def test_strangers_make_room_for_others_and_known_stations_do_not() -> None:
    inlet = peers.Notebook()
    driver = listener(limits=StationLimits(connections=2))
    async with peers.running(driver, inlet), stations.dial(driver) as known:
        await known.say(LEVEL)
        await answers(known, 1)
        async with stations.dial(driver) as stranger, stations.dial(driver) as second:
            assert await stranger.hung_up(), "the oldest stranger goes"
            await second.say(LEVEL)
            await answers(second, 1)
            async with stations.dial(driver) as third:
                assert await third.hung_up(), "there is no stranger left to go"
            await known.say(LEVEL)
            await answers(known, 1)
    assert Reason.QUEUE_FULL in inlet.reasons("127.0.0.1")
    assert driver.health().overflows == 2


async def test_a_station_that_takes_no_answers_is_let_go_and_the_others_go_on() -> None:
    inlet = peers.Notebook()
    driver = listener(limits=StationLimits(drain_s=0.2, outstanding=8))
    async with peers.running(driver, inlet), stations.dial(driver, takes=2048) as deaf, stations.dial(driver) as good:
        deaf.writer.transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while True:
                    await deaf.say(LEVEL * 50)
        await good.say(LEVEL)
        await answers(good, 1)


async def test_two_connections_of_one_station_are_both_served() -> None:
    inlet, driver = peers.Notebook(), listener()
    async with peers.running(driver, inlet), stations.dial(driver) as old, stations.dial(driver) as new:
        await old.say(LEVEL)
        await answers(old, 1)
        await new.say(LEVEL)
        await answers(new, 1)
    assert len(inlet.heard) == 2


async def test_a_relay_of_two_stations_is_told_apart_by_mn() -> None:
    other = DeviceConfig(id="noise-2", profile="station", address="huantai_device_0021")
    inlet, driver = peers.Notebook(), listener(NOISE, other)
    async with peers.running(driver, inlet), stations.dial(driver) as relay:
        await relay.say(LEVEL + message("DataTime=20160801085857;LA-Rtd=61.0", mn=other.address) + b"##0012broken&&0000\r\n")
        await answers(relay, 2)
        await peers.eventually(lambda: inlet.refused)
    assert [(heard.device, heard.decoded.values["m0"]) for heard in inlet.heard] == [("noise-1", 50.1), ("noise-2", 61.0)]
    assert {who for who, _, _, _ in inlet.refused} == {"127.0.0.1"}


def test_a_profile_without_hj_212_and_other_options_are_told() -> None:
    link = LinkConfig(name="environment", driver=DriverName.HJ212, devices=(NOISE,), options=StationOptions())
    with pytest.raises(SetupError, match="does not speak hj212"):
        make_driver(link, {"station": peers.modbus_profile("station")}, SystemClock())
    wrong = LinkConfig(name="environment", driver=DriverName.HJ212, devices=(NOISE,), options=ModbusTcpOptions(host="x"))
    with pytest.raises(SetupError, match="wants a host"):
        make_driver(wrong, {"station": stations.factors("LA.Rtd")}, SystemClock())


# --- captured frames ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def entries(vectors: Path) -> list[dict[str, Any]]:
    lines = (vectors / "hj212.jsonl").read_text("utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if "frame" in entry["kind"] or "frame_if_built" in entry["derived"]]


def _frame(entry: dict[str, Any]) -> bytes:
    return str(entry["derived"].get("frame_if_built", entry["text"])).encode()


def _named(packet: Packet) -> Iterator[tuple[str, object]]:
    suffixes = {kind.name: suffix for suffix, kind in KINDS.items()}
    for code, kinds in content(packet).values.items():
        for name, value in kinds.items():
            if name in suffixes and name not in {"flag", "e_flag", "sample_time", "sn"}:
                yield f"{code}.{suffixes[name]}", value


def _as_number(value: object) -> object:
    """What a metric that is a number makes of a value; a log's text is none."""
    return pytest.approx(value) if isinstance(value, int | float) else None


async def _replay(raw: bytes, packet: Packet | None) -> peers.Notebook:
    """What becomes of one frame at a listener that knows its station and names its factors."""
    device = DeviceConfig(id="captured", profile="station", address=MN if packet is None else packet.mn)
    named = () if packet is None else _named(packet)
    profile = stations.factors(*dict(named))
    inlet, driver = peers.Notebook(), listener(device, profile=profile)
    async with peers.running(driver, inlet), stations.dial(driver) as station:
        await station.say(raw)
        station.writer.write_eof()
        assert await station.hung_up()
        await peers.eventually(lambda: not inlet.under_way)
    return inlet


async def test_every_captured_frame_becomes_a_reading_or_is_told_why_not(entries: list[dict[str, Any]]) -> None:
    readings = 0
    for entry in entries:
        raw = _frame(entry)
        said = [*(framer := Hj212Framer()).feed(raw), *framer.idle()]
        (item,) = said
        packet = None if isinstance(item, Refused) else parse_segment(item.segment)
        inlet = await _replay(raw, packet)
        if packet is None:
            assert isinstance(item, Refused)
            assert item.reason in inlet.reasons(), entry["text"]
            assert not inlet.heard
            continue
        named = dict(_named(packet))
        if named and COMMANDS[packet.cn].carries_data:
            (heard,) = inlet.heard
            assert list(heard.decoded.values.values()) == [_as_number(value) for value in named.values()]
            readings += 1
        else:
            talk = packet.cn in {"1011", "1013"} or COMMANDS[packet.cn].up is Up.ANSWER
            assert talk or inlet.refused, entry["text"]
    assert readings >= 20
