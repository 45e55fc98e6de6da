"""The working calendars that clocks count by: today's, and every earlier one by which a clock still runs."""

from collections.abc import Iterable
from functools import cache

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.clocks.civil import ClockError
from cloud.clocks.rules import CalendarRules
from cloud.relational.tables import calendars

__all__ = ["Calendars"]


class Calendars:
    """A clock keeps the calendar that it began with: a new one never moves a deadline that somebody was told."""

    def __init__(self, current: WorkCalendar | None = None) -> None:
        self.current = current or _usual()
        self._known = {self.current.version: self.current}

    def of(self, version: str) -> WorkCalendar:
        """The calendar of a version; ClockError where it was not asked for by `know` before, or is in no store."""
        found = self._known.get(version)
        if found is None:
            raise ClockError(f"calendar {version}: is not in the store")
        return found

    async def keep(self, conn: AsyncConnection) -> None:
        """Put today's calendar into the store, so that its clocks can be counted after it has changed."""
        held = select(calendars.c.version).where(calendars.c.version == self.current.version)
        if await conn.scalar(held) is None:
            row = {"version": self.current.version, "rules": self.current.rules.encoded()}
            await conn.execute(calendars.insert().values(row))

    async def know(self, conn: AsyncConnection, versions: Iterable[str]) -> None:
        """Read those that are not known yet."""
        missing = set(versions) - self._known.keys()
        if not missing:
            return
        wanted = select(calendars).where(calendars.c.version.in_(sorted(missing)))
        for row in await conn.execute(wanted):
            self._known[row.version] = WorkCalendar(CalendarRules.decoded(row.rules))


@cache
def _usual() -> WorkCalendar:
    return WorkCalendar(chinese_rules())
