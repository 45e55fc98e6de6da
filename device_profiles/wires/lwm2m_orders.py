"""LwM2M: the resource that an order writes, or executes."""

import re
from enum import StrEnum

import msgspec

from device_profiles.branch import Branch

__all__ = ["ResourceOrder", "ResourceValue", "read_resource"]

_PATH = re.compile(r"/\d{1,5}/\d{1,5}/\d{1,5}")


class ResourceValue(StrEnum):
    """What is written there; `none` executes the resource."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    NONE = "none"


class ResourceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order's place, `/object/instance/resource`, and the type of the value there."""

    path: str
    type: ResourceValue

    def __str__(self) -> str:
        return self.path if self.type is not ResourceValue.NONE else f"{self.path} (executed)"

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest number that it takes; a boolean is 0 or 1."""
        match self.type:
            case ResourceValue.INTEGER:
                return -(2.0**31), 2.0**31 - 1
            case ResourceValue.FLOAT:
                return -1e12, 1e12
            case ResourceValue.BOOLEAN:
                return 0, 1
            case ResourceValue.NONE:
                return 0, 0


def read_resource(branch: Branch) -> ResourceOrder:
    """The resource of an order."""
    return ResourceOrder(
        path=branch.text("path", form=_PATH, like="/3416/0/1"),
        type=branch.choice("type", ResourceValue),
    )
