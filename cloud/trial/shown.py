"""What trying a rule led to, as the API and the command show it: times as ISO 8601 UTC."""

from typing import Any

import msgspec

from cloud.api.times import iso
from cloud.trial.result import TrialResult

__all__ = ["shown_trial"]

_PLAIN = (
    "profile",
    "rule",
    "complete",
    "devices",
    "devices_judged",
    "devices_heard",
    "readings",
    "raised",
    "carried",
    "today_raised",
    "also_today",
    "logged",
    "gap_count",
    "judged_pct",
)


def shown_trial(result: TrialResult) -> dict[str, Any]:
    """The result as one JSON object."""
    return {
        **{name: getattr(result, name) for name in _PLAIN},
        "start": iso(result.start_ns),
        "end": iso(result.end_ns),
        "by_day": [{"day": day.day, "raised": day.raised} for day in result.by_day],
        "chattering": [{"alarm": alarm, "times": times} for alarm, times in result.chattering],
        "occurrences": [
            {
                "alarm": each.alarm,
                "device": each.device,
                "raised": iso(each.raised_ns),
                "returned": iso(each.returned_ns),
                "priority": each.priority.value,
                "uncertain": each.uncertain,
                "also_today": each.also_today,
            }
            for each in result.occurrences
        ],
        "gaps": [
            {"device": gap.device, "start": iso(gap.start_ns), "end": iso(gap.end_ns), "kind": gap.kind.value}
            for gap in result.gaps
        ],
        "unfinished": list(result.unfinished),
        "caveats": [msgspec.to_builtins(each) for each in result.caveats],
    }
