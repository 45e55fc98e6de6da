"""Stores that are away: waited for, for as long as it takes, while gateways are asked to send no more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.ingest.counts import IngestCounts
from cloud.ingest.lanes import LaneKey, Ledger
from cloud.relational.engine import reading
from cloud.series.store import StoreUnavailable
from telemetry.clock import Clock
from telemetry.wire import Ack

__all__ = ["Patience"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_REST_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Patience:
    """Nothing is dropped because a store is not to be had."""

    def __init__(
        self, engine: AsyncEngine, ledger: Ledger, clock: Clock, answer: Callable[[Ack], None], counts: IngestCounts
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._answer = answer
        self._counts = counts

    async def insist(self, work: Callable[[], Awaitable[_T]], lanes: Collection[LaneKey]) -> _T:
        """Do it until the store takes it. Gateways whose `lanes` wait are told to send no more (credit 0)."""
        for attempt in range(1_000_000_000):
            try:
                return await work()
            except (StoreUnavailable, DBAPIError, NoConnectionError, OSError) as error:
                if not _passes(error):
                    raise
                self._counts.waited += 1
                if attempt == 0:
                    told = error.orig if isinstance(error, DBAPIError) else error
                    _log.warning("a store is unavailable, waiting: %s", told, extra={"event": "cloud.store_unavailable"})
                    for key in lanes:
                        self._answer(self._ledger.draft(key).ack(self._clock.wall_ns(), 0))
                asked_s = error.rest_s if isinstance(error, StoreUnavailable) else 0.0
                await asyncio.sleep(max(asked_s, _REST_S[min(attempt, len(_REST_S) - 1)]))
        raise AssertionError("unreachable: a billion attempts take longer than the machine lives")

    async def know(self, keys: Collection[LaneKey]) -> None:
        """Returns when the ledger has the accounts of all these lanes."""
        if not all(self._ledger.knows(key) for key in keys):
            await self.insist(lambda: self._load(keys), ())

    async def _load(self, keys: Collection[LaneKey]) -> None:
        async with reading(self._engine) as conn:
            await self._ledger.load(conn, keys)


def _passes(error: Exception) -> bool:
    """Whether the same may succeed later: the store is away, locked, full or ill; it does not refuse what it was given."""
    return not isinstance(error, DBAPIError) or isinstance(error, OperationalError) or error.connection_invalidated
