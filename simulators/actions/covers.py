"""Manhole covers."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.COVER: {
        "open": deed(
            "井盖被打开", "the cover is opened", {"cover_open": True, "cover_moved": True, "tilt_deg": 72.0}, wakes=True
        ),
        "close": end("井盖已复位", "the cover is closed", "cover_open", "cover_moved", "tilt_deg", wakes=True),
        "tilt": deed("井盖倾斜", "the cover tilts", {"tilt_deg": 24.0, "cover_moved": True}, wakes=True),
        "flood": deed("井内水位上涨", "the well fills with water", {"water_level_cm": 210.0, "water_immersed": True}, wakes=True),
        "drain": end("水位回落", "the water falls", "water_level_cm", "water_immersed", wakes=True),
        "battery_low": deed(
            "电池将尽", "the battery runs down", {"battery_v": 3.0, "battery_pct": 4.0, "battery_low": True}, wakes=True
        ),
        "probe_lost": deed("水位探头无回波", "the level probe hears no echo", {"water_level_cm": None}, wakes=True),
    },
}
