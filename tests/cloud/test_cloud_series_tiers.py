"""Tiers of both stores: what they hold, that late values are taken up, that nothing is forgotten too early."""

import contextlib
import itertools
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cloud_records import S, batch, reading

from cloud.series.duckdb_store import DuckStore
from cloud.series.duckdb_tiers import DuckTiers
from cloud.series.influx_http import InfluxClient, parse_address
from cloud.series.influx_store import InfluxStore
from cloud.series.store import Bucket, Point, Rolled, SeriesStore, StoreUnavailable, Tier
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value
from telemetry.wire import ReadingsBatch

_databases = itertools.count(1)
MINUTE, HOUR = 60 * S, 3600 * S
START = 1_760_000_400 * S  # 2025-10-09T09:00:00Z
OUT_OF_RANGE = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
FOREVER = 2**62


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(params=["duckdb", pytest.param("influx", marks=pytest.mark.integration)])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[SeriesStore]:
    made: SeriesStore
    if request.param == "duckdb":
        made = DuckStore(tmp_path / "series.duckdb", clock)
    else:
        url = request.getfixturevalue("influx_url")
        made = InfluxStore(parse_address(f"{url}/tiers{next(_databases)}"), clock)
    await made.open()
    yield made
    await made.close()


def values(points: Sequence[tuple[int, Value]], metric: str = "m", device: str = "cover-1") -> ReadingsBatch:
    return batch(*(reading(device=device, at_ns=at, values={metric: value}) for at, value in points))


async def roll(store: SeriesStore, now_ns: int) -> Rolled:
    """Until there is nothing more to do."""
    for _ in range(1000):
        told = await store.roll(now_ns)
        if not told.more:
            return told
    raise AssertionError(f"it never ends: {told}")


async def buckets(store: SeriesStore, tier: Tier, metric: str = "m", device: str = "cover-1") -> list[Bucket]:
    return (await store.rollup(tier, device, [metric], 0, FOREVER))[metric]


def by_hand(width: int, points: Sequence[tuple[int, float]]) -> list[Bucket]:
    """What the values amount to, the plain way."""
    found = []
    for start, members in itertools.groupby(sorted(set(points)), key=lambda point: point[0] - point[0] % width):
        held = list(members)
        low, high = min(held, key=lambda p: p[1]), max(held, key=lambda p: p[1])
        mean = math.fsum(v for _, v in held) / len(held)
        ends = held[0][0], held[-1][0]
        found.append(Bucket(start, low[1], high[1], mean, held[-1][1], len(held), *ends, low[0], high[0]))
    return found


def close(found: Sequence[Bucket], wanted: Sequence[Bucket]) -> bool:
    def rest(bucket: Bucket) -> Bucket:
        return Bucket(*(0.0 if name == "mean" else getattr(bucket, name) for name in Bucket.__struct_fields__))

    means = zip([b.mean for b in found], [b.mean for b in wanted], strict=True)
    return list(map(rest, found)) == list(map(rest, wanted)) and all(a == pytest.approx(b) for a, b in means)


def noise(number: int, span: int, start: int = START, seed: int = 1) -> list[tuple[int, float]]:
    """Values at times of their own, no two alike: so that every extreme has one time."""
    chance = random.Random(seed)  # noqa: S311 - the same every time
    times = sorted(chance.sample(range(span // S * 1000), number))
    return [(start + at * S // 1000, chance.gauss(20, 5)) for at in times]


async def test_minutes_and_hours_hold_what_the_values_amount_to(store: SeriesStore) -> None:
    points = noise(2000, 3 * HOUR)
    await store.write([values(points[1000:]), values(points[:1000]), values(points[:300])])
    told = await roll(store, START + 3 * HOUR + 20 * S)
    assert (told.until_ns, told.waiting, store.rolled_ns()) == (START + 3 * HOUR, 0, START + 3 * HOUR)
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, points))
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, points))


async def test_an_open_minute_waits_until_it_is_closed_and_a_little_longer(store: SeriesStore) -> None:
    await store.write([values([(START + S, 1.0), (START + 59 * S, 3.0), (START + 61 * S, 9.0)])])
    await roll(store, START + 74 * S)
    assert await buckets(store, Tier.MINUTE) == []
    await roll(store, START + 75 * S)
    assert [(b.start_ns, b.mean, b.count) for b in await buckets(store, Tier.MINUTE)] == [(START, 2.0, 2)]
    assert await buckets(store, Tier.HOUR) == []


async def test_minute_after_minute_live(store: SeriesStore, clock: ManualClock) -> None:
    points = noise(900, 65 * MINUTE)
    await roll(store, START)
    for minute in range(66):
        since = START + minute * MINUTE
        clock.set_wall(since + MINUTE - S)
        if some := [point for point in points if since <= point[0] < since + MINUTE]:
            await store.write([values(some)])
            await store.write([values(some[:2])])  # sent again, since an acknowledgement was lost
        await roll(store, since + MINUTE + 15 * S)
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, points))
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, [point for point in points if point[0] < START + HOUR]))


