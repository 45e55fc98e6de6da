"""Duty rosters (值班表): who of a department is on duty, in which order they are asked."""

import datetime as dt
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

__all__ = ["WEEK", "Day", "Roster", "Rotation", "Shift", "shift"]

_DAY_MIN: Final = 1440
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


class Shift(msgspec.Struct, frozen=True):
    """Minutes from the midnight on which the shift's day begins, the end not in it; above 1440 on the day after."""

    start_min: int
    end_min: int

    def holds(self, minute: int) -> bool:
        return self.start_min <= minute < self.end_min


def shift(text: str) -> Shift:
    """The shift written as HH:MM-HH:MM. Over midnight where the end is not later than the start: "08:00-08:00" is 24 hours.

    ValueError where it is none.
    """
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r}"[:40] + " is no shift")
    start = int(found[1]) * 60 + int(found[2])
    end = _DAY_MIN if found[3] is None else int(found[3]) * 60 + int(found[4])
    return Shift(start, end if end > start else end + _DAY_MIN)


class Day(StrEnum):
    """The days that a roster can name."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"
    WORKDAY = "workday"
    """A day with working hours in the city's calendar, swapped ones (调休) too."""
    DAY_OFF = "day_off"
    """A day without, holidays too."""


WEEK: Final = tuple(Day)[:7]


class Rotation(msgspec.Struct, frozen=True):
    """Groups take turns of so many days, the first of them from the anchor date on."""

    anchor: dt.date
    days: int

    def turn(self, day: dt.date, groups: int) -> int:
        """Whose turn it is, counted from 0; before the anchor the turns are counted back."""
        return (day - self.anchor).days // self.days % groups


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a department's roster. A shift belongs to the day on which it begins, to its end on the day after.

    Empty `districts` are all. It holds on `days` and on `dates`, from `first` to `last`, both included, where they are given.
    `groups` are names in the order in which they are asked; without a rotation there is one group.
    """

    department: str
    groups: tuple[tuple[str, ...], ...]
    shifts: tuple[Shift, ...]
    districts: tuple[str, ...] = ()
    days: frozenset[Day] = frozenset()
    dates: frozenset[dt.date] = frozenset()
    first: dt.date | None = None
    last: dt.date | None = None
    rotation: Rotation | None = None

    def on_duty(self, day: dt.date, minute: int, is_worked: Callable[[dt.date], bool]) -> tuple[str, ...]:
        """The people on duty when the clocks of the city show that minute of the day; whose shift began today come first."""
        yesterday = day - dt.timedelta(days=1)
        today = self._begun(day, minute, is_worked)
        return today + self._begun(yesterday, minute + _DAY_MIN, is_worked)

    def _begun(self, day: dt.date, minute: int, is_worked: Callable[[dt.date], bool]) -> tuple[str, ...]:
        """The people of a shift that began on `day`, where one is still going on at its `minute`."""
        if not any(each.holds(minute) for each in self.shifts) or not self._is_on(day, is_worked):
            return ()
        return self.groups[0 if self.rotation is None else self.rotation.turn(day, len(self.groups))]

    def _is_on(self, day: dt.date, is_worked: Callable[[dt.date], bool]) -> bool:
        if (self.first is not None and day < self.first) or (self.last is not None and day > self.last):
            return False
        if day in self.dates or WEEK[day.weekday()] in self.days:
            return True
        # Asked last: it makes the calendar look up the day.
        kind = self.days & {Day.WORKDAY, Day.DAY_OFF}
        return bool(kind) and (Day.WORKDAY if is_worked(day) else Day.DAY_OFF) in kind
