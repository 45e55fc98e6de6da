"""What a shared Modbus line is worth: what the dead cost it, who goes first, whose reply is whose, RTU over TCP, files."""

import asyncio
import itertools

import edge_drivers_peers as peers
import pytest
from msgspec.structs import replace

from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from device_profiles.wires.modbus import RegisterArea, RegisterField
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.drivers.modbus.bus import ModbusDriver
from edge_agent.drivers.modbus.line import ModbusLine
from edge_agent.drivers.modbus.reply import Failure, Request, RtuEnvelope, TcpEnvelope
from edge_agent.link_kinds import DriverName, ModbusTcpOptions, SerialOptions
from firmware_bridge.modbus.frames import rtu_frame, tcp_frame
from simulators.deeds import How, Kind
from simulators.devices.base import Surroundings
from simulators.devices.modbus.lines import RtuBus
from simulators.devices.modbus.server import RtuServer
from simulators.devices.modbus.unit import ModbusUnit
from simulators.scenario import DeviceSpec
from telemetry.clock import SystemClock
from telemetry.reason import Reason

pytestmark = pytest.mark.integration

CLOCK = SystemClock()
CATALOG = load_catalog()


def rtu(path: str, *devices: DeviceConfig, catalog: dict[str, Profile]) -> ModbusDriver:
    link = LinkConfig(name="bus", driver=DriverName.MODBUS_RTU, devices=devices, options=SerialOptions(port=path))
    driver = make_driver(link, catalog, CLOCK)
    assert isinstance(driver, ModbusDriver)
    return driver


def device(name: str, profile: str, address: int) -> DeviceConfig:
    return DeviceConfig(id=name, profile=profile, address=str(address))


def answer_air(frame: bytes) -> bytes:
    return rtu_frame(frame[0], b"\x03\x02\x00\x39")


async def test_a_dead_unit_costs_its_bus_less_than_a_twentieth_of_the_time() -> None:
    inlet = peers.Notebook()
    catalog = {"air": peers.air_profile(poll_s=0.1, timeout_s=0.04)}
    devices = [device("dead", "air", 1), device("well", "air", 2)]
    async with (
        peers.bus(lambda frame: b"" if frame[0] == 1 else answer_air(frame)) as line,
        peers.running(rtu(line.pty.path, *devices, catalog=catalog), inlet),
    ):
        await peers.eventually(lambda: sum(frame[0] == 1 for frame in line.requests) >= 3)
        begun = asyncio.get_running_loop().time()
        before = len(line.requests)
        await asyncio.sleep(4.0)
        lasted_s = asyncio.get_running_loop().time() - begun
        asked = [frame[0] for frame in line.requests[before:]]
    # Each vain question holds the line for its time limit, and half as long again so that a late reply finds nobody.
    cost = asked.count(1) * 0.04 * 1.5 / lasted_s
    assert asked.count(1) >= 1, "it is still asked"
    assert cost < 0.05
    assert asked.count(2) > 0.7 * lasted_s / 0.1, "the living keep their rhythm"


async def test_a_block_that_is_never_answered_is_left_out_of_most_rounds() -> None:
    inlet = peers.Notebook()
    catalog = {"loop": peers.modbus_profile(poll_s=0.05, timeout_s=0.04)}

    def answer(frame: bytes) -> bytes:
        match frame[1]:
            case 1:
                return rtu_frame(1, b"\x01\x01\x01")
            case 4:
                return rtu_frame(1, b"\x04\x02\x08\xfd")
            case _:
                return b""

    async with peers.bus(answer) as line, peers.running(rtu(line.pty.path, device("half", "loop", 1), catalog=catalog), inlet):
        await peers.eventually(lambda: len(inlet.heard) >= 25)
        asked = [frame[1] for frame in line.requests]
    assert asked.count(3) <= 8, "three in a row, then ever fewer"
    flaws = {heard.decoded.flaws["current_a"].reason for heard in inlet.heard}
    assert flaws == {Reason.TIMEOUT}
    assert all(heard.decoded.values["voltage_v"] == pytest.approx(230.1) for heard in inlet.heard)


async def test_registers_of_a_longer_period_are_read_in_their_turn_and_with_the_others() -> None:
    profile = peers.modbus_profile(poll_s=0.05)
    assert profile.wire.modbus is not None
    slow = [replace(f, poll_s=0.4) if f.metric == "current_a" else f for f in profile.wire.modbus.registers]
    profile = replace(profile, wire=replace(profile.wire, modbus=replace(profile.wire.modbus, registers=tuple(slow))))
    inlet = peers.Notebook()
    replies = {1: b"\x01\x01\x01", 3: b"\x03\x02\x04\xd2", 4: b"\x04\x02\x08\xfd"}
    async with (
        peers.bus(lambda frame: rtu_frame(1, replies[frame[1]])) as line,
        peers.running(rtu(line.pty.path, device("two", "loop", 1), catalog={"loop": profile}), inlet),
    ):
        await peers.eventually(lambda: len(inlet.heard) >= 20)
    full = [at for at, heard in enumerate(inlet.heard) if "current_a" in heard.decoded.values]
    assert full[0] == 0, "the first reading has everything"
    assert all(3 <= b - a <= 9 for a, b in itertools.pairwise(full))
    assert all({"voltage_v", "contactor_closed"} <= heard.decoded.values.keys() for heard in inlet.heard)
    assert not inlet.refused


