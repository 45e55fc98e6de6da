"""The newest Observation comes from memory, for all Datastreams at once, and is what the store itself would answer."""

import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sta_world import MINUTE_NS, NOW_NS, World, reading

from cloud.sensorthings.held import Held
from cloud.sensorthings.ids import FIRST_NS, WINDOW_NS, unpack, window_of
from cloud.sensorthings.newest import Newest
from cloud.sensorthings.values import Stream
from cloud.sensorthings.walk import number_of
from cloud.series.duckdb_store import DuckStore
from cloud.series.honest import MOST_AHEAD_NS, doubted
from cloud.series.influx_http import parse_address
from cloud.series.influx_store import InfluxStore
from cloud.series.store import Point, SeriesStore
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason
from telemetry.records import ClockQuality
from telemetry.wire import ClockNote, ReadingsBatch, group_readings

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEWEST = "$orderby=phenomenonTime desc&$top=1"
INSIDE = "Observations($top=1;$orderby=phenomenonTime desc)"
DAY_NS = 86_400 * SECOND_NS
EVER_NS = 2**63 - 1
_names = itertools.count(1)


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["duckdb", pytest.param("influx", marks=pytest.mark.integration)]
)
async def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SeriesStore]:
    made: SeriesStore
    if request.param == "duckdb":
        made = DuckStore(tmp_path_factory.mktemp("newest") / "series.duckdb", ManualClock(NOW_NS))
    else:
        url = request.getfixturevalue("influx_url")
        made = InfluxStore(parse_address(f"{url}/newest{next(_names)}"), ManualClock(NOW_NS))
    await made.open()
    yield made
    await made.close()


class Row(msgspec.Struct, frozen=True):
    """One reading of one of two devices, of the metrics a, b or both; `vouched`: whether its gateway's clock was set."""

    device: int
    time_ns: int
    metrics: tuple[str, ...]
    vouched: bool


# Windows, and places in them that clocks of whole milliseconds know: some are ahead of time by more than is believed.
TIMES = st.tuples(st.sampled_from([-3, -2, -1, 0, 1000, 2000]), st.integers(0, 63)).map(
    lambda pair: window_of(NOW_NS)[0] + pair[0] * WINDOW_NS + pair[1] * 4_000_000
)
METRICS = st.sampled_from([("a",), ("b",), ("a", "b")])
ROWS = st.lists(st.builds(Row, device=st.integers(0, 1), time_ns=TIMES, metrics=METRICS, vouched=st.booleans()), max_size=12)


def batch_of(row: Row, device: str) -> ReadingsBatch:
    """As a gateway sends it, with a value that is its time's own."""
    values: dict[str, Any] = {metric: float(row.time_ns % 1009) for metric in row.metrics}
    quality = ClockQuality.SYNCED if row.vouched else ClockQuality.UNSYNCED
    batch = group_readings("gw-1", "e1", 1, [reading(device, "p", row.time_ns, **values)])
    return doubted(msgspec.structs.replace(batch, clock=ClockNote(boot_id="b1", quality=quality)), NOW_NS)


