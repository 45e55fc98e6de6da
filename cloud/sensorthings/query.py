"""Answers a question: finds the entities, judges them, sorts them, and fetches what is expanded."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import msgspec

from cloud.sensorthings.ask import Ask, Budget, conditions, times_of
from cloud.sensorthings.errors import not_found, too_much
from cloud.sensorthings.evaluate import Judge, sort_key, wanted_links
from cloud.sensorthings.model import SETS, Entity, Kind
from cloud.sensorthings.options import Options
from cloud.sensorthings.paths import Place
from cloud.sensorthings.plan import Scope, Way, by_time, natural, wanted, way_of
from cloud.sensorthings.stores import Stores, scope_of
from cloud.sensorthings.tree import names_in
from cloud.sensorthings.values import TIMES, Stream, stream_ask

__all__ = ["Found", "Page", "Query"]

_PART: Final = 1000
_MOST_STREAMS: Final = 100
_MOST_COUNTED: Final = 200_000
_AT_ONCE: Final = 400

_NOTHING_OF: Final[frozenset[str]] = frozenset()

_Some = tuple[Sequence[Entity], tuple[tuple[str, str], ...]]
"""The entities of one page, and the options that lead to the rest."""


class Found(msgspec.Struct):
    """An entity with what was expanded of it: one entity, none, or a page."""

    entity: Entity
    expanded: dict[str, "Found | Page | None"] = {}


class Page(msgspec.Struct):
    """Entities of a list; `further` are the options that lead to the rest, none where there is none."""

    options: Options
    items: list[Found]
    count: int | None = None
    further: tuple[tuple[str, str], ...] = ()


class Query:
    """One question; what it looks at is bounded as a whole."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._budget = Budget()
        self._now_ns = stores.clock.wall_ns()

    async def target(self, place: Place) -> tuple[Entity | None, Scope]:
        """The entity that a path ends at, or (None, the scope of the list); StaError (404) where the path breaks off."""
        if place.id is None:
            return None, {}
        here = await self._one(place.root, {"id": place.id}, whole=not place.hops)
        for index, hop in enumerate(place.hops):
            name, number = scope_of(here, hop.link)
            if place.many and index == len(place.hops) - 1:
                return None, {name: number}
            link = here.kind.links[hop.link]
            if hop.id is not None and name == "id" and hop.id != number:
                raise not_found(f"{link.to}({hop.id}): is not behind this link")
            scope = {name: number} if hop.id is None else {name: number, "id": hop.id}
            here = await self._one(SETS[link.to], scope, whole=index == len(place.hops) - 1)
        return here, {}

    async def page(self, options: Options, scope: Scope) -> Page:
        """The entities of a list that the options leave, and what they expand."""
        [page] = await self._pages(options, [scope])
        return page

    async def _pages(self, options: Options, scopes: Sequence[Scope]) -> list[Page]:
        """The list of each scope; what they expand is got for the entities of all lists together."""
        selected = await self._select_all(options, scopes)
        counts = [await self._count(options, scope) if options.count else None for scope in scopes]
        found = iter(await self.expanded([each for items, _ in selected for each in items], options))
        return [
            Page(options, list(itertools.islice(found, len(items))), count, further)
            for (items, further), count in zip(selected, counts, strict=True)
        ]

    async def expanded(self, entities: Sequence[Entity], options: Options) -> list[Found]:
        """The entities with what the options expand of them."""
        found = [Found(entity, {}) for entity in entities]
        for link, inner in options.expand.items():
            if options.kind.links[link].many:
                scopes = [dict([scope_of(each.entity, link)]) for each in found]
                for each, page in zip(found, await self._pages(inner, scopes), strict=True):
                    each.expanded[link] = page
            else:
                await self._expand_one(found, link, inner)
        return found

    async def _expand_one(self, found: Sequence[Found], link: str, inner: Options) -> None:
        """A link to one is followed for all at once, and what is behind it for many is shown the same."""
        await self._link([each.entity for each in found], link, wanted(inner))
        behind = {each.entity.linked[link][0].id: each.entity.linked[link][0] for each in found if each.entity.linked[link]}
        shown = {each.entity.id: each for each in await self.expanded(list(behind.values()), inner)}
        for each in found:
            linked = each.entity.linked[link]
            each.expanded[link] = shown[linked[0].id] if linked else None

    async def _one(self, kind: Kind, scope: Scope, *, whole: bool) -> Entity:
        ask = Ask(kind=kind, scope=scope, limit=1, wanted=None if whole else _NOTHING_OF)
        async for part in self._stores.parts(ask, self._budget):
            if part:
                return part[0]
            break
        raise not_found(f"{kind.name}({scope['id']}): there is none" if "id" in scope else f"{kind.name}: there is none here")

    async def _select_all(self, options: Options, scopes: Sequence[Scope]) -> Sequence[_Some]:
        match way_of(options, scopes):
            case Way.NEWEST:
                return await self._newest([scope["datastream"] for scope in scopes])
            case Way.ROWS:
                return await self._select_rows(options, scopes)
            case Way.EACH:
                return [await self._select(options, scope) for scope in scopes]

    async def _newest(self, numbers: Sequence[int]) -> list[_Some]:
        """The newest Observation of each Datastream; whether there is more behind it is not looked up."""
        streams: list[Stream] = []
        for some in _parts(numbers):
            streams += await self._stores.values.streams(Ask(kind=SETS["Datastreams"], among=("id", some)))
        self._budget.take(len(streams))
        found = await self._stores.newest.of(streams)
        return [([found[no]], (("$skiptoken", str(found[no].id)),)) if no in found else ([], ()) for no in numbers]

    async def _select_rows(self, options: Options, scopes: Sequence[Scope]) -> list[_Some]:
        """The lists of several entities in the set's own order, out of one answer."""
        name, numbers = next(iter(scopes[0])), [number for scope in scopes for number in scope.values()]
        behind: dict[int, list[Entity]] = {number: [] for number in numbers}
        back = natural(options, scopes[0]) is True
        for some in _parts(list(behind)):
            async for part in self._judged(options, {}, _PART, descending=back, among=(name, some)):
                for each in part:
                    behind[each.refs[name]].append(each)
        return [_cut(options, behind[number]) for number in numbers]

    async def _select(self, options: Options, scope: Scope) -> _Some:
        top = options.page
        descending = natural(options, scope)
        if descending is not None:
            return _cut(options, await self._first(options, scope, options.skip + top + 1, descending=descending))
        if by_time(options):
            items = await self._merged(options, scope, options.skip + top + 1)
        else:
            items = await self._sorted(options, scope, options.skip + top + 1)
        page = items[options.skip : options.skip + top]
        return page, (("$skip", str(options.skip + top)),) if top and len(items) > options.skip + top else ()

    async def _first(self, options: Options, scope: Scope, enough: int, *, descending: bool) -> list[Entity]:
        """The first that the filter leaves, in the set's own order."""
        found: list[Entity] = []
        async for part in self._judged(options, scope, enough, descending=descending):
            found += part
            if len(found) >= enough:
                break
        return found[:enough]

    async def _judged(
        self,
        options: Options,
        scope: Scope,
        enough: int,
        *,
        descending: bool = False,
        among: tuple[str, Sequence[int]] | None = None,
    ) -> AsyncIterator[list[Entity]]:
        ask = Ask(
            kind=options.kind,
            scope=scope,
            among=among,
            where=conditions(options.filter),
            after=options.after,
            descending=descending,
            limit=min(_PART, enough) if options.filter is None else _PART,
            wanted=wanted(options),
        )
        async for part in self._stores.parts(ask, self._budget):
            yield await self._left(options, part)
            # The part was worked out in one go; others have their turn.
            await asyncio.sleep(0)

    async def _left(self, options: Options, part: Sequence[Entity]) -> list[Entity]:
        nodes = [ordering.by for ordering in options.orderby]
        if options.filter is not None:
            nodes.append(options.filter)
        properties = frozenset(name for each in names_in(*nodes) for name in each.path)
        await self._fetch_links(part, wanted_links(options.kind, *nodes), properties)
        if options.filter is None:
            return list(part)
        judge = Judge(options.kind, options.filter, self._now_ns)
        return [entity for entity in part if judge.true(entity)]

    async def _sorted(self, options: Options, scope: Scope, enough: int) -> list[Entity]:
        """Everything that the filter leaves, in the order that is asked for; only the first of it."""
        found: list[Entity] = []
        async for part in self._judged(options, scope, _PART):
            found += part
        # The last first: sorting keeps the order of equals.
        found.sort(key=lambda entity: entity.id)
        for ordering in reversed(options.orderby):
            judge = Judge(options.kind, ordering.by, self._now_ns)
            found.sort(key=lambda entity, judge=judge: sort_key(judge.first(entity)), reverse=ordering.descending)  # type: ignore[misc]
        return found[:enough]

    async def _merged(self, options: Options, scope: Scope, enough: int) -> list[Entity]:
        """Observations of several Datastreams by time: the first of each, and of these the first."""
        where = conditions(options.filter)
        descending = options.orderby[0].descending
        ask = Ask(kind=options.kind, scope=scope, where=where, descending=descending, limit=min(enough, _PART))
        streams = await self._streams(ask)
        found: list[list[Entity]] = []
        for stream in streams:
            of_one: list[Entity] = []
            async for part in self._stores.values.walk(stream, times_of(where, TIMES), ask, self._budget):
                of_one += await self._left(options, part)
                if len(of_one) >= enough:
                    break
            found.append(of_one[:enough])
        merged = heapq.merge(*found, key=lambda entity: entity.values[TIMES[0]].start_ns, reverse=descending)
        return [entity for _, entity in zip(range(enough), merged, strict=False)]

    async def _streams(self, ask: Ask) -> list[Stream]:
        question = msgspec.structs.replace(stream_ask(ask), limit=_MOST_STREAMS + 1, descending=False)
        streams = await self._stores.values.streams(question)
        if len(streams) > _MOST_STREAMS:
            raise too_much(
                f"this would sort the Observations of more than {_MOST_STREAMS} Datastreams by time: "
                "ask one Datastream or Thing, or name it in $filter, such as Datastream/id eq 1"
            )
        return streams

    async def _count(self, options: Options, scope: Scope) -> int:
        if options.filter is None and self._stores.listed(options.kind):
            return await self._stores.count(Ask(kind=options.kind, scope=scope))
        whole = msgspec.structs.replace(options, after=None, orderby=())
        kept, self._budget = self._budget, Budget(_MOST_COUNTED)
        try:
            return sum([len(part) async for part in self._judged(whole, scope, _PART)])
        finally:
            self._budget = kept

    async def _fetch_links(self, part: Sequence[Entity], chains: set[tuple[str, ...]], properties: frozenset[str]) -> None:
        for chain in sorted(chains, key=len):
            here = list(part)
            for link in chain[:-1]:
                here = list({id(other): other for each in here for other in each.linked[link]}.values())
            await self._link(here, chain[-1], properties)

    async def _link(self, entities: Sequence[Entity], link: str, properties: frozenset[str] | None) -> None:
        """Fetch what is behind a link of many entities into `linked`, with these of its properties (None: all)."""
        if not entities:
            return
        target = SETS[entities[0].kind.links[link].to]
        for each in entities:
            each.linked = {**each.linked, link: []}
        if self._stores.listed(target):
            await self._link_rows(entities, link, target, properties)
            return
        for each in entities:
            name, number = scope_of(each, link)
            parts = self._stores.parts(Ask(kind=target, scope={name: number}), self._budget)
            each.linked[link] = [other async for part in parts for other in part]

    async def _link_rows(self, entities: Sequence[Entity], link: str, target: Kind, properties: frozenset[str] | None) -> None:
        by_number: dict[int, list[Entity]] = {}
        scopes = [scope_of(each, link) for each in entities]
        name, numbers = scopes[0][0], list(dict.fromkeys(number for _, number in scopes))
        for some in _parts(numbers):
            ask = Ask(kind=target, among=(name, some), wanted=properties)
            async for part in self._stores.parts(ask, self._budget):
                for other in part:
                    by_number.setdefault(other.id if name == "id" else other.refs[name], []).append(other)
        for each, (_, number) in zip(entities, scopes, strict=True):
            each.linked[link] = by_number.get(number, [])


def _cut(options: Options, items: Sequence[Entity]) -> _Some:
    """One page of a list in the set's own order, of which there is one more than a page holds where it goes on."""
    end = options.skip + options.page
    page = items[options.skip : end]
    return page, (("$skiptoken", str(page[-1].id)),) if page and len(items) > end else ()


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _AT_ONCE):
        yield numbers[start : start + _AT_ONCE]
