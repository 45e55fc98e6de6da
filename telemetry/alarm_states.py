"""The states of one alarm occurrence on the process axis, after ISA-18.2 / IEC 62682.

The table is the definition: one row is (state, cause) -> state. A pair that is not in it changes nothing.
"""

from collections.abc import Iterable
from enum import StrEnum

from telemetry.records import Cause, Transition

__all__ = ["ACTIVE", "OPEN", "TABLE", "AlarmState", "fold", "next_state"]


class AlarmState(StrEnum):
    """Where an occurrence stands."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"


_S, _C = AlarmState, Cause

ACTIVE = frozenset({_S.UNACKNOWLEDGED, _S.ACKNOWLEDGED})
"""States in which the condition itself still holds."""

OPEN = frozenset(set(AlarmState) - {_S.NORMAL})
"""States that a person still sees."""

TABLE: dict[tuple[AlarmState, Cause], AlarmState] = {
    (_S.NORMAL, _C.RAISE): _S.UNACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _C.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _C.RETURN): _S.RETURNED_UNACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _C.RETURN_LATCHED): _S.LATCHED_UNACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _C.CONFIG): _S.NORMAL,
    (_S.ACKNOWLEDGED, _C.RETURN): _S.NORMAL,
    (_S.ACKNOWLEDGED, _C.RETURN_LATCHED): _S.LATCHED_ACKNOWLEDGED,
    (_S.ACKNOWLEDGED, _C.PRIORITY_RAISED): _S.UNACKNOWLEDGED,
    (_S.ACKNOWLEDGED, _C.RE_ALARM): _S.UNACKNOWLEDGED,
    (_S.ACKNOWLEDGED, _C.CONFIG): _S.NORMAL,
    (_S.RETURNED_UNACKNOWLEDGED, _C.ACKNOWLEDGE): _S.NORMAL,
    (_S.RETURNED_UNACKNOWLEDGED, _C.RAISE): _S.UNACKNOWLEDGED,
    (_S.RETURNED_UNACKNOWLEDGED, _C.CONFIG): _S.NORMAL,
    (_S.LATCHED_UNACKNOWLEDGED, _C.ACKNOWLEDGE): _S.LATCHED_ACKNOWLEDGED,
    (_S.LATCHED_UNACKNOWLEDGED, _C.RAISE): _S.UNACKNOWLEDGED,
    (_S.LATCHED_UNACKNOWLEDGED, _C.CONFIG): _S.NORMAL,
    (_S.LATCHED_ACKNOWLEDGED, _C.RESET): _S.NORMAL,
    (_S.LATCHED_ACKNOWLEDGED, _C.RAISE): _S.UNACKNOWLEDGED,
    (_S.LATCHED_ACKNOWLEDGED, _C.CONFIG): _S.NORMAL,
}


def next_state(state: AlarmState, cause: Cause) -> AlarmState:
    """Where `cause` leads from `state`; `state` itself where the table has no such row."""
    return TABLE.get((state, cause), state)


def fold(transitions: Iterable[Transition]) -> AlarmState:
    """The state that a set of transitions of one occurrence amounts to, in whatever order they arrived."""
    state = AlarmState.NORMAL
    for step in sorted(transitions, key=lambda t: (t.event_time_ns, t.origin, t.n)):
        state = next_state(state, step.cause)
    return state
