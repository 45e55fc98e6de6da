"""Waiting for an instant of a clock, without drift: each wait is counted from the start, not from the last one."""

import asyncio
from typing import Protocol

from telemetry.clock import SECOND_NS, Clock

__all__ = ["Pace", "SystemPace"]


class Pace(Protocol):
    """Something that lets the time pass until an instant of the monotonic clock."""

    async def until(self, monotonic_ns: int) -> None:
        """Return at or shortly after that instant; at once when it is past."""
        ...


class SystemPace:
    """Waits for real on the running loop, by `clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def until(self, monotonic_ns: int) -> None:
        # A loop's sleep may end a little early by another clock; once more is then enough.
        for _ in range(2):
            left_ns = monotonic_ns - self._clock.monotonic_ns()
            if left_ns > 0:
                await asyncio.sleep(left_ns / SECOND_NS)
