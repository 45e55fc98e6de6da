"""The shapes of the API's answers and bodies. Times are ISO 8601 UTC with milliseconds, ages seconds, positions WGS-84."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cloud.api import examples

__all__ = [
    "Alarm",
    "AlarmDetail",
    "AlarmPage",
    "AlarmPriority",
    "Counts",
    "Device",
    "DeviceDetail",
    "DevicePage",
    "GatewayLedger",
    "Health",
    "LaneAccount",
    "Latest",
    "LatestPage",
    "Note",
    "OutOfService",
    "Problem",
    "ProfilePage",
    "RefusalPage",
    "Shelving",
    "Suppressing",
    "Suppression",
    "SuppressionPage",
]

Value = bool | int | float | str | None
SuppressionWord = Literal["out_of_service", "suppressed_by_design", "shelved"]
DeviceState = Literal["normal", "alarm", "critical", "offline", "unknown"]


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


def example(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"example": fields})


class Text(Answer):
    """One label in both languages."""

    zh: str
    en: str


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
    model_config = example(items=[examples.DEVICE], next="WyJjb3Zlci0xNyJd")
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


class DeviceDetail(Device):
    model_config = example(**examples.DEVICE, metrics=[examples.METRIC])
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


class Latest(Answer):
    model_config = example(**examples.LATEST)
    device: str
    metrics: list[LatestMetric]


class LatestPage(Answer):
    model_config = example(items=[examples.LATEST])
    items: list[Latest]


class AlarmCase(Answer):
    """Where the case of an alarm stands."""

    id: int
    state: str
    assignee: str


class Alarm(Answer):
    """One occurrence of a condition that needs a person; `state` is the ISA-18.2 process state, `suppression` why people are
    not told of it now, `shown` the one word for both: the strongest suppression, or the state.

    `caused_by` is what explains it where it is suppressed by design: a gateway, a feeder, another device or a planned work;
    `explains`, in lists, how many open alarms it explains itself. `district` and `case` are those of its case, where the one
    who asks may read that.
    """

    id: str
    device: str
    device_name: str
    rule: str
    title: Text | None
    priority: str
    state: str
    shown: str
    suppression: list[SuppressionWord]
    shelved_until: str | None
    uncertain: bool
    raised: str
    raises: int
    age_s: float
    returned: str | None
    acknowledged: str | None
    acknowledged_by: str
    case_id: int | None
    evidence: dict[str, Value]
    gateway: str = ""
    kind: str = ""
    district: str = ""
    caused_by: str | None = None
    case: AlarmCase | None = None
    explains: int = 0


class AlarmPage(Answer):
    model_config = example(items=[examples.ALARM], next=None)
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


class AlarmDetail(Alarm):
    """With what it means and every step so far."""

    model_config = example(
        **examples.ALARM,
        cause={"zh": "井盖倾角超过限值", "en": "The cover is tilted beyond its limit"},
        consequence={"zh": "行人车辆坠落风险", "en": "People and vehicles may fall in"},
        response={"zh": "立即到场围挡复位", "en": "Fence off and close it at once"},
        transitions=[examples.TRANSITION],
    )
    cause: Text | None
    consequence: Text | None
    response: Text | None
    transitions: list[TransitionInfo]


class Suppression(Answer):
    """What keeps an alarm, that is a rule of a device, from people. The times and names of what does not hold are empty."""

    model_config = example(**examples.SUPPRESSION)
    id: str
    device: str
    device_name: str
    rule: str
    title: Text | None
    shown: SuppressionWord | Literal[""]
    suppression: list[SuppressionWord]
    changed: str
    shelf: Literal["unshelved", "timed", "one_shot"]
    shelved: str | None
    shelved_until: str | None
    shelved_by: str
    shelf_reason: str
    suppressed_by: list[str]
    out: str | None
    review: str | None
    out_by: str
    out_reason: str


class SuppressionPage(Answer):
    model_config = example(items=[examples.SUPPRESSION], next=None)
    items: list[Suppression]
    next: str | None


class LaneGap(Answer):
    """Records `first` to `last`, both included, that are neither stored, quarantined nor declared lost."""

    first: int
    last: int


class LaneSums(Answer):
    """stored + quarantined + lost + moved + missing = next_seq - 1, and no record is in two of these: then it is `balanced`.

    `moved` records came again in a later epoch, under other numbers. `missing` ones are still awaited.
    """

    epoch: str
    lane: str
    watermark: int
    next_seq: int
    stored: int
    quarantined: int
    lost: int
    moved: int
    missing: int
    balanced: bool
    updated: str


class LaneAccount(LaneSums):
    """At most 20 gaps are listed; `missing` counts all that are in them."""

    gaps: list[LaneGap]


class LedgerGap(Answer):
    """Records `first` to `last`, both included, that are not stored, and what became of them.

    `reason` is null while they are awaited. `at` is when that was put in the books, `time_from` and `time_to` the event
    times of what is lost, where anybody knows them. With `open_end` nobody can tell how many came after `last`; where
    nothing known is lost, `last` is below `first` then and `count` is 0.
    """

    first: int
    last: int
    count: int
    state: Literal["lost", "moved", "quarantined", "awaited"]
    reason: str | None
    at: str | None
    time_from: str | None
    time_to: str | None
    open_end: bool
    detail: str


class LedgerLane(LaneSums):
    """Gaps with the highest numbers first, at most 50; `more` says that there are others below."""

    gaps: list[LedgerGap]
    more: bool


class SecurityEvent(Answer):
    """What no fault of a line makes: altered, rolled_back or gateway_mismatch, since the stores were made."""

    reason: str
    count: int
    last_detail: str
    last: str
    age_s: float


class GatewayLedger(Answer):
    """The lanes of all epochs, those that changed last first, at most 40; `more` says that there are others."""

    model_config = example(gateway="gw-1", epoch="e1", lanes=[examples.LEDGER_LANE], more=False, security=[examples.SECURITY])
    gateway: str
    epoch: str
    lanes: list[LedgerLane]
    more: bool
    security: list[SecurityEvent]


class Refusal(Answer):
    source: str
    reason: str
    count: int
    last_detail: str
    last: str
    age_s: float


class RefusalPage(Answer):
    model_config = example(
        items=[examples.REFUSAL],
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
    model_config = example(items=[examples.PROFILE])
    items: list[ProfileInfo]


class MirrorHealth(Answer):
    """Readings that wait for the mirror, how long the oldest has, and what became of the others since the start."""

    state: Literal["ok", "behind", "down"]
    waiting: int
    lag_s: float
    sent: int
    dropped: int
    refused: int


class Health(Answer):
    """`degraded` (status 503) while a store does not answer; a mirror that is down degrades nothing. None: there is none."""

    model_config = example(status="ok", relational=True, series=True, mirror=None, streams=2, time=examples.AT)
    status: Literal["ok", "degraded"]
    relational: bool
    series: bool
    mirror: MirrorHealth | None
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
    """RFC 9457. `reason` is the product's one word for it, the same as in its logs and counters; `detail_zh` says it in Chinese,
    where a person's step was refused."""

    type: str
    title: str
    status: int
    detail: str
    detail_zh: str
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


