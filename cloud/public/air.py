"""How the air of a toilet is called, by its ammonia and hydrogen sulphide.

Ammonia by the three classes of toilets in GB/T 17217-1998, table 1 (read in a transcription; its successor of 2021 was not).
That table has one value for hydrogen sulphide, 0.01 mg/m3, less than one step of a usual probe (0.01 ppm); so this gas goes by
the boundary values of GB 14554-93, table 1 (classes one, two and three of new works), from memory, to be checked before anybody
is judged by it. The grade tells of smell, not of danger: an alarm of its own does that.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

__all__ = ["Grade", "grade_of"]


class Grade(StrEnum):
    """From fresh to foul; unknown where no gas is measured."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    BAD = "bad"
    UNKNOWN = "unknown"


_MG_M3_PER_PPM: Final = {"nh3_ppm": 17.03 / 24.45, "h2s_ppm": 34.08 / 24.45}
"""Molar mass by the molar volume at 25 degrees and 101.325 kPa."""

_LIMITS_MG_M3: Final = {"nh3_ppm": (0.3, 1.0, 3.0), "h2s_ppm": (0.03, 0.06, 0.32)}
"""The highest value of good, fair and poor."""

_ORDER: Final = (Grade.GOOD, Grade.FAIR, Grade.POOR, Grade.BAD)


def grade_of(gases: Iterable[tuple[str, float]]) -> Grade:
    """The worst grade of the gases given as (metric, ppm)."""
    ranks = [_rank(metric, ppm) for metric, ppm in gases]
    return _ORDER[max(ranks)] if ranks else Grade.UNKNOWN


def _rank(metric: str, ppm: float) -> int:
    mg_m3 = ppm * _MG_M3_PER_PPM[metric]
    return sum(mg_m3 > limit for limit in _LIMITS_MG_M3[metric])
