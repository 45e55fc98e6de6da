"""The states of an alarm on two axes, after ISA-18.2 / IEC 62682: where its process stands, and whether it is suppressed.

An alarm is one rule of one device; its id is `device/rule`, and its suppression is written in the log of that id. Each
time that it comes true is an occurrence with an id and a log of its own, `device/rule/onset`; the process states are
written there. So what is shelved stays shelved when the condition goes and comes again, and ending a suppression shows
each occurrence as it truly is: neither axis knows of the other, but for the two rows that say so (19 and 23).

The tables are the definition: one row is (state, cause) -> state. A pair that is in none changes nothing. The numbers
are those of the product's list of thirty transitions; those that are in no table here:

    1-3     delays that run: the edge's, in event time; what this log sees of them is the raise
    16      a lower priority, and 24: missing data, move no state; the current row keeps both
    19      what the end of a suppression does to a case is decided where alarms are announced, in the cloud; that a
            return ends a one-shot shelf is written by the cloud as a step of its own, for it is another log
    25      a late sample is judged at the edge, and its steps are put in their places by their event times
    27, 28  cases
    29      the edge gives a new onset, so a new occurrence; whether the case goes on is the case's business
    30      a restart is no transition
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from telemetry.records import Cause, Origin, Transition

__all__ = [
    "ACTIVE",
    "LINK",
    "OPEN",
    "SHELF_TABLE",
    "SUPPRESSING",
    "TABLE",
    "AlarmState",
    "Shelf",
    "Standing",
    "Suppression",
    "alarm_id",
    "fold",
    "next_standing",
    "next_state",
    "place",
    "stand",
]


class AlarmState(StrEnum):
    """Where an occurrence stands."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"


class Suppression(StrEnum):
    """Why an alarm is kept from people, the strongest first. It is judged all the same."""

    OUT_OF_SERVICE = "out_of_service"
    """Somebody took it out for maintenance, until it is returned."""
    SUPPRESSED_BY_DESIGN = "suppressed_by_design"
    """The system's own logic: another alarm or a planned work explains it."""
    SHELVED = "shelved"
    """An operator does not want to see it for a while."""


class Shelf(StrEnum):
    """How an alarm is shelved (OPC UA part 9, ShelvingState)."""

    UNSHELVED = "unshelved"
    TIMED = "timed"
    ONE_SHOT = "one_shot"
    """Until it returns to normal, or its time is over."""


_S, _C, _H = AlarmState, Cause, Shelf

ACTIVE = frozenset({_S.UNACKNOWLEDGED, _S.ACKNOWLEDGED})
"""States in which the condition itself still holds."""

OPEN = frozenset(set(AlarmState) - {_S.NORMAL})
"""States that a person still sees."""

TABLE: Final[Mapping[tuple[AlarmState, Cause], AlarmState]] = {
    (_S.NORMAL, _C.RAISE): _S.UNACKNOWLEDGED,  # 3
    (_S.UNACKNOWLEDGED, _C.ACKNOWLEDGE): _S.ACKNOWLEDGED,  # 4
    (_S.UNACKNOWLEDGED, _C.RETURN): _S.RETURNED_UNACKNOWLEDGED,  # 5
    (_S.UNACKNOWLEDGED, _C.RETURN_LATCHED): _S.LATCHED_UNACKNOWLEDGED,  # 6
    (_S.UNACKNOWLEDGED, _C.CONFIG): _S.NORMAL,  # 26
    (_S.ACKNOWLEDGED, _C.RETURN): _S.NORMAL,  # 7
    (_S.ACKNOWLEDGED, _C.RETURN_LATCHED): _S.LATCHED_ACKNOWLEDGED,  # 8
    (_S.ACKNOWLEDGED, _C.PRIORITY_RAISED): _S.UNACKNOWLEDGED,  # 15
    (_S.ACKNOWLEDGED, _C.RE_ALARM): _S.UNACKNOWLEDGED,  # 17
    (_S.ACKNOWLEDGED, _C.RETURN_TO_SERVICE): _S.UNACKNOWLEDGED,  # 23
    (_S.ACKNOWLEDGED, _C.CONFIG): _S.NORMAL,  # 26
    (_S.RETURNED_UNACKNOWLEDGED, _C.ACKNOWLEDGE): _S.NORMAL,  # 9
    (_S.RETURNED_UNACKNOWLEDGED, _C.RAISE): _S.UNACKNOWLEDGED,  # 10
    (_S.RETURNED_UNACKNOWLEDGED, _C.CONFIG): _S.NORMAL,  # 26
    (_S.LATCHED_UNACKNOWLEDGED, _C.ACKNOWLEDGE): _S.LATCHED_ACKNOWLEDGED,  # 11
    (_S.LATCHED_UNACKNOWLEDGED, _C.RAISE): _S.UNACKNOWLEDGED,  # 12
    (_S.LATCHED_UNACKNOWLEDGED, _C.CONFIG): _S.NORMAL,  # 26
    (_S.LATCHED_ACKNOWLEDGED, _C.RESET): _S.NORMAL,  # 13
    (_S.LATCHED_ACKNOWLEDGED, _C.RAISE): _S.UNACKNOWLEDGED,  # 14
    (_S.LATCHED_ACKNOWLEDGED, _C.CONFIG): _S.NORMAL,  # 26
}

