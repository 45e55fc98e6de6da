"""Alarm rules and the closed grammar of their conditions; there is no code in YAML.

when: {above: nh3_ppm, limit: 10, deadband: 1}      when: {equals: cover_open, value: true}
when: {below: battery_v, limit: 3.2}                when: {bit: status_word, number: 3}
when: {stale_after_s: 93600}                        when: {speed_over_kmh: 60, deadband: 5}
when: {all: [{...}, {...}]}    {any: [...]}         when: {not: {...}}
"""

from collections.abc import Callable, Mapping

from device_profiles.branch import NAME, Branch
from device_profiles.mistakes import did_you_mean, one_of
from device_profiles.model import (
    Above,
    AlarmRule,
    All,
    AnyCondition,
    AnyOf,
    Below,
    Bit,
    Equals,
    Matter,
    Not,
    Speed,
    Stale,
    leaves,
)
from device_profiles.quantities import Metric, MetricType
from device_profiles.read_metrics import NUMERIC, shown
from telemetry.records import Priority

__all__ = ["read_alarms"]

Metrics = Mapping[str, Metric]

DAY_S = 86400.0
_LONGEST_SILENCE_S = 400 * DAY_S
_STAND_IN = Stale(after_s=1.0)
_MOST_COMPARISONS = 32
"""A transition's evidence has 64 entries: a value and a limit of each comparison."""


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
    when = _condition(branch.branch("when"), metrics)
    comparisons = sum(1 for _ in leaves(when))
    if comparisons > _MOST_COMPARISONS:
        branch.wrong("when", f"{comparisons} comparisons", f"at most {_MOST_COMPARISONS}")
    return AlarmRule(
        name=name,
        when=when,
        priority=branch.choice("priority", Priority),
        title=branch.both("title"),
        cause=branch.both("cause"),
        consequence=branch.both("consequence"),
        response=branch.both("response"),
        on_delay_s=branch.number("on_delay_s", 0.0, low=0, high=DAY_S),
        off_delay_s=branch.number("off_delay_s", 0.0, low=0, high=DAY_S),
        latch=branch.flag("latch", default=False),
        matter=matter,
    )


def _condition(branch: Branch, metrics: Metrics) -> AnyCondition:
    """One condition: exactly one of the operators' keys, and what belongs to it."""
    found = [key for key in _OPERATORS if branch.has(key)]
    if len(found) != 1:
        _wrong_operators(branch, found)
        return _STAND_IN
    condition = _OPERATORS[found[0]](branch, metrics)
    branch.finish()
    return condition


def _wrong_operators(branch: Branch, found: list[str]) -> None:
    unknown = next((key for key in branch if key not in _OPERATORS), None)
    if found:
        branch.wrong_key(found[1], f"{' and '.join(found)} in one condition", "one of them, or join two with all or any")
    elif unknown is None:
        branch.wrong_here("no condition", one_of(_OPERATORS))
    else:
        branch.wrong_key(unknown, f"{unknown[:40]!r} is not a condition", did_you_mean(unknown, _OPERATORS))


def _metric(branch: Branch, key: str, metrics: Metrics, *types: MetricType) -> Metric | None:
    name = branch.text(key)
    metric = metrics.get(name)
    if metric is None:
        branch.wrong(key, f"{name!r} is not a metric of this profile", did_you_mean(name, metrics))
    elif types and metric.type not in types:
        branch.wrong(key, f"{name} is a {metric.type} metric", f"a metric of type {' or '.join(sorted(types))}")
    return metric


def _limit(branch: Branch, key: str, metric: Metric | None) -> float:
    """A limit inside the metric's range: values beyond the range are bad and raise no alarm."""
    limit = branch.number(key)
    if metric is None:
        return limit
    low, high = metric.low, metric.high
    if (low is not None and limit < low) or (high is not None and limit > high):
        branch.wrong(key, f"{limit:g} is outside the range of {metric.name}", f"{shown(low)} to {shown(high)}")
    return limit


def _deadband(branch: Branch) -> float:
    return branch.number("deadband", 0.0, low=0)


def _above(branch: Branch, metrics: Metrics) -> Above:
    metric = _metric(branch, "above", metrics, *NUMERIC)
    return Above(metric=metric.name if metric else "", limit=_limit(branch, "limit", metric), deadband=_deadband(branch))


def _below(branch: Branch, metrics: Metrics) -> Below:
    metric = _metric(branch, "below", metrics, *NUMERIC)
    return Below(metric=metric.name if metric else "", limit=_limit(branch, "limit", metric), deadband=_deadband(branch))


def _equals(branch: Branch, metrics: Metrics) -> Equals:
    metric = _metric(branch, "equals", metrics, MetricType.BOOLEAN, MetricType.INTEGER, MetricType.STRING)
    value = branch.value("value")
    wanted = {MetricType.BOOLEAN: bool, MetricType.INTEGER: int, MetricType.STRING: str}
    if metric is not None and metric.type in wanted and type(value) is not wanted[metric.type]:
        branch.wrong("value", f"{value!r} for a {metric.type} metric", f"a {metric.type}")
    return Equals(metric=metric.name if metric else "", value=value)


def _bit(branch: Branch, metrics: Metrics) -> Bit:
    metric = _metric(branch, "bit", metrics, MetricType.INTEGER)
    return Bit(metric=metric.name if metric else "", bit=branch.integer("number", low=0, high=63))


def _stale(branch: Branch, _metrics: Metrics) -> Stale:
    return Stale(after_s=branch.number("stale_after_s", low=1, high=_LONGEST_SILENCE_S))


def _speed(branch: Branch, metrics: Metrics) -> Speed:
    name = branch.text("metric", "speed_kmh")
    metric = metrics.get(name)
    if metric is None or metric.type not in NUMERIC:
        branch.wrong(
            "metric" if branch.has("metric") else "speed_over_kmh", f"{name} is no number of this profile", "a speed metric"
        )
    return Speed(limit_kmh=_limit(branch, "speed_over_kmh", metric), deadband=_deadband(branch), metric=name)


def _several(branch: Branch, key: str, metrics: Metrics) -> tuple[AnyCondition, ...]:
    of = tuple(_condition(item, metrics) for item in branch.items(key))
    if len(of) < 2:
        branch.wrong(key, f"{len(of)} condition", "two or more conditions in a list")
    return of


def _all(branch: Branch, metrics: Metrics) -> All:
    return All(of=_several(branch, "all", metrics))


def _any(branch: Branch, metrics: Metrics) -> AnyOf:
    return AnyOf(of=_several(branch, "any", metrics))


def _not(branch: Branch, metrics: Metrics) -> Not:
    return Not(of=_condition(branch.branch("not"), metrics))


_OPERATORS: Mapping[str, Callable[[Branch, Metrics], AnyCondition]] = {
    "above": _above,
    "below": _below,
    "equals": _equals,
    "bit": _bit,
    "stale_after_s": _stale,
    "speed_over_kmh": _speed,
    "all": _all,
    "any": _any,
    "not": _not,
}
