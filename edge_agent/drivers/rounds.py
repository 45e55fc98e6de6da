"""Whom to ask next on a shared line: one unit at a time, phases staggered, a dead unit asked ever less often."""

import heapq
import math
from collections.abc import Sequence

__all__ = ["Rounds"]

_PATIENCE = 3
"""Failures in a row after which a unit is asked less often."""
_COST_TIMES = 4.0
"""A unit that does not answer is left alone for at least this many times what asking it in vain took."""
_FIRST_S = 1.0
"""The widest spacing of the first round."""
_LONGEST_S = 300.0
"""The longest pause of a unit that never answers; a crew that repaired it should not wait longer than this."""


class Rounds:
    """When each of `len(periods_s)` units is due, in seconds of a monotonic clock."""

    def __init__(self, periods_s: Sequence[float], now_s: float) -> None:
        self._periods_s = periods_s
        self._failures = [0] * len(periods_s)
        # Equal periods spread evenly over the line; where there is room for more than that, one unit a second, so
        # that after a start nobody waits long for a first reading.
        self._queue = [(now_s + i * min(period / len(periods_s), _FIRST_S), i) for i, period in enumerate(periods_s)]
        heapq.heapify(self._queue)

    def first(self) -> tuple[float, int]:
        """(when it is due, index) of the unit to ask next."""
        return self._queue[0]

    def failing(self, unit: int) -> bool:
        """Whether the last round of `unit` brought nothing."""
        return self._failures[unit] > 0

    def done(self, began_s: float, now_s: float, *, answered: bool) -> None:
        """The first unit's round, begun at `began_s`, is over: put it back into the queue."""
        due_s, unit = self._queue[0]
        self._failures[unit] = 0 if answered else self._failures[unit] + 1
        following_s = self._in_rhythm(due_s, unit, now_s)
        if self._failures[unit] >= _PATIENCE:
            following_s = now_s + self._pause_s(unit, now_s - began_s)
        heapq.heapreplace(self._queue, (following_s, unit))

    def _in_rhythm(self, due_s: float, unit: int, now_s: float) -> float:
        # Rounds that the line had no time for are left out, the phase is kept.
        period_s = self._periods_s[unit]
        return due_s + period_s * max(1, math.ceil((now_s - due_s) / period_s))

    def _pause_s(self, unit: int, cost_s: float) -> float:
        """Doubling with each failure, from twice the period or what keeps the unit's silence to a small part of the line."""
        period_s = self._periods_s[unit]
        # The exponent is held where every pause has long reached its limit, so that it cannot overflow.
        doublings = min(self._failures[unit] - _PATIENCE + 1, 20)
        return max(period_s, min(max(period_s, _COST_TIMES * cost_s) * 2.0**doublings, _LONGEST_S))
