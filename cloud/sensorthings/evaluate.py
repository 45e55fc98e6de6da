"""Whether an entity is one that a filter means, and what it is sorted by.

A path over a link to many has as many values as there are entities behind it; a comparison is true where it is true of
any of them. So an expression has a list of values, of one for nearly every one.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cloud.sensorthings.functions import apply
from cloud.sensorthings.model import ID, Entity, Kind, Route, route
from cloud.sensorthings.times import Duration, Period
from cloud.sensorthings.tree import Call, Literal, Name, Node, names_in

__all__ = ["Judge", "sort_key", "wanted_links"]

_MOST_WAYS: Final = 10_000
"""Combinations of values that one operator looks at; more come from paths over two links to many."""

_Values = Callable[[Entity], Sequence[Any]]


class Judge:
    """An expression made ready for entities of one kind. StaError (400) for a property that there is not."""

    def __init__(self, kind: Kind, node: Node, now_ns: int) -> None:
        self._kind = kind
        self._now = Period(now_ns, now_ns)
        self._values = self._ready(node)

    def true(self, entity: Entity) -> bool:
        """Whether the expression is true of the entity."""
        return _true(self._values(entity))

    def first(self, entity: Entity) -> Any:
        """The value to sort by; the smallest where there are several."""
        return min(self._values(entity), key=sort_key, default=None)

    def _ready(self, node: Node) -> _Values:
        match node:
            case Literal(value=value):
                return lambda _entity: (value,)
            case Name():
                way = route(self._kind, node)
                return lambda entity: list(_follow(entity, way))
            case Call(name="and", given=parts):
                all_of = [self._ready(part) for part in parts]
                return lambda entity: (all(_true(values(entity)) for values in all_of),)
            case Call(name="or", given=parts):
                any_of = [self._ready(part) for part in parts]
                return lambda entity: (any(_true(values(entity)) for values in any_of),)
            case Call(name="not", given=(part,)):
                inner = self._ready(part)
                return lambda entity: (not _true(inner(entity)),)
            case Call(name="now"):
                now = (self._now,)
                return lambda _entity: now
            case Call(name=name, given=given):
                return self._applied(name, [self._ready(part) for part in given])

    @staticmethod
    def _applied(name: str, given: Sequence[_Values]) -> _Values:
        def values(entity: Entity) -> list[Any]:
            ways = itertools.product(*(each(entity) for each in given))
            return [apply(name, way) for way in itertools.islice(ways, _MOST_WAYS)]

        return values


def _true(values: Sequence[Any]) -> bool:
    return any(value is True for value in values)


def _follow(entity: Entity, way: Route) -> Sequence[Any]:
    here: Sequence[Entity] = (entity,)
    for link in way.links:
        here = [other for each in here for other in each.linked.get(link, ())]
    return [_inside(each.id if way.property == ID else each.values.get(way.property), way.inside) for each in here]


def _inside(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list | tuple) and name.isdecimal() and name.isascii() and len(name) < 9:
            value = value[int(name)] if int(name) < len(value) else None
        else:
            return None
    return value


def wanted_links(kind: Kind, *nodes: Node) -> set[tuple[str, ...]]:
    """The chains of links that must be fetched before expressions can be worked out, each with its beginnings."""
    chains = {route(kind, name).links for name in names_in(*nodes)}
    return {chain[:length] for chain in chains for length in range(1, len(chain) + 1)}


def sort_key(value: Any) -> tuple[int, Any]:
    """Values of all types in one order: none, truth, numbers, times, durations, texts; anything else as it is written."""
    match value:
        case None:
            return 0, 0
        case bool():
            return 1, value
        case int() | float():
            return 2, value
        case Period():
            return 3, (value.start_ns, value.end_ns)
        case Duration():
            return 4, value.ns
        case str():
            return 5, value
        case _:
            return 6, repr(value)
