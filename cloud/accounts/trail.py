"""The trail of who did what: a row before the act, its outcome after it, in the store that the act is in.

Because the row comes first, an act whose server died half-way is in the trail, too: its outcome stays "begun". Rows are kept
for a year and a day (GB/T 22239-2019 level 3 wants six months; the clause was not at hand), then trimmed, and a row of the
trail itself says how many went. No row holds a password or a token.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.relational.engine import writing
from cloud.relational.tables import audit
from telemetry.clock import SECOND_NS, Clock

__all__ = ["BEGUN", "KEPT_DAYS", "Entry", "Trail", "clean", "found"]

BEGUN: Final = "begun"
KEPT_DAYS: Final = 366
_TRIM_EVERY_NS: Final = 3600 * SECOND_NS
_MOST_TRIMMED: Final = 50_000
_LENGTHS: Final = {"actor": 128, "role": 16, "action": 64, "target": 200, "address": 64, "outcome": 64}


class Entry(msgspec.Struct, kw_only=True):
    """One row. `actor` is an account's name, or what the caller said while there are no accounts; "" where nobody knows.

    `target` is the ids of the route's path. `detail` holds small words and numbers of the act's own.
    """

    action: str
    actor: str = ""
    role: str = ""
    target: str = ""
    detail: dict[str, Any] = {}
    address: str = ""
    outcome: str = BEGUN


class Trail:
    """Writes the trail. `trimmed` is how many rows this process took away because they were too old."""

    def __init__(self, engine: AsyncEngine, clock: Clock, kept_days: int = KEPT_DAYS) -> None:
        self._engine = engine
        self._clock = clock
        self._kept_ns = kept_days * 86_400 * SECOND_NS
        self._trim_after_ns = 0
        self.trimmed = 0

    async def begin(self, entry: Entry) -> int:
        """Write the row of what is about to be done; its id."""
        async with writing(self._engine) as conn:
            return await self.write(conn, entry)

    async def finish(self, number: int, entry: Entry) -> None:
        """Tell of the row's act what is known now that it is over."""
        async with writing(self._engine) as conn:
            await conn.execute(audit.update().where(audit.c.id == number).values(_row(entry)))

    async def write(self, conn: AsyncConnection, entry: Entry) -> int:
        """Write a row in a transaction that is under way; its id."""
        now_ns = self._clock.wall_ns()
        if now_ns >= self._trim_after_ns:
            self._trim_after_ns = now_ns + _TRIM_EVERY_NS
            await self._trim(conn, now_ns)
        return await _insert(conn, entry, now_ns)

    async def _trim(self, conn: AsyncConnection, now_ns: int) -> None:
        old = select(audit.c.id).where(audit.c.at_ns < now_ns - self._kept_ns).order_by(audit.c.id).limit(_MOST_TRIMMED)
        gone = (await conn.execute(audit.delete().where(audit.c.id.in_(old.scalar_subquery())))).rowcount
        if gone:
            self.trimmed += gone
            await _insert(conn, Entry(action="trim_audit", detail={"rows": gone}, outcome="done"), now_ns)


def found(
    *, actor: str | None, target: str | None, from_ns: int | None, until_ns: int | None, before: int | None, limit: int
) -> Select[Any]:
    """The rows wanted, newest first; `before` is the id of the last one seen."""
    wanted = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if actor is not None:
        wanted = wanted.where(audit.c.actor == actor)
    if target is not None:
        wanted = wanted.where(audit.c.target == target)
    if from_ns is not None:
        wanted = wanted.where(audit.c.at_ns >= from_ns)
    if until_ns is not None:
        wanted = wanted.where(audit.c.at_ns < until_ns)
    return wanted if before is None else wanted.where(audit.c.id < before)


def clean(text: str, longest: int) -> str:
    """What a caller said, as a database can hold it: no zero, no half of a pair, and not endless."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:longest]


async def _insert(conn: AsyncConnection, entry: Entry, now_ns: int) -> int:
    made = audit.insert().values(at_ns=now_ns, **_row(entry)).returning(audit.c.id)
    number: int = (await conn.execute(made)).scalar_one()
    return number


def _row(entry: Entry) -> Mapping[str, Any]:
    words = {name: clean(getattr(entry, name), length) for name, length in _LENGTHS.items()}
    return {**words, "detail": entry.detail}
