"""The eight entity sets: their properties, and the ways from one to another (18-088, clause 8.2)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from cloud.sensorthings.errors import invalid, unsupported
from cloud.sensorthings.tree import Name

__all__ = ["ID", "SELF", "SETS", "Entity", "Kind", "Link", "Route", "route"]

ID: Final = "@iot.id"
SELF: Final = "@iot.selfLink"


class Link(msgspec.Struct, frozen=True):
    """A navigation property: to one entity of a set, or to `many`. `endless`: there may be millions behind it."""

    to: str
    many: bool = True
    endless: bool = False


class Kind(msgspec.Struct, frozen=True):
    """An entity set. `properties` are those that every entity has, in the order in which they are shown."""

    name: str
    properties: tuple[str, ...]
    links: Mapping[str, Link]


class Entity(msgspec.Struct):
    """One entity. `values` are plain JSON, times being Period; `refs` the numbers that its links need.

    `linked` holds what was fetched for a filter or an order.
    """

    kind: Kind
    id: int
    values: dict[str, Any]
    refs: Mapping[str, int] = {}
    linked: dict[str, Sequence["Entity"]] = {}


_GEO: Final = ("name", "description", "encodingType")

SETS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "Things",
            ("name", "description", "properties"),
            {
                "Datastreams": Link("Datastreams"),
                "Locations": Link("Locations"),
                "HistoricalLocations": Link("HistoricalLocations", endless=True),
            },
        ),
        Kind(
            "Locations",
            (*_GEO, "location", "properties"),
            {"Things": Link("Things"), "HistoricalLocations": Link("HistoricalLocations")},
        ),
        Kind("HistoricalLocations", ("time",), {"Thing": Link("Things", many=False), "Locations": Link("Locations")}),
        Kind(
            "Datastreams",
            ("name", "description", "observationType", "unitOfMeasurement", "phenomenonTime", "resultTime", "properties"),
            {
                "Thing": Link("Things", many=False),
                "Sensor": Link("Sensors", many=False),
                "ObservedProperty": Link("ObservedProperties", many=False),
                "Observations": Link("Observations", endless=True),
            },
        ),
        Kind("Sensors", (*_GEO, "metadata", "properties"), {"Datastreams": Link("Datastreams")}),
        Kind(
            "ObservedProperties",
            ("name", "definition", "description", "properties"),
            {"Datastreams": Link("Datastreams")},
        ),
        Kind(
            "Observations",
            ("phenomenonTime", "result", "resultTime", "resultQuality"),
            {
                "Datastream": Link("Datastreams", many=False),
                "FeatureOfInterest": Link("FeaturesOfInterest", many=False),
            },
        ),
        Kind(
            "FeaturesOfInterest",
            (*_GEO, "feature", "properties"),
            {"Observations": Link("Observations", endless=True)},
        ),
    )
}

_DEEPEST: Final = 6


class Route(msgspec.Struct, frozen=True):
    """Where a name leads: over links to a property of `kind`, and into its JSON."""

    links: tuple[str, ...]
    kind: Kind
    property: str
    inside: tuple[str, ...] = ()


def route(kind: Kind, name: Name) -> Route:
    """Where a name of a filter leads from an entity of this kind; StaError (400) where there is no such thing."""
    links: list[str] = []
    rest = list(name.path)
    here = kind
    while rest and (link := here.links.get(rest[0])) is not None:
        if link.endless:
            raise unsupported(f"character {name.at + 1}: a filter or an order over all {rest[0]} of a {here.name} entity")
        links.append(rest.pop(0))
        here = SETS[link.to]
    if len(links) > _DEEPEST:
        raise invalid(f"character {name.at + 1}: a path over {len(links)} links: want at most {_DEEPEST}")
    if not rest:
        raise invalid(f"character {name.at + 1}: {'/'.join(name.path)} is no property but an entity; name one of its properties")
    wanted = ID if rest[0] == "id" else rest[0]
    if wanted != ID and wanted not in here.properties:
        known = ", ".join((ID, *here.properties, *here.links))
        raise invalid(f"character {name.at + 1}: {here.name} have no {rest[0][:64]!r}; want one of {known}")
    return Route(tuple(links), here, wanted, tuple(rest[1:]))
