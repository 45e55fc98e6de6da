"""One step of a case: a pure function over the table."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from cloud.workflow.case import Appeal, Asked, Case, Deed, Policy, Refused
from cloud.workflow.guards import GUARDS, REASONS
from cloud.workflow.states import ASSIGNED, ROLE_WORDS, STATE_WORDS, STEP_WORDS, Clock, Role, State, Step
from cloud.workflow.table import OPENING, TABLE
from cloud.workflow.terms import GUARD_WORDS, NEED_WORDS, Does, Need, Row
from device_profiles.quantities import Text
from telemetry.reason import Reason

__all__ = ["report", "step", "steps_from"]

_STANDARD_POLICY: Final = Policy()


def report(deed: Deed, policy: Policy = _STANDARD_POLICY) -> Case | Refused:
    """A new case, reported. `deed.step` is REPORT."""
    if deed.step is not OPENING.step:
        return _refused(Reason.CONFLICT, deed.step, Text("案件尚未上报", "there is no case yet, it begins with a report"))
    return _take(OPENING, Case(state=OPENING.after), deed, policy)


def step(case: Case, deed: Deed, policy: Policy = _STANDARD_POLICY) -> Case | Refused:
    """The case as it is after the deed, or why it is not done. Clocks, messages and the history are the caller's:
    what they need stands in the row of `TABLE`."""
    row = TABLE.get((case.state, deed.step))
    if row is None:
        now = STATE_WORDS[case.state]
        return _refused(Reason.CONFLICT, deed.step, Text(f"案件状态为“{now.zh}”", f"not from here, the case is {now.en}"))
    return _take(row, case, deed, policy)


def steps_from(state: State) -> Mapping[Step, Row]:
    """What can be done in a state, by whom and with what: the buttons of a page."""
    return {step: row for (before, step), row in TABLE.items() if before is state}


def _take(row: Row, case: Case, deed: Deed, policy: Policy) -> Case | Refused:
    return _refusal(row, case, deed, policy) or _moved(row, case, deed)


def _refusal(row: Row, case: Case, deed: Deed, policy: Policy) -> Refused | None:
    if deed.role not in row.roles:
        may = _listed(ROLE_WORDS[role] for role in Role if role in row.roles)
        own = ROLE_WORDS[deed.role]
        return _refused(Reason.NOT_ALLOWED, row.step, Text(f"{own.zh}无权，限{may.zh}", f"not by {own.en}, only by {may.en}"))
    lacking = _listed(NEED_WORDS[need] for need in row.needs if not _carries(deed, need))
    if lacking.en:
        return _refused(Reason.MISSING, row.step, Text(f"缺少{lacking.zh}", f"lacks {lacking.en}"))
    for guard in row.guards:
        if not GUARDS[guard](case, deed, policy):
            rule = GUARD_WORDS[guard]
            said = Text(f"条件不满足：{rule.zh}", f"only where this holds: {rule.en}")
            return _refused(REASONS.get(guard, Reason.CONFLICT), row.step, said)
    return None


def _refused(reason: Reason, what: Step, why: Text) -> Refused:
    words = STEP_WORDS[what]
    return Refused(reason, f"{words.en}: {why.en}", f"{words.zh}：{why.zh}")


def _listed(words: Iterable[Text]) -> Text:
    texts = list(words)
    return Text("、".join(text.zh for text in texts), ", ".join(text.en for text in texts))


def _carries(deed: Deed, need: Need) -> bool:
    match need:
        case Need.NOTE | Need.REASON | Need.STANDARD | Need.DEPARTMENT | Need.ASSIGNEE:
            return bool(str(getattr(deed, need)).strip())
        case Need.PHOTO:
            return bool(deed.photos)
        case Need.POSITION:
            return deed.position is not None
        case Need.UNTIL:
            return deed.until_ns is not None


def _moved(row: Row, case: Case, deed: Deed) -> Case:
    change = _CHANGES.get(row.step)
    moved = replace(case if change is None else change(case, deed), state=row.after)
    moved = _turned(row, moved)
    if row.after not in ASSIGNED:
        moved = replace(moved, assignee="")
    if row.after is not State.CHECKING:
        moved = replace(moved, checked=False)
    if Clock.HANDLE not in moved.running:
        moved = replace(moved, asked=Asked.NOTHING, asked_by="")
    return moved


def _turned(row: Row, case: Case) -> Case:
    running, paused = set(case.running), set(case.paused)
    for turn in row.turns:
        if turn.does is not Does.EXTENDS:
            running.discard(turn.clock)
            paused.discard(turn.clock)
        if turn.does in {Does.STARTS, Does.RESUMES}:
            running.add(turn.clock)
        if turn.does is Does.PAUSES:
            paused.add(turn.clock)
    return replace(case, running=frozenset(running), paused=frozenset(paused))


def _ask(what: Asked) -> Callable[[Case, Deed], Case]:
    return lambda case, deed: replace(case, asked=what, asked_by=deed.actor)


def _reopen(case: Case, _deed: Deed) -> Case:
    return replace(case, reopened=case.reopened + 1, reworks=case.reworks + 1, closed_ns=None, closing_standard="")


def _close(case: Case, deed: Deed) -> Case:
    return replace(case, closing_standard=deed.standard, closed_ns=deed.at_ns)


def _rework(case: Case, _deed: Deed) -> Case:
    return replace(case, reworks=case.reworks + 1)


_NOTHING_ASKED: Final = {"asked": Asked.NOTHING, "asked_by": ""}

# What a step changes beside state, clocks and the end of a task; a step that is not here changes nothing more.
_CHANGES: Final[Mapping[Step, Callable[[Case, Deed], Case]]] = {
    Step.VERIFY: lambda case, deed: replace(case, assignee=deed.assignee),
    Step.FOUND: lambda case, _: replace(case, found=True),
    Step.NOT_FOUND: lambda case, _: replace(case, found=False),
    Step.FILE: lambda case, deed: replace(case, filing_standard=deed.standard, returned=False),
    Step.DISPATCH: lambda case, deed: replace(case, department=deed.department, returned=False),
    Step.ASSIGN: lambda case, deed: replace(case, assignee=deed.assignee, returned=False),
    Step.RETURN: lambda case, _: replace(case, returned=True),
    # What an appeal exempted was an earlier handling: a reopened case that is overdue again counts.
    Step.CONFIRM: lambda case, deed: replace(case, overdue=case.overdue or deed.overdue, exempt=case.exempt and not deed.overdue),
    Step.REWORK: _rework,
    Step.CHECK: lambda case, deed: replace(case, assignee=deed.assignee),
    Step.CHECKED: lambda case, _: replace(case, checked=True),
    Step.PASS: _close,
    Step.OVERRIDE: _close,
    Step.FAIL: _rework,
    Step.REOPEN: _reopen,
    Step.ASK_EXTENSION: _ask(Asked.EXTENSION),
    Step.GRANT_EXTENSION: lambda case, _: replace(case, extensions=case.extensions + 1, **_NOTHING_ASKED),
    Step.ASK_HOLD: _ask(Asked.HOLD),
    Step.GRANT_HOLD: lambda case, deed: replace(case, holds=case.holds + 1, hold_until_ns=deed.until_ns),
    Step.REFUSE: lambda case, _: replace(case, **_NOTHING_ASKED),
    Step.HOLD_OVER: lambda case, _: replace(case, hold_until_ns=None),
    Step.END_HOLD: lambda case, _: replace(case, hold_until_ns=None),
    Step.SUPERVISE: lambda case, _: replace(case, supervisions=case.supervisions + 1),
    Step.APPEAL: lambda case, deed: replace(case, appeal=Appeal.NEW, appeal_by=deed.actor),
    Step.AGREE_APPEAL: lambda case, deed: replace(case, appeal=Appeal.AGREED, first_reviewer=deed.actor),
    Step.GRANT_APPEAL: lambda case, _: replace(case, appeal=Appeal.GRANTED, exempt=True),
    Step.REFUSE_APPEAL: lambda case, _: replace(case, appeal=Appeal.REFUSED),
}
