"""Modbus over real sockets and ptys: pymodbus as the peer where it behaves, raw bytes where it must not."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import edge_drivers_peers as peers
import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.link_kinds import DriverName, ModbusTcpOptions, SerialOptions
from firmware_bridge.modbus.frames import parse_tcp, rtu_frame, tcp_frame
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.reason import Reason
from telemetry.records import Command, Flaw, Outcome, Quality

CATALOG = {p.name: p for p in (peers.modbus_profile(), peers.air_profile())}
LAMP = DeviceConfig(id="lamp-1", profile="loop", address="1")
AIR = DeviceConfig(id="air-2", profile="air", address="2")


def rtu_link(path: str, *devices: DeviceConfig) -> Driver:
    link = LinkConfig(name="bus", driver=DriverName.MODBUS_RTU, devices=devices, options=SerialOptions(port=path))
    return make_driver(link, CATALOG, SystemClock())


def tcp_link(port: int, *devices: DeviceConfig) -> Driver:
    options = ModbusTcpOptions(host="127.0.0.1", port=port)
    link = LinkConfig(name="net", driver=DriverName.MODBUS_TCP, devices=devices, options=options)
    return make_driver(link, CATALOG, SystemClock())


def order(action: str, **args: int | str | bool | float) -> Command:
    return Command(
        id="c-1",
        gateway="gw",
        device="lamp-1",
        action=action,
        args=dict(args),
        actor="me",
        counter=1,
        issued_ns=SECOND_NS,
        ttl_s=60,
    )


class Unit:
    """A well-behaved unit: input 0, holding 0 and 100, coil 3, with writes."""

    def __init__(self) -> None:
        self.registers = {(4, 0): 2301, (3, 100): 1234, (3, 0): 57}
        self.coils = {3: True}

    def pdu(self, request: bytes) -> bytes:
        function, address, word = struct.unpack_from(">BHH", request)
        if function in (3, 4):
            if (function, address) not in self.registers:
                return bytes([function | 0x80, 2])
            return bytes([function, 2]) + self.registers[function, address].to_bytes(2, "big")
        if function == 1:
            return bytes([1, 1, int(self.coils[address])])
        if function == 5:
            self.coils[address] = word == 0xFF00
        else:
            self.registers[3, address] = word
        return request[:5]

    def rtu(self, frame: bytes) -> bytes:
        return rtu_frame(frame[0], self.pdu(frame[1:-2]))


@contextlib.asynccontextmanager
async def pymodbus_tcp(context: object) -> AsyncIterator[int]:
    port = peers.free_port()
    server = ModbusTcpServer(context, address=("127.0.0.1", port))  # type: ignore[arg-type]
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


def pymodbus_context() -> object:
    from pymodbus.simulator import DataType, SimData, SimDevice

    def registers(first: int, values: list[int]) -> SimData:
        return SimData(first, values=values, datatype=DataType.REGISTERS)

    return SimDevice(
        1,
        simdata=(
            [SimData(0, values=[False, False, False, True] + [False] * 12, datatype=DataType.BITS)],
            [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
            [registers(100, [1234, 0, 0])],
            [registers(0, [2301, 0, 0])],
        ),
    )


async def test_a_pymodbus_tcp_server_is_polled_and_commanded() -> None:
    inlet = peers.Notebook()
    async with pymodbus_tcp(pymodbus_context()) as port:
        driver = tcp_link(port, LAMP)
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: len(inlet.heard) >= 3)
            done = await driver.command(order("switch", closed=0), LAMP)
            await peers.eventually(lambda: inlet.heard[-1].decoded.values["contactor_closed"] is False)
    assert inlet.heard[0].decoded.values == {
        "voltage_v": pytest.approx(230.1),
        "current_a": pytest.approx(12.34),
        "contactor_closed": True,
    }
    assert not inlet.heard[0].decoded.flaws
    assert {frame.language for frame in inlet.heard[0].frames} == {"modbus-tcp"}
    assert all(parse_tcp(frame.raw).unit == 1 for frame in inlet.heard[0].frames)
    assert inlet.heard[0].source == f"127.0.0.1:{port}"
    assert (done.outcome, done.reason) == (Outcome.DONE, None)
    assert not inlet.refused
    assert driver.health().devices["lamp-1"] > 0


async def test_a_pymodbus_rtu_server_is_polled_over_a_pty_pair() -> None:
    inlet = peers.Notebook()
    near, far = peers.Pty(), peers.Pty()
    with peers.pumped(near, far):
        server = ModbusSerialServer(pymodbus_context(), framer=FramerType.RTU, port=far.path)  # type: ignore[arg-type]
        await server.serve_forever(background=True)
        try:
            async with peers.running(rtu_link(near.path, LAMP), inlet):
                await peers.eventually(lambda: len(inlet.heard) >= 3)
        finally:
            await server.shutdown()
    assert inlet.heard[0].decoded.values["voltage_v"] == pytest.approx(230.1)
    assert not inlet.refused


async def test_two_models_share_one_rtu_bus() -> None:
    inlet, unit = peers.Notebook(), Unit()
    async with peers.bus(unit.rtu) as line, peers.running(rtu_link(line.pty.path, LAMP, AIR), inlet):
        await peers.eventually(lambda: len(inlet.of("lamp-1")) >= 3 and len(inlet.of("air-2")) >= 3)
    assert inlet.of("lamp-1")[0].decoded.values["current_a"] == pytest.approx(12.34)
    assert inlet.of("air-2")[0].decoded.values == {"nh3_ppm": pytest.approx(5.7)}
    assert not inlet.refused


async def test_a_silent_unit_costs_the_unit_beside_it_little() -> None:
    inlet, unit = peers.Notebook(), Unit()
    async with (
        peers.bus(lambda frame: b"" if frame[0] == 1 else unit.rtu(frame)) as line,
        peers.running(rtu_link(line.pty.path, LAMP, AIR), inlet),
    ):
        await peers.eventually(lambda: len(inlet.of("air-2")) >= 40)
        silent = sum(frame[0] == 1 for frame in line.requests)
    assert not inlet.of("lamp-1")
    assert Reason.TIMEOUT in inlet.reasons("lamp-1")
    assert not inlet.reasons("air-2")
    assert silent <= 10, "three whole rounds at most, then ever fewer questions"


async def test_many_dead_units_cannot_keep_a_living_one_from_its_rhythm() -> None:
    inlet, unit = peers.Notebook(), Unit()
    dead = [DeviceConfig(id=f"dead-{n}", profile="air", address=str(n)) for n in range(10, 14)]
    async with (
        peers.bus(lambda frame: unit.rtu(frame) if frame[0] == 2 else b"") as line,
        peers.running(rtu_link(line.pty.path, *dead, AIR), inlet) as driver,
    ):
        await peers.eventually(lambda: len(inlet.of("air-2")) >= 20, within_s=14)
        asked = sum(frame[0] >= 10 for frame in line.requests)
    assert asked <= 4 * 6, "three rounds each, then with growing pauses"
    assert driver.health().connections == 1, "the line is not opened anew while somebody answers"


async def test_a_unit_that_comes_back_is_heard_again() -> None:
    inlet, unit = peers.Notebook(), Unit()
    dead = True
    async with (
        peers.bus(lambda frame: b"" if dead and frame[0] == 1 else unit.rtu(frame)) as line,
        peers.running(rtu_link(line.pty.path, LAMP, AIR), inlet),
    ):
        await peers.eventually(lambda: len(inlet.refused) >= 3)
        dead = False
        await peers.eventually(lambda: inlet.of("lamp-1"))


async def test_an_exception_costs_only_the_metrics_of_its_block() -> None:
    inlet, unit = peers.Notebook(), Unit()
    del unit.registers[3, 100]
    async with peers.bus(unit.rtu) as line, peers.running(rtu_link(line.pty.path, LAMP), inlet):
        await peers.eventually(lambda: inlet.heard)
    decoded = inlet.heard[0].decoded
    assert decoded.values == {"voltage_v": pytest.approx(230.1), "current_a": None, "contactor_closed": True}
    assert decoded.flaws == {"current_a": Flaw(Quality.BAD, Reason.DEVICE_EXCEPTION)}
    assert "illegal data address" in inlet.refused[0][2]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda good: rtu_frame(7, good[1:-2]), Reason.WRONG_UNIT, id="another unit answers"),
        pytest.param(lambda good: good[:-1] + bytes([good[-1] ^ 1]), Reason.BAD_CHECKSUM, id="the CRC is wrong"),
        pytest.param(lambda good: good[:4], Reason.TRUNCATED, id="the reply is cut"),
        pytest.param(
            lambda good: rtu_frame(good[0], b"\x04\x04\0\1\0\2"), Reason.BAD_LENGTH, id="the reply is longer than asked"
        ),
        pytest.param(lambda good: rtu_frame(good[0], b"\x03\x02\0\1"), Reason.BAD_FIELD, id="another function answers"),
        pytest.param(lambda good: b"\xff" * 200, Reason.BAD_CHECKSUM, id="the line shouts"),
    ],
)
async def test_a_reply_that_is_none_is_refused_with_its_reason(spoil, reason) -> None:
    inlet, unit = peers.Notebook(), Unit()

    def answer(frame: bytes) -> bytes:
        good = unit.rtu(frame)
        return spoil(good) if frame[1] == 4 else good

    async with peers.bus(answer) as line, peers.running(rtu_link(line.pty.path, LAMP), inlet):
        await peers.eventually(lambda: len(inlet.heard) >= 2)
    assert inlet.reasons() == {reason}
    for heard in inlet.heard:
        assert heard.decoded.values["voltage_v"] is None
        assert heard.decoded.flaws == {"voltage_v": Flaw(Quality.BAD, reason)}
        assert heard.decoded.values["current_a"] == pytest.approx(12.34)


async def test_noise_before_a_reply_and_a_reply_in_pieces_lose_nothing() -> None:
    inlet, unit = peers.Notebook(), Unit()

    def answer(frame: bytes) -> list[bytes]:
        good = unit.rtu(frame)
        return [b"\x00\x03\xff", good[:2], good[2:]]

    async with peers.bus(answer) as line, peers.running(rtu_link(line.pty.path, LAMP), inlet):
        await peers.eventually(lambda: len(inlet.heard) >= 3)
    assert not inlet.refused
    assert all(heard.decoded.values["voltage_v"] == pytest.approx(230.1) for heard in inlet.heard)


async def test_a_late_reply_is_not_taken_for_the_next_one() -> None:
    """Both units answer the same shape of question; unit 1 answers after its time limit, with its own number in front."""
    inlet, unit = peers.Notebook(), Unit()
    loop = asyncio.get_running_loop()
    late = [DeviceConfig(id=f"air-{n}", profile="air", address=str(n)) for n in (1, 2)]

    def answer(frame: bytes) -> bytes:
        if frame[0] == 1:
            wrong = rtu_frame(1, bytes([3, 2, 0x03, 0xE7]))
            loop.call_later(0.19, lambda: line.pty.write(wrong))
            return b""
        return unit.rtu(frame)

    async with peers.bus(answer) as line, peers.running(rtu_link(line.pty.path, *late), inlet):
        await peers.eventually(lambda: len(inlet.of("air-2")) >= 10)
    await asyncio.sleep(0.25)
    assert not inlet.of("air-1")
    assert all(heard.decoded.values["nh3_ppm"] == pytest.approx(5.7) for heard in inlet.of("air-2"))


async def test_requests_never_overlap_and_keep_the_turnaround() -> None:
    inlet, unit = peers.Notebook(), Unit()
    catalog = {"loop": peers.modbus_profile(turnaround_ms=20)}
    async with peers.bus(unit.rtu) as line:
        link = LinkConfig(name="bus", driver=DriverName.MODBUS_RTU, devices=(LAMP,), options=SerialOptions(port=line.pty.path))
        async with peers.running(make_driver(link, catalog, SystemClock()), inlet):
            await peers.eventually(lambda: len(inlet.heard) >= 3)
        gaps = [b - a for a, b in zip(line.times, line.times[1:], strict=False)]
    assert all(len(frame) == 8 for frame in line.requests), "one request at a time"
    assert min(gaps) >= 0.019


async def test_an_unplugged_port_is_reopened() -> None:
    inlet, unit = peers.Notebook(), Unit()
    async with peers.bus(unit.rtu) as line:
        driver = rtu_link(line.pty.path, LAMP)
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: inlet.heard)
            line.close()
            await peers.eventually(lambda: not driver.health().up)
            assert Reason.UNREACHABLE in inlet.reasons()


async def test_a_tcp_server_that_comes_late_and_goes_away_is_found_again() -> None:
    inlet, port = peers.Notebook(), peers.free_port()
    driver = tcp_link(port, LAMP)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unit = Unit()
        for _ in range(5):
            head = await reader.readexactly(7)
            pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            writer.write(tcp_frame(int.from_bytes(head[:2], "big"), head[6], unit.pdu(pdu)))

    async with peers.running(driver, inlet):
        await peers.eventually(lambda: Reason.UNREACHABLE in inlet.reasons())
        async with peers.serving(serve, port):
            await peers.eventually(lambda: driver.health().connections >= 3)
    assert inlet.heard[0].decoded.values["voltage_v"] == pytest.approx(230.1)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda tid, unit, pdu: tcp_frame(tid + 1, unit, pdu), Reason.WRONG_TRANSACTION, id="another transaction"),
        pytest.param(lambda tid, unit, pdu: tcp_frame(tid, unit + 1, pdu), Reason.WRONG_UNIT, id="another unit"),
        pytest.param(lambda tid, unit, pdu: tcp_frame(tid, unit, b"\x63\1"), Reason.BAD_FIELD, id="a function of its own"),
        pytest.param(lambda tid, unit, pdu: tcp_frame(tid, unit, pdu[:-1]), Reason.BAD_LENGTH, id="a byte short"),
        pytest.param(lambda tid, unit, pdu: b"HTTP/1.1 400 Bad Request\r\n", Reason.BAD_START, id="not Modbus at all"),
    ],
)
async def test_a_tcp_reply_that_is_none_is_refused_and_the_connection_lives(spoil, reason) -> None:
    inlet, unit = peers.Notebook(), Unit()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            head = await reader.readexactly(7)
            pdu = unit.pdu(await reader.readexactly(int.from_bytes(head[4:6], "big") - 1))
            tid = int.from_bytes(head[:2], "big")
            writer.write(spoil(tid, head[6], pdu) if pdu[0] == 4 else tcp_frame(tid, head[6], pdu))

    async with peers.serving(serve) as port, peers.running(tcp_link(port, LAMP), inlet):
        await peers.eventually(lambda: len(inlet.heard) >= 2)
    assert inlet.reasons() == {reason}
    assert inlet.heard[0].decoded.flaws == {"voltage_v": Flaw(Quality.BAD, reason)}
    assert connections == 1


async def test_a_command_is_done_only_when_it_reads_back() -> None:
    inlet, unit = peers.Notebook(), Unit()
    async with peers.bus(unit.rtu) as line:
        driver = rtu_link(line.pty.path, LAMP)
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: inlet.heard)
            done = await driver.command(order("limit", level=800), LAMP)
            assert unit.registers[3, 100] == 800
            stuck = await stubborn(unit, driver)
    assert done.outcome is Outcome.DONE
    assert (stuck.outcome, stuck.reason) == (Outcome.FAILED, Reason.CONFLICT)


async def stubborn(unit: Unit, driver: Driver):
    class Welded(dict[int, bool]):
        def __setitem__(self, key: int, value: bool) -> None:
            """A contactor that does not move."""

    unit.coils = Welded({3: True})
    return await driver.command(order("switch", closed=False), LAMP)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param(order("fly"), Reason.UNKNOWN_COMMAND, id="an order the model does not know"),
        pytest.param(order("limit"), Reason.MISSING, id="no argument"),
        pytest.param(order("limit", level="much"), Reason.WRONG_TYPE, id="an argument that is no number"),
        pytest.param(order("limit", level=1001), Reason.OUT_OF_RANGE, id="above the range"),
        pytest.param(order("switch", closed=2), Reason.OUT_OF_RANGE, id="neither on nor off"),
    ],
)
async def test_a_wrong_order_is_refused_before_it_reaches_the_line(command, reason) -> None:
    driver = tcp_link(peers.free_port(), LAMP)
    result = await driver.command(command, LAMP)
    assert (result.outcome, result.reason) == (Outcome.REFUSED, reason)


async def test_an_order_to_a_line_that_is_down_fails_at_once() -> None:
    result = await tcp_link(peers.free_port(), LAMP).command(order("switch", closed=1), LAMP)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.UNREACHABLE)


@pytest.mark.parametrize("address", ["0", "248", "x", "-1", ""])
def test_an_address_that_is_no_unit_number_is_told(address: str) -> None:
    with pytest.raises(SetupError, match="want a unit number from 1 to 247"):
        tcp_link(1, DeviceConfig(id="d", profile="loop", address=address))
