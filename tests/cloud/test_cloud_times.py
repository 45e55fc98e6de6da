"""Times nobody can believe: kept as they are and marked, and never what is so now."""

from pathlib import Path

import msgspec
import pytest
from cloud_bench import Bench, raised
from cloud_records import S, batch, reading
from hypothesis import given
from hypothesis import strategies as st

from cloud.relational.tables import alarms, cases, devices
from cloud.series.duckdb_store import DuckStore
from cloud.series.honest import MOST_AHEAD_NS, doubted
from cloud.series.latest import LatestValues
from cloud.series.store import Point
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import ClockQuality, Flaw, Quality, Reading
from telemetry.wire import ClockNote, EventsBatch, ReadingsBatch

NOW = ManualClock().wall_ns()
UNSYNCED = ClockNote(boot_id="b1", quality=ClockQuality.UNSYNCED)
SOON = NOW + 2 * MOST_AHEAD_NS


def from_unset_clock(*readings: Reading, first_seq: int = 1) -> ReadingsBatch:
    return msgspec.structs.replace(batch(*readings, first_seq=first_seq), clock=UNSYNCED)


def flaws(said: ReadingsBatch) -> list[dict[str, Flaw]]:
    return [dict(each.flaws) for group in said.groups for _, each in group.readings()]


def test_every_value_from_a_clock_that_nobody_set_is_uncertain_and_what_is_bad_stays_bad() -> None:
    bad = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)
    said = from_unset_clock(
        reading(at_ns=S, values={"a": 1.0, "b": 2.0}, flaws={"b": bad}), reading(at_ns=2 * S, values={"a": 3})
    )
    doubt = Flaw(Quality.UNCERTAIN, Reason.CLOCK_UNSYNCED)
    marked = doubted(said, NOW)
    assert flaws(marked) == [{"a": doubt, "b": bad}, {"a": doubt}]
    assert [row[2] for group in marked.groups for row in group.rows] == [S, 2 * S]


@pytest.mark.parametrize(
    ("ahead_ns", "marked"),
    [
        pytest.param(0, False, id="now"),
        pytest.param(MOST_AHEAD_NS, False, id="five minutes ahead"),
        pytest.param(MOST_AHEAD_NS + 1, True, id="more than five minutes ahead"),
        pytest.param(80 * 365 * 86400 * S, True, id="the year 2105"),
    ],
)
def test_only_what_is_more_than_five_minutes_ahead_is_of_the_future(ahead_ns: int, marked: bool) -> None:
    said = batch(reading(at_ns=NOW), reading(at_ns=NOW + ahead_ns), reading(at_ns=NOW - S))
    future = {"level_cm": Flaw(Quality.UNCERTAIN, Reason.FUTURE_TIME)}
    assert flaws(doubted(said, NOW)) == [{}, future if marked else {}, {}]
    assert (doubted(said, NOW) is said) is not marked


def test_a_clock_that_the_cloud_corrected_is_believed() -> None:
    note = ClockNote(boot_id="b1", quality=ClockQuality.CLOUD, shift_ns=5)
    said = msgspec.structs.replace(batch(reading(at_ns=NOW)), clock=note)
    assert doubted(said, NOW) is said


async def test_no_value_from_the_future_or_an_unset_clock_is_ever_the_latest(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    store = DuckStore(tmp_path / "series.duckdb", clock)
    await store.open()
    at_times = [
        batch(reading(at_ns=NOW, values={"m": 1.0})),
        batch(reading(at_ns=SOON, values={"m": 2.0}), first_seq=2),
        from_unset_clock(reading(at_ns=NOW + S, values={"m": 3.0}), first_seq=3),
    ]
    assert await store.write([doubted(said, NOW) for said in at_times]) == []
    assert (await store.latest(["cover-1"]))["cover-1"] == {"m": Point(NOW, 1.0)}
    await store.close()
    await store.open()  # what is learnt from the file is judged as strictly
    assert (await store.latest(["cover-1"]))["cover-1"] == {"m": Point(NOW, 1.0)}
    assert await store.write([batch(reading(at_ns=NOW + 5 * S, values={"m": 4.0}), first_seq=4)]) == []
    assert (await store.latest(["cover-1"]))["cover-1"] == {"m": Point(NOW + 5 * S, 4.0)}
    assert await store.count() == 4
    await store.close()


async def test_late_data_overwrites_no_live_state(tmp_path: Path) -> None:
    store = DuckStore(tmp_path / "series.duckdb", ManualClock(NOW))
    await store.open()
    await store.write([batch(reading(at_ns=NOW, values={"m": 1.0}), first_seq=9)])
    await store.write([batch(*(reading(at_ns=NOW - i * S, values={"m": -1.0}) for i in range(8, 0, -1)))])
    assert (await store.latest(["cover-1"]))["cover-1"] == {"m": Point(NOW, 1.0)}
    await store.close()


async def test_ingest_stores_and_marks_them_and_the_device_is_heard_when_it_really_was(bench: Bench) -> None:
    now_ns = bench.clock.wall_ns()
    bench.say(batch(reading(at_ns=now_ns), reading(at_ns=now_ns + 2 * MOST_AHEAD_NS)))
    bench.say(from_unset_clock(reading(at_ns=now_ns + 2 * S), first_seq=3))
    await bench.acked(3)
    points = (await bench.series.range("cover-1", ["level_cm"], 0, 2**62, 10))["level_cm"]
    assert [point.reason for point in points] == [None, Reason.CLOCK_UNSYNCED, Reason.FUTURE_TIME]
    assert {point.quality for point in points[1:]} == {Quality.UNCERTAIN}
    assert (await bench.series.latest(["cover-1"]))["cover-1"]["level_cm"].time_ns == now_ns
    await bench.ingest.save_rest()
    assert {row["id"]: row["last_reading_ns"] for row in await bench.rows(devices)}["cover-1"] == now_ns


async def test_no_alarm_is_suppressed_because_its_gateways_clock_is_not_set(bench: Bench) -> None:
    full = msgspec.structs.replace(raised("cover-1"), evidence={f"m{i}": i for i in range(64)})
    said = EventsBatch(gateway="gw-1", epoch="e1", first_seq=1, events=[full], clock=UNSYNCED)
    bench.say(said)
    await bench.until(lambda: any(ack.cumulative == 1 for ack in bench.acks))
    assert [row["state"] for row in await bench.rows(cases)] == ["dispatched"]
    [alarm] = await bench.rows(alarms)
    assert alarm["evidence"]["clock"] == "unsynced"
    assert alarm["raised_ns"] == full.event_time_ns


_times = st.integers(0, 30).map(lambda s: NOW - 20 * S + s * S + (2 * MOST_AHEAD_NS if s > 25 else 0))


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), _times, st.integers(0, 99)), min_size=1, max_size=8), max_size=5
    )
)
def test_the_latest_value_is_the_one_with_the_latest_believable_time_in_whatever_order(
    said: list[list[tuple[str, int, int]]],
) -> None:
    latest = LatestValues(ManualClock(NOW))
    model: dict[str, tuple[int, int]] = {}
    for rows in said:
        latest.update(batch(*(reading(device, at_ns=at_ns, values={"m": value}) for device, at_ns, value in rows)))
        for device, at_ns, value in rows:
            if at_ns <= NOW + MOST_AHEAD_NS and at_ns >= model.get(device, (0, 0))[0]:
                model[device] = (at_ns, value)
    for device in "abc":
        held = latest.get(device)
        assert [(point.time_ns, point.value) for point in held.values()] == ([model[device]] if device in model else [])
