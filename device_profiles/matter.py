"""事项: the kinds of problem that a case can be about, as versioned data with their origin. Only `read_matters` makes these."""

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction

import msgspec

from device_profiles.quantities import Text
from telemetry.records import Priority

__all__ = ["ClockKind", "CodeTable", "DepartmentRule", "DeviceClause", "DeviceWord", "Limit", "Limits", "Matter", "MatterTable"]


class ClockKind(StrEnum):
    """Which time counts. Named after the timer types of city management (紧急工作时, 自然日, 工作时, 工作日); what a working
    hour or a day is, the cloud's working calendar says."""

    URGENT_HOURS = "urgent_hours"
    """All hours, nights, weekends and holidays too."""
    CALENDAR_DAYS = "calendar_days"
    """All days."""
    WORKING_HOURS = "working_hours"
    """Hours within working periods."""
    WORKING_DAYS = "working_days"
    """Working days."""


_HOURS = frozenset({ClockKind.URGENT_HOURS, ClockKind.WORKING_HOURS})


class Limit(msgspec.Struct, frozen=True):
    """So many hours or days of one kind of clock. `count` is decimal text as written, so that 0.1 stays a tenth."""

    count: str
    clock: ClockKind

    @property
    def around_the_clock_minutes(self) -> int:
        """The limit where no calendar is known: hours and days of any kind as they follow one another."""
        return round(Fraction(self.count) * (60 if self.clock in _HOURS else 1440))


_QUARTER, _HALF = Limit("0.25", ClockKind.URGENT_HOURS), Limit("0.5", ClockKind.URGENT_HOURS)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A limit for each stage. Accept and dispatch in 15 minutes, verify and check in 30, around the clock, are the
    defaults of an open implementation that was read; the handling limit is the matter's own."""

    handle: Limit
    accept: Limit = _QUARTER
    verify: Limit = _HALF
    dispatch: Limit = _QUARTER
    check: Limit = _HALF


class DepartmentRule(StrEnum):
    """Who handles it. With OWNER and DISTRICT the named department is what is left where the register knows no other."""

    MATTER = "matter"
    """Always the named department."""
    OWNER = "owner"
    """The owner of the device's object (权属单位), as registered."""
    DISTRICT = "district"
    """The department of that name in the district where it lies."""


class DeviceWord(StrEnum):
    """What the device's own word is worth at the end."""

    ENOUGH = "enough"
    """When it says that the fault is gone, nobody else has to look."""
    NEEDED = "needed"
    """It must not contradict; a person looks as well."""


class DeviceClause(msgspec.Struct, frozen=True, kw_only=True):
    """The device's part in the closing condition, and how a page words it."""

    word: DeviceWord
    says: Text


class Matter(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a table. `gbt_code` is class and subclass (E- before events) in the table's edition, the first of
    `codes` (code -> name), which are all the objects or events it is for; a case takes its device's own code where it has one.
    `valid_from` is an ISO date, `table` the table's name: with `code` they say for ever which line a case went by.
    """

    code: str
    title: Text
    gbt_code: str
    department: str
    limits: Limits
    filed_when: Text
    closes_when: Text
    codes: Mapping[str, str] = {}
    department_by: DepartmentRule = DepartmentRule.MATTER
    priority: Priority = Priority.MEDIUM
    device: DeviceClause | None = None
    people_only: bool = False
    """No device can tell; people report it."""
    source: str = ""
    table: str = ""
    edition: str = ""
    valid_from: str = ""

    @property
    def limit_minutes(self) -> int:
        """The handling limit around the clock, where no working calendar is known."""
        return self.limits.handle.around_the_clock_minutes


class CodeTable(msgspec.Struct, frozen=True, kw_only=True):
    """One edition of the codes: names of classes by two digits, of codes by four (E- before events)."""

    edition: str
    component_classes: Mapping[str, str]
    event_classes: Mapping[str, str]
    codes: Mapping[str, str]


class MatterTable(msgspec.Struct, frozen=True, kw_only=True):
    """One city's matters in one version. A later table of the same city holds only what it changes."""

    name: str
    city: Text
    edition: str
    valid_from: str
    source: str
    extensions: Mapping[str, str]
    matters: Mapping[str, Matter]
