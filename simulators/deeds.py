"""What can happen to a simulated device: which metrics it pins, which it frees, whether the device speaks at once."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from device_profiles.quantities import Text
from telemetry.records import Value

__all__ = ["GENERAL", "Argument", "Deed", "How", "Kind", "deed", "end"]


class Kind(StrEnum):
    """The families of simulated devices."""

    COVER = "cover"
    LAMP_LOOP = "lamp_loop"
    TOILET_AIR = "toilet_air"
    TOILET_NODE = "toilet_node"
    VEHICLE = "vehicle"
    SWEEPER = "sweeper"
    GARBAGE_TRUCK = "garbage_truck"
    MUCK_TRUCK = "muck_truck"
    PEOPLE_COUNTER = "people_counter"
    LEAKAGE_MONITOR = "leakage_monitor"
    BRIDGE_MONITOR = "bridge_monitor"
    BRIDGE_VIBRATION = "bridge_vibration"
    GALLERY_GAS = "gallery_gas"
    GALLERY_WATER = "gallery_water"
    WATER_SUPPLY = "water_supply"
    FLOW_METER = "flow_meter"
    GAS_STATION = "gas_station"
    HEAT_EXCHANGE = "heat_exchange"
    SOIL_PROBE = "soil_probe"
    IRRIGATION = "irrigation"
    TOILET_SUPPLIES = "toilet_supplies"
    LAMP_SINGLE = "lamp_single"
    POWER_MONITOR = "power_monitor"
    NOISE_STATION = "noise_station"
    OIL_FUME = "oil_fume"
    WATER_QUALITY = "water_quality"
    RAIN_GAUGE = "rain_gauge"
    UNDERPASS = "underpass"
    DRAIN_GAUGE = "drain_gauge"
    ELECTRICITY_METER = "electricity_meter"
    CHARGING_PILE = "charging_pile"
    METER = "meter"
    WEIGHBRIDGE = "weighbridge"
    LEVEL_SENSOR = "level_sensor"
    CUBICLE = "cubicle"
    POLE_STATION = "pole_station"
    LAMP_CABINET = "lamp_cabinet"


class How(StrEnum):
    """The ways in which a device may be a bad neighbour; what a kind cannot do it leaves undone."""

    NOISE = "noise"  # bits flipped, stray bytes, a body that is no document
    LATE = "late"  # answers when nobody waits any more
    WRONG_UNIT = "wrong_unit"  # answers in another unit's name
    SILENT = "silent"  # says nothing
    CUT = "cut"  # stops within a frame; a connection is broken off
    FLOOD = "flood"  # speaks without end


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an event may say beside `do`: one of `words`, seconds, or any plain value."""

    name: str
    words: tuple[str, ...] = ()
    seconds: bool = False
    optional: bool = False


_FOR = Argument(name="for_s", seconds=True, optional=True)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happens. Metrics a profile does not have are passed over."""

    title: Text
    pins: Mapping[str, Value] = {}
    frees: tuple[str, ...] = ()
    wakes: bool = False
    takes: tuple[Argument, ...] = (_FOR,)


def deed(zh: str, en: str, pins: Mapping[str, Value], *, wakes: bool = False) -> Deed:
    """Something begins, and holds metrics where it puts them."""
    return Deed(title=Text(zh, en), pins=pins, wakes=wakes)


def end(zh: str, en: str, *frees: str, wakes: bool = False) -> Deed:
    """Something is over, and metrics move freely again."""
    return Deed(title=Text(zh, en), frees=frees, wakes=wakes, takes=())


GENERAL: Mapping[str, Deed] = {
    "set": Deed(
        title=Text("测量值被固定", "a value is held"),
        takes=(Argument(name="metric"), Argument(name="value"), _FOR),
        wakes=True,
    ),
    "free": Deed(title=Text("测量值恢复自然变化", "a value moves freely again"), takes=(Argument(name="metric"),), wakes=True),
    "misbehave": Deed(
        title=Text("通信开始异常", "begins to misbehave on its line"),
        takes=(Argument(name="how", words=tuple(How)), _FOR),
    ),
    "behave": Deed(title=Text("通信恢复正常", "behaves again"), takes=()),
}
