"""CJ/T 188: which value of a water, heat or gas meter becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["CURRENT_DATA", "Cjt188Wire", "cjt188_rows", "read_cjt188"]

CURRENT_DATA = "901F"
"""The identifier of a meter's metering data, which an item without an identifier of its own is read from."""

_ITEM = re.compile(r"([0-9A-F]{4}\.)?[a-z][a-z0-9_]*")


class Cjt188Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A meter on an RS-485 or M-Bus line. `meter_type` is the T byte (0x10 cold water, 0x20 heat, 0x30 gas ...).

    An item is the name of a value in the answer to the metering data (901F), as `citynerve frame decode cjt188` shows it, or
    an identifier, `.` and the name ("D120.settle"). `status` is the two status bytes as a whole number, the first one low:
    makers do not agree on its bits, so a profile takes those of its model. Values come in the metric's unit, whatever unit
    the meter counts in.

    `low_first` sends identifiers low byte first, as the standard of 2018 does; that of 2004 sends the high byte first. A
    meter that does not send the sequence number of the question back wants `echoes_sequence: false`.
    """

    items: tuple[ItemField, ...]
    meter_type: int
    poll_s: float = 300.0
    timeout_s: float = 2.0
    wake_up: int = 4
    low_first: bool = False
    echoes_sequence: bool = True


def read_cjt188(branch: Branch, metrics: Mapping[str, Metric]) -> Cjt188Wire:
    """The values of a meter and how it is read; `wake_up` bytes FE go before each request."""
    wire = Cjt188Wire(
        items=read_items(branch, metrics, _ITEM, "total"),
        meter_type=branch.integer("meter_type", low=0x10, high=0x59),
        poll_s=branch.number("poll_s", 300.0, low=0.1, high=86400),
        timeout_s=branch.number("timeout_s", 2.0, low=0.05, high=60),
        wake_up=branch.integer("wake_up", 4, low=0, high=8),
        low_first=branch.flag("low_first", default=False),
        echoes_sequence=branch.flag("echoes_sequence", default=True),
    )
    branch.finish()
    return wire


def cjt188_rows(wire: Cjt188Wire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("cjt188", wire.items)
