"""The closed grammar of alarm conditions; there is no code in YAML.

when: {above: nh3_ppm, limit: 10, deadband: 1}      when: {equals: cover_open, value: true}
when: {below: battery_v, limit: 3.2}                when: {one_of: lock_state, values: [forced, unknown]}
when: {stale_after_s: 93600}                        when: {bit: status_word, number: 3}
when: {all: [{...}, {...}]}    {any: [...]}         when: {not: {...}}
when: {n_of_m: {above: h2s_ppm, limit: 10}, n: 3, m: 5}
when: {mean: nh3_ppm, over_s: 600, more_than: 5, deadband: 1}      min, max and std likewise; less_than: 5
when: {rise: water_level_cm, over_s: 600, more_than: 5, per: minute}      fall likewise
when: {inside: school, dwell_s: 300, deadband_m: 20}               {outside: works}
when: {speed_over_kmh: 60, deadband: 5}                            {speed_over_kmh: 30, in_zone: school}
"""

from collections.abc import Callable, Mapping
from functools import partial

from device_profiles.branch import NAME, Branch
from device_profiles.mistakes import did_you_mean, one_of
from device_profiles.model import (
    LATITUDE,
    LONGITUDE,
    Above,
    All,
    AnyCondition,
    AnyOf,
    Below,
    Bit,
    Equals,
    NofM,
    Not,
    OneOf,
    Place,
    Speed,
    Stale,
    Statistic,
    Windowed,
)
from device_profiles.quantities import Metric, MetricType
from device_profiles.read_metrics import NUMERIC, shown
from telemetry.records import Value

__all__ = ["DAY_S", "Metrics", "has_count", "read_condition", "within_range"]

Metrics = Mapping[str, Metric]

DAY_S = 86400.0
_LONGEST_SILENCE_S = 400 * DAY_S
_STAND_IN = Stale(after_s=1.0)
_MOST_VALUES = 32
_MOST_READINGS = 62
"""Of n_of_m: they are remembered as the bits of one integer."""
_ZONE = "a zone's name: small letters, digits and _"
_PER = {"minute": 60.0, "hour": 3600.0, "day": DAY_S}
_JUDGED_AS_VALUE = {MetricType.BOOLEAN: bool, MetricType.INTEGER: int, MetricType.STRING: str}


def read_condition(branch: Branch, metrics: Metrics) -> AnyCondition:
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
    limit = branch.number(key)
    within_range(branch, key, limit, metric)
    return limit


def within_range(branch: Branch, key: str, limit: float, metric: Metric | None) -> None:
    """Refuse a limit outside the metric's range: values beyond the range are bad and raise no alarm."""
    if metric is None:
        return
    low, high = metric.low, metric.high
    if (low is not None and limit < low) or (high is not None and limit > high):
        branch.wrong(key, f"{limit:g} is outside the range of {metric.name}", f"{shown(low)} to {shown(high)}")


def _deadband(branch: Branch) -> float:
    return branch.number("deadband", 0.0, low=0)


def _above(branch: Branch, metrics: Metrics) -> Above:
    metric = _metric(branch, "above", metrics, *NUMERIC)
    return Above(metric=metric.name if metric else "", limit=_limit(branch, "limit", metric), deadband=_deadband(branch))


def _below(branch: Branch, metrics: Metrics) -> Below:
    metric = _metric(branch, "below", metrics, *NUMERIC)
    return Below(metric=metric.name if metric else "", limit=_limit(branch, "limit", metric), deadband=_deadband(branch))


def _equals(branch: Branch, metrics: Metrics) -> Equals:
    metric = _metric(branch, "equals", metrics, *_JUDGED_AS_VALUE)
    value = branch.value("value")
    _check_type(branch, "value", metric, value)
    return Equals(metric=metric.name if metric else "", value=value)


def _one_of(branch: Branch, metrics: Metrics) -> OneOf:
    metric = _metric(branch, "one_of", metrics, *_JUDGED_AS_VALUE)
    values = tuple(branch.values("values"))
    if not 2 <= len(values) <= _MOST_VALUES or len(set(values)) < len(values):
        branch.wrong("values", f"{len(set(values))} different values of {len(values)}", f"2 to {_MOST_VALUES} different values")
    for value in values:
        _check_type(branch, "values", metric, value)
    return OneOf(metric=metric.name if metric else "", values=values)


