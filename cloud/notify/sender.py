"""The worker that empties the outbox of messages to people: one task a channel, at least once, never in ingest's way."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.attempt import attempt
from cloud.notify.backoff import delay_s, pause_s
from cloud.notify.budget import Budget, budgets_of
from cloud.notify.channels import Channel, open_channel
from cloud.notify.config import ChannelConfig
from cloud.notify.messages import render
from cloud.notify.outbox import NotificationState
from cloud.notify.queue import Claimed, Queue
from cloud.notify.results import Failure, SendResult
from telemetry.clock import SECOND_NS, Clock

__all__ = ["Sender", "SenderCounts"]

_log = logging.getLogger(__name__)

# How long an attempt is ours, beyond its channel's own timeout, before another sender may repeat it.
_LEASE_MARGIN_S = 20.0
_STORE_REST_S = 1.0


class FeedLike(Protocol):
    """Where news of messages goes."""

    def publish(self, kind: str, data: dict[str, Any]) -> object: ...


class SenderCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Since this sender was made."""

    sent: int
    failed: int
    attempts: int


class Sender:
    """Sends what waits in `notifications`.

    `base_url` is where people reach the console; without one, messages carry no link. Between a vendor's answer and
    its row lies one commit: a crash there sends a message twice, never loses one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        channels: Sequence[ChannelConfig],
        clock: Clock,
        feed: FeedLike,
        *,
        base_url: str = "",
        poll_s: float = 1.0,
    ) -> None:
        self._queue = Queue(engine)
        self._channels = tuple(channels)
        self._clock = clock
        self._feed = feed
        self._base_url = base_url
        self._poll_s = poll_s
        self._news = {channel.name: asyncio.Event() for channel in channels}
        self._spread = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._totals = dict.fromkeys(("sent", "failed", "attempts"), 0)

    def wake(self) -> None:
        """There may be something new: look now, not at the next poll. Call it after the commit."""
        for news in self._news.values():
            news.set()

    def counts(self) -> SenderCounts:
        """What came of it so far."""
        return SenderCounts(**self._totals)

    async def run(self) -> None:
        """Until cancelled. OSError at once where a channel's secret file cannot be read."""
        async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
            opened = [await asyncio.to_thread(open_channel, config, session) for config in self._channels]
            await self._retire_others()
            async with asyncio.TaskGroup() as tasks:
                for config, channel in zip(self._channels, opened, strict=True):
                    tasks.create_task(self._work(config, channel), name=f"notify {config.name}")

    async def _retire_others(self) -> None:
        gone = await self._queue.retire_others([channel.name for channel in self._channels])
        if gone:
            _log.error(
                "%d messages wait for channels that are not configured; given up",
                gone,
                extra={"event": "notify.channel_gone", "count": gone},
            )

    async def _work(self, config: ChannelConfig, channel: Channel) -> None:
        earlier = await self._queue.sent_since(config.name, self._clock.wall_ns() - 60 * SECOND_NS)
        budgets = self._budgets(config, earlier)
        while True:
            try:
                rest = await self._once(config, channel, budgets)
            except DBAPIError as error:
                # A busy or absent store keeps its rows; the class says enough, the text may hold a payload.
                _log.warning(
                    "%s: the relational store did not answer (%s)",
                    config.name,
                    type(error.orig).__name__,
                    extra={"event": "notify.store_unavailable", "channel": config.name},
                )
                rest = _STORE_REST_S
            await asyncio.sleep(rest)

    def _budgets(self, config: ChannelConfig, earlier_ns: Sequence[int]) -> tuple[Budget, ...]:
        # Rows know wall time, budgets count on the clock that does not jump.
        shift = self._clock.monotonic_ns() - self._clock.wall_ns()
        return budgets_of(config, [moment + shift for moment in earlier_ns])

    async def _once(self, config: ChannelConfig, channel: Channel, budgets: Sequence[Budget]) -> float:
        """One message, if one is due; how long the channel rests afterwards, in seconds."""
        wait = max((budget.wait_ns(self._clock.monotonic_ns()) for budget in budgets), default=0)
        if wait:
            return min(wait / SECOND_NS, 60.0)
        news = self._news[config.name]
        news.clear()
        claimed = await self._queue.claim(config.name, self._clock.wall_ns(), channel.longest_s + _LEASE_MARGIN_S)
        if claimed is None:
            await self._idle(news)
            return 0.0
        for budget in budgets:
            budget.take(self._clock.monotonic_ns())
        self._totals["attempts"] += 1
        return await self._finish(config, claimed, await self._attempt(config, channel, claimed))

    async def _idle(self, news: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await news.wait()
        except TimeoutError:
            return

    async def _attempt(self, config: ChannelConfig, channel: Channel, claimed: Claimed) -> SendResult:
        now_ns = self._clock.wall_ns()
        try:
            message = render(claimed.row, config, now_ns, self._base_url)
        except (KeyError, TypeError, ValueError) as error:
            # A payload that another version wrote: it will not get better, and the queue behind it must move.
            return SendResult(failure=Failure.FORMAT, detail=f"the outbox row cannot be put into words: {error!r}")
        return await attempt(channel.send(message, now_ns))

    async def _finish(self, config: ChannelConfig, claimed: Claimed, result: SendResult) -> float:
        now_ns = self._clock.wall_ns()
        if result.failure is None:
            await self._kept(lambda: self._queue.sent(claimed, result, now_ns))
            self._tell(config, claimed, result, NotificationState.SENT)
            return 0.0
        waited_s = (now_ns - claimed.created_ns) / SECOND_NS
        delay = delay_s(result, claimed.attempts, waited_s, self._spread.random())
        next_ns = None if delay is None else now_ns + round(delay * SECOND_NS)
        await self._kept(lambda: self._queue.failed(claimed, result, next_ns))
        self._tell(config, claimed, result, NotificationState.FAILED if delay is None else NotificationState.PENDING)
        return 0.0 if delay is None else pause_s(result.failure, delay)

    async def _kept(self, write: Callable[[], Awaitable[None]]) -> None:
        # A store that is busy just now must not turn one message into two: insist, within the lease.
        for rest in (0.1, 0.5, 1.0, 2.0):
            try:
                return await write()
            except DBAPIError:
                await asyncio.sleep(rest)
        return await write()

    def _tell(self, config: ChannelConfig, claimed: Claimed, result: SendResult, state: NotificationState) -> None:
        news: Mapping[str, Any] = {
            "id": claimed.id,
            "case_id": claimed.case_id,
            "step": claimed.row["step"],
            "channel": config.name,
            "state": state.value,
            "attempts": claimed.attempts,
            "failure": result.failure.value if result.failure else None,
            "vendor_code": result.vendor_code,
        }
        self._feed.publish("notification", dict(news))
        if state is not NotificationState.PENDING:
            self._totals[state.value] += 1
        if result.failure is not None:
            _log.log(
                logging.ERROR if state is NotificationState.FAILED else logging.WARNING,
                "%s: message %d failed (%s, %s)",
                config.name,
                claimed.id,
                result.failure.value,
                "given up" if state is NotificationState.FAILED else "will be tried again",
                extra={"event": "notify.failed", **news, "detail": result.detail},
            )
