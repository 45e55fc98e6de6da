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
    PEOPLE_COUNTER = "people_counter"


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
_AIR: Mapping[str, Deed] = {
    "nh3_peak": _deed("氨气浓度骤升", "ammonia peaks", {"nh3_ppm": 38.0, "h2s_ppm": 1.2}),
    "air_clears": _end("空气恢复", "the air clears", "nh3_ppm", "h2s_ppm"),
    "sensor_fails": _deed("氨气探头无值", "the ammonia probe has no value", {"nh3_ppm": None}),
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
    Kind.TOILET_AIR: _AIR,
    Kind.TOILET_NODE: {
        **_AIR,
        "occupy": _deed("厕位占用", "a cubicle is taken", {"occupied": True, "cubicle_1_occupied": True}),
        "leave": _end("厕位空出", "the cubicle is free", "occupied", "cubicle_1_occupied"),
    },
    Kind.VEHICLE: {
        "sos": _deed("司机按下紧急按钮", "the driver presses the emergency button", {"sos": True}, wakes=True),
        "sos_over": _end("紧急报警解除", "the emergency is over", "sos", wakes=True),
        "speed_up": _deed("车辆超速", "the vehicle drives too fast", {"speed_kmh": 96.0}, wakes=True),
        "slow_down": _end("车速恢复", "the vehicle slows down", "speed_kmh", wakes=True),
        "lose_power": _deed("主电源断开", "main power is lost", {"main_power_lost": True}, wakes=True),
        "outage": Deed(title=Text("驶入信号盲区", "drives into a blind area"), takes=(Argument(name="for_s", seconds=True),)),
    },
    Kind.PEOPLE_COUNTER: {
        "crowd": _deed("人流聚集", "a crowd gathers", {"people_inside": 64}, wakes=True),
        "disperse": _end("人流散去", "the crowd disperses", "people_inside", wakes=True),
        "cover_sensor": _deed("传感器被遮挡", "the sensor is covered", {"sensor_blocked": True}, wakes=True),
        "uncover_sensor": _end("遮挡解除", "the sensor sees again", "sensor_blocked", wakes=True),
    },
}
