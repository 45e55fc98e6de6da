"""A disk that is full, that does not sync, or that holds more than memory could: the outbox goes on, or says that it cannot."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest
from edge_agent_parts import T0, reading, readings
from outbox_parts import EVENTS, READINGS, assert_accounts, held, limits, losses, numbers, open_, result

from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.reserve import Reserve
from edge_agent.outbox.salvage import open_store
from edge_agent.outbox.store import Store
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Ack


class Disk(apsw.VFS):
    """A disk with so many bytes, counted over the database and its journal, and with syncs that can be made to fail."""

    def __init__(self) -> None:
        self.name = f"disk-{id(self)}"
        super().__init__(self.name, base="")
        self.room: int | None = None
        self.sizes: dict[str, int] = {}
        self.is_stuck = False
        """Not even what is there can be written again."""
        self.failing_syncs = 0
        self.syncs = 0

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> "DiskFile":  # noqa: N802 - SQLite's name
        return DiskFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.sizes.pop(filename, None)
        super().xDelete(filename, syncdir)

    def take(self, path: str, size: int) -> None:
        """A file wants to be as long as this."""
        grown = max(0, size - self.sizes.get(path, 0))
        reserve = Path(path).with_name("outbox.reserve")
        taken = sum(self.sizes.values()) + (reserve.stat().st_size if reserve.exists() else 0)
        if self.is_stuck or (grown and self.room is not None and taken + grown > self.room):
            raise apsw.FullError("no space left on device")
        self.sizes[path] = max(size, self.sizes.get(path, 0))


class DiskFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)
        disk.sizes[self._path] = self.xFileSize()

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.take(self._path, offset + len(data))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._disk.sizes[self._path] = size

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.syncs += 1
        if self._disk.failing_syncs > 0:
            self._disk.failing_syncs -= 1
            raise apsw.IOError("the disk did not sync")
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.unregister()


def on(disk: Disk, folder: Path, **other: int) -> Store:
    return open_store(folder, "gw1", limits(**other), T0, vfs=disk.name)


def test_a_disk_that_stays_full_takes_new_readings_and_alarms_for_old_readings(tmp_path: Path, disk: Disk) -> None:
    with closing(on(disk, tmp_path, reserve_bytes=1 << 20)) as store:
        for n in range(200):
            store.commit(readings(200, first=200 * n), [], {"d1": b"state"}, T0)
        disk.room = sum(disk.sizes.values()) + (1 << 20) + 20_000
        before = store.lanes[READINGS].next_seq
        for n in range(200):
            store.commit(readings(200, first=before + 200 * n), [result(str(n))], {"d1": str(n).encode()}, T0 + n)
        account = store.lanes[READINGS]
        assert account.next_seq == before + 40_000
        assert account.lost > 0
        assert store.lanes[EVENTS].lost == 0
        assert store.squeezed > 0
        assert {one.reason for one in losses(store)} == {Reason.OUTBOX_FULL}
        assert numbers(losses(store)) == ((1, account.lost),)
        assert max(held(store, READINGS)) == account.next_seq - 1
        assert store.states() == {"d1": b"199"}
        assert_accounts(store)
    with closing(on(disk, tmp_path)) as store:
        assert store.lanes[READINGS] == account


def test_a_disk_that_has_room_again_takes_the_next_commit_and_nothing_more_is_dropped(tmp_path: Path, disk: Disk) -> None:
    with closing(on(disk, tmp_path, reserve_bytes=1 << 20)) as store:
        for n in range(200):
            store.commit(readings(200, first=200 * n), [], {}, T0)
        disk.room = sum(disk.sizes.values()) + (1 << 20) + 20_000
        n = 200
        while not store.lanes[READINGS].lost:
            store.commit(readings(200, first=200 * n), [], {}, T0)
            n += 1
        lost = store.lanes[READINGS].lost
        disk.room = None
        for more in range(200):
            store.commit(readings(200, first=200 * (n + more)), [], {}, T0)
        assert store.lanes[READINGS].lost == lost
        assert_accounts(store)


def test_a_disk_without_any_room_refuses_the_commit_and_leaves_the_store_as_it_was(tmp_path: Path, disk: Disk) -> None:
    with closing(on(disk, tmp_path)) as store:
        store.commit(readings(3), [], {}, T0)
        before, disk.is_stuck = store.lanes, True
        for _ in range(3):
            with pytest.raises(apsw.FullError):
                store.commit(readings(5000), [result("a")], {}, T0)
            assert store.lanes == before
            assert_accounts(store)
        disk.is_stuck = False
        store.commit(readings(500), [result("a")], {}, T0 + 61 * SECOND_NS)
        assert store.lanes[READINGS].depth == 503
        assert_accounts(store)


async def test_an_acknowledgement_that_the_disk_has_no_room_for_is_left_to_the_next_one(tmp_path: Path, disk: Disk) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", limits(), ManualClock(), vfs=disk.name)
    await outbox.commit(readings(10))
    word = Ack(gateway="gw1", epoch=outbox.epoch, lane=READINGS, cumulative=10)
    disk.is_stuck = True
    await outbox.ack(word)
    assert outbox.accounts[READINGS].depth == 10
    disk.is_stuck = False
    await outbox.ack(word)
    assert outbox.accounts[READINGS].depth == 0
    await outbox.close()


async def test_what_a_restored_cloud_said_before_does_not_come_back_with_a_failed_commit(tmp_path: Path, disk: Disk) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", limits(), ManualClock(), vfs=disk.name)
    await outbox.commit(readings(10))
    outbox.ack_soon(Ack(gateway="gw1", epoch=outbox.epoch, lane=READINGS, cumulative=10))
    disk.is_stuck = True
    failed, _ = await asyncio.gather(outbox.commit(readings(1)), outbox.rewind(READINGS, 0), return_exceptions=True)
    assert isinstance(failed, apsw.FullError)
    disk.is_stuck = False
    assert not outbox.owes
    await outbox.commit(readings(1, first=10))
    assert outbox.accounts[READINGS].depth == 11
    await outbox.close()


@pytest.mark.parametrize("failures", [1, 2, 3])
async def test_after_a_failed_sync_nothing_is_said_and_the_file_is_read_back(tmp_path: Path, disk: Disk, failures: int) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", limits(), ManualClock(), vfs=disk.name)
    await outbox.commit(readings(3))
    first, said = outbox._store, 3
    disk.failing_syncs = failures
    for _ in range(failures):
        with suppress(apsw.IOError):
            await outbox.commit(readings(1))
            said += 1
    # What was said to be there is; what was not may be, for only the disk knows.
    assert said <= outbox.accounts[READINGS].depth <= 3 + failures
    assert disk.failing_syncs == 0
    assert outbox._store is not first
    committed = outbox.accounts[Lane.READINGS].depth
    await outbox.commit(readings(1, first=9))
    assert list(held(outbox._store, READINGS)) == list(range(1, committed + 2))
    assert_accounts(outbox._store)
    await outbox.close()


def test_each_commit_is_synced_before_it_is_said_to_be_there(tmp_path: Path, disk: Disk) -> None:
    with closing(on(disk, tmp_path)) as store:
        for _ in range(5):
            before = disk.syncs
            store.commit(readings(1), [], {}, T0)
            assert disk.syncs > before


def test_the_reserve_is_really_taken_and_given_up_and_taken_again_at_most_once_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "reserve"
    reserve = Reserve(path, 1 << 20)
    reserve.take(0)
    assert reserve.is_whole
    assert path.stat().st_blocks * 512 >= 1 << 20
    assert Reserve(path, 1 << 20).is_whole
    reserve.let_go(5 * SECOND_NS)
    assert not path.exists()
    reserve.take(64 * SECOND_NS)
    assert not path.exists()
    reserve.take(65 * SECOND_NS)
    assert reserve.is_whole


def test_a_reserve_that_the_disk_has_no_room_for_is_done_without(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 1 << 60)
    reserve.take(0)
    assert not reserve.is_whole
    assert not (tmp_path / "reserve").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 32 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_real_full_disk_the_reserve_makes_room_and_sampling_goes_on(small_disk: Path) -> None:
    with closing(open_(small_disk / "box", reserve_bytes=8 << 20)) as store:
        assert (small_disk / "box" / "outbox.reserve").stat().st_blocks * 512 == 8 << 20
        for n in range(50):
            store.commit(readings(500, first=500 * n), [], {}, T0)
        filler = small_disk / "others"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        before = store.lanes[READINGS].next_seq
        for n in range(400):
            store.commit(readings(500, first=before + 500 * n), [result(str(n))], {}, T0 + n * SECOND_NS)
        assert store.lanes[READINGS].next_seq == before + 200_000
        assert store.squeezed > 0
        assert not (small_disk / "box" / "outbox.reserve").exists()
        assert store.lanes[EVENTS].lost == 0
        assert_accounts(store)
        filler.unlink()
        store.commit(readings(1), [], {}, T0 + 1000 * SECOND_NS)
        assert (small_disk / "box" / "outbox.reserve").exists()


def test_an_outbox_opens_on_a_full_disk_with_the_room_of_the_reserve(small_disk: Path) -> None:
    open_(small_disk / "other", reserve_bytes=0).close()
    with closing(open_(small_disk / "box", reserve_bytes=8 << 20)) as store:
        store.commit(readings(500), [], {}, T0)
    # A new outbox in place of a deleted one needs room.
    (small_disk / "box" / "outbox.db").unlink()
    with (small_disk / "others").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    with closing(open_(small_disk / "box", reserve_bytes=8 << 20)) as store:
        store.commit(readings(500), [], {}, T0)
        assert len(held(store, READINGS)) == 500


_OPENER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from edge_agent_parts import readings, T0
from outbox_parts import READINGS, open_
from telemetry.wire import Ack
def memory(what):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(what))
open_(Path({empty!r})).close()
Path("/proc/self/clear_refs").write_text("5")
before, began = memory("VmRSS"), time.perf_counter()
store = open_(Path({folder!r}), 8 << 30)
took_s = time.perf_counter() - began
after = 0
for _ in range(50):
    blocks = store.next_blocks(READINGS, after, 192 * 1024, T0)
    after = blocks[-1].last_seq
    store.commit(readings(100), [], {{}}, T0)
    store.ack(Ack(gateway="gw1", epoch=store.epoch, lane=READINGS, cumulative=after), T0)
    store.spans(), store.oldest_ns(), store.losses(10)
print(took_s, memory("VmHWM") - before)
store.close()
"""


@pytest.mark.parametrize("megabytes", [pytest.param(100, id="100 MB"), pytest.param(2500, marks=pytest.mark.slow, id="2.5 GB")])
def test_memory_and_opening_do_not_grow_with_the_backlog(tmp_path: Path, megabytes: int) -> None:
    box = tmp_path / "box"
    with closing(open_(box, 8 << 30)) as store:
        store._db.execute("PRAGMA synchronous = OFF")
        some = [reading(n, {"text": "x" * 1000}) for n in range(2000)]
        while store.lanes[READINGS].bytes < megabytes << 20:
            store.commit(some, [], {}, T0)
    script = _OPENER.format(tests=str(Path(__file__).parent), empty=str(tmp_path / "empty"), folder=str(box))
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    took_s, peak = (float(word) for word in said.stdout.split())
    assert took_s < 1.0
    assert peak < 16 << 20
