"""A damaged outbox: set aside, read as far as it goes, told to the cloud. The agent goes on by itself.

The salvaged records get new numbers in a new epoch; what the old epoch had given out and nobody has acknowledged or
salvaged is declared lost. The epoch is also kept in a file of its own, so that it is known when the database is not.
"""

import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from edge_agent.config import OutboxLimits
from edge_agent.outbox.clocks import UNTOLD, ClockStamp
from edge_agent.outbox.file import sync_folder
from edge_agent.outbox.store import Store, split_key
from edge_agent.uplink.compression import decompress
from telemetry.reason import Reason
from telemetry.records import Event, Lane, LossRecord, Reading
from telemetry.wire import WireError, decode_events, decode_readings

__all__ = ["open_store", "renew_store", "reopen_store"]

logger = logging.getLogger(__name__)

_KEPT_COPIES = 2
"""How many damaged files are kept for a person to look at; older ones are deleted."""

_DAMAGE = (apsw.NotADBError, apsw.CorruptError, apsw.SQLError, KeyError)
"""What opening a damaged file raises: not a database, broken pages, tables or rows that are not there."""

_EPOCH_FILE = "outbox.epoch"


class _Lane(msgspec.Struct):
    next_seq: int = 1
    cumulative: int = 0
    salvaged: list[tuple[int, int]] = []


class _Salvage(msgspec.Struct):
    """What a damaged file still says of itself."""

    epoch: str
    lanes: dict[Lane, _Lane]
    counter: int = 0
    states: dict[str, bytes] = {}


def open_store(
    folder: Path, gateway: str, limits: OutboxLimits, now_ns: int, *, stamp: ClockStamp = UNTOLD, vfs: str | None = None
) -> Store:
    """The outbox of `folder`: opened, made, or rebuilt from a damaged one.

    Raises OutboxError where another process holds it or it belongs to another gateway.
    """
    try:
        store = Store(folder, gateway, limits, now_ns, vfs)
    except _DAMAGE as damage:
        copy = _set_aside(folder)
        logger.exception(
            "the outbox is damaged: set aside, a new epoch begins", extra={"event": "outbox.damaged", "copy": str(copy)}
        )
        store = Store(folder, gateway, limits, now_ns, vfs)
        _refill(store, copy, _Salvage(epoch=_noted_epoch(folder), lanes={lane: _Lane() for lane in Lane}), now_ns)
        logger.warning(
            "the outbox was rebuilt",
            extra={"event": "outbox.rebuilt", "epoch": store.epoch, "damage": str(damage), "lanes": str(store.lanes)},
        )
    else:
        _miss_what_was_there(store, _noted_epoch(folder), now_ns)
    _note_epoch(folder, store.epoch)
    return store


def _miss_what_was_there(store: Store, noted_epoch: str, now_ns: int) -> None:
    """An outbox made anew where another one was known: somebody deleted or emptied the file."""
    fresh = all(account.next_seq == 1 for account in store.lanes.values())
    if fresh and noted_epoch not in {"", store.epoch}:
        logger.error("the outbox is gone: a new epoch begins", extra={"event": "outbox.gone", "epoch": noted_epoch})
        gone = _Salvage(epoch=noted_epoch, lanes={lane: _Lane() for lane in Lane})
        store.commit([], _losses(gone, now_ns), {}, now_ns)


def renew_store(store: Store, now_ns: int) -> Store:
    """Close a store, set its file aside and carry all that can be read of it into a new epoch.

    For a file that broke while in use, and for one that was restored from an old copy, or cloned: its next numbers may
    already have been given to others.
    """
    folder, gateway, limits = store.path.parent, store.gateway, store.limits
    known = _Salvage(epoch=store.epoch, lanes={lane: _Lane(it.next_seq, it.cumulative) for lane, it in store.lanes.items()})
    store.close()
    copy = _set_aside(folder)
    renewed = Store(folder, gateway, limits, now_ns, store.vfs)
    _refill(renewed, copy, known, now_ns)
    _note_epoch(folder, renewed.epoch)
    return renewed


def reopen_store(store: Store, now_ns: int) -> Store:
    """Close and open again: after a failed sync only what is read back from the disk is known to be there."""
    folder, gateway, limits = store.path.parent, store.gateway, store.limits
    store.close()
    return open_store(folder, gateway, limits, now_ns, vfs=store.vfs)


