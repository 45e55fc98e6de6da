"""The blocks of the file: one row is one batch exactly as the wire wants it, uncompressed, with a checksum over all of it."""

import struct
import zlib
from collections.abc import Iterator

import apsw
import msgspec

from edge_agent.outbox.clocks import OLD_FORM
from edge_agent.outbox.facts import DamagedError, checksum
from edge_agent.outbox.file import BASE, WIDTH
from edge_agent.outbox.spans import Spans
from telemetry.records import Lane

__all__ = ["Block", "Blocks", "Head", "Row", "split_key"]

_HEADER = struct.Struct("<9q")


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One batch as it must be sent: `payload` is a `telemetry.wire` message, uncompressed, with its clock's note.

    `open` are those of its numbers that nobody has settled yet.
    """

    lane: Lane
    first_seq: int
    last_seq: int
    payload: bytes
    open: Spans = ()


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What can be read of a block without its payload."""

    key: int
    last_seq: int
    size: int
    time_from: int
    time_to: int

    @property
    def first_seq(self) -> int:
        """The number of its first record."""
        return split_key(self.key)[1]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A whole block."""

    key: int
    last_seq: int
    size: int
    time_from: int
    time_to: int
    clock: int
    mono_ns: int
    thinned: int
    crc: int
    payload: bytes

    @property
    def first_seq(self) -> int:
        """The number of its first record."""
        return split_key(self.key)[1]

    @property
    def head(self) -> Head:
        """The row without its payload."""
        return Head(self.key, self.last_seq, self.size, self.time_from, self.time_to)

    @property
    def is_sound(self) -> bool:
        """Whether it is what was written."""
        if self.clock == OLD_FORM and zlib.crc32(self.payload) == self.crc:
            return self.size == len(self.payload)
        return _check(self) == self.crc


def split_key(key: int) -> tuple[Lane, int]:
    """The lane and first number of the block stored under `key`."""
    lane = Lane.READINGS if key >= BASE[Lane.READINGS] else Lane.EVENTS
    return lane, key - BASE[lane]


def _check(row: Row) -> int:
    numbers = (row.key, row.last_seq, row.size, row.time_from, row.time_to, row.clock, row.mono_ns, row.thinned)
    return checksum(_HEADER.pack(*numbers, len(row.payload)), row.payload)


_HEAD = "SELECT key, last_seq, bytes, time_from, time_to FROM block WHERE"
_ROW = "SELECT key, last_seq, bytes, time_from, time_to, clock, mono_ns, thinned, crc, payload FROM block WHERE"


class Blocks:
    """The table. Every question goes along the key: no answer costs more than the rows it names."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def insert(self, row: Row) -> None:
        """Store a block; its checksum is made here."""
        self._db.execute(
            "INSERT INTO block (key, last_seq, bytes, time_from, time_to, clock, mono_ns, thinned, crc, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(msgspec.structs.replace(row, crc=_check(row))),
        )

    def delete(self, key: int) -> None:
        """Forget a block."""
        self._db.execute("DELETE FROM block WHERE key = ?", (key,))

    def holding(self, lane: Lane, seq: int) -> Head | None:
        """The block that begins at or below a number, nearest to it; whether it reaches the number is the caller's to see."""
        return self._head("key > ? AND key <= ? ORDER BY key DESC LIMIT 1", (BASE[lane], BASE[lane] + seq))

    def after(self, lane: Lane, seq: int) -> Head | None:
        """The first block that begins above a number."""
        return self._head("key > ? AND key < ? ORDER BY key LIMIT 1", (BASE[lane] + seq, BASE[lane] + WIDTH))

    def row(self, key: int) -> Row | None:
        """A whole block."""
        found = self._db.execute(f"{_ROW} key = ?", (key,)).fetchone()
        if found is None:
            return None
        if not isinstance(found[-1], bytes):
            raise DamagedError(f"block {key}: no payload")
        _want_numbers(found[:-1])
        return Row(*found)

    def between(self, lane: Lane, low: int, high: int) -> Iterator[Head]:
        """The blocks that begin from `low` to `high`, ascending, while they are asked for."""
        base = BASE[lane]
        query = f"{_HEAD} key >= ? AND key <= ? ORDER BY key"
        return (_as_head(found) for found in self._db.execute(query, (base + max(low, 1), base + high)))

    def downwards(self, lane: Lane, seq: int) -> Iterator[Head]:
        """The blocks that begin at or below a number, the highest first."""
        query = f"{_HEAD} key > ? AND key <= ? ORDER BY key DESC"
        return (_as_head(found) for found in self._db.execute(query, (BASE[lane], BASE[lane] + seq)))

    def marks(self, lane: Lane, low: int, most: int) -> list[tuple[Head, int, int]]:
        """At most so many blocks from a number on, each with its clock segment and whether it was thinned."""
        base = BASE[lane]
        query = "SELECT key, last_seq, bytes, time_from, time_to, clock, thinned FROM block WHERE key >= ? AND key < ?"
        rows = self._db.execute(f"{query} ORDER BY key LIMIT ?", (base + max(low, 1), base + WIDTH, most))
        return [(_as_head(found[:5]), found[5], found[6]) for found in rows]

    def _head(self, where: str, bounds: tuple[int, ...]) -> Head | None:
        found = self._db.execute(f"{_HEAD} {where}", bounds).fetchone()
        return None if found is None else _as_head(found)


def _as_head(found: tuple[object, ...]) -> Head:
    _want_numbers(found)
    return Head(*found)  # type: ignore[arg-type]  # looked at just now


def _want_numbers(values: tuple[object, ...]) -> None:
    """A damaged row may hold anything at all."""
    if not all(isinstance(value, int) for value in values):
        raise DamagedError("a block's header is not what was written")
