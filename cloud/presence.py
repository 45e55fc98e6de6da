"""When each gateway was there: its changes between online, offline and silent, as the cloud saw them.

A gateway says of itself that it is online, every 60 s (`status_s`) unless it is told otherwise; its will says that it is
offline. Whoever was online and then was not heard for two and a half of these beats was silent from when it was last heard.
Kept are the 256 newest changes of each gateway: more than that in a day is a gateway that comes and goes every few minutes.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import gateway_states
from telemetry.clock import SECOND_NS

__all__ = ["BEAT_NS", "SILENT_NS", "SLOTS", "Standing", "beats", "note", "standing_of", "states_of"]

SILENT_NS: Final = 150 * SECOND_NS
SLOTS: Final = 90
BEAT_NS: Final = 960 * SECOND_NS
"""What one bar stands for: 90 of 16 minutes are a day."""
_MOST: Final = 256


class Standing(StrEnum):
    """Whether a gateway is there."""

    ONLINE = "online"
    SILENT = "silent"
    OFFLINE = "offline"


_MARKS: Final = {Standing.ONLINE: "u", Standing.SILENT: "s", Standing.OFFLINE: "d"}
_UNKNOWN: Final = "?"
_PARTLY: Final = "p"

_State = tuple[int, Standing]
"""(from when in nanoseconds, what)."""


def standing_of(*, online: bool, last_seen_ns: int, now_ns: int) -> Standing:
    """What a gateway is now."""
    if not online:
        return Standing.OFFLINE
    return Standing.SILENT if now_ns - last_seen_ns > SILENT_NS else Standing.ONLINE


async def note(conn: AsyncConnection, gateway: str, before: tuple[bool, int] | None, *, online: bool | None, now_ns: int) -> None:
    """Keep what changes as a gateway is heard: `before` is (online, last seen) as it was stored, None for a new one; `online`
    is what it says, None where it says nothing of it."""
    changes = list(_changes(before, online=online, now_ns=now_ns))
    if not changes:
        return
    mine = gateway_states.c.gateway == gateway
    await conn.execute(delete(gateway_states).where(mine, gateway_states.c.at_ns.in_([at_ns for at_ns, _ in changes])))
    await conn.execute(
        gateway_states.insert(), [{"gateway": gateway, "at_ns": at_ns, "state": state.value} for at_ns, state in changes]
    )
    newest = select(gateway_states.c.at_ns).where(mine).order_by(gateway_states.c.at_ns.desc())
    oldest_kept = await conn.scalar(newest.offset(_MOST - 1).limit(1))
    if oldest_kept is not None:
        await conn.execute(delete(gateway_states).where(mine, gateway_states.c.at_ns < oldest_kept))


def _changes(before: tuple[bool, int] | None, *, online: bool | None, now_ns: int) -> Sequence[_State]:
    if before is None:
        return [] if online is None else [(now_ns, _word(online=online))]
    was_online, seen_ns = before
    is_online = was_online if online is None else online
    silent = standing_of(online=was_online, last_seen_ns=seen_ns, now_ns=now_ns) is Standing.SILENT
    gone = [(seen_ns, Standing.SILENT)] if silent else []
    return [*gone, (now_ns, _word(online=is_online))] if silent or is_online != was_online else []


def _word(*, online: bool) -> Standing:
    return Standing.ONLINE if online else Standing.OFFLINE


async def states_of(conn: AsyncConnection, gateways: Sequence[str]) -> Mapping[str, list[_State]]:
    """The changes of these gateways that are kept, in order of time."""
    wanted = select(gateway_states).where(gateway_states.c.gateway.in_(gateways))
    found: dict[str, list[_State]] = {name: [] for name in gateways}
    for row in (await conn.execute(wanted.order_by(gateway_states.c.gateway, gateway_states.c.at_ns))).mappings():
        found[row["gateway"]].append((row["at_ns"], Standing(row["state"])))
    return found


def beats(states: Sequence[_State], row: Mapping[str, Any], now_ns: int) -> str:
    """A letter for each of the 90 slots that end now, the oldest first: u online, s silent, d offline, p more than one of them,
    ? before anything is known. `row` is the gateway's, for whoever is silent just now has no change of it yet."""
    known = list(states)
    if standing_of(online=row["online"], last_seen_ns=row["last_seen_ns"], now_ns=now_ns) is Standing.SILENT:
        known.append((row["last_seen_ns"], Standing.SILENT))
    times = [at_ns for at_ns, _ in known]
    start_ns = now_ns - SLOTS * BEAT_NS
    if bisect_right(times, start_ns) == len(times):
        return (_MARKS[known[-1][1]] if known else _UNKNOWN) * SLOTS
    return "".join(_slot(known, times, start_ns + slot * BEAT_NS) for slot in range(SLOTS))


def _slot(known: Sequence[_State], times: Sequence[int], from_ns: int) -> str:
    first, last = bisect_right(times, from_ns), bisect_right(times, from_ns + BEAT_NS - 1)
    marks = {_MARKS[state] for _, state in known[max(0, first - 1) : last]}
    if not marks:
        return _UNKNOWN
    return marks.pop() if len(marks) == 1 else _PARTLY
