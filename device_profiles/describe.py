"""Alarm conditions as a person reads them."""

from device_profiles.model import Above, All, AnyCondition, AnyOf, Below, Bit, Equals, Not, Speed, Stale

__all__ = ["condition_text"]


def condition_text(condition: AnyCondition) -> str:
    """One condition in words and signs."""
    match condition:
        case All(of=inner):
            return " and ".join(map(_inner, inner))
        case AnyOf(of=inner):
            return " or ".join(map(_inner, inner))
        case Not(of=negated):
            return f"not {_inner(negated)}"
        case _:
            return _single(condition)


def _single(condition: Above | Below | Equals | Bit | Stale | Speed) -> str:
    match condition:
        case Above(metric=metric, limit=limit):
            return f"{metric} > {limit:g}"
        case Below(metric=metric, limit=limit):
            return f"{metric} < {limit:g}"
        case Equals(metric=metric, value=value):
            return f"{metric} = {_value(value)}"
        case Bit(metric=metric, bit=bit):
            return f"bit {bit} of {metric}"
        case Stale(after_s=after):
            return f"silent for {after:g} s"
        case Speed(metric=metric, limit_kmh=limit):
            return f"{metric} > {limit:g} while moving"


def _inner(condition: AnyCondition) -> str:
    text = condition_text(condition)
    return f"({text})" if isinstance(condition, All | AnyOf) else text


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
