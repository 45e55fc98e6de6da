"""Outboxes that were copied, rolled back or changed, and a cloud that was: what a hello must fit to, and what it leads to."""

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec
import pytest
from cloud_bench import Bench, hello, three
from cloud_records import T0, S, batch, reading

from cloud.relational.engine import reading as looking
from cloud.relational.engine import writing
from cloud.relational.tables import epochs, gateways, lanes, losses, quarantine, refusals
from telemetry.reason import Reason
from telemetry.records import Lane, LossRecord
from telemetry.wire import Ack, Digest, EventsBatch, Hello, LaneSpan, ReadingsBatch, digest, encode


def spans(readings: LaneSpan, events: LaneSpan | None = None) -> dict[Lane, LaneSpan]:
    return {Lane.READINGS: readings, Lane.EVENTS: events or LaneSpan(1, 1)}


async def answer(bench: Bench, said: Hello) -> dict[Lane, Ack]:
    """What the cloud answers to this hello, by lane."""
    bench.say(said)

    def found() -> dict[Lane, Ack]:
        return {ack.lane: ack for ack in bench.acks if ack.answers == said.sent_ns}

    await bench.until(lambda: len(found()) == 2)
    return found()


def changed(said: ReadingsBatch) -> ReadingsBatch:
    """The same records with other values."""
    other = [reading(at_ns=T0 + (said.first_seq + i) * S, values={"level_cm": 9.9}) for i in range(said.count)]
    return batch(*other, first_seq=said.first_seq)


