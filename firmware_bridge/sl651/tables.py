"""What the codes of SL 651-2014 are called: functions (annex B), classes of stations (annex A), parameters (annex D), status."""

__all__ = ["CLASSES", "FUNCTIONS", "PARAMETERS", "PARAMETER_FUNCTIONS", "REPORTS", "UNIFORM", "status_names"]

FUNCTIONS: dict[int, str] = {
    0x2F: "keep_alive",
    0x30: "test_report",
    0x31: "uniform_report",
    0x32: "timed_report",
    0x33: "extra_report",
    0x34: "hourly_report",
    0x35: "manual_report",
    0x36: "picture_report",
    0x37: "query_realtime",
    0x38: "query_period",
    0x39: "query_manual",
    0x3A: "query_elements",
    0x40: "set_base_parameters",
    0x41: "read_base_parameters",
    0x42: "set_run_parameters",
    0x43: "read_run_parameters",
    0x44: "query_pumps",
    0x45: "query_version",
    0x46: "query_status",
    0x47: "clear_storage",
    0x48: "factory_reset",
    0x49: "set_password",
    0x4A: "set_clock",
    0x4B: "set_ic_card",
    0x4C: "control_pumps",
    0x4D: "control_valves",
    0x4E: "control_gates",
    0x4F: "control_quota",
    0x50: "query_events",
    0x51: "query_clock",
}

REPORTS = frozenset({0x30, 0x31, 0x32, 0x33, 0x34, 0x36, 0x37, 0x38, 0x3A, 0x44})
"""Functions whose up frames tell the station's class behind its address."""

UNIFORM = frozenset({0x31, 0x38})
"""Functions in which one element is named once and its values follow, a time step apart (table 30)."""

PARAMETER_FUNCTIONS = frozenset({0x40, 0x41, 0x42, 0x43, 0x47, 0x48, 0x49})

CLASSES: dict[int, str] = {
    0x50: "rain",
    0x48: "river",
    0x4B: "reservoir",
    0x5A: "gate",
    0x44: "pump",
    0x54: "tide",
    0x4D: "soil_moisture",
    0x47: "groundwater",
    0x51: "water_quality",
    0x49: "intake",
    0x4F: "outlet",
}

# Annexes D.1 and D.2, as far as they are at hand; others keep their number.
PARAMETERS: dict[int, str] = {
    0x01: "centres",
    0x02: "station",
    0x03: "password",
    0x04: "centre_1_main_channel",
    0x05: "centre_1_spare_channel",
    0x06: "centre_2_main_channel",
    0x07: "centre_2_spare_channel",
    0x08: "centre_3_main_channel",
    0x09: "centre_3_spare_channel",
    0x0A: "centre_4_main_channel",
    0x0B: "centre_4_spare_channel",
    0x0C: "working_mode",
    0x0D: "elements_collected",
    0x0E: "relay_range",
    0x0F: "device_number",
    0x20: "timed_report_h",
    0x21: "extra_report_min",
    0x22: "rain_day_begins_h",
    0x23: "sampling_s",
    0x24: "level_storage_min",
    0x25: "rain_resolution_mm",
    0x26: "rain_threshold_mm",
    0x28: "level_base_1_m",
    0x30: "level_correction_1_m",
    0x38: "extra_report_level_1_m",
    0x40: "threshold_above_m",
    0x41: "threshold_below_m",
    0x97: "clear_storage",
    0x98: "factory_reset",
}

# Table 58. Bits 7 and 10 are 0 in the state that is worth telling.
_STATUS = {
    0: "mains_lost",
    1: "battery_low",
    2: "level_alarm",
    3: "flow_alarm",
    4: "quality_alarm",
    5: "flow_meter_fault",
    6: "level_meter_fault",
    7: "door_open",
    8: "memory_fault",
    9: "ic_card_on",
    10: "pump_running",
    11: "quota_exceeded",
}
_INVERTED = 1 << 7 | 1 << 10


def status_names(word: int) -> list[str]:
    """What a status word says, lowest bit first; `bit_N` for those that table 58 reserves."""
    told = word ^ _INVERTED
    return [_STATUS.get(bit, f"bit_{bit}") for bit in range(32) if told >> bit & 1]
