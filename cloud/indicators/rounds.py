"""What a case's steps did to its clocks: each round of a clock, from its start to its end or to now.

The steps are read against the workflow's table, so a round is what the table says and nothing else. The k-th start of a clock is
the k-th row of that clock in `case_clocks`, which knows the deadline.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cloud.indicators.history import CaseStep, History
from cloud.workflow.states import ASSIGNED, Clock, State, Step
from cloud.workflow.table import OPENING, TABLE
from cloud.workflow.terms import Does, Row, Turn

__all__ = ["Round", "Taken", "Walk", "walk"]

_FINISHED_BY: Final[Mapping[Clock, frozenset[Step]]] = {
    Clock.ACCEPT: frozenset({Step.FILE, Step.VOID}),
    Clock.VERIFY: frozenset({Step.FOUND, Step.NOT_FOUND}),
    Clock.DISPATCH: frozenset({Step.DISPATCH}),
    Clock.HANDLE: frozenset({Step.CONFIRM}),
    Clock.CHECK: frozenset({Step.CHECKED, Step.PASS, Step.FAIL, Step.OVERRIDE}),
}
"""The steps that do what the clock's limit is for. Any other that stops it takes the task away."""

_TASKS: Final = frozenset({Step.VERIFY, Step.ASSIGN, Step.CHECK})


class Round(msgspec.Struct, kw_only=True):
    """One round of a clock; steps are named by their place in the history.

    `end` is the step that stopped it and `ended_by` its word, None while it runs or waits on hold. `person` is whose task it
    was when it ended, or is; "" where it is nobody's. `running_ns` is the time that it ran up to its end, holds left out.
    `extended` and `held` are when an extension or a hold was granted.
    """

    clock: Clock
    start: int
    start_ns: int
    deadline_ns: int | None
    department: str
    person: str = ""
    end: int | None = None
    ended_by: Step | None = None
    end_ns: int | None = None
    is_done: bool = False
    since_ns: int | None
    running_ns: int = 0
    extended: tuple[int, ...] = ()
    held: tuple[int, ...] = ()

    @property
    def is_late(self) -> bool:
        """Whether what it is for was done after its deadline."""
        return self.is_done and self.end_ns is not None and self.deadline_ns is not None and self.end_ns > self.deadline_ns

    @property
    def is_on_time(self) -> bool:
        """Whether it was done by its deadline."""
        return self.is_done and not self.is_late

    @property
    def is_cut_short(self) -> bool:
        """Whether the task was taken away before its deadline, or has none."""
        if self.deadline_ns is None:
            return True
        return self.end_ns is not None and not self.is_done and self.end_ns <= self.deadline_ns


class Taken(msgspec.Struct, frozen=True):
    """A step of the history: its place, its row of the workflow's table, and the department that has the case after it."""

    at: int
    step: CaseStep
    row: Row
    department: str


class Walk(msgspec.Struct, frozen=True):
    """A history up to an instant: its steps by the table, the rounds of its clocks, and the state it came to."""

    taken: tuple[Taken, ...]
    rounds: tuple[Round, ...]
    state: str


def walk(history: History, until_ns: int) -> Walk:
    """The steps taken before `until_ns`, and what they did to the clocks. Steps that the table does not know change nothing."""
    pacer = _Pacer(history)
    taken, state = [], ""
    for at, step in enumerate(history.steps):
        if step.at_ns >= until_ns:
            break
        state = step.to_state
        if (row := _row(step)) is not None:
            pacer.take(at, step, row)
            taken.append(Taken(at, step, row, pacer.department))
    return Walk(tuple(taken), tuple(pacer.finish()), state)


def _row(step: CaseStep) -> Row | None:
    if step.step == OPENING.step:
        return OPENING
    try:
        return TABLE.get((State(step.from_state), Step(step.step)))
    except ValueError:
        return None


class _Pacer:
    """Goes along the steps with the department, the assignee and the clocks."""

    def __init__(self, history: History) -> None:
        self.department = history.department
        self._assignee = ""
        self._rounds: list[Round] = []
        self._current: dict[Clock, Round] = {}
        self._deadlines: dict[str, list[int | None]] = defaultdict(list)
        for row in history.clocks:
            self._deadlines[row.clock].append(row.deadline_ns)

    def take(self, at: int, step: CaseStep, row: Row) -> None:
        if row.step is Step.DISPATCH:
            self.department = step.department or self.department
        for turn in row.turns:
            self._turn(turn, at, step)
        if row.step in _TASKS:
            self._assignee = step.assignee
        elif row.after not in ASSIGNED:
            self._assignee = ""

    def finish(self) -> Sequence[Round]:
        """All rounds; those that run are the present assignee's."""
        for each in self._rounds:
            if each.end is None:
                each.person = self._assignee
        return self._rounds

    def _turn(self, turn: Turn, at: int, step: CaseStep) -> None:
        now = self._current.get(turn.clock)
        if turn.does is Does.STARTS or now is None:
            if turn.does in {Does.STOPS, Does.PAUSES}:
                return  # of a case that is older than its clocks
            now = self._current[turn.clock] = self._started(turn.clock, at, step)
            self._rounds.append(now)
        match turn.does:
            case Does.STARTS:
                pass
            case Does.STOPS:
                self._stop(now, at, step)
            case Does.PAUSES:
                _rest(now, step.at_ns)
                now.held = (*now.held, step.at_ns)
            case Does.RESUMES:
                now.end, now.ended_by, now.end_ns, now.is_done = None, None, None, False
                now.since_ns = step.at_ns
            case Does.EXTENDS:
                now.extended = (*now.extended, step.at_ns)

    def _started(self, clock: Clock, at: int, step: CaseStep) -> Round:
        known = self._deadlines[clock.value]
        return Round(
            clock=clock,
            start=at,
            start_ns=step.at_ns,
            deadline_ns=known.pop(0) if known else None,
            department=self.department,
            since_ns=step.at_ns,
        )

    def _stop(self, now: Round, at: int, step: CaseStep) -> None:
        if now.end is not None:
            return  # a check that the collector answered is not answered again when the case is passed
        _rest(now, step.at_ns)
        now.end, now.ended_by, now.end_ns = at, Step(step.step), step.at_ns
        now.is_done = now.ended_by in _FINISHED_BY[now.clock]
        now.person = self._assignee or step.actor


def _rest(now: Round, at_ns: int) -> None:
    if now.since_ns is not None:
        now.running_ns += at_ns - now.since_ns
        now.since_ns = None
