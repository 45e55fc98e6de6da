"""The file under the outbox: who may open it, how it is opened, of what form it is.

The form of an earlier version is brought to the present one in place, in one transaction, without touching a block.
"""

import fcntl
import os
from functools import cache
from pathlib import Path
from typing import TextIO

import apsw
import msgspec

from edge_agent.outbox.accounts import LaneAccount, LaneBook
from edge_agent.outbox.facts import DamagedError, Facts, checksum
from edge_agent.outbox.spans import union
from telemetry.reason import Reason
from telemetry.records import Lane

__all__ = [
    "BASE",
    "EARLIER_PAGE_BYTES",
    "EARLIER_SCHEMA",
    "PAGE_BYTES",
    "SCHEMA",
    "WIDTH",
    "Identity",
    "LaneAccount",
    "OutboxError",
    "OversizedError",
    "connect",
    "create",
    "earlier_book",
    "form_of",
    "read_book",
    "read_books",
    "sync_folder",
    "take_lock",
    "upgrade",
    "write_book",
]

PAGE_BYTES = 1024
"""Small: a commit a second rewrites whole pages, and a third as many bytes reach the flash as with SQLite's usual 4096."""
EARLIER_PAGE_BYTES = 4096
"""A file keeps the pages that it was made with."""

BASE = {Lane.EVENTS: 0, Lane.READINGS: 1 << 61}
"""A block's key is its lane's base plus its first number: one b-tree, in order, no second index."""
WIDTH = 1 << 61

