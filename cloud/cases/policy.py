"""How a city runs its cases, where the workflow's table leaves it open."""

from enum import StrEnum
from typing import Final

import msgspec

from cloud.workflow.case import Policy

__all__ = ["DUE", "Auto", "CasePolicy", "Due", "Escalation"]


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
    WARN = "warning"
    OVERDUE = "overdue"
    ESCALATE = "escalated"
    UNTAKEN = "untaken"
    HOLD_OVER = "hold_over"


class Escalation(msgspec.Struct, frozen=True):
    """At this fraction ("0.5", "1") of a limit, this happens."""

    fraction: str
    what: Due


DUE: Final = (
    Escalation("0.5", Due.REMIND),
    Escalation("0.8", Due.WARN),
    Escalation("1", Due.OVERDUE),
    Escalation("1.5", Due.ESCALATE),
)
"""Of the handling limit; the other clocks only tell when they are over. No standard sets these: they are a beginning."""


class CasePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set for cases.

    `join_within_m` and `join_within_s`: a report joins the nearest open case of its matter within both. `reopen_within_s`: an
    alarm that comes back so soon after its case was closed reopens it as rework. `untaken_s`: an assigned task that nobody has
    taken for so long goes to the next person on duty. With `close_by_device` a case whose work is confirmed closes by itself
    when its device's word is enough and it says that the fault is gone.
    """

    auto: Auto = Auto.ASSIGN
    workflow: Policy = Policy()
    join_within_m: float = 30.0
    join_within_s: float = 7 * 86400.0
    reopen_within_s: float = 86400.0
    untaken_s: float = 900.0
    close_by_device: bool = True
    escalation: tuple[Escalation, ...] = DUE
