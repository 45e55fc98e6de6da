"""A working calendar: when people of a city work, which days are off, and which weekend days are worked instead (调休)."""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from cloud.clocks.civil import check_zone, local_date, shown, stretches
from cloud.clocks.published import published_days, published_years
from cloud.clocks.rules import DEFAULT_HOURS, CalendarRules, Hours, SpecialDay, WorkingDay
from cloud.clocks.timelines import Periods, Ticks, Yearly

__all__ = ["Unpublished", "WorkCalendar", "chinese_rules"]


class Unpublished(NamedTuple):
    """A year whose holidays nobody has published yet: counted by its weeks alone, and said so."""

    year: int

    @property
    def zh(self) -> str:
        return f"{self.year}年节假日安排尚未公布：仅按周末计算"

    @property
    def en(self) -> str:
        return f"the calendar of {self.year} is not published yet: weekends only"


class WorkCalendar:
    """Rules made ready to count with. The same rules always give the same answers; tables of years are kept as they are made."""

    def __init__(self, rules: CalendarRules) -> None:
        self.rules = rules
        self.version = rules.version()
        self.zone = check_zone(rules.zone)
        self.working_time = Yearly(self.zone, self._working_time)
        """Time within working periods."""
        self.working_days = Yearly(self.zone, self._working_day_ends)
        """Working days, each as a whole when it ends: at the close of work, or at midnight where the rules say so."""
        self.days = Yearly(self.zone, self._day_ends)
        """Calendar days, each as a whole when it ends at midnight."""
        self._special = {special.day: special for special in rules.special}

    def hours(self, day: dt.date) -> Hours:
        """The working periods of a date; none on a day off."""
        special = self._special.get(day)
        return self.rules.week[day.weekday()] if special is None else special.hours

    def special(self, day: dt.date) -> SpecialDay | None:
        """What is special about a date: its holiday, or the holiday that it is swapped for. None on a common day."""
        return self._special.get(day)

    def is_published(self, year: int) -> bool:
        """Whether the holidays of the year are known."""
        return self.rules.published is None or year in self.rules.published

    def unpublished(self, start_ns: int, end_ns: int) -> tuple[Unpublished, ...]:
        """The years from one instant to the other that are counted by weekends alone."""
        years = range(local_date(start_ns, self.zone).year, local_date(end_ns, self.zone).year + 1)
        return tuple(Unpublished(year) for year in years if not self.is_published(year))

    def _working_time(self, year: int) -> Periods:
        pieces = stretches(year, self.zone)
        # In order of real time: where clocks go back, a period's second showing follows the first of the next one.
        return Periods(
            sorted(
                interval
                for day in _dates(year)
                for period in self.hours(day)
                for interval in shown(day, period.start_min, period.end_min, pieces)
            )
        )

    def _working_day_ends(self, year: int) -> Ticks:
        pieces = stretches(year, self.zone)
        at_close = self.rules.working_day is WorkingDay.CLOSE
        ends = []
        for day in _dates(year):
            worked = [end for period in self.hours(day) for _, end in shown(day, period.start_min, period.end_min, pieces)]
            if worked:
                ends.append(max(worked) if at_close else max(end for _, end in shown(day, 0, 1440, pieces)))
        return Ticks(ends)

    def _day_ends(self, year: int) -> Ticks:
        pieces = stretches(year, self.zone)
        # A date that the zone skipped (it crossed the date line) has no intervals, and no end.
        showings = ([end for _, end in shown(day, 0, 1440, pieces)] for day in _dates(year))
        return Ticks([max(ends) for ends in showings if ends])


def chinese_rules(swapped: Hours = DEFAULT_HOURS, own: Iterable[SpecialDay] = ()) -> CalendarRules:
    """The rules of mainland China: the default week, the published holidays, swapped workdays with `swapped` hours.

    The days of `own` replace what is published for their dates.
    """
    return CalendarRules(special=merged(swapped, own), published=published_years())


def merged(swapped: Hours, own: Iterable[SpecialDay]) -> tuple[SpecialDay, ...]:
    """The published days, with `swapped` hours on those that are worked, under a city's `own` days; by date."""
    days = {
        known.day: SpecialDay(known.day, swapped if known.work else (), known.name_zh, known.name_en)
        for known in published_days()
    }
    days.update((special.day, special) for special in own)
    return tuple(days[day] for day in sorted(days))


def _dates(year: int) -> Iterable[dt.date]:
    first = dt.date(year, 1, 1)
    return (first + dt.timedelta(days=n) for n in range((dt.date(year + 1, 1, 1) - first).days))
