"""Groups of readings overlap: written ahead of their turn, settled in order, and counted as if one came after the other."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cloud_bench import Bench, Moody, hello, raised, three
from cloud_records import batch, reading
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.ingest import effects as ingest_effects
from cloud.relational.engine import reading as looking
from cloud.relational.tables import cases, quarantine, refusals
from cloud.series.store import RowRefused, StoreUnavailable
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Ack, EventsBatch, ReadingsBatch


class Gated(Moody):
    """The real store behind a gate for each write: the n-th one waits until `gates[n]` is set, where there is such a gate."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gates: dict[int, asyncio.Event] = {}
        self.broken: set[int] = set()
        self.begun = 0
        self.longest_s = 0.0

    async def write(self, batches: Sequence[ReadingsBatch]) -> list[RowRefused]:
        self.begun += 1
        mine = self.begun
        await asyncio.sleep(random.uniform(0, self.longest_s))  # noqa: S311 - disorder, not secrecy
        if mine in self.gates:
            await self.gates[mine].wait()
        if mine in self.broken:
            raise StoreUnavailable("away")
        return await super().write(batches)

    def shut(self, *writes: int) -> None:
        self.gates = {n: asyncio.Event() for n in writes}

    def open_gate(self, *writes: int) -> None:
        for n in writes:
            self.gates[n].set()


class Overlapping(Bench):
    """A bench whose store has gates."""

    series: Gated

    async def under_way(self, *messages: ReadingsBatch) -> None:
        """Say each, and see its write begin before the next is said: each is a group of its own."""
        for message in messages:
            begun = self.series.begun
            self.say(message)
            async with asyncio.timeout(5):
                while self.series.begun == begun:  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.001)

    def cumulative(self, lane: Lane = Lane.READINGS) -> list[int]:
        return [ack.cumulative for ack in self.acks if ack.lane is lane and ack.credit]


@pytest.fixture
async def road(cloud_engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Overlapping]:
    series = Gated(tmp_path / "series.duckdb")
    await series.open()
    made = Overlapping(cloud_engine, series)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(made.ingest.run())
        made.say(hello("cover-1", "cover-2"))
        await made.until(lambda: len(made.acks) == 2)
        made.acks.clear()
        yield made
        work.cancel()
    await series.close()


async def settle_down() -> None:
    """Long enough for whatever is going to happen by mistake."""
    await asyncio.sleep(0.1)


async def test_a_later_group_that_is_stored_first_is_settled_second(road: Overlapping) -> None:
    road.series.shut(1, 2, 3)
    await road.under_way(three(1), three(4), three(7))
    road.series.open_gate(3, 2)
    await settle_down()
    assert road.acks == []
    assert await road.series.count() == 6
    road.series.open_gate(1)
    await road.acked(9)
    assert road.cumulative() == [3, 6, 9]
    assert await road.account() == {"watermark": 9, "stored": 9, "quarantined": 0, "lost": 0}


