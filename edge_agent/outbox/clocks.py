"""By which clock the times of a record were told: segments of one boot in which wall and monotonic time ran side by side.

Times are stored as they were told and never rewritten. When the true offset of a boot becomes known it is written down
once, and what was stamped by a clock that nobody vouched for is moved by it on its way out.
"""

import apsw
import msgspec

from edge_agent.outbox.facts import DamagedError, checksum
from telemetry.records import ClockQuality
from telemetry.wire import ClockNote

__all__ = ["OLD_FORM", "UNTOLD", "ClockStamp", "Clocks", "Segment"]

OLD_FORM = 0
"""The segment of blocks that were written before there were segments: nobody doubted their clock."""
_MOST_SEGMENTS = 2000
"""More are tidied up: those that no block speaks of any more."""


class ClockStamp(msgspec.Struct, frozen=True):
    """One segment: while it lasts, the wall time used is `offset_ns` plus the monotonic time of boot `boot_id`."""

    boot_id: str
    quality: ClockQuality
    offset_ns: int


UNTOLD = ClockStamp("test", ClockQuality.SYNCED, 0)
"""For whoever opens an outbox without saying by which clock."""


class Segment(msgspec.Struct, frozen=True):
    """A stamp, and the offset that its boot turned out to have."""

    stamp: ClockStamp
    true_offset_ns: int | None

    @property
    def note(self) -> ClockNote | None:
        """What the cloud is told of times in this segment; None where the clock was in order."""
        stamp = self.stamp
        if stamp.quality is ClockQuality.SYNCED:
            return None
        if stamp.quality is ClockQuality.CLOUD:
            return ClockNote(boot_id=stamp.boot_id, quality=ClockQuality.CLOUD)
        if self.true_offset_ns is None:
            return ClockNote(boot_id=stamp.boot_id, quality=ClockQuality.UNSYNCED)
        shift_ns = self.true_offset_ns - stamp.offset_ns
        return ClockNote(boot_id=stamp.boot_id, quality=ClockQuality.CLOUD, shift_ns=shift_ns)


class Clocks:
    """The table of segments, also in memory: there are few."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._segments: dict[int, Segment] = {}
        self._ids: dict[ClockStamp, int] = {}

    def load(self) -> None:
        """Read the table; DamagedError where a row is not what was written."""
        self._segments = dict(segments(self._db, strict=True))
        self._ids = {segment.stamp: number for number, segment in self._segments.items()}

    def known(self) -> tuple[dict[int, Segment], dict[ClockStamp, int]]:
        """What is known of the table, to come back to when a transaction fails."""
        return self._segments, self._ids

    def forget_since(self, known: tuple[dict[int, Segment], dict[ClockStamp, int]]) -> None:
        """Come back to what was known before."""
        self._segments, self._ids = known

    def id_of(self, stamp: ClockStamp) -> int:
        """The number of a segment, written down inside the open transaction where it is new."""
        known = self._ids.get(stamp)
        if known is not None:
            return known
        if len(self._segments) >= _MOST_SEGMENTS:
            self._db.execute("DELETE FROM clock WHERE id NOT IN (SELECT DISTINCT clock FROM block)")
            self.load()
        number = max(self._segments, default=OLD_FORM) + 1
        true = next((s.true_offset_ns for s in self._segments.values() if s.stamp.boot_id == stamp.boot_id), None)
        self._write(number, Segment(stamp, true))
        return number

    def fix(self, boot_id: str, offset_ns: int) -> None:
        """Write down the true offset of a boot, inside the open transaction; the first word counts."""
        if all(segment.stamp.boot_id != boot_id for segment in self._segments.values()):
            self.id_of(ClockStamp(boot_id, ClockQuality.UNSYNCED, offset_ns))
        for number, segment in list(self._segments.items()):
            if segment.stamp.boot_id == boot_id and segment.true_offset_ns is None:
                self._write(number, Segment(segment.stamp, offset_ns))

    def segment(self, number: int) -> Segment | None:
        """A segment by its number; None for the old form. DamagedError where it is missing."""
        if number == OLD_FORM:
            return None
        found = self._segments.get(number)
        if found is None:
            raise DamagedError(f"clock segment {number} is missing")
        return found

    def _write(self, number: int, segment: Segment) -> None:
        packed = msgspec.msgpack.encode(segment)
        self._db.execute("INSERT OR REPLACE INTO clock VALUES (?, ?, ?)", (number, packed, _check(number, packed)))
        self._segments = {**self._segments, number: segment}
        self._ids = {**self._ids, segment.stamp: number}


def segments(db: apsw.Connection, *, strict: bool) -> list[tuple[int, Segment]]:
    """The segments of a file by their numbers; a row that is not what was written is an error, or left out."""
    found: list[tuple[int, Segment]] = []
    try:
        for number, packed, crc in db.execute("SELECT id, segment, crc FROM clock ORDER BY id"):
            if not isinstance(packed, bytes) or _check(number, packed) != crc:
                raise DamagedError(f"clock segment {number} is not what was written")
            found.append((number, msgspec.msgpack.decode(packed, type=Segment)))
    except (apsw.Error, msgspec.MsgspecError) as error:
        if strict and isinstance(error, apsw.Error):
            raise
        if strict:
            raise DamagedError(f"clock segments: {error}") from error
    return found


def _check(number: int, packed: bytes) -> int:
    return checksum(str(number).encode(), packed)
