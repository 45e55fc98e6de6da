"""Tables of matters: where each line comes from, what it says, since when; and every mistake in one at its line."""

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from citynerve.commands.profile import app
from device_profiles.lint_matters import OF_THE_CLOUD, built_in_tables, lint_matters
from device_profiles.matter import ClockKind, DepartmentRule, DeviceWord, Limit, Matter
from device_profiles.mistakes import ProfileError
from device_profiles.read_matters import CITIES, OWN, in_force, load_code_tables, load_matters, load_table, load_tables
from device_profiles.shelf import load_catalog

BROKEN = Path(__file__).parent / "broken_matters"
YUNCHENG = CITIES / "yuncheng.yaml"
EVERY = [matter for path in built_in_tables() for matter in load_table(path).matters.values()]

LATER = """\
table: yuncheng_2027
city: {zh: "运城市", en: "Yuncheng"}
edition: GB/T 30428.2
valid_from: "2027-01-01"
source: "made up for this test"
matters:
  lamp_out:
    title: {zh: "单灯灭灯", en: "Single lamp out"}
    codes: {"0137": 路灯}
    department: {name: "路灯管理所"}
    priority: medium
    handle: {working_days: 1}
    filed_when: {zh: "灯不亮", en: "A lamp is dark"}
    closes_when: {zh: "灯亮", en: "The lamp is lit"}
    source: "made up for this test"
"""


def written(folder: Path, text: str, name: str = "later.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mistakes_of(path: Path) -> list[str]:
    with pytest.raises(ProfileError) as error:
        load_table(path)
    return [str(mistake).replace(f"{path.parent}/", "") for mistake in error.value.mistakes]


def test_a_broken_table_is_told_all_its_mistakes_with_their_lines() -> None:
    assert mistakes_of(BROKEN / "table.yaml") == (BROKEN / "mistakes.txt").read_text("utf-8").splitlines()


def test_the_built_in_tables_raise_no_doubt() -> None:
    for path in built_in_tables():
        report = lint_matters(path, load_catalog().values())
        assert (report.mistakes, report.warnings) == ((), ())


@pytest.mark.parametrize("matter", EVERY, ids=lambda matter: f"{matter.table}.{matter.code}")
def test_every_line_says_where_it_comes_from_and_since_when_in_both_languages(matter: Matter) -> None:
    texts = [matter.title, matter.filed_when, matter.closes_when, *([matter.device.says] if matter.device else [])]
    for text in texts:
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh)
        assert text.en.isascii()
    assert matter.source
    assert matter.table
    assert dt.date.fromisoformat(matter.valid_from) <= dt.date(2026, 12, 31)
    assert matter.gbt_code in matter.codes
    assert matter.limit_minutes > 0


# Lines of the city's filing table: what it is about, its limit.
CITY_LINES = [
    ("cover_displaced", "0103", Limit("2", ClockKind.URGENT_HOURS)),
    ("cover_broken", "0103", Limit("4", ClockKind.WORKING_HOURS)),
    ("cover_broken_other", "0106", Limit("1", ClockKind.WORKING_DAYS)),
    ("cover_loose", "0103", Limit("2", ClockKind.WORKING_DAYS)),
    ("cover_frame_uneven", "0103", Limit("5", ClockKind.WORKING_DAYS)),
    ("grate_blocked", "0104", Limit("1", ClockKind.WORKING_DAYS)),
    ("lamp_damaged", "0137", Limit("1", ClockKind.WORKING_DAYS)),
    ("lamp_out", "0137", Limit("2", ClockKind.WORKING_DAYS)),
    ("lamp_wrong_time", "0137", Limit("2", ClockKind.WORKING_HOURS)),
    ("toilet_service", "0301", Limit("4", ClockKind.WORKING_HOURS)),
    ("toilet_odour", "0301", Limit("1", ClockKind.WORKING_DAYS)),
    ("toilet_equipment", "0301", Limit("3", ClockKind.WORKING_DAYS)),
    ("road_flooded", "E-0506", Limit("2", ClockKind.URGENT_HOURS)),
    ("drain_overflow", "E-0503", Limit("4", ClockKind.WORKING_HOURS)),
    ("drain_burst", "E-0503", Limit("1", ClockKind.URGENT_HOURS)),
    ("water_pipe_burst", "E-0501", Limit("1", ClockKind.URGENT_HOURS)),
    ("gas_leak", "E-0502", Limit("1", ClockKind.URGENT_HOURS)),
    ("road_collapse", "E-0505", Limit("2", ClockKind.URGENT_HOURS)),
    ("bin_overflow", "E-0192", Limit("4", ClockKind.WORKING_HOURS)),
]


