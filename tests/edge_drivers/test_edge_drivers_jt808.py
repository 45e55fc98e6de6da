"""The JT/T 808 listener over real TCP: worked frames, captured frames, and everything a terminal should not do."""

import asyncio
import contextlib
import json

import edge_drivers_peers as peers
import pytest
from edge_drivers_terminal import BUS, NOON_NS, PHONE, dial, listener, location, result

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import SetupError, make_driver
from edge_agent.drivers.jt808.session import SessionLimits
from edge_agent.heard import Verdict
from edge_agent.link_kinds import Admit, DriverName, Jt808Options
from firmware_bridge.jt808.answers import authenticate_body, batch_body, register_body
from firmware_bridge.jt808.frames import encode_frame, parse_frame
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.reason import Reason

# A real terminal's location, 2013 header (traccar, HuabaoProtocolDecoderTest): 2025-04-02 16:36:26 GMT+8, item 01 is left out
CAPTURED_2013 = bytes.fromhex("7e0200001f01207646327900400000000000006002015c7ab706d20469003b0000000025040216362606013e6b7e")
# A real terminal's batch of one, 2019 header (the same source): 2026-05-09 16:42:27 GMT+8, south of the equator
CAPTURED_2019_BATCH = bytes.fromhex(
    "7e0704402d0100000866496077582164881d0001000028000000000000000701a00192091f2a4700160000000226050916422701040000258230010031010e507e"
)


@pytest.mark.parametrize("version", [2013, 2019])
async def test_register_authenticate_heartbeat_location_batch_logout(version: int) -> None:
    inlet, driver = peers.Notebook(), listener(BUS)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.log_in(version=version)
        assert result(await terminal.ask(0x0002, version=version)) == 0
        answer = await terminal.ask(0x0200, location(), version=version)
        assert answer.body == bytes.fromhex("0004 0200 00"), "our serial, our message, done"
        assert answer.version == version
        assert (
            result(await terminal.ask(0x0704, batch_body([location(30.0), location(31.0)], catch_up=True), version=version)) == 0
        )
        assert result(await terminal.ask(0x0003, version=version)) == 0
        assert result(await terminal.ask(0x0200, location(), version=version)) == 1, "logged out"
    assert [heard.decoded.values["latitude"] for heard in inlet.heard] == [39.9, 30.0, 31.0]
    assert {heard.device for heard in inlet.heard} == {"bus-1"}
    assert inlet.heard[0].decoded.time_ns == NOON_NS
    assert inlet.heard[0].decoded.values["speed_kmh"] == 36.5
    (one,), (of_batch,), (again,) = (heard.frames for heard in inlet.heard)
    assert one.language == "jt808"
    assert (parse_frame(one.raw).message_id, parse_frame(one.raw).body) == (0x0200, location())
    assert of_batch == again, "two places of one message"
    assert inlet.heard[0].source == "127.0.0.1"


async def test_an_answer_comes_after_the_commit_and_frames_are_not_held_up_by_it() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        for _ in range(20):
            await terminal.send(0x0200, location())
        await peers.eventually(lambda: inlet.under_way == 20)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(terminal.reader.read(1), 0.1)
        inlet.gate.set()
        answers = [await terminal.hear() for _ in range(20)]
    assert [int.from_bytes(answer.body[:2], "big") for answer in answers] == list(range(1, 21)), "in order"


async def test_a_terminal_ahead_of_its_answers_is_no_longer_read() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False, limits=SessionLimits(outstanding=8))
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet), dial(driver) as terminal:
        for _ in range(100):
            await terminal.send(0x0200, location())
        await asyncio.sleep(0.2)
        assert inlet.most_under_way <= 8
        inlet.gate.set()
        for _ in range(100):
            assert result(await terminal.hear()) == 0
    assert len(inlet.heard) == 100


@pytest.mark.parametrize(
    ("message_id", "body"),
    [pytest.param(0x0200, location(), id="a location"), pytest.param(0x0002, b"", id="a heartbeat")],
)
async def test_before_authentication_nothing_counts(message_id: int, body: bytes) -> None:
    inlet, driver = peers.Notebook(), listener(BUS)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(message_id, body)) == 1
        await terminal.shout(encode_frame(0x0801, PHONE, 9, bytes(900), packet=(3, 1)))
        assert result(await terminal.hear()) == 1
    assert not inlet.heard
    assert inlet.reasons() == {Reason.NOT_AUTHENTICATED}


