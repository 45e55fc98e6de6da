"""`citynerve profile lint|matters|show`: what is wrong in a profile or a table of matters, and what a profile says."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table

    from device_profiles.lint import Report
    from device_profiles.mistakes import Mistake
    from device_profiles.model import Profile

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Device profiles: check them, show them.")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.command()
def lint(
    paths: Annotated[list[Path] | None, typer.Argument(help="Profile folders, or folders of such; none: all built in.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell every mistake and every doubt in profiles at once; exit 1 when one does not load."""
    _tell(_reports(paths or []), "profiles", as_json)


@app.command()
def matters(
    paths: Annotated[list[Path] | None, typer.Argument(help="Tables of matters; none: all built in.")] = None,
    profiles: Annotated[list[Path] | None, typer.Option(help="Folders of a site's own profiles, beside the catalog.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell every mistake in tables of matters (事项), and which matters no profile uses; exit 1 when one does not load."""
    from device_profiles.lint_matters import built_in_tables, lint_matters
    from device_profiles.mistakes import ProfileError
    from device_profiles.shelf import load_catalog

    try:
        catalog = load_catalog(*(profiles or []))
    except ProfileError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    _tell([lint_matters(path, catalog.values()) for path in paths or built_in_tables()], "tables", as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A profile of the catalog, or a profile's folder.")],
    lang: Annotated[str, typer.Option(help="zh or en.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Show one profile: metrics, wire maps, reporting, alarms, commands."""
    profile = _find(name)
    if as_json:
        import msgspec

        parts = msgspec.to_builtins(profile, str_keys=True, builtin_types=(bytes,))
        print(json.dumps(parts, default=_hex, ensure_ascii=False, indent=2))
        return
    from rich.console import Console

    # A pipe has no width of its own: wide enough that no cell is cut.
    console = Console(width=None if sys.stdout.isatty() else 200)
    _print_profile(console, profile, "zh" if lang.startswith("zh") else "en")


def _reports(paths: list[Path]) -> "list[Report]":
    from device_profiles.lint import Report, lint_profile
    from device_profiles.mistakes import Mistake
    from device_profiles.shelf import catalog_path, profile_folders

    reports = []
    for path in paths or [catalog_path()]:
        folders = profile_folders(path)
        if not folders:
            nothing = Mistake(str(path), 1, "folder", "no profile in it", "a folder with a profile.yaml, or a folder of such")
            reports.append(Report(path=str(path), profile=None, mistakes=(nothing,)))
        reports += [lint_profile(folder) for folder in folders]
    return reports


def _tell(reports: "list[Report]", what: str, as_json: bool) -> None:
    """Print what was found, and leave with 1 where something does not load."""
    if as_json:
        print(json.dumps([_as_dict(report) for report in reports], ensure_ascii=False, indent=2))
    else:
        _print_reports(reports, what)
    raise typer.Exit(1 if any(report.mistakes for report in reports) else 0)


def _as_dict(report: "Report") -> dict[str, object]:
    import msgspec

    said: dict[str, object] = msgspec.to_builtins(report)
    return said


def _print_reports(reports: "list[Report]", what: str) -> None:
    for report in reports:
        _print_findings("error", report.mistakes)
        _print_findings("warning", report.warnings)
    mistakes = sum(len(report.mistakes) for report in reports)
    warnings = sum(len(report.warnings) for report in reports)
    print(f"{len(reports)} {what}, {mistakes} mistakes, {warnings} warnings")


def _print_findings(kind: str, findings: "Iterable[Mistake]") -> None:
    for finding in findings:
        print(f"{kind}: {finding}")


def _find(name: str) -> "Profile":
    from device_profiles.loader import load_profile
    from device_profiles.mistakes import ProfileError, did_you_mean
    from device_profiles.shelf import catalog_path, profile_folders

    try:
        if "/" in name or Path(name).suffix in {".yaml", ".yml"}:
            return load_profile(Path(name))
        folder = catalog_path() / name
        if folder in profile_folders(catalog_path()):
            return load_profile(folder)
    except ProfileError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    names = [folder.name for folder in profile_folders(catalog_path())]
    print(f"{name}: no profile of this name; write {did_you_mean(name, names)}", file=sys.stderr)
    raise typer.Exit(1)


def _hex(value: bytes) -> str:
    """Bytes, the one thing in a profile that JSON has no word for."""
    return value.hex(" ")


def _print_profile(console: "Console", profile: "Profile", lang: str) -> None:
    console.print(f"{profile.name} v{profile.version}  ({profile.kind})  {getattr(profile.title, lang)}", style="bold")
    console.print(profile.source, markup=False)
    for table in (_metrics(profile, lang), _wire(profile), _alarms(profile, lang), _commands(profile, lang)):
        if table.row_count:
            console.print(table)
    console.print(_reporting(profile))


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _metrics(profile: "Profile", lang: str) -> "Table":
    table = _table("Metrics", "name", "type", "unit", "range", "meaning")
    for metric in profile.metrics.values():
        low, high = ("" if bound is None else f"{bound:g}" for bound in (metric.low, metric.high))
        valid = f"{low} .. {high}" if low or high else ""
        table.add_row(metric.name, str(metric.type), metric.unit, valid, getattr(metric.title, lang))
    return table


def _wire(profile: "Profile") -> "Table":
    from device_profiles.wires import wire_rows

    table = _table("Wire", "transport", "metric", "where", "how")
    for row in wire_rows(profile.wire):
        table.add_row(*row)
    return table


def _alarms(profile: "Profile", lang: str) -> "Table":
    from device_profiles.describe import condition_text

    table = _table("Alarms", "rule", "priority", "when", "opens", "response")
    for rule in profile.alarms.values():
        delays = "".join(f", {word} {s:g} s" for word, s in (("after", rule.on_delay_s), ("back after", rule.off_delay_s)) if s)
        latch = ", latched" if rule.latch else ""
        when = condition_text(rule.when) + delays + latch
        table.add_row(rule.name, str(rule.priority), when, rule.matter or "", getattr(rule.response, lang))
    return table


def _commands(profile: "Profile", lang: str) -> "Table":
    table = _table("Commands", "name", "argument", "writes", "meaning")
    for command in profile.commands.values():
        argument = f"{command.argument} = {command.low} .. {command.high}"
        table.add_row(command.name, argument, command.where, getattr(command.title, lang))
    return table


def _reporting(profile: "Profile") -> str:
    policy = profile.reporting
    if not policy.on_change:
        return f"Reporting: every reading; the device speaks at least every {policy.interval_s:g} s"
    asked = f"the device speaks at least every {policy.interval_s:g} s"
    return f"Reporting: on change beyond the deadbands, and every {policy.heartbeat_s:g} s; {asked}"
