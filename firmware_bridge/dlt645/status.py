"""The bits of a DL/T 645-2007 meter's status words 1 to 7 (annex C), and of its error word (clause 5.2.4.3)."""

__all__ = ["ERRORS", "STATUS_WORDS"]

_PHASE_FAULTS = {
    0: "voltage_lost",
    1: "undervoltage",
    2: "overvoltage",
    3: "current_lost",
    4: "overcurrent",
    5: "overload",
    6: "power_reversed",
    7: "phase_broken",
    8: "current_broken",
}

STATUS_WORDS: dict[int, dict[int, str]] = {
    1: {
        1: "demand_by_interval",
        2: "clock_battery_low",
        3: "reading_battery_low",
        4: "active_power_reversed",
        5: "reactive_power_reversed",
    },
    2: {
        0: "active_power_reversed_a",
        1: "active_power_reversed_b",
        2: "active_power_reversed_c",
        4: "reactive_power_reversed_a",
        5: "reactive_power_reversed_b",
        6: "reactive_power_reversed_c",
    },
    # Bits 1-2 are one number: 00 main supply, 01 auxiliary, 10 battery.
    3: {
        0: "second_slot_table",
        1: "auxiliary_supply",
        2: "battery_supply",
        3: "programming_enabled",
        4: "relay_open",
        5: "second_zone_table",
        6: "relay_commanded_open",
        7: "disconnection_announced",
    },
    4: _PHASE_FAULTS,
    5: _PHASE_FAULTS,
    6: _PHASE_FAULTS,
    7: {
        0: "voltage_sequence_reversed",
        1: "current_sequence_reversed",
        2: "voltage_unbalanced",
        3: "current_unbalanced",
        4: "auxiliary_supply_lost",
        5: "power_down",
        6: "demand_exceeded",
        7: "power_factor_low",
    },
}
"""Word: {bit: name where it is 1}; bits without a name are told as bit_N. Words 4 to 6 are phases A, B and C."""

ERRORS = {
    0: "other",
    1: "no_such_data",
    2: "not_authorised",
    3: "baud_unchangeable",
    4: "too_many_year_zones",
    5: "too_many_day_slots",
    6: "too_many_tariffs",
}
"""Bits of the error word. The words of DL/T 645-1997 are not at hand: its bits are told by number."""
