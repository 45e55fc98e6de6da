"""BLE: which field of an advertisement, or which characteristic, becomes which metric."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["BTHOME", "GATT", "RADIO", "BleWire", "ble_rows", "read_ble"]

BTHOME, GATT, RADIO = "bthome.", "gatt.", "radio."
_ITEM = re.compile(r"bthome\.[a-z0-9_]+(\.[2-9])?|gatt\.[a-z0-9_]+|radio\.rssi_dbm")


class BleWire(msgspec.Struct, frozen=True, kw_only=True):
    """A sensor near the gateway. An item is `bthome.` and the name of a measurement in its advertisements, the second of
    one kind with .2 and so on ("bthome.temperature", "bthome.temperature.2"); `gatt.` and the name of a characteristic
    that is read every `poll_s` ("gatt.battery_level"); or "radio.rssi_dbm", how loud it was heard. With `uart` it takes orders
    over Nordic's UART service."""

    items: tuple[ItemField, ...]
    poll_s: float = 3600.0
    uart: bool = False

    @property
    def characteristics(self) -> tuple[str, ...]:
        """The names of the characteristics that are read."""
        return tuple(field.item.removeprefix(GATT) for field in self.items if field.item.startswith(GATT))


def read_ble(branch: Branch, metrics: Mapping[str, Metric]) -> BleWire:
    """The measurements of a sensor."""
    wire = BleWire(
        items=read_items(branch, metrics, _ITEM, "bthome.temperature, gatt.battery_level or radio.rssi_dbm"),
        poll_s=branch.number("poll_s", 3600.0, low=10, high=604800),
        uart=branch.flag("uart", default=False),
    )
    branch.finish()
    return wire


def ble_rows(wire: BleWire) -> Iterator[Row]:
    """The map as a person reads it."""
    return item_rows("ble", wire.items)
