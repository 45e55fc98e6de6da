"""Firmware updates through the drivers: a Modbus unit's files and a vehicle terminal's upgrade, both over TCP."""

import asyncio
import struct

import edge_drivers_peers as peers
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge_drivers_terminal import BUS, Terminal, dial, listener

from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import make_driver
from edge_agent.drivers.jt808.driver import Jt808Driver
from edge_agent.drivers.jt808.session import SessionLimits
from edge_agent.drivers.modbus.bus import ModbusDriver
from edge_agent.link_kinds import DriverName, ModbusTcpOptions
from edge_agent.updates.base import Updatable
from edge_agent.updates.jt808 import TerminalUpdate
from edge_agent.updates.modbus_files import RecordsUpdate, UnitFiles
from edge_agent.updates.runner import run_update
from firmware_bridge.jt808.frames import Frame
from firmware_bridge.modbus.frames import tcp_frame
from firmware_bridge.update.manifest import Manifest, digest_of
from firmware_bridge.update.package import Package, sign_package
from firmware_bridge.update.session import Ending
from firmware_bridge.update.table import State
from simulators.devices.firmware.bootloader import Bootloader
from simulators.devices.firmware.faces import RecordFiles
from simulators.devices.firmware.faces import Terminal as Firmware
from telemetry.clock import SystemClock
from telemetry.reason import Reason

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT = DeviceConfig(id="lamp-1", profile="loop", address="7")


def package(version: int, size: int = 9000) -> Package:
    image = bytes((version + at * at) % 251 for at in range(size))
    manifest = Manifest(
        model="loop", hardware="A", release=f"{version}.0", version=version, size=size, sha256=digest_of(image), chunk_bytes=480
    )
    return sign_package(manifest, image, KEY)


def device() -> Bootloader:
    return Bootloader(KEY.public_key(), package(1), room_bytes=10_000)


class Unit:
    """A Modbus TCP unit with files; it hangs up at the requests whose numbers are in `hangs_up`."""

    def __init__(self, one: Bootloader, hangs_up: frozenset[int] = frozenset()) -> None:
        self.files = RecordFiles(one)
        self.requests = self.polls = 0
        self._hangs_up = hangs_up

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            transaction, _, size, unit = struct.unpack(">HHHB", await reader.readexactly(7))
            pdu = await reader.readexactly(size - 1)
            if pdu[0] in {20, 21}:
                self.requests += 1
                if self.requests in self._hangs_up:
                    return
                reply = self.files.answer(pdu)
            else:
                self.polls += 1
                reply = bytes((pdu[0] | 0x80, 2))
            writer.write(tcp_frame(transaction, unit, reply))


def bus(port: int) -> ModbusDriver:
    options = ModbusTcpOptions(host="127.0.0.1", port=port)
    link = LinkConfig(name="net", driver=DriverName.MODBUS_TCP, devices=(UNIT,), options=options)
    driver = make_driver(link, {"loop": peers.modbus_profile("loop")}, SystemClock())
    assert isinstance(driver, ModbusDriver)
    return driver


async def brought(update: Updatable) -> Ending:
    async with asyncio.timeout(30):
        return await run_update(update, pauses=Backoff(0.05, 0.2))


@pytest.mark.parametrize("hangs_up", [frozenset(), frozenset({1, 9, 30, 31, 50})], ids=["on a good line", "on one that breaks"])
async def test_a_modbus_unit_is_updated_between_its_polls(hangs_up: frozenset[int]) -> None:
    one = device()
    unit = Unit(one, hangs_up)
    async with peers.serving(unit) as port, peers.running(bus(port), peers.Notebook()) as driver:
        assert isinstance(driver, ModbusDriver)
        await peers.eventually(lambda: unit.polls)
        ending = await brought(RecordsUpdate(UnitFiles(driver, 7), package(2)))
        polls = unit.polls
        await peers.eventually(lambda: unit.polls > polls)
    assert ending.state is State.DONE, ending
    assert one.running == package(2).manifest


