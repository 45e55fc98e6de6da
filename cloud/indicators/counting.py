"""What one case counts for: a pure function from its history to amounts, each with who is charged."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from cloud.indicators.history import History
from cloud.indicators.period import Span
from cloud.indicators.rounds import Round, Taken, Walk, walk
from cloud.indicators.sentences import REPEAT_DAYS
from cloud.indicators.words import Count
from cloud.workflow.case import DeviceSays
from cloud.workflow.states import Clock, State, Step
from telemetry.clock import SECOND_NS

__all__ = ["Amount", "counted"]

_REPEAT_NS: Final = REPEAT_DAYS * 86_400 * SECOND_NS
_SOURCES: Final[Mapping[str, Count]] = {"alarm": Count.BY_DEVICE, "citizen": Count.BY_CITIZEN, "person": Count.BY_PEOPLE}

_SENT_BACK: Final = frozenset({(State.FEEDBACK, Step.REWORK), (State.CHECKING, Step.FAIL), (State.CLOSED, Step.REOPEN)})
_CLOSING: Final = frozenset({Step.PASS, Step.OVERRIDE})


class Amount(msgspec.Struct, frozen=True):
    """So much of a count, and who answers for it: "" where a department is not known, or nobody is named."""

    count: Count
    department: str
    person: str = ""
    amount: int = 1


def counted(history: History, span: Span) -> Iterator[Amount]:
    """Everything that the case adds to the numbers of the period."""
    past = walk(history, span.until_ns)
    yield from _reported(history, past, span)
    for each in past.rounds:
        yield from _RULES[each.clock](each, past, history, span)
    for taken in past.taken:
        if taken.step.at_ns >= span.from_ns:
            yield from (Amount(count, taken.department, taken.step.actor) for count in _events(taken))


def _reported(history: History, past: Walk, span: Span) -> Iterator[Amount]:
    """A case that was reported in the period."""
    if not span.holds(history.opened_ns):
        return
    steps = {taken.row.step for taken in past.taken}
    near = history.before_ns is not None and history.opened_ns - history.before_ns <= _REPEAT_NS
    holds = {
        Count.REPORTED: True,
        Count.ALL_REPORTS: True,
        Count.VALID: Step.FILE in steps and past.state != State.VOID,
        Count.UNCLOSED: past.state not in {State.VOID, State.CLOSED},
        Count.AT_DEVICE: history.device is not None,
        Count.REPEATED: history.device is not None and near,
        Count.PLACED: history.longitude is not None and history.latitude is not None,
        **{count: history.source == source for source, count in _SOURCES.items()},
    }
    reporter = history.steps[0].actor if history.steps else ""
    yield from _all(holds, history.department, reporter)


def _accepting(each: Round, past: Walk, _history: History, span: Span) -> Iterator[Amount]:
    if each.is_done and span.holds(each.end_ns):
        yield from _time(each, Count.ACCEPT_ENDED, Count.ACCEPT_NS)
    if not _is_due(each, span):
        return
    void = each.ended_by is Step.VOID
    right = each.is_done and not _came_back(past, each, Step.FILE, State.REPORTED)
    holds = {
        Count.SHOULD_FILE: not void,
        Count.FILED: each.is_done and not void,
        Count.FILED_ON_TIME: each.is_on_time and not void,
        Count.FILED_RIGHT: right and not void,
        Count.ACCEPTED: each.is_done,
        Count.ACCEPTED_ON_TIME: each.is_on_time,
        Count.ACCEPTED_RIGHT: right,
    }
    yield from _all(holds, each.department, each.person)


def _verifying(each: Round, _past: Walk, _history: History, span: Span) -> Iterator[Amount]:
    if _is_due(each, span):
        yield from _all({Count.SHOULD_VERIFY: True, Count.VERIFIED_ON_TIME: each.is_on_time}, each.department, each.person)


def _dispatching(each: Round, past: Walk, _history: History, span: Span) -> Iterator[Amount]:
    if not _is_due(each, span):
        return
    holds = {
        Count.SHOULD_DISPATCH: True,
        Count.DISPATCHED: each.is_done,
        Count.DISPATCHED_ON_TIME: each.is_on_time,
        Count.DISPATCHED_RIGHT: each.is_done and not _came_back(past, each, Step.DISPATCH, State.FILED),
    }
    yield from _all(holds, each.department, each.person)


def _handling(each: Round, past: Walk, history: History, span: Span) -> Iterator[Amount]:
    if each.is_done and span.holds(each.end_ns):
        yield from _time(each, Count.HANDLE_ENDED, Count.HANDLE_NS)
    if each.end_ns is None or each.end_ns >= span.from_ns:
        in_hand = {
            Count.IN_HAND: True,
            Count.RETURNED: each.ended_by is Step.RETURN,
            Count.EXTENDED: any(map(span.holds, each.extended)),
            Count.HELD: any(map(span.holds, each.held)),
        }
        yield from _all(in_hand, each.department, each.person)
    if not _is_due(each, span):
        return
    exempt = each.is_late and _is_exempt(each, history)
    closed = not exempt and _is_closed(each, past)
    holds = {
        Count.OVERDUE: not each.is_on_time,
        Count.EXEMPT: exempt,
        Count.SHOULD_HANDLE: not exempt,
        Count.HANDLED: each.is_done and not exempt,
        Count.HANDLED_ON_TIME: each.is_on_time,
        Count.HANDLED_LATE: each.is_late and not exempt,
        Count.SHOULD_CLOSE: not exempt,
        Count.CLOSED: closed,
        Count.CLOSED_ON_TIME: closed and each.is_on_time,
        Count.CLOSED_LATE: closed and each.is_late,
    }
    yield from _all(holds, each.department, each.person)


def _checking(each: Round, _past: Walk, _history: History, span: Span) -> Iterator[Amount]:
    if _is_due(each, span):
        holds = {Count.SHOULD_CHECK: True, Count.CHECKED: each.is_done, Count.CHECKED_ON_TIME: each.is_on_time}
        yield from _all(holds, each.department, each.person)


_RULES: Final[Mapping[Clock, Callable[[Round, Walk, History, Span], Iterator[Amount]]]] = {
    Clock.ACCEPT: _accepting,
    Clock.VERIFY: _verifying,
    Clock.DISPATCH: _dispatching,
    Clock.HANDLE: _handling,
    Clock.CHECK: _checking,
}


def _events(taken: Taken) -> Iterator[Count]:
    """What a step counts for by itself, whenever its case was reported."""
    before, step, says = taken.row.before, taken.row.step, taken.step.device_says
    if step in _CLOSING:
        yield Count.JUDGED
    if (before, step) in _SENT_BACK:
        yield from (Count.JUDGED, Count.REWORKED)
    match step:
        case Step.JOIN:
            yield from (Count.ALL_REPORTS, Count.JOINED)
        case Step.GRANT_APPEAL:
            yield from (Count.APPEALS_DECIDED, Count.APPEALS_GRANTED)
        case Step.REFUSE_APPEAL:
            yield Count.APPEALS_DECIDED
        case Step.PASS | Step.OVERRIDE:
            yield Count.CLOSURES
            if says == DeviceSays.CLEAR:
                yield Count.CLOSED_BY_DEVICE
            if says == DeviceSays.FAULT:
                yield Count.CLOSED_AGAINST_DEVICE
        case _:
            pass


def _all(holds: Mapping[Count, bool], department: str, person: str) -> Iterator[Amount]:
    return (Amount(count, department, person) for count, true in holds.items() if true)


def _time(each: Round, ended: Count, time: Count) -> Iterator[Amount]:
    yield Amount(ended, each.department, each.person)
    yield Amount(time, each.department, each.person, each.running_ns)


def _is_due(each: Round, span: Span) -> bool:
    """Whether its deadline falls in the period, and the task was not taken away before."""
    return not each.is_cut_short and span.holds(each.deadline_ns)


def _came_back(past: Walk, each: Round, again: Step, to: State) -> bool:
    """Whether the case was returned to the state `to` after the round ended, before its step was done `again`."""
    for taken in past.taken:
        if each.end is not None and taken.at > each.end:
            if taken.row.step is again:
                return False
            if taken.row.step is Step.RETURN and taken.row.after is to:
                return True
    return False


def _is_closed(each: Round, past: Walk) -> bool:
    """Whether the case was closed after this round began and before it was opened again."""
    for taken in past.taken:
        if taken.at > each.start:
            if taken.row.after is State.CLOSED:
                return True
            if taken.row.step is Step.DISPATCH:
                return False
    return False


def _is_exempt(each: Round, history: History) -> bool:
    """Whether an appeal after this round was granted, whenever: it may well be decided after the period."""
    return any(step.step == Step.GRANT_APPEAL for step in history.steps[each.start :])
