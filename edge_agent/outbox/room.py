"""Bytes are bounded: what goes when there is no room, and in which order.

First what is only kept, then the dull ones among old readings, then the oldest readings, events last. Each lane has a
share of its own; what one lane does not use the other may. Whatever goes is declared in the same transaction.
"""

from collections.abc import Iterator

import msgspec

from edge_agent.outbox.blocks import Head, Row
from edge_agent.outbox.facts import DamagedError
from edge_agent.outbox.ledger import Ledger, Now
from edge_agent.outbox.thin import survivors
from edge_agent.uplink.compression import decompress
from telemetry.reason import Reason
from telemetry.records import Lane, Reading
from telemetry.wire import WireError, decode_readings

__all__ = ["Room"]

_SLACK = 16
"""A sixteenth more goes than must: loss records are few, one for each sixteenth and not one for each commit."""
_THIN_BYTES = 1024 * 1024
"""Readings that are thinned at once: decoded together they are all of the outbox's memory that grows."""
_LOOKED_AT = 2000
"""Blocks that one search for something to thin may look at."""
_FRUITLESS = 2
"""Searches that may end in nothing before the oldest go as they are: a commit must not decode the whole backlog."""
_WORTH_IT = 0.75
"""Readings that are all different are not thinned: what survives has to be written and sent once more."""


