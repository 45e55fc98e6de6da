"""Periods of civil time: a month, a week, or any dates, in the zone of the working calendar."""

import datetime as dt
import re
from zoneinfo import ZoneInfo

import msgspec

from telemetry.clock import SECOND_NS

__all__ = ["Period", "Span", "days", "month", "week"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST, _LAST = 1970, 2100


class Span(msgspec.Struct, frozen=True):
    """Nanoseconds UTC, the end not in it; it may be empty."""

    from_ns: int
    until_ns: int

    def holds(self, at_ns: int | None) -> bool:
        """Whether the instant lies in it; what has none does not."""
        return at_ns is not None and self.from_ns <= at_ns < self.until_ns


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A period with its name, as it stands in titles and file names. ValueError where it ends before it begins."""

    name: str
    from_ns: int
    until_ns: int
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if self.from_ns >= self.until_ns:
            raise ValueError(f"period {self.name}: want its end after its beginning")

    def known(self, made_ns: int) -> Span:
        """The part of it that had passed when the report was made."""
        return Span(self.from_ns, max(self.from_ns, min(self.until_ns, made_ns)))


def month(name: str, zone: ZoneInfo) -> Period:
    """The calendar month named YYYY-MM; ValueError where it is none."""
    first = _first(name, r"\d{4}-\d{2}", "-01")
    if first is None:
        raise ValueError(f"month {name!r}: want YYYY-MM, such as 2026-10")
    return days(name, first, (first + dt.timedelta(days=31)).replace(day=1), zone)


def week(name: str, zone: ZoneInfo) -> Period:
    """The week named YYYY-Www, Monday to Sunday (ISO 8601); ValueError where it is none."""
    first = _first(name, r"\d{4}-W\d{2}", "-1")
    if first is None:
        raise ValueError(f"week {name!r}: want YYYY-Www, such as 2026-W43")
    return days(name, first, first + dt.timedelta(days=7), zone)


def days(name: str, first: dt.date, after: dt.date, zone: ZoneInfo) -> Period:
    """From the beginning of one date to the beginning of another; ValueError where there is no day between them."""
    for day in (first, after):
        if not _FIRST <= day.year <= _LAST:
            raise ValueError(f"date {day}: want a year from {_FIRST} to {_LAST}")
    return Period(name=name, from_ns=_midnight_ns(first, zone), until_ns=_midnight_ns(after, zone), zone=zone)


def _first(name: str, shape: str, day: str) -> dt.date | None:
    """The first date of what is named so, None where nothing is."""
    try:
        return dt.date.fromisoformat(name + day) if re.fullmatch(shape, name, re.ASCII) else None
    except ValueError:
        return None


def _midnight_ns(day: dt.date, zone: ZoneInfo) -> int:
    """The first instant of the date; where clocks skip midnight, that of the change."""
    since = dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC) - _EPOCH
    return round(since.total_seconds()) * SECOND_NS
