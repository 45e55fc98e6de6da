"""The far ends of the station listeners: a station's end of a TCP connection, and profiles that name whatever a test sends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import edge_drivers_peers as peers
from edge_drivers_peers import dialled

from device_profiles.model import Profile
from device_profiles.quantities import MetricType
from device_profiles.wires import Wire
from device_profiles.wires.hj212 import Hj212Wire
from device_profiles.wires.items import ItemField
from device_profiles.wires.sl651 import Sl651Wire
from edge_agent.drivers import Driver


class Caller:
    """A station's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.heard = b""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self, size: int = 1) -> bytes:
        """What the gateway says next, at least `size` bytes."""
        while len(self.heard) < size:
            data = await asyncio.wait_for(self.reader.read(4096), 5)
            assert data, "the listener hung up"
            self.heard += data
        heard, self.heard = self.heard, b""
        return heard

    async def hears_nothing(self, for_s: float = 0.15) -> bool:
        try:
            self.heard += await asyncio.wait_for(self.reader.read(4096), for_s)
        except TimeoutError:
            return True
        return False

    async def hung_up(self) -> bool:
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(self.reader.read(4096), 5):
                pass
        return True


@contextlib.asynccontextmanager
async def dial(driver: Driver, takes: int = 0) -> AsyncIterator[Caller]:
    """Call the driver's listener; `takes` bounds what the kernel keeps of its answers."""
    async with dialled(driver, takes) as (reader, writer):
        yield Caller(reader, writer)


def factors(*items: str, name: str = "station") -> Profile:
    """An HJ 212 profile whose metrics are m0, m1 and so on, one for each item."""
    metrics = [f"m{number}" for number in range(len(items))]
    fields = tuple(ItemField(metric=metric, item=item) for metric, item in zip(metrics, items, strict=True))
    return peers.profile(name, Wire(hj212=Hj212Wire(items=fields)), *(peers.metric(metric) for metric in metrics))


def elements(items: Iterable[str], name: str = "station") -> Profile:
    """An SL 651 profile whose metrics are the items' names in small letters."""
    names = list(items)
    fields = tuple(ItemField(metric=item.lower(), item=item) for item in names)
    kinds = {"zt": MetricType.INTEGER}
    metrics = (peers.metric(item.lower(), kinds.get(item.lower(), MetricType.FLOAT)) for item in names)
    return peers.profile(name, Wire(sl651=Sl651Wire(items=fields)), *metrics)
