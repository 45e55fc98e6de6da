"""`citynerve bench outbox` with a backlog small enough for a test: every figure is there, and of the right order."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from benchmarks.backlog import build_backlog
from benchmarks.outbox import OutboxFigures
from citynerve.commands.bench import app

pytestmark = pytest.mark.integration

BACKLOG_GB = 0.02


def test_a_small_backlog_is_measured_beside_an_empty_outbox(
    need_server: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_server("mosquitto", "mosquitto")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = CliRunner().invoke(app, ["outbox", "--backlog-gb", str(BACKLOG_GB), "--seconds", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    figures = msgspec.json.decode(result.stdout.splitlines()[-1], type=OutboxFigures)

    assert [each.readings_per_commit for each in figures.commits] == [500, 1]
    assert figures.commits[0].readings_per_s > figures.commits[1].readings_per_s > 0
    assert [each.readings_per_commit for each in figures.wear] == [1, 10, 60]
    written = [each.disk_bytes_per_reading for each in figures.wear if each.disk_bytes_per_reading is not None]
    if written:  # temporary files on a disk in memory are no wear
        assert written == sorted(written, reverse=True), "the more share a commit, the less is written for each"
    assert figures.backlog_bytes == pytest.approx(BACKLOG_GB * 1e9, rel=0.2)
    for start in (figures.empty, figures.backlog):
        assert 0 < start.first_live_s < 30
        assert 20 < start.rss_peak_mb < 300
    assert figures.backlog.drained_readings_per_s > 1000
    assert list(tmp_path.iterdir()) == [], "the backlog is deleted"


def test_the_backlog_is_an_outbox_that_waits(tmp_path: Path) -> None:
    shares: list[float] = []
    size, readings = build_backlog(tmp_path, 3_000_000, shares.append)
    assert size >= 3_000_000
    assert readings == pytest.approx(size / 115, rel=0.2)
    assert shares == sorted(shares)
    assert shares[-1] >= 1
