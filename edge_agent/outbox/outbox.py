"""The outbox as the rest of the agent sees it: its own thread, and an event loop that never waits for the disk."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from edge_agent.config import OutboxLimits
from edge_agent.outbox.clocks import UNTOLD, ClockStamp
from edge_agent.outbox.file import LaneAccount, OutboxError, OversizedError
from edge_agent.outbox.salvage import open_store, renew_store, reopen_store
from edge_agent.outbox.store import Block, LossNote, Store
from telemetry.clock import Clock
from telemetry.records import Event, Lane, Reading
from telemetry.wire import Ack, LaneSpan

__all__ = ["Block", "ClockStamp", "LaneAccount", "Outbox", "OutboxError", "OversizedError"]

_T = TypeVar("_T")


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
        self._stamp = UNTOLD
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
        """Finish what is under way, then let go of file, lock and thread."""
        await self._call(self._store.close)
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

        Whatever it raises, the store is sound again afterwards: a broken file has been rebuilt, under a new epoch, and
        one that the disk did not sync has been read back. The caller tries again.
        """
        try:
            self._publish(await self._call(self._store.commit, readings, events, states or {}, self._clock.wall_ns()))
        except (apsw.CorruptError, apsw.NotADBError):
            await self.renew()
            raise
        except apsw.IOError:
            await self._replace(reopen_store)
            raise

    async def next_block(self, lane: Lane, after_seq: int) -> Block | None:
        """The first held batch with a record numbered above `after_seq`."""
        block = await self._call(self._store.next_block, lane, after_seq, self._clock.wall_ns())
        self._publish(self._store.lanes)
        return block

    def set_stamp(self, stamp: ClockStamp) -> None:
        """From now on this is the clock segment of what is committed."""
        self._stamp = stamp

    async def fix_clock(self, boot_id: str, offset_ns: int) -> None:
        """Remember the true offset of a boot: the first word counts, and comes before anything of that boot is sent."""
        await self._call(self._store.fix_clock, boot_id, offset_ns)

    async def next_blocks(self, lane: Lane, after_seq: int, most_bytes: int, below_seq: int | None = None) -> list[Block]:
        """The held batches above `after_seq`, at least one where there is any, then up to `most_bytes` together.

        With `below_seq` only those that begin below it.
        """
        blocks = await self._call(self._store.next_blocks, lane, after_seq, most_bytes, self._clock.wall_ns(), below_seq)
        self._publish(self._store.lanes)
        return blocks

    async def ack(self, ack: Ack) -> None:
        """Forget what the cloud has for good; of another epoch, doubled, late: no effect."""
        self._publish(await self._call(self._store.ack, ack))

    async def spans(self) -> dict[Lane, LaneSpan]:
        """What each lane still holds, for the hello."""
        return {lane: LaneSpan(await self._call(self._store.first_unacked, lane), self.accounts[lane].next_seq) for lane in Lane}

    async def rewind(self, lane: Lane, cumulative: int) -> None:
        """The cloud knows less than before: what is still kept above `cumulative` is unacknowledged again."""
        self._publish(await self._call(self._store.rewind, lane, cumulative))

    async def losses(self, limit: int = 100) -> list[LossNote]:
        """What was last declared lost, the newest first."""
        return await self._call(self._store.losses, limit)

    async def oldest_ns(self, lane: Lane | None = None) -> int | None:
        """The event time of the oldest record still held, of one lane or of both."""
        return await self._call(self._store.oldest_ns, lane)

    async def states(self) -> dict[str, bytes]:
        """What was last remembered of each device."""
        return await self._call(self._store.states)

    async def renew(self) -> None:
        """Begin a new epoch with everything that is still held and can be read."""
        await self._replace(renew_store)

    async def _replace(self, by: Callable[[Store, int], Store]) -> None:
        self._store = await self._call(by, self._store, self._clock.wall_ns())
        self.epoch = self._store.epoch
        self._publish(self._store.lanes)

    async def advance_counter(self, counter: int) -> bool:
        """Remember a command's counter before it is acted on; False when it is a replay."""
        return await self._call(self._store.advance_counter, counter)

    async def _call(self, work: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args))

    def _publish(self, accounts: Mapping[Lane, LaneAccount]) -> None:
        if accounts is not self.accounts:
            self.accounts = accounts
            for watch in self._watches:
                watch.set()
