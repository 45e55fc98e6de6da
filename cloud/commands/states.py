"""The life of an order as a table: one row is (state, event) -> state. A pair that is not here is refused.

A gateway says nothing of having received an order; it says how it ended. So `acked` is the broker's word, and what is past its
time without an end is `unknown`: it may have been carried out. A late word still tells.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = ["FINAL", "OPEN", "TABLE", "CommandEvent", "CommandState"]


class CommandState(StrEnum):
    """Where an order is."""

    AWAITING_APPROVAL = "awaiting_approval"
    """It is dangerous, and one person has asked for it."""
    QUEUED = "queued"
    """It waits for its gateway."""
    SENT = "sent"
    """It is on its way to the broker, or was when this process died."""
    ACKED = "acked"
    """The broker has it."""
    DONE = "done"
    REFUSED = "refused"
    """The gateway or the device did not even try."""
    FAILED = "failed"
    EXPIRED = "expired"
    """It was not carried out in time, and will not be."""
    UNKNOWN = "unknown"
    """Nobody can tell whether it was carried out."""


class CommandEvent(StrEnum):
    """What happens to an order."""

    APPROVE = "approve"
    SEND = "send"
    TAKEN = "taken"
    EXPIRE = "expire"
    GIVE_UP = "give_up"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    TOO_LATE = "too_late"
    UNKNOWN = "unknown"


_TEXT: Final = """
state             | event    | then
awaiting_approval | approve  | queued
awaiting_approval | expire   | expired
queued            | send     | sent
queued            | expire   | expired
sent              | send     | sent
sent              | taken    | acked
sent              | give_up  | unknown
sent              | done     | done
sent              | refused  | refused
sent              | failed   | failed
sent              | too_late | expired
sent              | unknown  | unknown
acked             | send     | acked
acked             | give_up  | unknown
acked             | done     | done
acked             | refused  | refused
acked             | failed   | failed
acked             | too_late | expired
acked             | unknown  | unknown
unknown           | done     | done
unknown           | failed   | failed
"""


def _read(text: str) -> dict[tuple[CommandState, CommandEvent], CommandState]:
    rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()[1:]]
    return {(CommandState(state), CommandEvent(event)): CommandState(then) for state, event, then in rows}


TABLE: Final[Mapping[tuple[CommandState, CommandEvent], CommandState]] = _read(_TEXT)
OPEN: Final = frozenset({CommandState.AWAITING_APPROVAL, CommandState.QUEUED, CommandState.SENT, CommandState.ACKED})
"""Something is still to happen."""
FINAL: Final = frozenset(CommandState) - OPEN
