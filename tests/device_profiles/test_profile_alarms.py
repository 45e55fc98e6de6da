"""The conditions of alarms: what the YAML says is what the profile has, in words, and with its doubts."""

from pathlib import Path

import pytest

from device_profiles.describe import condition_text
from device_profiles.lint import lint_profile
from device_profiles.loader import load_profile
from device_profiles.model import (
    Above,
    AlarmRule,
    AnyCondition,
    Level,
    NofM,
    Not,
    OneOf,
    Place,
    Speed,
    Statistic,
    Windowed,
    leaves,
    zones_of,
)
from telemetry.records import Priority

HEAD = """\
name: truck
version: 1
kind: vehicle_terminal
title: {zh: 车, en: Truck}
source: made up for this test
metrics: {longitude_deg: , latitude_deg: , speed_kmh: , nh3_ppm: , water_level_cm: , control_mode: }
wire:
  modbus:
    registers:
      control_mode: {area: holding, address: 1, type: u16, enum: {0: auto, 1: manual}}
  mqtt:
    topic: "t/{address}"
    fields:
      longitude_deg: {path: lon}
      latitude_deg: {path: lat}
      speed_kmh: {path: speed}
      nh3_ppm: {path: nh3}
      water_level_cm: {path: level}
reporting: {interval_s: 60, lateness_s: 90}
alarms:
  here:
    when: %s
    priority: medium
    %s
    title: {zh: 题, en: title}
    cause: {zh: 因, en: cause}
    consequence: {zh: 果, en: consequence}
    response: {zh: 处, en: response}
"""


def write(path: Path, when: str, more: str = "") -> Path:
    folder = path / "truck"
    folder.mkdir()
    (folder / "profile.yaml").write_text(HEAD % (when, more), encoding="utf-8")
    return folder


def loaded(path: Path, when: str, more: str = "") -> AlarmRule:
    profile = load_profile(write(path, when, more))
    assert profile.reporting.lateness_s == 90
    return profile.alarms["here"]


@pytest.mark.parametrize(
    ("yaml", "condition", "words"),
    [
        (
            "{mean: nh3_ppm, over_s: 600, more_than: 5, deadband: 1}",
            Windowed(metric="nh3_ppm", statistic=Statistic.MEAN, over_s=600, limit=5, deadband=1),
            "mean of nh3_ppm over 600 s > 5",
        ),
        (
            "{std: nh3_ppm, over_s: 600, less_than: 0.1}",
            Windowed(metric="nh3_ppm", statistic=Statistic.STD, over_s=600, limit=0.1, under=True),
            "std of nh3_ppm over 600 s < 0.1",
        ),
        (
            "{rise: water_level_cm, over_s: 900, more_than: 5, per: hour}",
            Windowed(metric="water_level_cm", statistic=Statistic.RISE, over_s=900, limit=5, per_s=3600),
            "rise of water_level_cm over 900 s > 5 per h",
        ),
        (
            "{n_of_m: {not: {above: nh3_ppm, limit: 5}}, n: 3, m: 5}",
            NofM(of=Not(of=Above(metric="nh3_ppm", limit=5)), n=3, m=5),
            "not nh3_ppm > 5 in 3 of 5 readings",
        ),
        ("{one_of: control_mode, values: [manual, auto]}", OneOf(metric="control_mode", values=("manual", "auto")), None),
        (
            "{inside: school_3, dwell_s: 300, deadband_m: 20}",
            Place(zone="school_3", dwell_s=300, deadband_m=20),
            "inside school_3 for 300 s",
        ),
        ("{outside: works}", Place(zone="works", outside=True), "outside works"),
        (
            "{speed_over_kmh: 30, in_zone: school_3}",
            Speed(limit_kmh=30, zone="school_3"),
            "speed_kmh > 30 while moving in school_3",
        ),
    ],
)
def test_a_condition_is_what_its_yaml_says(tmp_path: Path, yaml: str, condition: AnyCondition, words: str | None) -> None:
    assert loaded(tmp_path, yaml).when == condition
    assert condition_text(condition) == (words or "control_mode = manual or auto")


def test_levels_are_kept_by_rising_priority(tmp_path: Path) -> None:
    rule = loaded(tmp_path, "{above: nh3_ppm, limit: 5, deadband: 1}", "levels: {critical: 25, high: 10}")
    assert rule.priority is Priority.MEDIUM
    assert rule.levels == (Level(priority=Priority.HIGH, limit=10), Level(priority=Priority.CRITICAL, limit=25))


def test_the_zones_of_a_condition_are_found_however_deep(tmp_path: Path) -> None:
    yaml = "{any: [{not: {inside: a}}, {n_of_m: {outside: b}, n: 1, m: 2}, {speed_over_kmh: 9, in_zone: c}, {speed_over_kmh: 9}]}"
    rule = loaded(tmp_path, yaml)
    assert zones_of(rule.when) == {"a", "b", "c"}
    assert len(list(leaves(rule.when))) == 4


@pytest.mark.parametrize(
    ("yaml", "doubt"),
    [
        ("{mean: nh3_ppm, over_s: 90, more_than: 5, deadband: 1}", "90 s is shorter than two readings take (120 s)"),
        ("{mean: nh3_ppm, over_s: 600, more_than: 5}", "no deadband: a value on the limit raises and returns for ever"),
        ("{inside: works}", "no deadband_m: a vehicle at the edge raises and returns for ever"),
        ("{one_of: control_mode, values: [manual, autp]}", "no wire map makes control_mode 'autp'"),
    ],
)
def test_what_is_doubtful_in_a_condition_is_told(tmp_path: Path, yaml: str, doubt: str) -> None:
    told = lint_profile(write(tmp_path, yaml))
    assert told.mistakes == ()
    assert doubt in [warning.what for warning in told.warnings if warning.where == "alarms.here.when"]