async def test_a_wrong_code_is_refused_and_kept_out_of_the_account() -> None:
    inlet, driver = peers.Notebook(), listener(BUS)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(0x0102, authenticate_body("letmein"))) == 1
    ((who, reason, detail, raw),) = inlet.refused
    assert (who, reason, raw) == ("bus-1", Reason.NOT_AUTHENTICATED, b"")
    assert "letmein" not in detail


async def test_a_code_is_good_for_its_own_phone_only() -> None:
    other = DeviceConfig(id="bus-2", profile="vehicle", address="13900139000")
    inlet, driver = peers.Notebook(), listener(BUS, other)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        code = (await terminal.ask(0x0100, register_body())).body[3:].decode()
        assert result(await terminal.ask(0x0102, authenticate_body(code), phone=other.address)) == 1
        assert result(await terminal.ask(0x0102, authenticate_body(code))) == 0
        assert result(await terminal.ask(0x0200, location(), phone=other.address)) == 1


async def test_a_stranger_is_told_that_there_is_no_such_terminal() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        answer = await terminal.ask(0x0100, register_body(), phone="999")
        assert (answer.message_id, answer.body[2:]) == (0x8100, b"\x04")
        assert result(await terminal.ask(0x0200, location(), phone="999")) == 1
    assert inlet.reasons("127.0.0.1") == {Reason.UNKNOWN_DEVICE}
    assert not inlet.heard


async def test_where_any_is_admitted_a_stranger_becomes_a_device_once() -> None:
    inlet, driver = peers.Notebook(), listener(admit=Admit.ANY)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.log_in(phone="13700137000")
        assert not inlet.heard
        await terminal.ask(0x0200, location(), phone="13700137000")
        async with dial(driver) as modern:
            await modern.log_in(phone="13700137000", version=2019)
            await modern.ask(0x0200, location(), phone="13700137000", version=2019)
    assert inlet.admitted == [DeviceConfig(id="jt808-13700137000", profile="vehicle", address="13700137000")]
    assert {heard.device for heard in inlet.heard} == {"jt808-13700137000"}
    assert len(inlet.heard) == 2


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(CAPTURED_2013, (22.837943, 114.426985, 1_743_582_986), id="captured location, 2013 header"),
        pytest.param(CAPTURED_2019_BATCH, (-27.263378, 153.037383, 1_778_316_147), id="captured batch, 2019 header"),
    ],
)
async def test_a_captured_frame_ends_as_a_reading(frame: bytes, expected: tuple[float, float, int]) -> None:
    inlet, driver = peers.Notebook(), listener(require_auth=False, admit=Admit.ANY)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.shout(frame)
        assert result(await terminal.hear()) == 0
    (heard,) = inlet.heard
    latitude, longitude, seconds = expected
    assert heard.decoded.values["latitude"] == pytest.approx(latitude)
    assert heard.decoded.values["longitude"] == pytest.approx(longitude)
    assert heard.decoded.time_ns == seconds * SECOND_NS


async def test_a_location_without_a_time_leaves_the_time_to_the_pipeline() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(0x0200, location()[:22] + bytes(6))) == 0
    assert inlet.heard[0].decoded.time_ns is None
    assert inlet.heard[0].received_ns > NOON_NS


@pytest.mark.parametrize(
    ("message_id", "lead"),
    [
        pytest.param(0x0201, bytes.fromhex("0009"), id="the answer to a query"),
        pytest.param(0x0500, bytes.fromhex("0009"), id="the answer to a control"),
    ],
)
async def test_a_location_within_an_answer_is_a_reading_too(message_id: int, lead: bytes) -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(message_id, lead + location())) == 0
    assert len(inlet.heard) == 1


