"""Cases of the mock city. They go by the workflow's own table and guards, so that the page is never tested against a step that
the cloud refuses, nor spared one that it allows."""

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cloud.api import case_schemas as schemas
from cloud.api.times import instant_ns
from cloud.cases.draft import CaseError
from cloud.workflow.case import Case, Deed, DeviceSays, Refused
from cloud.workflow.states import CLOCK_WORDS, ENDED, STATE_WORDS, STEP_WORDS, Clock, Role, State, Step
from cloud.workflow.step import report, step, steps_from
from cloud.workflow.table import OPENING, TABLE
from cloud.workflow.terms import Does, Need, Row
from device_profiles.quantities import Text
from telemetry.reason import Reason

__all__ = ["MockCase", "MockClock", "Photos", "iso"]

_LIMITS_S = {Clock.ACCEPT: 900.0, Clock.VERIFY: 1800.0, Clock.DISPATCH: 900.0, Clock.HANDLE: 7200.0, Clock.CHECK: 1800.0}
_WORK_IS_DONE = {State.FEEDBACK, State.CHECKING, *ENDED}
_FILED_WHEN = {"zh": "井盖缺失、移位或破损，有安全隐患", "en": "Cover missing, displaced or broken, and a hazard"}
_CLOSES_WHEN = {"zh": "井盖复位并锁闭", "en": "Cover back on its seat and locked"}


def iso(at: float) -> str:
    """Unix seconds as the API writes a time."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _words(text: Text) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}


@dataclass
class MockClock:
    """One stage's limit, counted around the clock whatever its kind is called. `since` is None while it stands."""

    clock: Clock
    started: float
    limit_s: float
    kind: str = "urgent_hours"
    spent_s: float = 0.0
    since: float | None = None
    paused: bool = False
    extensions: int = 0
    late: bool | None = None
    stopped: float | None = None

    def turn(self, does: Does, now: float) -> None:
        """What a row of the table says of it."""
        if does is Does.EXTENDS:
            self.extensions += 1
            return
        self.spent_s, self.since = self._spent_s(now), None
        self.paused, self.late, self.stopped = does is Does.PAUSES, None, None
        if does is Does.STOPS:
            self.late, self.stopped = self.spent_s > self._limit_s, now
        if does in {Does.STARTS, Does.RESUMES}:
            self.since = now

    @property
    def _limit_s(self) -> float:
        return self.limit_s * (1 + self.extensions)

    def _spent_s(self, now: float) -> float:
        return self.spent_s + (0.0 if self.since is None else now - self.since)

    def deadline(self, now: float) -> float | None:
        """When its limit is, or was, over; None while it is paused."""
        return None if self.paused else (self.stopped or now) + self._limit_s - self._spent_s(now)

    def shown(self, now: float) -> dict[str, Any]:
        """As the API shows it."""
        left_s, over = self._limit_s - self._spent_s(now), self.deadline(now)
        return {
            "clock": self.clock.value,
            "title": _words(CLOCK_WORDS[self.clock]),
            "state": "paused" if self.paused else "stopped" if self.stopped else "running",
            "kind": self.kind,
            "started": iso(self.started),
            "limit_s": self._limit_s,
            "deadline": None if over is None else iso(over),
            "spent_s": round(self._spent_s(now), 1),
            "left_s": round(left_s, 1),
            "late": left_s < 0 if self.late is None else self.late,
            "remark": None,
        }


