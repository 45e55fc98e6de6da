"""The shapes of alarm health and of trials. Times are ISO 8601 UTC with milliseconds; None is "no data"."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from cloud.api.common import Id
from cloud.api.examples import AT
from cloud.api.schemas import Answer, Body, Text

__all__ = ["AlarmHealth", "Trial", "TrialRequest"]

MAX_YAML = 16_384

_FIGURE: Final[dict[str, Any]] = {
    "name": "alarms_per_day",
    "definition": "alarms_per_day/1",
    "title": {"zh": "每日报警数", "en": "Alarms per day"},
    "means": {"zh": "展示给人员的报警数除以统计时长（日）", "en": "Annunciated raises, divided by the observed time in days"},
    "unit": "/d",
    "value": 132.5,
    "target": {"good": 150, "words": "~150, at most ~300", "limit": 300, "at_least": False},
    "verdict": "met",
}
_HEALTH: Final[dict[str, Any]] = {
    "desk": {"kind": "all", "name": ""},
    "days": 30,
    "start": "2026-10-21T14:00:00.000Z",
    "end": AT,
    "observed_days": 30.0,
    "exact": True,
    "figures": [_FIGURE],
    "floods": [{"start": "2026-11-02T03:10:00.000Z", "end": "2026-11-02T03:41:00.000Z", "alarms": 64, "peak": 38}],
    "top": [{"alarm": "toilet-3/ammonia_high", "times": 61, "share_pct": 1.5}],
    "chattering": [{"alarm": "toilet-3/ammonia_high", "times": 4}],
    "stale_now": 1,
    "stale": [{"alarm": "cover-9/battery_low", "active_since": "2026-11-11T06:00:00.000Z"}],
}
_TRIAL: Final[dict[str, Any]] = {
    "profile": "cover_nbiot",
    "rule": "cover_tilted",
    "start": "2026-10-21T14:00:00.123Z",
    "end": AT,
    "complete": True,
    "devices": 2,
    "devices_judged": 2,
    "devices_heard": 1,
    "readings": 31,
    "raised": 1,
    "carried": 0,
    "today_raised": 0,
    "also_today": 0,
    "logged": 0,
    "gap_count": 1,
    "judged_pct": 50.0,
    "by_day": [{"day": "2026-11-03", "raised": 1}],
    "chattering": [],
    "occurrences": [
        {
            "alarm": "cover-17/cover_tilted/1793671200000000000",
            "device": "cover-17",
            "raised": "2026-11-03T02:00:00.000Z",
            "returned": "2026-11-03T05:00:00.000Z",
            "priority": "high",
            "uncertain": False,
            "also_today": False,
        }
    ],
    "gaps": [{"device": "cover-18", "start": "2026-10-21T14:00:00.123Z", "end": AT, "kind": "unheard"}],
    "unfinished": [],
    "caveats": [{"zh": "按事件时间顺序判断。", "en": "Readings are judged in the order of event time."}],
}
_ASKED: Final[dict[str, Any]] = {"profile": "cover_nbiot", "rule": "cover_tilted", "devices": ["cover-17"], "days": 30}


def _like(example: dict[str, Any], *, strict: bool = False) -> ConfigDict:
    return ConfigDict(extra="forbid", strict=strict, json_schema_extra={"example": example})


class Target(Answer):
    """What is published: `good` or less is met (or more, with at_least), up to `limit` it is manageable."""

    good: float
    words: str
    limit: float | None
    at_least: bool


class HealthFigure(Answer):
    """One number with its definition."""

    name: str
    definition: str = Field(description="name and version; another meaning is another version")
    title: Text
    means: Text
    unit: str = Field(description="UCUM")
    value: float | None = Field(description="null: no data")
    target: Target | None
    verdict: Literal["met", "above_target", "beyond", "no_target", "no_data"]


class HealthDesk(Answer):
    """Whose alarms."""

    kind: Literal["all", "department", "district"]
    name: str


class HealthFlood(Answer):
    start: str
    end: str | None = Field(description="null: it goes on")
    alarms: int
    peak: int = Field(description="the most in any 10 minutes")


class Frequent(Answer):
    """An alarm (device/rule) that came often."""

    alarm: str
    times: int
    share_pct: float | None


class Chattering(Answer):
    """An alarm that came three times or more within a minute."""

    alarm: str
    times: int


class Stale(Answer):
    alarm: str
    active_since: str


class AlarmHealth(Answer):
    """A desk's figures; lists are cut at 20."""

    model_config = _like(_HEALTH)

    desk: HealthDesk
    days: int
    start: str | None
    end: str
    observed_days: float | None = Field(description="of the days asked for, those of which anything is known")
    exact: bool = Field(description="false: so many different alarms that the rarest were forgotten")
    figures: list[HealthFigure]
    floods: list[HealthFlood]
    top: list[Frequent]
    chattering: list[Chattering]
    stale_now: int | None
    stale: list[Stale]


class TrialRequest(Body):
    """Which rule on which devices: `rule` names one of the profile's, `yaml` is an edited one as a profile has it."""

    model_config = _like(_ASKED, strict=True)

    profile: Id
    rule: str | None = Field(None, max_length=64)
    yaml: str | None = Field(None, max_length=MAX_YAML, description="`alarms:` and one rule under it")
    devices: Annotated[list[Id], Field(max_length=100)] = Field([], description="none: all of the profile, at most 100")
    days: int = Field(30, ge=1, le=31)


class TrialDay(Answer):
    day: str = Field(description="civil day, Asia/Shanghai")
    raised: int


class TrialOccurrence(Answer):
    alarm: str
    device: str
    raised: str
    returned: str | None = Field(description="null: still true at the end")
    priority: Literal["critical", "high", "medium", "low"]
    uncertain: bool
    also_today: bool | None = Field(description="today's rule was true at any of that time; null: there is none")


class TrialGap(Answer):
    device: str
    start: str
    end: str
    kind: Literal["silent", "bad", "unheard"]


class Trial(Answer):
    """What the rule would have raised. At most 1000 occurrences and the 200 longest gaps are listed."""

    model_config = _like(_TRIAL)

    profile: str
    rule: str
    start: str
    end: str
    complete: bool
    devices: int
    devices_judged: int
    devices_heard: int
    readings: int
    raised: int
    carried: int = Field(description="active at the beginning")
    today_raised: int | None
    also_today: int | None = Field(description="of `raised`, those during which today's rule was true")
    logged: int = Field(description="raises of a rule of this name in the alarm log")
    gap_count: int
    judged_pct: float | None
    by_day: list[TrialDay]
    chattering: list[Chattering]
    occurrences: list[TrialOccurrence]
    gaps: list[TrialGap]
    unfinished: list[str]
    caveats: list[Text]
