"""The path of an address below /v1.1 (18-088, 9.2): from a set over entities and links to what is asked for."""

import re
from typing import Final

import msgspec

from cloud.sensorthings.errors import StaError, invalid, not_found, unsupported
from cloud.sensorthings.model import ID, SELF, SETS, Kind

__all__ = ["Hop", "Place", "read_path"]

_STEP: Final = re.compile(r"([A-Za-z]+)(?:\((.*)\))?", re.DOTALL)
_NUMBER: Final = re.compile(r"\d{1,19}", re.ASCII)
_MOST_STEPS: Final = 12
_BEYOND_LONG: Final = 2**63


class Hop(msgspec.Struct, frozen=True):
    """Over a link, to all behind it or to the one with the number `id`."""

    link: str
    id: int | None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What an address names. `many`: a list of entities of `kind`; else one of them, or its `property`."""

    root: Kind
    id: int | None
    hops: tuple[Hop, ...]
    kind: Kind
    many: bool
    property: str = ""
    raw: bool = False
    """Only the value, as text: `/name/$value`."""
    refs: bool = False
    """Only the addresses of the entities: `/$ref`."""


def read_path(path: str) -> Place:
    """What a path names; StaError (404) where there can be no such thing, whatever is in the stores."""
    steps = path.strip("/").split("/")
    if len(steps) > _MOST_STEPS:
        raise invalid(f"a path of {len(steps)} steps: want at most {_MOST_STEPS}")
    name, number = _step(steps[0])
    if name not in SETS:
        if name in {"MultiDatastreams", "Actuators", "Tasks", "TaskingCapabilities"} or steps[0] == "$batch":
            raise unsupported(f"{steps[0][:64]}: is not supported")
        raise not_found(f"{steps[0][:64]!r}: want one of {', '.join(SETS)}")
    place = Place(root=SETS[name], id=number, hops=(), kind=SETS[name], many=number is None)
    for index, step in enumerate(steps[1:], 1):
        last = index == len(steps) - 1
        place = _further(place, step, last=last)
    return place


def _further(place: Place, step: str, *, last: bool) -> Place:
    nowhere = not_found(f"{step[:64]!r}: there is nothing of this name here")
    if place.property:
        if step != "$value" or not last:
            raise nowhere
        return msgspec.structs.replace(place, raw=True)
    if step == "$ref" and last and (place.many or place.hops):
        return msgspec.structs.replace(place, refs=True)
    if place.many:
        raise nowhere
    if step in {ID, "id", SELF, *place.kind.properties}:
        return msgspec.structs.replace(place, property=ID if step == "id" else step)
    name, number = _step(step)
    link = place.kind.links.get(name)
    if link is None or (number is not None and not link.many):
        raise nowhere
    hops = (*place.hops, Hop(name, number))
    return msgspec.structs.replace(place, hops=hops, kind=SETS[link.to], many=link.many and number is None)


def _step(text: str) -> tuple[str, int | None]:
    """A name, and the number in brackets behind it."""
    found = _STEP.fullmatch(text)
    if found is None:
        return text, None
    name, inside = found.groups()
    if inside is None:
        return name, None
    if not _NUMBER.fullmatch(inside) or int(inside) >= _BEYOND_LONG:
        raise _no_such(name, inside)
    return name, int(inside)


def _no_such(name: str, said: str) -> StaError:
    return not_found(f"{name}({said[:32]}): there is none; numbers of entities are whole")
