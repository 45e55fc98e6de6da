"""Everything that can be asked for, by the name of its set."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.sensorthings.ask import Ask, Budget
from cloud.sensorthings.firsts import Firsts
from cloud.sensorthings.model import ID, Entity, Kind
from cloud.sensorthings.newest import Newest
from cloud.sensorthings.numbers import Numbers
from cloud.sensorthings.rows import Rows
from cloud.sensorthings.times import Period
from cloud.sensorthings.tracks import Tracks
from cloud.sensorthings.values import TIMES, Stream, Values
from cloud.series.store import SeriesStore
from device_profiles.model import Profile
from device_profiles.quantities import Metric
from telemetry.clock import Clock

__all__ = ["Stores", "scope_of"]


class Stores:
    """The registry and the series store as the eight sets."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        series: SeriesStore,
        catalog: Mapping[str, Profile],
        vocabulary: Mapping[str, Metric],
        clock: Clock,
    ) -> None:
        self.clock = clock
        self.series = series
        self.rows = Rows(engine, catalog, vocabulary)
        self.numbers = Numbers(engine, catalog, vocabulary, clock)
        self.values = Values(series, self.rows)
        self._firsts = Firsts(series, clock)
        self.newest = Newest(series, clock)
        self._tracks = Tracks(series, self.rows, catalog)
        self._listed: Mapping[str, Callable[[Ask], Awaitable[list[Entity]]]] = {
            "Things": self.rows.things,
            "Datastreams": self._datastreams,
            "Sensors": self.rows.sensors,
            "ObservedProperties": self.rows.properties,
            "FeaturesOfInterest": self._tracks.features,
        }

    async def parts(self, ask: Ask, budget: Budget) -> AsyncIterator[Sequence[Entity]]:
        """What is asked for, a part at a time, in the set's own order: by number, and by time where things have one."""
        name = ask.kind.name
        if name not in self._listed and (named := _named(ask)) is not None:
            ask = msgspec.structs.replace(ask, scope={**ask.scope, "id": named})
        if "id" in ask.scope and name not in self._listed:
            one = await self._one(ask)
            yield [] if one is None else [one]
        elif name == "Locations" and "thing" in ask.scope:
            yield await self._tracks.current(ask.kind, ask.scope["thing"])
        elif name not in self._listed:
            pages = self.values.pages(ask, budget) if name == "Observations" else self._tracks.pages(ask, budget)
            async for page in pages:
                yield page
        else:
            async for rows in self._rows(ask, budget):
                yield rows

    def listed(self, kind: Kind) -> bool:
        """Whether the set is one of rows, which can be asked for by many numbers at once."""
        return kind.name in self._listed

    async def count(self, ask: Ask) -> int:
        """How many there are in a set of rows."""
        return await self.rows.count(ask)

    async def _rows(self, ask: Ask, budget: Budget) -> AsyncIterator[Sequence[Entity]]:
        while True:
            found = await self._listed[ask.kind.name](ask)
            budget.take(len(found))
            yield found
            if len(found) < ask.limit:
                return
            ask = msgspec.structs.replace(ask, after=found[-1].id)

    async def _one(self, ask: Ask) -> Entity | None:
        number = ask.scope["id"]
        found = await (self.values.one(number) if ask.kind.name == "Observations" else self._tracks.one(ask.kind, number))
        owned = found is not None and all(found.refs.get(name) == no for name, no in ask.scope.items() if name != "id")
        return found if owned else None

    async def _datastreams(self, ask: Ask) -> list[Entity]:
        found = await self.rows.datastreams(ask)
        if ask.wanted is None or ask.wanted & set(TIMES):
            await self._add_times(found)
        return found

    async def _add_times(self, found: Sequence[Entity]) -> None:
        """From the first value to the latest one; nothing where there is none (18-088, table 11)."""
        streams = [Stream.of(entity) for entity in found]
        latest = await self.series.latest(list(dict.fromkeys(stream.device for stream in streams)))
        ends = {each.no: point for each in streams if (point := latest[each.device].get(each.metric)) is not None}
        firsts = await self._firsts.of([stream for stream in streams if stream.no in ends])
        for entity in found:
            first = firsts.get(entity.id)
            held = None if first is None else Period(min(first, ends[entity.id].time_ns), ends[entity.id].time_ns)
            entity.values |= dict.fromkeys(TIMES, held)


def _named(ask: Ask) -> int | None:
    """The number of the one entity that a condition leaves."""
    if "id" in ask.scope:
        return None
    numbers = (each.value for each in ask.where if each.path == (ID,) and each.op == "eq" and type(each.value) is int)
    return next(numbers, None)


_LEADS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("Things", "Datastreams"): ("thing", "own"),
    ("Things", "Locations"): ("thing", "own"),
    ("Things", "HistoricalLocations"): ("thing", "own"),
    ("Locations", "Things"): ("id", "thing"),
    ("Locations", "HistoricalLocations"): ("id", "own"),
    ("HistoricalLocations", "Thing"): ("id", "thing"),
    ("HistoricalLocations", "Locations"): ("id", "own"),
    ("Datastreams", "Thing"): ("id", "thing"),
    ("Datastreams", "Sensor"): ("id", "sensor"),
    ("Datastreams", "ObservedProperty"): ("id", "property"),
    ("Datastreams", "Observations"): ("datastream", "own"),
    ("Sensors", "Datastreams"): ("sensor", "own"),
    ("ObservedProperties", "Datastreams"): ("property", "own"),
    ("Observations", "Datastream"): ("id", "datastream"),
    ("Observations", "FeatureOfInterest"): ("id", "thing"),
    ("FeaturesOfInterest", "Observations"): ("thing", "own"),
}
"""A link: which number of what is behind it is which of the entity's, its `own` or one that it refers to."""


def scope_of(entity: Entity, link: str) -> tuple[str, int]:
    """What a link of an entity leads to: (name, number) of the scope of a question."""
    name, number = _LEADS[entity.kind.name, link]
    return name, entity.id if number == "own" else entity.refs[number]
