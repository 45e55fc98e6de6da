"""The shapes of the API's answers and bodies. Times are ISO 8601 UTC with milliseconds, ages seconds, positions WGS-84."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "Alarm",
    "AlarmDetail",
    "AlarmPage",
    "Case",
    "CaseDetail",
    "CasePage",
    "Counts",
    "Device",
    "DeviceDetail",
    "DevicePage",
    "Dispatch",
    "GatewayPage",
    "Health",
    "History",
    "Latest",
    "LatestPage",
    "Note",
    "Problem",
    "ProfilePage",
    "RefusalPage",
    "Step",
]

Value = bool | int | float | str | None
DeviceState = Literal["normal", "alarm", "critical", "offline", "unknown"]
_AT = "2026-11-20T14:00:00.123Z"


def _printable(text: str) -> str:
    if any(ord(char) < 32 and char not in "\n\t" for char in text):
        raise ValueError("holds control characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank; say who acts")
    return text.strip()


Printable = AfterValidator(_printable)


class Answer(BaseModel):
    """The base of what goes out."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """The base of what comes in: nothing unknown, nothing bent into shape."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"example": fields})


class Text(Answer):
    """One label in both languages."""

    zh: str
    en: str


_DEVICE: dict[str, Any] = {
    "id": "cover-17",
    "name": "中山路 3 号井",
    "kind": "manhole_cover",
    "profile": "cover_nbiot",
    "profile_version": 1,
    "gateway": "gw-1",
    "longitude": 113.2644,
    "latitude": 23.1291,
    "component_code": "4401030101000017",
    "state": "critical",
    "last_reading": _AT,
    "age_s": 12.4,
    "open_alarms": 1,
    "open_cases": 1,
}


class Device(Answer):
    """One physical thing. `state`: critical or alarm while such an alarm is open, else offline after 2.5 times its
    profile's longest expected silence, unknown when it was never heard, else normal."""

    id: str
    name: str
    kind: str
    profile: str
    profile_version: int
    gateway: str
    longitude: float | None
    latitude: float | None
    component_code: str
    state: DeviceState
    last_reading: str | None
    age_s: float | None
    open_alarms: int
    open_cases: int


class DevicePage(Answer):
    model_config = _example(items=[_DEVICE], next="WyJjb3Zlci0xNyJd")
    items: list[Device]
    next: str | None


class MetricInfo(Answer):
    """One quantity of a device; `unit` is a UCUM code, `low` and `high` its valid range."""

    name: str
    unit: str
    type: Literal["float", "integer", "boolean", "string"]
    title: Text
    low: float | None
    high: float | None


_METRIC = {
    "name": "tilt_deg",
    "unit": "deg",
    "type": "float",
    "title": {"zh": "倾角", "en": "Tilt"},
    "low": 0.0,
    "high": 180.0,
}


class DeviceDetail(Device):
    model_config = _example(**_DEVICE, metrics=[_METRIC])
    metrics: list[MetricInfo]


class LatestMetric(Answer):
    """The newest value of one metric; null where the device had none."""

    metric: str
    value: Value
    unit: str
    quality: Literal["good", "uncertain", "bad"]
    reason: str | None
    time: str
    age_s: float
    title: Text | None


_LATEST = {
    "device": "cover-17",
    "metrics": [
        {
            "metric": "tilt_deg",
            "value": 41.5,
            "unit": "deg",
            "quality": "good",
            "reason": None,
            "time": _AT,
            "age_s": 12.4,
            "title": {"zh": "倾角", "en": "Tilt"},
        }
    ],
}


class Latest(Answer):
    model_config = _example(**_LATEST)
    device: str
    metrics: list[LatestMetric]


class LatestPage(Answer):
    model_config = _example(items=[_LATEST])
    items: list[Latest]


class RawPoint(Answer):
    time: str
    value: Value
    quality: Literal["good", "uncertain", "bad"]


class BucketPoint(Answer):
    """The good and uncertain values of one interval, which begins at `time`."""

    time: str
    min: float | None
    max: float | None
    mean: float | None
    last: Value
    count: int


class History(Answer):
    """`truncated`: a metric has more raw points in the interval than `limit`; go on from its last time."""

    model_config = _example(
        device="cover-17",
        tier="raw",
        method="bucket",
        start="2026-11-19T14:00:00.000Z",
        end="2026-11-20T14:00:00.000Z",
        truncated=False,
        metrics={
            "tilt_deg": [{"time": "2026-11-20T13:00:00.000Z", "min": 0.5, "max": 41.5, "mean": 9.25, "last": 41.5, "count": 60}]
        },
    )
    device: str
    tier: Literal["raw"]
    method: Literal["raw", "bucket"]
    start: str
    end: str
    truncated: bool
    metrics: dict[str, list[RawPoint] | list[BucketPoint]]