async def believed(store: SeriesStore, stream: Stream) -> list[Point]:
    """What the store itself answers, newest first, without what nobody can believe."""
    every = await store.range(stream.device, [stream.metric], 0, EVER_NS, 1000, newest_first=True)
    return [
        each
        for each in every[stream.metric]
        if each.time_ns <= NOW_NS + MOST_AHEAD_NS and each.reason is not Reason.CLOCK_UNSYNCED
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
async def test_the_newest_is_the_first_that_the_store_answers_of_what_can_be_believed(
    store: SeriesStore, rows: Sequence[Row]
) -> None:
    devices = [f"d{next(_names)}", f"d{next(_names)}"]
    # The same time twice has one value in one store and the other in another: the protocol has one value for it.
    once = {(row.device, row.time_ns, metric): row for row in rows for metric in row.metrics}
    unique = [row for row in rows if all(once[row.device, row.time_ns, metric] is row for metric in row.metrics)]
    assert await store.write([batch_of(row, devices[row.device]) for row in unique]) == []
    pairs = [(device, metric) for device in devices for metric in ("a", "b")]
    streams = [Stream(no, 1, device, metric) for no, (device, metric) in enumerate(pairs, 1)]
    found = await Newest(store, ManualClock(NOW_NS)).of(streams)
    for stream in streams:
        wanted = await believed(store, stream)
        if not wanted:
            assert stream.no not in found
            continue
        shown = found[stream.no]
        assert shown.id == await number_of(stream.no, wanted[0].time_ns, fetch_of(store, stream))
        assert shown.values["phenomenonTime"].start_ns == shown.values["resultTime"].start_ns == wanted[0].time_ns
        assert shown.values["result"] == wanted[0].value
        assert shown.values["resultQuality"]["quality"] == wanted[0].quality.name.lower()


def fetch_of(store: SeriesStore, stream: Stream) -> Any:
    async def fetch(start_ns: int, end_ns: int, limit: int, *, back: bool) -> Sequence[Point]:
        asked = store.range(stream.device, [stream.metric], start_ns, end_ns, limit, newest_first=back)
        return (await asked)[stream.metric]

    return fetch


async def test_one_datastream_is_one_look_into_memory(quiet_street: World) -> None:
    two = await quiet_street.ask("/Datastreams(1)/Observations?$orderby=phenomenonTime desc&$top=2")
    asked = quiet_street.asked
    asked.clear()
    for order in ("phenomenonTime", "resultTime"):
        one = await quiet_street.ask(f"/Things(1)/Datastreams(1)/Observations?$orderby={order} desc&$top=1")
        assert one["value"] == two["value"][:1]
    assert asked == {"latest": 2}


async def test_all_things_with_all_their_newest_values_are_one_look_into_memory(quiet_street: World) -> None:
    asked = quiet_street.asked
    asked.clear()
    things = await quiet_street.ask(f"/Things?$expand=Datastreams($select=id;$expand={INSIDE})")
    assert asked == {"latest": 1}
    streams = [stream for thing in things["value"] for stream in thing["Datastreams"]]
    assert len(streams) > 30
    assert sum(len(stream["Observations"]) for stream in streams) == 5
    for stream in streams:
        whole = await quiet_street.ask(f"/Datastreams({stream['@iot.id']})/Observations?$top=1000")
        assert stream["Observations"] == whole["value"][::-1][:1]
    await quiet_street.ask(f"/Things?$expand=Datastreams($expand={INSIDE})")
    asked.clear()
    await quiet_street.ask(f"/Things?$expand=Datastreams($expand={INSIDE})")
    assert asked == {"latest": 2}, "one more for the times of Datastreams, whose beginnings are remembered"


@pytest.mark.asyncio
async def test_the_beginnings_of_datastreams_are_asked_for_device_by_device(street: World) -> None:
    asked = street.asked
    asked.clear()
    await street.ask("/Datastreams?$top=1000")
    assert asked == {"latest": 1, "range": 3}
    assert (await street.ask("/FeaturesOfInterest"))["value"]
    assert asked == {"latest": 2, "range": 3}
    await street.ask("/Things?$filter=Datastreams/ObservedProperty/name eq 'tilt_deg'")
    assert asked == {"latest": 2, "range": 3}, "a filter that speaks of no times asks for none"


OTHERS = [
    pytest.param("$orderby=phenomenonTime desc&$top=1&$skip=1", 8.0, id="the second"),
    pytest.param("$orderby=phenomenonTime desc&$top=1&$filter=result lt 5", 4.0, id="the newest that a filter leaves"),
    pytest.param("$orderby=phenomenonTime&$top=1", 0.0, id="the oldest"),
    pytest.param("$orderby=result&$top=1", 0.0, id="the least"),
    pytest.param("$top=1", 0.0, id="the first in the set's own order"),
]


@pytest.mark.parametrize(("query", "result"), OTHERS)
async def test_any_other_question_is_the_store_s(quiet_street: World, query: str, result: float) -> None:
    asked = quiet_street.asked
    asked.clear()
    assert [each["result"] for each in (await quiet_street.ask(f"/Datastreams(1)/Observations?{query}"))["value"]] == [result]
    assert asked["range"] >= 1


async def test_the_rest_is_behind_its_link_even_where_there_is_none(quiet_street: World) -> None:
    page = await quiet_street.ask(f"/Datastreams(1)/Observations?{NEWEST}")
    assert (await quiet_street.follow(page["@iot.nextLink"]))["value"][0]["result"] == 8.0
    alone = await quiet_street.stream("cover-2", "tilt_deg")
    page = await quiet_street.ask(f"/Datastreams({alone})/Observations?{NEWEST}&$count=true")
    assert (page["@iot.count"], len(page["value"])) == (1, 1)
    assert await quiet_street.follow(page["@iot.nextLink"]) == {"@iot.count": 1, "value": []}
    silent = await quiet_street.stream("toilet-1", "nh3_ppm")
    assert await quiet_street.ask(f"/Datastreams({silent})/Observations?{NEWEST}") == {"value": []}


@pytest.mark.asyncio
async def test_the_newest_is_never_from_the_future_which_two_or_more_show(street: World) -> None:
    await street.write(reading("cover-1", "cover_nbiot", NOW_NS + DAY_NS, tilt_deg=77.0))
    assert [each["result"] for each in (await street.ask(f"/Datastreams(1)/Observations?{NEWEST}"))["value"]] == [9.0]
    two = await street.ask("/Datastreams(1)/Observations?$orderby=phenomenonTime desc&$top=2")
    assert [each["result"] for each in two["value"]] == [77.0, 9.0]


@pytest.mark.asyncio
async def test_what_the_store_has_forgotten_is_not_shown_from_memory(street: World) -> None:
    old = [NOW_NS - days * DAY_NS for days in (5, 4, 3, 2)]
    metrics = ["battery_v", "temperature_c", "signal_dbm", "water_level_cm"]
    streams = [Stream(no, 1, "silent", metric) for no, metric in enumerate(metrics, 1)]
    for at_ns, metric in zip(old, metrics, strict=True):
        await street.write(reading("silent", "cover_nbiot", at_ns, **dict[str, Any]({metric: 1.0})))
    newest = Newest(cast(SeriesStore, street.watched), street.clock)
    asked = street.asked
    asked.clear()
    assert len(await newest.of(streams)) == 4
    assert asked == {"latest": 1, "range": 1}, "where the oldest is still there, all are"
    assert len(await newest.of(streams)) == 4
    assert asked == {"latest": 2, "range": 1}, "and that is remembered"
    await street.services.series.delete_before(old[2])
    street.clock.advance(601)
    assert sorted(await newest.of(streams)) == [3, 4]
    assert asked["range"] <= 4


@settings(max_examples=60)
@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 41))
async def test_halving_finds_how_far_back_a_store_goes(days: Sequence[int], kept: int) -> None:
    points = [Point(NOW_NS - day * DAY_NS, 1.0) for day in days]
    gone_ns = NOW_NS - kept * DAY_NS
    values = [(Stream(1, 1, "d", "m"), point) for point in points]
    held = Held(Forgetful(gone_ns), ManualClock(NOW_NS))  # type: ignore[arg-type]
    since_ns = await held.since_ns(values)
    assert [each.time_ns >= since_ns for each in points] == [each.time_ns >= min(gone_ns, NOW_NS - DAY_NS) for each in points]


