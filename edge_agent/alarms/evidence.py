"""What a transition says that it stands on."""

from device_profiles.model import (
    LATITUDE,
    LONGITUDE,
    Above,
    AlarmRule,
    Below,
    Bit,
    Equals,
    OneOf,
    Place,
    Speed,
    Stale,
    Windowed,
    leaves,
)
from edge_agent.alarms.conditions import Memory
from edge_agent.alarms.leaves import Facts, limit_of, measured, position
from telemetry.records import Value

__all__ = ["evidence"]

_DIGITS = 6

_Plain = Above | Below | Equals | Bit | Stale | Speed | OneOf | Place


def evidence(rule: AlarmRule, facts: Facts, memory: Memory, now_ns: int, *, level: int = 0) -> dict[str, Value]:
    """What a rule was judged by: each metric's value, and each limit as `limit`, or `METRIC.limit` of several.

    A statistic stands as `METRIC.STATISTIC`, a place as the position and `ZONE.inside_m`: the metres from the zone's edge,
    below 0 outside. With a `level` the limit is that of this level.
    """
    shown: dict[str, Value] = {}
    limits: dict[str, Value] = {}
    for index, leaf in enumerate(leaves(rule.when)):
        if isinstance(leaf, Windowed):
            value = measured(leaf, facts, memory.windows, index, now_ns)
            shown[f"{leaf.metric}.{leaf.statistic}"] = None if value is None else round(value, _DIGITS)
            limits[f"{leaf.metric}.{leaf.statistic}"] = leaf.limit
        else:
            _show(leaf, facts, shown, limits)
    known = min(level, len(rule.levels))
    if known:
        limits = dict.fromkeys(limits, rule.levels[known - 1].limit)
    if len(limits) == 1:
        return shown | {"limit": next(iter(limits.values()))}
    return shown | {f"{metric}.limit": limit for metric, limit in limits.items()}


def _show(leaf: _Plain, facts: Facts, shown: dict[str, Value], limits: dict[str, Value]) -> None:
    match leaf:
        case Stale(after_s=after_s):
            shown["silent_s"] = round(facts.silent_s, 3)
            limits["silent_s"] = after_s
        case Equals(metric=metric) | Bit(metric=metric) | OneOf(metric=metric):
            shown[metric] = facts.values.get(metric)
        case Place(zone=zone):
            at = position(facts)
            shown[LONGITUDE], shown[LATITUDE] = at or (None, None)
            found = facts.zones.get(zone)
            shown[f"{zone}.inside_m"] = None if at is None or found is None else round(found.depth_m(*at), 1)
        case _:
            shown[leaf.metric] = facts.values.get(leaf.metric)
            limits[leaf.metric] = limit_of(leaf)
