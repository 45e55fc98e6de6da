"""Whether a condition holds, in three values: true, false, and None where it cannot be known.

Unknown goes through the connectives as Kleene's logic has it: `all` is false as soon as one part is, `any` true as
soon as one is, and otherwise one unknown part makes the whole unknown.
"""

from collections.abc import Container, Iterator, Mapping
from typing import assert_never

import msgspec

from device_profiles.model import Above, All, AnyCondition, AnyOf, Below, Bit, Equals, Leaf, Not, Speed, Stale, leaves
from telemetry.records import Value

__all__ = ["Facts", "Memory", "Truth", "evaluate", "evidence", "has_stale", "mentions", "metrics_of"]

Truth = bool | None

POSITION_FIX = "position_fixed"
"""Where a reading holds this boolean and it is false, the terminal repeats an old fix: its speed says nothing."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition is judged by, and how long the device has been silent.

    A metric that `values` does not mention is as it was: a message need not say everything. One that is None is unknown,
    for what was told of it cannot be believed.
    """

    values: Mapping[str, Value]
    silent_s: float = 0.0


class Memory(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a condition's leaves, counted from the left: bit i of `held` says whether the i-th one was
    true when last known, which deadbands need; bit i of `known` whether it was known when last mentioned."""

    held: int = 0
    known: int = 0

    def truth(self, index: int) -> Truth:
        """What was last said of a leaf."""
        return bool(self.held >> index & 1) if self.known >> index & 1 else None

    def noting(self, index: int, truth: Truth) -> "Memory":
        """With what is said of a leaf now."""
        bit = 1 << index
        if truth is None:
            return Memory(self.held, self.known & ~bit)
        return Memory(self.held | bit if truth else self.held & ~bit, self.known | bit)


def evaluate(condition: AnyCondition, facts: Facts, memory: Memory) -> tuple[Truth, Memory]:
    """The truth of `condition`, and what is to be remembered of it. A leaf that is not mentioned is as it was."""
    truths: list[Truth] = []
    for index, leaf in enumerate(leaves(condition)):
        truth = memory.truth(index)
        if isinstance(leaf, Stale) or leaf.metric in facts.values:
            truth = _leaf(leaf, facts, was_true=bool(memory.held >> index & 1))
            memory = memory.noting(index, truth)
        truths.append(truth)
    return _combine(condition, iter(truths)), memory


def mentions(condition: AnyCondition, metrics: Container[str]) -> bool:
    """Whether the condition is about silence, or about any of these."""
    return any(isinstance(leaf, Stale) or leaf.metric in metrics for leaf in leaves(condition))


def metrics_of(condition: AnyCondition) -> Iterator[str]:
    """The metrics that it is about."""
    return (leaf.metric for leaf in leaves(condition) if not isinstance(leaf, Stale))


def has_stale(condition: AnyCondition) -> bool:
    """Whether silence alone can change the condition."""
    return any(isinstance(leaf, Stale) for leaf in leaves(condition))


def evidence(condition: AnyCondition, facts: Facts) -> dict[str, Value]:
    """What the condition was judged by: each metric's value, and each limit as `limit`, or `METRIC.limit` of several."""
    shown: dict[str, Value] = {}
    limits: dict[str, Value] = {}
    for leaf in leaves(condition):
        match leaf:
            case Stale(after_s=after_s):
                shown["silent_s"] = round(facts.silent_s, 3)
                limits["silent_s"] = after_s
            case Above(metric=metric, limit=limit) | Below(metric=metric, limit=limit) | Speed(metric=metric, limit_kmh=limit):
                shown[metric] = facts.values.get(metric)
                limits[metric] = limit
            case Equals(metric=metric) | Bit(metric=metric):
                shown[metric] = facts.values.get(metric)
            case _:
                assert_never(leaf)
    if len(limits) == 1:
        return shown | {"limit": next(iter(limits.values()))}
    return shown | {f"{metric}.limit": limit for metric, limit in limits.items()}


def _combine(condition: AnyCondition, truths: Iterator[Truth]) -> Truth:
    match condition:
        case All(of=parts):
            return _all([_combine(part, truths) for part in parts])
        case AnyOf(of=parts):
            return _not(_all([_not(_combine(part, truths)) for part in parts]))
        case Not(of=part):
            return _not(_combine(part, truths))
        case _:
            return next(truths)


def _all(parts: list[Truth]) -> Truth:
    if False in parts:
        return False
    return None if None in parts else True


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _leaf(leaf: Leaf, facts: Facts, *, was_true: bool) -> Truth:
    match leaf:
        case Above(metric=metric, limit=limit, deadband=deadband):
            value = _number(facts.values.get(metric))
            return None if value is None else value > (limit - deadband if was_true else limit)
        case Below(metric=metric, limit=limit, deadband=deadband):
            value = _number(facts.values.get(metric))
            return None if value is None else value < (limit + deadband if was_true else limit)
        case Speed(metric=metric, limit_kmh=limit, deadband=deadband):
            value = None if facts.values.get(POSITION_FIX) is False else _number(facts.values.get(metric))
            return None if value is None else value > (limit - deadband if was_true else limit)
        case Equals(metric=metric, value=wanted):
            found = facts.values.get(metric)
            return None if found is None else found == wanted
        case Bit(metric=metric, bit=bit):
            bits = facts.values.get(metric)
            return bool(bits >> bit & 1) if isinstance(bits, int) else None
        case Stale(after_s=after_s):
            return facts.silent_s >= after_s
        case _:
            assert_never(leaf)


def _number(value: Value) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
