"""The rule that is tried, read as a profile's are with every mistake told; and the readings that it is tried on."""

from pathlib import Path

import pytest
from cloud_recorded import TRUCK, edited, record_day, stored
from cloud_records import T0
from msgspec.structs import replace

from cloud.trial.readings import pages
from cloud.trial.rule import is_silence, memory_s, metrics_of, read_rule, wanted
from device_profiles.mistakes import ProfileError
from device_profiles.shelf import load_catalog

COVER = load_catalog()["cover_nbiot"]


def test_a_rule_is_read_as_a_profile_has_it() -> None:
    rule = edited("leaning: {when: {above: tilt_deg, limit: 10}, on_delay_s: 60, MEANING}", COVER)
    assert (rule.name, metrics_of(rule.when), rule.on_delay_s) == ("leaning", ("tilt_deg",), 60)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("alarms: {a: {when: {above: tilt, limit: 10}}}", "tilt_deg .did you mean that", id="a metric misspelt"),
        pytest.param("alarms: {}", "0 rules; write alarms: with one rule", id="no rule"),
        pytest.param("rule: {}", "unknown key 'rule'", id="another key"),
        pytest.param("alarms: [", "not YAML", id="no YAML"),
        pytest.param("", "empty", id="nothing"),
    ],
)
def test_mistakes_are_told(text: str, told: str) -> None:
    with pytest.raises(ProfileError, match=told):
        read_rule(text, COVER, "rule.yaml")


def test_several_rules_are_one_too_many() -> None:
    both = "\n".join(f"  {name}: {{when: {{above: tilt_deg, limit: 10}}, MEANING}}" for name in ("a", "b"))
    with pytest.raises(ProfileError, match="2 rules"):
        edited(both.strip(), COVER)


def test_the_engine_is_given_what_it_may_have_in_mind() -> None:
    assert memory_s(TRUCK.alarms["fast_mean"], TRUCK) == 660
    assert memory_s(TRUCK.alarms["fast_often"], TRUCK) == 5 * 30 + 60
    assert memory_s(TRUCK.alarms["in_works"], TRUCK) == 120


def test_the_store_is_asked_for_what_the_rules_are_about() -> None:
    assert wanted([TRUCK.alarms["in_works"]], TRUCK) == ["longitude_deg", "latitude_deg", "position_fixed"]
    assert wanted([COVER.alarms["cover_tilted"]], COVER) == ["tilt_deg"]
    silent = COVER.alarms["cover_silent"]
    assert is_silence(silent)
    assert wanted([silent], COVER) == list(COVER.metrics), "any reading ends a silence"


@pytest.mark.parametrize("length", [1, 7, 2000])
async def test_pages_of_any_length_give_the_readings_that_were_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    day = record_day(5, hours=1)
    held = await stored(tmp_path, day.readings)
    monkeypatch.setattr("cloud.trial.readings._AT_ONCE", length)
    metrics = sorted({name for each in day.readings for name in each.values})
    asked = (held, "truck-1", TRUCK, metrics, T0, day.end_ns)
    found = [each async for page in pages(*asked) for each in page]
    await held.close()
    assert found == [replace(each, received_ns=each.time_ns) for each in day.readings]
