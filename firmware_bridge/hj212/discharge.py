"""What was discharged, from flow and concentration (HJ 212-2017, annex D)."""

from collections.abc import Iterable

__all__ = ["hour_flow_l_s", "pollutant_kg", "water_m3"]


def water_m3(flow_l_s: float, seconds: float) -> float:
    """Water that ran for `seconds` at a mean flow of `flow_l_s`, in m3: `w00000-Cou`."""
    return flow_l_s * seconds / 1000


def pollutant_kg(concentration_mg_l: float, volume_m3: float) -> float:
    """What `volume_m3` of water carried at a mean concentration, in kg: `w01018-Cou` and its like."""
    return concentration_mg_l * volume_m3 / 1000


def hour_flow_l_s(minute_volumes_m3: Iterable[float]) -> float:
    """The mean flow of an hour from the volumes of its minute data."""
    return sum(minute_volumes_m3) * 1000 / 3600
