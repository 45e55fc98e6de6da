"""The outbox as a sender sees it: claim what is due, write down what became of it. Each call is one short transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.notify.outbox import NotificationState
from cloud.notify.results import Failure, SendResult
from cloud.relational.engine import reading, writing
from cloud.relational.tables import notifications
from telemetry.clock import SECOND_NS

__all__ = ["Claimed", "Queue"]

# No wait is this long: a row that waits longer was written under a clock that has since been set back.
_LONGEST_WAIT_NS = 2 * 3600 * SECOND_NS

_t = notifications.c


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """One message that is this sender's until its lease runs out; `attempts` counts the one about to be made."""

    id: int
    case_id: int | None
    created_ns: int
    attempts: int
    row: Mapping[str, Any]


class Queue:
    """The rows of `notifications` that wait."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, channel: str, now_ns: int, lease_s: float) -> Claimed | None:
        """The oldest due message of `channel`, or None.

        The attempt is counted before it is made and the row is due again when the lease ends: a sender that dies in
        between costs the lease, not the message, and a message that kills its sender shows how often it was tried.
        """
        due = or_(_t.next_attempt_ns <= now_ns, _t.next_attempt_ns > now_ns + _LONGEST_WAIT_NS)
        wanted = select(notifications).where(_t.state == NotificationState.PENDING.value, _t.channel == channel, due)
        async with reading(self._engine) as conn:
            row = (await conn.execute(wanted.order_by(_t.next_attempt_ns, _t.id).limit(1))).mappings().first()
        if row is None:
            return None
        lease = update(notifications).where(
            _t.id == row["id"], _t.attempts == row["attempts"], _t.state == NotificationState.PENDING.value
        )
        values = {"attempts": row["attempts"] + 1, "next_attempt_ns": now_ns + round(lease_s * SECOND_NS)}
        async with writing(self._engine) as conn:
            mine = (await conn.execute(lease.values(**values))).rowcount == 1
        if not mine:
            return None
        return Claimed(
            id=row["id"],
            case_id=row["case_id"],
            created_ns=row["created_ns"],
            attempts=row["attempts"] + 1,
            row=dict(row),
        )

    async def sent(self, claimed: Claimed, result: SendResult, now_ns: int) -> None:
        """The vendor took it."""
        await self._write(
            claimed,
            {
                "state": NotificationState.SENT.value,
                "sent_ns": now_ns,
                "failure": "",
                "vendor_code": result.vendor_code,
                "detail": result.detail,
            },
        )

    async def failed(self, claimed: Claimed, result: SendResult, next_attempt_ns: int | None) -> None:
        """The attempt failed; the next one is due at `next_attempt_ns`, or never where that is None."""
        state = NotificationState.FAILED if next_attempt_ns is None else NotificationState.PENDING
        changes: dict[str, Any] = {
            "state": state.value,
            "failure": result.failure.value if result.failure else "",
            "vendor_code": result.vendor_code[:64],
            "detail": result.detail,
        }
        if next_attempt_ns is not None:
            changes["next_attempt_ns"] = next_attempt_ns
        await self._write(claimed, changes)

    async def sent_since(self, channel: str, since_ns: int) -> list[int]:
        """When messages of `channel` were taken since then, in nanoseconds: what a vendor still counts after a restart."""
        wanted = select(_t.sent_ns).where(_t.channel == channel, _t.sent_ns >= since_ns)
        async with reading(self._engine) as conn:
            return [moment for moment in await conn.scalars(wanted) if moment is not None]

    async def retire_others(self, channels: Sequence[str]) -> int:
        """Give up, visibly, what waits for channels that are no longer configured; how many."""
        waiting = (_t.state == NotificationState.PENDING.value, _t.channel.not_in(channels))
        gone = {"state": NotificationState.FAILED.value, "failure": Failure.GONE.value}
        async with writing(self._engine) as conn:
            done = await conn.execute(
                update(notifications).where(*waiting).values(**gone, detail="no channel of this name is configured")
            )
        return done.rowcount

    async def _write(self, claimed: Claimed, changes: Mapping[str, Any]) -> None:
        # Only while the claim is ours: an answer after the lease must not undo what another sender wrote.
        mine = (_t.id == claimed.id, _t.attempts == claimed.attempts)
        async with writing(self._engine) as conn:
            await conn.execute(update(notifications).where(*mine).values(**changes))
