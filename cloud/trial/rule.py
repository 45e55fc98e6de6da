"""The rule to try: one of the profile's, by name, or an edited one, in the form that it has in a profile."""

from collections.abc import Iterable

from msgspec.structs import replace

from device_profiles.branch import Branch
from device_profiles.mistakes import Findings
from device_profiles.model import (
    LATITUDE,
    LONGITUDE,
    AlarmRule,
    AnyCondition,
    Leaf,
    NofM,
    Place,
    Profile,
    Speed,
    Stale,
    Windowed,
    leaves,
)
from device_profiles.read_alarms import read_alarms
from device_profiles.read_matters import load_matters
from device_profiles.yaml_nodes import parse_yaml

__all__ = ["is_silence", "memory_s", "metrics_of", "only", "read_rule", "wanted"]

_POSITION_FIX = "position_fixed"
"""What the engine asks, too, where a rule is about a place or a speed."""


def read_rule(text: str, profile: Profile, file: str = "rule") -> AlarmRule:
    """The one rule of a YAML text: `alarms:` and under it the rule, as in a profile. ProfileError with every mistake."""
    findings = Findings(file)
    root = Branch(findings, parse_yaml(text, findings), "")
    rules = read_alarms(root, profile.metrics, load_matters())
    if len(rules) != 1 and not len(findings):
        root.wrong("alarms", f"{len(rules)} rules", "alarms: with one rule under it, as in a profile")
    root.finish()
    findings.raise_if_any()
    return next(iter(rules.values()))


def only(profile: Profile, rule: AlarmRule) -> Profile:
    """The profile with this rule and no other."""
    return replace(profile, alarms={rule.name: rule})


def metrics_of(when: AnyCondition) -> tuple[str, ...]:
    """The metrics that a condition is about, in order, each once."""
    return tuple(dict.fromkeys(name for leaf in leaves(when) for name in _metrics(leaf)))


def wanted(rules: Iterable[AlarmRule], profile: Profile) -> list[str]:
    """The metrics that the store is asked for: what the rules are about, or all, where any reading ends a silence."""
    held = list(rules)
    if any(is_silence(rule) for rule in held):
        return list(profile.metrics)
    about = {name for rule in held for name in metrics_of(rule.when)} | {_POSITION_FIX}
    return [name for name in profile.metrics if name in about]


def is_silence(rule: AlarmRule) -> bool:
    """Whether a part of the rule is about silence."""
    return any(isinstance(leaf, Stale) for leaf in leaves(rule.when))


def memory_s(rule: AlarmRule, profile: Profile) -> float:
    """How many seconds of readings the engine may have in mind: windows, stays, counts, delays and lateness together."""
    parts = list(leaves(rule.when))
    windows = [
        leaf.over_s if isinstance(leaf, Windowed) else leaf.dwell_s for leaf in parts if isinstance(leaf, Windowed | Place)
    ]
    reporting = profile.reporting
    counted = _counted(rule.when) * max(reporting.interval_s, reporting.heartbeat_s if reporting.on_change else 0.0)
    return max(windows, default=0.0) + counted + rule.on_delay_s + rule.off_delay_s + reporting.lateness_s


def _metrics(leaf: Leaf) -> tuple[str, ...]:
    if isinstance(leaf, Stale):
        return ()
    if isinstance(leaf, Place) or (isinstance(leaf, Speed) and leaf.zone):
        return (leaf.metric, LONGITUDE, LATITUDE)
    return (leaf.metric,)


def _counted(when: AnyCondition) -> int:
    """The most readings that a count in the condition looks back at."""
    if isinstance(when, NofM):
        return when.m
    inner = getattr(when, "of", ())
    return max(map(_counted, inner if isinstance(inner, tuple) else (inner,)), default=0)
