"""The agent: which part is wired to which, in which order they start and end."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import apsw
import msgspec

from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from edge_agent.adjtimex import Discipline, KernelClock
from edge_agent.attempt import attempt
from edge_agent.backoff import Backoff
from edge_agent.commands import CommandRoom
from edge_agent.committer import Committer
from edge_agent.config import AgentConfig
from edge_agent.desk import Desk
from edge_agent.drivers import Driver, make_driver
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.store import LossNote
from edge_agent.status import AgentStatus, LaneStatus, LinkStatus, LossStatus, StatusSocket
from edge_agent.timekeeper import Timekeeper
from edge_agent.updates.room import Place, UpdateRoom
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.clock import SECOND_NS, Clock, SystemClock
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import GatewayStatus

__all__ = ["VERSION", "Agent", "AgentCounts"]

logger = logging.getLogger(__name__)

VERSION = version("citynerve")
_TICK_S = 1.0
_FLUSH_S = 3.0
"""How long the last commit may take at the end; systemd's patience is longer."""
_HEARD_WITHIN_NS = 3600 * SECOND_NS
"""A device heard within this time counts as heard in the gateway's status."""
_SOUND_NS = 60 * SECOND_NS
"""A driver that ran this long before it failed is started again without delay."""
_MAX_STATUS_REASONS = 32
_SHOWN_LOSSES = 20


class AgentCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's account. Lanes' figures are of the present epoch and include what earlier runs left."""

    heard: int
    committed: int
    held_back: int
    refused: Mapping[Reason, int]
    snapshots: int
    acked: int
    lost_declared: int
    backlog: int
    transitions: int
    epoch: str


class Agent:
    """One gateway's agent; `run` it once.

    Raises OutboxError from `run` when another agent has the data folder, ProfileError when a profile folder is not sound,
    and `edge_agent.drivers.SetupError` when a device does not fit its link.
    """

    def __init__(self, config: AgentConfig, clock: Clock | None = None, kernel: Discipline | None = None) -> None:
        self.config = config
        self.clock = Timekeeper(clock or SystemClock(), kernel or KernelClock(), _boot_id())
        self.ready = asyncio.Event()
        """Set once every driver runs."""
        self.drivers: Mapping[str, Driver] = {}
        self.driver_restarts: dict[str, int] = {}
        self._parts: _Parts | None = None
        self._hearing: Sequence[asyncio.Task[None]] = ()

    async def run(self) -> None:
        """Serve until cancelled; then stop the drivers, commit what they said, say goodbye and close the outbox."""
        config = self.config
        catalog = load_catalog(*config.profile_dirs)
        self.drivers = {link.name: make_driver(link, catalog, self.clock) for link in config.links}
        stamp = self.clock.stamp
        outbox = await Outbox.open(config.data_dir, config.gateway, config.outbox, self.clock, stamp=stamp)
        try:
            await self._serve(outbox, catalog)
        finally:
            await outbox.close()

    def counts(self) -> AgentCounts:
        """What has become of everything heard; RuntimeError before `run` has opened the outbox."""
        parts = self._running()
        desk, accounts = parts.desk.counts, parts.outbox.accounts.values()
        return AgentCounts(
            heard=desk.heard,
            committed=desk.committed,
            held_back=desk.held_back,
            refused=dict(parts.desk.refusals.by_reason),
            snapshots=desk.snapshots,
            acked=sum(account.acked + account.quarantined for account in accounts),
            lost_declared=sum(account.lost for account in accounts),
            backlog=sum(account.depth for account in accounts) + parts.committer.unfinished,
            transitions=desk.transitions,
            epoch=parts.outbox.epoch,
        )

    async def hush(self) -> None:
        """Stop hearing devices; what they said so far is still committed and sent until `run` is cancelled."""
        for task in self._hearing:
            task.cancel()
        if self._hearing:
            await asyncio.wait(self._hearing)

    async def drained(self) -> None:
        """Returns once every record committed or handed over so far has left the outbox by the cloud's word."""
        parts = self._running()
        changed = parts.outbox.watch()
        try:
            while self.counts().backlog:
                changed.clear()
                # What is committed may be acknowledged already, and nothing will change any more.
                await (parts.committer.idle if parts.committer.unfinished else changed).wait()
        finally:
            parts.outbox.unwatch(changed)

    # The wiring.

    async def _serve(self, outbox: Outbox, catalog: Mapping[str, Profile]) -> None:
        parts = self._parts = await self._assemble(outbox, catalog)
        async with asyncio.TaskGroup() as base:
            base.create_task(parts.committer.run(), name="committer")
            uplink = base.create_task(parts.uplink.run(), name="uplink")
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._hearing = [
                        tasks.create_task(self._supervise(driver, parts.desk), name=f"driver {driver.name}")
                        for driver in self.drivers.values()
                    ]
                    tasks.create_task(self._keep_time(parts), name="clock")
                    tasks.create_task(self._tick(parts), name="ticker")
                    tasks.create_task(parts.commands.run(), name="commands")
                    tasks.create_task(parts.updates.run(), name="updates")
                    tasks.create_task(parts.socket.run(), name="status")
                    self.ready.set()
                    logger.info("agent up", extra={"event": "agent.up", "gateway": self.config.gateway, "epoch": outbox.epoch})
            finally:
                uplink.cancel()
                await self._flush(parts.committer)

    async def _assemble(self, outbox: Outbox, catalog: Mapping[str, Profile]) -> "_Parts":
        config = self.config
        for sentence in config.asleep:
            logger.warning("%s", sentence, extra={"event": "agent.rule_asleep"})
        committer = Committer(outbox, config.outbox)
        desk = Desk(self.clock, catalog, committer, config.zones)
        self.clock.attach(outbox, desk.refuse)
        desk.restore(await outbox.states())
        desk.enrol(device for link in config.links for device in link.devices)
        updates = UpdateRoom(self._places(), config.firmware_key_file, desk.record, self.clock)
        packages = config.data_dir / "firmware"
        commands = CommandRoom(config.gateway, outbox, desk, self._driver_of(), updates=updates, packages=packages)
        uplink = Uplink(
            self._uplink_settings(),
            outbox,
            self.clock,
            devices=desk.declarations,
            status=self._gateway_status,
            on_command=commands.take,
            refuse=desk.refuse,
            snapshot=desk.snapshot,
            on_cloud_time=self.clock.learn,
            clock_quality=lambda: self.clock.stamp.quality,
        )
        desk.on_admitted = uplink.announce
        socket = StatusSocket(config.data_dir, self.status, updates)
        return _Parts(
            outbox=outbox,
            committer=committer,
            desk=desk,
            commands=commands,
            updates=updates,
            uplink=uplink,
            socket=socket,
        )

    def _uplink_settings(self) -> UplinkSettings:
        config = self.config
        return UplinkSettings(
            gateway=config.gateway,
            broker=config.broker,
            boot_id=self.clock.stamp.boot_id,
            agent_version=VERSION,
            username=config.username,
            password_file=config.password_file,
            status_s=config.status_s,
            retransmit_s=config.retransmit_s,
            rate_bits_s=config.uplink.rate_bits_s,
            history_jitter_s=config.uplink.history_jitter_s,
        )

    def _driver_of(self) -> dict[str, Driver]:
        """The driver of each configured device."""
        return {device.id: self.drivers[link.name] for link in self.config.links for device in link.devices}

    def _places(self) -> dict[str, Place]:
        """Where each configured device is, for its updates."""
        return {
            device.id: Place(device=device, link=link.name, language=link.driver, driver=self.drivers[link.name])
            for link in self.config.links
            for device in link.devices
        }

    async def _flush(self, committer: Committer) -> None:
        """Commit what the drivers had handed over; nobody was told that the rest is safe."""
        try:
            async with asyncio.timeout(_FLUSH_S):
                committer.stop()
                await committer.finished.wait()
        except TimeoutError:
            logger.error(  # noqa: TRY400 - the time is up, and that is all there is to say
                "the last records could not be committed in time",
                extra={"event": "agent.flush_failed", "left": committer.unfinished},
            )

    async def _supervise(self, driver: Driver, desk: Desk) -> None:
        """Keep a driver running: one that fails is started again, and never stops the others."""
        backoff = Backoff(1.0, 60.0)
        while True:
            began_ns = self.clock.monotonic_ns()
            try:
                await attempt(driver.run(desk))
                logger.error("driver %s ended", driver.name, extra={"event": "driver.ended", "link": driver.name})
            except Exception:  # whatever a driver's fault is, the other links must not feel it
                logger.exception("driver %s failed", driver.name, extra={"event": "driver.failed", "link": driver.name})
            self.driver_restarts[driver.name] = self.driver_restarts.get(driver.name, 0) + 1
            if self.clock.monotonic_ns() - began_ns > _SOUND_NS:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _keep_time(self, parts: "_Parts") -> None:
        """Nothing else in this task: a disk that is busy must not hide a jump."""
        while True:
            await self.clock.tick()
            parts.desk.remember_clock()
            if self.clock.asks() and parts.uplink.connected:
                parts.uplink.announce()
            await asyncio.sleep(_TICK_S)

    async def _tick(self, parts: "_Parts") -> None:
        """What happens by the gateway's clock."""
        while True:
            await asyncio.sleep(_TICK_S)
            await parts.desk.watch_silence()
            # What was known stays where the disk cannot be read just now; the committer says why.
            with contextlib.suppress(apsw.Error):
                await self._look(parts)

    async def _look(self, parts: "_Parts") -> None:
        """What the status tells of the outbox and has to be read from it."""
        parts.oldest_ns = {lane: await parts.outbox.oldest_ns(lane) for lane in Lane}
        lost = sum(account.lost for account in parts.outbox.accounts.values())
        if lost != parts.lost:
            parts.lost, parts.losses = lost, await parts.outbox.losses(_SHOWN_LOSSES)

    # What it says of itself.

    def status(self) -> AgentStatus:
        """Everything a person on the gateway asks first."""
        parts = self._running()
        return AgentStatus(
            gateway=self.config.gateway,
            epoch=parts.outbox.epoch,
            now_ns=self.clock.wall_ns(),
            uplink_connected=parts.uplink.connected,
            uplink_error=parts.uplink.last_error,
            uplink=parts.uplink.counts,
            links=[LinkStatus.of(driver.health(), self.driver_restarts.get(name, 0)) for name, driver in self.drivers.items()],
            devices=parts.desk.last_heard(),
            alarms=parts.desk.open_alarms(),
            lanes={lane: LaneStatus.of(account, parts.oldest_ns[lane]) for lane, account in parts.outbox.accounts.items()},
            oldest_unacked_ns=parts.oldest,
            outbox_max_bytes=self.config.outbox.max_bytes,
            losses=[LossStatus.of(note) for note in parts.losses],
            clock=self.clock.status(),
            counts=parts.desk.counts,
            commit_failures=parts.committer.failures,
            commit_error=parts.committer.last_error,
            waited_for_room=parts.committer.waited_for_room,
            refusals=parts.desk.refusals.worst(),
            updates=parts.updates.status(),
            frames=parts.desk.frames.counts,
        )

    def _gateway_status(self, online: bool) -> GatewayStatus:  # noqa: FBT001 - the field of the contract
        parts, now_ns = self._running(), self.clock.wall_ns()
        heard = parts.desk.last_heard().values()
        return GatewayStatus(
            gateway=self.config.gateway,
            online=online,
            at_ns=now_ns,
            agent_version=VERSION,
            epoch=parts.outbox.epoch,
            backlog={lane: account.depth for lane, account in parts.outbox.accounts.items()},
            oldest_unacked_ns=parts.oldest,
            outbox_bytes=sum(account.bytes for account in parts.outbox.accounts.values()),
            devices_expected=len(heard),
            devices_heard=sum(at is not None and now_ns - at < _HEARD_WITHIN_NS for at in heard),
            refusals=dict(sorted(parts.desk.refusals.totals().items(), key=lambda pair: -pair[1])[:_MAX_STATUS_REASONS]),
            clock=self.clock.stamp.quality,
            lost={lane: account.lost for lane, account in parts.outbox.accounts.items()},
            outbox_max_bytes=self.config.outbox.max_bytes,
        )

    def _running(self) -> "_Parts":
        if self._parts is None:
            raise RuntimeError("the agent has not opened its outbox yet")
        return self._parts


class _Parts(msgspec.Struct, kw_only=True):
    outbox: Outbox
    committer: Committer
    desk: Desk
    commands: CommandRoom
    updates: UpdateRoom
    uplink: Uplink
    socket: StatusSocket
    oldest_ns: dict[Lane, int | None] = msgspec.field(default_factory=lambda: dict.fromkeys(Lane))
    lost: int = 0
    losses: list[LossNote] = []

    @property
    def oldest(self) -> int | None:
        """The event time of the oldest record that waits, of whatever lane."""
        return min((time_ns for time_ns in self.oldest_ns.values() if time_ns is not None), default=None)


def _boot_id() -> str:
    """The kernel's name for this boot; one of our own where there is none."""
    source = Path("/proc/sys/kernel/random/boot_id")
    return source.read_text("ascii").strip() if source.exists() else str(uuid.uuid4())
