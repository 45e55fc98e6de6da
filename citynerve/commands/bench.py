"""`citynerve bench`: figures of this machine, each beside what it is compared with."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.modbus import Comparison, PollFigures
    from benchmarks.outbox import OutboxFigures

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="Measure on this machine, beside what it is compared with.")


@app.callback()
def bench() -> None:
    """Measure on this machine, beside what it is compared with."""


@app.command()
def ingest(
    store: Annotated[str, typer.Option(help="duckdb or influx")] = "duckdb",
    seconds: Annotated[float, typer.Option(min=3, help="How long the whole road is measured.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Edge outbox -> broker -> ingest -> store -> acknowledgement, beside what the bare store takes."""
    import msgspec

    from benchmarks.ingest import StoreKind, measure_ingest
    from benchmarks.servers import ServerMissingError

    if store not in set(StoreKind):
        raise typer.BadParameter(f"{store!r}: want {' or '.join(StoreKind)}", param_hint="--store")
    typer.echo(f"Measuring for about {seconds * 4 / 3 + 10:.0f} s ...", err=True)
    try:
        figures = asyncio.run(measure_ingest(StoreKind(store), seconds))
    except ServerMissingError as missing:
        typer.echo(str(missing), err=True)
        raise typer.Exit(4) from missing
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        return
    typer.echo(f"outbox -> broker -> ingest -> {store} -> ack   {figures.end_to_end_values_per_s:>12,.0f} values/s")
    typer.echo(f"bare {store} writer {figures.bare_store_values_per_s:>38,.0f} values/s")
    typer.echo(f"ratio {figures.ratio:>53.2f}")


