"""The days off and swapped workdays (调休) of mainland China, as the State Council publishes them for each year.

The source is the library `chinesecalendar`, renewed each November when the notice for the next year is out. Its figures of
2026 were compared with the notice of 2025-11-04 (国务院办公厅关于2026年部分节假日安排的通知, gov.cn).
"""

import datetime as dt
from typing import NamedTuple

import chinese_calendar

__all__ = ["PublishedDay", "published_days", "published_years"]


class PublishedDay(NamedTuple):
    """A date on which the week's own rule does not hold: a day off, or a weekend day that is worked."""

    day: dt.date
    work: bool
    name_zh: str
    name_en: str


def published_years() -> tuple[int, ...]:
    """The years whose notice the source knows, in order.

    A notice may name days of the December before: what tells that a year is known is its National Day.
    """
    return tuple(sorted(day.year for day in chinese_calendar.holidays if (day.month, day.day) == (10, 1)))


def published_days() -> tuple[PublishedDay, ...]:
    """All of them, by date."""
    off = {day: (False, name) for day, name in chinese_calendar.holidays.items()}
    worked = {day: (True, name) for day, name in chinese_calendar.workdays.items()}
    return tuple(
        PublishedDay(day, work, chinese_calendar.Holiday(name).chinese, name)
        for day, (work, name) in sorted({**off, **worked}.items())
    )
