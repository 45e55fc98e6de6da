"""What trying a rule led to."""

from typing import Final

import msgspec

from cloud.trial.gaps import GapKind
from cloud.trial.occurrences import Occurrence
from cloud.trial.rule import is_silence
from device_profiles.model import AlarmRule, Profile
from device_profiles.quantities import Text

__all__ = ["DayCount", "Listed", "TrialResult", "caveats"]


class DayCount(msgspec.Struct, frozen=True):
    """How often it would have been raised on one civil day."""

    day: str
    raised: int


class Listed(msgspec.Struct, frozen=True):
    """A stretch of time in which a device could not be judged."""

    device: str
    start_ns: int
    end_ns: int
    kind: GapKind


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule would have raised from `start_ns` to `end_ns`.

    `raised` and the days count raises within that time; `carried` were active when it began. `today_raised` is what today's rule
    would have raised, by the same engine out of the same readings, `also_today` how many of `raised` it was true with; both None
    where the profile has no rule of that name. `logged` are the raises of a rule of that name in the alarm log. `judged_pct` is
    the share of the devices' time in which all that the rule is about was known; None where no device was judged. `unfinished`
    are devices that were given up for they raised too often. Lists are cut, their lengths are not: `gap_count` and `raised`.
    """

    profile: str
    rule: str
    start_ns: int
    end_ns: int
    complete: bool
    devices: int
    devices_judged: int
    devices_heard: int
    readings: int
    raised: int
    carried: int
    by_day: tuple[DayCount, ...]
    today_raised: int | None
    also_today: int | None
    logged: int
    chattering: tuple[tuple[str, int], ...]
    occurrences: tuple[Occurrence, ...]
    gaps: tuple[Listed, ...]
    gap_count: int
    judged_pct: float | None
    unfinished: tuple[str, ...]
    caveats: tuple[Text, ...]


_LATE: Final = Text(
    zh="按事件时间顺序判断；网关当时因过迟而未判断的读数，这里按其时间参与判断。",
    en="Readings are judged in the order of event time, those too that came too late for the gateway to judge.",
)
_HELD_BACK: Final = Text(
    zh="该型号只上报有变化的读数：网关判断过而未上报的读数不在库中，延时、窗口和计数的结果可能略有出入。",
    en="This profile reports on change: what the gateway judged and held back is not stored, so delays, windows and counts "
    "may come out a little otherwise.",
)
_SILENCE: Final = Text(
    zh="失联按读数的时间推算，而网关按收到的时间判断：网关自身离线或重启期间的结果会不同。",
    en="Silence is told from the times of the readings, at the gateway from when they came in: where the gateway itself was "
    "away or restarted, the log says otherwise.",
)


def caveats(rule: AlarmRule, profile: Profile) -> tuple[Text, ...]:
    """What may make this another result than the gateway's, for this rule."""
    found = [_LATE]
    if profile.reporting.on_change:
        found.append(_HELD_BACK)
    if is_silence(rule):
        found.append(_SILENCE)
    return tuple(found)
