"""CJ/T 188: which value of a water, heat or gas meter becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["Cjt188Wire", "cjt188_rows", "read_cjt188"]

_ITEM = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)?")


class Cjt188Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A meter on an RS-485 or M-Bus line. `meter_type` is the T byte (0x10 cold water, 0x20 heat, 0x30 gas ...);
    an item is the name of a value in the answer to its metering data, as `citynerve frame decode cjt188` shows it."""

    items: tuple[ItemField, ...]
    meter_type: int
    poll_s: float = 300.0
    timeout_s: float = 2.0
    wake_up: int = 4


def read_cjt188(branch: Branch, metrics: Mapping[str, Metric]) -> Cjt188Wire:
    """The values of a meter and how it is read; `wake_up` bytes FE go before each request."""
    wire = Cjt188Wire(
        items=read_items(branch, metrics, _ITEM, "total"),
        meter_type=branch.integer("meter_type", low=0x10, high=0x59),
        poll_s=branch.number("poll_s", 300.0, low=1, high=86400),
        timeout_s=branch.number("timeout_s", 2.0, low=0.1, high=60),
        wake_up=branch.integer("wake_up", 4, low=0, high=8),
    )
    branch.finish()
    return wire


def cjt188_rows(wire: Cjt188Wire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("cjt188", wire.items)
