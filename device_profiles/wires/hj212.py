"""HJ 212: which factor of an environment station becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["Hj212Wire", "hj212_rows", "read_hj212"]

_ITEM = re.compile(r"[A-Za-z][A-Za-z0-9]{1,11}\.[A-Za-z]{2,12}")


class Hj212Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A station that connects to the gateway and reports by itself.

    An item is factor code, `.` and kind ("a34004.Rtd": PM2.5, real time). Times are local, `utc_offset_h` ahead of UTC
    (HJ 212-2017, 6.2).
    """

    items: tuple[ItemField, ...]
    utc_offset_h: float = 8.0


def read_hj212(branch: Branch, metrics: Mapping[str, Metric]) -> Hj212Wire:
    """The factors of a station."""
    wire = Hj212Wire(
        items=read_items(branch, metrics, _ITEM, "a34004.Rtd"),
        utc_offset_h=branch.number("utc_offset_h", 8.0, low=-12, high=14),
    )
    branch.finish()
    return wire


def hj212_rows(wire: Hj212Wire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("hj212", wire.items)
