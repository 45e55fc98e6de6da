"""The platform's own figures for Prometheus (text format 0.0.4), at `/metrics`.

Counts of the stores begin when those were made, counts of the process when it began, and Prometheus is told which by the
process's start time. No label has an endless number of values: none is a device, a person or a case.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from cloud.api.actor import actor_of
from cloud.api.common import Given, NoQuery
from cloud.api.problems import describe
from cloud.meters import Meters
from cloud.relational.engine import reading
from cloud.relational.tables import alarms, cases, gateways, lanes, notifications, refusals
from cloud.series.mirror import Mirror
from telemetry.alarm_states import AlarmState
from telemetry.clock import SECOND_NS

__all__ = ["router"]

router = APIRouter(tags=["system"])

_EXAMPLE: Final = (
    "# HELP citynerve_ingest_lag_seconds ...\n# TYPE citynerve_ingest_lag_seconds gauge\ncitynerve_ingest_lag_seconds 0.04\n"
)


class PrometheusText(Response):
    media_type = "text/plain"


@router.get(
    "/metrics",
    summary="The platform's own figures, for Prometheus",
    response_class=PrometheusText,
    dependencies=[Depends(actor_of)],
    responses={
        200: {"description": "Text format 0.0.4", "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}}},
        **describe(401, 503),
    },
)
async def get_metrics(request: Request, given: Given, _: NoQuery) -> Response:
    """Ingest lag and backlog, refusals by reason, cases by state, notifications by outcome. Scrape it with a key of a program."""
    async with reading(given.engine) as conn:
        figures = [
            *_of_process(given.meters()),
            *_of_mirror(given.mirror),
            _gauge("streams_open", "Event streams that are open", len(request.app.state.streams)),
            *[figure async for figure in _of_store(conn, given.clock.wall_ns())],
        ]
    registry = CollectorRegistry()
    registry.register(_Ready(figures))
    ProcessCollector(namespace="citynerve", registry=registry)
    body = await asyncio.to_thread(generate_latest, registry)
    return Response(body, media_type=None, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class _Ready(Collector):
    """Figures that are known already."""

    def __init__(self, figures: list[Metric]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        yield from self._figures


_COUNTED: Final = (
    ("messages", "ingest_messages", "Messages of gateways that were taken in"),
    ("stored_readings", "ingest_readings_stored", "Readings that are in the series store"),
    ("transitions", "ingest_transitions", "Steps of alarms that gateways told"),
    ("quarantined", "ingest_quarantined", "Records that were set aside"),
    ("lost_readings", "ingest_readings_lost", "Readings that gateways said they lost"),
    ("store_waits", "ingest_store_waits", "Times that a store was not to be had"),
    ("sent", "notifications_sent", "Messages to people that were sent by this process"),
    ("send_failures", "notifications_failed", "Messages to people that this process gave up"),
    ("send_attempts", "notification_attempts", "Tries to send a message to people"),
    ("ticker_failures", "ticker_failures", "Jobs of the ticker that failed"),
)
_SHOWN: Final = (
    ("queue_records", "ingest_queue_records", "Records that wait for their commit"),
    ("lag_s", "ingest_lag_seconds", "How long the oldest message of the latest commit had waited here"),
    ("broker_connected", "broker_connected", "1 while the broker is connected"),
    ("ticker_leads", "ticker_leads", "1 while the clocks of cases are this process's"),
)


def _of_process(meters: Meters) -> Iterator[Metric]:
    for field, name, told in _COUNTED:
        yield CounterMetricFamily(f"citynerve_{name}", told, value=getattr(meters, field))
    for field, name, told in _SHOWN:
        yield _gauge(name, told, float(getattr(meters, field)))


def _of_mirror(mirror: Mirror | None) -> Iterator[Metric]:
    if mirror is None:
        return
    report = mirror.report()
    yield _gauge("mirror_lag_seconds", "How long the oldest reading waits for the mirror", report.lag_s)
    yield _gauge("mirror_waiting_readings", "Readings that wait for the mirror", report.waiting)
    ended = CounterMetricFamily("citynerve_mirror_readings", "What became of readings for the mirror", labels=("outcome",))
    for outcome, count in (("sent", report.sent), ("dropped", report.dropped), ("refused", report.refused)):
        ended.add_metric((outcome,), count)
    yield ended


async def _of_store(conn: AsyncConnection, now_ns: int) -> Any:
    """Figures that a restart does not begin anew."""
    yield await _by(conn, cases.c.state, "cases", "Cases by where they stand", "state")
    messages = GaugeMetricFamily(
        "citynerve_notifications", "Messages to people by channel and outcome", labels=("channel", "state")
    )
    counted = select(notifications.c.channel, notifications.c.state, func.count()).group_by(
        notifications.c.channel, notifications.c.state
    )
    for channel, state, count in await conn.execute(counted):
        messages.add_metric((channel, state), count)
    yield messages
    open_now = GaugeMetricFamily("citynerve_alarms_open", "Open alarms by priority", labels=("priority",))
    still = select(alarms.c.priority, func.count()).where(alarms.c.state != AlarmState.NORMAL.value)
    for priority, count in await conn.execute(still.group_by(alarms.c.priority)):
        open_now.add_metric((priority,), count)
    yield open_now
    refused = CounterMetricFamily("citynerve_refused", "What was refused, by reason", labels=("reason",))
    for reason, count in await conn.execute(select(refusals.c.reason, func.sum(refusals.c.count)).group_by(refusals.c.reason)):
        refused.add_metric((reason,), count)
    yield refused
    accounts = CounterMetricFamily("citynerve_records", "Records by lane and what became of them", labels=("lane", "fate"))
    sums = [func.sum(lanes.c[fate]) for fate in ("stored", "quarantined", "lost", "moved")]
    for lane, *fates in await conn.execute(select(lanes.c.lane, *sums).group_by(lanes.c.lane)):
        for fate, count in zip(("stored", "quarantined", "lost", "moved"), fates, strict=True):
            accounts.add_metric((lane, fate), count or 0)
    yield accounts
    for figure in await _of_gateways(conn, now_ns):
        yield figure


async def _by(conn: AsyncConnection, column: Any, name: str, told: str, label: str) -> Metric:
    figure = GaugeMetricFamily(f"citynerve_{name}", told, labels=(label,))
    for value, count in await conn.execute(select(column, func.count()).group_by(column)):
        figure.add_metric((value,), count)
    return figure


async def _of_gateways(conn: AsyncConnection, now_ns: int) -> list[Metric]:
    """What gateways last said of themselves, added up."""
    there = GaugeMetricFamily("citynerve_gateways", "Gateways by whether they are connected", labels=("online",))
    waiting = GaugeMetricFamily(
        "citynerve_gateway_backlog_records", "Records that gateways keep and have not sent", labels=("lane",)
    )
    online, total, oldest_ns = 0, 0, now_ns
    backlog: dict[str, int] = {}
    for row in await conn.execute(select(gateways.c.online, gateways.c.status)):
        total += 1
        online += row.online
        status = row.status or {}
        oldest_ns = min(oldest_ns, status.get("oldest_unacked_ns") or now_ns)
        for lane, count in status.get("backlog", {}).items():
            backlog[lane] = backlog.get(lane, 0) + count
    there.add_metric(("true",), online)
    there.add_metric(("false",), total - online)
    for lane, count in backlog.items():
        waiting.add_metric((lane,), count)
    oldest = _gauge(
        "gateway_oldest_unsent_seconds", "Age of the oldest record that a gateway keeps", (now_ns - oldest_ns) / SECOND_NS
    )
    return [there, waiting, oldest]


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"citynerve_{name}", told, value=value)
