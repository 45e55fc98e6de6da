"""Ingest with real stores: what is done once, what is refused alone, what waits, and what is acknowledged when."""

import asyncio
from typing import Any

import msgspec
import pytest
from cloud_bench import Bench, hello, raised, three
from cloud_records import T0, S, batch, reading
from sqlalchemy import Connection, event, update
from sqlalchemy.exc import StatementError

from cloud.ingest.account import MOST_RANGES
from cloud.ingest.ingest import CREDIT
from cloud.relational.engine import reading as looking
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, cases, devices, gateways, lanes, losses, quarantine, refusals, transitions
from cloud.series.store import RowRefused
from telemetry.reason import Reason
from telemetry.records import Cause, Event, Lane, LossRecord, Origin, Priority, Transition
from telemetry.wire import (
    EventsBatch,
    GatewayStatus,
    Hello,
    LaneSpan,
    Message,
    encode,
)


async def test_a_hello_is_answered_for_each_lane_and_registers_the_devices(bench: Bench) -> None:
    [gateway] = await bench.rows(gateways)
    assert (gateway["id"], gateway["epoch"]) == ("gw-1", "e1")
    assert {(row["id"], row["kind"], row["longitude"]) for row in await bench.rows(devices)} == {
        ("cover-1", "manhole_cover", 121.5),
        ("cover-2", "manhole_cover", 121.5),
    }


async def test_what_is_acknowledged_is_in_both_stores(bench: Bench) -> None:
    bench.say(three())
    ack = await bench.acked(3)
    assert (ack.ranges, ack.quarantined, ack.credit) == ([], [], CREDIT)
    assert await bench.series.count() == 3
    assert await bench.account() == {"watermark": 3, "stored": 3, "quarantined": 0, "lost": 0}


async def test_repeats_are_no_ops_that_are_acknowledged_again(bench: Bench) -> None:
    for _ in range(4):
        bench.say(three())
    await bench.acked(3)
    bench.acks.clear()
    bench.say(three())
    await bench.acked(3)
    assert await bench.account() == {"watermark": 3, "stored": 3, "quarantined": 0, "lost": 0}
    assert bench.ingest.counts.stored_readings == 3


async def test_a_gap_is_told_as_a_range_and_closed_later(bench: Bench) -> None:
    bench.say(three(first_seq=4))
    ack = await bench.acked(0)
    assert ack.ranges == [(4, 6)]
    bench.say(three(first_seq=1))
    assert (await bench.acked(6)).ranges == []
    assert (await bench.account())["stored"] == 6


async def test_batches_in_any_order_and_overlapping_are_stored_once(bench: Bench) -> None:
    for first in (7, 1, 4, 2, 5, 3, 6, 8, 1):
        bench.say(three(first_seq=first))
    await bench.acked(10)
    assert await bench.account() == {"watermark": 10, "stored": 10, "quarantined": 0, "lost": 0}
    assert await bench.series.count() == 10


async def test_only_the_rows_of_an_unknown_device_are_quarantined(bench: Bench) -> None:
    bench.say(batch(reading("cover-1"), reading("ghost"), reading("cover-2")))
    ack = await bench.acked(3)
    assert ack.quarantined == [(2, Reason.UNKNOWN_DEVICE)]
    assert await bench.account() == {"watermark": 3, "stored": 2, "quarantined": 1, "lost": 0}
    [row] = await bench.rows(quarantine)
    assert (row["seq"], row["reason"], msgspec.msgpack.decode(row["payload"])["device"]) == (2, "unknown_device", "ghost")
    assert await bench.series.latest(["ghost"]) == {"ghost": {}}


async def test_a_device_that_is_declared_a_moment_after_it_spoke_loses_nothing(bench: Bench) -> None:
    bench.say(batch(reading("late"), first_seq=1))
    bench.say(batch(reading("cover-1"), first_seq=2))
    await asyncio.sleep(0.02)
    assert bench.acks == []
    bench.say(hello("cover-1", "cover-2", "late"))
    await bench.acked(2)
    assert await bench.account() == {"watermark": 2, "stored": 2, "quarantined": 0, "lost": 0}


async def test_another_gateways_device_is_not_spoken_for(bench: Bench) -> None:
    other = msgspec.structs.replace(hello("lamp-9"), gateway="gw-2")
    bench.say(other, gateway="gw-2")
    await bench.until(lambda: len(bench.acks) == 2)
    bench.say(batch(reading("lamp-9")))
    assert (await bench.acked(1)).quarantined == [(1, Reason.UNKNOWN_DEVICE)]


