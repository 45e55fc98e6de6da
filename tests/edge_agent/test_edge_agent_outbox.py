"""The outbox: nothing committed is lost, everything numbered is accounted for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from edge_agent_parts import T0, reading, readings

from edge_agent.config import OutboxLimits
from edge_agent.outbox.inspect import inspect
from edge_agent.outbox.outbox import Outbox, OutboxError
from edge_agent.outbox.salvage import open_store
from edge_agent.outbox.store import MAX_BLOCK_BYTES, Store
from edge_agent.uplink.compression import compress_message, decompress
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import CommandResult, Event, Lane, LossRecord, Outcome, Reading
from telemetry.wire import Ack, decode_events, decode_readings

MANY = 1 << 30


def result(name: str) -> CommandResult:
    return CommandResult(id=name, device="d1", outcome=Outcome.DONE, time_ns=T0)


def open_(folder: Path, max_bytes: int = MANY) -> Store:
    return open_store(folder, "gw1", OutboxLimits(max_bytes=max_bytes), T0)


def ack(store: Store, lane: Lane = Lane.READINGS, **fields: object) -> None:
    store.ack(Ack(gateway="gw1", epoch=store.epoch, lane=lane, **{"cumulative": 0, **fields}))  # type: ignore[arg-type]


def held(store: Store, lane: Lane) -> dict[int, Reading | Event]:
    """Every record that is still open, by number."""
    found: dict[int, Reading | Event] = {}
    after = 0
    while (block := store.next_block(lane, after, T0)) is not None:
        open_numbers = {seq for low, high in block.open for seq in range(low, high + 1)}
        if lane is Lane.EVENTS:
            events = decode_events(block.payload, decompress)
            found |= {seq: event for seq, event in enumerate(events.events, events.first_seq) if seq in open_numbers}
        else:
            batch = decode_readings(block.payload, decompress)
            rows = {batch.first_seq + offset: row for group in batch.groups for offset, row in group.readings()}
            found |= {seq: rows[seq] for seq in open_numbers}
        after = block.last_seq
    return found


def assert_accounts(store: Store) -> None:
    for lane, account in store.lanes.items():
        assert account.depth == len(held(store, lane))
        assert min(account.acked, account.quarantined, account.lost, account.bytes) >= 0
        assert account.acked + account.quarantined + account.lost + account.depth == account.next_seq - 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_(tmp_path)) as store:
        yield store


def test_records_are_numbered_from_one_and_come_back_as_they_were(store: Store) -> None:
    said = readings(1203)
    store.commit(said, [result("a"), result("b")], {}, T0)
    assert held(store, Lane.READINGS) == dict(enumerate(said, 1))
    assert held(store, Lane.EVENTS) == {1: result("a"), 2: result("b")}
    assert_accounts(store)


def test_a_block_is_no_longer_than_the_wire_wants(store: Store) -> None:
    store.commit(
        [Reading(device="d", profile="p", profile_version=1, time_ns=1, received_ns=1, values={"t": "x" * 1000})] * 400,
        [],
        {},
        T0,
    )
    after, sizes = 0, []
    while (block := store.next_block(Lane.READINGS, after, T0)) is not None:
        sizes.append(len(block.payload))
        after = block.last_seq
    assert after == 400
    assert max(sizes) <= MAX_BLOCK_BYTES


def test_blocks_read_ahead_are_the_next_ones_within_the_bytes_asked_for(store: Store) -> None:
    for _ in range(5):
        store.commit(readings(100), [result("a")], {}, T0)
    ack(store, cumulative=0, ranges=[(201, 300)])
    one = store.next_block(Lane.READINGS, 0, T0)
    assert one is not None
    few = store.next_blocks(Lane.READINGS, 100, 5 * len(one.payload) // 2, T0)
    assert [(block.first_seq, block.last_seq) for block in few] == [(101, 200), (301, 400)]
    assert [block.first_seq for block in store.next_blocks(Lane.READINGS, 0, 1, T0)] == [1]
    assert [block.lane for block in store.next_blocks(Lane.EVENTS, 3, MANY, T0)] == [Lane.EVENTS] * 2
    assert store.next_blocks(Lane.READINGS, 500, MANY, T0) == []


def test_everything_survives_closing_and_opening(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        epoch = store.epoch
        store.commit(readings(700), [result("a")], {"d1": b"state"}, T0)
        ack(store, cumulative=500)
        before = store.lanes
    with closing(open_(tmp_path)) as store:
        assert (store.epoch, store.lanes, store.states()) == (epoch, before, {"d1": b"state"})
        assert min(held(store, Lane.READINGS)) == 501
        assert store.first_unacked(Lane.READINGS) == 501
        store.commit(readings(1), [], {}, T0)
        assert max(held(store, Lane.READINGS)) == 701


def test_an_acknowledgement_of_a_part_of_a_block_counts_at_once_and_is_remembered(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        store.commit(readings(1000), [], {}, T0)
        ack(store, cumulative=499, ranges=[(600, 700), (702, 999)])
        assert store.lanes[Lane.READINGS].acked == 499 + 101 + 298
    with closing(open_(tmp_path)) as store:
        block = store.next_block(Lane.READINGS, 499, T0)
        assert block is not None
        assert (block.first_seq, block.last_seq, block.open) == (1, 500, ((500, 500),))
        assert sorted(held(store, Lane.READINGS)) == [*range(500, 600), 701, 1000]
        ack(store, cumulative=1000)
        assert store.next_block(Lane.READINGS, 0, T0) is None
        assert_accounts(store)


def test_acknowledged_ranges_leave_holes_that_the_cursor_steps_over(store: Store) -> None:
    for _ in range(4):
        store.commit(readings(10), [], {}, T0)
    ack(store, cumulative=0, ranges=[(11, 20), (25, 40)])
    block = store.next_block(Lane.READINGS, 10, T0)
    assert block is not None
    assert (block.first_seq, block.last_seq, block.open) == (21, 30, ((21, 24),))
    ack(store, cumulative=10, ranges=[(11, 20)])
    assert store.first_unacked(Lane.READINGS) == 21
    assert_accounts(store)


def test_a_quarantined_record_counts_once_and_the_lane_moves_on(store: Store) -> None:
    store.commit(readings(10), [], {}, T0)
    for _ in range(2):
        ack(store, cumulative=4, quarantined=[(5, Reason.STORE_REFUSED)])
    ack(store, cumulative=10)
    ack(store, cumulative=10, quarantined=[(5, Reason.STORE_REFUSED)])
    account = store.lanes[Lane.READINGS]
    assert (account.acked, account.quarantined, account.depth, account.bytes) == (9, 1, 0, 0)


@pytest.mark.parametrize(
    ("epoch", "cumulative"),
    [pytest.param("another", 5, id="of another epoch"), pytest.param(None, 11, id="of records never given out")],
)
def test_an_acknowledgement_has_no_effect(store: Store, epoch: str | None, cumulative: int) -> None:
    store.commit(readings(10), [], {}, T0)
    store.ack(Ack(gateway="gw1", epoch=epoch or store.epoch, lane=Lane.READINGS, cumulative=cumulative))
    assert store.lanes[Lane.READINGS].depth == 10
    assert store.lanes[Lane.READINGS].cumulative == 0


def test_a_late_acknowledgement_takes_nothing_back(store: Store) -> None:
    store.commit(readings(10), [], {}, T0)
    ack(store, cumulative=10)
    before = store.lanes
    ack(store, cumulative=3)
    assert store.lanes == before


def test_a_block_with_a_flipped_bit_is_declared_lost_and_the_next_one_is_given(store: Store) -> None:
    for _ in range(3):
        store.commit(readings(10), [], {}, T0)
    store._db.execute("UPDATE block SET payload = zeroblob(bytes) WHERE last_seq = 20")
    assert set(held(store, Lane.READINGS)) == {*range(1, 11), *range(21, 31)}
    (loss,) = held(store, Lane.EVENTS).values()
    assert isinstance(loss, LossRecord)
    assert (loss.seq_from, loss.seq_to, loss.reason) == (11, 20, Reason.CORRUPT)
    assert_accounts(store)


def test_a_commit_that_fails_leaves_nothing_behind(store: Store) -> None:
    store.commit(readings(5), [], {}, T0)
    before = store.lanes
    with pytest.raises(OverflowError):
        store.commit([*readings(600), reading(0, {"count": 2**70})], [], {}, T0)
    assert store.lanes == before
    assert_accounts(store)


def test_a_second_agent_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with closing(open_(tmp_path)), pytest.raises(OutboxError, match=f"process {os.getpid()}"):
        open_(tmp_path)


def test_another_gateways_outbox_is_refused(tmp_path: Path) -> None:
    open_(tmp_path).close()
    with pytest.raises(OutboxError, match="belongs to gateway 'gw1'"):
        open_store(tmp_path, "gw2", OutboxLimits(max_bytes=MANY), T0)


def test_a_commands_counter_only_grows(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        assert [store.advance_counter(n) for n in (5, 5, 4, 6)] == [True, False, False, True]
    with closing(open_(tmp_path)) as store:
        assert [store.advance_counter(n) for n in (6, 7)] == [False, True]


def test_the_account_can_be_read_while_no_agent_runs(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="no outbox yet"):
        inspect(tmp_path)
    with closing(open_(tmp_path)) as store:
        store.commit(readings(3), [], {}, T0)
        with pytest.raises(OutboxError, match="another agent"):
            inspect(tmp_path)
    assert inspect(tmp_path).accounts[Lane.READINGS].depth == 3


def test_a_message_goes_out_compressed_and_comes_back_the_same(store: Store) -> None:
    store.commit(readings(500), [], {}, T0)
    block = store.next_block(Lane.READINGS, 0, T0)
    assert block is not None
    sent = compress_message(block.payload)
    assert len(sent) < len(block.payload)
    assert decode_readings(sent, decompress) == decode_readings(block.payload, decompress)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x28\xb5\x2f\xfd" + bytes(8)])
def test_what_is_no_zstd_frame_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decompress(data, 1000)


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    import zstandard

    with pytest.raises(ValueError, match="want at most 1000"):
        decompress(zstandard.compress(bytes(1_000_000)), 1000)


async def test_the_event_loop_sees_the_accounts_and_is_told_of_changes(tmp_path: Path) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", OutboxLimits(), ManualClock())
    changed = outbox.watch()
    await outbox.commit(readings(3))
    assert changed.is_set()
    assert outbox.accounts[Lane.READINGS].depth == 3
    assert (await outbox.spans())[Lane.READINGS].next_seq == 4
    assert await outbox.oldest_ns() == T0
    await outbox.close()


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from edge_agent_parts import readings, T0
from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
store = open_store(Path({folder!r}), "gw1", OutboxLimits(max_bytes=1 << 30), T0)
while True:
    store.commit(readings(50), [], {{"d1": str(store.lanes["readings"].next_seq).encode()}}, T0)
    print(store.lanes["readings"].next_seq - 1, flush=True)
"""


def test_killed_at_any_moment_it_has_what_it_said_it_had(tmp_path: Path) -> None:
    """Five writers in a row, each killed -9 in the middle of its commits: no number given out is missing or used twice."""
    script = _WRITER.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    for cycle in range(5):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = 0
            for _ in range(3 + 7 * cycle):
                said = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            said = int(([said, *(int(line) for line in writer.stdout.read().split())])[-1])
            writer.wait()
        with closing(open_(tmp_path)) as store:
            account = store.lanes[Lane.READINGS]
            assert account.next_seq - 1 >= said
            assert set(held(store, Lane.READINGS)) == set(range(1, account.next_seq))
            assert store.states() == {"d1": str(account.next_seq - 50).encode()}
            assert_accounts(store)
        assert apsw.Connection(str(tmp_path / "outbox.db")).execute("PRAGMA integrity_check").get == "ok"
