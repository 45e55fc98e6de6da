"""The watch at work: what it judges is announced in the same transaction, and told after it."""

from cloud.alarms.announce import Announcer
from cloud.watch.watch import Watch

__all__ = ["WatchTicker"]


class WatchTicker:
    """One portion of gateways, devices and suppressed alarms each time."""

    def __init__(self, announcer: Announcer, watch: Watch) -> None:
        self._announcer = announcer
        self._watch = watch

    async def tick(self, now_ns: int) -> None:
        """Judge, announce, commit, tell."""
        await self._announcer.after(lambda conn: self._watch.tick(conn, now_ns), now_ns)
