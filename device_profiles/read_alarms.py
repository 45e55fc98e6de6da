"""Alarm rules: a condition, its delays, its priority, and what the alarm means to a person.

A condition with one limit may have further ones, each with a higher priority:

when: {above: nh3_ppm, limit: 5, deadband: 1}
priority: medium
levels: {high: 10, critical: 25}
"""

from collections.abc import Mapping

from device_profiles.branch import NAME, Branch
from device_profiles.mistakes import did_you_mean, one_of
from device_profiles.model import Above, AlarmRule, AnyCondition, Below, Level, Matter, Place, Speed, Stale, Windowed, leaves
from device_profiles.read_conditions import DAY_S, Metrics, has_count, read_condition, within_range
from telemetry.records import Priority

__all__ = ["read_alarms"]

_MOST_COMPARISONS = 30
"""A transition's evidence has 64 entries: a value and a limit of each comparison, and where the device was."""

_URGENCY = (Priority.LOW, Priority.MEDIUM, Priority.HIGH, Priority.CRITICAL)


def read_alarms(root: Branch, metrics: Metrics, matters: Mapping[str, Matter]) -> dict[str, AlarmRule]:
    """The rules by name; every one says cause, consequence and response in both languages."""
    alarms: dict[str, AlarmRule] = {}
    inner = root.optional("alarms")
    for name, branch in () if inner is None else inner.inner():
        if not NAME.fullmatch(name) and inner is not None:
            inner.wrong_key(name, f"{name!r} is not a rule name", "small letters, digits and _")
        alarms[name] = _rule(name, branch, metrics, matters)
        branch.finish()
    return alarms


def _rule(name: str, branch: Branch, metrics: Metrics, matters: Mapping[str, Matter]) -> AlarmRule:
    matter = branch.text("matter") if branch.has("matter") else None
    if matter is not None and matter not in matters:
        branch.wrong("matter", f"{matter!r} is not in matters.yaml", did_you_mean(matter, matters))
    when = read_condition(branch.branch("when"), metrics)
    _check_parts(branch, when)
    priority = branch.choice("priority", Priority)
    levels = branch.optional("levels")
    return AlarmRule(
        name=name,
        when=when,
        priority=priority,
        title=branch.both("title"),
        cause=branch.both("cause"),
        consequence=branch.both("consequence"),
        response=branch.both("response"),
        on_delay_s=branch.number("on_delay_s", 0.0, low=0, high=DAY_S),
        off_delay_s=branch.number("off_delay_s", 0.0, low=0, high=DAY_S),
        max_shelve_s=branch.number("max_shelve_s", DAY_S, low=60, high=DAY_S),
        latch=branch.flag("latch", default=False),
        matter=matter,
        levels=() if levels is None else _levels(levels, branch, when, priority, metrics),
    )


def _check_parts(branch: Branch, when: AnyCondition) -> None:
    parts = list(leaves(when))
    if len(parts) > _MOST_COMPARISONS:
        branch.wrong("when", f"{len(parts)} comparisons", f"at most {_MOST_COMPARISONS}")
    remembers = any(isinstance(part, Windowed | Place) for part in parts) or has_count(when)
    if remembers and any(isinstance(part, Stale) for part in parts):
        # Silence is told by the gateway's clock, windows and stays by the device's.
        branch.wrong("when", "stale_after_s beside a window, a count or a zone", "two rules")


def _levels(branch: Branch, rule: Branch, when: AnyCondition, priority: Priority, metrics: Metrics) -> tuple[Level, ...]:
    """The further limits by rising priority; each lies beyond the one before it."""
    if not isinstance(when, Above | Below | Speed | Windowed):
        rule.wrong("levels", "the condition has no single limit", "levels for above, below, a speed or a window only")
        return ()
    above = _URGENCY[_URGENCY.index(priority) + 1 :]
    limits = {key: branch.number(key) for key in branch}
    for key, limit in limits.items():
        if key not in above:
            branch.wrong_key(key, f"{key[:40]!r} is not above the rule's {priority}", one_of(above) if above else "no levels")
        elif not isinstance(when, Windowed):
            within_range(branch, key, limit, metrics.get(when.metric))
    levels = tuple(Level(priority=level, limit=limits[level]) for level in above if level in limits)
    if not limits:
        rule.wrong("levels", "no level", one_of(above) if above else "no levels")
    downwards = isinstance(when, Below) or (isinstance(when, Windowed) and when.under)
    before = when.limit_kmh if isinstance(when, Speed) else when.limit
    for level in levels:
        if (level.limit >= before) if downwards else (level.limit <= before):
            beyond = "below" if downwards else "above"
            branch.wrong(level.priority, f"{level.limit:g} is not {beyond} {before:g}", "a limit beyond that of the level before")
        before = level.limit
    return levels
