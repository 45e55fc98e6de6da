"""Alarm conditions as a person reads them."""

from typing import assert_never

from device_profiles.model import (
    Above,
    All,
    AnyCondition,
    AnyOf,
    Below,
    Bit,
    Equals,
    Leaf,
    NofM,
    Not,
    OneOf,
    Place,
    Speed,
    Stale,
    Statistic,
    Windowed,
)

__all__ = ["condition_text"]

_PER = {60.0: "min", 3600.0: "h", 86400.0: "day"}


def condition_text(condition: AnyCondition) -> str:
    """One condition in words and signs."""
    match condition:
        case All(of=inner):
            return " and ".join(map(_inner, inner))
        case AnyOf(of=inner):
            return " or ".join(map(_inner, inner))
        case Not(of=negated):
            return f"not {_inner(negated)}"
        case NofM(of=counted, n=n, m=m):
            return f"{_inner(counted)} in {n} of {m} readings"
        case _:
            return _single(condition)


def _single(condition: Leaf) -> str:
    match condition:
        case Above() | Below() | Speed() | Windowed():
            return _limited(condition)
        case Equals(metric=metric, value=value):
            return f"{metric} = {_value(value)}"
        case OneOf(metric=metric, values=values):
            return f"{metric} = {' or '.join(map(_value, values))}"
        case Bit(metric=metric, bit=bit):
            return f"bit {bit} of {metric}"
        case Stale(after_s=after):
            return f"silent for {after:g} s"
        case Place(zone=zone, outside=outside, dwell_s=dwell_s):
            return f"{'outside' if outside else 'inside'} {zone}" + (f" for {dwell_s:g} s" if dwell_s else "")
        case _:
            assert_never(condition)


def _limited(condition: Above | Below | Speed | Windowed) -> str:
    match condition:
        case Above(metric=metric, limit=limit):
            return f"{metric} > {limit:g}"
        case Below(metric=metric, limit=limit):
            return f"{metric} < {limit:g}"
        case Speed(metric=metric, limit_kmh=limit, zone=zone):
            return f"{metric} > {limit:g} while moving" + (f" in {zone}" if zone else "")
        case Windowed():
            return _windowed(condition)
        case _:
            assert_never(condition)


def _windowed(condition: Windowed) -> str:
    sign = "<" if condition.under else ">"
    per = f" per {_PER[condition.per_s]}" if condition.statistic in {Statistic.RISE, Statistic.FALL} else ""
    return f"{condition.statistic} of {condition.metric} over {condition.over_s:g} s {sign} {condition.limit:g}{per}"


def _inner(condition: AnyCondition) -> str:
    text = condition_text(condition)
    return f"({text})" if isinstance(condition, All | AnyOf | NofM) else text


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