@app.command()
def outbox(
    backlog_gb: Annotated[float, typer.Option(min=0.001, help="Readings that wait for the cloud, in GB of payload.")] = 2.5,
    seconds: Annotated[float, typer.Option(min=0.5, help="How long each speed and each drain is measured.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Commits a second, writes to the disk, and an agent's start and memory with a large backlog.

    Builds the backlog where temporary files lie (TMPDIR), which must be a real disk, and deletes it afterwards.
    """
    import msgspec
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from benchmarks.outbox import measure_outbox
    from benchmarks.servers import ServerMissingError

    bar = Progress(TextColumn("{task.description:<24}"), BarColumn(), transient=True, console=Console(stderr=True))
    with bar:
        task = bar.add_task("", total=1.0)
        try:
            figures = measure_outbox(backlog_gb, seconds, lambda what, share: bar.update(task, description=what, completed=share))
        except ServerMissingError as missing:
            typer.echo(str(missing), err=True)
            raise typer.Exit(4) from missing
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        return
    _tell_outbox(figures)


@app.command()
def decode(
    seconds: Annotated[float, typer.Option(min=0.2, help="How long all languages together are measured.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Frames a second that each language decodes on one core, from bytes to a reading."""
    import msgspec

    from benchmarks.decode import measure_decode

    figures = measure_decode(seconds)
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        return
    typer.echo(f"{'language':<18} {'frames/s':>12} {'us a frame':>12} {'values/s':>12} {'examples':>10}")
    for each in figures.languages:
        typer.echo(
            f"{each.language:<18} {each.frames_per_s:>12,.0f} {each.microseconds_per_frame:>12.1f}"
            f" {each.values_per_s:>12,.0f} {each.examples:>10}"
        )
    if figures.not_measured:
        typer.echo(f"not measured: {', '.join(figures.not_measured)}", err=True)


@app.command()
def alarms(
    *,
    profile: Annotated[str, typer.Option(help="The model of the catalog whose rules are judged.")] = "toilet_air_modbus",
    seconds: Annotated[float, typer.Option(min=0.05, help="How long rules are judged, in processor time.")] = 5,
    edge_only: Annotated[bool, typer.Option("--edge-only", help="Only the rules, not the road to cases and messages.")] = False,
    store: Annotated[str, typer.Option(help="The store behind the road: duckdb or influx.")] = "duckdb",
    road_seconds: Annotated[float, typer.Option(min=1, help="How long single alarms are sent over the stream.")] = 60,
    values: Annotated[int, typer.Option(min=0, help="Values a second that stream beside the alarms.")] = 50_000,
    storm: Annotated[int, typer.Option(min=4, help="Alarms of a storm that lasts a minute.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Alarm rules a second on one core of a gateway; then how fast alarms become cases and messages, alone and in a storm."""
    import asyncio

    import msgspec

    from benchmarks.alarm_road import measure_alarm_road
    from benchmarks.alarms import measure_alarms
    from benchmarks.ingest import StoreKind
    from benchmarks.servers import ServerMissingError
    from device_profiles.mistakes import did_you_mean
    from device_profiles.shelf import load_catalog

    catalog = load_catalog()
    if profile not in catalog:
        raise typer.BadParameter(f"{profile!r}: want {did_you_mean(profile, catalog)}", param_hint="--profile")
    if store not in set(StoreKind):
        raise typer.BadParameter(f"{store!r}: want duckdb or influx", param_hint="--store")
    edge, road = measure_alarms(catalog[profile], seconds), None
    if not edge_only:
        told = lambda what: typer.echo(f"{what} ...", err=True)  # noqa: E731 - one line is enough
        try:
            road = asyncio.run(measure_alarm_road(StoreKind(store), road_seconds, storm, values, told))
        except ServerMissingError as missing:
            typer.echo(str(missing), err=True)
            raise typer.Exit(4) from missing
    if as_json:
        sys.stdout.write(msgspec.json.encode({"edge": edge, "cloud": road}).decode() + "\n")
        return
    typer.echo(f"{edge.profile}, {edge.rules} rules   {edge.evaluations_per_s:>12,.0f} evaluations/s")
    typer.echo(f"{'readings':<28} {edge.readings_per_s:>12,.0f} readings/s")
    if road is not None:
        typer.echo(f"{'values beside':<28} {road.background_values_per_s:>12,.0f} values/s")
        for what, spread in (("event to case", road.to_case_ms), ("event to webhook", road.to_webhook_ms)):
            typer.echo(f"{what:<28} {spread.p50:>12,.1f} ms p50, {spread.p99:,.1f} ms p99, {spread.samples} alarms")
        typer.echo(f"{'alarms at once':<28} {road.burst_transitions_per_s:>12,.0f} transitions/s into cases")
        typer.echo(f"{'a storm':<28} {road.storm_cases:>12,} cases of {road.storm_alarms:,} alarms in {road.storm_seconds:.0f} s")
        typer.echo(f"{'all told after':<28} {road.quiet_s:>12,.1f} s; robot {road.robot_most_a_minute} of {road.budget} a minute")


@app.command()
def api(
    *,
    store: Annotated[str, typer.Option(help="The store behind it: duckdb or influx.")] = "duckdb",
    devices: Annotated[int, typer.Option(min=1000, help="Devices on the map.")] = 1_000_000,
    values: Annotated[int, typer.Option(min=0, help="Values a second that are being stored meanwhile.")] = 50_000,
    streams: Annotated[int, typer.Option(min=1, max=250, help="Readers of the event stream.")] = 200,
    asked: Annotated[int, typer.Option(min=20, help="How often each question is asked.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """What dashboards and the map wait for, through HTTP, from a cloud that a gateway sends values to without pause.

    Makes a city of so many devices and thirty days of the past first, where temporary files lie (TMPDIR).
    """
    import asyncio

    import msgspec

    from benchmarks.api import measure_api
    from benchmarks.ingest import StoreKind
    from benchmarks.servers import ServerMissingError

    if store not in set(StoreKind):
        raise typer.BadParameter(f"{store!r}: want duckdb or influx", param_hint="--store")
    told = lambda what: typer.echo(f"{what} ...", err=True)  # noqa: E731 - one line is enough
    measured = measure_api(StoreKind(store), devices=devices, asked=asked, streams=streams, values_per_s=values, tell=told)
    try:
        figures = asyncio.run(measured)
    except ServerMissingError as missing:
        typer.echo(str(missing), err=True)
        raise typer.Exit(4) from missing
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        return
    typer.echo(
        f"{figures.devices:,} devices on the map after {figures.load_s:.1f} s; {figures.written_values_per_s:,} values/s stored"
    )
    typer.echo(f"{'milliseconds':<38} {'p50':>10} {'p95':>10} {'worst':>10}")
    rows = [
        ("30 days x 4 metrics as a chart", figures.history),
        ("  the same past, raw", figures.naive_history),
        ("newest values of 1,000 devices", figures.latest_1000),
        ("search", figures.search),
        ("a page of devices", figures.page),
        *((f"tile at zoom {zoom}", spread) for zoom, spread in figures.tiles.items()),
        (f"an alarm, to each of {figures.streams} readers", figures.told),
        ("an alarm, to the tile that shows it", figures.to_map),
    ]
    for what, spread in rows:
        typer.echo(f"{what:<38} {spread.p50:>10,.1f} {spread.p95:>10,.1f} {spread.most:>10,.1f}")


@app.command()
def modbus(
    against: Annotated[str, typer.Option(help="thingsboard: the same 240 devices read by both gateways in turn.")] = "",
    seconds: Annotated[float, typer.Option(min=5, help="How long each gateway is measured once it runs.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Processor time, memory and missed polls of 500 Modbus TCP devices and a bus of 32; or beside another gateway.

    The other gateway is installed by pip into .peers/ where it is not there yet.
    """
    import msgspec

    from benchmarks.modbus import measure_against_thingsboard, measure_modbus
    from benchmarks.servers import ServerMissingError

    if against not in {"", "thingsboard"}:
        raise typer.BadParameter(f"{against!r}: want thingsboard", param_hint="--against")
    try:
        figures: PollFigures | Comparison
        if against:
            figures = measure_against_thingsboard(seconds, lambda what: typer.echo(what, err=True))
        else:
            figures = measure_modbus(seconds)
    except ServerMissingError as missing:
        typer.echo(str(missing), err=True)
        raise typer.Exit(4) from missing
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        return
    _tell_polls(figures)


def _tell_polls(figures: "PollFigures | Comparison") -> None:
    from benchmarks.modbus import Comparison

    each = [figures.ours, figures.peer] if isinstance(figures, Comparison) else [figures]
    for one in each:
        typer.echo(
            f"{one.gateway}: {one.devices} devices x {one.registers} registers every {one.period_s:g} s, {one.seconds:g} s"
        )
        typer.echo(
            f"  processor {one.cpu_pct:>9.1f} % of a core, {one.cpu_us_per_reading:.0f} us for a reading"
            f"   memory {one.rss_mb:.1f} MB"
        )
        typer.echo(f"  read {one.read:>14,}    arrived {one.arrived:>10,}    polls missed {one.missed:>8,}")
        typer.echo(
            f"  time of a reading off by {one.time_error_p50_ms:.1f} ms, at most {one.time_error_max_ms:.1f} ms;"
            f" {one.own_times_pct:g} % carry their own poll's time"
        )
    if isinstance(figures, Comparison):
        typer.echo(
            f"processor time of the other by ours, for a reading {figures.ratio:.1f}, as a share {figures.ratio_of_shares:.1f}"
        )


def _tell_outbox(figures: "OutboxFigures") -> None:
    for commit in figures.commits:
        typer.echo(
            f"synced commits of {commit.readings_per_commit:>3} readings {commit.commits_per_s:>12,.0f} commits/s"
            f" {commit.readings_per_s:>12,.0f} readings/s"
        )
    typer.echo("\nwritten to the disk at 10 readings/s, MB a day      outbox   bare, rollback journal   bare, one by one")
    for wear in figures.wear:
        typer.echo(
            f"  {wear.readings_per_commit:>3} readings a commit {_number(wear.disk_mb_per_day):>35}"
            f" {_number(wear.bare_rollback_mb_per_day):>24} {_number(wear.bare_wal_single_mb_per_day):>18}"
        )
    typer.echo(f"\nbacklog of {figures.backlog_bytes / 1e9:.2f} GB, {figures.backlog_readings:,} readings     empty    backlog")
    typer.echo(f"  first new reading out, s {figures.empty.first_live_s:>19.2f} {figures.backlog.first_live_s:>10.2f}")
    typer.echo(f"  most memory while draining, MB {figures.empty.rss_peak_mb:>13.1f} {figures.backlog.rss_peak_mb:>10.1f}")
    typer.echo(f"  drained, readings/s {'':>24} {figures.backlog.drained_readings_per_s:>10,.0f}")


def _number(value: float | None) -> str:
    return "not on a disk" if value is None else f"{value:,.0f}"
