"""The shapes of the overview."""

from pydantic import Field

from cloud.api.examples import AT
from cloud.api.schemas import Answer, Text, example

__all__ = ["Overview"]

_STATES = {"normal": 9, "alarm": 1, "critical": 1, "offline": 1, "unknown": 0}
_ALARM = {
    "id": "cover-1/cover_opened/1763647200123000000", "device": "cover-1", "device_name": "观前街 1 号",
    "title": {"zh": "井盖被打开", "en": "Cover opened"},
    "priority": "critical", "state": "unacknowledged", "raised": AT, "case_id": 7,
}  # fmt: skip
_KIND = {"kind": "manhole_cover", "total": 12, "online": 11, "states": _STATES}
_GUSU = {"name": "gusu", "title": {"zh": "姑苏区", "en": "Gusu"}}
_STANDING = {"cases": 20, "late": 1, "share": 0.95, "open": 4, "open_late": 1, "critical": 1}


class KindCount(Answer):
    """Devices of one kind; `online` are those that are heard: neither offline nor unknown."""

    kind: str
    total: int
    online: int
    states: dict[str, int]


class DeviceCounts(Answer):
    total: int
    online: int
    states: dict[str, int]
    kinds: list[KindCount] = Field(description="the most numerous first")


class HourRate(Answer):
    """Alarms raised in one hour, beside the same hour of up to seven days before; null where no such day is known of."""

    start: str
    count: int
    low: int | None
    high: int | None
    mean: float | None
    days: int = Field(description="how many of the seven days before are known of")


class AlarmCounts(Answer):
    open: dict[str, int] = Field(description="open alarms that people are told of, by priority")
    hours: list[HourRate] = Field(description="the last 24 hours; the last one is not over")


class LampPower(Answer):
    """What street lights draw, kilowatts; null where none of them said so lately. At most a minute old."""

    devices: int
    heard: int
    power_kw: float | None


class Standing(Answer):
    """How cases are kept in time: those of the last 30 days and those still open, void ones aside.

    `late` are past their limit, or were when they ended, appeals granted aside; `share` is what is in time, of 1.
    """

    name: str
    title: Text | None
    cases: int
    late: int
    share: float
    open: int
    open_late: int
    critical: int = Field(description="open ones of this priority")


class Sla(Answer):
    """The lowest share first; the same share, the most late first."""

    days: int
    city: Standing
    districts: list[Standing]
    departments: list[Standing]


class WallAlarm(Answer):
    id: str
    device: str
    device_name: str
    title: Text | None
    priority: str
    state: str
    raised: str
    case_id: int | None


class Criticals(Answer):
    total: int
    items: list[WallAlarm] = Field(description="the oldest 50")


class Stop(Answer):
    """A district that the map goes to; `bounds` are west, south, east, north, WGS-84."""

    name: str
    title: Text
    open: int
    late: int
    critical: int
    bounds: list[float] = Field(min_length=4, max_length=4)


class Overview(Answer):
    """The whole city, at most five seconds old; districts that are none of one's own are left out of `sla` and `tour`."""

    model_config = example(
        as_of=AT,
        age_s=0.4,
        heard=AT,
        heard_age_s=1.2,
        zone="Asia/Shanghai",
        devices={"total": 12, "online": 11, "states": _STATES, "kinds": [_KIND]},
        alarms={
            "open": {"critical": 1, "medium": 2},
            "hours": [{"start": AT, "count": 4, "low": 0, "high": 6, "mean": 2.5, "days": 7}],
        },
        energy={"devices": 40, "heard": 39, "power_kw": 312.5},
        sla={
            "days": 30, "city": {"name": "", "title": None, **_STANDING},
            "districts": [{**_GUSU, **_STANDING}],
            "departments": [{"name": "municipal", "title": None, **_STANDING}],
        },
        criticals={"total": 1, "items": [_ALARM]},
        newest=[_ALARM],
        tour=[{**_GUSU, "open": 4, "late": 1, "critical": 1, "bounds": [120.5, 31.2, 120.7, 31.4]}],
    )  # fmt: skip
    as_of: str
    age_s: float = Field(description="since then, as this answer was sent")
    heard: str | None = Field(description="when anything last came from a gateway; null: never")
    heard_age_s: float | None = Field(description="as of `as_of`")
    zone: str = Field(description="of the city's clocks")
    devices: DeviceCounts
    alarms: AlarmCounts
    energy: LampPower
    sla: Sla
    criticals: Criticals
    newest: list[WallAlarm]
    tour: list[Stop] = Field(description="districts with open cases, the worst first")
