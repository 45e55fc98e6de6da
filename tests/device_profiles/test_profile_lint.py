"""`citynerve profile lint` and `show`, and the warnings behind them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from citynerve.commands.profile import app
from device_profiles.frames import load_frames
from device_profiles.lint import lint_profile
from device_profiles.mistakes import ProfileError
from device_profiles.shelf import catalog_path, load_catalog, profile_folders

BROKEN = Path(__file__).parent / "broken"
CATALOG = [folder.name for folder in profile_folders(catalog_path())]

DOUBTFUL = """\
name: doubtful
version: 1
kind: toilet_sensor
title: {zh: 公厕, en: Toilet}
source: made up for this test
metrics:
  nh3_ppm:
  h2s_ppm:
wire:
  mqtt: {topic: "t/{address}", fields: {nh3_ppm: {path: nh3}}}
reporting: {interval_s: 600, on_change: true, heartbeat_s: 60}
alarms:
"""
RULE = """\
  rule_%d:
    when: {above: nh3_ppm, limit: 5}
    priority: high
    on_delay_s: 30
    title: {zh: 题, en: title}
    cause: {zh: 因, en: cause}
    consequence: {zh: 果, en: consequence}
    response: {zh: 处, en: response}
"""


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    folder = tmp_path / "doubtful"
    folder.mkdir()
    text = DOUBTFUL + "".join(RULE % number for number in range(4))
    (folder / "profile.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", CATALOG)
def test_the_built_in_profiles_raise_no_doubt(name: str) -> None:
    report = lint_profile(catalog_path() / name)
    assert report.profile == name
    assert (report.mistakes, report.warnings) == ((), ())


def test_every_doubt_is_told_with_its_line(doubtful: Path) -> None:
    report = lint_profile(doubtful)
    assert report.mistakes == ()
    told = {(w.line, w.where): w.what for w in report.warnings}
    assert told[1, "README.md"] == "no README.md in the folder"
    assert told[1, "frames.yaml"] == "no example frame"
    assert told[8, "metrics.h2s_ppm"] == "no wire map provides it"
    assert told[11, "reporting.heartbeat_s"].startswith("60 s is shorter than interval_s (600)")
    assert told[13, "alarms.rule_0"] == "no matter: the alarm opens no case"
    assert told[14, "alarms.rule_0.when"].startswith("no deadband")
    assert told[16, "alarms.rule_0.on_delay_s"].startswith("30 s is over only at the next reading")
    alarms = sorted(w.what for w in report.warnings if w.where == "alarms")
    assert alarms == ["4 of 4 rules are critical or high", "no rule speaks when the device falls silent"]


def test_a_stale_rule_within_the_devices_own_silence_is_doubted(doubtful: Path) -> None:
    file = doubtful / "profile.yaml"
    text = file.read_text(encoding="utf-8").replace("above: nh3_ppm, limit: 5", "stale_after_s: 600")
    file.write_text(text, encoding="utf-8")
    assert any(w.what == "600 s is not longer than interval_s (600)" for w in lint_profile(doubtful).warnings)


def test_a_rule_that_waits_for_a_word_no_wire_map_makes_is_doubted(tmp_path: Path) -> None:
    folder = tmp_path / "lamp_loop"
    folder.mkdir()
    text = (catalog_path() / "lamp_loop" / "profile.yaml").read_text(encoding="utf-8")
    text = text.replace("equals: door_open, value: true", "equals: control_mode, value: manul")
    (folder / "profile.yaml").write_text(text, encoding="utf-8")
    (doubt,) = [warning for warning in lint_profile(folder).warnings if warning.where.startswith("alarms")]
    assert (doubt.what, doubt.instead) == ("no wire map makes control_mode 'manul'", "one of manual, photocell, remote, schedule")


def test_an_order_that_switches_something_at_the_word_of_one_person_is_doubted(tmp_path: Path) -> None:
    folder = tmp_path / "lamp_loop"
    folder.mkdir()
    text = (catalog_path() / "lamp_loop" / "profile.yaml").read_text(encoding="utf-8")
    (folder / "profile.yaml").write_text(text.replace(", dangerous: true", "", 1), encoding="utf-8")
    doubts = [warning for warning in lint_profile(folder).warnings if warning.where.startswith("commands")]
    assert [(doubt.where, doubt.instead) for doubt in doubts] == [("commands.switch_loop_1", "dangerous: true")]


def test_mistakes_in_example_frames_are_mistakes_of_the_profile(doubtful: Path) -> None:
    (doubtful / "frames.yaml").write_text(
        "frames:\n"
        "  - {name: a, source: b, serial: 'AA 5', expect: {values: {nh3_pm: 1}, flaws: {nh3_ppm: no_valu}}}\n"
        "  - {name: c, source: d, mqtt_json: '{}', serial: 'AA', expect: {values: {}, time: yesterday}}\n"
        "  - {name: e, source: f, modbus_rtu: ['00'], expekt: {}}\n",
        encoding="utf-8",
    )
    said = [f"{m.line} {m.where}: {m.what}" for m in lint_profile(doubtful).mistakes]
    assert said == [
        "2 frames[0].serial: 'AA 5' is not hexadecimal",
        "2 frames[0].expect.values.nh3_pm: not a metric of this profile",
        "2 frames[0].expect.flaws.nh3_ppm: 'no_valu' is not known",
        "3 frames[1].transport: mqtt_json and serial",
        "3 frames[1].expect.time: 'yesterday' is not a time with its zone",
        "4 frames[2].expect: missing",
        "4 frames[2].modbus_rtu: 1 frames",
        "4 frames[2].expekt: unknown key 'expekt'",
    ]


def test_a_frames_file_without_frames_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frames.yaml").write_text("frames: []\n", encoding="utf-8")
    with pytest.raises(ProfileError, match="no example"):
        load_frames(tmp_path, load_catalog()["lamp_loop"])


def test_lint_without_a_path_checks_the_catalog_and_exits_0() -> None:
    result = CliRunner().invoke(app, ["lint"])
    assert (result.exit_code, result.output) == (0, f"{len(CATALOG)} profiles, 0 mistakes, 0 warnings\n")


def test_lint_exits_1_on_a_mistake_and_0_on_warnings_alone(doubtful: Path) -> None:
    assert CliRunner().invoke(app, ["lint", str(doubtful)]).exit_code == 0
    result = CliRunner().invoke(app, ["lint", str(BROKEN / "wrong_head"), str(doubtful)])
    assert result.exit_code == 1
    assert "error: " + str(BROKEN / "wrong_head" / "profile.yaml") + ":2: version: 0 is out of range" in result.output
    assert "2 profiles, 5 mistakes, " in result.output


def test_lint_of_an_empty_folder_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["lint", str(tmp_path)])
    assert result.exit_code == 1
    assert "no profile in it" in result.output


def test_lint_as_json_keeps_every_part_of_a_mistake() -> None:
    result = CliRunner().invoke(app, ["lint", "--json", str(BROKEN / "wrong_head")])
    (report,) = json.loads(result.output)
    assert report["mistakes"][1] == {
        "file": str(BROKEN / "wrong_head" / "profile.yaml"),
        "line": 2,
        "where": "version",
        "what": "0 is out of range",
        "instead": "1 to 1000000",
    }


@pytest.mark.parametrize("name", CATALOG)
def test_show_names_every_metric_alarm_and_command_uncut(name: str) -> None:
    result = CliRunner().invoke(app, ["show", name])
    profile = load_catalog()[name]
    assert result.exit_code == 0
    for word in (*profile.metrics, *profile.alarms, *profile.commands, *profile.matters):
        assert word in result.output


def test_show_speaks_chinese_when_asked() -> None:
    assert "路灯回路控制器" in CliRunner().invoke(app, ["show", "lamp_loop", "--lang", "zh"]).output


def test_show_as_json_is_the_whole_profile() -> None:
    shown = json.loads(CliRunner().invoke(app, ["show", "toilet_node_serial", "--json"]).output)
    assert shown["wire"]["serial"]["layout"]["start"] == "aa 55"
    assert shown["alarms"]["ammonia_high"]["when"] == {"op": "above", "metric": "nh3_ppm", "limit": 1.5, "deadband": 0.5}


def test_show_of_an_unknown_name_suggests_the_nearest() -> None:
    result = CliRunner().invoke(app, ["show", "lamp_lop"])
    assert result.exit_code == 1
    assert "lamp_loop" in result.output
