"""`citynerve bench alarms` for a blink: rules are really judged, and the figures fit together."""

import asyncio
import json
from collections.abc import Callable

import msgspec
import pytest
from typer.testing import CliRunner

from benchmarks.alarm_road import measure_alarm_road
from benchmarks.alarms import AlarmFigures
from benchmarks.ingest import StoreKind
from citynerve.commands.bench import app
from device_profiles.shelf import load_catalog


def test_the_figures_fit_together() -> None:
    result = CliRunner().invoke(app, ["alarms", "--edge-only", "--seconds", "0.1", "--profile", "cover_nbiot", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    figures = msgspec.convert(told["edge"], AlarmFigures)
    assert figures.rules == len(load_catalog()["cover_nbiot"].alarms)
    assert figures.evaluations_per_s == pytest.approx(figures.readings_per_s * figures.rules)
    assert figures.readings_per_s > 100
    assert figures.transitions > 0, "alarms were raised on the way"
    assert (told["edge"]["profile"], told["cloud"]) == ("cover_nbiot", None)


@pytest.mark.integration
def test_alarms_become_cases_and_messages_over_a_stream(need_server: Callable[[str, str], str]) -> None:
    need_server("mosquitto", "mosquitto")
    road = asyncio.run(measure_alarm_road(StoreKind.DUCKDB, seconds=1, storm=8, values_per_s=500, storm_s=1))
    assert (road.storm_cases, road.storm_webhooks, road.burst_alarms) == (8, 8, 2)
    assert road.to_case_ms.samples == road.to_webhook_ms.samples == 4
    assert 0 < road.to_case_ms.p50 <= road.to_case_ms.p99
    assert road.robot_most_a_minute <= road.budget


def test_in_words_it_says_the_same() -> None:
    result = CliRunner().invoke(app, ["alarms", "--edge-only", "--seconds", "0.05"])
    assert result.exit_code == 0, result.output
    assert "evaluations/s" in result.output


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["alarms", "--edge-only", "--profile", "cover_nbio"])
    assert result.exit_code == 2
    assert "cover_nbiot" in result.output
