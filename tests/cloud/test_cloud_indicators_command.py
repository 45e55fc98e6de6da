"""`citynerve cloud report`: what a person types, and the two files they get."""

import asyncio
import csv
import io
from pathlib import Path

import pytest
from cloud_indicators_histories import DAY, HOUR, NOVEMBER, OCTOBER, closed, dispatched, store
from typer.testing import CliRunner, Result

from citynerve.commands.cloud import app
from cloud.indicators.csv_file import COLUMNS
from cloud.relational.engine import make_engine, writing
from cloud.relational.migrate import migrate
from telemetry.clock import SystemClock

pytestmark = pytest.mark.usefixtures("a_city")


@pytest.fixture
def a_city(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration whose store holds three cases of October; it is the ninth of November."""
    (tmp_path / "cloud.toml").write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cloud.db").write_bytes(migrated_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SystemClock, "wall_ns", lambda _: NOVEMBER + 8 * DAY)

    async def fill() -> None:
        engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'data' / 'cloud.db'}")
        await migrate(engine)
        async with writing(engine) as conn:
            await store(conn, [closed(), closed(5 * HOUR, at=OCTOBER + 9 * DAY), dispatched(at=OCTOBER + 20 * DAY)])
        await engine.dispose()

    asyncio.run(fill())


def report(*words: str) -> Result:
    return CliRunner().invoke(app, ["report", "cloud.toml", *words])


def value(file: str, code: str) -> str:
    text = Path(file).read_bytes().decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text, newline=""), fieldnames=COLUMNS)
    return next(row["value"] for row in rows if row["code"] == code)


def test_a_month_becomes_a_table_and_a_page() -> None:
    done = report("--month", "2026-10", "--by", "department", "--out", "reports")
    assert done.exit_code == 0, done.output
    assert done.output.split() == ["reports/report-2026-10-department.csv", "reports/report-2026-10-department.html"]
    assert value("reports/report-2026-10-department.csv", "on_time_handling_rate") == "33.33"
    content = Path("reports/report-2026-10-department.html").read_text("utf-8")
    assert "33.33 %" in content
    assert "按期处置率" in content
    assert "roads" in content


def test_without_a_period_it_is_the_last_month() -> None:
    done = report("--lang", "en")
    assert done.output.split() == ["report-2026-10.csv", "report-2026-10.html"]
    assert "Handled on time" in Path("report-2026-10.html").read_text("utf-8")


def test_a_week_and_any_dates_are_periods_too() -> None:
    assert report("--week", "2026-W43").exit_code == 0
    assert value("report-2026-W43.csv", "overdue_number") == "1"
    assert report("--from", "2026-10-01", "--until", "2026-10-11").exit_code == 0
    assert value("report-2026-10-01_2026-10-11.csv", "on_time_handling_rate") == "50.00"


def test_months_are_those_of_the_citys_own_calendar() -> None:
    Path("calendar.toml").write_text('zone = "America/New_York"\n')
    Path("cloud.toml").write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n[cases]\ncalendar = "calendar.toml"\n')
    assert report("--month", "2026-10").exit_code == 0
    assert "(America/New_York)" in Path("report-2026-10.html").read_text("utf-8")
    assert value("report-2026-10.csv", "on_time_handling_rate") == "0.00"  # the first of them was in September there


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--month", "2026-13"], "month '2026-13': want YYYY-MM, such as 2026-10"),
        (["--week", "W43"], "week 'W43': want YYYY-Www, such as 2026-W43"),
        (["--month", "2026-10", "--week", "2026-W43"], "want one period: --month, --week, or --from and --until"),
        (["--from", "2026-10-01"], "want two dates"),
        (["--from", "2026-10-02", "--until", "2026-10-01"], "want its end after its beginning"),
    ],
)
def test_what_is_no_period_is_told_and_nothing_is_written(words: list[str], wanted: str) -> None:
    done = report(*words)
    assert done.exit_code == 1
    assert wanted in done.stderr
    assert not list(Path().glob("report*"))


def test_a_mistake_in_the_configuration_is_told_with_its_line() -> None:
    Path("cloud.toml").write_text('data_dir = "d"\nbroker = "http://x"\n')
    done = report("--month", "2026-10")
    assert done.exit_code == 1
    assert done.stderr.startswith("cloud.toml:2: broker")
