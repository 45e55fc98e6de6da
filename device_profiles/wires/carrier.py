"""Carrier platforms (OneNET, CTWing): what they push for an NB-IoT device, and which part of it becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["CarrierWire", "carrier_rows", "read_carrier"]

_ITEM = re.compile(r"/\d{1,5}/\d{1,5}/\d{1,5}|[A-Za-z][A-Za-z0-9_.-]{0,63}")


class CarrierWire(msgspec.Struct, frozen=True, kw_only=True):
    """A device behind a carrier's platform, which pushes over HTTP what the device told it.

    An item is a resource's path for devices that speak LwM2M to the platform (OneNET's `3303_0_5700` is "/3303/0/5700"),
    or the name of a property of the device's model at the platform.
    """

    items: tuple[ItemField, ...]


def read_carrier(branch: Branch, metrics: Mapping[str, Metric]) -> CarrierWire:
    """What is pushed for a device."""
    wire = CarrierWire(items=read_items(branch, metrics, _ITEM, "/3303/0/5700 or battery_v"))
    branch.finish()
    return wire


def carrier_rows(wire: CarrierWire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("carrier push", wire.items)
