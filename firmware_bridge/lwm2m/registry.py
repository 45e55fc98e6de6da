"""The objects by number, and the type of whatever stands at a path."""

from collections.abc import Mapping

from firmware_bridge.lwm2m.core_objects import CORE_OBJECTS
from firmware_bridge.lwm2m.ipso_objects import IPSO_OBJECTS, REUSABLE
from firmware_bridge.lwm2m.model import ObjectType, ResourceType
from firmware_bridge.lwm2m.paths import Path
from firmware_bridge.lwm2m.street_objects import STREET_OBJECTS

__all__ = ["OBJECTS", "type_at", "type_of"]

OBJECTS: Mapping[int, ObjectType] = {each.id: each for each in (*CORE_OBJECTS, *IPSO_OBJECTS, *STREET_OBJECTS)}
_REUSABLE_FROM = 2048  # the registry keeps the numbers below for each object's own resources


def type_of(object_id: int | None, resource_id: int) -> ResourceType | None:
    """The resource's row; without an object, or where it has no such row, a reusable resource is known by its number alone."""
    known = OBJECTS.get(object_id) if object_id is not None else None
    if known is not None and resource_id in known.resources:
        return known.resources[resource_id]
    return REUSABLE.get(resource_id) if resource_id >= _REUSABLE_FROM else None


def type_at(path: Path) -> ResourceType | None:
    """The row of the resource that `path` names or lies within; None where it stops above, or is not known."""
    return type_of(path[0], path[2]) if len(path) >= 3 else None