class Forgetful(msgspec.Struct):
    """Has whatever is asked for, from a time on."""

    from_ns: int

    async def range(
        self, _device: str, metrics: Sequence[str], start_ns: int, _end_ns: int, _limit: int
    ) -> dict[str, list[Point]]:
        return {metric: [Point(start_ns, 1.0)] if start_ns >= self.from_ns else [] for metric in metrics}


@pytest.mark.asyncio
async def test_a_time_without_a_number_is_no_observation(street: World) -> None:
    other = await street.stream("cover-2", "battery_v")
    await street.write(reading("cover-2", "cover_nbiot", FIRST_NS - 1, battery_v=3.0))
    assert await street.ask(f"/Datastreams({other})/Observations?{NEWEST}") == {"value": []}


@pytest.mark.asyncio
async def test_a_newest_value_with_company_in_its_window_has_its_own_place_until_they_are_looked_at_together(
    street: World,
) -> None:
    start = window_of(NOW_NS + MINUTE_NS)[0]
    # Both have place 1: the one is a nanosecond behind the beginning, the other four milliseconds.
    for at_ns, tilt in ((start + 1, 10.0), (start + 4_000_000, 11.0)):
        await street.write(reading("cover-1", "cover_nbiot", at_ns, tilt_deg=tilt))
    [alone] = (await street.ask(f"/Datastreams(1)/Observations?{NEWEST}"))["value"]
    together = (await street.ask("/Datastreams(1)/Observations?$orderby=phenomenonTime desc&$top=2"))["value"]
    assert (alone["result"], [each["result"] for each in together]) == (11.0, [11.0, 10.0])
    assert [unpack(each["@iot.id"]) for each in (alone, *together)] == [(1, start, 1), (1, start, 2), (1, start, 1)]


LISTS = [
    pytest.param("", id="all of them"),
    pytest.param("$filter=properties/type eq 'float';$count=true", id="those that a filter leaves, counted"),
    pytest.param("$orderby=id desc;$skip=2", id="backwards, some passed over"),
    pytest.param("$select=name;$filter=properties/metric eq 'tilt_deg'", id="only their names"),
    pytest.param("$top=3", id="only the first"),
    pytest.param("$orderby=name desc", id="in another order"),
]


@pytest.mark.parametrize("options", LISTS)
async def test_the_datastreams_of_many_things_are_those_of_each(quiet_street: World, options: str) -> None:
    inside = f"({options})" if options else ""
    together = await quiet_street.ask(f"/Things?$expand=Datastreams{inside}")
    assert len(together["value"]) == 5
    for thing in together["value"]:
        alone = await quiet_street.ask(f"/Things({thing['@iot.id']})/Datastreams?{options.replace(';', '&')}")
        assert thing["Datastreams"] == alone["value"]
        assert thing.get("Datastreams@iot.count") == alone.get("@iot.count")
        assert thing.get("Datastreams@iot.nextLink", "").partition("?")[2] == alone.get("@iot.nextLink", "").partition("?")[2]
