"""The account of one lane: which of its records are done, and what became of them."""

from typing import Final

import msgspec

from telemetry.reason import Reason
from telemetry.records import Lane, LossRecord
from telemetry.wire import Ack

__all__ = ["MOST_RANGES", "LaneAccount", "LaneKey", "Quarantined", "Span"]

MOST_RANGES: Final = 512
"""Islands of done records above the watermark. What would make one more is not taken, and comes again."""

_MOST_DIGESTS: Final = 32
_MOST_TOLD: Final = 64

LaneKey = tuple[str, str, Lane]
"""(gateway, epoch, lane)."""

Span = tuple[int, int]
"""A closed range of sequence numbers."""


class Quarantined(msgspec.Struct, frozen=True):
    """A record refused for good, with what it held."""

    key: LaneKey
    seq: int
    reason: Reason
    detail: str
    payload: bytes


class LaneAccount(msgspec.Struct):
    """Everything up to `watermark` is done, and every closed range above it; ranges are sorted and do not touch.

    Always: stored + quarantined + lost + moved = watermark + what the ranges hold. `moved` records came again in a later
    epoch. `next_seq` is above every number that anybody has told us of. `digests` are the fingerprints of the latest
    batches, by their first and last record.
    """

    key: LaneKey
    watermark: int = 0
    ranges: list[Span] = []
    stored: int = 0
    quarantined: int = 0
    lost: int = 0
    moved: int = 0
    next_seq: int = 1
    told: list[tuple[int, Reason]] = []
    digests: dict[Span, bytes] = {}

    def copy(self) -> "LaneAccount":
        return msgspec.structs.replace(self, ranges=list(self.ranges), told=list(self.told), digests=dict(self.digests))

    @property
    def highest(self) -> int:
        """The highest record that is done."""
        return self.ranges[-1][1] if self.ranges else self.watermark

    def missing(self, first: int, last: int) -> list[Span]:
        """The parts of `first..last` that are not done."""
        gaps: list[Span] = []
        start = max(first, self.watermark + 1)
        for low, high in self.ranges:
            if start > last:
                break
            if low > start:
                gaps.append((start, min(low - 1, last)))
            start = max(start, high + 1)
        if start <= last:
            gaps.append((start, last))
        return gaps

    def takes(self, first: int, last: int) -> bool:
        """Whether `first..last` can be done without a range too many; what closes or widens one always can."""
        if len(self.ranges) < MOST_RANGES or first <= self.watermark + 1:
            return True
        return any(low <= last + 1 and first <= high + 1 for low, high in self.ranges)

    def mark(self, first: int, last: int) -> int:
        """`first..last` is done; how many of it were not before."""
        new = sum(high - low + 1 for low, high in self.missing(first, last))
        if new:
            merged: list[Span] = []
            for low, high in sorted([(1, self.watermark), *self.ranges, (first, last)]):
                if merged and low <= merged[-1][1] + 1:
                    merged[-1] = (merged[-1][0], max(merged[-1][1], high))
                else:
                    merged.append((low, high))
            if merged[0][0] == 1:
                self.watermark = merged.pop(0)[1]
            self.ranges = merged
            self.next_seq = max(self.next_seq, last + 1)
        return new

    def lose(self, loss: LossRecord) -> list[Span]:
        """Put a statement of loss into the account: the parts of it that are lost, or moved, only by its word.

        What is stored stays stored. An open end reaches up to the highest number known.
        """
        last = max(loss.seq_to, self.next_seq - 1) if loss.open_end else loss.seq_to
        parts = self.missing(loss.seq_from, last)
        for low, high in parts:
            new = self.mark(low, high)
            if loss.reason is Reason.RENUMBERED:
                self.moved += new
            else:
                self.lost += new
        return parts

    def refuse(self, seq: int, reason: Reason) -> None:
        """One record went to quarantine; the next acknowledgement says so, and later ones repeat the latest of them."""
        self.quarantined += 1
        self.told.append((seq, reason))

    def remember(self, first: int, last: int, digest: bytes) -> None:
        """The batch that held `first..last` had this fingerprint."""
        self.digests[first, last] = digest
        while len(self.digests) > _MOST_DIGESTS:
            del self.digests[next(iter(self.digests))]

    def altered(self, first: int, last: int, digest: bytes) -> bool:
        """Whether the records `first..last` were sent before as one batch, and were others."""
        return self.digests.get((first, last), digest) != digest

    def committed(self) -> None:
        """What it says is in the store now; of what went to quarantine only the latest is told again."""
        del self.told[:-_MOST_TOLD]

    def ack(self, server_ns: int, credit: int) -> Ack:
        """The cloud's word about this lane."""
        gateway, epoch, lane = self.key
        half = MOST_RANGES // 2
        return Ack(
            gateway=gateway,
            epoch=epoch,
            lane=lane,
            cumulative=self.watermark,
            # Losses may make more ranges than batches may: the lowest and the highest are what a gateway goes on from.
            ranges=self.ranges if len(self.ranges) <= MOST_RANGES else self.ranges[:half] + self.ranges[-half:],
            quarantined=list(self.told),
            credit=credit,
            server_ns=server_ns,
        )
