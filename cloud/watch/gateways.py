"""Gateways that are gone: one alarm for each, whatever hangs on it.

A gateway is heard when the cloud stores what it sends, when it says hello, and when it reports that it is online. The
broker keeps the last report and gives it to a cloud that connects anew, so a report counts from when it was written, where
the gateway's clock is told to be sound. A gateway is gone when it, or its will, said so a while ago, or when nothing of
it was heard for long; both are counted from when the cloud began to listen, where that was later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import Recorded
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, devices, gateways, lanes
from cloud.watch.config import GatewayWatch
from cloud.watch.names import GATEWAY
from cloud.watch.own import IS_ACTIVE, Raise, raise_all, return_all, rows_of, subject
from device_profiles.model import LATITUDE, LONGITUDE
from telemetry.clock import SECOND_NS
from telemetry.records import ClockQuality, Value

__all__ = ["Road", "children", "judge_gateways", "roads"]

_MOST_AT_ONCE: Final = 2_000
"""Gateways judged in one tick; the next tick goes on with the next ones."""


class Road(msgspec.Struct, frozen=True, kw_only=True):
    """The way from a gateway to the cloud. Times are nanoseconds of the cloud's clock, 0 for never.

    What the gateway's devices said up to `arrived_ns` has arrived. `left_ns` is when it said that it goes, `alarm` the active
    occurrence that it is gone, raised at `raised_ns`; `returned_ns` is when the last such alarm was over.
    """

    heard_ns: int
    arrived_ns: int
    left_ns: int = 0
    clock_is_sound: bool = True
    alarm: str = ""
    raised_ns: int = 0
    returned_ns: int = 0

    def gone(self, watch: GatewayWatch, since_ns: int, now_ns: int) -> str:
        """Why it is gone, "" while it is not; the cloud has been listening since `since_ns`."""
        if self.left_ns >= self.heard_ns and now_ns - max(self.left_ns, since_ns) >= watch.offline_after_s * SECOND_NS:
            return "offline"
        return "silent" if now_ns - max(self.heard_ns, since_ns) >= watch.silent_after_s * SECOND_NS else ""


async def children(conn: AsyncConnection, gateway: str) -> list[dict[str, Any]]:
    """The devices that hang on a gateway, by id: `id`, `name`, `kind` and `profile` of each."""
    named = select(devices.c.id, devices.c.name, devices.c.kind, devices.c.profile)
    return await rows_of(conn, named.where(devices.c.gateway == gateway).order_by(devices.c.id))


async def roads(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Road]:
    """What the store knows of these gateways; those that it does not know are left out."""
    found: dict[str, Road] = {}
    for some in chunks(ids):
        stored = {row[0]: row[1] for row in await conn.execute(_last_stored(some))}
        past = {row.device: row for row in await conn.execute(_alarms_of(some))}
        for row in await rows_of(conn, select(gateways).where(gateways.c.id.in_(some))):
            found[row["id"]] = _road(row, stored.get(row["id"], 0), past.get(row["id"]))
    return found


async def judge_gateways(
    conn: AsyncConnection, watch: GatewayWatch, after: str, since_ns: int, now_ns: int
) -> tuple[Recorded, str]:
    """Raise and return the alarms of the gateways that come after the id `after`; the last id judged, "" at the end."""
    wanted = select(gateways.c.id).where(gateways.c.id > after).order_by(gateways.c.id).limit(_MOST_AT_ONCE)
    ids = (await conn.scalars(wanted)).all()
    found = await roads(conn, ids)
    why = {name: road.gone(watch, since_ns, now_ns) for name, road in found.items()}
    lost = [name for name, road in found.items() if why[name] and not road.alarm]
    back = [road.alarm for name, road in found.items() if road.alarm and not why[name] and road.heard_ns > road.raised_ns]
    raised = await raise_all(conn, await _raises(conn, watch, {name: (why[name], found[name]) for name in lost}), now_ns)
    rows: list[Mapping[str, Any]] = []
    for some in chunks(back):
        rows += await rows_of(conn, select(alarms).where(alarms.c.id.in_(some)).order_by(alarms.c.id))
    returned = await return_all(conn, rows, "the gateway is heard again", now_ns)
    return raised.and_then(returned), ids[-1] if len(ids) == _MOST_AT_ONCE else ""


async def _raises(conn: AsyncConnection, watch: GatewayWatch, lost: Mapping[str, tuple[str, Road]]) -> list[Raise]:
    """The alarms of gateways, each told with how many children it has and where the middle of them is."""
    middle = select(devices.c.gateway, func.count(), func.avg(devices.c.longitude), func.avg(devices.c.latitude)).group_by(
        devices.c.gateway
    )
    known: dict[str, dict[str, Value]] = {}
    for some in chunks(sorted(lost)):
        for gateway, count, longitude, latitude in await conn.execute(middle.where(devices.c.gateway.in_(some))):
            place = {} if longitude is None else {LONGITUDE: round(longitude, 6), LATITUDE: round(latitude, 6)}
            known[gateway] = {"children": count, **place}
    return [
        Raise(
            subject=subject(name, GATEWAY, watch.priority),
            evidence={"why": why, "heard_ns": road.heard_ns, "children": 0, **known.get(name, {})},
        )
        for name, (why, road) in sorted(lost.items())
    ]


def _last_stored(ids: Sequence[str]) -> Any:
    return select(lanes.c.gateway, func.max(lanes.c.updated_ns)).where(lanes.c.gateway.in_(ids)).group_by(lanes.c.gateway)


def _alarms_of(ids: Sequence[str]) -> Any:
    last = select(
        alarms.c.device,
        func.max(alarms.c.returned_ns).label("returned_ns"),
        func.max(case((IS_ACTIVE, alarms.c.id))).label("alarm"),
        func.max(case((IS_ACTIVE, alarms.c.raised_ns))).label("raised_ns"),
    )
    return last.where(alarms.c.device.in_(ids), alarms.c.rule == GATEWAY).group_by(alarms.c.device)


def _road(row: Mapping[str, Any], stored_ns: int, past: Any) -> Road:
    status, seen_ns, ahead_ns = row["status"], row["last_seen_ns"], row["clock_ahead_ns"]
    sound = row["clock"] != ClockQuality.UNSYNCED.value
    hello_ns = min(row["hello_ns"] - ahead_ns, seen_ns) if row["hello_ns"] and ahead_ns is not None else 0
    # A goodbye is a word of the gateway's own; its will was written when it connected.
    said_ns, written_ns = seen_ns if row["online"] else 0, status.get("at_ns")
    if sound and written_ns and ahead_ns is not None:
        said_ns = min(written_ns - ahead_ns, seen_ns)
    heard_ns = max(stored_ns, hello_ns, said_ns)
    # Of the lane of readings only the oldest of both is told; events wait for a moment, readings may wait for days.
    waits_ns = status.get("oldest_unacked_ns") if row["online"] else None
    return Road(
        heard_ns=heard_ns,
        arrived_ns=heard_ns if waits_ns is None else min(heard_ns, waits_ns),
        left_ns=0 if row["online"] or not status else seen_ns,
        clock_is_sound=sound,
        alarm=(past.alarm or "") if past else "",
        raised_ns=(past.raised_ns or 0) if past else 0,
        returned_ns=(past.returned_ns or 0) if past else 0,
    )
