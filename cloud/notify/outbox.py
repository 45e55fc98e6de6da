"""The durable outbox of messages to people: rows written in the transaction of what they tell of."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.notify.config import ChannelConfig
from cloud.relational.chunks import chunks
from cloud.relational.tables import devices, notifications

__all__ = ["Due", "NotificationState", "enqueue", "enqueue_all", "new_token"]

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


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a case, to be told.

    `case` is a row mapping of the `cases` table, `step` what happened ("opened", "closed", ...), `occasion` what makes it
    happen once (the alarm's id, or "case/{id}/{version}"). Where `only` is given, only people or channels of these names hear.
    """

    case: Mapping[str, Any]
    step: str
    occasion: str
    only: Collection[str] | None = None


async def enqueue_all(conn: AsyncConnection, due: Sequence[Due], *, channels: Sequence[ChannelConfig], now_ns: int) -> int:
    """Put one message for each target of the channels into the outbox, inside the caller's transaction; how many were new.

    A target is a person of a channel that has people, else the channel itself. A repeat of (occasion, step, channel, target)
    adds nothing.
    """
    told = [(each, *target) for each in due for target in _targets(each, channels)]
    if not told:
        return 0
    seen = await _seen(conn, sorted({each.occasion for each, _, _ in told}))
    places = await _places(conn, sorted({each.case["device"] for each, _, _ in told if each.case["device"] is not None}))
    rows = [
        _row(each, channel, target, places.get(each.case["device"], ""), now_ns)
        for each, channel, target in told
        if (each.occasion, each.step, channel, target) not in seen
    ]
    if rows:
        await conn.execute(notifications.insert(), rows)
    return len(rows)


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
    """The same for one thing that happened to one case."""
    return await enqueue_all(conn, [Due(case=case, step=step, occasion=occasion, only=only)], channels=channels, now_ns=now_ns)


def _targets(due: Due, channels: Sequence[ChannelConfig]) -> list[tuple[str, str]]:
    told = [(channel.name, target) for channel in channels for target in channel.targets(due.case["priority"])]
    if due.only is None:
        return told
    return [(channel, target) for channel, target in told if (target or channel) in due.only or channel in due.only]


async def _seen(conn: AsyncConnection, occasions: Sequence[str]) -> set[tuple[str, str, str, str]]:
    found: set[tuple[str, str, str, str]] = set()
    for some in chunks(occasions):
        wanted = select(_t.occasion, _t.step, _t.channel, _t.target).where(_t.occasion.in_(some))
        found |= {(row.occasion, row.step, row.channel, row.target) for row in await conn.execute(wanted)}
    return found


async def _places(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, str]:
    """device -> the name that people know it by."""
    found: dict[str, str] = {}
    for some in chunks(ids):
        wanted = select(devices.c.id, devices.c.name).where(devices.c.id.in_(some))
        found |= {row.id: row.name for row in await conn.execute(wanted)}
    return found


def _row(due: Due, channel: str, target: str, place: str, now_ns: int) -> dict[str, Any]:
    return {
        "case_id": due.case["id"],
        "step": due.step,
        "occasion": due.occasion,
        "channel": channel,
        "target": target,
        "priority": due.case["priority"],
        "payload": {**{name: due.case[name] for name in _FACTS}, "step": due.step, "device_name": place},
        "state": NotificationState.PENDING.value,
        "next_attempt_ns": now_ns,
        "created_ns": now_ns,
        "token": new_token(),
    }


def new_token() -> str:
    """The end of a message's own link: 72 bits of chance, short enough for an SMS."""
    return secrets.token_urlsafe(9)
