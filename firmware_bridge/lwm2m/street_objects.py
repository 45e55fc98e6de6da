"""Objects of the street: manhole cover 3408, lamp controller 3416, electrical monitor 3418 (OMA registry; uCIFI 2.0)."""

from firmware_bridge.lwm2m.ipso_objects import REUSABLE
from firmware_bridge.lwm2m.model import Kind, ObjectType, ResourceType, executable, resource

__all__ = ["STREET_OBJECTS"]

_PERCENT = (0, 100)
_DEGREES = "the registry prints rad, and a range of 0 to 180, which only degrees can be"
# One text of the registry says that true is "not open", another that 1 is "detected open". Nothing in a message tells by
# which text a device was built, so the value is given as it came, with both readings, until the device itself is tried.
_COVER = "the registry's texts disagree: true is not open by one, detected open by another"

CONTROL_TYPES = {
    0: "none",
    **{number: f"dali_{200 + number}" for number in range(1, 10)},
    10: "0_10_v",
    11: "pwm",
    12: "pwm_n",
    13: "other",
}


def _flag(number: int, name: str, zh: str) -> ResourceType:
    return resource(number, name, zh, Kind.BOOLEAN)


def _threshold(number: int, name: str, zh: str, unit: str) -> ResourceType:
    return resource(number, name, zh, Kind.FLOAT, "RW", unit)


def _measured(number: int, name: str, zh: str, unit: str) -> ResourceType:
    return resource(number, name, zh, Kind.FLOAT, "R", unit)


