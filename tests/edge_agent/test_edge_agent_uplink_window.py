"""The sender's book of a lane: what is settled, what goes next, what goes again; and the sets of numbers under it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.uplink.ranges import Ranges, first_gap
from edge_agent.uplink.window import LaneWindow
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Ack

SECOND = SECOND_NS
Spans = list[tuple[int, int]]


def ack(
    cumulative: int, *, credit: int = 100, server_ns: int = 0, ranges: Spans | None = None, quarantined: tuple[int, ...] = ()
) -> Ack:
    return Ack(
        gateway="g",
        epoch="e",
        lane=Lane.READINGS,
        cumulative=cumulative,
        credit=credit,
        server_ns=server_ns,
        ranges=ranges or [],
        quarantined=[(seq, Reason.STORE_REFUSED) for seq in quarantined],
    )


def welcomed(*, credit: int = 100, next_seq: int = 1, cumulative: int = 0, ranges: Spans | None = None) -> LaneWindow:
    window = LaneWindow(10.0)
    window.restart(0)
    answer = ack(cumulative, credit=credit, ranges=ranges)
    window.on_ack(answer, 0)
    window.on_welcome(answer, next_seq, next_seq - 1 - cumulative, 0)
    return window


def send(window: LaneWindow, first: int, last: int, at_ns: int = 0) -> None:
    """Put a batch on the link; the broker has it at once."""
    window.on_sent(first, last)
    window.on_landed(first, last, at_ns)


# Credit.


def test_nothing_is_sent_before_the_cloud_has_answered() -> None:
    window = LaneWindow(10.0)
    window.on_ack(ack(0), 0)
    assert not window.may_send(1)
    window.on_welcome(ack(0), 1, 0, 0)
    assert window.may_send(100)


def test_the_credit_counts_what_is_under_way_wherever_it_lies() -> None:
    window = welcomed(credit=100)
    send(window, 1, 40)
    send(window, 1001, 1020)
    assert window.may_send(40)
    assert not window.may_send(41)
    window.on_ack(ack(0, ranges=[(1001, 1020)]), 0)
    assert window.may_send(60)
    assert not window.may_send(61)


def test_a_batch_larger_than_the_credit_goes_alone() -> None:
    window = welcomed(credit=100)
    assert window.may_send(500)
    send(window, 1, 500)
    assert not window.may_send(1)


def test_without_credit_nothing_goes_and_the_cloud_is_asked_when_patience_ends() -> None:
    window = welcomed(credit=0)
    assert not window.may_send(1)
    assert not window.should_ask(9 * SECOND)
    assert window.should_ask(10 * SECOND)
    assert not window.should_ask(19 * SECOND)


# What comes back.


def test_acknowledgements_out_of_order_take_nothing_back() -> None:
    window = welcomed()
    send(window, 1, 60)
    window.on_ack(ack(40, credit=7, server_ns=2, ranges=[(51, 60)]), 0)
    window.on_ack(ack(10, credit=90, server_ns=1), 0)
    assert (window.cumulative, list(window.settled), window.credit) == (40, [(51, 60)], 7)


def test_settled_records_are_not_sent_again() -> None:
    window = welcomed()
    window.on_ack(ack(10, ranges=[(21, 30)], quarantined=(35,)), 0)
    assert window.run(1, 100) == (11, 20)
    assert window.run(21, 100) == (31, 34)
    assert window.run(35, 100) == (36, 100)


def test_a_lost_record_that_the_outbox_does_not_hold_is_passed_over() -> None:
    window = welcomed()
    window.on_absent(1, 50)
    assert window.run(1, 100) == (51, 100)
    window.restart(0)
    assert window.run(1, 100) == (1, 100)


# What does not come back.


def test_where_nothing_moves_the_oldest_batch_goes_alone() -> None:
    window = welcomed()
    for first in (1, 11, 21):
        send(window, first, first + 9, SECOND)
    assert window.retransmit(10 * SECOND) == 0
    assert window.retransmit(11 * SECOND) == 1
    assert window.run(1, 30) == (1, 10)
    assert window.should_ask(11 * SECOND)


def test_the_oldest_batch_goes_however_many_wait_and_its_answer_lets_all_of_them_go() -> None:
    window = welcomed(credit=1000)
    sent = 0
    while window.may_send(1):
        sent += 1
        send(window, sent, sent, SECOND)
    assert sent == 64
    for number in range(1, 6):  # by now far fewer batches may wait than do
        again_ns = (1 + 10 * number) * SECOND
        assert window.retransmit(again_ns) == 1
        assert window.may_send(1)
        assert window.run(1, sent) == (number, number)
        send(window, number, number, again_ns)
        assert not window.may_send(1)
    window.on_ack(ack(1, credit=1000, server_ns=1), 52 * SECOND)
    assert window.retransmit(52 * SECOND) == sent - 5
    assert window.run(1, sent) == (6, sent)


def test_what_a_later_batch_overtook_goes_again_when_patience_ends() -> None:
    window = welcomed()
    for first in (1, 11, 21, 31):
        send(window, first, first + 9, SECOND)
    window.on_ack(ack(10, ranges=[(31, 40)]), 10 * SECOND)
    assert window.retransmit(10 * SECOND) == 0
    assert window.retransmit(11 * SECOND) == 2
    assert window.run(1, 40) == (11, 30)


def test_what_the_broker_does_not_have_yet_is_not_sent_again() -> None:
    window = welcomed()
    window.on_sent(1, 10)
    assert window.retransmit(1000 * SECOND) == 0
    window.on_landed(1, 10, 1000 * SECOND)
    assert window.retransmit(1009 * SECOND) == 0
    assert window.retransmit(1010 * SECOND) == 1


def test_progress_restarts_the_patience() -> None:
    window = welcomed()
    send(window, 1, 20)
    send(window, 21, 50)
    window.on_ack(ack(20), 8 * SECOND)
    assert not window.retransmit(17 * SECOND)
    window.on_ack(ack(20), 17 * SECOND)
    assert window.retransmit(18 * SECOND)


def test_an_idle_lane_asks_for_nothing() -> None:
    window = welcomed()
    assert not window.should_ask(10_000 * SECOND)
    assert not window.retransmit(10_000 * SECOND)


# Where history ends.


def test_a_long_backlog_is_history_up_to_the_welcome() -> None:
    assert welcomed(next_seq=50_001).live_from == 50_001


def test_a_short_backlog_goes_in_its_order() -> None:
    assert welcomed(next_seq=1001).live_from == 0


def test_with_many_gaps_the_present_begins_at_the_highest_range() -> None:
    ranges = [(n * 100, n * 100 + 9) for n in range(1, 65)]
    assert welcomed(next_seq=50_001, ranges=ranges).live_from == 6410
    assert welcomed(next_seq=50_001, ranges=ranges[:-1]).live_from == 50_001


# A batch that the cloud cannot take.


def test_a_refused_batch_goes_again_in_halves() -> None:
    window = welcomed(credit=1000)
    send(window, 1, 500)
    assert window.on_refused(1, 500)
    assert window.run(1, 500) == (1, 250)
    send(window, 1, 250)
    assert window.run(1, 500) == (251, 500)
    assert not window.on_refused(1, 500), "said twice"


def test_what_is_known_of_halves_is_forgotten_when_they_are_settled() -> None:
    window = welcomed(credit=1000)
    send(window, 1, 500)
    window.on_refused(1, 500)
    send(window, 251, 500)
    window.on_refused(251, 500)
    assert window._cuts == [250, 375]
    window.on_ack(ack(250, ranges=[(376, 500)]), 0)
    assert window._cuts == []


def test_a_single_record_has_no_halves() -> None:
    window = welcomed()
    send(window, 7, 7)
    assert not window.on_refused(7, 7)
    assert window.in_flight == 1


# A cloud that knows less than before.


def test_only_a_newer_answer_can_say_that_the_cloud_forgot() -> None:
    window = welcomed()
    window.on_ack(ack(40, server_ns=5), 0)
    assert not window.forgotten(ack(10, server_ns=4), 40, 40)
    assert window.forgotten(ack(10, server_ns=6), 40, 40)
    assert not window.forgotten(ack(40, server_ns=6), 40, 40)


@pytest.mark.parametrize(
    ("answer", "cumulative", "done"),
    [
        pytest.param(ack(40), 40, 60, id="a range is missing"),
        pytest.param(ack(40, ranges=[(51, 60)]), 45, 50, id="the outbox has heard more in an earlier life"),
        pytest.param(ack(40, ranges=[(51, 60)]), 40, 51, id="the outbox has let go of more in an earlier life"),
    ],
)
def test_what_else_shows_that_the_cloud_forgot(answer: Ack, cumulative: int, done: int) -> None:
    window = welcomed()
    window.on_ack(ack(40, ranges=[(51, 60)]), 0)
    assert not window.forgotten(ack(40, ranges=[(51, 60)]), 40, 50)
    assert window.forgotten(answer, cumulative, done)


def test_after_going_back_an_older_word_is_not_believed() -> None:
    window = welcomed()
    window.on_ack(ack(40, server_ns=5), 0)
    window.rewind(ack(10, server_ns=6))
    assert not window.believes(ack(40, server_ns=5))
    assert window.believes(ack(12, server_ns=7))
    assert window.run(1, 50) == (11, 50)


def test_a_word_that_goes_back_makes_the_lane_ask_but_not_believe() -> None:
    window = welcomed()
    window.on_ack(ack(40, server_ns=5), 0)
    window.on_ack(ack(10, server_ns=6), 11 * SECOND)
    assert window.cumulative == 40
    assert window.should_ask(11 * SECOND)
    assert not window.should_ask(11 * SECOND)


# Whatever comes in whatever order.


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_of_true_words_leaves_the_same_book_and_nothing_settled_goes_again(data: st.DataObject) -> None:
    """The words of a cloud that stores batches in any order, doubled, lost and shuffled: the book never goes back, and
    once the last word is heard it holds what the cloud holds."""
    batches = [(first, first + 9) for first in range(1, 200, 10)]
    done = Ranges()
    words = []
    for number, (first, last) in enumerate(data.draw(st.permutations(batches)), 1):
        done.add(first, last)
        cumulative = (done.around(1) or (1, 0))[1]
        words.append(ack(cumulative, server_ns=number, ranges=[span for span in done if span[0] > cumulative]))
    heard = data.draw(st.lists(st.sampled_from(words), max_size=30))
    window = welcomed(credit=1000)
    for first, last in batches:
        send(window, first, last)
    before = 0
    for number, word in enumerate(heard):
        window.on_ack(word, number)
        settled = window.cumulative + sum(high - low + 1 for low, high in window.settled)
        assert settled >= before
        before = settled
        assert window.in_flight == 200 - settled
        assert window.run(1, 200) is None
    window.on_ack(words[-1], 99)
    assert (window.cumulative, len(window.settled), window.in_flight) == (200, 0, 0)


spans = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), spans), max_size=30), spans)
def test_ranges_hold_what_a_set_would(steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    ranges, model = Ranges(), set[int]()
    for put_in, (low, high) in steps:
        numbers = set(range(low, high + 1))
        if put_in:
            assert ranges.add(low, high) == len(numbers - model)
            model |= numbers
        else:
            ranges.remove(low, high)
            model -= numbers
    assert {seq for low, high in ranges for seq in range(low, high + 1)} == model
    assert all(later[0] > earlier[1] + 1 for earlier, later in zip(list(ranges), list(ranges)[1:], strict=False))
    low, high = asked
    assert ranges.covers(low, high) == (set(range(low, high + 1)) <= model)
    free = [seq for seq in range(low, high + 1) if seq not in model]
    gap = first_gap(low, high, ranges)
    assert (gap is None) == (not free)
    if gap is not None:
        assert gap[0] == free[0]
        assert set(range(gap[0], gap[1] + 1)) <= set(free)
        assert gap[1] == high or gap[1] + 1 in model
