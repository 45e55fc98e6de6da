"""The cloud's words on their way to the disk."""

import asyncio
from collections.abc import Sequence

from telemetry.records import Lane
from telemetry.wire import Ack

__all__ = ["AckQueue"]

_MOST = 1000


class AckQueue:
    """Holds acknowledgements while the disk is busy; one too many is dropped, for a later one says it again."""

    def __init__(self) -> None:
        self._waiting: list[Ack] = []
        self._some = asyncio.Event()

    def put(self, ack: Ack) -> None:
        if len(self._waiting) < _MOST:
            self._waiting.append(ack)
            self._some.set()

    async def take(self, patience_s: float | None) -> list[Ack]:
        """Everything that waits, in as few words as say the same; nothing where none comes within `patience_s`."""
        try:
            async with asyncio.timeout(patience_s):
                await self._some.wait()
        except TimeoutError:
            return []
        self._some.clear()
        waiting, self._waiting = self._waiting, []
        return _condensed(waiting)


def _condensed(acks: Sequence[Ack]) -> list[Ack]:
    """Each word costs a commit: of those that follow one another in a lane, the furthest is enough."""
    kept: dict[Lane, list[Ack]] = {}
    for ack in acks:
        lane = kept.setdefault(ack.lane, [])
        if lane and _says_all_of(ack, lane[-1]):
            lane[-1] = ack
        else:
            lane.append(ack)
    return [ack for lane in kept.values() for ack in lane]


def _says_all_of(later: Ack, earlier: Ack) -> bool:
    if earlier.refused or earlier.answers or earlier.fenced or not set(earlier.quarantined) <= set(later.quarantined):
        return False
    return later.cumulative >= earlier.cumulative and (not earlier.ranges or later.server_ns > earlier.server_ns)