STREET_OBJECTS = (
    ObjectType.of(
        3408,
        "manhole_cover",
        "井盖",
        resource(1, "safety_angle_threshold", "安全角度阈值", Kind.INTEGER, unit="deg", within=(0, 180), note=_DEGREES),
        resource(2, "tilt", "倾斜角度", Kind.INTEGER, unit="deg", within=(0, 180), note=_DEGREES),
        resource(
            3,
            "cover_open_status",
            "井盖打开状态",
            Kind.BOOLEAN,
            meanings={0: "open (or: open not detected)", 1: "not open (or: detected open)"},
            note=_COVER,
        ),
    ),
    ObjectType.of(
        3416,
        "outdoor_lamp_controller",
        "户外单灯控制器",
        resource(1, "command", "调光命令", Kind.INTEGER, "RW", "%", within=_PERCENT),
        resource(2, "command_in_action", "生效命令", Kind.INTEGER, unit="%", within=_PERCENT),
        resource(3, "dimming_level", "实测调光值", Kind.INTEGER, unit="%", within=_PERCENT),
        resource(4, "default_dimming_level", "默认调光值", Kind.INTEGER, "RW", "%", within=_PERCENT),
        _flag(5, "lamp_failure", "灯故障"),
        resource(6, "lamp_failure_reason", "灯故障原因", Kind.INTEGER),
        _flag(7, "control_gear_failure", "驱动电源故障"),
        resource(8, "control_gear_failure_reason", "驱动电源故障原因", Kind.INTEGER),
        _flag(9, "relay_failure", "继电器故障"),
        _flag(10, "day_burner", "白天亮灯"),
        _flag(11, "cycling_failure", "频繁启停"),
        _flag(12, "control_gear_communication_failure", "驱动电源通信故障"),
        resource(13, "scheduler_id", "时间表标识", Kind.INTEGER, "RW", multiple=True),
        _flag(14, "invalid_scheduler", "时间表无效"),
        _measured(15, "lamp_operating_hours", "灯运行小时", "h"),
        executable(16, "lamp_operating_hours_reset", "灯运行小时清零"),
        resource(17, "lamp_on_timestamp", "最近开灯时间", Kind.TIME),
        resource(18, "lamp_switch_counter", "开关次数", Kind.INTEGER),
        executable(19, "lamp_switch_counter_reset", "开关次数清零"),
        resource(20, "control_gear_start_counter", "驱动电源启动次数", Kind.INTEGER),
        _measured(21, "control_gear_temperature", "驱动电源温度", "Cel"),
        _flag(22, "control_gear_thermal_derating", "驱动电源过温降额"),
        resource(23, "control_gear_thermal_derating_counter", "过温降额次数", Kind.INTEGER),
        executable(24, "control_gear_thermal_derating_counter_reset", "过温降额次数清零"),
        _flag(25, "control_gear_thermal_shutdown", "驱动电源过温关断"),
        resource(26, "control_gear_thermal_shutdown_counter", "过温关断次数", Kind.INTEGER),
        executable(27, "control_gear_thermal_shutdown_counter_reset", "过温关断次数清零"),
        resource(28, "output_port", "输出端口", Kind.INTEGER, "RW"),
        resource(
            29, "standby_mode", "待机模式", Kind.BOOLEAN, "RW", meanings={0: "relay opens at 0", 1: "relay stays closed at 0"}
        ),
        resource(30, "constant_light_output", "恒光输出", Kind.BOOLEAN, "RW"),
        resource(31, "cleaning_factor_enabled", "清洁系数启用", Kind.BOOLEAN, "RW"),
        resource(32, "cleaning_period", "清洁周期", Kind.INTEGER, "RW", "d"),
        resource(33, "initial_lamp_cleaning_factor", "初始清洁系数", Kind.INTEGER, "RW", "%", within=_PERCENT),
        resource(34, "lamp_cleaning_date", "清洁日期", Kind.TIME, "RW"),
        resource(35, "control_type", "控制方式", Kind.INTEGER, "RW", within=(0, 13), multiple=True, meanings=CONTROL_TYPES),
        resource(36, "nominal_lamp_wattage", "额定功率", Kind.INTEGER, "RW", "W"),
        resource(37, "minimum_dimming_level", "最小调光值", Kind.INTEGER, "RW", "%"),
        resource(38, "minimum_lamp_wattage", "最小功率", Kind.INTEGER, "RW", "W"),
        resource(39, "light_colour_temperature_command", "色温命令", Kind.INTEGER, "RW", "K"),
        resource(40, "actual_light_colour_temperature", "实际色温", Kind.INTEGER, unit="K"),
        resource(41, "virtual_power_output", "虚拟功率输出", Kind.INTEGER, "RW", "%", within=_PERCENT),
        _threshold(42, "voltage_at_maximum_dim_level", "最大调光电压", "V"),
        _threshold(43, "voltage_at_minimum_dim_level", "最小调光电压", "V"),
        _measured(44, "light_source_voltage", "光源电压", "V"),
        _measured(45, "light_source_current", "光源电流", "A"),
        _measured(46, "light_source_active_power", "光源有功功率", "W"),
        _measured(47, "light_source_active_energy", "光源有功电能", "kW.h"),
        _threshold(48, "maximum_light_source_current", "光源最大电流", "A"),
        _threshold(49, "default_fade_time", "默认渐变时间", "s"),
        resource(50, "manual_override_start_time", "手动开始时间", Kind.TIME, "RW"),
        resource(51, "manual_override_end_time", "手动结束时间", Kind.TIME, "RW"),
        _threshold(52, "manual_override_fade", "手动渐变时间", "s"),
        resource(53, "manual_override_default_duration", "手动默认时长", Kind.INTEGER, "RW", "s"),
        _flag(54, "manual_override_active", "手动生效"),
        resource(55, "default_light_colour_temperature", "默认色温", Kind.INTEGER, "RW", "K"),
        _measured(56, "driver_operating_hours", "驱动电源运行小时", "h"),
        executable(57, "driver_operating_hours_reset", "驱动电源运行小时清零"),
        resource(58, "manufacturer_gtin", "制造商 GTIN", Kind.STRING),
        resource(59, "manufacturer_serial_number", "制造商序列号", Kind.STRING),
        resource(60, "firmware_version", "固件版本", Kind.STRING),
        resource(61, "dali_version", "DALI 版本", Kind.STRING),
        _measured(62, "unit_temperature", "单元温度", "Cel"),
        resource(63, "device_capabilities", "设备能力", Kind.INTEGER),
        REUSABLE[5518],
    ),
    ObjectType.of(
        3418,
        "electrical_monitor",
        "电气监测",
        _measured(1, "supply_voltage", "供电电压", "V"),
        _measured(2, "supply_current", "供电电流", "A"),
        _measured(3, "frequency", "频率", "Hz"),
        _measured(4, "active_power", "有功功率", "W"),
        resource(5, "power_factor", "功率因数", Kind.FLOAT, unit="1", within=(-1, 1)),
        _measured(6, "cumulated_active_energy", "累计有功电能", "W.h"),
        executable(7, "energy_reset", "电能清零"),
        _threshold(8, "low_power_factor_threshold", "低功率因数阈值", "1"),
        _flag(9, "low_power_factor", "功率因数过低"),
        _threshold(10, "low_power_threshold", "低功率阈值", "W"),
        _threshold(11, "low_power_threshold_at_low_dim_level", "低调光时低功率阈值", "W"),
        _flag(12, "low_power", "功率过低"),
        _threshold(13, "high_power_threshold", "高功率阈值", "W"),
        _threshold(14, "high_power_threshold_at_low_dim_level", "低调光时高功率阈值", "W"),
        _flag(15, "high_power", "功率过高"),
        _threshold(16, "low_current_threshold", "低电流阈值", "A"),
        _flag(17, "low_current", "电流过低"),
        _threshold(18, "high_current_threshold", "高电流阈值", "A"),
        _flag(19, "high_current", "电流过高"),
        _threshold(20, "low_voltage_threshold", "低电压阈值", "V"),
        _flag(21, "low_voltage", "电压过低"),
        _threshold(22, "high_voltage_threshold", "高电压阈值", "V"),
        _flag(23, "high_voltage", "电压过高"),
        _threshold(24, "critical_inrush_threshold", "冲击电流阈值", "A"),
        _flag(25, "critical_inrush_current", "冲击电流过高"),
        _measured(26, "minimum_inrush_current", "最小冲击电流", "A"),
        _measured(27, "maximum_inrush_current", "最大冲击电流", "A"),
        _measured(28, "latest_inrush_current", "最近冲击电流", "A"),
        _measured(29, "reactive_power", "无功功率", "var"),
        _measured(30, "reactive_energy", "无功电能", "var.h"),
        resource(31, "low_power_threshold_at_custom_dim_level", "自定调光低功率阈值", Kind.FLOAT, "RW", "W", multiple=True),
        resource(32, "high_power_threshold_at_custom_dim_level", "自定调光高功率阈值", Kind.FLOAT, "RW", "W", multiple=True),
        resource(33, "custom_dim_level_minimum", "自定调光下限", Kind.INTEGER, "RW", "%", multiple=True),
        resource(34, "custom_dim_level_maximum", "自定调光上限", Kind.INTEGER, "RW", "%", multiple=True),
        resource(35, "dimming_level", "调光值", Kind.INTEGER, unit="%"),
        REUSABLE[5518],
    ),
)
