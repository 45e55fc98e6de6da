"""How a city runs its cases, where the workflow's table leaves it open."""

from enum import StrEnum
from typing import Final

import msgspec

from cloud.dispatch.escalation import What
from cloud.workflow.case import Policy

__all__ = ["SILENT", "SPENT", "Auto", "CasePolicy", "Due"]


class Auto(StrEnum):
    """How far the system takes a case that an alarm opens, before a person has to."""

    REPORT = "report"
    """It lies before an operator (上报待受理)."""
    FILE = "file"
    """Filed by its matter's condition: the device's word is enough (立案)."""
    DISPATCH = "dispatch"
    """And sent to its department (派遣)."""
    ASSIGN = "assign"
    """And given to who is on duty there, where somebody is (指派)."""

    @property
    def reach(self) -> int:
        """How many steps this is after the report."""
        return list(Auto).index(self)


class Due(StrEnum):
    """What falls due; the word of `deadlines.what` and of its message."""

    REMIND = "reminder"
    """A part of the limit has run: whoever has the task hears of it."""
    PASS_ON = "passed_on"  # noqa: S105 - a word, not a secret
    """The same, and the task goes to the next person on duty."""
    ESCALATE = "escalated"
    """The same, and the supervisor hears of it."""
    OVERDUE = "overdue"
    """The limit is over."""
    UNREAD = "unread"
    """Nobody has taken the task: its assignee hears again."""
    UNTAKEN = "untaken"
    """Nobody has taken the task: it goes to the next person on duty."""
    UNHEARD = "unheard"
    """Nobody has taken the task: the supervisor hears of it."""
    HOLD_OVER = "hold_over"
    """The date of a hold has come."""


SPENT: Final = {What.REMIND: Due.REMIND, What.NEXT_PERSON: Due.PASS_ON, What.SUPERVISOR: Due.ESCALATE}
"""What a step of an escalation plan is at a fraction of the limit."""
SILENT: Final = {What.REMIND: Due.UNREAD, What.NEXT_PERSON: Due.UNTAKEN, What.SUPERVISOR: Due.UNHEARD}
"""And after a time in which nobody took the task."""


class CasePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set for cases.

    `join_within_m` and `join_within_s`: a report joins the nearest open case of its matter within both. `reopen_within_s`: an
    alarm that comes back so soon after its case was closed reopens it as rework. With `close_by_device` a case whose work is
    confirmed closes by itself when its device's word is enough and it says that the fault is gone.
    """

    auto: Auto = Auto.ASSIGN
    workflow: Policy = Policy()
    join_within_m: float = 30.0
    join_within_s: float = 7 * 86400.0
    reopen_within_s: float = 86400.0
    close_by_device: bool = True
