"""The way to the cloud: what the outbox holds goes out by MQTT and stays there until the cloud says that it is stored.

A PUBACK means only that the broker has seen a message. What counts is the cloud's `Ack`: nothing is forgotten before
it, and everything not acknowledged goes out again after each reconnect, or when a lane has stood still for too long.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from edge_agent.attempt import attempt
from edge_agent.backoff import Backoff
from edge_agent.outbox.outbox import Block, Outbox
from edge_agent.uplink.compression import compress_message, decompress
from edge_agent.uplink.link import Connect, Link, LinkDownError, MqttDoor
from edge_agent.uplink.window import LaneWindow
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Command, Lane
from telemetry.topics import Channel
from telemetry.wire import Ack, DeviceDeclaration, GatewayStatus, Hello, WireError, decode_ack, decode_command, encode

__all__ = ["Uplink", "UplinkCounts", "UplinkSettings"]

logger = logging.getLogger(__name__)

_IN_FLIGHT = {Lane.EVENTS: 2, Lane.READINGS: 6}
"""Batches of a lane that may wait for their PUBACK. With what is read ahead, all of the backlog that is ever in memory."""
_READ_AHEAD_BYTES = 192 * 1024
"""Read at once: each reading waits for the outbox's thread, which may be busy with a sync."""
_HELLO_PAUSE_S = 0.2
_MAX_ACKS = 1000
"""Acknowledgements that may wait for the disk; a later one says it again."""


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cloud is and how patient to be."""

    gateway: str
    broker: str
    boot_id: str
    agent_version: str
    username: str = ""
    password_file: Path | None = None
    status_s: float = 60.0
    retransmit_s: float = 10.0
    hello_again_s: float = 5.0
    reconnect_first_s: float = 0.5
    reconnect_most_s: float = 60.0


class UplinkCounts(msgspec.Struct):
    """What the link has seen since the agent started."""

    connections: int = 0
    batches_sent: int = 0
    bytes_sent: int = 0
    retransmissions: int = 0
    acks: int = 0
    bad_messages: int = 0


class _EpochOverError(Exception):
    """The store began a new epoch; the session must start over with a new hello."""


class Uplink:
    """Keeps one connection to the cloud's broker.

    `devices` says what to declare in a hello, `status` what to publish of the gateway; `on_command` takes a command
    and must not wait.
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
        self._windows = {lane: LaneWindow(settings.retransmit_s) for lane in Lane}
        self._moved = {lane: asyncio.Event() for lane in Lane}
        self._events_idle = asyncio.Event()
        self._hello_due = asyncio.Event()
        self._greeting = asyncio.Event()
        """Set while the cloud has been told of every device; batches wait for it."""
        self._acks: list[Ack] = []
        self._acked = asyncio.Event()
        self.counts = UplinkCounts()
        self.connected = False
        self.last_error = ""

    def announce(self) -> None:
        """Say hello again, before any more batches: the devices have changed."""
        self._greeting.clear()
        self._hello_due.set()

    async def run(self) -> None:
        """Connect, serve, reconnect, until cancelled."""
        backoff = Backoff(self._settings.reconnect_first_s, self._settings.reconnect_most_s)
        while True:
            try:
                await attempt(self._session(backoff))
            except* LinkDownError as errors:
                self._note_down(_first(errors))
            except* _EpochOverError:
                backoff.reset()
            self.connected = False
            await asyncio.sleep(backoff.next_s())

    def _note_down(self, problem: BaseException) -> None:
        error = str(problem)
        expected = isinstance(problem, LinkDownError) and problem.expected
        if self.connected or (error != self.last_error and not expected):
            logger.warning("uplink down: %s", error, extra={"event": "uplink.down", "error": error})
        self.last_error = error

    async def _session(self, backoff: Backoff) -> None:
        async with self._connect(encode(self._status(False))) as link:  # noqa: FBT003 - online
            self.connected, self.last_error = True, ""
            self.counts.connections += 1
            backoff.reset()
            logger.info("uplink up", extra={"event": "uplink.up", "broker": self._settings.broker, "epoch": self._outbox.epoch})
            self._begin_windows()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._receive(link), name="uplink receive")
                    tasks.create_task(self._note_acks(), name="uplink acks")
                    tasks.create_task(self._greet(link), name="uplink hello")
                    tasks.create_task(self._report(link), name="uplink status")
                    tasks.create_task(self._wake_lanes(), name="uplink wake")
                    for lane in Lane:
                        tasks.create_task(self._send_lane(link, lane), name=f"uplink {lane}")
            except asyncio.CancelledError:
                await self._say_goodbye(link)
                raise

    def _begin_windows(self) -> None:
        """Positions outlive a connection, not an epoch."""
        if self._epoch != self._outbox.epoch:
            self._epoch = self._outbox.epoch
            self._windows = {lane: LaneWindow(self._settings.retransmit_s) for lane in Lane}
        for window in self._windows.values():
            window.restart()

    # What the gateway says of itself.

    async def _greet(self, link: Link) -> None:
        """Say hello until the cloud has answered for each lane, and again whenever there is news."""
        while True:
            self._hello_due.clear()
            self._greeting.clear()
            await link.publish(Channel.HELLO, encode(await self._hello()))
            if not self._hello_due.is_set():
                self._greeting.set()
            # Many devices that are let in at once share a hello.
            await asyncio.sleep(_HELLO_PAUSE_S)
            welcomed = all(window.welcomed for window in self._windows.values())
            try:
                async with asyncio.timeout(None if welcomed else self._settings.hello_again_s):
                    await self._hello_due.wait()
            except TimeoutError:
                if all(window.welcomed for window in self._windows.values()):
                    await self._hello_due.wait()

    async def _hello(self) -> Hello:
        return Hello(
            gateway=self._settings.gateway,
            epoch=self._outbox.epoch,
            boot_id=self._settings.boot_id,
            agent_version=self._settings.agent_version,
            sent_ns=self._clock.wall_ns(),
            lanes=await self._outbox.spans(),
            devices=list(self._devices()),
        )

    async def _report(self, link: Link) -> None:
        while True:
            await self._publish_status(link, online=True)
            await asyncio.sleep(self._settings.status_s)

    async def _publish_status(self, link: Link, *, online: bool) -> None:
        await link.publish(Channel.STATUS, encode(self._status(online)), retain=True)

    async def _say_goodbye(self, link: Link) -> None:
        """Tell the cloud that this is a planned end; a link that is too slow for that has the will."""
        try:
            async with asyncio.timeout(1.0):
                await self._publish_status(link, online=False)
        except (LinkDownError, TimeoutError) as error:
            logger.info("no goodbye: %s", error, extra={"event": "uplink.no_goodbye"})

    # What the cloud says.

    async def _receive(self, link: Link) -> None:
        take = {Channel.ACK: self._take_ack, Channel.COMMAND: self._take_command}
        async for what, payload in link.heard():
            try:
                if what in take:
                    take[what](payload)
            except WireError as error:
                self.counts.bad_messages += 1
                self._refuse("cloud", error.reason, f"{what}: {error.detail}", b"")

    def _take_ack(self, payload: bytes) -> None:
        ack = decode_ack(payload, decompress)
        self.counts.acks += 1
        if ack.epoch != self._outbox.epoch or ack.gateway != self._settings.gateway:
            return
        if len(self._acks) < _MAX_ACKS:
            self._acks.append(ack)
            self._acked.set()

    def _take_command(self, payload: bytes) -> None:
        self._on_command(decode_command(payload, decompress))

    async def _note_acks(self) -> None:
        """Forget on disk first, then let the lane move on."""
        while True:
            await self._acked.wait()
            self._acked.clear()
            acks, self._acks = self._acks, []
            for ack in _condense(acks):
                if ack.epoch != self._epoch or self._epoch != self._outbox.epoch:
                    continue
                if ack.cumulative >= self._outbox.accounts[ack.lane].next_seq:
                    await self._begin_epoch(ack)
                await self._outbox.ack(ack)
                self._windows[ack.lane].on_ack(ack, self._clock.monotonic_ns())
                self._moved[ack.lane].set()

    async def _begin_epoch(self, ack: Ack) -> NoReturn:
        logger.error(
            "the cloud has records of this epoch that this outbox never gave out: it was restored or cloned; a new epoch begins",
            extra={"event": "uplink.rolled_back", "lane": ack.lane, "cumulative": ack.cumulative, "epoch": ack.epoch},
        )
        await self._outbox.renew()
        raise _EpochOverError

    # What goes out.

    async def _wake_lanes(self) -> None:
        changed = self._outbox.watch()
        try:
            while True:
                await changed.wait()
                changed.clear()
                if self._outbox.epoch != self._epoch:
                    raise _EpochOverError
                for moved in self._moved.values():
                    moved.set()
        finally:
            self._outbox.unwatch(changed)

    async def _send_lane(self, link: Link, lane: Lane) -> None:
        window, slots = self._windows[lane], asyncio.Semaphore(_IN_FLIGHT[lane])
        ready: deque[Block] = deque()
        async with asyncio.TaskGroup() as under_way:
            while True:
                self._retransmit_if_stalled(lane)
                if lane is Lane.READINGS:
                    await self._events_idle.wait()
                block = await self._next(lane, ready)
                if block is None or not window.may_send(block.last_seq):
                    await self._rest(lane)
                    continue
                if lane is Lane.EVENTS:
                    self._events_idle.clear()
                await self._greeting.wait()
                await slots.acquire()
                window.on_sent(block.last_seq, self._clock.monotonic_ns())
                under_way.create_task(self._publish(link, block, slots), name=f"publish {lane} {block.first_seq}")

    async def _next(self, lane: Lane, ready: deque[Block]) -> Block | None:
        """The batch after what was sent; those in `ready` were read before and are not read again."""
        sent = self._windows[lane].sent
        if not self._windows[lane].welcomed or sent >= self._outbox.accounts[lane].next_seq - 1:
            ready.clear()
            return None
        while ready and ready[0].last_seq <= sent:
            ready.popleft()
        if not ready or ready[0].first_seq > sent + 1:
            ready.clear()
            ready.extend(await self._outbox.next_blocks(lane, sent, _READ_AHEAD_BYTES))
        return ready[0] if ready else None

    async def _rest(self, lane: Lane) -> None:
        """Wait for news of the lane, at most until its patience should be looked at again."""
        if lane is Lane.EVENTS:
            self._events_idle.set()
        try:
            async with asyncio.timeout(min(1.0, self._settings.retransmit_s / 2)):
                await self._moved[lane].wait()
        except TimeoutError:
            return
        self._moved[lane].clear()

    def _retransmit_if_stalled(self, lane: Lane) -> None:
        window, now_ns = self._windows[lane], self._clock.monotonic_ns()
        if not window.stalled(now_ns):
            return
        logger.warning(
            "no progress: sending again",
            extra={"event": "uplink.retransmit", "lane": lane, "cumulative": window.cumulative, "sent": window.sent},
        )
        self.counts.retransmissions += 1
        if window.credit <= 0:
            self._hello_due.set()
        window.rewind(now_ns)

    async def _publish(self, link: Link, block: Block, slots: asyncio.Semaphore) -> None:
        payload = compress_message(block.payload)
        try:
            await link.publish(Channel.of_lane(block.lane), payload)
        finally:
            slots.release()
        self.counts.batches_sent += 1
        self.counts.bytes_sent += len(payload)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first thing that went wrong, out of the groups it is wrapped in."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _condense(acks: Sequence[Ack]) -> list[Ack]:
    """The same word in fewer commits: of plain acknowledgements that follow one another in a lane, the furthest."""
    kept: dict[Lane, list[Ack]] = {}
    for ack in acks:
        lane = kept.setdefault(ack.lane, [])
        if lane and not (lane[-1].ranges or lane[-1].quarantined) and ack.cumulative >= lane[-1].cumulative:
            lane[-1] = ack
        else:
            lane.append(ack)
    return [ack for lane in kept.values() for ack in lane]
