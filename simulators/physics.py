"""How simulated values move: pure functions of (seed, time), so that the same seed gives the same bytes."""

import math
import random
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from telemetry.clock import SECOND_NS
from telemetry.records import Value

__all__ = ["Body", "Rising", "Shape", "Steady", "Wave", "value_at"]


class Steady(msgspec.Struct, frozen=True):
    """Always the same."""

    value: Value


class Wave(msgspec.Struct, frozen=True):
    """Wanders smoothly between `low` and `high`; turns about once in `period_s`. `step` is the instrument's resolution."""

    low: float
    high: float
    period_s: float = 90.0
    step: float = 0.1


class Rising(msgspec.Struct, frozen=True):
    """A counter: from `start` upwards by `per_hour`, in whole `step`s, never back."""

    start: float
    per_hour: float
    step: float = 1.0


Shape = Steady | Wave | Rising


@lru_cache(maxsize=4096)
def _chance(seed: str, knot: int) -> float:
    return random.Random(f"{seed}#{knot}").random()  # noqa: S311 (physics wants to be repeatable, not secret)


def _on_grid(value: float, step: float) -> float:
    """`value` on the grid of `step`, written with no more decimals than the step has."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return round(math.floor(value / step + 0.5) * step, decimals)


def value_at(shape: Shape, seed: str, age_s: float) -> Value:
    """What `shape` says `age_s` seconds after its start; the same for the same three arguments, whatever was asked before."""
    match shape:
        case Steady(value):
            return value
        case Rising(start, per_hour, step):
            return _on_grid(start + math.floor(per_hour * age_s / 3600 / step) * step, step)
        case Wave(low, high, period_s, step):
            # Half a period between knots, and a cosine between them: no corner, no overshoot.
            knot, part = divmod(max(0.0, age_s) * 2 / period_s, 1.0)
            before, after = _chance(seed, int(knot)), _chance(seed, int(knot) + 1)
            mixed = before + (after - before) * (1 - math.cos(math.pi * part)) / 2
            return _on_grid(low + (high - low) * mixed, step)


class Body:
    """The state of one simulated device: every metric's shape, and what a scenario has pinned for the time being.

    Values change once a second of the clock, so that one sweep of requests hears one state.
    """

    def __init__(self, seed: str, shapes: Mapping[str, Shape], born_ns: int, speed: float = 1.0) -> None:
        self._seed = seed
        self._shapes = shapes
        self._born_ns = born_ns
        self._speed = speed
        self._pins: dict[str, tuple[Value, int | None]] = {}

    def begin(self, now_ns: int) -> None:
        """Be switched on now: ages count from here."""
        self._born_ns = now_ns

    def age_s(self, now_ns: int) -> int:
        """Whole simulated seconds since the device was switched on."""
        return max(0, int((now_ns - self._born_ns) * self._speed) // SECOND_NS)

    def pin(self, metric: str, value: Value, until_ns: int | None = None) -> None:
        """Hold `metric` at `value` until that time, or until it is freed."""
        self._pins[metric] = (value, until_ns)

    def free(self, metric: str) -> None:
        """Let `metric` go its own way again."""
        self._pins.pop(metric, None)

    def pinned(self, metric: str, now_ns: int) -> bool:
        """Whether `metric` is held now."""
        _, until_ns = self._pins.get(metric, (None, now_ns))
        return metric in self._pins and (until_ns is None or now_ns < until_ns)

    def values(self, now_ns: int) -> dict[str, Value]:
        """Every metric's value now."""
        age = self.age_s(now_ns)
        return {
            metric: self._pinned(metric, now_ns, value_at(shape, f"{self._seed}/{metric}", age))
            for metric, shape in self._shapes.items()
        }

    def _pinned(self, metric: str, now_ns: int, otherwise: Value) -> Value:
        value, until_ns = self._pins.get(metric, (otherwise, None))
        return value if until_ns is None or now_ns < until_ns else otherwise
