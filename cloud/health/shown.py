"""A health report as the API and the command show it: times as ISO 8601 UTC, labels in both languages."""

from typing import Any

import msgspec

from cloud.api.times import iso
from cloud.health.report import HealthReport

__all__ = ["shown_report"]


def shown_report(report: HealthReport) -> dict[str, Any]:
    """The report as one JSON object."""
    desk = report.desk
    return {
        "desk": {"kind": desk.kind.value, "name": desk.name},
        "days": report.days,
        "start": iso(report.start_ns),
        "end": iso(report.end_ns),
        "observed_days": report.observed_days,
        "exact": report.exact,
        "figures": [msgspec.to_builtins(figure) for figure in report.figures],
        "floods": [
            {"start": iso(flood.start_ns), "end": iso(flood.end_ns), "alarms": flood.alarms, "peak": flood.peak}
            for flood in report.floods
        ],
        "top": [msgspec.to_builtins(each) for each in report.top],
        "chattering": [{"alarm": each.alarm, "times": each.times} for each in report.chattering],
        "stale_now": report.stale_now,
        "stale": [{"alarm": each.alarm, "active_since": iso(each.active_since_ns)} for each in report.stale],
    }