def _set_aside(folder: Path) -> Path:
    copies = sorted(int(path.suffix[1:]) for path in folder.glob("outbox.damaged.*") if path.suffix[1:].isdigit())
    number = copies[-1] + 1 if copies else 1
    copy = folder / f"outbox.damaged.{number}"
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            (folder / f"outbox.db{suffix}").rename(f"{copy}{suffix}")
    for old in copies[: 1 - _KEPT_COPIES]:
        (folder / f"outbox.damaged.{old}").unlink()
        (folder / f"outbox.damaged.{old}-wal").unlink(missing_ok=True)
    sync_folder(folder)
    return copy


def _refill(store: Store, copy: Path, found: _Salvage, now_ns: int) -> None:
    """Copy block by block: memory stays at one block however large the damaged file is.

    `found` is what is known without the file; what the file says is added to it.
    """
    db = apsw.Connection(str(copy))
    try:
        _read_facts(db, found)
        for lane, first, last, payload in _blocks(db):
            readings, events = _records(lane, payload)
            if readings or events:
                store.commit(readings, events, {}, now_ns)
                found.lanes[lane].salvaged.append((first, last))
    finally:
        db.close()
    store.commit([], _losses(found, now_ns), found.states, now_ns)
    if found.counter:
        store.advance_counter(found.counter)


def _read_facts(db: apsw.Connection, found: _Salvage) -> None:
    meta = dict(_rows(db, "SELECT key, value FROM meta"))
    found.epoch = meta.get("epoch", found.epoch)
    found.counter = int(meta.get("command_counter", 0))
    found.states = dict(_rows(db, "SELECT device, data FROM state"))
    for name, next_seq, cumulative in _rows(db, "SELECT lane, next_seq, cumulative FROM lane"):
        with suppress(ValueError):
            found.lanes[Lane(name)] = _Lane(next_seq, cumulative)


def _rows(db: apsw.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """As many rows as can be read before the damage."""
    with suppress(apsw.Error):
        yield from db.execute(query)


def _blocks(db: apsw.Connection) -> Iterator[tuple[Lane, int, int, bytes]]:
    """Every block whose checksum holds, from the front up to the damage and then from the back down to it."""
    query = "SELECT key, last_seq, crc32, payload FROM block ORDER BY key"
    highest = -1
    for key, last_seq, crc32, payload in _rows(db, query):
        highest = key
        if zlib.crc32(payload) == crc32:
            yield *split_key(key), last_seq, payload
    for key, last_seq, crc32, payload in _rows(db, f"{query} DESC"):
        if key <= highest:
            return
        if zlib.crc32(payload) == crc32:
            yield *split_key(key), last_seq, payload


def _records(lane: Lane, payload: bytes) -> tuple[list[Reading], list[Event]]:
    try:
        if lane is Lane.EVENTS:
            return [], decode_events(payload, decompress).events
        rows = [row for group in decode_readings(payload, decompress).groups for row in group.readings()]
        return [reading for _, reading in sorted(rows, key=lambda row: row[0])], []
    except WireError:
        return [], []


def _losses(found: _Salvage, now_ns: int) -> list[Event]:
    """What the old epoch had numbered and is neither acknowledged nor salvaged.

    Where not even the lanes' table could be read the upper end is unknown, and record 1 stands for all of them.
    """
    losses: list[Event] = []
    epoch = found.epoch or "unknown"
    unknown = all(lane.next_seq == 1 and not lane.salvaged for lane in found.lanes.values())
    for name, lane in found.lanes.items():
        end = max([lane.next_seq - 1, 1 if unknown else 0, *(last for _, last in lane.salvaged)])
        low = lane.cumulative + 1
        for first, last in [*sorted(lane.salvaged), (end + 1, end)]:
            if low < first:
                losses.append(_loss(name, epoch, low, first - 1, now_ns))
            low = max(low, last + 1)
    return losses


def _loss(lane: Lane, epoch: str, low: int, high: int, now_ns: int) -> LossRecord:
    return LossRecord(
        lane=lane, epoch=epoch, seq_from=low, seq_to=high, bytes=0, time_from_ns=0, time_to_ns=now_ns, reason=Reason.CORRUPT
    )


def _noted_epoch(folder: Path) -> str:
    with suppress(FileNotFoundError):
        return (folder / _EPOCH_FILE).read_text("ascii", errors="replace").strip()[:64]
    return ""


def _note_epoch(folder: Path, epoch: str) -> None:
    """Write the epoch where a broken database cannot take it along; whole or not at all."""
    if _noted_epoch(folder) == epoch:
        return
    draft = folder / f"{_EPOCH_FILE}.new"
    with draft.open("w", encoding="ascii") as file:
        file.write(epoch)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / _EPOCH_FILE)
    sync_folder(folder)
