"""Observations: the points of the series store."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from cloud.sensorthings.ask import Ask, Budget, times_of
from cloud.sensorthings.ids import MOST_OWNERS, owner_of, unpack
from cloud.sensorthings.model import ID, SETS, Entity
from cloud.sensorthings.rows import Rows
from cloud.sensorthings.times import Period
from cloud.sensorthings.walk import Fetch, Walk, find
from cloud.series.store import Point, SeriesStore

__all__ = ["TIMES", "Stream", "Values"]

TIMES: Final = ("phenomenonTime", "resultTime")
"""Both are the event time: a device makes its result when it measures."""
_MOST_ROWS: Final = 2_000
_STREAMS: Final = 200


class Stream(msgspec.Struct, frozen=True):
    """One Datastream: its number, the Thing's, and what the store calls it."""

    no: int
    thing: int
    device: str
    metric: str

    @classmethod
    def of(cls, entity: Entity) -> "Stream":
        """From the entity."""
        known = entity.values["properties"]
        return cls(entity.id, entity.refs["thing"], known["device"], known["metric"])


class Values:
    """Reads the series store as Observations."""

    def __init__(self, series: SeriesStore, rows: Rows) -> None:
        self._series = series
        self._rows = rows

    def fetch(self, stream: Stream) -> Fetch[Point]:
        """How the points of one Datastream are read."""

        async def points(start_ns: int, end_ns: int, limit: int, *, back: bool) -> Sequence[Point]:
            asked = self._series.range(stream.device, [stream.metric], start_ns, end_ns, limit, newest_first=back)
            return (await asked)[stream.metric]

        return points

    async def one(self, number: int) -> Entity | None:
        """The Observation of this number."""
        if unpack(number) is None:
            return None
        streams = await self.streams(Ask(kind=SETS["Datastreams"], scope={"id": owner_of(number)}))
        if not streams:
            return None
        point = await find(number, self.fetch(streams[0]))
        return None if point is None else observation(streams[0], number, point)

    async def pages(self, ask: Ask, budget: Budget) -> AsyncIterator[list[Entity]]:
        """Observations Datastream by Datastream, in order of time in each; behind `ask.after`."""
        start_ns, end_ns = times_of(ask.where, TIMES)
        async for stream in self._scoped(ask, budget):
            after = ask.after if ask.after is not None and owner_of(ask.after) == stream.no else None
            async for part in self.walk(stream, (start_ns, end_ns), ask, budget, after):
                yield part

    async def walk(
        self, stream: Stream, span: tuple[int, int], ask: Ask, budget: Budget, after: int | None = None
    ) -> AsyncIterator[list[Entity]]:
        """The Observations of one Datastream."""
        newest_ns = await self._newest_ns(stream) if ask.descending else None
        walk = Walk(
            owner=stream.no,
            start_ns=span[0],
            end_ns=span[1],
            size=min(_MOST_ROWS, max(64, ask.limit + 8)),
            after=after,
            newest_ns=newest_ns,
        )
        async for part in walk.parts(self.fetch(stream), budget):
            yield [observation(stream, number, point) for number, point in part]

    async def streams(self, ask: Ask) -> list[Stream]:
        """Datastreams as the store knows them; those whose numbers are too high for Observations are left out."""
        found = [Stream.of(entity) for entity in await self._rows.datastreams(ask)]
        return [stream for stream in found if stream.no <= MOST_OWNERS]

    async def _newest_ns(self, stream: Stream) -> int:
        point = (await self._series.latest([stream.device]))[stream.device].get(stream.metric)
        # Where nothing is known, nothing or little is there: one look at everything, not a look at each stretch.
        return 0 if point is None else point.time_ns

    async def _scoped(self, ask: Ask, budget: Budget) -> AsyncIterator[Stream]:
        """The Datastreams of the scope, from the one of `after` on."""
        after = None
        if ask.after is not None:
            after = owner_of(ask.after) + (1 if ask.descending else -1)
        question = stream_ask(ask, after)
        while streams := await self.streams(question):
            budget.take(len(streams))
            for stream in streams:
                yield stream
            if len(streams) < question.limit:
                return
            question = msgspec.structs.replace(question, after=streams[-1].no)


def stream_ask(ask: Ask, after: int | None = None) -> Ask:
    """What a question about Observations asks of Datastreams."""
    scope = {("id" if name == "datastream" else name): number for name, number in ask.scope.items()}
    where = [msgspec.structs.replace(each, path=each.path[1:]) for each in ask.where if each.path[0] == "Datastream"]
    foi = ("FeatureOfInterest", ID)
    where += [msgspec.structs.replace(each, path=("Thing", ID)) for each in ask.where if each.path == foi]
    return Ask(kind=SETS["Datastreams"], scope=scope, where=where, after=after, descending=ask.descending, limit=_STREAMS)


def observation(stream: Stream, number: int, point: Point) -> Entity:
    """One point as an Observation."""
    time = Period(point.time_ns, point.time_ns)
    quality: dict[str, Any] = {"quality": point.quality.name.lower(), "reason": point.reason.value if point.reason else None}
    values = {"phenomenonTime": time, "result": point.value, "resultTime": time, "resultQuality": quality}
    return Entity(SETS["Observations"], number, values, {"datastream": stream.no, "thing": stream.thing})
