"""Devices that have fallen silent, as far as the cloud can know it.

A device is silent when `cloud.watch.limits.silent_after_s` have passed since its last reading's own time, or since it was
registered where none ever came. It is told by the time of what it says, not by when that arrived: a backlog that comes in
late is no sign of life, and a device whose clock is slow by more than its limit stays silent until somebody sets it. What
can still be on its way proves nothing, so a device is judged up to `Road.arrived_ns` of its gateway only. While that is old
nothing is said: either the gateway comes back, or it is gone itself; then its devices' silences are true by the cloud's
clock, and each is suppressed by the gateway's alarm before anybody is told. When the gateway is back, they have their whole
limit again before they are told (`cloud.watch.release`). Devices of a gateway whose clock nobody vouches for are not judged:
times may be wrong by years, and its own rules about silence go by a clock that is right.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import NOTHING, SYSTEM, Recorded, Subject
from cloud.alarms.suppressing import suppress
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, devices, suppressions
from cloud.watch.config import SilenceWatch
from cloud.watch.gateways import Road, roads
from cloud.watch.limits import silence_rules, silent_after, silent_after_s
from cloud.watch.names import GATEWAY, SILENT
from cloud.watch.own import IS_ACTIVE, Raise, alarm_of, raise_all, return_all, rows_of
from device_profiles.model import Profile
from telemetry.alarm_states import ACTIVE, alarm_id
from telemetry.clock import SECOND_NS

__all__ = ["Silences"]

_LOOKED_AT: Final = 20_000
"""Devices looked at in one tick; the next tick goes on with the next ones."""
_MOST_AT_ONCE: Final = 5_000
"""Alarms raised, and alarms returned, in one tick."""

_NO_ROAD: Final = Road(heard_ns=0, arrived_ns=0)
_HEARD: Final[ColumnElement[int]] = case(
    (func.coalesce(devices.c.last_reading_ns, 0) > devices.c.first_seen_ns, devices.c.last_reading_ns),
    else_=devices.c.first_seen_ns,
)
"""Since when a device is silent: its last reading's time, or its registration."""


