"""How many alarms come at once: intervals of ten minutes, and floods. Times must not go back; memory does not grow with them."""

from collections import deque
from typing import Final

import msgspec

from cloud.health.definitions import FLOOD
from telemetry.clock import SECOND_NS

__all__ = ["INTERVAL_NS", "Flood", "Rates"]

INTERVAL_NS: Final = 600 * SECOND_NS
_WINDOW_S: Final = 600
_BEGINS, _ENDS = FLOOD
_MANY: Final = 10
_TARGET: Final = 1


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """From the alarm that made it one, until the last 10 minutes held few again; `end_ns` None where it goes on at the end.

    `alarms` are all in it, those that made it one included; `peak` is the most in any 10 minutes.
    """

    start_ns: int
    end_ns: int | None
    alarms: int
    peak: int


class Rates:
    """Counts alarms from `start_ns`, a whole number of intervals, on."""

    def __init__(self, start_ns: int) -> None:
        self.floods: list[Flood] = []
        self.peak = 0
        self.above_target = 0
        """Intervals with more alarms than the target for the mean."""
        self.above_many = 0
        """Intervals with more than ten."""
        self._interval = start_ns // INTERVAL_NS
        self._here = 0
        # What came in each second of the last ten minutes: as small in a storm as in a lull.
        self._seconds: deque[list[int]] = deque()
        self._recent = 0
        self._flood: Flood | None = None

    def add(self, at_ns: int) -> None:
        """One alarm."""
        interval = at_ns // INTERVAL_NS
        if interval != self._interval:
            self._close_interval()
            self._interval = interval
        self._here += 1
        second = at_ns // SECOND_NS
        self._pass_to(second)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
        else:
            self._seconds.append([second, 1])
        self._recent += 1
        if self._flood is not None:
            self._flood = msgspec.structs.replace(
                self._flood, alarms=self._flood.alarms + 1, peak=max(self._flood.peak, self._recent)
            )
        elif self._recent >= _BEGINS:
            self._flood = Flood(start_ns=at_ns, end_ns=None, alarms=self._recent, peak=self._recent)

    def finish(self, end_ns: int) -> None:
        """Nothing more comes before `end_ns`."""
        self._close_interval()
        self._pass_to(end_ns // SECOND_NS)
        if self._flood is not None:
            self.floods.append(self._flood)
            self._flood = None

    def _close_interval(self) -> None:
        self.peak = max(self.peak, self._here)
        self.above_target += self._here > _TARGET
        self.above_many += self._here > _MANY
        self._here = 0

    def _pass_to(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - _WINDOW_S:
            gone, count = self._seconds.popleft()
            self._recent -= count
            if self._flood is not None and self._recent < _ENDS:
                self.floods.append(msgspec.structs.replace(self._flood, end_ns=(gone + _WINDOW_S) * SECOND_NS))
                self._flood = None