async def test_late_values_are_taken_up_and_count_at_once(store: SeriesStore) -> None:
    points = noise(600, 3 * HOUR)
    late = [(at + 1, value * 10) for at, value in points[100:120]]
    other = noise(50, 3 * HOUR, seed=2)
    await store.write([values(points), values(other, device="cover-2")])
    await roll(store, START + 3 * HOUR + MINUTE)
    await store.write([values(late)])
    span = (START, START + 3 * HOUR, 3600, "UTC")
    before = await store.buckets("cover-1", ["m"], *span)
    assert [bucket.count for bucket in before["m"]] == [bucket.count for bucket in by_hand(HOUR, points + late)]
    told = await store.roll(START + 3 * HOUR + MINUTE)
    assert told.until_ns == START + 3 * HOUR
    await roll(store, START + 3 * HOUR + MINUTE)
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, points + late))
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, points + late))
    assert close(await buckets(store, Tier.HOUR, device="cover-2"), by_hand(HOUR, other))
    after = await store.buckets("cover-1", ["m"], *span)
    assert (after.tier, [bucket.count for bucket in after["m"]]) == (Tier.HOUR, [bucket.count for bucket in before["m"]])


async def test_back_dated_values_of_long_ago_get_their_tiers(store: SeriesStore) -> None:
    await store.write([values([(START, 1.0)])])
    await roll(store, START + 2 * HOUR)
    old = noise(200, 5 * HOUR, START - 400 * 24 * HOUR)
    await store.write([values(old)])
    assert (await roll(store, START + 2 * HOUR)).waiting == 0
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, [*old, (START, 1.0)]))


async def test_what_was_to_be_done_is_still_known_after_a_restart(store: SeriesStore, clock: ManualClock) -> None:
    points = noise(300, 2 * HOUR)
    clock.set_wall(START + 2 * HOUR + 100 * S)
    await store.write([values(points)])
    await roll(store, START + 2 * HOUR + MINUTE)
    late, newest = [(at + 1, value + 100) for at, value in points[:10]], (START + 2 * HOUR + 90 * S, 5.0)
    await store.write([values([*late, newest])])
    await store.close()
    await store.open()
    assert store.rolled_ns() == START + 2 * HOUR
    told = await roll(store, START + 2 * HOUR + 5 * MINUTE)
    assert told.until_ns == START + 2 * HOUR + 4 * MINUTE
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, [*points, *late, newest]))
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, points + late))


async def test_bad_values_never_count_and_uncertain_ones_do(store: SeriesStore) -> None:
    rows = [
        reading(at_ns=START, values={"m": 1.0}),
        reading(at_ns=START + S, values={"m": 1e9}, flaws={"m": OUT_OF_RANGE}),
        reading(at_ns=START + 2 * S, values={"m": None}, flaws={"m": Flaw(Quality.BAD, Reason.NO_VALUE)}),
        reading(at_ns=START + 3 * S, values={"m": 3.0}, flaws={"m": Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)}),
    ]
    await store.write([batch(*rows)])
    await roll(store, START + HOUR + MINUTE)
    assert await buckets(store, Tier.MINUTE) == by_hand(MINUTE, [(START, 1.0), (START + 3 * S, 3.0)])
    assert await buckets(store, Tier.HOUR) == by_hand(HOUR, [(START, 1.0), (START + 3 * S, 3.0)])


async def test_booleans_count_as_0_and_1_whole_numbers_stay_exact_and_text_has_a_last_one(store: SeriesStore) -> None:
    big = 2**60 + 1
    for i, (open_, plate, count) in enumerate([(True, "a", 5), (True, "b", 7), (False, 'c"\\', big)]):
        held: dict[str, Value] = {"open": open_, "plate": plate, "count": count}
        await store.write([batch(reading(at_ns=START + i * S, values=held))])
    await roll(store, START + HOUR + MINUTE)
    for tier in (Tier.MINUTE, Tier.HOUR):
        found = await store.rollup(tier, "cover-1", ["open", "plate", "count", "absent"], 0, FOREVER)
        [open_bucket], [plate_bucket], [count_bucket] = (found[metric] for metric in ("open", "plate", "count"))
        assert (open_bucket.min, open_bucket.max, open_bucket.mean, open_bucket.last) == (0, 1, pytest.approx(2 / 3), False)
        assert open_bucket.last is False
        assert plate_bucket == Bucket(START, None, None, None, 'c"\\', 3, START, START + 2 * S)
        assert (count_bucket.last, count_bucket.min, type(count_bucket.last)) == (big, 5, int)
        assert found["absent"] == []


