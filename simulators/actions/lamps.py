"""Lamps, their cabinets and what measures them."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]

_PHASES = ("voltage_a_v", "voltage_b_v", "voltage_c_v", "current_a_a", "current_b_a", "current_c_a", "phase_lost")


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.LAMP_LOOP: {
        "lose_phase_a": deed("A 相失电", "phase A drops out", {"voltage_a_v": 0.0, "current_a_a": 0.0, "phase_lost": True}),
        "lose_phase_b": deed("B 相失电", "phase B drops out", {"voltage_b_v": 0.0, "current_b_a": 0.0, "phase_lost": True}),
        "lose_phase_c": deed("C 相失电", "phase C drops out", {"voltage_c_v": 0.0, "current_c_a": 0.0, "phase_lost": True}),
        "restore": end("供电恢复", "the supply is back", *_PHASES, "breaker_tripped", "leakage_ma", "door_open"),
        "trip": deed(
            "断路器跳闸",
            "the breaker trips",
            {"breaker_tripped": True, "current_a_a": 0.0, "current_b_a": 0.0, "current_c_a": 0.0, "power_kw": 0.0},
        ),
        "leak": deed("漏电流增大", "leakage current rises", {"leakage_ma": 480.0}),
        "open_door": deed("箱门被打开", "the cabinet door is opened", {"door_open": True}),
    },
    Kind.LAMP_SINGLE: {
        "fail": deed("灯故障", "the lamp fails", {"lamp_failure": True, "power_w": 0.0, "current_a": 0.0}, wakes=True),
        "repair": end("灯已修复", "the lamp is repaired", "lamp_failure", "gear_failure", "power_w", "current_a", wakes=True),
        "lose_gear": deed("驱动电源故障", "the driver fails", {"gear_failure": True, "dimming_pct": 0.0}, wakes=True),
        "burn_by_day": deed("白天亮灯", "the lamp burns by day", {"lamp_day_burning": True}, wakes=True),
    },
    Kind.POWER_MONITOR: {
        "sag": deed("电压跌落", "the voltage sags", {"voltage_v": 176.0, "voltage_low": True}, wakes=True),
        "overload": deed("负载过大", "the load is too high", {"current_a": 62.0, "current_high": True}, wakes=True),
        "lose_load": deed("负载丢失", "the load is lost", {"current_a": 0.0, "power_w": 0.0, "current_low": True}, wakes=True),
        "restore": end(
            "供电恢复",
            "the supply is back",
            *("voltage_v", "voltage_low", "current_a", "current_high", "current_low", "power_w"),
            wakes=True,
        ),
    },
    Kind.LEAKAGE_MONITOR: {
        "leak": deed("漏电流增大", "leakage current rises", {"leakage_ma": 186.0, "leakage_warning": True}),
        "trip": deed("漏电跳闸", "the relay trips", {"leakage_ma": 0.0, "breaker_tripped": True, "leakage_tripped": True}),
        "cut_transformer": deed("互感器断线", "the transformer's wire is cut", {"leakage_ma": 0.0, "transformer_fault": True}),
        "repair": end(
            "漏电修复",
            "the leak is repaired",
            "leakage_ma",
            "leakage_warning",
            "breaker_tripped",
            "leakage_tripped",
            "transformer_fault",
        ),
    },
    Kind.LAMP_CABINET: {
        "open_door": deed("灯箱门打开", "the cabinet is opened", {"door_open": True}, wakes=True),
        "close_door": end("灯箱门关闭", "the cabinet is closed", "door_open", "tampered", wakes=True),
        "force": deed("灯箱被撬", "the cabinet is forced", {"door_open": True, "tampered": True}, wakes=True),
        "heat_up": deed("柜内过热", "it gets hot inside", {"cabinet_temperature_c": 78.0}, wakes=True),
        "cool_down": end("柜内降温", "it cools down", "cabinet_temperature_c", wakes=True),
    },
    Kind.POLE_STATION: {
        "lean": deed("灯杆倾斜", "the pole leans", {"tilt_deg": 6.5}, wakes=True),
        "open_hatch": deed("检修门打开", "the hatch is opened", {"door_open": True}, wakes=True),
        "close_hatch": end("检修门关闭", "the hatch is closed", "door_open", wakes=True),
        "din": deed("噪声骤升", "it gets loud", {"noise_db": 88.0}, wakes=True),
        "vane_fails": deed("风向标无值", "the vane has no value", {"wind_direction_deg": None}, wakes=True),
        "calm_down": end("恢复正常", "all is well again", "tilt_deg", "noise_db", "wind_direction_deg", wakes=True),
    },
}
