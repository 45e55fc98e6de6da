"""The watch as a whole: what is judged every few seconds, and what is looked at with every alarm that comes in.

Both write in the caller's transaction and return all that was recorded; the caller announces it and commits. Nothing is
remembered but where the next portion begins, who belongs to which group, and since when the cloud has been listening: all
else is read from the store, so that another process, or this one after a restart, goes on with it.

Grace. A cloud that was down, or whose broker was, has heard nobody. No device is called silent within `silence.grace_s` of
the first tick, of a reconnect after a minute or more (`link`), or of the first tick after a pause in which the process stood
still; and none at all while there is no connection. Gateways have their whole limit again. By the end of the grace they have
said hello and have told what they still keep, and nobody is judged by what is kept (`cloud.watch.devices`).
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.alarms.log import NOTHING, Recorded
from cloud.watch import explain, feeder, storm
from cloud.watch.config import Feeder, Parent, Planned, Rule, Storm, WatchRules
from cloud.watch.devices import Silences
from cloud.watch.gateways import judge_gateways
from cloud.watch.groups import Groups
from cloud.watch.names import STORM
from cloud.watch.own import active
from cloud.watch.release import Releases, keep_none_back
from device_profiles.model import Profile
from telemetry.alarm_states import ACTIVE, alarm_id
from telemetry.clock import SECOND_NS
from telemetry.records import Cause

__all__ = ["Watch"]

_PAUSE_NS: Final = 180 * SECOND_NS
"""Ticks come every few seconds; after so long without one, the process or the machine stood still."""
_SHORT_NS: Final = 60 * SECOND_NS
"""A connection that was lost for less costs a report of each gateway at most: nothing is counted anew for it."""
_STORMS_KNOWN_NS: Final = 5 * SECOND_NS

Row = Mapping[str, Any]


class Watch:
    """One for each process. `tick` runs where the lease is; `seen` in every ingest, in the transaction of what it recorded."""

    def __init__(self, catalog: Mapping[str, Profile], rules: WatchRules) -> None:
        self._rules = rules
        self._groups = Groups(rules.suppress)
        self._silences = Silences(catalog, rules.silence)
        self._releases = Releases(catalog, rules)
        self._by_rule: dict[str, list[Rule]] = {}
        self._of_any: list[Rule] = []
        for rule in rules.suppress:
            for name in rule.rules:
                self._by_rule.setdefault(name, []).append(rule)
            if not rule.rules:
                self._of_any.append(rule)
        self._reasons = {(parent.by_device, parent.by_rule) for parent in rules.of(Parent)}
        self._storms: dict[str, str] = {}
        self._storms_ns: int | None = None
        self._lately = {each.name: deque[int](maxlen=each.more_than + 1) for each in rules.of(Storm)}
        self._gateways_after = ""
        self._since_ns: int | None = None
        self._ticked_ns = 0
        self._is_connected = True
        self._lost_ns = 0

    def link(self, *, up: bool, now_ns: int) -> None:
        """The connection to the broker was made, or was lost."""
        if up and not self._is_connected and not 0 <= now_ns - self._lost_ns < _SHORT_NS:
            self._since_ns = now_ns
        if not up and self._is_connected:
            self._lost_ns = now_ns
        self._is_connected = up

    async def tick(self, conn: AsyncConnection, now_ns: int) -> Recorded:
        """Judge a bounded portion of gateways, devices and suppressed alarms; call it every few seconds."""
        since_ns = self._listening_since(now_ns)
        done = NOTHING
        if self._is_connected:
            watch = self._rules.gateway
            done, self._gateways_after = await judge_gateways(conn, watch, self._gateways_after, since_ns, now_ns)
            done = done.and_then(await self._silences.gone_again(conn, done, now_ns))
        done = done.and_then(await self._silences.returned(conn, now_ns))
        if self._is_connected and now_ns - since_ns >= self._rules.silence.grace_s * SECOND_NS:
            done = done.and_then(await self._silences.raised(conn, now_ns))
        done = await self.seen(conn, done, now_ns)
        await self._groups.learn(conn, now_ns)
        done = done.and_then(await feeder.over(conn, self._rules.of(Feeder), self._groups, now_ns))
        for each in self._rules.of(Storm):
            done = done.and_then(await storm.begin(conn, each, self._groups, now_ns))
        done = done.and_then(await storm.over(conn, self._rules.of(Storm), self._groups, now_ns))
        return done.and_then(await self._releases.release(conn, now_ns))

    async def seen(self, conn: AsyncConnection, recorded: Recorded, now_ns: int) -> Recorded:
        """Suppress what something explains of the alarms that were just recorded; all that is recorded then."""
        if not self._rules.suppress:
            return recorded
        concerned = self._concerned(recorded)
        if concerned:
            await self._groups.learn(conn, now_ns)
        done = recorded
        for rule, rows in sorted(concerned.values(), key=lambda pair: _ORDER.index(type(pair[0]))):
            members = [row for row in rows if self._groups.holds(rule.name, row["device"]) and not _is_hidden(done, row)]
            done = done.and_then(await self._apply(conn, rule, members, now_ns))
        done = done.and_then(await self._follow(conn, recorded, now_ns))
        return done.and_then(await self._worse(conn, recorded, now_ns))

    def _listening_since(self, now_ns: int) -> int:
        paused = not 0 <= now_ns - self._ticked_ns < _PAUSE_NS
        if self._since_ns is None or (paused and self._ticked_ns) or now_ns < self._since_ns:
            self._since_ns = now_ns
        self._ticked_ns = now_ns
        return self._since_ns

    def _concerned(self, recorded: Recorded) -> dict[str, tuple[Rule, list[Row]]]:
        """The rules, by their names, each with the alarms just raised that have the rules which it is about."""
        found: dict[str, tuple[Rule, dict[str, Row]]] = {}
        for step in recorded.steps:
            if step["cause"] == Cause.RAISE.value and step["alarm"] in recorded.alarms:
                for rule in (*self._by_rule.get(step["rule"], ()), *self._of_any):
                    found.setdefault(rule.name, (rule, {}))[1][step["alarm"]] = recorded.alarms[step["alarm"]]
        return {name: (rule, list(rows.values())) for name, (rule, rows) in found.items()}

    async def _apply(self, conn: AsyncConnection, rule: Rule, rows: list[Row], now_ns: int) -> Recorded:
        if not rows:
            return NOTHING
        match rule:
            case Planned():
                return await explain.by_plan(conn, rule, rows, now_ns)
            case Parent():
                return await explain.by_parent(conn, rule, rows, now_ns)
            case Feeder():
                return await feeder.explain(conn, rule, self._groups, rows, now_ns)
            case Storm():
                return await self._weather(conn, rule, rows, now_ns)
            case _:
                raise TypeError(f"{type(rule).__name__} is no rule that suppresses")

    async def _weather(self, conn: AsyncConnection, desk: Storm, rows: list[Row], now_ns: int) -> Recorded:
        """What a storm has to do with alarms that came to its desk. What is counted here is a hint; the store decides."""
        rows = [row for row in rows if row["rule"] != STORM]
        lately = self._lately[desk.name]
        lately.extend([now_ns] * min(len(rows), desk.more_than + 1))
        by, begun = (await self._raging(conn, now_ns)).get(desk.name), NOTHING
        if by is None and len(lately) > desk.more_than and now_ns - lately[0] < storm.PERIOD_NS:
            begun = await storm.begin(conn, desk, self._groups, now_ns)
            by = next(iter(begun.alarms), None)
            self._storms_ns = None  # the next one reads what was committed
        if by is None:
            return begun
        return begun.and_then(await storm.keep(conn, desk, by, rows, now_ns))

    async def _raging(self, conn: AsyncConnection, now_ns: int) -> Mapping[str, str]:
        """desk -> its storm's occurrence, as the store had it some seconds ago."""
        if self._storms_ns is None or not 0 <= now_ns - self._storms_ns < _STORMS_KNOWN_NS:
            self._storms = {row["device"]: row["id"] for row in await active(conn, STORM)}
            self._storms_ns = now_ns
        return self._storms

    async def _follow(self, conn: AsyncConnection, recorded: Recorded, now_ns: int) -> Recorded:
        """Suppress what alarms that were just raised explain of those that are active already."""
        done = NOTHING
        raised = {step["alarm"] for step in recorded.steps if (step["device"], step["rule"]) in self._reasons}
        for name in sorted(raised & recorded.alarms.keys()):
            row = recorded.alarms[name]
            if row["state"] not in ACTIVE:
                continue
            await self._groups.learn(conn, now_ns)
            for parent in self._rules.of(Parent):
                if (parent.by_device, parent.by_rule) == (row["device"], row["rule"]):
                    done = done.and_then(await explain.children_of(conn, parent, self._groups, name, now_ns))
        return done

    async def _worse(self, conn: AsyncConnection, recorded: Recorded, now_ns: int) -> Recorded:
        """An alarm whose priority was raised may be too important for a storm or a feeder to keep it back."""
        worse = {step["alarm"] for step in recorded.steps if step["cause"] == Cause.PRIORITY_RAISED.value}
        rows = [recorded.alarms[name] for name in sorted(worse & recorded.alarms.keys())]
        return await keep_none_back(conn, rows, self._rules, now_ns) if rows else NOTHING


_ORDER: Final = (Planned, Parent, Feeder, Storm)


def _is_hidden(done: Recorded, row: Row) -> bool:
    return bool(done.suppressions.get(alarm_id(row["device"], row["rule"]), {}).get("shown"))
