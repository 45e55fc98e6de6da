"""Vehicles, and what weighs them."""

from collections.abc import Mapping

from device_profiles.quantities import Text
from simulators.deeds import Argument, Deed, Kind, deed, end

__all__ = ["ACTIONS"]

_VEHICLE: Mapping[str, Deed] = {
    "sos": deed("司机按下紧急按钮", "the driver presses the emergency button", {"sos": True}, wakes=True),
    "sos_over": end("紧急报警解除", "the emergency is over", "sos", wakes=True),
    "speed_up": deed("车辆超速", "the vehicle drives too fast", {"speed_kmh": 96.0}, wakes=True),
    "slow_down": end("车速恢复", "the vehicle slows down", "speed_kmh", wakes=True),
    "lose_power": deed("主电源断开", "main power is lost", {"main_power_lost": True}, wakes=True),
    "outage": Deed(title=Text("驶入信号盲区", "drives into a blind area"), takes=(Argument(name="for_s", seconds=True),)),
}


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.VEHICLE: _VEHICLE,
    Kind.SWEEPER: {
        **_VEHICLE,
        "sweep": deed(
            "开始扫路作业",
            "begins to sweep",
            {"sweeping_on": True, "suction_on": True, "spraying_on": True, "speed_kmh": 8.0},
            wakes=True,
        ),
        "finish": end("扫路作业结束", "ends sweeping", "sweeping_on", "suction_on", "spraying_on", "speed_kmh", wakes=True),
        "raise_hopper": deed("垃圾箱举升", "raises the hopper", {"hopper_raised": True, "rear_door_open": True}, wakes=True),
        "lower_hopper": end("垃圾箱放下", "lowers the hopper", "hopper_raised", "rear_door_open", "hopper_full", wakes=True),
        "fill_hopper": deed("垃圾箱装满", "the hopper is full", {"hopper_full": True}, wakes=True),
        "run_dry": deed(
            "清水用尽仍在扫路",
            "sweeps on without water",
            {"water_tank_pct": 2.0, "spraying_on": False, "sweeping_on": True, "speed_kmh": 8.0},
            wakes=True,
        ),
        "refill": end("加满清水", "takes on water", "water_tank_pct", "spraying_on", wakes=True),
    },
    Kind.GARBAGE_TRUCK: {
        **_VEHICLE,
        "lift_bin": deed("翻桶", "lifts a bin", {"bin_lifting": True, "compactor_on": True, "speed_kmh": 0.0}, wakes=True),
        "bin_down": end("翻桶结束", "the bin is down", "bin_lifting", "compactor_on", "speed_kmh", wakes=True),
        "open_loader": deed("填装器开启", "opens the loader", {"loader_open": True, "pusher_out": True}, wakes=True),
        "close_loader": end("填装器关闭", "closes the loader", "loader_open", "pusher_out", wakes=True),
        "overload": deed("装载过重", "is loaded too much", {"payload_t": 9.9}, wakes=True),
        "unload": end("卸料完毕", "has unloaded", "payload_t", "leachate_level_pct", wakes=True),
        "leachate_rises": deed("污水箱将满", "the leachate rises", {"leachate_level_pct": 94.0}, wakes=True),
        "scale_fails": deed("称重无值", "the scale has no value", {"payload_t": None}, wakes=True),
    },
    Kind.MUCK_TRUCK: {
        **_VEHICLE,
        "open_lid": deed("顶盖未合上", "drives with the lid open", {"lid_open": True, "load_state": "full"}, wakes=True),
        "close_lid": end("顶盖合上", "closes the lid", "lid_open", "load_state", wakes=True),
        "lift_body": deed("车厢举升", "lifts the body", {"body_lifted": True, "body_angle_deg": 44.0}, wakes=True),
        "lower_body": end("车厢放下", "lowers the body", "body_lifted", "body_angle_deg", wakes=True),
        "overload": deed("装载过重", "is loaded too much", {"payload_t": 21.5, "load_state": "full"}, wakes=True),
        "unload": deed("卸土完毕", "has unloaded", {"payload_t": 0.2, "load_state": "empty"}, wakes=True),
        "leave_area": deed("驶出围栏", "leaves its fence", {"area_crossed": True, "area_left": True, "area_id": 17}, wakes=True),
        "return": end("回到围栏内", "is back within its fence", "area_crossed", "area_left", "area_id", wakes=True),
        "leave_route": deed("偏离路线", "leaves its route", {"off_route": True}, wakes=True),
        "find_route": end("回到路线", "is back on its route", "off_route", wakes=True),
        "lid_sensor_fails": deed("密闭传感器失效", "the sensor of the lid fails", {"lid_sensor_fault": True}, wakes=True),
    },
    Kind.WEIGHBRIDGE: {
        "drive_on": deed("车辆上磅", "a truck drives on", {"weight_kg": 32140.0}, wakes=True),
        "overload": deed("超载车上磅", "an overloaded truck drives on", {"weight_kg": 98760.0}, wakes=True),
        "drift": deed("零点漂移", "the zero drifts", {"weight_kg": -180.0}),
        "drive_off": end("车辆下磅", "the truck drives off", "weight_kg", wakes=True),
    },
}
