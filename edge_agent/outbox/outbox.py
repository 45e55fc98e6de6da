"""The outbox as the rest of the agent sees it: its own thread, and an event loop that never waits for the disk."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from edge_agent.config import OutboxLimits
from edge_agent.outbox.clocks import UNTOLD, ClockStamp
from edge_agent.outbox.file import LaneAccount, OutboxError, OversizedError
from edge_agent.outbox.salvage import DAMAGE, open_again, open_store, renew_store, reopen_store
from edge_agent.outbox.spans import Spans
from edge_agent.outbox.store import Block, LossNote, Store
from telemetry.clock import Clock
from telemetry.records import Event, Lane, Reading
from telemetry.wire import Ack, LaneSpan

__all__ = ["Block", "ClockStamp", "LaneAccount", "Outbox", "OutboxError", "OversizedError"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_MOST_OWED = 64
"""Acknowledgements that may wait for a commit; an older one than these is said again by the later."""


class Outbox:
    """Everything the gateway has said and the cloud has not yet acknowledged, in one SQLite file.

    `accounts` is the state after the last finished commit or acknowledgement. Methods raise apsw.Error for what the
    disk says; nothing has then been stored or forgotten.
    """

    def __init__(self, store: Store, thread: ThreadPoolExecutor, clock: Clock) -> None:
        self._store = store
        self._thread = thread
        self._clock = clock
        self.epoch = store.epoch
        self.accounts: Mapping[Lane, LaneAccount] = store.lanes
        self._stamp = store.stamp
        self._is_sound = True
        self._owed: list[Ack] = []
        """What the cloud has said and the next commit will settle."""
        self._is_cramped = False
        """Whether the disk had no room to settle it."""
        self._watches: list[asyncio.Event] = []

    @classmethod
    async def open(
        cls,
        folder: Path,
        gateway: str,
        limits: OutboxLimits,
        clock: Clock,
        *,
        stamp: ClockStamp | None = None,
        vfs: str | None = None,
    ) -> "Outbox":
        """Open or make the outbox in `folder`; OutboxError when it is another agent's or another gateway's.

        `stamp` is the clock segment of what is committed until `set_stamp` names another; `vfs` an apsw VFS for the file.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        try:
            opening = partial(open_store, folder, gateway, limits, clock.wall_ns(), stamp=stamp or UNTOLD, vfs=vfs)
            return cls(await asyncio.get_running_loop().run_in_executor(thread, opening), thread, clock)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    def watch(self) -> asyncio.Event:
        """An event of the caller's own that is set whenever `accounts` changes; the caller clears it."""
        event = asyncio.Event()
        self._watches.append(event)
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        """Stop setting an event that `watch` gave out."""
        self._watches.remove(event)

    async def close(self) -> None:
        """Finish what is under way, then let go of file, lock and thread; the cloud says again what it has."""
        await self._in_thread(self._store.close)
        self._thread.shutdown()

    async def commit(
        self,
        readings: Sequence[Reading],
        events: Sequence[Event] = (),
        states: Mapping[str, bytes] | None = None,
        *,
        stamps: Sequence[ClockStamp] | None = None,
    ) -> None:
        """Number and store records, and what is to be remembered of devices, in one synced transaction.

        `stamps` are the clock segments of the readings, then of the events, one for each record; without it the one last
        set counts for all. OversizedError where a record is too long to be stored: nothing has then been stored.

        A broken file is rebuilt on the way, under a new epoch. Where the disk refuses, apsw.Error says so and the caller
        tries again; what it did not sync has then been read back.
        """
        told = stamps or [self._stamp] * (len(readings) + len(events))
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()

        def commit(store: Store, acks: Sequence[Ack]) -> None:
            store.commit(readings, events, states or {}, wall_ns, mono_ns=mono_ns, stamps=told, acks=acks)

        await self._with_owed(commit)

    async def next_block(self, lane: Lane, after_seq: int) -> Block | None:
        """The first held batch with an open record numbered above `after_seq`."""
        return next(iter(await self.next_blocks(lane, after_seq, 1)), None)

    def set_stamp(self, stamp: ClockStamp) -> None:
        """From now on this is the clock segment of what is committed."""
        self._stamp = stamp

    async def fix_clock(self, boot_id: str, offset_ns: int) -> None:
        """Remember the true offset of a boot: the first word counts, and comes before anything of that boot is sent."""
        await self._call(lambda store: store.fix_clock(boot_id, offset_ns))

    async def next_blocks(self, lane: Lane, after_seq: int, most_bytes: int, below_seq: int | None = None) -> list[Block]:
        """The held batches above `after_seq`, at least one where there is any, then up to `most_bytes` together.

        With `below_seq` only those that begin below it. Nothing where the epoch turns out to be over.
        """
        epoch, now_ns = self.epoch, self._clock.wall_ns()

        def read(store: Store) -> list[Block]:
            return store.next_blocks(lane, after_seq, most_bytes, now_ns, below_seq) if store.epoch == epoch else []

        return await self._call(read)

    async def ack(self, ack: Ack) -> None:
        """Settle what the cloud has for good; of another epoch, doubled, late: no effect.

        On a disk without any room it waits for some.
        """
        self.ack_soon(ack)
        await self.settle()

    def ack_soon(self, ack: Ack) -> None:
        """Settle it with the next commit, or with `settle` where none comes: what is lost until then is said again."""
        self._owed.append(ack)
        del self._owed[:-_MOST_OWED]

    @property
    def owes(self) -> bool:
        """Whether an acknowledgement waits for a commit."""
        return bool(self._owed)

    async def settle(self) -> None:
        """Settle what waits for a commit without one."""
        if not self._owed:
            return
        now_ns = self._clock.wall_ns()
        try:
            await self._with_owed(lambda store, acks: store.settle(acks, now_ns))
        except apsw.FullError as error:
            # It waits on: the cloud need not say it again.
            if not self._is_cramped:
                logger.warning("no room to note an acknowledgement: %s", error, extra={"event": "outbox.ack_not_noted"})
            self._is_cramped = True
        else:
            self._is_cramped = False

    async def rewind(self, lane: Lane, cumulative: int, known: Spans = ()) -> None:
        """The cloud knows less than before: what is still kept above `cumulative` is unacknowledged again.

        `known` are the ranges above it that it has.
        """
        self._unsay(lane)
        epoch, now_ns = self.epoch, self._clock.wall_ns()
        try:
            await self._call(lambda store: store.rewind(lane, cumulative, now_ns, known) if store.epoch == epoch else store.lanes)
        finally:
            # A commit that was under way and failed has given back what it was to settle.
            self._unsay(lane)

    async def spans(self) -> dict[Lane, LaneSpan]:
        """What each lane still holds and from where on it can say it again, for the hello."""
        return await self._call(lambda store: store.spans())

    async def losses(self, limit: int = 100) -> list[LossNote]:
        """What was last declared lost, the newest first."""
        return await self._call(lambda store: store.losses(limit))

    async def oldest_ns(self, lane: Lane | None = None) -> int | None:
        """The event time of the oldest record still held, of one lane or of both."""
        return await self._call(lambda store: store.oldest_ns(lane))

    async def states(self) -> dict[str, bytes]:
        """What was last remembered of each device."""
        return await self._call(lambda store: store.states())

    async def renew(self) -> None:
        """Begin a new epoch with everything that is still held and can be read."""
        now_ns = self._clock.wall_ns()
        await self._in_thread(lambda: self._replace(renew_store, now_ns))

    async def advance_counter(self, counter: int) -> bool:
        """Remember a command's counter before it is acted on; False when it is a replay."""
        return await self._call(lambda store: store.advance_counter(counter))

    def _unsay(self, lane: Lane) -> None:
        """What the cloud said earlier of this lane is not so any more."""
        self._owed = [ack for ack in self._owed if ack.lane is not lane]

    async def _with_owed(self, work: Callable[[Store, Sequence[Ack]], object]) -> None:
        """Do something that settles what waits; where the disk refuses, it waits on."""
        acks, self._owed = self._owed, []
        try:
            await self._call(lambda store: work(store, acks))
        except BaseException:
            self._owed[:0] = acks
            raise

    async def _call(self, work: Callable[[Store], _T]) -> _T:
        """Do something with the store on its thread."""
        now_ns = self._clock.wall_ns()
        return await self._in_thread(lambda: self._work(work, now_ns))

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._publish()

    def _publish(self) -> None:
        store = self._store
        if store.lanes is not self.accounts or store.epoch != self.epoch:
            self.epoch, self.accounts = store.epoch, store.lanes
            for watch in self._watches:
                watch.set()

    # On the store's thread.

    def _work(self, work: Callable[[Store], _T], now_ns: int) -> _T:
        """Where the file turns out to be damaged it is rebuilt, and the work done there; what the disk refused is raised."""
        if not self._is_sound:
            self._replace(open_again, now_ns)
        try:
            done = work(self._store)
        except DAMAGE as damage:
            logger.exception("the outbox is damaged", extra={"event": "outbox.damaged", "error": str(damage)})
            self._replace(renew_store, now_ns)
            return work(self._store)
        except apsw.IOError:
            self._replace(reopen_store, now_ns)
            raise
        if self._store.is_doubtful:
            self._replace(reopen_store, now_ns)
        return done

    def _replace(self, by: Callable[[Store, int], Store], now_ns: int) -> None:
        """Another store takes over; until one has, each call tries again."""
        self._is_sound = False
        try:
            self._store = by(self._store, now_ns)
        except OSError as error:
            # Whoever waits for the disk knows one family of errors: a disk that became read-only is of it, too.
            raise apsw.CantOpenError(str(error)) from error
        self._is_sound = True
