"""An ingest over real stores, for the tests of what it promises."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from cloud_records import T0, S, batch, reading
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.ingest.ingest import Ingest
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import reading as looking
from cloud.relational.tables import lanes
from cloud.series.duckdb_store import DuckStore
from cloud.series.store import RowRefused, StoreUnavailable
from device_profiles.shelf import load_catalog
from telemetry.clock import SystemClock
from telemetry.records import Cause, Lane, Origin, Priority, Transition
from telemetry.topics import Channel, channel
from telemetry.wire import (
    Ack,
    DeviceDeclaration,
    EventsBatch,
    GatewayStatus,
    Hello,
    LaneSpan,
    Message,
    ReadingsBatch,
    encode,
)


class Moody(DuckStore):
    """The real store, which can be told to be away for some writes, or to refuse rows."""

    away = 0
    refused: Sequence[RowRefused] = ()

    async def write(self, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return [*await super().write(batches), *self.refused]


_hellos = itertools.count(1)


def hello(*names: str, spans: dict[Lane, LaneSpan] | None = None, epoch: str = "e1") -> Hello:
    return Hello(
        gateway="gw-1",
        epoch=epoch,
        boot_id="b1",
        agent_version="1",
        sent_ns=T0 + next(_hellos),  # the later is said, the later it was sent
        lanes=spans or dict.fromkeys(Lane, LaneSpan(1, 1)),
        devices=[
            DeviceDeclaration(device=name, profile="cover_nbiot", profile_version=1, kind="manhole_cover", position=(121.5, 31.2))
            for name in names
        ],
    )


_TOPICS: dict[type, Channel] = {
    ReadingsBatch: Channel.READINGS,
    EventsBatch: Channel.EVENTS,
    Hello: Channel.HELLO,
    GatewayStatus: Channel.STATUS,
}


class Bench:
    """An ingest over real stores, and the acknowledgements it gave."""

    def __init__(self, engine: AsyncEngine, series: Moody) -> None:
        self.engine = engine
        self.series = series
        self.acks: list[Ack] = []
        self.feed = Feed()
        self.clock = SystemClock()
        self.told = asyncio.Event()
        self.make()

    def make(self, auto_register: bool = True) -> None:
        """A process that knows only what the stores hold."""
        self.registry = Registry(auto_register=auto_register)
        self.ingest = Ingest(
            engine=self.engine,
            series=self.series,
            registry=self.registry,
            refusals=Refusals(),
            desk=Desk(catalog=load_catalog()),
            feed=self.feed,
            clock=self.clock,
            answer=self._answer,
            patience_s=0.2,
        )

    def _answer(self, ack: Ack) -> None:
        self.acks.append(ack)
        self.told.set()

    def say(self, message: Message, gateway: str = "gw-1") -> None:
        self.ingest.offer(channel(gateway, _TOPICS[type(message)]), encode(message))

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():
                self.told.clear()
                await self.told.wait()

    async def quiet(self) -> None:
        """Returns when everything said was worked on."""
        async with asyncio.timeout(10):
            while self.ingest._queue.records:  # noqa: ASYNC110 - nobody announces that all is done
                await asyncio.sleep(0.005)

    async def acked(self, cumulative: int, lane: Lane = Lane.READINGS) -> Ack:
        def found() -> bool:
            return any(ack.cumulative == cumulative and ack.lane is lane for ack in self.acks)

        await self.until(found)
        return next(ack for ack in reversed(self.acks) if ack.cumulative == cumulative and ack.lane is lane)

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        async with looking(self.engine) as conn:
            return [dict(row) for row in (await conn.execute(select(table))).mappings()]

    async def account(self, lane: Lane = Lane.READINGS) -> dict[str, int]:
        [row] = [row for row in await self.rows(lanes) if row["lane"] == lane.value]
        return {name: row[name] for name in ("watermark", "stored", "quarantined", "lost")}


def three(first_seq: int = 1, device: str = "cover-1") -> ReadingsBatch:
    times = [T0 + (first_seq + i) * S for i in range(3)]
    return batch(*(reading(device, at_ns=at_ns) for at_ns in times), first_seq=first_seq)


def raised(device: str) -> Transition:
    return Transition(
        alarm=f"{device}/cover_opened/{T0}",
        origin=Origin.EDGE,
        n=1,
        device=device,
        rule="cover_opened",
        profile="cover_nbiot",
        profile_version=1,
        cause=Cause.RAISE,
        priority=Priority.CRITICAL,
        event_time_ns=T0,
        recorded_ns=T0,
        actor="edge",
    )
