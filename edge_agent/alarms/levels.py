"""How serious an alarm is now: the levels of a rule, each with the rule's own delays and deadband."""

from device_profiles.model import AlarmRule
from edge_agent.alarms.leaves import Limited, is_beyond
from edge_agent.alarms.state import RuleState
from telemetry.clock import SECOND_NS
from telemetry.records import Priority

__all__ = ["priority_at", "reached"]


def priority_at(rule: AlarmRule, level: int) -> Priority:
    """The priority after `level` of the rule's levels were reached; the last one's where it has no longer so many."""
    known = min(level, len(rule.levels))
    return rule.levels[known - 1].priority if known else rule.priority


def reached(rule: AlarmRule, state: RuleState, value: float | None, now_ns: int) -> tuple[int, dict[int, int]]:
    """The level that `value` leads to, and since when each level contradicts that; an unknown value leads nowhere.

    A level is reached when the value has been beyond its limit for the on-delay, and left when it has been back for the
    off-delay. Limits are nested, so a later level is never reached before an earlier one.
    """
    turning = dict(state.turning)
    if value is None or not isinstance(rule.when, Limited):
        return state.level, turning
    # A new version of the profile may have fewer levels than were reached.
    level = min(state.level, len(rule.levels))
    for number, step in enumerate(rule.levels, 1):
        is_on = number <= state.level
        truth = is_beyond(rule.when, value, step.limit, was_true=is_on)
        if truth is is_on:
            turning.pop(number, None)
            continue
        since_ns = turning.setdefault(number, now_ns)
        if now_ns - since_ns < (rule.on_delay_s if truth else rule.off_delay_s) * SECOND_NS:
            continue
        level = max(level, number) if truth else min(level, number - 1)
        del turning[number]
    return level, turning
