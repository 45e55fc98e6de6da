"""Local time as intervals of real time: what clocks of a zone show, and when.

A local time that the clocks skip lasts no time at all, one that they show twice lasts twice; so a working period on the
day of a clock change is exactly the instants at which a clock on the wall stands within it.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from telemetry.clock import SECOND_NS

__all__ = ["DAY_NS", "MINUTE_NS", "ClockError", "Stretch", "check_zone", "local_date", "shown", "stretches"]

MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS

LAST_YEAR = 2200
"""Instants are those of 1970 to the end of this year: later ones are a mistake of whoever wrote them."""

_DAY_S = 86_400
_EPOCH = dt.date(1970, 1, 1).toordinal()
_END_NS = (dt.date(LAST_YEAR + 1, 1, 1).toordinal() - _EPOCH) * DAY_NS


class ClockError(ValueError):
    """A time that no clock can tell: out of range, or a limit that never ends."""


class Stretch(NamedTuple):
    """A stretch of time within which the zone's offset from UTC stays the same; nanoseconds UTC, the end not in it."""

    start_ns: int
    end_ns: int
    offset_ns: int


def check_zone(name: str) -> ZoneInfo:
    """The zone of that name; ValueError where the IANA time zone database has none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"zone {name!r}: want a name of the IANA time zone database, such as Asia/Shanghai") from error


def local_date(instant_ns: int, zone: ZoneInfo) -> dt.date:
    """The date that a calendar in the zone shows at the instant; ClockError before 1970 and after 2200."""
    if not 0 <= instant_ns < _END_NS:
        raise ClockError(f"instant {instant_ns} ns: want one of the years 1970 to {LAST_YEAR}")
    return dt.datetime.fromtimestamp(instant_ns // SECOND_NS, zone).date()


def stretches(year: int, zone: ZoneInfo) -> list[Stretch]:
    """The stretches of equal offset that together hold every local date of the year, in order."""
    # Two days more at each end: no zone is further than 26 hours from another.
    first = (dt.date(year, 1, 1).toordinal() - _EPOCH - 2) * _DAY_S
    last = (dt.date(year, 12, 31).toordinal() - _EPOCH + 3) * _DAY_S
    found: list[Stretch] = []
    start, offset = first, _offset_s(first, zone)
    for probe in range(first + _DAY_S, last + 1, _DAY_S):
        new = _offset_s(probe, zone)
        if new != offset:
            change = _change_s(probe - _DAY_S, probe, offset, zone)
            found.append(Stretch(start * SECOND_NS, change * SECOND_NS, offset * SECOND_NS))
            start, offset = change, new
    return [*found, Stretch(start * SECOND_NS, last * SECOND_NS, offset * SECOND_NS)]


def shown(day: dt.date, from_min: int, until_min: int, pieces: Sequence[Stretch]) -> Iterator[tuple[int, int]]:
    """The intervals, UTC, at which clocks show that day and a time in `from_min <= minutes of the day < until_min`."""
    midnight_ns = (day.toordinal() - _EPOCH) * DAY_NS
    for piece in pieces:
        start_ns = max(piece.start_ns, midnight_ns + from_min * MINUTE_NS - piece.offset_ns)
        end_ns = min(piece.end_ns, midnight_ns + until_min * MINUTE_NS - piece.offset_ns)
        if start_ns < end_ns:
            yield start_ns, end_ns


def _offset_s(instant_s: int, zone: ZoneInfo) -> int:
    offset = dt.datetime.fromtimestamp(instant_s, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _change_s(low: int, high: int, before: int, zone: ZoneInfo) -> int:
    """The first second after `low` at which the offset is no longer `before`; at `high` it is not."""
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_s(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high
