"""Keeping the tiers: rolled up as time passes and late values come, and forgotten when they are old enough.

Every step is one portion of work of a store, and between two portions everybody else has a turn. What is still to be done
stands in the store itself, so that a process may end at any instant.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from cloud.series.store import Rolled, SeriesStore, StoreUnavailable, Tier
from telemetry.clock import SECOND_NS, Clock

__all__ = ["Retention", "Tiering"]

_log = logging.getLogger(__name__)

_DAY_NS: Final = 86_400 * SECOND_NS
_EVERY_S: Final = 5.0
_BETWEEN_S: Final = 0.05  # two portions: more than they take, as a rule
_FORGET_EVERY_NS: Final = 3600 * SECOND_NS
_BETWEEN_FORGETTING_S: Final = 1.0


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How many days each tier is kept, counted by event time; 0 is for ever. `[retention]` of the cloud's TOML."""

    raw_days: int = 90
    minute_days: int = 730
    hour_days: int = 0

    def days(self, tier: Tier) -> int:
        """Those of one tier."""
        return {Tier.RAW: self.raw_days, Tier.MINUTE: self.minute_days, Tier.HOUR: self.hour_days}[tier]

    @property
    def sound(self) -> bool:
        """Whether minutes are kept as long as what they are made of."""
        return self.minute_days == 0 or 0 < self.raw_days <= self.minute_days


class Tiering:
    """`run` until cancelled; works only while `leading` says that this process is the one to do it."""

    def __init__(self, series: SeriesStore, retention: Retention, clock: Clock, leading: Callable[[], bool]) -> None:
        self._series = series
        self._retention = retention
        self._clock = clock
        self._leading = leading
        self._forget_ns = 0
        self._forgetting: list[Tier] = []
        self.rolled = Rolled(until_ns=0)
        """What the last portion told."""
        self.failures = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:  # noqa: ASYNC110 - time is what it waits for
            await asyncio.sleep(await self.turn(self._clock.wall_ns()) if self._leading() else _EVERY_S)

    async def turn(self, now_ns: int) -> float:
        """One portion of what is to be done, and after how many seconds the next one is due."""
        try:
            self.rolled = await self._series.roll(now_ns)
        except StoreUnavailable as error:
            self.failures += 1
            _log.warning("the tiers wait for the series store: %s", error, extra={"event": "cloud.tiers_wait"})
            return max(_EVERY_S, error.rest_s)
        if self.rolled.more:
            return _BETWEEN_S
        if now_ns >= self._forget_ns:
            self._forget_ns = now_ns + _FORGET_EVERY_NS
            self._forgetting = [tier for tier in Tier if self._retention.days(tier)]
        return await self._forget(now_ns)

    async def _forget(self, now_ns: int) -> float:
        if not self._forgetting:
            return _EVERY_S
        tier = self._forgetting[0]
        try:
            more = await self._series.prune(tier, now_ns - self._retention.days(tier) * _DAY_NS)
        except StoreUnavailable as error:
            # A server that forgets by itself says so for ever; one that is away is asked again in an hour.
            self.failures += 1
            self._forgetting.clear()
            _log.warning("nothing was forgotten: %s", error, extra={"event": "cloud.not_forgotten"})
            return _EVERY_S
        if not more:
            del self._forgetting[0]
        return _BETWEEN_FORGETTING_S if self._forgetting else _EVERY_S
