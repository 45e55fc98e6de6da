"""Meters and charging piles."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]


_PHASES = ("voltage_a_v", "voltage_b_v", "voltage_c_v", "current_a_a", "current_b_a", "current_c_a", "phase_lost")

ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.ELECTRICITY_METER: {
        "lose_phase_a": deed(
            "A 相失压", "phase A loses its voltage", {"voltage_a_v": 0.4, "current_a_a": 0.0, "phase_a_lost": True}
        ),
        "reverse": deed("功率反向", "power runs backward", {"power_kw": -2.4, "power_reversed": True}),
        "open_relay": deed("表内继电器拉闸", "the relay opens", {"relay_open": True, "power_kw": 0.0}),
        "battery_low": deed("时钟电池欠压", "the clock's battery runs down", {"clock_battery_low": True}),
        "restore": end(
            "恢复正常",
            "all is well again",
            *_PHASES,
            *("phase_a_lost", "power_kw", "power_reversed", "relay_open", "clock_battery_low"),
        ),
    },
    Kind.CHARGING_PILE: {
        "charge": deed("车辆充电", "a vehicle charges", {"current_a": 31.2, "power_kw": 7.0}),
        "overload": deed("充电过流", "it draws too much", {"current_a": 41.0, "power_kw": 9.2}),
        "lose_power": deed("失电", "the supply is lost", {"voltage_v": 0.0, "current_a": 0.0, "power_kw": 0.0}),
        "open_relay": deed("拉闸", "the relay opens", {"relay_open": True, "current_a": 0.0, "power_kw": 0.0}),
        "restore": end("恢复正常", "all is well again", "voltage_v", "current_a", "power_kw", "relay_open"),
    },
    Kind.METER: {
        "valve_shuts": deed("阀门关闭", "the valve shuts", {"valve_state": "closed"}),
        "valve_sticks": deed("阀门卡滞", "the valve sticks", {"valve_state": "fault"}),
        "battery_low": deed("电池欠压", "the battery runs down", {"battery_low": True}),
        "cool": deed("供水变冷", "the supply grows cold", {"supply_temperature_c": 28.0, "return_temperature_c": 26.0}),
        "block": deed("循环中断", "the circulation stops", {"flow_m3h": 0.0, "heat_power_kw": 0.0}),
        "restore": end(
            "恢复正常",
            "all is well again",
            *("valve_state", "battery_low", "supply_temperature_c", "return_temperature_c", "flow_m3h", "heat_power_kw"),
        ),
    },
}
