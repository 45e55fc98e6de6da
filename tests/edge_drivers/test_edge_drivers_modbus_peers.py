"""Modbus with peers that are not ours: libmodbus as the server of our driver, mbpoll as the client of our simulator."""

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import edge_drivers_peers as peers
import pytest
from msgspec.structs import replace

from device_profiles.model import Profile
from device_profiles.quantities import Scaling
from device_profiles.shelf import load_catalog
from device_profiles.wires.modbus import RegisterArea
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.link_kinds import DriverName, ModbusTcpOptions, SerialOptions
from simulators.deeds import Kind
from simulators.devices.base import Surroundings
from simulators.devices.modbus.lines import ModbusTcpPort, RtuBus
from simulators.devices.modbus.unit import ModbusUnit
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.records import Command, Outcome

pytestmark = pytest.mark.integration

CLOCK = SystemClock()
LAMP = DeviceConfig(id="lamp-1", profile="loop", address="1")
_HEADER = Path("/usr/include/modbus/modbus.h")
_SOURCE = Path(__file__).with_name("modbus_server.c")


def loop_profile() -> Profile:
    """The profile that the server's registers are laid out for, with an order by mask and one of two coils."""
    profile = peers.modbus_profile()
    mask = peers.command("mask", RegisterArea.HOLDING, 101, argument="mode", high=3, scaling=Scaling(bits=(4, 2)))
    pair = peers.command("pair", RegisterArea.COIL, 8, argument="pair", high=3)
    assert pair.register is not None
    pair = replace(pair, register=replace(pair.register, coils=2))
    return replace(profile, commands={**profile.commands, "mask": mask, "pair": pair})


def driver_of(kind: DriverName, options: ModbusTcpOptions | SerialOptions) -> Driver:
    profile = loop_profile()
    link = LinkConfig(name="peer", driver=kind, devices=(LAMP,), options=options)
    return make_driver(link, {profile.name: profile}, CLOCK)


def order(action: str, **args: int) -> Command:
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


@pytest.fixture(scope="module")
def libmodbus_server(need_server: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server program, compiled here."""
    compiler = need_server("gcc", "gcc libc6-dev")
    if not _HEADER.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("apt-get install libmodbus-dev")
        pytest.skip("apt-get install libmodbus-dev")
    program = tmp_path_factory.mktemp("libmodbus") / "modbus_server"
    command = [compiler, "-Wall", f"-I{_HEADER.parent}", str(_SOURCE), "-o", str(program), "-lmodbus"]
    subprocess.run(command, check=True, timeout=60)
    return program


@contextlib.asynccontextmanager
async def serving(program: Path, *where: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(str(program), *where, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"ready\n"
        yield
    finally:
        process.terminate()
        await process.wait()


async def polled_and_commanded(driver: Driver) -> None:
    inlet = peers.Notebook()
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: len(inlet.heard) >= 3)
        orders = [order("switch", closed=0), order("limit", level=777), order("mask", mode=2), order("pair", pair=3)]
        results = [await driver.command(one, LAMP) for one in orders]
        await peers.eventually(lambda: inlet.heard[-1].decoded.values["current_a"] == pytest.approx(7.77))
    assert [(result.outcome, result.detail) for result in results] == [(Outcome.DONE, "")] * len(orders)
    first, last = inlet.heard[0].decoded, inlet.heard[-1].decoded
    assert first.values == {"voltage_v": pytest.approx(230.1), "current_a": pytest.approx(12.34), "contactor_closed": True}
    assert last.values["contactor_closed"] is False
    assert not inlet.refused


async def test_a_libmodbus_tcp_server_is_polled_and_commanded(libmodbus_server: Path) -> None:
    port = peers.free_port()
    async with serving(libmodbus_server, "tcp", str(port)):
        await polled_and_commanded(driver_of(DriverName.MODBUS_TCP, ModbusTcpOptions(host="127.0.0.1", port=port)))


async def test_a_libmodbus_rtu_server_is_polled_and_commanded_over_a_pty_pair(libmodbus_server: Path) -> None:
    near, far = peers.Pty(), peers.Pty()
    with peers.pumped(near, far):
        async with serving(libmodbus_server, "rtu", far.path):
            await polled_and_commanded(driver_of(DriverName.MODBUS_RTU, SerialOptions(port=near.path)))


# mbpoll against the simulator.


def lamp_unit() -> ModbusUnit:
    catalog = load_catalog()
    spec = DeviceSpec(
        id="lamp-1",
        kind=Kind.LAMP_LOOP,
        profile="lamp_loop",
        address="1",
        form=None,
        interval_s=3600,
        link="net",
        longitude=121.0,
        latitude=31.0,
    )
    around = Surroundings(clock=CLOCK, seed=7, born_ns=CLOCK.wall_ns())
    return ModbusUnit(spec, catalog["lamp_loop"], around)


@pytest.fixture
def mbpoll(need_server: Callable[[str, str], str]) -> Callable[..., Awaitable[str]]:
    program = need_server("mbpoll", "mbpoll")

    async def ask(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            program, "-0", "-1", "-q", "-o", "2", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await asyncio.wait_for(process.communicate(), 15)
        return out.decode()

    return ask


def shown(text: str) -> list[int]:
    """The values that mbpoll printed, in their order."""
    return [int(value) for value in re.findall(r"^\[\d+\]:\s+(-?\d+)", text, re.MULTILINE)]


async def test_mbpoll_reads_and_writes_a_simulated_unit_over_tcp(mbpoll: Callable[..., Awaitable[str]]) -> None:
    unit = lamp_unit()
    port = ModbusTcpPort([unit])
    async with port.listener:
        at = ("-m", "tcp", "-p", str(port.listener.address[1]), "-a", "1")
        volts = shown(await mbpoll(*at, "-t", "3", "-r", "0", "-c", "3", "127.0.0.1"))
        assert [2200 < value < 2400 for value in volts] == [True] * 3
        assert "Written 1 references" in await mbpoll(*at, "-t", "4", "-r", "0", "127.0.0.1", "35")
        assert shown(await mbpoll(*at, "-t", "4", "-r", "0", "-c", "1", "127.0.0.1")) == [35]
        assert "Written 4 references" in await mbpoll(*at, "-t", "0", "-r", "0", "127.0.0.1", "1", "0", "1", "0")
        assert shown(await mbpoll(*at, "-t", "0", "-r", "0", "-c", "4", "127.0.0.1")) == [1, 0, 1, 0]
        assert "Illegal data address" in await mbpoll(*at, "-t", "3", "-r", "500", "-c", "2", "127.0.0.1")


async def test_mbpoll_reads_a_simulated_unit_on_a_serial_line(mbpoll: Callable[..., Awaitable[str]]) -> None:
    unit = lamp_unit()
    bus = RtuBus([unit])
    path = await bus.start()
    running = asyncio.create_task(bus.run())
    try:
        out = await mbpoll("-m", "rtu", "-b", "9600", "-P", "none", "-a", "1", "-t", "0", "-r", "0", "-c", "4", path)
        now = unit.values(CLOCK.wall_ns())
        assert shown(out) == [int(bool(now[f"relay_{n}_on"])) for n in (1, 2, 3, 4)]
        assert "timed out" in await mbpoll("-m", "rtu", "-b", "9600", "-P", "none", "-a", "9", "-t", "0", "-r", "0", path)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await bus.close()
