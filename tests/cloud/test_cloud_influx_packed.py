"""Hours in one string: what comes out is what went in, and what is not as it should be is read the plain way."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from cloud_records import S, batch, reading
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.series.duckdb_store import DuckStore
from cloud.series.influx_http import InfluxClient, parse_address
from cloud.series.influx_packed import pack, unpack
from cloud.series.influx_store import InfluxStore
from cloud.series.rollups import ROW, Kind, Rows
from cloud.series.store import Bucket, SeriesStore, Tier
from telemetry.clock import ManualClock
from telemetry.records import Value

_databases = itertools.count(1)
MINUTE, HOUR = 60 * S, 3600 * S
START = 1_760_000_400 * S  # 2025-10-09T09:00:00Z
FOREVER = 2**62

_int64 = st.integers(-(2**63), 2**63 - 1)
_times = st.integers(-1, 2**63 - 2)
_floats = st.floats()
_rows = st.lists(
    st.tuples(
        _times, st.sampled_from([Kind.FLOAT, Kind.WHOLE, Kind.TRUTH]), st.integers(1, 2**32 - 1),
        *[_floats] * 3, *[_times] * 4, *[_floats] * 2, _int64, st.none(),
    ),
    max_size=40,
)  # fmt: skip


def rows_of(*rows: tuple[object, ...]) -> Rows:
    return np.array(list(rows), dtype=ROW)


ROWS = rows_of(*((START + n * HOUR, 0, 60, 1.5 * n, -1.0, n, n, n + 1, n, n + 2, 0.1, 0.2, 0, None) for n in range(5)))


@given(_rows)
def test_what_is_packed_comes_out_as_it_was(rows: list[tuple[object, ...]]) -> None:
    held = rows_of(*rows)
    found = unpack(pack(held))
    assert found is not None
    for name in ROW.names or ():
        assert np.array_equal(found[name], held[name], equal_nan=ROW[name].kind == "f")


@given(st.integers(0, 4), st.integers(0, 127), st.sampled_from("AZaz09+/"))
def test_a_changed_character_never_goes_unnoticed(row: int, place: int, character: str) -> None:
    texts = pack(ROWS)
    changed = texts[row][:place] + character + texts[row][place + 1 :]
    assert (unpack([*texts[:row], changed, *texts[row + 1 :]]) is None) == (changed != texts[row])


def test_the_layout_is_the_one_that_is_written_down() -> None:
    """Written on disks: another layout needs another version."""
    row = rows_of((START, Kind.WHOLE, 7, 28.0, 1.0, 7.0, START + 1, START + 7, START + 1, START + 7, 1.0, 7.0, 7, None))
    assert pack(row) == [_WRITTEN]


_WRITTEN = (
    "AQFxGAcAAAAAAAAAAAA8QAAAAAAAAPA/AAAAAAAAHEAAAAAAAADwPwAAAAAAABxA"
    "BwAAAAAAAAAAoIv2CcdsGAGgi/YJx2wYB6CL9gnHbBgBoIv2CcdsGAegi/YJx2wY"
)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([""], id="an empty one"),
        pytest.param([pack(ROWS)[0][:-4]], id="a short one"),
        pytest.param(["=" * 128], id="no base64"),
        pytest.param(["é" * 128], id="no ASCII"),
        pytest.param(["A" * 128], id="version 0"),
        pytest.param(["Ag" + pack(ROWS)[0][2:]], id="version 2"),
        pytest.param([*pack(ROWS)[:2], ""], id="one among others"),
    ],
)
def test_what_is_not_as_this_version_makes_it_is_not_read(texts: list[str]) -> None:
    assert unpack(texts) is None


def test_texts_and_more_values_than_fit_are_not_packed() -> None:
    rows = ROWS[:3].copy()
    rows["kind"][0], rows["text"][0], rows["n"][1] = Kind.TEXT, "京", 2**32
    assert [bool(packed) for packed in pack(rows)] == [False, False, True]


# --- in a server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
async def store(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[InfluxStore]:
    url = request.getfixturevalue("influx_url")
    made = InfluxStore(parse_address(f"{url}/packed{next(_databases)}"), clock)
    await made.open()
    yield made
    await made.close()


class Asked:
    """Whether questions for hours went to the packed field, to the plain ones, or to both."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.hours: list[str] = []
        whole = InfluxClient.query

        async def query(client: InfluxClient, statements: list[str]) -> object:
            self.hours += [each.split(" FROM ")[0] for each in statements if "reading_1h" in each]
            return await whole(client, statements)

        patch.setattr(InfluxClient, "query", query)

    def told(self) -> list[str]:
        told = ["packed" if each == 'SELECT "packed"' else "plain" for each in self.hours]
        self.hours.clear()
        return told


async def rolled(store: SeriesStore, until_ns: int) -> None:
    while (await store.roll(until_ns + MINUTE)).more:
        pass


async def hours(store: SeriesStore, *metrics: str) -> dict[str, list[Bucket]]:
    return dict(await store.rollup(Tier.HOUR, "cover-1", list(metrics), 0, FOREVER))


