"""Charts of both stores: no extreme vanishes, silences are marked, and every answer is the same from whatever tier."""

import itertools
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from cloud_records import S, batch, reading

from cloud.series.duckdb_store import DuckStore
from cloud.series.influx_http import parse_address
from cloud.series.influx_store import InfluxStore
from cloud.series.store import Chart, Gap, SeriesStore, Tier
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

_databases = itertools.count(1)
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
START = 1_760_000_400 * S  # 2025-10-09T09:00:00Z
Points = Sequence[tuple[int, Value]]


@pytest.fixture(params=["duckdb", pytest.param("influx", marks=pytest.mark.integration)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeriesStore]:
    made: SeriesStore
    clock = ManualClock(START + 40 * DAY)
    if request.param == "duckdb":
        made = DuckStore(tmp_path / "series.duckdb", clock)
    else:
        url = request.getfixturevalue("influx_url")
        made = InfluxStore(parse_address(f"{url}/charts{next(_databases)}"), clock)
    await made.open()
    yield made
    await made.close()


async def write(store: SeriesStore, points: Points, metric: str = "m") -> None:
    for some in itertools.batched(points, 5000) if hasattr(itertools, "batched") else [points]:
        await store.write([batch(*(reading(at_ns=at, values={metric: value}) for at, value in some))])


async def roll(store: SeriesStore, now_ns: int) -> None:
    while (await store.roll(now_ns)).more:
        pass


def noise(number: int, span: int, seed: int = 1) -> list[tuple[int, float]]:
    """Values at times of their own, no two alike: so that every extreme has one time."""
    chance = random.Random(seed)  # noqa: S311 - the same every time
    times = sorted(chance.sample(range(span // S * 1000), number))
    return [(START + at * S // 1000, chance.gauss(20, 5)) for at in times]


def check(chart: Chart, points: Points, start_ns: int, end_ns: int, pixels: int) -> None:
    """Every point is real, and every column has its extremes, found the plain way."""
    curve = chart.curves["m"]
    inside = [point for point in points if start_ns <= point[0] < end_ns]
    drawn = list(zip(curve.times_ns, curve.values, strict=True))
    assert set(drawn) <= set(inside)
    assert drawn == sorted(drawn)
    assert len(drawn) <= 2 * pixels + 4
    assert (drawn[0], drawn[-1]) == (inside[0], inside[-1])
    origin = start_ns - start_ns % chart.tier.width_ns
    for _, members in itertools.groupby(inside, key=lambda point: (point[0] - origin) // chart.column_ns):
        held = list(members)
        assert {min(held, key=lambda p: p[1]), max(held, key=lambda p: p[1])} <= set(drawn)


@pytest.mark.parametrize(
    ("span", "pixels", "tier"),
    [
        pytest.param(2 * HOUR, 300, Tier.RAW, id="raw"),
        pytest.param(6 * HOUR, 200, Tier.MINUTE, id="minutes"),
        pytest.param(6 * HOUR, 20, Tier.MINUTE, id="minutes many a column"),
        pytest.param(2 * DAY, 50, Tier.HOUR, id="hours"),
        pytest.param(2 * DAY, 10, Tier.HOUR, id="hours many a column"),
    ],
)
async def test_no_extreme_vanishes(store: SeriesStore, span: int, pixels: int, tier: Tier) -> None:
    points = noise(1500, span)
    await write(store, points)
    await roll(store, START + span - 10 * MINUTE)  # the end is not rolled up yet
    for start, end in ((START, START + span), (START + 777_777_777, START + span - 1_234_567_891)):
        chart = await store.chart("cover-1", ["m"], start, end, pixels)
        assert chart.tier is tier
        check(chart, points, start, end, pixels)


async def test_the_width_of_a_column_is_between_one_and_two_pixels(store: SeriesStore) -> None:
    await write(store, [(START, 1.0)])
    await roll(store, START + 40 * DAY)
    for days, pixels in itertools.product((1, 3, 7, 30), (100, 500, 1000, 2000)):
        chart = await store.chart("cover-1", ["m"], START, START + days * DAY, pixels)
        assert days * DAY / pixels <= chart.column_ns <= 2 * days * DAY / pixels


async def test_late_values_are_in_the_chart_before_they_are_rolled_up(store: SeriesStore) -> None:
    points = noise(2000, 6 * HOUR)
    await write(store, points)
    await roll(store, START + 7 * HOUR)
    spike = (START + 3 * HOUR + 5, 1e6)
    await write(store, [spike])
    check(await store.chart("cover-1", ["m"], START, START + 6 * HOUR, 20), sorted([*points, spike]), START, START + 6 * HOUR, 20)
    await roll(store, START + 7 * HOUR)
    check(await store.chart("cover-1", ["m"], START, START + 6 * HOUR, 20), sorted([*points, spike]), START, START + 6 * HOUR, 20)


async def test_a_silence_longer_than_two_and_a_half_intervals_is_a_gap(store: SeriesStore) -> None:
    quiet = {*range(20, 22), *range(40, 60)}
    points = [(START + n * MINUTE, float(n)) for n in range(120) if n not in quiet]
    await write(store, points)
    wanted = [Gap(START + 19 * MINUTE, START + 22 * MINUTE), Gap(START + 39 * MINUTE, START + 60 * MINUTE)]
    end = START + 2 * HOUR
    chart = await store.chart("cover-1", ["m"], START, end, 1000)
    assert (chart.tier, chart.curves["m"].gaps) == (Tier.RAW, wanted)
    assert (await store.chart("cover-1", ["m"], START, end, 1000, usual_s=300.0)).curves["m"].gaps == wanted[1:]
    await roll(store, end + MINUTE)
    chart = await store.chart("cover-1", ["m"], START, end, 100)
    assert (chart.tier, chart.curves["m"].gaps) == (Tier.MINUTE, wanted)
    coarse = await store.chart("cover-1", ["m"], START, end, 12)  # a column is ten minutes: the short one is not to be seen
    assert coarse.curves["m"].gaps == wanted[1:]


async def test_the_edges_of_the_interval_can_be_silent_and_the_future_is_no_silence(store: SeriesStore) -> None:
    await write(store, [(START + HOUR + n * MINUTE, 1.0) for n in range(60)])
    chart = await store.chart("cover-1", ["m"], START, START + 4 * HOUR, 4000)
    assert chart.curves["m"].gaps == [Gap(START, START + HOUR), Gap(START + 2 * HOUR - MINUTE, START + 4 * HOUR)]
    nobody = await store.chart("nobody", ["m"], START, START + HOUR, 100)
    assert (nobody.curves["m"].times_ns, nobody.curves["m"].gaps) == ([], [Gap(START, START + HOUR)])
    now = START + 40 * DAY
    assert (await store.chart("nobody", ["m"], now, now + HOUR, 100)).curves["m"].gaps == []


@pytest.mark.parametrize("rolled", [False, True])
async def test_each_kind_is_drawn_as_what_it_is(store: SeriesStore, rolled: bool) -> None:
    rows = [
        reading(at_ns=START + n * MINUTE, values={"open": n == 7, "count": n * n, "plate": "b" if n > 4 else "a", "x": n / 2})
        for n in range(12)
    ]
    await store.write([batch(*rows)])
    if rolled:
        await roll(store, START + 2 * HOUR)
    asked = ["open", "count", "plate", "x"]
    curves = (await store.chart("cover-1", asked, START, START + 12 * MINUTE, 12)).curves
    drawn = {metric: dict(zip(curve.times_ns, curve.values, strict=True)) for metric, curve in curves.items()}
    assert drawn["open"][START + 7 * MINUTE] is True
    assert {type(value) for value in drawn["open"].values()} == {bool}
    assert drawn["count"] == {START + n * MINUTE: n * n for n in range(12)}
    assert {type(value) for value in drawn["count"].values()} == {int}
    assert drawn["plate"] == {START: "a", START + 5 * MINUTE: "b"}
    assert drawn["x"] == {START + n * MINUTE: n / 2 for n in range(12)}


async def test_a_bad_value_is_not_drawn(store: SeriesStore) -> None:
    bad = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
    rows = [
        reading(at_ns=START + n * S, values={"m": 1e9 if n == 3 else float(n)}, flaws={"m": bad} if n == 3 else {})
        for n in range(9)
    ]
    await store.write([batch(*rows)])
    chart = await store.chart("cover-1", ["m"], START, START + 9 * S, 100)
    assert chart.curves["m"].values == [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0]


async def test_what_is_older_than_the_raw_values_is_drawn_from_what_is_kept(store: SeriesStore) -> None:
    points = noise(3000, 10 * HOUR)
    await write(store, points)
    await roll(store, START + 12 * HOUR)
    while await store.prune(Tier.RAW, START + 12 * HOUR):
        pass
    chart = await store.chart("cover-1", ["m"], START, START + 10 * HOUR, 4000)
    assert chart.tier is Tier.MINUTE
    check(chart, points, START, START + 10 * HOUR, 4000)


@pytest.mark.parametrize(
    ("zone", "bucket", "tier"),
    [
        pytest.param("Asia/Shanghai", 86_400, Tier.HOUR, id="days of a whole-hour zone come from hours"),
        pytest.param("Asia/Kolkata", 86_400, Tier.MINUTE, id="days of a half-hour zone come from minutes"),
        pytest.param("Europe/Berlin", 7200, Tier.HOUR, id="two hours around a clock change"),
        pytest.param("UTC", 300, Tier.MINUTE, id="five minutes"),
        pytest.param("UTC", 90, Tier.RAW, id="a minute and a half cuts minutes"),
    ],
)
async def test_buckets_are_the_same_from_the_tiers_as_from_raw_values(
    store: SeriesStore, zone: str, bucket: int, tier: Tier
) -> None:
    span = 18 * DAY + 7 * HOUR if bucket == 7200 else 5 * DAY if bucket > 3600 else 10 * HOUR
    points = noise(600, span)
    await write(store, points)
    asked = ("cover-1", ["m"], START + 12_345_678_901, START + span - 10 * S, bucket, zone)
    before = await store.buckets(*asked)
    await roll(store, START + span - HOUR)
    after = await store.buckets(*asked)
    assert (before.tier, after.tier) == (Tier.RAW, tier)
    assert [(b.start_ns, b.min, b.max, b.last, b.count) for b in after["m"]] == [
        (b.start_ns, b.min, b.max, b.last, b.count) for b in before["m"]
    ]
    assert [b.mean for b in after["m"]] == pytest.approx([b.mean for b in before["m"]])
