"""Bridges and utility tunnels."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]

_SHAKEN = {"vibration_x_mm_s": 22.0, "vibration_y_mm_s": 18.0, "vibration_z_mm_s": 46.0, "displacement_z_um": 3400.0}


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.BRIDGE_MONITOR: {
        "tilt": deed("墩身倾斜", "the pier tilts", {"tilt_y_deg": -1.2}),
        "contract": deed("严寒中伸缩缝张开", "the joint opens in the cold", {"joint_opening_mm": 131.0, "temperature_c": -18.0}),
        "sensor_fails": deed("倾角探头失效", "the tilt sensor fails", {"tilt_x_deg": None, "sensor_fault": True}),
        "settle": end(
            "读数恢复", "the readings settle", "tilt_x_deg", "tilt_y_deg", "joint_opening_mm", "temperature_c", "sensor_fault"
        ),
    },
    Kind.BRIDGE_VIBRATION: {
        "shake": deed("重车驶过，桥梁强烈振动", "the bridge shakes", _SHAKEN),
        "calm": end("振动平息", "the bridge is calm again", *_SHAKEN),
    },
    Kind.GALLERY_GAS: {
        "gas_leak": deed("甲烷泄漏", "methane leaks in", {"ch4_pct_lel": 34.0, "o2_pct": 19.9}),
        "cable_smoulders": deed("电缆阴燃", "a cable smoulders", {"co_ppm": 140.0, "o2_pct": 18.6}),
        "sewer_gas": deed("污水舱反气", "sewer gas rises", {"h2s_ppm": 16.0}),
        "probe_fails": deed("甲烷探头失效", "the methane probe fails", {"ch4_pct_lel": None, "sensor_fault": True}),
        "air_clears": end("空气恢复", "the air clears", "ch4_pct_lel", "o2_pct", "co_ppm", "h2s_ppm", "sensor_fault"),
    },
    Kind.GALLERY_WATER: {
        "flood": deed("集水坑进水", "water rises in the sump", {"water_level_cm": 212.0, "float_high": True, "pump_1_on": True}),
        "pump_fails": deed("水泵故障", "a pump fails", {"pump_fault": True, "pump_1_on": False}),
        "lose_mains": deed("控制箱失电", "the mains fail", {"mains_present": False}),
        "restore": end(
            "恢复正常", "all is well again", "water_level_cm", "float_high", "pump_1_on", "pump_fault", "mains_present"
        ),
    },
}
