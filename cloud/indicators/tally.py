"""The numbers of a period: one pass over the histories of cases, counters for each group and nothing else in memory."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Final

import msgspec

from cloud.indicators.counting import Amount, counted
from cloud.indicators.history import History
from cloud.indicators.period import Period, Span
from cloud.indicators.sentences import SPOT_CASES, SPOT_PER_DEGREE
from cloud.indicators.table import INDICATORS, Indicator
from cloud.indicators.words import LEVELS, By, Charge, Count

__all__ = ["Line", "Report", "Tally", "tally"]

_SPOT_LEVELS: Final = LEVELS[Charge.CITY]
"""Where hot spots are looked for; cells are as many as the city's area holds, however many cases there are."""

_USED: Final[Mapping[By, frozenset[Count]]] = {
    by: frozenset(
        count for row in INDICATORS if row.is_shown(by) for count in (row.numerator, row.denominator) if count is not None
    )
    for by in By
}
"""What is counted for the groups of a level: a department has no line for what only others answer for."""


class Line(msgspec.Struct, frozen=True):
    """One number of one group. `value` is exact: a share, nanoseconds, or a count; None where there is no data."""

    group: str
    indicator: Indicator
    numerator: int
    denominator: int | None
    value: Fraction | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All counts of a period as they were known at `made_ns`: of the city, and of each group by its name."""

    period: Period
    by: By
    made_ns: int
    city: Mapping[Count, int]
    groups: Mapping[str, Mapping[Count, int]]

    def of_city(self) -> Iterator[Line]:
        """Every indicator, of the whole city; the group's name is ""."""
        return (_line("", indicator, self.city) for indicator in INDICATORS)

    def of_groups(self) -> Iterator[Line]:
        """Every indicator that somebody answers for at this level, group by group; of persons, those with data."""
        for indicator in INDICATORS:
            if self.by is By.CITY or not indicator.is_shown(self.by):
                continue
            lines = (_line(group, indicator, counts) for group, counts in self.groups.items())
            yield from (line for line in lines if self.by is not By.PERSON or line.numerator or line.denominator)


class Tally:
    """Counts histories as they come, in any order."""

    def __init__(self, span: Span, by: By = By.CITY) -> None:
        self._span = span
        self._by = by
        self._city: Counter[Count] = Counter()
        self._groups: defaultdict[str, Counter[Count]] = defaultdict(Counter)
        self._cells: defaultdict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        self._city_cells: Counter[tuple[int, int]] = Counter()

    def add(self, history: History) -> None:
        """One case more."""
        for amount in counted(history, self._span):
            self._city[amount.count] += amount.amount
            group = self._group(history, amount)
            if group is not None:
                self._groups[group][amount.count] += amount.amount
            if amount.count is Count.PLACED:
                cell = _cell(history)
                self._city_cells[cell] += 1
                if group is not None and self._by in _SPOT_LEVELS:
                    self._cells[group][cell] += 1

    def report(self, period: Period, made_ns: int) -> Report:
        """The numbers so far; groups in the order of their names."""
        groups = {name: {**counts, Count.HOT: _hot(self._cells.get(name, {}))} for name, counts in sorted(self._groups.items())}
        city = {**self._city, Count.HOT: _hot(self._city_cells)}
        return Report(period=period, by=self._by, made_ns=made_ns, city=city, groups=groups)

    def _group(self, history: History, amount: Amount) -> str | None:
        if amount.count not in _USED[self._by]:
            return None
        match self._by:
            case By.CITY:
                return None
            case By.DISTRICT:
                return history.district
            case By.DEPARTMENT:
                return amount.department
            case By.PERSON:
                return amount.person


def tally(histories: Iterable[History], period: Period, by: By, made_ns: int) -> Report:
    """The numbers of a period out of all histories that touch it; others change nothing."""
    counts = Tally(period.known(made_ns), by)
    for history in histories:
        counts.add(history)
    return counts.report(period, made_ns)


def _cell(history: History) -> tuple[int, int]:
    return math.floor((history.longitude or 0) * SPOT_PER_DEGREE), math.floor((history.latitude or 0) * SPOT_PER_DEGREE)


def _hot(cells: Mapping[tuple[int, int], int]) -> int:
    return sum(cases for cases in cells.values() if cases >= SPOT_CASES)


def _line(group: str, indicator: Indicator, counts: Mapping[Count, int]) -> Line:
    numerator = counts.get(indicator.numerator, 0)
    if indicator.denominator is None:
        return Line(group, indicator, numerator, None, Fraction(numerator))
    denominator = counts.get(indicator.denominator, 0)
    return Line(group, indicator, numerator, denominator, Fraction(numerator, denominator) if denominator else None)
