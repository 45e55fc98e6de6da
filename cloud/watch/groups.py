"""Which devices belong to which group, learned from the store and learned anew when that is some minutes old."""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import devices
from cloud.watch.config import Group, Rule
from telemetry.clock import SECOND_NS

__all__ = ["Groups"]

_FRESH_NS: Final = 300 * SECOND_NS
"""A device that was just registered belongs to its groups this much later at most."""


class Groups:
    """The groups of the rules, by the rules' names. Nothing is known before the first `learn`."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._groups: Mapping[str, Group] = {rule.name: rule.group for rule in rules}
        self._members: dict[str, frozenset[str]] = {}
        self._learned_ns: int | None = None

    async def learn(self, conn: AsyncConnection, now_ns: int) -> None:
        """Know who is registered. Asks the store every five minutes; a clock that was set back makes it ask, too."""
        if self._learned_ns is not None and 0 <= now_ns - self._learned_ns < _FRESH_NS:
            return
        self._members = {
            name: await _members(conn, group) for name, group in self._groups.items() if not group.is_all and not _is_list(group)
        }
        self._learned_ns = now_ns

    def holds(self, name: str, device: str) -> bool:
        """Whether the device belongs to the group of the rule of that name."""
        group = self._groups[name]
        if group.is_all:
            return True
        return device in (group.devices if _is_list(group) else self._members.get(name, ()))

    def size(self, name: str) -> int:
        """How many devices belong to it; 0 where all do, for nobody counts them."""
        group = self._groups[name]
        return len(set(group.devices)) if _is_list(group) else len(self._members.get(name, ()))


def _is_list(group: Group) -> bool:
    """Whether it is ids and nothing else: some may be gateways, or devices that are not registered yet."""
    return bool(group.devices) and not (group.kinds or group.gateways or group.area)


async def _members(conn: AsyncConnection, group: Group) -> frozenset[str]:
    wanted = select(devices.c.id, devices.c.longitude, devices.c.latitude)
    conditions = ((devices.c.id, group.devices), (devices.c.kind, group.kinds), (devices.c.gateway, group.gateways))
    for column, values in conditions:
        if values:
            wanted = wanted.where(column.in_(values))
    rows = (await conn.execute(wanted)).all()
    if group.area is None:
        return frozenset(row.id for row in rows)
    placed = (row for row in rows if row.longitude is not None and row.latitude is not None)
    return frozenset(row.id for row in placed if group.area.at(row.longitude, row.latitude))
