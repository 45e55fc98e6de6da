"""How the link is shared, how much may be on it, and how a batch is cut to it: without any link."""

import itertools

import pytest
from edge_agent_parts import readings

from edge_agent.outbox.outbox import Block
from edge_agent.uplink.compression import decompress
from edge_agent.uplink.cut import cut
from edge_agent.uplink.pace import Pace
from edge_agent.uplink.share import Shares, Source
from telemetry.clock import SECOND_NS
from telemetry.records import Lane
from telemetry.wire import decode_readings, digest, encode, group_readings, uncompressed

SECOND = SECOND_NS
ALL = frozenset(Source)


def drain(shares: Shares, ready: frozenset[Source], turns: int, size: int = 1000) -> dict[Source, int]:
    """Bytes sent of each source while those in `ready` always have something."""
    sent = dict.fromkeys(Source, 0)
    for _ in range(turns):
        source = next(source for source in shares.order() if source in ready)
        shares.served(source, size)
        sent[source] += size
    return sent


# Shares.


def test_while_all_want_the_link_it_is_shared_as_promised() -> None:
    assert drain(Shares(), ALL, 1000) == {Source.EVENTS: 500_000, Source.LIVE: 300_000, Source.HISTORY: 200_000}


@pytest.mark.parametrize(
    ("ready", "shares"),
    [
        pytest.param({Source.LIVE, Source.HISTORY}, {Source.LIVE: 0.6, Source.HISTORY: 0.4}, id="without alarms"),
        pytest.param({Source.EVENTS, Source.HISTORY}, {Source.EVENTS: 5 / 7, Source.HISTORY: 2 / 7}, id="without new readings"),
        pytest.param({Source.HISTORY}, {Source.HISTORY: 1.0}, id="history alone"),
    ],
)
def test_what_one_does_not_use_is_the_others(ready: set[Source], shares: dict[Source, float]) -> None:
    sent = drain(Shares(), frozenset(ready), 1000)
    assert {source: sent[source] / 1_000_000 for source in ready} == pytest.approx(shares, abs=0.002)


def test_an_alarm_after_a_silence_is_next_whatever_was_sent_meanwhile() -> None:
    shares = Shares()
    drain(shares, frozenset({Source.LIVE, Source.HISTORY}), 1000)
    assert shares.order()[0] is Source.EVENTS


def test_silence_saves_nothing_up() -> None:
    shares = Shares()
    drain(shares, frozenset({Source.HISTORY}), 1000)
    sent = drain(shares, frozenset({Source.LIVE, Source.HISTORY}), 100)
    assert sent[Source.HISTORY] >= 38_000


def test_small_batches_weigh_what_they_weigh() -> None:
    shares, sent = Shares(), dict.fromkeys(Source, 0)
    for _ in range(3000):
        source = next(source for source in shares.order() if source is not Source.EVENTS)
        size = 100 if source is Source.LIVE else 4000
        shares.served(source, size)
        sent[source] += size
    assert sent[Source.LIVE] / sum(sent.values()) == pytest.approx(0.6, abs=0.02)


# Pace.


class Pipe:
    """A link in order: so many bytes a second, and a fixed time for the way there and back."""

    def __init__(self, pace: Pace, bytes_s: float, way_s: float = 0.1) -> None:
        self.pace = pace
        self.bytes_s = bytes_s
        self.way_s = way_s
        self.free_s = 0.0
        self.steps = itertools.count()
        self.waiting: list[tuple[float, int, int]] = []
        self.longest_s = 0.0
        self.sent = 0

    def run(self, seconds: int) -> None:
        """Send as much as `pace` lets go, in steps of 10 ms."""
        for step in itertools.islice(self.steps, 100 * seconds):
            now_s = step / 100
            while self.waiting and self.waiting[0][0] <= now_s:
                at_s, size, sent_ns = self.waiting.pop(0)
                self.pace.on_puback(size, sent_ns, round(at_s * SECOND))
            while self.pace.wait_ns(round(now_s * SECOND)) == 0:
                self.send(self.pace.chunk, now_s)

    def send(self, size: int, now_s: float) -> None:
        self.free_s = max(self.free_s, now_s) + size / self.bytes_s
        self.longest_s = max(self.longest_s, self.free_s - now_s)
        self.waiting.append((self.free_s + self.way_s, size, round(now_s * SECOND)))
        self.pace.on_sent(size, round(now_s * SECOND))
        self.sent += size