async def test_no_watermark_is_committed_before_the_series_store_has_answered(
    road: Overlapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    plain = ingest_effects.apply

    async def watched(conn: Any, draft: Any, *rest: Any, **more: Any) -> ingest_effects.Effects:
        held.append(await road.series.count() - draft.accounts["gw-1", "e1", Lane.READINGS].watermark)
        return await plain(conn, draft, *rest, **more)

    monkeypatch.setattr(ingest_effects, "apply", watched)
    road.series.longest_s = 0.02
    await road.under_way(*(three(first) for first in range(1, 60, 3)))
    await road.acked(60)
    assert held
    assert min(held) >= 0


async def test_at_most_three_groups_are_under_way(road: Overlapping) -> None:
    road.series.shut(*range(1, 9))
    await road.under_way(three(1), three(4), three(7))
    for first in range(10, 400, 3):
        road.say(three(first))
    await settle_down()
    assert road.series.begun == 3
    road.series.open_gate(*range(1, 9))
    await road.acked(399)
    assert road.series.begun < 9


async def test_a_commit_refused_for_good_takes_no_later_group_with_it(road: Overlapping, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ingest_effects.apply

    async def picky(conn: Any, draft: Any, *rest: Any, **more: Any) -> ingest_effects.Effects:
        if any(each.first_seq == 1 for each in draft.batches):
            raise StatementError("cannot be kept", None, None, ValueError("cannot be kept"))
        return await plain(conn, draft, *rest, **more)

    monkeypatch.setattr(ingest_effects, "apply", picky)
    road.series.shut(1, 2)
    await road.under_way(three(1), three(4))
    road.series.open_gate(2, 1)
    await road.until(lambda: len(road.acks) == 2)
    told = [(ack.cumulative, ack.ranges, ack.refused) for ack in road.acks]
    assert told == [(0, [], [(1, 3, Reason.STORE_REFUSED)]), (0, [(4, 6)], [])]
    assert await road.account() == {"watermark": 0, "stored": 3, "quarantined": 0, "lost": 0}
    monkeypatch.setattr(ingest_effects, "apply", plain)
    road.say(three(1))
    await road.acked(6)
    assert await road.account() == {"watermark": 6, "stored": 6, "quarantined": 0, "lost": 0}
    assert await road.series.count() == 6
    await road.ingest.save_rest()
    assert [row["reason"] for row in await road.rows(refusals)] == ["store_refused"]


async def test_rows_refused_in_one_group_are_in_the_account_of_the_next(road: Overlapping) -> None:
    road.series.refused = [RowRefused("gw-1", 2, Reason.WRONG_TYPE, "is float")]
    road.series.shut(1, 2)
    await road.under_way(three(1), three(4))
    road.series.open_gate(2, 1)
    assert (await road.acked(6)).quarantined == [(2, Reason.WRONG_TYPE)]
    assert await road.account() == {"watermark": 6, "stored": 5, "quarantined": 1, "lost": 0}
    assert len(await road.rows(quarantine)) == 1


async def test_a_process_that_ends_with_groups_under_way_loses_nothing(road: Overlapping) -> None:
    """The second group is stored, the first is not, and neither is settled: all of it comes again."""
    road.series.shut(1, 2)
    async with asyncio.TaskGroup() as tasks:
        road.make()
        async with looking(road.engine) as conn:
            await road.registry.load(conn)
        work = tasks.create_task(road.ingest.run())
        await road.under_way(three(1), three(4))
        road.series.open_gate(2)
        await settle_down()
        async with asyncio.timeout(2):
            work.cancel()
            await asyncio.wait([work])
    assert road.acks == []
    assert await road.series.count() == 3
    async with asyncio.TaskGroup() as tasks:
        road.make()
        async with looking(road.engine) as conn:
            await road.registry.load(conn)
        work = tasks.create_task(road.ingest.run())
        for first in (1, 4):
            road.say(three(first))
        await road.acked(6)
        work.cancel()
    assert await road.account() == {"watermark": 6, "stored": 6, "quarantined": 0, "lost": 0}
    assert await road.series.count() == 6


async def test_a_store_that_goes_away_in_the_middle_holds_up_what_comes_after_and_drops_nothing(road: Overlapping) -> None:
    road.series.shut(1)
    road.series.broken = {2, 4}
    await road.under_way(three(1), three(4), three(7))
    async with asyncio.timeout(5):
        while road.ingest.counts.waited < 2:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
    told: list[Ack] = list(road.acks)
    assert [(ack.cumulative, ack.credit) for ack in told] == [(0, 0)]
    road.series.open_gate(1)
    await road.acked(9)
    assert road.cumulative() == [3, 6, 9]
    assert await road.series.count() == 9


async def test_an_alarm_does_not_wait_for_a_series_store_that_is_slow_or_away(road: Overlapping) -> None:
    road.series.shut(*range(1, 6))
    await road.under_way(three(1), three(4), three(7))
    for first in range(10, 300, 3):
        road.say(three(first))
    road.say(EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[raised("cover-1")]))
    await road.acked(1, Lane.EVENTS)
    assert road.cumulative() == []
    assert [row["state"] for row in await road.rows(cases)] == ["dispatched"]
    road.series.open_gate(*range(1, 6))
    await road.acked(300)


async def test_repeats_of_what_is_under_way_are_not_written_again(road: Overlapping) -> None:
    road.series.shut(1)
    await road.under_way(three(1))
    for _ in range(3):
        road.say(three(1))
    await settle_down()
    assert road.series.begun == 1
    road.series.open_gate(1)
    await road.acked(3)
    await road.quiet()
    assert road.series.begun == 1
    assert await road.account() == {"watermark": 3, "stored": 3, "quarantined": 0, "lost": 0}


async def test_a_device_declared_while_its_readings_wait_for_settlement_loses_none(road: Overlapping) -> None:
    road.series.shut(1)
    await road.under_way(three(1))
    road.say(batch(reading("late"), first_seq=4))
    await asyncio.sleep(0.4)  # longer than the patience with strangers: the guess is that nothing is to be stored
    road.say(hello("cover-1", "cover-2", "late"))
    await road.until(lambda: len(road.acks) == 2)
    road.acks.clear()
    assert road.series.begun == 1
    road.series.open_gate(1)
    assert (await road.acked(4)).quarantined == []
    assert await road.account() == {"watermark": 4, "stored": 4, "quarantined": 0, "lost": 0}
    assert list(await road.series.latest(["late"])) == ["late"]
    assert await road.series.count() == 4


async def test_any_order_with_any_delays_and_repeats_gives_the_same_account(road: Overlapping) -> None:
    chance = random.Random(4)  # noqa: S311 - disorder, not secrecy
    road.series.longest_s = 0.01
    firsts = [first for first in range(1, 151, 3) for _ in range(2)]
    chance.shuffle(firsts)
    for first in firsts:
        road.say(three(first))
        await asyncio.sleep(chance.uniform(0, 0.004))
    await road.acked(150)
    assert road.cumulative() == sorted(road.cumulative())
    assert await road.account() == {"watermark": 150, "stored": 150, "quarantined": 0, "lost": 0}
    assert await road.series.count() == 150
