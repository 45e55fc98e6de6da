"""The slow way to count: every minute of a window is asked what a clock on the wall shows and whether that time counts.

It shares no arithmetic with the product: the holidays of 2026 are written down from the notice itself.
"""

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.clock import ClockKind, Hold
from cloud.clocks.rules import CalendarDay, CalendarRules, Period, SpecialDay, WorkingDay

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE

# 国务院办公厅关于2026年部分节假日安排的通知, 2025-11-04: days off from and to, and the weekend days worked for them.
OFF_2026 = (
    ("01-01", "01-03"),
    ("02-15", "02-23"),
    ("04-04", "04-06"),
    ("05-01", "05-05"),
    ("06-19", "06-21"),
    ("09-25", "09-27"),
    ("10-01", "10-07"),
)
WORKED_2026 = ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10")

_USUAL = ((480, 720), (840, 1080))
_NIGHTS = ((0, 45), (90, 150), (165, 360), (1320, 1440))  # straddles every clock change of the zones below


def notice_2026() -> tuple[set[dt.date], set[dt.date]]:
    """The days off and the days worked of the notice."""
    off: set[dt.date] = set()
    for first, last in OFF_2026:
        day = dt.date.fromisoformat(f"2026-{first}")
        while day <= dt.date.fromisoformat(f"2026-{last}"):
            off.add(day)
            day += dt.timedelta(days=1)
    return off, {dt.date.fromisoformat(f"2026-{day}") for day in WORKED_2026}


class Window(NamedTuple):
    """Two months of a zone, in which a test may start within the first fortnight."""

    name: str
    zone: str
    first: dt.date

    @property
    def start_ns(self) -> int:
        return int(dt.datetime.combine(self.first, dt.time(), dt.UTC).timestamp()) * 1_000_000_000


WINDOWS = (
    Window("national day", "Asia/Shanghai", dt.date(2026, 9, 15)),
    Window("spring festival", "Asia/Shanghai", dt.date(2026, 2, 5)),
    Window("year end", "Asia/Shanghai", dt.date(2025, 12, 20)),
    Window("clocks forward", "Europe/Berlin", dt.date(2026, 3, 20)),
    Window("clocks back", "Europe/Berlin", dt.date(2026, 10, 15)),
    Window("half an hour back", "Australia/Lord_Howe", dt.date(2026, 3, 25)),
    Window("no midnight", "Africa/Cairo", dt.date(2026, 4, 14)),
    Window("midnight twice", "Africa/Cairo", dt.date(2026, 10, 20)),
    Window("a year that begins early", "Pacific/Kiritimati", dt.date(2025, 12, 22)),
    Window("a date skipped", "Pacific/Apia", dt.date(2011, 12, 20)),  # 2011-12-30 was no day there
)
WINDOW_MINUTES = 46 * 1440


class Setting(NamedTuple):
    """A kind of clock with the calendar's word on what its days are."""

    kind: ClockKind
    working_day: WorkingDay = WorkingDay.HOURS
    calendar_day: CalendarDay = CalendarDay.EXACT

    @property
    def whole_days(self) -> bool:
        midnight = self.kind is ClockKind.CALENDAR_DAYS and self.calendar_day is CalendarDay.MIDNIGHT
        return midnight or (self.kind is ClockKind.WORKING_DAYS and self.working_day is not WorkingDay.HOURS)


SETTINGS = (
    Setting(ClockKind.URGENT_HOURS),
    Setting(ClockKind.CALENDAR_DAYS),
    Setting(ClockKind.CALENDAR_DAYS, calendar_day=CalendarDay.MIDNIGHT),
    Setting(ClockKind.WORKING_HOURS),
    Setting(ClockKind.WORKING_DAYS),
    Setting(ClockKind.WORKING_DAYS, WorkingDay.CLOSE),
    Setting(ClockKind.WORKING_DAYS, WorkingDay.MIDNIGHT),
)


