"""When what explained alarms is over: each of them is given back in its own time.

A suppression names what explains it. The watch looks after three kinds of names, whoever wrote them, and leaves all others
to people: an occurrence of an alarm (of a gateway, a feeder, a storm, of anything), a feeder's episode that came to nothing,
and a planned work. Once that is over, an alarm that has returned is let go at once and was never told; one that still holds
is let go after the time that is fair, and is told then, if nobody acknowledged it: a silence after the device's whole
limit, for it had no way to speak before; what a feeder or a parent explained after their `settle_s`; all else at once.
Everything is read from the store each time, so a restart in the middle changes nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import NOTHING, SYSTEM, Recorded, Subject, subject_of
from cloud.alarms.suppressing import unsuppress
from cloud.relational.chunks import chunks
from cloud.relational.tables import alarms, suppressions
from cloud.watch.config import Feeder, Parent, Planned, Storm, WatchRules
from cloud.watch.limits import silent_after_s
from cloud.watch.names import FEEDER, PLANNED, RESERVED, SILENT, STORM, planned_link
from cloud.watch.own import IS_ACTIVE, alarm_of, rows_of
from device_profiles.model import Profile
from telemetry.alarm_states import ACTIVE, Suppression
from telemetry.clock import SECOND_NS
from telemetry.records import Priority

__all__ = ["Releases", "keep_none_back"]

_LOOKED_AT: Final = 5_000
"""Suppressed alarms looked at in one tick; the next tick goes on with the next ones."""
_MOST_AT_ONCE: Final = 1_000
"""Let go in one tick: each may become a case and a message."""
_OCCURRENCE: Final = re.compile(r"[^/]+/[^/]+/[0-9]+")
_SUPPRESSED: Final = (Suppression.SUPPRESSED_BY_DESIGN.value, Suppression.OUT_OF_SERVICE.value)
_BELOW_CRITICAL: Final = tuple(priority for priority in Priority if priority is not Priority.CRITICAL)

Row = Mapping[str, Any]


class Releases:
    """Lets go what nothing explains any longer, in portions."""

    def __init__(self, catalog: Mapping[str, Profile], rules: WatchRules) -> None:
        self._catalog = catalog
        self._feeders = {feeder.name: feeder for feeder in rules.of(Feeder)}
        self._settle_s = {(parent.by_device, parent.by_rule): parent.settle_s for parent in rules.of(Parent)}
        self._settle_s |= {(feeder.name, FEEDER): feeder.settle_s for feeder in rules.of(Feeder)}
        self._planned = {planned_link(planned.name): planned for planned in rules.of(Planned)}
        self._after = ""

    async def release(self, conn: AsyncConnection, now_ns: int) -> Recorded:
        """Let go what is due of the next portion."""
        # `shown` has an index, `by_design` has none.
        wanted = select(suppressions).where(
            suppressions.c.shown.in_(_SUPPRESSED), suppressions.c.by_design, suppressions.c.id > self._after
        )
        rows = await rows_of(conn, wanted.order_by(suppressions.c.id).limit(_LOOKED_AT))
        self._after = rows[-1]["id"] if len(rows) == _LOOKED_AT else ""
        links = [(row, by) for row in rows for by in row["suppressed_by"]]
        reasons = await _reasons(conn, sorted({by for _, by in links if _OCCURRENCE.fullmatch(by)}))
        ended = [(row, by) for row, by in links if not self._holds(by, reasons.get(by), now_ns)]
        active = await _active(conn, sorted({row["device"] for row, _ in ended}))
        due: dict[str, list[Subject]] = {}
        for row, by in ended:
            holds = (row["device"], row["rule"]) in active
            if not holds or now_ns >= self._fair_ns(row, by, reasons.get(by)):
                due.setdefault(by, []).append(subject_of(row))
        return await _let_go(conn, due, now_ns)

    def _holds(self, by: str, reason: Row | None, now_ns: int) -> bool:
        """Whether it still explains what it suppresses; what is not the watch's to end always does."""
        if by.startswith(PLANNED):
            planned = self._planned.get(by)
            return planned is not None and now_ns < planned.until_ns
        if not _OCCURRENCE.fullmatch(by):
            return True
        if reason is None:
            return by.split("/")[1] not in RESERVED
        return reason["state"] in ACTIVE

    def _fair_ns(self, row: Row, by: str, reason: Row | None) -> int:
        """When an alarm that still holds is told, though what explained it is over."""
        name, _, rest = by.partition("/")
        rule = rest.partition("/")[0]
        if by.startswith(PLANNED):
            return 0
        if reason is None:
            feeder = self._feeders.get(name)
            return int(row["changed_ns"]) + round(feeder.within_s * SECOND_NS) if feeder else 0
        settle_s = self._settle_s.get((name, rule), 0.0)
        if row["rule"] == SILENT:
            settle_s = max(settle_s, silent_after_s(self._catalog.get(row["profile"])))
        return int(reason["returned_ns"] or reason["raised_ns"]) + round(settle_s * SECOND_NS)


async def keep_none_back(conn: AsyncConnection, worse: Sequence[Row], rules: WatchRules, now_ns: int) -> Recorded:
    """Give back those of these alarms, rows of `alarms`, that are too important by now for the storm or feeder that has them."""
    about = {own.alarm: own for own in map(alarm_of, worse)}
    storms = {storm.name: storm.priorities for storm in rules.of(Storm)}
    due: dict[str, list[Subject]] = {}
    for some in chunks(sorted(about)):
        wanted = select(suppressions.c.id, suppressions.c.suppressed_by).where(suppressions.c.id.in_(some))
        for row in await conn.execute(wanted):
            for by in row.suppressed_by:
                name, _, rest = by.partition("/")
                rule = rest.partition("/")[0]
                least = storms.get(name, ()) if rule == STORM else _BELOW_CRITICAL
                if rule in {STORM, FEEDER} and about[row.id].priority not in least:
                    due.setdefault(by, []).append(about[row.id])
    return await _let_go(conn, due, now_ns)


async def _reasons(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for some in chunks(ids):
        named = select(alarms.c.id, alarms.c.state, alarms.c.raised_ns, alarms.c.returned_ns)
        found |= {row["id"]: row for row in await rows_of(conn, named.where(alarms.c.id.in_(some)))}
    return found


async def _active(conn: AsyncConnection, names: Sequence[str]) -> set[tuple[str, str]]:
    """(device, rule) of the active alarms of these devices."""
    found: set[tuple[str, str]] = set()
    for some in chunks(names):
        wanted = select(alarms.c.device, alarms.c.rule).where(alarms.c.device.in_(some), IS_ACTIVE)
        found |= {(row.device, row.rule) for row in await conn.execute(wanted)}
    return found


async def _let_go(conn: AsyncConnection, due: Mapping[str, Iterable[Subject]], now_ns: int) -> Recorded:
    done, left = NOTHING, _MOST_AT_ONCE
    for by, subjects in sorted(due.items()):
        some = list(subjects)[:left]
        left -= len(some)
        if some:
            note = "what explained it is over"
            done = done.and_then(await unsuppress(conn, some, by, actor=SYSTEM, note=note, now_ns=now_ns))
    return done
