"""One suite for every series store: what the protocol promises, on the embedded one and on a real InfluxDB."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from cloud_records import T0, S, batch, reading

from cloud.series.duckdb_store import DuckStore
from cloud.series.influx_http import parse_address
from cloud.series.influx_store import InfluxStore
from cloud.series.store import Bucket, Point, RowRefused, SeriesStore
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

_databases = itertools.count(1)
OUT_OF_RANGE = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
UNCERTAIN = Flaw(Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME)
FOREVER = 2**62


@pytest.fixture(params=["duckdb", pytest.param("influx", marks=pytest.mark.integration)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeriesStore]:
    made: SeriesStore
    if request.param == "duckdb":
        made = DuckStore(tmp_path / "folder" / "series.duckdb")
    else:
        url = request.getfixturevalue("influx_url")
        made = InfluxStore(parse_address(f"{url}/series{next(_databases)}"))
    await made.open()
    yield made
    await made.close()


async def all_of(store: SeriesStore, metric: str, device: str = "cover-1") -> list[Point]:
    return (await store.range(device, [metric], 0, FOREVER, 1000))[metric]


def plain(found: Mapping[str, Sequence[Bucket]]) -> dict[str, list[Bucket]]:
    """Without the times of first, last and extremes, which not every way of asking tells."""
    untimed = {"first_ns": None, "last_ns": None, "min_ns": None, "max_ns": None}
    return {metric: [msgspec.structs.replace(bucket, **untimed) for bucket in buckets] for metric, buckets in found.items()}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1.25, id="a float"),
        pytest.param(20.0, id="a float without a fraction stays a float"),
        pytest.param(-1e-300, id="a very small float"),
        pytest.param(7, id="an integer stays an integer"),
        pytest.param(2**53 + 1, id="an integer that no float holds stays exact"),
        pytest.param(-(2**63), id="the smallest integer"),
        pytest.param(True, id="true is no 1"),
        pytest.param(False, id="false is no 0"),
        pytest.param("京A12345", id="text"),
        pytest.param('a "quoted" \\ back, slash=\n', id="text with everything that needs escaping"),
        pytest.param("", id="empty text is not nothing"),
        pytest.param("a\x00b", id="text with a zero in it"),
    ],
)
async def test_a_value_comes_back_as_what_it_was(store: SeriesStore, value: Value) -> None:
    assert await store.write([batch(reading(values={"m": value}))]) == []
    [point] = await all_of(store, "m")
    assert (point, type(point.value)) == (Point(T0, value), type(value))
    assert (await store.latest(["cover-1"]))["cover-1"] == {"m": Point(T0, value)}


async def test_writing_again_changes_nothing(store: SeriesStore) -> None:
    mixed = batch(
        reading(values={"a": 1.0, "b": True, "c": None}, flaws={"c": Flaw(Quality.BAD, Reason.NO_VALUE)}),
        reading(at_ns=T0 + S, values={"a": 9e9, "b": False, "c": "x"}, flaws={"a": OUT_OF_RANGE}),
    )
    for _ in range(3):
        assert await store.write([mixed, mixed]) == []
    assert await store.count() == 6
    assert [len(points) for points in (await store.range("cover-1", ["a", "b", "c"], 0, FOREVER, 10)).values()] == [2, 2, 2]


async def test_the_last_points_of_an_interval_come_from_the_latest_back(store: SeriesStore) -> None:
    await store.write([batch(*(reading(at_ns=T0 + step * S, values={"m": float(step)}) for step in range(6)))])
    found = await store.range("cover-1", ["m", "other"], T0 + S, T0 + 5 * S, 3, newest_first=True)
    assert found == {"m": [Point(T0 + step * S, float(step)) for step in (4, 3, 2)], "other": []}


async def test_flawed_values_keep_their_quality_and_reason(store: SeriesStore) -> None:
    await store.write(
        [
            batch(
                reading(values={"m": 1.0, "other": 5.0}),
                reading(at_ns=T0 + S, values={"m": 999.0, "other": 5.0}, flaws={"m": OUT_OF_RANGE}),
                reading(at_ns=T0 + 2 * S, values={"m": None, "other": 5.0}, flaws={"m": Flaw(Quality.BAD, Reason.TIMEOUT)}),
                reading(at_ns=T0 + 3 * S, values={"m": 2.0, "other": 5.0}, flaws={"m": UNCERTAIN}),
            )
        ]
    )
    assert await all_of(store, "m") == [
        Point(T0, 1.0),
        Point(T0 + S, 999.0, Quality.BAD, Reason.OUT_OF_RANGE),
        Point(T0 + 2 * S, None, Quality.BAD, Reason.TIMEOUT),
        Point(T0 + 3 * S, 2.0, Quality.UNCERTAIN, Reason.IMPLAUSIBLE_TIME),
    ]
    assert all(point.quality is Quality.GOOD for point in await all_of(store, "other"))
    assert await store.count() == 8


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(float("nan"), Reason.NOT_A_NUMBER, id="not a number"),
        pytest.param(float("inf"), Reason.NOT_A_NUMBER, id="infinity"),
        pytest.param(2**63, Reason.OUT_OF_RANGE, id="an integer beyond 64 bits"),
        pytest.param("x" * 20_000, Reason.OVERSIZED, id="a text without end"),
        pytest.param(None, Reason.NO_VALUE, id="none without a word why"),
    ],
)
async def test_what_no_store_can_hold_is_kept_as_none_with_a_reason(store: SeriesStore, value: Value, reason: Reason) -> None:
    assert await store.write([batch(reading(values={"m": value, "beside": 3.0}))]) == []
    assert await all_of(store, "m") == [Point(T0, None, Quality.BAD, reason)]
    assert await all_of(store, "beside") == [Point(T0, 3.0)]


async def test_a_row_without_a_time_is_refused_alone(store: SeriesStore) -> None:
    good = batch(reading(), reading(at_ns=T0 + S), reading(at_ns=T0 + 2 * S), first_seq=7)
    offset, device, _, received, values = good.groups[0].rows[1]
    rows = [good.groups[0].rows[0], (offset, device, -5, received, values), good.groups[0].rows[2]]
    bad = msgspec.structs.replace(good, groups=[msgspec.structs.replace(good.groups[0], rows=rows)])
    assert await store.write([bad]) == [RowRefused("gw-1", 8, Reason.IMPLAUSIBLE_TIME, "event time -5 ns")]
    assert [point.time_ns for point in await all_of(store, "level_cm")] == [T0, T0 + 2 * S]


async def test_an_older_event_time_never_replaces_the_latest(store: SeriesStore) -> None:
    await store.write([batch(reading(at_ns=T0 + S, values={"m": 2.0, "only_then": 1}))])
    await store.write([batch(reading(at_ns=T0, values={"m": 1.0, "only_before": 3}))])
    wanted = {"m": Point(T0 + S, 2.0), "only_then": Point(T0 + S, 1), "only_before": Point(T0, 3)}
    assert await store.latest(["cover-1", "nobody"]) == {"cover-1": wanted, "nobody": {}}


async def test_the_latest_values_are_there_again_after_a_restart(store: SeriesStore) -> None:
    await store.write([batch(*(reading(at_ns=T0 + i * S, values={"m": float(i), "b": True, "t": "x"}) for i in range(3)))])
    await store.write([batch(reading(at_ns=T0 + 9 * S, values={"m": 999.0, "n": None}, flaws={"m": OUT_OF_RANGE}))])
    before = await store.latest(["cover-1"])
    await store.close()
    await store.open()
    assert await store.latest(["cover-1"]) == before
    assert before["cover-1"]["m"] == Point(T0 + 9 * S, 999.0, Quality.BAD, Reason.OUT_OF_RANGE)


async def test_a_device_that_changes_its_shape_for_ever_keeps_every_metric(store: SeriesStore) -> None:
    for i in range(12):
        await store.write([batch(reading(at_ns=T0 + i * S, values={f"m{i}": i, "all": i}))])
    held = (await store.latest(["cover-1"]))["cover-1"]
    assert {metric: point.value for metric, point in held.items()} == {"all": 11, **{f"m{i}": i for i in range(12)}}


async def test_a_range_is_half_open_and_gives_the_first_ones(store: SeriesStore) -> None:
    await store.write([batch(*(reading(at_ns=T0 + i * S, values={"m": float(i)}) for i in (4, 2, 0, 1, 3)))])
    found = await store.range("cover-1", ["m", "absent"], T0 + S, T0 + 4 * S, 2)
    assert found == {"m": [Point(T0 + S, 1.0), Point(T0 + 2 * S, 2.0)], "absent": []}
    assert [p.value for p in (await store.range("cover-1", ["m"], T0 + S, T0 + 4 * S, 9))["m"]] == [1.0, 2.0, 3.0]
    assert await store.range("nobody", ["m"], 0, FOREVER, 9) == {"m": []}


async def test_buckets_hold_min_max_mean_last_and_count_without_bad_values(store: SeriesStore) -> None:
    start = T0 // (60 * S) * 60 * S
    rows = [reading(at_ns=start + i * 10 * S, values={"m": float(i), "n": i}) for i in range(12)]
    rows.append(reading(at_ns=start + 5 * S, values={"m": 1e9, "n": 5}, flaws={"m": OUT_OF_RANGE}))
    rows.append(reading(at_ns=start + 6 * S, values={"m": None, "n": 5}, flaws={"m": Flaw(Quality.BAD, Reason.NO_VALUE)}))
    await store.write([batch(*rows)])
    await store.write([batch(*rows[:4])])
    found = plain(await store.buckets("cover-1", ["m", "n", "absent"], start + 10 * S, start + 110 * S, 60, "UTC"))
    assert found["m"] == [Bucket(start, 1.0, 5.0, 3.0, 5.0, 5), Bucket(start + 60 * S, 6.0, 10.0, 8.0, 10.0, 5)]
    assert found["n"] == [Bucket(start, 1, 5, 3.0, 5, 5), Bucket(start + 60 * S, 6, 10, 8.0, 10, 5)]
    assert isinstance(found["n"][0].last, int)
    assert found["absent"] == []


async def test_buckets_of_booleans_and_text(store: SeriesStore) -> None:
    start = T0 // (60 * S) * 60 * S
    rows = [reading(at_ns=start + i * S, values={"open": i < 3, "plate": f"p{i}"}) for i in range(4)]
    await store.write([batch(*rows)])
    found = plain(await store.buckets("cover-1", ["open", "plate"], start, start + 60 * S, 60, "Asia/Shanghai"))
    assert found == {"open": [Bucket(start, 0, 1, 0.75, False, 4)], "plate": [Bucket(start, None, None, None, "p3", 4)]}


async def test_days_begin_at_local_midnight(store: SeriesStore) -> None:
    midnight = 1_760_025_600 * S  # 2025-10-10T00:00 in Shanghai, 16:00 the day before in UTC
    await store.write([batch(*(reading(at_ns=midnight + h * 3600 * S, values={"m": float(h)}) for h in (-1, 0, 23, 24)))])
    found = await store.buckets("cover-1", ["m"], midnight - 7200 * S, midnight + 90_000 * S, 86_400, "Asia/Shanghai")
    day = 86_400 * S
    assert [(bucket.start_ns, bucket.count) for bucket in found["m"]] == [(midnight - day, 1), (midnight, 2), (midnight + day, 1)]


async def test_a_day_of_25_hours_is_one_bucket(store: SeriesStore) -> None:
    start = 1_761_429_600 * S  # 2025-10-26T00:00 in Berlin, where clocks go back at 03:00
    await store.write([batch(*(reading(at_ns=start + h * 3600 * S, values={"m": float(h)}) for h in range(26)))])
    found = await store.buckets("cover-1", ["m"], start, start + 26 * 3600 * S, 86_400, "Europe/Berlin")
    assert [(bucket.start_ns, bucket.count) for bucket in found["m"]] == [(start, 25), (start + 25 * 3600 * S, 1)]


@pytest.mark.parametrize(
    ("bucket_s", "zone", "word"),
    [
        pytest.param(60, "Mars/Olympus", "zone", id="an unknown zone"),
        pytest.param(60, "../etc/passwd", "zone", id="a path for a zone"),
        pytest.param(0, "UTC", "bucket", id="no width"),
        pytest.param(100_000, "UTC", "bucket", id="more than a day, but not days"),
        pytest.param(1, "UTC", "more than", id="too many buckets"),
    ],
)
async def test_a_question_that_cannot_be_answered(store: SeriesStore, bucket_s: int, zone: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        await store.buckets("cover-1", ["m"], T0, T0 + 30 * 86_400 * S, bucket_s, zone)


async def test_what_is_too_old_is_deleted(store: SeriesStore) -> None:
    await store.write([batch(*(reading(at_ns=T0 + i * S, values={"m": float(i)}) for i in range(4)))])
    await store.delete_before(T0 + 2 * S)
    assert [point.value for point in await all_of(store, "m")] == [2.0, 3.0]


async def test_names_with_everything_that_needs_escaping(store: SeriesStore) -> None:
    odd = "a b,c=d"
    await store.write([batch(reading(device="lamp.7:a-b_c", values={odd: 1.5, "50%d": 2, 'q"uote': 3}))])
    found = await store.range("lamp.7:a-b_c", [odd, "50%d", 'q"uote'], 0, FOREVER, 5)
    assert [points[0].value for points in found.values()] == [1.5, 2, 3]


async def test_many_groups_in_one_write(store: SeriesStore) -> None:
    batches = [
        batch(
            *(reading(device=f"d{i}", at_ns=T0 + n * S, values={"a": i / 2, "b": i, "c": bool(i % 2)}) for i in range(40)),
            *(reading(device=f"v{i}", at_ns=T0 + n * S, values={"speed_kmh": i * 1.5}) for i in range(40)),
            first_seq=1 + n * 80,
        )
        for n in range(5)
    ]
    assert await store.write(batches) == []
    assert await store.count() == 5 * (120 + 40)
    assert (await store.latest(["d7"]))["d7"]["b"] == Point(T0 + 4 * S, 7)


_WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from cloud_records import T0, S, batch, reading
from cloud.series.duckdb_store import DuckStore

async def main():
    store = DuckStore(Path(sys.argv[1]))
    await store.open()
    for n in range(10**6):
        rows = [reading(f"d{i}", at_ns=T0 + n * S, values={"a": i / 3, "b": i, "c": "x"}) for i in range(50)]
        await store.write([batch(*rows, first_seq=1 + 50 * n)])
        print(n, flush=True)

asyncio.run(main())
"""


def _write_until_killed(path: Path, commits: int) -> int:
    """Lets a process of its own write, kills it after some commits, and says how many it had reported."""
    command = [sys.executable, "-c", _WRITER, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        reported = [writer.stdout.readline() for _ in range(commits)]
        writer.kill()
    return len(reported)


async def test_what_was_written_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "series.duckdb"
    written = await asyncio.to_thread(_write_until_killed, path, 40)
    store = DuckStore(path)
    await store.open()
    assert await store.count() >= written * 50 * 3
    assert len((await store.range("d7", ["a"], 0, FOREVER, 1000))["a"]) >= written
    await store.close()