class Silences:
    """Which devices are silent, in portions: every tick goes on where the one before ended, and begins again at the end."""

    def __init__(self, catalog: Mapping[str, Profile], watch: SilenceWatch) -> None:
        self._catalog = catalog
        self._watch = watch
        self._limit = silent_after(devices.c.profile, catalog)
        names = sorted({rule.name for profile in catalog.values() for rule in silence_rules(profile)})
        spoken = alarms.alias("spoken")
        self._spoken = (
            exists()
            .where(spoken.c.device == devices.c.id, spoken.c.rule.in_(names), spoken.c.state.in_(sorted(ACTIVE)))
            .correlate(devices)
        )
        self._after = ""

    async def returned(self, conn: AsyncConnection, now_ns: int) -> Recorded:
        """End the alarms of devices that were heard again, that are gone from the register, or of which their gateway speaks."""
        heard = and_(_HEARD + self._limit > now_ns, devices.c.id.is_not(None))
        over = or_(devices.c.id.is_(None), heard, self._spoken)
        mine = select(alarms, heard.label("heard")).outerjoin(devices, devices.c.id == alarms.c.device)
        mine = mine.where(alarms.c.rule == SILENT, IS_ACTIVE, over).order_by(alarms.c.id).limit(_MOST_AT_ONCE)
        rows = await rows_of(conn, mine)
        done = await return_all(conn, [row for row in rows if row["heard"]], "the device is heard again", now_ns)
        rest = [row for row in rows if not row["heard"]]
        return done.and_then(await return_all(conn, rest, "its gateway speaks of it, or it is registered no longer", now_ns))

    async def raised(self, conn: AsyncConnection, now_ns: int) -> Recorded:
        """Raise what is true of the next devices; a silence under a gateway's alarm is suppressed by it first."""
        rows = await self._overdue(conn, now_ns)
        if not rows:
            return NOTHING
        ways = await roads(conn, sorted({row["gateway"] for row in rows}))
        silent = [(row, road) for row in rows if self._is_silent(row, road := ways.get(row["gateway"], _NO_ROAD), now_ns)]
        raised = [Raise(subject=self._subject(row), evidence=self._evidence(row, now_ns)) for row, _ in silent]
        under: dict[str, list[Subject]] = {}
        for each, (_, road) in zip(raised, silent, strict=True):
            if road.alarm:
                under.setdefault(road.alarm, []).append(each.subject)
        return (await _keep(conn, under, now_ns)).and_then(await raise_all(conn, raised, now_ns))

    async def gone_again(self, conn: AsyncConnection, recorded: Recorded, now_ns: int) -> Recorded:
        """Gateways among what was just recorded that are gone again: what was kept back for the last time stays so.

        What was told meanwhile, because the gateway was there, stays told.
        """
        gone = {row["device"]: name for name, row in recorded.alarms.items() if row["rule"] == GATEWAY and row["state"] in ACTIVE}
        done = NOTHING
        own = and_(suppressions.c.device == alarms.c.device, suppressions.c.rule == alarms.c.rule, suppressions.c.by_design)
        kept = select(alarms, devices.c.gateway, suppressions.c.suppressed_by).join(devices, devices.c.id == alarms.c.device)
        kept = kept.join(suppressions, own).where(alarms.c.rule == SILENT, IS_ACTIVE).order_by(alarms.c.id)
        for some in chunks(sorted(gone)):
            under: dict[str, list[Subject]] = {}
            for row in await rows_of(conn, kept.where(devices.c.gateway.in_(some))):
                if any(by.startswith(f"{alarm_id(row['gateway'], GATEWAY)}/") for by in row["suppressed_by"]):
                    under.setdefault(gone[row["gateway"]], []).append(alarm_of(row))
            done = done.and_then(await _keep(conn, under, now_ns))
        return done

    def _is_silent(self, row: Mapping[str, Any], road: Road, now_ns: int) -> bool:
        if not road.clock_is_sound:
            return False
        since_ns = max(row["heard_ns"], road.returned_ns)
        known_ns = now_ns if road.alarm else road.arrived_ns
        return bool(since_ns + row["limit_ns"] <= known_ns)

    async def _overdue(self, conn: AsyncConnection, now_ns: int) -> list[dict[str, Any]]:
        """Devices of the next portion whose limit is over and that have no alarm about it yet."""
        last = await conn.scalar(_from(self._after).with_only_columns(devices.c.id).offset(_LOOKED_AT - 1).limit(1))
        told = exists().where(alarms.c.device == devices.c.id, alarms.c.rule == SILENT, IS_ACTIVE).correlate(devices)
        wanted = _from(self._after).with_only_columns(
            devices.c.id,
            devices.c.gateway,
            devices.c.profile,
            devices.c.profile_version,
            _HEARD.label("heard_ns"),
            self._limit.label("limit_ns"),
        )
        wanted = wanted.where(now_ns - self._limit >= _HEARD, ~told, ~self._spoken).limit(_MOST_AT_ONCE)
        if last is not None:
            wanted = wanted.where(devices.c.id <= last)
        rows = await rows_of(conn, wanted)
        self._after = rows[-1]["id"] if len(rows) == _MOST_AT_ONCE else last or ""
        return rows

    def _subject(self, row: Mapping[str, Any]) -> Subject:
        profile = self._catalog.get(row["profile"])
        own = silence_rules(profile) if profile else ()
        return Subject(
            alarm=alarm_id(row["id"], SILENT),
            device=row["id"],
            rule=SILENT,
            profile=row["profile"],
            profile_version=row["profile_version"],
            priority=own[0].priority if own else self._watch.priority,
        )

    def _evidence(self, row: Mapping[str, Any], now_ns: int) -> dict[str, int | float]:
        limit_s = silent_after_s(self._catalog.get(row["profile"]))
        return {"heard_ns": row["heard_ns"], "silent_s": (now_ns - row["heard_ns"]) // SECOND_NS, "limit_s": limit_s}


async def _keep(conn: AsyncConnection, under: Mapping[str, list[Subject]], now_ns: int) -> Recorded:
    """Suppress what is under each gateway's alarm."""
    done = NOTHING
    for gone, subjects in sorted(under.items()):
        note = "its gateway is offline"
        done = done.and_then(await suppress(conn, subjects, gone, actor=SYSTEM, note=note, now_ns=now_ns))
    return done


def _from(after: str) -> Select[Any]:
    return select(devices).where(devices.c.id > after).order_by(devices.c.id)
