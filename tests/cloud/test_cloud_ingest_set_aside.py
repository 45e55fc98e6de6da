"""What cannot be taken: asked for in smaller parts until the bad record is alone, then kept aside; nobody else waits for it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard
from cloud_bench import Bench, hello, raised, three
from cloud_records import T0, S, batch, reading
from sqlalchemy.exc import StatementError

from cloud.ingest import effects as ingest_effects
from cloud.relational.tables import quarantine, refusals, transitions
from telemetry.encoded import part
from telemetry.reason import Reason
from telemetry.records import Lane, Transition
from telemetry.wire import Ack, EventsBatch, compressed, encode

EVENTS = "gw/gw-1/up/events"


def events(*steps: Transition) -> EventsBatch:
    return EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=list(steps))


def spoiled(count: int, bad: int, spoil: Callable[[list[Any]], None]) -> bytes:
    """The bytes of `count` transitions whose `bad`-th no decoder takes."""
    steps = [msgspec.structs.replace(raised("cover-1"), n=n) for n in range(1, count + 1)]
    plain = msgspec.msgpack.decode(encode(events(*steps))[1:])
    spoil(plain[3][bad - 1])
    return b"\x01" + msgspec.msgpack.encode(plain)


def too_far(step: list[Any]) -> None:
    step[3] = 2**63  # n


def too_long(step: list[Any]) -> None:
    step[1] = "x" * 5000  # alarm


def nonsense(step: list[Any]) -> None:
    step[0] = "transmogrification"  # tag


def halves(message: bytes, refused: tuple[int, int, Reason]) -> list[bytes]:
    """What an edge sends instead."""
    low, high, _ = refused
    middle = (low + high) // 2
    return [part(message, Lane.EVENTS, low, middle), part(message, Lane.EVENTS, middle + 1, high)]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(too_far, id="a transition number beyond 64 bits"),
        pytest.param(too_long, id="an alarm id without end"),
        pytest.param(nonsense, id="a kind of event that does not exist"),
    ],
)
@pytest.mark.parametrize("bad", [1, 4, 7])
async def test_halving_finds_the_one_bad_record_and_stores_the_others(
    bench: Bench, spoil: Callable[[list[Any]], None], bad: int
) -> None:
    message = spoiled(7, bad, spoil)
    waiting = [message]
    while waiting:
        bench.acks.clear()
        bench.ingest.offer(EVENTS, compressed(waiting.pop(), zstandard.compress))
        await bench.until(lambda: bool(bench.acks))
        waiting += [half for refused in bench.acks[0].refused for half in halves(message, refused)]
    ack = await bench.acked(7, Lane.EVENTS)
    assert [seq for seq, _ in ack.quarantined] == [bad]
    assert sorted(row["n"] for row in await bench.rows(transitions)) == [n for n in range(1, 8) if n != bad]
    [kept] = await bench.rows(quarantine)
    assert (kept["seq"], kept["payload"]) == (bad, part(message, Lane.EVENTS, bad, bad))
    account = await bench.account(Lane.EVENTS)
    assert account == {"watermark": 7, "stored": 6, "quarantined": 1, "lost": 0}


async def test_nothing_of_a_batch_that_is_asked_for_in_parts_is_done(bench: Bench) -> None:
    bench.ingest.offer("gw/gw-1/up/readings", encode(msgspec.structs.replace(three(), count=2)))
    await bench.until(lambda: bool(bench.acks))
    [ack] = bench.acks
    assert (ack.cumulative, ack.ranges, ack.refused) == (0, [], [(1, 2, Reason.BAD_FIELD)])
    assert await bench.series.count() == 0
    await bench.ingest.save_rest()
    assert [(row["source"], row["reason"]) for row in await bench.rows(refusals)] == [("gw-1", "bad_field")]


async def test_a_bad_record_that_is_done_already_is_acknowledged_and_no_more(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    bench.acks.clear()
    bench.ingest.offer("gw/gw-1/up/readings", encode(msgspec.structs.replace(three(), count=2)))
    await bench.until(lambda: bool(bench.acks))
    assert [(ack.cumulative, ack.refused, ack.quarantined) for ack in bench.acks] == [(3, [], [])]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        pytest.param(EVENTS, b"\x02\x90", Reason.UNSUPPORTED_VERSION, id="a version of tomorrow"),
        pytest.param(EVENTS, b"\x01\x93\xa4gw-1\xa2e1\xc1", Reason.NOT_MSGPACK, id="a batch without numbers"),
        pytest.param("gw/gw-2/up/events", spoiled(2, 1, too_far), Reason.GATEWAY_MISMATCH, id="a bad one of somebody else's"),
    ],
)
async def test_what_nobody_can_number_is_counted_and_never_acknowledged(
    bench: Bench, topic: str, payload: bytes, reason: Reason
) -> None:
    bench.ingest.offer(topic, payload)
    await bench.quiet()
    await bench.ingest.save_rest()
    assert bench.acks == []
    assert [row["reason"] for row in await bench.rows(refusals)] == [reason.value]
    assert await bench.rows(quarantine) == []


async def test_a_record_that_the_database_never_takes_is_kept_aside_and_its_neighbours_are_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ingest_effects.apply

    async def picky(conn: Any, draft: Any, *rest: Any, **more: Any) -> ingest_effects.Effects:
        if any(step.n == 2 for step in draft.transitions):
            raise StatementError("cannot be kept\0", None, None, ValueError("cannot be kept"))
        return await plain(conn, draft, *rest, **more)

    monkeypatch.setattr(ingest_effects, "apply", picky)
    message = encode(events(*(msgspec.structs.replace(raised("cover-1"), n=n) for n in (1, 2, 3))))
    bench.ingest.offer(EVENTS, message)
    await bench.until(lambda: bool(bench.acks))
    assert bench.acks[0].refused == [(1, 3, Reason.STORE_REFUSED)]
    for seq in (1, 2, 3):
        bench.ingest.offer(EVENTS, part(message, Lane.EVENTS, seq, seq))
    assert (await bench.acked(3, Lane.EVENTS)).quarantined == [(2, Reason.STORE_REFUSED)]
    assert sorted(row["n"] for row in await bench.rows(transitions)) == [1, 3]
    assert [row["payload"] for row in await bench.rows(quarantine)] == [part(message, Lane.EVENTS, 2, 2)]


async def test_a_bad_batch_of_one_gateway_holds_up_no_other(bench: Bench) -> None:
    bench.say(msgspec.structs.replace(hello("lamp-1"), gateway="gw-2"), gateway="gw-2")
    for first in range(1, 30, 3):
        bench.ingest.offer(EVENTS, spoiled(2, 1, nonsense))
        bench.say(
            batch(*(reading("lamp-1", at_ns=T0 + (first + i) * S) for i in range(3)), first_seq=first, gateway="gw-2"), "gw-2"
        )

    def stored() -> list[Ack]:
        return [ack for ack in bench.acks if (ack.gateway, ack.lane, ack.cumulative) == ("gw-2", Lane.READINGS, 30)]

    await bench.until(lambda: bool(stored()))
