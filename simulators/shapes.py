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
    "dimming_command_pct": Steady(100.0),
    "gear_temperature_c": Wave(38.0, 46.0, 300.0),
    "lamp_hours_h": Rising(8123.0, 1.0, 0.1),
    "lamp_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "relay_1_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "relay_2_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "loops_fitted": Steady(2),
    "control_mode": Steady("remote"),
    "mains_present": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "cabinet_temperature_c": Wave(24.0, 31.0, 300.0),
    "leakage_limit_ma": Steady(300.0),
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
    "load_state": Steady("half"),
    "payload_t": Wave(4.0, 7.5, 600.0, 0.01),
    "water_tank_pct": Wave(42.0, 88.0, 600.0, 1.0),
    "work_engine_rpm": Wave(1900.0, 2200.0, 60.0, 1.0),
    "bins_today": Rising(12.0, 22.0),
    "leachate_level_pct": Wave(18.0, 52.0, 600.0, 1.0),
    "body_angle_deg": Steady(0.0),
    "soap_level_pct": Wave(45.0, 90.0, 1800.0, 1.0),
    "paper_level_pct": Wave(30.0, 85.0, 1800.0, 1.0),
    # water, gas and heat
    "flow_m3h": Wave(18.0, 36.0, 240.0, 0.01),
    "pressure_kpa": Wave(285.0, 340.0, 240.0, 1.0),
    "volume_m3": Rising(48_200.0, 27.0, 0.01),
    "volume_reverse_m3": Steady(3.5),
    "signal_quality_pct": Wave(68.0, 88.0, 120.0, 1.0),
    "pipe_full": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "valve_open": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "watering_min": Wave(2.0, 15.0, 600.0, 1.0),
    "pump_hours_h": Rising(7050.0, 0.4, 0.1),
    "inlet_pressure_kpa": Wave(310.0, 324.0, 300.0),
    "outlet_pressure_kpa": Wave(2.3, 2.7, 120.0, 0.01),
    "filter_drop_kpa": Wave(2.4, 3.6, 300.0, 0.01),
    "supply_temperature_c": Wave(88.0, 96.0, 600.0),
    "return_temperature_c": Wave(46.0, 52.0, 600.0),
    "secondary_supply_temperature_c": Wave(48.0, 53.0, 600.0),
    "secondary_return_temperature_c": Wave(38.0, 42.0, 600.0),
    "outdoor_temperature_c": Wave(-8.0, -2.0, 1800.0),
    "supply_pressure_kpa": Wave(790.0, 830.0, 240.0, 1.0),
    "return_pressure_kpa": Wave(590.0, 620.0, 240.0, 1.0),
    "secondary_supply_pressure_kpa": Wave(440.0, 470.0, 240.0, 1.0),
    "secondary_return_pressure_kpa": Wave(300.0, 330.0, 240.0, 1.0),
    "heat_power_kw": Wave(4400.0, 5100.0, 300.0, 0.5),
    "heat_energy_gj": Rising(123_400.0, 17.0, 0.01),
    "makeup_volume_m3": Rising(900.0, 0.2, 0.01),
    "valve_opening_pct": Steady(43.0),
    "pump_1_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "ch4_pct_lel": Wave(0.2, 2.0, 300.0),
    "co_ppm": Wave(1.0, 5.0, 300.0, 1.0),
    # bridges
    "tilt_x_deg": Wave(-0.06, 0.06, 900.0, 0.001),
    "tilt_y_deg": Wave(-0.09, 0.09, 900.0, 0.001),
    "joint_opening_mm": Wave(36.0, 42.0, 900.0),
    "vibration_x_mm_s": Wave(1.0, 5.0, 30.0, 1.0),
    "vibration_y_mm_s": Wave(1.0, 5.0, 30.0, 1.0),
    "vibration_z_mm_s": Wave(2.0, 12.0, 30.0, 1.0),
    "displacement_x_um": Wave(10.0, 60.0, 30.0, 1.0),
    "displacement_y_um": Wave(10.0, 60.0, 30.0, 1.0),
    "displacement_z_um": Wave(60.0, 400.0, 30.0, 1.0),
    "vibration_x_hz": Wave(6.0, 9.0, 60.0),
    "vibration_y_hz": Wave(6.0, 9.0, 60.0),
    "vibration_z_hz": Wave(5.2, 7.5, 60.0),
    # soil
    "soil_moisture_pct": Wave(22.0, 33.0, 1800.0),
    "soil_temperature_c": Wave(12.0, 17.0, 1800.0),
    "soil_conductivity_us_cm": Wave(480.0, 760.0, 1800.0, 1.0),
    # noise, kitchen fume, water quality
    "noise_leq_db": Wave(52.0, 58.0, 600.0),
    "noise_l10_db": Wave(57.0, 62.0, 600.0),
    "noise_l50_db": Wave(50.0, 54.0, 600.0),
    "noise_l90_db": Wave(43.0, 47.0, 600.0),
    "noise_max_db": Wave(68.0, 74.0, 600.0),
    "noise_min_db": Wave(36.0, 40.0, 600.0),
    "noise_day_db": Wave(54.0, 57.0, 600.0),
    "noise_night_db": Wave(44.0, 47.0, 600.0),
    "noise_day_night_db": Wave(54.0, 57.0, 600.0),
    "wind_speed_ms": Wave(0.4, 3.6, 60.0),
    "wind_direction_deg": Wave(120.0, 210.0, 120.0, 1.0),
    "oil_fume_mg_m3": Wave(0.3, 1.2, 300.0, 0.01),
    "oil_fume_avg_mg_m3": Wave(0.5, 1.0, 600.0, 0.01),
    "particulates_mg_m3": Wave(0.4, 1.6, 300.0, 0.01),
    "nmhc_mg_m3": Wave(1.0, 4.0, 300.0, 0.01),
    "purifier_on": Steady(True),  # noqa: FBT003 (a value, not a switch)
    "ph": Wave(7.1, 7.6, 600.0, 0.01),
    "cod_mg_l": Wave(18.0, 34.0, 1800.0),
    "cod_hour_mg_l": Wave(20.0, 32.0, 1800.0),
    "nh3n_mg_l": Wave(0.4, 1.6, 1800.0, 0.01),
    "nh3n_hour_mg_l": Wave(0.5, 1.4, 1800.0, 0.01),
    "total_phosphorus_mg_l": Wave(0.1, 0.3, 1800.0, 0.01),
    "total_nitrogen_mg_l": Wave(2.0, 6.0, 1800.0, 0.01),
    "dissolved_oxygen_mg_l": Wave(5.2, 7.8, 1800.0, 0.01),
    "conductivity_us_cm": Wave(420.0, 560.0, 1800.0, 1.0),
    "turbidity_ntu": Wave(6.0, 14.0, 600.0),
    "water_temperature_c": Wave(14.0, 16.0, 1800.0),
    "discharge_hour_m3": Wave(40.0, 60.0, 1800.0),
    # rain, underpasses, drains
    "rain_mm": Steady(0.0),
    "rain_5min_mm": Steady(0.0),
    "rain_hour_mm": Steady(0.0),
    "rain_day_mm": Steady(3.5),
    "rain_total_mm": Steady(1204.5),
    "water_depth_cm": Steady(0.0),
    "water_depth_5min_cm": Steady(0.0),
    "water_level_5min_cm": Wave(18.0, 46.0, 240.0, 1.0),
    "velocity_ms": Wave(0.4, 0.9, 120.0, 0.01),
    # meters, scales and bins
    "energy_tariff_1_kwh": Rising(1200.0, 0.4, 0.01),
    "energy_tariff_2_kwh": Rising(6400.0, 2.0, 0.01),
    "energy_tariff_3_kwh": Rising(7000.0, 2.2, 0.01),
    "energy_tariff_4_kwh": Rising(3650.0, 1.2, 0.01),
    "energy_reverse_kwh": Steady(0.0),
    "meter_cover_openings": Steady(1),
    "outages": Steady(3),
    "settled_volume_m3": Wave(47_900.0, 48_000.0, 5_184_000.0, 0.01),
    "valve_state": Steady("open"),
    "working_hours_h": Rising(2888.0, 1.0),
    "distance_mm": Wave(700.0, 1100.0, 600.0, 1.0),
    "weight_kg": Wave(-20.0, 20.0, 60.0, 20.0),
    "device_online": Steady(True),  # noqa: FBT003 (a value, not a switch)
    # common to many
    "supply_v": Wave(11.9, 12.4, 300.0, 0.01),
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
