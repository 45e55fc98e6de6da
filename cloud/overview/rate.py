"""The alarm rate of the last day, beside what the same hours of the seven days before had."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

__all__ = ["BAND_DAYS", "HOURS", "Hour", "with_band"]

HOURS: Final = 24
BAND_DAYS: Final = 7
_DAY: Final = 24


class Hour(msgspec.Struct, frozen=True):
    """Alarms raised in the hour that begins `number` hours after the Unix epoch; the last one is not over.

    `low`, `high` and `mean` are those of the same hour of the `days` days before; None where no such day is known of.
    """

    number: int
    count: int
    low: int | None
    high: int | None
    mean: float | None
    days: int


def with_band(counts: Mapping[int, int], now: int, first: int | None) -> Sequence[Hour]:
    """The last 24 hours up to the hour `now`. `first` is the hour of the first alarm ever: before it nothing was counted."""
    return [_hour(counts, number, first) for number in range(now - HOURS + 1, now + 1)]


def _hour(counts: Mapping[int, int], number: int, first: int | None) -> Hour:
    before = [number - day * _DAY for day in range(1, BAND_DAYS + 1)]
    known = [counts.get(hour, 0) for hour in before if first is not None and hour >= first]
    if not known:
        return Hour(number, counts.get(number, 0), None, None, None, 0)
    return Hour(number, counts.get(number, 0), min(known), max(known), sum(known) / len(known), len(known))
