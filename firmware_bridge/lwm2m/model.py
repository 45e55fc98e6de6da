"""What an object's table says of its resources (OMA registry: one definition an object)."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = ["Kind", "ObjectType", "ResourceType", "executable", "resource"]


class Kind(StrEnum):
    """The data types of LwM2M 1.1 Core, appendix C; `none` is a resource that can only be executed."""

    STRING = "string"
    INTEGER = "integer"
    UNSIGNED = "unsigned_integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    OPAQUE = "opaque"
    TIME = "time"
    OBJLNK = "objlnk"
    CORELNK = "corelnk"
    NONE = "none"


class ResourceType(msgspec.Struct, frozen=True):
    """One resource: `unit` in UCUM, empty where it has none; `low` and `high` are its range, None where it has no bound.

    `operations` are letters of R, W, E. `meanings` names the numbers of an enumeration, and both states of a boolean whose
    name does not say which is which. `note` warns of what a reader would take the wrong way round.
    """

    id: int
    name: str
    zh: str
    kind: Kind
    operations: str = "R"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    multiple: bool = False
    meanings: Mapping[int, str] = {}
    note: str = ""


class ObjectType(msgspec.Struct, frozen=True):
    """One object and its resources by identifier; none where the registry's table is not kept here."""

    id: int
    name: str
    zh: str
    resources: Mapping[int, ResourceType] = {}

    @classmethod
    def of(cls, number: int, name: str, zh: str, *resources: ResourceType) -> "ObjectType":
        """An object of these resources."""
        return cls(number, name, zh, {each.id: each for each in resources})


def resource(  # noqa: PLR0917 (the columns of a table, in order)
    number: int,
    name: str,
    zh: str,
    kind: Kind,
    operations: str = "R",
    unit: str = "",
    *,
    within: tuple[float | None, float | None] = (None, None),
    multiple: bool = False,
    meanings: Mapping[int, str] | None = None,
    note: str = "",
) -> ResourceType:
    """A row of a table; `within` is its lowest and highest value."""
    return ResourceType(number, name, zh, kind, operations, unit, within[0], within[1], multiple, meanings or {}, note)


def executable(number: int, name: str, zh: str) -> ResourceType:
    """A resource that does something and holds nothing."""
    return ResourceType(number, name, zh, Kind.NONE, "E")
