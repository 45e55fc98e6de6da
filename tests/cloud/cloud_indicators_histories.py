"""Whole histories of cases as rows of the store: deeds that the workflow takes, and clocks as its table turns them."""

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.clock import ClockKind, Hold, deadline
from cloud.indicators.history import CaseClock, CaseStep, History
from cloud.relational.tables import case_clocks, case_steps, cases
from cloud.workflow.case import Appeal, Case, Deed, DeviceSays
from cloud.workflow.states import Clock, Role, State, Step
from cloud.workflow.step import report, step, steps_from
from cloud.workflow.table import OPENING, TABLE
from cloud.workflow.terms import Does

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
OCTOBER = 1_790_784_000_000_000_000  # 2026-10-01T00:00:00+08:00
NOVEMBER = OCTOBER + 31 * DAY

CALENDAR = WorkCalendar(chinese_rules())
LIMITS = {
    Clock.ACCEPT: HOUR // 4,
    Clock.VERIFY: HOUR // 2,
    Clock.DISPATCH: HOUR // 4,
    Clock.HANDLE: 4 * HOUR,
    Clock.CHECK: HOUR // 2,
}
ROLE = {Step.REPORT: Role.COLLECTOR, Step.GRANT_HOLD: Role.SUPERVISOR, Step.REOPEN: Role.SHIFT_LEAD, Step.PASS: Role.OPERATOR}


@dataclass
class Story:
    """A case that is being told: its row, and the rows of its steps and clocks, as the store holds them."""

    at: int
    row: dict[str, Any] = field(default_factory=dict)
    limits: dict[Clock, int] = field(default_factory=lambda: dict(LIMITS))
    steps: list[dict[str, Any]] = field(default_factory=list)
    clocks: list[dict[str, Any]] = field(default_factory=list)
    case: Case | None = None

    def __post_init__(self) -> None:
        self.row = {"district": "east", "source": "person", "device": None, "matter": "cover_missing"} | self.row
        self.row |= {"opened_ns": self.at, "before_ns": self.row.get("before_ns")}

    def then(self, what: Step, after_ns: int = 0, role: Role | None = None, **more: Any) -> "Story":
        """The next step, so much later. It must be one that the workflow takes."""
        row = OPENING if self.case is None else TABLE[self.case.state, what]
        assert self.tried(what, after_ns, role or ROLE.get(what) or min(row.roles), **more), f"{what}: not taken"
        return self

    def tried(self, what: Step, after_ns: int, role: Role, **more: Any) -> bool:
        """Whether the workflow took the step; where it did not, nothing happened."""
        at, before = self.at + after_ns, self.case
        row = OPENING if before is None else TABLE[before.state, what]
        late = before is not None and self._is_late(at)
        standing = replace(
            Deed(step=what, actor=f"{role}-1", role=role, at_ns=at, note="n", reason="r", standard="s", photos=("p",)),
            position=(120.6, 31.3),
            until_ns=at + DAY,
            department="roads",
            assignee="crew-1" if what is Step.ASSIGN else "collector-1",
            overdue=late,
        )
        deed = replace(standing, **more)
        after = report(deed) if before is None else step(before, deed)
        if not isinstance(after, Case):
            return False
        for turn in row.turns:
            self._turn(turn.does, turn.clock, deed, "" if before is None else before.assignee)
        self.at, self.case = at, after
        self.steps.append(_step_row(deed, row.before or row.after, row.after))
        return True

    def history(self) -> History:
        """As the indicators read it."""
        words = ("step", "from_state", "to_state", "actor", "at_ns", "department", "assignee", "device_says")
        named = ("opened_ns", "device", "district", "source", "longitude", "latitude", "before_ns")
        return History(
            **{name: self.row.get(name) for name in named},  # type: ignore[arg-type]
            department=self.row.get("department") or (self.case.department if self.case else ""),
            steps=tuple(CaseStep(**{word: row[word] for word in words}) for row in self.steps),
            clocks=tuple(CaseClock(clock=row["clock"], deadline_ns=row["deadline_ns"]) for row in self.clocks),
        )

    def _newest(self, clock: Clock) -> dict[str, Any] | None:
        return next((row for row in reversed(self.clocks) if row["clock"] == clock), None)

    def _is_late(self, at: int) -> bool:
        row = self._newest(Clock.HANDLE)
        return row is not None and row["deadline_ns"] is not None and at > row["deadline_ns"]

    def _turn(self, does: Does, clock: Clock, deed: Deed, assignee: str) -> None:
        row = self._newest(clock)
        if does is Does.STARTS or row is None:
            row = {"clock": clock.value, "state": "running", "kind": "urgent_hours", "calendar": CALENDAR.version}
            row |= {"start_ns": deed.at_ns, "limit_ns": self.limits[clock], "holds": [], "extensions": [], "stopped_ns": None}
            row |= {"late": None, "charged": "", "deadline_ns": None}
            self.clocks.append(row)
        match does:
            case Does.STOPS if row["state"] == "running":
                late = row["deadline_ns"] is not None and deed.at_ns > row["deadline_ns"]
                row |= {"state": "stopped", "stopped_ns": deed.at_ns, "late": late, "charged": assignee or deed.actor}
            case Does.PAUSES:
                row |= {"state": "paused", "holds": [*row["holds"], [deed.at_ns, None]]}
            case Does.RESUMES if row["state"] == "paused":
                row["holds"][-1][1] = deed.at_ns
                row |= {"state": "running"}
            case Does.RESUMES if row["state"] == "stopped":
                row["holds"] = [*row["holds"], [row["stopped_ns"], deed.at_ns]]
                row |= {"state": "running", "stopped_ns": None, "late": None}
            case Does.EXTENDS:
                row["extensions"] = [*row["extensions"], row["limit_ns"]]
        holds = [Hold(start, end) for start, end in row["holds"]]
        limit = row["limit_ns"] + sum(row["extensions"])
        row["deadline_ns"] = deadline(row["start_ns"], limit, ClockKind.URGENT_HOURS, CALENDAR, holds)


