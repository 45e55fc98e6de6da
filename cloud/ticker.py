"""Work that comes due by itself, done by one process at a time: whoever holds the lease in the relational store.

A process that dies keeps the lease until its time is over; then another one goes on, with what is due by the store's rows.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from sqlalchemy import insert, or_, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.relational.engine import writing
from cloud.relational.tables import leases
from telemetry.clock import SECOND_NS, Clock

__all__ = ["LEASE_S", "Job", "Ticker"]

_log = logging.getLogger(__name__)

LEASE_S: Final = 15.0
"""How long nobody else begins after a process has died."""
_NAME: Final = "ticker"


class Job(msgspec.Struct, frozen=True):
    """Something to be done every so often. `run` is given the time, and makes its own transactions, each of them short."""

    name: str
    every_s: float
    run: Callable[[int], Awaitable[None]]


class Ticker:
    """Runs its jobs, each in its own time, while it holds the lease; `leading` says whether it does."""

    def __init__(self, engine: AsyncEngine, clock: Clock, jobs: Sequence[Job]) -> None:
        self._engine = engine
        self._clock = clock
        self._jobs = jobs
        self._holder = secrets.token_hex(8)
        self._next_ns = {job.name: 0 for job in jobs}
        self._until_ns = 0
        self.failures = 0

    @property
    def leading(self) -> bool:
        """Whether the lease is this process's for now."""
        return self._clock.wall_ns() < self._until_ns

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self.turn()
                await asyncio.sleep(min((job.every_s for job in self._jobs), default=LEASE_S / 3))
        finally:
            await self._give_back()

    async def turn(self) -> None:
        """Renew the lease where it is time, and do what is due. A store that does not answer is tried again."""
        try:
            if self._clock.wall_ns() + round(LEASE_S * SECOND_NS / 2) > self._until_ns and not await self._take_lease():
                return
            for job in self._jobs:
                now_ns = self._clock.wall_ns()
                if self.leading and now_ns >= self._next_ns[job.name]:
                    self._next_ns[job.name] = now_ns + round(job.every_s * SECOND_NS)
                    await job.run(now_ns)
        except (DBAPIError, OSError) as error:
            self.failures += 1
            _log.warning("what is due waits for the store: %s", error, extra={"event": "cloud.ticker"})

    async def _take_lease(self) -> bool:
        now_ns = self._clock.wall_ns()
        until_ns = now_ns + round(LEASE_S * SECOND_NS)
        mine_or_over = or_(leases.c.holder == self._holder, leases.c.until_ns <= now_ns)
        renew = update(leases).where(leases.c.name == _NAME, mine_or_over).values(holder=self._holder, until_ns=until_ns)
        try:
            async with writing(self._engine) as conn:
                if (await conn.execute(renew)).rowcount == 0:
                    await conn.execute(insert(leases).values(name=_NAME, holder=self._holder, until_ns=until_ns))
        except IntegrityError:
            return False  # somebody else's
        self._until_ns = until_ns
        return True

    async def _give_back(self) -> None:
        """So that the next process need not wait."""
        if self.leading:
            give = update(leases).where(leases.c.name == _NAME, leases.c.holder == self._holder).values(until_ns=0)
            async with asyncio.timeout(1), writing(self._engine) as conn:
                await conn.execute(give)