@pytest.mark.parametrize("bytes_s", [4_000, 8_000, 64_000, 1_000_000])
def test_a_link_of_any_width_is_filled_without_a_long_queue(bytes_s: int) -> None:
    pipe = Pipe(Pace(), bytes_s)
    pipe.run(60)
    began, pipe.longest_s = pipe.sent, 0.0
    pipe.run(60)
    assert (pipe.sent - began) / 60 >= 0.9 * bytes_s
    assert pipe.longest_s <= 3


def test_a_configured_rate_is_not_exceeded() -> None:
    pipe = Pipe(Pace(64_000), 1_000_000)
    pipe.run(60)
    assert pipe.sent <= 61 * 8000
    assert pipe.sent >= 0.9 * 60 * 8000
    assert pipe.pace.chunk <= 8000


def test_what_is_under_way_is_bounded_in_bytes_messages_and_memory() -> None:
    pace = Pace()
    pace.on_sent(100, 0, memory=600 * 1024)
    assert pace.wait_ns(0) is None
    pace.on_puback(100, 0, 1, memory=600 * 1024)
    assert pace.wait_ns(1) == 0
    for _ in range(16):
        pace.on_sent(10, 1)
    assert pace.wait_ns(1) is None


def test_silence_is_measured_only_while_something_waits() -> None:
    pace = Pace()
    assert pace.silent_ns(100 * SECOND) == 0
    pace.on_sent(10, 100 * SECOND)
    pace.on_sent(10, 101 * SECOND)
    assert pace.silent_ns(105 * SECOND) == 5 * SECOND
    pace.on_puback(10, 100 * SECOND, 106 * SECOND)
    assert pace.silent_ns(107 * SECOND) == SECOND
    pace.on_puback(10, 101 * SECOND, 108 * SECOND)
    assert pace.silent_ns(200 * SECOND) == 0


# Cuts.


def block(count: int = 500, first: int = 1001) -> Block:
    payload = encode(group_readings("g", "e", first, readings(count)))
    return Block(lane=Lane.READINGS, first_seq=first, last_seq=first + count - 1, payload=payload)


def test_a_block_that_fits_goes_as_it_is_stored() -> None:
    whole = block()
    piece = cut(whole, 1001, 1500, 1 << 20)
    assert piece.whole
    assert uncompressed(piece.payload, decompress) == whole.payload


@pytest.mark.parametrize("most", [1, 300, 1000, 4000])
def test_the_parts_of_a_block_are_together_the_block_and_each_fits(most: int) -> None:
    whole, seq = block(), 1001
    held = {}
    while seq <= 1500:
        piece = cut(whole, seq, 1500, most)
        assert piece.first_seq == seq
        assert len(piece.payload) <= most or piece.count == 1
        batch = decode_readings(piece.payload, decompress)
        assert (batch.first_seq, batch.count) == (seq, piece.count)
        held |= {seq + offset: row for group in batch.groups for offset, row in group.readings()}
        seq = piece.last_seq + 1
    assert [held[seq] for seq in sorted(held)] == readings(500)


def test_a_part_that_goes_again_has_the_same_lines_and_the_same_bytes() -> None:
    whole = block()
    coarse, fine = cut(whole, 1001, 1500, 4000), cut(whole, 1001, 1500, 1000)
    again = cut(whole, 1001, coarse.last_seq, 1 << 20)
    assert digest(again.payload) == digest(coarse.payload)
    ends = set()
    seq = 1001
    while seq <= 1500:
        piece = cut(whole, seq, 1500, 1000)
        ends.add(piece.last_seq)
        seq = piece.last_seq + 1
    assert coarse.last_seq in ends
    assert fine.last_seq in ends
