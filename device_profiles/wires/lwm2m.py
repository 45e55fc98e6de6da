"""LwM2M: which resource of a client becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["Lwm2mWire", "lwm2m_rows", "read_lwm2m"]

_ITEM = re.compile(r"/\d{1,5}/\d{1,5}/\d{1,5}(/\d{1,5})?")


class Lwm2mWire(msgspec.Struct, frozen=True, kw_only=True):
    """A client that registers at the gateway. An item is a resource's path, `/object/instance/resource`.

    The instances the items lie in are observed, with `notify_min_s` and `notify_max_s` as their pmin and pmax; 0 leaves
    out either.
    """

    items: tuple[ItemField, ...]
    notify_min_s: int = 0
    notify_max_s: int = 0


def read_lwm2m(branch: Branch, metrics: Mapping[str, Metric]) -> Lwm2mWire:
    """The resources of a client and how often they are told."""
    wire = Lwm2mWire(
        items=read_items(branch, metrics, _ITEM, "/3303/0/5700"),
        notify_min_s=branch.integer("notify_min_s", 0, low=0, high=604800),
        notify_max_s=branch.integer("notify_max_s", 0, low=0, high=604800),
    )
    if wire.notify_max_s and wire.notify_max_s < wire.notify_min_s:
        branch.wrong("notify_max_s", f"{wire.notify_max_s} is below notify_min_s", "a longer time, or 0")
    branch.finish()
    return wire


def lwm2m_rows(wire: Lwm2mWire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("lwm2m", wire.items)
