"""`citynerve cloud alarms health|try`: how well the alarms serve a desk, and what a rule would have raised."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citynerve.commands.cloud_shared import fail, load

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from cloud.config import CloudConfig
    from cloud.health.report import HealthReport
    from cloud.trial.result import TrialResult
    from cloud.trial.trial import Progress
    from device_profiles.model import AlarmRule, Profile
    from edge_agent.alarms.zones import Zone

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="How well alarms serve people, and what rules would do.")

ConfigFile = Annotated[Path, typer.Argument(help="The configuration, a TOML file.", show_default=True)]
Days = Annotated[int, typer.Option(help="How many days back.", min=1, max=366)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Lang = Annotated[str, typer.Option(help="zh or en; left out: the environment's.")]


@app.command()
def health(
    config: ConfigFile = Path("cloud.toml"),
    days: Days = 30,
    desk: Annotated[str, typer.Option(help="A department or a district; left out: all alarms.")] = "",
    as_json: AsJson = False,
    lang: Lang = "",
) -> None:
    """The figures of ISA-18.2 and EEMUA 191 from the alarm log, each with its definition and target. The cloud may run."""
    import asyncio

    from citynerve.commands.alarms_text import print_health
    from cloud.health.desks import UnknownDeskError
    from cloud.health.shown import shown_report
    from device_profiles.mistakes import ProfileError

    loaded = load(config)
    try:
        report = asyncio.run(_health(loaded, days, desk))
    except (UnknownDeskError, ProfileError) as error:
        fail(str(error))
    if as_json:
        print(json.dumps(shown_report(report), ensure_ascii=False, indent=2))
    else:
        print_health(report, _lang(lang))


@app.command("try")
def try_rule(  # noqa: PLR0917 - typer reads the command line from them
    config: ConfigFile = Path("cloud.toml"),
    profile: Annotated[str, typer.Option(help="The profile whose devices are tried.")] = "",
    rule: Annotated[str, typer.Option(help="A rule of the profile, or a YAML file with `alarms:` and one rule.")] = "",
    device: Annotated[list[str] | None, typer.Option(help="Only this device; say it again for more.")] = None,
    days: Days = 30,
    zones: Annotated[Path | None, typer.Option(help="The site's places, as the gateway has them (GeoJSON).")] = None,
    as_json: AsJson = False,
    lang: Lang = "",
) -> None:
    """What a rule would have raised, by the gateway's own engine out of what was recorded. Ctrl-C ends it and tells so far."""
    import asyncio

    from citynerve.commands.alarms_text import print_trial
    from cloud.series.store import StoreUnavailable
    from cloud.trial.shown import shown_trial

    loaded = load(config)
    found = _profile(loaded, profile)
    tried = _rule(found, rule)
    places = _zones(zones, tried)
    try:
        result = asyncio.run(_try(loaded, found, tried, places, names=device or [], days=days))
    except StoreUnavailable as error:
        host = f"{loaded.api.host}:{loaded.api.port}"
        fail(f"{error}\nA cloud that runs holds its store alone; ask it: POST http://{host}/api/alarms/try")
    if as_json:
        print(json.dumps(shown_trial(result), ensure_ascii=False, indent=2))
    else:
        print_trial(result, _lang(lang))
    raise typer.Exit(0 if result.complete else 130)


async def _health(config: "CloudConfig", days: int, desk: str) -> "HealthReport":
    from functools import partial

    from cloud.cases.desk import Matters
    from cloud.health.measure import alarm_health
    from cloud.relational.engine import make_engine
    from cloud.relational.migrate import migrate
    from device_profiles.read_matters import load_tables
    from device_profiles.shelf import load_catalog
    from telemetry.clock import SystemClock

    now_ns = SystemClock().wall_ns()
    catalog, matters = load_catalog(*config.profile_dirs), Matters(load_tables(config.cases.matters))
    engine = make_engine(config.database_url, config.database_password)
    try:
        await migrate(engine)
        find = partial(matters.find, at_ns=now_ns)
        return await alarm_health(engine, catalog, now_ns=now_ns, days=days, desk=desk, find=find)
    finally:
        await engine.dispose()


async def _try(
    config: "CloudConfig", profile: "Profile", rule: "AlarmRule", zones: "Mapping[str, Zone]", *, names: list[str], days: int
) -> "TrialResult":
    from citynerve.rule_engine import gateway_engine
    from cloud.relational.engine import make_engine
    from cloud.relational.migrate import migrate
    from cloud.series.open import make_store
    from cloud.trial.trial import Trial, devices_of
    from telemetry.clock import SystemClock

    engine, store = make_engine(config.database_url, config.database_password), make_store(config.series_url)
    try:
        await migrate(engine)
        await store.open()
        try:
            known = await devices_of(engine, profile.name)
            unknown = sorted(set(names) - set(known))
            if unknown:
                fail(f"no device {', '.join(unknown)} of the profile {profile.name}")
            trial = Trial(profile, rule, gateway_engine(zones), names=names or known, now_ns=SystemClock().wall_ns(), days=days)
            await _until_done(trial.run(engine, store, _progress))
            return trial.result()
        finally:
            await store.close()
    finally:
        await engine.dispose()


async def _until_done(work: "Coroutine[None, None, None]") -> None:
    """Wait for the work; Ctrl-C ends it, and what was found so far is told."""
    import asyncio
    import contextlib
    import signal

    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name="trial")
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _progress(now: "Progress") -> bool:
    """A line that stays where it is on a terminal; a line for each tenth of the devices elsewhere."""
    line = f"{now.done} / {now.total}  {now.readings:,}"
    if sys.stderr.isatty():
        print(f"\r{line}", end="" if now.done < now.total else "\n", file=sys.stderr, flush=True)
    elif now.done * 10 // max(1, now.total) != (now.done - 1) * 10 // max(1, now.total):
        print(line, file=sys.stderr)
    return True


def _profile(config: "CloudConfig", name: str) -> "Profile":
    from device_profiles.mistakes import ProfileError, did_you_mean
    from device_profiles.shelf import load_catalog

    try:
        catalog = load_catalog(*config.profile_dirs)
    except ProfileError as error:
        fail(str(error))
    if name not in catalog:
        fail(f"--profile {name!r}: want {did_you_mean(name, catalog)}")
    return catalog[name]


def _rule(profile: "Profile", text: str) -> "AlarmRule":
    from cloud.trial.rule import read_rule
    from device_profiles.mistakes import ProfileError, did_you_mean

    if text in profile.alarms:
        return profile.alarms[text]
    file = Path(text)
    if not text or not file.is_file():
        fail(f"--rule {text!r}: want a YAML file, or a rule of {profile.name}: {did_you_mean(text, profile.alarms)}")
    try:
        return read_rule(file.read_text("utf-8"), profile, str(file))
    except (ProfileError, OSError, UnicodeDecodeError) as error:
        fail(str(error))


def _zones(file: Path | None, rule: "AlarmRule") -> "Mapping[str, Zone]":
    """The places that the rule needs; a rule about a place that nobody can find would never be true."""
    from device_profiles.mistakes import ConfigError
    from device_profiles.model import zones_of
    from edge_agent.alarms.zones import load_zones

    try:
        known = {} if file is None else load_zones(file)
    except ConfigError as error:
        fail(str(error))
    missing = sorted(zones_of(rule.when) - known.keys())
    if missing:
        fail(f"the rule is about the place {', '.join(missing)}: want --zones FILE.geojson with it, as the gateway has it")
    return known


def _lang(asked: str) -> str:
    from citynerve.messages import LANGUAGES, language

    return asked if asked in LANGUAGES else language()
