"""The one relational transaction of a draft: alarm log, cases, losses, quarantine and accounts, all or nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.announce import announce
from cloud.alarms.announce import tell as tell_alarms
from cloud.alarms.log import NOTHING, Recorded, record
from cloud.cases.desk import Desk
from cloud.cases.opening import Joined
from cloud.commands.book import news_of, settle
from cloud.feed import Feed
from cloud.ingest.account import Quarantined
from cloud.ingest.draft import Draft, Lost
from cloud.ingest.lanes import save
from cloud.relational.tables import losses, quarantine

__all__ = ["NO_EFFECTS", "Effects", "Explain", "apply", "as_it_is", "tell"]

Explain = Callable[[AsyncConnection, Recorded, int], Awaitable[Recorded]]
"""Takes what was recorded and the time, suppresses what something explains, and returns all that is recorded then."""


async def as_it_is(_conn: AsyncConnection, recorded: Recorded, _now_ns: int) -> Recorded:
    """Nothing explains anything."""
    return recorded


class Effects(msgspec.Struct, frozen=True):
    """What a draft changed, for those who watch."""

    recorded: Recorded
    cases: list[Joined]
    commands: list[dict[str, Any]] = []
    """The rows of the orders whose end was told."""


NO_EFFECTS: Final = Effects(NOTHING, [])


async def apply(
    conn: AsyncConnection,
    draft: Draft,
    desk: Desk,
    now_ns: int,
    *,
    explain: Explain,
) -> Effects:
    """Write everything that a draft says, inside the caller's transaction. What `explain` suppresses is told to nobody."""
    recorded, joined = NOTHING, []
    if draft.transitions:
        recorded = await explain(conn, await record(conn, draft.transitions, now_ns), now_ns)
        joined = await announce(conn, recorded, desk=desk, now_ns=now_ns, unknown=draft.note)
    settled = await settle(conn, draft.results)
    await _keep_quarantined(conn, draft.quarantined, now_ns)
    for lost in draft.losses:
        await _keep_loss(conn, lost, now_ns)
    await save(conn, draft.accounts.values(), now_ns)
    return Effects(recorded, joined, settled)


def tell(feed: Feed, effects: Effects) -> None:
    """Publish what was committed."""
    tell_alarms(feed, effects.recorded, effects.cases)
    for row in effects.commands:
        feed.publish("command", news_of(row))


async def _keep_loss(conn: AsyncConnection, lost: Lost, now_ns: int) -> None:
    """Put what is lost by a statement of loss into the books, and nothing that is done already.

    An open end is kept also where nothing known is lost by it: as a row that holds no record.
    """
    record = lost.record
    end = record.seq_to + 1
    parts = lost.parts or ([(end, end - 1)] if record.open_end else [])
    for low, high in parts:
        key = {"gateway": lost.gateway, "epoch": record.epoch, "lane": record.lane.value, "seq_from": low}
        held = (await conn.execute(select(losses.c.seq_to).filter_by(**key))).first()
        if held is not None and held.seq_to >= low:
            continue
        if held is not None:
            await _move_open_end(conn, key, high)
        row = {
            "seq_to": high,
            "bytes": record.bytes * (high - low + 1) // record.count,
            "time_from_ns": record.time_from_ns,
            "time_to_ns": record.time_to_ns,
            "reason": record.reason.value,
            "at_ns": now_ns,
            "open_end": record.open_end and high == parts[-1][1],
        }
        await conn.execute(losses.insert().values(**key, **row))


async def _move_open_end(conn: AsyncConnection, key: Mapping[str, Any], last: int) -> None:
    """A row that only says that the end is open makes way for one of records up to `last`, and stands behind it."""
    behind = {**key, "seq_from": last + 1}
    if (await conn.execute(update(losses).filter_by(**behind).values(open_end=True))).rowcount:
        await conn.execute(delete(losses).filter_by(**key))
    else:
        await conn.execute(update(losses).filter_by(**key).values(seq_from=last + 1, seq_to=last))


async def _keep_quarantined(conn: AsyncConnection, records: Sequence[Quarantined], now_ns: int) -> None:
    if not records:
        return
    rows = [
        {
            "gateway": record.key[0],
            "epoch": record.key[1],
            "lane": record.key[2].value,
            "seq": record.seq,
            "reason": record.reason.value,
            "detail": record.detail,
            "payload": record.payload,
            "at_ns": now_ns,
        }
        for record in records
    ]
    await conn.execute(quarantine.insert(), rows)
