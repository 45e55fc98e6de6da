"""Gateways and devices: who is known, who may speak for what, and when each was heard last."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud import presence
from cloud.relational.tables import devices, epochs, gateways
from cloud.series.honest import MOST_AHEAD_NS, timed
from telemetry.clock import SECOND_NS
from telemetry.wire import DeviceDeclaration, GatewayStatus, Hello, ReadingsBatch

__all__ = ["Registry"]

_log = logging.getLogger(__name__)
_PART = 500
"""Devices updated in one transaction: others who write wait no longer than some milliseconds."""


_PORTION = 20_000
"""Devices read at once at the start."""
_STATED = ("gateway", "profile", "profile_version", "kind", "name", "component_code", "longitude", "latitude")
"""What a gateway declares of a device."""
_LONGEST_WAY_NS = 600 * SECOND_NS


class _Life(msgspec.Struct):
    """The newest epoch of a gateway, all that it ever had, and the boot and time of its latest hello."""

    newest: str
    known: set[str]
    boot_id: str
    sent_ns: int
    past_boots: frozenset[str] = frozenset()
    """Boots of the newest epoch that another one followed, as far as this process has seen it."""


class _Known(NamedTuple):
    """What is remembered of a device's row: a million of them stay small. `stated` is the hash of what its gateway declared."""

    first_seen_ns: int
    stated: int


