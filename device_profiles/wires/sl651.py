"""SL 651-2014: which element of a hydrological station becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["Sl651Wire", "read_sl651", "sl651_rows"]

_ITEM = re.compile(r"[A-Z][A-Z0-9]{0,7}")


class Sl651Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A station that connects to the gateway and reports by itself.

    An item is an element's letters as the standard writes them ("Z": level, "PJ": rain of the current period, "VT":
    supply voltage; SL 651-2014, appendix C). Times are local, `utc_offset_h` ahead of UTC.
    """

    items: tuple[ItemField, ...]
    utc_offset_h: float = 8.0


def read_sl651(branch: Branch, metrics: Mapping[str, Metric]) -> Sl651Wire:
    """The elements of a station."""
    wire = Sl651Wire(
        items=read_items(branch, metrics, _ITEM, "Z"),
        utc_offset_h=branch.number("utc_offset_h", 8.0, low=-12, high=14),
    )
    branch.finish()
    return wire


def sl651_rows(wire: Sl651Wire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("sl651", wire.items)