async def test_a_gateways_word_that_a_unit_is_silent_is_not_the_units() -> None:
    inlet = peers.Notebook()
    options = ModbusTcpOptions(host="127.0.0.1", port=peers.free_port())
    link = LinkConfig(
        name="net",
        driver=DriverName.MODBUS_TCP,
        devices=(device("gone", "air", 1), device("well", "air", 2)),
        options=options,
    )
    driver = make_driver(link, {"air": peers.air_profile()}, CLOCK)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(7)
            pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            reply = b"\x83\x0b" if head[6] == 1 else b"\x03\x02\x00\x39"
            writer.write(tcp_frame(int.from_bytes(head[:2], "big"), head[6], reply))
            assert pdu[0] == 3

    async with peers.serving(serve, options.port), peers.running(driver, inlet):
        await peers.eventually(lambda: len(inlet.of("well")) >= 30)
    assert not inlet.of("gone"), "no reading where nothing was read"
    assert inlet.reasons("gone") == {Reason.DEVICE_EXCEPTION}
    assert len([who for who, *_ in inlet.refused if who == "gone"]) < 15
    assert driver.health().connections == 1


# Whose reply is whose.


async def line_with(answers: list[list[tuple[float, bytes]]]) -> tuple[ModbusLine, peers.Bus]:
    """A shared line whose nth request is answered by the nth list of (seconds after it, bytes)."""
    loop = asyncio.get_running_loop()

    def answer(_: bytes) -> bytes:
        for after_s, data in answers.pop(0) if answers else []:
            loop.call_later(after_s, bus.pty.write, data)
        return b""

    bus = peers.Bus(answer)
    link = LinkConfig(name="bus", driver=DriverName.MODBUS_RTU, devices=(), options=SerialOptions(port=bus.pty.path))
    driver = make_driver(replace(link, devices=(device("air", "air", 1),)), {"air": peers.air_profile()}, CLOCK)
    assert isinstance(driver, ModbusDriver)
    line = driver._line
    assert not await line.connect()
    return line, bus


ASK = Request.of(1, bytes.fromhex("0300000001"))
OTHER = Request.of(1, bytes.fromhex("0300070001"))


async def test_a_reply_that_comes_after_the_next_question_is_not_its_answer() -> None:
    """Both replies have unit, function and length of either question; only that there are two tells that the first was late."""
    late, right = rtu_frame(1, b"\x03\x02\x03\xe7"), rtu_frame(1, b"\x03\x02\x00\x39")
    line, bus = await line_with([[(0.18, late)], [(0.06, right)], [(0.0, right)]])
    try:
        first = await line.ask(ASK, 0.1)
        second = await line.ask(OTHER, 0.1)
        third = await line.ask(OTHER, 0.1)
    finally:
        line.close()
        bus.close()
    assert isinstance(first, Failure)
    assert first.reason is Reason.TIMEOUT
    assert second == third == b"\x03\x02\x00\x39"


async def test_a_lost_reply_costs_the_next_answer_a_wait_and_nothing_else() -> None:
    right = rtu_frame(1, b"\x03\x02\x00\x39")
    line, bus = await line_with([[], [(0.0, right)], [(0.0, right)]])
    loop = asyncio.get_running_loop()
    try:
        assert isinstance(await line.ask(ASK, 0.1), Failure)
        begun = loop.time()
        assert await line.ask(ASK, 0.1) == b"\x03\x02\x00\x39"
        doubted_s = loop.time() - begun
        begun = loop.time()
        assert await line.ask(ASK, 0.1) == b"\x03\x02\x00\x39"
        trusted_s = loop.time() - begun
    finally:
        line.close()
        bus.close()
    assert trusted_s < 0.05 < doubted_s


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(tcp_frame(1, 1, b"\x03\x02\0\x39"), id="an earlier transaction"),
        pytest.param(tcp_frame(2, 9, b"\x03\x02\0\x39"), id="another unit"),
        pytest.param(tcp_frame(2, 1, b"\x04\x02\0\x39"), id="another function"),
        pytest.param(tcp_frame(2, 1, b"\x03\x04\0\x39\0\1"), id="more than was asked"),
        pytest.param(tcp_frame(2, 1, b"\x84\x02"), id="an exception to another function"),
    ],
)
def test_a_tcp_frame_that_is_not_the_reply_is_passed_over(reply: bytes) -> None:
    envelope = TcpEnvelope()
    envelope.wrap(ASK)
    envelope.wrap(ASK)
    assert envelope.feed(reply[:5]) is None
    assert envelope.feed(reply[5:]) is None
    assert envelope.feed(tcp_frame(2, 1, b"\x03\x02\0\x2a")) == b"\x03\x02\0\x2a"


