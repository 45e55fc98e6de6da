"""Statistics over a window of event time, in a bounded number of slots.

A window is cut into 64 slots; what falls into one slot is kept together, so that a device that reports a hundred times as
often as usual neither fills the memory nor shortens its window. A slot leaves the window as a whole: up to a 64th of the
window's length after it might have. Plain Python: measured with 64 slots, numpy takes longer to get the numbers out of the
slots than a mean, a least or a greatest value takes without it; the deviation is about even.
"""

import math
from collections.abc import Sequence

import msgspec

from device_profiles.model import Statistic, Windowed
from telemetry.clock import SECOND_NS

__all__ = ["SLOTS", "Slot", "statistic", "with_value"]

SLOTS = 64


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """The values of one slot: their mean, or the one that counts; `spread` is the sum of squared differences from the mean.

    `at_ns` is the event time of the first, or of the last one where a rise or fall is asked for.
    """

    at_ns: int
    value: float
    count: int = 1
    spread: float = 0.0


def with_value(slots: Sequence[Slot], window: Windowed, value: float, now_ns: int) -> tuple[Slot, ...]:
    """The window after one more value; times never go back."""
    over_ns = round(window.over_s * SECOND_NS)
    width = max(1, over_ns // SLOTS)
    oldest = (now_ns - over_ns) // width
    left = 0
    while left < len(slots) and slots[left].at_ns // width < oldest:
        left += 1
    kept = list(slots[left:])
    if kept and kept[-1].at_ns // width == now_ns // width:
        kept[-1] = _joined(kept[-1], window.statistic, value, now_ns)
    else:
        kept.append(Slot(now_ns, value))
    return tuple(kept)


def statistic(slots: Sequence[Slot], window: Windowed, now_ns: int) -> float | None:
    """The statistic in the metric's unit (a rise or fall per `per_s`); None until the values span half of the window."""
    half_ns = window.over_s * SECOND_NS / 2
    if not slots or now_ns - slots[0].at_ns < half_ns:
        return None
    match window.statistic:
        case Statistic.RISE | Statistic.FALL:
            span_ns = slots[-1].at_ns - slots[0].at_ns
            moved = slots[-1].value - slots[0].value
            per_s = moved / (span_ns / SECOND_NS) * window.per_s if span_ns else 0.0
            return per_s if window.statistic is Statistic.RISE else -per_s
        case Statistic.MIN:
            return min(slot.value for slot in slots)
        case Statistic.MAX:
            return max(slot.value for slot in slots)
        case Statistic.MEAN:
            return _mean(slots)
        case Statistic.STD:
            mean = _mean(slots)
            squares = math.fsum(slot.spread + slot.count * (slot.value - mean) ** 2 for slot in slots)
            return math.sqrt(squares / sum(slot.count for slot in slots))


def _mean(slots: Sequence[Slot]) -> float:
    return math.fsum(slot.value * slot.count for slot in slots) / sum(slot.count for slot in slots)


def _joined(slot: Slot, kind: Statistic, value: float, now_ns: int) -> Slot:
    match kind:
        case Statistic.RISE | Statistic.FALL:
            return Slot(now_ns, value)
        case Statistic.MIN:
            return Slot(slot.at_ns, min(slot.value, value))
        case Statistic.MAX:
            return Slot(slot.at_ns, max(slot.value, value))
        case Statistic.MEAN | Statistic.STD:
            # Welford's way: the difference of two large sums of squares would lose a small deviation of a large value.
            count = slot.count + 1
            mean = slot.value + (value - slot.value) / count
            return Slot(slot.at_ns, mean, count, slot.spread + (value - slot.value) * (value - mean))
