"""What just happened in the cloud, for whoever watches: one bounded ring that any number of readers follow.

A reader keeps only its place, so a slow one costs nothing; when the ring has moved past it, it is told how much it
missed by an item of kind "gap" and goes on from the oldest that is left.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

__all__ = ["GAP", "KINDS", "Feed", "FeedItem"]

KINDS = frozenset({"transition", "alarm", "case", "device", "gateway", "notification", "command"})
GAP = "gap"


class FeedItem(msgspec.Struct, frozen=True):
    """One piece of news. `id` grows by one from item to item; a gap carries the id of the last item missed and
    `{"missed": how many or None where that is unknown}`."""

    id: int
    kind: str
    data: dict[str, Any]


class Feed:
    """A ring of the last `size` items. Ids start at `first_id`: give a restarted process a higher one, so that a reader
    that comes back with an id of the former process is told of a gap."""

    def __init__(self, size: int = 2000, first_id: int = 1) -> None:
        self._ring: deque[FeedItem] = deque(maxlen=size)
        self._next_id = first_id
        self._news = asyncio.Event()
        self._listeners: list[Callable[[FeedItem], None]] = []

    @property
    def last_id(self) -> int:
        """The id of the newest item, or the one before the first where nothing was published yet."""
        return self._next_id - 1

    def publish(self, kind: str, data: dict[str, Any]) -> FeedItem:
        """Tell every reader; never waits. `data` must be JSON-ready and must not be changed afterwards."""
        if kind not in KINDS:
            raise ValueError(f"feed kind {kind!r}: want one of {', '.join(sorted(KINDS))}")
        item = FeedItem(self._next_id, kind, data)
        self._next_id += 1
        self._ring.append(item)
        for listener in self._listeners:
            listener(item)
        news, self._news = self._news, asyncio.Event()
        news.set()
        return item

    def listen(self, listener: Callable[[FeedItem], None]) -> None:
        """Call `listener` with every item from now on, as it is published: it misses none however many come at once, and
        must neither wait nor fail."""
        self._listeners.append(listener)

    async def subscribe(self, after: int | None = None) -> AsyncIterator[FeedItem]:
        """Items as they come, for ever: those after the id `after`, or only new ones where it is None."""
        place = self._next_id if after is None else after + 1
        if place > self._next_id:  # an id of another life of this process, and a later one than ours
            place = self._next_id
            yield FeedItem(self.last_id, GAP, {"missed": None})
        while True:
            news = self._news
            oldest = self._ring[0].id if self._ring else self._next_id
            if place < oldest:
                yield FeedItem(oldest - 1, GAP, {"missed": oldest - place})
                place = oldest
            elif place < self._next_id:
                item = self._ring[place - oldest]
                place = item.id + 1
                yield item
            else:
                await news.wait()
