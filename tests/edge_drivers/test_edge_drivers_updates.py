"""Firmware updates through the drivers: a Modbus unit's files and a vehicle terminal's upgrade, both over TCP."""

import asyncio

import edge_drivers_peers as peers
import pytest
from edge_drivers_firmware import Unit, Vehicle, device, package
from edge_drivers_terminal import BUS, listener

from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import make_driver
from edge_agent.drivers.jt808.session import SessionLimits
from edge_agent.drivers.modbus.bus import ModbusDriver
from edge_agent.link_kinds import DriverName, ModbusTcpOptions
from edge_agent.updates.base import Updatable
from edge_agent.updates.jt808 import TerminalUpdate
from edge_agent.updates.modbus_files import RecordsUpdate, UnitFiles
from edge_agent.updates.runner import run_update
from firmware_bridge.update.session import Ending
from firmware_bridge.update.table import State
from telemetry.clock import SystemClock
from telemetry.reason import Reason

UNIT = DeviceConfig(id="lamp-1", profile="loop", address="7")


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
