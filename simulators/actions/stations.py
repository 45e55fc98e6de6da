"""Environment and hydrology stations, drains and bins."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]

_STATION: Mapping[str, Deed] = {
    "battery_low": deed("电池将尽", "the battery runs down", {"battery_low": True, "supply_v": 10.9}, wakes=True),
    "probe_fails": deed("水位计故障", "the level meter fails", {"level_meter_fault": True}, wakes=True),
    "repair": end("设备修复", "the station is mended", "battery_low", "supply_v", "level_meter_fault", wakes=True),
}


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.NOISE_STATION: {
        "din": deed("噪声骤升", "it gets loud", {"noise_db": 88.0}, wakes=True),
        "quieten": end("噪声回落", "it gets quiet again", "noise_db", wakes=True),
        "microphone_fails": deed("传声器故障", "the microphone fails", {"noise_db": None}, wakes=True),
    },
    Kind.OIL_FUME: {
        "smoke": deed("油烟超标", "the kitchen smokes", {"oil_fume_mg_m3": 4.6, "nmhc_mg_m3": 14.2}, wakes=True),
        "bypass": deed("净化器被关闭", "the purifier is switched off", {"fan_on": True, "purifier_on": False}, wakes=True),
        "clean": end(
            "油烟恢复正常", "the fume is clean again", "oil_fume_mg_m3", "nmhc_mg_m3", "fan_on", "purifier_on", wakes=True
        ),
    },
    Kind.WATER_QUALITY: {
        "discharge": deed(
            "排口出现污水",
            "polluted water comes",
            {"cod_mg_l": 320.0, "nh3n_mg_l": 38.0, "ph": 10.2, "dissolved_oxygen_mg_l": 0.8},
            wakes=True,
        ),
        "clear": end("水质恢复", "the water clears", "cod_mg_l", "nh3n_mg_l", "ph", "dissolved_oxygen_mg_l", wakes=True),
    },
    Kind.RAIN_GAUGE: {
        **_STATION,
        "cloudburst": deed("短时强降雨", "a cloudburst", {"rain_mm": 12.0, "rain_hour_mm": 46.0}, wakes=True),
        "rain_stops": end("雨停", "the rain stops", "rain_mm", "rain_hour_mm", wakes=True),
    },
    Kind.UNDERPASS: {
        **_STATION,
        "pond": deed("通道积水", "water gathers under the bridge", {"water_depth_cm": 18.0}, wakes=True),
        "flood": deed("通道淹没", "the underpass is flooded", {"water_depth_cm": 42.0}, wakes=True),
        "drain": end("积水排除", "the water is gone", "water_depth_cm", wakes=True),
    },
    Kind.DRAIN_GAUGE: {
        **_STATION,
        "surcharge": deed("管道满管壅水", "the drain is full", {"water_level_cm": 260.0}, wakes=True),
        "block": deed("管道堵塞", "the drain is blocked", {"water_level_cm": 160.0, "velocity_ms": 0.01}, wakes=True),
        "drain": end("水位回落", "the water falls", "water_level_cm", "velocity_ms", wakes=True),
    },
    Kind.LEVEL_SENSOR: {
        "fill": deed("垃圾箱装满", "the bin fills up", {"fill_level_pct": 97.0, "distance_mm": 60.0}, wakes=True),
        "burn": deed("箱内起火", "it burns in the bin", {"temperature_c": 78.0}, wakes=True),
        "tip_over": deed("垃圾箱倾倒", "the bin tips over", {"tilt_deg": 82.0}, wakes=True),
        "flood": deed("水位上涨", "the water rises", {"water_level_cm": 268.0}),
        "probe_fails": deed(
            "探头故障",
            "the probe fails",
            {"sensor_fault": True, "fill_level_pct": None, "distance_mm": None, "water_level_cm": None},
        ),
        "clear": end(
            "恢复正常",
            "all is well again",
            *("fill_level_pct", "distance_mm", "temperature_c", "tilt_deg", "water_level_cm", "sensor_fault"),
        ),
    },
}
