"""The checker is checked: each of the classic mistakes is built in, and the simulation must find it, by the check meant for it.

A mutant is a patch of the product that lasts for some seeds with some faults. The same seeds are clean without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import pytest
from sim_run import run

from cloud.ingest.account import LaneAccount
from cloud.ingest.ahead import Ahead
from cloud.ingest.ingest import Ingest
from cloud.ingest.lanes import save
from cloud.relational.engine import writing
from cloud.series.latest import LatestValues
from edge_agent.committer import Committer
from edge_agent.outbox import salvage, store
from edge_agent.outbox.ledger import Ledger
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.store import Store
from edge_agent.uplink.pump import Pump
from edge_agent.uplink.window import LaneWindow
from telemetry.records import Lane
from telemetry.wire import Ack

_SEEDS = 30


class Mutant(NamedTuple):
    """`families` are the faults that bring it out, `checks` those that may find it."""

    name: str
    patch: Callable[[], Any]
    families: frozenset[str]
    checks: frozenset[str]


MUTANTS: list[Mutant] = []


def mutant(name: str, families: str, checks: str) -> Callable[[Callable[[], Iterator[None]]], None]:
    """Register a mutant; families and checks are separated by commas."""

    def register(patch: Callable[[], Iterator[None]]) -> None:
        MUTANTS.append(Mutant(name, contextmanager(patch), frozenset(families.split(", ")), frozenset(checks.split(", "))))

    return register


def replaced(owner: object, name: str, by: Callable[..., Any]) -> Any:
    """Call `by` with the original as its first argument."""
    original = getattr(owner, name)

    def instead(*args: Any, **named: Any) -> Any:
        return by(original, *args, **named)

    return mock.patch.object(owner, name, instead)


# At the edge.


@mutant("commits are not synced one by one (synchronous = NORMAL)", "power", "kept promise, same epoch")
def _normal() -> Iterator[None]:
    def connect(original: Callable[..., Any], *args: Any) -> Any:
        db = original(*args)
        db.execute("PRAGMA synchronous = NORMAL")
        return db

    with replaced(store, "connect", connect):
        yield


@mutant("devices are answered before the commit", "kills, power within", "kept promise")
def _hasty() -> Iterator[None]:
    async def commit(original: Callable[..., Awaitable[None]], self: Committer, group: list[Any]) -> None:
        for waiting in group:
            waiting.done.set_result(None)
        await original(self, group)

    with replaced(Committer, "_commit", commit):
        yield


@mutant("records are sent before they are durable", "power", "same epoch, kept promise")
def _early() -> Iterator[None]:
    async def commit(original: Callable[..., Awaitable[None]], self: Outbox, *args: Any, **named: Any) -> None:
        self._store._db.execute("PRAGMA synchronous = OFF")
        await original(self, *args, **named)
        await asyncio.sleep(3.0)
        self._store._db.execute("PRAGMA synchronous = FULL")
        self._store._db.wal_checkpoint()

    with replaced(Outbox, "commit", commit):
        yield


@mutant("the broker's PUBACK is taken for the cloud's word", "forgets", "kept promise")
def _puback() -> Iterator[None]:
    async def publish(original: Callable[..., Awaitable[None]], self: Pump, piece: Any) -> None:
        await original(self, piece)
        await self._outbox.ack(_word(self._outbox, piece.lane, piece.first_seq, piece.last_seq))

    with replaced(Pump, "_publish", publish):
        yield


@mutant("what was sent in vain is given up", "forgets", "kept promise")
def _expiry() -> Iterator[None]:
    def look(original: Callable[..., None], self: Pump, now_ns: int) -> None:
        flights = {lane: dict(window._flights) for lane, window in self._windows.items()}
        original(self, now_ns)
        for lane, window in self._windows.items():
            for first, flight in flights[lane].items():
                if first not in window._flights:
                    word = _word(self._outbox, lane, first, flight.last_seq)
                    self._under_way.create_task(self._outbox.ack(word), name="give up")

    with replaced(Pump, "_look_for_losses", look):
        yield


@mutant(
    "losses are told in a transaction of their own", "small quota, much, long cuts, power within", "kept promise, cloud account"
)
def _loss_apart() -> Iterator[None]:
    later: list[tuple[Any, ...]] = []
    say = Ledger.say_lost

    def commit(original: Callable[..., Any], self: Store, *args: Any, **named: Any) -> Any:
        later.clear()
        result = original(self, *args, **named)
        while later:
            with self._ledger.transaction():
                say(self._ledger, *later.pop())
        return result

    with replaced(Store, "commit", commit), mock.patch.object(Ledger, "say_lost", lambda self, *args: later.append(args)):
        yield


@mutant("a new epoch carries nothing over", "rot, cuts", "kept promise")
def _nothing_carried() -> Iterator[None]:
    def carry(_: object, *args: Any) -> Any:
        rows, rescue = args[3], args[4]
        for row, from_back in rows:
            first = row.key & ((1 << 61) - 1)
            rescue = rescue.after(row.key, ((first, row.last_seq),), from_back=from_back)
        return rescue

    with replaced(salvage, "_carry_some", carry):
        yield


@mutant("a cloud that went back is not believed", "restores", "kept promise")
def _no_rewind() -> Iterator[None]:
    with mock.patch.object(LaneWindow, "forgotten", return_value=False):
        yield


# At the cloud.


@mutant("the cloud answers before its commit", "cloud kills", "durable before ack")
def _ack_first() -> Iterator[None]:
    async def apply(original: Callable[..., Awaitable[Any]], self: Ingest, draft: Any, now_ns: int) -> Any:
        for key in draft.touched & draft.accounts.keys():
            self._answer(draft.accounts[key].ack(now_ns, 1000))
        return await original(self, draft, now_ns)

    with replaced(Ingest, "_apply", apply):
        yield


@mutant("the watermark has a transaction of its own", "cloud kills", "durable before ack, kept promise, cloud account")
def _watermark_first() -> Iterator[None]:
    async def apply(original: Callable[..., Awaitable[Any]], self: Ingest, draft: Any, now_ns: int) -> Any:
        async with writing(self._engine) as conn:
            await save(conn, draft.accounts.values(), now_ns)
        return await original(self, draft, now_ns)

    with replaced(Ingest, "_apply", apply):
        yield


@mutant("the series store is written after the answer", "cloud kills, series away", "durable before ack")
def _series_last() -> Iterator[None]:
    async def write(original: Callable[..., Awaitable[Any]], self: Ahead, batches: Any) -> Any:
        asyncio.get_running_loop().call_later(2.0, lambda: asyncio.ensure_future(original(self, batches)))
        return ()

    with replaced(Ahead, "write", write):
        yield


@mutant("repeats are not left out", "doubles", "cloud account")
def _no_dedupe() -> Iterator[None]:
    def missing(_: object, __: LaneAccount, first: int, last: int) -> list[tuple[int, int]]:
        return [(first, last)] if first <= last else []

    with replaced(LaneAccount, "missing", missing):
        yield


@mutant("the latest value is the one that came last", "drops, much", "live state")
def _late_wins() -> Iterator[None]:
    def update(original: Callable[..., None], self: LatestValues, batch: Any) -> None:
        for group in batch.groups:
            for device in group.devices:
                self._devices.pop(device, None)
        original(self, batch)

    with replaced(LatestValues, "update", update):
        yield


def _word(outbox: Outbox, lane: Lane, first: int, last: int) -> Ack:
    """An acknowledgement that no cloud gave."""
    return Ack(gateway="gw-1", epoch=outbox.epoch, lane=lane, cumulative=0, ranges=[(first, last)])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("built_in", MUTANTS, ids=lambda built_in: built_in.name)
def test_the_mistake_is_found(built_in: Mutant, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(1, _SEEDS + 1):
        with built_in.patch():
            verdict = run(seed, only=built_in.families)
        if verdict.broken:
            break
    else:
        pytest.fail(f"{_SEEDS} seeds with {', '.join(sorted(built_in.families))} and nothing found")
    with capsys.disabled():
        print(f"\n{built_in.name}: found in seed {seed} by the check '{verdict.check}'")  # noqa: T201 - the point of it
    assert verdict.check in built_in.checks, verdict.broken
    assert run(seed, only=built_in.families).broken == ""
