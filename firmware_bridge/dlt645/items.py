"""What the data identifiers of DL/T 645 mean: one table of 2007 (annex A) and the common part of that of 1997.

A 2007 identifier is DI3 DI2 DI1 DI0, written high byte first. FF in the place of a tariff, phase or settlement day asks for
all of them in one block. Identifiers that are not here keep their data as it came.
"""

from collections.abc import Iterator

import msgspec

from firmware_bridge.dlt645.parts import Form, Part
from firmware_bridge.dlt645.status import STATUS_WORDS

__all__ = ["Item", "find"]


class Item(msgspec.Struct, frozen=True):
    """One quantity: its parts in wire order. `labels` name the repeats of a block, None for a single one."""

    name: str
    parts: tuple[Part, ...]
    labels: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """Bytes of one repeat."""
        return sum(part.size for part in self.parts)


# DI2: (name, unit, whether the highest bit is a sign): annex A, tables A.1 and A.2. Phases follow from 15, 29 and 3D.
_ENERGIES: dict[int, tuple[str, str, bool]] = {
    0x00: ("combined_active", "kW", True),
    0x01: ("forward_active", "kW", False),
    0x02: ("reverse_active", "kW", False),
    0x03: ("combined_reactive_1", "kvar", True),
    0x04: ("combined_reactive_2", "kvar", True),
    0x05: ("quadrant_1_reactive", "kvar", False),
    0x06: ("quadrant_2_reactive", "kvar", False),
    0x07: ("quadrant_3_reactive", "kvar", False),
    0x08: ("quadrant_4_reactive", "kvar", False),
    0x09: ("forward_apparent", "kV.A", False),
    0x0A: ("reverse_apparent", "kV.A", False),
    0x80: ("linked", "kW", False),
    0x81: ("forward_active_fundamental", "kW", False),
    0x82: ("reverse_active_fundamental", "kW", False),
    0x83: ("forward_active_harmonic", "kW", False),
    0x84: ("reverse_active_harmonic", "kW", False),
    0x85: ("copper_loss", "kW", False),
    0x86: ("iron_loss", "kW", False),
}
_PHASES = ("a", "b", "c")


def _with_phases() -> Iterator[tuple[int, tuple[str, str, bool]]]:
    for kind, (name, unit, signed) in _ENERGIES.items():
        yield kind, (name, unit, signed)
        if kind:
            for number, phase in enumerate(_PHASES):
                yield kind + 0x14 + 0x14 * number, (f"{name}_{phase}", unit, signed)


_KINDS = dict(_with_phases())


def _number(name: str, size: int, decimals: int, unit: str | None = None, *, signed: bool = False) -> Item:
    return Item(name, (Part(name, size, Form.NUMBER, decimals, unit, signed),))


def _text(name: str, size: int) -> Item:
    return Item(name, (Part(name, size, Form.TEXT),))


def _digits(name: str, size: int) -> Item:
    return Item(name, (Part(name, size, Form.DIGITS),))


# DI2 of table A.3 where DI1 is the phase: (item, whether DI1 = 00 is the total).
_BY_PHASE: dict[int, tuple[Item, bool]] = {
    0x01: (_number("voltage", 2, 1, "V"), False),
    0x02: (_number("current", 3, 3, "A", signed=True), False),
    0x03: (_number("active_power", 3, 4, "kW", signed=True), True),
    0x04: (_number("reactive_power", 3, 4, "kvar", signed=True), True),
    0x05: (_number("apparent_power", 3, 4, "kV.A", signed=True), True),
    0x06: (_number("power_factor", 2, 3, "1", signed=True), True),
    0x07: (_number("phase_angle", 2, 1, "deg"), False),
    0x08: (_number("voltage_distortion", 2, 2, "%"), False),
    0x09: (_number("current_distortion", 2, 2, "%"), False),
    0x0A: (_number("voltage_harmonic", 2, 2, "%"), False),
    0x0B: (_number("current_harmonic", 2, 2, "%"), False),
}
_HARMONICS = (0x0A, 0x0B)

