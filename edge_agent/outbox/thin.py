"""What remains of old readings when there is no room for all: those that a chart or an operator would miss.

Of each device and set of metrics, in each window: the readings that hold a metric's smallest or largest value, the first
with each kind of flaw, and the last.
"""

import math
from collections.abc import Iterable, Sequence

from telemetry.clock import SECOND_NS
from telemetry.records import Quality, Reading

__all__ = ["WINDOW_NS", "survivors"]

WINDOW_NS = 300 * SECOND_NS


def survivors(readings: Sequence[Reading], window_ns: int = WINDOW_NS) -> list[Reading]:
    """The readings that stay, in the order in which they came."""
    windows: dict[tuple[object, ...], list[int]] = {}
    for at, reading in enumerate(readings):
        key = (reading.device, reading.profile, reading.profile_version, tuple(reading.values), reading.time_ns // window_ns)
        windows.setdefault(key, []).append(at)
    kept = sorted({at for window in windows.values() for at in _worth_keeping(readings, window)})
    return [readings[at] for at in kept]


def _worth_keeping(readings: Sequence[Reading], window: Sequence[int]) -> Iterable[int]:
    yield max(window, key=lambda at: (readings[at].time_ns, at))
    flaws: dict[tuple[object, ...], int] = {}
    for at in window:
        for name, flaw in readings[at].flaws.items():
            flaws.setdefault((name, flaw.quality, flaw.reason), at)
    yield from flaws.values()
    for name in readings[window[0]].values:
        # A bad value must not stand in for the largest good one, nor be forgotten for it.
        for bad in (False, True):
            found = [(value, at) for at in window if (value := _number(readings[at], name, bad=bad)) is not None]
            if found:
                yield min(found)[1]
                yield max(found, key=lambda each: (each[0], -each[1]))[1]


def _number(reading: Reading, name: str, *, bad: bool) -> float | None:
    """A metric's value where it can be compared and is as good or bad as asked; yes and no count as 1 and 0."""
    value = reading.values[name]
    if (reading.quality(name) is Quality.BAD) is not bad or not isinstance(value, int | float) or math.isnan(value):
        return None
    return value
