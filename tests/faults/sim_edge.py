"""A gateway on virtual time: the real outbox, committer and uplink over a simulated disk and line."""

import asyncio
import random
from collections.abc import Callable, Sequence

from sim_disk import SimDisk
from sim_loop import SimClock
from sim_net import Broker, GatewayLink, Line

from edge_agent.committer import Committer, Entry
from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.uplink import Uplink, UplinkCounts, UplinkSettings
from telemetry.records import Event, Reading
from telemetry.wire import DeviceDeclaration, GatewayStatus

__all__ = ["DEVICES", "GATEWAY", "EdgeHost"]

GATEWAY = "gw-1"
DEVICES = ("cover-1", "cover-2", "cover-3")


class EdgeHost:
    """The computer of a gateway: `start`, `crash`, and what drivers would call: `hear`."""

    def __init__(
        self,
        disk: SimDisk,
        broker: Broker,
        clock: SimClock,
        chance: random.Random,
        limits: OutboxLimits,
        seen: Callable[[str], None],
    ) -> None:
        self.disk = disk
        self.clock = clock
        self.limits = limits
        self.line = Line()
        self.outbox: Outbox | None = None
        self.committer: Committer | None = None
        self.uplink: Uplink | None = None
        self.boots = 0
        self.on_ready: Callable[[Outbox], None] = lambda outbox: None
        self._broker = broker
        self._chance = chance
        self._seen = seen
        self._task: asyncio.Task[None] | None = None
        self._hearing: set[asyncio.Task[None]] = set()
        self._latest: dict[str, Reading] = {}
        disk.on_cut = self._power_failed

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done() and not self.disk.off

    @property
    def failure(self) -> BaseException | None:
        """What ended the process, where nobody killed it."""
        ended = self._task is not None and self._task.done() and not self._task.cancelled()
        return self._task.exception() if ended and self._task else None

    def start(self) -> None:
        """Power on, or start the killed process again."""
        if not self.running:
            self._task = asyncio.get_running_loop().create_task(self._run(self._task))

    def crash(self, keep: float) -> None:
        """Kill the process at once; `keep` below 1 takes the power with it, and sectors that were not synced."""
        self.disk.cut(keep)
        self._power_failed()

    async def end(self) -> None:
        """Let go of everything for good."""
        self.crash(1.0)
        if self._task is not None:
            await asyncio.wait([self._task])

    def hear(self, reading: Reading | None, events: Sequence[Event], safe: Callable[[], None]) -> None:
        """Hand in what a device said; `safe` is called when its commit returned. Nobody hears where nothing runs."""
        if self.committer is not None and self.running:
            task = asyncio.get_running_loop().create_task(self._accept(self.committer, reading, events, safe))
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)

    async def _accept(
        self, committer: Committer, reading: Reading | None, events: Sequence[Event], safe: Callable[[], None]
    ) -> None:
        await committer.reserve()
        device = reading.device if reading else "events"
        done = committer.put(Entry(device=device, reading=reading, events=tuple(events), state=b"state of " + device.encode()))
        await asyncio.wait([done])
        if not done.cancelled() and done.exception() is None:
            if reading is not None:
                self._latest[reading.device] = reading
            safe()

    @property
    def counts(self) -> UplinkCounts:
        return self.uplink.counts if self.uplink is not None else UplinkCounts()

    def _power_failed(self) -> None:
        self._broker.drop(self.line)
        for task in (self._task, *self._hearing):
            if task is not None:
                asyncio.get_running_loop().call_soon(task.cancel)

    async def _run(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        if self.disk.off:
            self.disk.power_on()
        self.boots += 1
        try:
            await self._serve()
        finally:
            if self.outbox is not None:
                self.outbox._store.close()
            self.outbox = self.committer = self.uplink = None

    async def _serve(self) -> None:
        self.outbox = outbox = await Outbox.open(self.disk.folder, GATEWAY, self.limits, self.clock, vfs=self.disk.vfs)
        self.committer = committer = Committer(outbox, self.limits)
        self.uplink = uplink = Uplink(
            UplinkSettings(gateway=GATEWAY, broker="mqtt://sim", boot_id=f"boot-{self.boots}", agent_version="1"),
            outbox,
            self.clock,
            devices=_declarations,
            status=self._status,
            on_command=lambda command: None,
            refuse=lambda source, reason, detail, raw: self._seen(f"refused {reason}"),
            connect=GatewayLink.door(self._broker, f"gw-{GATEWAY}", self.line, GATEWAY),
            snapshot=self._snapshot,
            chance=self._chance,
        )
        self.on_ready(outbox)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(committer.run(), name="committer")
            tasks.create_task(uplink.run(), name="uplink")

    async def _snapshot(self) -> int:
        if self.outbox is not None and self._latest:
            self._seen("snapshot")
            await self.outbox.commit(list(self._latest.values()))
        return len(self._latest)

    def _status(self, online: bool) -> GatewayStatus:
        return GatewayStatus(gateway=GATEWAY, online=online, at_ns=self.clock.wall_ns())


def _declarations() -> list[DeviceDeclaration]:
    return [
        DeviceDeclaration(device=name, profile="cover_nbiot", profile_version=1, kind="manhole_cover", position=(121.5, 31.2))
        for name in DEVICES
    ]
