"""What the tests of the outbox share: a store of a page, and every record that is in it."""

from collections.abc import Sequence
from pathlib import Path

from edge_agent_parts import T0

from edge_agent.config import OutboxLimits
from edge_agent.outbox.salvage import open_store
from edge_agent.outbox.spans import Spans, union
from edge_agent.outbox.store import Store
from edge_agent.uplink.compression import decompress
from telemetry.records import CommandResult, Event, Lane, LossRecord, Outcome, Reading
from telemetry.wire import Ack, decode_events, decode_readings

MANY = 1 << 30
READINGS, EVENTS = Lane.READINGS, Lane.EVENTS


def limits(max_bytes: int = MANY, **other: int) -> OutboxLimits:
    """Limits for a test: no disk is reserved unless the test says so."""
    return OutboxLimits(max_bytes=max_bytes, **{"reserve_bytes": 0, **other})  # type: ignore[arg-type]


def open_(folder: Path, max_bytes: int = MANY, **other: int) -> Store:
    return open_store(folder, "gw1", limits(max_bytes, **other), T0)


def result(name: str) -> CommandResult:
    return CommandResult(id=name, device="d1", outcome=Outcome.DONE, time_ns=T0)


def ack(store: Store, lane: Lane = READINGS, **fields: object) -> None:
    store.ack(Ack(gateway="gw1", epoch=store.epoch, lane=lane, **{"cumulative": 0, **fields}), T0)  # type: ignore[arg-type]


def held(store: Store, lane: Lane) -> dict[int, Reading | Event]:
    """Every record that is still open, by number."""
    found: dict[int, Reading | Event] = {}
    after = 0
    while (block := store.next_block(lane, after, T0)) is not None:
        rows: dict[int, Reading | Event] = {}
        if lane is EVENTS:
            events = decode_events(block.payload, decompress)
            rows.update(enumerate(events.events, events.first_seq))
        else:
            batch = decode_readings(block.payload, decompress)
            rows.update((batch.first_seq + offset, row) for group in batch.groups for offset, row in group.readings())
        assert sorted(rows) == list(range(block.first_seq, block.last_seq + 1))
        found |= {seq: rows[seq] for low, high in block.open for seq in range(low, high + 1)}
        after = block.last_seq
    return found


def losses(store: Store, lane: Lane = READINGS) -> list[LossRecord]:
    """What the events still held declare of a lane."""
    return [event for event in held(store, EVENTS).values() if isinstance(event, LossRecord) and event.lane is lane]


def numbers(records: Sequence[LossRecord]) -> Spans:
    """Which numbers they speak of."""
    return union(tuple((record.seq_from, record.seq_to) for record in records))


def assert_accounts(store: Store) -> None:
    """The promise: every number is held, acknowledged, quarantined or lost, and nothing is counted twice."""
    for lane, account in store.lanes.items():
        assert account.depth == len(held(store, lane)), lane
        assert min(account.acked, account.quarantined, account.lost, account.bytes, account.kept_bytes) >= 0
        assert account.acked + account.quarantined + account.lost + account.depth == account.next_seq - 1
        query = "SELECT total(bytes) FROM block WHERE key / ? = ?"
        on_disk = store._db.execute(query, (1 << 61, int(lane is READINGS))).get
        assert account.bytes + account.kept_bytes == on_disk
