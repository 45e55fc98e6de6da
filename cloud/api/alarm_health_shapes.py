"""The shapes of alarm health and of trials. Times are ISO 8601 UTC with milliseconds; None is "no data"."""

from typing import Annotated, Literal

from pydantic import Field

from cloud.api.common import Id
from cloud.api.schemas import Answer, Body, Text

__all__ = ["AlarmHealth", "Trial", "TrialRequest"]

MAX_YAML = 16_384


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
