"""Maintenance windows in the log: which alarms a crew disarmed, and whether what was opened is closed again.

A window is a shelf like any other, and ends with its time like any other. What tells it apart is an entry in the evidence
of its step, so nothing but the log has to remember it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.tables import alarms, suppressions, transitions
from telemetry.alarm_states import ACTIVE, Shelf
from telemetry.records import Cause

__all__ = ["KEY", "WINDOW", "closed_again", "returned_devices", "windows_of"]

WINDOW: Final = "ends_when_closed"
"""The entry in the evidence of SHELVE that makes it a maintenance window: the rules, parted by blanks, that say "it is open";
empty where the device has none and only time ends the window."""
KEY: Final = "key"
"""The entry beside it that says which request disarmed the device."""

_RETURNS: Final = frozenset({Cause.RETURN.value, Cause.RETURN_LATCHED.value})
_ACTIVE: Final = frozenset(state.value for state in ACTIVE)


async def windows_of(conn: AsyncConnection, devices: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """device -> the rows of `suppressions` that a maintenance window of it shelves, in order of id, each with its WINDOW and
    KEY entries beside it. At most 500 devices at once."""
    made = (
        transitions.c.alarm == suppressions.c.id,
        transitions.c.event_time_ns == suppressions.c.shelved_ns,
        transitions.c.cause == Cause.SHELVE.value,
    )
    shelved = suppressions.c.device.in_(devices), suppressions.c.shelf == Shelf.TIMED.value
    wanted = select(suppressions, transitions.c.evidence).join(transitions, made[0] & made[1] & made[2]).where(*shelved)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in (await conn.execute(wanted.order_by(suppressions.c.id))).mappings():
        if WINDOW in row["evidence"]:
            said = {name: str(row["evidence"].get(name, "")) for name in (WINDOW, KEY)}
            found.setdefault(row["device"], []).append({**row, **said})
    return found


def returned_devices(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    """The devices of which an alarm returned by these rows of `transitions`."""
    return sorted({row["device"] for row in steps if row["cause"] in _RETURNS})


async def closed_again(conn: AsyncConnection, devices: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of `suppressions` whose window is over, for the device was opened in it, is closed, and lies still. At most 500
    devices at once."""
    over: list[dict[str, Any]] = []
    for device, rows in (await windows_of(conn, devices)).items():
        openings = {rule for row in rows for rule in row[WINDOW].split()}
        rules = openings | {row["rule"] for row in rows}
        began_ns = min(row["shelved_ns"] for row in rows)
        lately = or_(alarms.c.state.in_(_ACTIVE), alarms.c.returned_ns > began_ns)
        wanted = select(alarms.c.rule, alarms.c.state).where(alarms.c.device == device, alarms.c.rule.in_(rules), lately)
        alarmed = (await conn.execute(wanted)).all()
        if any(row.rule in openings for row in alarmed) and not any(row.state in _ACTIVE for row in alarmed):
            over += rows
    return over