def _step_row(deed: Deed, before: State, after: State) -> dict[str, Any]:
    return {
        "step": deed.step.value,
        "from_state": before.value,
        "to_state": after.value,
        "actor": deed.actor,
        "role": deed.role.value,
        "at_ns": deed.at_ns,
        "note": deed.note,
        "department": deed.department,
        "assignee": deed.assignee,
        "device_says": deed.device_says.value,
    }


def reported(at: int = OCTOBER, **row: Any) -> Story:
    """A case, reported at that instant."""
    return Story(at, row).then(Step.REPORT)


def dispatched(at: int = OCTOBER, **row: Any) -> Story:
    """A case with its department, a minute for each step."""
    return reported(at, **row).then(Step.FILE, MINUTE).then(Step.DISPATCH, MINUTE)


def confirmed(work_ns: int = HOUR, at: int = OCTOBER, **row: Any) -> Story:
    """A case whose department confirmed the work, so long after it was dispatched."""
    return dispatched(at, **row).then(Step.ASSIGN).then(Step.SUBMIT, work_ns).then(Step.CONFIRM)


def closed(work_ns: int = HOUR, at: int = OCTOBER, **row: Any) -> Story:
    """A case checked and closed, each within a minute."""
    told = confirmed(work_ns, at, **row)
    return told.then(Step.CHECK, MINUTE).then(Step.CHECKED, MINUTE).then(Step.PASS, MINUTE)


_PEOPLE = ("wang", "li", "zhang", "system")
_ROAD = {
    State.REPORTED: Step.FILE,
    State.FILED: Step.DISPATCH,
    State.DISPATCHED: Step.ASSIGN,
    State.HANDLING: Step.SUBMIT,
    State.DEPARTMENT_REVIEW: Step.CONFIRM,
    State.FEEDBACK: Step.CHECK,
    State.CHECKING: Step.PASS,
    State.HOLD: Step.HOLD_OVER,
}
_APPEALS = {Appeal.NONE: Step.APPEAL, Appeal.NEW: Step.AGREE_APPEAL, Appeal.AGREED: Step.GRANT_APPEAL}


def wandering(chance: random.Random, first: int, last: int) -> Story:
    """A case that begins between two instants and is pushed about by whomever."""
    device = chance.choice([None, "cover-1", "cover-2"])
    row: dict[str, Any] = {
        "matter": f"matter-{chance.getrandbits(60)}",
        "district": chance.choice(["", "east", "west"]),
        "source": chance.choice(["alarm", "citizen", "person"]),
        "device": device,
        "longitude": chance.choice([None, 120.6, 120.61]),
        "latitude": 31.3,
        "before_ns": None if device is None else chance.choice([None, first - 40 * DAY, first - DAY]),
    }
    told = Story(chance.randrange(first, last), row)
    told.limits[Clock.HANDLE] = chance.choice([HOUR, DAY, 5 * DAY])
    told.tried(Step.REPORT, 0, Role.COLLECTOR, actor=chance.choice(_PEOPLE))
    for _ in range(chance.randrange(40)):
        assert told.case is not None
        others = [each for each in steps_from(told.case.state) if each is not Step.SUPERVISE]
        if not others:
            break
        road = _ROAD.get(told.case.state) or _APPEALS.get(told.case.appeal)
        what = road if road in others and chance.random() < 0.5 else chance.choice(others)
        told.tried(
            what,
            chance.choice([0, MINUTE, 20 * MINUTE, 3 * HOUR, DAY, 3 * DAY]),
            chance.choice(sorted(TABLE[told.case.state, what].roles)),
            actor=told.case.assignee or chance.choice(_PEOPLE),
            assignee=chance.choice(_PEOPLE[:3]),
            department=chance.choice(["roads", "lights"]),
            device_says=chance.choice(list(DeviceSays)),
            until_ns=told.at + chance.choice([2, 3]) * DAY,
        )
    return told


async def store(conn: AsyncConnection, stories: Iterable[Story]) -> None:
    """Write them into the store."""
    for number, told in enumerate(stories, 1):
        assert told.case is not None
        closed_ns = told.at if told.case.state is State.VOID else told.case.closed_ns
        row = {name: value for name, value in told.row.items() if name != "before_ns"}
        plain = {"gbt_code": "0101", "department": told.case.department, "title_zh": "井盖缺失", "title_en": "Cover missing"}
        facts = {name: getattr(told.case, name) for name in ("overdue", "exempt", "reworks", "extensions", "holds")}
        ends = {"state": told.case.state.value, "closed_ns": closed_ns, "priority": "high"}
        await conn.execute(cases.insert().values({"id": number} | row | plain | facts | ends))
        await conn.execute(case_steps.insert(), [{**each, "case_id": number} for each in told.steps])
        await conn.execute(case_clocks.insert(), [{**each, "case_id": number} for each in told.clocks])


def many(chance: random.Random, count: int) -> list[Story]:
    """Cases around October, in the order of their beginning."""
    stories = [wandering(chance, OCTOBER - 6 * DAY, NOVEMBER + 2 * DAY) for _ in range(count)]
    return sorted(stories, key=lambda told: told.row["opened_ns"])


def steps_of(stories: Iterable[Story]) -> set[str]:
    """Every step that was taken in them."""
    return set(itertools.chain.from_iterable((row["step"] for row in told.steps) for told in stories))