async def write(store: SeriesStore, *values: tuple[int, dict[str, Value]]) -> None:
    await store.write([batch(*(reading(at_ns=START + at, values=held) for at, held in values))])


@pytest.mark.integration
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5 * HOUR - 1), st.floats(-1e9, 1e9, width=32), st.booleans(), st.integers(-(2**62), 2**62)
        ),
        min_size=1, max_size=25, unique_by=lambda each: each[0],
    )
)  # fmt: skip
async def test_packed_hours_are_the_plain_ones_and_those_of_the_other_store(
    influx_url: str, tmp_path: Path, values: list[tuple[int, float, bool, int]]
) -> None:
    number = next(_databases)
    clock = ManualClock(START)
    store = InfluxStore(parse_address(f"{influx_url}/packed{number}"), clock)
    other = DuckStore(tmp_path / f"{number}.duckdb", clock)
    answers = []
    for each in (store, other):
        await each.open()
        await write(each, *((at, {"m": m, "open": open_, "count": count}) for at, m, open_, count in values))
        await rolled(each, START + 6 * HOUR)
        answers.append(await hours(each, "m", "open", "count"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cloud.series.influx_rows.unpack", lambda _: None)
        answers.append(await hours(store, "m", "open", "count"))
    await other.close()
    await store.close()
    assert answers[0] == answers[2]
    assert [bucket.count for bucket in answers[0]["m"]] == [bucket.count for bucket in answers[1]["m"]]
    assert [(b.min, b.max, b.last) for b in answers[0]["count"]] == [(b.min, b.max, b.last) for b in answers[1]["count"]]


@pytest.mark.integration
async def test_a_late_value_makes_the_packed_field_anew_with_the_plain_ones(
    store: InfluxStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, (0, {"m": 1.0}), (HOUR, {"m": 2.0}))
    await rolled(store, START + 3 * HOUR)
    clock.set_wall(START + 3 * HOUR)
    await write(store, (S, {"m": 9.0}))
    await rolled(store, START + 3 * HOUR)
    asked = Asked(monkeypatch)
    assert [(bucket.max, bucket.count) for bucket in (await hours(store, "m"))["m"]] == [(9.0, 2), (2.0, 1)]
    assert asked.told() == ["packed"]


@pytest.mark.integration
async def test_texts_are_read_the_plain_way(store: InfluxStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await write(store, (0, {"m": 1.0, "plate": "a"}), (S, {"m": 2.0, "plate": 'b"\\'}))
    await rolled(store, START + 2 * HOUR)
    asked = Asked(monkeypatch)
    found = await hours(store, "m", "plate", "absent")
    assert ([b.last for b in found["m"]], [b.last for b in found["plate"]], found["absent"]) == ([2.0], ['b"\\'], [])
    assert sorted(asked.told()) == ["packed", "plain"]


@pytest.mark.integration
async def test_hours_of_an_earlier_version_are_read_the_plain_way(
    store: InfluxStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, *((n * HOUR, {"m": float(n)}) for n in range(3)))
    whole = InfluxClient.write

    async def earlier(client: InfluxClient, lines: list[str]) -> None:
        """As it wrote them: without the field, and without a word of since when there is one."""
        await whole(client, [_without_packed(line) for line in lines])

    with monkeypatch.context() as patch:
        patch.setattr(InfluxClient, "write", earlier)
        await rolled(store, START + 3 * HOUR)
    await store.close()
    await store.open()
    clock.set_wall(START + 3 * HOUR + MINUTE)
    await write(store, (S, {"m": 10.0}), (3 * HOUR + S, {"m": 3.0}))  # one of them makes an old hour anew
    await rolled(store, START + 5 * HOUR)
    asked = Asked(monkeypatch)
    assert [bucket.max for bucket in (await hours(store, "m"))["m"]] == [10.0, 1.0, 2.0, 3.0]
    assert sorted(asked.told()) == ["packed", "plain"]
    chart = await store.chart("cover-1", ["m"], START, START + 5 * HOUR, 10)
    assert chart.curves["m"].values[0] == 0.0
    assert max(value for value in chart.curves["m"].values if isinstance(value, float)) == 10.0
    await store.close()
    await store.open()
    assert [bucket.max for bucket in (await hours(store, "m"))["m"]] == [10.0, 1.0, 2.0, 3.0]


def _without_packed(line: str) -> str:
    if line.startswith("reading_tiers"):
        return (
            ",".join(part for part in line.rpartition(" ")[0].split(",") if "packed_from" not in part) + line[line.rfind(" ") :]
        )
    head, found, rest = line.partition('packed="')
    return head + rest.partition('",')[2] if found else line


@pytest.mark.integration
async def test_a_damaged_string_is_passed_over_for_the_plain_fields(store: InfluxStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await write(store, *((n * HOUR, {"m": float(n)}) for n in range(3)))
    await rolled(store, START + 3 * HOUR)
    await store._client.write([f'reading_1h,device=cover-1,metric=m packed="{"A" * 128}" {START + HOUR}'])
    asked = Asked(monkeypatch)
    assert [bucket.max for bucket in (await hours(store, "m"))["m"]] == [0.0, 1.0, 2.0]
    assert asked.told() == ["packed", "plain"]