SHELF_TABLE: Final[Mapping[tuple[Shelf, Cause], Shelf]] = {
    (_H.UNSHELVED, _C.SHELVE): _H.TIMED,  # 18
    (_H.UNSHELVED, _C.SHELVE_ONCE): _H.ONE_SHOT,  # 18
    (_H.TIMED, _C.SHELVE_ONCE): _H.ONE_SHOT,  # 18, shelved anew
    (_H.TIMED, _C.UNSHELVE): _H.UNSHELVED,  # 19
    (_H.ONE_SHOT, _C.SHELVE): _H.TIMED,  # 18, shelved anew
    (_H.ONE_SHOT, _C.UNSHELVE): _H.UNSHELVED,  # 19
}

_SERVICE: Final[Mapping[Cause, bool]] = {_C.OUT_OF_SERVICE: True, _C.RETURN_TO_SERVICE: False}  # 22, 23

SUPPRESSING: Final = frozenset(
    {_C.SHELVE, _C.SHELVE_ONCE, _C.UNSHELVE, _C.SUPPRESS, _C.UNSUPPRESS, _C.OUT_OF_SERVICE, _C.RETURN_TO_SERVICE}
)
"""The causes of the suppression axis."""

LINK: Final = "by"
"""The entry in the evidence of SUPPRESS and UNSUPPRESS that names what suppresses: an alarm's id, a planned work's."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Both axes. `suppressed_by` are the causes that suppress by design: it ends when the last of them does (20, 21)."""

    process: AlarmState = AlarmState.NORMAL
    shelf: Shelf = Shelf.UNSHELVED
    suppressed_by: frozenset[str] = frozenset()
    out_of_service: bool = False

    @property
    def suppression(self) -> frozenset[Suppression]:
        """Why people are not told now; empty where they are."""
        holds = {
            Suppression.OUT_OF_SERVICE: self.out_of_service,
            Suppression.SUPPRESSED_BY_DESIGN: bool(self.suppressed_by),
            Suppression.SHELVED: self.shelf is not Shelf.UNSHELVED,
        }
        return frozenset(why for why, true in holds.items() if true)

    @property
    def shown(self) -> Suppression | AlarmState:
        """The one word for both axes: out of service before suppressed by design before shelved before the process state."""
        return next((why for why in Suppression if why in self.suppression), self.process)


def alarm_id(device: str, rule: str) -> str:
    """The id under which the suppression of a device's rule is written; an occurrence's id begins with it."""
    return f"{device}/{rule}"


def next_state(state: AlarmState, cause: Cause) -> AlarmState:
    """Where `cause` leads from `state`; `state` itself where the table has no such row."""
    return TABLE.get((state, cause), state)


def next_standing(standing: Standing, cause: Cause, link: str = "") -> Standing:
    """Where `cause` leads on both axes; `link` is the entry `LINK` of the step's evidence, for the causes that have one."""
    by = standing.suppressed_by
    if cause is Cause.SUPPRESS:
        by |= {link}
    elif cause is Cause.UNSUPPRESS:
        by -= {link}
    return Standing(
        process=next_state(standing.process, cause),
        shelf=SHELF_TABLE.get((standing.shelf, cause), standing.shelf),
        suppressed_by=by,
        out_of_service=_SERVICE.get(cause, standing.out_of_service),
    )


def place(step: Transition) -> tuple[int, Origin, int]:
    """Where a step stands in its log: sort by this, whatever the order in which steps arrived."""
    return step.event_time_ns, step.origin, step.n


def stand(transitions: Iterable[Transition]) -> Standing:
    """What the steps of one log amount to on both axes, in whatever order they arrived and however often each."""
    standing = Standing()
    unique = {(step.alarm, step.origin, step.n): step for step in transitions}
    for step in sorted(unique.values(), key=place):
        standing = next_standing(standing, step.cause, str(step.evidence.get(LINK, "")))
    return standing


def fold(transitions: Iterable[Transition]) -> AlarmState:
    """The process state that the steps of one occurrence amount to, in whatever order they arrived."""
    return stand(transitions).process
