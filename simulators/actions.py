"""What can happen to each kind of device, as tables: which metrics it pins, which it frees, whether the device speaks at once."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from device_profiles.quantities import Text
from telemetry.records import Value

__all__ = ["ACTIONS", "GENERAL", "Argument", "Deed", "How", "Kind"]


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


def _deed(zh: str, en: str, pins: Mapping[str, Value], *, wakes: bool = False) -> Deed:
    return Deed(title=Text(zh, en), pins=pins, wakes=wakes)


def _end(zh: str, en: str, *frees: str, wakes: bool = False) -> Deed:
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

_PHASES = ("voltage_a_v", "voltage_b_v", "voltage_c_v", "current_a_a", "current_b_a", "current_c_a", "phase_lost")
_SHAKEN = {"vibration_x_mm_s": 22.0, "vibration_y_mm_s": 18.0, "vibration_z_mm_s": 46.0, "displacement_z_um": 3400.0}
_SOIL: Mapping[str, Deed] = {
    "dry_out": _deed("土壤干旱", "the soil dries out", {"soil_moisture_pct": 7.5}),
    "soak": _deed("土壤积水", "the soil is soaked", {"soil_moisture_pct": 52.0}),
    "recover": _end("墒情恢复", "the soil recovers", "soil_moisture_pct"),
}
_AIR: Mapping[str, Deed] = {
    "nh3_peak": _deed("氨气浓度骤升", "ammonia peaks", {"nh3_ppm": 38.0, "h2s_ppm": 1.2}),
    "air_clears": _end("空气恢复", "the air clears", "nh3_ppm", "h2s_ppm"),
    "sensor_fails": _deed("氨气探头无值", "the ammonia probe has no value", {"nh3_ppm": None}),
}

_STATION: Mapping[str, Deed] = {
    "battery_low": _deed("电池将尽", "the battery runs down", {"battery_low": True, "supply_v": 10.9}, wakes=True),
    "probe_fails": _deed("水位计故障", "the level meter fails", {"level_meter_fault": True}, wakes=True),
    "repair": _end("设备修复", "the station is mended", "battery_low", "supply_v", "level_meter_fault", wakes=True),
}

_VEHICLE: Mapping[str, Deed] = {
    "sos": _deed("司机按下紧急按钮", "the driver presses the emergency button", {"sos": True}, wakes=True),
    "sos_over": _end("紧急报警解除", "the emergency is over", "sos", wakes=True),
    "speed_up": _deed("车辆超速", "the vehicle drives too fast", {"speed_kmh": 96.0}, wakes=True),
    "slow_down": _end("车速恢复", "the vehicle slows down", "speed_kmh", wakes=True),
    "lose_power": _deed("主电源断开", "main power is lost", {"main_power_lost": True}, wakes=True),
    "outage": Deed(title=Text("驶入信号盲区", "drives into a blind area"), takes=(Argument(name="for_s", seconds=True),)),
}

ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.COVER: {
        "open": _deed(
            "井盖被打开", "the cover is opened", {"cover_open": True, "cover_moved": True, "tilt_deg": 72.0}, wakes=True
        ),
        "close": _end("井盖已复位", "the cover is closed", "cover_open", "cover_moved", "tilt_deg", wakes=True),
        "tilt": _deed("井盖倾斜", "the cover tilts", {"tilt_deg": 24.0, "cover_moved": True}, wakes=True),
        "flood": _deed(
            "井内水位上涨", "the well fills with water", {"water_level_cm": 210.0, "water_immersed": True}, wakes=True
        ),
        "drain": _end("水位回落", "the water falls", "water_level_cm", "water_immersed", wakes=True),
        "battery_low": _deed(
            "电池将尽", "the battery runs down", {"battery_v": 3.0, "battery_pct": 4.0, "battery_low": True}, wakes=True
        ),
        "probe_lost": _deed("水位探头无回波", "the level probe hears no echo", {"water_level_cm": None}, wakes=True),
    },
    Kind.LAMP_LOOP: {
        "lose_phase_a": _deed("A 相失电", "phase A drops out", {"voltage_a_v": 0.0, "current_a_a": 0.0, "phase_lost": True}),
        "lose_phase_b": _deed("B 相失电", "phase B drops out", {"voltage_b_v": 0.0, "current_b_a": 0.0, "phase_lost": True}),
        "lose_phase_c": _deed("C 相失电", "phase C drops out", {"voltage_c_v": 0.0, "current_c_a": 0.0, "phase_lost": True}),
        "restore": _end("供电恢复", "the supply is back", *_PHASES, "breaker_tripped", "leakage_ma", "door_open"),
        "trip": _deed(
            "断路器跳闸",
            "the breaker trips",
            {"breaker_tripped": True, "current_a_a": 0.0, "current_b_a": 0.0, "current_c_a": 0.0, "power_kw": 0.0},
        ),
        "leak": _deed("漏电流增大", "leakage current rises", {"leakage_ma": 480.0}),
        "open_door": _deed("箱门被打开", "the cabinet door is opened", {"door_open": True}),
    },
    Kind.LAMP_SINGLE: {
        "fail": _deed("灯故障", "the lamp fails", {"lamp_failure": True, "power_w": 0.0, "current_a": 0.0}, wakes=True),
        "repair": _end("灯已修复", "the lamp is repaired", "lamp_failure", "gear_failure", "power_w", "current_a", wakes=True),
        "lose_gear": _deed("驱动电源故障", "the driver fails", {"gear_failure": True, "dimming_pct": 0.0}, wakes=True),
        "burn_by_day": _deed("白天亮灯", "the lamp burns by day", {"lamp_day_burning": True}, wakes=True),
    },
    Kind.POWER_MONITOR: {
        "sag": _deed("电压跌落", "the voltage sags", {"voltage_v": 176.0, "voltage_low": True}, wakes=True),
        "overload": _deed("负载过大", "the load is too high", {"current_a": 62.0, "current_high": True}, wakes=True),
        "lose_load": _deed("负载丢失", "the load is lost", {"current_a": 0.0, "power_w": 0.0, "current_low": True}, wakes=True),
        "restore": _end(
            "供电恢复",
            "the supply is back",
            *("voltage_v", "voltage_low", "current_a", "current_high", "current_low", "power_w"),
            wakes=True,
        ),
    },
    Kind.TOILET_AIR: _AIR,
    Kind.TOILET_NODE: {
        **_AIR,
        "occupy": _deed("厕位占用", "a cubicle is taken", {"occupied": True, "cubicle_1_occupied": True}),
        "leave": _end("厕位空出", "the cubicle is free", "occupied", "cubicle_1_occupied"),
    },
    Kind.VEHICLE: _VEHICLE,
    Kind.SWEEPER: {
        **_VEHICLE,
        "sweep": _deed(
            "开始扫路作业",
            "begins to sweep",
            {"sweeping_on": True, "suction_on": True, "spraying_on": True, "speed_kmh": 8.0},
            wakes=True,
        ),
        "finish": _end("扫路作业结束", "ends sweeping", "sweeping_on", "suction_on", "spraying_on", "speed_kmh", wakes=True),
        "raise_hopper": _deed("垃圾箱举升", "raises the hopper", {"hopper_raised": True, "rear_door_open": True}, wakes=True),
        "lower_hopper": _end("垃圾箱放下", "lowers the hopper", "hopper_raised", "rear_door_open", "hopper_full", wakes=True),
        "fill_hopper": _deed("垃圾箱装满", "the hopper is full", {"hopper_full": True}, wakes=True),
        "run_dry": _deed(
            "清水用尽仍在扫路",
            "sweeps on without water",
            {"water_tank_pct": 2.0, "spraying_on": False, "sweeping_on": True, "speed_kmh": 8.0},
            wakes=True,
        ),
        "refill": _end("加满清水", "takes on water", "water_tank_pct", "spraying_on", wakes=True),
    },
    Kind.GARBAGE_TRUCK: {
        **_VEHICLE,
        "lift_bin": _deed("翻桶", "lifts a bin", {"bin_lifting": True, "compactor_on": True, "speed_kmh": 0.0}, wakes=True),
        "bin_down": _end("翻桶结束", "the bin is down", "bin_lifting", "compactor_on", "speed_kmh", wakes=True),
        "open_loader": _deed("填装器开启", "opens the loader", {"loader_open": True, "pusher_out": True}, wakes=True),
        "close_loader": _end("填装器关闭", "closes the loader", "loader_open", "pusher_out", wakes=True),
        "overload": _deed("装载过重", "is loaded too much", {"payload_t": 9.9}, wakes=True),
        "unload": _end("卸料完毕", "has unloaded", "payload_t", "leachate_level_pct", wakes=True),
        "leachate_rises": _deed("污水箱将满", "the leachate rises", {"leachate_level_pct": 94.0}, wakes=True),
        "scale_fails": _deed("称重无值", "the scale has no value", {"payload_t": None}, wakes=True),
    },
    Kind.MUCK_TRUCK: {
        **_VEHICLE,
        "open_lid": _deed("顶盖未合上", "drives with the lid open", {"lid_open": True, "load_state": "full"}, wakes=True),
        "close_lid": _end("顶盖合上", "closes the lid", "lid_open", "load_state", wakes=True),
        "lift_body": _deed("车厢举升", "lifts the body", {"body_lifted": True, "body_angle_deg": 44.0}, wakes=True),
        "lower_body": _end("车厢放下", "lowers the body", "body_lifted", "body_angle_deg", wakes=True),
        "overload": _deed("装载过重", "is loaded too much", {"payload_t": 21.5, "load_state": "full"}, wakes=True),
        "unload": _deed("卸土完毕", "has unloaded", {"payload_t": 0.2, "load_state": "empty"}, wakes=True),
        "leave_area": _deed("驶出围栏", "leaves its fence", {"area_crossed": True, "area_left": True, "area_id": 17}, wakes=True),
        "return": _end("回到围栏内", "is back within its fence", "area_crossed", "area_left", "area_id", wakes=True),
        "leave_route": _deed("偏离路线", "leaves its route", {"off_route": True}, wakes=True),
        "find_route": _end("回到路线", "is back on its route", "off_route", wakes=True),
        "lid_sensor_fails": _deed("密闭传感器失效", "the sensor of the lid fails", {"lid_sensor_fault": True}, wakes=True),
    },
    Kind.PEOPLE_COUNTER: {
        "crowd": _deed("人流聚集", "a crowd gathers", {"people_inside": 64}, wakes=True),
        "disperse": _end("人流散去", "the crowd disperses", "people_inside", wakes=True),
        "cover_sensor": _deed("传感器被遮挡", "the sensor is covered", {"sensor_blocked": True}, wakes=True),
        "uncover_sensor": _end("遮挡解除", "the sensor sees again", "sensor_blocked", wakes=True),
    },
    Kind.LEAKAGE_MONITOR: {
        "leak": _deed("漏电流增大", "leakage current rises", {"leakage_ma": 186.0, "leakage_warning": True}),
        "trip": _deed("漏电跳闸", "the relay trips", {"leakage_ma": 0.0, "breaker_tripped": True, "leakage_tripped": True}),
        "cut_transformer": _deed("互感器断线", "the transformer's wire is cut", {"leakage_ma": 0.0, "transformer_fault": True}),
        "repair": _end(
            "漏电修复",
            "the leak is repaired",
            "leakage_ma",
            "leakage_warning",
            "breaker_tripped",
            "leakage_tripped",
            "transformer_fault",
        ),
    },
    Kind.BRIDGE_MONITOR: {
        "tilt": _deed("墩身倾斜", "the pier tilts", {"tilt_y_deg": -1.2}),
        "contract": _deed("严寒中伸缩缝张开", "the joint opens in the cold", {"joint_opening_mm": 131.0, "temperature_c": -18.0}),
        "sensor_fails": _deed("倾角探头失效", "the tilt sensor fails", {"tilt_x_deg": None, "sensor_fault": True}),
        "settle": _end(
            "读数恢复", "the readings settle", "tilt_x_deg", "tilt_y_deg", "joint_opening_mm", "temperature_c", "sensor_fault"
        ),
    },
    Kind.BRIDGE_VIBRATION: {
        "shake": _deed("重车驶过，桥梁强烈振动", "the bridge shakes", _SHAKEN),
        "calm": _end("振动平息", "the bridge is calm again", *_SHAKEN),
    },
    Kind.GALLERY_GAS: {
        "gas_leak": _deed("甲烷泄漏", "methane leaks in", {"ch4_pct_lel": 34.0, "o2_pct": 19.9}),
        "cable_smoulders": _deed("电缆阴燃", "a cable smoulders", {"co_ppm": 140.0, "o2_pct": 18.6}),
        "sewer_gas": _deed("污水舱反气", "sewer gas rises", {"h2s_ppm": 16.0}),
        "probe_fails": _deed("甲烷探头失效", "the methane probe fails", {"ch4_pct_lel": None, "sensor_fault": True}),
        "air_clears": _end("空气恢复", "the air clears", "ch4_pct_lel", "o2_pct", "co_ppm", "h2s_ppm", "sensor_fault"),
    },
    Kind.GALLERY_WATER: {
        "flood": _deed("集水坑进水", "water rises in the sump", {"water_level_cm": 212.0, "float_high": True, "pump_1_on": True}),
        "pump_fails": _deed("水泵故障", "a pump fails", {"pump_fault": True, "pump_1_on": False}),
        "lose_mains": _deed("控制箱失电", "the mains fail", {"mains_present": False}),
        "restore": _end(
            "恢复正常", "all is well again", "water_level_cm", "float_high", "pump_1_on", "pump_fault", "mains_present"
        ),
    },
    Kind.WATER_SUPPLY: {
        "burst": _deed("供水管爆裂", "the main bursts", {"flow_m3h": 640.0, "pressure_kpa": 62.5}),
        "surge": _deed("压力骤升", "the pressure surges", {"pressure_kpa": 780.0}),
        "shut": _deed(
            "管道停水放空", "the main is shut and runs empty", {"flow_m3h": 0.0, "pressure_kpa": 0.0, "pipe_full": False}
        ),
        "battery_low": _deed("电池将尽", "the battery runs down", {"battery_v": 3.0, "battery_low": True}),
        "restore": _end("供水恢复", "the supply is back", "flow_m3h", "pressure_kpa", "pipe_full"),
    },
    Kind.FLOW_METER: {
        "burst": _deed("流量骤增", "the flow leaps", {"flow_m3h": 640.0}),
        "reverse": _deed("水流倒流", "the water runs back", {"flow_m3h": -12.5, "heat_power_kw": 0.0}),
        "lose_signal": _deed("超声信号变差", "the ultrasonic signal fades", {"signal_quality_pct": 12, "sensor_fault": True}),
        "restore": _end("测量恢复", "the meter is well again", "flow_m3h", "heat_power_kw", "signal_quality_pct", "sensor_fault"),
    },
    Kind.GAS_STATION: {
        "gas_leak": _deed("调压站漏气", "gas leaks at the station", {"ch4_pct_lel": 41.0}),
        "overpressure": _deed(
            "出口超压切断",
            "the outlet rises and is shut off",
            {"outlet_pressure_kpa": 4.4, "shutoff_closed": True, "flow_m3h": 0.0},
        ),
        "clog_filter": _deed("过滤器堵塞", "the filter clogs", {"filter_drop_kpa": 14.0}),
        "open_door": _deed("调压站门被打开", "the station's door is opened", {"door_open": True}),
        "restore": _end(
            "恢复供气",
            "the supply is back",
            "ch4_pct_lel",
            "outlet_pressure_kpa",
            "shutoff_closed",
            "flow_m3h",
            "filter_drop_kpa",
            "door_open",
        ),
    },
    Kind.HEAT_EXCHANGE: {
        "leak": _deed("二次网泄漏", "the house side leaks", {"secondary_return_pressure_kpa": 90.0, "water_immersed": True}),
        "stop_pump": _deed("循环泵停运", "the circulation stops", {"pump_1_on": False, "pump_fault": True, "heat_power_kw": 0.0}),
        "overheat": _deed("二次网超温", "the flow to the houses overheats", {"secondary_supply_temperature_c": 92.0}),
        "freeze": _deed("严寒防冻", "frost sets in", {"outdoor_temperature_c": -16.0, "secondary_return_temperature_c": 6.0}),
        "restore": _end(
            "供热恢复",
            "the heating is back",
            *("secondary_return_pressure_kpa", "water_immersed", "pump_1_on", "pump_fault", "heat_power_kw"),
            *("secondary_supply_temperature_c", "outdoor_temperature_c", "secondary_return_temperature_c"),
        ),
    },
    Kind.SOIL_PROBE: {**_SOIL, "salt": _deed("融雪剂入土", "salt gets into the soil", {"soil_conductivity_us_cm": 5200.0})},
    Kind.IRRIGATION: {
        **_SOIL,
        "valve_sticks": _deed("关阀后仍漏水", "the closed valve lets water through", {"valve_open": False, "flow_m3h": 2.4}),
        "run_dry": _deed("水源停供", "the source runs dry", {"flow_m3h": 0.0, "pressure_kpa": 0.0}),
        "mend": _end("灌溉恢复", "the irrigation is mended", "valve_open", "flow_m3h", "pressure_kpa"),
    },
    Kind.TOILET_SUPPLIES: {
        "use_up": _deed(
            "耗材用尽",
            "soap and paper run out",
            {"soap_level_pct": 4.0, "paper_level_pct": 0.0, "paper_low": True},
            wakes=True,
        ),
        "refill": _end("耗材补满", "soap and paper are refilled", "soap_level_pct", "paper_level_pct", "paper_low", wakes=True),
        "spill": _deed("地面积水", "water spills on the floor", {"water_immersed": True}),
        "dry": _end("地面擦干", "the floor is dry", "water_immersed"),
    },
    Kind.NOISE_STATION: {
        "din": _deed("噪声骤升", "it gets loud", {"noise_db": 88.0}, wakes=True),
        "quieten": _end("噪声回落", "it gets quiet again", "noise_db", wakes=True),
        "microphone_fails": _deed("传声器故障", "the microphone fails", {"noise_db": None}, wakes=True),
    },
    Kind.OIL_FUME: {
        "smoke": _deed("油烟超标", "the kitchen smokes", {"oil_fume_mg_m3": 4.6, "nmhc_mg_m3": 14.2}, wakes=True),
        "bypass": _deed("净化器被关闭", "the purifier is switched off", {"fan_on": True, "purifier_on": False}, wakes=True),
        "clean": _end(
            "油烟恢复正常", "the fume is clean again", "oil_fume_mg_m3", "nmhc_mg_m3", "fan_on", "purifier_on", wakes=True
        ),
    },
    Kind.WATER_QUALITY: {
        "discharge": _deed(
            "排口出现污水",
            "polluted water comes",
            {"cod_mg_l": 320.0, "nh3n_mg_l": 38.0, "ph": 10.2, "dissolved_oxygen_mg_l": 0.8},
            wakes=True,
        ),
        "clear": _end("水质恢复", "the water clears", "cod_mg_l", "nh3n_mg_l", "ph", "dissolved_oxygen_mg_l", wakes=True),
    },
    Kind.RAIN_GAUGE: {
        **_STATION,
        "cloudburst": _deed("短时强降雨", "a cloudburst", {"rain_mm": 12.0, "rain_hour_mm": 46.0}, wakes=True),
        "rain_stops": _end("雨停", "the rain stops", "rain_mm", "rain_hour_mm", wakes=True),
    },
    Kind.UNDERPASS: {
        **_STATION,
        "pond": _deed("通道积水", "water gathers under the bridge", {"water_depth_cm": 18.0}, wakes=True),
        "flood": _deed("通道淹没", "the underpass is flooded", {"water_depth_cm": 42.0}, wakes=True),
        "drain": _end("积水排除", "the water is gone", "water_depth_cm", wakes=True),
    },
    Kind.DRAIN_GAUGE: {
        **_STATION,
        "surcharge": _deed("管道满管壅水", "the drain is full", {"water_level_cm": 260.0}, wakes=True),
        "block": _deed("管道堵塞", "the drain is blocked", {"water_level_cm": 160.0, "velocity_ms": 0.01}, wakes=True),
        "drain": _end("水位回落", "the water falls", "water_level_cm", "velocity_ms", wakes=True),
    },
    Kind.ELECTRICITY_METER: {
        "lose_phase_a": _deed(
            "A 相失压", "phase A loses its voltage", {"voltage_a_v": 0.4, "current_a_a": 0.0, "phase_a_lost": True}
        ),
        "reverse": _deed("功率反向", "power runs backward", {"power_kw": -2.4, "power_reversed": True}),
        "open_relay": _deed("表内继电器拉闸", "the relay opens", {"relay_open": True, "power_kw": 0.0}),
        "battery_low": _deed("时钟电池欠压", "the clock's battery runs down", {"clock_battery_low": True}),
        "restore": _end(
            "恢复正常",
            "all is well again",
            *_PHASES,
            *("phase_a_lost", "power_kw", "power_reversed", "relay_open", "clock_battery_low"),
        ),
    },
    Kind.CHARGING_PILE: {
        "charge": _deed("车辆充电", "a vehicle charges", {"current_a": 31.2, "power_kw": 7.0}),
        "overload": _deed("充电过流", "it draws too much", {"current_a": 41.0, "power_kw": 9.2}),
        "lose_power": _deed("失电", "the supply is lost", {"voltage_v": 0.0, "current_a": 0.0, "power_kw": 0.0}),
        "open_relay": _deed("拉闸", "the relay opens", {"relay_open": True, "current_a": 0.0, "power_kw": 0.0}),
        "restore": _end("恢复正常", "all is well again", "voltage_v", "current_a", "power_kw", "relay_open"),
    },
    Kind.METER: {
        "valve_shuts": _deed("阀门关闭", "the valve shuts", {"valve_state": "closed"}),
        "valve_sticks": _deed("阀门卡滞", "the valve sticks", {"valve_state": "fault"}),
        "battery_low": _deed("电池欠压", "the battery runs down", {"battery_low": True}),
        "cool": _deed("供水变冷", "the supply grows cold", {"supply_temperature_c": 28.0, "return_temperature_c": 26.0}),
        "block": _deed("循环中断", "the circulation stops", {"flow_m3h": 0.0, "heat_power_kw": 0.0}),
        "restore": _end(
            "恢复正常",
            "all is well again",
            *("valve_state", "battery_low", "supply_temperature_c", "return_temperature_c", "flow_m3h", "heat_power_kw"),
        ),
    },
    Kind.WEIGHBRIDGE: {
        "drive_on": _deed("车辆上磅", "a truck drives on", {"weight_kg": 32140.0}, wakes=True),
        "overload": _deed("超载车上磅", "an overloaded truck drives on", {"weight_kg": 98760.0}, wakes=True),
        "drift": _deed("零点漂移", "the zero drifts", {"weight_kg": -180.0}),
        "drive_off": _end("车辆下磅", "the truck drives off", "weight_kg", wakes=True),
    },
    Kind.LEVEL_SENSOR: {
        "fill": _deed("垃圾箱装满", "the bin fills up", {"fill_level_pct": 97.0, "distance_mm": 60.0}, wakes=True),
        "burn": _deed("箱内起火", "it burns in the bin", {"temperature_c": 78.0}, wakes=True),
        "tip_over": _deed("垃圾箱倾倒", "the bin tips over", {"tilt_deg": 82.0}, wakes=True),
        "flood": _deed("水位上涨", "the water rises", {"water_level_cm": 268.0}),
        "probe_fails": _deed(
            "探头故障",
            "the probe fails",
            {"sensor_fault": True, "fill_level_pct": None, "distance_mm": None, "water_level_cm": None},
        ),
        "clear": _end(
            "恢复正常",
            "all is well again",
            *("fill_level_pct", "distance_mm", "temperature_c", "tilt_deg", "water_level_cm", "sensor_fault"),
        ),
    },
    Kind.CUBICLE: {
        "occupy": _deed("厕位占用", "a cubicle is taken", {"occupied": True}, wakes=True),
        "leave": _end("厕位空出", "the cubicle is free", "occupied", wakes=True),
        "battery_low": _deed("电池将尽", "the battery runs down", {"battery_pct": 6.0, "battery_v": 2.4}, wakes=True),
    },
    Kind.POLE_STATION: {
        "lean": _deed("灯杆倾斜", "the pole leans", {"tilt_deg": 6.5}, wakes=True),
        "open_hatch": _deed("检修门打开", "the hatch is opened", {"door_open": True}, wakes=True),
        "close_hatch": _end("检修门关闭", "the hatch is closed", "door_open", wakes=True),
        "din": _deed("噪声骤升", "it gets loud", {"noise_db": 88.0}, wakes=True),
        "vane_fails": _deed("风向标无值", "the vane has no value", {"wind_direction_deg": None}, wakes=True),
        "calm_down": _end("恢复正常", "all is well again", "tilt_deg", "noise_db", "wind_direction_deg", wakes=True),
    },
    Kind.LAMP_CABINET: {
        "open_door": _deed("灯箱门打开", "the cabinet is opened", {"door_open": True}, wakes=True),
        "close_door": _end("灯箱门关闭", "the cabinet is closed", "door_open", "tampered", wakes=True),
        "force": _deed("灯箱被撬", "the cabinet is forced", {"door_open": True, "tampered": True}, wakes=True),
        "heat_up": _deed("柜内过热", "it gets hot inside", {"cabinet_temperature_c": 78.0}, wakes=True),
        "cool_down": _end("柜内降温", "it cools down", "cabinet_temperature_c", wakes=True),
    },
}
