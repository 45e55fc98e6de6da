"""One case under way in memory: its row, the steps just taken, and its clocks. Nothing here reads or writes a store."""

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from cloud.alarms.acts import RANK
from cloud.cases.desk import Desk
from cloud.cases.policy import SILENT, SPENT, Due
from cloud.clocks.calendar import WorkCalendar
from cloud.clocks.clock import ClockKind, Hold, amount_ns, deadline, warnings
from cloud.dispatch.escalation import Plan
from cloud.workflow.case import Appeal, Asked, Case, Deed, Refused
from cloud.workflow.states import ASSIGNED, ENDED, Clock, State, Step
from cloud.workflow.step import report, step
from cloud.workflow.table import OPENING, TABLE
from cloud.workflow.terms import Does, Row, Told, Turn
from device_profiles.matter import Limit, Matter
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Priority

__all__ = ["BLANK", "CaseDraft", "CaseError", "Deadline", "Taken"]


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


_OVER: Final = ((Due.OVERDUE, Fraction(1)),)
_NOT_STORED: Final = frozenset({"running", "paused"})
"""What the workflow knows of a case that is in its clocks, not in its row."""
_PLAIN: Final = tuple(name for name in Case.__struct_fields__ if name not in _NOT_STORED)
_ANSWERED: Final = frozenset({Step.ASSIGN, Step.TAKE, Step.ARRIVE, Step.CALL_HELP, Step.SUBMIT})
"""Steps after which nobody waits any longer for the task to be taken, or waits anew."""
BLANK: Final[Mapping[str, Any]] = {
    name: _plain(value) for name, value in asdict(Case(state=State.REPORTED)).items() if name in _PLAIN and name != "department"
}
"""The columns of a case to which nothing has been done yet."""
_WORDS: Final = {"state": State, "asked": Asked, "appeal": Appeal}


