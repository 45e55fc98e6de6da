"""A city's own working calendar: a TOML file over the published one, read whole, every mistake told at once."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from cloud.clocks.calendar import merged
from cloud.clocks.civil import check_zone
from cloud.clocks.published import published_years
from cloud.clocks.rules import DEFAULT_HOURS, CalendarDay, CalendarRules, Hours, Period, SpecialDay, WorkingDay, period
from device_profiles.mistakes import ConfigError, Findings
from device_profiles.toml_table import Table, read_toml

__all__ = ["SAMPLE", "load_calendar"]

SAMPLE = Path(__file__).with_name("calendar.sample.toml")
"""Every key there is, with its default."""

_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PERIODS = '["08:00-12:00", "14:00-18:00"], in order and without overlap'
_DATE = "a date without quotes, such as 2027-10-01"
_DATES_MOST = 366


def load_calendar(path: Path) -> CalendarRules:
    """The rules in a calendar file, the published days under the file's own. Raises ConfigError with every mistake in it."""
    findings = Findings(str(path))
    root = read_toml(path, findings)
    chinese = root.choice("source", ["china", "none"], "china") == "china"
    week, swapped = _week(root.table("week"))
    own = _own_days(root, week, swapped)
    zone = root.checked("zone", check_zone, "a name of the IANA time zone database", "Asia/Shanghai")
    working_day = WorkingDay(root.choice("working_day", list(WorkingDay), WorkingDay.HOURS))
    working_day_min = root.integer("working_day_minutes", 480, low=1, high=1440)
    calendar_day = CalendarDay(root.choice("calendar_day", list(CalendarDay), CalendarDay.EXACT))
    complete = _years(root)
    root.finish()
    if len(findings):
        raise ConfigError(findings.in_order())
    return CalendarRules(
        zone=zone,
        week=week,
        special=merged(swapped, own) if chinese else tuple(own),
        published=tuple(sorted({*published_years(), *complete})) if chinese else None,
        working_day=working_day,
        working_day_min=working_day_min,
        calendar_day=calendar_day,
    )


def _week(table: Table) -> tuple[tuple[Hours, ...], Hours]:
    """The hours of each weekday, and those of a swapped workday."""
    common = _hours(table, "hours", DEFAULT_HOURS)
    week = tuple(_hours(table, name, common if index < 5 else ()) for index, name in enumerate(_WEEK))
    swapped = _hours(table, "swapped", common)
    table.finish()
    return week, swapped


def _hours(table: Table, key: str, default: Hours) -> Hours:
    if table.raw(key) is None:
        return default
    texts = table.texts(key)
    try:
        hours: tuple[Period, ...] = tuple(period(text) for text in texts)
        CalendarRules(week=(hours,) * 7)
    except ValueError as error:
        table.wrong(key, str(error).partition(": want ")[0], _PERIODS)
        return default
    return hours


def _own_days(root: Table, week: tuple[Hours, ...], swapped: Hours) -> list[SpecialDay]:
    days: dict[dt.date, SpecialDay] = {}
    for table in root.tables("days"):
        for special in _span(table, week, swapped):
            if special.day in days:
                table.wrong("on", f"{special.day} stands above already", "each date once")
            days[special.day] = special
    return [days[day] for day in sorted(days)]


def _span(table: Table, week: tuple[Hours, ...], swapped: Hours) -> Iterator[SpecialDay]:
    """The dates of one [[days]]: a day, or `on` to `until` with both; worked, or off."""
    first = _date(table, "on", None)
    last = _date(table, "until", first)
    work = table.flag("work", default=False)
    own = _hours(table, "hours", ()) if work or table.raw("hours") is not None else ()
    zh, en = table.text("name_zh", ""), table.text("name_en", "")
    if table.raw("hours") is not None and not work:
        table.wrong("hours", "stands on a day off", "work = true, or no hours")
    table.finish()
    if first is None or last is None:
        return
    count = (last - first).days + 1
    if not 1 <= count <= _DATES_MOST:
        table.wrong("until", f"{last} makes {count} days of it", f"a date from {first} on, {_DATES_MOST} days at most")
        return
    for day in (first + dt.timedelta(days=n) for n in range(count)):
        hours = own or week[day.weekday()] or swapped if work else ()
        yield SpecialDay(day, hours, zh or en, en or zh)


def _date(table: Table, key: str, default: dt.date | None) -> dt.date | None:
    value = table.raw(key)
    if value is None and default is not None:
        return default
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if value is not None or key == "on":
        table.wrong(key, "is missing" if value is None else f"{value!r}"[:80], _DATE)
    return None


def _years(root: Table) -> tuple[int, ...]:
    """Years that the file holds whole, so that nobody waits for their publication."""
    value = root.raw("complete_years")
    if value is None:
        return ()
    if isinstance(value, list) and all(type(year) is int and 1970 <= year <= 2200 for year in value):
        return tuple(value)
    root.wrong("complete_years", f"{value!r}"[:80], "a list of years, such as [2027]")
    return ()