async def test_a_picture_in_packets_gives_its_location_and_one_answer() -> None:
    """0x0801 in three packets: id 7, picture, JPEG, event 0, channel 1, location, data."""
    body = bytes.fromhex("00000007 00 00 00 01") + location() + bytes(1500)
    parts = [body[i : i + 600] for i in range(0, len(body), 600)]
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        for number, part in enumerate(parts, start=1):
            await terminal.shout(encode_frame(0x0801, PHONE, 40 + number, part, packet=(len(parts), number)))
        answer = await terminal.hear()
    assert (answer.message_id, answer.body) == (0x8800, bytes.fromhex("00000007"))
    assert len(inlet.heard) == 1


async def test_a_packet_that_did_not_come_is_asked_for_by_its_number() -> None:
    """Three packets with serials 41 to 43, the second one lost."""
    body = bytes.fromhex("00000007 00 00 00 01") + location() + bytes(1500)
    parts = [body[i : i + 600] for i in range(0, len(body), 600)]
    inlet = peers.Notebook()
    driver = listener(BUS, require_auth=False, limits=SessionLimits(quiet_s=0.1))
    async with peers.running(driver, inlet), dial(driver) as terminal:
        for number in (1, 3):
            await terminal.shout(encode_frame(0x0801, PHONE, 40 + number, parts[number - 1], packet=(3, number)))
        wanted = await terminal.hear()
        assert (wanted.message_id, wanted.body) == (0x8003, bytes.fromhex("0029 01 0002"))
        await terminal.shout(encode_frame(0x0801, PHONE, 42, parts[1], packet=(3, 2)))
        while (answer := await terminal.hear()).message_id == 0x8003:
            pass
    assert answer.message_id == 0x8800
    assert len(inlet.heard) == 1


@pytest.mark.parametrize(
    ("message_id", "body", "answer", "reason"),
    [
        pytest.param(0x0200, b"\0" * 20, 2, Reason.TRUNCATED, id="a location that is too short"),
        pytest.param(0x0F5A, b"vendor", 3, Reason.UNKNOWN_MESSAGE, id="a message nobody knows"),
        pytest.param(0x0900, b"\x41abc", 3, Reason.UNKNOWN_MESSAGE, id="a known message that is not ours"),
        pytest.param(0x0704, batch_body([b"short"]), 2, Reason.TRUNCATED, id="a batch without one good item"),
    ],
)
async def test_what_cannot_be_used_is_answered_and_counted(message_id: int, body: bytes, answer: int, reason: Reason) -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(message_id, body)) == answer
        assert result(await terminal.ask(0x0200, location())) == 0
    assert reason in inlet.reasons("bus-1")
    assert len(inlet.heard) == 1


async def test_a_bad_item_in_a_batch_costs_only_itself() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(0x0704, batch_body([location(1.0), b"short", location(2.0)]))) == 0
    assert [heard.decoded.values["latitude"] for heard in inlet.heard] == [1.0, 2.0]
    assert inlet.reasons("bus-1") == {Reason.TRUNCATED}


async def test_a_reading_that_was_refused_is_answered_as_wrong() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    inlet.verdict = Verdict.REFUSED
    async with peers.running(driver, inlet), dial(driver) as terminal:
        assert result(await terminal.ask(0x0200, location())) == 2


async def test_a_wrong_checksum_is_counted_and_not_answered() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    broken = bytearray(encode_frame(0x0200, PHONE, 7, location()))
    broken[20] ^= 1
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.shout(bytes(broken))
        answer = await terminal.ask(0x0200, location())
    assert int.from_bytes(answer.body[:2], "big") == 1, "the first answer is to the good frame"
    assert inlet.reasons() == {Reason.BAD_CHECKSUM}
    assert len(inlet.heard) == 1


