"""LwM2M: the resource that an order writes, executes, or reads."""

import re
from enum import StrEnum

import msgspec

from device_profiles.branch import Branch

__all__ = ["ResourceOrder", "ResourceValue", "read_resource"]

_PATH = re.compile(r"/\d{1,5}/\d{1,5}/\d{1,5}")
_READ_PATH = re.compile(r"/\d{1,5}/\d{1,5}(/\d{1,5})?")


class ResourceValue(StrEnum):
    """What is written there. `none` executes the resource; `read` asks for it, or for a whole instance, and what the device says
    is a reading like any other."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    NONE = "none"
    READ = "read"

    @property
    def is_written(self) -> bool:
        """Whether the order has a value."""
        return self not in {ResourceValue.NONE, ResourceValue.READ}


class ResourceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order's place, `/object/instance/resource`, and the type of the value there."""

    path: str
    type: ResourceValue

    def __str__(self) -> str:
        done = {ResourceValue.NONE: " (executed)", ResourceValue.READ: " (read)"}
        return f"{self.path}{done.get(self.type, '')}"

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
            case ResourceValue.NONE | ResourceValue.READ:
                return 0, 0


def read_resource(branch: Branch) -> ResourceOrder:
    """The resource of an order."""
    kind = branch.choice("type", ResourceValue)
    form, like = (_READ_PATH, "/3416/0 or /3416/0/3") if kind is ResourceValue.READ else (_PATH, "/3416/0/1")
    return ResourceOrder(path=branch.text("path", form=form, like=like), type=kind)
