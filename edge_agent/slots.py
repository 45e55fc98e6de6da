"""A bounded number of places, first come, first served; free of charge while there are some."""

import asyncio
from collections import deque

__all__ = ["Slots"]


class Slots:
    """What asyncio.Semaphore is, for roads that thousands of readings take: that one looks through its waiters at every step."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether whoever comes next has to wait."""
        return self._free == 0

    async def take(self) -> None:
        """Have a place; waits where there is none."""
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back()  # it came at the very moment
            raise

    def give_back(self) -> None:
        """Free a place: it goes to whoever has waited longest."""
        while self._waiters:
            place = self._waiters.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
