"""The outbox's SQLite file: every method blocks and belongs on the one thread that owns the connection.

One row of `block` is one batch exactly as the wire wants it, uncompressed: records `first_seq` to `last_seq` of a
lane. At every instant, for each lane: acked + quarantined + lost + still held = next_seq - 1.
"""

import logging
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from edge_agent.config import OutboxLimits
from edge_agent.outbox.file import SCHEMA, LaneAccount, OutboxError, connect, load_lanes, sync_folder, take_lock
from edge_agent.uplink.compression import decompress
from telemetry.reason import Reason
from telemetry.records import Event, Lane, LossRecord, Reading
from telemetry.wire import Ack, EventsBatch, decode_events, encode, group_readings, spans

__all__ = ["MAX_BLOCK_BYTES", "MAX_BLOCK_RECORDS", "Block", "LossNote", "Store", "split_key"]

logger = logging.getLogger(__name__)

MAX_BLOCK_RECORDS = 500
MAX_BLOCK_BYTES = 64 * 1024

_BASE = {Lane.EVENTS: 0, Lane.READINGS: 1 << 61}
"""A block's key is its lane's base plus its first_seq: one b-tree, in order, no second index."""
_SPAN = 1 << 61


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One stored batch: `payload` is a `telemetry.wire` message, uncompressed."""

    lane: Lane
    first_seq: int
    last_seq: int
    payload: bytes


class LossNote(msgspec.Struct, frozen=True, kw_only=True):
    """What was declared lost, and when."""

    at_ns: int
    record: LossRecord


class _Row(msgspec.Struct, frozen=True, array_like=True):
    key: int
    last_seq: int
    bytes: int
    time_from: int
    time_to: int


class Store:
    """One open outbox file, held by this process alone.

    Raises OutboxError when another process holds it or it belongs to another gateway, and apsw.Error for what SQLite
    says (apsw.NotADBError and apsw.CorruptError: see `edge_agent.outbox.salvage`).
    """

    def __init__(self, folder: Path, gateway: str, limits: OutboxLimits, now_ns: int, vfs: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "outbox.db"
        self.gateway = gateway
        self.limits = limits
        self.vfs = vfs
        self._lock = take_lock(folder)
        try:
            self._db = connect(self.path, vfs)
            try:
                self.epoch = self._found_epoch() or self._create(now_ns)
                self.lanes = load_lanes(self._db)
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Checkpoint and let go of file and lock."""
        try:
            self._db.close()
        finally:
            self._lock.close()

    # What goes in.

    def commit(
        self, readings: Sequence[Reading], events: Sequence[Event], states: Mapping[str, bytes], now_ns: int
    ) -> Mapping[Lane, LaneAccount]:
        """Number, store and sync all of it or nothing; drops the oldest where the quota needs it."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", states.items())
            for start in range(0, len(readings), MAX_BLOCK_RECORDS):
                self._add_readings(readings[start : start + MAX_BLOCK_RECORDS])
            for start in range(0, len(events), MAX_BLOCK_RECORDS):
                self._add_events(events[start : start + MAX_BLOCK_RECORDS], now_ns)
            self._make_room(now_ns)
            self._save_lanes()
        return self.lanes

    def _add_readings(self, readings: Sequence[Reading]) -> None:
        account = self.lanes[Lane.READINGS]
        payload = encode(group_readings(self.gateway, self.epoch, account.next_seq, readings))
        if len(payload) > MAX_BLOCK_BYTES and len(readings) > 1:
            middle = len(readings) // 2
            self._add_readings(readings[:middle])
            self._add_readings(readings[middle:])
            return
        times = [reading.time_ns for reading in readings]
        self._insert(Lane.READINGS, len(readings), payload, min(times), max(times))

    def _add_events(self, events: Sequence[Event], now_ns: int) -> None:
        account = self.lanes[Lane.EVENTS]
        payload = encode(EventsBatch(gateway=self.gateway, epoch=self.epoch, first_seq=account.next_seq, events=list(events)))
        if len(payload) > MAX_BLOCK_BYTES and len(events) > 1:
            middle = len(events) // 2
            self._add_events(events[:middle], now_ns)
            self._add_events(events[middle:], now_ns)
            return
        self._insert(Lane.EVENTS, len(events), payload, now_ns, now_ns)

    def _insert(self, lane: Lane, count: int, payload: bytes, time_from: int, time_to: int) -> None:
        account = self.lanes[lane]
        first = account.next_seq
        self._db.execute(
            "INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?)",
            (_BASE[lane] + first, first + count - 1, len(payload), time_from, time_to, zlib.crc32(payload), payload),
        )
        self._change(lane, next_seq=first + count, bytes=account.bytes + len(payload))

    # What goes out.

    def next_block(self, lane: Lane, after_seq: int, now_ns: int) -> Block | None:
        """The first held block with a record above `after_seq`; a block that fails its checksum is declared lost."""
        while True:
            row = self._row_after(lane, after_seq)
            if row is None:
                return None
            key, last_seq, crc32, payload = row
            if zlib.crc32(payload) == crc32:
                return Block(lane=lane, first_seq=key - _BASE[lane], last_seq=last_seq, payload=payload)
            logger.error(
                "a stored block fails its checksum",
                extra={"event": "outbox.corrupt", "lane": lane, "first_seq": key - _BASE[lane]},
            )
            with self._transaction():
                self._declare(lane, [self._meta_row(key)], Reason.CORRUPT, now_ns)
                self._save_lanes()

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

    def _row_after(self, lane: Lane, after_seq: int) -> tuple[int, int, int, bytes] | None:
        low, high = _BASE[lane], _BASE[lane] + _SPAN
        query = "SELECT key, last_seq, crc32, payload FROM block WHERE key > ? AND key < ?"
        wanted = low + after_seq + 1
        around = f"{query} ORDER BY key DESC LIMIT 1"
        found: list[Any] = self._db.execute(around, (low, wanted + 1)).fetchall()
        if not found or found[0][1] <= after_seq:
            found = self._db.execute(f"{query} ORDER BY key LIMIT 1", (wanted, high)).fetchall()
        return tuple(found[0]) if found else None

    def ack(self, ack: Ack) -> Mapping[Lane, LaneAccount]:
        """Delete every block that the acknowledgement covers wholly and remember how far the cloud is.

        An acknowledgement of another epoch, or one that is older than what is known, changes nothing.
        """
        account = self.lanes[ack.lane]
        if ack.epoch != self.epoch or ack.cumulative >= account.next_seq:
            return self.lanes
        with self._transaction():
            self._change(ack.lane, cumulative=max(account.cumulative, ack.cumulative))
            self._note_quarantined(ack)
            for low, high in _covered(ack, self.lanes[ack.lane].cumulative):
                self._delete_within(ack.lane, low, high)
            self._save_lanes()
        return self.lanes

    def _note_quarantined(self, ack: Ack) -> None:
        for seq, reason in ack.quarantined:
            row = self._row_after(ack.lane, seq - 1) if seq >= 1 else None
            if row is not None and row[0] - _BASE[ack.lane] <= seq:
                self._db.execute("INSERT OR IGNORE INTO quarantine VALUES (?, ?)", (_BASE[ack.lane] + seq, str(reason)))

    def _delete_within(self, lane: Lane, low: int, high: int) -> None:
        base = _BASE[lane]
        where = "key >= ? AND key <= ? AND last_seq <= ?"
        bounds = (base + low, base + high, high)
        for row in list(self._rows(where, bounds)):
            refused = self._forget_quarantined(row)
            account = self.lanes[lane]
            self._change(
                lane,
                acked=account.acked + row.last_seq - (row.key - base) + 1 - len(refused),
                quarantined=account.quarantined + len(refused),
                bytes=account.bytes - row.bytes,
            )
        self._db.execute(f"DELETE FROM block WHERE {where}", bounds)  # noqa: S608 - `where` is written above

    def _forget_quarantined(self, row: _Row) -> list[int]:
        """The quarantined numbers of a block that is about to go."""
        base = _BASE[split_key(row.key)[0]]
        bounds = (row.key, base + row.last_seq)
        found = [key - base for (key,) in self._db.execute("SELECT key FROM quarantine WHERE key BETWEEN ? AND ?", bounds)]
        if found:
            self._db.execute("DELETE FROM quarantine WHERE key BETWEEN ? AND ?", bounds)
        return found

    # What has to go.

    def _make_room(self, now_ns: int) -> None:
        """Drop the oldest readings, and events only when no reading is left, down to 15/16 of the quota.

        The slack keeps the loss records few: one for each sixteenth of the quota, not one for each commit.
        """
        excess = sum(account.bytes for account in self.lanes.values()) - self.limits.max_bytes
        if excess <= 0:
            return
        excess += self.limits.max_bytes // 16
        for lane in (Lane.READINGS, Lane.EVENTS):
            doomed = self._oldest(lane, excess)
            if doomed:
                self._declare(lane, doomed, Reason.OUTBOX_FULL, now_ns)
                excess -= sum(row.bytes for row in doomed)
            if excess <= self.limits.max_bytes // 16:
                return

    def _oldest(self, lane: Lane, at_least: int) -> list[_Row]:
        """The oldest blocks that together free `at_least` bytes; the newest block of the events lane always stays."""
        bounds = (_BASE[lane], _BASE[lane] + _SPAN)
        newest = self._db.execute("SELECT max(key) FROM block WHERE key > ? AND key < ?", bounds).get
        chosen, freed = list[_Row](), 0
        for row in self._rows("key > ? AND key < ?", bounds):
            if freed >= at_least or (lane is Lane.EVENTS and row.key == newest):
                break
            chosen.append(row)
            freed += row.bytes
        return chosen

    def _declare(self, lane: Lane, rows: Sequence[_Row], reason: Reason, now_ns: int) -> None:
        """Delete blocks and say so: one loss record for each run of numbers that nobody has acknowledged."""
        base, cumulative = _BASE[lane], self.lanes[lane].cumulative
        missing: list[int] = []
        for row in rows:
            first = row.key - base
            refused = set(self._forget_quarantined(row))
            open_seqs = [seq for seq in range(max(first, cumulative + 1), row.last_seq + 1) if seq not in refused]
            missing += open_seqs
            account = self.lanes[lane]
            self._change(
                lane,
                acked=account.acked + row.last_seq - first + 1 - len(refused) - len(open_seqs),
                quarantined=account.quarantined + len(refused),
                lost=account.lost + len(open_seqs),
                bytes=account.bytes - row.bytes,
            )
            self._db.execute("DELETE FROM block WHERE key = ?", (row.key,))
        losses: list[Event] = [
            LossRecord(
                lane=lane,
                epoch=self.epoch,
                seq_from=low,
                seq_to=high,
                bytes=sum(row.bytes for row in rows if low <= row.last_seq and row.key - base <= high),
                time_from_ns=min(row.time_from for row in rows),
                time_to_ns=max(row.time_to for row in rows),
                reason=reason,
            )
            for low, high in spans(missing)
        ]
        if losses:
            self._add_events(losses, now_ns)

    # What is remembered.

    def states(self) -> dict[str, bytes]:
        """What was last stored for each device."""
        return dict(self._db.execute("SELECT device, data FROM state"))

    def rewind(self, lane: Lane, cumulative: int) -> Mapping[Lane, LaneAccount]:
        """What is kept above `cumulative` is unacknowledged again; nothing acknowledged is kept."""
        logger.info("the cloud went back", extra={"event": "outbox.rewound", "lane": lane, "cumulative": cumulative})
        return self.lanes

    def losses(self, limit: int) -> list[LossNote]:
        """What is declared lost and not acknowledged, the newest first."""
        found: list[LossNote] = []
        for (payload,) in self._db.execute("SELECT payload FROM block WHERE key < ? ORDER BY key DESC", (_SPAN,)):
            events = reversed(decode_events(payload, decompress).events)
            found += [LossNote(at_ns=event.time_to_ns, record=event) for event in events if isinstance(event, LossRecord)]
            if len(found) >= limit:
                break
        return found[:limit]

    def fix_clock(self, boot_id: str, offset_ns: int) -> None:
        """Remember the true offset of a boot."""
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (f"clock.{boot_id}", str(offset_ns)))

    def oldest_ns(self, lane: Lane | None = None) -> int | None:
        """The event time of the oldest record still held; None when nothing is."""
        times = [
            row[0]
            for base in ([_BASE[lane]] if lane else _BASE.values())
            for row in self._db.execute(
                "SELECT time_from FROM block WHERE key > ? AND key < ? ORDER BY key LIMIT 1", (base, base + _SPAN)
            )
        ]
        return min(times, default=None)

    def first_unacked(self, lane: Lane) -> int:
        """The number of the first record that is held and not acknowledged; next_seq when there is none."""
        account = self.lanes[lane]
        row = self._row_after(lane, account.cumulative)
        return account.next_seq if row is None else max(account.cumulative + 1, row[0] - _BASE[lane])

    def advance_counter(self, counter: int) -> bool:
        """Remember the counter of a command before it is acted on; False when it is not above the last one."""
        with self._transaction():
            last = int(self._db.execute("SELECT value FROM meta WHERE key = 'command_counter'").get or 0)
            if counter <= last:
                return False
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('command_counter', ?)", (str(counter),))
        return True

    # The inside.

    def _found_epoch(self) -> str | None:
        if self._db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").get == 0:
            return None
        meta = dict(self._db.execute("SELECT key, value FROM meta"))
        if meta.get("gateway") != self.gateway:
            raise OutboxError(
                f"{self.path}: belongs to gateway {meta.get('gateway')!r}, the configuration says {self.gateway!r}; "
                "give the new gateway a data_dir of its own"
            )
        return str(meta["epoch"])

    def _create(self, now_ns: int) -> str:
        epoch = uuid.uuid4().hex
        with self._db:
            self._db.execute(SCHEMA)
            self._db.executemany(
                "INSERT INTO meta VALUES (?, ?)", [("epoch", epoch), ("gateway", self.gateway), ("created_ns", str(now_ns))]
            )
            self._db.executemany("INSERT INTO lane VALUES (?, 1, 0, 0, 0, 0, 0)", [(lane,) for lane in Lane])
        # The epoch must outlive a power cut before the first record carries it.
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        sync_folder(self.path.parent)
        return epoch

    def _save_lanes(self) -> None:
        self._db.executemany(
            "UPDATE lane SET next_seq = ?, cumulative = ?, acked = ?, quarantined = ?, lost = ?, bytes = ? WHERE lane = ?",
            [(a.next_seq, a.cumulative, a.acked, a.quarantined, a.lost, a.bytes, lane) for lane, a in self.lanes.items()],
        )

    def _change(self, lane: Lane, **fields: int) -> None:
        self.lanes = {**self.lanes, lane: msgspec.structs.replace(self.lanes[lane], **fields)}

    def _meta_row(self, key: int) -> _Row:
        return next(self._rows("key = ?", (key,)))

    def _rows(self, where: str, bounds: tuple[int, ...]) -> Iterator[_Row]:
        query = f"SELECT key, last_seq, bytes, time_from, time_to FROM block WHERE {where} ORDER BY key"  # noqa: S608 - no outside text
        return (_Row(*row) for row in self._db.execute(query, bounds))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, in the file and in the accounts kept in memory."""
        before = self.lanes
        try:
            with self._db:
                yield
        except BaseException:
            self.lanes = before
            raise


def split_key(key: int) -> tuple[Lane, int]:
    """The lane and first number of the block stored under `key`."""
    lane = Lane.READINGS if key >= _BASE[Lane.READINGS] else Lane.EVENTS
    return lane, key - _BASE[lane]


def _covered(ack: Ack, cumulative: int) -> list[tuple[int, int]]:
    """The closed ranges that an acknowledgement calls done, neighbours joined."""
    ranges = [(1, cumulative), *ack.ranges, *((seq, seq) for seq, _ in ack.quarantined)]
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for pair in ranges if pair[0] <= pair[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
