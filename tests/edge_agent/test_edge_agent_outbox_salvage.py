"""A broken, lost, old or cloned file: what can be read goes on under a new epoch, what cannot is declared, nobody has to come."""

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from edge_agent_parts import T0, readings
from outbox_parts import EVENTS, READINGS, ack, assert_accounts, held, limits, losses, numbers, open_, result

from edge_agent.outbox import salvage
from edge_agent.outbox.clocks import ClockStamp
from edge_agent.outbox.file import EARLIER_SCHEMA, PAGE_BYTES
from edge_agent.outbox.inspect import inspect
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.salvage import open_store, renew_store
from edge_agent.outbox.spans import union
from edge_agent.outbox.store import Store
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Lane
from telemetry.wire import EventsBatch, encode, group_readings


def fill(folder: Path, blocks: int = 40) -> str:
    """An outbox with twenty thousand readings, the first five hundred of them acknowledged; its epoch."""
    with closing(open_(folder)) as store:
        for n in range(blocks):
            store.commit(readings(500, first=500 * n), [], {"d1": b"state"}, T0)
        ack(store, cumulative=500)
        store.advance_counter(7)
        return store.epoch


def spoil(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    match damage:
        case "header":
            data[:16] = bytes(16)
        case "middle":
            data[PAGE_BYTES * 80 : len(data) // 2] = b"\xa5" * (len(data) // 2 - PAGE_BYTES * 80)
        case "front":
            data[PAGE_BYTES : len(data) // 2] = b"\xa5" * (len(data) // 2 - PAGE_BYTES)
        case "tail":
            data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        case "cut":
            del data[len(data) // 2 :]
        case "empty":
            data.clear()
        case _:
            data = bytearray(b"not a database " * 1000)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["header", "middle", "front", "tail", "cut", "empty", "nonsense"])
@pytest.mark.parametrize("witness", ["with its mark", "without its mark"])
def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_kept(tmp_path: Path, damage: str, witness: str) -> None:
    old = fill(tmp_path)
    spoil(tmp_path / "outbox.db", damage)
    if witness == "without its mark":
        (tmp_path / "outbox.mark").unlink()
    store = open_(tmp_path)
    try:
        try:
            held(store, READINGS)
        except salvage.DAMAGE:
            # The account is whole and a block is not there: found out when it is looked for.
            store = renew_store(store, T0)
        assert store.epoch != old
        found = losses(store)
        assert {loss.epoch for loss in found} == {old}
        moved = numbers([loss for loss in found if loss.reason is Reason.RENUMBERED])
        lost = numbers([loss for loss in found if loss.reason is Reason.CORRUPT])
        assert len(held(store, READINGS)) == sum(high - low + 1 for low, high in moved)
        told = union(moved, lost)
        if witness == "with its mark" or damage not in {"front", "empty", "nonsense"}:
            assert told[-1][1] >= 20_000
            assert told[0][0] in {1, 501}
        else:
            assert found[-1].open_end
        assert store.next_block(READINGS, 0, T0) is not None or damage in {"front", "empty", "nonsense"}
        if damage == "header":
            assert moved == ((501, 20_000),)
            assert (store.states(), store.counter) == ({"d1": b"state"}, 7)
        assert_accounts(store)
        # An empty file is a new database to SQLite; one of which nothing is lost is not worth a look.
        assert (tmp_path / "outbox.damaged.1").exists() is (damage not in {"empty", "header"})
        assert not list(tmp_path.glob("outbox.salvage.*"))
    finally:
        store.close()


@pytest.mark.parametrize("witness", [True, False], ids=["the mark knows how many", "nobody knows how many"])
def test_a_deleted_file_is_missed(tmp_path: Path, witness: bool) -> None:
    old = fill(tmp_path, 2)
    (tmp_path / "outbox.db").unlink()
    if not witness:
        (tmp_path / "outbox.mark").unlink()
    with closing(open_(tmp_path)) as store:
        (loss,) = losses(store)
        assert (loss.epoch, loss.seq_from, loss.seq_to) == (old, 1, 1000 if witness else 1)
        assert (loss.reason, loss.open_end) == (Reason.CORRUPT, True)
    with closing(open_(tmp_path)) as store:
        assert len(losses(store)) == 1


@pytest.mark.parametrize("lost", ["the journal", "the last hours"])
def test_a_file_that_has_lost_what_it_had_synced_begins_a_new_epoch(tmp_path: Path, lost: str) -> None:
    box, copy = tmp_path / "box", tmp_path / "copy"
    with closing(open_(box)) as store:
        store.commit(readings(100), [], {}, T0)
        store._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        shutil.copytree(box, copy)
        store.commit(readings(50), [], {}, T0)
        old = store.epoch
        if lost == "the journal":
            shutil.copy(box / "outbox.mark", copy / "outbox.mark")
    if lost == "the last hours":
        shutil.copy(copy / "outbox.db", box / "outbox.db")
    with closing(open_(copy if lost == "the journal" else box)) as store:
        assert store.epoch != old
        found = {loss.reason: (loss.seq_from, loss.seq_to) for loss in losses(store)}
        assert found == {Reason.RENUMBERED: (1, 100), Reason.CORRUPT: (101, 150)}
        assert len(held(store, READINGS)) == 100


def test_a_new_epoch_takes_everything_held_along_and_says_under_which_numbers_it_was(tmp_path: Path) -> None:
    with closing(open_(tmp_path)) as store:
        store.commit(readings(20), [result("a")], {"d1": b"state"}, T0)
        store.commit(readings(10), [], {}, T0)
        ack(store, cumulative=17, ranges=[(25, 30)])
        old, said = store.epoch, held(store, READINGS)
        with closing(renew_store(store, T0)) as renewed:
            assert renewed.epoch != old
            assert list(held(renewed, READINGS).values()) == list(said.values())
            assert result("a") in held(renewed, EVENTS).values()
            assert [(one.seq_from, one.seq_to, one.reason) for one in losses(renewed)] == [(18, 24, Reason.RENUMBERED)]
            assert renewed.states() == {"d1": b"state"}
            # Nothing was damaged: there is nothing to look at.
            assert not list(tmp_path.glob("outbox.damaged.*"))


class CutOffError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("after", range(9))
def test_a_rescue_may_be_cut_off_at_any_point_and_loses_and_doubles_nothing(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salvage, "_BLOCKS_AT_ONCE", 1)
    with closing(open_(tmp_path)) as store:
        for n in range(3):
            store.commit(readings(10, first=10 * n), [result(str(n))], {"d1": b"state"}, T0)
        old, said = store.epoch, list(held(store, READINGS).values())
        store.close()
        steps = iter(range(100))

        def cut_off(original: object) -> object:
            def step(*args: object, **kwargs: object) -> object:
                if next(steps) == after:
                    raise CutOffError
                return original(*args, **kwargs)  # type: ignore[operator]

            return step

        with monkeypatch.context() as patched:
            for name in ("sync_folder", "_carry_some", "_finish", "_losses"):
                patched.setattr(salvage, name, cut_off(getattr(salvage, name)))
            with pytest.raises(CutOffError):
                renew_store(store, T0).close()
        renewed = open_(tmp_path)
        try:
            if renewed.epoch == old:  # cut off before the file was set aside
                renewed = renew_store(renewed, T0)
            assert list(held(renewed, READINGS).values()) == said
            assert [(one.seq_from, one.seq_to, one.reason) for one in losses(renewed)] == [(1, 30, Reason.RENUMBERED)]
            assert [each for each in held(renewed, EVENTS).values() if each in [result(str(n)) for n in range(3)]] == [
                result(str(n)) for n in range(3)
            ]
            assert renewed.states() == {"d1": b"state"}
            assert not list(tmp_path.glob("outbox.salvage.*"))
            assert_accounts(renewed)
        finally:
            renewed.close()


def test_few_copies_are_kept_and_an_unfinished_one_always(tmp_path: Path) -> None:
    for _ in range(5):
        fill(tmp_path, 1)
        spoil(tmp_path / "outbox.db", "nonsense")
    (tmp_path / "outbox.salvage.1").write_bytes(b"of long ago, and not finished")
    open_(tmp_path).close()
    assert len(list(tmp_path.glob("outbox.damaged.*"))) == 2
    assert not list(tmp_path.glob("outbox.salvage.*"))


def test_clocks_go_along_into_a_new_epoch(tmp_path: Path) -> None:
    wrong = ClockStamp("boot-1", ClockQuality.UNSYNCED, 5)
    with closing(open_(tmp_path)) as store:
        store.commit(readings(3), [], {}, T0, stamps=[wrong] * 3)
        store.fix_clock("boot-1", 1005)
        before = store.next_block(READINGS, 0, T0)
        with closing(renew_store(store, T0)) as renewed:
            after = renewed.next_block(READINGS, 0, T0)
            assert before is not None
            assert after is not None
            assert after.payload == before.payload.replace(store.epoch.encode(), renewed.epoch.encode())


async def test_a_file_that_breaks_while_in_use_is_rebuilt_and_the_commit_goes_on(tmp_path: Path) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", limits(), ManualClock())
    old = outbox.epoch
    for _ in range(20):
        await outbox.commit(readings(500))
    outbox._store._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    with (tmp_path / "outbox.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 200_000)
    outbox._store._db.execute("PRAGMA shrink_memory")
    await outbox.commit(readings(1))
    assert outbox.epoch != old
    assert outbox.accounts is outbox._store.lanes
    assert_accounts(outbox._store)
    assert numbers(losses(outbox._store)) == ((1, 10_000),)
    await outbox.close()


async def test_a_block_that_is_not_there_any_more_makes_a_new_epoch_and_not_a_stop(tmp_path: Path) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", limits(), ManualClock())
    for n in range(3):
        await outbox.commit(readings(10, first=10 * n))
    old, changed = outbox.epoch, outbox.watch()
    outbox._store._db.execute("DELETE FROM block WHERE last_seq = 20")
    assert await outbox.next_block(Lane.READINGS, 10) is None
    assert outbox.epoch != old
    assert changed.is_set()
    assert [(one.seq_from, one.seq_to, one.reason) for one in losses(outbox._store)] == [
        (1, 10, Reason.RENUMBERED),
        (21, 30, Reason.RENUMBERED),
        (11, 20, Reason.CORRUPT),
    ]
    await outbox.close()


# The form of an earlier version.


def make_earlier(folder: Path) -> None:
    """An outbox as it was written before: blocks 1-10, 11-20, 31-40 of readings, 11-15 and 31 done, 21-30 lost."""
    import zlib

    db = apsw.Connection(str(folder / "outbox.db"))
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(EARLIER_SCHEMA)
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)", [("epoch", "e" * 32), ("gateway", "gw1"), ("created_ns", "1"), ("command_counter", "9")]
    )
    db.execute("INSERT INTO lane VALUES ('readings', 41, 15, 10, 0, 10, 500), ('events', 2, 0, 0, 0, 0, 50)")
    for first in (11, 31):
        payload = encode(group_readings("gw1", "e" * 32, first, readings(10, first=first)))
        row = ((1 << 61) + first, first + 9, len(payload), T0, T0, zlib.crc32(payload), payload)
        db.execute("INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    payload = encode(EventsBatch(gateway="gw1", epoch="e" * 32, first_seq=1, events=[result("a")]))
    db.execute("INSERT INTO block VALUES (1, 1, ?, ?, ?, ?, ?)", (len(payload), T0, T0, zlib.crc32(payload), payload))
    db.execute("INSERT INTO quarantine VALUES (?, 'invalid')", ((1 << 61) + 33,))
    db.execute("INSERT INTO state VALUES ('d1', ?)", (b"state",))
    db.execute("UPDATE lane SET bytes = (SELECT sum(bytes) FROM block WHERE key > 1 << 61) WHERE lane = 'readings'")
    db.execute("UPDATE lane SET bytes = (SELECT bytes FROM block WHERE key = 1) WHERE lane = 'events'")
    db.close()


def test_an_outbox_of_an_earlier_version_is_opened_where_it_is(tmp_path: Path) -> None:
    make_earlier(tmp_path)
    assert inspect(tmp_path).accounts[READINGS].depth == 14
    for _ in range(2):
        with closing(open_(tmp_path)) as store:
            assert store.epoch == "e" * 32
            assert sorted(held(store, READINGS)) == [*range(16, 21), 31, 32, *range(34, 41)]
            assert list(held(store, EVENTS).values()) == [result("a")]
            account = store.lanes[READINGS]
            assert (account.acked, account.quarantined, account.lost) == (15, 1, 10)
            assert (store.states(), store.counter) == ({"d1": b"state"}, 9)
            assert_accounts(store)
    with closing(open_(tmp_path)) as store:
        store.commit(readings(3), [], {"d1": b"news"}, T0)
        ack(store, cumulative=42)
        assert sorted(held(store, READINGS)) == [43]
        assert_accounts(store)


def test_a_broken_outbox_of_an_earlier_version_is_carried_over(tmp_path: Path) -> None:
    make_earlier(tmp_path)
    spoil(tmp_path / "outbox.db", "header")
    with closing(open_(tmp_path)) as store:
        assert len(held(store, READINGS)) == 14
        assert (store.states(), store.counter) == ({"d1": b"state"}, 9)
        assert numbers([one for one in losses(store) if one.reason is Reason.RENUMBERED]) == ((16, 20), (31, 32), (34, 40))


@pytest.mark.parametrize("start", range(7))
def test_a_flipped_bit_is_declared_or_changes_nothing(tmp_path: Path, start: int) -> None:
    """A few hundred places of a small file; what is wrong is found out, and the agent goes on."""
    box, spoilt = tmp_path / "box", tmp_path / "spoilt"
    with closing(open_(box)) as store:
        for n in range(3):
            store.commit(readings(10, first=10 * n), [result(str(n))], {"d1": b"state"}, T0)
        ack(store, cumulative=5, ranges=[(11, 20)])
        old, said = store.epoch, held(store, READINGS)
    data = (box / "outbox.db").read_bytes()
    for place in range(start, len(data), 907):
        shutil.copytree(box, spoilt)
        (spoilt / "outbox.db").write_bytes(data[:place] + bytes((data[place] ^ (1 << place % 8),)) + data[place + 1 :])
        store = open_(spoilt)
        try:
            store, left = read_all(store)
            assert list(said.values()) == [one for one in said.values() if one in left.values()] or losses(store)
            assert all(one in said.values() for one in left.values())
            declared = {seq for one in losses(store) if one.epoch == old for seq in range(one.seq_from, one.seq_to + 1)}
            assert store.epoch != old or set(left) | declared == set(said)
            assert store.epoch == old or set(said) <= declared
            assert {lane: account.depth for lane, account in store.lanes.items()} == {
                lane: len(held(store, lane)) for lane in Lane
            }
        finally:
            store.close()
        shutil.rmtree(spoilt)


def read_all(store: Store) -> tuple[Store, dict[int, object]]:
    try:
        return store, everything(store)
    except salvage.DAMAGE:
        renewed = renew_store(store, T0)
        return renewed, everything(renewed)


def everything(store: Store) -> dict[int, object]:
    """The readings, once all the rest could be read, too."""
    store.states()
    losses(store)
    return {lane: dict(held(store, lane)) for lane in Lane}[READINGS]


def test_another_gateways_outbox_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    from edge_agent.outbox.outbox import OutboxError

    open_(tmp_path).close()
    for _ in range(2):
        with pytest.raises(OutboxError, match="belongs to gateway 'gw1'"):
            open_store(tmp_path, "gw2", limits(), T0)
    open_(tmp_path).close()