_ALARM: dict[str, Any] = {
    "id": "cover-17/cover_open/1763647200123000000",
    "device": "cover-17",
    "device_name": "中山路 3 号井",
    "rule": "cover_open",
    "title": {"zh": "井盖被打开", "en": "Cover opened"},
    "priority": "critical",
    "state": "unacknowledged",
    "uncertain": False,
    "raised": _AT,
    "age_s": 12.4,
    "returned": None,
    "acknowledged": None,
    "acknowledged_by": "",
    "case_id": 7,
    "evidence": {"tilt_deg": 41.5},
}


class Alarm(Answer):
    """One occurrence of a condition that needs a person; `state` is the ISA-18.2 process state."""

    id: str
    device: str
    device_name: str
    rule: str
    title: Text | None
    priority: str
    state: str
    uncertain: bool
    raised: str
    age_s: float
    returned: str | None
    acknowledged: str | None
    acknowledged_by: str
    case_id: int | None
    evidence: dict[str, Value]


class AlarmPage(Answer):
    model_config = _example(items=[_ALARM], next=None)
    items: list[Alarm]
    next: str | None


class TransitionInfo(Answer):
    """One step of an alarm, as it was recorded."""

    origin: Literal["edge", "cloud"]
    n: int
    cause: str
    priority: str
    from_state: str
    to_state: str
    event_time: str
    recorded: str
    stored: str
    actor: str
    note: str
    evidence: dict[str, Value]


_TRANSITION = {
    "origin": "edge",
    "n": 1,
    "cause": "raise",
    "priority": "critical",
    "from_state": "normal",
    "to_state": "unacknowledged",
    "event_time": _AT,
    "recorded": _AT,
    "stored": _AT,
    "actor": "gw-1",
    "note": "",
    "evidence": {"tilt_deg": 41.5},
}


class AlarmDetail(Alarm):
    """With what it means and every step so far."""

    model_config = _example(
        **_ALARM,
        cause={"zh": "井盖倾角超过限值", "en": "The cover is tilted beyond its limit"},
        consequence={"zh": "行人车辆坠落风险", "en": "People and vehicles may fall in"},
        response={"zh": "立即到场围挡复位", "en": "Fence off and close it at once"},
        transitions=[_TRANSITION],
    )
    cause: Text | None
    consequence: Text | None
    response: Text | None
    transitions: list[TransitionInfo]


_CASE: dict[str, Any] = {
    "id": 7,
    "device": "cover-17",
    "device_name": "中山路 3 号井",
    "matter": "cover_missing",
    "gbt_code": "0101",
    "department": "municipal",
    "title": {"zh": "井盖缺失移位", "en": "Cover missing or moved"},
    "priority": "critical",
    "state": "open",
    "longitude": 113.2644,
    "latitude": 23.1291,
    "opened": _AT,
    "age_s": 12.4,
    "due": "2026-11-20T15:00:00.123Z",
    "overdue": False,
    "closed": None,
    "assignee": "",
    "version": 1,
}


class Case(Answer):
    """One problem at one place that a department must close. `version` grows with every step."""

    id: int
    device: str
    device_name: str
    matter: str
    gbt_code: str
    department: str
    title: Text
    priority: str
    state: str
    longitude: float | None
    latitude: float | None
    opened: str
    age_s: float
    due: str
    overdue: bool
    closed: str | None
    assignee: str
    version: int


class CasePage(Answer):
    model_config = _example(items=[_CASE], next=None)
    items: list[Case]
    next: str | None


class CaseStep(Answer):
    id: int
    step: str
    from_state: str
    to_state: str
    actor: str
    at: str
    note: str


class Notice(Answer):
    """One message to one channel. `failure` says why the last attempt failed; secrets are taken out of `detail`."""

    id: int
    step: str
    channel: str
    state: Literal["pending", "sent", "failed"]
    attempts: int
    failure: str
    vendor_code: str
    detail: str
    created: str
    sent: str | None
    next_attempt: str | None


_STEP = {"id": 1, "step": "opened", "from_state": "open", "to_state": "open", "actor": "system", "at": _AT, "note": ""}
_NOTICE = {
    "id": 1,
    "step": "opened",
    "channel": "crew",
    "state": "sent",
    "attempts": 1,
    "failure": "",
    "vendor_code": "0",
    "detail": "",
    "created": _AT,
    "sent": _AT,
    "next_attempt": None,
}


class CaseDetail(Case):
    model_config = _example(**_CASE, steps=[_STEP], alarms=[_ALARM], notifications=[_NOTICE])
    steps: list[CaseStep]
    alarms: list[Alarm]
    notifications: list[Notice]


