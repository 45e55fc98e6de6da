"""The figures of a desk as they are shown: each with its definition, its target and how it stands; what is not known is None."""

from typing import Final

import msgspec

from cloud.health.count_log import LogCount
from cloud.health.definitions import Target, Verdict, definitions, judge
from cloud.health.desks import AlarmDesk
from cloud.health.rates import INTERVAL_NS, Flood
from device_profiles.quantities import Text
from telemetry.clock import SECOND_NS
from telemetry.records import Priority

__all__ = ["Figure", "Frequent", "HealthReport", "Standing", "report_of"]

_DAY_NS: Final = 86_400 * SECOND_NS
_MOST_SHOWN: Final = 20
_TOP: Final = 10


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number; `definition` is its name and version, `value` None where there is nothing that it could be made of."""

    name: str
    definition: str
    title: Text
    means: Text
    unit: str
    value: float | None
    target: Target | None
    verdict: Verdict


class Frequent(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm, how often it was annunciated, and its share of all; for a chattering one how often it came again too soon."""

    alarm: str
    times: int
    share_pct: float | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is stale now."""

    alarm: str
    active_since_ns: int


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """`days` are those asked for, `observed_days` those of which anything is known, up to `end_ns`; None where nothing is.

    Lists are cut at 20, with the number of all beside them. `exact` is false where there were so many alarms that the rarest
    were forgotten.
    """

    desk: AlarmDesk
    days: int
    start_ns: int | None
    end_ns: int
    observed_days: float | None
    figures: tuple[Figure, ...]
    floods: tuple[Flood, ...] = ()
    top: tuple[Frequent, ...] = ()
    chattering: tuple[Frequent, ...] = ()
    stale: tuple[Standing, ...] = ()
    stale_now: int | None = None
    exact: bool = True


def report_of(desk: AlarmDesk, count: LogCount | None, *, days: int, end_ns: int) -> HealthReport:
    """The report of what was counted; of nothing at all where `count` is None."""
    if count is None:
        none: dict[str, float | None] = {}
        return HealthReport(
            desk=desk, days=days, start_ns=None, end_ns=end_ns, observed_days=None, figures=_figures(none)
        )  # fmt: skip
    top, chattering = count.tally.top(_TOP), count.tally.chattering()
    longest = sorted(count.rates.floods, key=lambda flood: (-flood.alarms, flood.start_ns))[:_MOST_SHOWN]
    return HealthReport(
        desk=desk,
        days=days,
        start_ns=count.start_ns,
        end_ns=end_ns,
        observed_days=(end_ns - count.start_ns) / _DAY_NS,
        figures=_figures(_values(count, sum(times for _, times in top), len(chattering))),
        floods=tuple(longest),
        top=tuple(Frequent(alarm=alarm, times=times, share_pct=_pct(times, count.annunciated)) for alarm, times in top),
        chattering=tuple(Frequent(alarm=alarm, times=times) for alarm, times in chattering[:_MOST_SHOWN]),
        stale=tuple(Standing(alarm=alarm, active_since_ns=since) for alarm, since in count.still_stale[:_MOST_SHOWN]),
        stale_now=len(count.still_stale),
        exact=count.tally.exact and not count.forgotten,
    )


def _values(count: LogCount, in_top: int, chattering: int) -> dict[str, float | None]:
    span_ns = count.end_ns - count.start_ns
    intervals, alarms = span_ns // INTERVAL_NS, count.annunciated
    flooded_ns = sum((flood.end_ns or count.end_ns) - flood.start_ns for flood in count.rates.floods)
    return {
        "alarms_per_day": alarms / (span_ns / _DAY_NS),
        "alarms_per_10min": alarms / intervals,
        "peak_per_10min": count.rates.peak,
        "intervals_above_target_pct": _pct(count.rates.above_target, intervals),
        "intervals_above_10_pct": _pct(count.rates.above_many, intervals),
        "floods": len(count.rates.floods),
        "flood_time_pct": _pct(flooded_ns, span_ns),
        "chattering": chattering,
        "fleeting": count.fleeting,
        "stale_worst_day": max(count.stale.by_day),
        "top_ten_pct": _pct(in_top, alarms),
        "low_pct": _pct(count.mix[Priority.LOW], alarms),
        "medium_pct": _pct(count.mix[Priority.MEDIUM], alarms),
        "high_pct": _pct(count.mix[Priority.HIGH] + count.mix[Priority.CRITICAL], alarms),
        "acknowledged_in_10min_pct": _pct(count.acknowledged_in_time, count.could_be_acknowledged),
        "acknowledge_median_s": count.waits.quantile(0.5),
        "acknowledge_p90_s": count.waits.quantile(0.9),
        "annunciated": alarms,
        "suppressed": count.suppressed,
        "given_back": count.given_back,
        "said_again": count.said_again,
    }


def _figures(values: dict[str, float | None]) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            name=each.name,
            definition=each.id,
            title=each.title,
            means=each.means,
            unit=each.unit,
            value=values.get(each.name),
            target=each.target,
            verdict=judge(each, values.get(each.name)),
        )
        for each in definitions().values()
    )


def _pct(part: float, whole: float) -> float | None:
    return 100 * part / whole if whole else None
