"""`citynerve bench alarms` for a blink: rules are really judged, and the figures fit together."""

import json

import msgspec
import pytest
from typer.testing import CliRunner

from benchmarks.alarms import AlarmFigures
from citynerve.commands.bench import app
from device_profiles.shelf import load_catalog


def test_the_figures_fit_together() -> None:
    result = CliRunner().invoke(app, ["alarms", "--seconds", "0.1", "--profile", "cover_nbiot", "--json"])
    assert result.exit_code == 0, result.output
    figures = msgspec.json.decode(result.stdout, type=AlarmFigures)
    assert figures.rules == len(load_catalog()["cover_nbiot"].alarms)
    assert figures.evaluations_per_s == pytest.approx(figures.readings_per_s * figures.rules)
    assert figures.readings_per_s > 100
    assert figures.transitions > 0, "alarms were raised on the way"
    assert json.loads(result.stdout)["profile"] == "cover_nbiot"


def test_in_words_it_says_the_same() -> None:
    result = CliRunner().invoke(app, ["alarms", "--seconds", "0.05"])
    assert result.exit_code == 0, result.output
    assert "evaluations/s" in result.output


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["alarms", "--profile", "cover_nbio"])
    assert result.exit_code == 2
    assert "cover_nbiot" in result.output
