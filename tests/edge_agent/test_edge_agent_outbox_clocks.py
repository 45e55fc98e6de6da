"""Times are stored as they were told, and go out as they are known by then."""

from contextlib import closing
from pathlib import Path

import pytest
from edge_agent_parts import T0, readings
from outbox_parts import EVENTS, READINGS, held, limits, open_, result

from edge_agent.outbox.clocks import ClockStamp
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.compression import decompress
from telemetry.clock import ManualClock
from telemetry.records import ClockQuality, Reading
from telemetry.wire import ClockNote, decode_events, decode_readings, digest

GOOD = ClockStamp("boot-2", ClockQuality.SYNCED, 100)
BY_CLOUD = ClockStamp("boot-2", ClockQuality.CLOUD, 200)
WRONG = ClockStamp("boot-1", ClockQuality.UNSYNCED, 1_000)
JUMPED = ClockStamp("boot-1", ClockQuality.UNSYNCED, 7_000)


@pytest.mark.parametrize(
    ("stamp", "true_offset_ns", "note"),
    [
        pytest.param(GOOD, None, None, id="a clock in order: nothing is said"),
        pytest.param(BY_CLOUD, None, ClockNote(boot_id="boot-2", quality=ClockQuality.CLOUD), id="set by the cloud: said so"),
        pytest.param(
            WRONG, None, ClockNote(boot_id="boot-1", quality=ClockQuality.UNSYNCED), id="nobody ever knew: as they were"
        ),
        pytest.param(
            WRONG, 51_000, ClockNote(boot_id="boot-1", quality=ClockQuality.CLOUD, shift_ns=50_000), id="known later: moved"
        ),
    ],
)
def test_a_batch_goes_out_with_what_is_known_of_its_clock(
    tmp_path: Path, stamp: ClockStamp, true_offset_ns: int | None, note: ClockNote | None
) -> None:
    with closing(open_(tmp_path)) as store:
        many = [stamp] * 3
        store.commit(readings(2), [result("a")], {}, T0, stamps=many)
        if true_offset_ns is not None:
            store.fix_clock("boot-1", true_offset_ns)
    with closing(open_(tmp_path)) as store:
        told, event = store.next_block(READINGS, 0, T0), store.next_block(EVENTS, 0, T0)
        assert told is not None
        assert event is not None
        batch = decode_readings(told.payload, decompress)
        assert (batch.clock, decode_events(event.payload, decompress).clock) == (note, note)
        shift = 0 if note is None else note.shift_ns
        told_as = [(one.time_ns + shift, one.received_ns + shift) for one in readings(2)]
        rows = [one for one in held(store, READINGS).values() if isinstance(one, Reading)]
        assert [(one.time_ns, one.received_ns) for one in rows] == told_as
        assert store.spans()[READINGS].digests[0].digest == digest(told.payload)


def test_segments_of_one_commit_are_blocks_of_their_own_and_are_moved_each_by_its_own_step(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        store.commit(readings(6), [], {}, T0, stamps=[WRONG, WRONG, JUMPED, JUMPED, JUMPED, GOOD])
        store.fix_clock("boot-1", 8_000)
        blocks = store.next_blocks(READINGS, 0, 1 << 20, T0)
        assert [(one.first_seq, one.last_seq) for one in blocks] == [(1, 2), (3, 5), (6, 6)]
        notes = [decode_readings(one.payload, decompress).clock for one in blocks]
        assert [None if note is None else note.shift_ns for note in notes] == [7_000, 1_000, None]


def test_the_first_word_on_a_boot_counts_and_also_for_what_comes_later(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        store.fix_clock("boot-1", 2_000)
        store.commit(readings(1), [], {}, T0, stamps=[WRONG])
        store.fix_clock("boot-1", 9_000)
    with closing(open_(tmp_path)) as store:
        block = store.next_block(READINGS, 0, T0)
        assert block is not None
        note = decode_readings(block.payload, decompress).clock
        assert note == ClockNote(boot_id="boot-1", quality=ClockQuality.CLOUD, shift_ns=1_000)


def test_a_commit_that_fails_forgets_its_new_segment(tmp_path: Path) -> None:
    from edge_agent_parts import reading

    with closing(open_(tmp_path)) as store:
        with pytest.raises(OverflowError):
            store.commit([*readings(1), reading(0, {"count": 2**70})], [], {}, T0, stamps=[WRONG, JUMPED])
        store.commit(readings(1), [], {}, T0, stamps=[JUMPED])
    with closing(open_(tmp_path)) as store:
        block = store.next_block(READINGS, 0, T0)
        assert block is not None
        assert decode_readings(block.payload, decompress).clock == ClockNote(boot_id="boot-1", quality=ClockQuality.UNSYNCED)


async def test_the_stamp_last_set_counts_for_what_is_committed_without_one(tmp_path: Path) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", limits(), ManualClock(), stamp=WRONG)
    await outbox.commit(readings(1))
    outbox.set_stamp(GOOD)
    await outbox.commit(readings(1))
    await outbox.fix_clock("boot-1", 1_500)
    blocks = await outbox.next_blocks(READINGS, 0, 1 << 20)
    notes = [decode_readings(one.payload, decompress).clock for one in blocks]
    assert [None if note is None else note.shift_ns for note in notes] == [500, None]
    await outbox.close()
