"""Bring a database to the schema of this version, from whichever earlier one it has."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import writing

__all__ = ["migrate"]


async def migrate(engine: AsyncEngine) -> None:
    """Run the steps that are missing, in one transaction; none on a database that is up to date."""
    async with writing(engine) as conn:
        await conn.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "cloud.relational:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
