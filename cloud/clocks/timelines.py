"""Timelines: how much of a kind of time lies between two instants, and when a given amount of it has passed.

A timeline over a calendar keeps one table a year, made when first asked for. Within a year both questions are one binary
search; each further year costs one addition.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from cloud.clocks.civil import DAY_NS, ClockError, local_date

__all__ = ["HORIZON_YEARS", "Continuous", "Periods", "Ticks", "Timeline", "Yearly"]

HORIZON_YEARS: Final = 20
"""How far ahead a limit is looked for: a hold lasts a year at most, the longest limits are months."""


class Timeline(Protocol):
    """One kind of time. Amounts are nanoseconds of it; where only whole days count, a day is DAY_NS."""

    def between(self, start_ns: int, end_ns: int) -> int:
        """How much of it passes after `start_ns`, up to and with `end_ns`; 0 where the end is not later."""
        ...

    def after(self, start_ns: int, amount_ns: int) -> int:
        """The first instant, not before `start_ns`, with `between(start_ns, it) >= amount_ns`; ClockError where none comes."""
        ...


class Continuous:
    """All time counts, nights and holidays too."""

    def between(self, start_ns: int, end_ns: int) -> int:
        return max(0, end_ns - start_ns)

    def after(self, start_ns: int, amount_ns: int) -> int:
        return start_ns + max(0, amount_ns)


class YearTable(Protocol):
    """The time of one local year that counts."""

    @property
    def total_ns(self) -> int:
        """How much the whole year has."""
        ...

    def upto(self, instant_ns: int) -> int:
        """How much has passed at the instant."""
        ...

    def at(self, amount_ns: int) -> int:
        """The first instant at which so much has passed, 0 < amount <= total."""
        ...


class Periods:
    """A year table of intervals that count: (start, end) in order, without overlap, UTC."""

    def __init__(self, intervals: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in intervals]
        self._ends = [end for _, end in intervals]
        self._passed = list(itertools.accumulate((end - start for start, end in intervals), initial=0))
        self.total_ns = self._passed[-1]

    def upto(self, instant_ns: int) -> int:
        index = bisect.bisect_right(self._starts, instant_ns) - 1
        if index < 0:
            return 0
        return self._passed[index] + min(instant_ns, self._ends[index]) - self._starts[index]

    def at(self, amount_ns: int) -> int:
        index = bisect.bisect_left(self._passed, amount_ns) - 1
        return self._starts[index] + amount_ns - self._passed[index]


class Ticks:
    """A year table of instants, each worth DAY_NS: time that passes a whole day at once."""

    def __init__(self, instants: Sequence[int]) -> None:
        self._instants = instants
        self.total_ns = len(instants) * DAY_NS

    def upto(self, instant_ns: int) -> int:
        return bisect.bisect_right(self._instants, instant_ns) * DAY_NS

    def at(self, amount_ns: int) -> int:
        return self._instants[-(-amount_ns // DAY_NS) - 1]


class Yearly:
    """A timeline of year tables; `table_of` makes the table of a local year."""

    def __init__(self, zone: ZoneInfo, table_of: Callable[[int], YearTable]) -> None:
        self._zone = zone
        self._table_of = table_of
        self._tables: dict[int, YearTable] = {}

    def between(self, start_ns: int, end_ns: int) -> int:
        if end_ns <= start_ns:
            return 0
        first, last = self._year(start_ns), self._year(end_ns)
        whole = sum(self._table(year).total_ns for year in range(first, last))
        return whole + self._table(last).upto(end_ns) - self._table(first).upto(start_ns)

    def after(self, start_ns: int, amount_ns: int) -> int:
        if amount_ns <= 0:
            return start_ns
        first = self._year(start_ns)
        wanted = amount_ns + self._table(first).upto(start_ns)
        for year in range(first, first + HORIZON_YEARS + 1):
            table = self._table(year)
            if wanted <= table.total_ns:
                return table.at(wanted)
            wanted -= table.total_ns
        raise ClockError(
            f"limit of {amount_ns} ns: does not end within {HORIZON_YEARS} years; want a shorter one, or hours of work"
        )

    def _year(self, instant_ns: int) -> int:
        return local_date(instant_ns, self._zone).year

    def _table(self, year: int) -> YearTable:
        table = self._tables.get(year)
        if table is None:
            table = self._tables[year] = self._table_of(year)
        return table
