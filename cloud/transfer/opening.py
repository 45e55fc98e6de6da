"""What a command line opens by a cloud's configuration, and closes again."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from sqlalchemy import select

from cloud.accounts.accounts import AccountPolicy
from cloud.api.services import Services
from cloud.cases.desk import Desk
from cloud.config import CloudConfig
from cloud.counts import CloudCounts
from cloud.feed import Feed
from cloud.relational.engine import make_engine, reading
from cloud.relational.migrate import migrate
from cloud.relational.tables import devices
from cloud.series.dead_letters import DeadLetters
from cloud.series.open import make_store
from cloud.series.store import SeriesStore, StoreUnavailable
from device_profiles.shelf import load_catalog
from telemetry.clock import SystemClock

__all__ = ["open_series", "registered", "services"]


@contextlib.asynccontextmanager
async def open_series(config: CloudConfig) -> AsyncIterator[SeriesStore]:
    """The series store of a cloud. StoreUnavailable where it does not answer, or the running cloud holds its file."""
    store = make_store(config.series_url, SystemClock(), DeadLetters(config.data_dir / "dead-letters"))
    try:
        await store.open()
    except StoreUnavailable as error:
        held = (
            ""
            if config.series_url.startswith("influx:")
            else "; a cloud that runs holds its store alone: stop it, or ask its API"
        )
        raise StoreUnavailable(f"{error}{held}") from error
    try:
        yield store
    finally:
        await store.close()


async def registered(config: CloudConfig, asked: Sequence[str]) -> dict[str, list[str]]:
    """device -> the metrics of its profile, of every device that the cloud knows, or of those asked for, known or not."""
    catalog = load_catalog(*config.profile_dirs)
    engine = make_engine(config.database_url, config.database_password)
    try:
        await migrate(engine)
        async with reading(engine) as conn:
            rows = (await conn.execute(select(devices.c.id, devices.c.profile))).all()
    finally:
        await engine.dispose()
    profiles = {row.id: catalog.get(row.profile) for row in rows}
    found = {}
    for device in asked or profiles:
        profile = profiles.get(device)
        found[device] = list(profile.metrics) if profile else []
    return found


@contextlib.asynccontextmanager
async def services(config: CloudConfig) -> AsyncIterator[Services]:
    """What the API is given, over the stores of a cloud that does not run."""
    engine = make_engine(config.database_url, config.database_password)
    try:
        await migrate(engine)
        async with open_series(config) as series:
            yield Services(
                engine=engine,
                series=series,
                desk=Desk(catalog=load_catalog(*config.profile_dirs), channels=()),
                feed=Feed(size=1),
                clock=SystemClock(),
                counts=_no_counts,
                accounts=AccountPolicy(),
            )
    finally:
        await engine.dispose()


async def _no_counts() -> CloudCounts:
    return CloudCounts()
