"""What falls due in alarms by itself: a shelf, or a crew's maintenance window, whose time is over."""

from sqlalchemy import select

from cloud.alarms import suppressing
from cloud.alarms.announce import Announcer
from cloud.relational.engine import reading
from cloud.relational.tables import suppressions

__all__ = ["ShelfTicker"]


class ShelfTicker:
    """Gives back what was shelved until now: what is active and was not acknowledged is told as if it were new."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    async def tick(self, now_ns: int) -> None:
        """Everything that is over."""
        while await self._some(now_ns):
            pass

    async def _some(self, now_ns: int) -> bool:
        due = select(suppressions.c.id).where(suppressions.c.shelved_until_ns <= now_ns).limit(1)
        async with reading(self._announcer.engine) as conn:
            if (await conn.execute(due)).first() is None:
                return False
        over = await self._announcer.after(lambda conn: suppressing.expire_shelves(conn, now_ns), now_ns)
        return bool(over.steps)