class Registry:
    """In memory for the questions of each message, in the store for good."""

    def __init__(self, *, auto_register: bool, told: Callable[[Mapping[str, int]], None] = lambda latest: None) -> None:
        """`told` hears of every device that was heard: its id, and the latest event time of what came."""
        self._told = told
        self._auto = auto_register
        self._gateways: dict[str, _Life] = {}
        self._devices: dict[str, _Known] = {}
        self._claims: dict[str, set[str]] = {}
        self._heard: dict[str, int] = {}
        self._unsaved: set[str] = set()

    async def load(self, conn: AsyncConnection) -> None:
        """Learn what the store knows."""
        for row in (await conn.execute(select(gateways))).mappings():
            self._gateways[row["id"]] = _Life(row["epoch"], set(), row["boot_id"], row["hello_ns"])
        for row in (await conn.execute(select(epochs))).mappings():
            if row["gateway"] in self._gateways:
                self._gateways[row["gateway"]].known.add(row["epoch"])
        columns = [devices.c[name] for name in ("id", "first_seen_ns", "last_reading_ns", *_STATED)]
        rows = await conn.stream(select(*columns))
        async for some in rows.partitions(_PORTION):
            for device, first_seen_ns, last_reading_ns, *stated in some:
                self._devices[device] = _Known(first_seen_ns, hash(tuple(stated)))
                self._claims.setdefault(stated[0], set()).add(device)
                if last_reading_ns is not None:
                    self._heard[device] = last_reading_ns

    def knows(self, gateway: str) -> bool:
        """Whether the gateway is registered, or will be when it says hello."""
        return self._auto or gateway in self._gateways

    def claims(self, gateway: str) -> frozenset[str] | set[str]:
        """The devices that a gateway may speak for: those it declared, or those the store has under its name."""
        return self._claims.get(gateway, frozenset())

    def is_late(self, hello: Hello) -> bool:
        """Whether it was overtaken by one that was said after it; what it says of the outbox is not so any more.

        One that seems to be older by more than no message takes on its way comes from a clock that was set back.
        """
        life = self._gateways.get(hello.gateway)
        if life is None or hello.epoch not in life.known or hello.boot_id != life.boot_id:
            return False
        return 0 <= life.sent_ns - hello.sent_ns < _LONGEST_WAY_NS

    def is_over(self, hello: Hello) -> bool:
        """Whether its gateway has begun another epoch since."""
        life = self._gateways.get(hello.gateway)
        return life is not None and hello.epoch in life.known and hello.epoch != life.newest

    def is_copy(self, hello: Hello) -> bool:
        """Whether a boot speaks again that another one had followed: two machines take turns with one epoch."""
        life = self._gateways.get(hello.gateway)
        return life is not None and hello.epoch == life.newest and hello.boot_id in life.past_boots

    async def hello(self, conn: AsyncConnection, hello: Hello, now_ns: int, ahead_ns: int = 0) -> list[dict[str, Any]]:
        """Register what a gateway says of itself; the rows of `devices` that are new or changed.

        `ahead_ns` is how far the gateway's clock was ahead of ours. Call `greeted` after the commit.
        """
        row: dict[str, Any] = {"last_seen_ns": now_ns}
        if not self.is_late(hello):
            row |= {
                "epoch": hello.epoch,
                "boot_id": hello.boot_id,
                "agent_version": hello.agent_version,
                "hello_ns": hello.sent_ns,
                "clock": hello.clock.value,
                "clock_ahead_ns": ahead_ns,
            }
        await self._put_gateway(conn, hello.gateway, row, now_ns)
        life = self._gateways.get(hello.gateway)
        if life is None or hello.epoch not in life.known:
            await conn.execute(epochs.insert().values(gateway=hello.gateway, epoch=hello.epoch, first_seen_ns=now_ns))
        stated = [self._changed(hello.gateway, declared, now_ns) for declared in self._declared(hello)]
        changed = [device for device in stated if device is not None]
        new = [row for row in changed if row["id"] not in self._devices]
        if new:
            await conn.execute(devices.insert(), new)
        for row in changed:
            if row["id"] in self._devices:
                await conn.execute(update(devices).where(devices.c.id == row["id"]).values(row))
        return changed

    def greeted(self, hello: Hello, changed: Iterable[dict[str, Any]]) -> None:
        """The transaction of a hello was committed."""
        if not self.is_late(hello):
            held = self._gateways.get(hello.gateway)
            known = {hello.epoch} if held is None else held.known | {hello.epoch}
            past = frozenset[str]() if held is None or held.newest != hello.epoch else held.past_boots | {held.boot_id}
            self._gateways[hello.gateway] = _Life(hello.epoch, known, hello.boot_id, hello.sent_ns, past - {hello.boot_id})
        self._devices.update((row["id"], _Known(row["first_seen_ns"], _hash(row))) for row in changed)
        declared = {each.device for each in self._declared(hello)}
        self._claims.setdefault(hello.gateway, set()).update(declared)

    async def status(self, conn: AsyncConnection, status: GatewayStatus, now_ns: int) -> dict[str, Any]:
        """Keep what a gateway says of its state; what the feed tells of it."""
        shown = msgspec.to_builtins(status)
        names = status.__struct_fields__
        told = shown if isinstance(shown, dict) else dict(zip(names, shown, strict=True))
        row = {"online": status.online, "status": told, "clock": status.clock.value, "last_seen_ns": now_ns}
        await self._put_gateway(conn, status.gateway, row, now_ns)
        return {"id": status.gateway, "online": status.online, "backlog": told.get("backlog", {})}

    def heard(self, batch: ReadingsBatch, now_ns: int) -> None:
        """Note the latest event time of each device of a batch that was stored; one that nobody can believe is none."""
        if not timed(batch):
            return
        heard, horizon_ns = self._heard, now_ns + MOST_AHEAD_NS
        for group in batch.groups:
            # The last row of each device: a late one at a batch's end leaves the time a little behind, never ahead.
            latest = {row[1]: row[2] for row in group.rows}
            if max(latest.values(), default=0) > horizon_ns:
                latest = {row[1]: row[2] for row in group.rows if row[2] <= horizon_ns}
            self._told({group.devices[index]: time_ns for index, time_ns in latest.items()})
            for index, time_ns in latest.items():
                device = group.devices[index]
                if time_ns > heard.get(device, 0):
                    heard[device] = time_ns
                    self._unsaved.add(device)

    def take_unsaved(self) -> list[tuple[str, int]]:
        """Up to 500 devices heard since they were last taken, with their latest event time."""
        some = [self._unsaved.pop() for _ in range(min(_PART, len(self._unsaved)))]
        return [(device, self._heard[device]) for device in some]

    def give_back(self, heard: Iterable[tuple[str, int]]) -> None:
        """They could not be saved after all."""
        self._unsaved.update(device for device, _ in heard)

    @staticmethod
    async def save_heard(conn: AsyncConnection, heard: Iterable[tuple[str, int]]) -> None:
        """Write when devices were last heard."""
        statement = update(devices).where(devices.c.id == bindparam("device")).values(last_reading_ns=bindparam("time_ns"))
        rows = [{"device": device, "time_ns": time_ns} for device, time_ns in heard]
        if rows:
            await conn.execute(statement, rows)

    def _declared(self, hello: Hello) -> list[DeviceDeclaration]:
        """Without `auto_register`, only devices that the store has already."""
        return [declared for declared in hello.devices if self._auto or declared.device in self._devices]

    def _changed(self, gateway: str, declared: DeviceDeclaration, now_ns: int) -> dict[str, Any] | None:
        """The device's row where it is not the one that is stored."""
        known = self._devices.get(declared.device)
        stated = _stated(gateway, declared)
        if known is not None and known.stated == _hash(stated):
            return None
        heard = self._heard.get(declared.device)
        first = now_ns if known is None else known.first_seen_ns
        return {"id": declared.device, "first_seen_ns": first, "last_reading_ns": heard, **stated}

    async def _put_gateway(self, conn: AsyncConnection, gateway: str, row: Mapping[str, Any], now_ns: int) -> None:
        known = (await conn.execute(select(gateways.c.online, gateways.c.last_seen_ns).where(gateways.c.id == gateway))).first()
        before = None if known is None else (known.online, known.last_seen_ns)
        await presence.note(conn, gateway, before, online=row.get("online"), now_ns=now_ns)
        done = await conn.execute(update(gateways).where(gateways.c.id == gateway).values(row))
        if done.rowcount == 0:
            await conn.execute(gateways.insert().values(id=gateway, first_seen_ns=now_ns, **row))
            _log.info("gateway %s is new", gateway, extra={"event": "cloud.gateway_new", "gateway": gateway})


def _hash(row: Mapping[str, Any]) -> int:
    return hash(tuple(row[name] for name in _STATED))


def _stated(gateway: str, declared: DeviceDeclaration) -> dict[str, Any]:
    longitude, latitude = declared.position or (None, None)
    return {
        "gateway": gateway,
        "profile": declared.profile,
        "profile_version": declared.profile_version,
        "kind": declared.kind,
        "name": declared.name,
        "component_code": declared.component_code,
        "longitude": longitude,
        "latitude": latitude,
    }
