"""Power cuts (F03, F55): every image that a cut may leave of the outbox's files comes up with all that was told.

Here a few thousand; `tests/faults/power_cut.py` takes any number.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from disk_image import SECTOR_BYTES, Disk, Link, Mark, Op, Recorder, Rename, Sync, SyncNames, Write, chance_of, sectors
from outbox_story import GATEWAY, START_NS, About, Key, Ledger, Place, Story, Told, View, key_of, look
from power_cut import cut_story, record, workshop

from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
from telemetry.reason import Reason
from telemetry.records import Lane, LossRecord, Reading


@pytest.fixture
def memory() -> Iterator[Path]:
    with workshop() as folder:
        yield folder


@pytest.mark.parametrize("seed", range(1, 5))
def test_f03_whatever_was_told_is_there_after_a_cut_at_any_operation(seed: int) -> None:
    outcome = cut_story(seed, steps=70)
    assert outcome.cuts > 300
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
def told(memory: Path) -> tuple[Ledger, View]:
    """A ledger that was told of twelve readings, and the store's own view of them."""
    readings = [_reading(at) for at in range(12)]
    states, ledger = {"d-0": b"as it was"}, Ledger()
    with closing(open_store(memory, GATEWAY, OutboxLimits(reserve_bytes=0), START_NS)) as store:
        store.commit(readings, [], states, START_NS)
        view = look(store)
    ledger.hear(About(records={key_of(reading): reading for reading in readings}, states=states))
    ledger.hear(Told(view))
    return ledger, view


def _reading(at: int) -> Reading:
    values = {"level_cm": at}
    return Reading(device="d-0", profile="p", profile_version=1, time_ns=START_NS + at, received_ns=START_NS, values=values)


def _without(view: View, key: Key) -> View:
    held = {name: place for name, place in view.held.items() if name != key}
    return view._replace(held=held, counts={**view.counts, Lane.READINGS: len(held)})


def _account(view: View, **changes: int) -> View:
    changed = msgspec.structs.replace(view.accounts[Lane.READINGS], **changes)
    return view._replace(accounts={**view.accounts, Lane.READINGS: changed})


def _loss(view: View, low: int, high: int, reason: Reason = Reason.OUTBOX_FULL) -> LossRecord:
    return LossRecord(
        lane=Lane.READINGS,
        epoch=view.epoch,
        seq_from=low,
        seq_to=high,
        bytes=0,
        time_from_ns=0,
        time_to_ns=1,
        reason=reason,
    )


def _declaring(view: View, loss: LossRecord) -> View:
    place = Place(view.epoch, Lane.EVENTS, 1)
    return view._replace(losses=[loss], held={**view.held, key_of(loss): place}, counts={**view.counts, Lane.EVENTS: 1})


def test_the_ledger_has_nothing_against_what_it_was_told(told: tuple[Ledger, View]) -> None:
    ledger, view = told
    assert ledger.judge(view) == []


@pytest.mark.parametrize(
    ("tampering", "kind"),
    [
        pytest.param(lambda view: _without(view, START_NS), "lost", id="a record that is gone"),
        pytest.param(lambda view: _without(_declaring(view, _loss(view, 2, 2)), START_NS), "lost", id="another one declared"),
        pytest.param(
            lambda view: _without(_declaring(view, _loss(view, 1, 1, Reason.RENUMBERED)), START_NS),
            "lost",
            id="one that has another number, and is not there",
        ),
        pytest.param(lambda view: _account(view, next_seq=9), "lost", id="numbers given out once more"),
        pytest.param(lambda view: _account(view, acked=3), "corrupt", id="an account that does not add up"),
        pytest.param(lambda view: _declaring(view, _loss(view, 3, 4)), "corrupt", id="a loss of what is there"),
        pytest.param(lambda view: _declaring(view, _loss(view, 13, 20)), "corrupt", id="a loss of what never was"),
        pytest.param(lambda view: view._replace(twice=[START_NS]), "corrupt", id="a record stored twice"),
        pytest.param(
            lambda view: view._replace(held={**view.held, "x": Place(view.epoch, Lane.READINGS, 13)}),
            "corrupt",
            id="a record that nobody said",
        ),
        pytest.param(
            lambda view: view._replace(held={**view.held, START_NS: Place(view.epoch, Lane.READINGS, 2)}),
            "corrupt",
            id="a number that stood for another record",
        ),
        pytest.param(lambda view: view._replace(states={"d-0": b"another"}), "corrupt", id="a memory that nobody had"),
        pytest.param(lambda view: view._replace(states={}), "corrupt", id="a memory that is gone"),
        pytest.param(lambda view: view._replace(counter=9), "corrupt", id="a counter that no command had"),
        pytest.param(lambda view: view._replace(epoch="another"), "corrupt", id="an epoch that nobody began"),
    ],
)
def test_f55_the_ledger_objects_to(told: tuple[Ledger, View], tampering: Callable[[View], View], kind: str) -> None:
    ledger, view = told
    assert kind in {problem.kind for problem in ledger.judge(tampering(view))}
