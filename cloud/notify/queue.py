"""The outbox as a sender sees it: claim what is due, write down what became of it. Each call is one short transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.notify.config import PERSONAL, ChannelConfig
from cloud.notify.digest import DIGEST, fold, rank
from cloud.notify.outbox import NotificationState
from cloud.notify.results import Failure, SendResult
from cloud.relational.engine import reading, writing
from cloud.relational.tables import notifications
from telemetry.clock import SECOND_NS

__all__ = ["Claimed", "Outcome", "Queue"]

# No wait is this long (vendors' wishes are held to an hour): a row that waits longer was written under a clock that has
# since been set back.
_LONGEST_WAIT_NS = 2 * 3600 * SECOND_NS
# Quiet hours end within a day, or within its longest one.
_LONGEST_QUIET_NS = 26 * 3600 * SECOND_NS

_t = notifications.c
_waiting = _t.state == NotificationState.PENDING.value


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """One message that is this sender's until its lease runs out; `attempts` counts the one about to be made.

    `copies` is how many earlier attempts may have reached somebody.
    """

    id: int
    case_id: int | None
    created_ns: int
    attempts: int
    row: Mapping[str, Any]
    copies: int = 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt came to, and how many copies of the message there may be by now."""

    result: SendResult
    copies: int


class Queue:
    """The rows of `notifications` that wait."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def next(self, channel: str, now_ns: int, resting: Collection[str] = ()) -> Mapping[str, Any] | None:
        """The row of `channel` to be sent next, or None: digests first, then by priority, then the oldest.

        Targets that are `resting` are passed over.
        """
        wanted = select(notifications).where(_waiting, _t.channel == channel, _due(now_ns), _t.target.not_in(resting))
        order = (_t.step != DIGEST, rank, _t.next_attempt_ns, _t.id)
        async with reading(self._engine) as conn:
            row = (await conn.execute(wanted.order_by(*order).limit(1))).mappings().first()
        return None if row is None else dict(row)

    async def claim(self, row: Mapping[str, Any], now_ns: int, lease_s: float) -> Claimed | None:
        """Make `row` this sender's; None where another was faster.

        The attempt is counted before it is made and the row is due again when the lease ends: a sender that dies in
        between costs the lease, not the message, and a message that kills its sender shows how often it was tried.
        """
        lease = update(notifications).where(_t.id == row["id"], _t.attempts == row["attempts"], _waiting)
        until_ns = now_ns + round(lease_s * SECOND_NS)
        values = {"attempts": row["attempts"] + 1, "next_attempt_ns": until_ns, "failure": "", "quiet_until_ns": None}
        async with writing(self._engine) as conn:
            mine = (await conn.execute(lease.values(**values))).rowcount == 1
        if not mine:
            return None
        # An attempt without any word of how it ended: its sender died, perhaps after the vendor had taken the message.
        died = row["attempts"] > 0 and not row["failure"]
        return Claimed(
            id=row["id"],
            case_id=row["case_id"],
            created_ns=row["created_ns"],
            attempts=row["attempts"] + 1,
            row=row,
            copies=row["copies"] + died,
        )

    async def fold(self, channel: str, target: str, now_ns: int) -> int:
        """Make one digest of what is due to `target`; how many messages it stands for, 0 for no digest."""
        async with writing(self._engine) as conn:
            return await fold(conn, channel, target, now_ns)

    async def hold(self, row: Mapping[str, Any], until_ns: int, now_ns: int) -> None:
        """Let what is due to the row's target and of its priority wait for the end of the quiet hours."""
        same = (_t.channel == row["channel"], _t.target == row["target"], _t.priority == row["priority"])
        async with writing(self._engine) as conn:
            held = update(notifications).where(_waiting, *same, _due(now_ns))
            await conn.execute(held.values(next_attempt_ns=until_ns, quiet_until_ns=until_ns))

    async def sent(self, claimed: Claimed, outcome: Outcome, now_ns: int) -> None:
        """The vendor took it."""
        result = outcome.result
        twice = f"; may have been sent {outcome.copies} times" if outcome.copies > 1 else ""
        changes = {
            "state": NotificationState.SENT.value,
            "sent_ns": now_ns,
            "failure": "",
            "vendor_code": result.vendor_code[:64],
            "detail": (result.detail + twice).removeprefix("; "),
            "receipt": result.receipt[:128],
            "copies": outcome.copies,
        }
        await self._write(claimed, changes, final=False)

    async def failed(self, claimed: Claimed, outcome: Outcome, next_attempt_ns: int | None) -> None:
        """The attempt failed; the next one is due at `next_attempt_ns`, or never where that is None."""
        result, final = outcome.result, next_attempt_ns is None
        state = NotificationState.FAILED if final else NotificationState.PENDING
        changes: dict[str, Any] = {
            "state": state.value,
            "failure": result.failure.value if result.failure else "",
            "vendor_code": result.vendor_code[:64],
            "detail": result.detail,
            "copies": outcome.copies,
        }
        if next_attempt_ns is not None:
            changes["next_attempt_ns"] = next_attempt_ns
        await self._write(claimed, changes, final=final)

    async def sent_since(self, channel: str, since_ns: int) -> list[tuple[str, int]]:
        """(target, nanoseconds) of what was taken since then: what a vendor still counts after a restart."""
        wanted = select(_t.target, _t.sent_ns).where(_t.channel == channel, _t.sent_ns >= since_ns)
        async with reading(self._engine) as conn:
            return [(target, moment) for target, moment in await conn.execute(wanted)]

    async def retire_others(self, channels: Sequence[ChannelConfig]) -> int:
        """Give up, visibly, what waits for channels and people that are no longer configured; how many."""
        names = [channel.name for channel in channels]
        done = await self._retire(_t.channel.not_in(names), "no channel of this name is configured")
        for channel in channels:
            targets = [person.name for person in channel.people] if channel.kind in PERSONAL else [""]
            stray = and_(_t.channel == channel.name, _t.target.not_in(targets))
            done += await self._retire(stray, "nobody of this name is configured")
        return done

    async def _retire(self, which: ColumnElement[bool], detail: str) -> int:
        gone = {"state": NotificationState.FAILED.value, "failure": Failure.GONE.value, "detail": detail}
        digests = select(_t.id).where(_waiting, which, _t.step == DIGEST).scalar_subquery()
        async with writing(self._engine) as conn:
            covered = await conn.execute(update(notifications).where(_t.digest_id.in_(digests)).values(**gone))
            done = await conn.execute(update(notifications).where(_waiting, which).values(**gone))
        return done.rowcount + covered.rowcount

    async def _write(self, claimed: Claimed, changes: Mapping[str, Any], *, final: bool) -> None:
        # Only while the claim is ours: an answer after the lease must not undo what another sender wrote.
        mine = (_t.id == claimed.id, _t.attempts == claimed.attempts)
        async with writing(self._engine) as conn:
            written = await conn.execute(update(notifications).where(*mine).values(**changes))
            if final and written.rowcount and claimed.row["step"] == DIGEST:
                why = {name: changes[name] for name in ("state", "failure", "vendor_code")}
                covered = update(notifications).where(_t.digest_id == claimed.id)
                await conn.execute(covered.values(**why, detail="the digest that stands for it could not be sent"))


def _due(now_ns: int) -> ColumnElement[bool]:
    set_back = and_(_t.next_attempt_ns > now_ns + _LONGEST_WAIT_NS, _t.quiet_until_ns.is_(None))
    return or_(_t.next_attempt_ns <= now_ns, set_back, _t.next_attempt_ns > now_ns + _LONGEST_QUIET_NS)
