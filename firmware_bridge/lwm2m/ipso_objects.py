"""The 32xx and 33xx family: one set of reusable resources, and which object has which (IPSO Smart Objects; OMA registry)."""

from firmware_bridge.lwm2m.model import Kind, ObjectType, ResourceType, executable, resource

__all__ = ["IPSO_OBJECTS", "REUSABLE"]

REUSABLE = {
    row.id: row
    for row in (
        resource(5500, "digital_input_state", "数字输入状态", Kind.BOOLEAN),
        resource(5501, "digital_input_counter", "数字输入计数", Kind.INTEGER),
        resource(5502, "digital_input_polarity", "数字输入极性", Kind.BOOLEAN, "RW", meanings={0: "normal", 1: "reversed"}),
        resource(5503, "digital_input_debounce", "去抖时间", Kind.INTEGER, "RW", "ms"),
        resource(
            5504,
            "digital_input_edge",
            "触发沿",
            Kind.INTEGER,
            "RW",
            within=(1, 3),
            meanings={1: "falling", 2: "rising", 3: "both"},
        ),
        executable(5505, "digital_input_counter_reset", "计数清零"),
        resource(5514, "latitude", "纬度", Kind.STRING, unit="deg"),
        resource(5515, "longitude", "经度", Kind.STRING, unit="deg"),
        resource(5518, "timestamp", "时间戳", Kind.TIME),
        resource(5600, "analog_input_value", "模拟输入值", Kind.FLOAT),
        resource(5601, "minimum_measured_value", "最小测量值", Kind.FLOAT),
        resource(5602, "maximum_measured_value", "最大测量值", Kind.FLOAT),
        resource(5603, "minimum_range_value", "量程下限", Kind.FLOAT),
        resource(5604, "maximum_range_value", "量程上限", Kind.FLOAT),
        executable(5605, "reset_minimum_and_maximum", "极值清零"),
        resource(5700, "sensor_value", "测量值", Kind.FLOAT),
        resource(5701, "sensor_units", "单位", Kind.STRING),
        resource(5702, "x_value", "X 轴", Kind.FLOAT),
        resource(5703, "y_value", "Y 轴", Kind.FLOAT),
        resource(5704, "z_value", "Z 轴", Kind.FLOAT),
        resource(5706, "colour", "颜色", Kind.STRING, "RW"),
        resource(5750, "application_type", "用途", Kind.STRING, "RW"),
        resource(5800, "active_power", "有功功率", Kind.FLOAT, unit="W"),
        resource(5801, "minimum_active_power", "最小有功功率", Kind.FLOAT, unit="W"),
        resource(5802, "maximum_active_power", "最大有功功率", Kind.FLOAT, unit="W"),
        resource(5803, "minimum_active_power_range", "有功功率量程下限", Kind.FLOAT, unit="W"),
        resource(5804, "maximum_active_power_range", "有功功率量程上限", Kind.FLOAT, unit="W"),
        resource(5805, "cumulative_active_power", "累计有功电能", Kind.FLOAT, unit="W.h"),
        resource(5820, "power_factor", "功率因数", Kind.FLOAT, unit="1"),
        executable(5822, "reset_cumulative_energy", "电能清零"),
        resource(5850, "on_off", "开关", Kind.BOOLEAN, "RW", meanings={0: "off", 1: "on"}),
        resource(5851, "dimmer", "调光", Kind.INTEGER, "RW", "%", within=(0, 100)),
        resource(5852, "on_time", "开启时长", Kind.INTEGER, "RW", "s"),
        resource(5854, "off_time", "关闭时长", Kind.INTEGER, "RW", "s"),
        resource(6044, "battery_percentage", "电池电量", Kind.INTEGER, unit="%", within=(0, 100)),
        resource(6045, "rssi", "信号强度", Kind.INTEGER, unit="dB[mW]"),
        resource(6051, "numeric_latitude", "纬度", Kind.FLOAT, unit="deg", within=(-90, 90)),
        resource(6052, "numeric_longitude", "经度", Kind.FLOAT, unit="deg", within=(-180, 180)),
        resource(6053, "position_uncertainty", "位置不确定度", Kind.FLOAT, unit="m"),
    )
}
"""Resources that mean the same in every object (the registry keeps the numbers from 2048 on for them)."""

_SENSOR = (5700, 5701, 5601, 5602, 5603, 5604, 5605, 5750, 5518)
_DIGITAL = (5500, 5501, 5502, 5503, 5504, 5505, 5750, 5518)


def _rows(numbers: tuple[int, ...]) -> tuple[ResourceType, ...]:
    return tuple(REUSABLE[number] for number in numbers)


IPSO_OBJECTS = tuple(
    ObjectType.of(number, name, zh, *_rows(resources))
    for number, name, zh, resources in (
        (3200, "digital_input", "数字输入", _DIGITAL),
        (3202, "analog_input", "模拟输入", (5600, 5601, 5602, 5603, 5604, 5605, 5750)),
        (3300, "generic_sensor", "通用传感器", _SENSOR),
        (3301, "illuminance", "照度", _SENSOR),
        (3303, "temperature", "温度", _SENSOR),
        (3304, "humidity", "湿度", _SENSOR),
        (3305, "power_measurement", "功率测量", (5800, 5801, 5802, 5803, 5804, 5805, 5820, 5605, 5822, 5750)),
        (3306, "actuation", "执行器", (5850, 5851, 5852, 5750)),
        (3311, "light_control", "灯光控制", (5850, 5851, 5852, 5805, 5820, 5706, 5701, 5750)),
        (3312, "power_control", "电源控制", (5850, 5851, 5852, 5805, 5820, 5750)),
        (3313, "accelerometer", "加速度计", (5702, 5703, 5704, 5701, 5603, 5604, 5518)),
        (3315, "barometer", "气压计", _SENSOR),
        (3316, "voltage", "电压", _SENSOR),
        (3323, "pressure", "压力", _SENSOR),
        (3328, "power", "功率", _SENSOR),
        (3329, "power_factor", "功率因数", _SENSOR),
        (3330, "distance", "距离", _SENSOR),
        (3331, "energy", "电能", (5805, 5701, 5822, 5750, 5518)),
        # Version 1.0 had the place as text (5514, 5515), 2.0 has it as numbers (6051, 6052).
        (3336, "location", "位置", (5514, 5515, 6051, 6052, 6053, 5750, 5518)),
        (3338, "buzzer", "蜂鸣器", (5850, 5750)),
        (3342, "on_off_switch", "通断开关", (5500, 5501, 5852, 5854, 5750, 5518)),
        (3347, "push_button", "按钮", (5500, 5501, 5750, 5518)),
        (3407, "smoke_alarm", "烟感", (6044, 6045)),
    )
)
