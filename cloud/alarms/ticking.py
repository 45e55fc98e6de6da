"""What falls due in alarms by itself: a shelf, or a crew's maintenance window, whose time is over."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms import suppressing
from cloud.alarms.announce import announce, tell
from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.relational.engine import reading, writing
from cloud.relational.tables import suppressions

__all__ = ["ShelfTicker"]


class ShelfTicker:
    """Gives back what was shelved until now: what is active and was not acknowledged is told as if it were new."""

    def __init__(self, engine: AsyncEngine, desk: Desk, feed: Feed, notify: Callable[[], None]) -> None:
        self._engine = engine
        self._desk = desk
        self._feed = feed
        self._notify = notify

    async def tick(self, now_ns: int) -> None:
        """Everything that is over."""
        while await self._some(now_ns):
            pass

    async def _some(self, now_ns: int) -> bool:
        due = select(suppressions.c.id).where(suppressions.c.shelved_until_ns <= now_ns).limit(1)
        async with reading(self._engine) as conn:
            if (await conn.execute(due)).first() is None:
                return False
        async with writing(self._engine) as conn:
            over = await suppressing.expire_shelves(conn, now_ns)
            joined = await announce(conn, over, desk=self._desk, now_ns=now_ns)
        tell(self._feed, over, joined)
        self._notify()
        return bool(over.steps)
