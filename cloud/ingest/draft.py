"""What a handful of messages will change, worked out before anything is written."""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from cloud.ingest.lanes import LaneAccount, LaneKey, Ledger, Quarantined
from cloud.series.honest import without
from cloud.series.store import RowRefused
from telemetry.reason import Reason
from telemetry.records import CommandResult, Event, Lane, LossRecord, Transition
from telemetry.wire import EventsBatch, Hello, ReadingsBatch

_LONGEST_WORD = 160  # what the widest id column holds

__all__ = ["Draft", "key_of", "keys_of", "speaks_of"]


def key_of(batch: ReadingsBatch | EventsBatch) -> LaneKey:
    """The lane a batch belongs to."""
    return batch.gateway, batch.epoch, Lane.READINGS if isinstance(batch, ReadingsBatch) else Lane.EVENTS


def keys_of(batch: ReadingsBatch | EventsBatch) -> Iterator[LaneKey]:
    """Every lane whose account a batch may change."""
    yield key_of(batch)
    if isinstance(batch, EventsBatch):
        for event in batch.events:
            if isinstance(event, LossRecord):
                yield batch.gateway, event.epoch, event.lane


def speaks_of(batch: ReadingsBatch | EventsBatch) -> set[str]:
    """The devices that a batch is about."""
    if isinstance(batch, ReadingsBatch):
        return {device for group in batch.groups for device in group.devices}
    return {event.device for event in batch.events if not isinstance(event, LossRecord)}


class Draft:
    """The accounts as they will be, and what is to be written for them to be true.

    Every batch is taken once: records that are done already, in the store or in this draft, are left out. A draft has
    no effect by itself, and may be thrown away.
    """

    def __init__(self, ledger: Ledger, now_ns: int) -> None:
        self._ledger = ledger
        self._now_ns = now_ns
        self.accounts: dict[LaneKey, LaneAccount] = {}
        self.touched: set[LaneKey] = set()
        self.batches: list[ReadingsBatch] = []
        self.transitions: list[Transition] = []
        self.losses: list[tuple[str, LossRecord]] = []
        self.results: list[CommandResult] = []
        self.quarantined: list[Quarantined] = []
        self.notes: list[tuple[str, Reason, str]] = []
        self.stored = 0

    def assume(self, batch: ReadingsBatch) -> None:
        """Take a batch for done that is under way already."""
        account, last = self._account(key_of(batch)), batch.first_seq + batch.count - 1
        if account.takes(last):
            account.mark(batch.first_seq, last)

    def take(self, batch: ReadingsBatch | EventsBatch, known: Collection[str]) -> None:
        """Work out one batch; `known` are the devices its gateway may speak for."""
        key = key_of(batch)
        self.touched.add(key)
        account = self._account(key)
        count = batch.count if isinstance(batch, ReadingsBatch) else len(batch.events)
        first, last = batch.first_seq, batch.first_seq + count - 1
        if not account.takes(last):
            detail = f"{key[2]} {first} to {last} is too far above {account.watermark}"
            self.note(batch.gateway, Reason.CREDIT_EXCEEDED, detail)
            return
        gaps = account.missing(first, last)
        fresh = {seq for low, high in gaps for seq in range(low, high + 1)}
        for low, high in gaps:
            account.mark(low, high)
        if fresh and isinstance(batch, ReadingsBatch):
            self._take_readings(account, batch, fresh, known)
        elif isinstance(batch, EventsBatch):
            for offset, event in enumerate(batch.events):
                if first + offset in fresh:
                    self._take_event(account, first + offset, event, known)

    def resume(self, key: LaneKey, hello: Hello) -> None:
        """Compare a lane's account with what its gateway still holds.

        A gateway deletes only what was acknowledged. If it holds less than our watermark says, an earlier life of this
        store had those records and lost them: that is a loss of ours, and is put into the books.
        """
        self.touched.add(key)
        span = hello.lanes.get(key[2])
        if span is None:
            return
        account = self._account(key)
        if span.next_seq <= account.watermark:
            detail = f"{key[2]} would go on at {span.next_seq}, {account.watermark} records of this epoch are here"
            self.note(hello.gateway, Reason.CONFLICT, detail)
        for low, high in account.missing(1, span.first_unacked - 1):
            account.lost += account.mark(low, high)
            loss = LossRecord(
                lane=key[2],
                epoch=key[1],
                seq_from=low,
                seq_to=high,
                bytes=0,
                time_from_ns=0,
                time_to_ns=self._now_ns,
                reason=Reason.MISSING,
            )
            self.losses.append((hello.gateway, loss))

    def refuse_rows(self, rows: Collection[RowRefused]) -> None:
        """The series store refused rows for good: they go to quarantine instead of counting as stored.

        Rows that this draft does not store, since they are done already, are left alone.
        """
        for row in rows:
            batch = next((batch for batch in self.batches if _has(batch, row)), None)
            if batch is None:
                continue
            account = self._account(key_of(batch))
            account.stored -= 1
            self.stored -= 1
            self._quarantine(account, row.seq, row.reason, row.detail, _payload(batch, row.seq))

    def note(self, source: str, reason: Reason, detail: str) -> None:
        """Something to be counted as refused, or that is kept and that somebody must look at."""
        self.notes.append((source, reason, detail))

    def _take_readings(self, account: LaneAccount, batch: ReadingsBatch, fresh: set[int], known: Collection[str]) -> None:
        first = batch.first_seq
        done = set() if len(fresh) == batch.count else set(range(first, first + batch.count)) - fresh
        strange = set(_of_strangers(batch, known)) - done
        for seq in sorted(strange):
            self._quarantine(account, seq, Reason.UNKNOWN_DEVICE, "not declared by its gateway", _payload(batch, seq))
        kept = len(fresh) - len(strange)
        if kept:
            self.batches.append(without(batch, done | strange))
            account.stored += kept
            self.stored += kept

    def _take_event(self, account: LaneAccount, seq: int, event: Event, known: Collection[str]) -> None:
        wrong = _unfit(event)
        if wrong:
            self._quarantine(account, seq, Reason.BAD_FIELD, wrong, msgspec.msgpack.encode(event))
            return
        match event:
            case LossRecord():
                lost_of = self._account((account.key[0], event.epoch, event.lane))
                lost_of.lost += lost_of.mark(event.seq_from, event.seq_to)
                self.touched.add(lost_of.key)
                self.losses.append((account.key[0], event))
                account.stored += 1
            case _ if event.device not in known:
                detail = f"{event.device} is not declared by its gateway"
                self._quarantine(account, seq, Reason.UNKNOWN_DEVICE, detail, msgspec.msgpack.encode(event))
            case Transition():
                self.transitions.append(event)
                account.stored += 1
            case CommandResult():
                self.results.append(event)
                account.stored += 1

    def _quarantine(self, account: LaneAccount, seq: int, reason: Reason, detail: str, payload: bytes) -> None:
        account.refuse(seq, reason)
        self.quarantined.append(Quarantined(account.key, seq, reason, detail[:500], payload))
        self.note(account.key[0], reason, detail)

    def _account(self, key: LaneKey) -> LaneAccount:
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = self._ledger.draft(key)
        return account


