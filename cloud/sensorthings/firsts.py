"""When the first value of a Datastream was, remembered."""

from collections.abc import Mapping, Sequence
from typing import Final

from cloud.sensorthings.values import Stream
from cloud.series.store import SeriesStore
from telemetry.clock import SECOND_NS, Clock

__all__ = ["Firsts"]

_FOR_NS: Final = 600 * SECOND_NS
_MOST: Final = 50_000
_EVER: Final = 2**63 - 1


class Firsts:
    """Remembers for ten minutes: what came late, or was forgotten by the store, is noticed a little later."""

    def __init__(self, series: SeriesStore, clock: Clock) -> None:
        self._series = series
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[int, int | None]] = {}

    async def of(self, streams: Sequence[Stream]) -> Mapping[int, int | None]:
        """Number of a Datastream -> nanoseconds of its first value, None where there is none.

        What is not remembered is asked for device by device, all metrics of one in one question.
        """
        now_ns = self._clock.monotonic_ns()
        found: dict[int, int | None] = {}
        unknown: dict[str, list[Stream]] = {}
        for stream in streams:
            held = self._known.get((stream.device, stream.metric))
            if held is not None and now_ns - held[0] < _FOR_NS:
                found[stream.no] = held[1]
            else:
                unknown.setdefault(stream.device, []).append(stream)
        for device, some in unknown.items():
            points = await self._series.range(device, [stream.metric for stream in some], 0, _EVER, 1)
            for stream in some:
                first = points[stream.metric]
                found[stream.no] = self._keep(stream, now_ns, first[0].time_ns if first else None)
        return found

    def _keep(self, stream: Stream, now_ns: int, first_ns: int | None) -> int | None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[stream.device, stream.metric] = now_ns, first_ns
        return first_ns
