"""Whatever is committed, acknowledged, forgotten by the cloud or without room: each number is in one place, always."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from edge_agent_parts import T0, readings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outbox_parts import EVENTS, READINGS, ack, assert_accounts, held, losses, numbers, open_, result

from edge_agent.outbox.spans import Spans, count, covers, difference, first_outside, intersection, union
from edge_agent.outbox.store import Store
from telemetry.reason import Reason
from telemetry.records import Lane, LossRecord

SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60))).map(
    lambda pairs: union(tuple((min(pair), max(pair)) for pair in pairs))
)


def members(spans: Spans) -> set[int]:
    return {number for low, high in spans for number in range(low, high + 1)}


@given(SPANS, SPANS, st.integers(1, 61))
def test_ranges_behave_like_sets(these: Spans, those: Spans, number: int) -> None:
    assert members(union(these, those)) == members(these) | members(those)
    assert members(difference(these, those)) == members(these) - members(those)
    assert members(intersection(these, those)) == members(these) & members(those)
    assert count(these) == len(members(these))
    assert covers(these, number, number + 3) == (set(range(number, number + 4)) <= members(these))
    assert first_outside(these, number) == next(n for n in range(number, 100) if n not in members(these))
    assert all(low[1] + 1 < high[0] for low, high in zip(union(these, those), union(these, those)[1:], strict=False))


class Model:
    """The same lane as a dictionary: what a person would count by hand."""

    def __init__(self) -> None:
        self.fates: dict[int, str] = {}
        self.cumulative = 0

    def number(self, many: int) -> None:
        self.fates |= dict.fromkeys(range(len(self.fates) + 1, len(self.fates) + 1 + many), "held")

    def settle(self, seqs: range | list[int], fate: str) -> None:
        self.fates |= {seq: fate for seq in seqs if self.fates.get(seq) == "held"}

    def rewind(self, cumulative: int) -> None:
        self.cumulative = min(self.cumulative, cumulative)
        self.fates |= {seq: "held" for seq, fate in self.fates.items() if seq > cumulative and fate != "lost"}

    def count(self, fate: str) -> int:
        return sum(each == fate for each in self.fates.values())


STEP = st.tuples(st.sampled_from(["commit", "ack", "ack", "rewind", "open"]), *[st.integers(0, 100)] * 5)


def play(
    steps: list[tuple[str, int, int, int, int, int]], open_store: Callable[[], Store], after: Callable[[Store, Model], None]
) -> None:
    """Do the steps with a store and with the model, and compare after each."""
    store, model = open_store(), Model()
    try:
        for what, a, b, c, d, e in steps:
            end = len(model.fates)
            if what == "commit":
                store.commit(readings(1 + a % 30), [result(str(n)) for n in range(b % 3)], {}, T0)
                model.number(1 + a % 30)
            elif what == "ack" and end:
                cumulative, low, high = end * a // 101, *sorted((1 + end * b // 101, 1 + end * c // 101))
                bad = [1 + end * each // 101 for each in (d, e)]
                quarantined = [(seq, Reason.INVALID) for seq in bad]
                ack(store, cumulative=cumulative, ranges=[(low, high)], quarantined=quarantined)
                model.settle(bad, "quarantined")
                model.settle(range(low, high + 1), "acked")
                model.settle(range(1, cumulative + 1), "acked")
                model.cumulative = max(model.cumulative, cumulative)
            elif what == "rewind":
                store.rewind(READINGS, end * a // 101, T0)
                model.rewind(end * a // 101)
            elif what == "open":
                store.close()
                store = open_store()
            after(store, model)
    finally:
        store.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=25))
def test_the_account_is_the_one_that_a_person_would_keep_by_hand(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("outbox")

    def compare(store: Store, model: Model) -> None:
        account = store.lanes[READINGS]
        assert account.cumulative == model.cumulative
        assert (account.acked, account.quarantined, account.lost) == (model.count("acked"), model.count("quarantined"), 0)
        assert set(held(store, READINGS)) == {seq for seq, fate in model.fates.items() if fate == "held"}
        assert_accounts(store)

    play(steps, lambda: open_(folder), compare)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=40), st.sampled_from([0, 500, 3000]))
def test_without_room_every_record_is_acked_quarantined_lost_or_held(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int, int, int]], keep_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("outbox")
    declared: dict[tuple[int, int], LossRecord] = {}

    def compare(store: Store, _: Model) -> None:
        assert_accounts(store)
        assert sum(account.bytes + account.kept_bytes for account in store.lanes.values()) <= 4000 + 700
        declared.update(((loss.seq_from, loss.seq_to), loss) for loss in losses(store) if loss.reason is not Reason.MISSING)
        lost = members(numbers(list(declared.values())))
        assert not lost & set(held(store, READINGS))

    play(steps, lambda: open_(folder, 4000, keep_bytes=keep_bytes, events_max_bytes=1000), compare)


def test_an_acknowledgement_of_a_part_of_a_block_counts_at_once_and_is_remembered(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        store.commit(readings(1000), [], {}, T0)
        ack(store, cumulative=499, ranges=[(600, 700), (702, 999)])
        assert store.lanes[READINGS].acked == 499 + 101 + 298
    with closing(open_(tmp_path)) as store:
        block = store.next_block(READINGS, 499, T0)
        assert block is not None
        assert (block.first_seq, block.last_seq, block.open) == (1, 500, ((500, 500),))
        assert sorted(held(store, READINGS)) == [*range(500, 600), 701, 1000]
        ack(store, cumulative=1000)
        assert store.next_block(READINGS, 0, T0) is None
        assert_accounts(store)


@pytest.mark.parametrize("lane", list(Lane))
def test_a_cloud_that_went_back_is_given_again_what_is_kept_in_the_same_bytes(tmp_path: Path, lane: Lane) -> None:
    with closing(open_(tmp_path)) as store:
        for n in range(10):
            store.commit(readings(10, first=10 * n), [result(f"{n}-{k}") for k in range(10)], {}, T0)
        before = {after: store.next_block(lane, after, T0) for after in range(0, 100, 10)}
        ack(store, lane, cumulative=80, quarantined=[(33, Reason.INVALID)])
        assert store.lanes[lane].kept_bytes > 0
        assert store.spans()[lane].first_kept == 1
        store.rewind(lane, 25, T0)
    with closing(open_(tmp_path)) as store:
        account = store.lanes[lane]
        assert (account.cumulative, account.acked, account.quarantined, account.depth) == (25, 25, 0, 75)
        assert set(held(store, lane)) == set(range(26, 101))
        for after in range(30, 100, 10):
            assert store.next_block(lane, after, T0) == before[after]
        assert_accounts(store)


def test_what_was_trimmed_stays_settled_when_the_cloud_goes_back(tmp_path: Path) -> None:
    with closing(open_(tmp_path, keep_bytes=1500)) as store:
        for n in range(10):
            store.commit(readings(10, first=10 * n), [], {}, T0)
        ack(store, cumulative=100)
        first_kept = store.spans()[READINGS].first_kept
        assert 1 < first_kept < 100
        store.rewind(READINGS, 0, T0)
        account = store.lanes[READINGS]
        assert (account.acked, account.depth) == (first_kept - 1, 101 - first_kept)
        assert set(held(store, READINGS)) == set(range(first_kept, 101))
        assert losses(store) == []


def test_a_hole_between_kept_blocks_is_declared_again_to_a_cloud_that_went_back(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        for n in range(5):
            store.commit(readings(10, first=10 * n), [], {}, T0)
        store._db.execute("UPDATE block SET payload = zeroblob(bytes) WHERE last_seq = 30")
        assert set(held(store, READINGS)) == {*range(1, 21), *range(31, 51)}
        ack(store, EVENTS, cumulative=1)
        ack(store, cumulative=50)
        store.rewind(READINGS, 0, T0)
        (loss,) = losses(store)
        assert (loss.seq_from, loss.seq_to, loss.reason) == (21, 30, Reason.MISSING)
        assert store.lanes[READINGS].lost == 10
        assert_accounts(store)


def test_what_was_trimmed_between_held_blocks_is_declared_to_a_cloud_that_forgot_it(
    tmp_path: Path,
) -> None:
    with closing(open_(tmp_path, keep_bytes=0)) as store:
        for n in range(5):
            store.commit(readings(10, first=10 * n), [], {}, T0)
        ack(store, cumulative=0, ranges=[(11, 20), (31, 40)])
        assert set(held(store, READINGS)) == {*range(1, 11), *range(21, 31), *range(41, 51)}
        store.rewind(READINGS, 0, T0, ((31, 40),))
        (loss,) = losses(store)
        assert (loss.seq_from, loss.seq_to, loss.reason) == (11, 20, Reason.MISSING)
        assert store.lanes[READINGS].depth == 30
        assert_accounts(store)


def test_the_fingerprints_around_the_first_open_record_outlive_the_blocks_they_are_of(tmp_path: Path) -> None:
    from telemetry.wire import digest

    with closing(open_(tmp_path, keep_bytes=0)) as store:
        for n in range(30):
            store.commit(readings(10, first=10 * n), [], {}, T0)
        blocks = {block.first_seq: block for block in store.next_blocks(READINGS, 0, 1 << 20, T0)}
        ack(store, cumulative=100)
    with closing(open_(tmp_path, keep_bytes=0)) as store:
        span = store.spans()[READINGS]
        assert (span.first_unacked, span.next_seq, span.first_kept) == (101, 301, 0)
        assert [each.first_seq for each in span.digests] == [91, *range(101, 180, 10)]
        assert all(each.digest == digest(blocks[each.first_seq].payload) for each in span.digests)
