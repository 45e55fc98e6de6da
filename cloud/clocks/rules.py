"""What a working calendar says, as plain data: whole in one value, so that it can be stored and a deadline made again from it."""

import datetime as dt
import hashlib
import itertools
from enum import StrEnum
from typing import Final

import msgspec

from cloud.clocks.civil import check_zone

__all__ = [
    "DEFAULT_HOURS",
    "DEFAULT_WEEK",
    "CalendarDay",
    "CalendarRules",
    "Hours",
    "Period",
    "SpecialDay",
    "WorkingDay",
    "period",
]

_DAY_MIN = 24 * 60


class Period(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A working period of a day: minutes of the local day, 0 to 1440, the end not in it. ValueError where it is none."""

    start_min: int
    end_min: int

    def __post_init__(self) -> None:
        if not 0 <= self.start_min < self.end_min <= _DAY_MIN:
            raise ValueError(f"period {self}: want a start before its end, between 00:00 and 24:00")

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start_min, self.end_min))


Hours = tuple[Period, ...]
"""The working periods of one day, in order, without overlap; none on a day off."""


def period(text: str) -> Period:
    """The period written as HH:MM-HH:MM, its end up to 24:00; ValueError where it is not."""
    try:
        times = [(int(hour), int(minute)) for hour, minute in (part.split(":") for part in text.split("-"))]
        (from_h, from_m), (until_h, until_m) = times
    except ValueError as error:
        raise ValueError(f"period {text!r}: want HH:MM-HH:MM, such as 08:00-12:00") from error
    if min(from_h, from_m, until_h, until_m) < 0 or max(from_m, until_m) > 59:
        raise ValueError(f"period {text!r}: want HH:MM-HH:MM, such as 08:00-12:00")
    return Period(from_h * 60 + from_m, until_h * 60 + until_m)


DEFAULT_HOURS: Final[Hours] = (period("08:00-12:00"), period("14:00-18:00"))
DEFAULT_WEEK: Final[tuple[Hours, ...]] = (*itertools.repeat(DEFAULT_HOURS, 5), (), ())


class WorkingDay(StrEnum):
    """What a limit of N working days means."""

    HOURS = "hours"
    """N times the working hours of a day, counted from the very start."""
    CLOSE = "close"
    """The end of work on the Nth working day after the day of the start (Civil Code, articles 201 and 203)."""
    MIDNIGHT = "midnight"
    """The end, 24:00, of the Nth working day after the day of the start."""


class CalendarDay(StrEnum):
    """What a limit of N calendar days means."""

    EXACT = "exact"
    """N times 24 hours, counted from the very start."""
    MIDNIGHT = "midnight"
    """The end, 24:00, of the Nth day after the day of the start (Civil Code, articles 201 and 203)."""


class SpecialDay(msgspec.Struct, frozen=True, array_like=True):
    """A date on which the week's own hours do not hold: a holiday, a swapped workday, a day of other hours."""

    day: dt.date
    hours: Hours
    name_zh: str
    name_en: str


class CalendarRules(msgspec.Struct, frozen=True, kw_only=True):
    """A working calendar. ValueError where it contradicts itself.

    `week` holds the hours from Monday to Sunday, `special` the dates that differ, by date. `published` are the years
    whose holidays are known; None where none have to be published, so that the week and `special` are all there is.
    """

    zone: str = "Asia/Shanghai"
    week: tuple[Hours, ...] = DEFAULT_WEEK
    special: tuple[SpecialDay, ...] = ()
    published: tuple[int, ...] | None = None
    working_day: WorkingDay = WorkingDay.HOURS
    working_day_min: int = 480
    calendar_day: CalendarDay = CalendarDay.EXACT

    def __post_init__(self) -> None:
        check_zone(self.zone)
        if len(self.week) != 7:
            raise ValueError(f"week: has {len(self.week)} days, want 7, from Monday on")
        if not 1 <= self.working_day_min <= _DAY_MIN:
            raise ValueError(f"working day: has {self.working_day_min} minutes, want 1 to {_DAY_MIN}")
        for hours in (*self.week, *(special.hours for special in self.special)):
            if any(later.start_min < earlier.end_min for earlier, later in itertools.pairwise(hours)):
                raise ValueError(f"hours {', '.join(map(str, hours))}: want periods in order that do not overlap")
        if any(later.day <= earlier.day for earlier, later in itertools.pairwise(self.special)):
            raise ValueError("special days: want each date once, in order")

    def encoded(self) -> bytes:
        """All of it as JSON, the same bytes for the same rules: what is stored beside a deadline."""
        return msgspec.json.encode(self)

    @classmethod
    def decoded(cls, content: bytes) -> "CalendarRules":
        """The rules that `encoded` wrote; ValueError where they are none."""
        return msgspec.json.decode(content, type=cls)

    def version(self) -> str:
        """A name for exactly these rules: 16 hex digits of the SHA-256 of `encoded`."""
        return hashlib.sha256(self.encoded()).hexdigest()[:16]
