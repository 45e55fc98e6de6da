"""How the link is shared while it is too narrow for everything: by weight, and nothing of it left unused."""

from enum import StrEnum

__all__ = ["Shares", "Source"]


class Source(StrEnum):
    """Where a batch comes from, the most urgent first."""

    EVENTS = "events"
    LIVE = "live"
    HISTORY = "history"


_WEIGHTS = {Source.EVENTS: 50, Source.LIVE: 30, Source.HISTORY: 20}
"""Percent of the link while all three want it. The rest of what one does not use is the others'."""


class Shares:
    """Weighted fair queueing in virtual time (start-time fair queueing: Goyal, Vin and Cheng, SIGCOMM 1996).

    Whoever has had least of its share goes next. Silence saves nothing up: a source that comes back begins at the
    present, which still puts it before all that have just been served.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._ends = dict.fromkeys(Source, 0.0)

    def order(self) -> list[Source]:
        """All sources, the one to be asked first at the front; among equals the most urgent."""
        return sorted(Source, key=self._start)

    def served(self, source: Source, size: int) -> None:
        """`size` bytes of a source went out."""
        self._now = self._start(source)
        self._ends[source] = self._now + size / _WEIGHTS[source]

    def _start(self, source: Source) -> float:
        return max(self._now, self._ends[source])
