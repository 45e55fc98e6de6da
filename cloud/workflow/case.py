"""What the workflow knows of a case, what somebody does to it, and a refusal; all frozen."""

from enum import StrEnum
from typing import Self

import msgspec

from cloud.workflow.states import Clock, Role, State, Step
from device_profiles.matter import DeviceWord, Matter
from telemetry.reason import Reason

__all__ = ["Appeal", "Asked", "Case", "Deed", "DeviceSays", "Policy", "Refused"]


class Asked(StrEnum):
    """What a department has asked for and nobody decided yet."""

    NOTHING = "nothing"
    EXTENSION = "extension"
    HOLD = "hold"


class Appeal(StrEnum):
    """Where the appeal against an overdue handling stands."""

    NONE = "none"
    NEW = "new"
    AGREED = "agreed"
    GRANTED = "granted"
    REFUSED = "refused"


class DeviceSays(StrEnum):
    """What the case's device reports now. NOTHING where there is none, it is silent, or its matter asks for no word of it."""

    NOTHING = "nothing"
    FAULT = "fault"
    CLEAR = "clear"

    @classmethod
    def by(cls, matter: Matter, *, fault: bool | None) -> Self:
        """What it is worth by the matter's closing condition; `fault` is what the device reports, None where it is silent."""
        if matter.device is None or fault is None:
            return cls("nothing")
        if fault:
            return cls("fault")
        return cls("clear" if matter.device.word is DeviceWord.ENOUGH else "nothing")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long. Two extensions, one hold and a year are the rule of the published specification; the days
    of reopening differ from city to city and 7 is only a beginning. A year is 366 days, so that the same date next year fits."""

    extensions: int = 2
    holds: int = 1
    hold_days: int = 366
    reopen_days: int = 7


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A case as the workflow sees it; times are nanoseconds UTC.

    `overdue` is fixed when the department confirms, and stays; `exempt` only takes it out of the statistics, until a
    reopened case is overdue again. `returned` stands from a return until the next forward step. `found` is what the
    collector said before filing, `checked` that one saw the work done.
    """

    state: State
    department: str = ""
    assignee: str = ""
    running: frozenset[Clock] = frozenset()
    paused: frozenset[Clock] = frozenset()
    returned: bool = False
    found: bool | None = None
    checked: bool = False
    filing_standard: str = ""
    closing_standard: str = ""
    asked: Asked = Asked.NOTHING
    asked_by: str = ""
    extensions: int = 0
    holds: int = 0
    hold_until_ns: int | None = None
    reworks: int = 0
    supervisions: int = 0
    reopened: int = 0
    overdue: bool = False
    exempt: bool = False
    appeal: Appeal = Appeal.NONE
    appeal_by: str = ""
    first_reviewer: str = ""
    closed_ns: int | None = None


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody does: the step, who in which role, when, and what comes with it.

    `position` is WGS-84 (longitude, latitude). `device_says` and `overdue` (the handling clock is past its limit) are facts
    that the caller looks up for the moment of the deed.
    """

    step: Step
    actor: str
    role: Role
    at_ns: int
    note: str = ""
    reason: str = ""
    photos: tuple[str, ...] = ()
    position: tuple[float, float] | None = None
    standard: str = ""
    until_ns: int | None = None
    department: str = ""
    assignee: str = ""
    device_says: DeviceSays = DeviceSays.NOTHING
    overdue: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A step that is not taken, and why: `detail` in English, `zh` in Chinese.

    CONFLICT: not from this state, or a guard says no; NOT_ALLOWED: not by this role or person; MISSING: the deed lacks what
    the step needs; EXPIRED: too late; OUT_OF_RANGE: a date that cannot be.
    """

    reason: Reason
    detail: str
    zh: str
