"""One comparison: what is measured, against which limit, and what is to be remembered of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

import msgspec

from device_profiles.model import (
    LATITUDE,
    LONGITUDE,
    Above,
    Below,
    Bit,
    Equals,
    Leaf,
    OneOf,
    Place,
    Speed,
    Stale,
    Windowed,
)
from edge_agent.alarms.windows import Slot, statistic, with_value
from edge_agent.alarms.zones import Zone
from telemetry.clock import SECOND_NS
from telemetry.records import Value

if TYPE_CHECKING:
    from edge_agent.alarms.conditions import Memory

__all__ = ["Facts", "Limited", "Trace", "Truth", "is_beyond", "judge_leaf", "limit_of", "measured", "number", "position"]

Truth = bool | None

Limited = Above | Below | Speed | Windowed
"""The comparisons of one number with one limit."""

POSITION_FIX = "position_fixed"
"""Where a reading holds this boolean and it is false, the terminal repeats an old fix: its speed and place say nothing."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition is judged by, and how long the device has been silent.

    A metric that `values` does not mention is as it was: a message need not say everything. One that is None is unknown,
    for what was told of it cannot be believed. A zone that `zones` lacks is unknown, too.
    """

    values: Mapping[str, Value]
    silent_s: float = 0.0
    zones: Mapping[str, Zone] = {}


class Trace:
    """The memory of a condition while it is judged once, from leaf to leaf."""

    __slots__ = ("changed", "counts", "held", "index", "is_new", "known", "now_ns", "sampled", "there_ns", "windows")

    def __init__(self, memory: "Memory", now_ns: int) -> None:
        self.index = 0
        self.held, self.known = memory.held, memory.known
        self.windows, self.counts, self.there_ns = memory.windows, memory.counts, memory.there_ns
        self.now_ns = now_ns
        self.is_new = now_ns > memory.sampled_ns
        """Whether this reading is not a repeat of the last one."""
        self.sampled = False
        self.changed = False

    def note(self, index: int, truth: Truth) -> None:
        """What is said of a leaf now."""
        bit = 1 << index
        known = self.known & ~bit if truth is None else self.known | bit
        held = self.held if truth is None else self.held | bit if truth else self.held & ~bit
        if known != self.known or held != self.held:
            self.known, self.held, self.changed = known, held, True

    def sample(self, index: int, slots: tuple[Slot, ...]) -> None:
        self.windows = {**self.windows, index: slots}
        self.sampled = self.changed = True

    def count(self, index: int, last: int) -> None:
        self.counts = {**self.counts, index: last}
        self.sampled = self.changed = True

    def arrive(self, index: int) -> int:
        """Since when the device is at the leaf's place: now, unless it was there already."""
        if index not in self.there_ns:
            self.there_ns, self.changed = {**self.there_ns, index: self.now_ns}, True
        return self.there_ns[index]

    def leave(self, index: int) -> None:
        if index in self.there_ns:
            self.there_ns = {leaf: since_ns for leaf, since_ns in self.there_ns.items() if leaf != index}
            self.changed = True


def judge_leaf(leaf: Leaf, facts: Facts, trace: Trace) -> Truth:
    """The truth of the next leaf; one that is not mentioned is as it was."""
    index = trace.index
    trace.index = index + 1
    was_true = bool(trace.held >> index & 1)
    if not isinstance(leaf, Stale) and leaf.metric not in facts.values:
        return was_true if trace.known >> index & 1 else None
    match leaf:
        case Above() | Below():
            value = number(facts.values[leaf.metric])
            truth = None if value is None else is_beyond(leaf, value, leaf.limit, was_true=was_true)
        case Equals():
            found = facts.values[leaf.metric]
            truth = None if found is None else found == leaf.value
        case OneOf():
            found = facts.values[leaf.metric]
            truth = None if found is None else found in leaf.values
        case Bit():
            bits = facts.values[leaf.metric]
            truth = bool(bits >> leaf.bit & 1) if isinstance(bits, int) else None
        case Stale():
            truth = facts.silent_s >= leaf.after_s
        case Speed():
            truth = _speeding(leaf, facts, was_true=was_true)
        case Windowed():
            truth = _windowed(leaf, facts, trace, index, was_true=was_true)
        case Place():
            truth = _at_place(leaf, facts, trace, index)
        case _:
            assert_never(leaf)
    trace.note(index, truth)
    return truth


def measured(leaf: Limited, facts: Facts, windows: Mapping[int, tuple[Slot, ...]], index: int, now_ns: int) -> float | None:
    """The number that the leaf compares with its limit, after it was judged; None where nothing is known of it."""
    if isinstance(leaf, Windowed):
        known = number(facts.values.get(leaf.metric)) is not None
        return statistic(windows.get(index, ()), leaf, now_ns) if known else None
    if isinstance(leaf, Speed) and facts.values.get(POSITION_FIX) is False:
        return None
    return number(facts.values.get(leaf.metric))


def limit_of(leaf: Limited) -> float:
    return leaf.limit_kmh if isinstance(leaf, Speed) else leaf.limit


def is_beyond(leaf: Limited, value: float, limit: float, *, was_true: bool) -> bool:
    """Whether a value is beyond a limit, on the leaf's side of it and with its deadband."""
    if isinstance(leaf, Below) or (isinstance(leaf, Windowed) and leaf.under):
        return value < (limit + leaf.deadband if was_true else limit)
    return value > (limit - leaf.deadband if was_true else limit)


def number(value: Value) -> float | None:
    """The value where it is a number; a boolean is none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def position(facts: Facts) -> tuple[float, float] | None:
    """Longitude and latitude; None where there is no fix."""
    longitude, latitude = number(facts.values.get(LONGITUDE)), number(facts.values.get(LATITUDE))
    if longitude is None or latitude is None or facts.values.get(POSITION_FIX) is False:
        return None
    return longitude, latitude


def _speeding(leaf: Speed, facts: Facts, *, was_true: bool) -> Truth:
    value = None if facts.values.get(POSITION_FIX) is False else number(facts.values[leaf.metric])
    if value is None:
        return None
    too_fast = is_beyond(leaf, value, leaf.limit_kmh, was_true=was_true)
    if not leaf.zone or not too_fast:
        return too_fast
    zone, at = facts.zones.get(leaf.zone), position(facts)
    return None if zone is None or at is None else zone.is_inside(*at)


def _windowed(leaf: Windowed, facts: Facts, trace: Trace, index: int, *, was_true: bool) -> Truth:
    value = number(facts.values[leaf.metric])
    if value is None:
        return None
    if trace.is_new:
        trace.sample(index, with_value(trace.windows.get(index, ()), leaf, value, trace.now_ns))
    found = statistic(trace.windows.get(index, ()), leaf, trace.now_ns)
    return None if found is None else is_beyond(leaf, found, leaf.limit, was_true=was_true)


def _at_place(leaf: Place, facts: Facts, trace: Trace, index: int) -> Truth:
    """Whether the device is there, and has been for long enough."""
    zone, at = facts.zones.get(leaf.zone), position(facts)
    if zone is None or at is None:
        return None
    was_there = index in trace.there_ns
    if leaf.deadband_m and was_there:
        depth_m = zone.depth_m(*at)
        is_there = (-depth_m if leaf.outside else depth_m) > -leaf.deadband_m
    else:
        is_there = zone.is_inside(*at) is not leaf.outside
    if not is_there:
        trace.leave(index)
        return False
    return trace.now_ns - trace.arrive(index) >= leaf.dwell_s * SECOND_NS
