"""BLE: which field of an advertisement, or which characteristic, becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["BleWire", "ble_rows", "read_ble"]

_ITEM = re.compile(r"(bthome|gatt)\.[a-z0-9_]+(\.\d)?")


class BleWire(msgspec.Struct, frozen=True, kw_only=True):
    """A sensor near the gateway. An item is `bthome.` and the name of a measurement in its advertisements
    ("bthome.temperature"), or `gatt.` and the name of a characteristic that is read every `poll_s` ("gatt.battery_level")."""

    items: tuple[ItemField, ...]
    poll_s: float = 3600.0


def read_ble(branch: Branch, metrics: Mapping[str, Metric]) -> BleWire:
    """The measurements of a sensor."""
    wire = BleWire(
        items=read_items(branch, metrics, _ITEM, "bthome.temperature"),
        poll_s=branch.number("poll_s", 3600.0, low=10, high=604800),
    )
    branch.finish()
    return wire


def ble_rows(wire: BleWire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("ble", wire.items)
