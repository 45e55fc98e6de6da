"""A gateway on virtual time: the real outbox, committer, uplink and timekeeper over a simulated disk, line and clock."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

import apsw
from sim_disk import SimDisk
from sim_loop import SimClock, VanishedError
from sim_net import Broker, GatewayLink, Line

from edge_agent.committer import Committer, Entry
from edge_agent.config import OutboxLimits
from edge_agent.outbox.clocks import ClockStamp
from edge_agent.outbox.outbox import Outbox
from edge_agent.timekeeper import Timekeeper
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.records import Event, Reading
from telemetry.wire import DeviceDeclaration, GatewayStatus

__all__ = ["COMPARE_S", "DEVICES", "GATEWAY", "EdgeHost", "Kernel"]

GATEWAY = "gw-1"
COMPARE_S = 60.0
"""How often the agent compares its books with the cloud's."""
_RESTART_S = 5.0
_FLUSH_S = 3.0
"""How long the agent gives the last commit."""
DEVICES = ("cover-1", "cover-2", "cover-3")


class Kernel:
    """What adjtimex would say."""

    def __init__(self) -> None:
        self.synced = True

    def vouches(self) -> bool:
        return self.synced


class EdgeHost:
    """The computer of a gateway: `start`, `stop`, `crash`, and what drivers would call: `hear`.

    The agent in it is put together as `edge_agent.agent` does it, without the drivers.
    """

    def __init__(
        self,
        disk: SimDisk,
        broker: Broker,
        machine: SimClock,
        chance: random.Random,
        limits: OutboxLimits,
        saw: Callable[[str], None],
    ) -> None:
        self.disk = disk
        self.machine = machine
        self.kernel = Kernel()
        self.limits = limits
        self.line = Line()
        self.rate_bits_s = 0
        self.clock: Timekeeper | None = None
        self.outbox: Outbox | None = None
        self.committer: Committer | None = None
        self.uplink: Uplink | None = None
        self.on_ready: Callable[[EdgeHost], None] = lambda host: None
        self._boots = 0
        self._broker = broker
        self._chance = chance
        self._saw = saw
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._lives: set[asyncio.Task[None]] = set()
        """The present one, and one that is still about to end."""
        self._hearing: set[asyncio.Task[None]] = set()
        self._latest: dict[str, tuple[Reading, ClockStamp]] = {}
        disk.on_cut = self._died

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
        if not self.running or self._stopping.is_set():
            self._stopping = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._run(self._task))
            self._lives.add(self._task)
            self._task.add_done_callback(self._lives.discard)

    def stop(self) -> None:
        """Ask the process to end as it should."""
        self._stopping.set()

    def crash(self, keep: float) -> None:
        """Kill the process at once; `keep` below 1 takes the power with it, and sectors that were not synced."""
        if keep < 1 and self.running:
            self._boots += 1
            self.machine.reboot()
        self.disk.cut(keep)
        self._died()

    async def end(self) -> None:
        """Let go of everything for good."""
        self.crash(1.0)
        if self._lives:
            await asyncio.wait(self._lives)

    def hear(self, reading: Reading | None, events: Sequence[Event], safe: Callable[[], None]) -> None:
        """Hand in what a device said; `safe` is called when its commit returned. Nobody hears where nothing runs."""
        if self.committer is not None and self.clock is not None and self.running:
            entry = Entry(
                device=reading.device if reading else "an alarm's",
                stamp=self.clock.stamp,
                reading=reading,
                events=tuple(events),
                state=b"what is remembered",
            )
            task = asyncio.get_running_loop().create_task(self._accept(self.committer, entry, safe))
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)

    async def _accept(self, committer: Committer, entry: Entry, safe: Callable[[], None]) -> None:
        await committer.reserve()
        done = committer.put(entry)
        await asyncio.wait([done])
        if not done.cancelled() and done.exception() is None:
            if entry.reading is not None:
                self._latest[entry.reading.device] = (entry.reading, entry.stamp)
            safe()

    def _died(self) -> None:
        self._broker.drop(self.line)
        for task in (*self._lives, *self._hearing):
            asyncio.get_running_loop().call_soon(task.cancel)

    async def _run(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        if self.disk.off:
            self.disk.power_on()
        self._latest.clear()
        try:
            await self._serve()
        except apsw.FullError:
            # A service manager starts it again, until there is room for the file to be opened.
            self._saw("no room to start")
            asyncio.get_running_loop().call_later(_RESTART_S, self.start)
        finally:
            if self.outbox is not None:
                with suppress(VanishedError):  # the power may fail in the last checkpoint, too
                    self.outbox._store.close()
            self._count()
            self.outbox = self.committer = self.uplink = self.clock = None

    async def _serve(self) -> None:
        self.clock = clock = Timekeeper(self.machine, self.kernel, f"{self.disk.folder.name}-{self._boots}")
        self.outbox = outbox = await Outbox.open(
            self.disk.folder, GATEWAY, self.limits, clock, stamp=clock.stamp, vfs=self.disk.vfs
        )
        self.committer = committer = Committer(outbox, self.limits)
        clock.attach(outbox, lambda source, reason, detail: self._saw(f"refused {reason}"))
        self.uplink = uplink = self._uplink(outbox, clock)
        self.on_ready(self)
        async with asyncio.TaskGroup() as tasks:
            committing = tasks.create_task(committer.run(), name="committer")
            others = [
                tasks.create_task(uplink.run(), name="uplink"),
                tasks.create_task(_keep_time(clock, uplink), name="clock"),
            ]
            await self._stopping.wait()
            for task in others:
                task.cancel()
            committer.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_S):
                    await committer.finished.wait()
            committing.cancel()

    def _uplink(self, outbox: Outbox, clock: Timekeeper) -> Uplink:
        return Uplink(
            UplinkSettings(
                gateway=GATEWAY,
                broker="mqtt://sim",
                boot_id=clock.stamp.boot_id,
                agent_version="1",
                rate_bits_s=self.rate_bits_s,
                history_jitter_s=20.0,
                hello_every_s=COMPARE_S,
            ),
            outbox,
            clock,
            devices=_declarations,
            status=self._status,
            on_command=lambda command: None,
            refuse=lambda source, reason, detail, raw: self._saw(f"refused {reason}"),
            connect=GatewayLink.door(self._broker, f"gw-{GATEWAY}", self.line, GATEWAY),
            snapshot=self._snapshot,
            on_cloud_time=clock.learn,
            clock_quality=lambda: clock.stamp.quality,
            chance=self._chance,
        )

    async def _snapshot(self) -> int:
        """What `edge_agent.desk` does: the latest of each device once more, with its own time."""
        latest = list(self._latest.values())
        if self.outbox is not None and latest:
            await self.outbox.commit([reading for reading, _ in latest], stamps=[stamp for _, stamp in latest])
        return len(latest)

    def _status(self, online: bool) -> GatewayStatus:
        return GatewayStatus(gateway=GATEWAY, online=online, at_ns=self.machine.wall_ns())

    def _count(self) -> None:
        """Tell the run what became of this life."""
        if self.uplink is not None:
            counts = self.uplink.counts
            for what in ("retransmissions", "snapshots", "parts", "refused_batches", "renewals", "rewinds", "disk_errors"):
                if getattr(counts, what):
                    self._saw(what)


async def _keep_time(clock: Timekeeper, uplink: Uplink) -> None:
    while True:
        await asyncio.sleep(1.0)
        await clock.tick()
        if clock.asks():
            uplink.announce()


def _declarations() -> list[DeviceDeclaration]:
    return [
        DeviceDeclaration(device=name, profile="cover_nbiot", profile_version=1, kind="manhole_cover", position=(121.5, 31.2))
        for name in DEVICES
    ]
