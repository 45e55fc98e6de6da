"""What everything that happens to a case goes by: the matters, the calendar, who is on duty, and whom to tell."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import msgspec

from cloud.cases.calendars import Calendars
from cloud.cases.policy import CasePolicy
from cloud.clocks.civil import local_date
from cloud.notify.config import ChannelConfig
from device_profiles.matter import Matter, MatterTable
from device_profiles.model import Profile
from device_profiles.read_matters import in_force

__all__ = ["Desk", "Duty", "Matters", "NoDuty"]

_CHINA: Final = ZoneInfo("Asia/Shanghai")


class Duty(Protocol):
    """Who handles what, and who is there now; names are those of accounts, "" where there is nobody."""

    def district(self, longitude: float, latitude: float) -> str: ...

    def department(self, matter: Matter, *, district: str, owner: str) -> str: ...

    def crew(self, department: str, district: str, now_ns: int) -> str: ...

    def next_person(self, department: str, district: str, now_ns: int, after: str) -> str: ...

    def supervisor(self, department: str) -> str: ...


class NoDuty:
    """Where nobody wrote a plan: every matter goes to the department that it names, and people assign."""

    def district(self, longitude: float, latitude: float) -> str:
        del longitude, latitude
        return ""

    def department(self, matter: Matter, *, district: str, owner: str) -> str:
        del district, owner
        return matter.department

    def crew(self, department: str, district: str, now_ns: int) -> str:
        del department, district, now_ns
        return ""

    def next_person(self, department: str, district: str, now_ns: int, after: str) -> str:
        del department, district, now_ns, after
        return ""

    def supervisor(self, department: str) -> str:
        del department
        return ""


class Matters:
    """The matters in force on a date: the product's own, and over them the city's `tables`, old to new."""

    def __init__(self, tables: Iterable[MatterTable] = (), zone: ZoneInfo = _CHINA) -> None:
        self._zone = zone
        held = tuple(tables)
        self._on = lru_cache(maxsize=64)(lambda day: in_force(held, day))

    def find(self, code: str, at_ns: int) -> Matter | None:
        """The line of `code` by which a case opened at that instant goes; None where no table has it."""
        return self._on(local_date(at_ns, self._zone)).get(code)


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as it was when the cloud started."""

    catalog: Mapping[str, Profile] = {}
    channels: Sequence[ChannelConfig] = ()
    policy: CasePolicy = CasePolicy()
    calendars: Calendars = msgspec.field(default_factory=Calendars)
    matters: Matters = msgspec.field(default_factory=Matters)
    duty: Duty = NoDuty()
