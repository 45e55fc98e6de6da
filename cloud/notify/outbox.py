"""The durable outbox of messages to people: rows written in the transaction of what they tell of."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.notify.config import ChannelConfig
from cloud.relational.tables import devices, notifications

__all__ = ["NotificationState", "enqueue"]

_FACTS = (
    "id",
    "device",
    "matter",
    "gbt_code",
    "department",
    "title_zh",
    "title_en",
    "priority",
    "state",
    "longitude",
    "latitude",
    "opened_ns",
    "due_ns",
    "assignee",
)


class NotificationState(StrEnum):
    """Where one message stands: still to be sent, sent, or given up."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


async def enqueue(
    conn: AsyncConnection,
    *,
    case: Mapping[str, Any],
    step: str,
    occasion: str,
    channels: Sequence[ChannelConfig],
    now_ns: int,
) -> int:
    """Put one message for each channel into the outbox, inside the caller's transaction; how many were new.

    `case` is a row mapping of the `cases` table, `step` what happened to it ("opened", "closed", ...), `occasion` what
    makes it happen once (the alarm's id, or "case/{id}/{version}"). A repeat of (occasion, step, channel) adds nothing.
    """
    if not channels:
        return 0
    facts = {name: case[name] for name in _FACTS}
    place = await conn.scalar(select(devices.c.name).where(devices.c.id == case["device"]))
    known = await conn.scalars(
        select(notifications.c.channel).where(notifications.c.occasion == occasion, notifications.c.step == step)
    )
    seen = set(known)
    rows = [
        {
            "case_id": case["id"],
            "step": step,
            "occasion": occasion,
            "channel": channel.name,
            "payload": {**facts, "step": step, "device_name": place or ""},
            "state": NotificationState.PENDING.value,
            "next_attempt_ns": now_ns,
            "created_ns": now_ns,
        }
        for channel in channels
        if channel.name not in seen
    ]
    if rows:
        await conn.execute(notifications.insert(), rows)
    return len(rows)
