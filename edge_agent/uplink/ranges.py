"""Sets of numbers that are mostly runs."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Ranges", "first_gap"]

Range = tuple[int, int]
"""From and to, both included."""


class Ranges:
    """Numbers kept as sorted closed ranges that neither overlap nor touch; each step costs as much as there are ranges."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in ranges:
            self.add(low, high)

    def __iter__(self) -> Iterator[Range]:
        return zip(self._lows, self._highs, strict=True)

    def __len__(self) -> int:
        """How many ranges, not how many numbers."""
        return len(self._lows)

    @property
    def highest(self) -> int:
        """The last number; 0 where there is none."""
        return self._highs[-1] if self._highs else 0

    def add(self, low: int, high: int) -> int:
        """Put in `low` to `high`; how many of them were not in before."""
        if low > high:
            return 0
        start, end = bisect_left(self._highs, low - 1), bisect_right(self._lows, high + 1)
        before = sum(to - of + 1 for of, to in zip(self._lows[start:end], self._highs[start:end], strict=True))
        if start < end:
            low, high = min(low, self._lows[start]), max(high, self._highs[end - 1])
        self._lows[start:end], self._highs[start:end] = [low], [high]
        return high - low + 1 - before

    def remove(self, low: int, high: int) -> None:
        """Take out `low` to `high`."""
        start, end = bisect_left(self._highs, low), bisect_right(self._lows, high)
        if start >= end:
            return
        rest = [(self._lows[start], low - 1), (high + 1, self._highs[end - 1])]
        rest = [(of, to) for of, to in rest if of <= to]
        self._lows[start:end], self._highs[start:end] = [of for of, _ in rest], [to for _, to in rest]

    def around(self, seq: int) -> Range | None:
        """The range that holds `seq`."""
        at = bisect_left(self._highs, seq)
        return (self._lows[at], self._highs[at]) if at < len(self._lows) and self._lows[at] <= seq else None

    def next_from(self, seq: int) -> int | None:
        """The lowest number in it that is `seq` or above."""
        at = bisect_left(self._highs, seq)
        return max(seq, self._lows[at]) if at < len(self._lows) else None

    def covers(self, low: int, high: int) -> bool:
        """Whether every number from `low` to `high` is in it."""
        found = self.around(low)
        return low > high or (found is not None and found[1] >= high)


def first_gap(low: int, high: int, *sets: Ranges) -> Range | None:
    """The first run of numbers from `low` to `high` that are in none of `sets`."""
    while low <= high:
        for each in sets:
            found = each.around(low)
            if found is not None:
                low = found[1] + 1
                break
        else:
            ends = [start - 1 for each in sets if (start := each.next_from(low)) is not None]
            return low, min([high, *ends])
    return None
