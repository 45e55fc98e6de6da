"""`citynerve query`, `citynerve cloud export`, `import` and `dead-letters`, as a person types them, over real stores."""

import asyncio
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from cloud_records import T0, S, reading
from typer.testing import CliRunner, Result

from citynerve.commands import cloud, query
from cloud.config import load_config
from cloud.relational.engine import make_engine, writing
from cloud.relational.migrate import migrate
from cloud.relational.tables import devices
from cloud.series.dead_letters import DeadLetters
from cloud.series.duckdb_store import DuckStore
from cloud.transfer.asking import Fault, Question, _refused, ask_api, seconds
from cloud.transfer.tables import as_csv, as_text, table_of
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality
from telemetry.wire import group_readings

DAY = ["--start", "2025-10-09T00:00:00Z", "--end", "2025-10-10T00:00:00Z"]


async def _fill(config: Path) -> None:
    loaded = load_config(config)
    loaded.data_dir.mkdir()
    engine = make_engine(loaded.database_url, None)
    await migrate(engine)
    async with writing(engine) as conn:
        await conn.execute(
            devices.insert().values(
                id="cover-1", gateway="gw-1", profile="cover_nbiot", profile_version=1, kind="manhole_cover", name="井 1",
                component_code="", first_seen_ns=T0, last_reading_ns=T0,
            )
        )  # fmt: skip
    await engine.dispose()
    store = DuckStore(loaded.data_dir / "series.duckdb")
    await store.open()
    flaws = {"tilt_deg": Flaw(Quality.BAD, Reason.OUT_OF_RANGE)}
    rows = [
        reading(at_ns=T0 + i * 60 * S, values={"tilt_deg": float(i), "note": f"n{i}"}, flaws=flaws if i == 3 else {})
        for i in range(4)
    ]
    await store.write([group_readings("gw-1", "e1", 1, rows)])
    await store.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A cloud that does not run, with one device that said something four times."""
    path = tmp_path / "cloud.toml"
    path.write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n')
    asyncio.run(_fill(path))
    return path


def run(*words: Any, app: Any = cloud.app) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def asked(config: Path, *words: str) -> Result:
    return run("cover-1", *words, *DAY, "--config", config, app=query.app)


def test_a_question_is_answered_from_the_stores_in_every_format(config: Path, tmp_path: Path) -> None:
    table = asked(config, "tilt_deg")
    assert table.exit_code == 0, table.output
    assert table.stderr == "cover-1: 4 rows, tier raw, method raw\n"
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["time", "metric", "value", "quality"]
    assert lines[4].split() == ["2025-10-09T08:56:20.000Z", "tilt_deg", "3.0", "bad"]
    as_json = json.loads(asked(config, "tilt_deg", "--format", "json").stdout)
    assert as_json["metrics"]["tilt_deg"][3] == {"time": "2025-10-09T08:56:20.000Z", "value": 3.0, "quality": "bad"}
    out = tmp_path / "answer.parquet"
    assert asked(config, "tilt_deg", "--format", "parquet", "-o", str(out)).exit_code == 0
    with duckdb.connect() as base:
        found = base.execute("SELECT metric, value, quality FROM read_parquet(?)", [str(out)]).fetchall()
    assert found == [("tilt_deg", float(i), "bad" if i == 3 else "good") for i in range(4)]
    rows = asked(config, "tilt_deg", "--format", "csv").stdout.splitlines()
    assert rows[:2] == ["time,metric,value,quality", "2025-10-09T08:53:20.000Z,tilt_deg,0.0,good"]


def test_buckets_of_a_zone_leave_bad_values_out(config: Path) -> None:
    answer = json.loads(asked(config, "tilt_deg", "--bucket", "1h", "--zone", "Asia/Shanghai", "--format", "json").stdout)
    [bucket] = answer["metrics"]["tilt_deg"]
    assert (bucket["time"], bucket["max"], bucket["count"]) == ("2025-10-09T08:00:00.000Z", 2.0, 3)


def test_as_many_points_as_fit_are_real_ones(config: Path) -> None:
    answer = json.loads(asked(config, "tilt_deg", "--pixels", "4000", "--format", "json").stdout)
    assert answer["method"] == "pixels"
    assert [point["value"] for point in answer["metrics"]["tilt_deg"]] == [0.0, 1.0, 2.0]  # the bad one is left out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["nobody"], 1, id="a device that is not there"),
        pytest.param(["cover-1", "colour"], 2, id="a metric that it has not"),
        pytest.param(["cover-1", "--since", "yesterday"], 2, id="no duration"),
        pytest.param(["cover-1", "--since", "6h", "--start", "2025-10-09T00:00:00Z"], 2, id="two beginnings"),
        pytest.param(["cover-1", "--zone", "Mars"], 2, id="no zone"),
        pytest.param(["cover-1", "--format", "parquet"], 2, id="Parquet on a terminal"),
        pytest.param(["cover-1", "--pixels", "5000"], 2, id="more pixels than a screen has"),
    ],
)
def test_a_wrong_question_ends_with_its_code_and_a_line(config: Path, words: list[str], code: int) -> None:
    done = run(*words, "--config", config, app=query.app)
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.strip()


def test_nobody_there_and_no_configuration_end_with_their_codes(config: Path, tmp_path: Path, unused_tcp_port: int) -> None:
    assert run("cover-1", "--api", f"http://127.0.0.1:{unused_tcp_port}", app=query.app).exit_code == 4
    assert run("cover-1", "--api", "ftp://x", app=query.app).exit_code == 2
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("data_dir = 5\n")
    assert run("cover-1", "--config", wrong, app=query.app).exit_code == 3
    assert run("export", tmp_path / "x.csv", "--config", wrong).exit_code == 3
    away = tmp_path / "away.toml"
    address = f"influx:http://127.0.0.1:{unused_tcp_port}/x"
    away.write_text(f'data_dir = "data"\nbroker = "mqtt://127.0.0.1"\nseries = "{address}"\n')
    assert run("export", tmp_path / "x.csv", "--config", away).exit_code == 4
    assert not (tmp_path / "x.csv.part").exists()


@pytest.mark.parametrize(("status", "code"), [(401, 5), (403, 5), (422, 2), (503, 4), (404, 1), (500, 1)])
def test_what_the_api_refuses_ends_with_its_code(status: int, code: int) -> None:
    assert _refused(status, b'{"detail":"because"}').code == code
    assert "because" in str(_refused(status, b'{"detail":"because"}'))
    assert isinstance(_refused(status, b"<html>"), Fault)


def test_a_question_is_asked_with_the_token_and_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Answer:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> bytes:
            return b'{"metrics":{}}'

    def urlopen(request: Any, timeout: float) -> Answer:
        seen.append((request.full_url, request.headers))
        return Answer()

    monkeypatch.setattr("cloud.transfer.asking.urlopen", urlopen)
    question = Question(device="a b/c", metrics=("m", "n"), bucket_s=60, zone="UTC")
    assert ask_api("http://host:1/", "secret", question) == {"metrics": {}}
    [(url, headers)] = seen
    assert url == "http://host:1/api/devices/a%20b%2Fc/history?metric=m&metric=n&zone=UTC&bucket=60"
    assert headers["Authorization"] == "Bearer secret"


def test_values_go_out_and_into_another_cloud(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "values.csv"
    told = json.loads(run("export", out, "--config", config, "--json", "--quiet").stdout)
    assert (told["rows"], told["file"]) == (8, str(out))
    assert out.read_text().splitlines()[1] == ("cover-1,note,2025-10-09T08:53:20.000000000Z,1760000000000000000,string,n0,good,")
    other = tmp_path / "other.toml"
    other.write_text('data_dir = "other"\nbroker = "mqtt://127.0.0.1"\n')
    dry = run("import", out, "--config", other, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, f"{out}: 8 values would be stored, 0 refused\n")
    assert not (tmp_path / "other").exists()
    done = run("import", out, "--config", other)
    assert (done.exit_code, done.stdout) == (0, f"{out}: 8 values are stored, 0 refused\n")
    again = tmp_path / "again.csv"
    assert run("export", again, "--config", other, "--device", "cover-1").exit_code == 0
    assert again.read_text() == out.read_text()
    some = json.loads(run("export", again, "--config", config, "--metric", "tilt_deg", "--dry-run", "--json").stdout)
    assert (some["rows"], some["dry_run"]) == (4, True)


def test_a_file_with_a_bad_row_ends_with_six(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    path.write_text("device,metric,time_ns,type,value\na,m,1,float,1\na,m,2,float,many\n")
    done = run("import", path, "--config", config)
    assert done.exit_code == 6
    assert f"{path}:3: wrong_type: value 'many' is no float" in done.stderr
    assert run("import", tmp_path / "nothing.csv", "--config", config).exit_code == 1
    assert run("import", path.rename(tmp_path / "values.txt"), "--config", config).exit_code == 2


def test_refused_lines_are_shown_while_the_cloud_may_run(config: Path, tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "data" / "dead-letters")
    letters.put(
        at_ns=T0, gateway="gw-1", epoch="e1", seq=7, reason=Reason.WRONG_TYPE, detail="conflict", line="reading,device=a m=1i 1"
    )
    shown = run("dead-letters", config)
    assert shown.stdout.splitlines() == [
        "1 2025-10-09T08:53:20.000000000Z gw-1/e1/7 wrong_type: conflict",
        "    reading,device=a m=1i 1",
    ]
    told = json.loads(run("dead-letters", config, "--json").stdout)
    assert (told["written"], told["items"][0]["seq"], told["next"]) == (1, 7, None)


def test_a_table_lines_its_numbers_up_and_says_nothing_for_nothing() -> None:
    columns, rows = table_of({"metrics": {"m": [{"time": "t1", "value": 1.5}, {"time": "t2", "min": 2, "max": 30}], "n": []}})
    assert as_text(columns, rows) == "time  metric  value  min  max\nt1    m         1.5\nt2    m                2   30\n"
    assert as_csv(columns, rows) == "time,metric,value,min,max\nt1,m,1.5,,\nt2,m,,2,30\n"
    assert [seconds(text) for text in ("90s", "15m", "6h", "30d", "2w")] == [90, 900, 21_600, 2_592_000, 1_209_600]
