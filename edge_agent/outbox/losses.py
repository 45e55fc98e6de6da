"""What was declared lost of late, for whoever looks at the gateway; and for the outbox itself, where the event that said
so can no longer be read."""

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from edge_agent.outbox.facts import checksum
from edge_agent.outbox.spans import Spans, union
from telemetry.records import LossRecord

__all__ = ["LossNote", "Losses", "joined"]

_MOST = 1000


class LossNote(msgspec.Struct, frozen=True, kw_only=True):
    """What was declared lost, when, and as which event of the present epoch."""

    seq: int
    at_ns: int
    record: LossRecord


class Losses:
    """The table, bounded: the newest thousand."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def note(self, seq: int, at_ns: int, record: LossRecord) -> None:
        """Write one down inside the open transaction."""
        packed = msgspec.msgpack.encode(record)
        number = int(self._db.execute("SELECT max(n) FROM loss").get or 0) + 1
        row = (number, seq, at_ns, _check(seq, at_ns, packed), packed)
        self._db.execute("INSERT INTO loss VALUES (?, ?, ?, ?, ?)", row)
        self._db.execute("DELETE FROM loss WHERE n <= ?", (number - _MOST,))

    def newest(self, limit: int) -> list[LossNote]:
        """At most so many, the newest first; a row that is not what was written is left out."""
        query = "SELECT seq, at_ns, crc, record FROM loss ORDER BY n DESC LIMIT ?"
        return [
            LossNote(seq=seq, at_ns=at_ns, record=msgspec.msgpack.decode(packed, type=LossRecord))
            for seq, at_ns, crc, packed in self._db.execute(query, (limit,))
            if isinstance(packed, bytes) and _check(seq, at_ns, packed) == crc
        ]

    def said_in(self, seqs: Spans) -> list[LossRecord]:
        """What the events with these numbers declared."""
        notes = self.newest(_MOST)
        return [note.record for note in reversed(notes) if any(low <= note.seq <= high for low, high in seqs)]


def _check(seq: int, at_ns: int, packed: bytes) -> int:
    return checksum(f"{seq} {at_ns}".encode(), packed)


def joined(records: Iterable[LossRecord]) -> list[LossRecord]:
    """The same statements in fewer records: neighbours of one lane, epoch and reason are one."""
    groups: dict[tuple[object, ...], list[LossRecord]] = {}
    for record in records:
        groups.setdefault((record.lane, record.epoch, record.reason, record.open_end), []).append(record)
    return [record for group in groups.values() for record in _joined_group(group)]


def _joined_group(group: Sequence[LossRecord]) -> list[LossRecord]:
    covered = union(tuple((record.seq_from, record.seq_to) for record in group))
    found: list[LossRecord] = []
    for low, high in covered:
        inside = [record for record in group if low <= record.seq_from <= high]
        found.append(
            msgspec.structs.replace(
                inside[0],
                seq_from=low,
                seq_to=high,
                bytes=sum(record.bytes for record in inside),
                time_from_ns=min(record.time_from_ns for record in inside),
                time_to_ns=max(record.time_to_ns for record in inside),
            )
        )
    return found
