"""The shapes of what the API says of cases, and of what people do to them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from cloud.api import examples
from cloud.api.schemas import Actor, Alarm, Answer, Body, Instant, NoteText, Printable, Text, example
from cloud.workflow.states import Role, Step

__all__ = ["CaseDetail", "CasePage", "NewCase", "StepTaken", "Watchlist"]


class Case(Answer):
    """One problem at one place that a department must close. `version` grows with every step that changes it.

    `due` is when the work must be done, null while the case waits on hold; `overdue` what its department must answer for.
    """

    id: int
    device: str | None
    device_name: str
    matter: str
    gbt_code: str
    department: str
    district: str
    title: Text
    priority: str
    source: str
    description: str
    address: str
    state: str
    state_title: Text
    longitude: float | None
    latitude: float | None
    opened: str
    age_s: float
    due: str | None
    overdue: bool
    closed: str | None
    assignee: str
    hold_until: str | None
    asked: str
    returned: bool
    reworks: int
    version: int


class CasePage(Answer):
    model_config = example(items=[examples.CASE], next=None)
    items: list[Case]
    next: str | None


class CaseStep(Answer):
    """`at` is when the cloud heard of it, `done` when it was done by the clock of whoever did it, where they said so."""

    id: int
    step: str
    title: Text
    from_state: str
    to_state: str
    actor: str
    role: str
    at: str
    done: str | None
    note: str
    reason: str
    standard: str
    until: str | None
    department: str
    assignee: str
    device_says: str
    photos: list[str]
    longitude: float | None
    latitude: float | None


class CaseClock(Answer):
    """One stage's limit, in its own kind of time: `left_s` below 0 is by how much it is exceeded."""

    clock: str
    title: Text
    state: str
    kind: str
    started: str
    limit_s: float
    deadline: str | None
    spent_s: float
    left_s: float
    late: bool
    remark: Text | None


class CaseMay(Answer):
    """A step that the case's state allows: in which offices, with what, and where it leads."""

    step: str
    title: Text
    roles: list[str]
    needs: list[str]
    to: str


class Notice(Answer):
    """One message to one channel. `failure` says why the last attempt failed; secrets are taken out of `detail`."""

    id: int
    step: str
    channel: str
    target: str
    state: Literal["pending", "sent", "digest", "failed"]
    attempts: int
    failure: str
    vendor_code: str
    detail: str
    created: str
    sent: str | None
    next_attempt: str | None
    receipt: str
    opened: str | None


class CaseDetail(Case):
    model_config = example(
        **examples.CASE,
        steps=[examples.STEP],
        clocks=[examples.CASE_CLOCK],
        may=[examples.CASE_MAY],
        device_says="fault",
        filed_when={"zh": "井盖缺失、移位或破损，有安全隐患", "en": "Cover missing, displaced or broken, and a hazard"},
        closes_when={"zh": "井盖复位并锁闭", "en": "Cover back on its seat and locked"},
        alarms=[examples.ALARM],
        notifications=[examples.NOTICE],
    )
    steps: list[CaseStep]
    clocks: list[CaseClock]
    may: list[CaseMay]
    device_says: Literal["nothing", "fault", "clear"]
    filed_when: Text | None
    closes_when: Text | None
    alarms: list[Alarm]
    notifications: list[Notice]


class WatchedCase(Answer):
    """A running clock of a case; `left_s` is of the clock's own kind of time, below 0 by how much it is exceeded."""

    case: int
    title: Text
    device: str | None
    priority: str
    department: str
    district: str
    assignee: str
    state: str
    state_title: Text
    standing: Literal["warning", "overdue", "supervised", "fine"]
    standing_title: Text
    clock: str
    clock_title: Text
    deadline: str | None
    limit_s: float
    left_s: float
    late: bool


class Watchlist(Answer):
    """`counts` are of all that were looked at; `more`: there are more than are shown."""

    model_config = example(items=[examples.WATCHED], counts={"warning": 1, "overdue": 0, "supervised": 0}, more=False)
    items: list[WatchedCase]
    counts: dict[str, int]
    more: bool


class Position(Body):
    """WGS-84, degrees."""

    longitude: float = Field(ge=-180, le=180)
    latitude: float = Field(ge=-90, le=90)


Word = Annotated[str, Field(max_length=128), Printable]


class StepTaken(Body):
    """A step of a case, for the `version` that the actor saw. What a step needs beside it, `may` of the case says.

    `key`: what is sent again with the same key is done once. `done`: when it was done by the actor's own clock.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"step": "take", "actor": "li.wei", "role": "crew", "version": 4}})
    step: Annotated[Step, Field(strict=False)]
    actor: Actor
    role: Annotated[Role, Field(strict=False)]
    version: int = Field(ge=1, le=2**31 - 1)
    key: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = ""
    done: Instant | None = None
    note: NoteText = ""
    reason: NoteText = ""
    standard: NoteText = ""
    until: Instant | None = None
    department: Annotated[str, Field(max_length=64), Printable] = ""
    assignee: Word = ""
    photos: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(default=[], max_length=20)
    position: Position | None = None


class NewCase(Body):
    """A person's report. It joins the open case of the same matter at the device or the place, where there is one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "matter": "cover_displaced",
                "actor": "li.wei",
                "role": "collector",
                "longitude": 113.26,
                "latitude": 23.13,
            }
        }
    )
    matter: Annotated[str, Field(min_length=1, max_length=64), Printable]
    actor: Actor
    role: Annotated[Role, Field(strict=False)] = Role.OPERATOR
    device: Word | None = None
    longitude: float | None = Field(default=None, ge=-180, le=180)
    latitude: float | None = Field(default=None, ge=-90, le=90)
    address: Annotated[str, Field(max_length=400), Printable] = ""
    description: NoteText = ""
    photos: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(default=[], max_length=20)
