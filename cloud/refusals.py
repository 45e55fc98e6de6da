"""What was refused, by source and reason: counted at once, written to the store now and then."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import refusals
from telemetry.reason import Reason

__all__ = ["SECURITY", "Refusals"]

_log = logging.getLogger(__name__)
_MOST_SOURCES = 10_000
_DETAIL = 500

SECURITY: Final = {
    Reason.ALTERED: "security.altered",
    Reason.ROLLED_BACK: "security.rolled_back",
    Reason.GATEWAY_MISMATCH: "security.gateway_mismatch",
}
"""What no fault of a line makes: somebody copied, changed or forged something. The log names these events apart."""


class _Count(msgspec.Struct):
    new: int
    detail: str
    at_ns: int


class Refusals:
    """Bounded: beyond ten thousand pairs of source and reason, new sources are counted together as "others"."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, Reason], _Count] = {}
        self.total = 0

    def count(self, source: str, reason: Reason, detail: str, now_ns: int, n: int = 1) -> None:
        """One more; the first of a kind since the last `save` is logged."""
        # A database may hold no zero and no half of a pair in a text.
        detail = detail.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:_DETAIL]
        key = (source[:128], reason)
        if key not in self._pending and len(self._pending) >= _MOST_SOURCES:
            key = ("others", reason)
        self.total += n
        held = self._pending.get(key)
        if held is None:
            self._pending[key] = _Count(n, detail, now_ns)
            event = SECURITY.get(reason, "cloud.refused")
            _log.warning("%s: refused, %s: %s", source, reason, detail, extra={"event": event, "reason": reason.value})
        else:
            held.new, held.detail, held.at_ns = held.new + n, detail, now_ns

    @property
    def unsaved(self) -> bool:
        return bool(self._pending)

    async def load(self, conn: AsyncConnection) -> None:
        """Go on counting from what the store has."""
        self.total = sum((await conn.scalars(select(refusals.c.count))).all())

    async def save(self, conn: AsyncConnection) -> dict[tuple[str, Reason], int]:
        """Add what is new to the store. Give what it returns to `saved` after the commit."""
        taken = {key: held.new for key, held in self._pending.items()}
        for (source, reason), new in taken.items():
            held = self._pending[source, reason]
            row: dict[str, Any] = {"last_detail": held.detail, "last_ns": held.at_ns}
            mine = (refusals.c.source == source, refusals.c.reason == reason.value)
            done = await conn.execute(refusals.update().where(*mine).values(count=refusals.c.count + new, **row))
            if done.rowcount == 0:
                await conn.execute(refusals.insert().values(source=source, reason=reason.value, count=new, **row))
        return taken

    def saved(self, taken: Mapping[tuple[str, Reason], int]) -> None:
        """The transaction of a `save` was committed; what was counted in the meantime stays for the next one."""
        for key, new in taken.items():
            held = self._pending[key]
            held.new -= new
            if held.new == 0:
                del self._pending[key]
