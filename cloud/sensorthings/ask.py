"""What is asked of the stores: which entities of a set, in which direction of their numbers, how many."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from cloud.sensorthings.errors import too_much
from cloud.sensorthings.model import ID, Kind
from cloud.sensorthings.times import Period
from cloud.sensorthings.tree import Call, Literal, Name, Node

__all__ = ["Ask", "Budget", "Condition", "conditions", "times_of"]

_TURNED: Final = {"eq": "eq", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
MOST_LOOKED_AT: Final = 50_000


class Condition(msgspec.Struct, frozen=True):
    """That a property compares so with a constant."""

    path: tuple[str, ...]
    op: str
    value: Any


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """The entities of `kind` that `scope` (numbers of what they belong to) and `where` leave, in the order of their
    numbers, those behind `after` only. `among`: the numbers that one name of the scope may have. `where` may be used or
    not: whoever asks looks again. `wanted`: which properties are needed, None for all.
    """

    kind: Kind
    scope: Mapping[str, int] = {}
    among: tuple[str, Sequence[int]] | None = None
    where: Sequence[Condition] = ()
    after: int | None = None
    descending: bool = False
    limit: int = 1000
    wanted: frozenset[str] | None = None


class Budget:
    """How much one answer may look at."""

    def __init__(self, rows: int | None = None) -> None:
        self._most = self._left = MOST_LOOKED_AT if rows is None else rows

    def take(self, rows: int) -> None:
        """StaError (400) where it is more than is left."""
        self._left -= rows
        if self._left < 0:
            raise too_much(
                f"this would look at more than {self._most} entities: "
                "narrow it by phenomenonTime, by a Datastream or by a Thing, or ask for less at once"
            )


def conditions(node: Node | None) -> list[Condition]:
    """The comparisons of a property with a constant that must all hold; more may be wanted."""
    match node:
        case Call(name="and", given=parts):
            return [each for part in parts for each in conditions(part)]
        case Call(name=op, given=(Name(path=path), Literal(value=value))) if op in _TURNED:
            return [Condition(_plain(path), op, value)]
        case Call(name=op, given=(Literal(value=value), Name(path=path))) if op in _TURNED:
            return [Condition(_plain(path), _TURNED[op], value)]
        case _:
            return []


def _plain(path: tuple[str, ...]) -> tuple[str, ...]:
    return (*path[:-1], ID) if path[-1] == "id" else path


def times_of(where: Sequence[Condition], names: Sequence[str]) -> tuple[int, int]:
    """[start, end) in nanoseconds around every time that conditions on one of these properties can mean."""
    start, end = 0, 2**63 - 1
    for each in where:
        if len(each.path) != 1 or each.path[0] not in names or not isinstance(each.value, Period):
            continue
        if each.op in {"gt", "ge", "eq"}:
            start = max(start, each.value.start_ns)
        if each.op in {"lt", "le", "eq"}:
            end = min(end, each.value.end_ns + 1)
    return start, end
