"""How alarm health and a trial read on a terminal, in the language of whoever asks."""

import sys
from typing import TYPE_CHECKING

from citynerve.messages import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from cloud.health.report import Figure, HealthReport
    from cloud.trial.result import TrialResult
    from device_profiles.quantities import Text

__all__ = ["print_health", "print_trial"]

_MOST_ROWS = 20


def print_health(report: "HealthReport", lang: str) -> None:
    """Every figure with its target and definition, then the floods, the top ten, and who chatters or is stale."""
    console = _console()
    desk = report.desk.name or say("health.everybody", lang)
    if report.start_ns is None or report.observed_days is None:
        console.print(say("health.nothing", lang, desk=desk), markup=False, highlight=False)
    else:
        head = say("health.head", lang, desk=desk, since=_when(report.start_ns), until=_when(report.end_ns))
        console.print(head + say("health.days", lang, days=f"{report.observed_days:.1f}"), markup=False, highlight=False)
        if report.observed_days < 30:
            console.print(say("health.short", lang), markup=False, highlight=False)
    columns = [say(f"health.{name}", lang) for name in ("figure", "value", "target", "verdict", "definition")]
    table = _table("", *columns)
    for figure in report.figures:
        target = "" if figure.target is None else figure.target.words
        table.add_row(
            _text(figure.title, lang), _value(figure, lang), target, say(f"verdict.{figure.verdict}", lang), figure.definition
        )
    console.print(table)
    _print_lists(console, report, lang)
    console.print(say("health.means", lang), markup=False, highlight=False)


def _print_lists(console: "Console", report: "HealthReport", lang: str) -> None:
    floods = _table(say("health.floods", lang), say("health.since", lang), say("health.until", lang), say("health.alarms", lang))
    for flood in report.floods:
        until = say("health.goes_on", lang) if flood.end_ns is None else _when(flood.end_ns)
        floods.add_row(_when(flood.start_ns), until, str(flood.alarms))
    top = _table(say("health.top", lang), say("health.alarm", lang), say("health.times", lang), "%")
    for each in report.top:
        top.add_row(each.alarm, str(each.times), "" if each.share_pct is None else f"{each.share_pct:.1f}")
    chattering = _table(say("health.chattering", lang), say("health.alarm", lang), say("health.times", lang))
    for each in report.chattering:
        chattering.add_row(each.alarm, str(each.times))
    stale = _table(say("health.stale", lang, count=report.stale_now), say("health.alarm", lang), say("health.since", lang))
    for old in report.stale:
        stale.add_row(old.alarm, _when(old.active_since_ns))
    for table in (floods, top, chattering, stale):
        if table.row_count:
            console.print(table)


def print_trial(result: "TrialResult", lang: str) -> None:
    """How often it would have been raised, beside today's rule and the log, then when, and when nothing could be judged."""
    console = _console()
    for line in _trial_lines(result, lang):
        console.print(line, markup=False, highlight=False)
    days = _table(say("trial.by_day", lang), say("trial.day", lang), say("trial.raised_column", lang))
    for day in result.by_day:
        days.add_row(day.day, str(day.raised))
    columns = [say(f"trial.{name}", lang) for name in ("device", "since", "until", "priority", "also_today")]
    raised = _table(say("trial.occurrences", lang, shown=min(_MOST_ROWS, len(result.occurrences)), all=result.raised), *columns)
    for each in result.occurrences[:_MOST_ROWS]:
        until = say("trial.goes_on", lang) if each.returned_ns is None else _when(each.returned_ns)
        also = {True: "yes", False: "no", None: "no_rule"}[each.also_today]
        raised.add_row(each.device, _when(each.raised_ns), until, each.priority.value, say(f"trial.{also}", lang))
    gaps = _table(say("trial.gaps", lang, shown=min(_MOST_ROWS, len(result.gaps)), all=result.gap_count), *columns[:3], "")
    for gap in result.gaps[:_MOST_ROWS]:
        gaps.add_row(gap.device, _when(gap.start_ns), _when(gap.end_ns), say(f"gap.{gap.kind}", lang))
    for table in (days, raised, gaps):
        if table.row_count:
            console.print(table)


def _trial_lines(result: "TrialResult", lang: str) -> list[str]:
    span = {"since": _when(result.start_ns), "until": _when(result.end_ns)}
    counts = {"judged": result.devices_judged, "devices": result.devices, "heard": result.devices_heard}
    lines = [
        say("trial.head", lang, rule=result.rule, profile=result.profile, **span),
        say("trial.devices", lang, readings=f"{result.readings:,}", **counts),
    ]
    if not result.complete:
        lines.append(say("trial.incomplete", lang))
    if result.devices_heard == 0:
        return [*lines, say("trial.nothing", lang)]
    lines.append(say("trial.raised", lang, raised=result.raised, carried=result.carried, logged=result.logged))
    if result.today_raised is not None:
        share = "" if not result.raised or result.also_today is None else f" ({100 * result.also_today / result.raised:.1f} %)"
        lines.append(say("trial.today", lang, today=result.today_raised, also=result.also_today, share=share))
    else:
        lines.append(say("trial.no_today", lang, rule=result.rule))
    if result.judged_pct is not None:
        lines.append(say("trial.judged", lang, share=f"{result.judged_pct:.1f}"))
    if result.chattering:
        worst = ", ".join(f"{alarm} ({times})" for alarm, times in result.chattering[:5])
        lines.append(say("trial.chattering", lang, count=len(result.chattering), worst=worst))
    if result.unfinished:
        lines.append(say("trial.unfinished", lang, devices=", ".join(result.unfinished[:5]), count=len(result.unfinished)))
    return [*lines, *(_text(caveat, lang) for caveat in result.caveats)]


def _value(figure: "Figure", lang: str) -> str:
    if figure.value is None:
        return say("verdict.no_data", lang)
    unit = "" if figure.unit == "1" else f" {figure.unit}"
    return f"{figure.value:.4g}{unit}" if figure.value < 1000 else f"{figure.value:,.0f}{unit}"


def _text(text: "Text", lang: str) -> str:
    return text.zh if lang == "zh" else text.en


def _when(time_ns: int) -> str:
    from cloud.api.times import iso

    return iso(time_ns)


def _console() -> "Console":
    from rich.console import Console

    # A pipe has no width of its own: wide enough that no cell is cut.
    return Console(width=None if sys.stdout.isatty() else 200)


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
