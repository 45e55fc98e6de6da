"""Gateways with the account of every lane, what was refused, and the profiles in use."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from cloud.api import schemas
from cloud.api.answers import json_answer
from cloud.api.common import Given, NoQuery, PageQuery, metric_info, text
from cloud.api.cursors import next_cursor, read_cursor
from cloud.api.gateway_schemas import GatewayPage, GatewayTotals
from cloud.api.ledger import account, awaited
from cloud.api.schemas import Printable
from cloud.api.times import age_s, iso
from cloud.presence import BEAT_NS, SILENT_NS, Standing, beats, standing_of, states_of
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, devices, gateways, lanes, refusals
from cloud.watch.limits import offline_after_s
from cloud.watch.names import GATEWAY
from cloud.watch.own import IS_ACTIVE
from device_profiles.model import Profile
from telemetry.clock import SECOND_NS
from telemetry.records import ClockQuality

__all__ = ["router"]

router = APIRouter(tags=["gateways"])

MAX_GAPS = 20
_PORTION: Final = 1000
_HERE: Final[Mapping[str, Any]] = {"alarm": None, "case_id": None}


class GatewayQuery(PageQuery):
    """Which gateways."""

    standing: list[Standing] = Field(default=[], max_length=3, description="only those that are so now; say it again for more")
    backlog: bool | None = Field(None, description="true: only those with records waiting, false: only those without")
    clock: list[ClockQuality] = Field(default=[], max_length=3, description="only with such a clock; say it again for more")
    version: Annotated[str, Printable] | None = Field(None, max_length=64, description="only with this version of the agent")
    q: Annotated[str, Printable] | None = Field(None, min_length=1, max_length=64, description="part of the id")

    def narrow(self, wanted: Select[Any], now_ns: int) -> Select[Any]:
        """All but `backlog`, which stands in what the gateways say."""
        if self.standing:
            wanted = wanted.where(or_(*(_stands(standing, now_ns) for standing in self.standing)))
        if self.clock:
            wanted = wanted.where(gateways.c.clock.in_([clock.value for clock in self.clock]))
        if self.version is not None:
            wanted = wanted.where(gateways.c.agent_version == self.version)
        return wanted if self.q is None else wanted.where(gateways.c.id.contains(self.q, autoescape=True))


@router.get("/gateways", summary="Gateways with the account of each lane", response_model=GatewayPage)
async def list_gateways(given: Given, query: Annotated[GatewayQuery, Query()]) -> Response:
    """In order of id. For every lane of every epoch: stored + quarantined + lost + moved + missing = next_seq - 1."""
    after = read_cursor(query.cursor, tuple[str])
    now_ns = given.clock.wall_ns()
    accounts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    async with reading(given.engine) as conn:
        rows = await _found(conn, query, after[0] if after else "", now_ns)
        page = rows[: query.limit]
        ids = [row["id"] for row in page]
        held = select(lanes).where(lanes.c.gateway.in_(ids))
        for lane in (await conn.execute(held.order_by(lanes.c.updated_ns.desc(), lanes.c.lane))).mappings():
            accounts[lane["gateway"]].append(_account(lane))
        states = await states_of(conn, ids)
        gone = await _gone(conn, ids)
    more = next_cursor(ids[-1]) if len(rows) > query.limit else None
    items = [
        {
            **_shown(row, accounts[row["id"]], now_ns),
            "beats": beats(states[row["id"]], dict(row), now_ns),
            **gone.get(row["id"], _HERE),
        }
        for row in page
    ]
    return json_answer({"items": items, "next": more})


@router.get("/gateways/totals", summary="All gateways, counted", response_model=GatewayTotals)
async def count_gateways(given: Given, _: NoQuery) -> dict[str, Any]:
    """`records` wait in the outboxes of `backlog` gateways; `heard` of the devices that gateways know were heard lately."""
    now_ns = given.clock.wall_ns()
    named = (gateways.c.online, gateways.c.last_seen_ns, gateways.c.agent_version, gateways.c.clock, gateways.c.status)
    async with reading(given.engine) as conn:
        rows = (await conn.execute(select(*named))).mappings().all()
    standing = Counter(standing_of(online=row["online"], last_seen_ns=row["last_seen_ns"], now_ns=now_ns) for row in rows)
    waiting = [sum(_outbox(row["status"] or {})["backlog"].values()) for row in rows]
    told = [_devices(row["status"] or {}) for row in rows]
    return {
        "gateways": len(rows),
        **{word.value: standing[word] for word in Standing},
        "backlog": sum(count > 0 for count in waiting),
        "records": sum(waiting),
        "devices": sum(expected or 0 for expected, _ in told),
        "heard": sum(heard or 0 for _, heard in told),
        "clocks": Counter(row["clock"] for row in rows if row["clock"]),
        "versions": Counter(row["agent_version"] for row in rows if row["agent_version"]),
    }


async def _found(conn: AsyncConnection, query: GatewayQuery, after: str, now_ns: int) -> list[RowMapping]:
    """The next gateways behind the id `after`, one more than are asked for where there are so many."""
    counted = select(func.count()).where(devices.c.gateway == gateways.c.id).scalar_subquery()
    wanted = query.narrow(select(gateways, counted.label("devices")), now_ns).order_by(gateways.c.id)
    most = query.limit + 1
    if query.backlog is None:
        return list((await conn.execute(wanted.where(gateways.c.id > after).limit(most))).mappings())
    found: list[RowMapping] = []
    while len(found) < most:
        some = (await conn.execute(wanted.where(gateways.c.id > after).limit(_PORTION))).mappings().all()
        found += [row for row in some if _waits(row) is query.backlog]
        if len(some) < _PORTION:
            break
        after = some[-1]["id"]
    return found[:most]


def _waits(row: RowMapping) -> bool:
    return any(_outbox(row["status"] or {})["backlog"].values())


def _stands(standing: Standing, now_ns: int) -> ColumnElement[bool]:
    if standing is Standing.OFFLINE:
        return gateways.c.online.is_(False)
    since_ns = now_ns - SILENT_NS
    heard = gateways.c.last_seen_ns >= since_ns if standing is Standing.ONLINE else gateways.c.last_seen_ns < since_ns
    return and_(gateways.c.online, heard)


async def _gone(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The active alarms of gateways that are gone, with the case that each belongs to."""
    wanted = select(alarms.c.device, alarms.c.id, alarms.c.case_id).where(
        alarms.c.device.in_(ids), alarms.c.rule == GATEWAY, IS_ACTIVE
    )
    return {row.device: {"alarm": row.id, "case_id": row.case_id} for row in await conn.execute(wanted)}


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
        "standing": standing_of(online=row["online"], last_seen_ns=row["last_seen_ns"], now_ns=now_ns).value,
        "beat_s": BEAT_NS // SECOND_NS,
        **dict(zip(("expected", "heard"), _devices(row["status"] or {}), strict=True)),
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


def _devices(status: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many devices the gateway expects to hear, and how many it heard; None where it never said."""
    return status.get("devices_expected"), status.get("devices_heard")


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
