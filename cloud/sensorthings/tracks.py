"""Locations, HistoricalLocations and FeaturesOfInterest: where a Thing is, and was.

A Location and the HistoricalLocation of the same number are one position of one Thing: the one that it is registered
with (its `time` is when the device was first known), or a fix that it sent itself, where its profile has a longitude and
a latitude. A fix whose value is missing or bad is none.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from cloud.sensorthings.ask import Ask, Budget, times_of
from cloud.sensorthings.ids import FIRST_NS, MOST_OWNERS, WINDOW_NS, first_of, owner_of
from cloud.sensorthings.model import SETS, Entity, Kind
from cloud.sensorthings.rows import Rows
from cloud.sensorthings.times import Period
from cloud.sensorthings.walk import Fetch, Walk, find
from cloud.series.honest import counts
from cloud.series.store import Point, SeriesStore
from device_profiles.model import LATITUDE, LONGITUDE, Profile

__all__ = ["Tracks"]

_FIXES_FROM_NS: Final = FIRST_NS + WINDOW_NS
"""The first window is for registered positions."""
_GEOJSON: Final = "application/geo+json"
_THINGS: Final = 200


class Fix(msgspec.Struct, frozen=True):
    """Where a Thing was at a time."""

    time_ns: int
    longitude: float
    latitude: float

    @property
    def point(self) -> dict[str, Any]:
        """As GeoJSON."""
        return {"type": "Point", "coordinates": [self.longitude, self.latitude]}


class Tracks:
    """Positions of the registry and of the series store."""

    def __init__(self, series: SeriesStore, rows: Rows, catalog: Mapping[str, Profile]) -> None:
        self._series = series
        self._rows = rows
        self._catalog = catalog

    async def one(self, kind: Kind, number: int) -> Entity | None:
        """The Location or HistoricalLocation of this number."""
        rows = await self._things({"id": owner_of(number)})
        if not rows:
            return None
        row = rows[0]
        if number == first_of(row["no"]):
            fix = _registered(row)
        else:
            fix = await find(number, self._fetch(row)) if self._moves(row) else None
        return None if fix is None else _entity(kind, row, number, fix)

    async def current(self, kind: Kind, thing: int) -> list[Entity]:
        """The newest position of a Thing; none where none is known."""
        rows = await self._things({"id": thing})
        found = await self._newest(rows[0]) if rows else None
        return [] if found is None else [_entity(kind, rows[0], *found)]

    async def pages(self, ask: Ask, budget: Budget) -> AsyncIterator[list[Entity]]:
        """Positions Thing by Thing, in order of time in each; behind `ask.after`."""
        span = times_of(ask.where, ("time",))
        after = None
        if ask.after is not None:
            after = owner_of(ask.after) + (1 if ask.descending else -1)
        while rows := await self._things(_scope(ask), after=after, descending=ask.descending):
            budget.take(len(rows))
            for row in rows:
                behind = ask.after if ask.after is not None and owner_of(ask.after) == row["no"] else None
                async for part in self._of_thing(row, span, ask, budget, behind):
                    yield part
            if len(rows) < _THINGS:
                return
            after = rows[-1]["no"]

    async def features(self, ask: Ask) -> list[Entity]:
        """The places of Things, as FeaturesOfInterest."""
        rows = await self._rows.thing_rows(ask)
        # From memory, all at once: a list of many places must not read the past of each.
        latest = await self._series.latest([row["id"] for row in rows if self._moves(row)])
        return [_feature(row, _latest(latest.get(row["id"], {})) or _registered(row)) for row in rows]

    async def _of_thing(
        self, row: Mapping[str, Any], span: tuple[int, int], ask: Ask, budget: Budget, after: int | None
    ) -> AsyncIterator[list[Entity]]:
        number = first_of(row["no"])
        registered = _registered(row)
        first = [] if registered is None or (not ask.descending and after is not None) else [(number, registered)]
        if not span[0] <= row["first_seen_ns"] < span[1] or after == number:
            first = []
        if first and not ask.descending:
            yield [_entity(ask.kind, row, *each) for each in first]
        if self._moves(row) and not (ask.descending and after == number):
            walk = Walk(
                owner=row["no"],
                start_ns=max(span[0], _FIXES_FROM_NS),
                end_ns=span[1],
                size=max(64, min(ask.limit + 8, 2000)),
                after=None if after == number else after,
                newest_ns=await self._newest_ns(row) if ask.descending else None,
            )
            async for part in walk.parts(self._fetch(row), budget):
                yield [_entity(ask.kind, row, *each) for each in part]
        if first and ask.descending:
            yield [_entity(ask.kind, row, *each) for each in first]

    async def _newest(self, row: Mapping[str, Any]) -> tuple[int, Fix] | None:
        if self._moves(row):
            walk = Walk(owner=row["no"], start_ns=_FIXES_FROM_NS, end_ns=2**63 - 1, size=64, newest_ns=await self._newest_ns(row))
            async for part in walk.parts(self._fetch(row), Budget()):
                if part:
                    return part[0]
        registered = _registered(row)
        return None if registered is None else (first_of(row["no"]), registered)

    async def _newest_ns(self, row: Mapping[str, Any]) -> int:
        point = (await self._series.latest([row["id"]]))[row["id"]].get(LATITUDE)
        return 0 if point is None else point.time_ns

    def _moves(self, row: Mapping[str, Any]) -> bool:
        profile = self._catalog.get(row["profile"])
        return profile is not None and LONGITUDE in profile.metrics and LATITUDE in profile.metrics

    def _fetch(self, row: Mapping[str, Any]) -> Fetch[Fix]:
        async def fixes(start_ns: int, end_ns: int, limit: int, *, back: bool) -> Sequence[Fix]:
            fixes: list[Fix] = []
            left: tuple[int, int] | None = (start_ns, end_ns)
            while left is not None and len(fixes) < limit:
                asked = self._series.range(row["id"], [LONGITUDE, LATITUDE], *left, limit, newest_first=back)
                some, left = _paired(await asked, left, limit, back=back)
                fixes += some
            return fixes[:limit]

        return fixes

    async def _things(
        self, scope: Mapping[str, int], *, after: int | None = None, descending: bool = False
    ) -> list[Mapping[str, Any]]:
        ask = Ask(kind=SETS["Things"], scope=scope, after=after, descending=descending, limit=_THINGS)
        return [row for row in await self._rows.thing_rows(ask) if row["no"] <= MOST_OWNERS]


def _scope(ask: Ask) -> dict[str, int]:
    return {"id": ask.scope["thing"]} if "thing" in ask.scope else {}


def _paired(
    found: Mapping[str, Sequence[Point]], part: tuple[int, int], limit: int, *, back: bool
) -> tuple[list[Fix], tuple[int, int] | None]:
    """The fixes that points make, and the part of the interval where one of the two metrics was not read to its end."""
    ends = [points[-1].time_ns for points in found.values() if len(points) >= limit]
    latitudes = {point.time_ns: point for point in found[LATITUDE]}
    pairs = [(point, latitudes[point.time_ns]) for point in found[LONGITUDE] if point.time_ns in latitudes]
    fixes = [fix for east, north in pairs if (fix := _fix(east, north)) is not None]
    if not ends:
        return fixes, None
    if back:
        edge = max(ends)
        return [fix for fix in fixes if fix.time_ns >= edge], (part[0], edge)
    edge = min(ends)
    return [fix for fix in fixes if fix.time_ns <= edge], (edge + 1, part[1])


def _fix(east: Point, north: Point) -> Fix | None:
    if not (counts(east) and counts(north)):
        return None
    match east.value, north.value:
        case (int() | float() as longitude, int() | float() as latitude):
            return Fix(east.time_ns, float(longitude), float(latitude))
        case _:
            return None


def _latest(points: Mapping[str, Point]) -> Fix | None:
    east, north = points.get(LONGITUDE), points.get(LATITUDE)
    return None if east is None or north is None else _fix(east, north)


def _registered(row: Mapping[str, Any]) -> Fix | None:
    if row["longitude"] is None or row["latitude"] is None:
        return None
    return Fix(row["first_seen_ns"], row["longitude"], row["latitude"])


def _entity(kind: Kind, row: Mapping[str, Any], number: int, fix: Fix) -> Entity:
    refs = {"thing": row["no"]}
    if kind.name == "HistoricalLocations":
        return Entity(kind, number, {"time": Period(fix.time_ns, fix.time_ns)}, refs)
    name = row["name"] or row["id"]
    registered = number == first_of(row["no"])
    values = {
        "name": name,
        "description": f"where {name} was installed" if registered else f"where {name} was by its own fix",
        "encodingType": _GEOJSON,
        "location": fix.point,
        "properties": {"device": row["id"]},
    }
    return Entity(kind, number, values, refs)


def _feature(row: Mapping[str, Any], fix: Fix | None) -> Entity:
    name = row["name"] or row["id"]
    values = {
        "name": name,
        "description": f"where {name} is",
        "encodingType": _GEOJSON,
        "feature": fix.point if fix else {"type": "Point", "coordinates": []},
        "properties": {"device": row["id"]},
    }
    return Entity(SETS["FeaturesOfInterest"], row["no"], values)