class CaseError(ValueError):
    """A step that is not taken. `reason` is one word for why; `zh` says it in Chinese where the workflow refused."""

    def __init__(self, reason: Reason, detail: str, zh: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.zh = zh or detail


class Deadline(msgspec.Struct, frozen=True):
    """Something that falls due; `clock` is the row of its clock, None for what is no clock's."""

    what: Due
    due_ns: int
    clock: dict[str, Any] | None = None


class Taken(msgspec.Struct, frozen=True):
    """A step that was taken: the table's row, the deed, and whose task the case was before it."""

    row: Row
    deed: Deed
    assignee: str


class CaseDraft:
    """A case to which deeds are done. `row` is as in `cases`, `clocks` the newest row of each clock, `taken` what is new."""

    def __init__(
        self, desk: Desk, matter: Matter, row: dict[str, Any], clocks: Mapping[Clock, dict[str, Any]] | None = None
    ) -> None:
        self._desk = desk
        self.matter = matter
        self.row = row
        self.clocks = dict(clocks or {})
        self.taken: list[Taken] = []
        self._before = dict(row)
        self._lifted = False
        self._turned: dict[int, tuple[Clock, dict[str, Any]]] = {}

    @property
    def is_new(self) -> bool:
        """Whether no store knows it."""
        return "id" not in self._before

    @property
    def is_changed(self) -> bool:
        """Whether its row in the store is another one: joining a report changes nothing of it."""
        return not self.is_new and self.row != self._before

    def saved(self) -> None:
        """Everything so far is in the store."""
        self._before, self._lifted = dict(self.row), False
        self.taken, self._turned = [], {}

    def turned_rows(self) -> list[dict[str, Any]]:
        """The rows of the clocks that the steps just taken turned, those of a clock begun anew included."""
        return [row for _, row in self._turned.values()]

    @property
    def case(self) -> Case:
        """The case as the workflow sees it."""
        held: dict[str, Any] = {name: _WORDS.get(name, _same)(self.row[name]) for name in _PLAIN}
        running = frozenset(clock for clock, row in self.clocks.items() if row["state"] == "running")
        paused = frozenset(clock for clock, row in self.clocks.items() if row["state"] == "paused")
        return Case(**held, running=running, paused=paused)

    def begin(self, deed: Deed) -> None:
        """The report that makes the case; it keeps the department that it will go to. CaseError where it is refused."""
        made = report(deed, self._desk.policy.workflow)
        if isinstance(made, Case):
            made = msgspec.structs.replace(made, department=self.row["department"])
        self._moved(OPENING, deed, made, "")

    def do(self, deed: Deed) -> None:
        """One step more. CaseError where it is refused."""
        before = self.case
        deed = msgspec.structs.replace(deed, overdue=self._is_late(Clock.HANDLE, deed.at_ns))
        after = step(before, deed, self._desk.policy.workflow)
        row = TABLE.get((before.state, deed.step))
        self._moved(row or OPENING, deed, after, before.assignee)

    def deadlines(self, now_ns: int) -> list[Deadline]:
        """What of the clocks that just turned, and of the state, falls due later than now."""
        found = [each for clock, row in self._turned.values() for each in self._falls_due(clock, row, now_ns)]
        if self.row["state"] == State.HANDLING.value and self._last is Step.ASSIGN:
            waits = ((SILENT[each.what], each.after_s) for each in self._plan() if each.after_s is not None)
            found += [Deadline(what, now_ns + after_s * SECOND_NS) for what, after_s in waits]
        if self.row["hold_until_ns"] is not None and self._last is Step.GRANT_HOLD:
            found.append(Deadline(Due.HOLD_OVER, self.row["hold_until_ns"]))
        return found

    @property
    def _last(self) -> Step | None:
        """The last of the steps just taken; a report that joined is none that anybody waits for."""
        return next((taken.deed.step for taken in reversed(self.taken) if taken.deed.step is not Step.JOIN), None)

    @property
    def settled(self) -> frozenset[Due]:
        """What no longer waits because of the steps just taken, beside the deadlines of the clocks that turned."""
        steps = {taken.deed.step for taken in self.taken}
        over = set(SILENT.values()) if steps & _ANSWERED or self.row["state"] != State.HANDLING.value else set()
        return frozenset(over if self.row["hold_until_ns"] is not None else over | {Due.HOLD_OVER})

    @property
    def is_lifted(self) -> bool:
        """Whether a case that was there got a higher priority."""
        return self._lifted

    def lift(self, priority: str) -> None:
        """Raise the priority, where it is higher. What falls due from then on is what the higher one's plan says."""
        if RANK[Priority(priority)] <= RANK[Priority(self.row["priority"])]:
            return
        self.row["priority"] = priority
        handling = self.clocks.get(Clock.HANDLE)
        if handling is not None:
            self._turned[id(handling)] = Clock.HANDLE, handling
        self._lifted = not self.is_new

    def told(self) -> frozenset[Told]:
        """Who must hear of the steps just taken: of several, it is the last one that matters; of a higher priority, whose work
        it is."""
        steps = [taken for taken in self.taken if taken.deed.step is not Step.JOIN]
        if steps:
            return frozenset(steps[-1].row.tells)
        return frozenset({Told.ASSIGNEE, Told.DEPARTMENT, Told.DISPATCHER}) if self._lifted else frozenset()

    def _moved(self, row: Row, deed: Deed, after: Case | Refused, assignee: str) -> None:
        if isinstance(after, Refused):
            raise CaseError(after.reason, f"case {self.row.get('id', 'new')}: {after.detail}", after.zh)
        self.row |= {name: _plain(getattr(after, name)) for name in _PLAIN}
        for turn in row.turns:
            self._turn(turn, deed, assignee)
        if after.state in ENDED:
            self.row["closed_ns"] = deed.at_ns
        elif after.state not in ASSIGNED:
            self.row["assignee"] = ""
        self.row["due_ns"] = self._due(deed.at_ns)
        self.taken.append(Taken(row, deed, assignee))

    def _due(self, now_ns: int) -> int | None:
        """When the work is to be done, as far as that is known: before dispatch as if it were sent now."""
        handling = self.clocks.get(Clock.HANDLE)
        if handling is None:
            calendar, limit = self._desk.calendars.current, self.matter.limits.handle
            return deadline(now_ns, amount_ns(limit.count, limit.clock, calendar), limit.clock, calendar)
        due: int | None = handling["deadline_ns"]
        return due

    def _turn(self, turn: Turn, deed: Deed, assignee: str) -> None:
        held, now_ns = self.clocks.get(turn.clock), deed.at_ns
        if turn.does is Does.STARTS or held is None:
            if turn.does in {Does.STOPS, Does.PAUSES}:
                return  # a case from before it had clocks
            self.clocks[turn.clock] = held = self._started(turn.clock, now_ns)
        match turn.does:
            case Does.STOPS if held["state"] != "stopped":
                held |= {"late": self._is_late(turn.clock, now_ns), "charged": assignee or deed.actor}
                held |= {"state": "stopped", "stopped_ns": now_ns}
            case Does.PAUSES:
                held |= {"state": "paused", "holds": [*held["holds"], [now_ns, None]]}
            case Does.RESUMES:
                held |= {"holds": _rested(held, now_ns), "state": "running", "stopped_ns": None, "late": None}
            case Does.EXTENDS:
                held["extensions"] = [*held["extensions"], held["limit_ns"]]
            case Does.STARTS | Does.STOPS:
                pass  # just made, or stopped before by whoever answered
        held["deadline_ns"] = self._deadline(held)
        self._turned[id(held)] = turn.clock, held

    def _started(self, clock: Clock, now_ns: int) -> dict[str, Any]:
        limit: Limit = getattr(self.matter.limits, clock.value)
        calendar = self._desk.calendars.current
        return {
            "clock": clock.value,
            "state": "running",
            "kind": limit.clock.value,
            "calendar": calendar.version,
            "start_ns": now_ns,
            "limit_ns": amount_ns(limit.count, limit.clock, calendar),
            "holds": [],
            "extensions": [],
            "deadline_ns": None,
            "stopped_ns": None,
            "late": None,
            "charged": "",
        }

    def _deadline(self, row: Mapping[str, Any]) -> int | None:
        return deadline(row["start_ns"], _limit_ns(row), ClockKind(row["kind"]), self._calendar(row), _holds(row))

    def _calendar(self, row: Mapping[str, Any]) -> WorkCalendar:
        return self._desk.calendars.of(row["calendar"])

    def _is_late(self, clock: Clock, now_ns: int) -> bool:
        row = self.clocks.get(clock)
        return row is not None and row["deadline_ns"] is not None and now_ns > row["deadline_ns"]

    def _falls_due(self, clock: Clock, row: dict[str, Any], now_ns: int) -> list[Deadline]:
        if row["state"] != "running":
            return []
        plan = [*_OVER, *(self._spent() if clock is Clock.HANDLE else ())]
        fractions = [fraction for _, fraction in plan]
        kind, calendar = ClockKind(row["kind"]), self._calendar(row)
        times = warnings(row["start_ns"], _limit_ns(row), kind, calendar, _holds(row), fractions=fractions)
        due = zip(plan, times, strict=True)
        return [Deadline(what, at_ns, row) for (what, _), at_ns in due if at_ns is not None and at_ns > now_ns]

    def _spent(self) -> list[tuple[Due, Fraction]]:
        return [(SPENT[each.what], Fraction(each.fraction)) for each in self._plan() if each.fraction is not None]

    def _plan(self) -> Plan:
        return self._desk.duty.escalation(Priority(self.row["priority"]))


def _same(value: Any) -> Any:
    return value


def _limit_ns(row: Mapping[str, Any]) -> int:
    return int(row["limit_ns"] + sum(row["extensions"]))


def _holds(row: Mapping[str, Any]) -> list[Hold]:
    return [Hold(start, end) for start, end in row["holds"]]


def _rested(row: Mapping[str, Any], now_ns: int) -> list[list[int | None]]:
    """The holds of a clock that goes on: what it waited since it was paused, or stopped, is one."""
    held: list[list[int | None]] = [list(each) for each in row["holds"]]
    if row["state"] == "paused":
        held[-1][1] = now_ns
    elif row["stopped_ns"] is not None:
        held.append([row["stopped_ns"], now_ns])
    return held