async def test_rows_the_store_refuses_are_quarantined_with_its_reason(bench: Bench) -> None:
    bench.series.refused = [RowRefused("gw-1", 2, Reason.WRONG_TYPE, "is float, already exists as integer")]
    bench.say(three())
    assert (await bench.acked(3)).quarantined == [(2, Reason.WRONG_TYPE)]
    assert await bench.account() == {"watermark": 3, "stored": 2, "quarantined": 1, "lost": 0}


async def test_quarantine_is_told_again_by_a_process_that_only_knows_the_store(bench: Bench) -> None:
    bench.say(batch(reading("ghost")))
    await bench.acked(1)
    bench.acks.clear()
    bench.make()
    async with looking(bench.engine) as conn:
        await bench.registry.load(conn)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(bench.ingest.run())
        bench.say(hello("cover-1"))
        assert (await bench.acked(1)).quarantined == [(1, Reason.UNKNOWN_DEVICE)]
        work.cancel()


async def test_while_the_store_is_away_nothing_is_acknowledged_and_nothing_is_lost(bench: Bench) -> None:
    bench.series.away = 3
    bench.say(three())
    await bench.until(lambda: bool(bench.acks))
    assert [(ack.cumulative, ack.credit) for ack in bench.acks] == [(0, 0)]
    bench.say(three(first_seq=4))
    assert (await bench.acked(6)).credit == CREDIT
    assert bench.ingest.counts.waited == 3
    assert await bench.series.count() == 6


async def test_a_crash_between_the_two_stores_repeats_and_loses_nothing(bench: Bench) -> None:
    # What a crash leaves behind: the values are there, the watermark is not.
    assert await bench.series.write([three()]) == []
    bench.say(three())
    await bench.acked(3)
    assert await bench.series.count() == 3
    assert await bench.account() == {"watermark": 3, "stored": 3, "quarantined": 0, "lost": 0}


async def test_what_was_declared_lost_counts_as_done(bench: Bench) -> None:
    bench.say(three(first_seq=1))
    loss = LossRecord(
        lane=Lane.READINGS,
        epoch="e1",
        seq_from=2,
        seq_to=9,
        bytes=800,
        time_from_ns=T0,
        time_to_ns=T0 + S,
        reason=Reason.OUTBOX_FULL,
    )
    events: list[Event] = [loss]
    for _ in range(2):
        bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=events))
    assert (await bench.acked(1, Lane.EVENTS)).quarantined == []
    await bench.acked(9)
    # 2 and 3 had come all the same: they are stored, not lost.
    assert await bench.account() == {"watermark": 9, "stored": 3, "quarantined": 0, "lost": 6}
    [row] = await bench.rows(losses)
    assert (row["seq_from"], row["seq_to"], row["reason"], row["bytes"]) == (4, 9, "outbox_full", 600)


async def test_a_store_that_forgot_what_it_acknowledged_says_so_and_goes_on(bench: Bench) -> None:
    bench.say(hello("cover-1", spans={Lane.READINGS: LaneSpan(101, 104), Lane.EVENTS: LaneSpan(1, 1)}))
    await bench.acked(100)
    bench.say(three(first_seq=101))
    await bench.acked(103)
    assert await bench.account() == {"watermark": 103, "stored": 3, "quarantined": 0, "lost": 100}
    [row] = await bench.rows(losses)
    assert (row["seq_from"], row["seq_to"], row["reason"]) == (1, 100, "missing")


async def test_readings_at_the_head_of_a_lane_are_taken_however_long_the_backlog_below(bench: Bench) -> None:
    bench.say(three(first_seq=5_000_000))
    assert (await bench.acked(0)).ranges == [(5_000_000, 5_000_002)]
    assert await bench.series.count() == 3


async def test_one_range_too_many_is_not_taken_and_what_closes_a_gap_always_is(bench: Bench) -> None:
    singles = [batch(reading(at_ns=T0 + seq * S), first_seq=seq) for seq in range(2, 2 * MOST_RANGES + 2, 2)]
    for single in singles:
        bench.say(single)
    await bench.quiet()
    assert len(bench.acks[-1].ranges) == MOST_RANGES
    too_many = batch(reading(at_ns=T0), first_seq=5_000)
    bench.say(too_many)
    await bench.quiet()
    assert bench.acks[-1].ranges == [(seq, seq) for seq in range(2, 2 * MOST_RANGES + 2, 2)]
    bench.say(batch(reading(at_ns=T0 + 3 * S), first_seq=3))
    bench.say(too_many)
    await bench.quiet()
    assert bench.acks[-1].ranges[-1] == (5_000, 5_000)
    bench.say(batch(reading(at_ns=T0 + S), first_seq=1))
    await bench.acked(4)
    await bench.ingest.save_rest()
    assert [row["reason"] for row in await bench.rows(refusals)] == ["credit_exceeded"]


