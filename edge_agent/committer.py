"""Group commit: many waiting drivers share one synced transaction."""

import asyncio
import logging
from collections.abc import Sequence

import apsw
import msgspec

from edge_agent.config import OutboxLimits
from edge_agent.outbox.clocks import ClockStamp
from edge_agent.outbox.outbox import Outbox, OversizedError
from edge_agent.slots import Slots
from telemetry.records import Event, Reading

__all__ = ["Committer", "Entry"]

logger = logging.getLogger(__name__)

_CAPACITY = 4096
"""Entries that may wait for a commit; whoever brings the next one waits for room."""
_GROUP = 4000
"""Entries in one transaction at most."""
_RETRY_S = (0.1, 0.5, 2.0, 5.0)
"""Pauses after a commit that the disk refused; the last one repeats."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs into one transaction: a reading, the events that it led to, what is to be remembered after it.

    `stamp` is the clock segment of every time in it that was the gateway's own. `frames` is the record of the bytes that the
    reading was made of, where somebody wants to see them.
    """

    device: str
    stamp: ClockStamp
    reading: Reading | None = None
    frames: Reading | None = None
    events: Sequence[Event] = ()
    state: bytes | None = None


class _Waiting(msgspec.Struct, frozen=True):
    entry: Entry
    due_s: float
    done: asyncio.Future[None]
    has_room: bool


class Committer:
    """Takes entries in order and commits them in groups.

    An entry with events is committed at once, one that somebody waits for after at most `linger_ms`, the rest after
    at most `commit_s`. A commit that the disk refuses is tried again for ever: meanwhile all room is taken and the
    drivers wait.
    """

    def __init__(self, outbox: Outbox, limits: OutboxLimits) -> None:
        self._outbox = outbox
        self._limits = limits
        self._room = Slots(_CAPACITY)
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        """Bounded by `_room`, which each entry holds until it is on disk."""
        self._hurry = asyncio.Event()
        """Set when what came last cannot wait for `_until_s`."""
        self._until_s = float("inf")
        """Until when the group in hand may wait for more."""
        self.finished = asyncio.Event()
        """Set when `run` has committed everything and ended."""
        self.waited_for_room = 0
        """How often there was no room and somebody had to wait."""
        self.failures = 0
        """How often the disk refused a commit."""
        self.last_error = ""
        """Why the disk refuses now; empty while it does not."""
        self.idle = asyncio.Event()
        """Set while everything handed over is committed."""
        self.idle.set()
        self.unfinished = 0
        """Entries handed over and not committed yet."""

    async def reserve(self) -> None:
        """Wait for the room of one entry; follow it by `put` or `give_back`.

        Room comes first so that between judging a reading and handing over what it led to nothing can be cancelled.
        """
        if self._room.full:
            self.waited_for_room += 1
        await self._room.take()

    def give_back(self) -> None:
        """Free room that was not needed after all."""
        self._room.give_back()

    def put(self, entry: Entry, *, awaited: bool = True, has_room: bool = True) -> "asyncio.Future[None]":
        """Hand over an entry; the future is done once it is on disk.

        Without a `reserve` before it say so in `has_room`; whoever does that bounds how often.
        """
        loop = asyncio.get_running_loop()
        patience_s = 0.0 if entry.events else self._limits.linger_ms / 1000 if awaited else self._limits.commit_s
        waiting = _Waiting(entry, loop.time() + patience_s, loop.create_future(), has_room)
        self.unfinished += 1
        self.idle.clear()
        self._queue.put_nowait(waiting)
        if waiting.due_s < self._until_s or self._queue.qsize() >= _GROUP:
            self._hurry.set()
        return waiting.done

    async def run(self) -> None:
        """Commit until `stop`, then commit the rest."""
        open_ = True
        while open_:
            group, open_ = await self._gather()
            if group:
                await self._commit(group)
        self.finished.set()

    def stop(self) -> None:
        """Let `run` end once everything handed over before is committed."""
        self._queue.put_nowait(None)
        self._hurry.set()

    async def _gather(self) -> tuple[list[_Waiting], bool]:
        """The next group, and whether more may come."""
        waiting = await self._queue.get()
        group: list[_Waiting] = []
        due_s = float("inf")
        while waiting is not None:
            group.append(waiting)
            due_s = min(due_s, waiting.due_s)
            if len(group) == _GROUP:
                return group, True
            if self._queue.empty():
                await self._more(due_s)
            if self._queue.empty():
                return group, True
            waiting = self._queue.get_nowait()
        return group, False

    async def _more(self, due_s: float) -> None:
        """Sleep until `due_s`, or until something comes that cannot wait so long: not until each that can."""
        self._hurry.clear()
        self._until_s = due_s
        try:
            async with asyncio.timeout_at(due_s):
                await self._hurry.wait()
        except TimeoutError:
            return
        finally:
            self._until_s = float("inf")

    async def _commit(self, group: list[_Waiting]) -> None:
        """Commit a group; an entry that cannot even be encoded fails alone, and its future says why."""
        try:
            await self._persist([waiting.entry for waiting in group])
        except (ValueError, TypeError, OverflowError) as error:
            if len(group) > 1:
                await self._commit(group[: len(group) // 2])
                await self._commit(group[len(group) // 2 :])
                return
            await self._keep_the_rest(group[0].entry, error)
            self._settle(group, error)
            return
        self._settle(group, None)

    async def _keep_the_rest(self, entry: Entry, error: Exception) -> None:
        """A reading too large for the outbox must not take along the alarm that it raised."""
        if isinstance(error, OversizedError) and entry.reading is not None and entry.events:
            try:
                await self._persist([msgspec.structs.replace(entry, reading=None, frames=None)])
            except OversizedError as still:
                error = still
        extra = {"event": "outbox.entry_failed", "device": entry.device, "error": str(error)}
        # What is too large is a device's fault, everything else is ours.
        logger.warning("an entry cannot be stored", extra=extra, exc_info=not isinstance(error, OversizedError))

    def _settle(self, group: list[_Waiting], error: Exception | None) -> None:
        self.unfinished -= len(group)
        if not self.unfinished:
            self.idle.set()
        for waiting in group:
            if waiting.has_room:
                self._room.give_back()
            if waiting.done.done():
                continue
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)

    async def _persist(self, entries: Sequence[Entry]) -> None:
        said = [(reading, entry.stamp) for entry in entries for reading in (entry.reading, entry.frames) if reading is not None]
        readings: list[Reading] = [reading for reading, _ in said]
        events: list[Event] = [event for entry in entries for event in entry.events]
        states = {entry.device: entry.state for entry in entries if entry.state is not None}
        stamps = [stamp for _, stamp in said]
        stamps += [entry.stamp for entry in entries for _ in entry.events]
        attempt = 0
        while True:
            try:
                await self._outbox.commit(readings, events, states, stamps=stamps)
            except (apsw.Error, OSError) as error:
                self.failures += 1
                self.last_error = str(error)
                pause_s = _RETRY_S[min(attempt, len(_RETRY_S) - 1)]
                attempt += 1
                logger.exception(
                    "the outbox cannot commit; trying again",
                    extra={"event": "outbox.commit_failed", "error": str(error), "retry_s": pause_s, "attempt": attempt},
                )
                await asyncio.sleep(pause_s)
            else:
                self.last_error = ""
                return
