"""How the lists behind a link of several entities are got: for all of them at once where one question of a store answers that."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto

from cloud.sensorthings.ask import conditions
from cloud.sensorthings.ids import MOST_OWNERS
from cloud.sensorthings.model import ID
from cloud.sensorthings.options import PAGE, Options
from cloud.sensorthings.tree import Name, names_in
from cloud.sensorthings.values import TIMES

__all__ = ["Scope", "Way", "by_time", "natural", "wanted", "way_of"]

Scope = Mapping[str, int]


class Way(Enum):
    """Where the lists come from."""

    NEWEST = auto()
    """The newest Observation of each Datastream: from memory, for all devices at once."""
    ROWS = auto()
    """The rows of all lists in one answer of the registry, told apart afterwards."""
    EACH = auto()
    """One list after another."""


def way_of(options: Options, scopes: Sequence[Scope]) -> Way:
    """How to get the list of each scope with these options."""
    named = {name for scope in scopes for name in scope}
    if named == {"datastream"} and _one_only(options) and natural(options, scopes[0]) is True:
        return Way.NEWEST
    # A Thing has no more Datastreams than its profile has metrics: where a page holds as many, no row is read in vain.
    few = options.kind.name == "Datastreams" and named == {"thing"} and options.page >= PAGE
    if few and len(scopes) > 1 and natural(options, scopes[0]) is not None:
        return Way.ROWS
    return Way.EACH


def _one_only(options: Options) -> bool:
    first = options.top == 1 and not options.skip and options.after is None
    return options.kind.name == "Observations" and first and options.filter is None


def natural(options: Options, scope: Scope) -> bool | None:
    """Whether what is asked for is the set's own order, forward (False) or back (True); None where it is another."""
    if not options.orderby:
        return False
    first = options.orderby[0]
    if not isinstance(first.by, Name):
        return None
    path, name = first.by.path, options.kind.name
    if path in {("id",), (ID,)}:
        own = name not in {"Observations", "Locations", "HistoricalLocations"}
    elif name == "Observations":
        own = path[0] in TIMES and len(path) == 1 and _of_one(options, scope)
    else:
        own = name == "HistoricalLocations" and path == ("time",) and "thing" in scope
    return first.descending if own else None


def _of_one(options: Options, scope: Scope) -> bool:
    if "datastream" in scope:
        return True
    named = [each.value for each in conditions(options.filter) if each.path == ("Datastream", ID) and each.op == "eq"]
    return bool(named) and type(named[0]) is int and 0 < named[0] <= MOST_OWNERS


def by_time(options: Options) -> bool:
    """Whether Observations are asked for by nothing but time."""
    first = options.orderby[0]
    return (
        options.kind.name == "Observations"
        and len(options.orderby) == 1
        and isinstance(first.by, Name)
        and first.by.path in {(name,) for name in TIMES}
    )


def wanted(options: Options) -> frozenset[str] | None:
    """The properties that the answer or its filter and order need; None for all."""
    if options.select is None:
        return None
    nodes = [ordering.by for ordering in options.orderby] + ([] if options.filter is None else [options.filter])
    return options.select | {name.path[0] for name in names_in(*nodes)}