async def test_any_cut_of_the_stream_gives_the_same_readings() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    stream = b"".join(encode_frame(0x0200, PHONE, n, location(float(n))) for n in range(1, 6))
    async with peers.running(driver, inlet), dial(driver) as terminal:
        for start in range(0, len(stream), 7):
            await terminal.shout(stream[start : start + 7])
            await asyncio.sleep(0.001)
        for _ in range(5):
            assert result(await terminal.hear()) == 0
    assert [heard.decoded.values["latitude"] for heard in inlet.heard] == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_what_was_sent_before_the_hang_up_is_kept_and_answered() -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.shout(b"".join(encode_frame(0x0200, PHONE, n, location()) for n in range(50)) + b"\x7e\x02\x00")
        terminal.writer.write_eof()
        for _ in range(50):
            assert result(await terminal.hear()) == 0
        assert await terminal.hung_up()
    assert len(inlet.heard) == 50


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"\x7e" + b"\xaa" * 31, id="frames that are none"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20, id="a browser"),
        pytest.param(bytes(range(127, 256)) * 64, id="bytes without a flag"),
    ],
)
async def test_a_shouting_client_is_cut_off_and_harms_nobody(noise: bytes) -> None:
    inlet, driver = peers.Notebook(), listener(BUS, require_auth=False)
    async with peers.running(driver, inlet), dial(driver) as good, dial(driver) as shouter:
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                await shouter.shout(noise)
        assert await shouter.hung_up()
        assert result(await good.ask(0x0200, location())) == 0
    assert any("cut off" in detail for _, _, detail, _ in inlet.refused)
    assert len(inlet.refused) < 50, "what it shouts does not fill the account"


async def test_a_silent_connection_is_closed() -> None:
    inlet = peers.Notebook()
    driver = listener(BUS, require_auth=False, limits=SessionLimits(quiet_s=0.05, idle_s=0.2))
    async with peers.running(driver, inlet), dial(driver) as terminal:
        await terminal.shout(b"\x7e\x02\x00\x00")
        assert await terminal.hung_up()
    assert inlet.reasons() == {Reason.TRUNCATED}


async def test_a_client_that_takes_no_answers_is_let_go() -> None:
    inlet = peers.Notebook()
    driver = listener(BUS, require_auth=False, limits=SessionLimits(drain_s=0.2))
    flood = b"".join(encode_frame(0x0002, PHONE, n & 0xFFFF, b"") for n in range(2000))
    async with peers.running(driver, inlet), dial(driver, takes=4096) as deaf, dial(driver) as good:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(8):
                for _ in range(200):
                    await deaf.shout(flood)
        assert deaf.writer.transport.is_closing() or await deaf.hung_up()
        assert result(await good.ask(0x0200, location())) == 0


async def test_a_taken_port_is_told_and_tried_again() -> None:
    inlet, port = peers.Notebook(), peers.free_port()
    options = Jt808Options(port=port, require_auth=False)
    link = LinkConfig(name="fleet", driver=DriverName.JT808, devices=(BUS,), options=options)
    driver = make_driver(link, {"vehicle": peers.vehicle_profile()}, SystemClock())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peers.serving(serve, port):
        task = asyncio.ensure_future(driver.run(inlet))
        await peers.eventually(lambda: Reason.UNREACHABLE in inlet.reasons())
    await peers.eventually(lambda: driver.health().up)
    task.cancel()
    await asyncio.wait([task])


def test_any_without_a_profile_is_told() -> None:
    link = LinkConfig(name="fleet", driver=DriverName.JT808, devices=(), options=Jt808Options(admit=Admit.ANY))
    with pytest.raises(SetupError, match="want the name of a profile"):
        make_driver(link, {}, SystemClock())


def positions(row: dict) -> list[tuple[float, float]]:
    """The positions that a second, independent reading of the frame found."""
    derived = row.get("derived", {})
    found = [derived["location"]] if "location" in derived else derived.get("items", [])
    return [(item["lat"], item["lon"]) for item in found if isinstance(item, dict) and "lat" in item]


async def test_captured_frames_of_real_terminals_all_end_as_readings(vectors) -> None:
    rows = [json.loads(line) for line in (vectors / "jt808_shared.jsonl").read_text().splitlines() if line]
    sound = [
        row for row in rows if row.get("derived", {}).get("checksum_ok") and row["hex"][2:6] in {"0200", "0201", "0500", "0704"}
    ]
    inlet, driver = peers.Notebook(), listener(require_auth=False, admit=Admit.ANY)
    async with peers.running(driver, inlet), dial(driver) as terminal:
        for row in sound:
            await terminal.shout(bytes.fromhex(row["hex"]))
        expected = [position for row in sound for position in positions(row)]
        await peers.eventually(lambda: len(inlet.heard) >= len(expected))
    assert len(expected) > 60
    got = [(heard.decoded.values["latitude"], heard.decoded.values["longitude"]) for heard in inlet.heard]
    assert got == [pytest.approx(position, abs=1e-6) for position in expected]
