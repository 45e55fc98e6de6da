"""How long things took, in little memory: how many fell into each step of one hundredth, from a second to a year."""

import math
from typing import Final

from telemetry.clock import SECOND_NS

__all__ = ["Waits"]

_STEP: Final = math.log(1.01)


class Waits:
    """A quantile is right within 1 %; what took less than a second counts as a second."""

    def __init__(self) -> None:
        self.count = 0
        self._steps: dict[int, int] = {}

    def add(self, wait_ns: int) -> None:
        step = round(math.log(max(1.0, wait_ns / SECOND_NS)) / _STEP)
        self._steps[step] = self._steps.get(step, 0) + 1
        self.count += 1

    def quantile(self, part: float) -> float | None:
        """Seconds that `part` of all (0 to 1) took no longer than; None where there were none."""
        wanted = max(1, math.ceil(part * self.count))
        seen = 0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= wanted:
                return math.exp(step * _STEP)
        return None
