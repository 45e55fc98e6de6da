"""What the codes of CJ/T 188 mean: meter types, functions, units, identifiers, layouts (2004, tables 1 to 13; 2018, to 20)."""

from enum import Enum

import msgspec

__all__ = [
    "FUNCTIONS",
    "METER_TYPES",
    "UNITS",
    "VALVE_ACTIONS",
    "Field",
    "Form",
    "family",
    "is_identifier",
    "item_name",
    "layouts",
]

METER_TYPES: dict[int, str] = {
    0x10: "cold_water",
    0x11: "hot_water",
    0x12: "drinking_water",
    0x13: "reclaimed_water",
    0x20: "heat",
    0x21: "cooling",
    0x22: "heat_and_cooling",
    0x30: "gas",
    0x40: "custom",
    0xAA: "any",
}
_FAMILIES = {0x1: "water", 0x2: "heat", 0x3: "gas", 0x4: "custom"}

FUNCTIONS: dict[int, str] = {
    0x01: "read",
    0x03: "read_address",
    0x04: "write",
    0x09: "read_key_version",
    0x15: "write_address",
    0x16: "write_motor_sync",
}

# Code of the unit itself: its UCUM code. The two codes behind each are 10 and 100 of it.
_BASE_UNITS = {
    0x02: "W.h",
    0x05: "kW.h",
    0x08: "MW.h",
    0x0B: "kJ",
    0x0E: "MJ",
    0x11: "GJ",
    0x14: "W",
    0x17: "kW",
    0x1A: "MW",
    0x29: "L",
    0x2C: "m3",
    0x32: "L/h",
    0x35: "m3/h",
    0x40: "J/h",
    0x43: "kJ/h",
    0x46: "MJ/h",
    0x49: "GJ/h",
}
UNITS: dict[int, tuple[str, int]] = {
    code + power: (unit, 10**power) for code, unit in _BASE_UNITS.items() for power in range(3)
} | {0x01: ("J", 1)}
"""Code: (UCUM code, how many of it)."""

VALVE_ACTIONS = {0x55: "open", 0x99: "close"}


class Form(Enum):
    """How the bytes of a field are written; low byte first, all of them."""

    NUMBER = "number"
    """BCD with a decimal point."""
    QUANTITY = "quantity"
    """BCD with a decimal point, and a byte with its unit behind it."""
    TIME = "time"
    """ss mm hh DD MM YY CC."""
    STATUS = "status"
    VALVE = "valve"
    ADDRESS = "address"
    RAW = "raw"


class Field(msgspec.Struct, frozen=True):
    """One field of an identifier's data: its name, its bytes (the unit's among them), where its decimal point stands."""

    name: str
    size: int
    form: Form = Form.NUMBER
    decimals: int = 0
    unit: str | None = None


def _quantity(name: str, size: int = 5, decimals: int = 2) -> Field:
    return Field(name, size, Form.QUANTITY, decimals)


_TIME = Field("time", 7, Form.TIME)
_STATUS = Field("status", 2, Form.STATUS)
_SUPPLY, _RETURN = "supply_temperature", "return_temperature"

# 901F, table 5 and table 12: a water or gas meter, a heat meter, and a heat meter with shorter fields that some drivers read.
_FLOW_METER = (_quantity("total"), _quantity("settle"), _TIME, _STATUS)
_HEAT_METER = (
    _quantity("settle_heat"),
    _quantity("heat"),
    _quantity("power"),
    _quantity("flow", decimals=4),
    _quantity("volume"),
    Field(_SUPPLY, 3, decimals=2, unit="Cel"),
    Field(_RETURN, 3, decimals=2, unit="Cel"),
    Field("hours", 3, unit="h"),
    _TIME,
    _STATUS,
)
_SHORT_HEAT_METER = (
    _quantity("settle_heat"),
    _quantity("heat"),
    _quantity("power", 4),
    _quantity("flow", 4, 3),
    _quantity("volume"),
    Field(_SUPPLY, 2, decimals=2, unit="Cel"),
    Field(_RETURN, 2, decimals=2, unit="Cel"),
    Field("hours", 4, unit="h"),
    _TIME,
    _STATUS,
)
# 2018, freezes D3xx and D4xx. The pressure's unit is not told in what is at hand.
_FREEZE = (
    _TIME,
    _quantity("total"),
    _quantity("flow", decimals=4),
    Field("temperature", 3, decimals=2, unit="Cel"),
    Field("pressure", 3, decimals=2),
)
_PRICES = (
    Field("price_1", 3, decimals=2),
    Field("volume_1", 3, unit="m3"),
    Field("price_2", 3, decimals=2),
    Field("volume_2", 3, unit="m3"),
    Field("price_3", 3, decimals=2),
)

