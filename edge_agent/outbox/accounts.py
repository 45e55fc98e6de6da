"""The account of a lane: where every record is that was ever numbered.

At every instant acked + quarantined + lost + held = next_seq - 1. A record is settled once, by whoever comes first: what
is already settled is never counted again.
"""

import msgspec

from edge_agent.outbox.spans import Spans, count, covers, difference, first_outside, intersection, union
from telemetry.wire import Digest

__all__ = ["LaneAccount", "LaneBook"]


class LaneAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Where every record of one lane is. `cumulative`: the cloud has everything up to it.

    `bytes` of payload are held for the cloud, `kept_bytes` are acknowledged and kept in case it forgets them.
    """

    next_seq: int = 1
    cumulative: int = 0
    acked: int = 0
    quarantined: int = 0
    lost: int = 0
    bytes: int = 0
    kept_bytes: int = 0

    @property
    def depth(self) -> int:
        """Records still held."""
        return self.next_seq - 1 - self.acked - self.quarantined - self.lost


class LaneBook(msgspec.Struct, frozen=True, kw_only=True):
    """A lane's account with what it takes to keep it exact.

    `done` are the settled numbers above `cumulative`; `refused` the quarantined ones of blocks that are still here, so
    that a cloud which went back can be given them again; `left` the fingerprint of the newest acknowledged block that is
    not.
    """

    account: LaneAccount = LaneAccount()
    done: Spans = ()
    refused: Spans = ()
    left: Digest | None = None

    @property
    def settled(self) -> Spans:
        """Every number that is settled."""
        return union(((1, self.account.cumulative),), self.done)

    def open_in(self, low: int, high: int) -> Spans:
        """The numbers from `low` to `high` that nobody has settled."""
        low, high = max(low, self.account.cumulative + 1), min(high, self.account.next_seq - 1)
        return difference(((low, high),), self.done) if low <= high else ()

    def first_open(self, low: int) -> int:
        """The first number from `low` on that nobody has settled; `next_seq` or more where there is none."""
        return first_outside(self.done, max(low, self.account.cumulative + 1))

    def is_settled(self, low: int, high: int) -> bool:
        """Whether all of these numbers are."""
        return high <= self.account.cumulative or covers(self.settled, low, high)

    def numbered(self, records: int, size: int) -> "LaneBook":
        """After one more block of so many records and bytes."""
        account = self.account
        return self._with(next_seq=account.next_seq + records, bytes=account.bytes + size)

    def acknowledged(self, cumulative: int, ranges: Spans, quarantined: Spans) -> tuple["LaneBook", Spans]:
        """After the cloud's word, and which numbers that settled."""
        account, settled = self.account, self.settled
        valid: Spans = ((1, account.next_seq - 1),) if account.next_seq > 1 else ()
        refused = difference(intersection(quarantined, valid), settled)
        acked = difference(intersection(union(ranges, ((1, cumulative),)), valid), union(settled, refused))
        cumulative = max(account.cumulative, cumulative)
        book = self._with(
            cumulative=cumulative, acked=account.acked + count(acked), quarantined=account.quarantined + count(refused)
        )
        return msgspec.structs.replace(
            book,
            done=difference(union(self.done, acked, refused), ((1, cumulative),)),
            refused=union(self.refused, refused) if refused else self.refused,
        ), union(acked, refused)

    def declared(self, lost: Spans) -> "LaneBook":
        """After open numbers were declared lost."""
        book = self._with(lost=self.account.lost + count(lost))
        return msgspec.structs.replace(book, done=union(self.done, lost))

    def reopened(self, cumulative: int, again: Spans) -> "LaneBook":
        """After the cloud went back to `cumulative`: of what was settled, `again` is open once more and the rest is not."""
        refused = intersection(again, self.refused)
        account = self.account
        book = self._with(
            cumulative=cumulative,
            acked=account.acked - count(again) + count(refused),
            quarantined=account.quarantined - count(refused),
        )
        return msgspec.structs.replace(
            book,
            done=difference(difference(self.settled, again), ((1, cumulative),)),
            refused=difference(self.refused, again),
        )

    def kept(self, size: int) -> "LaneBook":
        """After a block of `size` bytes had its last record settled; a negative size takes that back."""
        return self._with(bytes=max(0, self.account.bytes - size), kept_bytes=max(0, self.account.kept_bytes + size))

    def deleted(self, first: int, last: int, size: int, *, was_kept: bool) -> "LaneBook":
        """After a block has gone."""
        held, kept = (0, size) if was_kept else (size, 0)
        book = self._with(bytes=max(0, self.account.bytes - held), kept_bytes=max(0, self.account.kept_bytes - kept))
        return msgspec.structs.replace(book, refused=difference(self.refused, ((first, last),))) if self.refused else book

    def _with(self, **fields: int) -> "LaneBook":
        return msgspec.structs.replace(self, account=msgspec.structs.replace(self.account, **fields))
