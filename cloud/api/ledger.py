"""The ledger of one gateway: what became of every record it ever numbered, and where there are gaps, why."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from sqlalchemy import RowMapping, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.api import schemas
from cloud.api.common import Given, Id, NoQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.times import age_s, iso
from cloud.refusals import SECURITY
from cloud.relational.engine import reading
from cloud.relational.tables import gateways, lanes, losses, quarantine, refusals
from telemetry.reason import Reason
from telemetry.wire import spans

__all__ = ["account", "awaited", "router"]

router = APIRouter(tags=["gateways"])

MAX_LANES: Final = 40
MAX_GAPS: Final = 50

_Key = tuple[str, str]
"""(epoch, lane)."""


@router.get(
    "/gateways/{id}/ledger",
    summary="What became of every record of one gateway",
    response_model=schemas.GatewayLedger,
    responses=describe(404),
)
async def get_ledger(given: Given, gateway: Annotated[Id, Path(alias="id")], _: NoQuery) -> dict[str, Any]:
    """The 40 lanes that changed last, newest first, each with its newest 50 gaps."""
    async with reading(given.engine) as conn:
        found = (await conn.execute(select(gateways.c.epoch).where(gateways.c.id == gateway))).first()
        if found is None:
            raise ApiProblem(Reason.NOT_FOUND, f"gateway {gateway}: there is none")
        latest = select(lanes).where(lanes.c.gateway == gateway).order_by(lanes.c.updated_ns.desc(), lanes.c.lane)
        rows = (await conn.execute(latest.limit(MAX_LANES + 1))).mappings().all()
        lost = await _newest(conn, losses, losses.c.seq_from, gateway)
        aside = await _newest(conn, quarantine, quarantine.c.seq, gateway)
        events = select(refusals).where(
            refusals.c.source == gateway, refusals.c.reason.in_([reason.value for reason in SECURITY])
        )
        seen = (await conn.execute(events.order_by(refusals.c.last_ns.desc()))).mappings().all()
    shown = [_lane(row, lost[row["epoch"], row["lane"]], aside[row["epoch"], row["lane"]]) for row in rows[:MAX_LANES]]
    now_ns = given.clock.wall_ns()
    return {
        "gateway": gateway,
        "epoch": found.epoch,
        "lanes": shown,
        "more": len(rows) > MAX_LANES,
        "security": [_security(row, now_ns) for row in seen],
    }


def account(lane: RowMapping) -> dict[str, Any]:
    """The columns of a lane's account; `balanced` where every record that is done is in exactly one of them."""
    same = ("epoch", "lane", "watermark", "next_seq", "stored", "quarantined", "lost", "moved")
    done = lane["watermark"] + sum(last - first + 1 for first, last in lane["ranges"])
    return {
        **{name: lane[name] for name in same},
        "missing": sum(last - first + 1 for first, last in awaited(lane)),
        "balanced": lane["stored"] + lane["quarantined"] + lane["lost"] + lane["moved"] == done,
        "updated": iso(lane["updated_ns"]),
    }


def awaited(lane: RowMapping) -> list[tuple[int, int]]:
    """The closed spans above the watermark and below `next_seq` that nothing accounts for yet, in order."""
    gaps = []
    first_open, next_seq = lane["watermark"] + 1, lane["next_seq"]
    for first, last in [*sorted((first, last) for first, last in lane["ranges"]), (next_seq, next_seq)]:
        if first > first_open:
            gaps.append((first_open, first - 1))
        first_open = max(first_open, last + 1)
    return gaps


async def _newest(conn: AsyncConnection, table: Table, by: Any, gateway: str) -> Mapping[_Key, list[RowMapping]]:
    """The rows of each lane with the highest numbers, one more than are shown."""
    place = func.row_number().over(partition_by=[table.c.epoch, table.c.lane], order_by=by.desc()).label("place")
    wanted = [column for column in table.c if column.name != "payload"]
    ranked = select(*wanted, place).where(table.c.gateway == gateway).subquery()
    found: dict[_Key, list[RowMapping]] = defaultdict(list)
    for row in (await conn.execute(select(ranked).where(ranked.c.place <= MAX_GAPS + 1))).mappings():
        found[row["epoch"], row["lane"]].append(row)
    return found


def _lane(lane: RowMapping, lost: Sequence[RowMapping], aside: Sequence[RowMapping]) -> dict[str, Any]:
    gaps = [*_lost(lost), *_aside(aside), *(_gap(first, last, "awaited") for first, last in awaited(lane))]
    gaps.sort(key=lambda gap: gap["first"], reverse=True)
    return {**account(lane), "gaps": gaps[:MAX_GAPS], "more": len(gaps) > MAX_GAPS}


def _lost(rows: Iterable[RowMapping]) -> Iterable[dict[str, Any]]:
    for row in rows:
        state = "moved" if row["reason"] == Reason.RENUMBERED.value else "lost"
        yield _gap(
            row["seq_from"],
            row["seq_to"],
            state,
            reason=row["reason"],
            at=iso(row["at_ns"]),
            # A loss whose records nobody could read has no first time.
            time_from=iso(row["time_from_ns"] or None),
            time_to=iso(row["time_to_ns"] or None),
            open_end=row["open_end"],
        )


def _aside(rows: Sequence[RowMapping]) -> Iterable[dict[str, Any]]:
    """Neighbours that were refused for the same reason, together."""
    by_reason: dict[str, dict[int, RowMapping]] = defaultdict(dict)
    for row in rows:
        by_reason[row["reason"]][row["seq"]] = row
    for reason, held in by_reason.items():
        for first, last in spans(held):
            yield _gap(first, last, "quarantined", reason=reason, at=iso(held[last]["at_ns"]), detail=held[last]["detail"])


def _gap(first: int, last: int, state: str, **more: Any) -> dict[str, Any]:
    nothing = {"reason": None, "at": None, "time_from": None, "time_to": None, "open_end": False, "detail": ""}
    return {"first": first, "last": last, "count": last - first + 1, "state": state, **nothing, **more}


def _security(row: RowMapping, now_ns: int) -> dict[str, Any]:
    same = ("reason", "count", "last_detail")
    return {**{name: row[name] for name in same}, "last": iso(row["last_ns"]), "age_s": age_s(row["last_ns"], now_ns)}
