"""The alarms that the cloud raises by itself: their rules, what they are about, and the matters they open.

A rule of a profile has a name of small letters, digits and `_`; the cloud's own have a dot, so no profile can have them.
An alarm belongs to a device by its id. What the cloud judges is not always a device: a gateway's alarm bears the gateway's
id in its place, that of a feeder or of a desk the name that the file of rules gives it. Should a device have the same id,
the rule still keeps their alarms apart, and the matter their cases.
"""

from collections.abc import Mapping
from typing import Any, Final

from device_profiles.quantities import Text
from telemetry.alarm_states import alarm_id

__all__ = [
    "FEEDER",
    "GATEWAY",
    "PLANNED",
    "PROFILE",
    "RESERVED",
    "SILENT",
    "STORM",
    "TITLES",
    "matter_of",
    "occurrence",
    "planned_link",
]

SILENT: Final = "cloud.silent"
"""A device says nothing, and its gateway does not speak of it."""
GATEWAY: Final = "cloud.gateway_offline"
"""A gateway is gone; its devices are its children."""
FEEDER: Final = "cloud.feeder"
"""So many devices of a group failed together that what they hang on has failed."""
STORM: Final = "cloud.storm"
"""More alarms come to a desk than a person can read (ISA-18.2: an alarm flood)."""

PROFILE: Final = "cloud.watch"
"""In the place of a profile's name where an alarm is about no device."""

TITLES: Final[Mapping[str, Text]] = {
    SILENT: Text("设备失联", "Device silent"),
    GATEWAY: Text("网关离线", "Gateway offline"),
    FEEDER: Text("同一供电或线路的设备成片故障", "Many devices of one feeder failed together"),
    STORM: Text("告警风暴", "Alarm flood"),
}
PLANNED: Final = "planned:"
"""Begins what suppresses alarms during a planned work."""
RESERVED: Final = frozenset(TITLES)

_MATTERS: Final = {SILENT: "sensing_fault", GATEWAY: "gateway_offline"}


def matter_of(alarm: Mapping[str, Any]) -> str | None:
    """The code of the matter that an alarm of the cloud's own opens, by its row of `alarms`; None where it opens none.

    A feeder's is in its evidence, as the file of rules has it. A storm opens none: it is there to be seen on the list.
    """
    if alarm["rule"] == FEEDER:
        code = alarm["evidence"].get("matter")
        return code if isinstance(code, str) else None
    return _MATTERS.get(alarm["rule"])


def occurrence(subject: str, rule: str, onset_ns: int) -> str:
    """The id of the occurrence of a rule that came true at `onset_ns`."""
    return f"{alarm_id(subject, rule)}/{onset_ns}"


def planned_link(name: str) -> str:
    """What suppresses alarms during a planned work."""
    return PLANNED + name
