"""Power cuts (F03, F55): every image that a cut may leave of the outbox's files comes up with all that was told.

Here a few thousand; `tests/faults/power_cut.py` takes any number.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_image import SECTOR_BYTES, Disk, Link, Mark, Op, Recorder, Rename, Sync, SyncNames, Write, chance_of, sectors
from outbox_story import GATEWAY, START_NS, Ledger, Story, Told, look
from power_cut import cut_story, record, workshop

from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
from edge_agent.outbox.store import Store
from telemetry.records import Reading


@pytest.fixture
def memory() -> Iterator[Path]:
    with workshop() as folder:
        yield folder


@pytest.mark.parametrize("seed", range(1, 5))
def test_f03_whatever_was_told_is_there_after_a_cut_at_any_operation(seed: int) -> None:
    outcome = cut_story(seed)
    assert outcome.cuts > 500
    assert (outcome.lost, outcome.corrupt) == (0, 0), outcome.problems[:5]


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_f55_a_store_that_syncs_less_is_seen_to_lose(synchronous: str) -> None:
    outcome = cut_story(seed=100, steps=25, synchronous=synchronous)
    assert outcome.lost > outcome.cuts // 20


def test_the_same_seed_gives_the_same_operations_and_cuts(memory: Path) -> None:
    one, two = ([_shape(op) for op in record(memory / name, seed=7, steps=15)[0]] for name in ("one", "two"))
    assert one == two


def _shape(op: Op) -> object:
    """What an operation does, without the bytes: SQLite salts its log at random."""
    match op:
        case Write(file, pieces):
            return file, [(offset, len(data)) for offset, data in pieces]
        case Mark():
            return type(op.note)
        case _:
            return op


# The disk itself.


def test_what_was_synced_survives_and_what_was_not_may_or_may_not() -> None:
    disk = Disk()
    for op in (Link("file", 1), Write(1, sectors(0, b"a" * 2000)), Sync(1), SyncNames(), Write(1, sectors(2000, b"b" * 2000))):
        disk.play(op)
    found = {bytes(disk.after_cut(chance_of(seed))["file"]) for seed in range(200)}
    assert all(image.startswith(b"a" * 2000) for image in found)
    assert {b"a" * 2000, b"a" * 2000 + b"b" * 2000} < found
    assert disk.untouched() == {"file": b"a" * 2000 + b"b" * 2000}


def test_the_sectors_of_one_write_survive_one_by_one_and_some_are_shorn() -> None:
    disk = Disk()
    for op in (Link("file", 1), Write(1, sectors(0, bytes(4096))), Sync(1), SyncNames(), Write(1, sectors(100, b"x" * 3000))):
        disk.play(op)
    images = [bytes(disk.after_cut(chance_of(seed))["file"]) for seed in range(300)]
    touched = [{at // SECTOR_BYTES for at, byte in enumerate(image) if byte} for image in images]
    assert any(max(sectors_) - min(sectors_) + 1 > len(sectors_) for sectors_ in touched if sectors_), (
        "a later one without an earlier"
    )
    assert any(0 < image[1024:1536].count(b"x") < 512 for image in images), "a sector written in part"
    assert all(image[:100] == bytes(100) and image[3100:] == bytes(996) for image in images), "nothing beside the write"


def test_a_name_may_be_missing_until_its_folder_is_synced_but_names_keep_their_order() -> None:
    disk = Disk()
    for op in (Link("old", 1), SyncNames(), Link("new", 2), Rename("new", "old")):
        disk.play(op)
    found = {tuple(disk.after_cut(chance_of(seed))) for seed in range(50)}
    assert found == {("old",), ("old", "new")}
    disk.play(SyncNames())
    assert tuple(disk.after_cut(chance_of(0))) == ("old",)


def test_a_recording_that_is_played_to_its_end_is_the_folder(memory: Path) -> None:
    folder = memory / "live"
    folder.mkdir()
    recorder = Recorder(folder)
    with recorder.recording("overheard"):
        Story(folder, chance_of(3), recorder.mark, vfs="overheard").run(40)
    disk = Disk()
    for op in recorder.ops:
        disk.play(op)
    assert disk.untouched() == {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


# The ledger itself: it must object where there is reason to.


@pytest.fixture
def told(memory: Path) -> Iterator[tuple[Store, Ledger]]:
    """A store with twelve readings in three blocks, and a ledger that was told of them."""
    store = open_store(memory, GATEWAY, OutboxLimits(reserve_bytes=0), START_NS)
    ledger = Ledger()
    for block in range(3):
        readings = [_reading(block * 4 + at) for at in range(4)]
        store.commit(readings, [], {"d-0": b"as it was"}, START_NS)
    ledger._may = {reading.time_ns: reading for reading in map(_reading, range(12))}
    ledger._states = {"d-0": b"as it was"}
    ledger.hear(Told(look(store)))
    yield store, ledger
    store.close()


def _reading(at: int) -> Reading:
    return Reading(
        device="d-0", profile="p", profile_version=1, time_ns=START_NS + at, received_ns=START_NS, values={"level_cm": at}
    )


@pytest.mark.parametrize(
    ("tampering", "kind"),
    [
        pytest.param("DELETE FROM block WHERE last_seq = 8", "lost", id="a block that is gone is lost"),
        pytest.param("UPDATE lane SET next_seq = 9 WHERE lane = 'readings'", "lost", id="a number given out is not given back"),
        pytest.param("UPDATE lane SET acked = 3 WHERE lane = 'readings'", "corrupt", id="an account that does not add up"),
        pytest.param("UPDATE state SET data = x'00'", "corrupt", id="a memory that nobody had"),
        pytest.param("INSERT INTO meta VALUES ('command_counter', '9')", "corrupt", id="a counter that no command had"),
        pytest.param("UPDATE meta SET value = 'other' WHERE key = 'epoch'", "corrupt", id="an epoch that nobody began"),
        pytest.param(
            "UPDATE block SET payload = (SELECT payload FROM block WHERE last_seq = 4)", "lost", id="a block stored twice"
        ),
    ],
)
def test_f55_the_ledger_objects_to(told: tuple[Store, Ledger], tampering: str, kind: str) -> None:
    store, ledger = told
    assert ledger.judge(look(store)) == []
    store._db.execute(tampering)
    folder, limits = store.path.parent, store.limits
    store.close()
    again = open_store(folder, GATEWAY, limits, START_NS)
    problems = ledger.judge(look(again))
    again.close()
    assert kind in {problem.kind for problem in problems}


def test_f55_the_ledger_objects_to_a_number_that_stands_for_another_record(told: tuple[Store, Ledger]) -> None:
    store, ledger = told
    row = store._db.execute("SELECT payload FROM block WHERE last_seq = 8").get
    changed = row.replace((START_NS + 4).to_bytes(8, "big"), (START_NS + 99).to_bytes(8, "big"))
    assert changed != row
    store._db.execute("UPDATE block SET payload = ? WHERE last_seq = 8", (changed,))
    details = " ".join(problem.detail for problem in ledger.judge(look(store)))
    assert "nobody ever said" in details
