"""`citynerve cloud report`: the indicators of a period as CSV and as a page to print."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citynerve.commands.cloud_shared import fail
from cloud.indicators.texts import Language
from cloud.indicators.words import By

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from cloud.config import CloudConfig
    from cloud.indicators.period import Period
    from cloud.indicators.tally import Report

__all__ = ["report"]


def report(  # noqa: PLR0917 - typer reads the command line from them
    config: Annotated[Path, typer.Argument(help="The configuration, a TOML file.")],
    month: Annotated[str, typer.Option(help="A month, YYYY-MM.")] = "",
    week: Annotated[str, typer.Option(help="A week from Monday on, YYYY-Www.")] = "",
    start: Annotated[str, typer.Option("--from", help="The first date, YYYY-MM-DD.")] = "",
    until: Annotated[str, typer.Option(help="The date after the last one.")] = "",
    by: Annotated[By, typer.Option(help="How to group beside the whole city.")] = By.CITY,
    out: Annotated[Path, typer.Option(help="The folder to write to; it is made.")] = Path(),
    lang: Annotated[Language, typer.Option(help="The language of both files.")] = Language.ZH,
) -> None:
    """Write the indicators of a period as CSV and as an HTML page to print; of the last month where no period is given."""
    import asyncio

    from cloud.config import load_config
    from cloud.indicators.csv_file import csv_file
    from cloud.indicators.page import page
    from device_profiles.mistakes import ConfigError
    from telemetry.clock import SystemClock

    now_ns = SystemClock().wall_ns()
    try:
        loaded = load_config(config)
        period = _period(_zone(loaded), month=month, week=week, start=start, until=until, now_ns=now_ns)
        made = asyncio.run(_report(loaded, period, by, now_ns))
        out.mkdir(parents=True, exist_ok=True)
        stem = out / "-".join(["report", period.name, *([] if by is By.CITY else [by.value])])
        stem.with_suffix(".csv").write_bytes(csv_file(made, lang))
        stem.with_suffix(".html").write_text(page(made, lang), "utf-8")
    except (ConfigError, OSError, ValueError) as error:
        fail(str(error))
    print(f"{stem}.csv\n{stem}.html")


def _zone(config: "CloudConfig") -> "ZoneInfo":
    """That of the working calendar, the city's own where it has one."""
    from cloud.clocks.calendar import chinese_rules
    from cloud.clocks.calendar_file import load_calendar
    from cloud.clocks.civil import check_zone

    own = config.cases.calendar
    return check_zone((load_calendar(own) if own else chinese_rules()).zone)


def _period(zone: "ZoneInfo", *, month: str, week: str, start: str, until: str, now_ns: int) -> "Period":
    """The one period that was asked for; ValueError where it is none, or more than one."""
    import datetime as dt

    from cloud.clocks.civil import local_date
    from cloud.indicators import period

    if sum(map(bool, (month, week, start or until))) > 1:
        raise ValueError("want one period: --month, --week, or --from and --until")
    if week:
        return period.week(week, zone)
    if not start and not until:
        last = local_date(now_ns, zone).replace(day=1) - dt.timedelta(days=1)
        return period.month(month or f"{last:%Y-%m}", zone)
    try:
        first, after = dt.date.fromisoformat(start), dt.date.fromisoformat(until)
    except ValueError:
        raise ValueError(f"--from {start!r} --until {until!r}: want two dates, such as 2026-10-01 and 2026-10-16") from None
    return period.days(f"{first}_{after}", first, after, zone)


async def _report(config: "CloudConfig", period: "Period", by: By, now_ns: int) -> "Report":
    from cloud.indicators.reading import report as counted
    from cloud.relational.engine import make_engine
    from cloud.relational.migrate import migrate

    engine = make_engine(config.database_url, config.database_password)
    try:
        await migrate(engine)
        return await counted(engine, period, by, now_ns)
    finally:
        await engine.dispose()
