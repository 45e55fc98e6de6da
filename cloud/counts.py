"""The cloud's account of itself."""

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.notify.outbox import NotificationState
from cloud.relational.tables import cases, lanes, notifications, transitions
from cloud.workflow.states import State
from telemetry.records import Lane, Origin

__all__ = ["CloudCounts", "count"]


class CloudCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the stores were made. `refused` counts messages and rows that were refused,
    quarantined ones included; `transitions` are those of gateways, acknowledgements here left out."""

    stored_readings: int = 0
    lost_readings: int = 0
    quarantined: int = 0
    transitions: int = 0
    cases_opened: int = 0
    cases_closed: int = 0
    notifications_sent: int = 0
    notifications_failed: int = 0
    refused: int = 0


async def count(conn: AsyncConnection, refused: int) -> CloudCounts:
    """The account by the relational store; `refused` is what the process knows better."""
    of_readings = lanes.c.lane == Lane.READINGS.value
    totals = select(func.sum(lanes.c.stored), func.sum(lanes.c.lost), func.sum(lanes.c.quarantined)).where(of_readings)
    stored, lost, quarantined = (await conn.execute(totals)).one()
    by_state = select(cases.c.state, func.count()).group_by(cases.c.state)
    cases_in = {row[0]: row[1] for row in await conn.execute(by_state)}
    by_outcome = select(notifications.c.state, func.count()).group_by(notifications.c.state)
    messages = {row[0]: row[1] for row in await conn.execute(by_outcome)}
    from_gateways = select(func.count()).select_from(transitions).where(transitions.c.origin == Origin.EDGE.value)
    return CloudCounts(
        stored_readings=stored or 0,
        lost_readings=lost or 0,
        quarantined=quarantined or 0,
        transitions=await conn.scalar(from_gateways) or 0,
        cases_opened=sum(cases_in.values()),
        cases_closed=cases_in.get(State.CLOSED.value, 0),
        notifications_sent=messages.get(NotificationState.SENT.value, 0),
        notifications_failed=messages.get(NotificationState.FAILED.value, 0),
        refused=refused,
    )
