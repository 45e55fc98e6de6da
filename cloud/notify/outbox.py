"""The durable outbox of messages to people: rows written in the transaction of what they tell of."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.notify.config import ChannelConfig
from cloud.relational.tables import devices, notifications

__all__ = ["NotificationState", "enqueue", "new_token"]

_t = notifications.c

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
    """Where one message stands: still to be sent, sent, told of in a digest, or given up."""

    PENDING = "pending"
    SENT = "sent"
    DIGEST = "digest"
    FAILED = "failed"


async def enqueue(
    conn: AsyncConnection,
    *,
    case: Mapping[str, Any],
    step: str,
    occasion: str,
    channels: Sequence[ChannelConfig],
    now_ns: int,
    only: Collection[str] | None = None,
) -> int:
    """Put one message for each target of the channels into the outbox, inside the caller's transaction; how many were new.

    `case` is a row mapping of the `cases` table, `step` what happened to it ("opened", "closed", ...), `occasion` what
    makes it happen once (the alarm's id, or "case/{id}/{version}"). A target is a person of a channel that has people,
    else the channel itself; where `only` is given, only targets or channels of these names are told. A repeat of
    (occasion, step, channel, target) adds nothing.
    """
    told = [(channel.name, target) for channel in channels for target in channel.targets(case["priority"])]
    if only is not None:
        told = [(channel, target) for channel, target in told if (target or channel) in only or channel in only]
    if not told:
        return 0
    facts = {name: case[name] for name in _FACTS}
    place = await conn.scalar(select(devices.c.name).where(devices.c.id == case["device"]))
    known = await conn.execute(select(_t.channel, _t.target).where(_t.occasion == occasion, _t.step == step))
    seen = {(channel, target) for channel, target in known}
    rows = [
        {
            "case_id": case["id"],
            "step": step,
            "occasion": occasion,
            "channel": channel,
            "target": target,
            "priority": case["priority"],
            "payload": {**facts, "step": step, "device_name": place or ""},
            "state": NotificationState.PENDING.value,
            "next_attempt_ns": now_ns,
            "created_ns": now_ns,
            "token": new_token(),
        }
        for channel, target in told
        if (channel, target) not in seen
    ]
    if rows:
        await conn.execute(notifications.insert(), rows)
    return len(rows)


def new_token() -> str:
    """The end of a message's own link: 72 bits of chance, short enough for an SMS."""
    return secrets.token_urlsafe(9)
