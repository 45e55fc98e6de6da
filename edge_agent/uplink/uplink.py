"""The way to the cloud: what the outbox holds goes out and stays there until the cloud says that it is stored.

A PUBACK means only that the broker has seen a message. What counts is the cloud's `Ack`: nothing is forgotten before
it, and everything not acknowledged goes out again after each reconnect, or when its answer has been missing for too long.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import apsw

from edge_agent.attempt import attempt
from edge_agent.backoff import Backoff
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.acks import AckQueue
from edge_agent.uplink.compression import compress_message, decompress
from edge_agent.uplink.courier import Courier
from edge_agent.uplink.fence import Fence
from edge_agent.uplink.hellos import Asked, Hellos
from edge_agent.uplink.link import Connect, Link, LinkDownError, MqttDoor
from edge_agent.uplink.pace import Pace
from edge_agent.uplink.pump import Pump
from edge_agent.uplink.settings import UplinkCounts, UplinkSettings
from edge_agent.uplink.window import LaneWindow
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Command, Lane
from telemetry.topics import Channel
from telemetry.wire import Ack, DeviceDeclaration, GatewayStatus, Hello, WireError, decode_ack, decode_command, encode

__all__ = ["Uplink", "UplinkCounts", "UplinkSettings"]

logger = logging.getLogger(__name__)

_HELLO_PAUSE_S = 0.2
_LONG_DOWN_NS = 300 * SECOND_NS
"""After so long an outage others come back at the same moment."""
_BIG_BACKLOG = 5000
"""So many readings take a while: what the devices say at present is sent before them."""
_LITTLE_HELD = 5000
"""Up to so many records of a lane an acknowledgement may wait for the next commit."""
_SETTLE_S = 1.0
"""For so long: devices that speak at all make a commit a second."""
_SNAPSHOT_PAUSE_NS = 600 * SECOND_NS
_SOUND_NS = 5 * SECOND_NS
"""A connection that lasted so long was sound. One that ends at once, again and again, is tried ever more seldom: another
client may be using this gateway's name."""
_GOODBYE_S = 0.6


class _EpochOverError(Exception):
    """The session must start over with a new hello: the store began a new epoch, or has to."""


