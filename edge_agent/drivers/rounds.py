"""Whom to ask next on a shared line: one unit at a time, phases staggered, a dead unit asked ever less often."""

import heapq
import math
from collections.abc import Sequence

__all__ = ["Rounds"]

_PATIENCE = 3
"""Failures in a row after which a unit is asked less often."""
_COST_TIMES = 20.0
"""A unit that does not answer is left alone for at least this many times what asking it in vain took, so that it costs its
line less than a twentieth of the time; several of them share that twentieth, as far as the longest pause lets them."""
_RETRY_TIMES = 4.0
"""Before that, for this many times."""
_FIRST_S = 1.0
"""The widest spacing of the first round."""
_LONGEST_S = 300.0
"""The longest pause of a unit that never answers; a crew that repaired it should not wait longer than this."""

_Due = tuple[float, int]
_Ready = tuple[float, float, int]


class Rounds:
    """When each of `len(periods_s)` units is due, in seconds of a monotonic clock.

    Of several units that are due the one whose next round comes first is asked first: short periods go before long ones,
    and none waits for ever.
    """

    def __init__(self, periods_s: Sequence[float], now_s: float, phase: float = 1.0) -> None:
        """After their first round, at once, all units wait for this part of their period, so that many lines with a phase
        of their own each do not all speak in the same instant."""
        self._periods_s = periods_s
        self._phase = phase
        self._begun = [False] * len(periods_s)
        self._failures = [0] * len(periods_s)
        self._dead: dict[int, float] = {}
        """The units that are asked less often, and what asking each in vain took last."""
        # Equal periods spread evenly over the line; where there is room for more than that, one unit a second, so
        # that after a start nobody waits long for a first reading.
        self._waiting: list[_Due] = [
            (now_s + i * min(period / len(periods_s), _FIRST_S), i) for i, period in enumerate(periods_s)
        ]
        heapq.heapify(self._waiting)
        self._ready: list[_Ready] = []
        """What is due, by when its next round would come."""

    def first(self, now_s: float = -math.inf) -> tuple[float, int]:
        """(when it is due, index) of the unit to ask next; `now_s` says which of them are due already."""
        while self._waiting and self._waiting[0][0] <= now_s:
            due_s, unit = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (due_s + self._periods_s[unit], due_s, unit))
        if self._ready:
            return self._ready[0][1:]
        return self._waiting[0]

    def failing(self, unit: int) -> bool:
        """Whether the last round of `unit` brought nothing."""
        return self._failures[unit] > 0

    def done(self, began_s: float, now_s: float, *, answered: bool) -> None:
        """The first unit's round, begun at `began_s`, is over: put it back into the queue.

        `now_s` is when the line is free again: what a unit's silence costs is counted until then.
        """
        due_s, unit = self._ready[0][1:] if self._ready else self._waiting[0]
        if self._ready:
            heapq.heappop(self._ready)
        else:
            heapq.heappop(self._waiting)
        self._failures[unit] = 0 if answered else self._failures[unit] + 1
        following_s = self._in_rhythm(due_s, unit, now_s)
        if answered:
            if self._dead.pop(unit, None) is not None:
                self._hasten(now_s)
        else:
            following_s = max(following_s, self._after_silence_s(unit, began_s, now_s))
        heapq.heappush(self._waiting, (following_s, unit))

    def _in_rhythm(self, due_s: float, unit: int, now_s: float) -> float:
        # Rounds that the line had no time for are left out, the phase is kept.
        period_s = self._periods_s[unit]
        if not self._begun[unit]:
            self._begun[unit] = True
            due_s -= period_s * (1.0 - self._phase)
        return due_s + period_s * max(1, math.ceil((now_s - due_s) / period_s))

    def _after_silence_s(self, unit: int, began_s: float, now_s: float) -> float:
        cost_s = now_s - began_s
        if self._failures[unit] < _PATIENCE:
            return now_s + _RETRY_TIMES * cost_s
        self._dead[unit] = cost_s
        period_s = self._periods_s[unit]
        # The exponent is held where every pause has long reached its limit, so that it cannot overflow.
        doublings = min(self._failures[unit] - _PATIENCE + 1, 20)
        least_s = _COST_TIMES * sum(self._dead.values()) if len(self._dead) < len(self._periods_s) else _COST_TIMES * cost_s
        return now_s + max(period_s, min(max(period_s * 2.0**doublings, least_s), _LONGEST_S))

    def _hasten(self, now_s: float) -> None:
        """One that was dead speaks again: the others on its cable may, too. Each is asked once, still at its share's cost."""
        sooner = {unit: now_s + _COST_TIMES * cost_s * place for place, (unit, cost_s) in enumerate(self._dead.items(), 1)}
        self._waiting = [(min(due_s, sooner.get(unit, due_s)), unit) for due_s, unit in self._waiting]
        heapq.heapify(self._waiting)