def test_half_a_late_frame_before_the_next_question_does_not_hide_its_answer() -> None:
    envelope = TcpEnvelope()
    envelope.wrap(ASK)
    late = tcp_frame(1, 1, b"\x03\x02\0\x39")
    assert envelope.feed(late[:6]) is None
    envelope.wrap(ASK)
    assert envelope.feed(late[6:] + tcp_frame(2, 1, b"\x03\x02\0\x2a")) == b"\x03\x02\0\x2a"


def test_a_line_that_shouts_is_held_in_bounded_memory() -> None:
    for envelope in (RtuEnvelope(), TcpEnvelope()):
        envelope.wrap(ASK)
        for _ in range(200):
            envelope.feed(b"\xff" * 300)
        assert len(envelope._heard if isinstance(envelope, RtuEnvelope) else envelope._buffer) <= 1024


# A serial server, and files.


def unit(address: str) -> ModbusUnit:
    spec = DeviceSpec(
        id=f"air-{address}",
        kind=Kind.TOILET_AIR,
        profile="toilet_air_modbus",
        address=address,
        form=None,
        interval_s=3600,
        link="bus",
        longitude=121.0,
        latitude=31.0,
    )
    return ModbusUnit(spec, CATALOG["toilet_air_modbus"], Surroundings(clock=CLOCK, seed=3, born_ns=CLOCK.wall_ns()))


def rtu_tcp(place: str, *devices: DeviceConfig) -> Driver:
    profile = CATALOG["toilet_air_modbus"]
    assert profile.wire.modbus is not None
    fast = replace(profile, wire=replace(profile.wire, modbus=replace(profile.wire.modbus, poll_s=0.1, timeout_s=0.3)))
    host, _, port = place.rpartition(":")
    options = ModbusTcpOptions(host=host, port=int(port))
    link = LinkConfig(name="box", driver=DriverName.MODBUS_RTU_TCP, devices=devices, options=options)
    return make_driver(link, {profile.name: fast}, CLOCK)


@pytest.mark.parametrize("how", [None, How.NOISE, How.WRONG_UNIT, How.CUT, How.SILENT], ids=str)
async def test_a_bus_behind_a_serial_server_is_polled_over_tcp_also_beside_a_bad_neighbour(how: How | None) -> None:
    inlet = peers.Notebook()
    bad, good = unit("1"), unit("2")
    server = RtuServer([bad, good])
    place = await server.start()
    if how is not None:
        bad.act("misbehave", {"how": str(how)}, CLOCK.wall_ns())
    devices = [device("air-1", "toilet_air_modbus", 1), device("air-2", "toilet_air_modbus", 2)]
    running = asyncio.create_task(server.run())
    try:
        async with peers.running(rtu_tcp(place, *devices), inlet):
            await peers.eventually(lambda: len(inlet.of("air-2")) >= 4)
            if how is None:
                await peers.eventually(lambda: len(inlet.of("air-1")) >= 4)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await server.close()
    assert all(heard.decoded.values["co2_ppm"] is not None for heard in inlet.of("air-2"))
    if how in {How.WRONG_UNIT, How.CUT, How.SILENT}:
        assert not inlet.of("air-1")
    if how is None:
        assert not inlet.refused


async def test_a_file_goes_to_a_unit_and_comes_back_in_pieces() -> None:
    inlet, its = peers.Notebook(), unit("2")
    image = bytes(range(256)) * 4
    bus = RtuBus([its])
    path = await bus.start()
    running = asyncio.create_task(bus.run())
    driver = rtu(path, device("air-2", "toilet_air_modbus", 2), catalog=dict(CATALOG))
    try:
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: inlet.heard)
            assert await driver.write_file(2, 4, 0, image) is None
            assert await driver.read_file(2, 4, 0, len(image) // 2) == image
            assert await driver.read_file(2, 4, 10, 3) == image[20:26]
            beyond = await driver.read_file(2, 4, 9_000, 10)
            assert isinstance(beyond, Failure)
            assert beyond.code == 2
            odd = await driver.write_file(2, 4, 0, b"\0")
            assert odd is not None
            assert odd.reason is Reason.BAD_LENGTH
            stranger = await driver.read_file(77, 4, 0, 1)
            assert isinstance(stranger, Failure)
            assert stranger.reason is Reason.UNKNOWN_DEVICE
    finally:
        running.cancel()
        await asyncio.wait([running])
        await bus.close()
    assert bytes(its.files[4]) == image


def test_a_field_tells_its_own_period() -> None:
    field = RegisterField(metric="m", area=RegisterArea.INPUT, address=0, poll_s=30.0)
    wire = replace(CATALOG["toilet_air_modbus"].wire.modbus, registers=(field, replace(field, address=1, poll_s=None)))
    assert wire.periods_s == (10.0, 30.0)