class Uplink:
    """Keeps one connection to the cloud.

    `devices` says what to declare in a hello, `status` what to publish of the gateway, `clock_quality` how good its clock
    is; `on_command` takes a command and must not wait. `connect` makes the connection, by MQTT where none is given.
    `snapshot` commits the latest reading of each device once more and says how many these are: called, at most once in ten
    minutes, where so many readings wait that the cloud would long see only the past. `on_cloud_time` is told the cloud's
    wall clock and the nanoseconds between question and answer; no batch leaves before it has returned.
    """

    def __init__(
        self,
        settings: UplinkSettings,
        outbox: Outbox,
        clock: Clock,
        *,
        devices: Callable[[], Sequence[DeviceDeclaration]],
        status: Callable[[bool], GatewayStatus],
        on_command: Callable[[Command], None],
        refuse: Callable[[str, Reason, str, bytes], None],
        connect: Connect | None = None,
        snapshot: Callable[[], Awaitable[int]] | None = None,
        on_cloud_time: Callable[[int, int], Awaitable[None]] | None = None,
        clock_quality: Callable[[], ClockQuality] = lambda: ClockQuality.SYNCED,
        chance: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._devices = devices
        self._status = status
        self._on_command = on_command
        self._refuse = refuse
        self._connect = connect or MqttDoor(settings.gateway, settings.broker, settings.username, settings.password_file)
        self._snapshot = snapshot
        self._on_cloud_time = on_cloud_time
        self._clock_quality = clock_quality
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, keeps no secret
        self._epoch = outbox.epoch
        """Of the present connection; the outbox may begin another at any time."""
        # Earlier runs may have sent whatever is here.
        self._windows = {lane: LaneWindow(settings.retransmit_s, outbox.accounts[lane].next_seq - 1) for lane in Lane}
        self._hello_due = asyncio.Event()
        self._greeting = asyncio.Event()
        """Set while the cloud has been told of every device; batches wait for it."""
        self._acks = AckQueue()
        self._hellos = Hellos()
        self._welcome_due = True
        """Whether this connection's first answer is still to come."""
        self._snapshot_due = asyncio.Event()
        self._snapshot_ns: int | None = None
        self._history_ns = 0
        """History stays here until then."""
        self._down_ns = clock.monotonic_ns()
        """Since when there has been no connection."""
        self._first = True
        self.counts = UplinkCounts()
        self._fence = Fence(outbox, clock, self.counts)
        self.connected = False
        self.last_error = ""

    def announce(self) -> None:
        """Say hello again, before any more batches: the devices, or the clock, have changed."""
        self._greeting.clear()
        self._hello_due.set()

    async def run(self) -> None:
        """Connect, serve, reconnect, until cancelled."""
        settings = self._settings
        backoff = Backoff(settings.reconnect_first_s, settings.reconnect_most_s, chance=self._chance)
        self._down_ns = self._clock.monotonic_ns()
        while True:
            up_ns = self._clock.monotonic_ns()
            try:
                await attempt(self._session())
            except* (LinkDownError, apsw.Error) as errors:
                self._note_down(_first(errors))
            except* _EpochOverError:
                backoff.reset()
            if self.connected:
                self._down_ns = self._clock.monotonic_ns()
                if self._down_ns - up_ns >= _SOUND_NS:
                    backoff.reset()
            self.connected = False
            await asyncio.sleep(max(backoff.next_s(), self._fence.wait_s()))
            await self._fence.renew()

    def _note_down(self, problem: BaseException) -> None:
        error = str(problem)
        expected = isinstance(problem, LinkDownError) and problem.expected
        if self.connected or (error != self.last_error and not expected):
            logger.warning("uplink down: %s", error, extra={"event": "uplink.down", "error": error})
        self.last_error = error

    async def _session(self) -> None:
        async with self._connect(encode(self._status(False))) as link:  # noqa: FBT003 - online
            self.connected, self.last_error = True, ""
            self.counts.connections += 1
            logger.info("uplink up", extra={"event": "uplink.up", "broker": self._settings.broker, "epoch": self._outbox.epoch})
            courier, pump = self._begin(link)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._receive(link), name="uplink receive")
                    tasks.create_task(self._note_acks(pump), name="uplink acks")
                    tasks.create_task(self._greet(courier, pump), name="uplink hello")
                    tasks.create_task(self._report(courier), name="uplink status")
                    tasks.create_task(self._watch_outbox(pump), name="uplink watch")
                    tasks.create_task(self._take_snapshot(), name="uplink snapshot")
                    tasks.create_task(pump.run(), name="uplink pump")
            except asyncio.CancelledError:
                await self._say_goodbye(link)
                raise

    def _begin(self, link: Link) -> tuple[Courier, Pump]:
        """What a connection begins with; positions outlive it, but not an epoch."""
        settings = self._settings
        if self._epoch != self._outbox.epoch:
            self._epoch = self._outbox.epoch
            self._windows = {lane: LaneWindow(settings.retransmit_s) for lane in Lane}
        for window in self._windows.values():
            window.restart(self._clock.monotonic_ns())
        self._acks, self._hellos = AckQueue(), Hellos()
        self._greeting.clear()
        self._snapshot_due.clear()
        self._welcome_due = True
        courier = Courier(link, Pace(settings.rate_bits_s), self._clock, self.counts)
        pump = Pump(
            settings,
            self._outbox,
            self._clock,
            self.counts,
            windows=self._windows,
            courier=courier,
            ready=self._greeting,
            say_hello=self._hello_due.set,
        )
        pump.pause_history(self._history_ns)
        return courier, pump

    # What the gateway says of itself.

    async def _greet(self, courier: Courier, pump: Pump) -> None:
        """Say hello until the cloud has answered for each lane, and again whenever there is news."""
        while True:
            self._hello_due.clear()
            self._greeting.clear()
            hello = await self._hello()
            self._hellos.sent(hello, self._clock.monotonic_ns())
            await courier.publish(Channel.HELLO, compress_message(encode(hello)))
            if not self._hello_due.is_set():
                self._greeting.set()
                pump.stir()
            # Many devices that are let in at once share a hello.
            await asyncio.sleep(_HELLO_PAUSE_S)
            if not self._welcomed():
                await self._until_hello_is_due(self._settings.hello_again_s)
            if self._welcomed():
                await self._until_hello_is_due(self._settings.hello_every_s)

    async def _until_hello_is_due(self, at_most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._hello_due.wait()

    def _welcomed(self) -> bool:
        return all(window.welcomed for window in self._windows.values())

    async def _hello(self) -> Hello:
        await self._settle()
        lanes = await self._outbox.spans()
        return Hello(
            gateway=self._settings.gateway,
            epoch=self._outbox.epoch,
            boot_id=self._settings.boot_id,
            agent_version=self._settings.agent_version,
            sent_ns=self._hellos.unused(self._clock.wall_ns()),
            lanes=lanes,
            devices=list(self._devices()),
            clock=self._clock_quality(),
        )

    async def _report(self, courier: Courier) -> None:
        while True:
            await courier.publish(Channel.STATUS, encode(self._status(True)), retain=True)  # noqa: FBT003 - online
            await asyncio.sleep(self._settings.status_s)

    async def _say_goodbye(self, link: Link) -> None:
        """Tell the cloud that this is a planned end; a link that is too slow for that has the will."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await link.publish(Channel.STATUS, encode(self._status(False)), retain=True)  # noqa: FBT003 - online
        except (LinkDownError, TimeoutError) as error:
            logger.info("no goodbye: %s", error, extra={"event": "uplink.no_goodbye"})

    async def _take_snapshot(self) -> None:
        await self._snapshot_due.wait()
        if self._snapshot is None:
            return
        self._snapshot_ns = self._clock.monotonic_ns()
        count = await self._snapshot()
        self.counts.snapshots += 1
        logger.info("the latest readings go first", extra={"event": "uplink.snapshot", "readings": count})

    # What the cloud says.

    async def _receive(self, link: Link) -> None:
        async for what, payload in link.heard():
            try:
                match what:
                    case Channel.ACK:
                        self._take_ack(payload)
                    case Channel.COMMAND:
                        self._on_command(decode_command(payload, decompress))
                    case _:
                        pass
            except WireError as error:
                self.counts.bad_messages += 1
                self._refuse("cloud", error.reason, f"{what}: {error.detail}", b"")

    def _take_ack(self, payload: bytes) -> None:
        ack = decode_ack(payload, decompress)
        self.counts.acks += 1
        if ack.epoch == self._epoch and ack.gateway == self._settings.gateway:
            self._hellos.heard(ack, self._clock.monotonic_ns())
            self._acks.put(ack)

    async def _note_acks(self, pump: Pump) -> None:
        """Note what the cloud has said; what no commit took along in time is settled without one."""
        while True:
            acks = await self._acks.take(_SETTLE_S if self._outbox.owes else None)
            if not acks:
                await self._settle()
            for ack in acks:
                if self._epoch != self._outbox.epoch:
                    raise _EpochOverError
                try:
                    meant = self._hellos.are_meant_by(ack)
                    if meant and await self._fence.stands(ack, self._windows[ack.lane].given):
                        raise _EpochOverError
                    await self._note_ack(ack, pump)
                except apsw.Error as error:
                    # As if it had been lost: the same word will come again.
                    self.counts.disk_errors += 1
                    extra = {"event": "uplink.ack_failed", "lane": ack.lane, "error": str(error)}
                    logger.exception("an acknowledgement cannot be kept", extra=extra)
                pump.stir()

    async def _note_ack(self, ack: Ack, pump: Pump) -> None:
        window, asked = self._windows[ack.lane], self._hellos.answered_by(ack)
        if not window.believes(ack) and (asked is None or not self._hellos.is_latest(asked)):
            return
        if asked is not None:
            await self._take_answer(ack, asked)
        if asked is None and self._can_wait(ack):
            self._outbox.ack_soon(ack)
        else:
            await self._outbox.ack(ack)
        now_ns = self._clock.monotonic_ns()
        window.on_ack(ack, now_ns)
        for low, high, reason in ack.refused:
            if window.on_refused(low, high):
                self.counts.refused_batches += 1
                extra = {"event": "uplink.refused_batch", "lane": ack.lane, "from": low, "to": high, "reason": reason}
                logger.warning("the cloud cannot take a batch whole: sending its halves", extra=extra)
        if asked is not None:
            asked.answered.add(ack.lane)
            self._welcome(ack, asked.next_seqs[ack.lane], pump, now_ns)

    def _can_wait(self, ack: Ack) -> bool:
        """Whether it may share a commit: of readings, where little is held, little is said again if the power fails before."""
        plain = ack.lane is Lane.READINGS and not (ack.refused or ack.quarantined)
        return plain and self._outbox.accounts[ack.lane].depth <= _LITTLE_HELD

    async def _settle(self) -> None:
        try:
            await self._outbox.settle()
        except apsw.Error as error:
            self.counts.disk_errors += 1
            logger.exception("acknowledgements cannot be kept", extra={"event": "uplink.ack_failed", "error": str(error)})

    async def _take_answer(self, ack: Ack, asked: Asked) -> None:
        """The first thing after a hello: what time it is there, and whether the cloud still knows what it knew."""
        if not asked.answered and self._on_cloud_time is not None:
            # The disk may have kept this answer waiting: what the cloud's clock shows by now is what counts.
            waited_ns = self._clock.monotonic_ns() - asked.sent_ns - asked.took_ns
            await self._on_cloud_time(ack.server_ns + waited_ns, asked.took_ns)
        window, account = self._windows[ack.lane], self._outbox.accounts[ack.lane]
        if not window.forgotten(ack, account.cumulative, account.acked + account.quarantined):
            return
        extra = {"event": "uplink.rewound", "lane": ack.lane, "cumulative": ack.cumulative, "before": account.cumulative}
        logger.error("the cloud knows less than it did: what is still kept goes out again", extra=extra)
        self.counts.rewinds += 1
        await self._outbox.rewind(ack.lane, ack.cumulative, tuple(ack.ranges))
        window.rewind(ack)
        # What was trimmed since that hello cannot be sent again: the cloud must hear what is still kept.
        self._hello_due.set()

    def _welcome(self, ack: Ack, next_seq: int, pump: Pump, now_ns: int) -> None:
        account = self._outbox.accounts[ack.lane]
        self._windows[ack.lane].on_welcome(ack, next_seq, account.depth, now_ns)
        if ack.lane is not Lane.READINGS:
            return
        big = account.depth > _BIG_BACKLOG
        if self._welcome_due and ((self._first and big) or now_ns - self._down_ns >= _LONG_DOWN_NS):
            delay_s = self._chance.uniform(0, self._settings.history_jitter_s)
            self._history_ns = now_ns + round(delay_s * SECOND_NS)
            pump.pause_history(self._history_ns)
        self._welcome_due = self._first = False
        if big and (self._snapshot_ns is None or now_ns - self._snapshot_ns >= _SNAPSHOT_PAUSE_NS):
            self._snapshot_due.set()

    # The end of an epoch.

    async def _watch_outbox(self, pump: Pump) -> None:
        changed = self._outbox.watch()
        try:
            while True:
                await changed.wait()
                changed.clear()
                if self._outbox.epoch != self._epoch:
                    raise _EpochOverError
                pump.stir()
        finally:
            self._outbox.unwatch(changed)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first thing that went wrong, out of the groups it is wrapped in."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
