"""The newest Observation of each of many Datastreams, from memory: the question that is asked most.

It is the one with which the store's own answer begins, newest first, wherever times can be believed. It differs, on purpose:

- Values from the future (more than five minutes ahead) and from a clock that nobody set are passed over, as everywhere in the
  product where something is called the latest, and at the end of a Datastream's phenomenonTime: one such value would hide
  all that comes after it. Whoever asks for two or more, skips or filters sees them, in their places.
- Its number is worked out as of a value that is alone in its window of 256 ms. Where an earlier one in that window has its
  place it moves on (decision 19) as soon as they are looked at together: for that two values of one metric must come
  within 256 ms, at times whose places meet, or more than 64 of them.
- Whether there are older ones is not looked up.

A store forgets what is old, the memory does not: a value that the store has forgotten is none.
"""

from collections.abc import Mapping, Sequence

from cloud.sensorthings.held import Held
from cloud.sensorthings.ids import END_NS, FIRST_NS, MOST_OWNERS, pack, places
from cloud.sensorthings.model import Entity
from cloud.sensorthings.values import Stream, observation
from cloud.series.store import Point, SeriesStore
from telemetry.clock import Clock

__all__ = ["Newest"]


class Newest:
    """Asks `series` once for all devices, and hardly ever for a single value: see `held`."""

    def __init__(self, series: SeriesStore, clock: Clock) -> None:
        self._series = series
        self._held = Held(series, clock)

    async def of(self, streams: Sequence[Stream]) -> Mapping[int, Entity]:
        """Number of a Datastream -> its newest Observation; none for one without a value that has a number."""
        latest = await self._series.latest(list(dict.fromkeys(stream.device for stream in streams)))
        points = [(stream, latest[stream.device].get(stream.metric)) for stream in streams if stream.no <= MOST_OWNERS]
        found = [(stream, point) for stream, point in points if point is not None and FIRST_NS <= point.time_ns < END_NS]
        since_ns = await self._held.since_ns(found)
        return {stream.no: _alone(stream, point) for stream, point in found if point.time_ns >= since_ns}


def _alone(stream: Stream, point: Point) -> Entity:
    [(time_ns, place)] = places([point.time_ns]).items()
    return observation(stream, pack(stream.no, time_ns, place), point)