async def test_a_new_epoch_has_an_account_of_its_own(bench: Bench) -> None:
    bench.say(three())
    bench.say(msgspec.structs.replace(three(), epoch="e2"))
    await bench.until(lambda: {ack.epoch for ack in bench.acks if ack.cumulative == 3} == {"e1", "e2"})
    assert sorted(row["epoch"] for row in await bench.rows(lanes) if row["lane"] == "readings") == ["e1", "e2"]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        pytest.param("gw/gw-1/up/readings", b"", Reason.TRUNCATED, id="nothing"),
        pytest.param("gw/gw-1/up/readings", b"\x07abc", Reason.UNSUPPORTED_VERSION, id="another version"),
        pytest.param("gw/gw-1/up/readings", b"\x01\xc1", Reason.NOT_MSGPACK, id="no messagepack"),
        pytest.param("gw/gw-1/up/events", b"\x81\x28\xb5\x2f\xfd\x00", Reason.NOT_MSGPACK, id="a broken zstd frame"),
        pytest.param("gw/gw-2/up/readings", encode(three()), Reason.GATEWAY_MISMATCH, id="speaks for another gateway"),
    ],
)
async def test_a_message_that_cannot_be_read_is_counted_with_its_reason(
    bench: Bench, topic: str, payload: bytes, reason: Reason
) -> None:
    bench.ingest.offer(topic, payload)
    bench.say(three())
    await bench.acked(3)
    await bench.ingest.save_rest()
    [row] = await bench.rows(refusals)
    assert (row["source"], row["reason"], row["count"]) == (topic.split("/")[1], reason.value, 1)


async def test_a_compression_bomb_is_refused_unread(bench: Bench) -> None:
    import zstandard

    bomb = b"\x81" + zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))
    bench.ingest.offer("gw/gw-1/up/readings", bomb)
    await bench.ingest.save_rest()
    assert [row["reason"] for row in await bench.rows(refusals)] == ["not_msgpack"]


async def test_an_unregistered_gateway_is_not_heard_where_registering_is_by_hand(bench: Bench) -> None:
    bench.make(auto_register=False)
    bench.say(hello("cover-1"))
    bench.say(three())
    await bench.ingest.save_rest()
    [row] = await bench.rows(refusals)
    assert (row["source"], row["reason"], row["count"]) == ("gw-1", "unknown_gateway", 2)


async def test_a_status_shows_on_the_gateway(bench: Bench) -> None:
    status = GatewayStatus(gateway="gw-1", online=True, at_ns=T0, backlog={Lane.READINGS: 7}, refusals={"bad_checksum": 2})
    bench.say(status)
    bench.say(three())
    await bench.acked(3)
    await bench.quiet()
    [row] = await bench.rows(gateways)
    assert (row["online"], row["status"]["backlog"], row["status"]["refusals"]) == (True, {"readings": 7}, {"bad_checksum": 2})


async def test_devices_remember_when_they_were_last_heard(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    await bench.ingest.save_rest()
    heard = {row["id"]: row["last_reading_ns"] for row in await bench.rows(devices)}
    assert heard == {"cover-1": T0 + 3 * S, "cover-2": None}


async def test_a_locked_relational_store_is_waited_for(bench: Bench) -> None:
    async with writing(bench.engine) as conn:
        await conn.execute(update(gateways).values(online=False))
        bench.say(three())
        await asyncio.sleep(0.1)
        assert bench.acks == []
    await bench.acked(3)


@pytest.mark.parametrize("a_migrated_store", ["sqlite"], indirect=True)
async def test_a_full_relational_store_is_waited_for_and_refuses_nobody(bench: Bench) -> None:
    pages = {"most": 1}  # SQLite takes no fewer than there are

    def limit(conn: Connection) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages['most']}")

    event.listen(bench.engine.sync_engine, "begin", limit)
    steps: list[Event] = [msgspec.structs.replace(raised("cover-1"), n=n, note="x" * 2000) for n in range(1, 100)]
    bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=steps))
    async with asyncio.timeout(10):
        while bench.ingest.counts.waited < 3:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
    assert [(ack.cumulative, ack.refused) for ack in bench.acks] == [(0, [])]
    assert await bench.rows(transitions) == []
    pages["most"] = 1_000_000
    await bench.acked(99, Lane.EVENTS)
    assert len(await bench.rows(transitions)) == 99


