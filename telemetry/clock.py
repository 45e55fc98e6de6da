"""Time as an argument: the one clock of the product, and the one a test turns by hand."""

import time
from typing import Protocol

__all__ = ["SECOND_NS", "Clock", "ManualClock", "SystemClock"]

SECOND_NS = 1_000_000_000


class Clock(Protocol):
    """What the wiring hands to whatever must know the time."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC, as the machine believes them; may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start of this boot; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks. The only place in the product that reads them."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, wall_ns: int = 1_750_000_000 * SECOND_NS, monotonic_ns: int = 0) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let both clocks run on by `seconds`."""
        step = round(seconds * SECOND_NS)
        self._wall_ns += step
        self._monotonic_ns += step

    def set_wall(self, wall_ns: int) -> None:
        """Jump the wall clock, as a time synchronisation does; the monotonic clock stays."""
        self._wall_ns = wall_ns
