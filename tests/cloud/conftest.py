"""What the tests of the cloud share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import make_engine
from cloud.relational.migrate import migrate


@pytest.fixture
async def cloud_engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A relational store with the schema of this version."""
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
    await migrate(engine)
    yield engine
    await engine.dispose()
