"""One message that stands for many: what is beyond a person's or a robot's budget is told as a list, and nothing is lost.

The digest is a row of the outbox like any other (its step is "digest"); each row that it stands for names it and is
done when it is: in state `digest`, or failed with the digest's own class of failure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.notify.outbox import NotificationState, new_token
from cloud.notify.results import Failure
from cloud.relational.tables import notifications
from telemetry.records import Priority

__all__ = ["DIGEST", "fold", "gather", "rank"]

DIGEST = "digest"
"""The step of a digest's row."""

_MOST_GROUPS = 50
_t = notifications.c

rank = case({priority.value: place for place, priority in enumerate(Priority)}, value=_t.priority, else_=len(Priority))
"""The most urgent first, as SQL."""


async def fold(conn: AsyncConnection, channel: str, target: str, now_ns: int) -> int:
    """Make one digest of all that is due to `target` of `channel`, inside the caller's transaction; how many it stands for.

    Fewer than two stay as they are, and so does what may have been sent already: that is asked for, or sent, by itself.
    """
    due = (
        _t.state == NotificationState.PENDING.value,
        _t.channel == channel,
        _t.target == target,
        _t.next_attempt_ns <= now_ns,
        _t.step != DIGEST,
        _t.copies == 0,
        or_(_t.attempts == 0, _t.failure.in_((Failure.RATE.value, Failure.NETWORK.value))),
    )
    first, count = (await conn.execute(select(func.min(_t.id), func.count()).where(*due))).one()
    if count < 2:
        return 0
    row = {
        "step": DIGEST,
        "occasion": f"digest/{first}",
        "channel": channel,
        "target": target,
        "payload": {},
        "state": NotificationState.PENDING.value,
        "next_attempt_ns": now_ns,
        "created_ns": now_ns,
        "token": new_token(),
    }
    made = (await conn.execute(notifications.insert().values(row).returning(_t.id))).scalar_one()
    covered = update(notifications).where(*due, _t.id != made)
    await conn.execute(covered.values(digest_id=made, state=NotificationState.DIGEST.value))
    told = await conn.execute(select(_t.priority, _t.step, _t.case_id, _t.created_ns, _t.payload).where(_t.digest_id == made))
    payload = gather(dict(row) for row in told.mappings())
    most = payload["groups"][0]["priority"]
    await conn.execute(update(notifications).where(_t.id == made).values(payload=payload, priority=most))
    return int(payload["count"])


def gather(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What `rows` say together: one group for each priority, step and title, the most urgent and then the largest first.

    At most 50 groups are named; `more` counts the messages of the others, so that the numbers add up to `count`.
    """
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    first_ns = last_ns = None
    for row in rows:
        facts, number = row["payload"], row["case_id"]
        key = (row["priority"], row["step"], facts.get("title_zh", ""))
        new = {"count": 0, "title_en": facts.get("title_en", ""), "first_case": number, "last_case": number}
        group = groups.setdefault(key, new)
        group["count"] += 1
        group["first_case"] = min(group["first_case"] or 0, number or 0)
        group["last_case"] = max(group["last_case"] or 0, number or 0)
        at_ns = row["created_ns"]
        first_ns, last_ns = min(first_ns or at_ns, at_ns), max(last_ns or at_ns, at_ns)
    urgency = {priority.value: place for place, priority in enumerate(Priority)}
    ordered = sorted(groups.items(), key=lambda item: (urgency.get(item[0][0], len(urgency)), -item[1]["count"], item[0]))
    shown = [{"priority": p, "step": step, "title_zh": title, **group} for (p, step, title), group in ordered]
    return {
        "step": DIGEST,
        "count": sum(group["count"] for group in shown),
        "groups": shown[:_MOST_GROUPS],
        "more": sum(group["count"] for group in shown[_MOST_GROUPS:]),
        "first_ns": first_ns,
        "last_ns": last_ns,
    }
