"""The slow way to count: every indicator asks every case for itself, by the words of its own definition.

It shares nothing with the product but the rows: which steps start, stop and end a clock is written down here once more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cloud.indicators.history import CaseStep, History

DAY = 86_400_000_000_000

STARTS = {
    "accept": {("-", "report"), ("filed", "return")},
    "verify": {("reported", "verify")},
    "dispatch": {("reported", "file"), ("dispatched", "return")},
    "handle": {("filed", "dispatch"), ("closed", "reopen")},
    "check": {("feedback", "check")},
}
GOES_ON = {
    "accept": {("verifying", "found"), ("verifying", "not_found"), ("verifying", "recall")},
    "verify": set(),
    "dispatch": set(),
    "handle": {("feedback", "rework"), ("checking", "fail"), ("hold", "hold_over"), ("hold", "end_hold")},
    "check": set(),
}
STOPS = {
    "accept": {("reported", "verify"), ("reported", "void"), ("reported", "file")},
    "verify": {("verifying", "found"), ("verifying", "not_found"), ("verifying", "recall")},
    "dispatch": {("filed", "dispatch"), ("filed", "return")},
    "handle": {("dispatched", "return"), ("department_review", "confirm")},
    "check": {("checking", step) for step in ("checked", "recall", "fail", "pass", "override")},
}
RESTS = {("dispatched", "grant_hold"), ("handling", "grant_hold")}
WELL = {
    "accept": {"file", "void"},
    "verify": {"found", "not_found"},
    "dispatch": {"dispatch"},
    "handle": {"confirm"},
    "check": {"checked", "pass", "fail", "override"},
}


@dataclass
class Task:
    """One row of a clock, with what the steps up to the end of the report say of it."""

    case: History
    clock: str
    deadline: int | None
    first: int
    department: str
    person: str = ""
    last: int | None = None
    ran: list[tuple[int, int]] = field(default_factory=list)
    on: int | None = None

    def stopped_by(self) -> CaseStep | None:
        return None if self.last is None else self.case.steps[self.last]

    def done(self) -> CaseStep | None:
        by = self.stopped_by()
        return by if by is not None and by.step in WELL[self.clock] else None

    def on_time(self) -> bool:
        by = self.done()
        return by is not None and self.deadline is not None and by.at_ns <= self.deadline

    def late(self) -> bool:
        return self.done() is not None and not self.on_time()


def pair(step: CaseStep) -> tuple[str, str]:
    return ("-" if step.step == "report" else step.from_state, step.step)


@dataclass
class Oracle:
    """Every number of a period, for the department and person asked, or for all."""

    cases: Sequence[History]
    begin: int
    until: int
    made: int
    department: str | None = None
    person: str | None = None

    def __post_init__(self) -> None:
        self.end = max(self.begin, min(self.until, self.made))

    def seen(self, case: History) -> list[CaseStep]:
        return [step for step in case.steps if step.at_ns < self.end]

    def within(self, at: int | None) -> bool:
        return at is not None and self.begin <= at < self.end

    # Who

    def department_at(self, case: History, at: int) -> str:
        sent = [step.department for step in case.steps[: at + 1] if step.step == "dispatch" and step.department]
        return sent[-1] if sent else case.department

    def assignee_before(self, case: History, at: int) -> str:
        who = ""
        for step in case.steps[:at]:
            if step.step in {"verify", "assign", "check"}:
                who = step.assignee
            elif step.to_state not in {"verifying", "handling", "department_review", "checking"}:
                who = ""
        return who

    def mine(self, department: str, person: str) -> bool:
        return self.department in {None, department} and self.person in {None, person}

    # Tasks

    def tasks(self, clock: str) -> list[Task]:
        return [task for case in self.cases for task in self.tasks_of(case, clock) if self.mine(task.department, task.person)]

    def tasks_of(self, case: History, clock: str) -> list[Task]:
        deadlines = [row.deadline_ns for row in case.clocks if row.clock == clock]
        seen, found = self.seen(case), []
        for at, step in enumerate(seen):
            if pair(step) in STARTS[clock]:
                found.append(Task(case, clock, deadlines[len(found)], at, self.department_at(case, at), on=step.at_ns))
                continue
            task = found[-1] if found else None
            if task is None:
                continue
            if pair(step) in STOPS[clock] and task.last is None:
                task.last = at
                task.person = self.assignee_before(case, at) or step.actor
                task.ran.append((task.on or 0, step.at_ns))
            elif clock == "handle" and pair(step) in RESTS:
                task.ran.append((task.on or 0, step.at_ns))
            elif pair(step) in GOES_ON[clock]:
                task.last, task.on = None, step.at_ns
        for task in found:
            if task.last is None:
                task.person = self.assignee_before(case, len(seen))
        return found

    def owed(self, clock: str) -> list[Task]:
        """Those whose deadline falls in the period, unless they were taken away before."""

        def taken_away(task: Task) -> bool:
            by = task.stopped_by()
            return by is not None and task.done() is None and task.deadline is not None and by.at_ns <= task.deadline

        return [task for task in self.tasks(clock) if self.within(task.deadline) and not taken_away(task)]

    def exempt(self, task: Task) -> bool:
        return task.late() and any(step.step == "grant_appeal" for step in task.case.steps[task.first :])

    def owed_handlings(self) -> list[Task]:
        return [task for task in self.owed("handle") if not self.exempt(task)]

    def came_back(self, task: Task, again: str, to: str) -> bool:
        later = self.seen(task.case)[(task.last or 0) + 1 :]
        until = next((at for at, step in enumerate(later) if step.step == again), len(later))
        return any(step.step == "return" and step.to_state == to for step in later[:until])

    def was_closed(self, task: Task) -> bool:
        later = self.seen(task.case)[task.first + 1 :]
        until = next((at for at, step in enumerate(later) if step.step in {"dispatch", "reopen"}), len(later))
        return any(step.to_state == "closed" for step in later[:until])

    # Cases and steps

    def reported(self) -> list[History]:
        inside = [case for case in self.cases if self.within(case.opened_ns)]
        return [case for case in inside if self.mine(case.department, case.steps[0].actor)]

    def state(self, case: History) -> str:
        return self.seen(case)[-1].to_state

    def hot(self, cases: Iterable[History]) -> int:
        cells = Counter((int(case.longitude * 1000), int((case.latitude or 0) * 1000)) for case in cases if case.longitude)
        return sum(count for count in cells.values() if count >= 3)

    def steps(self, wanted: Callable[[CaseStep], bool]) -> int:
        return sum(
            wanted(step) and self.within(step.at_ns) and self.mine(self.department_at(case, at), step.actor)
            for case in self.cases
            for at, step in enumerate(self.seen(case))
        )

    def in_hand(self) -> list[Task]:
        def ended_before(task: Task) -> bool:
            by = task.stopped_by()
            return by is not None and by.at_ns < self.begin

        return [task for task in self.tasks("handle") if not ended_before(task)]

    def had(self, task: Task, word: str) -> bool:
        """Whether the step was done to this handling within the period."""
        later = self.seen(task.case)[task.first + 1 :]
        until = next((at for at, step in enumerate(later) if pair(step) in STARTS["handle"]), len(later))
        return any(step.step == word and self.within(step.at_ns) for step in later[:until])

    # The indicators

    def ratio(self, owed: Iterable[Task], well: Callable[[Task], bool]) -> tuple[int, int]:
        held = list(owed)
        return sum(map(well, held)), len(held)

    def share(self, cases: Iterable[History], which: Callable[[History], bool]) -> tuple[int, int]:
        held = list(cases)
        return sum(map(which, held)), len(held)

    def mean(self, clock: str) -> tuple[int, int]:
        done = [task for task in self.tasks(clock) if (by := task.done()) is not None and self.within(by.at_ns)]
        return sum(until - start for task in done for start, until in task.ran), len(done)

    def numbers(self) -> dict[str, tuple[int, int | None]]:
        """Numerator and denominator of each indicator by its code."""
        accepts = self.owed("accept")
        decided = [task for task in accepts if task.done()]
        fileable = [task for task in accepts if (by := task.done()) is None or by.step != "void"]
        filed = [task for task in fileable if task.done()]
        checks, sends, works = self.owed("check"), self.owed("dispatch"), self.owed_handlings()
        cases, in_hand = self.reported(), self.in_hand()
        overdue = [task for task in self.owed("handle") if not task.on_time()]
        sent_back = {("feedback", "rework"), ("checking", "fail"), ("closed", "reopen")}
        reworked = self.steps(lambda step: pair(step) in sent_back)
        passed = self.steps(lambda step: step.step in {"pass", "override"})
        joined = self.steps(lambda step: step.step == "join")
        granted = self.steps(lambda step: step.step == "grant_appeal")
        placed = [case for case in cases if case.longitude is not None]

        def closing(says: str) -> tuple[int, int]:
            return self.steps(lambda step: step.step in {"pass", "override"} and step.device_says == says), passed

        return {
            "valid_report_rate": self.share(
                cases, lambda case: any(s.step == "file" for s in self.seen(case)) and self.state(case) != "void"
            ),
            "filing_rate": (len(filed), len(fileable)),
            "on_time_filing_rate": self.ratio(filed, Task.on_time),
            "right_filing_rate": self.ratio(filed, lambda task: not self.came_back(task, "file", "reported")),
            "on_time_accepting_rate": self.ratio(decided, Task.on_time),
            "right_accepting_rate": self.ratio(decided, lambda task: not self.came_back(task, "file", "reported")),
            "on_time_verifying_rate": self.ratio(self.owed("verify"), Task.on_time),
            "dispatching_rate": self.ratio(sends, lambda task: task.done() is not None),
            "on_time_dispatching_rate": self.ratio(sends, Task.on_time),
            "right_dispatching_rate": self.ratio(
                sends, lambda task: task.done() is not None and not self.came_back(task, "dispatch", "filed")
            ),
            "handling_rate": self.ratio(works, lambda task: task.done() is not None),
            "on_time_handling_rate": self.ratio(works, Task.on_time),
            "late_handling_rate": self.ratio(works, Task.late),
            "checking_rate": self.ratio(checks, lambda task: task.done() is not None),
            "on_time_checking_rate": self.ratio(checks, Task.on_time),
            "closing_rate": self.ratio(works, self.was_closed),
            "on_time_closing_rate": self.ratio(works, lambda task: self.was_closed(task) and task.on_time()),
            "late_closing_rate": self.ratio(works, lambda task: self.was_closed(task) and task.late()),
            "unclosed_rate": self.share(cases, lambda case: self.state(case) not in {"closed", "void"}),
            "rework_rate": (reworked, reworked + passed),
            "return_rate": self.ratio(in_hand, lambda task: (by := task.stopped_by()) is not None and by.step == "return"),
            "extension_rate": self.ratio(in_hand, lambda task: self.had(task, "grant_extension")),
            "hold_rate": self.ratio(in_hand, lambda task: self.had(task, "grant_hold")),
            "overdue_number": (len(overdue), None),
            "exempt_number": (sum(map(self.exempt, overdue)), None),
            "appeal_granting_rate": (granted, granted + self.steps(lambda step: step.step == "refuse_appeal")),
            "mean_accepting_time": self.mean("accept"),
            "mean_handling_time": self.mean("handle"),
            "device_report_rate": self.share(cases, lambda case: case.source == "alarm"),
            "staff_report_rate": self.share(cases, lambda case: case.source == "person"),
            "citizen_report_rate": self.share(cases, lambda case: case.source == "citizen"),
            "joined_report_rate": (joined, joined + len(cases)),
            "repeat_case_rate": self.share(
                [case for case in cases if case.device],
                lambda case: case.before_ns is not None and case.opened_ns - case.before_ns <= 30 * DAY,
            ),
            "hot_spot_rate": (self.hot(placed), len(placed)),
            "device_closing_rate": closing("clear"),
            "against_device_rate": closing("fault"),
            "satisfaction_rate": (0, 0),
        }