class Room:
    """Keeps a ledger within its limits; called inside a transaction, after what it adds."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thin_from = 1
        """Below it nothing is worth thinning any more."""

    def make(self, now: Now) -> None:
        """Let go until everything fits."""
        limits = self._ledger.limits
        if self._kept > limits.keep_bytes:
            self.trim(limits.keep_bytes - limits.keep_bytes // _SLACK)
        if self._total <= limits.max_bytes:
            return
        slack = limits.max_bytes // _SLACK
        self.trim(max(0, self._kept - (self._total - limits.max_bytes) - slack))
        while self._total > limits.max_bytes and self._are_readings_above_share and self._thin(now):
            pass
        if self._total > limits.max_bytes:
            self._drop_to_share(now, slack)

    def free(self, at_least: int, now: Now, *, spares_events: bool) -> None:
        """Let go of so many bytes whatever the limits say: what is kept, then the oldest readings.

        Events go where they are not to be spared, and where there is nothing else.
        """
        before = self._total
        self.trim(max(0, self._kept - at_least))
        spared = spares_events and self._ledger.account(Lane.READINGS).bytes > 0
        for lane in (Lane.READINGS,) if spared else (Lane.READINGS, Lane.EVENTS):
            if (missing := at_least - (before - self._total)) > 0:
                self.drop(lane, missing, now)

    @property
    def held_bytes(self) -> int:
        """Everything that limits count: what is held, and what is only kept."""
        return self._total

    def trim(self, most_bytes: int) -> None:
        """Let go of what is only kept, the oldest first, of the lane that keeps more."""
        while self._kept > most_bytes:
            lane = max(Lane, key=lambda each: self._ledger.account(each).kept_bytes)
            other = self._kept - self._ledger.account(lane).kept_bytes
            if not self._trim_lane(lane, self._kept - max(most_bytes, other)):
                return

    def _trim_lane(self, lane: Lane, at_least: int) -> bool:
        ledger = self._ledger
        doomed, freed = list[Head](), 0
        for head in ledger.settled_blocks(lane, ledger.books[lane].settled):
            if freed >= at_least or len(doomed) >= _LOOKED_AT:
                break
            doomed.append(head)
            freed += head.size
        if not doomed:
            return False
        left = ledger.fingerprint(doomed[-1])
        ledger.delete(lane, doomed, was_kept=True)
        ledger.books[lane] = msgspec.structs.replace(ledger.books[lane], left=left)
        return True

    def drop(self, lane: Lane, at_least: int, now: Now) -> int:
        """Declare the oldest held blocks of a lane lost, so many bytes of them; how many they were.

        The newest block of events stays: it may be the one that says what was lost.
        """
        newest = self._ledger.account(lane).next_seq - 1 if lane is Lane.EVENTS else None
        return self._ledger.declare(lane, self._oldest(lane, at_least, newest), Reason.OUTBOX_FULL, now)

    def _oldest(self, lane: Lane, at_least: int, newest: int | None) -> Iterator[Row]:
        """The oldest blocks with an open record; each is expected to be gone when the next is asked for."""
        ledger, freed = self._ledger, 0
        while freed < at_least:
            seq = ledger.books[lane].first_open(1)
            if seq >= ledger.account(lane).next_seq:
                return
            head = ledger.blocks.holding(lane, seq)
            row = None if head is None or head.last_seq < seq else ledger.blocks.row(head.key)
            if (
                row is None
                or not row.first_seq <= seq <= row.last_seq
                or not (row.is_sound or ledger.is_plausible(lane, row.head))
            ):
                raise DamagedError(f"{lane} {seq}: no sound block holds it")
            if newest is not None and row.last_seq >= newest:
                return
            yield row
            freed += row.size

    def _drop_to_share(self, now: Now, slack: int) -> None:
        """The lane above its share gives; readings before events."""
        limits, ledger, reserved = self._ledger.limits, self._ledger, self._reserved
        if self._are_readings_above_share:
            self.drop(Lane.READINGS, self._total - limits.max_bytes + slack, now)
        if self._total > limits.max_bytes and ledger.account(Lane.EVENTS).bytes > reserved:
            self.drop(Lane.EVENTS, self._total - limits.max_bytes + reserved // _SLACK, now)
        if self._total > limits.max_bytes:
            self.drop(Lane.READINGS, self._total - limits.max_bytes + slack, now)

    def _thin(self, now: Now) -> bool:
        """Keep of the oldest readings that were not thinned yet only what somebody would miss; False where none is dull."""
        for _ in range(_FRUITLESS):
            run = self._next_run()
            if not run:
                return False
            self._thin_from = run[-1].last_seq + 1
            try:
                told = [reading for row in run for reading in self._open_readings(row)]
            except WireError:
                continue  # a record among them that nobody can read: what cannot be looked at is not thinned
            kept = survivors(told)
            if len(kept) <= len(told) * _WORTH_IT:
                self._ledger.declare(Lane.READINGS, run, Reason.THINNED, now)
                segment = self._ledger.clocks.segment(run[0].clock)
                stamp = now.stamp if segment is None else segment.stamp
                self._ledger.add_readings(kept, stamp, run[0].mono_ns, thinned=True)
                return True
        return False

    def _next_run(self) -> list[Row]:
        """Neighbouring blocks of one clock segment that nobody has thinned, acknowledged or just added."""
        ledger = self._ledger
        book, most = ledger.books[Lane.READINGS], min(_THIN_BYTES, ledger.limits.max_bytes // _SLACK)
        run: list[Row] = []
        size, clock = 0, None
        low = book.first_open(self._thin_from)
        begin = ledger.blocks.holding(Lane.READINGS, low)
        for head, segment, thinned in ledger.blocks.marks(Lane.READINGS, begin.first_seq if begin else low, _LOOKED_AT):
            usable = not thinned and head.last_seq < book.account.next_seq - 1
            usable = usable and not book.is_settled(head.first_seq, head.last_seq)
            if run and (not usable or segment != clock or head.first_seq != run[-1].last_seq + 1):
                break
            row = ledger.blocks.row(head.key) if usable else None
            if row is None or not row.is_sound:
                if run:
                    break
                self._thin_from = max(self._thin_from, head.first_seq)
                continue
            run.append(row)
            size, clock = size + row.size, segment
            if size >= most:
                break
        return run

    def _open_readings(self, row: Row) -> list[Reading]:
        batch = decode_readings(row.payload, decompress)
        book = self._ledger.books[Lane.READINGS]
        numbered = [(row.first_seq + offset, reading) for group in batch.groups for offset, reading in group.readings()]
        return [reading for seq, reading in sorted(numbered, key=lambda each: each[0]) if book.open_in(seq, seq)]

    @property
    def _reserved(self) -> int:
        """What events have to themselves."""
        limits = self._ledger.limits
        return min(limits.events_max_bytes, limits.max_bytes // 2)

    @property
    def _are_readings_above_share(self) -> bool:
        return self._ledger.account(Lane.READINGS).bytes > self._ledger.limits.max_bytes - self._reserved

    @property
    def _total(self) -> int:
        return self._kept + sum(self._ledger.account(lane).bytes for lane in Lane)

    @property
    def _kept(self) -> int:
        return sum(self._ledger.account(lane).kept_bytes for lane in Lane)
