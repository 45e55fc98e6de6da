"""How many alarms were stale on each day of a report."""

from collections.abc import Sequence
from typing import Final

from cloud.health.definitions import STALE_S
from telemetry.clock import SECOND_NS

__all__ = ["StaleDays"]

_DAY_NS: Final = 86_400 * SECOND_NS


class StaleDays:
    """Days are 24 hours from `start_ns`; the last one may be shorter."""

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self._start_ns, self._end_ns = start_ns, end_ns
        self._days = [0] * max(1, -(-(end_ns - start_ns) // _DAY_NS))

    def add(self, raised_ns: int, shown_ns: int, gone_ns: int, before: int = -1) -> int:
        """An alarm active since `raised_ns` stood on the list from `shown_ns` to `gone_ns`.

        It was counted up to the day `before` already; the last day up to which it is counted now.
        """
        since_ns = max(raised_ns + STALE_S * SECOND_NS, shown_ns, self._start_ns)
        until_ns = min(gone_ns, self._end_ns)
        if since_ns >= until_ns:
            return before
        first, last = (since_ns - self._start_ns) // _DAY_NS, (until_ns - 1 - self._start_ns) // _DAY_NS
        for day in range(max(first, before + 1), last + 1):
            self._days[day] += 1
        return max(before, last)

    @property
    def by_day(self) -> Sequence[int]:
        return self._days