def _check_type(branch: Branch, key: str, metric: Metric | None, value: Value) -> None:
    if metric is not None and metric.type in _JUDGED_AS_VALUE and type(value) is not _JUDGED_AS_VALUE[metric.type]:
        branch.wrong(key, f"{value!r} for a {metric.type} metric", f"a {metric.type}")


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
    limit = _limit(branch, "speed_over_kmh", metric)
    zone = _zone(branch, "in_zone", metrics) if branch.has("in_zone") else ""
    return Speed(limit_kmh=limit, deadband=_deadband(branch), metric=name, zone=zone)


def _zone(branch: Branch, key: str, metrics: Metrics) -> str:
    """The name of a zone; which there are is the site's matter."""
    if not metrics.keys() >= {LONGITUDE, LATITUDE}:
        branch.wrong_key(key, "the profile has no position", f"{LONGITUDE} and {LATITUDE} among the metrics")
    return branch.text(key, form=NAME, like=_ZONE)


def _place(key: str, branch: Branch, metrics: Metrics) -> Place:
    return Place(
        zone=_zone(branch, key, metrics),
        outside=key == "outside",
        deadband_m=branch.number("deadband_m", 0.0, low=0, high=10_000),
        dwell_s=branch.number("dwell_s", 0.0, low=0, high=DAY_S),
    )


def _windowed(statistic: Statistic, branch: Branch, metrics: Metrics) -> Windowed:
    """A statistic of a window; those that are no value of the metric itself are never below 0."""
    metric = _metric(branch, statistic.value, metrics, *NUMERIC)
    moves = statistic in {Statistic.RISE, Statistic.FALL}
    under = not moves and branch.has("less_than")
    key = "less_than" if under else "more_than"
    if under and branch.has("more_than"):
        branch.wrong_key("more_than", "more_than and less_than in one condition", "one of them")
    own = metric if not moves and statistic is not Statistic.STD else None
    limit = branch.number(key, low=0) if own is None else _limit(branch, key, own)
    return Windowed(
        metric=metric.name if metric else "",
        statistic=statistic,
        over_s=branch.number("over_s", low=1, high=DAY_S),
        limit=limit,
        under=under,
        deadband=_deadband(branch),
        per_s=_PER[branch.word("per", _PER)] if moves else 60.0,
    )


def _n_of_m(branch: Branch, metrics: Metrics) -> NofM:
    counted = read_condition(branch.branch("n_of_m"), metrics)
    m = branch.integer("m", low=2, high=_MOST_READINGS)
    n = branch.integer("n", low=1, high=_MOST_READINGS)
    if n > m and branch.is_sound("n", "m"):
        branch.wrong("n", f"{n} of {m} readings", f"1 to {m}")
    if has_count(counted):
        branch.wrong("n_of_m", "n_of_m within n_of_m", "one count of readings")
    return NofM(of=counted, n=n, m=m)


def has_count(condition: AnyCondition) -> bool:
    """Whether readings are counted anywhere in it."""
    match condition:
        case NofM():
            return True
        case All(of=parts) | AnyOf(of=parts):
            return any(map(has_count, parts))
        case Not(of=part):
            return has_count(part)
        case _:
            return False


def _several(branch: Branch, key: str, metrics: Metrics) -> tuple[AnyCondition, ...]:
    of = tuple(read_condition(item, metrics) for item in branch.items(key))
    if len(of) < 2:
        branch.wrong(key, f"{len(of)} condition", "two or more conditions in a list")
    return of


def _all(branch: Branch, metrics: Metrics) -> All:
    return All(of=_several(branch, "all", metrics))


def _any(branch: Branch, metrics: Metrics) -> AnyOf:
    return AnyOf(of=_several(branch, "any", metrics))


def _not(branch: Branch, metrics: Metrics) -> Not:
    return Not(of=read_condition(branch.branch("not"), metrics))


_OPERATORS: Mapping[str, Callable[[Branch, Metrics], AnyCondition]] = {
    "above": _above,
    "below": _below,
    "equals": _equals,
    "one_of": _one_of,
    "bit": _bit,
    "stale_after_s": _stale,
    "speed_over_kmh": _speed,
    "inside": partial(_place, "inside"),
    "outside": partial(_place, "outside"),
    "n_of_m": _n_of_m,
    **{statistic.value: partial(_windowed, statistic) for statistic in Statistic},
    "all": _all,
    "any": _any,
    "not": _not,
}
