"""Escalation: who hears of a case that is not getting done, and when. No standard sets these times: they are a beginning."""

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Final

import msgspec

from device_profiles.quantities import Text
from telemetry.records import Priority

__all__ = ["DEFAULT_PLAN", "WHAT_WORDS", "Escalation", "Plan", "What"]


class What(StrEnum):
    """What is done."""

    REMIND = "remind"
    """Whoever has the task hears of it again."""
    NEXT_PERSON = "next_person"
    """The task goes to the next person on duty."""
    SUPERVISOR = "supervisor"
    """The department's supervisor hears of it."""


WHAT_WORDS: Final[Mapping[What, Text]] = {
    What.REMIND: Text("提醒承办人", "remind the assignee"),
    What.NEXT_PERSON: Text("改派下一位值班人员", "give it to the next person on duty"),
    What.SUPERVISOR: Text("报告主管领导", "tell the supervisor"),
}


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what is done, and when. ValueError unless it has exactly one of the two times.

    `fraction` is of the handling limit, decimal text as written ("0.8"), above 1 when it is over; `after_s` are seconds of any
    hours since the task was assigned, as long as nobody took it.
    """

    what: What
    fraction: str | None = None
    after_s: int | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.after_s is None):
            raise ValueError(f"escalation {self.what}: want either a fraction or after_s")
        if self.fraction is not None and Fraction(self.fraction) <= 0:
            raise ValueError(f"escalation {self.what}: has the fraction {self.fraction}, want one above 0")
        if self.after_s is not None and self.after_s <= 0:
            raise ValueError(f"escalation {self.what}: is after {self.after_s} s, want more than 0")


Plan = tuple[Escalation, ...]
"""The steps for cases of one priority."""


def _silent(minutes: int, what: What) -> Escalation:
    return Escalation(what=what, after_s=60 * minutes)


def _spent(fraction: str, what: What) -> Escalation:
    return Escalation(what=what, fraction=fraction)


DEFAULT_PLAN: Final[Mapping[Priority, Plan]] = {
    Priority.CRITICAL: (
        _silent(5, What.REMIND),
        _silent(10, What.NEXT_PERSON),
        _silent(20, What.SUPERVISOR),
        _spent("0.5", What.REMIND),
        _spent("0.8", What.SUPERVISOR),
        _spent("1", What.SUPERVISOR),
    ),
    Priority.HIGH: (
        _silent(15, What.REMIND),
        _silent(30, What.NEXT_PERSON),
        _spent("0.5", What.REMIND),
        _spent("0.8", What.REMIND),
        _spent("1", What.SUPERVISOR),
    ),
    Priority.MEDIUM: (_spent("0.5", What.REMIND), _spent("0.8", What.REMIND), _spent("1", What.SUPERVISOR)),
    Priority.LOW: (_spent("0.8", What.REMIND), _spent("1", What.SUPERVISOR)),
}
