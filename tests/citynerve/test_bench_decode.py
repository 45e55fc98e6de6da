"""`citynerve bench decode` for a blink: every language that the catalog shows is there, and decodes what its examples say."""

import msgspec
import pytest
from typer.testing import CliRunner

from benchmarks.decode import DecodeFigures
from benchmarks.decoders import DECODERS
from citynerve.commands.bench import app
from device_profiles.frames import load_frames
from device_profiles.shelf import catalog_path, load_catalog

EXAMPLES = [
    (profile, example) for name, profile in load_catalog().items() for example in load_frames(catalog_path() / name, profile)
]


def test_every_language_of_the_catalog_is_measured_and_the_figures_fit_together() -> None:
    result = CliRunner().invoke(app, ["decode", "--seconds", "0.3", "--json"])
    assert result.exit_code == 0, result.output
    figures = msgspec.json.decode(result.stdout, type=DecodeFigures)
    assert {each.language for each in figures.languages} | set(figures.not_measured) == {e.transport for _, e in EXAMPLES}
    assert {"modbus_rtu", "jt808", "hj212", "dlt645", "cjt188", "sl651", "serial"} <= {e.language for e in figures.languages}
    for each in figures.languages:
        assert each.slowest_frames_per_s <= each.frames_per_s <= each.fastest_frames_per_s
        assert each.frames_per_s * each.microseconds_per_frame == pytest.approx(1e6)
        assert each.frames_per_s > 100
        assert each.bytes >= each.frames
        assert each.values > 0


def test_what_is_measured_really_decodes_the_examples() -> None:
    for profile, example in EXAMPLES:
        if example.transport not in DECODERS:
            continue
        decode = DECODERS[example.transport](profile, example)
        for _ in range(2):  # a framer that kept something would spoil the second pass
            values = {metric: value for decoded in decode() for metric, value in decoded.values.items()}
            good = {metric for metric, value in example.values.items() if value is not None}
            assert good <= values.keys(), f"{profile.name}: {example.name}"
            assert any(values[metric] is not None for metric in good) or not good


def test_the_words_name_every_language_with_its_speed() -> None:
    result = CliRunner().invoke(app, ["decode", "--seconds", "0.3"])
    assert result.exit_code == 0, result.output
    assert "modbus_rtu" in result.output
    assert "frames/s" in result.output
