"""Which errors of a store are waited for, and which are a refusal of what it was given."""

import asyncio

import pytest
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.ingest import patience
from cloud.ingest.counts import IngestCounts
from cloud.ingest.lanes import Ledger
from cloud.ingest.patience import Patience
from cloud.series.store import StoreUnavailable
from telemetry.clock import ManualClock
from telemetry.wire import Ack

CAUSE = ValueError("the driver's own word")


@pytest.fixture
def waiting(cloud_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Patience:
    monkeypatch.setattr(patience, "_REST_S", (0.0,))
    acks: list[Ack] = []
    return Patience(cloud_engine, Ledger(), ManualClock(), acks.append, IngestCounts())


def fails_twice(error: Exception) -> list[Exception]:
    return [error, error]


async def insist(waiting: Patience, errors: list[Exception]) -> str:
    async def work() -> str:
        if errors:
            raise errors.pop()
        return "done"

    async with asyncio.timeout(5):
        return await waiting.insist(work, ())


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(StoreUnavailable("away"), id="the series store is away"),
        pytest.param(OperationalError("", None, CAUSE), id="the database is locked, full or ill"),
        pytest.param(DBAPIError("", None, CAUSE, connection_invalidated=True), id="the connection broke"),
        pytest.param(InterfaceError("", None, CAUSE, connection_invalidated=True), id="the driver found the connection closed"),
        pytest.param(NoConnectionError("no connection is free"), id="every connection is in use"),
        pytest.param(ConnectionRefusedError("nobody listens"), id="nobody listens there"),
    ],
)
async def test_what_may_pass_is_waited_for(waiting: Patience, error: Exception) -> None:
    assert await insist(waiting, fails_twice(error)) == "done"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(DataError("", None, CAUSE), id="a value that a column cannot hold"),
        pytest.param(IntegrityError("", None, CAUSE), id="a row that is there already"),
        pytest.param(StatementError("", "", None, CAUSE), id="a value that cannot be bound"),
        pytest.param(InterfaceError("", None, CAUSE), id="a value that the driver does not know"),
        pytest.param(OverflowError("too large"), id="a number beyond 64 bits"),
    ],
)
async def test_a_refusal_is_told_at_once(waiting: Patience, error: Exception) -> None:
    with pytest.raises(type(error)):
        await insist(waiting, [error])
