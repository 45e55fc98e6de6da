"""What everything that happens to a case goes by: the matters, the calendar, who is on duty, and whom to tell."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from cloud.cases.calendars import Calendars
from cloud.cases.policy import CasePolicy
from cloud.clocks.civil import local_date
from cloud.dispatch.duty import Duty
from cloud.notify.config import ChannelConfig
from device_profiles.matter import Matter, MatterTable
from device_profiles.model import Profile
from device_profiles.read_matters import in_force

__all__ = ["Desk", "Matters"]

_CHINA: Final = ZoneInfo("Asia/Shanghai")


class Matters:
    """The matters in force on a date: the product's own, and over them the city's `tables`, old to new."""

    def __init__(self, tables: Iterable[MatterTable] = (), zone: ZoneInfo = _CHINA) -> None:
        self._zone = zone
        held = tuple(tables)
        self._on = lru_cache(maxsize=64)(lambda day: in_force(held, day))

    def codes(self, at_ns: int) -> frozenset[str]:
        """Every matter in force at that instant."""
        return frozenset(self._on(local_date(at_ns, self._zone)))

    def all(self, at_ns: int) -> tuple[Matter, ...]:
        """Every line in force at that instant."""
        return tuple(self._on(local_date(at_ns, self._zone)).values())

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
    duty: Duty = msgspec.field(default_factory=Duty)
