"""What a handful of messages will change, worked out before anything is written."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from cloud.ingest.account import LaneAccount, LaneKey, Quarantined, Span
from cloud.ingest.decode import Broken, Delivery
from cloud.ingest.lanes import Ledger
from cloud.series.honest import without
from cloud.series.store import RowRefused
from telemetry.reason import Reason
from telemetry.records import ClockQuality, CommandResult, Event, Lane, LossRecord, Transition
from telemetry.wire import EventsBatch, LaneSpan, ReadingsBatch

__all__ = ["Draft", "Lost", "key_of", "keys_of", "speaks_of"]


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


class Lost(msgspec.Struct, frozen=True):
    """A statement of loss, and the parts of it that nothing else accounts for: only these are lost by it."""

    gateway: str
    record: LossRecord
    parts: list[Span]


class Draft:
    """The accounts as they will be, and what is to be written for them to be true.

    Every batch is taken once: records that are done already, in the store or in this draft, are left out. A draft has
    no effect by itself, and may be thrown away. `refused` and `fenced` are for the gateways' ears only.
    """

    def __init__(self, ledger: Ledger, now_ns: int) -> None:
        self._ledger = ledger
        self._now_ns = now_ns
        self.accounts: dict[LaneKey, LaneAccount] = {}
        self.touched: set[LaneKey] = set()
        self.batches: list[ReadingsBatch] = []
        self.transitions: list[Transition] = []
        self.losses: list[Lost] = []
        self.results: list[CommandResult] = []
        self.quarantined: list[Quarantined] = []
        self.notes: list[tuple[str, Reason, str]] = []
        self.refused: dict[LaneKey, list[tuple[int, int, Reason]]] = {}
        self.fenced: dict[LaneKey, Reason] = {}
        self.stored = 0
        self.lost_readings = 0

    def assume(self, batch: ReadingsBatch) -> None:
        """Take a batch for done that is under way already."""
        account, last = self._account(key_of(batch)), batch.first_seq + batch.count - 1
        if account.takes(batch.first_seq, last):
            account.mark(batch.first_seq, last)

    def take(self, delivery: Delivery, known: Collection[str]) -> None:
        """Work out one batch; `known` are the devices its gateway may speak for."""
        batch, first, last = delivery.batch, delivery.batch.first_seq, delivery.last_seq
        key = key_of(batch)
        self.touched.add(key)
        account = self._account(key)
        if account.altered(first, last, delivery.digest):
            self.fence([key], Reason.ALTERED, f"{key[2]} {first} to {last} came again as other records")
            return
        if not account.takes(first, last):
            detail = f"{key[2]} {first} to {last} would be one range too many above {account.watermark}"
            self.note(batch.gateway, Reason.CREDIT_EXCEEDED, detail)
            return
        gaps = account.missing(first, last)
        if not gaps:
            return
        fresh = {seq for low, high in gaps for seq in range(low, high + 1)}
        for low, high in gaps:
            account.mark(low, high)
        account.remember(first, last, delivery.digest)
        if isinstance(batch, ReadingsBatch):
            self._take_readings(account, batch, fresh, known)
        else:
            for offset, event in enumerate(batch.events):
                if first + offset in fresh:
                    self._take_event(account, first + offset, _doubted(event, batch), known)

    def take_broken(self, broken: Broken) -> None:
        """A batch that cannot be taken as it is: in smaller parts its good records can, and one that is alone is the bad one."""
        told = broken.envelope
        key, last = (told.gateway, told.epoch, told.lane), told.first_seq + told.count - 1
        self.touched.add(key)
        account = self._account(key)
        if not account.missing(told.first_seq, last):
            return
        if told.count > 1:
            self.refused.setdefault(key, []).append((told.first_seq, last, told.reason))
            self.note(told.gateway, told.reason, f"{told.lane} {told.first_seq} to {last}: {told.detail}")
        elif account.takes(last, last):
            account.mark(last, last)
            self._quarantine(account, last, told.reason, told.detail, broken.message)

    def disagreement(self, key: LaneKey, span: LaneSpan) -> tuple[Reason, str] | None:
        """Whether what a gateway says of its outbox can be the outbox that we know, and if not, why."""
        account = self._account(key)
        for each in span.digests:
            if account.altered(each.first_seq, each.last_seq, each.digest):
                return Reason.ALTERED, f"{key[2]} {each.first_seq} to {each.last_seq} are other records than came before"
        if span.next_seq <= account.highest:
            return Reason.ROLLED_BACK, f"{key[2]} would go on at {span.next_seq}, and {account.highest} of this epoch is here"
        return None

    def fence(self, keys: Sequence[LaneKey], reason: Reason, detail: str) -> None:
        """The epoch of these lanes is no more its gateway's own."""
        self.touched.update(keys)
        self.fenced.update(dict.fromkeys(keys, reason))
        gateway, epoch, _ = keys[0]
        self.note(gateway, reason, f"epoch {epoch}: {detail}")

    def resume(self, key: LaneKey, span: LaneSpan) -> None:
        """Compare a lane's account with what its gateway still has.

        A gateway deletes only what was acknowledged. If it has less than our watermark says, an earlier life of this
        store had those records and lost them. What the gateway kept all the same will come again; the rest is a loss of
        ours, and is put into the books.
        """
        self.touched.add(key)
        account = self._account(key)
        kept = min(span.first_kept or span.first_unacked, span.first_unacked)
        for low, high in account.missing(1, kept - 1):
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
            self._lose(key[0], loss)
        account.next_seq = max(account.next_seq, span.next_seq)

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
        match event:
            case LossRecord():
                self._lose(account.key[0], event)
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

    def _lose(self, gateway: str, loss: LossRecord) -> None:
        key = (gateway, loss.epoch, loss.lane)
        self.touched.add(key)
        parts = self._account(key).lose(loss)
        self.losses.append(Lost(gateway, loss, parts))
        if loss.lane is Lane.READINGS and loss.reason is not Reason.RENUMBERED:
            self.lost_readings += sum(high - low + 1 for low, high in parts)

    def _quarantine(self, account: LaneAccount, seq: int, reason: Reason, detail: str, payload: bytes) -> None:
        account.refuse(seq, reason)
        self.quarantined.append(Quarantined(account.key, seq, reason, detail[:500], payload))
        self.note(account.key[0], reason, detail)

    def _account(self, key: LaneKey) -> LaneAccount:
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = self._ledger.draft(key)
        return account


def _doubted(event: Event, batch: EventsBatch) -> Event:
    """A transition says so where nobody had set the clock that it was timed by."""
    if isinstance(event, Transition) and batch.clock is not None and batch.clock.quality is ClockQuality.UNSYNCED:
        # Not by a new record: one whose evidence is full already may say so, too.
        event.evidence["clock"] = batch.clock.quality.value
    return event


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
