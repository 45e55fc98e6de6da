"""How long a device may keep silent, and who speaks when it keeps silent for longer.

The gateway speaks first. A profile may have rules about silence (`stale_after_s`); the agent judges them by its own clock,
from the moment that it last heard the device, also while the uplink is down. The cloud speaks where nobody else can: for a
profile without such a rule, for a device that its gateway no longer knows, and for a gateway that began to count anew
because it was restarted. So it waits until the gateway must have spoken, and a while for the word to arrive; and while an
alarm of the gateway's about that silence is active, the cloud has none.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, case, literal

from device_profiles.model import AlarmRule, AnyCondition, AnyOf, Profile, Stale
from telemetry.clock import SECOND_NS

__all__ = ["UNKNOWN_S", "offline_after", "offline_after_s", "silence_rules", "silent_after", "silent_after_s"]

_SILENCES: Final = 2.5
_HANDOVER_S: Final = 300.0
"""From a gateway's judgement to its transition here: a look every few seconds, a lost connection found and made again."""
UNKNOWN_S: Final = 86_400.0
"""For profiles that are not in the catalog."""


def offline_after_s(profile: Profile) -> float:
    """Seconds of silence after which a device of `profile` counts as offline: 2.5 times the longest it may keep.

    Where readings are forwarded on change only, the cloud's longest silence is the heartbeat, not the device's own.
    """
    reporting = profile.reporting
    longest = max(reporting.interval_s, reporting.heartbeat_s) if reporting.on_change else reporting.interval_s
    return _SILENCES * longest


def silent_after_s(profile: Profile | None) -> float:
    """Seconds of silence after which the cloud raises an alarm; a day for profiles that are not in the catalog."""
    if profile is None:
        return UNKNOWN_S
    spoken = [after for rule in profile.alarms.values() if (after := _speaks_after_s(rule)) is not None]
    return max(offline_after_s(profile), min(spoken) + _HANDOVER_S) if spoken else offline_after_s(profile)


def silence_rules(profile: Profile) -> tuple[AlarmRule, ...]:
    """The rules by which the gateway itself speaks of a device that is silent and nothing else."""
    return tuple(rule for rule in profile.alarms.values() if _speaks_after_s(rule) is not None)


def offline_after(profile: ColumnElement[str], catalog: Mapping[str, Profile]) -> ColumnElement[int]:
    """`offline_after_s` as SQL, in nanoseconds by a column of profile names; a day for profiles that are not in the catalog."""
    return _by_profile(profile, {name: offline_after_s(found) for name, found in catalog.items()})


def silent_after(profile: ColumnElement[str], catalog: Mapping[str, Profile]) -> ColumnElement[int]:
    """`silent_after_s` as SQL, in nanoseconds by a column of profile names."""
    return _by_profile(profile, {name: silent_after_s(found) for name, found in catalog.items()})


def _by_profile(profile: ColumnElement[str], seconds: Mapping[str, float]) -> ColumnElement[int]:
    unknown = literal(round(UNKNOWN_S * SECOND_NS))
    known = {name: round(after * SECOND_NS) for name, after in seconds.items()}
    return case(known, value=profile, else_=unknown) if known else unknown


def _speaks_after_s(rule: AlarmRule) -> float | None:
    after = _true_after_s(rule.when)
    return None if after is None else after + rule.on_delay_s


def _true_after_s(when: AnyCondition) -> float | None:
    """After how much silence the condition is true by that alone; None where it needs more: metrics are unknown meanwhile."""
    if isinstance(when, Stale):
        return when.after_s
    if isinstance(when, AnyOf):
        return min((after for part in when.of if (after := _true_after_s(part)) is not None), default=None)
    return None
