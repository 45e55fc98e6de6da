"""What can still be read of a file that is damaged, of an earlier form, or simply over."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import apsw

from edge_agent.outbox.accounts import LaneBook
from edge_agent.outbox.blocks import Row, split_key
from edge_agent.outbox.clocks import OLD_FORM, ClockStamp, Segment, segments
from edge_agent.outbox.facts import DamagedError, Facts, checksum
from edge_agent.outbox.file import BASE, EARLIER_PAGE_BYTES, PAGE_BYTES, WIDTH, Identity, connect, earlier_book, read_book
from edge_agent.outbox.spans import Spans
from edge_agent.uplink.compression import decompress
from telemetry.records import ClockQuality, Event, Lane, Reading
from telemetry.wire import WireError, decode_events, decode_readings

__all__ = ["DAMAGE", "Copy", "check_header"]

logger = logging.getLogger(__name__)

DAMAGE = (
    apsw.NotADBError,
    apsw.CorruptError,
    apsw.SQLError,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    UnicodeDecodeError,
)
"""What a damaged file raises: not a database, broken pages, tables that are not there, rows that cannot be."""

_MAGIC = b"SQLite format 3\0"
_FIXED = (
    (0, _MAGIC),
    (20, b"\0\x40\x20\x20"),
    (44, b"\0\0\0\4"),
    (52, bytes(4)),
    (56, b"\0\0\0\1"),
)
"""What stands in the header of each of our files (SQLite's file format, 1.3), by offset."""
_PAGE_SIZES = (PAGE_BYTES, EARLIER_PAGE_BYTES)
_EARLIER_STAMP = ClockStamp("earlier", ClockQuality.SYNCED, 0)
_UNKNOWN_STAMP = ClockStamp("unknown", ClockQuality.UNSYNCED, 0)


def check_header(path: Path, vfs: str | None = None) -> None:
    """DamagedError where the first bytes of a file are not those of an outbox.

    SQLite itself would take some of them for wishes: not to be written to, or to be kept in another way.
    """
    if not _is_ours(path):
        # Power that fails in the middle of a checkpoint may tear the first page; the journal has it whole.
        _checkpoint(path, vfs)
        if not _is_ours(path):
            raise DamagedError(f"{path}: its header is not what was written")


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return True
    return len(header) < 100 or (_is_fixed(header) and header[18] == header[19] and header[18] in {1, 2})


def _checkpoint(path: Path, vfs: str | None) -> None:
    with suppress(*DAMAGE, apsw.Error), closing(connect(path, vfs)) as db:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _is_fixed(header: bytes | bytearray) -> bool:
    return _page_bytes(header) in _PAGE_SIZES and all(header[at : at + len(want)] == want for at, want in _FIXED)


def _page_bytes(header: bytes | bytearray) -> int:
    return int.from_bytes(header[16:18], "big")


def _mend_header(path: Path) -> None:
    """Write what must stand in the header, so that what comes after it can be read."""
    with suppress(OSError), path.open("r+b") as file:
        header = bytearray(file.read(100))
        page_bytes = _page_bytes(header) if _page_bytes(header) in _PAGE_SIZES else PAGE_BYTES
        pages = path.stat().st_size // page_bytes
        is_cut = int.from_bytes(header[28:32], "big") > pages
        if len(header) < 100 or (_is_fixed(header) and header[18] == header[19] == 2 and not is_cut):
            return
        for at, want in _FIXED:
            header[at : at + len(want)] = want
        header[16:18] = page_bytes.to_bytes(2, "big")
        header[18:20] = b"\2\2"
        header[28:32] = pages.to_bytes(4, "big")
        file.seek(0)
        file.write(header)


class Copy:
    """A file that was set aside. Every question is answered as far as the damage lets it; nothing raises."""

    def __init__(self, path: Path) -> None:
        _mend_header(path)
        self._db = apsw.Connection(str(path))
        self._facts = Facts(self._db)
        self._meta = {str(row[0]): row[1] for row in self._rows("SELECT key, value FROM meta")}
        self._segments: dict[int, Segment] = {}
        with suppress(*DAMAGE, apsw.Error):
            self._segments = dict(segments(self._db, strict=False))
        self.is_whole = True
        """Whether nothing that was asked for met any damage."""

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def epoch(self) -> str:
        """Its epoch; empty where that cannot be read."""
        with suppress(*DAMAGE, apsw.Error):
            return self._facts.get("outbox", Identity).epoch
        return str(self._meta.get("epoch", ""))[:64]

    @property
    def counter(self) -> int:
        """The counter of the last command."""
        with suppress(*DAMAGE, apsw.Error):
            return self._facts.get("counter", int)
        with suppress(ValueError, TypeError):
            return int(self._meta.get("command_counter", 0))
        return 0

    def book(self, lane: Lane) -> LaneBook | None:
        """A lane's account; None where it cannot be read."""
        with suppress(*DAMAGE, apsw.Error):
            return read_book(self._facts, lane)
        with suppress(*DAMAGE, apsw.Error):
            return earlier_book(self._db, lane)
        return None

    def fixed(self) -> dict[str, int]:
        """The true offsets of boots, where they became known."""
        return {s.stamp.boot_id: s.true_offset_ns for s in self._segments.values() if s.true_offset_ns is not None}

    def states(self) -> dict[str, bytes]:
        """What was remembered of devices and is what was written."""
        found = {str(row[0]): row[1] for row in self._rows("SELECT device, data FROM earlier_state")}
        for device, crc, data in self._rows("SELECT device, crc, data FROM state"):
            if isinstance(data, bytes) and checksum(str(device).encode(), data) == crc:
                found[str(device)] = data
            else:
                logger.error(
                    "what was remembered of a device is broken", extra={"event": "outbox.state_lost", "device": str(device)}
                )
        if self._meta:
            found |= {str(row[0]): row[1] for row in self._rows("SELECT device, data FROM state") if isinstance(row[1], bytes)}
        return found

    def rows(self, above: int, below: int) -> Iterator[tuple[Row, bool]]:
        """The sound blocks with keys between these, and whether they came from the back.

        From the front up to the damage, then from the back down to it.
        """
        clocks = "0, 0, 0, crc32" if self._meta else "clock, mono_ns, thinned, crc"
        columns = f"key, last_seq, bytes, time_from, time_to, {clocks}, payload"
        query = f"SELECT {columns} FROM block WHERE key > ? AND key < ? ORDER BY key"  # noqa: S608 - names above
        for order in ("", " DESC"):
            for found in self._rows(query + order, (above, below)):
                row = _sound(found)
                if row is None:
                    self.is_whole = False
                    continue
                above, below = (above, row.key) if order else (row.key, below)
                yield row, bool(order)

    def records(self, row: Row, wanted: Spans) -> tuple[list[Reading], list[Event]]:
        """The readings or events of a block whose numbers are wanted, in their order."""
        lane, first = split_key(row.key)
        try:
            if lane is Lane.EVENTS:
                events = enumerate(decode_events(row.payload, decompress).events, first)
                return [], [event for seq, event in events if _is_in(seq, wanted)]
            groups = decode_readings(row.payload, decompress).groups
        except WireError:
            return [], []
        rows = [(first + offset, reading) for group in groups for offset, reading in group.readings()]
        return [reading for seq, reading in sorted(rows, key=lambda each: each[0]) if _is_in(seq, wanted)], []

    def stamp(self, row: Row) -> ClockStamp:
        """By which clock a block was stamped."""
        if row.clock == OLD_FORM:
            return _EARLIER_STAMP
        segment = self._segments.get(row.clock)
        return _UNKNOWN_STAMP if segment is None else segment.stamp

    def _rows(self, query: str, bounds: Sequence[int] = ()) -> Iterator[tuple[Any, ...]]:
        """As many rows as can be read before the damage."""
        try:
            yield from self._db.execute(query, bounds)
        except (*DAMAGE, apsw.Error) as damage:
            logger.info("as far as it goes: %s", damage, extra={"event": "outbox.damage", "query": query[:60]})
            if "no such" not in str(damage):
                self.is_whole = False


def _sound(found: tuple[Any, ...]) -> Row | None:
    if not isinstance(found[-1], bytes) or not all(isinstance(value, int) for value in found[:-1]):
        return None
    row = Row(*found)
    lane, first = split_key(row.key)
    return row if row.is_sound and 1 <= first <= row.last_seq < WIDTH and row.key >= BASE[lane] else None


def _is_in(seq: int, spans: Spans) -> bool:
    return any(low <= seq <= high for low, high in spans)
