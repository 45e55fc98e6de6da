"""`citynerve cloud init|check|migrate|run|report|verify|alarms|channel|user` and more: ingest, stores, cases, API and console."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citynerve.commands import cloud_alarms, cloud_channel, cloud_data, cloud_report, cloud_user, cloud_verify
from citynerve.commands.cloud_shared import fail, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud.config import CloudConfig
    from cloud.run import Cloud

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Ingest, stores, cases, API and console.")

app.add_typer(cloud_alarms.app, name="alarms")
app.add_typer(cloud_channel.app, name="channel")
app.add_typer(cloud_user.app, name="user")
app.command("report")(cloud_report.report)
app.command("export")(cloud_data.export)
app.command("import")(cloud_data.import_values)
app.command("dead-letters")(cloud_data.dead_letters)
app.command("verify")(cloud_verify.verify)

ConfigFile = Annotated[Path, typer.Argument(help="The configuration, a TOML file.", show_default=True)]


@app.command()
def init(
    config: ConfigFile = Path("cloud.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a sample configuration: every key there is, explained."""
    from importlib.resources import files

    if config.exists() and not force:
        fail(f"{config}: exists already; write --force to replace it")
    config.write_text(files("cloud").joinpath("sample.toml").read_text("utf-8"), "utf-8")
    print(f"{config}: written. Change it, then: citynerve cloud check {config}")


@app.command()
def check(config: ConfigFile) -> None:
    """Tell every mistake in a configuration at once; exit 1 when there is one. Connects to nothing."""
    import time

    from cloud.plans import load_plans
    from device_profiles.mistakes import FileError

    loaded = load(config)
    try:
        plans = load_plans(loaded, time.time_ns())
    except FileError as error:
        fail(str(error))
    if loaded.cases.duty:
        for department in plans.desk.duty.unknown(plans.desk.matters.all(time.time_ns())):
            print(f"{config}: nobody in the duty plan is called {department}; its cases wait for a dispatcher")
    print(
        f"{config}: good. Broker {loaded.broker}, series {loaded.series_url.partition(':')[0]}, {len(loaded.channels)} channels."
    )


@app.command()
def migrate(config: ConfigFile) -> None:
    """Bring the relational store to the schema of this version; `run` does so, too."""
    import asyncio

    loaded = load(config)
    asyncio.run(_migrate(loaded))
    print(f"{loaded.database_url}: up to date")


@app.command("rebuild-alarms")
def rebuild_alarms(config: ConfigFile) -> None:
    """Make the current rows of the alarms anew from their log; the cloud may run meanwhile."""
    import asyncio

    loaded = load(config)
    asyncio.run(_rebuild(loaded))


@app.command()
def run(
    config: ConfigFile,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is usually not worth a line.")] = False,
) -> None:
    """Run the cloud until SIGTERM or SIGINT; it logs to stderr and prints its address when it is ready."""
    import asyncio
    import gc
    import logging

    from citynerve.rule_engine import gateway_engine
    from cloud.run import Cloud
    from device_profiles.mistakes import FileError

    loaded = load(config)
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A batch decodes into thousands of small lists, none of them cyclic: the collector's usual pace costs a quarter of ingest.
    gc.set_threshold(100_000, 50, 100)
    faults: list[str] = []
    try:
        asyncio.run(_serve(Cloud(loaded, rules=gateway_engine())))
    except* (FileError, OSError) as errors:
        faults = list(_told(errors))
    if faults:
        fail("\n".join(faults))


async def _migrate(config: "CloudConfig") -> None:
    from cloud.relational.engine import make_engine
    from cloud.relational.migrate import migrate as upgrade

    engine = make_engine(config.database_url, config.database_password)
    try:
        await upgrade(engine)
    finally:
        await engine.dispose()


async def _rebuild(config: "CloudConfig") -> None:
    from cloud.alarms.rebuild import Rebuilt, rebuild
    from cloud.relational.engine import make_engine
    from cloud.relational.migrate import migrate as upgrade

    def told(now: Rebuilt) -> None:
        print(f"{now.done} of {now.total} logs", file=sys.stderr)

    engine = make_engine(config.database_url, config.database_password)
    try:
        await upgrade(engine)
        done = await rebuild(engine, told)
    finally:
        await engine.dispose()
    print(f"{config.database_url}: {done.rows} rows out of {done.done} logs; {done.changed} of them were otherwise before")


async def _serve(cloud: "Cloud") -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cloud.run(), name="cloud")
        running.add_done_callback(lambda _: stop.set())
        ready = tasks.create_task(_announce(cloud), name="announce")
        await stop.wait()
        ready.cancel()
        running.cancel()


async def _announce(cloud: "Cloud") -> None:
    await cloud.ready.wait()
    host, port = cloud.http
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)


def _told(errors: BaseException) -> "Iterator[str]":
    """What went wrong, out of however many task groups."""
    if isinstance(errors, BaseExceptionGroup):
        for error in errors.exceptions:
            yield from _told(error)
    else:
        yield str(errors)
