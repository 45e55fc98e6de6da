"""How far back the store still has its values: it forgets by time, those of all devices alike."""

from collections.abc import Sequence
from typing import Final

from cloud.sensorthings.values import Stream
from cloud.series.store import Point, SeriesStore
from telemetry.clock import SECOND_NS, Clock

__all__ = ["Held"]

_SURELY_NS: Final = 86_400 * SECOND_NS
"""A retention is of whole days: nothing younger than one is ever forgotten."""
_FOR_NS: Final = 600 * SECOND_NS


class Held:
    """Learnt from the store by asking for single values, and remembered for ten minutes."""

    def __init__(self, series: SeriesStore, clock: Clock) -> None:
        self._series = series
        self._clock = clock
        self._learnt_ns = 0
        self._gone_ns, self._here_ns = -1, 2**63
        """Nothing up to the one is there, everything from the other on."""

    async def since_ns(self, values: Sequence[tuple[Stream, Point]]) -> int:
        """From which time on the store still has those of `values` that it ever had.

        Usually one question, about the oldest of them, or none; where that is gone, as many as halving takes.
        """
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._learnt_ns >= _FOR_NS:
            self._learnt_ns, self._gone_ns, self._here_ns = now_ns, -1, 2**63
        here_ns = min(self._here_ns, self._clock.wall_ns() - _SURELY_NS)
        unsure = sorted((each for each in values if self._gone_ns < each[1].time_ns < here_ns), key=lambda each: each[1].time_ns)
        low, high, at = 0, len(unsure), 0
        while low < high:
            if await self._has(*unsure[at]):
                high, self._here_ns = at, min(self._here_ns, unsure[at][1].time_ns)
            else:
                low, self._gone_ns = at + 1, max(self._gone_ns, unsure[at][1].time_ns)
            at = (low + high) // 2
        return self._gone_ns + 1

    async def _has(self, stream: Stream, point: Point) -> bool:
        found = await self._series.range(stream.device, [stream.metric], point.time_ns, point.time_ns + 1, 1)
        return bool(found[stream.metric])
