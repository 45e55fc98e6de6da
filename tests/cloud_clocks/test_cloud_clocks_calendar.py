"""Working calendars: what is published, what a city's file changes, what a year that nobody knows yet looks like."""

import datetime as dt
from pathlib import Path

import chinese_calendar
import msgspec
import pytest
from cloud_clocks_oracle import notice_2026

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.calendar_file import SAMPLE, load_calendar
from cloud.clocks.clock import ClockKind, amount_ns, deadline
from cloud.clocks.published import PublishedDay, published_days, published_years
from cloud.clocks.rules import DEFAULT_HOURS, DEFAULT_WEEK, CalendarDay, CalendarRules, Period, SpecialDay, WorkingDay, period
from device_profiles.mistakes import ConfigError

DAY = 86_400_000_000_000


def _dates(year: int) -> list[dt.date]:
    return [dt.date.fromordinal(day) for day in range(dt.date(year, 1, 1).toordinal(), dt.date(year + 1, 1, 1).toordinal())]


def _load(folder: Path, text: str) -> CalendarRules:
    file = folder / "calendar.toml"
    file.write_text(text, encoding="utf-8")
    return load_calendar(file)


def test_2026_is_the_notice_of_the_state_council_day_by_day() -> None:
    off, worked = notice_2026()
    calendar = WorkCalendar(chinese_rules())
    for day in _dates(2026):
        works = day in worked or (day.weekday() < 5 and day not in off)
        assert calendar.hours(day) == (DEFAULT_HOURS if works else ()), day


def test_a_special_day_says_which_holiday_it_is_and_a_swapped_one_for_which_it_is_worked() -> None:
    calendar = WorkCalendar(chinese_rules())
    national, swapped = calendar.special(dt.date(2026, 10, 1)), calendar.special(dt.date(2026, 10, 10))
    assert national == SpecialDay(dt.date(2026, 10, 1), (), "国庆节", "National Day")
    assert swapped == SpecialDay(dt.date(2026, 10, 10), DEFAULT_HOURS, "国庆节", "National Day")
    assert calendar.special(dt.date(2026, 10, 12)) is None


def test_the_source_knows_every_year_from_2004_to_the_present_one_and_each_with_its_holidays() -> None:
    years = published_years()
    assert years == tuple(range(2004, max(years) + 1))
    assert max(years) >= 2026
    for year in years:
        off = [known for known in published_days() if known.day.year == year and not known.work]
        assert len(off) >= 10, year
    assert all(known.day.weekday() >= 5 for known in published_days() if known.work)


def test_a_year_of_which_only_the_first_days_are_known_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    after = max(published_years()) + 1
    first_days = {dt.date(after, 1, day): "New Year's Day" for day in (1, 2, 3)}
    monkeypatch.setattr("chinese_calendar.holidays", {**chinese_calendar.holidays, **first_days})
    assert max(published_years()) == after - 1
    assert PublishedDay(dt.date(after, 1, 3), work=False, name_zh="元旦", name_en="New Year's Day") in published_days()


