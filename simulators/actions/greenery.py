"""Soil and irrigation."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]

_SOIL: Mapping[str, Deed] = {
    "dry_out": deed("土壤干旱", "the soil dries out", {"soil_moisture_pct": 7.5}),
    "soak": deed("土壤积水", "the soil is soaked", {"soil_moisture_pct": 52.0}),
    "recover": end("墒情恢复", "the soil recovers", "soil_moisture_pct"),
}


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.SOIL_PROBE: {**_SOIL, "salt": deed("融雪剂入土", "salt gets into the soil", {"soil_conductivity_us_cm": 5200.0})},
    Kind.IRRIGATION: {
        **_SOIL,
        "valve_sticks": deed("关阀后仍漏水", "the closed valve lets water through", {"valve_open": False, "flow_m3h": 2.4}),
        "run_dry": deed("水源停供", "the source runs dry", {"flow_m3h": 0.0, "pressure_kpa": 0.0}),
        "mend": end("灌溉恢复", "the irrigation is mended", "valve_open", "flow_m3h", "pressure_kpa"),
    },
}