@pytest.mark.parametrize(("code", "gbt_code", "limit"), CITY_LINES, ids=[line[0] for line in CITY_LINES])
def test_the_citys_line_has_its_code_and_limit(code: str, gbt_code: str, limit: Limit) -> None:
    matter = load_table(YUNCHENG).matters[code]
    assert (matter.gbt_code, matter.limits.handle, matter.edition) == (gbt_code, limit, "GB/T 30428.2")


def test_a_missing_cover_is_of_any_type_and_its_owner_handles_it() -> None:
    cover = load_table(YUNCHENG).matters["cover_displaced"]
    assert {"0101", "0102", "0103", "0104", "0106", "0110", "0111", "0114", "0118", "0123"} == set(cover.codes)
    assert cover.department_by is DepartmentRule.OWNER
    assert cover.device is not None
    assert cover.device.word is DeviceWord.ENOUGH


def test_the_stages_before_and_after_handling_have_limits_of_their_own() -> None:
    limits = load_matters()["lamp_out"].limits
    quarter, half = Limit("0.25", ClockKind.URGENT_HOURS), Limit("0.5", ClockKind.URGENT_HOURS)
    assert (limits.accept, limits.verify, limits.dispatch, limits.check) == (quarter, half, quarter, half)


def test_a_line_may_have_another_limit_for_one_stage(tmp_path: Path) -> None:
    text = LATER.replace("    priority", "    verify: {working_hours: 2}\n    priority")
    limits = load_table(written(tmp_path, text)).matters["lamp_out"].limits
    assert (limits.verify, limits.check) == (Limit("2", ClockKind.WORKING_HOURS), Limit("0.5", ClockKind.URGENT_HOURS))


def test_one_code_is_another_thing_in_another_edition(tmp_path: Path) -> None:
    editions = load_code_tables()
    assert (editions["GB/T 30428.2"].codes["0118"], editions["CJ/T 214"].codes["0118"]) == ("化粪池井盖", "路灯")
    assert (editions["GB/T 30428.2"].event_classes["04"], editions["CJ/T 214"].event_classes["04"]) == ("街面秩序", "突发事件")
    older = LATER.replace("GB/T 30428.2", "CJ/T 214")
    (mistake,) = mistakes_of(written(tmp_path, older))
    assert mistake.startswith("later.yaml:9: matters.lamp_out.codes.0137: 0137 is not in CJ/T 214")
    right = written(tmp_path, older.replace("0137", "0118"), "right.yaml")
    assert load_table(right).matters["lamp_out"].gbt_code == "0118"


def test_every_code_is_of_a_class_of_its_edition() -> None:
    for table in load_code_tables().values():
        for code in table.codes:
            classes = table.event_classes if code.startswith("E-") else table.component_classes
            assert re.sub("^E-", "", code)[:2] in classes


def test_a_later_table_changes_its_lines_from_its_date_on_and_no_others(tmp_path: Path) -> None:
    tables = load_tables([written(tmp_path, LATER), YUNCHENG])
    assert [table.name for table in tables] == ["yuncheng_2023", "yuncheng_2027"]
    before, after = (in_force(tables, dt.date(*day)) for day in ((2026, 12, 31), (2027, 1, 1)))
    assert before["lamp_out"].limits.handle.count == "2"
    assert (after["lamp_out"].limits.handle.count, after["lamp_out"].table) == ("1", "yuncheng_2027")
    changed = {code for code in after if after[code] != before.get(code)}
    assert changed == {"lamp_out"}
    assert after["cover_broken"].table == "yuncheng_2023"
    assert after["bridge_abnormal"].table == "citynerve"


def test_before_the_citys_first_table_the_products_own_lines_count() -> None:
    assert in_force(load_tables([YUNCHENG]), dt.date(2022, 12, 31)) == load_matters()


