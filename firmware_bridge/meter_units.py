"""Meters say in which unit they count; a metric has one of its own."""

from fractions import Fraction

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["UNITS", "in_unit"]

UNITS: dict[str, tuple[str, Fraction]] = {
    "J": ("energy", Fraction(1)),
    "kJ": ("energy", Fraction(1000)),
    "MJ": ("energy", Fraction(10**6)),
    "GJ": ("energy", Fraction(10**9)),
    "W.h": ("energy", Fraction(3600)),
    "kW.h": ("energy", Fraction(3_600_000)),
    "MW.h": ("energy", Fraction(3_600_000_000)),
    "W": ("power", Fraction(1)),
    "kW": ("power", Fraction(1000)),
    "MW": ("power", Fraction(10**6)),
    "J/h": ("power", Fraction(1, 3600)),
    "kJ/h": ("power", Fraction(1000, 3600)),
    "MJ/h": ("power", Fraction(10**6, 3600)),
    "GJ/h": ("power", Fraction(10**9, 3600)),
    "L": ("volume", Fraction(1)),
    "m3": ("volume", Fraction(1000)),
    "L/h": ("flow", Fraction(1)),
    "m3/h": ("flow", Fraction(1000)),
}
"""UCUM code: (dimension, how many of the dimension's first unit)."""


def in_unit(value: float, said: str | None, wanted: str) -> float:
    """`value` of the unit `said` in the unit `wanted`, both UCUM codes; as it is where either names no unit.

    ParseError(wrong_type) where one cannot be turned into the other.
    """
    if said is None or said == wanted or "1" in (said, wanted):
        return value
    if said not in UNITS or wanted not in UNITS or UNITS[said][0] != UNITS[wanted][0]:
        raise ParseError(Reason.WRONG_TYPE, f"the meter counts in {said}, want {wanted}")
    factor = UNITS[said][1] / UNITS[wanted][1]
    # Nine decimals are far below any meter's last digit, and above a float's noise.
    return round(value * factor.numerator / factor.denominator, 9)
