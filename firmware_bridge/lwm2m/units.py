"""Units that a SenML record names beside those that the registry's tables count in (RFC 8428, clause 12.1; RFC 8798)."""

import math
from collections.abc import Mapping

from firmware_bridge.lwm2m.model import Kind

__all__ = ["FACTORS", "scaled"]

FACTORS: Mapping[tuple[str, str], float] = {
    ("mV", "V"): 0.001,
    ("V", "mV"): 1000,
    ("mA", "A"): 0.001,
    ("A", "mA"): 1000,
    ("kW", "W"): 1000,
    ("Wh", "kW.h"): 0.001,
    ("kWh", "W.h"): 1000,
    ("kvar", "var"): 1000,
    ("kvarh", "var.h"): 1000,
    ("s", "h"): 1 / 3600,
    ("min", "s"): 60,
    ("h", "s"): 3600,
    ("ms", "s"): 0.001,
    ("s", "ms"): 1000,
}
"""By the record's unit and the table's; any other pair is taken for two names of one unit."""


def scaled(value: float, factor: float, kind: Kind) -> float:
    """The value in the table's unit; whole where its type is."""
    exact = value * factor if factor >= 1 else value / round(1 / factor)
    return round(exact) if math.isfinite(exact) and kind in {Kind.INTEGER, Kind.UNSIGNED, Kind.TIME} else exact
