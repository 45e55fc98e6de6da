"""Values out of one store into a file and into another store: nothing is changed, lost or written twice."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from cloud_records import T0, S
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.series.duckdb_store import DuckStore
from cloud.series.honest import MAX_TEXT
from cloud.series.influx_address import parse_address
from cloud.series.influx_store import InfluxStore
from cloud.series.store import SeriesStore, StoreUnavailable
from cloud.transfer.exporting import Exported, Wanted, export, metrics_of
from cloud.transfer.formats import FileKind, kind_of_file
from cloud.transfer.importing import Imported, import_file
from cloud.transfer.lines import CsvLines, JsonLines
from cloud.transfer.progress import Told
from cloud.transfer.rows import COLUMNS, BadRow, Row, iso_ns, kind_of, parse_time, reading_of
from cloud.transfer.sinks import Place, open_sink
from cloud.transfer.sources import open_source
from telemetry.reason import Reason
from telemetry.records import Quality, Value
from telemetry.wire import group_readings

KINDS = list(FileKind)
_databases = itertools.count(1)

VALUES: list[Value] = [
    1.25, 20.0, 5e-324, 1.7976931348623157e308, 7, 2**53 + 1, 2**63 - 1, -(2**63), True, False,
    "京A12345", "", 'a "quoted", \\n back\\slash', "a\x00b", "line\nfeed\r\n\x85\u2028end", " spaces ", "true", "\\", "=1+1",
]  # fmt: skip


@pytest.fixture
async def duck(tmp_path: Path) -> AsyncIterator[SeriesStore]:
    store = DuckStore(tmp_path / "duck" / "series.duckdb")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def influx(influx_url: str) -> AsyncIterator[SeriesStore]:
    store = InfluxStore(parse_address(f"{influx_url}/transfer{os.getpid()}_{next(_databases)}"))
    await store.open()
    yield store
    await store.close()


def every_kind() -> list[Row]:
    """Each value in a metric of its own, each quality, and three devices."""
    rows = [Row("cover-7", f"m{index}", T0 + index, value) for index, value in enumerate(VALUES)]
    rows += [
        Row("cover-7", "doubt", T0 + 1, 3.5, Quality.UNCERTAIN, Reason.FUTURE_TIME),
        Row("cover-7", "doubt", T0 + 2, 999.0, Quality.BAD, Reason.OUT_OF_RANGE),
        Row("cover-7", "doubt", T0 + 3, None, Quality.BAD, Reason.TIMEOUT),
        Row("cover-7", "doubt", T0 + 4, 1.0),
        Row("lamp.1", "水位 %", 1, 5),
    ]
    return rows


async def fill(store: SeriesStore, rows: Sequence[Row]) -> None:
    assert await store.write([group_readings("gw-1", "e1", 1, [reading_of(row) for row in rows])]) == []


def wanted(rows: Sequence[Row], **change: Any) -> Wanted:
    metrics: dict[str, list[str]] = {}
    for row in rows:
        metrics.setdefault(row.device, []).append(row.metric)
    unique = {device: sorted(set(names)) for device, names in metrics.items()}
    return msgspec.structs.replace(Wanted(metrics=unique, start_ns=0, end_ns=2**62, fixed_end=True), **change)


async def out(store: SeriesStore, path: Path, rows: Sequence[Row], **change: Any) -> Exported:
    return await export(store, open_sink(path, kind_of_file(path)), wanted(rows, **change))


async def into(store: SeriesStore | None, path: Path) -> Imported:
    return await import_file(store, open_source(path, kind_of_file(path)), path, "there", rest_s=0.001)


async def held(store: SeriesStore, rows: Sequence[Row]) -> list[Row]:
    found = []
    for device, metrics in wanted(rows).metrics.items():
        for metric, points in (await store.range(device, metrics, 0, 2**62, 10_000)).items():
            found += [Row(device, metric, p.time_ns, p.value, p.quality, p.reason) for p in points]
    return found


def no_rest(folder: Path) -> bool:
    """Whether nothing of the work lies about."""
    return not [file for file in folder.iterdir() if file.suffix in {".part", ".state", ".import-state", ".new"}]


def key(row: Row) -> tuple[Any, ...]:
    return (row.device, row.metric, row.time_ns, type(row.value).__name__, repr(row.value), row.quality, row.reason)


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("there", ["influx", "duckdb"])
async def test_a_store_of_the_other_kind_holds_the_same_afterwards(
    duck: SeriesStore, influx: SeriesStore, tmp_path: Path, kind: FileKind, there: str
) -> None:
    first, second = (duck, influx) if there == "influx" else (influx, duck)
    rows = every_kind()
    await fill(first, rows)
    path = tmp_path / f"values.{kind}"
    assert (await out(first, path, rows)).rows == len(rows)
    for _ in range(2):
        done = await into(second, path)
        assert (done.rows, done.stored, done.refused) == (len(rows), len(rows), 0)
    assert await second.count() == len(rows)
    assert sorted(map(key, await held(second, rows))) == sorted(map(key, rows))
    assert no_rest(tmp_path)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), texts)
flaws = st.one_of(
    st.just((Quality.GOOD, None)),
    st.tuples(st.sampled_from([Quality.UNCERTAIN, Quality.BAD]), st.sampled_from(list(Reason))),
)
missing = st.tuples(st.none(), st.tuples(st.sampled_from([Quality.UNCERTAIN, Quality.BAD]), st.sampled_from(list(Reason))))
metrics = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).filter(
    lambda name: not name.endswith((".bad", ".flaw", ".none"))
)
rows_of_any_kind = st.builds(
    lambda device, metric, time_ns, told: Row(device, metric, time_ns, told[0], *told[1]),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True),
    metrics,
    st.integers(1, 2**63 - 1),
    st.one_of(st.tuples(values, flaws), missing),
)


@settings(max_examples=60)
@given(st.lists(rows_of_any_kind, max_size=8))
def test_any_row_is_one_line_and_comes_back_as_it_was(rows: list[Row]) -> None:
    for lines in (CsvLines(), JsonLines()):
        written = lines.encode(rows)
        assert written.count(b"\n") == len(rows)
        assert [key(lines.decode(line + b"\n")) for line in written.split(b"\n")[:-1]] == [key(row) for row in rows]


def apart(rows: Sequence[Row]) -> list[Row]:
    """Each kind of value in a metric of its own, as an InfluxDB wants it, within eleven days, each instant once."""
    found = {}
    for row in rows:
        metric = f"{row.metric}_{kind_of(row.value)}"
        kept = msgspec.structs.replace(row, metric=metric, time_ns=T0 + row.time_ns % 10**15)
        found[kept.device, metric, kept.time_ns] = kept
    return list(found.values())


@pytest.mark.integration
@settings(max_examples=4)
@given(rows=st.lists(rows_of_any_kind, min_size=10, max_size=40).map(apart), kind=st.sampled_from(KINDS))
def test_whatever_was_stored_is_the_same_in_a_store_of_the_other_kind(influx_url: str, rows: list[Row], kind: FileKind) -> None:
    async def there_and_back(folder: Path) -> list[Row]:
        first: SeriesStore = DuckStore(folder / "series.duckdb")
        second: SeriesStore = InfluxStore(parse_address(f"{influx_url}/transfer{os.getpid()}_{next(_databases)}"))
        await first.open()
        await second.open()
        await fill(first, rows)
        await out(first, folder / f"values.{kind}", rows)
        done = await into(second, folder / f"values.{kind}")
        assert (done.stored, done.refused) == (len(rows), 0)
        found = await held(second, rows)
        await first.close()
        await second.close()
        return found

    def same(row: Row) -> Row:
        # An InfluxDB gives minus zero back as zero.
        return msgspec.structs.replace(row, value=0.0) if type(row.value) is float and row.value == 0 else row

    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(there_and_back(Path(folder)))
    assert sorted(key(same(row)) for row in found) == sorted(key(same(row)) for row in rows)


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_no_line_of_any_bytes_is_worse_than_refused(line: bytes) -> None:
    for lines in (CsvLines(), JsonLines()):
        with suppress(BadRow):
            assert isinstance(lines.decode(line.replace(b"\n", b"")), Row)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("cover 7,m,,1,float,1.0,good,", "unknown_device", id="an id that is none"),
        pytest.param("a,m.bad,,1,float,1.0,good,", "unknown_metric", id="a store's own field"),
        pytest.param("a,m,,0,float,1.0,good,", "implausible_time", id="before there was time"),
        pytest.param("a,m,yesterday,,float,1.0,good,", "implausible_time", id="no instant"),
        pytest.param("a,m,2026-02-30T00:00:00Z,,float,1.0,good,", "implausible_time", id="a day that is none"),
        pytest.param("a,m,,1,float,nan,good,", "not_a_number", id="not a number"),
        pytest.param("a,m,,1,integer,9223372036854775808,good,", "out_of_range", id="beyond 64 bits"),
        pytest.param("a,m,,1,integer,1.5,good,", "wrong_type", id="no integer"),
        pytest.param("a,m,,1,boolean,perhaps,good,", "wrong_type", id="no truth"),
        pytest.param("a,m,,1,number,1,good,", "wrong_type", id="no type"),
        pytest.param("a,m,,1,none,,good,", "missing", id="nothing, and no reason"),
        pytest.param("a,m,,1,float,1.0,excellent,", "not_in_enum", id="no quality"),
        pytest.param("a,m,,1,float,1.0,bad,because", "not_in_enum", id="no reason"),
        pytest.param("a,m,,1,float,1.0,good", "bad_length", id="a field too few"),
        pytest.param('a,m,,1,string,"torn,good,', "bad_field", id="a quote that nobody ends"),
        pytest.param(f"a,m,,1,string,{'x' * (MAX_TEXT + 1)},good,", "oversized", id="a text without end"),
    ],
)
async def test_a_bad_line_is_refused_by_its_number_and_the_others_are_stored(
    duck: SeriesStore, tmp_path: Path, line: str, reason: str
) -> None:
    path = tmp_path / "values.csv"
    path.write_text(
        f"{','.join(COLUMNS)}\na,m,,1000,float,1.0,good,\n\n{line}\na,m,1970-01-01T00:00:00.000002Z,,float,2,,\n", "utf-8"
    )
    dry = await into(None, path)
    assert await duck.count() == 0
    done = await into(duck, path)
    assert [(refusal.line, refusal.reason) for refusal in done.told] == [(4, reason)]
    assert (done.rows, done.stored, done.reasons) == (3, 2, {reason: 1})
    assert dry == done
    assert [point.value for point in (await duck.range("a", ["m"], 0, 2**62, 9))["m"]] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"not json", "not_json", id="no JSON"),
        pytest.param(b"[1]", "bad_field", id="no object"),
        pytest.param(
            b'{"device":"a","metric":"m","time_ns":1,"value":[1],"quality":"good"}', "bad_field", id="a list for a value"
        ),
        pytest.param(b'{"device":"a","metric":"m","time_ns":1,"type":"integer","value":1.5}', "wrong_type", id="another type"),
        pytest.param(b'{"device":5,"metric":"m","time_ns":1,"value":1}', "bad_field", id="a number for a device"),
        pytest.param(b'{"device":"a","metric":"m","value":1}', "implausible_time", id="no time"),
        pytest.param(b'{"device":"a","metric":"m","time_ns":1,"value":18446744073709551616}', "out_of_range", id="too large"),
    ],
)
def test_a_bad_line_of_json_says_what_is_wrong(line: bytes, reason: str) -> None:
    with pytest.raises(BadRow) as refused:
        JsonLines().decode(line)
    assert refused.value.reason == reason


def test_a_whole_number_of_type_float_is_a_float() -> None:
    row = JsonLines().decode(b'{"device":"a","metric":"m","time":"1970-01-01T08:00:01+08:00","type":"float","value":20}')
    assert (repr(row.value), row.time_ns) == ("20.0", S)


@pytest.mark.integration
async def test_what_the_store_itself_refuses_is_told_by_its_line(influx: SeriesStore, tmp_path: Path) -> None:
    await fill(influx, [Row("a", "m", 1, 5)])
    path = tmp_path / "values.jsonl"
    path.write_bytes(JsonLines().encode([Row("a", "m", 2, 6), Row("a", "m", 3, "seven"), Row("a", "m", 4, 8)]))
    done = await into(influx, path)
    assert [(refusal.line, refusal.reason) for refusal in done.told] == [(2, "wrong_type")]
    assert (done.stored, await influx.count()) == (2, 3)


async def test_columns_may_stand_in_any_order_but_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    path.write_text("value,type,time_ns,metric,device\n5,integer,7,m,a\n", "utf-8-sig")
    [portion] = open_source(path, FileKind.CSV).portions(0, 0, 10)
    assert portion.rows[0].row == Row("a", "m", 7, 5)
    path.write_text("time,value\n1,2\n")
    with pytest.raises(ValueError, match="device, metric, type"):
        open_source(path, FileKind.CSV)
    path.write_text("device,metric,time,type,value,colour\n")
    with pytest.raises(ValueError, match="column colour is none"):
        open_source(path, FileKind.CSV)
    (tmp_path / "x.parquet").write_text("PAR0")
    with pytest.raises(ValueError, match="no Parquet"):
        open_source(tmp_path / "x.parquet", FileKind.PARQUET)


def many(count: int) -> list[Row]:
    return [Row(f"d{i % 3}", "m", T0 + i * S, float(i)) for i in range(count)]


class Stops:
    """A store that fails after some calls, the way a process ends that is killed."""

    def __init__(self, store: SeriesStore, calls: int) -> None:
        self._store, self._calls = store, calls

    def __getattr__(self, name: str) -> Any:
        if name not in {"range", "write"}:
            return getattr(self._store, name)
        self._calls -= 1
        if self._calls < 0:
            raise KeyboardInterrupt
        return getattr(self._store, name)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_export_that_was_stopped_goes_on_where_it_was(
    duck: SeriesStore, tmp_path: Path, kind: FileKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.transfer.exporting._PAGE", 40)
    monkeypatch.setattr("cloud.transfer.exporting._SLICE", 50)
    rows = many(600)
    await fill(duck, rows)
    path = tmp_path / f"values.{kind}"
    stopped: Any = Stops(duck, 8)
    with pytest.raises(KeyboardInterrupt):
        await out(stopped, path, rows)
    assert not path.exists()
    if kind is not FileKind.PARQUET:
        with path.with_name(path.name + ".part").open("ab") as torn:
            torn.write(b"half a li")
    done = await out(duck, path, rows)
    assert (done.rows, done.resumed > 0) == (600, True)
    read = [each.row for portion in open_source(path, kind).portions(0, 0, 100) for each in portion.rows]
    assert read == sorted(rows, key=lambda row: (row.device, row.metric, row.time_ns))


async def test_another_question_begins_anew(duck: SeriesStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.transfer.exporting._PAGE", 10)
    monkeypatch.setattr("cloud.transfer.exporting._SLICE", 10)
    rows = many(60)
    await fill(duck, rows)
    for kind in KINDS:
        path = tmp_path / f"values.{kind}"
        stopped: Any = Stops(duck, 3)
        with pytest.raises(KeyboardInterrupt):
            await out(stopped, path, rows)
        done = await out(duck, path, rows, start_ns=T0 + 30 * S)
        assert (done.rows, done.resumed) == (30, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_import_that_was_stopped_goes_on_where_it_was(
    duck: SeriesStore, tmp_path: Path, kind: FileKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.transfer.importing._PORTION", 50)
    rows = many(400)
    path = tmp_path / f"values.{kind}"
    sink = open_sink(path, kind)
    place = sink.resume("q")
    assert place is None
    sink.write(rows, Place(question="q", end_ns=1))
    sink.finish()
    stopped: Any = Stops(duck, 3)
    with pytest.raises(KeyboardInterrupt):
        await into(stopped, path)
    assert await duck.count() == 150
    done = await into(duck, path)
    assert (done.rows, done.stored, done.resumed, await duck.count()) == (400, 400, 150, 400)


async def test_a_store_that_is_away_for_a_moment_is_waited_for(duck: SeriesStore, tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    path.write_bytes(JsonLines().encode(many(5)))
    moods = [StoreUnavailable("not now"), StoreUnavailable("not now")]

    class Moody:
        async def write(self, batches: Any) -> Any:
            if moods:
                raise moods.pop()
            return await duck.write(batches)

    moody: Any = Moody()
    assert (await into(moody, path)).stored == 5
    moods += [StoreUnavailable("gone")] * 6
    with pytest.raises(StoreUnavailable, match="gone"):
        await into(moody, path)


@pytest.mark.slow
def test_kill_9_in_the_middle_of_an_import_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    path.write_bytes(JsonLines().encode(many(25_000)))
    config = tmp_path / "cloud.toml"
    config.write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n')
    command = [sys.executable, "-m", "citynerve", "cloud", "import", str(path), "--config", str(config), "--json", "--quiet"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    state = tmp_path / "values.jsonl.import-state"
    until = time.monotonic() + 60
    while not state.exists() and first.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert state.exists(), "it was over before it was killed"
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert second.returncode == 0, second.stderr
    told = msgspec.json.decode(second.stdout)
    assert (told["rows"], told["stored"], told["resumed"] > 0) == (25_000, 25_000, True)
    assert not state.exists()
    with duckdb.connect(str(tmp_path / "data" / "series.duckdb"), read_only=True) as base:
        [count] = base.execute("SELECT count(DISTINCT (device, time_ns)) FROM floats").fetchone() or [0]
    assert count == 25_000


async def test_the_metrics_of_a_device_are_its_profile_and_what_it_said(duck: SeriesStore) -> None:
    await fill(duck, [Row("a", "said", T0, 5)])
    assert await metrics_of(duck, "a", ["known"]) == ["known", "said"]


@given(st.integers(1, 2**63 - 1))
def test_an_instant_comes_back_to_the_nanosecond(time_ns: int) -> None:
    assert parse_time(iso_ns(time_ns)) == time_ns


def test_where_nobody_looks_on_a_line_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Told("import", 200, every_s=0.0) as told:
        told.tell(50, 1000, 3)
    with Told("import", 200, quiet=True, every_s=0.0) as told:
        told.tell(50, 1000)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "import: 25%, 1000 rows" in captured.err
    assert "3 refused" in captured.err