@dataclass
class MockCase:
    """One case: what the workflow knows of it, and around it what only the store does. Tests set `says` and `version`."""

    number: int
    about: dict[str, Any]
    case: Case
    opened: float
    due_s: float = 7200.0
    handle_kind: str = "urgent_hours"
    version: int = 1
    says: DeviceSays = DeviceSays.NOTHING
    steps: list[dict[str, Any]] = field(default_factory=list)
    clocks: dict[Clock, MockClock] = field(default_factory=dict)
    notices: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    @classmethod
    def reported(cls, number: int, about: dict[str, Any], *, opened: float, department: str, **more: Any) -> "MockCase":
        """A case as the report makes it; `more` are fields, and `note` and `actor` of the report."""
        actor, role = more.pop("actor", "system"), Role(more.pop("role", Role.SYSTEM))
        deed = Deed(step=Step.REPORT, actor=actor, role=role, at_ns=round(opened * 1e9), note=more.pop("note"))
        made = report(deed)
        assert isinstance(made, Case)
        new = cls(number, about, Case(state=made.state, department=department), opened, **more)
        new._turn(OPENING, opened)
        new._write(deed, None, opened)
        return new

    def take(self, wanted: schemas.StepTaken) -> None:
        """What the cloud does with a step that is sent to it. CaseError where it refuses."""
        if wanted.key and wanted.key in self.keys:
            return
        if wanted.version != self.version:
            zh = f"案件 {self.number} 已更新到版本 {self.version}，此操作基于版本 {wanted.version}"
            detail = f"case {self.number}: is at version {self.version}, the step was for {wanted.version}"
            raise CaseError(Reason.CONFLICT, detail, zh)
        position = (wanted.position.longitude, wanted.position.latitude) if wanted.position else None
        self.do(
            wanted.step,
            wanted.actor,
            wanted.role,
            done=None if wanted.done is None else instant_ns(wanted.done) / 1e9,
            until_ns=instant_ns(wanted.until) if wanted.until else None,
            photos=tuple(wanted.photos),
            position=position,
            **{name: getattr(wanted, name) for name in ("note", "reason", "standard", "department", "assignee")},
        )
        self.keys.add(wanted.key)

    def do(
        self, what: Step | str, actor: str, role: Role | str, *, at: float | None = None, done: float | None = None, **more: Any
    ) -> None:
        """Take a step. CaseError where the workflow refuses it."""
        now = time.time() if at is None else at
        overdue = Clock.HANDLE in self.clocks and self.clocks[Clock.HANDLE].shown(now)["late"]
        deed = Deed(
            step=Step(what), actor=actor, role=Role(role), at_ns=round(now * 1e9), device_says=self.says, overdue=overdue, **more
        )
        before, after = self.case, step(self.case, deed)
        if isinstance(after, Refused):
            raise CaseError(after.reason, f"case {self.number}: {after.detail}", after.zh)
        self.case = after
        self._turn(TABLE[before.state, deed.step], now)
        self._write(deed, before.state, now, done)
        self.version += 1

    def go_on(self, *steps: tuple[str, str, str, dict[str, Any]]) -> None:
        """Several steps, each (step, actor, role, what it needs)."""
        for what, actor, role, more in steps:
            self.do(what, actor, role, **more)

    def _turn(self, row: Row, now: float) -> None:
        for turn in row.turns:
            if turn.does is Does.STARTS or turn.clock not in self.clocks:
                handles = turn.clock is Clock.HANDLE
                limit_s = self.due_s if handles else _LIMITS_S[turn.clock]
                kind = self.handle_kind if handles else "urgent_hours"
                self.clocks[turn.clock] = MockClock(turn.clock, now, limit_s, kind)
            self.clocks[turn.clock].turn(turn.does, now)

    def _write(self, deed: Deed, before: State | None, at: float, done: float | None = None) -> None:
        longitude, latitude = deed.position or (None, None)
        self.steps.append(
            {
                "id": len(self.steps) + 1,
                "step": deed.step.value,
                "title": _words(STEP_WORDS[deed.step]),
                "from_state": (before or self.case.state).value,
                "to_state": self.case.state.value,
                "role": deed.role.value,
                "at": iso(at),
                "done": None if done is None else iso(done),
                "until": None if deed.until_ns is None else iso(deed.until_ns / 1e9),
                "device_says": deed.device_says.value,
                "photos": list(deed.photos),
                "longitude": longitude,
                "latitude": latitude,
                **{name: getattr(deed, name) for name in ("actor", "note", "reason", "standard", "department", "assignee")},
            }
        )

    @property
    def ended(self) -> bool:
        """Whether nobody owes it anything any longer."""
        return self.case.state in ENDED

    def _due(self, now: float) -> float | None:
        clock = self.clocks.get(Clock.HANDLE)
        return self.opened + self.due_s if clock is None else clock.deadline(now)

    def shown(self) -> dict[str, Any]:
        """As it stands in a list."""
        now, case = time.time(), self.case
        due = self._due(now)
        ended_at = self.steps[-1]["at"] if case.closed_ns is None else iso(case.closed_ns / 1e9)
        return {
            **self.about,
            "id": self.number,
            "state": case.state.value,
            "state_title": _words(STATE_WORDS[case.state]),
            "department": case.department,
            "assignee": case.assignee,
            "opened": iso(self.opened),
            "age_s": now - self.opened,
            "due": None if due is None else iso(due),
            "overdue": case.overdue or (case.state not in _WORK_IS_DONE and due is not None and now > due),
            "closed": ended_at if self.ended else None,
            "hold_until": None if case.hold_until_ns is None else iso(case.hold_until_ns / 1e9),
            "asked": case.asked.value,
            "returned": case.returned,
            "reworks": case.reworks,
            "version": self.version,
        }

    def shown_whole(self, alarms: list[dict[str, Any]]) -> dict[str, Any]:
        """As its own page has it."""
        now = time.time()
        return {
            **self.shown(),
            "steps": self.steps,
            "clocks": [clock.shown(now) for clock in self.clocks.values()],
            "may": [self._may(what, row) for what, row in steps_from(self.case.state).items() if row.roles - {Role.SYSTEM}],
            "device_says": self.says.value,
            "filed_when": _FILED_WHEN,
            "closes_when": _CLOSES_WHEN,
            "alarms": alarms,
            "notifications": self.notices,
        }

    @staticmethod
    def _may(what: Step, row: Row) -> dict[str, Any]:
        return {
            "step": what.value,
            "title": _words(STEP_WORDS[what]),
            "roles": [role.value for role in Role if role in row.roles and role is not Role.SYSTEM],
            "needs": [need.value for need in Need if need in row.needs],
            "to": row.after.value,
        }


class Photos:
    """What was sent to /api/evidence, by its SHA-256."""

    _KINDS = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"RIFF", "image/webp"))

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, str]] = {}

    def put(self, data: bytes) -> dict[str, Any]:
        """Keep it; CaseError where its first bytes are of no kind that is taken."""
        kind = next((kind for head, kind in self._KINDS if data.startswith(head)), None)
        if kind is None:
            raise CaseError(Reason.INVALID, "the photo is neither JPEG nor PNG nor WebP", "照片不是 JPEG、PNG 或 WebP")
        name = hashlib.sha256(data).hexdigest()
        self.kept[name] = (data, kind)
        return {"id": name, "size": len(data)}
