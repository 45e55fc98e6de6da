"""Blocks and accounts together: what numbers a record, settles it or lets it go changes both in one transaction."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import apsw
import msgspec

from edge_agent.config import OutboxLimits
from edge_agent.outbox.accounts import LaneAccount, LaneBook
from edge_agent.outbox.blocks import Block, Blocks, Head, Row
from edge_agent.outbox.clocks import Clocks, ClockStamp
from edge_agent.outbox.facts import DamagedError, Facts, checksum
from edge_agent.outbox.file import BASE, Identity, OversizedError, read_books, write_book
from edge_agent.outbox.losses import Losses, joined
from edge_agent.outbox.mark import MarkFile
from edge_agent.outbox.spans import Spans, union
from edge_agent.uplink.compression import decompress
from telemetry.encoded import restamped
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Event, Lane, LossRecord, Reading
from telemetry.wire import (
    ClockNote,
    Digest,
    EventsBatch,
    WireError,
    decode_events,
    digest,
    encode,
    group_readings,
)

__all__ = ["MAX_BLOCK_BYTES", "MAX_BLOCK_RECORDS", "Ledger", "Now"]

logger = logging.getLogger(__name__)

MAX_BLOCK_RECORDS = 500
MAX_BLOCK_BYTES = 64 * 1024


class Now(msgspec.Struct, frozen=True):
    """When a transaction happens, and by which clock its own records are stamped."""

    wall_ns: int
    mono_ns: int
    stamp: ClockStamp


class Ledger:
    """Everything that may only change inside `transaction`."""

    def __init__(self, db: apsw.Connection, limits: OutboxLimits, mark: MarkFile) -> None:
        self.db = db
        self.limits = limits
        self.facts = Facts(db)
        self.blocks = Blocks(db)
        self.clocks = Clocks(db)
        self.losses = Losses(db)
        self.journal_pages = 0
        """How long the journal was after the last transaction."""
        db.set_wal_hook(self._on_journal)
        self._mark = mark
        self.identity = self.facts.get("outbox", Identity)
        self.books: dict[Lane, LaneBook] = read_books(self.facts)
        self.lanes: Mapping[Lane, LaneAccount] = {lane: book.account for lane, book in self.books.items()}
        self.clocks.load()
        self._states: dict[str, int] = dict(db.execute("SELECT device, crc FROM state"))
        self._new_states: dict[str, int] = {}
        crcs = self._states.values()
        if not all(isinstance(crc, int) for crc in crcs) or sum(crcs) != self.facts.get("states", int):
            raise DamagedError("what was remembered of devices is not what was written")

    @property
    def pages(self) -> int:
        """How long the file is, in pages, journal included."""
        return int(self.db.pragma("page_count") or 0)

    def _on_journal(self, _: apsw.Connection, __: str, pages: int) -> int:
        self.journal_pages = pages
        return apsw.SQLITE_OK

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, in the file and in what is known of it in memory."""
        before, clocks = dict(self.books), self.clocks.known()
        self._new_states.clear()
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            for lane, book in self.books.items():
                if book is not before[lane]:
                    write_book(self.facts, lane, book, before[lane])
            self.db.execute("COMMIT")
        except BaseException:
            self.books = before
            self.clocks.forget_since(clocks)
            # Some errors have rolled it back already.
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
        self._states.update(self._new_states)
        self._publish(before)

    def account(self, lane: Lane) -> LaneAccount:
        """A lane's account inside the transaction; `lanes` are those after the last one."""
        return self.books[lane].account

    def _publish(self, before: Mapping[Lane, LaneBook]) -> None:
        if all(book.account == before[lane].account for lane, book in self.books.items()):
            return
        self.lanes = {lane: book.account for lane, book in self.books.items()}
        if any(book.account.next_seq != before[lane].account.next_seq for lane, book in self.books.items()):
            self.witness()

    def witness(self) -> None:
        """Tell the mark where the lanes and the commands are."""
        next_seqs = {lane: account.next_seq for lane, account in self.lanes.items()}
        self._mark.write(self.identity.epoch, next_seqs, self.facts.get("counter", int))

    # What goes in.

    def add_readings(self, readings: Sequence[Reading], stamp: ClockStamp, mono_ns: int, *, thinned: bool = False) -> None:
        """Number and store readings of one clock segment, in blocks no longer than the wire wants."""
        for start in range(0, len(readings), MAX_BLOCK_RECORDS):
            self._add_readings(readings[start : start + MAX_BLOCK_RECORDS], stamp, mono_ns, thinned)

    def _add_readings(self, readings: Sequence[Reading], stamp: ClockStamp, mono_ns: int, thinned: bool) -> None:  # noqa: FBT001
        first = self.books[Lane.READINGS].account.next_seq
        batch = group_readings(self.identity.gateway, self.identity.epoch, first, readings)
        payload = encode(batch if (note := _told(stamp)) is None else msgspec.structs.replace(batch, clock=note))
        if len(payload) > MAX_BLOCK_BYTES:
            middle = _middle(readings, readings[0].device, payload)
            self._add_readings(readings[:middle], stamp, mono_ns, thinned)
            self._add_readings(readings[middle:], stamp, mono_ns, thinned)
            return
        times = [reading.time_ns for reading in readings]
        span = (min(times), max(times))
        self._insert(Lane.READINGS, len(readings), payload, times=span, stamp=stamp, mono_ns=mono_ns, thinned=thinned)

    def add_events(self, events: Sequence[Event], now: Now, stamp: ClockStamp | None = None) -> None:
        """Number and store events of one clock segment; of declared losses a note stays."""
        for start in range(0, len(events), MAX_BLOCK_RECORDS):
            self._add_events(events[start : start + MAX_BLOCK_RECORDS], now, stamp or now.stamp)

    def _add_events(self, events: Sequence[Event], now: Now, stamp: ClockStamp) -> None:
        first = self.books[Lane.EVENTS].account.next_seq
        identity = self.identity
        batch = EventsBatch(
            gateway=identity.gateway, epoch=identity.epoch, first_seq=first, events=list(events), clock=_told(stamp)
        )
        payload = encode(batch)
        if len(payload) > MAX_BLOCK_BYTES:
            middle = _middle(events, "an event", payload)
            self._add_events(events[:middle], now, stamp)
            self._add_events(events[middle:], now, stamp)
            return
        for seq, event in enumerate(events, first):
            if isinstance(event, LossRecord):
                self.losses.note(seq, now.wall_ns, event)
        span = (now.wall_ns, now.wall_ns)
        self._insert(Lane.EVENTS, len(events), payload, times=span, stamp=stamp, mono_ns=now.mono_ns)

    def _insert(
        self,
        lane: Lane,
        records: int,
        payload: bytes,
        *,
        times: tuple[int, int],
        stamp: ClockStamp,
        mono_ns: int,
        thinned: bool = False,
    ) -> None:
        book = self.books[lane]
        first = book.account.next_seq
        last, clock = first + records - 1, self.clocks.id_of(stamp)
        self.blocks.insert(Row(BASE[lane] + first, last, len(payload), *times, clock, mono_ns, int(thinned), 0, payload))
        self.books[lane] = book.numbered(records, len(payload))

    def remember(self, states: Mapping[str, bytes]) -> None:
        """Store what is to be remembered of devices."""
        rows = [(device, checksum(device.encode(), data), data) for device, data in states.items()]
        self._new_states.update((device, crc) for device, crc, _ in rows)
        self.db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", rows)
        self.facts.put("states", sum({**self._states, **self._new_states}.values()))

    def states(self) -> dict[str, bytes]:
        """What was last remembered of each device; DamagedError where it is not what was written."""
        found: dict[str, bytes] = {}
        for device, crc, data in self.db.execute("SELECT device, crc, data FROM state"):
            if not isinstance(data, bytes) or checksum(str(device).encode(), data) != crc:
                raise DamagedError(f"what was remembered of {str(device)[:64]!r} is not what was written")
            found[str(device)] = data
        return found

    # What goes out.

    def sent_form(self, row: Row) -> bytes:
        """A block's payload as it must be sent: its clock's note applied."""
        lane = Lane.READINGS if row.key >= BASE[Lane.READINGS] else Lane.EVENTS
        segment = self.clocks.segment(row.clock)
        if segment is None or segment.stamp.quality is not ClockQuality.UNSYNCED or segment.note is None:
            return row.payload
        try:
            return restamped(row.payload, lane, segment.note)
        except ValueError:
            # Moved to where no time can be; as it was told is the best there is.
            plain = ClockNote(boot_id=segment.stamp.boot_id, quality=ClockQuality.UNSYNCED)
            return restamped(row.payload, lane, plain)

    def block(self, row: Row) -> Block:
        """A sound row as the uplink wants it."""
        lane = Lane.READINGS if row.key >= BASE[Lane.READINGS] else Lane.EVENTS
        still_open = self.books[lane].open_in(row.first_seq, row.last_seq)
        return Block(lane=lane, first_seq=row.first_seq, last_seq=row.last_seq, payload=self.sent_form(row), open=still_open)

    def fingerprint(self, head: Head) -> Digest | None:
        """The digest of a block as it is sent; None where it is not what was written."""
        row = self.blocks.row(head.key)
        if row is None or not row.is_sound:
            return None
        return Digest(row.first_seq, row.last_seq, digest(self.sent_form(row)))

    # What is settled, and what has to go.

    def settled_blocks(self, lane: Lane, within: Spans) -> Iterator[Head]:
        """The blocks inside these ranges of settled numbers that hold no open one, ascending."""
        for low, high in within:
            for head in self.blocks.between(lane, low, high):
                if head.last_seq > high:
                    break
                yield head

    def delete(self, lane: Lane, heads: Sequence[Head], *, was_kept: bool) -> None:
        """Forget blocks; their numbers are settled already or about to be."""
        for head in heads:
            self.blocks.delete(head.key)
            self.books[lane] = self.books[lane].deleted(head.first_seq, head.last_seq, head.size, was_kept=was_kept)

    def declare(self, lane: Lane, rows: Iterable[Row], reason: Reason, now: Now) -> int:
        """Delete held blocks and say so: a loss record for each run of numbers that nobody had settled.

        What they had to say of other losses is said again. Rows are taken one by one. Returns the bytes that went.
        """
        gone: list[Head] = []
        again: list[LossRecord] = []
        lost: Spans = ()
        for row in rows:
            book = self.books[lane]
            if lane is Lane.EVENTS:
                again += self._losses_in(row, book)
            pieces = book.open_in(row.first_seq, row.last_seq)
            self.delete(lane, [row.head], was_kept=False)
            self.books[lane] = self.books[lane].declared(pieces)
            lost = union(lost, pieces)
            gone.append(row.head if row.is_sound else Head(row.key, row.last_seq, row.size, 0, now.wall_ns))
        self.say_lost(lane, lost, gone, reason, now)
        self.add_events(joined(again), now)
        return sum(head.size for head in gone)

    def say_lost(self, lane: Lane, lost: Spans, gone: Sequence[Head], reason: Reason, now: Now) -> None:
        """Loss records for numbers that were in the blocks `gone`, if any of them is known."""
        declared = [
            LossRecord(
                lane=lane,
                epoch=self.identity.epoch,
                seq_from=low,
                seq_to=high,
                bytes=sum(head.size for head in gone if low <= head.last_seq and head.first_seq <= high),
                time_from_ns=max(0, min((head.time_from for head in gone), default=0)),
                time_to_ns=max((head.time_to for head in gone), default=now.wall_ns),
                reason=reason,
            )
            for low, high in lost
        ]
        self.add_events(declared, now)
        self._log(lane, declared)

    def is_plausible(self, lane: Lane, head: Head) -> bool:
        """Whether a block's numbers, which its checksum does not vouch for, are those that its neighbours leave open."""
        before, after = self.blocks.holding(lane, head.first_seq - 1), self.blocks.after(lane, head.first_seq)
        book = self.books[lane]
        low = 0 if before is None else before.last_seq
        high = book.account.next_seq if after is None else after.first_seq
        if not low < head.first_seq <= head.last_seq < high:
            return False
        return not book.open_in(low + 1, head.first_seq - 1) and not book.open_in(head.last_seq + 1, high - 1)

    def _losses_in(self, row: Row, book: LaneBook) -> list[LossRecord]:
        """The losses that the open events of a block declare; those of a broken one from the notes."""
        still_open = book.open_in(row.first_seq, row.last_seq)
        if row.is_sound:
            try:
                events = decode_events(row.payload, decompress).events
            except WireError:
                return self.losses.said_in(still_open)
            numbered = enumerate(events, row.first_seq)
            return [e for seq, e in numbered if isinstance(e, LossRecord) and book.open_in(seq, seq)]
        return self.losses.said_in(still_open)

    @staticmethod
    def _log(lane: Lane, declared: Sequence[LossRecord]) -> None:
        for record in declared:
            logger.warning(
                "records were given up",
                extra={
                    "event": "outbox.lost",
                    "lane": lane,
                    "seq_from": record.seq_from,
                    "seq_to": record.seq_to,
                    "reason": record.reason,
                },
            )


def _told(stamp: ClockStamp) -> ClockNote | None:
    """What is written into a batch at once: that its times were corrected already."""
    if stamp.quality is not ClockQuality.CLOUD:
        return None
    return ClockNote(boot_id=stamp.boot_id, quality=ClockQuality.CLOUD)


def _middle(records: Sequence[Event] | Sequence[Reading], whose: str, payload: bytes) -> int:
    """Where to cut a batch that is too long; OversizedError where it is one record."""
    if len(records) == 1:
        raise OversizedError(f"{whose}: a record of {len(payload)} bytes, want at most {MAX_BLOCK_BYTES}")
    return len(records) // 2