def test_a_line_may_be_valid_later_than_its_table_and_not_earlier(tmp_path: Path) -> None:
    line = LATER.replace("    priority", '    valid_from: "2027-07-01"\n    priority')
    tables = load_tables([written(tmp_path, line)])
    assert in_force(tables, dt.date(2027, 6, 30))["lamp_out"].table == "citynerve"
    assert in_force(tables, dt.date(2027, 7, 1))["lamp_out"].table == "yuncheng_2027"
    (mistake,) = mistakes_of(written(tmp_path, line.replace("2027-07-01", "2026-07-01"), "early.yaml"))
    assert mistake.startswith("early.yaml:11: matters.lamp_out.valid_from: before the table's own date, 2027-01-01")


def test_two_tables_of_one_day_are_a_mistake_at_its_line(tmp_path: Path) -> None:
    twin = written(tmp_path, LATER.replace("2027-01-01", "2023-01-01"))
    with pytest.raises(ProfileError) as error:
        load_tables([YUNCHENG, twin, BROKEN / "table.yaml"])
    said = str(error.value).splitlines()
    assert said[0].startswith(f"{twin}:4: valid_from: 2023-01-01 is the date of yuncheng_2023 too")
    assert len(said) > 10


def test_lint_tells_a_matter_that_no_profile_uses_and_one_that_only_seems_to_need_people(tmp_path: Path) -> None:
    unused = LATER.replace("  lamp_out:", "  lamp_ou:")
    (told,) = lint_matters(written(tmp_path, unused), load_catalog().values()).warnings
    assert (told.line, told.where, told.what) == (7, "matters.lamp_ou", "no profile's alarm opens it")
    people = LATER.replace("    priority", "    people_only: true\n    priority")
    (told,) = lint_matters(written(tmp_path, people, "people.yaml"), load_catalog().values()).warnings
    assert told.what.startswith("people_only, and alarms of ")


def test_every_matter_of_a_profile_is_in_the_products_own_table() -> None:
    used = {rule.matter for profile in load_catalog().values() for rule in profile.alarms.values() if rule.matter}
    assert used | OF_THE_CLOUD == load_matters().keys()


def test_the_command_checks_the_built_in_tables_and_tells_mistakes_of_a_file() -> None:
    whole = CliRunner().invoke(app, ["matters"])
    assert (whole.exit_code, whole.output) == (0, f"{len(built_in_tables())} tables, 0 mistakes, 0 warnings\n")
    broken = CliRunner().invoke(app, ["matters", str(BROKEN / "table.yaml")])
    assert broken.exit_code == 1
    assert "table.yaml:11: matters.lamp_out.codes.0118: 0118 is 化粪池井盖 in GB/T 30428.2, not 路灯" in broken.output


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        (Limit("2", ClockKind.URGENT_HOURS), 120),
        (Limit("0.25", ClockKind.URGENT_HOURS), 15),
        (Limit("1", ClockKind.CALENDAR_DAYS), 1440),
        (Limit("4", ClockKind.WORKING_HOURS), 240),
        (Limit("2", ClockKind.WORKING_DAYS), 2880),
    ],
)
def test_without_a_calendar_a_limit_counts_around_the_clock(limit: Limit, minutes: int) -> None:
    assert limit.around_the_clock_minutes == minutes


_TEXT = YUNCHENG.read_text("utf-8")
_PIECES = st.sampled_from(
    ["{", "}", "[", ":", "- ", "&a ", "\n", "  ", '"', "on", "-1", "0", "E-0503", "井", "\x00", "---\n", "..."]
)


def test_a_fault_at_the_end_of_the_file_is_told_at_its_last_line(tmp_path: Path) -> None:
    (mistake,) = mistakes_of(written(tmp_path, LATER + "{"))
    assert mistake.startswith(f"later.yaml:{LATER.count(chr(10)) + 1}: file: not YAML")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(_TEXT)), cut=st.integers(0, 40), piece=_PIECES)
def test_a_damaged_table_loads_or_is_told_its_mistakes_at_lines_that_exist(tmp_path: Path, at: int, cut: int, piece: str) -> None:
    text = _TEXT[:at] + piece + _TEXT[at + cut :]
    path = written(tmp_path, text, f"{len(list(tmp_path.iterdir()))}.yaml")  # a table is read once, so each has its own file
    mistakes = lint_matters(path, ()).mistakes
    assert all(1 <= mistake.line <= text.count("\n") + 1 for mistake in mistakes)


def test_the_products_own_table_is_the_one_that_profiles_load() -> None:
    assert load_matters() is load_table(OWN).matters
