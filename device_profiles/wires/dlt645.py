"""DL/T 645: which data identifier of an electricity meter becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["Dlt645Wire", "dlt645_rows", "read_dlt645"]

_ITEM = re.compile(r"([0-9A-F]{8}|[0-9A-F]{4})(\.[a-z][a-z0-9_]*)?")


class Dlt645Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A meter on an RS-485 line, read one data identifier at a time.

    An item is DI3 DI2 DI1 DI0 as eight hexadecimal digits ("02010100": voltage of phase A), or the four digits of DL/T
    645-1997 ("9010"); where the answer to one identifier holds several values, `.` and the name of one of them follow. A
    status word is a whole number of which a metric takes a bit. Values come in the metric's unit; `scale` is for the ratio
    of the transformers before the meter.

    With `blocks`, several items of one block (three voltages, all tariffs, the status words) are asked for at once, by FF
    in the place of the number that tells them apart.
    """

    items: tuple[ItemField, ...]
    poll_s: float = 60.0
    timeout_s: float = 1.5
    wake_up: int = 4
    blocks: bool = True


def read_dlt645(branch: Branch, metrics: Mapping[str, Metric]) -> Dlt645Wire:
    """The identifiers of a meter and how it is read; `wake_up` bytes FE go before each request (DL/T 645-2007, 5.2.1)."""
    wire = Dlt645Wire(
        items=read_items(branch, metrics, _ITEM, "02010100"),
        poll_s=branch.number("poll_s", 60.0, low=0.1, high=86400),
        timeout_s=branch.number("timeout_s", 1.5, low=0.05, high=60),
        wake_up=branch.integer("wake_up", 4, low=0, high=8),
        blocks=branch.flag("blocks", default=True),
    )
    branch.finish()
    return wire


def dlt645_rows(wire: Dlt645Wire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("dlt645", wire.items)