_DATE = (Part("weekday", 1), Part("date", 3, Form.DATE))
_SINGLE: dict[int, Item] = {
    # Table A.3, variables.
    0x02800001: _number("neutral_current", 3, 3, "A"),
    0x02800002: _number("frequency", 2, 2, "Hz"),
    0x02800003: _number("active_power_minute_mean", 3, 4, "kW", signed=True),
    0x02800004: _number("active_demand", 3, 4, "kW", signed=True),
    0x02800005: _number("reactive_demand", 3, 4, "kvar", signed=True),
    0x02800006: _number("apparent_demand", 3, 4, "kV.A", signed=True),
    0x02800007: _number("temperature", 2, 1, "Cel", signed=True),
    0x02800008: _number("clock_battery_voltage", 2, 2, "V"),
    0x02800009: _number("reading_battery_voltage", 2, 2, "V"),
    0x0280000A: _number("battery_minutes", 4, 0, "min"),
    0x0280000B: _number("step_price", 4, 4, "{CNY}/kWh"),
    0x02800020: _number("price", 4, 4, "{CNY}/kWh"),
    # Table A.4, counts of events.
    0x03110000: _number("outages", 3, 0, "1"),
    0x03300000: _number("programmings", 3, 0, "1"),
    0x03300100: _number("meter_clears", 3, 0, "1"),
    0x03300200: _number("demand_clears", 3, 0, "1"),
    0x03300300: _number("event_clears", 3, 0, "1"),
    0x03300400: _number("clock_settings", 3, 0, "1"),
    0x03300D00: _number("cover_openings", 3, 0, "1"),
    0x03300E00: _number("terminal_cover_openings", 3, 0, "1"),
    # Table A.5, parameters.
    0x04000101: Item("date", _DATE),
    0x04000102: Item("time", (Part("time", 3, Form.TIME),)),
    0x04000103: _number("demand_period", 1, 0, "min"),
    0x04000104: _number("slide_time", 1, 0, "min"),
    0x04000105: _number("pulse_width", 2, 0, "ms"),
    0x04000106: Item("zone_switch_time", (Part("zone_switch_time", 5, Form.MOMENT),)),
    0x04000107: Item("slot_switch_time", (Part("slot_switch_time", 5, Form.MOMENT),)),
    0x0400010C: Item("date_time", (Part("date_time", 7, Form.CLOCK),)),
    0x04000201: _number("year_zones", 1, 0, "1"),
    0x04000202: _number("day_tables", 1, 0, "1"),
    0x04000203: _number("day_slots", 1, 0, "1"),
    0x04000204: _number("tariffs", 1, 0, "1"),
    0x04000205: _number("holidays", 2, 0, "1"),
    0x04000206: _number("harmonics", 1, 0, "1"),
    0x04000301: _number("automatic_screens", 1, 0, "1"),
    0x04000302: _number("screen_seconds", 1, 0, "s"),
    0x04000303: _number("energy_decimals", 1, 0, "1"),
    0x04000304: _number("power_decimals", 1, 0, "1"),
    0x04000305: _number("key_screens", 1, 0, "1"),
    0x04000306: _number("current_ratio", 3, 0, "1"),
    0x04000307: _number("voltage_ratio", 3, 0, "1"),
    0x04000401: _digits("address", 6),
    0x04000402: _digits("meter_number", 6),
    0x04000403: _text("asset_code", 32),
    0x04000404: _text("rated_voltage", 6),
    0x04000405: _text("rated_current", 6),
    0x04000406: _text("maximum_current", 6),
    0x04000407: _text("active_accuracy", 4),
    0x04000408: _text("reactive_accuracy", 4),
    0x04000409: _number("active_constant", 3, 0, "{imp}/kWh"),
    0x0400040A: _number("reactive_constant", 3, 0, "{imp}/kvarh"),
    0x0400040B: _text("model", 10),
    0x0400040C: _text("production_date", 10),
    0x0400040D: _text("protocol_version", 16),
    0x0400040E: _digits("customer_number", 6),
    0x04000B01: _digits("settlement_day_1", 2),
    0x04000B02: _digits("settlement_day_2", 2),
    0x04000B03: _digits("settlement_day_3", 2),
    0x04000E01: _number("forward_power_limit", 3, 4, "kW"),
    0x04000E02: _number("reverse_power_limit", 3, 4, "kW"),
    0x04000E03: _number("voltage_upper_limit", 2, 1, "V"),
    0x04000E04: _number("voltage_lower_limit", 2, 1, "V"),
    0x04800001: _text("firmware_version", 32),
    0x04800002: _text("hardware_version", 32),
    0x04800003: _text("maker_number", 32),
}
_STATUS = {0x04000500 + number: Part(f"status_word_{number}", 2, Form.BITS, bits=bits) for number, bits in STATUS_WORDS.items()}
_SINGLE |= {number: Item(part.name, (part,)) for number, part in _STATUS.items()}
_SINGLE[0x040005FF] = Item("status_words", tuple(_STATUS.values()))