async def test_a_hello_that_fits_is_answered_by_its_own_time_and_not_fenced(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    known = Digest(1, 3, digest(encode(three())))
    told = await answer(bench, hello("cover-1", spans=spans(LaneSpan(4, 4, 1, [known]))))
    assert {lane: (ack.cumulative, ack.fenced) for lane, ack in told.items()} == {
        Lane.READINGS: (3, None),
        Lane.EVENTS: (0, None),
    }


async def test_records_that_come_again_changed_are_a_security_event_and_overwrite_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.say(three())
    await bench.acked(3)
    bench.acks.clear()
    with caplog.at_level(logging.WARNING):
        bench.say(changed(three()))
        await bench.until(lambda: bool(bench.acks))
    assert [(ack.cumulative, ack.fenced) for ack in bench.acks] == [(3, Reason.ALTERED)]
    points = (await bench.series.range("cover-1", ["level_cm"], 0, 2**62, 10))["level_cm"]
    assert [point.value for point in points] == [1.5, 1.5, 1.5]
    assert [record.__dict__["event"] for record in caplog.records] == ["security.altered"]
    await bench.ingest.save_rest()
    assert [(row["source"], row["reason"]) for row in await bench.rows(refusals)] == [("gw-1", "altered")]


async def test_a_fingerprint_outlives_the_process(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    async with asyncio.TaskGroup() as tasks:
        bench.make()
        async with looking(bench.engine) as conn:
            await bench.registry.load(conn)
        work = tasks.create_task(bench.ingest.run())
        bench.acks.clear()
        bench.say(changed(three()))
        await bench.until(lambda: bool(bench.acks))
        assert bench.acks[0].fenced is Reason.ALTERED
        work.cancel()


async def test_a_hello_whose_fingerprints_disagree_is_fenced(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    other = Digest(1, 3, digest(encode(changed(three()))))
    told = await answer(bench, hello("cover-1", spans=spans(LaneSpan(4, 4, 1, [other]))))
    assert {ack.fenced for ack in told.values()} == {Reason.ALTERED}


@pytest.mark.parametrize("first", [1, 4], ids=["below the watermark", "in a range above it"])
async def test_an_outbox_that_knows_less_than_it_sent_is_fenced(bench: Bench, first: int) -> None:
    bench.say(three(first))
    await bench.until(lambda: bool(bench.acks))
    told = await answer(bench, hello("cover-1", spans=spans(LaneSpan(1, first + 2))))
    assert {ack.fenced for ack in told.values()} == {Reason.ROLLED_BACK}
    await bench.ingest.save_rest()
    assert [(row["reason"], row["count"]) for row in await bench.rows(refusals)] == [("rolled_back", 1)]
    [gateway] = await bench.rows(gateways)
    assert gateway["epoch"] == "e1"


async def test_a_new_epoch_is_registered_and_the_books_of_the_old_one_stay(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    told = await answer(bench, hello("cover-1", epoch="e2"))
    assert {ack.fenced for ack in told.values()} == {None}
    assert [row["epoch"] for row in await bench.rows(gateways)] == ["e2"]
    assert sorted(row["epoch"] for row in await bench.rows(epochs)) == ["e1", "e2"]
    bench.say(three(4))
    await bench.acked(6)
    assert {row["watermark"] for row in await bench.rows(lanes) if row["epoch"] == "e1"} == {0, 6}


async def test_a_copy_of_an_old_disk_is_fenced_and_its_batches_are_still_taken_once(bench: Bench) -> None:
    await answer(bench, hello("cover-1", epoch="e2"))
    told = await answer(bench, hello("cover-1", epoch="e1"))
    assert {ack.fenced for ack in told.values()} == {Reason.ROLLED_BACK}
    assert [row["epoch"] for row in await bench.rows(gateways)] == ["e2"]
    bench.say(three())
    bench.say(three())
    await bench.acked(3)
    assert (await bench.series.count(), bench.ingest.counts.stored_readings) == (3, 3)


async def test_a_hello_that_was_overtaken_fences_nobody(bench: Bench) -> None:
    late = hello("cover-1", spans=spans(LaneSpan(1, 1)))
    await answer(bench, hello("cover-1", spans=spans(LaneSpan(1, 4))))
    bench.say(three())
    await bench.acked(3)
    await answer(bench, hello("cover-1", epoch="e2"))
    assert {ack.fenced for ack in (await answer(bench, late)).values()} == {None}
    assert [row["epoch"] for row in await bench.rows(gateways)] == ["e2"]
    await bench.ingest.save_rest()
    assert await bench.rows(refusals) == []


async def test_a_clock_that_was_set_back_hides_no_old_disk(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    back = msgspec.structs.replace(hello("cover-1", spans=spans(LaneSpan(1, 2))), sent_ns=T0 - 3600 * S)
    assert {ack.fenced for ack in (await answer(bench, back)).values()} == {Reason.ROLLED_BACK}


async def test_who_had_which_epoch_outlives_the_process(bench: Bench) -> None:
    await answer(bench, hello("cover-1", epoch="e2"))
    async with asyncio.TaskGroup() as tasks:
        bench.make()
        async with looking(bench.engine) as conn:
            await bench.registry.load(conn)
        work = tasks.create_task(bench.ingest.run())
        told = await answer(bench, hello("cover-1", epoch="e1"))
        assert {ack.fenced for ack in told.values()} == {Reason.ROLLED_BACK}
        work.cancel()


async def test_what_a_later_epoch_carried_over_is_moved_in_the_books_of_the_old_one(bench: Bench) -> None:
    await answer(bench, hello("cover-1", spans=spans(LaneSpan(1, 8))))
    bench.say(three())
    await bench.acked(3)
    await answer(bench, hello("cover-1", epoch="e2"))
    moved = LossRecord(
        lane=Lane.READINGS,
        epoch="e1",
        seq_from=2,
        seq_to=5,
        bytes=400,
        time_from_ns=T0,
        time_to_ns=T0 + S,
        reason=Reason.RENUMBERED,
        open_end=True,
    )
    bench.say(EventsBatch(gateway="gw-1", epoch="e2", first_seq=1, events=[moved]))
    await bench.acked(1, Lane.EVENTS)
    [old] = [row for row in await bench.rows(lanes) if (row["epoch"], row["lane"]) == ("e1", "readings")]
    assert (old["watermark"], old["stored"], old["lost"], old["moved"]) == (7, 3, 0, 4)
    [row] = await bench.rows(losses)
    assert (row["seq_from"], row["seq_to"], row["reason"], row["open_end"]) == (4, 7, "renumbered", True)
    assert bench.ingest.counts.lost_readings == 0


async def test_an_open_end_is_kept_where_nothing_known_is_lost(bench: Bench) -> None:
    bench.say(three())
    await bench.acked(3)
    loss = LossRecord(
        lane=Lane.READINGS,
        epoch="e1",
        seq_from=3,
        seq_to=3,
        bytes=0,
        time_from_ns=0,
        time_to_ns=0,
        reason=Reason.CORRUPT,
        open_end=True,
    )
    bench.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[loss]))
    await bench.acked(1, Lane.EVENTS)
    [row] = await bench.rows(losses)
    assert (row["seq_from"], row["seq_to"], row["open_end"]) == (4, 3, True)
    assert (await bench.account())["lost"] == 0


class Restored:
    """A bench whose relational store can be taken back to what it was."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def copy(self) -> dict[str, list[dict[str, object]]]:
        return {table.name: await self.bench.rows(table) for table in (gateways, epochs, lanes, losses, quarantine)}

    async def restore(self, copy: dict[str, list[dict[str, object]]]) -> None:
        async with writing(self.bench.engine) as conn:
            for table in (gateways, epochs, lanes, losses, quarantine):
                await conn.execute(table.delete())
                if copy[table.name]:
                    await conn.execute(table.insert(), copy[table.name])
        self.bench.make()
        async with looking(self.bench.engine) as conn:
            await self.bench.registry.load(conn)


@pytest.fixture
async def restored(bench: Bench) -> AsyncIterator[Bench]:
    """A cloud that has three readings, whose gateway had an acknowledgement for nine."""
    disk = Restored(bench)
    bench.say(three())
    await bench.acked(3)
    yesterday = await disk.copy()
    for first in (4, 7):
        bench.say(three(first))
    await bench.acked(9)
    await bench.quiet()
    await disk.restore(yesterday)
    bench.acks.clear()
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(bench.ingest.run())
        yield bench
        work.cancel()


async def test_a_cloud_restored_from_a_copy_gets_again_what_its_gateway_kept(restored: Bench) -> None:
    told = await answer(restored, hello("cover-1", spans=spans(LaneSpan(10, 10, first_kept=2))))
    assert (told[Lane.READINGS].cumulative, told[Lane.READINGS].fenced) == (3, None)
    for first in (4, 7):
        restored.say(three(first))
    await restored.acked(9)
    assert await restored.account() == {"watermark": 9, "stored": 9, "quarantined": 0, "lost": 0}
    assert await restored.series.count() == 9
    assert await restored.rows(losses) == []


async def test_only_what_the_gateway_did_not_keep_is_a_loss_of_the_cloud(restored: Bench) -> None:
    told = await answer(restored, hello("cover-1", spans=spans(LaneSpan(10, 10, first_kept=7))))
    assert told[Lane.READINGS].cumulative == 6
    restored.say(three(7))
    await restored.acked(9)
    assert await restored.account() == {"watermark": 9, "stored": 6, "quarantined": 0, "lost": 3}
    [row] = await restored.rows(losses)
    assert (row["seq_from"], row["seq_to"], row["reason"]) == (4, 6, "missing")


async def test_a_hello_shows_how_far_its_gateways_clock_is_off(bench: Bench) -> None:
    said = hello("cover-1")
    await answer(bench, msgspec.structs.replace(said, sent_ns=bench.clock.wall_ns() + 90 * S))
    [gateway] = await bench.rows(gateways)
    assert gateway["clock"] == "synced"
    assert abs(gateway["clock_ahead_ns"] - 90 * S) < 5 * S
