"""A row of points with their numbers, in order of time, forward or back, a handful at a time."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from cloud.sensorthings.ask import Budget
from cloud.sensorthings.ids import END_NS, FIRST_NS, pack, places, unpack, window_of
from telemetry.clock import SECOND_NS

__all__ = ["Fetch", "Timed", "Walk", "find", "number_of"]

_MOST_IN_WINDOW: Final = 2_000
_FIRST_LENGTH_NS: Final = 3600 * SECOND_NS
_LONGER: Final = 8


class Timed(Protocol):
    """Anything with a time."""

    @property
    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""


_P = TypeVar("_P", bound=Timed)
_Read_co = TypeVar("_Read_co", bound=Timed, covariant=True)


class Fetch(Protocol[_Read_co]):
    """Reads points of [start, end), the newest first where `back`; fewer than `limit` only where there are no more."""

    def __call__(self, start_ns: int, end_ns: int, limit: int, *, back: bool) -> Awaitable[Sequence[_Read_co]]:
        """The points."""


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """What of one owner is wanted: times in [start, end), behind the number `after`, back where there is a `newest_ns`.

    `newest_ns` is about where its newest are: the first look goes from an hour before it to the end of the interval.
    """

    owner: int
    start_ns: int
    end_ns: int
    size: int = 256
    after: int | None = None
    newest_ns: int | None = None

    async def parts(self, fetch: Fetch[_P], budget: Budget) -> AsyncIterator[list[tuple[int, _P]]]:
        """(number, point) in order of time. Nothing of what is outside of the numbers' own times."""
        way = self._forward(fetch, budget) if self.newest_ns is None else self._back(fetch, budget, self.newest_ns)
        async for points in way:
            found = [each for each in _numbered(self.owner, points) if self.start_ns <= each[1].time_ns < self.end_ns]
            if self.newest_ns is not None:
                found.reverse()
            yield self._behind(found)

    def _span(self) -> tuple[int, int]:
        """The whole windows around what is wanted: a number depends on what else is in its window."""
        start, end = max(self.start_ns, FIRST_NS), min(self.end_ns, END_NS)
        known = None if self.after is None else unpack(self.after)
        if known is not None and self.newest_ns is None:
            start = max(start, known[1])
        elif known is not None:
            end = min(end, window_of(known[1])[1])
        return (window_of(start)[0], window_of(end - 1)[1]) if start < end else (FIRST_NS, FIRST_NS)

    async def _forward(self, fetch: Fetch[_P], budget: Budget) -> AsyncIterator[Sequence[_P]]:
        left: tuple[int, int] | None = self._span()
        while left is not None and left[0] < left[1]:
            points, left = await self._some(fetch, left, budget)
            yield points

    async def _back(self, fetch: Fetch[_P], budget: Budget, newest_ns: int) -> AsyncIterator[Sequence[_P]]:
        """In stretches that grow: most that is asked for is near the end, and the past may be long."""
        start, end = self._span()
        length = _FIRST_LENGTH_NS
        low = window_of(max(start, min(newest_ns, end - 1) - length))[0]
        while start < end:
            points, left = await self._some(fetch, (low, end), budget)
            yield points
            end = low if left is None else left[1]
            if end <= low:
                length *= _LONGER
                low = window_of(max(start, end - length))[0]

    async def _some(self, fetch: Fetch[_P], part: tuple[int, int], budget: Budget) -> tuple[Sequence[_P], tuple[int, int] | None]:
        """The points of whole windows from one end of `part`, and what of it is left."""
        back = self.newest_ns is not None
        points = await fetch(*part, self.size, back=back)
        budget.take(len(points) + 1)
        if len(points) < self.size:
            return points, None
        first, last = window_of(points[-1].time_ns)
        whole = [point for point in points if not first <= point.time_ns < last]
        if whole:
            return whole, (part[0], last) if back else (first, part[1])
        points = await fetch(first, last, _MOST_IN_WINDOW, back=back)
        budget.take(len(points))
        return points, (part[0], first) if back else (last, part[1])

    def _behind(self, found: list[tuple[int, _P]]) -> list[tuple[int, _P]]:
        """Without what was given out before: in the window of `after`, everything up to it."""
        if self.after is None or not found or not any(number >> 6 == self.after >> 6 for number, _ in found):
            return found
        numbers = [number for number, _ in found]
        if self.after in numbers:
            return found[numbers.index(self.after) + 1 :]
        # It is gone meanwhile; its neighbours of a quarter of a second are passed over with it.
        return [each for each in found if each[0] >> 6 != self.after >> 6]


def _numbered(owner: int, points: Sequence[_P]) -> list[tuple[int, _P]]:
    """With their numbers, in rising order of time."""
    found: list[tuple[int, _P]] = []
    ordered = sorted(points, key=lambda point: point.time_ns)
    for _, group in itertools.groupby(ordered, key=lambda point: window_of(point.time_ns)[0]):
        by_time = {point.time_ns: point for point in group}
        places_of = places(by_time)
        found += [(pack(owner, time_ns, places_of[time_ns]), point) for time_ns, point in by_time.items() if time_ns in places_of]
    return found


async def find(number: int, fetch: Fetch[_P]) -> _P | None:
    """The point that has this number."""
    known = unpack(number)
    if known is None:
        return None
    points = await fetch(*window_of(known[1]), _MOST_IN_WINDOW, back=False)
    return next((point for held, point in _numbered(known[0], points) if held == number), None)


async def number_of(owner: int, time_ns: int, fetch: Fetch[Any]) -> int | None:
    """The number of the point at this time; None where there is none, or it has no number."""
    points = await fetch(*window_of(time_ns), _MOST_IN_WINDOW, back=False)
    return next((number for number, point in _numbered(owner, points) if point.time_ns == time_ns), None)
