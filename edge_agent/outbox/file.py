"""The file under the outbox: who may open it, how it is opened, what is in it."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import apsw
import msgspec

from telemetry.reason import Reason
from telemetry.records import Lane

__all__ = [
    "SCHEMA",
    "LaneAccount",
    "OutboxError",
    "OversizedError",
    "connect",
    "inspect",
    "load_lanes",
    "sync_folder",
    "take_lock",
]

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE lane (
    lane TEXT PRIMARY KEY, next_seq INTEGER NOT NULL, cumulative INTEGER NOT NULL,
    acked INTEGER NOT NULL, quarantined INTEGER NOT NULL, lost INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE block (
    key INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, bytes INTEGER NOT NULL,
    time_from INTEGER NOT NULL, time_to INTEGER NOT NULL, crc32 INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE quarantine (key INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE state (device TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
"""


_COLUMNS = ("next_seq", "cumulative", "acked", "quarantined", "lost", "bytes")


class OversizedError(ValueError):
    """A record that is longer than a block may be; it was neither numbered nor stored."""

    reason = Reason.OVERSIZED


class OutboxError(RuntimeError):
    """The outbox cannot be used as configured; the message says what to do."""


class LaneAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Where every record of one lane is. `cumulative`: the cloud has everything up to it.

    `bytes` of payload are held for the cloud, `kept_bytes` are acknowledged and kept in case it forgets them.
    """

    next_seq: int = 1
    cumulative: int = 0
    acked: int = 0
    quarantined: int = 0
    lost: int = 0
    bytes: int = 0
    kept_bytes: int = 0

    @property
    def depth(self) -> int:
        """Records still held."""
        return self.next_seq - 1 - self.acked - self.quarantined - self.lost


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def inspect(folder: Path) -> tuple[str, Mapping[Lane, LaneAccount]]:
    """The epoch and accounts of an outbox that no agent has open; OutboxError where there is none to look at."""
    path = folder / "outbox.db"
    if not path.exists():
        raise OutboxError(f"{path}: no outbox yet; it is made when the agent first runs")
    lock = take_lock(folder)
    try:
        db = connect(path)
        try:
            return str(db.execute("SELECT value FROM meta WHERE key = 'epoch'").get), load_lanes(db)
        finally:
            db.close()
    except apsw.Error as error:
        raise OutboxError(f"{path}: {error}; the agent sets a damaged outbox aside when it starts") from error
    finally:
        lock.close()


def load_lanes(db: apsw.Connection) -> dict[Lane, LaneAccount]:
    columns = ", ".join(_COLUMNS)
    rows = db.execute(f"SELECT lane, {columns} FROM lane")  # noqa: S608 - the names are this module's own
    return {Lane(name): LaneAccount(**dict(zip(_COLUMNS, row, strict=True))) for name, *row in rows}


def take_lock(folder: Path) -> TextIO:
    handle = (folder / "outbox.lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise OutboxError(f"{folder}: another agent (process {owner}) uses this data_dir; stop it first") from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def connect(path: Path, vfs: str | None = None) -> apsw.Connection:
    db = apsw.Connection(str(path), vfs=vfs)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 4194304")
    except BaseException:
        db.close()
        raise
    return db
