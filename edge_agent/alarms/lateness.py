"""Which readings a rule may judge now, and in which order.

A transition that was told cannot be untold. So where a profile says that readings may come late (`lateness_s`), they are
not judged, and judged again when an older one turns up, but held back: each for that long in event time, until nothing
older can come any more. How far a rule has judged depends on the readings about its own metrics only: hour means, which
are an hour old when they come, and the readings of the moment do not make each other late.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from device_profiles.model import AlarmRule
from edge_agent.alarms.conditions import mentions
from edge_agent.alarms.state import DeviceState, Held

__all__ = ["MOST_HELD", "Due", "advanced", "settled", "take_in"]

MOST_HELD = 512
"""Readings of one device that wait; when there are more, the oldest is judged before its time."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """The state after a reading was taken in, and what is to be judged, in this order."""

    state: DeviceState
    pairs: tuple[tuple[AlarmRule, Held], ...] = ()


def advanced(state: DeviceState, rules: Sequence[AlarmRule], about: Sequence[AlarmRule], time_ns: int) -> DeviceState:
    """The state after the rules `about` have judged up to `time_ns`; `rules` are all that judge by event time."""
    behind = state.behind_ns
    if time_ns < state.judged_ns:
        moved = {rule.name: time_ns for rule in about if state.judged_by(rule.name) < time_ns}
        return replace(state, behind_ns={**behind, **moved}) if moved else state
    if behind or len(about) < len(rules):
        moved_names = {rule.name for rule in about}
        left = [rule.name for rule in rules if rule.name not in moved_names]
        behind = {name: state.judged_by(name) for name in left if state.judged_by(name) < time_ns}
    return replace(state, judged_ns=time_ns, behind_ns=behind)


def take_in(state: DeviceState, rules: Sequence[AlarmRule], about: Sequence[AlarmRule], new: Held, lateness_ns: int) -> Due:
    """Hold one reading back, and let those go that nothing older can come before. A reading that is held already is a repeat."""
    held = state.held
    if any(new.time_ns >= state.judged_by(rule.name) for rule in about):
        held = _with(held, new)
    upto_ns = new.time_ns - lateness_ns
    if len(held) > MOST_HELD:
        upto_ns = max(upto_ns, held[-MOST_HELD].time_ns)
    after = advanced(state, rules, about, max(0, upto_ns))
    return _due(state, replace(after, held=held), rules)


def settled(state: DeviceState, rules: Sequence[AlarmRule]) -> Due:
    """Let all readings go that are held: the device has been silent for longer than any of them could have been late."""
    after = state
    for held in state.held:
        about = [rule for rule in rules if mentions(rule.when, held.values)]
        after = advanced(after, rules, about, held.time_ns + 1)
    return _due(state, after, rules)


def _due(before: DeviceState, after: DeviceState, rules: Sequence[AlarmRule]) -> Due:
    # No rule is further than `judged_ns`: what is as new as that waits on, and most of what waits is.
    newer = bisect_left(after.held, after.judged_ns, key=_time)
    pairs: list[tuple[AlarmRule, Held]] = []
    kept: list[Held] = []
    for held in after.held[:newer]:
        about = [rule for rule in rules if mentions(rule.when, held.values)]
        pairs += ((rule, held) for rule in _between(about, before, after, held.time_ns))
        if any(held.time_ns >= after.judged_by(rule.name) for rule in about):
            kept.append(held)
    return Due(state=replace(after, held=(*kept, *after.held[newer:])), pairs=tuple(pairs))


def _between(about: Iterable[AlarmRule], before: DeviceState, after: DeviceState, time_ns: int) -> Iterator[AlarmRule]:
    """The rules that had not judged up to a time before, and have now."""
    return (rule for rule in about if before.judged_by(rule.name) <= time_ns < after.judged_by(rule.name))


def _with(held: tuple[Held, ...], new: Held) -> tuple[Held, ...]:
    """The readings in the order of time; those of one instant in an order that does not depend on who came first."""
    begin = bisect_left(held, new.time_ns, key=_time)
    end = bisect_right(held, new.time_ns, key=_time)
    same = held[begin:end]
    if new in same:
        return held
    return (*held[:begin], *sorted((*same, new), key=_content), *held[end:])


def _time(held: Held) -> int:
    return held.time_ns


def _content(held: Held) -> str:
    return repr(sorted(held.values.items()))