@pytest.mark.parametrize("late", [False, True])
async def test_frames_as_devices_sent_them_amount_to_nothing(store: SeriesStore, clock: ManualClock, late: bool) -> None:
    if late:
        clock.set_wall(START + HOUR)
        await roll(store, START + HOUR)
    frames: dict[str, Value] = {"raw_frame": "gbt-tcp:00ff", "raw_frame.2": "aa", "raw_frame.received_ns": START}
    await store.write([batch(reading(at_ns=START, values={"m": 1.0}), reading(at_ns=START, values=frames))])
    await roll(store, START + HOUR + MINUTE)
    for tier in (Tier.MINUTE, Tier.HOUR):
        found = await store.rollup(tier, "cover-1", ["m", *frames], 0, FOREVER)
        assert {metric: len(rows) for metric, rows in found.items()} == {"m": 1, **dict.fromkeys(frames, 0)}
    assert [point.value for point in await raw(store, "raw_frame")] == ["gbt-tcp:00ff"]


async def raw(store: SeriesStore, metric: str) -> list[Point]:
    return (await store.range("cover-1", [metric], 0, FOREVER, 10))[metric]


async def test_a_metric_of_two_kinds_in_one_minute_is_one_bucket(store: SeriesStore) -> None:
    """Only the embedded store takes such a thing: a server refuses a field of another type."""
    refused = await store.write([values([(START, 1.5)])]) + await store.write([values([(START + S, True)])])
    if refused:
        assert refused[0].reason is Reason.WRONG_TYPE
        return
    await roll(store, START + HOUR + MINUTE)
    assert await buckets(store, Tier.MINUTE) == [Bucket(START, 1.0, 1.5, 1.25, True, 2, START, START + S, START + S, START)]


async def test_nothing_is_forgotten_before_its_tiers_are_made(store: SeriesStore) -> None:
    points = noise(400, 30 * HOUR)
    await store.write([values(points)])
    assert not await store.prune(Tier.RAW, FOREVER)
    await roll(store, START + 20 * HOUR + MINUTE)
    late = (START + 10 * HOUR + S, 77.0)
    await store.write([values([late])])
    while await store.prune(Tier.RAW, FOREVER):
        pass
    left = (await store.range("cover-1", ["m"], 0, FOREVER, 1000))["m"]
    assert [point.time_ns for point in left] == [at for at, _ in sorted([*points, late]) if at >= START + 10 * HOUR]
    await roll(store, START + 20 * HOUR + MINUTE)
    while await store.prune(Tier.RAW, FOREVER):
        pass
    left = (await store.range("cover-1", ["m"], 0, FOREVER, 1000))["m"]
    assert [point.time_ns for point in left] == [at for at, _ in points if at >= START + 20 * HOUR]
    made = [point for point in [*points, late] if point[0] < START + 20 * HOUR]
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, made))
    while await store.prune(Tier.MINUTE, START + 5 * HOUR):
        pass
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, [point for point in made if point[0] >= START + 5 * HOUR]))
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, made))


async def test_forgetting_goes_in_portions(store: SeriesStore) -> None:
    points = noise(300, 30 * HOUR)
    await store.write([values(points)])
    await roll(store, START + 30 * HOUR + MINUTE)
    assert await store.prune(Tier.RAW, FOREVER)
    left = await store.count()
    assert 0 < left < 300


async def test_a_straggler_does_not_undo_what_was_made_of_values_now_forgotten(store: SeriesStore) -> None:
    points = noise(300, 2 * HOUR)
    await store.write([values(points)])
    await roll(store, START + 2 * HOUR + MINUTE)
    while await store.prune(Tier.RAW, FOREVER):
        pass
    crowded = by_hand(MINUTE, points)[0]
    assert crowded.count > 1
    await store.write([values([(crowded.start_ns + 1, 1e6)])])
    await roll(store, START + 2 * HOUR + MINUTE)
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, points))
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, points))


@pytest.mark.parametrize("cut", range(8))
async def test_work_that_is_cut_short_anywhere_is_done_again(
    store: SeriesStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    points = noise(300, 2 * HOUR)
    late = [(at + 1, value + 100) for at, value in points[:20]]
    clock.set_wall(START + 2 * HOUR + MINUTE)
    await store.write([values(points)])
    steps = itertools.count()

    def cutting(whole: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            if next(steps) == cut:
                raise StoreUnavailable("cut")
            return whole(*args)

        return step

    async def roll_and_go_on() -> None:
        for _ in range(2):
            with contextlib.suppress(StoreUnavailable):
                await roll(store, START + 2 * HOUR + MINUTE)
        await roll(store, START + 2 * HOUR + MINUTE)

    with monkeypatch.context() as patch:
        for name in ("_make", "_make_hours", "_commit"):
            patch.setattr(DuckTiers, name, cutting(getattr(DuckTiers, name)))
        patch.setattr(InfluxClient, "query", cutting(InfluxClient.query))
        await roll_and_go_on()
    await store.write([values(late)])
    steps = itertools.count()
    with monkeypatch.context() as patch:
        for name in ("_make", "_make_hours", "_replace", "_commit"):
            patch.setattr(DuckTiers, name, cutting(getattr(DuckTiers, name)))
        patch.setattr(InfluxClient, "write", cutting(InfluxClient.write))
        await roll_and_go_on()
    assert close(await buckets(store, Tier.MINUTE), by_hand(MINUTE, points + late))
    assert close(await buckets(store, Tier.HOUR), by_hand(HOUR, points + late))