# DL/T 645-1997, annex A: identifiers of two bytes; the low digit of an energy's is its tariff, F for all.
_ENERGIES_1997 = {
    0x9010: ("forward_active", "kW.h"),
    0x9020: ("reverse_active", "kW.h"),
    0x9110: ("forward_reactive", "kvar.h"),
    0x9120: ("reverse_reactive", "kvar.h"),
}
_SINGLE_1997: dict[int, Item] = {
    **{0xB611 + at: _number(f"voltage_{phase}", 2, 0, "V") for at, phase in enumerate(_PHASES)},
    **{0xB621 + at: _number(f"current_{phase}", 2, 2, "A") for at, phase in enumerate(_PHASES)},
    **{0xB630 + at: _number(name, 3, 4, "kW") for at, name in enumerate(("active_power", "active_power_a"))},
    0xC010: Item("date", _DATE),
    0xC011: Item("time", (Part("time", 3, Form.TIME),)),
    0xC032: _digits("meter_number", 6),
}


def find(data_id: str) -> Item | None:
    """What the identifier of 8 (2007) or 4 (1997) hex digits names, None where this table does not know."""
    number = int(data_id, 16)
    if len(data_id) == 4:
        return _of_1997(number)
    known = _SINGLE.get(number)
    if known is not None:
        return known
    di3, di2, di1, di0 = number.to_bytes(4, "big")
    match di3:
        case 0x00 | 0x01:
            return _energy(di2, di1, di0, demand=di3 == 0x01)
        case 0x02 if di2 in _BY_PHASE:
            return _by_phase(di2, di1, di0)
        case _:
            return None


def _of_1997(number: int) -> Item | None:
    energy = _ENERGIES_1997.get(number & 0xFFF0)
    if energy is None:
        return _SINGLE_1997.get(number)
    name, unit = energy
    tariff = number & 0xF
    part = Part(f"{name}_energy", 4, Form.NUMBER, 2, unit)
    return Item(part.name + (f"_tariff_{tariff}" if 0 < tariff < 0xF else ""), (part,), _tariffs(15) if tariff == 0xF else None)


def _tariffs(last: int) -> tuple[str, ...]:
    return ("total", *(f"tariff_{number}" for number in range(1, last)))


_LAST_TARIFF = 0x3F
_LAST_SETTLEMENT = 12


def _energy(kind: int, tariff: int, settlement: int, *, demand: bool) -> Item | None:
    """Tables A.1 and A.2: an energy, or a greatest demand with the time it was reached."""
    if kind not in _KINDS or (tariff > _LAST_TARIFF and tariff != 0xFF) or (settlement > _LAST_SETTLEMENT and settlement != 0xFF):
        return None
    name, unit, signed = _KINDS[kind]
    what = "demand" if demand else "energy"
    value = Part(f"{name}_{what}", 3 if demand else 4, Form.NUMBER, 4 if demand else 2, unit if demand else f"{unit}.h", signed)
    parts = (value, Part("time", 5, Form.MOMENT)) if demand else (value,)
    suffix = f"_tariff_{tariff}" if 0 < tariff <= _LAST_TARIFF else ""
    suffix += f"_settlement_{settlement}" if 0 < settlement <= _LAST_SETTLEMENT else ""
    if 0xFF not in {tariff, settlement}:
        return Item(value.name + suffix, parts)
    if tariff == settlement == 0xFF:
        return None
    if tariff == 0xFF:
        return Item(value.name + suffix, parts, _tariffs(_LAST_TARIFF + 1))
    return Item(value.name + suffix, parts, ("current", *(f"settlement_{n}" for n in range(1, _LAST_SETTLEMENT + 1))))


def _by_phase(kind: int, phase: int, order: int) -> Item | None:
    """Table A.3: a variable of one phase, or of all; of a harmonic, DI0 is its order."""
    item, has_total = _BY_PHASE[kind]
    harmonic = kind in _HARMONICS
    suffix = f"_{order}" if harmonic else ""
    if harmonic != bool(order) or order == 0xFF:
        return None
    if phase == 0xFF:
        return Item(item.name + suffix, item.parts, ("total", *_PHASES) if has_total else _PHASES)
    if phase == 0 and has_total:
        return Item(item.name, item.parts)
    return Item(f"{item.name}_{_PHASES[phase - 1]}{suffix}", item.parts) if 1 <= phase <= 3 else None