def _unfit(event: Event) -> str:
    """What the contract's types allow and no store can hold, in words; empty where there is nothing."""
    numbers: dict[str, int] = {}
    words: dict[str, str] = {}
    match event:
        case LossRecord():
            numbers = {"seq_to": event.seq_to, "bytes": event.bytes, "from": event.time_from_ns, "to": event.time_to_ns}
            words = {"epoch": event.epoch}
        case Transition():
            numbers = {"n": event.n, "profile_version": event.profile_version}
            words = {"alarm": event.alarm, "rule": event.rule, "profile": event.profile, "actor": event.actor}
        case CommandResult():
            pass
    wrong = [name for name, number in numbers.items() if not 0 <= number < 2**63]
    wrong += [name for name, word in words.items() if not 0 < len(word) <= _LONGEST_WORD]
    return f"{', '.join(wrong)} too large" if wrong else ""


def _of_strangers(batch: ReadingsBatch, known: Collection[str]) -> Iterator[int]:
    for group in batch.groups:
        strange = {index for index, device in enumerate(group.devices) if device not in known}
        if strange:
            yield from (batch.first_seq + row[0] for row in group.rows if row[1] in strange)


def _has(batch: ReadingsBatch, refused: RowRefused) -> bool:
    offset = refused.seq - batch.first_seq
    return batch.gateway == refused.gateway and any(row[0] == offset for group in batch.groups for row in group.rows)


def _payload(batch: ReadingsBatch, seq: int) -> bytes:
    """One reading as a small MessagePack map, for whoever looks into the quarantine."""
    for group in batch.groups:
        for row in group.rows:
            if batch.first_seq + row[0] == seq:
                values: Mapping[str, object] = dict(zip(group.metrics, row[4], strict=True))
                shown = {"device": group.devices[row[1]], "profile": group.profile, "profile_version": group.version}
                return msgspec.msgpack.encode({**shown, "time_ns": row[2], "received_ns": row[3], "values": values})
    return b""