# Identifier: (name, its layouts). Of several, the one that takes exactly the bytes there are is meant.
_ITEMS: dict[int, tuple[str, tuple[tuple[Field, ...], ...]]] = {
    0x901F: ("current_data", (_FLOW_METER,)),
    0x903F: ("power", ()),
    0x904F: (_RETURN, ()),
    0x905F: (_SUPPLY, ()),
    0x906F: ("hours", ()),
    0x907F: ("clock", ((_TIME,),)),
    0x911F: ("heat_and_cooling_data", ()),
    0x8102: ("prices", (_PRICES,)),
    0x8103: ("settle_day", ((Field("day", 1),),)),
    0x8104: ("reading_day", ((Field("day", 1),),)),
    0x8105: (
        "purchase",
        (
            (
                Field("purchase", 1),
                Field("bought", 4, decimals=2),
                Field("bought_in_all", 4, decimals=2),
                Field("left", 4, decimals=2),
                _STATUS,
            ),
        ),
    ),
    0x8106: ("key_version", ((Field("key_version", 1),),)),
    0x810A: ("address", ()),
    0xA010: ("set_prices", ((*_PRICES, Field("from_day", 1)), _PRICES)),
    0xA011: ("set_settle_day", ((Field("day", 1),),)),
    0xA012: ("set_reading_day", ((Field("day", 1),),)),
    0xA013: ("set_purchase", ((Field("purchase", 1), Field("bought", 4, decimals=2)),)),
    0xA014: ("set_key", ()),
    0xA015: ("set_clock", ((_TIME,),)),
    0xA016: ("motor_sync", ((_quantity("total"),),)),
    0xA017: ("valve", ((Field("valve_action", 1, Form.VALVE),),)),
    0xA018: ("set_address", ((Field("new_address", 7, Form.ADDRESS),),)),
    0xA019: ("factory_enable", ()),
    0xA101: ("enter_verification", ()),
    0xA102: ("leave_verification", ()),
    0xA103: ("set_communication", ()),
    0xA104: ("set_freeze", ()),
    0xA105: ("set_alarm_volume", ()),
    0xA106: ("set_alarm_money", ()),
    0xA107: ("set_key", ()),
}
_HISTORY_2018 = {0xD2: "settle_history", 0xD3: "timed_freeze", 0xD4: "instant_freeze"}
_MONTHS = range(0xD120, 0xD12C)


def family(meter_type: int) -> str:
    """water, heat, gas or custom; any type outside the standard's ranges is custom."""
    return _FAMILIES.get(meter_type >> 4, "custom") if meter_type & 0xF <= 9 else "custom"


def is_identifier(number: int) -> bool:
    return number in _ITEMS or number in _MONTHS or number >> 8 in _HISTORY_2018


def item_name(number: int) -> str | None:
    if number in _MONTHS:
        return f"settle_month_{number - _MONTHS.start + 1}"
    if number >> 8 in _HISTORY_2018:
        return f"{_HISTORY_2018[number >> 8]}_{(number & 0xFF) + 1}"
    return _ITEMS[number][0] if number in _ITEMS else None


def layouts(number: int, kind: str) -> tuple[tuple[Field, ...], ...]:
    """How the data of an identifier may be laid out for a family of meters."""
    heat = kind == "heat"
    if number == 0x901F and heat:
        return _HEAT_METER, _SHORT_HEAT_METER
    if number in _MONTHS:
        return ((_quantity("settle_heat" if heat else "settle"),),)
    match number >> 8:
        case 0xD2:
            settled = (_quantity("settle_heat"), _quantity("settle_cooling"), _quantity("volume"))
            return (settled if heat else (_quantity("settle"),),)
        case 0xD3 | 0xD4:
            return () if heat else (_FREEZE,)
        case _:
            return _ITEMS[number][1] if number in _ITEMS else ()
