"""The additional items of a location that the standard names, and how each value is read.

Sources: JT/T 808-2013 tables 27 to 33, JT/T 808-2019 tables 27 to 33; `foreign_items` has those of other published texts.
Ids from E1 on, and 51, 56 and the like, are the vendors' own: the same id means different things per model, so they stay hex.
"""

import struct
from collections.abc import Callable

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.foreign_items import ForeignValue, read_foreign_item
from telemetry.reason import Reason

__all__ = ["ITEMS", "Item", "ItemValue", "read_item"]

ItemValue = ForeignValue | float | list[int | None] | dict[str, int | str | None]
"""A value as a person or a program reads it."""

_SIGNALS = (
    "low_beam", "high_beam", "right_turn", "left_turn", "brake", "reverse", "fog_light", "outline_light", "horn",
    "air_conditioner", "neutral", "retarder", "abs", "heater", "clutch",
)  # fmt: skip
_PLACES = {0: "none", 1: "circle", 2: "rectangle", 3: "polygon", 4: "segment"}


class Item(msgspec.Struct, frozen=True):
    """One item: its name (with its unit), the sizes its value may have (empty for any), and its reader."""

    name: str
    sizes: tuple[int, ...]
    read: Callable[[bytes], ItemValue]


def _whole(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _tenths(data: bytes) -> float:
    return _whole(data) / 10


def _sign_magnitude(data: bytes) -> int:
    """2019 table 27: bit 15 is the sign, the rest the amount."""
    value = _whole(data)
    return -(value & 0x7FFF) if value & 0x8000 else value


def _names(names: tuple[str, ...]) -> Callable[[bytes], list[str]]:
    return lambda data: [
        names[bit] if bit < len(names) else f"bit_{bit}" for bit in range(8 * len(data)) if _whole(data) >> bit & 1
    ]


def _tyres(data: bytes) -> list[int | None]:
    return [None if byte == 0xFF else byte for byte in data]


def _place(data: bytes) -> dict[str, int | str | None]:
    area = int.from_bytes(data[1:5], "big") if len(data) == 5 else None
    return {"place_type": _PLACES.get(data[0], data[0]), "place_id": area}


def _crossing(data: bytes) -> dict[str, int | str | None]:
    kind, area, direction = struct.unpack(">BIB", data)
    return {"place_type": _PLACES.get(kind, kind), "place_id": area, "direction": "out" if direction else "in"}


def _segment_time(data: bytes) -> dict[str, int | str | None]:
    segment, seconds, result = struct.unpack(">IHB", data)
    return {"segment_id": segment, "driving_s": seconds, "result": "too_long" if result else "too_short"}


def _analog(data: bytes) -> dict[str, int | str | None]:
    high, low = struct.unpack(">HH", data)
    return {"ad0": low, "ad1": high}


ITEMS: dict[int, Item] = {
    0x01: Item("odometer_km", (4,), _tenths),
    0x02: Item("fuel_l", (2,), _tenths),
    0x03: Item("recorder_speed_kmh", (2,), _tenths),
    0x04: Item("alarm_event_id", (2,), _whole),
    0x05: Item("tyre_pressures_pa", (30,), _tyres),
    0x06: Item("carriage_temperature_cel", (2,), _sign_magnitude),
    0x11: Item("overspeed_place", (1, 5), _place),
    0x12: Item("area_crossing", (6,), _crossing),
    0x13: Item("segment_time", (7,), _segment_time),
    0x25: Item("vehicle_signals", (4,), _names(_SIGNALS)),
    0x2A: Item("io_states", (2,), _names(("deep_sleep", "sleep"))),
    0x2B: Item("analog_inputs", (4,), _analog),
    0x30: Item("network_signal", (1,), _whole),
    0x31: Item("satellites", (1,), _whole),
}


def read_item(number: int, data: bytes) -> tuple[str, ItemValue] | None:
    """Name and value of an item; None for a vendor's. ParseError(bad_length) where the standard's item has another size."""
    item = ITEMS.get(number)
    if item is None:
        return read_foreign_item(number, data)
    if item.sizes and len(data) not in item.sizes:
        raise ParseError(Reason.BAD_LENGTH, f"item {number:#04x} has {len(data)} bytes, want {' or '.join(map(str, item.sizes))}")
    return item.name, item.read(data)