async def test_a_modbus_unit_refuses_an_older_image_and_records_that_are_not_there() -> None:
    one = device()
    async with peers.serving(Unit(one)) as port, peers.running(bus(port), peers.Notebook()) as driver:
        assert isinstance(driver, ModbusDriver)
        await peers.eventually(lambda: driver.health().polls)
        ending = await brought(RecordsUpdate(UnitFiles(driver, 7), package(1, size=100)))
        there_is_no_such = await driver.read_file(7, 99, 0, 1)
    assert (ending.state, ending.reason) == (State.REFUSED, Reason.EXPIRED)
    assert not isinstance(there_is_no_such, bytes)
    assert there_is_no_such.code == 2
    assert one.running == package(1).manifest


class Vehicle:
    """A terminal with a bootloader: it answers what an upgrade asks, restarts when it has the whole, and comes back."""

    def __init__(self, one: Bootloader) -> None:
        self.device = one
        self.firmware = Firmware(one)

    async def live(self, driver: Jt808Driver, breaks_at: int = 0) -> None:
        packets = 0
        while True:
            async with dial(driver) as terminal:
                await terminal.ask(0x0002)
                result = self.firmware.logged_in()
                if result is not None:
                    await terminal.send(0x0108, bytes((0, result)))
                restarts = False
                while not restarts:
                    frame = await asyncio.wait_for(terminal.hear(), 20)
                    if frame.message_id == 0x8107:
                        await self._attributes(terminal)
                    elif frame.message_id == 0x8108:
                        packets += 1
                        restarts = packets == breaks_at or await self._packet(terminal, frame.packet or (1, 1), frame)

    async def _packet(self, terminal: Terminal, place: tuple[int, int], frame: Frame) -> bool:
        total, number = place
        data = frame.body[11 + frame.body[6] :] if number == 1 else frame.body
        taken = self.firmware.packet(number, total, data)
        await terminal.send(0x0001, struct.pack(">HHB", frame.serial, 0x8108, 0 if taken else 1))
        return taken and number == total

    async def _attributes(self, terminal: Terminal) -> None:
        # JT/T 808-2013, 8.9: type, maker 5, model 20, id 7, ICCID 10, hardware, firmware, GNSS, communication.
        release = self.device.running.release.encode()
        body = (
            bytes(2) + b"CITYN" + bytes(20) + b"0000001" + bytes(10) + b"\x01A" + bytes((len(release),)) + release + b"\x03\x20"
        )
        await terminal.send(0x0107, body)


@pytest.mark.parametrize("breaks_at", [0, 3], ids=["at once", "after its connection broke within the packets"])
async def test_a_vehicle_terminal_is_updated_over_its_connection(breaks_at: int) -> None:
    one = device()
    driver = listener(BUS, require_auth=False, limits=SessionLimits(answer_s=0.5))
    async with peers.running(driver, peers.Notebook()):
        living = asyncio.create_task(Vehicle(one).live(driver, breaks_at))
        await peers.eventually(lambda: driver.health().connections)
        ending = await brought(TerminalUpdate(driver.upgrade(BUS, result_s=3.0), package(2), "CITYN"))
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living
    assert ending.state is State.DONE, ending
    assert one.running == package(2).manifest


async def test_a_vehicle_terminal_that_cannot_use_an_image_says_so_and_keeps_its_own() -> None:
    one = device()
    one.broken.add(2)
    driver = listener(BUS, require_auth=False, limits=SessionLimits(answer_s=0.5))
    async with peers.running(driver, peers.Notebook()):
        living = asyncio.create_task(Vehicle(one).live(driver))
        await peers.eventually(lambda: driver.health().connections)
        ending = await brought(TerminalUpdate(driver.upgrade(BUS, result_s=3.0), package(2), "CITYN"))
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living
    assert (ending.state, ending.reason) == (State.REFUSED, Reason.DEVICE_EXCEPTION)
    assert one.running == package(1).manifest
