"""A JT/T 808 listener and a terminal that dials it, for the tests of both directions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import edge_drivers_peers as peers
import msgspec
from edge_drivers_peers import dialled

from device_profiles.model import CommandSpec
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, make_driver
from edge_agent.drivers.jt808.driver import Jt808Driver
from edge_agent.drivers.jt808.session import SessionLimits
from edge_agent.link_kinds import Admit, DriverName, Jt808Options
from firmware_bridge.jt808.answers import authenticate_body, register_body
from firmware_bridge.jt808.frames import Frame, Jt808Framer, encode_frame
from firmware_bridge.jt808.location import encode_location
from telemetry.clock import SECOND_NS, SystemClock

PHONE = "13800138000"
BUS = DeviceConfig(id="bus-1", profile="vehicle", address=PHONE)
NOON_NS = 1_750_000_000 * SECOND_NS


def listener(
    *devices: DeviceConfig,
    require_auth: bool = True,
    admit: Admit = Admit.LISTED,
    limits: SessionLimits | None = None,
    commands: Sequence[CommandSpec] = (),
) -> Jt808Driver:
    options = Jt808Options(
        port=0, require_auth=require_auth, admit=admit, default_profile="vehicle" if admit is Admit.ANY else ""
    )
    link = LinkConfig(name="fleet", driver=DriverName.JT808, devices=devices, options=options)
    profile = msgspec.structs.replace(peers.vehicle_profile(), commands={spec.name: spec for spec in commands})
    driver = make_driver(link, {"vehicle": profile}, SystemClock())
    assert isinstance(driver, Jt808Driver)
    return driver if limits is None else Jt808Driver(link, {"vehicle": profile}, SystemClock(), limits)


class Terminal:
    """A terminal's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._framer = Jt808Framer()
        self._frames: list[Frame] = []
        self._serial = 0

    async def send(self, message_id: int, body: bytes = b"", phone: str = PHONE, version: int = 2013) -> int:
        self._serial += 1
        await self.shout(encode_frame(message_id, phone, self._serial, body, version))
        return self._serial

    async def shout(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> Frame:
        while not self._frames:
            data = await asyncio.wait_for(self.reader.read(4096), 5)
            assert data, "the listener hung up"
            self._frames += [frame for frame in self._framer.feed(data) if isinstance(frame, Frame)]
        return self._frames.pop(0)

    async def ask(self, message_id: int, body: bytes = b"", phone: str = PHONE, version: int = 2013) -> Frame:
        await self.send(message_id, body, phone, version)
        return await self.hear()

    async def log_in(self, phone: str = PHONE, version: int = 2013) -> None:
        answer = await self.ask(0x0100, register_body(version=version, plate="京A00001"), phone, version)
        assert (answer.message_id, answer.body[2]) == (0x8100, 0)
        code = answer.body[3:].decode()
        assert result(await self.ask(0x0102, authenticate_body(code, version=version), phone, version)) == 0

    async def hung_up(self) -> bool:
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(self.reader.read(4096), 5):
                pass
        return True


@contextlib.asynccontextmanager
async def dial(driver: Driver, takes: int = 0) -> AsyncIterator[Terminal]:
    async with dialled(driver, takes) as (reader, writer):
        yield Terminal(reader, writer)


def result(answer: Frame) -> int:
    assert answer.message_id == 0x8001
    return answer.body[4]


def location(latitude: float = 39.9, longitude: float = 116.4) -> bytes:
    return encode_location(latitude=latitude, longitude=longitude, time_ns=NOON_NS, speed_kmh=36.5, status=3)
