"""Gateways with the account of every lane, what was refused, and the profiles in use."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import RowMapping, and_, func, or_, select

from cloud.api import schemas
from cloud.api.common import Given, NoQuery, PageQuery, metric_info, text
from cloud.api.cursors import next_cursor, read_cursor
from cloud.api.ledger import account, awaited
from cloud.api.times import age_s, iso
from cloud.relational.engine import reading
from cloud.relational.tables import devices, gateways, lanes, refusals
from cloud.watch.limits import offline_after_s
from device_profiles.model import Profile
from telemetry.clock import SECOND_NS

__all__ = ["router"]

router = APIRouter(tags=["gateways"])

MAX_GAPS = 20


@router.get("/gateways", summary="Gateways with the account of each lane", response_model=schemas.GatewayPage)
async def list_gateways(given: Given, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """In order of id. For every lane of every epoch: stored + quarantined + lost + moved + missing = next_seq - 1."""
    after = read_cursor(query.cursor, tuple[str])
    counted = select(func.count()).where(devices.c.gateway == gateways.c.id).scalar_subquery()
    wanted = select(gateways, counted.label("devices")).order_by(gateways.c.id).limit(query.limit + 1)
    if after is not None:
        wanted = wanted.where(gateways.c.id > after[0])
    accounts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
        page = rows[: query.limit]
        held = select(lanes).where(lanes.c.gateway.in_([row["id"] for row in page]))
        for lane in (await conn.execute(held.order_by(lanes.c.updated_ns.desc(), lanes.c.lane))).mappings():
            accounts[lane["gateway"]].append(_account(lane))
    more = next_cursor(page[-1]["id"]) if len(rows) > query.limit else None
    now_ns = given.clock.wall_ns()
    return {"items": [_shown(row, accounts[row["id"]], now_ns) for row in page], "next": more}


@router.get("/refusals", summary="What was refused, by source and reason", response_model=schemas.RefusalPage)
async def list_refusals(given: Given, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """In order of source and reason."""
    wanted = select(refusals).order_by(refusals.c.source, refusals.c.reason).limit(query.limit + 1)
    if (after := read_cursor(query.cursor, tuple[str, str])) is not None:
        same = and_(refusals.c.source == after[0], refusals.c.reason > after[1])
        wanted = wanted.where(or_(refusals.c.source > after[0], same))
    async with reading(given.engine) as conn:
        rows = (await conn.execute(wanted)).mappings().all()
    page = rows[: query.limit]
    more = next_cursor(page[-1]["source"], page[-1]["reason"]) if len(rows) > query.limit else None
    now_ns = given.clock.wall_ns()
    return {"items": [_shown_refusal(row, now_ns) for row in page], "next": more}


@router.get("/profiles", summary="The profiles of the catalog", response_model=schemas.ProfilePage)
async def list_profiles(given: Given, _: NoQuery) -> dict[str, Any]:
    """In order of name."""
    return {"items": [_shown_profile(profile) for _, profile in sorted(given.catalog.items())]}


def _shown(row: RowMapping, accounts: list[dict[str, Any]], now_ns: int) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("id", "online", "agent_version", "epoch", "devices")},
        "first_seen": iso(row["first_seen_ns"]),
        "last_seen": iso(row["last_seen_ns"]),
        "age_s": age_s(row["last_seen_ns"], now_ns),
        **_outbox(row["status"] or {}),
        "clock": row["clock"] or None,
        "clock_ahead_s": _ahead_s(row["clock_ahead_ns"]),
        "status": _readable(row["status"] or {}),
        "lanes": accounts,
    }


def _account(lane: RowMapping) -> dict[str, Any]:
    gaps = [{"first": first, "last": last} for first, last in awaited(lane)[:MAX_GAPS]]
    return {**account(lane), "gaps": gaps}


def _outbox(status: Mapping[str, Any]) -> dict[str, Any]:
    """What a gateway last said of its outbox; nothing is told of one that says nothing."""
    return {
        "backlog": status.get("backlog", {}),
        "declared_lost": status.get("lost", {}),
        "oldest": iso(status.get("oldest_unacked_ns")),
        "outbox_bytes": status.get("outbox_bytes", 0),
        "outbox_max_bytes": status.get("outbox_max_bytes", 0),
    }


def _ahead_s(ahead_ns: int | None) -> float | None:
    return None if ahead_ns is None else round(ahead_ns / SECOND_NS, 3)


def _readable(status: Mapping[str, Any]) -> dict[str, Any]:
    """The gateway's own words with its times as the API writes them."""
    return {
        name.removesuffix("_ns"): iso(value) if name.endswith("_ns") and isinstance(value, int) else value
        for name, value in status.items()
    }


def _shown_refusal(row: RowMapping, now_ns: int) -> dict[str, Any]:
    same = ("source", "reason", "count", "last_detail")
    return {**{name: row[name] for name in same}, "last": iso(row["last_ns"]), "age_s": age_s(row["last_ns"], now_ns)}


def _shown_profile(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "version": profile.version,
        "kind": profile.kind,
        "title": text(profile.title),
        "source": profile.source,
        "offline_after_s": offline_after_s(profile),
        "metrics": [metric_info(metric) for metric in profile.metrics.values()],
        "alarms": [
            {"name": rule.name, "priority": rule.priority.value, "title": text(rule.title), "matter": rule.matter}
            for rule in profile.alarms.values()
        ],
    }
