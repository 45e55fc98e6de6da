"""Public toilets."""

from collections.abc import Mapping

from simulators.deeds import Deed, Kind, deed, end

__all__ = ["ACTIONS"]

_AIR: Mapping[str, Deed] = {
    "nh3_peak": deed("氨气浓度骤升", "ammonia peaks", {"nh3_ppm": 38.0, "h2s_ppm": 1.2}),
    "air_clears": end("空气恢复", "the air clears", "nh3_ppm", "h2s_ppm"),
    "sensor_fails": deed("氨气探头无值", "the ammonia probe has no value", {"nh3_ppm": None}),
}


ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    Kind.TOILET_AIR: _AIR,
    Kind.TOILET_NODE: {
        **_AIR,
        "occupy": deed("厕位占用", "a cubicle is taken", {"occupied": True, "cubicle_1_occupied": True}),
        "leave": end("厕位空出", "the cubicle is free", "occupied", "cubicle_1_occupied"),
    },
    Kind.PEOPLE_COUNTER: {
        "crowd": deed("人流聚集", "a crowd gathers", {"people_inside": 64}, wakes=True),
        "disperse": end("人流散去", "the crowd disperses", "people_inside", wakes=True),
        "cover_sensor": deed("传感器被遮挡", "the sensor is covered", {"sensor_blocked": True}, wakes=True),
        "uncover_sensor": end("遮挡解除", "the sensor sees again", "sensor_blocked", wakes=True),
    },
    Kind.TOILET_SUPPLIES: {
        "use_up": deed(
            "耗材用尽",
            "soap and paper run out",
            {"soap_level_pct": 4.0, "paper_level_pct": 0.0, "paper_low": True},
            wakes=True,
        ),
        "refill": end("耗材补满", "soap and paper are refilled", "soap_level_pct", "paper_level_pct", "paper_low", wakes=True),
        "spill": deed("地面积水", "water spills on the floor", {"water_immersed": True}),
        "dry": end("地面擦干", "the floor is dry", "water_immersed"),
    },
    Kind.CUBICLE: {
        "occupy": deed("厕位占用", "a cubicle is taken", {"occupied": True}, wakes=True),
        "leave": end("厕位空出", "the cubicle is free", "occupied", wakes=True),
        "battery_low": deed("电池将尽", "the battery runs down", {"battery_pct": 6.0, "battery_v": 2.4}, wakes=True),
    },
}
