"""Arithmetic of numbers as sorted, closed, disjoint ranges: what is done in a lane is a few of these, not a set."""

from bisect import bisect_right

__all__ = ["Spans", "count", "covers", "difference", "first_outside", "intersection", "union"]

Spans = tuple[tuple[int, int], ...]
"""Ascending, no two of them touching."""


def union(*many: Spans) -> Spans:
    """Every number that is in one of them."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(span for spans in many for span in spans if span[0] <= span[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def difference(these: Spans, those: Spans) -> Spans:
    """What is in `these` and not in `those`, in one pass over both."""
    left: list[tuple[int, int]] = []
    at = 0
    for low, high in these:
        while at < len(those) and those[at][1] < low:
            at += 1
        begin, ahead = low, at
        while ahead < len(those) and those[ahead][0] <= high:
            if begin < those[ahead][0]:
                left.append((begin, those[ahead][0] - 1))
            begin = max(begin, those[ahead][1] + 1)
            ahead += 1
        if begin <= high:
            left.append((begin, high))
    return tuple(left)


def intersection(these: Spans, those: Spans) -> Spans:
    """What is in both."""
    return difference(these, difference(these, those))


def count(spans: Spans) -> int:
    """How many numbers they hold."""
    return sum(high - low + 1 for low, high in spans)


def covers(spans: Spans, low: int, high: int) -> bool:
    """Whether every number from `low` to `high` is in them."""
    at = bisect_right(spans, low, key=lambda span: span[0]) - 1
    return at >= 0 and spans[at][1] >= high


def first_outside(spans: Spans, low: int) -> int:
    """The first number from `low` on that is in none of them."""
    at = bisect_right(spans, low, key=lambda span: span[0]) - 1
    return spans[at][1] + 1 if at >= 0 and spans[at][1] >= low else low
