"""What an alarm was judged by: its rule in words, and each limit that was in force when it was raised."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from device_profiles.describe import condition_text
from device_profiles.model import Above, AlarmRule, Below, Bit, Equals, Leaf, OneOf, Profile, Speed, Stale, Windowed, leaves
from device_profiles.quantities import MetricType

__all__ = ["Threshold", "metrics_of", "rule_text", "thresholds"]

_LIMITED: Final = (Above, Below, Speed, Stale, Windowed)
_MOST: Final = 4
"""Metrics that are drawn for one rule."""


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of one metric; `direction` is on which side of it the alarm is. `statistic` is of what the limit is where it is
    not of the single value. `in_force` is False where the alarm does not say its limit and the profile's is given."""

    metric: str
    value: float
    unit: str
    direction: str
    statistic: str
    in_force: bool


def rule_text(rule: AlarmRule) -> str:
    """The condition with its delays, in words and signs: "tilt_deg > 15, for 2 s; over after 30 s"."""
    said = condition_text(rule.when)
    if rule.on_delay_s:
        said += f", for {rule.on_delay_s:g} s"
    if rule.off_delay_s:
        said += f"; over after {rule.off_delay_s:g} s"
    return said + ("; stays until it is reset" if rule.latch else "")


def thresholds(profile: Profile, rule: AlarmRule, evidence: Mapping[str, Any]) -> list[Threshold]:
    """The limits of a rule. The gateway wrote those that it judged by into the step that raised the alarm, as `limit` or, where
    there are several, as NAME.limit; what a profile says today may be another."""
    limited = [leaf for leaf in leaves(rule.when) if isinstance(leaf, _LIMITED)]
    found = []
    for leaf in limited:
        if isinstance(leaf, Stale):
            continue
        statistic = leaf.statistic.value if isinstance(leaf, Windowed) else ""
        name = f"{leaf.metric}.{statistic}" if statistic else leaf.metric
        said = evidence.get(f"{name}.limit", evidence.get("limit") if len(limited) == 1 else None)
        known = isinstance(said, int | float) and not isinstance(said, bool)
        metric = profile.metrics.get(leaf.metric)
        found.append(
            Threshold(
                metric=leaf.metric,
                value=float(said) if known and said is not None else _limit(leaf),
                unit=metric.unit if metric else "",
                direction="below" if isinstance(leaf, Below) or (isinstance(leaf, Windowed) and leaf.under) else "above",
                statistic=statistic,
                in_force=known,
            )
        )
    return found


def _limit(leaf: Above | Below | Speed | Windowed) -> float:
    return leaf.limit_kmh if isinstance(leaf, Speed) else leaf.limit


def metrics_of(profile: Profile, rule: AlarmRule | None) -> list[str]:
    """What is drawn for a rule: the metrics that it looks at, four at most; where it looks at none (a device that is silent),
    the first of its profile that can be drawn."""
    drawn = [name for name, metric in profile.metrics.items() if metric.type is not MetricType.STRING]
    looked = dict.fromkeys(_looked(rule)) if rule else {}
    return ([name for name in looked if name in drawn] or drawn[:1])[:_MOST]


def _looked(rule: AlarmRule) -> Iterator[str]:
    leaf: Leaf
    for leaf in leaves(rule.when):
        if isinstance(leaf, Above | Below | Equals | Bit | OneOf | Speed | Windowed):
            yield leaf.metric