@pytest.mark.parametrize(
    ("profile", "rule", "detail"),
    [
        pytest.param("cover_nbiot", "cover_eaten", "no rule cover_eaten", id="a rule of another version"),
        pytest.param("cover_5g", "cover_opened", "no profile cover_5g", id="a profile that only the edge has"),
    ],
)
async def test_an_alarm_that_nobody_here_knows_is_kept_and_told(bench: Bench, profile: str, rule: str, detail: str) -> None:
    step = Transition(
        alarm=f"cover-1/{rule}/{T0}",
        origin=Origin.EDGE,
        n=1,
        device="cover-1",
        rule=rule,
        profile=profile,
        profile_version=1,
        cause=Cause.RAISE,
        priority=Priority.HIGH,
        event_time_ns=T0,
        recorded_ns=T0,
        actor="edge",
    )
    bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[step]))
    await bench.acked(1, Lane.EVENTS)
    await bench.ingest.save_rest()
    assert [row["state"] for row in await bench.rows(alarms)] == ["unacknowledged"]
    assert await bench.rows(cases) == []
    [row] = await bench.rows(refusals)
    assert (row["source"], row["reason"]) == ("cover-1", "unknown_profile")
    assert detail in row["last_detail"]


async def test_only_the_part_of_an_alarm_batch_that_is_new_has_effects(bench: Bench) -> None:
    def steps(*causes: Cause) -> list[Event]:
        return [
            Transition(
                alarm=f"cover-1/cover_opened/{T0}",
                origin=Origin.EDGE,
                n=n,
                device="cover-1",
                rule="cover_opened",
                profile="cover_nbiot",
                profile_version=1,
                cause=cause,
                priority=Priority.CRITICAL,
                event_time_ns=T0 + n * S,
                recorded_ns=T0 + n * S,
                actor="edge",
            )
            for n, cause in enumerate(causes, 1)
        ]

    for causes in ((Cause.RAISE,), (Cause.RAISE, Cause.RETURN), (Cause.RAISE, Cause.RETURN, Cause.RAISE)):
        bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=steps(*causes)))
    await bench.acked(3, Lane.EVENTS)
    assert len(await bench.rows(transitions)) == 3
    assert [row["state"] for row in await bench.rows(cases)] == ["dispatched"]
    assert bench.ingest.counts.cases_opened == 1


async def test_evidence_that_is_no_number_is_kept_as_nothing(bench: Bench) -> None:
    odd = msgspec.structs.replace(raised("cover-1"), evidence={"level_cm": float("nan"), "x": 1})
    bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[odd]))
    await bench.acked(1, Lane.EVENTS)
    assert [row["evidence"] for row in await bench.rows(alarms)] == [{"level_cm": None, "x": 1}]


async def test_a_hello_that_a_store_refuses_for_good_does_not_stop_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = bench.registry.hello

    async def picky(conn: Any, said: Hello, *rest: int) -> list[dict[str, Any]]:
        if said.gateway == "gw-2":
            raise StatementError("cannot be kept", None, None, ValueError("cannot be kept"))
        return await plain(conn, said, *rest)

    monkeypatch.setattr(bench.registry, "hello", picky)
    bench.say(msgspec.structs.replace(hello("cover-3"), gateway="gw-2"), gateway="gw-2")
    bench.say(three())
    await bench.acked(3)
    await bench.quiet()
    await bench.ingest.save_rest()
    [row] = await bench.rows(refusals)
    assert (row["source"], row["reason"]) == ("gw-2", "invalid")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(msgspec.structs.replace(three(), first_seq=2**60), id="a sequence number from nowhere"),
        pytest.param(msgspec.structs.replace(three(), epoch="e" * 100), id="an epoch without end"),
        pytest.param(hello(spans={Lane.READINGS: LaneSpan(2**63, 2**63)}), id="a hello that would skip everything"),
    ],
)
async def test_a_message_with_impossible_numbers_is_refused(bench: Bench, message: Message) -> None:
    bench.say(message)
    bench.say(three())
    await bench.acked(3)
    await bench.ingest.save_rest()
    assert [row["reason"] for row in await bench.rows(refusals)] == ["bad_field"]


async def test_alarms_do_not_wait_behind_readings(bench: Bench) -> None:
    for i in range(200):
        bench.say(three(first_seq=1 + 3 * i))
    bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[raised("cover-1")]))
    await bench.acked(1, Lane.EVENTS)
    assert all(ack.cumulative < 600 for ack in bench.acks if ack.lane is Lane.READINGS)
    await bench.acked(600)
