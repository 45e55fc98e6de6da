"""UCUM codes as SensorThings shows a unit: a name, a symbol, an address."""

from typing import Final
from urllib.parse import quote

from device_profiles.quantities import Metric, MetricType

__all__ = ["observation_type", "unit_of"]

_OM: Final = "http://www.opengis.net/def/observationType/OGC-OM/2.0/"
# 18-088, table 12. A text is no code of a list with an address, so it is OM_Observation: any.
_TYPES: Final = {
    MetricType.FLOAT: "OM_Measurement",
    MetricType.INTEGER: "OM_CountObservation",
    MetricType.BOOLEAN: "OM_TruthObservation",
    MetricType.STRING: "OM_Observation",
}
# The print names of UCUM, for the codes that the vocabulary uses most; others are called by their code.
_NAMES: Final = {
    "1": "the unity", "%": "percent", "A": "ampere", "Cel": "degree Celsius", "Hz": "hertz", "K": "kelvin", "L": "liter",
    "V": "volt", "W": "watt", "Pa": "pascal", "kPa": "kilopascal", "cm": "centimeter", "mm": "millimeter", "m": "meter",
    "km": "kilometer", "m3": "cubic meter", "m3/h": "cubic meter per hour", "km/h": "kilometer per hour",
    "m/s": "meter per second", "deg": "degree", "s": "second", "min": "minute", "h": "hour", "kW": "kilowatt",
    "kW.h": "kilowatt hour", "mA": "milliampere", "mV": "millivolt", "kg": "kilogram", "t": "metric ton", "lx": "lux",
    "[ppm]": "part per million", "mg/m3": "milligram per cubic meter", "ug/m3": "microgram per cubic meter",
    "dB[SPL]": "decibel sound pressure level", "/min": "per minute", "mg/L": "milligram per liter", "dB[mW]": "decibel milliwatt",
}  # fmt: skip


def unit_of(metric: Metric) -> dict[str, str | None]:
    """`unitOfMeasurement`; three times null for what has none (18-088, 8.2.4: texts and truths)."""
    if metric.type in {MetricType.BOOLEAN, MetricType.STRING}:
        return {"name": None, "symbol": None, "definition": None}
    address = f"http://www.opengis.net/def/uom/UCUM/{quote(metric.unit, safe='')}"
    return {"name": _NAMES.get(metric.unit, metric.unit), "symbol": metric.unit, "definition": address}


def observation_type(metric: Metric) -> str:
    """The address of the kind of result."""
    return _OM + _TYPES[metric.type]