class AlarmPriority(Note):
    """Who gives an alarm another priority, and why."""

    model_config = ConfigDict(json_schema_extra={"example": {"actor": "li.wei", "note": "a school is near", "priority": "high"}})
    priority: Literal["critical", "high", "medium", "low"]


def _instant(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("want ISO 8601 with a zone, like 2026-11-20T08:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("has no zone; end it with Z or an offset")
    return text


Instant = Annotated[str, Field(max_length=40), AfterValidator(_instant)]


class Shelving(Note):
    """Who shelves an alarm until when; `note` is the reason. `once`: only until it returns to normal, if that is sooner."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"actor": "li.wei", "note": "sensor is being cleaned", "until": "2026-11-20T16:00:00Z", "once": False}
        }
    )
    until: Instant
    once: bool = False


class Suppressing(Note):
    """Who says that an alarm is, or is no longer, explained `by` another alarm or a planned work."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"actor": "li.wei", "note": "feeder 3 is off", "by": "works-2026-117"}}
    )
    by: Annotated[str, Field(min_length=1, max_length=160), Printable]


class OutOfService(Note):
    """Who takes an alarm out of service; `note` is the work order or the reason, `review` when somebody looks at it again."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"actor": "li.wei", "note": "work order 2026-117", "review": "2026-12-20T08:00:00Z"}}
    )
    review: Instant
