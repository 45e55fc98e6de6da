"""Water, gas and heat on their way."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.WATER_SUPPLY: {
        "burst": deed("供水管爆裂", "the main bursts", {"flow_m3h": 640.0, "pressure_kpa": 62.5}),
        "surge": deed("压力骤升", "the pressure surges", {"pressure_kpa": 780.0}),
        "shut": deed(
            "管道停水放空", "the main is shut and runs empty", {"flow_m3h": 0.0, "pressure_kpa": 0.0, "pipe_full": False}
        ),
        "battery_low": deed("电池将尽", "the battery runs down", {"battery_v": 3.0, "battery_low": True}),
        "restore": end("供水恢复", "the supply is back", "flow_m3h", "pressure_kpa", "pipe_full"),
    },
    Kind.FLOW_METER: {
        "burst": deed("流量骤增", "the flow leaps", {"flow_m3h": 640.0}),
        "reverse": deed("水流倒流", "the water runs back", {"flow_m3h": -12.5, "heat_power_kw": 0.0}),
        "lose_signal": deed("超声信号变差", "the ultrasonic signal fades", {"signal_quality_pct": 12, "sensor_fault": True}),
        "restore": end("测量恢复", "the meter is well again", "flow_m3h", "heat_power_kw", "signal_quality_pct", "sensor_fault"),
    },
    Kind.GAS_STATION: {
        "gas_leak": deed("调压站漏气", "gas leaks at the station", {"ch4_pct_lel": 41.0}),
        "overpressure": deed(
            "出口超压切断",
            "the outlet rises and is shut off",
            {"outlet_pressure_kpa": 4.4, "shutoff_closed": True, "flow_m3h": 0.0},
        ),
        "clog_filter": deed("过滤器堵塞", "the filter clogs", {"filter_drop_kpa": 14.0}),
        "open_door": deed("调压站门被打开", "the station's door is opened", {"door_open": True}),
        "restore": end(
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
        "leak": deed("二次网泄漏", "the house side leaks", {"secondary_return_pressure_kpa": 90.0, "water_immersed": True}),
        "stop_pump": deed("循环泵停运", "the circulation stops", {"pump_1_on": False, "pump_fault": True, "heat_power_kw": 0.0}),
        "overheat": deed("二次网超温", "the flow to the houses overheats", {"secondary_supply_temperature_c": 92.0}),
        "freeze": deed("严寒防冻", "frost sets in", {"outdoor_temperature_c": -16.0, "secondary_return_temperature_c": 6.0}),
        "restore": end(
            "供热恢复",
            "the heating is back",
            *("secondary_return_pressure_kpa", "water_immersed", "pump_1_on", "pump_fault", "heat_power_kw"),
            *("secondary_supply_temperature_c", "outdoor_temperature_c", "secondary_return_temperature_c"),
        ),
    },
}