def test_a_year_that_nobody_has_published_is_counted_by_weekends_and_named() -> None:
    calendar = WorkCalendar(chinese_rules())
    after = max(published_years()) + 1
    assert not calendar.is_published(after)
    assert all(bool(calendar.hours(day)) == (day.weekday() < 5) for day in _dates(after))
    instant = int(dt.datetime(after, 6, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
    assert [gap.year for gap in calendar.unpublished(instant - 365 * DAY, instant + 365 * DAY)] == [after, after + 1]
    assert calendar.unpublished(instant - 365 * DAY, instant - 365 * DAY) == ()


def test_years_are_those_of_local_time() -> None:
    calendar = WorkCalendar(msgspec.structs.replace(chinese_rules(), published=(2026,)))
    new_year = int(dt.datetime(2026, 12, 31, 16, tzinfo=dt.UTC).timestamp()) * 1_000_000_000  # midnight in Shanghai
    assert calendar.unpublished(new_year - 1, new_year - 1) == ()
    assert [gap.year for gap in calendar.unpublished(new_year, new_year)] == [2027]


def test_the_sample_file_with_nothing_set_is_the_published_calendar() -> None:
    assert load_calendar(SAMPLE) == chinese_rules()


def test_every_key_that_the_sample_shows_is_one(tmp_path: Path) -> None:
    keys = [line.removeprefix("# ") for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    settings = [line for line in keys if line.startswith(("[", *(f"{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")))]
    rules = _load(tmp_path, "\n".join(line for line in settings if " = " in line or line.startswith("[")))
    calendar = WorkCalendar(rules)
    assert 2027 in (rules.published or ())
    assert calendar.hours(dt.date(2027, 3, 15)) == ()
    assert calendar.hours(dt.date(2027, 6, 9)) == (period("07:00-12:00"), period("13:00-20:00"))
    assert calendar.hours(dt.date(2026, 11, 6)) == (period("08:00-12:00"), period("14:00-17:00"))


def test_a_citys_file_stands_above_what_is_published(tmp_path: Path) -> None:
    rules = _load(
        tmp_path,
        """
        working_day = "close"
        working_day_minutes = 420
        calendar_day = "midnight"
        complete_years = [2027]
        [week]
        hours = ["09:00-12:00", "13:00-17:00"]
        friday = ["09:00-12:00"]
        saturday = ["09:00-10:00"]
        swapped = ["10:00-12:00"]
        [[days]]
        on = 2026-10-01
        work = true
        name_zh = "抢修"
        [[days]]
        on = 2026-11-07
        until = 2026-11-09
        name_en = "city games"
        [[days]]
        on = 2026-11-15
        work = true
        [[days]]
        on = 2026-11-22
        work = true
        hours = ["00:00-24:00"]
        """,
    )
    calendar = WorkCalendar(rules)
    usual = (period("09:00-12:00"), period("13:00-17:00"))
    assert (rules.working_day, rules.working_day_min, rules.calendar_day) == (WorkingDay.CLOSE, 420, CalendarDay.MIDNIGHT)
    assert rules.published == (*published_years(), *({2027} - {*published_years()}))
    hours = {day: calendar.hours(dt.date.fromisoformat(f"2026-{day}")) for day in ("10-01", "10-02", "10-10", "11-07", "11-09")}
    assert hours == {"10-01": usual, "10-02": (), "10-10": (period("10:00-12:00"),), "11-07": (), "11-09": ()}
    assert calendar.hours(dt.date(2026, 11, 6)) == (period("09:00-12:00"),)
    assert calendar.hours(dt.date(2026, 11, 14)) == (period("09:00-10:00"),)
    assert calendar.hours(dt.date(2026, 11, 15)) == (period("10:00-12:00"),), "a worked Sunday has the hours of a swapped workday"
    assert calendar.hours(dt.date(2026, 11, 22)) == (Period(0, 1440),)
    assert calendar.special(dt.date(2026, 11, 8)) == SpecialDay(dt.date(2026, 11, 8), (), "city games", "city games")


def test_a_city_elsewhere_has_its_own_holidays_alone_and_nothing_to_wait_for(tmp_path: Path) -> None:
    rules = _load(tmp_path, 'source = "none"\nzone = "Europe/Berlin"\n[[days]]\non = 2026-10-03\nname_en = "German Unity Day"\n')
    calendar = WorkCalendar(rules)
    assert [special.day for special in rules.special] == [dt.date(2026, 10, 3)]
    assert calendar.hours(dt.date(2026, 10, 1)) == DEFAULT_HOURS
    assert calendar.is_published(2050)


_WRONG = """\
zone = "Asia/Shangai"
source = "chine"
working_day = "hour"
working_day_minutes = 0
complete_years = ["2027"]
holidays = []
[week]
monday = ["08:00-12:00", "11:00-18:00"]
tuesday = ["8-12"]
[[days]]
on = "2027-10-01"
[[days]]
on = 2027-10-02
until = 2027-10-01
[[days]]
on = 2027-10-03
hours = ["08:00-12:00"]
[[days]]
on = 2027-10-03
[[days]]
work = true
"""


def test_every_mistake_of_a_file_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        _load(tmp_path, _WRONG)
    assert [(mistake.line, mistake.where) for mistake in told.value.mistakes] == [
        (1, "zone"),
        (2, "source"),
        (3, "working_day"),
        (4, "working_day_minutes"),
        (5, "complete_years"),
        (6, "holidays"),
        (8, "week.monday"),
        (9, "week.tuesday"),
        (11, "days[0].on"),
        (14, "days[1].until"),
        (17, "days[2].hours"),
        (19, "days[3].on"),
        (20, "days[4].on"),
    ]


@pytest.mark.parametrize("text", ["08:00", "08:00-08:00", "12:00-08:00", "08:60-09:00", "20:00-24:30", "a-b", "-1:00-09:00", ""])
def test_a_period_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want"):
        period(text)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        pytest.param({"zone": "Nowhere/Land"}, "zone 'Nowhere/Land'", id="a zone that is none"),
        pytest.param({"week": DEFAULT_WEEK[:6]}, "has 6 days", id="a week of six days"),
        pytest.param({"working_day_min": 0}, "has 0 minutes", id="a day without work"),
        pytest.param({"week": ((Period(60, 120), Period(90, 180)),) * 7}, "do not overlap", id="periods that overlap"),
        pytest.param({"special": (SpecialDay(dt.date(2026, 1, 1), (), "", ""),) * 2}, "each date once", id="a date twice"),
    ],
)
def test_rules_that_contradict_themselves_do_not_come_to_be(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        msgspec.convert(wrong, CalendarRules)


def test_stored_rules_come_back_as_the_same_version_with_the_same_deadlines() -> None:
    rules = chinese_rules()
    again = CalendarRules.decoded(rules.encoded())
    assert (again, again.version()) == (rules, rules.version())
    start = int(dt.datetime(2026, 9, 30, 8, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
    one, other = WorkCalendar(rules), WorkCalendar(again)
    three = amount_ns(3, ClockKind.WORKING_DAYS, one)
    assert deadline(start, three, ClockKind.WORKING_DAYS, one) == deadline(start, three, ClockKind.WORKING_DAYS, other)


def test_whatever_decides_a_deadline_is_in_the_version() -> None:
    rules = chinese_rules()
    changed = [
        msgspec.structs.replace(rules, **change)
        for change in (
            {},
            {"zone": "Asia/Urumqi"},
            {"week": (*DEFAULT_WEEK[:4], (), (), ())},
            {"special": rules.special[1:]},
            {"published": (2026,)},
            {"working_day": WorkingDay.CLOSE},
            {"working_day_min": 420},
            {"calendar_day": CalendarDay.MIDNIGHT},
        )
    ]
    assert len({one.version() for one in changed}) == len(changed)
    assert {one.version() for one in changed} >= {chinese_rules().version()}


def test_a_deadline_asks_for_the_tables_of_the_years_it_touches_once() -> None:
    calendar = WorkCalendar(chinese_rules())
    made: list[int] = []
    inner = calendar.working_time._table_of
    calendar.working_time._table_of = lambda year: (made.append(year), inner(year))[1]
    start = int(dt.datetime(2026, 9, 30, 8, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
    for _ in range(3):
        deadline(start, amount_ns(3, ClockKind.WORKING_DAYS, calendar), ClockKind.WORKING_DAYS, calendar)
    assert made == [2026]
    for _ in range(3):
        deadline(start, amount_ns(500, ClockKind.WORKING_DAYS, calendar), ClockKind.WORKING_DAYS, calendar)
    assert made == [2026, 2027, 2028]
