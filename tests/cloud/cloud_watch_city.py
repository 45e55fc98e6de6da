"""A small city for the tests of the watch: gateways, devices, what is heard of them, and who is told of what."""

from collections.abc import Iterable, Mapping
from typing import Any

from cloud_records import T0, S
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.alarms.announce import _entered
from cloud.alarms.log import Recorded, record
from cloud.relational.engine import reading, writing
from cloud.relational.tables import alarms, devices, gateways, suppressions
from cloud.watch.config import WatchRules
from cloud.watch.watch import Watch
from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from telemetry.records import Cause, Origin, Priority, Transition

__all__ = ["CATALOG", "T0", "City", "S", "device_row", "gateway_row", "raised"]

CATALOG: Mapping[str, Profile] = load_catalog()


def gateway_row(name: str, at_s: float = 0, *, online: bool = True, **more: Any) -> dict[str, Any]:
    at_ns = T0 + round(at_s * S)
    status = {"online": online, "at_ns": at_ns, "oldest_unacked_ns": None}
    held = {"id": name, "online": online, "first_seen_ns": T0, "last_seen_ns": at_ns, "status": status, "clock_ahead_ns": 0}
    return {"hello_ns": T0, "clock": "synced", **held, **more}


def device_row(name: str, gateway: str = "gw-1", profile: str = "cover_nbiot", **more: Any) -> dict[str, Any]:
    held = {"id": name, "gateway": gateway, "profile": profile, "profile_version": 1, "kind": "manhole_cover"}
    return {**held, "first_seen_ns": T0, "last_reading_ns": None, "longitude": None, "latitude": None, **more}


def raised(
    device: str,
    rule: str,
    at_s: float,
    *,
    priority: Priority = Priority.LOW,
    cause: Cause = Cause.RAISE,
    onset_s: float | None = None,
    n: int = 1,
) -> Transition:
    """A gateway's step of the occurrence that began at `onset_s`, or with this step."""
    onset_ns = T0 + round((at_s if onset_s is None else onset_s) * S)
    return Transition(
        alarm=f"{device}/{rule}/{onset_ns}",
        origin=Origin.EDGE,
        n=n,
        device=device,
        rule=rule,
        profile="lamp_single_lwm2m",
        profile_version=1,
        cause=cause,
        priority=priority,
        event_time_ns=T0 + round(at_s * S),
        recorded_ns=T0 + round(at_s * S),
        actor="edge",
    )


class City:
    """A store, and the watch over it. `told` are the alarms that people were told of, in turn."""

    def __init__(self, engine: AsyncEngine, rules: WatchRules | None = None, catalog: Mapping[str, Profile] = CATALOG) -> None:
        self.engine = engine
        self.rules = rules or WatchRules()
        self.catalog = catalog
        self.told: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Another process: it knows nothing but what is in the store."""
        self.watch = Watch(self.catalog, self.rules)

    async def build(self, gateway_rows: Iterable[Mapping[str, Any]], device_rows: Iterable[Mapping[str, Any]]) -> None:
        async with writing(self.engine) as conn:
            for table, rows in ((gateways, gateway_rows), (devices, device_rows)):
                if held := list(rows):
                    await conn.execute(insert(table), held)

    async def tick(self, at_s: float) -> Recorded:
        async with writing(self.engine) as conn:
            return await self._tell(conn, await self.watch.tick(conn, T0 + round(at_s * S)))

    async def ticks(self, *at_s: float) -> None:
        for each in at_s:
            await self.tick(each)

    async def come(self, at_s: float, *steps: Transition) -> Recorded:
        """What gateways say of alarms, as it is ingested."""
        now_ns = T0 + round(at_s * S)
        async with writing(self.engine) as conn:
            return await self._tell(conn, await self.watch.seen(conn, await record(conn, steps, now_ns), now_ns))

    async def hear(self, at_s: float, *names: str) -> None:
        """Readings of these devices, of this moment."""
        async with writing(self.engine) as conn:
            at_ns = T0 + round(at_s * S)
            await conn.execute(update(devices).where(devices.c.id.in_(names)).values(last_reading_ns=at_ns))

    async def report(self, at_s: float, *names: str, online: bool = True, **more: Any) -> None:
        """The status of these gateways: they are online, or they or their wills say that they go."""
        async with writing(self.engine) as conn:
            for name in names:
                row = gateway_row(name, at_s, online=online, **more)
                del row["first_seen_ns"]
                await conn.execute(update(gateways).where(gateways.c.id == name).values(row))

    async def active(self, rule: str) -> list[str]:
        """The devices with an active alarm of this rule."""
        async with reading(self.engine) as conn:
            wanted = select(alarms.c.device).where(alarms.c.rule == rule, alarms.c.state.in_(["unacknowledged", "acknowledged"]))
            return list((await conn.scalars(wanted.order_by(alarms.c.device))).all())

    async def suppressed(self) -> dict[str, list[str]]:
        """device -> what suppresses its alarms by design now."""
        async with reading(self.engine) as conn:
            rows = await conn.execute(select(suppressions).where(suppressions.c.by_design).order_by(suppressions.c.id))
            return {row.device: row.suppressed_by for row in rows}

    async def _tell(self, conn: AsyncConnection, recorded: Recorded) -> Recorded:
        self.told += [alarm["id"].rpartition("/")[0] for _, alarm in await _entered(conn, recorded)]
        return recorded
