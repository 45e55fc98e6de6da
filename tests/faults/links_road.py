"""A gateway's outbox and uplink on one side, the whole cloud on the other, and between them a broker and a bad link."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import reading as reading_of
from cloud.relational.tables import lanes, transitions
from cloud.run import Cloud
from cloud.series.store import SeriesStore
from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from simulators.faults import FaultyProxy, Impairment
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.records import Cause, Lane, Origin, Priority, Reading, Transition
from telemetry.wire import DeviceDeclaration, GatewayStatus

__all__ = ["Gateway", "OpenCloud", "gateway_at", "until"]

_CLOCK = SystemClock()
_PROFILE = "toilet_air_modbus"
_METRICS = ("temperature_c", "humidity_pct", "nh3_ppm", "h2s_ppm")


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns when it is so; TimeoutError when it is not in time."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(0.01)


class OpenCloud(Cloud):
    """The cloud, and what its stores hold."""

    series: SeriesStore
    engine: AsyncEngine

    @asynccontextmanager
    async def _stores(self) -> AsyncIterator[tuple[AsyncEngine, SeriesStore]]:
        async with super()._stores() as (self.engine, self.series):
            yield self.engine, self.series

    async def account(self, gateway: str) -> dict[Lane, tuple[int, int, int, int]]:
        """By lane, over all epochs: watermark, stored, quarantined, lost."""
        columns = lanes.c.lane, lanes.c.watermark, lanes.c.stored, lanes.c.quarantined, lanes.c.lost
        totals = dict.fromkeys(Lane, (0, 0, 0, 0))
        async with reading_of(self.engine) as conn:
            for lane, *figures in await conn.execute(select(*columns).where(lanes.c.gateway == gateway)):
                totals[Lane(lane)] = tuple(map(sum, zip(totals[Lane(lane)], figures, strict=True)))
        return totals

    async def epochs(self, gateway: str) -> set[str]:
        """Every epoch of a gateway that the cloud knows."""
        async with reading_of(self.engine) as conn:
            return {epoch for (epoch,) in await conn.execute(select(lanes.c.epoch).where(lanes.c.gateway == gateway))}

    async def alarms(self, device: str) -> set[str]:
        """The alarms of a device that are in the log."""
        async with reading_of(self.engine) as conn:
            return {alarm for (alarm,) in await conn.execute(select(transitions.c.alarm).where(transitions.c.device == device))}

    async def points(self, device: str) -> int:
        """Readings of a device in the series store."""
        found = await self.series.range(device, _METRICS[:1], 0, 1 << 62, 1 << 30)
        return len(found.get(_METRICS[0], []))


class Gateway:
    """One gateway with one device of its own. Everything that the link's faults shall cost it is kept by the test."""

    def __init__(self, name: str, outbox: Outbox, proxy: FaultyProxy, settings: UplinkSettings) -> None:
        self.name = settings.gateway
        self.device = f"{name}-air"
        self.outbox = outbox
        self.proxy = proxy
        self.committed = 0
        self.raised: dict[str, float] = {}
        """Alarms by id, with the loop's time at which they were committed."""
        self._chance = random.Random(name)  # noqa: S311 - values that do not compress well
        declared = DeviceDeclaration(device=self.device, profile=_PROFILE, profile_version=1, kind="toilet_sensor")
        self.uplink = Uplink(
            settings,
            outbox,
            _CLOCK,
            devices=lambda: [declared],
            status=lambda online: GatewayStatus(gateway=self.name, online=online, at_ns=_CLOCK.wall_ns()),
            on_command=lambda _: None,
            refuse=lambda *_: None,
            chance=random.Random(name),  # noqa: S311 - spreads load, keeps no secret
        )

    async def commit(self, count: int, block: int = 200) -> None:
        """Commit so many readings of the last hours, one every millisecond and none twice."""
        for first in range(self.committed, self.committed + count, block):
            await self.outbox.commit([self._reading(n) for n in range(first, min(first + block, self.committed + count))])
        self.committed += count

    async def alarm(self) -> str:
        """Commit an alarm; its id."""
        now_ns = _CLOCK.wall_ns()
        step = Transition(
            alarm=f"{self.device}/sensors_failed/{now_ns}",
            origin=Origin.EDGE,
            n=1,
            device=self.device,
            rule="sensors_failed",
            profile=_PROFILE,
            profile_version=1,
            cause=Cause.RAISE,
            priority=Priority.LOW,
            event_time_ns=now_ns,
            recorded_ns=now_ns,
            actor="edge",
        )
        self.raised[step.alarm] = asyncio.get_running_loop().time()
        await self.outbox.commit([], [step])
        return step.alarm

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        """With its uplink at work."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.uplink.run())
            try:
                yield self
            finally:
                task.cancel()

    @property
    def acked(self) -> int:
        """Readings that the cloud has said it has."""
        return self.outbox.accounts[Lane.READINGS].acked

    @property
    def empty(self) -> bool:
        """Whether the cloud has everything."""
        return not any(account.depth for account in self.outbox.accounts.values())

    async def arrived(self, cloud: OpenCloud, seconds: float = 30.0) -> None:
        """Everything arrives, once, and the accounts on both sides add up."""
        with contextlib.suppress(TimeoutError):
            await until(lambda: self.empty, seconds)
        for account in self.outbox.accounts.values():
            assert account.acked + account.quarantined + account.lost == account.next_seq - 1, (self.name, account)
        assert (self.acked, self.outbox.accounts[Lane.READINGS].lost) == (self.committed, 0)
        totals = await cloud.account(self.name)
        assert totals[Lane.READINGS] == (self.committed, self.committed, 0, 0)
        assert await cloud.points(self.device) == self.committed
        assert await cloud.alarms(self.device) == set(self.raised)

    def _reading(self, n: int) -> Reading:
        time_ns = _BEGAN_NS + n * 1_000_000
        values = {metric: self._chance.uniform(1, 60) for metric in _METRICS}
        return Reading(
            device=self.device,
            profile=_PROFILE,
            profile_version=1,
            time_ns=time_ns,
            received_ns=time_ns,
            values=values,
            flaws={},
        )


_BEGAN_NS = _CLOCK.wall_ns() - 3600 * SECOND_NS


@asynccontextmanager
async def gateway_at(
    broker_port: int,
    folder: Path,
    name: str,
    impairment: Impairment | None = None,
    *,
    identity: str = "",
    changes: Mapping[str, object] | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway whose link to the broker is as bad as told; impatient, so that a test is short.

    `identity` is what it calls itself to the cloud, where that is not `name`. `changes` are settings to be different.
    """
    settings: dict[str, object] = {"retransmit_s": 1.0, "hello_again_s": 0.5, "reconnect_first_s": 0.05, "reconnect_most_s": 0.4}
    async with FaultyProxy(("127.0.0.1", broker_port), impairment, seed=name) as proxy:
        outbox = await Outbox.open(folder / name, identity or name, OutboxLimits(reserve_bytes=0), _CLOCK)
        broker = f"mqtt://127.0.0.1:{proxy.address[1]}"
        known = UplinkSettings(gateway=identity or name, broker=broker, boot_id="boot", agent_version="1")
        known = replace(known, **(settings | dict(changes or {})))
        try:
            yield Gateway(name, outbox, proxy, known)
        finally:
            await outbox.close()
