"""The watch at work: what it judges is announced in the same transaction, and told after it."""

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms.announce import announce, tell
from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.relational.engine import writing
from cloud.watch.watch import Watch

__all__ = ["WatchTicker"]


class WatchTicker:
    """One portion of gateways, devices and suppressed alarms each time."""

    def __init__(self, engine: AsyncEngine, desk: Desk, feed: Feed, notify: Callable[[], None], watch: Watch) -> None:
        self._engine = engine
        self._desk = desk
        self._feed = feed
        self._notify = notify
        self._watch = watch

    async def tick(self, now_ns: int) -> None:
        """Judge, announce, commit, tell."""
        async with writing(self._engine) as conn:
            judged = await self._watch.tick(conn, now_ns)
            joined = await announce(conn, judged, desk=self._desk, now_ns=now_ns)
        tell(self._feed, judged, joined)
        if joined:
            self._notify()