_TABLES = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE clock (id INTEGER PRIMARY KEY, segment BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE loss (
    n INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at_ns INTEGER NOT NULL, crc INTEGER NOT NULL, record BLOB NOT NULL
);
"""
_STATE = "CREATE TABLE state (device TEXT PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;"
SCHEMA = f"""{_TABLES}{_STATE}
CREATE TABLE block (
    key INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, bytes INTEGER NOT NULL,
    time_from INTEGER NOT NULL, time_to INTEGER NOT NULL, clock INTEGER NOT NULL, mono_ns INTEGER NOT NULL,
    thinned INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL
);
"""
EARLIER_SCHEMA = """
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
_UPGRADE = f"""
ALTER TABLE block RENAME COLUMN crc32 TO crc;
ALTER TABLE block ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN mono_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state RENAME TO earlier_state;
{_TABLES}{_STATE}
"""
_FINISH = "DROP TABLE earlier_state; DROP TABLE meta; DROP TABLE lane; DROP TABLE quarantine;"


class OversizedError(ValueError):
    """A record that is longer than a block may be; it was neither numbered nor stored."""

    reason = Reason.OVERSIZED


class OutboxError(RuntimeError):
    """The outbox cannot be used as configured; the message says what to do."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose records these are, and since when; the fact "outbox"."""

    gateway: str
    epoch: str
    created_ns: int


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def take_lock(folder: Path) -> TextIO:
    """The lock of a folder's outbox, held until it is closed; OutboxError where another process has it."""
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
    """The only connection to a file, every commit synced."""
    db = apsw.Connection(str(path), vfs=vfs)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 4194304")
    except BaseException:
        db.close()
        raise
    return db


def form_of(db: apsw.Connection) -> str:
    """ "empty", "earlier" or "present"; DamagedError where the tables are none of these."""
    if int(db.pragma("auto_vacuum") or 0) or str(db.pragma("encoding")) != "UTF-8":
        raise DamagedError("the file's header is not what was written")
    tables = _tables_of(db)
    if not tables and int(db.pragma("page_count") or 0) <= 1:
        return "empty"
    for form in ("present", "upgraded", "earlier"):
        if tables == _tables(form):
            return "earlier" if form == "earlier" else "present"
    raise DamagedError(f"tables {sorted(tables)}: not those of an outbox")


def _tables_of(db: apsw.Connection) -> dict[str, str]:
    return {str(name): str(sql) for name, sql in db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")}


@cache
def _tables(form: str) -> dict[str, str]:
    db = apsw.Connection(":memory:")
    try:
        db.execute(SCHEMA if form == "present" else EARLIER_SCHEMA)
        if form == "upgraded":
            db.execute(_UPGRADE + _FINISH)
        return _tables_of(db)
    finally:
        db.close()


def create(db: apsw.Connection, identity: Identity) -> None:
    """Make the tables and first facts, inside the open transaction."""
    db.execute(SCHEMA)
    _first_facts(Facts(db), identity, counter=0, states=0)
    for lane in Lane:
        write_book(Facts(db), lane, LaneBook(), None)


def upgrade(db: apsw.Connection) -> None:
    """Bring the earlier form to the present one, inside the open transaction. Blocks stay as they are."""
    meta = {str(key): str(value) for key, value in db.execute("SELECT key, value FROM meta")}
    books = {lane: earlier_book(db, lane) for lane in Lane}
    db.execute(_UPGRADE)
    states = 0
    for device, data in list(db.execute("SELECT device, data FROM earlier_state")):
        crc = checksum(device.encode(), data)
        states += crc
        db.execute("INSERT INTO state VALUES (?, ?, ?)", (device, crc, data))
    try:
        identity = Identity(gateway=meta["gateway"], epoch=meta["epoch"], created_ns=int(meta["created_ns"]))
        _first_facts(Facts(db), identity, counter=int(meta.get("command_counter", 0)), states=states)
    except (KeyError, ValueError) as error:
        raise DamagedError(f"the outbox does not say whose it is: {error!r}") from error
    for lane, book in books.items():
        write_book(Facts(db), lane, book, None)
    db.execute(_FINISH)


def earlier_book(db: apsw.Connection, lane: Lane) -> LaneBook:
    """An earlier account: there a block's records were settled when the last of them was."""
    columns = ("next_seq", "cumulative", "acked", "quarantined", "lost", "bytes")
    row = db.execute(f"SELECT {', '.join(columns)} FROM lane WHERE lane = ?", (lane,)).fetchone()  # noqa: S608 - names above
    if row is None or not all(isinstance(value, int) for value in row):
        raise DamagedError(f"no account of lane {lane}")
    account = LaneAccount(**dict(zip(columns, row, strict=True)))
    # What is in no block was settled. Only keys are read, and only here, once in a file's life.
    base, gone, at = BASE[lane], list[tuple[int, int]](), 1
    bounds = (base, base + WIDTH)
    for key, last_seq in db.execute("SELECT key, last_seq FROM block WHERE key > ? AND key < ? ORDER BY key", bounds):
        gone.append((at, key - base - 1))
        at = last_seq + 1
    gone.append((at, account.next_seq - 1))
    refused = [(key - base, key - base) for (key,) in db.execute("SELECT key FROM quarantine WHERE key > ? AND key < ?", bounds)]
    book = LaneBook(account=msgspec.structs.replace(account, cumulative=0), done=union(tuple(gone)))
    return book.acknowledged(account.cumulative, (), union(tuple(refused)))[0]


def _first_facts(facts: Facts, identity: Identity, *, counter: int, states: int) -> None:
    facts.put("outbox", identity)
    facts.put("counter", counter)
    facts.put("states", states)
    facts.put("rescue", None)


def read_books(facts: Facts) -> dict[Lane, LaneBook]:
    """The lanes' accounts; DamagedError where they cannot be read."""
    return {lane: read_book(facts, lane) for lane in Lane}


def read_book(facts: Facts, lane: Lane) -> LaneBook:
    """One lane's account; DamagedError where it cannot be read."""
    account = facts.get(f"lane.{lane}", LaneAccount)
    return msgspec.structs.replace(facts.get(f"done.{lane}", LaneBook), account=account)


def write_book(facts: Facts, lane: Lane, book: LaneBook, before: LaneBook | None) -> None:
    """Write what has changed of a lane's account, inside the open transaction."""
    if before is None or book.account != before.account:
        facts.put(f"lane.{lane}", book.account)
    if before is None or (book.done, book.refused, book.left) != (before.done, before.refused, before.left):
        facts.put(f"done.{lane}", msgspec.structs.replace(book, account=LaneAccount()))
