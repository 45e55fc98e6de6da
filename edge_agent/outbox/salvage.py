"""An outbox that cannot go on as it is: set aside, carried over as far as it can be read, told to the cloud.

The file is renamed to `outbox.salvage.N` and stays under that name until all that can be read of it is in the new file,
under a new epoch: each block together with how far the rescue has come, so that it may be interrupted at any point. What
the old epoch had numbered and nobody had settled is then declared: renumbered where it was carried over, lost where not.
The agent does all this by itself. Copies that are finished with stay for a person to look at, a few of them.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

import apsw

from edge_agent.config import OutboxLimits
from edge_agent.outbox.accounts import LaneBook
from edge_agent.outbox.blocks import Row, split_key
from edge_agent.outbox.clocks import UNTOLD, ClockStamp
from edge_agent.outbox.damaged import DAMAGE, Copy
from edge_agent.outbox.file import sync_folder
from edge_agent.outbox.mark import Mark, read_mark
from edge_agent.outbox.reserve import RESERVE_FILE, is_disk_full
from edge_agent.outbox.spans import Spans, difference, union
from edge_agent.outbox.store import Rescue, Store
from telemetry.reason import Reason
from telemetry.records import Lane, LossRecord

__all__ = ["DAMAGE", "open_again", "open_store", "renew_store", "reopen_store"]

logger = logging.getLogger(__name__)

_KEPT_COPIES = 2
"""How many damaged files are kept for a person to look at; older ones are deleted."""
_BLOCKS_AT_ONCE = 16
"""Blocks that are carried over in one transaction."""
_Books = dict[Lane, LaneBook | None]
_EPOCH_FILE = "outbox.epoch"
_MARK_FILE = "outbox.mark"
_BESIDE = ("-wal", "-mark")


def open_store(
    folder: Path, gateway: str, limits: OutboxLimits, now_ns: int, *, stamp: ClockStamp = UNTOLD, vfs: str | None = None
) -> Store:
    """The outbox of `folder`: opened, made, or rebuilt from a damaged one; on a full disk with the room of the reserve.

    Raises OutboxError where another process holds it or it belongs to another gateway.
    """
    make = partial(Store, folder, gateway, limits, now_ns, stamp=stamp, vfs=vfs)
    try:
        return _opened(folder, make, now_ns)
    except (apsw.FullError, apsw.IOError, OSError) as error:
        if not is_disk_full(error):
            raise
        logger.warning("the disk is full: opening with the room of the reserve", extra={"event": "outbox.disk_full"})
        (folder / RESERVE_FILE).unlink(missing_ok=True)
        return _opened(folder, make, now_ns)


def _opened(folder: Path, make: Callable[[], Store], now_ns: int) -> Store:
    folder.mkdir(parents=True, exist_ok=True)
    _finish_set_aside(folder)
    noted = _noted_epoch(folder)
    try:
        store = make()
    except DAMAGE:
        copy = _set_aside(folder)
        extra = {"event": "outbox.damaged", "copy": str(copy)}
        logger.exception("the outbox is damaged: set aside, a new epoch begins", extra=extra)
        store = make()
    mark = read_mark(folder / _MARK_FILE)
    if mark is not None and mark.epoch == store.epoch and _is_behind(store, mark):
        extra = {"event": "outbox.behind", "epoch": store.epoch, "mark": str(mark.next_seqs), "lanes": str(store.lanes)}
        logger.error("the outbox has lost what it had synced: set aside, a new epoch begins", extra=extra)
        store.close()
        _set_aside(folder)
        store = make()
    try:
        _carry_all(store, noted, now_ns)
        _note_epoch(folder, store.epoch)
    except BaseException:
        store.close()
        raise
    return store


def renew_store(store: Store, now_ns: int) -> Store:
    """Close a store, set its file aside and carry all that is held of it into a new epoch.

    For a file that broke while in use, and for one that was restored from an old copy, or cloned: its next numbers may
    already have been given to others.
    """
    store.close()
    _set_aside(store.path.parent)
    return open_again(store, now_ns)


def reopen_store(store: Store, now_ns: int) -> Store:
    """Close and open again: after a failed sync only what is read back from the disk is known to be there."""
    store.close()
    return open_again(store, now_ns)


def open_again(store: Store, now_ns: int) -> Store:
    """Open anew the outbox of a store that was closed."""
    return open_store(store.path.parent, store.gateway, store.limits, now_ns, stamp=store.stamp, vfs=store.vfs)


def _is_behind(store: Store, mark: Mark) -> bool:
    return mark.counter > store.counter or any(
        mark.next_seqs.get(lane, 1) > account.next_seq for lane, account in store.lanes.items()
    )


# Setting aside: a few renames, the database's last; whatever interrupts them, the next start finishes them.


def _set_aside(folder: Path) -> Path:
    numbers = [int(path.name.split(".")[2]) for path in folder.glob("outbox.*.*") if path.name.split(".")[2].isdigit()]
    copy = folder / f"outbox.salvage.{max(numbers, default=0) + 1}"
    _rename(folder, copy)
    return copy


def _rename(folder: Path, copy: Path) -> None:
    for name, beside in (("outbox.db-wal", "-wal"), (_MARK_FILE, "-mark"), ("outbox.db", "")):
        with suppress(FileNotFoundError):
            (folder / name).rename(f"{copy}{beside}")
        sync_folder(folder)


def _finish_set_aside(folder: Path) -> None:
    for beside in _BESIDE:
        for path in folder.glob(f"outbox.salvage.*{beside}"):
            copy = path.with_name(path.name.removesuffix(beside))
            if not copy.exists() and (folder / "outbox.db").exists():
                _rename(folder, copy)


def _unfinished(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("outbox.salvage.*") if path.name.rsplit(".", 1)[1].isdigit()]
    return sorted(found, key=lambda path: int(path.name.rsplit(".", 1)[1]))


def _finish(copy: Path, *, keep: bool) -> None:
    """The copy has given all it had."""
    folder = copy.parent
    number = copy.name.rsplit(".", 1)[1]
    for beside in _BESIDE:
        Path(f"{copy}{beside}").unlink(missing_ok=True)
    if keep:
        copy.rename(folder / f"outbox.damaged.{number}")
    else:
        copy.unlink(missing_ok=True)
    done = sorted(int(path.name.rsplit(".", 1)[1]) for path in folder.glob("outbox.damaged.*") if path.suffix[1:].isdigit())
    for old in done[:-_KEPT_COPIES]:
        (folder / f"outbox.damaged.{old}").unlink()
    sync_folder(folder)


# Carrying over.


def _carry_all(store: Store, noted: str, now_ns: int) -> None:
    folder = store.path.parent
    copies = _unfinished(folder)
    fresh = all(account.next_seq == 1 for account in store.lanes.values())
    if not copies and fresh and noted not in {"", store.epoch}:
        logger.error("the outbox is gone: a new epoch begins", extra={"event": "outbox.gone", "epoch": noted})
        mark = read_mark(folder / _MARK_FILE)
        store.commit([], _losses(noted, dict.fromkeys(Lane), {}, mark, now_ns), {}, now_ns)
    for copy in copies:
        try:
            _carry(store, copy, noted, now_ns)
        except (apsw.FullError, apsw.IOError, OSError) as error:
            if not is_disk_full(error):
                raise
            extra = {"event": "outbox.rescue_waits", "copy": str(copy)}
            logger.exception("no room to carry the old outbox over; the next start goes on with it", extra=extra)
            return
        extra = {"event": "outbox.rebuilt", "epoch": store.epoch, "copy": str(copy), "lanes": str(store.lanes)}
        logger.warning("the outbox was rebuilt", extra=extra)


def _carry(store: Store, path: Path, noted: str, now_ns: int) -> None:
    """Copy block by block: memory stays at a few blocks however large the file is."""
    rescue = store.rescue
    if rescue is None or rescue.copy != path.name:
        rescue = Rescue(copy=path.name, noted=noted)
    if rescue.is_done:
        _finish(path, keep=not rescue.is_whole)
        return
    copy = Copy(path)
    try:
        books = {lane: copy.book(lane) for lane in Lane}
        rows = copy.rows(rescue.above, rescue.below)
        while some := list(islice(rows, _BLOCKS_AT_ONCE)):
            rescue = _carry_some(store, copy, books, some, rescue, now_ns)
        epoch = copy.epoch or rescue.noted or "unknown"
        mark = read_mark(Path(f"{path}-mark"))
        losses = _losses(epoch, books, rescue.carried, mark, now_ns)
        is_whole = copy.is_whole and all(loss.reason is Reason.RENUMBERED for loss in losses)
        with store.rescuing(now_ns) as ledger:
            ledger.remember(copy.states())
            ledger.add_events(losses, store.now(now_ns))
            ledger.facts.put("counter", max(store.counter, copy.counter, 0 if mark is None else mark.counter))
            for boot_id, offset_ns in copy.fixed().items():
                ledger.clocks.fix(boot_id, offset_ns)
            ledger.facts.put("rescue", rescue.finished(is_whole=is_whole))
    finally:
        copy.close()
    _finish(path, keep=not is_whole)


def _carry_some(store: Store, copy: Copy, books: _Books, rows: list[tuple[Row, bool]], rescue: Rescue, now_ns: int) -> Rescue:  # noqa: PLR0917 - the state of one loop
    """Some blocks and how far that brings the rescue, in one transaction."""
    with store.rescuing(now_ns) as ledger:
        for row, from_back in rows:
            lane, first = split_key(row.key)
            book = books[lane]
            wanted: Spans = ((first, row.last_seq),) if book is None else book.open_in(first, row.last_seq)
            wanted = difference(wanted, rescue.carried.get(lane, ()))
            readings, events = copy.records(row, wanted)
            if readings:
                ledger.add_readings(readings, copy.stamp(row), row.mono_ns, thinned=bool(row.thinned))
            if events:
                ledger.add_events(events, store.now(now_ns), copy.stamp(row))
            rescue = rescue.after(row.key, wanted if readings or events else (), from_back=from_back)
        ledger.facts.put("rescue", rescue)
    return rescue


# Telling.


def _losses(epoch: str, books: _Books, carried: dict[Lane, Spans], mark: Mark | None, now_ns: int) -> list[LossRecord]:
    """What became of the numbers of the old epoch that nobody had settled."""
    ends = mark.next_seqs if mark is not None and mark.epoch == epoch else {}
    losses: list[LossRecord] = []
    for lane, book in books.items():
        moved = carried.get(lane, ())
        end = max([ends.get(lane, 1) - 1, *(high for _, high in moved), 0 if book is None else book.account.next_seq - 1])
        lost = difference(((1, end),) if end else (), moved if book is None else union(book.settled, moved))
        if book is None and (not lost or lost[-1][1] < end):
            lost = (*lost, (end + 1, end + 1))
        losses += (_loss(lane, epoch, span, Reason.RENUMBERED, now_ns) for span in moved)
        # Where the account cannot be read there may have been more, even beyond the mark.
        losses += (_loss(lane, epoch, span, Reason.CORRUPT, now_ns, open_end=book is None and span == lost[-1]) for span in lost)
    return losses


def _loss(lane: Lane, epoch: str, span: tuple[int, int], reason: Reason, now_ns: int, *, open_end: bool = False) -> LossRecord:
    return LossRecord(
        lane=lane,
        epoch=epoch,
        seq_from=span[0],
        seq_to=span[1],
        bytes=0,
        time_from_ns=0,
        time_to_ns=now_ns,
        reason=reason,
        open_end=open_end,
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
    try:
        with draft.open("w", encoding="ascii") as file:
            file.write(epoch)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder / _EPOCH_FILE)
        sync_folder(folder)
    except OSError as error:
        if not is_disk_full(error):
            raise
        draft.unlink(missing_ok=True)
        logger.warning("no room to note the epoch: %s", error, extra={"event": "outbox.epoch_not_noted"})
