"""How often each alarm came, and which ones chatter."""

import heapq
from typing import Final

import msgspec

from cloud.health.definitions import CHATTER
from telemetry.clock import SECOND_NS

__all__ = ["Count", "Tally"]

_MOST: Final = 200_000
_TIMES, _WITHIN_S = CHATTER


class Count(msgspec.Struct):
    """One alarm: how often it was annunciated, and how often that was the third time or a later one within a minute."""

    raised: int = 0
    bursts: int = 0
    last_ns: tuple[int, ...] = ()


class Tally:
    """By alarm, `device/rule`. Of more than `most` alarms the rarest are forgotten, and `exact` is false from then on."""

    def __init__(self, most: int = _MOST) -> None:
        self.exact = True
        self._most = most
        self._counts: dict[str, Count] = {}

    def add(self, alarm: str, at_ns: int) -> None:
        count = self._counts.get(alarm)
        if count is None:
            if len(self._counts) >= self._most:
                self._forget()
            count = self._counts[alarm] = Count()
        count.raised += 1
        last = (*count.last_ns, at_ns)[-_TIMES:]
        count.last_ns = last
        if len(last) == _TIMES and at_ns - last[0] <= _WITHIN_S * SECOND_NS:
            count.bursts += 1

    def top(self, most: int) -> list[tuple[str, int]]:
        """(alarm, times), the most frequent first."""
        best = heapq.nsmallest(most, self._counts.items(), key=lambda held: (-held[1].raised, held[0]))
        return [(alarm, count.raised) for alarm, count in best]

    def chattering(self) -> list[tuple[str, int]]:
        """(alarm, how often it was the third or a later raise within a minute), the worst first."""
        found = [(alarm, count.bursts) for alarm, count in self._counts.items() if count.bursts]
        return sorted(found, key=lambda held: (-held[1], held[0]))

    def _forget(self) -> None:
        """Half of them, the rarest that never chattered first."""
        self.exact = False
        ranked = sorted(self._counts.items(), key=lambda held: (held[1].bursts, held[1].raised))
        for alarm, _ in ranked[: max(1, self._most // 2)]:
            del self._counts[alarm]
