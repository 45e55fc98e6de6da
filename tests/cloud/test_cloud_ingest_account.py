"""The account of a lane: whatever comes, in whatever order and however often, every record is in exactly one of its columns."""

import pytest
from cloud_records import T0, S, batch, reading
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.ingest.account import MOST_RANGES, LaneAccount
from cloud.ingest.decode import Delivery
from cloud.ingest.draft import Draft
from cloud.ingest.lanes import Ledger
from telemetry.reason import Reason
from telemetry.records import Lane, LossRecord
from telemetry.wire import EventsBatch, ReadingsBatch, digest, encode

KEY = ("gw-1", "e1", Lane.READINGS)
EVENTS = ("gw-1", "e1", Lane.EVENTS)
KNOWN = {"cover-1"}


def delivered(message: ReadingsBatch | EventsBatch) -> Delivery:
    return Delivery(message, digest(encode(message)))


def readings(first: int, count: int) -> Delivery:
    """Every seventh record is a stranger's, and will be quarantined."""
    seqs = range(first, first + count)
    return delivered(
        batch(*(reading("ghost" if seq % 7 == 0 else "cover-1", at_ns=T0 + seq * S) for seq in seqs), first_seq=first)
    )


def loss(first: int, last: int, reason: Reason = Reason.OUTBOX_FULL, *, open_end: bool = False) -> LossRecord:
    return LossRecord(
        lane=Lane.READINGS,
        epoch="e1",
        seq_from=first,
        seq_to=last,
        bytes=100 * (last - first + 1),
        time_from_ns=T0,
        time_to_ns=T0 + S,
        reason=reason,
        open_end=open_end,
    )


class Books:
    """A ledger that keeps each draft at once, and a model of it: what became of each record first."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.ledger.keep([LaneAccount(KEY), LaneAccount(EVENTS)])
        self.model: dict[int, str] = {}
        self.rows: list[tuple[int, int]] = []
        self.events = 0

    @property
    def account(self) -> LaneAccount:
        return self.ledger.draft(KEY)

    def say(self, *said: Delivery | LossRecord) -> Draft:
        draft = Draft(self.ledger, T0)
        for each in said:
            if isinstance(each, LossRecord):
                self._lose(draft, each)
            else:
                draft.take(each, KNOWN)
                for seq in range(each.batch.first_seq, each.last_seq + 1):
                    self.model.setdefault(seq, "quarantined" if seq % 7 == 0 else "stored")
        self.ledger.keep(draft.accounts.values())
        self.rows += [part for lost in draft.losses for part in lost.parts]
        return draft

    def _lose(self, draft: Draft, said: LossRecord) -> None:
        self.events += 1
        draft.take(delivered(EventsBatch(gateway="gw-1", epoch="e1", first_seq=self.events, events=[said])), KNOWN)
        last = max(said.seq_to, max(self.model, default=0)) if said.open_end else said.seq_to
        for seq in range(said.seq_from, last + 1):
            self.model.setdefault(seq, "moved" if said.reason is Reason.RENUMBERED else "lost")

    def check(self) -> None:
        account = self.account
        done = account.watermark + sum(high - low + 1 for low, high in account.ranges)
        assert account.stored + account.quarantined + account.lost + account.moved == done == len(self.model)
        found = {word: list(self.model.values()).count(word) for word in ("stored", "quarantined", "lost", "moved")}
        assert found == {word: getattr(account, word) for word in found}
        covered = {*range(1, account.watermark + 1), *(seq for low, high in account.ranges for seq in range(low, high + 1))}
        assert covered == self.model.keys()
        in_rows = [seq for low, high in self.rows for seq in range(low, high + 1)]
        assert sorted(in_rows) == sorted(seq for seq, word in self.model.items() if word in {"lost", "moved"})


_first = st.integers(1, 60)
_count = st.integers(1, 12)
_said = st.one_of(
    st.builds(readings, _first, _count),
    st.builds(
        lambda first, count, reason, open_end: loss(first, first + count - 1, reason, open_end=open_end),
        _first,
        _count,
        st.sampled_from([Reason.OUTBOX_FULL, Reason.CORRUPT, Reason.RENUMBERED]),
        st.booleans(),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(_said, min_size=1, max_size=4), max_size=20))
def test_every_record_is_in_exactly_one_column_whatever_comes(groups: list[list[Delivery | LossRecord]]) -> None:
    books = Books()
    for group in groups:
        books.say(*group)
        books.check()
    for group in groups:  # and all of it comes again
        books.say(*(each for each in group if isinstance(each, Delivery)))
        books.check()


def test_what_is_stored_stays_stored_though_it_is_declared_lost() -> None:
    books = Books()
    books.say(readings(1, 3), loss(2, 9))
    assert books.rows == [(4, 9)]
    books.check()


def test_what_moved_to_a_later_epoch_is_not_lost() -> None:
    books = Books()
    books.say(readings(1, 3), loss(1, 6, Reason.RENUMBERED))
    assert (books.account.stored, books.account.moved, books.account.lost) == (3, 3, 0)


def test_an_open_end_reaches_up_to_the_highest_number_known() -> None:
    books = Books()
    books.say(readings(1, 3), readings(8, 3), loss(4, 4, Reason.CORRUPT, open_end=True))
    assert (books.account.watermark, books.account.lost) == (10, 4)
    assert books.rows == [(4, 7)]


def altering(first: int, value: float) -> Delivery:
    return delivered(batch(reading(values={"level_cm": value}), first_seq=first))


def test_the_same_records_with_other_content_are_fenced_and_change_nothing() -> None:
    books = Books()
    books.say(altering(1, 1.0))
    assert books.say(altering(1, 1.0)).fenced == {}
    draft = books.say(altering(1, 2.0))
    assert draft.fenced == {KEY: Reason.ALTERED}
    assert draft.batches == []
    assert books.account.stored == 1


def test_fingerprints_of_the_latest_thirty_two_batches_are_kept() -> None:
    books = Books()
    for first in range(1, 41):
        books.say(altering(first, 1.0))
    assert list(books.account.digests) == [(first, first) for first in range(9, 41)]
    assert books.say(altering(8, 2.0)).fenced == {}


@pytest.mark.parametrize(
    ("first", "last", "taken"),
    [
        pytest.param(10_000, 10_000, False, id="an island more is not taken"),
        pytest.param(1, 1, True, id="what the watermark waits for is"),
        pytest.param(5, 5, True, id="what closes a gap is"),
        pytest.param(2 * MOST_RANGES + 2, 9_000, True, id="what makes the highest one longer is"),
        pytest.param(10, 700, True, id="what swallows many is"),
    ],
)
def test_a_full_window_takes_what_makes_no_island_more(first: int, last: int, taken: bool) -> None:
    account = LaneAccount(KEY)
    for seq in range(3, 2 * MOST_RANGES + 3, 2):
        account.mark(seq, seq)
    assert len(account.ranges) == MOST_RANGES
    assert account.takes(first, last) is taken
    account.mark(first, last)
    assert (len(account.ranges) <= MOST_RANGES) is taken


def test_an_acknowledgement_has_the_lowest_and_the_highest_ranges_where_losses_made_too_many() -> None:
    account = LaneAccount(KEY)
    for seq in range(3, 4 * MOST_RANGES, 2):
        account.mark(seq, seq)
    told = account.ack(T0, 0).ranges
    assert len(told) == MOST_RANGES
    assert (told[0], told[-1]) == (account.ranges[0], account.ranges[-1])
