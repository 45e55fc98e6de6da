"""The outbox's file as a whole: every method blocks and belongs on the one thread that owns the connection.

In: a commit numbers records and stores them in blocks, synced. Out: blocks are read by cursor. An acknowledgement settles
numbers; a block whose last number is settled is kept for a while and then trimmed.
"""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from edge_agent.config import OutboxLimits
from edge_agent.outbox.accounts import LaneAccount, LaneBook
from edge_agent.outbox.blocks import Block, Head, split_key
from edge_agent.outbox.clocks import UNTOLD, ClockStamp
from edge_agent.outbox.damaged import check_header
from edge_agent.outbox.facts import DamagedError
from edge_agent.outbox.file import PAGE_BYTES, Identity, OutboxError, connect, create, form_of, sync_folder, take_lock, upgrade
from edge_agent.outbox.ledger import MAX_BLOCK_BYTES, MAX_BLOCK_RECORDS, Ledger, Now
from edge_agent.outbox.losses import LossNote
from edge_agent.outbox.mark import MarkFile
from edge_agent.outbox.reserve import RESERVE_FILE, Reserve, is_disk_full
from edge_agent.outbox.room import Room
from edge_agent.outbox.spans import Spans, difference, union
from telemetry.reason import Reason
from telemetry.records import Event, Lane, Reading
from telemetry.wire import Ack, Digest, LaneSpan

