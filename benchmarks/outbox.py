"""The outbox by itself: how fast it commits, how much it writes to the disk, what a large backlog costs the agent.

Speed and wear are measured on the real store in a folder on a real disk, beside bare SQLite files that get the same
bytes. Start and memory are measured from outside, on a whole agent in a process of its own: see `benchmarks.backlog`.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec

from benchmarks.backlog import StartFigures, build_backlog, measure_start
from benchmarks.load import GATEWAY, VALUES_EACH, Street
from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
from telemetry.clock import SystemClock
from telemetry.records import Lane
from telemetry.wire import Ack, encode, group_readings

__all__ = ["CommitFigures", "OutboxFigures", "WearFigures", "measure_outbox"]

_BLOCK = 500
_READINGS_PER_S = 10
"""The load that the disk's wear is promised for."""
_DAY_READINGS = _READINGS_PER_S * 86_400
_WEAR_GROUPS = (1, 10, 60)
"""Readings in one commit; 10 is one commit a second at the promised load."""
_WEAR_COMMITS_PER_S = 150
"""For each second of measuring: ten of them are the commits of 25 minutes, several turns of the log."""
_ACK_LAG = 20
"""Commits that wait for the cloud's word while others are written."""


class CommitFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Synced commits of so many readings each, one after the other."""

    readings_per_commit: int
    commits_per_s: float
    readings_per_s: float


class WearFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What reaches the disk for each reading, acknowledged and deleted again, and for a day of ten readings a second.

    Beside it bare SQLite with the same bytes: a rollback journal with a transaction for each group, and a write-ahead
    log with a transaction for each reading. None where the folder is not on a disk whose writes the kernel counts.
    """

    readings_per_commit: int
    payload_bytes_per_reading: float
    disk_bytes_per_reading: float | None
    disk_mb_per_day: float | None
    bare_rollback_mb_per_day: float | None
    bare_wal_single_mb_per_day: float | None


class OutboxFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run."""

    values_per_reading: int
    commits: list[CommitFigures]
    wear: list[WearFigures]
    backlog_bytes: int
    backlog_readings: int
    build_readings_per_s: float
    empty: StartFigures
    backlog: StartFigures
    rss_growth_mb: float


def measure_outbox(backlog_gb: float, seconds: float, progress: Callable[[str, float], None]) -> OutboxFigures:
    """Measures everything; `progress` is told what is under way and the share that is done.

    The disk is the one that temporary files lie on. Raises `benchmarks.servers.ServerMissingError` without a mosquitto.
    """
    with tempfile.TemporaryDirectory(prefix="citynerve-bench-") as name:
        folder = Path(name)
        commits = []
        for at, size in enumerate((_BLOCK, 1)):
            progress("commits", at / 2)
            commits.append(_commit(folder / f"commit-{size}", size, seconds))
        wear = []
        for at, group in enumerate(_WEAR_GROUPS):
            progress("wear", at / len(_WEAR_GROUPS))
            wear.append(_wear(folder / f"wear-{group}", group, round(seconds * _WEAR_COMMITS_PER_S)))
        progress("start of an empty agent", 0)
        empty = measure_start(folder / "empty", seconds)
        began = time.perf_counter()
        size, readings = build_backlog(folder / "full", round(backlog_gb * 1e9), lambda share: progress("backlog", share))
        built = readings / (time.perf_counter() - began)
        progress("start with the backlog", 0)
        full = measure_start(folder / "full", seconds)
    return OutboxFigures(
        values_per_reading=VALUES_EACH,
        commits=commits,
        wear=wear,
        backlog_bytes=size,
        backlog_readings=readings,
        build_readings_per_s=round(built),
        empty=empty,
        backlog=full,
        rss_growth_mb=round(full.rss_peak_mb - empty.rss_peak_mb, 1),
    )


def _commit(folder: Path, size: int, seconds: float) -> CommitFigures:
    street, clock = Street(), SystemClock()
    store = open_store(folder, GATEWAY, OutboxLimits(), clock.wall_ns())
    commits, began = 0, time.perf_counter()
    try:
        while time.perf_counter() - began < seconds:
            store.commit(street.readings(size), [], {}, clock.wall_ns())
            commits += 1
        spent = time.perf_counter() - began
    finally:
        store.close()
    return CommitFigures(
        readings_per_commit=size, commits_per_s=round(commits / spent, 1), readings_per_s=round(commits * size / spent)
    )


def _wear(folder: Path, group: int, commits: int) -> WearFigures:
    folder.mkdir()
    payload, written = _written_by_outbox(folder / "outbox", group, commits)
    rollback = _written_by_bare(folder / "rollback.db", "DELETE", group, commits)
    single = _written_by_bare(folder / "single.db", "WAL", 1, commits)
    on_disk = min(written, rollback, single) > 0
    return WearFigures(
        readings_per_commit=group,
        payload_bytes_per_reading=round(payload, 1),
        disk_bytes_per_reading=round(written, 1) if on_disk else None,
        disk_mb_per_day=_mb_per_day(written) if on_disk else None,
        bare_rollback_mb_per_day=_mb_per_day(rollback) if on_disk else None,
        bare_wal_single_mb_per_day=_mb_per_day(single) if on_disk else None,
    )


def _mb_per_day(bytes_per_reading: float) -> float:
    return round(bytes_per_reading * _DAY_READINGS / 1e6)


def _written_by_outbox(folder: Path, group: int, commits: int) -> tuple[float, float]:
    """Bytes of payload and bytes on the disk for each reading, each commit with an acknowledgement, as the agent makes them."""
    street, clock = Street(), SystemClock()
    store = open_store(folder, GATEWAY, OutboxLimits(keep_bytes=2_000_000), clock.wall_ns())
    try:
        before, held = _written_bytes(), store.lanes[Lane.READINGS].bytes
        for done in range(1, commits + 1):
            cumulative = max(0, done - 1 - _ACK_LAG) * group
            ack = Ack(gateway=GATEWAY, epoch=store.epoch, lane=Lane.READINGS, cumulative=cumulative)
            store.commit(street.readings(group), [], {}, clock.wall_ns(), acks=[ack])
            if done == _ACK_LAG:
                held = store.lanes[Lane.READINGS].bytes
        written = _written_bytes() - before
    finally:
        store.close()
    return held / (_ACK_LAG * group), written / (commits * group)


def _written_by_bare(path: Path, journal: str, group: int, commits: int) -> float:
    """Bytes on the disk for each reading of a table that gets one row a commit and loses the oldest one."""
    street = Street()
    with _bare(path, journal) as db:
        before = _written_bytes()
        for done in range(1, commits + 1):
            payload = encode(group_readings(GATEWAY, "0" * 32, done * group, street.readings(group)))
            db.execute("INSERT INTO record (payload) VALUES (?)", (payload,))
            if done > _ACK_LAG:
                db.execute("DELETE FROM record WHERE id = ?", (done - _ACK_LAG,))
        return (_written_bytes() - before) / (commits * group)


@contextmanager
def _bare(path: Path, journal: str) -> Iterator[apsw.Connection]:
    db = apsw.Connection(str(path))
    try:
        db.execute(f"PRAGMA journal_mode = {journal}; PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)")
        yield db
    finally:
        db.close()


def _written_bytes() -> int:
    """What this process has sent towards block devices, in bytes (proc(5), io)."""
    for line in Path("/proc/self/io").read_text("ascii").splitlines():
        name, _, value = line.partition(": ")
        if name == "write_bytes":
            return int(value)
    return 0