class LaneGap(Answer):
    """Records `first` to `last`, both included, that are neither stored, quarantined nor declared lost."""

    first: int
    last: int


class LaneAccount(Answer):
    """stored + quarantined + lost + missing = next_seq - 1. At most 20 gaps are listed; `missing` counts them all."""

    epoch: str
    lane: str
    watermark: int
    next_seq: int
    stored: int
    quarantined: int
    lost: int
    missing: int
    balanced: bool
    gaps: list[LaneGap]
    updated: str


class Gateway(Answer):
    id: str
    online: bool
    agent_version: str
    epoch: str
    first_seen: str
    last_seen: str
    age_s: float
    devices: int
    status: dict[str, Any]
    lanes: list[LaneAccount]


_LANE = {
    "epoch": "e1",
    "lane": "readings",
    "watermark": 98,
    "next_seq": 103,
    "stored": 99,
    "quarantined": 0,
    "lost": 0,
    "missing": 3,
    "balanced": False,
    "gaps": [{"first": 99, "last": 99}, {"first": 101, "last": 102}],
    "updated": _AT,
}


class GatewayPage(Answer):
    model_config = _example(
        items=[
            {
                "id": "gw-1",
                "online": True,
                "agent_version": "0.1.0",
                "epoch": "e1",
                "first_seen": _AT,
                "last_seen": _AT,
                "age_s": 0.4,
                "devices": 5,
                "status": {"devices_heard": 5},
                "lanes": [_LANE],
            }
        ],
        next=None,
    )
    items: list[Gateway]
    next: str | None


class Refusal(Answer):
    source: str
    reason: str
    count: int
    last_detail: str
    last: str
    age_s: float


class RefusalPage(Answer):
    model_config = _example(
        items=[
            {"source": "gw-1", "reason": "bad_checksum", "count": 3, "last_detail": "got 17, want 42", "last": _AT, "age_s": 3.0}
        ],
        next=None,
    )
    items: list[Refusal]
    next: str | None


class AlarmRuleInfo(Answer):
    name: str
    priority: str
    title: Text
    matter: str | None


class ProfileInfo(Answer):
    name: str
    version: int
    kind: str
    title: Text
    source: str
    offline_after_s: float
    metrics: list[MetricInfo]
    alarms: list[AlarmRuleInfo]


class ProfilePage(Answer):
    model_config = _example(
        items=[
            {
                "name": "cover_nbiot",
                "version": 1,
                "kind": "manhole_cover",
                "title": {"zh": "智能井盖", "en": "Smart manhole cover"},
                "source": "a vendor's register map",
                "offline_after_s": 216000.0,
                "metrics": [_METRIC],
                "alarms": [
                    {
                        "name": "cover_open",
                        "priority": "critical",
                        "title": {"zh": "打开", "en": "Opened"},
                        "matter": "cover_missing",
                    }
                ],
            }
        ]
    )
    items: list[ProfileInfo]


class Health(Answer):
    """`degraded` (status 503) while a store does not answer."""

    model_config = _example(status="ok", relational=True, series=True, streams=2, time=_AT)
    status: Literal["ok", "degraded"]
    relational: bool
    series: bool
    streams: int
    time: str


class Counts(BaseModel):
    """The cloud's account of itself; more members may come."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "stored_readings": 120_000,
                "transitions": 14,
                "cases_opened": 5,
                "cases_closed": 2,
                "notifications_sent": 7,
                "notifications_failed": 0,
                "refused": 3,
            }
        },
    )
    stored_readings: int
    transitions: int
    cases_opened: int
    cases_closed: int
    notifications_sent: int
    notifications_failed: int
    refused: int


class Fault(Answer):
    where: str
    what: str


class Problem(Answer):
    """RFC 9457. `reason` is the product's one word for it, the same as in its logs and counters."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    reason: str
    errors: list[Fault]


Actor = Annotated[str, Field(min_length=1, max_length=128), Printable, AfterValidator(_not_blank)]
NoteText = Annotated[str, Field(max_length=2000), Printable]


class Note(Body):
    """Who acts on an alarm, and what they say."""

    model_config = ConfigDict(json_schema_extra={"example": {"actor": "li.wei", "note": "crew is on its way"}})
    actor: Actor
    note: NoteText = ""


class Step(Note):
    """A step of a case, for the `version` that the actor saw."""

    model_config = ConfigDict(json_schema_extra={"example": {"actor": "li.wei", "note": "seen", "version": 1}})
    version: int = Field(ge=1, le=2**31 - 1)


class Dispatch(Step):
    """`assignee`: the crew or person it goes to; left out, it stays with whom it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"actor": "li.wei", "note": "", "version": 2, "assignee": "crew-3"}})
    assignee: Annotated[str, Field(max_length=128), Printable] = ""