__all__ = ["MAX_BLOCK_BYTES", "MAX_BLOCK_RECORDS", "Block", "LossNote", "Rescue", "Store", "split_key"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_DIGESTS = 8
"""Fingerprints on either side of the first open record."""
_ROOM_BYTES = 64 * 1024
"""What is dropped at first when the disk is full, or a sixteenth of all; four times as much each time that was not enough."""
_ROOM_TRIES = 4
_MOST_PAGES = 0xFFFFFFFE
"""SQLite's own limit."""
_JOURNAL_BYTES = 4 * 1024 * 1024
"""A longer journal is brought into the file; sooner where a quarter of the reserve is less."""


class _Work(msgspec.Struct, frozen=True):
    """What one commit is to store."""

    readings: Sequence[Reading]
    events: Sequence[Event]
    states: Mapping[str, bytes]
    stamps: Sequence[ClockStamp]
    acks: Sequence[Ack] = ()


class Rescue(msgspec.Struct, frozen=True, kw_only=True):
    """How far the carrying over of a file that was set aside has come; the fact "rescue"."""

    copy: str
    noted: str
    above: int = 0
    below: int = 1 << 62
    carried: dict[Lane, Spans] = {}
    is_done: bool = False
    is_whole: bool = False

    def after(self, key: int, carried: Spans, *, from_back: bool) -> "Rescue":
        """With one more block behind it; blocks come from the front, and after damage from the back."""
        lane = split_key(key)[0]
        spans = {**self.carried, lane: union(self.carried.get(lane, ()), carried)}
        above, below = (self.above, key) if from_back else (key, self.below)
        return msgspec.structs.replace(self, carried=spans, above=above, below=below)

    def finished(self, *, is_whole: bool) -> "Rescue":
        """When there is nothing more to carry; `is_whole` when nothing was damaged."""
        return msgspec.structs.replace(self, is_done=True, is_whole=is_whole)


class Store:
    """One open outbox file, held by this process alone.

    Raises OutboxError when another process holds it or it belongs to another gateway, and apsw.Error for what SQLite
    says (apsw.NotADBError and apsw.CorruptError: see `edge_agent.outbox.salvage`).
    """

    def __init__(
        self,
        folder: Path,
        gateway: str,
        limits: OutboxLimits,
        now_ns: int,
        *,
        stamp: ClockStamp = UNTOLD,
        vfs: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "outbox.db"
        self.gateway = gateway
        self.limits = limits
        self.vfs = vfs
        self.stamp = stamp
        self.squeezed = 0
        """How often the disk was full and old records had to make room for new ones."""
        self.is_doubtful = False
        """Set when the journal could not be brought into the file: only opening anew tells what the disk has."""
        self._lock = take_lock(folder)
        try:
            check_header(self.path, vfs)
            self._db = connect(self.path, vfs)
            try:
                self._prepare(now_ns)
                self._mark = MarkFile(folder / "outbox.mark")
                self._ledger = Ledger(self._db, limits, self._mark)
                self._room = Room(self._ledger)
                self._check_owner()
                # Whoever asks for these later has no other file to turn to.
                _ = self.counter, self.rescue
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._lock.close()
            raise
        self.epoch = self._ledger.identity.epoch
        self._reserve = Reserve(folder / RESERVE_FILE, limits.reserve_bytes)
        self._reserve.take(self.now(now_ns).mono_ns)
        self._is_tight = False
        self._journal_pages = min(_JOURNAL_BYTES, max(_JOURNAL_BYTES // 16, limits.reserve_bytes // 4)) // PAGE_BYTES

    def _prepare(self, now_ns: int) -> None:
        form = form_of(self._db)
        if form == "present":
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if form == "empty":
                create(self._db, Identity(gateway=self.gateway, epoch=uuid.uuid4().hex, created_ns=now_ns))
            else:
                upgrade(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        # The epoch must outlive a power cut before the first record carries it.
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        sync_folder(self.path.parent)

    def _check_owner(self) -> None:
        owner = self._ledger.identity.gateway
        if owner != self.gateway:
            raise OutboxError(
                f"{self.path}: belongs to gateway {owner!r}, the configuration says {self.gateway!r}; "
                "give the new gateway a data_dir of its own"
            )

    @property
    def lanes(self) -> Mapping[Lane, LaneAccount]:
        """The accounts after the last transaction; another object after each change."""
        return self._ledger.lanes

    def close(self) -> None:
        """Checkpoint and let go of file and lock; without room for the first the journal stays."""
        try:
            self._db.close()
        except apsw.FullError as error:
            logger.warning("the journal stays as it is: %s", error, extra={"event": "outbox.no_checkpoint"})
        finally:
            self._mark.close()
            self._lock.close()

    # What goes in.

    def commit(
        self,
        readings: Sequence[Reading],
        events: Sequence[Event],
        states: Mapping[str, bytes],
        now_ns: int,
        *,
        mono_ns: int | None = None,
        stamps: Sequence[ClockStamp] | None = None,
        acks: Sequence[Ack] = (),
    ) -> Mapping[Lane, LaneAccount]:
        """Number, store and sync all of it or nothing; what the quota has no room for goes.

        `acks` are settled in the same transaction, before anything has to go: one of their own would cost the flash as
        much as the records do.
        `stamps` are the clock segments of the readings, then of the events. On a full disk the oldest records make room
        for the new ones.
        """
        now = self.now(now_ns, mono_ns)
        work = _Work(readings, events, states, stamps or (), acks)
        if self._is_tight:
            self._loosen(now)
        try:
            self._commit(work, now)
        except (apsw.FullError, apsw.IOError, OSError) as error:
            if not is_disk_full(error):
                raise
            if not self._commit_in_new_room(work, now):
                self._commit_on_full_disk(work, now, error)
        self._tidy_up()
        return self.lanes

    def _commit_in_new_room(self, work: _Work, now: Now) -> bool:
        """Before anything is dropped for a file that may not grow: whether the disk has room by now, and takes the commit."""
        if not self._is_tight or not self._loosen(now, at_once=True):
            return False
        try:
            self._commit(work, now)
        except (apsw.FullError, apsw.IOError, OSError) as error:
            if not is_disk_full(error):
                raise
            return False
        return True

    def _commit(self, work: _Work, now: Now, drop_bytes: int = 0, *, spares_events: bool = True) -> None:
        with self._ledger.transaction():
            self._settle(work.acks)
            if drop_bytes:
                self._room.free(drop_bytes, now, spares_events=spares_events)
            if work.states:
                self._ledger.remember(work.states)
            for stamp, readings in _runs(work.readings, work.stamps, now.stamp):
                self._ledger.add_readings(readings, stamp, now.mono_ns)
            for stamp, events in _runs(work.events, work.stamps[len(work.readings) :], now.stamp):
                self._ledger.add_events(events, now, stamp)
            self._room.make(now)

    def _commit_on_full_disk(self, work: _Work, now: Now, first: Exception) -> None:
        """Sampling never stops: let go of the reserve, then of the oldest records, until the new ones fit into the file."""
        logger.error("the disk is full: the oldest records make room", extra={"event": "outbox.disk_full", "error": str(first)})
        self.squeezed += 1
        self._tighten(now)
        held, events = self._room.held_bytes, self.lanes[Lane.EVENTS].bytes
        drop_bytes = max(_ROOM_BYTES, held // 16)
        for attempt in range(_ROOM_TRIES):
            is_last = attempt == _ROOM_TRIES - 1
            wanted = held - events + drop_bytes if is_last else drop_bytes * 4**attempt
            try:
                self._commit(work, now, wanted, spares_events=not is_last)
            except (apsw.FullError, apsw.IOError, OSError) as error:
                if not is_disk_full(error):
                    raise
            else:
                return
        # All that could go was not enough. If the disk has room by now, the file may take it.
        self._limit_pages(None)
        self._commit(work, now)
        self._limit_pages(self._ledger.pages)

    # What goes out.

    def next_block(self, lane: Lane, after_seq: int, now_ns: int) -> Block | None:
        """The first held block with an open record above `after_seq`; a broken one is declared lost and passed over.

        Raises DamagedError where the file has no block for a number that nobody has settled.
        """
        while True:
            seq = self._ledger.books[lane].first_open(after_seq + 1)
            if seq >= self.lanes[lane].next_seq:
                return None
            head = self._ledger.blocks.holding(lane, seq)
            row = None if head is None or head.last_seq < seq else self._ledger.blocks.row(head.key)
            # Two questions to a damaged file may find two blocks under one key.
            if row is None or not row.first_seq <= seq <= row.last_seq:
                raise DamagedError(f"{lane} {seq}: no block holds it")
            if row.is_sound:
                return self._ledger.block(row)
            if not self._ledger.is_plausible(lane, row.head) or row.size != len(row.payload):
                raise DamagedError(f"{lane} {seq}: the block's header is not what was written")
            logger.error(
                "a stored block fails its checksum",
                extra={"event": "outbox.corrupt", "lane": lane, "first_seq": row.first_seq},
            )
            with self._ledger.transaction():
                self._ledger.declare(lane, [row], Reason.CORRUPT, self.now(now_ns))

    def next_blocks(self, lane: Lane, after_seq: int, most_bytes: int, now_ns: int, below_seq: int | None = None) -> list[Block]:
        """The held blocks above `after_seq` in order, the first one whatever its size, up to `most_bytes` together.

        With `below_seq` only those that begin below it.
        """
        blocks: list[Block] = []
        held = 0
        while held < most_bytes:
            block = self.next_block(lane, after_seq, now_ns)
            if block is None or (below_seq is not None and block.first_seq >= below_seq):
                break
            if blocks and held + len(block.payload) > most_bytes:
                break
            blocks.append(block)
            held += len(block.payload)
            after_seq = block.last_seq
        return blocks

    # What the cloud says.

    def ack(self, ack: Ack, now_ns: int | None = None) -> Mapping[Lane, LaneAccount]:
        """Settle what the cloud has for good, and keep or let go of the blocks that are settled wholly.

        An acknowledgement of another epoch, or one that is older than what is known, changes nothing.
        """
        return self.settle([ack], now_ns)

    def settle(self, acks: Sequence[Ack], now_ns: int | None = None) -> Mapping[Lane, LaneAccount]:
        """What several acknowledgements say, in one transaction; see `ack`."""
        if all(self._acknowledged(ack) is None for ack in acks):
            return self.lanes
        now = self.now(now_ns or 0)

        def settle() -> None:
            with self._ledger.transaction():
                self._settle(acks)
                self._room.make(now)

        self._with_reserve(settle, now)
        self._tidy_up()
        return self.lanes

    def _settle(self, acks: Sequence[Ack]) -> None:
        """Change the books inside the open transaction."""
        books = self._ledger.books
        for ack in acks:
            if (told := self._acknowledged(ack)) is None:
                continue
            books[ack.lane], newly = told
            for head in self._closed_by(ack.lane, newly):
                books[ack.lane] = books[ack.lane].kept(head.size)

    def _acknowledged(self, ack: Ack) -> tuple[LaneBook, Spans] | None:
        """The lane's book with an acknowledgement in it, and what that settles; None where it says nothing new."""
        book = self._ledger.books[ack.lane]
        if ack.epoch != self.epoch or ack.cumulative >= book.account.next_seq:
            return None
        quarantined = union(tuple((seq, seq) for seq, _ in ack.quarantined))
        told = book.acknowledged(ack.cumulative, union(tuple(ack.ranges)), quarantined)
        return None if told[0] == book else told

    def _closed_by(self, lane: Lane, newly: Spans) -> Iterator[Head]:
        """The blocks whose last open record is in `newly`; each once."""
        book, blocks, last = self._ledger.books[lane], self._ledger.blocks, 0
        for low, high in newly:
            begin = blocks.holding(lane, low)
            for head in blocks.between(lane, begin.first_seq if begin else low, high):
                if head.first_seq > last and head.last_seq >= low and book.is_settled(head.first_seq, head.last_seq):
                    last = head.first_seq
                    yield head

    def rewind(self, lane: Lane, cumulative: int, now_ns: int = 0, known: Spans = ()) -> Mapping[Lane, LaneAccount]:
        """The cloud knows only up to `cumulative`, and the ranges `known`: what was settled above it and is still here is
        open again.

        What is not here any more stays settled. What of it the cloud does not know is a loss: below the first block that is
        here it finds that by itself, between blocks it must be told, once more where it was told before.
        """
        ledger, book, now = self._ledger, self._ledger.books[lane], self.now(now_ns)
        again, kept_bytes = self._still_here(lane, difference(book.settled, ((1, cumulative),)))
        # Where it says more than was heard here, it may still have forgotten what it had said to have beyond that.
        cumulative = min(cumulative, book.account.cumulative)
        first_held = min(again[0][0] if again else book.account.next_seq, book.first_open(1))
        holes = difference(difference(difference(book.settled, again), ((1, max(cumulative, first_held)),)), known)

        def reopen() -> None:
            with ledger.transaction():
                ledger.books[lane] = book.reopened(cumulative, again).kept(-kept_bytes)
                ledger.say_lost(lane, holes, (), Reason.MISSING, now)

        if again or holes or cumulative < book.account.cumulative:
            self._with_reserve(reopen, now)
            extra = {"event": "outbox.rewound", "lane": lane, "cumulative": cumulative, "again": again[:8], "holes": holes[:8]}
            logger.warning("the cloud went back; what is kept is sent again", extra=extra)
        return self.lanes

    def _still_here(self, lane: Lane, settled: Spans) -> tuple[Spans, int]:
        """Which of these settled numbers are in a block, and the bytes of the blocks that hold no open one."""
        book, blocks = self._ledger.books[lane], self._ledger.blocks
        found, kept_bytes, last = list[tuple[int, int]](), 0, 0
        for low, high in settled:
            begin = blocks.holding(lane, low)
            for head in blocks.between(lane, begin.first_seq if begin else low, high):
                first, end = max(head.first_seq, low), min(head.last_seq, high)
                if first > end:
                    continue
                if found and found[-1][1] == first - 1:
                    first = found.pop()[0]
                found.append((first, end))
                if head.first_seq > last and book.is_settled(head.first_seq, head.last_seq):
                    last, kept_bytes = head.first_seq, kept_bytes + head.size
        return tuple(found), kept_bytes

    # What is known of the lanes.

    def spans(self) -> dict[Lane, LaneSpan]:
        """What each lane holds, from where on it can say it again, and the fingerprints around the first open record."""
        found: dict[Lane, LaneSpan] = {}
        for lane, book in self._ledger.books.items():
            first = self.first_unacked(lane)
            kept = next(self._ledger.settled_blocks(lane, book.settled), None)
            first_kept = kept.first_seq if kept is not None and kept.first_seq < first else 0
            found[lane] = LaneSpan(first, book.account.next_seq, first_kept, self._digests(lane, first))
        return found

    def _digests(self, lane: Lane, first: int) -> list[Digest]:
        blocks = self._ledger.blocks
        before = list(islice(blocks.downwards(lane, first - 1), _DIGESTS))
        after = list(islice(blocks.between(lane, first, self.lanes[lane].next_seq), _DIGESTS))
        found = [self._ledger.fingerprint(head) for head in [*reversed(before), *after]]
        left = self._ledger.books[lane].left
        if len(before) < _DIGESTS and left is not None:
            found.insert(0, left)
        return [each for each in found if each is not None]

    def first_unacked(self, lane: Lane) -> int:
        """The number of the first record that is held and not acknowledged; next_seq when there is none."""
        return min(self._ledger.books[lane].first_open(1), self.lanes[lane].next_seq)

    def oldest_ns(self, lane: Lane | None = None) -> int | None:
        """The event time of the oldest record still held, of one lane or of both; None when nothing is."""
        heads = [self._ledger.blocks.holding(each, self.first_unacked(each)) for each in ([lane] if lane else Lane)]
        times = [
            head.time_from for head in heads if head is not None and head.last_seq >= self.first_unacked(split_key(head.key)[0])
        ]
        return min(times, default=None)

    def states(self) -> dict[str, bytes]:
        """What was last stored for each device."""
        return self._ledger.states()

    def losses(self, limit: int) -> list[LossNote]:
        """What was last declared lost, the newest first."""
        return self._ledger.losses.newest(limit)

    # What is remembered.

    @property
    def counter(self) -> int:
        """The counter of the last command that was acted on."""
        return self._ledger.facts.get("counter", int)

    def advance_counter(self, counter: int) -> bool:
        """Remember the counter of a command before it is acted on; False when it is not above the last one."""
        if counter <= self.counter:
            return False

        def remember() -> None:
            with self._ledger.transaction():
                self._ledger.facts.put("counter", counter)

        self._with_reserve(remember, self.now(0))
        self._ledger.witness()
        return True

    def fix_clock(self, boot_id: str, offset_ns: int) -> None:
        """Remember the true offset of a boot; the first word counts."""

        def fix() -> None:
            with self._ledger.transaction():
                self._ledger.clocks.fix(boot_id, offset_ns)

        self._with_reserve(fix, self.now(0))

    # A file that was set aside.

    @property
    def rescue(self) -> Rescue | None:
        """How far the last rescue came; None where there never was one."""
        return self._ledger.facts.get("rescue", Rescue | None)  # type: ignore[arg-type]  # a union is a type to msgspec

    @contextmanager
    def rescuing(self, now_ns: int) -> Iterator[Ledger]:
        """A transaction of a rescue: what it adds finds room like everything else."""
        with self._ledger.transaction():
            yield self._ledger
            self._room.make(self.now(now_ns))

    def now(self, wall_ns: int, mono_ns: int | None = None) -> Now:
        return Now(wall_ns, wall_ns - self.stamp.offset_ns if mono_ns is None else mono_ns, self.stamp)

    def _with_reserve(self, work: Callable[[], None], now: Now) -> None:
        """Do something small, on a full disk with the room of the reserve."""
        try:
            work()
        except (apsw.FullError, apsw.IOError, OSError) as error:
            if not is_disk_full(error):
                raise
            self._tighten(now)
            work()

    def _tighten(self, now: Now) -> None:
        """With the room of the reserve bring the journal into the file, and from now on let the file grow no more.

        New blocks then take the place of dropped ones, and the journal begins again after each commit: neither asks the
        disk for anything.
        """
        self._reserve.let_go(now.mono_ns)
        self._checkpoint()
        self._is_tight = True
        self._limit_pages(self._ledger.pages)

    def _loosen(self, now: Now, *, at_once: bool = False) -> bool:
        """Where the disk has room for the reserve again the file may grow again, too; whether it has."""
        self._reserve.take(now.mono_ns, at_once=at_once)
        if self._reserve.is_whole:
            self._is_tight = False
            self._limit_pages(None)
            logger.info("the disk has room again", extra={"event": "outbox.disk_has_room"})
        return self._reserve.is_whole

    def _limit_pages(self, pages: int | None) -> None:
        self._db.pragma("max_page_count", _MOST_PAGES if pages is None else pages)

    def _tidy_up(self) -> None:
        if self._is_tight or self._ledger.journal_pages >= self._journal_pages:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Bring the journal into the file, so that it can begin again; a full disk may not have the room yet.

        It happens after a commit and not as its last step: what is synced stays true whatever becomes of this.
        """
        self._ledger.journal_pages = 0
        try:
            self._db.wal_checkpoint()
        except (apsw.FullError, apsw.IOError) as error:
            self.is_doubtful = not is_disk_full(error)
            logger.warning("the journal stays as it is: %s", error, extra={"event": "outbox.no_checkpoint"})


def _runs(records: Sequence[_T], stamps: Sequence[ClockStamp], present: ClockStamp) -> Iterator[tuple[ClockStamp, Sequence[_T]]]:
    """Neighbouring records of one clock segment; without stamps all are of the present one."""
    if not stamps:
        yield present, records
        return
    for stamp, pairs in groupby(zip(stamps, records, strict=False), key=lambda pair: pair[0]):
        yield stamp, [record for _, record in pairs]
