"""`citynerve cloud alarms`: what a person types, and what they get."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cloud_records import S, batch, reading
from typer.testing import CliRunner, Result

from citynerve.commands import cloud_alarms
from citynerve.commands.cloud import app
from cloud.relational.engine import make_engine, writing
from cloud.relational.migrate import migrate
from cloud.relational.tables import devices, gateways
from cloud.series.duckdb_store import DuckStore
from telemetry.clock import SystemClock

NOW = SystemClock().wall_ns()
HOUR = 3600 * S
TRIED = ("alarms", "try", "cloud.toml", "--profile", "cover_nbiot")

RULE = """\
alarms:
  cover_tilted:
    title: {zh: "井盖倾斜", en: "Manhole cover tilted"}
    when: {above: tilt_deg, limit: 10}
    priority: high
    cause: {zh: "无", en: "none"}
    consequence: {zh: "无", en: "none"}
    response: {zh: "无", en: "none"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody works: a cloud that knows two covers, one of which leaned a little and then more."""
    (tmp_path / "cloud.toml").write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n')
    (tmp_path / "rule.yaml").write_text(RULE, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CITYNERVE_LANG", "en")
    asyncio.run(_fill(tmp_path / "data"))
    return tmp_path


async def _fill(data: Path) -> None:
    engine, store = make_engine(f"sqlite+aiosqlite:///{data / 'cloud.db'}"), DuckStore(data / "series.duckdb")
    await migrate(engine)
    async with writing(engine) as conn:
        await conn.execute(gateways.insert().values(id="gw-1", first_seen_ns=NOW - 48 * HOUR, last_seen_ns=NOW))
        said = {"gateway": "gw-1", "profile": "cover_nbiot", "profile_version": 1, "kind": "cover", "first_seen_ns": 1}
        await conn.execute(devices.insert(), [{"id": name, **said} for name in ("cover-1", "cover-2")])
    await store.open()
    tilts = [
        reading(at_ns=NOW - hours * HOUR, values={"tilt_deg": tilt}) for hours, tilt in ((9, 1.0), (8, 12.0), (7, 1.0), (6, 20.0))
    ]
    await store.write([batch(*tilts)])
    await store.close()
    await engine.dispose()


def typed(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    return result


def as_json(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(typed(*words, "--json").stdout)
    return found


def test_health_tells_each_figure_with_target_and_definition(folder: Path) -> None:
    told = typed("alarms", "health", "cloud.toml").stdout
    assert "~150, at most ~300" in told
    assert "alarms_per_day/1" in told
    assert "The targets are meant for 30 days or more." in told
    shown = as_json("alarms", "health", "cloud.toml", "--days", "1")
    assert (shown["observed_days"], shown["figures"][0]["value"], shown["figures"][0]["verdict"]) == (1.0, 0, "met")
    assert "每日报警数" in typed("alarms", "health", "cloud.toml", "--lang", "zh").stdout


def test_a_desk_that_is_not_there_is_told_with_those_that_are(folder: Path) -> None:
    assert "there are: all" in typed("alarms", "health", "cloud.toml", "--desk", "nobody", code=1).stderr


def test_a_rule_of_the_profile_is_tried(folder: Path) -> None:
    told = typed(*TRIED, "--rule", "cover_tilted", "--days", "1").stdout
    assert "It would have been raised 1 times; 0 were active at the beginning. The log has 0 raises" in told
    shown = as_json(*TRIED, "--rule", "cover_tilted", "--days", "1")
    assert (shown["raised"], shown["today_raised"], shown["also_today"], shown["devices"], shown["devices_heard"]) == (
        1,
        1,
        1,
        2,
        1,
    )


def test_an_edited_rule_is_tried_on_one_device(folder: Path) -> None:
    shown = as_json(*TRIED, "--rule", "rule.yaml", "--device", "cover-1", "--days", "1")
    assert (shown["raised"], shown["today_raised"], shown["also_today"], shown["devices"]) == (2, 1, 1, 1)
    zh = typed(*TRIED, "--rule", "rule.yaml", "--days", "1", "--lang", "zh").stdout
    assert "会报警 2 次" in zh
    assert "按事件时间顺序判断" in zh


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(("--rule", "cover_tilt"), "cover_tilted (did you mean that?)", id="a rule misspelt"),
        pytest.param(("--rule", "cover_tilted", "--device", "cover-9"), "no device cover-9", id="a device that is not there"),
        pytest.param(("--rule", "bad.yaml"), "bad.yaml:3: alarms.cover_tilted.title: missing", id="a rule with mistakes"),
        pytest.param(("--rule", "place.yaml"), "the place works: want --zones", id="a place that nobody knows"),
    ],
)
def test_what_cannot_be_tried_is_said(folder: Path, words: tuple[str, ...], told: str) -> None:
    (folder / "bad.yaml").write_text("alarms:\n  cover_tilted:\n    when: {above: tilt_deg, limit: 10}\n", "utf-8")
    (folder / "place.yaml").write_text(RULE.replace("above: tilt_deg, limit: 10", "inside: works"), "utf-8")
    profile = "vehicle_muck_truck" if "place.yaml" in words else "cover_nbiot"
    assert told in typed("alarms", "try", "cloud.toml", "--profile", profile, *words, code=1).stderr


def test_a_store_that_a_running_cloud_holds_is_told_of(folder: Path) -> None:
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    held = [sys.executable, "-c", hold, str(folder / "data" / "series.duckdb")]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = typed(*TRIED, "--rule", "cover_tilted", code=1).stderr
        holder.communicate()
    assert "POST http://127.0.0.1:8080/api/alarms/try" in told


def test_ctrl_c_ends_a_trial_and_tells_what_was_found_so_far(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = cloud_alarms._progress

    async def interrupted(now: Any) -> bool:
        if now.done == 1:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)
        return await told(now)

    monkeypatch.setattr(cloud_alarms, "_progress", interrupted)
    result = typed(*TRIED, "--rule", "cover_tilted", "--days", "1", "--json", code=130)
    shown = json.loads(result.stdout)
    assert (shown["complete"], shown["devices"], shown["devices_judged"], shown["raised"]) == (False, 2, 1, 1)