@cache
def calendar_of(window: Window, setting: Setting) -> WorkCalendar:
    """The product's calendar for a window: the published one in China, nights but Mondays, and one holiday, elsewhere."""
    rules = chinese_rules()
    if window.zone != "Asia/Shanghai":
        nights = tuple(Period(*period) for period in _NIGHTS)
        holiday = SpecialDay(window.first + dt.timedelta(days=4), (), "节日", "a holiday")
        rules = CalendarRules(zone=window.zone, week=((), *(nights,) * 6), special=(holiday,))
    return WorkCalendar(
        CalendarRules(
            zone=rules.zone,
            week=rules.week,
            special=rules.special,
            published=rules.published,
            working_day=setting.working_day,
            calendar_day=setting.calendar_day,
        )
    )


class Minute(NamedTuple):
    """What the wall shows during a minute, and whether people work."""

    date: dt.date
    works: bool


@cache
def minutes(window: Window) -> Sequence[Minute]:
    """Every minute of the window."""
    zone, off_worked = ZoneInfo(window.zone), notice_2026()
    first = window.start_ns // 1_000_000_000
    found = []
    for second in range(first, first + WINDOW_MINUTES * 60, 60):
        wall = dt.datetime.fromtimestamp(second, zone)
        minute = wall.hour * 60 + wall.minute
        if window.zone == "Asia/Shanghai":
            off, worked = off_worked
            working_date = wall.date() in worked or (wall.weekday() < 5 and wall.date() not in off)
            periods = _USUAL
        else:
            working_date = wall.weekday() > 0 and wall.date() != window.first + dt.timedelta(days=4)
            periods = _NIGHTS
        found.append(Minute(wall.date(), working_date and any(start <= minute < end for start, end in periods)))
    return found


@cache
def gains(window: Window, setting: Setting) -> Sequence[int]:
    """What each minute of the window adds to a clock that runs: a minute, or a day where the minute ends one that counts."""
    shown = minutes(window)
    if not setting.whole_days:
        by_work = setting.kind in {ClockKind.WORKING_HOURS, ClockKind.WORKING_DAYS}
        return [MINUTE if minute.works or not by_work else 0 for minute in shown]
    last, last_work = {}, {}
    for index, minute in enumerate(shown):
        last[minute.date] = index
        if minute.works:
            last_work[minute.date] = index
    for ends_seen in (last, last_work):  # the window does not show how its last day ends
        ends_seen.pop(shown[-1].date, None)
    if setting.kind is ClockKind.CALENDAR_DAYS:
        ends = set(last.values())
    elif setting.working_day is WorkingDay.CLOSE:
        ends = set(last_work.values())
    else:
        ends = {last[date] for date in last_work}
    return [DAY if index in ends else 0 for index in range(len(shown))]


def running(window: Window, setting: Setting, start_ns: int, holds: Iterable[Hold]) -> list[int]:
    """What each minute from the start on adds to the clock of a case with those holds."""
    begin = (start_ns - window.start_ns) // MINUTE
    kept = list(gains(window, setting)[begin:])
    if setting.whole_days:  # the day of the start is not counted
        shown = minutes(window)
        for index in range(begin, min(begin + 2 * 1440, len(shown))):
            if shown[index].date == shown[begin].date:
                kept[index - begin] = 0
    for hold in holds:
        first = max(0, (hold.start_ns - start_ns) // MINUTE)
        last = len(kept) if hold.end_ns is None else max(first, (hold.end_ns - start_ns) // MINUTE)
        kept[first:last] = [0] * len(kept[first:last])
    return kept


def slow_deadline(window: Window, setting: Setting, start_ns: int, limit_ns: int, holds: Sequence[Hold]) -> int | None:
    """The end of the minute that brings the clock to the limit; None where a hold never ends. IndexError beyond the window."""
    for index, total in enumerate(itertools.accumulate(running(window, setting, start_ns, holds))):
        if total >= limit_ns:
            return start_ns + (index + 1) * MINUTE
    if any(hold.end_ns is None for hold in holds):
        return None
    raise IndexError(f"{window.name}: the limit does not end within the window")


def slow_spent(window: Window, setting: Setting, start_ns: int, now_ns: int, holds: Sequence[Hold]) -> int:
    """All minutes that count, up to now."""
    return sum(running(window, setting, start_ns, holds)[: max(0, (now_ns - start_ns) // MINUTE)])
