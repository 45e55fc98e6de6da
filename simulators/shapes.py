"""How each metric of the vocabulary moves in an ordinary city on an ordinary day: within limits that raise no alarm."""

from collections.abc import Mapping

from device_profiles.model import Profile
from device_profiles.quantities import Metric, MetricType
from simulators.physics import Rising, Shape, Steady, Wave

__all__ = ["ordinary"]

_SHAPES: Mapping[str, Shape] = {
    # manhole covers
    "tilt_deg": Wave(0.2, 2.4),
    "water_level_cm": Wave(18.0, 46.0, 240.0),
    "battery_v": Wave(3.58, 3.62, 600.0, 0.01),
    "battery_pct": Wave(90.0, 93.0, 600.0, 1.0),
    "rsrp_dbm": Wave(-104.0, -88.0, 60.0, 1.0),
    "snr_db": Wave(3.0, 14.0, 60.0, 1.0),
    # streetlight loop controllers, 400/230 V
    "voltage_v": Wave(226.0, 233.0),
    "voltage_a_v": Wave(226.0, 233.0),
    "voltage_b_v": Wave(226.0, 233.0),
    "voltage_c_v": Wave(226.0, 233.0),
    "current_a": Wave(8.0, 9.5, 60.0, 0.01),
    "current_a_a": Wave(8.0, 9.5, 60.0, 0.01),
    "current_b_a": Wave(7.5, 9.0, 60.0, 0.01),
    "current_c_a": Wave(8.2, 9.6, 60.0, 0.01),
    "power_kw": Wave(5.4, 6.2, 60.0, 0.01),
    "power_w": Wave(5400.0, 6200.0, 60.0, 1.0),
    "reactive_power_kvar": Wave(0.6, 0.9, 60.0, 0.01),
    "power_factor": Wave(0.94, 0.98, 60.0, 0.001),
    "frequency_hz": Wave(49.95, 50.05, 60.0, 0.01),
    "energy_kwh": Rising(18_250.0, 5.8, 0.1),
    "leakage_ma": Wave(8.0, 22.0, 60.0, 1.0),
    "dimming_pct": Steady(100.0),
    "lamp_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "relay_1_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "relay_2_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "loops_fitted": Steady(2),
    "control_mode": Steady("remote"),
    "mains_present": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "cabinet_temperature_c": Wave(24.0, 31.0, 300.0),
    # public toilets
    "nh3_ppm": Wave(0.2, 0.8, 120.0, 0.01),
    "h2s_ppm": Wave(0.02, 0.2, 120.0, 0.01),
    "co2_ppm": Wave(480.0, 760.0, 180.0, 1.0),
    "tvoc_ppb": Wave(80.0, 220.0, 180.0, 1.0),
    "pm25_ug_m3": Wave(12.0, 34.0, 300.0, 1.0),
    "pm10_ug_m3": Wave(20.0, 58.0, 300.0, 1.0),
    "o2_pct": Wave(20.7, 20.9, 300.0),
    "temperature_c": Wave(19.0, 24.0, 300.0),
    "board_temperature_c": Wave(26.0, 32.0, 300.0),
    "humidity_pct": Wave(48.0, 66.0, 300.0),
    "noise_db": Wave(44.0, 58.0, 20.0),
    "illuminance_lx": Wave(180.0, 320.0, 120.0, 1.0),
    "cubicles_occupied": Wave(0.0, 3.0, 90.0, 1.0),
    # people counters; who goes in comes out a little later
    "people_in": Rising(1204.0, 240.0),
    "people_out": Rising(1190.0, 240.0),
    "people_inside": Wave(8.0, 26.0, 120.0, 1.0),
    "people_today": Rising(1204.0, 240.0),
    # vehicles; position, course and speed come from the route
    "speed_kmh": Wave(18.0, 42.0, 40.0),
    "recorder_speed_kmh": Wave(18.0, 42.0, 40.0),
    "altitude_m": Wave(4.0, 9.0, 120.0, 1.0),
    "odometer_km": Rising(48_210.0, 30.0, 0.1),
    "fuel_l": Wave(61.0, 64.0, 600.0),
    "satellites": Wave(9.0, 16.0, 60.0, 1.0),
    "signal_level": Wave(22.0, 31.0, 60.0, 1.0),
    "position_fixed": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "acc_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    # common to many
    "supply_v": Wave(11.9, 12.4, 300.0),
    "rssi_dbm": Wave(-80.0, -66.0, 60.0, 1.0),
    "fill_level_pct": Wave(20.0, 45.0, 600.0, 1.0),
    "uptime_s": Rising(3600.0, 3600.0),
    "frame_counter": Rising(1.0, 3600.0),
}


def ordinary(profile: Profile) -> dict[str, Shape]:
    """A shape for each metric of `profile`, kept within the profile's range."""
    return {name: _within(_SHAPES.get(name) or _default(metric), metric) for name, metric in profile.metrics.items()}


def _default(metric: Metric) -> Shape:
    match metric.type:
        case MetricType.BOOLEAN:
            return Steady(False)  # noqa: FBT003 (a value, not a switch)
        case MetricType.STRING:
            return Steady(None)
        case MetricType.INTEGER | MetricType.FLOAT:
            low = metric.low if metric.low is not None else 0.0
            high = metric.high if metric.high is not None else low + 100
            middle, span = (low + high) / 2, (high - low) / 20
            return Wave(middle - span, middle + span, step=1.0 if metric.type is MetricType.INTEGER else 0.1)


def _within(shape: Shape, metric: Metric) -> Shape:
    if not isinstance(shape, Wave):
        return shape
    low = shape.low if metric.low is None else max(shape.low, metric.low)
    high = shape.high if metric.high is None else min(shape.high, metric.high)
    if low > high:  # the model measures another range altogether
        return _default(metric)
    return Wave(low, high, shape.period_s, shape.step)
